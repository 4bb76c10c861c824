//! Folds that keep patients whole and labels balanced.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, ArrayView2};

use super::{patient_of, python_shuffle};
use crate::IoError;

/// The records of one patient.
struct Group {
    rows: Vec<usize>,
    /// How many of them have each label, followed by the number of records.
    counts: Vec<usize>,
}

/// Assigns a fold (from 0) to every record of `labels` `[record, label]`, keeping all records of a patient in the same
/// fold. A record whose patient is `None` counts as one of a patient of its own.
///
/// Each fold gets about the same number of records, and of records with each label.
///
/// The method is iterative stratification (Sechidis et al. 2011) with patients as the items. The rarest remaining label
/// goes first. Each patient who has it, those with the most such records first, goes to the fold that lacks that label
/// most; ties go to the fold that lacks records most, then to the first one. `seed` decides the order of patients who
/// are otherwise equal. Patients are then moved or exchanged between folds while that improves counts that are off by
/// more than one record and by more than a tenth of the ideal count (a label's total divided by the number of folds).
/// If some counts remain outside these bounds, other orders of the patients are tried, and the most balanced folds are
/// returned. This search ends after a fixed amount of work, which takes seconds, and then returns the most balanced
/// folds so far. Only large tables with many labels need that much.
///
/// If each patient has one record, the counts come within those bounds, except for tiny sets with many labels. Patients
/// with many records can make the bounds impossible to meet, because patients are never divided. [`label_counts`] shows
/// the result.
///
/// # Errors
/// Fails if there are fewer than two folds, if there are fewer patients than folds, or if the number of patients
/// differs from the number of rows.
pub fn folds_by_patient<P: AsRef<str>>(
    labels: ArrayView2<'_, bool>,
    patients: &[Option<P>],
    folds: u32,
    seed: u64,
) -> Result<Vec<u32>, IoError> {
    let (records, n_labels) = labels.dim();
    if patients.len() != records {
        return Err(IoError::PatientCount { records, patients: patients.len() });
    }
    let mut rows_of: BTreeMap<Result<&str, usize>, Vec<usize>> = BTreeMap::new();
    for row in 0..records {
        rows_of.entry(patient_of(patients, row)).or_default().push(row);
    }
    if folds < 2 || rows_of.len() < folds as usize {
        return Err(IoError::TooFewPatients { patients: rows_of.len(), folds });
    }
    let folds = folds as usize;
    let groups: Vec<Group> = rows_of
        .into_values()
        .map(|rows| {
            let with = |label| rows.iter().filter(|&&row| labels[[row, label]]).count();
            let counts = (0..n_labels).map(with).chain([rows.len()]).collect();
            Group { rows, counts }
        })
        .collect();
    Ok(search(groups, folds, labels.dim(), seed, &mut Work(MOST_WORK)))
}

/// Number of patient orders that are tried.
const MOST_ATTEMPTS: u64 = 20;

/// The most counts that are compared for moves and exchanges, in all attempts together. Each takes about a nanosecond;
/// 1000 records with 50 labels need 1 % of them.
const MOST_WORK: u64 = 2_000_000_000;

/// The work that is left to do.
struct Work(u64);

impl Work {
    /// Takes a part of the work; takes all of it and returns false if there is less.
    fn take(&mut self, part: usize) -> bool {
        let left = self.0.checked_sub(part as u64);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Returns the fold of each record, for labels of the shape `[record, label]`.
fn search(
    mut groups: Vec<Group>,
    folds: usize,
    (records, n_labels): (usize, usize),
    seed: u64,
    work: &mut Work,
) -> Vec<u32> {
    // The order of equal groups is random; the sorts that follow are stable. If one order ends outside the bounds,
    // another may not.
    let mut best: Option<(f64, Vec<u32>)> = None;
    for attempt in 0..MOST_ATTEMPTS {
        python_shuffle(&mut groups, seed.wrapping_add(attempt));
        let mut fold_of_group = assign(&groups, folds, n_labels);
        let mut balance = Balance::new(&groups, folds, &fold_of_group);
        balance.improve(&groups, &mut fold_of_group, work);
        let excess = balance.total_excess();
        if best.as_ref().is_none_or(|(least, _)| excess < *least) {
            best = Some((excess, by_row(&groups, &fold_of_group, records)));
        }
        if excess < 1e-9 || work.0 == 0 {
            break;
        }
    }
    best.map(|(_, fold_of)| fold_of).unwrap_or_default()
}

/// The fold of each record.
fn by_row(groups: &[Group], fold_of_group: &[usize], records: usize) -> Vec<u32> {
    let mut fold_of = vec![0; records];
    for (group, &fold) in groups.iter().zip(fold_of_group) {
        for &row in &group.rows {
            fold_of[row] = fold as u32;
        }
    }
    fold_of
}

/// Counts the records of each fold with each label: `[fold, label]`.
///
/// # Panics
/// Panics if a fold is not below `folds`, or if `fold_of` is longer than `labels` has rows.
pub fn label_counts(labels: ArrayView2<'_, bool>, fold_of: &[u32], folds: u32) -> Array2<usize> {
    let mut counts = Array2::zeros((folds as usize, labels.ncols()));
    for (row, &fold) in fold_of.iter().enumerate() {
        for (count, &on) in counts.row_mut(fold as usize).iter_mut().zip(labels.row(row)) {
            *count += usize::from(on);
        }
    }
    counts
}

/// Assigns a fold to each group by iterative stratification.
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
        // Groups without any label only count as records.
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

/// The counts of each fold and their ideal values.
struct Balance {
    /// `[fold][label]`, with the number of records last.
    counts: Vec<Vec<f64>>,
    ideal: Vec<f64>,
}

/// The most patients of either fold that are tried in exchanges for one step.
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

    /// Returns how far a count is outside the allowed range.
    fn excess(&self, count: f64, column: usize) -> f64 {
        let ideal = self.ideal[column];
        let allowed = (0.1 * ideal).max(1.0);
        // The sizes of the folds matter less than the labels.
        let weight = if column + 1 == self.ideal.len() { 0.1 } else { 1.0 };
        weight * ((count - ideal).abs() - allowed).max(0.0) / allowed
    }

    fn total_excess(&self) -> f64 {
        let of = |counts: &Vec<f64>| -> f64 {
            counts.iter().enumerate().map(|(k, &count)| self.excess(count, k)).sum()
        };
        self.counts.iter().map(of).sum()
    }

    /// Returns the gain of moving `out` from fold `from` to fold `to`, and `back` the other way.
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

    /// Returns the fold and label that are farthest outside the allowed range.
    fn worst(&self, tried: &BTreeSet<(usize, usize)>) -> Option<(usize, usize)> {
        let folds = self.counts.iter().enumerate();
        let all = folds.flat_map(|(fold, counts)| {
            counts.iter().enumerate().map(move |(k, &count)| ((fold, k), self.excess(count, k)))
        });
        all.filter(|(place, excess)| *excess > 1e-9 && !tried.contains(place))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(place, _)| place)
    }

    /// Moves and exchanges patients while that improves the counts.
    fn improve(&mut self, groups: &[Group], fold_of: &mut [usize], work: &mut Work) {
        let mut tried = BTreeSet::new();
        // Each step lowers the excess; the limit guards against endless steps from rounding.
        for _ in 0..groups.len() + 100 {
            if !work.take(self.counts.len() * self.ideal.len()) {
                break;
            }
            let Some((fold, column)) = self.worst(&tried) else { break };
            let over = self.counts[fold][column] > self.ideal[column];
            match self.best_step(groups, fold_of, (fold, column), over, work) {
                Some((out, back, from, to)) => {
                    self.apply(from, to, &groups[out]);
                    fold_of[out] = to;
                    if let Some(back) = back {
                        self.apply(to, from, &groups[back]);
                        fold_of[back] = from;
                    }
                    tried.clear();
                }
                None => {
                    tried.insert((fold, column));
                }
            }
        }
    }

    /// Returns the move or exchange with the largest gain for a count of `fold`, among those for which there is work
    /// left: patient out, patient back, from, to.
    fn best_step(
        &self,
        groups: &[Group],
        fold_of: &[usize],
        (fold, column): (usize, usize),
        over: bool,
        work: &mut Work,
    ) -> Option<(usize, Option<usize>, usize, usize)> {
        let columns = self.ideal.len();
        let mut members = vec![Vec::new(); self.counts.len()];
        for (group, &fold) in fold_of.iter().enumerate() {
            members[fold].push(group);
        }
        let mut best = (1e-9, None);
        let mut consider = |gain: f64, step| {
            if gain > best.0 {
                best = (gain, Some(step));
            }
        };
        'search: for other in (0..self.counts.len()).filter(|&other| other != fold) {
            let (from, to) = if over { (fold, other) } else { (other, fold) };
            let has = |&g: &usize| groups[g].counts[column] > 0;
            let outs: Vec<usize> = members[from].iter().copied().filter(has).collect();
            if !work.take(members[from].len() + outs.len() * columns) {
                break;
            }
            for &out in &outs {
                consider(self.gain(from, to, &groups[out], None), (out, None, from, to));
            }
            let backs = &members[to][..members[to].len().min(MOST_PARTNERS)];
            for &out in outs.iter().take(MOST_PARTNERS) {
                if !work.take(backs.len() * columns) {
                    break 'search;
                }
                for &back in backs {
                    let gain = self.gain(from, to, &groups[out], Some(&groups[back]));
                    consider(gain, (out, Some(back), from, to));
                }
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels of some records, of which each patient has `each`.
    fn set(records: usize, labels: usize, each: usize) -> (Array2<bool>, Vec<Option<String>>) {
        let on = |(row, k): (usize, usize)| {
            (((row * 37 + k * 11) * (row + 3 * k + 1)) >> 2).is_multiple_of(k + 3)
        };
        let patients = (0..records).map(|row| Some((row / each).to_string())).collect();
        (Array2::from_shape_fn((records, labels), on), patients)
    }

    #[test]
    fn folds_stay_what_they_were() {
        // By a program of its own, in Python. These take 1, 14 and 20 orders; the last can't be balanced.
        for (records, labels, each, folds, expected) in [
            (40, 24, 1, 4, "3110002033300132130122330011132220131222"),
            (
                80,
                12,
                2,
                5,
                "00441133331133334400113322444400113344221100220011223300440044113322222200441122",
            ),
            (48, 10, 4, 5, "333344440000222233331111111111110000444422224444"),
        ] {
            let (on, patients) = set(records, labels, each);
            let found = folds_by_patient(on.view(), &patients, folds, 7).expect("folds");
            let found: String = found.iter().map(u32::to_string).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_search_ends_with_its_work() {
        let (on, _) = set(48, 10, 4);
        let best_of = |most: u64| {
            let groups: Vec<Group> = (0..12)
                .map(|patient| {
                    let rows: Vec<usize> = (4 * patient..4 * patient + 4).collect();
                    let with = |k: usize| rows.iter().filter(|&&row| on[[row, k]]).count();
                    let counts = (0..10).map(with).chain([4]).collect();
                    Group { rows, counts }
                })
                .collect();
            let mut work = Work(most);
            let fold_of = search(groups, 5, on.dim(), 7, &mut work);
            // Patients stay whole.
            assert!(fold_of.chunks(4).all(|own| own.iter().all(|fold| *fold == own[0])));
            (fold_of, work.0)
        };
        let (unimproved, left) = best_of(0);
        assert_eq!(left, 0);
        let (cut, left) = best_of(5000);
        assert_eq!(left, 0);
        let (whole, left) = best_of(MOST_WORK);
        assert!(left > 0 && unimproved != whole && cut != unimproved);
    }
}
