use ecg_core::LabelSet;
use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::{Serialize, Serializer};

use crate::interval::{normal_quantile, normal_tail};
use crate::patients::Random;
use crate::render::Map;
use crate::report::{check_confidence, checked_decisions, too_few};
use crate::weighted::{OVERALL, Plan, SAMPLES, sections};
use crate::{ChallengeWeights, MetricsError, Patients, Scores, Thresholds, Truth, ZeroDivision};

/// The most resamples that a bootstrap takes; their results are held in memory.
pub const MAX_RESAMPLES: usize = 100_000;

/// The acceleration of BCa intervals leaves out one patient at a time, or one of this many groups where there are more patients.
const JACKKNIFE_GROUPS: usize = 2000;

/// With fewer patients than this, intervals are too narrow and p-values too small, and [`Bootstrap::method`] says so.
pub const FEW_PATIENTS: usize = 20;

/// With fewer patients than this there are no p-values: even signs that all agree are chance more often than one time in 32.
const LEAST_PATIENTS: usize = 6;

/// Figures that differ by less are taken as equal.
const TIE: f64 = 1e-12;

/// How a bootstrap is done.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BootstrapOptions {
    /// How often patients are drawn. Default: 1000.
    pub resamples: usize,
    /// Where the random numbers start; the same seed gives the same intervals on every machine. Default: 0.
    pub seed: u64,
    /// Confidence of the intervals, more than 0 and at most 0.99998, for which [`MAX_RESAMPLES`] just do. Default: 0.95.
    pub confidence: f64,
    /// What a division by zero counts as in averages. Default: 0.
    pub zero_division: ZeroDivision,
    /// Weights of the challenge score; without them it has no interval. Default: none.
    pub challenge: Option<ChallengeWeights>,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self {
            resamples: 1000,
            seed: 0,
            confidence: 0.95,
            zero_division: ZeroDivision::Zero,
            challenge: None,
        }
    }
}

impl BootstrapOptions {
    /// Sets how often patients are drawn.
    pub fn with_resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples;
        self
    }

    /// Sets where the random numbers start.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the confidence of the intervals.
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets what a division by zero counts as in averages.
    pub fn with_zero_division(mut self, value: ZeroDivision) -> Self {
        self.zero_division = value;
        self
    }

    /// Adds the challenge score by these weights.
    pub fn with_challenge(mut self, weights: ChallengeWeights) -> Self {
        self.challenge = Some(weights);
        self
    }

    pub(crate) fn check(&self, patients: &Patients, records: usize) -> Result<(), MetricsError> {
        check_confidence(self.confidence)?;
        let least = (2.0 / (1.0 - self.confidence)).round() as usize;
        let most = MAX_RESAMPLES;
        if least > most {
            return Err(MetricsError::BootstrapConfidence { found: self.confidence, least, most });
        }
        if !(least..=most).contains(&self.resamples) {
            return Err(MetricsError::Resamples { found: self.resamples, least, most });
        }
        if patients.records() != records {
            return Err(MetricsError::PatientCount { records, patients: patients.records() });
        }
        if patients.len() < 2 {
            return Err(MetricsError::OnePatient);
        }
        Ok(())
    }
}

/// A number with its bootstrap intervals; NaN (null in JSON) where it is undefined.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BootstrapInterval {
    /// The number on the records as they are.
    pub value: f64,
    /// Between two quantiles of the resamples. NaN where fewer than half of the resamples define the number.
    pub percentile: [f64; 2],
    /// Bias-corrected and accelerated (Efron, J. Am. Stat. Assoc. 82 (1987) 171). NaN as `percentile`, and where all resamples lie
    /// on one side of the value, or the number is undefined without one of the patients. Of a difference it leaves out zero far too
    /// often: take `percentile`.
    pub bca: [f64; 2],
    /// Resamples in which the number is defined; the intervals are of these.
    pub defined: usize,
    /// Of a difference: the two-sided p-value that it is zero, twice the smaller share of resamples on either side of zero
    /// (each counted with the data themselves as one more resample), at most 1; NaN of fewer than six patients. It asks of the
    /// resamples what `percentile` does.
    pub p_value: Option<f64>,
    /// Whether every resample defines the number.
    always: bool,
}

impl BootstrapInterval {
    /// The interval to report: BCa where it exists and every resample defines the number, else percentile; of a difference always
    /// percentile, as its p-value. NaN where the value lies outside that, as of a calibration error, which resamples only make
    /// larger.
    ///
    /// In simulations of two equally good classifiers on 200 records, 95 % BCa intervals of the difference of their AUCs left out zero
    /// in 10 to 12 % of the cases with about 24 positives and in 16 % with about ten; percentile intervals in 7 % and in 7 to 9 %.
    pub fn interval(&self) -> [f64; 2] {
        if self.is_bca() {
            return self.bca;
        }
        let [low, high] = self.percentile;
        if self.value < low - TIE || self.value > high + TIE {
            return [f64::NAN; 2];
        }
        self.percentile
    }

    fn is_bca(&self) -> bool {
        self.p_value.is_none() && self.always && !self.bca[0].is_nan()
    }
}

impl Serialize for BootstrapInterval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("value", &self.value)?;
        map.serialize_entry("interval", &self.interval())?;
        map.serialize_entry("method", if self.is_bca() { "bca" } else { "percentile" })?;
        map.serialize_entry("defined", &self.defined)?;
        if let Some(p) = self.p_value {
            map.serialize_entry("p", &p)?;
        }
        map.end()
    }
}

/// Intervals by name, in the order of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Intervals(Vec<(&'static str, BootstrapInterval)>);

impl Intervals {
    fn new(names: &[&'static str], values: &[BootstrapInterval]) -> Self {
        Self(names.iter().copied().zip(values.iter().copied()).collect())
    }

    /// The interval of a score, by the name that the JSON of a report gives it.
    pub fn get(&self, name: &str) -> Option<&BootstrapInterval> {
        self.0.iter().find(|own| own.0 == name).map(|own| &own.1)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &BootstrapInterval)> {
        self.0.iter().map(|own| (own.0, &own.1))
    }
}

impl Serialize for Intervals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Intervals of every figure of a [`Report`](crate::Report), by resampling patients.
///
/// Each resample draws as many patients as there are, with replacement, each with all records, and works out every figure anew.
/// A score that a resample does not define (the sensitivity for a label that none of its records has) is left out there and
/// counted in [`BootstrapInterval::defined`]. An average over labels is left out where it would be over fewer labels than in
/// the whole; labels without a score in the whole count as they do in the report.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Bootstrap {
    /// How often patients were drawn.
    pub resamples: usize,
    /// Where the random numbers started.
    pub seed: u64,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Patients.
    pub patients: usize,
    /// Records of all patients.
    pub records: usize,
    /// The scores of each label, in the order of the label set.
    pub labels: Vec<(String, Intervals)>,
    /// Patients who have a record with the label, for each.
    pub positive_patients: Vec<usize>,
    /// Patients who have a record without the label, for each.
    pub negative_patients: Vec<usize>,
    /// Over all decisions about any label taken together.
    pub micro: Intervals,
    /// Averages over the labels.
    pub macro_: Intervals,
    /// The same, weighted by the number of records that have the label.
    pub weighted: Intervals,
    /// Averages over the records.
    pub samples: Intervals,
    /// Subset accuracy and what else is over all labels; last `challenge_score`, if there are weights for it.
    pub overall: Intervals,
}

impl Bootstrap {
    /// Resamples probabilities `[record, label]` with their truth `[record, label]`.
    ///
    /// The threads of rayon's pool share the work; their number changes no result.
    ///
    /// # Errors
    /// As [`Report::new`](crate::Report::new); patients of another number of records; fewer than two patients; fewer resamples
    /// than leave one beyond each end of the interval, or more than [`MAX_RESAMPLES`]; a confidence for which those are too few.
    pub fn new<'a, T: Truth>(
        labels: &LabelSet,
        truth: ArrayView2<'_, T>,
        proba: ArrayView2<'_, f64>,
        thresholds: impl Into<Thresholds<'a>>,
        patients: &Patients,
        options: &BootstrapOptions,
    ) -> Result<Self, MetricsError> {
        let thresholds = thresholds.into();
        let columns = checked_decisions(labels, &truth, &proba, thresholds)?;
        options.check(patients, columns[0].len())?;
        let plan = Plan::new(labels, &columns, thresholds, options)?;
        let evaluate = |weights: &[u32], out: &mut Vec<f64>| plan.evaluate(weights, out);
        Ok(Self::of(labels, &columns, patients, options, plan.width(), false, evaluate))
    }

    /// Resamples what `evaluate` gives: `width` numbers in the order of a [`Plan`].
    pub(crate) fn of(
        labels: &LabelSet,
        columns: &[Vec<(f64, bool)>],
        patients: &Patients,
        options: &BootstrapOptions,
        width: usize,
        differences: bool,
        evaluate: impl Fn(&[u32], &mut Vec<f64>) + Sync,
    ) -> Self {
        let records = patients.records();
        let run = |count: usize, weigh: &(dyn Fn(usize, &mut [u32]) + Sync)| -> Vec<f64> {
            let mut all = vec![0.0; count * width];
            all.par_chunks_mut(width).enumerate().for_each_init(
                || (vec![0; records], Vec::with_capacity(width)),
                |(weights, out), (k, row)| {
                    weigh(k, weights);
                    evaluate(weights, out);
                    row.copy_from_slice(out);
                },
            );
            all
        };
        let whole = run(1, &|_, weights| weights.fill(1));
        let resampled = run(options.resamples, &|k, weights| {
            weights.fill(0);
            let mut random = Random::new(options.seed, k as u64);
            for _ in 0..patients.len() {
                for &row in patients.rows(random.below(patients.len())) {
                    weights[row] += 1;
                }
            }
        });
        let groups = patients.len().min(JACKKNIFE_GROUPS);
        let without = run(groups, &|group, weights| {
            weights.fill(1);
            for patient in (group..patients.len()).step_by(groups) {
                patients.rows(patient).iter().for_each(|&row| weights[row] = 0);
            }
        });
        let column = |all: &[f64], k: usize| -> Vec<f64> {
            all.iter().skip(k).step_by(width).copied().collect()
        };
        let intervals: Vec<BootstrapInterval> = (0..width)
            .into_par_iter()
            .map(|k| {
                let (resampled, without) = (column(&resampled, k), column(&without, k));
                let p_value = differences.then_some(patients.len() >= LEAST_PATIENTS);
                interval(whole[k], resampled, &without, options.confidence, p_value)
            })
            .collect();
        let parts = sections(labels, &intervals);
        let scores = |values| Intervals::new(Scores::NAMES, values);
        let with_truth = |truth: bool| {
            let count = |column: &Vec<(f64, bool)>| {
                let all = 0..patients.len();
                all.filter(|&own| patients.rows(own).iter().any(|&row| column[row].1 == truth))
                    .count()
            };
            columns.iter().map(count).collect()
        };
        Self {
            positive_patients: with_truth(true),
            negative_patients: with_truth(false),
            resamples: options.resamples,
            seed: options.seed,
            confidence: options.confidence,
            patients: patients.len(),
            records,
            labels: parts
                .labels
                .iter()
                .map(|(l, values)| ((*l).to_owned(), scores(values)))
                .collect(),
            micro: scores(parts.micro),
            macro_: scores(parts.macro_),
            weighted: scores(parts.weighted),
            samples: Intervals::new(&SAMPLES, parts.samples),
            overall: Intervals::new(&OVERALL, parts.overall),
        }
    }

    /// The intervals of one label.
    ///
    /// # Errors
    /// A label that is not among those judged.
    pub fn label(&self, label: &str) -> Result<&Intervals, MetricsError> {
        self.labels.iter().find(|own| own.0 == label).map(|own| &own.1).ok_or_else(|| {
            MetricsError::unknown_label(label, self.labels.iter().map(|own| own.0.as_str()))
        })
    }

    /// Every section with its name: the labels, then `micro`, `macro`, `weighted`, `samples` and `overall`.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Intervals)> {
        let labels = self.labels.iter().map(|(label, own)| (label.as_str(), own));
        labels.chain([
            ("micro", &self.micro),
            ("macro", &self.macro_),
            ("weighted", &self.weighted),
            ("samples", &self.samples),
            ("overall", &self.overall),
        ])
    }

    /// In words: how the intervals were made.
    pub fn method(&self) -> String {
        let units = if self.patients == self.records {
            format!("{} records", self.records)
        } else {
            format!("{} patients with {} records", self.patients, self.records)
        };
        let few = if self.patients < FEW_PATIENTS {
            ": too few patients, so that intervals are too narrow and p-values too small"
        } else {
            ""
        };
        format!("bootstrap, {} resamples of {units}, seed {}{few}", self.resamples, self.seed)
    }

    /// What a label has too few of in patients; nothing for what is no label.
    pub(crate) fn too_few(&self, label: &str) -> Option<&'static str> {
        let k = self.labels.iter().position(|own| own.0 == label)?;
        too_few(self.positive_patients[k] as u64, self.negative_patients[k] as u64)
    }
}

/// Labels under their own key, so that a label named `micro` could not be mistaken.
impl Serialize for Bootstrap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("resamples", &self.resamples)?;
        map.serialize_entry("seed", &self.seed)?;
        map.serialize_entry("confidence", &self.confidence)?;
        map.serialize_entry("patients", &self.patients)?;
        map.serialize_entry("records", &self.records)?;
        let labels = Map(self.labels.iter().map(|(label, own)| (label, own)));
        map.serialize_entry("labels", &labels)?;
        for (name, counts) in [
            ("positive_patients", &self.positive_patients),
            ("negative_patients", &self.negative_patients),
        ] {
            let counts = self.labels.iter().zip(counts).map(|(own, n)| (&own.0, n));
            map.serialize_entry(name, &Map(counts))?;
        }
        for (name, own) in self.sections().skip(self.labels.len()) {
            map.serialize_entry(name, own)?;
        }
        map.end()
    }
}

/// `difference` says whether there is a p-value, `None` for what is no difference.
fn interval(
    value: f64,
    mut resampled: Vec<f64>,
    without: &[f64],
    confidence: f64,
    difference: Option<bool>,
) -> BootstrapInterval {
    let all = resampled.len();
    resampled.retain(|v| !v.is_nan());
    let defined = resampled.len();
    let undefined = BootstrapInterval {
        value,
        percentile: [f64::NAN; 2],
        bca: [f64::NAN; 2],
        defined,
        p_value: difference.map(|_| f64::NAN),
        always: defined == all,
    };
    if value.is_nan() || 2 * defined < all {
        return undefined;
    }
    resampled.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let percentile = [tail, 1.0 - tail].map(|share| quantile(&resampled, share));
    let p_value = difference.map(|enough| {
        if !enough {
            return f64::NAN;
        }
        let below = resampled.partition_point(|v| *v <= TIE) + 1;
        let above = defined - resampled.partition_point(|v| *v < -TIE) + 1;
        (2.0 * below.min(above) as f64 / (defined + 1) as f64).min(1.0)
    });
    let bca = bca(value, &resampled, without, tail);
    BootstrapInterval { percentile, bca, p_value, ..undefined }
}

/// Efron's interval: quantiles shifted for the median's bias and for how the spread changes with the value.
fn bca(value: f64, sorted: &[f64], without: &[f64], tail: f64) -> [f64; 2] {
    // Half of the ties counts; sums in another order make equal figures differ in their last places.
    let (least, most) = (value - TIE, value + TIE);
    let below = sorted.partition_point(|v| *v < least) + sorted.partition_point(|v| *v <= most);
    let bias = normal_quantile(below as f64 / (2 * sorted.len()) as f64);
    let mean = without.iter().sum::<f64>() / without.len() as f64;
    let (squares, cubes) = without.iter().fold((0.0, 0.0), |(squares, cubes), v| {
        let d = mean - v;
        (squares + d * d, cubes + d * d * d)
    });
    if !bias.is_finite() || mean.is_nan() {
        return [f64::NAN; 2];
    }
    let acceleration = if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 };
    [tail, 1.0 - tail].map(|share| {
        let shifted = bias + normal_quantile(share);
        let at = bias + shifted / (1.0 - acceleration * shifted);
        quantile(sorted, 1.0 - normal_tail(at))
    })
}

/// The quantile of sorted numbers, linear between them (type 7 of Hyndman and Fan, as numpy has it).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}
