//! Thresholds that make the challenge score large.

use crate::challenge::Credits;
use crate::threshold::between;

/// Rounds over all labels after which the search ends; it takes a few.
const MAX_ROUNDS: usize = 100;

/// A change of the score that is rounding.
const NOTHING: f64 = 1e-9;

/// What is known of a record while thresholds move.
struct Record {
    /// For each label, what answering it would add before it is divided.
    credits: Vec<f64>,
    truth: Vec<bool>,
    answers: Vec<bool>,
}

impl Record {
    /// What the record adds to the score as it is, and with the answer to one label changed.
    fn both_ways(&self, label: usize) -> [f64; 2] {
        let (mut sum, mut labels) = (0.0, 0.0);
        for (k, answered) in self.answers.iter().enumerate() {
            if k != label && *answered {
                sum += self.credits[k];
            }
            if k != label && (*answered || self.truth[k]) {
                labels += 1.0;
            }
        }
        let with = (sum + self.credits[label]) / (labels + 1.0);
        let without = sum / f64::max(labels + f64::from(u8::from(self.truth[label])), 1.0);
        [without, with]
    }
}

/// The thresholds for checked columns.
pub(crate) fn choose(credits: &Credits, columns: &[Vec<(f64, bool)>]) -> Vec<f64> {
    let n = columns[0].len();
    let mut records: Vec<Record> = (0..n)
        .map(|row| {
            let truth: Vec<bool> = columns.iter().map(|column| column[row].1).collect();
            let credit = |k: usize| {
                let own = credits.weights.column(k).into_iter().zip(&truth);
                own.filter(|pair| *pair.1).map(|pair| pair.0).sum()
            };
            let credits = (0..columns.len()).map(credit).collect();
            Record { credits, truth, answers: vec![false; columns.len()] }
        })
        .collect();
    let orders: Vec<Vec<usize>> = columns
        .iter()
        .map(|column| {
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&a, &b| column[b].0.total_cmp(&column[a].0));
            order
        })
        .collect();

    let common = best_common(&mut records, columns);
    let mut thresholds = vec![common; columns.len()];
    for record in 0..n {
        for (k, column) in columns.iter().enumerate() {
            records[record].answers[k] = column[record].0 > common;
        }
    }
    for _ in 0..MAX_ROUNDS {
        let mut better = false;
        for (k, (column, order)) in columns.iter().zip(&orders).enumerate() {
            let now: f64 = records
                .iter()
                .map(|record| record.both_ways(k)[usize::from(record.answers[k])])
                .sum();
            let (threshold, score) = best_of_label(&records, column, order, k);
            if score > now + NOTHING {
                better = true;
                thresholds[k] = threshold;
                for (record, own) in records.iter_mut().zip(column) {
                    record.answers[k] = own.0 > threshold;
                }
            }
        }
        if !better {
            break;
        }
    }
    thresholds
}

/// The best threshold of one label and the sum that it gives: none answered at first, then record after record from the top.
fn best_of_label(
    records: &[Record],
    column: &[(f64, bool)],
    order: &[usize],
    label: usize,
) -> (f64, f64) {
    let mut score: f64 = records.iter().map(|record| record.both_ways(label)[0]).sum();
    let mut best = (1.0, score);
    for (k, &row) in order.iter().enumerate() {
        let [without, with] = records[row].both_ways(label);
        score += with - without;
        let p = column[row].0;
        let below = order.get(k + 1).map_or(0.0, |&next| column[next].0);
        // What is at 0 is never answered, and equal probabilities stay together.
        if p > 0.0 && p > below && score > best.1 + NOTHING {
            best = (between(below, p), score);
        }
    }
    best
}

/// The best threshold that is the same for all labels.
fn best_common(records: &mut [Record], columns: &[Vec<(f64, bool)>]) -> f64 {
    let mut cells: Vec<(f64, usize, usize)> = columns
        .iter()
        .enumerate()
        .flat_map(|(k, column)| column.iter().enumerate().map(move |(row, own)| (own.0, row, k)))
        .collect();
    cells.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut score, mut best) = (0.0, (1.0, 0.0));
    for (k, &(p, row, label)) in cells.iter().enumerate() {
        let [without, with] = records[row].both_ways(label);
        score += with - without;
        records[row].answers[label] = true;
        let below = cells.get(k + 1).map_or(0.0, |next| next.0);
        if p > 0.0 && p > below && score > best.1 + NOTHING {
            best = (between(below, p), score);
        }
    }
    best.0
}
