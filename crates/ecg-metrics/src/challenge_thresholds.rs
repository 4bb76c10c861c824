//! Thresholds that give a large challenge score.

use crate::challenge::Credits;
use crate::threshold::between;

/// Number of rounds over all labels after which the search ends; usually a few are enough.
const MAX_ROUNDS: usize = 100;

/// A change of the score up to this is a rounding error.
const NOTHING: f64 = 1e-9;

/// What is known about a record while thresholds move.
struct Record {
    /// For each class, what answering it would add, before the division by the number of classes.
    credits: Vec<f64>,
    /// For each class, whether it is true of the record.
    truth: Vec<bool>,
    /// For each class, how many of its labels are answered.
    answered: Vec<usize>,
}

impl Record {
    /// Returns what the record adds to the score as it is, and with one more label of a class answered.
    fn both_ways(&self, class: usize) -> [f64; 2] {
        let (mut sum, mut classes) = (0.0, 0.0);
        for (k, answered) in self.answered.iter().enumerate() {
            if k != class && *answered > 0 {
                sum += self.credits[k];
            }
            if k != class && (*answered > 0 || self.truth[k]) {
                classes += 1.0;
            }
        }
        let with = (sum + self.credits[class]) / (classes + 1.0);
        if self.answered[class] > 0 {
            return [with, with];
        }
        let without = sum / f64::max(classes + f64::from(u8::from(self.truth[class])), 1.0);
        [without, with]
    }
}

/// Returns the thresholds for checked columns, or `None` for a label that no record has. Such a label counts as never
/// answered.
pub(crate) fn choose(credits: &Credits, columns: &[Vec<(f64, bool)>]) -> Vec<Option<f64>> {
    let occurs = |k: &usize| columns[*k].iter().any(|own| own.1);
    let places: Vec<usize> = (0..columns.len()).filter(occurs).collect();
    let own: Vec<&[(f64, bool)]> = places.iter().map(|&k| columns[k].as_slice()).collect();
    let own_classes: Vec<usize> = places.iter().map(|&k| credits.classes[k]).collect();
    let mut out = vec![None; columns.len()];
    for (place, threshold) in places.into_iter().zip(of_those(credits, &own, &own_classes)) {
        out[place] = Some(threshold);
    }
    out
}

/// Returns the thresholds for the columns of labels that occur. Their classes are `own_classes`.
fn of_those(credits: &Credits, columns: &[&[(f64, bool)]], own_classes: &[usize]) -> Vec<f64> {
    let n = columns.first().map_or(0, |own| own.len());
    let classes = credits.weights.nrows();
    let mut records: Vec<Record> = (0..n)
        .map(|row| {
            let mut truth = vec![false; classes];
            for (column, &class) in columns.iter().zip(own_classes) {
                truth[class] |= column[row].1;
            }
            let credit = |k: usize| {
                let own = credits.weights.column(k).into_iter().zip(&truth);
                own.filter(|pair| *pair.1).map(|pair| pair.0).sum()
            };
            let credits = (0..classes).map(credit).collect();
            Record { credits, truth, answered: vec![0; classes] }
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

    let common = best_common(&mut records, columns, own_classes);
    let mut thresholds = vec![common; columns.len()];
    for (row, record) in records.iter_mut().enumerate() {
        record.answered.fill(0);
        for (column, &class) in columns.iter().zip(own_classes) {
            record.answered[class] += usize::from(column[row].0 > common);
        }
    }
    for _ in 0..MAX_ROUNDS {
        let mut better = false;
        let labels = columns.iter().zip(&orders).zip(own_classes).zip(&mut thresholds);
        for (((column, order), &class), threshold) in labels {
            // First without the label's own answers, then with them again.
            let mut now = 0.0;
            for (record, own) in records.iter_mut().zip(*column) {
                let answered = usize::from(own.0 > *threshold);
                record.answered[class] -= answered;
                now += record.both_ways(class)[answered];
            }
            let (best, score) = best_of_label(&records, column, order, class);
            if score > now + NOTHING {
                better = true;
                *threshold = best;
            }
            for (record, own) in records.iter_mut().zip(*column) {
                record.answered[class] += usize::from(own.0 > *threshold);
            }
        }
        if !better {
            break;
        }
    }
    thresholds
}

/// Returns the best threshold of one label and the sum that it gives. Starts with no record answered and adds one
/// record after the other, from the highest probability down.
///
/// The records must not contain answers of the label itself.
fn best_of_label(
    records: &[Record],
    column: &[(f64, bool)],
    order: &[usize],
    class: usize,
) -> (f64, f64) {
    let mut score: f64 = records.iter().map(|record| record.both_ways(class)[0]).sum();
    let mut best = (1.0, score);
    for (k, &row) in order.iter().enumerate() {
        let [without, with] = records[row].both_ways(class);
        score += with - without;
        let p = column[row].0;
        let below = order.get(k + 1).map_or(0.0, |&next| column[next].0);
        // A probability of 0 is never answered, and equal probabilities stay together.
        if p > 0.0 && p > below && score > best.1 + NOTHING {
            best = (between(below, p), score);
        }
    }
    best
}

/// Returns the best threshold that is the same for all labels.
fn best_common(records: &mut [Record], columns: &[&[(f64, bool)]], classes: &[usize]) -> f64 {
    let mut cells: Vec<(f64, usize, usize)> = columns
        .iter()
        .zip(classes)
        .flat_map(|(column, &class)| {
            column.iter().enumerate().map(move |(row, own)| (own.0, row, class))
        })
        .collect();
    cells.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut score, mut best) = (0.0, (1.0, 0.0));
    for (k, &(p, row, class)) in cells.iter().enumerate() {
        let [without, with] = records[row].both_ways(class);
        score += with - without;
        records[row].answered[class] += 1;
        let below = cells.get(k + 1).map_or(0.0, |next| next.0);
        if p > 0.0 && p > below && score > best.1 + NOTHING {
            best = (between(below, p), score);
        }
    }
    best.0
}
