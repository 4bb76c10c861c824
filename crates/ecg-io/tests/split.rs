//! Folds: those of the study, and those that keep patients whole and labels balanced.

mod common;

use ecg_io::{
    Dataset, DatasetOptions, IoError, PUBLISHED_FOLDS, folds_by_patient, label_counts,
    python_shuffle, shared_patients, split_by_fold, split_published,
};
use ndarray::{Array2, ArrayView2};
use proptest::prelude::*;

#[test]
fn the_published_split_is_the_studys() {
    let Some(dir) = common::goldens("convert") else { return };
    let text = std::fs::read_to_string(dir.join("split_seed42.json")).expect("golden");
    let golden: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for n in [10, 100, 6126] {
        let order: Vec<usize> =
            serde_json::from_value(golden[n.to_string()].clone()).expect("a list of numbers");
        let mut rows: Vec<usize> = (0..n).collect();
        if n == 6126 {
            for fold in 0..PUBLISHED_FOLDS {
                let split = split_published(&rows, fold).expect("a fold");
                let first = 1126 + 1000 * fold as usize;
                assert_eq!(split.test, order[..1126]);
                assert_eq!(split.val, order[first..first + 1000]);
                assert_eq!(split.train.len(), 4000);
            }
        }
        python_shuffle(&mut rows, 42);
        assert_eq!(rows, order);
    }
}

/// Returns the labels whose count in a fold is further from its ideal than one record and a tenth of it, with ideal and
/// count.
fn uneven(
    labels: ArrayView2<'_, bool>,
    fold_of: &[u32],
    folds: u32,
    slack: usize,
) -> Vec<(usize, f64, usize)> {
    let counts = label_counts(labels, fold_of, folds);
    let mut out = Vec::new();
    for label in 0..labels.ncols() {
        let ideal = counts.column(label).sum() as f64 / f64::from(folds);
        let allowed = (0.1 * ideal).max(1.0) + slack as f64 + 1e-9;
        let off = counts.column(label).into_iter().filter(|&&n| (n as f64 - ideal).abs() > allowed);
        out.extend(off.map(|&n| (label, ideal, n)));
    }
    out
}

fn assert_whole(patients: &[Option<String>], fold_of: &[u32], folds: u32) {
    for fold in 0..folds {
        let split = split_by_fold(fold_of, fold).expect("a fold with records");
        assert_eq!(shared_patients(patients, &split.train, &split.val), 0);
    }
}

#[test]
fn real_patients() {
    for name in ["real-small", "real-dev"] {
        let Some(folder) = common::real_data(name) else { return };
        let set = Dataset::open(&folder, &DatasetOptions::default()).expect("the data set");
        let labels = Array2::from_shape_fn((set.len(), set.label_set().len()), |(i, k)| {
            set.labels(i).expect("labelled")[k]
        });
        let patients: Vec<Option<String>> =
            (0..set.len()).map(|i| set.patient(i).map(str::to_owned)).collect();
        for (folds, seed) in [(2, 0), (5, 1), (5, 2), (10, 3)] {
            let fold_of = folds_by_patient(labels.view(), &patients, folds, seed).expect("folds");
            assert_whole(&patients, &fold_of, folds);
            assert_eq!(uneven(labels.view(), &fold_of, folds, 0), [], "{name}, {folds} folds");
        }
    }
}

#[test]
fn impossible_folds_are_refused() {
    let labels = Array2::from_elem((4, 1), true);
    let refused = |patients: &[&str], folds| {
        let patients: Vec<Option<&str>> = patients.iter().copied().map(Some).collect();
        folds_by_patient(labels.view(), &patients, folds, 0).expect_err("refused")
    };
    assert!(matches!(refused(&["a", "b", "c", "d"], 1), IoError::TooFewPatients { .. }));
    assert!(matches!(
        refused(&["a", "a", "a", "b"], 3),
        IoError::TooFewPatients { patients: 2, .. }
    ));
    assert!(matches!(refused(&["a"], 2), IoError::PatientCount { records: 4, patients: 1 }));
}

#[test]
fn a_patient_with_most_records_is_not_divided() {
    let labels = Array2::from_elem((100, 2), true);
    let patients: Vec<Option<String>> = (0..100)
        .map(|row| Some(if row < 60 { "one".to_owned() } else { row.to_string() }))
        .collect();
    let fold_of = folds_by_patient(labels.view(), &patients, 4, 7).expect("folds");
    assert_whole(&patients, &fold_of, 4);
}

#[test]
fn unknown_patients_are_spread_over_folds() {
    let labels = Array2::from_elem((12, 1), true);
    // Names that could be taken for the ids of unknown patients change nothing.
    let mut patients: Vec<Option<&str>> = vec![None; 12];
    for (row, id) in [(0, ""), (3, "p"), (7, "p"), (9, "1")] {
        patients[row] = Some(id);
    }
    let fold_of = folds_by_patient(labels.view(), &patients, 3, 1).expect("folds");
    assert_eq!(label_counts(labels.view(), &fold_of, 3), Array2::from_elem((3, 1), 4));
    assert_eq!(fold_of[3], fold_of[7]);
    let eleven = folds_by_patient(labels.view(), &patients, 11, 1).expect("eleven patients");
    assert_eq!(eleven.iter().max(), Some(&10));
    let error = folds_by_patient(labels.view(), &patients, 12, 1).expect_err("too many folds");
    assert!(matches!(error, IoError::TooFewPatients { patients: 11, folds: 12 }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn folds_are_even_where_patients_have_few_records(
        seed in any::<u64>(),
        rates in prop::collection::vec(0.02..0.6_f64, 1..8),
        draws in prop::collection::vec(any::<u64>(), 200..500),
        per_patient in 1_usize..3,
        folds in 2_u32..8,
    ) {
        // A uniform number for each record and label, derived from the record's draw.
        let labels = Array2::from_shape_fn((draws.len(), rates.len()), |(row, k)| {
            let mixed = (draws[row] ^ (k as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((mixed >> 40) as f64) < rates[k] * (1_u64 << 24) as f64
        });
        let patients: Vec<Option<String>> =
            (0..draws.len()).map(|row| Some((row / per_patient).to_string())).collect();
        let fold_of = folds_by_patient(labels.view(), &patients, folds, seed).expect("folds");
        assert_whole(&patients, &fold_of, folds);
        // A patient with two records of a rare label is not divided.
        prop_assert_eq!(uneven(labels.view(), &fold_of, folds, per_patient - 1), vec![]);
        prop_assert_eq!(&fold_of, &folds_by_patient(labels.view(), &patients, folds, seed).expect("folds"));
    }
}
