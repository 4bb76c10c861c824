use crate::scores::OrderScores;
use crate::{PrCurve, RocCurve};

/// Probabilities with their truth, sorted once. Every measure that depends on their order is computed from this.
///
/// There is one key per record, from the highest probability down: the bits of the probability, with the truth in the
/// lowest bit. No probability is negative, so the bits sort in the same order as the probabilities.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    keys: Vec<u64>,
    positives: u64,
}

/// The records with one probability, with the running counts up to and including them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub threshold: f64,
    pub tp: u64,
    pub fp: u64,
    /// In this step alone.
    pub positives: u64,
    pub negatives: u64,
}

impl Ranking {
    /// Sorts `(probability, truth)` pairs in O(n log n). Probabilities are from 0 to 1.
    pub fn new(pairs: impl Iterator<Item = (f64, bool)>) -> Self {
        // Adding zero turns -0 into 0.
        let mut keys: Vec<u64> =
            pairs.map(|(p, holds)| ((p + 0.0).to_bits() << 1) | u64::from(holds)).collect();
        keys.sort_unstable_by(|a, b| b.cmp(a));
        Self::sorted(keys)
    }

    /// Merges the records of several rankings into one. A stable sort merges runs that are already in order.
    pub fn merged(parts: &[Ranking]) -> Self {
        let mut keys: Vec<u64> = parts.iter().flat_map(|part| &part.keys).copied().collect();
        keys.sort_by(|a, b| b.cmp(a));
        Self::sorted(keys)
    }

    fn sorted(keys: Vec<u64>) -> Self {
        let positives = keys.iter().map(|key| key & 1).sum();
        Self { keys, positives }
    }

    pub fn positives(&self) -> u64 {
        self.positives
    }

    pub fn negatives(&self) -> u64 {
        self.keys.len() as u64 - self.positives
    }

    /// Iterates over the steps, one for each distinct probability, from the highest down.
    pub fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        let (mut tp, mut fp) = (0, 0);
        self.keys.chunk_by(|a, b| a >> 1 == b >> 1).map(move |group| {
            let positives: u64 = group.iter().map(|key| key & 1).sum();
            let negatives = group.len() as u64 - positives;
            tp += positives;
            fp += negatives;
            Step { threshold: f64::from_bits(group[0] >> 1), tp, fp, positives, negatives }
        })
    }

    pub fn scores(&self) -> OrderScores {
        OrderScores { roc_auc: self.roc_auc(), average_precision: self.average_precision() }
    }

    /// Returns the share of (positive, negative) pairs in the right order, with ties counting half. NaN if a class is
    /// absent.
    ///
    /// Counted in integers, so it is exact except for the final division.
    pub fn roc_auc(&self) -> f64 {
        let pairs = u128::from(self.positives) * u128::from(self.negatives());
        if pairs == 0 {
            return f64::NAN;
        }
        let twice: u128 = self
            .steps()
            .map(|s| u128::from(s.negatives) * u128::from(2 * (s.tp - s.positives) + s.positives))
            .sum();
        twice as f64 / (2 * pairs) as f64
    }

    /// Returns the sum over the steps of (gain in sensitivity) x precision; 0 if there is no positive.
    pub fn average_precision(&self) -> f64 {
        if self.positives == 0 {
            return 0.0;
        }
        let sum: f64 = self
            .steps()
            .filter(|s| s.positives > 0)
            .map(|s| s.positives as f64 * (s.tp as f64 / (s.tp + s.fp) as f64))
            .sum();
        sum / self.positives as f64
    }

    pub fn roc(&self, every_point: bool) -> RocCurve {
        let mut points: Vec<(u64, u64, f64)> =
            self.steps().map(|s| (s.fp, s.tp, s.threshold)).collect();
        if !every_point && points.len() > 2 {
            // A point is in line with its neighbours if both second differences are zero.
            let flat = |a: u64, b: u64, c: u64| a + c == 2 * b;
            let corner: Vec<bool> = (0..points.len())
                .map(|k| {
                    k == 0 || k + 1 == points.len() || {
                        let (a, b, c) = (points[k - 1], points[k], points[k + 1]);
                        !(flat(a.0, b.0, c.0) && flat(a.1, b.1, c.1))
                    }
                })
                .collect();
            let mut keep = corner.into_iter();
            points.retain(|_| keep.next().unwrap_or(true));
        }
        let share = |count: u64, of: u64| if of == 0 { f64::NAN } else { count as f64 / of as f64 };
        let mut curve = RocCurve {
            false_positive_rate: vec![share(0, self.negatives())],
            true_positive_rate: vec![share(0, self.positives)],
            thresholds: vec![f64::INFINITY],
        };
        for (fp, tp, threshold) in points {
            curve.false_positive_rate.push(share(fp, self.negatives()));
            curve.true_positive_rate.push(share(tp, self.positives));
            curve.thresholds.push(threshold);
        }
        curve
    }

    pub fn precision_recall(&self) -> PrCurve {
        let mut curve = PrCurve { precision: vec![1.0], recall: vec![0.0], thresholds: Vec::new() };
        for step in self.steps() {
            curve.precision.push(step.tp as f64 / (step.tp + step.fp) as f64);
            curve.recall.push(if self.positives == 0 {
                1.0
            } else {
                step.tp as f64 / self.positives as f64
            });
            curve.thresholds.push(step.threshold);
        }
        curve.precision.reverse();
        curve.recall.reverse();
        curve.thresholds.reverse();
        curve
    }
}
