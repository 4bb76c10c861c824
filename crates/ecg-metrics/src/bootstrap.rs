use ecg_core::LabelSet;
use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::{Serialize, Serializer};

use crate::interval::{normal_quantile, normal_tail};
use crate::patients::Random;
use crate::render::Map;
use crate::report::{check_confidence, checked_decisions};
use crate::weighted::{OVERALL, Plan, SAMPLES, sections};
use crate::{ChallengeWeights, MetricsError, Patients, Scores, Thresholds, Truth, ZeroDivision};

/// The largest number of resamples of a bootstrap. Their results are held in memory.
pub const MAX_RESAMPLES: usize = 100_000;

/// The acceleration of BCa intervals leaves out one patient at a time, or one of this many groups if there are more
/// patients.
const JACKKNIFE_GROUPS: usize = 2000;

/// With fewer patients than this, intervals are too narrow and p-values too small, and [`Bootstrap::method`] says so.
pub const FEW_PATIENTS: usize = 20;

/// With fewer patients than this there are no p-values: even if all signs agree, the probability that this is chance is
/// above one in 32.
const LEAST_PATIENTS: usize = 6;

/// Figures that differ by less than this count as equal.
const TIE: f64 = 1e-12;

/// Options of a bootstrap.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BootstrapOptions {
    /// Number of times that patients are drawn. Default: 1000.
    pub resamples: usize,
    /// Seed of the random numbers. The same seed gives the same intervals on every machine. Default: 0.
    ///
    /// Different seeds share a few resamples, so pooling the resamples of several seeds counts some more than once: the
    /// seeds 0 to 19 with 1000 resamples each have 19,791 distinct ones.
    pub seed: u64,
    /// Confidence level of the intervals: more than 0 and at most 0.99998, for which [`MAX_RESAMPLES`] are just enough.
    /// Default: 0.95.
    pub confidence: f64,
    /// The value that a division by zero counts as in averages. Default: 0.
    pub zero_division: ZeroDivision,
    /// Weights of the challenge score, which has no interval without them. Default: none.
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
    /// Sets how many times patients are drawn.
    #[must_use]
    pub fn with_resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples;
        self
    }

    /// Sets the seed of the random numbers.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the confidence level of the intervals.
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets the value that a division by zero counts as in averages.
    #[must_use]
    pub fn with_zero_division(mut self, value: ZeroDivision) -> Self {
        self.zero_division = value;
        self
    }

    /// Adds the challenge score with these weights.
    #[must_use]
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

/// A number with its bootstrap intervals. NaN (null in JSON) if it is undefined.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BootstrapInterval {
    /// The number on the original records.
    pub value: f64,
    /// The interval between two quantiles of the resamples. NaN if fewer than half of the resamples define the number.
    ///
    /// For a difference, its ends are resamples themselves, so that it excludes zero exactly if the p-value is at most
    /// one minus the confidence level, apart from rounding; it is also NaN if too few resamples define the number for
    /// that level.
    pub percentile: [f64; 2],
    /// The bias-corrected and accelerated interval (Efron, J. Am. Stat. Assoc. 82 (1987) 171).
    ///
    /// NaN if `percentile` is NaN, if all resamples lie on one side of the value, or if the number is undefined when
    /// one of the patients is left out. Also NaN for a difference, where it would exclude zero far too often.
    pub bca: [f64; 2],
    /// Number of resamples in which the number is defined. The intervals are computed from these.
    pub defined: usize,
    /// For a difference only: the two-sided p-value of the hypothesis that the difference is zero.
    ///
    /// It is twice the smaller share of resamples on either side of zero, at most 1. The data themselves count as one
    /// more resample on each side. NaN if there are fewer than six patients.
    pub p_value: Option<f64>,
    /// Whether every resample defines the number.
    always: bool,
}

impl BootstrapInterval {
    /// Returns the interval to report.
    ///
    /// This is BCa if it exists and every resample defines the number, and percentile otherwise. For a difference it is
    /// always percentile, to agree with its p-value. It is NaN if the value lies outside the percentile interval or
    /// outside the one to report, as can happen for a calibration error, which resampling only makes larger.
    ///
    /// In simulations of two equally good classifiers on 200 records, 95 % BCa intervals of the difference of their
    /// AUCs excluded zero in 10 to 12 % of the cases with about 24 positives and in 16 % with about ten. Percentile
    /// intervals did so in 7 % and in 7 to 9 %.
    pub fn interval(&self) -> [f64; 2] {
        let own = if self.is_bca() { self.bca } else { self.percentile };
        let outside = |[low, high]: [f64; 2]| self.value < low - TIE || self.value > high + TIE;
        if outside(self.percentile) || outside(own) { [f64::NAN; 2] } else { own }
    }

    fn is_bca(&self) -> bool {
        self.always && !self.bca[0].is_nan()
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

    /// Returns the interval of a score, looked up by its name in the JSON of a report.
    pub fn get(&self, name: &str) -> Option<&BootstrapInterval> {
        self.0.iter().find(|own| own.0 == name).map(|own| &own.1)
    }

    /// Iterates over all intervals and their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &BootstrapInterval)> {
        self.0.iter().map(|own| (own.0, &own.1))
    }
}

impl Serialize for Intervals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Bootstrap intervals for every figure of a [`Report`](crate::Report), by resampling patients.
///
/// Each resample draws as many patients as there are, with replacement, each with all of their records, and computes
/// every figure again. If a resample does not define a score (such as the sensitivity for a label that none of its
/// records has), the resample is left out for that score; [`BootstrapInterval::defined`] counts the rest. An average
/// over labels is left out if it would be over fewer labels than for the original records. Labels that have no score on
/// the original records count as they do in the report.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Bootstrap {
    /// Number of times that patients were drawn.
    pub resamples: usize,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Confidence level of the intervals.
    pub confidence: f64,
    /// Number of patients.
    pub patients: usize,
    /// Number of records of all patients.
    pub records: usize,
    /// The scores of each label, in the order of the label set.
    pub labels: Vec<(String, Intervals)>,
    /// For each label, the number of patients who have a record with it.
    pub positive_patients: Vec<usize>,
    /// For each label, the number of patients who have a record without it.
    pub negative_patients: Vec<usize>,
    /// Over the decisions on all labels taken together.
    pub micro: Intervals,
    /// Averages over the labels.
    pub macro_: Intervals,
    /// Averages over the labels, weighted by the number of records that have the label.
    pub weighted: Intervals,
    /// Averages over the records.
    pub samples: Intervals,
    /// Subset accuracy and the other figures over all labels. Ends with `challenge_score` if there are weights for it.
    pub overall: Intervals,
}

impl Bootstrap {
    /// Resamples probabilities `[record, label]` together with their truth `[record, label]`.
    ///
    /// The work is shared between the threads of rayon's pool. Their number does not change any result.
    ///
    /// # Errors
    /// Returns the errors of [`Report::new`](crate::Report::new), and an error if:
    /// - `patients` is for another number of records, or has fewer than two patients;
    /// - there are too few resamples to leave one beyond each end of the interval, or more than [`MAX_RESAMPLES`];
    /// - even [`MAX_RESAMPLES`] are too few for the confidence level.
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

    /// Resamples what `evaluate` returns: `width` numbers in the order of a [`Plan`].
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
        // Differences have no BCa intervals.
        let groups = if differences { 0 } else { patients.len().min(JACKKNIFE_GROUPS) };
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

    /// Returns the intervals of one label.
    ///
    /// # Errors
    /// Returns an error if the label is not one of those evaluated.
    pub fn label(&self, label: &str) -> Result<&Intervals, MetricsError> {
        self.labels.iter().find(|own| own.0 == label).map(|own| &own.1).ok_or_else(|| {
            MetricsError::unknown_label(label, self.labels.iter().map(|own| own.0.as_str()))
        })
    }

    /// Iterates over every section and its name: the labels, then `micro`, `macro`, `weighted`, `samples` and
    /// `overall`.
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

    /// Describes in words how the intervals were made.
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
}

/// Labels are under a key of their own, so that a label named `micro` cannot be mistaken for the average.
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

/// Computes the intervals of a number. `difference` is `None` if it is not a difference; otherwise it says whether there
/// is a p-value.
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
    let Some(enough) = difference else {
        let percentile = [tail, 1.0 - tail].map(|share| quantile(&resampled, share));
        return BootstrapInterval {
            percentile,
            bca: bca(value, &resampled, without, tail),
            ..undefined
        };
    };
    // As many resamples lie at or beyond each end as the p-value needs on one side of zero to be one minus confidence.
    // Rounding must not lower a whole number.
    let beyond = (tail * (defined + 1) as f64 + TIE).floor() as usize;
    let percentile = match beyond {
        0 => [f64::NAN; 2],
        _ => [resampled[beyond - 1], resampled[defined - beyond]],
    };
    let below = resampled.partition_point(|v| *v <= TIE) + 1;
    let above = defined - resampled.partition_point(|v| *v < -TIE) + 1;
    let p = (2.0 * below.min(above) as f64 / (defined + 1) as f64).min(1.0);
    let p_value = Some(if enough { p } else { f64::NAN });
    BootstrapInterval { percentile, p_value, ..undefined }
}

/// Efron's interval: quantiles shifted for the bias of the median, and for the change of the spread with the value.
fn bca(value: f64, sorted: &[f64], without: &[f64], tail: f64) -> [f64; 2] {
    // Half of the ties count. Equal figures may differ in their last digits, because they are summed in another order.
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

/// Returns a quantile of sorted numbers, linear between neighbours (type 7 of Hyndman and Fan, as in NumPy).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}
