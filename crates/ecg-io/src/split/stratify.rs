//! Folds that keep patients whole and labels even.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2};

use super::python_shuffle;
use crate::IoError;

/// The records of one patient.
struct Group {
    rows: Vec<usize>,
    /// How many of them have each label, and how many there are.
    counts: Vec<usize>,
}

/// Assigns a fold (from 0) to every record of `labels` `[record, label]`, so that all records of a patient share one
/// and each fold has about the same number of each label and of records.
///
/// Iterative stratification (Sechidis et al. 2011), with patients for items: the rarest label that is left goes first,
/// and each patient who has it, those with most first, to the fold that lacks that label most; ties go to the fold that
/// lacks records most, then by `seed`. Patients are then moved or exchanged between folds while that brings counts
/// nearer that are off by more than one record and a tenth of the ideal count (a label's total divided by the folds);
/// where some stay so, other orders of the patients are tried, and the most even folds are given.
///
/// Where each patient has one record, counts come within those bounds but for tiny sets with many labels; patients with
/// many records can make them impossible to meet, since patients are never divided. [`label_counts`] shows what came of it.
///
/// # Errors
/// Fewer than two folds, fewer patients than folds, or not one patient for each row.
pub fn folds_by_patient<P: AsRef<str>>(
    labels: ArrayView2<'_, u8>,
    patients: &[P],
    folds: usize,
    seed: u64,
) -> Result<Vec<usize>, IoError> {
    let (records, n_labels) = labels.dim();
    if patients.len() != records {
        return Err(IoError::PatientCount { records, patients: patients.len() });
    }
    let mut rows_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, patient) in patients.iter().enumerate() {
        rows_of.entry(patient.as_ref()).or_default().push(row);
    }
    if folds < 2 || rows_of.len() < folds {
        return Err(IoError::TooFewPatients { patients: rows_of.len(), folds });
    }
    let mut groups: Vec<Group> = rows_of
        .into_values()
        .map(|rows| {
            let with = |label| rows.iter().filter(|&&row| labels[[row, label]] != 0).count();
            let counts = (0..n_labels).map(with).chain([rows.len()]).collect();
            Group { rows, counts }
        })
        .collect();
    // The order of equal groups is drawn; what follows sorts stably. Where it ends beyond the bounds, another order may not.
    let mut best: Option<(f64, Vec<usize>)> = None;
    for attempt in 0..MOST_ATTEMPTS {
        python_shuffle(&mut groups, seed.wrapping_add(attempt));
        let mut fold_of_group = assign(&groups, folds, n_labels);
        let mut balance = Balance::new(&groups, folds, &fold_of_group);
        balance.improve(&groups, &mut fold_of_group);
        let excess = balance.total_excess();
        if best.as_ref().is_none_or(|(least, _)| excess < *least) {
            best = Some((excess, by_row(&groups, &fold_of_group, records)));
        }
        if excess < 1e-9 {
            break;
        }
    }
    Ok(best.map(|(_, fold_of)| fold_of).unwrap_or_default())
}

/// Orders of the patients that are tried.
const MOST_ATTEMPTS: u64 = 20;

/// The fold of each record.
fn by_row(groups: &[Group], fold_of_group: &[usize], records: usize) -> Vec<usize> {
    let mut fold_of = vec![0; records];
    for (group, &fold) in groups.iter().zip(fold_of_group) {
        for &row in &group.rows {
            fold_of[row] = fold;
        }
    }
    fold_of
}

/// How many records of each fold have each label: `[fold, label]`.
///
/// # Panics
/// A fold is not below `folds`, or there are more folds than rows of `labels`.
pub fn label_counts(labels: ArrayView2<'_, u8>, fold_of: &[usize], folds: usize) -> Array2<usize> {
    let mut counts = Array2::zeros((folds, labels.ncols()));
    for (row, &fold) in fold_of.iter().enumerate() {
        for (count, &on) in counts.row_mut(fold).iter_mut().zip(labels.row(row)) {
            *count += usize::from(on != 0);
        }
    }
    counts
}

/// Iterative stratification of groups: the fold of each.
fn assign(groups: &[Group], folds: usize, n_labels: usize) -> Vec<usize> {
    let total = |column: usize| groups.iter().map(|group| group.counts[column]).sum::<usize>();
    let mut left: Vec<usize> = (0..=n_labels).map(total).collect();
    let mut want: Vec<Vec<f64>> =
        vec![left.iter().map(|&count| count as f64 / folds as f64).collect(); folds];
    let mut fold_of = vec![0; groups.len()];
    let mut open: Vec<usize> = (0..groups.len()).collect();
    while !open.is_empty() {
        let rarest =
            (0..n_labels).filter(|&label| left[label] > 0).min_by_key(|&label| left[label]);
        // What has no label counts as a record only.
        let column = rarest.unwrap_or(n_labels);
        let (mut chosen, rest): (Vec<usize>, Vec<usize>) =
            open.into_iter().partition(|&group| groups[group].counts[column] > 0);
        open = rest;
        chosen.sort_by_key(|&group| {
            let counts = &groups[group].counts;
            Reverse((counts[column], counts[n_labels]))
        });
        for group in chosen {
            let lack = |fold: usize| (want[fold][column], want[fold][n_labels]);
            let fold =
                (1..folds).fold(0, |best, fold| if lack(fold) > lack(best) { fold } else { best });
            fold_of[group] = fold;
            for (k, &count) in groups[group].counts.iter().enumerate() {
                left[k] -= count;
                want[fold][k] -= count as f64;
            }
        }
    }
    fold_of
}

/// How far the counts of folds are from even.
struct Balance {
    /// `[fold][label]`, the number of records last.
    counts: Vec<Vec<f64>>,
    ideal: Vec<f64>,
}

/// Exchanges that are tried for one move: the patients of either fold.
const MOST_PARTNERS: usize = 300;

impl Balance {
    fn new(groups: &[Group], folds: usize, fold_of: &[usize]) -> Self {
        let columns = groups.first().map_or(0, |group| group.counts.len());
        let mut counts = vec![vec![0.0; columns]; folds];
        for (group, &fold) in groups.iter().zip(fold_of) {
            for (count, &own) in counts[fold].iter_mut().zip(&group.counts) {
                *count += own as f64;
            }
        }
        let ideal = (0..columns)
            .map(|k| counts.iter().map(|fold| fold[k]).sum::<f64>() / folds as f64)
            .collect();
        Self { counts, ideal }
    }

    /// By how much a count is beyond what is allowed.
    fn excess(&self, count: f64, column: usize) -> f64 {
        let ideal = self.ideal[column];
        let allowed = (0.1 * ideal).max(1.0);
        // Sizes of folds matter less than labels.
        let weight = if column + 1 == self.ideal.len() { 0.1 } else { 1.0 };
        weight * ((count - ideal).abs() - allowed).max(0.0) / allowed
    }

    fn total_excess(&self) -> f64 {
        let of = |counts: &Vec<f64>| -> f64 {
            counts.iter().enumerate().map(|(k, &count)| self.excess(count, k)).sum()
        };
        self.counts.iter().map(of).sum()
    }

    /// What it gains to take `out` from fold `from` to fold `to`, and `back` the other way.
    fn gain(&self, from: usize, to: usize, out: &Group, back: Option<&Group>) -> f64 {
        let mut gain = 0.0;
        for column in 0..self.ideal.len() {
            let moved = out.counts[column] as f64 - back.map_or(0.0, |g| g.counts[column] as f64);
            if moved != 0.0 {
                let (a, b) = (self.counts[from][column], self.counts[to][column]);
                gain += self.excess(a, column) + self.excess(b, column)
                    - self.excess(a - moved, column)
                    - self.excess(b + moved, column);
            }
        }
        gain
    }

    fn apply(&mut self, from: usize, to: usize, out: &Group) {
        for (column, &count) in out.counts.iter().enumerate() {
            self.counts[from][column] -= count as f64;
            self.counts[to][column] += count as f64;
        }
    }

    /// The fold and label that are farthest beyond what is allowed.
    fn worst(&self, tried: &[(usize, usize)]) -> Option<(usize, usize)> {
        let folds = self.counts.iter().enumerate();
        let all = folds.flat_map(|(fold, counts)| {
            counts.iter().enumerate().map(move |(k, &count)| ((fold, k), self.excess(count, k)))
        });
        all.filter(|(place, excess)| *excess > 1e-9 && !tried.contains(place))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(place, _)| place)
    }

    /// Moves and exchanges patients while that brings the counts nearer.
    fn improve(&mut self, groups: &[Group], fold_of: &mut [usize]) {
        let mut tried = Vec::new();
        // Each step lowers the excess; the bound is for sums that never end by rounding.
        for _ in 0..groups.len() + 100 {
            let Some((fold, column)) = self.worst(&tried) else { break };
            let over = self.counts[fold][column] > self.ideal[column];
            match self.best_step(groups, fold_of, fold, column, over) {
                Some((out, back, from, to)) => {
                    self.apply(from, to, &groups[out]);
                    fold_of[out] = to;
                    if let Some(back) = back {
                        self.apply(to, from, &groups[back]);
                        fold_of[back] = from;
                    }
                    tried.clear();
                }
                None => tried.push((fold, column)),
            }
        }
    }

    /// The move or exchange that gains most for a count of `fold`: patient out, patient back, from, to.
    fn best_step(
        &self,
        groups: &[Group],
        fold_of: &[usize],
        fold: usize,
        column: usize,
        over: bool,
    ) -> Option<(usize, Option<usize>, usize, usize)> {
        let mut best = (1e-9, None);
        let mut consider = |gain: f64, step| {
            if gain > best.0 {
                best = (gain, Some(step));
            }
        };
        for other in (0..self.counts.len()).filter(|&other| other != fold) {
            let (from, to) = if over { (fold, other) } else { (other, fold) };
            let has = |&g: &usize| groups[g].counts[column] > 0;
            let of = |wish: usize| (0..groups.len()).filter(move |&g| fold_of[g] == wish);
            for out in of(from).filter(has) {
                consider(self.gain(from, to, &groups[out], None), (out, None, from, to));
            }
            for out in of(from).filter(has).take(MOST_PARTNERS) {
                for back in of(to).take(MOST_PARTNERS) {
                    let gain = self.gain(from, to, &groups[out], Some(&groups[back]));
                    consider(gain, (out, Some(back), from, to));
                }
            }
        }
        best.1
    }
}
