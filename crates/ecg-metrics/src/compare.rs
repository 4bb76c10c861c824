use ecg_core::LabelSet;
use ndarray::ArrayView2;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::render::Map;
use crate::report::checked_decisions;
use crate::significance::dependent;
use crate::weighted::Plan;
use crate::{
    Bootstrap, BootstrapOptions, DeLong, McNemar, MetricsError, Patients, Thresholds, Truth,
    delong, holm, mcnemar,
};

/// The predictions of one of two classifiers: probabilities `[record, label]` and thresholds.
#[derive(Debug, Clone, Copy)]
pub struct Predictions<'a> {
    /// `[record, label]`, from 0 to 1.
    pub proba: ArrayView2<'a, f64>,
    /// Labels with probabilities above these are predicted.
    pub thresholds: Thresholds<'a>,
}

impl<'a> Predictions<'a> {
    /// Combines probabilities `[record, label]` with thresholds for each label, or for each label of each record.
    pub fn new(proba: ArrayView2<'a, f64>, thresholds: impl Into<Thresholds<'a>>) -> Self {
        Self { proba, thresholds: thresholds.into() }
    }
}

/// The tests for one label.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LabelTests {
    /// The label.
    pub label: String,
    /// Test of the two ROC-AUCs. Treats records as independent.
    pub delong: DeLong,
    /// Test of the decisions, right or wrong. Treats records as independent.
    pub mcnemar: McNemar,
    /// p-value of the difference of the ROC-AUCs, by resampling patients.
    pub bootstrap_p: f64,
    /// `delong.p` after [`Comparison::correct`]; NaN (null in JSON) before.
    pub delong_holm: f64,
    /// `mcnemar.exact_p`, corrected in the same way.
    pub mcnemar_holm: f64,
    /// `bootstrap_p`, corrected in the same way.
    pub bootstrap_holm: f64,
}

/// A comparison of two classifiers on the same records: every difference with its interval, and tests for each label.
///
/// ```
/// use ecg_metrics::ecg_core::LabelSet;
/// use ecg_metrics::{BootstrapOptions, Comparison, Patients, Predictions};
/// use ecg_metrics::ndarray::array;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let labels = LabelSet::new(["AF"])?;
/// let truth = array![[true], [true], [true], [false], [false], [false]];
/// let good = array![[0.9], [0.8], [0.6], [0.4], [0.2], [0.1]];
/// let poor = array![[0.7], [0.2], [0.6], [0.4], [0.8], [0.1]];
/// let mut comparisons = [Comparison::new(
///     &labels,
///     truth.view(),
///     Predictions::new(good.view(), &[0.5]),
///     Predictions::new(poor.view(), &[0.5]),
///     &Patients::each_record(6),
///     &BootstrapOptions::default(),
/// )?];
/// Comparison::correct(&mut comparisons);
/// let auc = comparisons[0].differences.label("AF")?.get("roc_auc").expect("a score");
/// assert!((auc.value - 4.0 / 9.0).abs() < 1e-12); // 9 of 9 pairs in order, against 5
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// First minus second, for every figure of a report, by resampling patients. Both are evaluated on each resample.
    /// The intervals are percentile intervals, which agree with the p-values. The difference of two averages over
    /// different labels or records, because one of the classifiers has no score for some label or record, is undefined.
    pub differences: Bootstrap,
    /// One entry for each label, in the order of the label set.
    pub tests: Vec<LabelTests>,
    /// Test of the records with every label right.
    pub subset: McNemar,
    /// Whether a patient has several records. If so, rely on the intervals and on `bootstrap_p`, because the p-values
    /// of the other tests are too small.
    pub dependent_records: bool,
    /// The number of p-values that Holm's correction covers; zero before [`Comparison::correct`].
    pub corrected_over: CorrectedOver,
}

/// The number of p-values of each kind that Holm's correction covers. NaN does not count, because it is not a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct CorrectedOver {
    /// p-values of DeLong's tests.
    pub delong: usize,
    /// p-values of McNemar's tests.
    pub mcnemar: usize,
    /// p-values of differences of the ROC-AUCs, by resampling patients.
    pub bootstrap: usize,
}

impl Comparison {
    /// Compares two classifiers on records with known truth `[record, label]`.
    ///
    /// # Errors
    /// Returns the errors of [`Bootstrap::new`], for either classifier.
    pub fn new<'a, T: Truth>(
        labels: &LabelSet,
        truth: ArrayView2<'_, T>,
        first: Predictions<'a>,
        second: Predictions<'a>,
        patients: &Patients,
        options: &BootstrapOptions,
    ) -> Result<Self, MetricsError> {
        let mut columns = Vec::with_capacity(2);
        for own in [first, second] {
            columns.push(checked_decisions(labels, &truth, &own.proba, own.thresholds)?);
        }
        let [a, b] = [&columns[0], &columns[1]];
        options.check(patients, a[0].len())?;
        let plan = |columns, own: Predictions| Plan::new(labels, columns, own.thresholds, options);
        let plans = [plan(a, first)?, plan(b, second)?];
        let width = plans[0].width();
        let incomparable = plans[0].other_averages(&plans[1]);
        let differences = Bootstrap::of(
            labels,
            a,
            patients,
            options,
            width,
            true,
            |weights, out: &mut Vec<f64>| {
                let mut other = Vec::with_capacity(width);
                plans[0].evaluate(weights, out);
                plans[1].evaluate(weights, &mut other);
                out.iter_mut().zip(other).for_each(|(own, other)| *own -= other);
                incomparable.iter().for_each(|&k| out[k] = f64::NAN);
            },
        );

        let right = |columns: &[Vec<(f64, bool)>], own: Predictions, label: usize, row: usize| {
            let (p, holds) = columns[label][row];
            (p > own.thresholds.at(row, label)) == holds
        };
        let mut tests = Vec::with_capacity(labels.len());
        let mut exact = vec![[true; 2]; a[0].len()];
        for (k, label) in labels.iter().enumerate() {
            let (p, holds): (Vec<f64>, Vec<bool>) = a[k].iter().copied().unzip();
            let other: Vec<f64> = b[k].iter().map(|own| own.0).collect();
            let mut only = [0, 0];
            for (row, exact) in exact.iter_mut().enumerate() {
                let pair = [right(a, first, k, row), right(b, second, k, row)];
                count_only(&mut only, pair);
                *exact = [exact[0] && pair[0], exact[1] && pair[1]];
            }
            let auc = differences.labels[k].1.get("roc_auc").and_then(|own| own.p_value);
            tests.push(LabelTests {
                label: label.to_owned(),
                delong: delong(&p, &other, &holds)?,
                mcnemar: mcnemar(only[0], only[1]),
                bootstrap_p: auc.unwrap_or(f64::NAN),
                delong_holm: f64::NAN,
                mcnemar_holm: f64::NAN,
                bootstrap_holm: f64::NAN,
            });
        }
        let mut only = [0, 0];
        exact.into_iter().for_each(|pair| count_only(&mut only, pair));
        Ok(Self {
            differences,
            tests,
            subset: mcnemar(only[0], only[1]),
            dependent_records: dependent(patients),
            corrected_over: CorrectedOver::default(),
        })
    }

    /// Corrects the p-values of each kind of test for their number (Holm), over the labels of all comparisons together.
    pub fn correct(all: &mut [Comparison]) {
        type Pick = fn(&mut LabelTests) -> (f64, &mut f64);
        let kinds: [Pick; 3] = [
            |own| (own.delong.p, &mut own.delong_holm),
            |own| (own.mcnemar.exact_p, &mut own.mcnemar_holm),
            |own| (own.bootstrap_p, &mut own.bootstrap_holm),
        ];
        let [delong, mcnemar, bootstrap] = kinds.map(|pick| {
            let mut cells: Vec<(f64, &mut f64)> =
                all.iter_mut().flat_map(|own| own.tests.iter_mut()).map(pick).collect();
            let raw: Vec<f64> = cells.iter().map(|cell| cell.0).collect();
            for (cell, corrected) in cells.iter_mut().zip(holm(&raw)) {
                *cell.1 = corrected;
            }
            raw.iter().filter(|p| !p.is_nan()).count()
        });
        let over = CorrectedOver { delong, mcnemar, bootstrap };
        all.iter_mut().for_each(|own| own.corrected_over = over);
    }
}

fn count_only(only: &mut [u64; 2], [first, second]: [bool; 2]) {
    only[0] += u64::from(first && !second);
    only[1] += u64::from(second && !first);
}

impl Serialize for Comparison {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("tests", &Map(self.tests.iter().map(|own| (&own.label, own))))?;
        map.serialize_entry("subset_mcnemar", &self.subset)?;
        map.serialize_entry("dependent_records", &self.dependent_records)?;
        map.serialize_entry("corrected_over", &self.corrected_over)?;
        map.serialize_entry("differences", &self.differences)?;
        map.end()
    }
}
