use ecg_core::LabelSet;
use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::curve::CalibrationError;
use crate::ranking::Ranking;
use crate::rows::Rows;
use crate::scores::{ProbabilityScores, undefined};
use crate::{
    Binning, Bootstrap, ChallengeScore, Confusion, CrossTable, LabelCalibration, MetricsError,
    PrCurve, Reliability, ReportOptions, RocCurve, SampleScores, Scores, Thresholds, Truth,
    ZeroDivision, wilson,
};

/// The number of positives or negatives below which a report marks the intervals of a label.
///
/// It says "too few" if there are fewer positives than this, "too few negatives" if there are fewer negatives, and "too
/// few of either" if both are true.
///
/// Even ten are not enough for an interval to reach its nominal coverage: in simulations, 95 % BCa intervals of an AUC
/// of .96 contained it in 85 % of the cases with about ten positives, in 90 to 93 % with about 24, and in 94 to 95 %
/// with about 80.
pub const FEW_POSITIVES: u64 = 10;

/// Says what a label has too few of, in the words of a report.
pub(crate) fn too_few(positives: u64, negatives: u64) -> Option<&'static str> {
    match (positives < FEW_POSITIVES, negatives < FEW_POSITIVES) {
        (true, true) => Some("too few of either"),
        (true, false) => Some("too few"),
        (false, true) => Some("too few negatives"),
        (false, false) => None,
    }
}

/// Everything about one label.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LabelReport {
    /// The label.
    pub label: String,
    /// The label is predicted for a record if its probability exceeds this. NaN if the threshold differs between
    /// records.
    pub threshold: f64,
    /// The counts.
    pub confusion: Confusion,
    /// The scores.
    pub scores: Scores,
    /// Wilson intervals of accuracy, precision, sensitivity, specificity and NPV; NaN for those that are undefined.
    pub intervals: [(&'static str, [f64; 2]); 5],
}

impl LabelReport {
    /// Returns the Wilson interval of a score, if it is one of [`LabelReport::intervals`]; NaN if it is undefined.
    pub fn interval(&self, score: &str) -> Option<[f64; 2]> {
        self.intervals.iter().find(|own| own.0 == score).map(|own| own.1)
    }

    /// Returns whether fewer than [`FEW_POSITIVES`] records have the label.
    pub fn too_few(&self) -> bool {
        self.confusion.support() < FEW_POSITIVES
    }

    /// Returns whether fewer than [`FEW_POSITIVES`] records are without the label.
    pub fn too_few_negatives(&self) -> bool {
        self.confusion.n() - self.confusion.support() < FEW_POSITIVES
    }
}

/// A score that was a division by zero.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Undefined {
    /// A label, `micro`, `macro`, `weighted`, `samples` or `overall`.
    pub scope: String,
    /// Name of the score.
    pub score: String,
    /// Why it is undefined.
    pub reason: String,
    /// The value that the report has in its place; NaN (null in JSON) if there is none. For a mean over the records (the
    /// scope `samples`, the ranking figures and the coverage error), the value that each such record counts as; NaN if
    /// it is left out.
    pub reported: f64,
}

/// All metrics of a multi-label classifier on one set of records.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Number of records.
    pub n: usize,
    /// The result of a division by zero.
    pub zero_division: ZeroDivision,
    /// Where the thresholds come from.
    pub threshold_source: String,
    /// Confidence level of the intervals.
    pub confidence: f64,
    /// One entry for each label, in the order of the label set.
    pub labels: Vec<LabelReport>,
    /// Scores over the decisions on all labels taken together.
    pub micro: Scores,
    /// Averages over the labels for which a score has a value. A number that takes the place of an undefined score is a
    /// value too.
    pub macro_: Scores,
    /// Averages over the labels, weighted by the number of records that have the label.
    pub weighted: Scores,
    /// For how many labels each score is truly defined, in the order of [`Scores::NAMES`].
    ///
    /// Averages are over these labels and over those for which [`Report::undefined`] reports a number. For the ROC-AUC
    /// and the other scores that are NaN if undefined, they are over these labels alone.
    pub defined: [usize; Scores::NAMES.len()],
    /// Averages over the records.
    pub samples: SampleScores,
    /// Share of records with every label right.
    pub subset_accuracy: f64,
    /// Share of decisions that are wrong.
    pub hamming_loss: f64,
    /// Average number of labels, taken from the most probable one down, that are needed to include all true ones; 0 for
    /// a record without a true label.
    pub coverage_error: f64,
    /// Label-ranking average precision; 1 for a record without a true or without a false label.
    pub label_ranking_average_precision: f64,
    /// Share of (true, false) label pairs in the wrong order or tied, on average; 0 for a record without such pairs.
    pub label_ranking_loss: f64,
    /// How often the most probable label is the first true label (or the first label, if none is true). The 3DECG-Net
    /// study prints this as accuracy.
    pub argmax_agreement: f64,
    /// Number of records without a true label.
    pub without_label: usize,
    /// What was predicted on the records of each label.
    pub cross_table: CrossTable,
    /// What was undefined.
    pub undefined: Vec<Undefined>,
    /// The challenge score, if weights were given.
    pub challenge: Option<ChallengeScore>,
    /// Intervals by resampling patients, if they were added.
    pub bootstrap: Option<Bootstrap>,
    /// Calibration of each label, if it was added.
    pub calibration: Option<Vec<LabelCalibration>>,
}

/// Checks that there is a column for each label, a row of truth for each row of values, and at least one row. `what`
/// names the values in errors.
pub(crate) fn check_shapes<T>(
    labels: &LabelSet,
    truth: &ArrayView2<'_, T>,
    what: &'static str,
    values: &ArrayView2<'_, f64>,
) -> Result<(), MetricsError> {
    for (what, found) in [("truth", truth.ncols()), (what, values.ncols())] {
        if found != labels.len() {
            return Err(MetricsError::LabelCount { what, expected: labels.len(), found });
        }
    }
    if truth.nrows() != values.nrows() {
        let (truth, found) = (truth.nrows(), values.nrows());
        return Err(MetricsError::RowCount { what, truth, found });
    }
    if truth.nrows() == 0 {
        return Err(MetricsError::Empty);
    }
    Ok(())
}

/// Returns each label's column as `(probability, truth)`, fully checked, with at least one column and one row.
pub(crate) fn checked_columns<T: Truth>(
    labels: &LabelSet,
    truth: &ArrayView2<'_, T>,
    proba: &ArrayView2<'_, f64>,
) -> Result<Vec<Vec<(f64, bool)>>, MetricsError> {
    check_shapes(labels, truth, "probabilities", proba)?;
    columns(labels, truth, proba, |row, label, &found| check_probability(row, Some(label), found))
}

/// Checks that a value is from 0 to 1. The label, if it has a name, is for the error.
pub(crate) fn check_probability(
    row: usize,
    label: Option<&str>,
    found: f64,
) -> Result<(), MetricsError> {
    if (0.0..=1.0).contains(&found) {
        return Ok(());
    }
    Err(MetricsError::Probability { row, label: label.map(str::to_owned), found })
}

/// Like [`checked_columns`], and checks that the thresholds fit.
pub(crate) fn checked_decisions<T: Truth>(
    labels: &LabelSet,
    truth: &ArrayView2<'_, T>,
    proba: &ArrayView2<'_, f64>,
    thresholds: Thresholds<'_>,
) -> Result<Vec<Vec<(f64, bool)>>, MetricsError> {
    let columns = checked_columns(labels, truth, proba)?;
    thresholds.check(labels, columns[0].len())?;
    Ok(columns)
}

/// Returns each label's column as `(value, truth)`, after `check` on the row, label and value of each.
pub(crate) fn columns<T: Truth>(
    labels: &LabelSet,
    truth: &ArrayView2<'_, T>,
    values: &ArrayView2<'_, f64>,
    check: impl Fn(usize, &str, &f64) -> Result<(), MetricsError>,
) -> Result<Vec<Vec<(f64, bool)>>, MetricsError> {
    let labels = labels.iter().enumerate();
    labels.map(|(k, label)| column(label, k, truth, values, &check)).collect()
}

fn column<T: Truth>(
    label: &str,
    k: usize,
    truth: &ArrayView2<'_, T>,
    values: &ArrayView2<'_, f64>,
    check: &impl Fn(usize, &str, &f64) -> Result<(), MetricsError>,
) -> Result<Vec<(f64, bool)>, MetricsError> {
    let rows = truth.column(k).into_iter().zip(values.column(k)).enumerate();
    rows.map(|(row, (holds, value))| {
        check(row, label, value)?;
        match holds.holds() {
            Some(holds) => Ok((*value, holds)),
            None => {
                let (label, found) = (label.to_owned(), format!("{holds:?}"));
                Err(MetricsError::Truth { row, label, found })
            }
        }
    })
    .collect()
}

impl Report {
    /// Evaluates probabilities `[record, label]` against the truth `[record, label]`.
    ///
    /// A label is predicted if its probability is strictly above its threshold. `thresholds` has one value per label,
    /// or one per label of each record (see [`Thresholds`]). Each label is sorted once, so the total cost is
    /// O(n log n). The labels are shared between the threads of rayon's pool.
    ///
    /// # Errors
    /// Returns an error if:
    /// - there are no records;
    /// - the numbers of rows, columns or thresholds do not fit;
    /// - a probability is NaN or outside 0 to 1, a truth is not 0 or 1, or a threshold is outside 0 to 1;
    /// - the confidence level is not between 0 and 1;
    /// - the weights of the challenge score do not fit the labels.
    pub fn new<'a, T: Truth>(
        labels: &LabelSet,
        truth: ArrayView2<'_, T>,
        proba: ArrayView2<'_, f64>,
        thresholds: impl Into<Thresholds<'a>>,
        options: &ReportOptions,
    ) -> Result<Self, MetricsError> {
        check_confidence(options.confidence)?;
        let empty = options.zero_division;
        let thresholds = thresholds.into();
        let columns = checked_decisions(labels, &truth, &proba, thresholds)?;
        let n = columns[0].len();

        let challenge = match &options.challenge {
            Some(weights) => Some(weights.of_columns(labels, &columns, thresholds)?),
            None => None,
        };
        let measured: Vec<(Pool, Ranking)> = columns
            .par_iter()
            .enumerate()
            .map(|(k, column)| {
                let pool = Pool::of(column, |row| thresholds.at(row, k));
                (pool, Ranking::new(column.iter().copied()))
            })
            .collect();
        let mut pooled = Pool::default();
        let mut rankings = Vec::with_capacity(columns.len());
        let mut reports = Vec::with_capacity(columns.len());
        for (k, (label, (pool, ranking))) in labels.iter().zip(measured).enumerate() {
            pooled.add(&pool);
            let scores = Scores::new(&pool.confusion, ranking.scores(), pool.probability(), empty);
            rankings.push(ranking);
            reports.push(LabelReport {
                label: label.to_owned(),
                threshold: thresholds.common(k),
                confusion: pool.confusion,
                scores,
                intervals: intervals(&pool.confusion, options.confidence),
            });
        }
        let micro = Scores::new(
            &pooled.confusion,
            Ranking::merged(&rankings).scores(),
            pooled.probability(),
            empty,
        );

        let mut rows = Rows::new(empty);
        let mut without_label = 0;
        let mut cross_table = CrossTable::new(labels.clone().into());
        let mut decisions = vec![(false, false); columns.len()];
        for row in 0..n {
            let mut confusion = Confusion::default();
            for (k, (column, own)) in columns.iter().zip(&mut decisions).enumerate() {
                let (p, holds) = column[row];
                *own = (holds, p > thresholds.at(row, k));
                confusion.count(own.0, own.1);
            }
            cross_table.count(&decisions);
            without_label += usize::from(confusion.support() == 0);
            rows.take(columns.iter().map(|column| column[row]), &confusion);
        }

        let all: Vec<Scores> = reports.iter().map(|report| report.scores).collect();
        let support: Vec<f64> =
            reports.iter().map(|report| report.confusion.support() as f64).collect();
        let rank = rows.rank_scores();
        let mut report = Self {
            n,
            zero_division: empty,
            threshold_source: options.threshold_source.clone(),
            confidence: options.confidence,
            micro,
            macro_: Scores::average(&all, &vec![1.0; all.len()]),
            weighted: Scores::average(&all, &support),
            defined: [reports.len(); Scores::NAMES.len()],
            samples: rows.scores(),
            subset_accuracy: rows.subset_accuracy(),
            hamming_loss: (pooled.confusion.fp + pooled.confusion.fn_) as f64
                / pooled.confusion.n() as f64,
            coverage_error: rank.coverage_error,
            label_ranking_average_precision: rank.average_precision,
            label_ranking_loss: rank.ranking_loss,
            argmax_agreement: rows.argmax_agreement(),
            without_label,
            cross_table,
            undefined: Vec::new(),
            challenge,
            bootstrap: None,
            calibration: None,
            labels: reports,
        };
        report.list_undefined(&pooled.confusion);
        Ok(report)
    }

    /// Adds intervals by resampling patients, which then appear in text, Markdown, CSV and JSON.
    ///
    /// # Errors
    /// Returns an error if the intervals are for other labels, for the same labels in another order, for another number
    /// of records, or for other probabilities, thresholds, divisions by zero or weights of the challenge score, as
    /// their macro averages and challenge scores show.
    pub fn with_bootstrap(mut self, bootstrap: Bootstrap) -> Result<Self, MetricsError> {
        self.check_labels("intervals", bootstrap.labels.iter().map(|own| own.0.as_str()))?;
        if bootstrap.records != self.n {
            let (records, patients) = (self.n, bootstrap.records);
            return Err(MetricsError::PatientCount { records, patients });
        }
        let averages = Scores::NAMES.iter().zip(self.macro_.values()).map(|(score, expected)| {
            (*score, expected, bootstrap.macro_.get(score).map_or(f64::NAN, |own| own.value))
        });
        let challenge = self.challenge.iter().filter_map(|own| {
            let found = bootstrap.overall.get("challenge_score")?;
            Some(("challenge_score", own.value, found.value))
        });
        for (score, expected, found) in averages.chain(challenge) {
            // NaN if a figure is undefined. Both sum the same numbers, in another order.
            if found.is_nan() != expected.is_nan() || (found - expected).abs() > 1e-9 {
                return Err(MetricsError::OtherPredictions { score, expected, found });
            }
        }
        self.bootstrap = Some(bootstrap);
        Ok(self)
    }

    /// Adds the [`calibration`](crate::calibration()) of each label, which then appears in Markdown and JSON.
    ///
    /// # Errors
    /// Returns an error if the calibration is for other labels, for the same labels in another order, or for another
    /// number of records.
    pub fn with_calibration(mut self, own: Vec<LabelCalibration>) -> Result<Self, MetricsError> {
        self.check_labels("calibration", own.iter().map(|one| one.label.as_str()))?;
        for one in &own {
            if one.n != self.n as u64 {
                let (what, truth, found) =
                    ("probabilities of the calibration", self.n, one.n as usize);
                return Err(MetricsError::RowCount { what, truth, found });
            }
        }
        self.calibration = Some(own);
        Ok(self)
    }

    /// Returns the entry of one label.
    ///
    /// # Errors
    /// Returns an error if the label is not one of those evaluated.
    pub fn label(&self, label: &str) -> Result<&LabelReport, MetricsError> {
        self.labels.iter().find(|own| own.label == label).ok_or_else(|| {
            MetricsError::unknown_label(label, self.labels.iter().map(|own| own.label.as_str()))
        })
    }

    /// Checks that something is for the labels of this report, in their order.
    fn check_labels<'a>(
        &self,
        what: &'static str,
        found: impl Iterator<Item = &'a str>,
    ) -> Result<(), MetricsError> {
        let expected: Vec<&str> = self.labels.iter().map(|own| own.label.as_str()).collect();
        let found: Vec<&str> = found.collect();
        if expected.len() != found.len() {
            let (expected, found) = (expected.len(), found.len());
            return Err(MetricsError::LabelCount { what, expected, found });
        }
        if expected != found {
            let (expected, found) = (expected.join(","), found.join(","));
            return Err(MetricsError::OtherLabels { what, expected, found });
        }
        Ok(())
    }

    fn list_undefined(&mut self, pooled: &Confusion) {
        let mut list = Vec::new();
        let mut note = |scope: &str, confusion: &Confusion, scores: &Scores| -> Vec<usize> {
            let values = scores.values();
            undefined(confusion)
                .filter_map(|(score, reason)| {
                    let k = Scores::NAMES.iter().position(|name| *name == score)?;
                    list.push(Undefined {
                        scope: scope.to_owned(),
                        score: score.to_owned(),
                        reason: reason.to_owned(),
                        reported: values[k],
                    });
                    Some(k)
                })
                .collect()
        };
        for report in &self.labels {
            for k in note(&report.label, &report.confusion, &report.scores) {
                self.defined[k] -= 1;
            }
        }
        note("micro", pooled, &self.micro);
        for (scope, scores) in [("macro", &self.macro_), ("weighted", &self.weighted)] {
            let without = Scores::NAMES.iter().zip(scores.values()).filter(|own| own.1.is_nan());
            list.extend(without.map(|(score, reported)| Undefined {
                scope: scope.to_owned(),
                score: (*score).to_owned(),
                reason: "no label has a value".to_owned(),
                reported,
            }));
        }

        let samples = &self.samples;
        let rows = self.n as u64;
        for (score, defined, reason) in [
            ("precision", samples.precision_defined, "have no predicted label"),
            ("sensitivity", samples.sensitivity_defined, "have no true label"),
            ("f1", samples.f1_defined, "have neither a true nor a predicted label"),
            ("fbeta2", samples.f1_defined, "have neither a true nor a predicted label"),
            ("jaccard", samples.f1_defined, "have neither a true nor a predicted label"),
            ("roc_auc", samples.roc_auc_defined, "have no true label or no false one"),
            ("average_precision", samples.sensitivity_defined, "have no true label"),
        ] {
            if defined < rows {
                let reported = match score {
                    "roc_auc" => f64::NAN,
                    "average_precision" => 0.0,
                    _ => self.zero_division.value(),
                };
                list.push(Undefined {
                    scope: "samples".to_owned(),
                    score: score.to_owned(),
                    reason: format!("{} of {rows} records {reason}", rows - defined),
                    reported,
                });
            }
        }
        let no_pair = "have no true label or no false one";
        for (score, defined, reported, reason) in [
            ("label_ranking_average_precision", samples.roc_auc_defined, 1.0, no_pair),
            ("label_ranking_loss", samples.roc_auc_defined, 0.0, no_pair),
            ("coverage_error", samples.sensitivity_defined, 0.0, "have no true label"),
        ] {
            if defined < rows {
                list.push(Undefined {
                    scope: "overall".to_owned(),
                    score: score.to_owned(),
                    reason: format!("{} of {rows} records {reason}", rows - defined),
                    reported,
                });
            }
        }
        if self.challenge.as_ref().is_some_and(|own| own.value.is_nan()) {
            list.push(Undefined {
                scope: "overall".to_owned(),
                score: "challenge_score".to_owned(),
                reason: "an inactive model scores as much as a correct one".to_owned(),
                reported: f64::NAN,
            });
        }
        self.undefined = list;
    }
}

/// The ROC, precision-recall and reliability curves of one label.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Curves {
    /// The label.
    pub label: String,
    /// Receiver operating characteristic, corners only.
    pub roc: RocCurve,
    /// Precision against recall.
    pub precision_recall: PrCurve,
    /// Reliability over the ten bins of `ece10`: [`Binning::EqualWidth`].
    pub reliability: Reliability,
}

/// Returns the curves of every label, in the order of the label set.
///
/// # Errors
/// Returns the errors of [`Report::new`], except those about thresholds.
pub fn curves<T: Truth>(
    labels: &LabelSet,
    truth: ArrayView2<'_, T>,
    proba: ArrayView2<'_, f64>,
) -> Result<Vec<Curves>, MetricsError> {
    let columns = checked_columns(labels, &truth, &proba)?;
    let curves = labels.iter().zip(columns).map(|(label, column)| {
        let ranking = Ranking::new(column.iter().copied());
        let (p, holds): (Vec<f64>, Vec<bool>) = column.into_iter().unzip();
        Curves {
            label: label.to_owned(),
            roc: ranking.roc(false),
            precision_recall: ranking.precision_recall(),
            reliability: Reliability::of_checked(&p, &holds, Binning::EqualWidth(10)),
        }
    });
    Ok(curves.collect())
}

/// Quantities that add up over decisions.
#[derive(Debug, Clone)]
struct Pool {
    confusion: Confusion,
    squares: f64,
    logs: f64,
    ece10: CalibrationError,
    ece15: CalibrationError,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            confusion: Confusion::default(),
            squares: 0.0,
            logs: 0.0,
            ece10: CalibrationError::new(10),
            ece15: CalibrationError::new(15),
        }
    }
}

impl Pool {
    fn of(column: &[(f64, bool)], threshold: impl Fn(usize) -> f64) -> Self {
        let mut pool = Self::default();
        for (row, &(p, holds)) in column.iter().enumerate() {
            pool.confusion.count(holds, p > threshold(row));
            let (square, log) = losses(p, holds);
            pool.squares += square;
            pool.logs += log;
            pool.ece10.count(p, holds);
            pool.ece15.count(p, holds);
        }
        pool
    }

    fn add(&mut self, other: &Self) {
        self.confusion.add(&other.confusion);
        self.squares += other.squares;
        self.logs += other.logs;
        self.ece10.add(&other.ece10);
        self.ece15.add(&other.ece15);
    }

    fn probability(&self) -> ProbabilityScores {
        let n = self.confusion.n() as f64;
        ProbabilityScores {
            brier: self.squares / n,
            log_loss: self.logs / n,
            ece10: self.ece10.value(),
            ece15: self.ece15.value(),
        }
    }
}

/// Returns the squared difference, and -ln(probability of what is true), of one decision.
pub(crate) fn losses(p: f64, holds: bool) -> (f64, f64) {
    let right = if holds { p } else { 1.0 - p };
    let wrong = 1.0 - right;
    (wrong * wrong, -right.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln())
}

/// Checks that a confidence level is between 0 and 1.
pub(crate) fn check_confidence(found: f64) -> Result<(), MetricsError> {
    if found > 0.0 && found < 1.0 { Ok(()) } else { Err(MetricsError::Confidence { found }) }
}

fn intervals(c: &Confusion, confidence: f64) -> [(&'static str, [f64; 2]); 5] {
    [
        ("accuracy", c.tp + c.tn, c.n()),
        ("precision", c.tp, c.predicted()),
        ("sensitivity", c.tp, c.support()),
        ("specificity", c.tn, c.tn + c.fp),
        ("npv", c.tn, c.tn + c.fn_),
    ]
    .map(|(name, hits, n)| (name, wilson(hits, n, confidence)))
}
