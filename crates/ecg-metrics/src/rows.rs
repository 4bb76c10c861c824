use serde::Serialize;

use crate::{Confusion, ZeroDivision};

/// Measures of single records over their labels, averaged over the records.
///
/// The `*_defined` fields count the records in which a measure is not a division by zero. Precision, sensitivity, F1,
/// F-beta and Jaccard also count the other records, with the value that [`ZeroDivision`] gives them (unless that is
/// NaN).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SampleScores {
    /// TP / predicted labels.
    pub precision: f64,
    /// TP / true labels.
    pub sensitivity: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// F-beta with beta 2.
    pub fbeta2: f64,
    /// TP / labels that are true or predicted.
    pub jaccard: f64,
    /// Averaged over records that have both a true and a false label.
    pub roc_auc: f64,
    /// 0 for a record without a true label, as in scikit-learn.
    pub average_precision: f64,
    /// Number of records with a predicted label.
    pub precision_defined: u64,
    /// Number of records with a true label, which are also those with an average precision.
    pub sensitivity_defined: u64,
    /// Number of records with a true or a predicted label, which are also those with a Jaccard index.
    pub f1_defined: u64,
    /// Number of records with both a true and a false label.
    pub roc_auc_defined: u64,
}

/// Measures that depend on the order of the labels within each record, averaged over the records.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct RankScores {
    pub coverage_error: f64,
    pub average_precision: f64,
    pub ranking_loss: f64,
}

/// A mean that leaves NaN out.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    n: u64,
}

impl Mean {
    fn take(&mut self, value: f64) {
        if !value.is_nan() {
            self.sum += value;
            self.n += 1;
        }
    }

    fn value(self) -> f64 {
        self.sum / self.n as f64
    }
}

/// Collects records one by one.
#[derive(Debug)]
pub(crate) struct Rows {
    empty: ZeroDivision,
    n: u64,
    exact: u64,
    best_label_holds: u64,
    precision: Mean,
    sensitivity: Mean,
    f1: Mean,
    fbeta2: Mean,
    jaccard: Mean,
    roc_auc: Mean,
    average_precision: f64,
    defined: [u64; 3],
    rank: RankScores,
    order: Vec<(f64, bool)>,
}

impl Rows {
    pub fn new(empty: ZeroDivision) -> Self {
        let mean = Mean::default();
        Self {
            empty,
            n: 0,
            exact: 0,
            best_label_holds: 0,
            precision: mean,
            sensitivity: mean,
            f1: mean,
            fbeta2: mean,
            jaccard: mean,
            roc_auc: mean,
            average_precision: 0.0,
            defined: [0; 3],
            rank: RankScores::default(),
            order: Vec::new(),
        }
    }

    /// Adds one record: its probabilities with their truth, and its confusion over the labels.
    pub fn take(&mut self, labels: impl Iterator<Item = (f64, bool)>, confusion: &Confusion) {
        self.order.clear();
        self.order.extend(labels);
        self.n += 1;
        self.exact += u64::from(confusion.fp + confusion.fn_ == 0);
        // Keras's categorical accuracy: the first largest probability against the first true label (or the first
        // label).
        let first_best = (0..self.order.len())
            .reduce(|best, k| if self.order[k].0 > self.order[best].0 { k } else { best });
        let first_true = self.order.iter().position(|label| label.1).or(Some(0));
        self.best_label_holds += u64::from(first_best == first_true);

        self.precision.take(confusion.precision(self.empty));
        self.sensitivity.take(confusion.sensitivity(self.empty));
        self.f1.take(confusion.f_beta(1.0, self.empty));
        self.fbeta2.take(confusion.f_beta(2.0, self.empty));
        self.jaccard.take(confusion.jaccard(self.empty));
        let predicted = confusion.predicted() > 0;
        let support = confusion.support() > 0;
        for (count, defined) in
            self.defined.iter_mut().zip([predicted, support, predicted || support])
        {
            *count += u64::from(defined);
        }

        self.order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        self.take_order(confusion.support());
    }

    fn take_order(&mut self, relevant: u64) {
        let (mut seen, mut hits, mut coverage) = (0u64, 0u64, 0u64);
        let (mut precision_sum, mut wrong_pairs, mut tied_pairs) = (0.0, 0u64, 0u64);
        for group in self.order.chunk_by(|a, b| a.0 == b.0) {
            let positives = group.iter().filter(|label| label.1).count() as u64;
            let negatives = group.len() as u64 - positives;
            seen += group.len() as u64;
            hits += positives;
            // Each negative ranks at least as high as the positives of its group and of the groups below.
            wrong_pairs += negatives * (relevant - hits + positives);
            tied_pairs += negatives * positives;
            if positives > 0 {
                precision_sum += positives as f64 * (hits as f64 / seen as f64);
                coverage = seen;
            }
        }
        self.rank.coverage_error += coverage as f64;
        let average_precision = if relevant == 0 { 0.0 } else { precision_sum / relevant as f64 };
        self.average_precision += average_precision;
        let pairs = relevant * (seen - relevant);
        if pairs == 0 {
            self.rank.average_precision += 1.0;
        } else {
            self.rank.average_precision += average_precision;
            self.rank.ranking_loss += wrong_pairs as f64 / pairs as f64;
            let half_wrong = (2 * wrong_pairs - tied_pairs) as f64;
            self.roc_auc.take(1.0 - half_wrong / (2 * pairs) as f64);
        }
    }

    pub fn scores(&self) -> SampleScores {
        SampleScores {
            precision: self.precision.value(),
            sensitivity: self.sensitivity.value(),
            f1: self.f1.value(),
            fbeta2: self.fbeta2.value(),
            jaccard: self.jaccard.value(),
            roc_auc: self.roc_auc.value(),
            average_precision: self.average_precision / self.n as f64,
            precision_defined: self.defined[0],
            sensitivity_defined: self.defined[1],
            f1_defined: self.defined[2],
            roc_auc_defined: self.roc_auc.n,
        }
    }

    pub fn rank_scores(&self) -> RankScores {
        let n = self.n as f64;
        RankScores {
            coverage_error: self.rank.coverage_error / n,
            average_precision: self.rank.average_precision / n,
            ranking_loss: self.rank.ranking_loss / n,
        }
    }

    pub fn subset_accuracy(&self) -> f64 {
        self.exact as f64 / self.n as f64
    }

    pub fn argmax_agreement(&self) -> f64 {
        self.best_label_holds as f64 / self.n as f64
    }
}
