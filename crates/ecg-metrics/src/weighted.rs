use ecg_core::LabelSet;

use crate::challenge::normalised;
use crate::curve::CalibrationError;
use crate::report::losses;
use crate::rows::Rows;
use crate::scores::{OrderScores, ProbabilityScores, undefined};
use crate::{BootstrapOptions, Confusion, MetricsError, Scores, Thresholds, ZeroDivision};

/// Averages over the records, in the order in which [`Plan`] returns them.
pub(crate) const SAMPLES: [&str; 7] =
    ["precision", "sensitivity", "f1", "fbeta2", "jaccard", "roc_auc", "average_precision"];

/// Figures over all labels of a record, in the same way. The last is only there if there are weights for it.
pub(crate) const OVERALL: [&str; 7] = [
    "subset_accuracy",
    "hamming_loss",
    "coverage_error",
    "label_ranking_average_precision",
    "label_ranking_loss",
    "argmax_agreement",
    "challenge_score",
];

/// Number of figures that are means over the records.
const ROW: usize = SAMPLES.len() + OVERALL.len() - 1;
const SCORES: usize = Scores::NAMES.len();

/// All figures of a report, for records that count several times or not at all.
///
/// What does not depend on how often a record counts is computed once, and the probabilities are sorted once.
#[derive(Debug)]
pub(crate) struct Plan {
    empty: ZeroDivision,
    columns: Vec<Column>,
    /// Decisions on all labels together, in order of falling probability.
    pooled: Vec<Entry>,
    /// Figures of each record, and the weight of each figure: 0 if undefined, otherwise 1.
    rows: Vec<([f64; ROW], [f64; ROW])>,
    /// What each record adds to the sums of the challenge score.
    challenge: Option<Vec<[f64; 3]>>,
    /// For each label, which scores are defined on the original records.
    defined: Vec<[bool; SCORES]>,
    /// For each label, which scores enter averages on the original records: those that are defined, and those with a
    /// value for a division by zero.
    counted: Vec<[bool; SCORES]>,
    /// Whether a record has the label, for each label.
    occurs: Vec<bool>,
}

#[derive(Debug)]
struct Column {
    decisions: Vec<Decision>,
    sorted: Vec<Entry>,
}

/// What one decision adds to the sums.
#[derive(Debug, Clone, Copy)]
struct Decision {
    /// Place in `[tp, fp, fn, tn]`.
    cell: u8,
    bin10: u8,
    bin15: u8,
    square: f64,
    log: f64,
    /// Probability minus truth.
    gap: f64,
}

/// A record in order of falling probability: its number, whether it is the last one with its probability, and the
/// truth.
#[derive(Debug, Clone, Copy)]
struct Entry(usize);

fn sorted(mut keys: Vec<(f64, usize, bool)>) -> Vec<Entry> {
    keys.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let last = |k: usize| keys.get(k + 1).is_none_or(|next: &(f64, _, _)| next.0 != keys[k].0);
    let entry = |(k, key): (usize, &(f64, usize, bool))| {
        Entry(key.1 << 2 | usize::from(last(k)) << 1 | usize::from(key.2))
    };
    keys.iter().enumerate().map(entry).collect()
}

/// Sums over decisions.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    cells: [u64; 4],
    square: f64,
    log: f64,
    bins10: [f64; 10],
    bins15: [f64; 15],
}

impl Sums {
    fn take(&mut self, decisions: &[Decision], weights: &[u32]) {
        for (d, &weight) in decisions.iter().zip(weights) {
            self.cells[usize::from(d.cell)] += u64::from(weight);
            let weight = f64::from(weight);
            self.square += weight * d.square;
            self.log += weight * d.log;
            self.bins10[usize::from(d.bin10)] += weight * d.gap;
            self.bins15[usize::from(d.bin15)] += weight * d.gap;
        }
    }

    fn add(&mut self, other: &Self) {
        fn all(own: &mut [f64], other: &[f64]) {
            own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        }
        self.cells.iter_mut().zip(other.cells).for_each(|(own, other)| *own += other);
        self.square += other.square;
        self.log += other.log;
        all(&mut self.bins10, &other.bins10);
        all(&mut self.bins15, &other.bins15);
    }

    fn confusion(&self) -> Confusion {
        let [tp, fp, fn_, tn] = self.cells;
        Confusion { tp, fp, fn_, tn }
    }

    fn probability(&self) -> ProbabilityScores {
        let n = self.cells.iter().sum::<u64>() as f64;
        let error = |bins: &[f64]| bins.iter().map(|gap| gap.abs()).sum::<f64>() / n;
        ProbabilityScores {
            brier: self.square / n,
            log_loss: self.log / n,
            ece10: error(&self.bins10),
            ece15: error(&self.bins15),
        }
    }
}

/// Returns ROC-AUC and average precision with each record counting as often as its weight says.
fn order_scores(entries: &[Entry], weights: &[u32]) -> OrderScores {
    let (mut tp, mut fp, mut positives, mut negatives) = (0u64, 0u64, 0u64, 0u64);
    let (mut twice, mut precision) = (0u128, 0.0);
    for entry in entries {
        let weight = u64::from(weights[entry.0 >> 2]);
        let holds = (entry.0 & 1) as u64;
        positives += weight * holds;
        negatives += weight * (1 - holds);
        if entry.0 & 2 != 0 {
            twice += u128::from(negatives) * u128::from(2 * tp + positives);
            tp += positives;
            fp += negatives;
            if positives > 0 {
                precision += positives as f64 * (tp as f64 / (tp + fp) as f64);
            }
            (positives, negatives) = (0, 0);
        }
    }
    let pairs = 2 * u128::from(tp) * u128::from(fp);
    OrderScores {
        roc_auc: if pairs == 0 { f64::NAN } else { twice as f64 / pairs as f64 },
        average_precision: if tp == 0 { 0.0 } else { precision / tp as f64 },
    }
}

fn defined(confusion: &Confusion) -> [bool; SCORES] {
    let mut defined = [true; SCORES];
    for (name, _) in undefined(confusion) {
        if let Some(k) = Scores::NAMES.iter().position(|own| *own == name) {
            defined[k] = false;
        }
    }
    defined
}

impl Plan {
    /// Prepares the evaluation of checked columns and thresholds.
    ///
    /// # Errors
    /// Returns an error if the weights of the challenge score do not fit the labels.
    pub fn new(
        labels: &LabelSet,
        columns: &[Vec<(f64, bool)>],
        thresholds: Thresholds<'_>,
        options: &BootstrapOptions,
    ) -> Result<Self, MetricsError> {
        let empty = options.zero_division;
        let challenge = match &options.challenge {
            Some(weights) => {
                let mut rows = Vec::with_capacity(columns[0].len());
                weights.each_record(labels, columns, thresholds, |own| rows.push(own))?;
                Some(rows)
            }
            None => None,
        };
        let pooled =
            columns.iter().flat_map(|c| c.iter().enumerate().map(|(row, d)| (d.0, row, d.1)));
        let rows = (0..columns[0].len()).map(|row| {
            let mut confusion = Confusion::default();
            for (k, column) in columns.iter().enumerate() {
                confusion.count(column[row].1, column[row].0 > thresholds.at(row, k));
            }
            let mut one = Rows::new(empty);
            one.take(columns.iter().map(|column| column[row]), &confusion);
            let (s, rank) = (one.scores(), one.rank_scores());
            let values = [
                s.precision,
                s.sensitivity,
                s.f1,
                s.fbeta2,
                s.jaccard,
                s.roc_auc,
                s.average_precision,
                one.subset_accuracy(),
                (confusion.fp + confusion.fn_) as f64 / columns.len() as f64,
                rank.coverage_error,
                rank.average_precision,
                rank.ranking_loss,
                one.argmax_agreement(),
            ];
            (
                values.map(|v| if v.is_nan() { 0.0 } else { v }),
                values.map(|v| if v.is_nan() { 0.0 } else { 1.0 }),
            )
        });
        let column_of = |(k, column): (usize, &Vec<(f64, bool)>)| Column {
            decisions: column
                .iter()
                .enumerate()
                .map(|(row, &(p, holds))| decision(p, holds, thresholds.at(row, k)))
                .collect(),
            sorted: sorted(column.iter().enumerate().map(|(row, d)| (d.0, row, d.1)).collect()),
        };
        let mut plan = Self {
            empty,
            pooled: sorted(pooled.collect()),
            rows: rows.collect(),
            columns: columns.iter().enumerate().map(column_of).collect(),
            challenge,
            defined: Vec::new(),
            counted: Vec::new(),
            occurs: Vec::new(),
        };
        let ones = vec![1; plan.rows.len()];
        for column in &plan.columns {
            let (scores, confusion) = column.scores(&column.sums(&ones), &ones, empty);
            plan.defined.push(defined(&confusion));
            plan.counted.push(scores.values().map(|value| !value.is_nan()));
            plan.occurs.push(confusion.support() > 0);
        }
        Ok(plan)
    }

    /// Returns the places, in what [`Plan::evaluate`] gives, of averages that are over other labels or records than
    /// those of another plan for the same label set and records.
    pub fn other_averages(&self, other: &Self) -> Vec<usize> {
        let n = self.columns.len();
        let mut places = Vec::new();
        for (section, weighted) in [(n + 1, false), (n + 2, true)] {
            let differs = |k: &usize| self.averaged(*k, weighted) != other.averaged(*k, weighted);
            places.extend((0..SCORES).filter(differs).map(|k| section * SCORES + k));
        }
        let differs = |k: &usize| {
            let mut pairs = self.rows.iter().zip(&other.rows);
            pairs.any(|(own, other)| own.1[*k] != other.1[*k])
        };
        places.extend((0..SAMPLES.len()).filter(differs).map(|k| (n + 3) * SCORES + k));
        places
    }

    /// Returns which labels enter the average of a score on the original records. In a weighted average, labels that
    /// no record has count only if no others have a value.
    fn averaged(&self, k: usize, weighted: bool) -> Vec<bool> {
        let counted: Vec<bool> = self.counted.iter().map(|own| own[k]).collect();
        let with_weight: Vec<bool> =
            counted.iter().zip(&self.occurs).map(|(counted, occurs)| *counted && *occurs).collect();
        if weighted && with_weight.contains(&true) { with_weight } else { counted }
    }

    /// Returns how many numbers [`Plan::evaluate`] gives.
    pub fn width(&self) -> usize {
        (self.columns.len() + 3) * SCORES + ROW + usize::from(self.challenge.is_some())
    }

    /// Computes the scores of each label, then micro, macro and weighted averages, [`SAMPLES`] and [`OVERALL`]. NaN if
    /// undefined.
    ///
    /// An average over labels is undefined if a label lacks a score that is defined on the original records: an average
    /// over fewer labels would be another quantity.
    pub fn evaluate(&self, weights: &[u32], out: &mut Vec<f64>) {
        out.clear();
        let mut pooled = Sums::default();
        let mut all = Vec::with_capacity(self.columns.len());
        let mut support = Vec::with_capacity(self.columns.len());
        let mut comparable = [true; SCORES];
        for (column, defined_before) in self.columns.iter().zip(&self.defined) {
            let sums = column.sums(weights);
            let (scores, confusion) = column.scores(&sums, weights, self.empty);
            let now = defined(&confusion);
            for k in 0..SCORES {
                comparable[k] &= now[k] || !defined_before[k];
            }
            out.extend(masked(&scores, &now));
            pooled.add(&sums);
            support.push(confusion.support() as f64);
            all.push(scores);
        }
        let confusion = pooled.confusion();
        let order = order_scores(&self.pooled, weights);
        let micro = Scores::new(&confusion, order, pooled.probability(), self.empty);
        out.extend(masked(&micro, &defined(&confusion)));
        out.extend(masked(&Scores::average(&all, &vec![1.0; all.len()]), &comparable));
        out.extend(masked(&Scores::average(&all, &support), &comparable));

        let (mut sums, mut counts) = ([0.0; ROW], [0.0; ROW]);
        for ((values, ones), &weight) in self.rows.iter().zip(weights) {
            let weight = f64::from(weight);
            for k in 0..ROW {
                sums[k] += weight * values[k];
                counts[k] += weight * ones[k];
            }
        }
        out.extend(sums.iter().zip(counts).map(|(sum, count)| sum / count));
        if let Some(rows) = &self.challenge {
            let mut sums = [0.0; 3];
            for (own, &weight) in rows.iter().zip(weights) {
                sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += f64::from(weight) * own);
            }
            out.push(normalised(sums));
        }
    }
}

impl Column {
    fn sums(&self, weights: &[u32]) -> Sums {
        let mut sums = Sums::default();
        sums.take(&self.decisions, weights);
        sums
    }

    fn scores(&self, sums: &Sums, weights: &[u32], empty: ZeroDivision) -> (Scores, Confusion) {
        let confusion = sums.confusion();
        let order = order_scores(&self.sorted, weights);
        (Scores::new(&confusion, order, sums.probability(), empty), confusion)
    }
}

fn decision(p: f64, holds: bool, threshold: f64) -> Decision {
    let (square, log) = losses(p, holds);
    Decision {
        cell: match (holds, p > threshold) {
            (true, true) => 0,
            (false, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
        },
        // There are fewer than 256 bins.
        bin10: CalibrationError::bin(p, 10) as u8,
        bin15: CalibrationError::bin(p, 15) as u8,
        square,
        log,
        gap: p - f64::from(u8::from(holds)),
    }
}

fn masked(scores: &Scores, defined: &[bool; SCORES]) -> impl Iterator<Item = f64> {
    let defined = *defined;
    scores.values().into_iter().zip(defined).map(|(v, is)| if is { v } else { f64::NAN })
}

/// Where the numbers of [`Plan::evaluate`] belong.
pub(crate) struct Sections<'a, T> {
    pub labels: Vec<(&'a str, &'a [T])>,
    pub micro: &'a [T],
    pub macro_: &'a [T],
    pub weighted: &'a [T],
    pub samples: &'a [T],
    pub overall: &'a [T],
}

pub(crate) fn sections<'a, T>(labels: &'a LabelSet, all: &'a [T]) -> Sections<'a, T> {
    let scores = |k: usize| &all[k * SCORES..(k + 1) * SCORES];
    let (n, rest) = (labels.len(), &all[(labels.len() + 3) * SCORES..]);
    Sections {
        labels: labels.iter().enumerate().map(|(k, label)| (label, scores(k))).collect(),
        micro: scores(n),
        macro_: scores(n + 1),
        weighted: scores(n + 2),
        samples: &rest[..SAMPLES.len()],
        overall: &rest[SAMPLES.len()..],
    }
}
