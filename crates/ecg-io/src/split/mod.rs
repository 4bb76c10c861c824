//! Splits into training, validation and test rows.

mod shuffle;
mod stratify;

use std::collections::BTreeSet;

pub use shuffle::python_shuffle;
pub use stratify::{folds_by_patient, label_counts};

use crate::IoError;

/// Rows of a data set by their use. No row is in two lists; some rows of the source may be in none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Split {
    /// Rows for training.
    pub train: Vec<usize>,
    /// Rows for validation, on which choices are made.
    pub val: Vec<usize>,
    /// Rows held out for testing.
    pub test: Vec<usize>,
}

/// Number of folds of the published split.
pub const PUBLISHED_FOLDS: u32 = 5;

/// Returns the split of the published study.
///
/// `rows` (those with at least one label, in the order of the data set) are shuffled like Python's
/// `random.seed(42); random.shuffle(rows)`. The first ones are the test rows. The others are cut into five consecutive
/// folds, of which `fold` (from 0) is used for validation.
///
/// Of the study's 6126 recordings, the first 1126 are for testing and each fold has 1000. Other sizes keep these
/// proportions: the number of test rows is `n * 1126 / 6126`, rounded to the nearest integer, and the sizes of the
/// folds differ by at most one. The split is by record, so a patient with several records may be on both sides.
///
/// # Errors
/// Fails if `fold` is not below [`PUBLISHED_FOLDS`].
pub fn split_published(rows: &[usize], fold: u32) -> Result<Split, IoError> {
    if fold >= PUBLISHED_FOLDS {
        return Err(IoError::NoSuchFold { found: fold, known: (0..PUBLISHED_FOLDS).collect() });
    }
    let mut rows = rows.to_vec();
    python_shuffle(&mut rows, 42);
    let n_test = (rows.len() * 1126 + 3063) / 6126;
    let rest = rows.split_off(n_test);
    let bound = |k: u32| k as usize * rest.len() / PUBLISHED_FOLDS as usize;
    let (first, last) = (bound(fold), bound(fold + 1));
    Ok(Split {
        train: rest[..first].iter().chain(&rest[last..]).copied().collect(),
        val: rest[first..last].to_vec(),
        test: rows,
    })
}

/// Returns a split in which the rows of fold `val` are for validation and all others for training.
///
/// # Errors
/// Fails if no row, or every row, is in the fold.
pub fn split_by_fold(fold_of: &[u32], val: u32) -> Result<Split, IoError> {
    let (val_rows, train): (Vec<usize>, Vec<usize>) =
        (0..fold_of.len()).partition(|&row| fold_of[row] == val);
    if val_rows.is_empty() || train.is_empty() {
        let known: BTreeSet<u32> = fold_of.iter().copied().collect();
        return Err(IoError::NoSuchFold { found: val, known: known.into_iter().collect() });
    }
    Ok(Split { train, val: val_rows, test: Vec::new() })
}

/// Returns the number of patients who occur in both lists of rows; `patients` has one entry per row. A row whose
/// patient is `None` counts as one of a patient of its own.
///
/// # Panics
/// Panics if a row is not below the number of patients.
pub fn shared_patients<P: AsRef<str>>(patients: &[Option<P>], a: &[usize], b: &[usize]) -> usize {
    let of = |rows: &[usize]| -> BTreeSet<Result<&str, usize>> {
        rows.iter().map(|&row| patient_of(patients, row)).collect()
    };
    of(a).intersection(&of(b)).count()
}

/// Returns the patient of a row; `Err` with the row if the patient is unknown, which no other row has.
fn patient_of<P: AsRef<str>>(patients: &[Option<P>], row: usize) -> Result<&str, usize> {
    patients[row].as_ref().map(AsRef::as_ref).ok_or(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_split_scales() {
        for n in [0, 1, 7, 500, 6126] {
            let rows: Vec<usize> = (0..n).map(|k| 3 * k).collect();
            let mut validated = Vec::new();
            for fold in 0..PUBLISHED_FOLDS {
                let split = split_published(&rows, fold).expect("a fold");
                let mut all = [split.train, split.val.clone(), split.test].concat();
                all.sort_unstable();
                assert_eq!(all, rows);
                validated.extend(split.val);
            }
            assert_eq!(validated.len(), n - (n * 1126 + 3063) / 6126);
        }
        assert!(split_published(&[0], PUBLISHED_FOLDS).is_err());
    }

    #[test]
    fn folds_are_taken_apart() {
        let split = split_by_fold(&[0, 2, 0, 2], 2).expect("a fold");
        assert_eq!((split.train, split.val), (vec![0, 2], vec![1, 3]));
        for (folds, wish) in [(&[0, 0, 1][..], 2), (&[1, 1], 1), (&[], 0)] {
            assert!(matches!(split_by_fold(folds, wish), Err(IoError::NoSuchFold { .. })));
        }
        let patients = ["a", "b", "a", "c"].map(Some);
        assert_eq!(shared_patients(&patients, &[0, 1], &[2, 3]), 1);
        // Two unknown patients are different, and each is the same as itself.
        let patients = [Some("a"), None, None, Some("a")];
        assert_eq!(shared_patients(&patients, &[0, 1], &[2, 3]), 1);
        assert_eq!(shared_patients(&patients, &[1, 2], &[2]), 1);
    }
}
