//! Which records train, which validate and which test.

use std::collections::BTreeMap;

use ndarray::ArrayView2;

use super::random::{Purpose, Stream};
use crate::ModelError;

/// Rows of a data set by their use. No row is in two lists; rows of the source may be in none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Split {
    /// Rows to learn from.
    pub train: Vec<usize>,
    /// Rows on which the best epoch is chosen.
    pub val: Vec<usize>,
    /// Rows kept for testing.
    pub test: Vec<usize>,
}

/// Folds of the published split.
pub const PUBLISHED_FOLDS: usize = 5;

/// The study's split: `rows` (those with at least one label, in the order of the data set) are shuffled as Python's
/// `random.seed(42); random.shuffle(rows)` does; the first ones test, and the others are cut into five consecutive
/// folds, of which `fold` (from 0) validates.
///
/// Of the study's 6126 recordings the first 1126 test and a fold has 1000. Other sizes keep those proportions: the
/// test share is `n * 1126 / 6126`, rounded to nearest, and the folds' sizes differ by one at most.
/// It goes by records, so a patient with several may be on both sides.
///
/// # Errors
/// A fold that is not below [`PUBLISHED_FOLDS`].
pub fn split_published(rows: &[usize], fold: usize) -> Result<Split, ModelError> {
    if fold >= PUBLISHED_FOLDS {
        return Err(ModelError::Fold { found: fold, folds: PUBLISHED_FOLDS });
    }
    let mut rows = rows.to_vec();
    python_shuffle(&mut rows, 42);
    let n_test = (rows.len() * 1126 + 3063) / 6126;
    let rest = rows.split_off(n_test);
    let bound = |k: usize| k * rest.len() / PUBLISHED_FOLDS;
    let (first, last) = (bound(fold), bound(fold + 1));
    Ok(Split {
        train: rest[..first].iter().chain(&rest[last..]).copied().collect(),
        val: rest[first..last].to_vec(),
        test: rows,
    })
}

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

/// The rows of fold `val` validate, all others train.
///
/// # Errors
/// A fold that no row, or every row, is in.
pub fn split_by_fold(fold_of: &[usize], val: usize) -> Result<Split, ModelError> {
    let (val_rows, train): (Vec<usize>, Vec<usize>) =
        (0..fold_of.len()).partition(|&row| fold_of[row] == val);
    if val_rows.is_empty() || train.is_empty() {
        let mut known: Vec<usize> = fold_of.to_vec();
        known.sort_unstable();
        known.dedup();
        return Err(ModelError::NoSuchFold { found: val, known });
    }
    Ok(Split { train, val: val_rows, test: Vec::new() })
}

/// Patients who are in both lists of rows.
pub fn shared_patients(patients: &[String], a: &[usize], b: &[usize]) -> usize {
    let of = |rows: &[usize]| -> std::collections::BTreeSet<&str> {
        rows.iter().map(|&row| patients[row].as_str()).collect()
    };
    of(a).intersection(&of(b)).count()
}

/// Shuffles as Python's `random.seed(seed)` followed by `random.shuffle(items)` does (CPython 3.2 and later).
fn python_shuffle<T>(items: &mut [T], seed: u32) {
    let mut twister = Twister::python(seed);
    for i in (1..items.len()).rev() {
        items.swap(i, twister.below(i as u32 + 1));
    }
}

/// MT19937 (Matsumoto and Nishimura 1998).
struct Twister {
    state: [u32; 624],
    next: usize,
}

impl Twister {
    /// Python seeds by `init_by_array`, with the number's 32-bit words for the key; here there is one.
    fn python(seed: u32) -> Self {
        let mut state = [0_u32; 624];
        state[0] = 19_650_218;
        for i in 1..624 {
            let before = state[i - 1];
            state[i] =
                1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        let mix = |state: &[u32; 624], i: usize, factor: u32| {
            let before = state[i - 1];
            state[i] ^ (before ^ (before >> 30)).wrapping_mul(factor)
        };
        let mut i = 1;
        let advance = |state: &mut [u32; 624], i: &mut usize| {
            *i += 1;
            if *i == 624 {
                state[0] = state[623];
                *i = 1;
            }
        };
        for _ in 0..624 {
            state[i] = mix(&state, i, 1_664_525).wrapping_add(seed);
            advance(&mut state, &mut i);
        }
        for _ in 0..623 {
            state[i] = mix(&state, i, 1_566_083_941).wrapping_sub(i as u32);
            advance(&mut state, &mut i);
        }
        state[0] = 0x8000_0000;
        Self { state, next: 624 }
    }

    fn bits(&mut self) -> u32 {
        if self.next == 624 {
            for k in 0..624 {
                let y = (self.state[k] & 0x8000_0000) | (self.state[(k + 1) % 624] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[k] = self.state[(k + 397) % 624] ^ (y >> 1) ^ odd;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A number below `n > 0`, as Python draws it: as many bits as `n` has, until they are below `n`.
    fn below(&mut self, n: u32) -> usize {
        loop {
            let drawn = self.bits() >> n.leading_zeros();
            if drawn < n {
                return drawn as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::goldens;
    use super::*;
    use ndarray::Array2;

    #[test]
    fn pythons_order_of_ten() {
        let mut items: Vec<usize> = (0..10).collect();
        python_shuffle(&mut items, 42);
        assert_eq!(items, [7, 3, 2, 8, 5, 6, 9, 4, 0, 1]);
    }

    #[test]
    fn the_published_split_is_the_studys() {
        let Some(dir) = goldens() else { return };
        let text = std::fs::read_to_string(dir.join("convert/split_seed42.json")).expect("golden");
        let golden: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let order = |key: &str| -> Vec<usize> {
            serde_json::from_value(golden[key].clone()).expect("a list of numbers")
        };
        let mut hundred: Vec<usize> = (0..100).collect();
        python_shuffle(&mut hundred, 42);
        assert_eq!(hundred, order("100"));
        let all = order("6126");
        let rows: Vec<usize> = (0..6126).collect();
        for fold in 0..PUBLISHED_FOLDS {
            let split = split_published(&rows, fold).expect("a fold");
            assert_eq!(split.test, all[..1126]);
            assert_eq!(split.val, all[1126 + 1000 * fold..1126 + 1000 * (fold + 1)]);
            assert_eq!(split.train.len(), 4000);
        }
    }

    #[test]
    fn the_published_split_scales() {
        for n in [0, 1, 7, 500] {
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
        let split = split_by_fold(&fold_of, 3).expect("a fold");
        assert_eq!(shared_patients(&patients, &split.train, &split.val), 0);
        assert_eq!(split.train.len() + split.val.len(), 300);
    }

    #[test]
    fn impossible_folds_are_refused() {
        let (labels, patients) = cohort();
        assert!(folds_by_patient(labels.view(), &patients, 1, 0).is_err());
        assert!(folds_by_patient(labels.view(), &patients, 121, 0).is_err());
        assert!(folds_by_patient(labels.view(), &patients[1..], 5, 0).is_err());
        assert!(split_by_fold(&[0, 0, 1], 2).is_err());
        assert!(split_by_fold(&[1, 1], 1).is_err());
        assert!(split_by_fold(&[], 0).is_err());
    }
}
