//! Folds of whole patients.

use std::collections::BTreeMap;

use ndarray::ArrayView2;

use super::random::{Purpose, Stream};
use crate::ModelError;

/// Assigns a fold (from 0) to every record of `labels` `[record, label]`, so that all records of a patient share one
/// and each fold has about the same number of records and of each label.
///
/// Iterative stratification (Sechidis et al. 2011), with patients for items: the rarest label that is left goes first,
/// and each patient who has it, those with most first, to the fold that lacks that label most; ties go to the fold that
/// lacks records most, then by `seed`.
///
/// # Errors
/// Fewer than two folds, fewer patients than folds, or not one patient for each row.
pub fn folds_by_patient(
    labels: ArrayView2<'_, u8>,
    patients: &[String],
    folds: usize,
    seed: u64,
) -> Result<Vec<usize>, ModelError> {
    if patients.len() != labels.nrows() {
        return Err(ModelError::RowCount {
            what: "patients",
            expected: labels.nrows(),
            found: patients.len(),
        });
    }
    let mut rows_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, patient) in patients.iter().enumerate() {
        rows_of.entry(patient).or_default().push(row);
    }
    if folds < 2 || rows_of.len() < folds {
        return Err(ModelError::TooFewPatients { patients: rows_of.len(), folds });
    }
    let n_labels = labels.ncols();
    let mut groups: Vec<Group> = rows_of
        .into_values()
        .map(|rows| {
            let counts = (0..n_labels)
                .map(|label| rows.iter().filter(|&&row| labels[[row, label]] != 0).count())
                .collect();
            Group { rows, counts }
        })
        .collect();
    // The order of equal groups is drawn once; what follows sorts stably.
    Stream::new(seed, Purpose::Folds, 0, 0).shuffle(&mut groups);

    let mut left: Vec<usize> =
        (0..n_labels).map(|label| groups.iter().map(|group| group.counts[label]).sum()).collect();
    let mut want: Vec<Vec<f64>> =
        vec![left.iter().map(|&count| count as f64 / folds as f64).collect(); folds];
    let mut want_rows = vec![labels.nrows() as f64 / folds as f64; folds];
    let mut fold_of = vec![0; labels.nrows()];
    let mut open: Vec<&Group> = groups.iter().collect();
    loop {
        let rarest =
            (0..n_labels).filter(|&label| left[label] > 0).min_by_key(|&label| left[label]);
        let (mut chosen, rest): (Vec<&Group>, Vec<&Group>) = match rarest {
            Some(label) => open.into_iter().partition(|group| group.counts[label] > 0),
            // What is left has no label: only the number of records counts.
            None => (open, Vec::new()),
        };
        open = rest;
        chosen.sort_by_key(|group| {
            std::cmp::Reverse((rarest.map_or(0, |label| group.counts[label]), group.rows.len()))
        });
        for group in chosen {
            let lack =
                |fold: usize| (rarest.map_or(0.0, |label| want[fold][label]), want_rows[fold]);
            let fold = (1..folds).fold(0, |best, fold| {
                if lack(fold).partial_cmp(&lack(best)) == Some(std::cmp::Ordering::Greater) {
                    fold
                } else {
                    best
                }
            });
            for &row in &group.rows {
                fold_of[row] = fold;
            }
            want_rows[fold] -= group.rows.len() as f64;
            for (label, &count) in group.counts.iter().enumerate() {
                left[label] -= count;
                want[fold][label] -= count as f64;
            }
        }
        if rarest.is_none() {
            return Ok(fold_of);
        }
    }
}

/// The records of one patient.
struct Group {
    rows: Vec<usize>,
    /// How many of them have each label.
    counts: Vec<usize>,
}

/// Patients who are in both lists of rows.
pub fn shared_patients(patients: &[String], a: &[usize], b: &[usize]) -> usize {
    let of = |rows: &[usize]| -> std::collections::BTreeSet<&str> {
        rows.iter().map(|&row| patients[row].as_str()).collect()
    };
    of(a).intersection(&of(b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// 300 records of 120 patients; label 0 is common, 1 rarer, 2 rare.
    fn cohort() -> (Array2<u8>, Vec<String>) {
        let labels = Array2::from_shape_fn((300, 3), |(row, label)| {
            u8::from(match label {
                0 => row % 2 == 0,
                1 => row % 7 == 3,
                _ => row % 30 == 4,
            })
        });
        let patients = (0..300).map(|row| format!("p{}", row % 120)).collect();
        (labels, patients)
    }

    #[test]
    fn folds_keep_patients_whole_and_labels_even() {
        let (labels, patients) = cohort();
        let fold_of = folds_by_patient(labels.view(), &patients, 5, 1).expect("folds");
        for a in 0..300 {
            assert_eq!(fold_of[a], fold_of[a % 120], "patient of row {a}");
        }
        for fold in 0..5 {
            let rows: Vec<usize> = (0..300).filter(|&row| fold_of[row] == fold).collect();
            assert!((55..=65).contains(&rows.len()), "fold {fold}: {} records", rows.len());
            for (label, expected) in [(0, 30.0), (1, 8.6), (2, 2.0)] {
                let found = rows.iter().filter(|&&row| labels[[row, label]] == 1).count() as f64;
                assert!((found - expected).abs() <= 2.0, "fold {fold}, label {label}: {found}");
            }
        }
        assert_eq!(fold_of, folds_by_patient(labels.view(), &patients, 5, 1).expect("folds"));
        assert_ne!(fold_of, folds_by_patient(labels.view(), &patients, 5, 2).expect("folds"));
        let (val, train): (Vec<usize>, Vec<usize>) = (0..300).partition(|&row| fold_of[row] == 3);
        assert_eq!(shared_patients(&patients, &train, &val), 0);
        assert_eq!(train.len() + val.len(), 300);
    }

    #[test]
    fn impossible_folds_are_refused() {
        let (labels, patients) = cohort();
        assert!(folds_by_patient(labels.view(), &patients, 1, 0).is_err());
        assert!(folds_by_patient(labels.view(), &patients, 121, 0).is_err());
        assert!(folds_by_patient(labels.view(), &patients[1..], 5, 0).is_err());
    }
}
