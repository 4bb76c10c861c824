//! Which records train, validate and test.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use ecg_io::{Split, folds_by_patient, shared_patients, split_by_fold, split_published};
use ecg3d_examples::source::Source;
use ecg3d_examples::{say, say_err, sha256};
use ecg3d_models::TrainData;
use ndarray::{Array2, Axis};

use crate::arguments::{Arguments, SplitBy};

/// The records of one training run, and the fold that validates (0 if none does).
pub struct OneFold {
    pub fold: u32,
    pub split: Split,
}

/// Returns the splits of the training runs that were asked for: one, or that of each fold.
///
/// # Errors
/// Returns an error if there are no such folds or no records to train on, or if a record has no fold in a label table
/// whose folds are asked for.
pub fn splits(
    source: &Source,
    data: &TrainData,
    by: SplitBy,
    arguments: &Arguments,
) -> Result<Vec<OneFold>> {
    let test_fold = arguments.test_fold;
    if arguments.trains_on_all(by) {
        // No records are kept for testing.
        let mut all = Split::default();
        all.train = (0..data.len()).collect();
        return Ok(vec![OneFold { fold: 0, split: all }]);
    }
    if by == SplitBy::Published {
        let labelled: Vec<usize> = (0..data.len())
            .filter(|&row| data.labels.row(row).iter().any(|&label| label))
            .collect();
        let fold = arguments.one_fold();
        let folds = if arguments.all_folds() { 0..arguments.n_folds() } else { fold..fold + 1 };
        let split = |fold| {
            let mut split = split_published(&labelled, fold)?;
            if arguments.no_validation {
                split.train.append(&mut split.val);
                split.train.sort_unstable();
            }
            Ok(OneFold { fold, split })
        };
        return folds.map(split).collect();
    }
    let (fold_of, one) = match by {
        SplitBy::Labels => {
            let folds: Vec<u32> = source.folds.iter().flatten().copied().collect();
            ensure!(
                folds.len() == data.len(),
                "found {} folds of {} records, expected one for each",
                folds.len(),
                data.len()
            );
            let others = folds.iter().copied().filter(|&fold| Some(fold) != test_fold);
            let largest = others.max().unwrap_or(0);
            (folds, arguments.val_fold.unwrap_or(largest))
        }
        _ => {
            // In the order of the source, because that of the data may be the order of the weights to start from.
            let labels = source.require_labels(&source.label_set)?;
            let (patients, folds) = (patients(data), arguments.n_folds());
            let folds = folds_by_patient(labels.view(), &patients, folds, arguments.seed)?;
            (folds, arguments.one_fold())
        }
    };
    if let Some(fold) = test_fold {
        let mut split = split_by_fold(&fold_of, fold)?;
        if arguments.no_validation {
            split.test = std::mem::take(&mut split.val);
            return Ok(vec![OneFold { fold: 0, split }]);
        }
    }
    let folds: BTreeSet<u32> = if arguments.all_folds() {
        fold_of.iter().copied().filter(|&fold| Some(fold) != test_fold).collect()
    } else {
        BTreeSet::from([one])
    };
    let split = |fold| {
        let mut split = split_by_fold(&fold_of, fold)?;
        let others = std::mem::take(&mut split.train).into_iter();
        (split.test, split.train) = others.partition(|&row| Some(fold_of[row]) == test_fold);
        ensure!(
            !split.train.is_empty(),
            "no fold is left to train on: fold {fold} is for validation, and all others are kept for testing"
        );
        Ok(OneFold { fold, split })
    };
    folds.into_iter().map(split).collect()
}

/// Returns the patient of each record. Those who are unknown have ids of their own.
fn patients(data: &TrainData) -> Vec<Option<&str>> {
    data.patients.iter().map(|id| Some(id.as_str())).collect()
}

/// Counts the patients who have records both for testing and for training or validation.
pub fn tested_patients_seen(data: &TrainData, split: &Split) -> usize {
    shared_patients(&patients(data), &[&split.train[..], &split.val].concat(), &split.test)
}

/// Returns the SHA-256 of the sorted names of some records, each followed by a line feed, by which to see
/// whether two runs have the same ones.
pub fn names_sha256(data: &TrainData, rows: &[usize]) -> String {
    let mut names: Vec<&str> = rows.iter().map(|&row| data.names[row].as_str()).collect();
    names.sort_unstable();
    let lines: String = names.into_iter().flat_map(|name| [name, "\n"]).collect();
    sha256(lines.as_bytes())
}

/// Reports the training data: how many records there are, and how many of them have each label. Warns of
/// patients who are tested and not new to the network.
pub fn summarise(data: &TrainData, split: &Split) {
    let count = |rows: &[usize]| {
        let labels: Array2<bool> = data.labels.select(Axis(0), rows);
        let counts: Vec<String> = data
            .label_set
            .iter()
            .zip(labels.columns())
            .map(|(label, column)| {
                format!("{label} {}", column.iter().filter(|&&label| label).count())
            })
            .collect();
        format!("{} records: {}", rows.len(), counts.join(", "))
    };
    say!("training on {}", count(&split.train));
    say!("validating on {}", count(&split.val));
    if !split.test.is_empty() {
        say!(
            "kept for testing: {}; SHA-256 of their sorted names: {}",
            count(&split.test),
            names_sha256(data, &split.test)
        );
    }
    match tested_patients_seen(data, split) {
        0 => {}
        patients => {
            let who = if patients == 1 { "patient has" } else { "patients have" };
            say_err!(
                "warning: {patients} {who} records both for testing and for training or validation; the test metrics \
                 are too optimistic for new patients"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitCode;

    use clap::Parser;
    use ecg_core::LabelSet;
    use ecg3d_examples::SOME_FAILED;
    use ecg3d_examples::source::Rows;
    use ndarray::Array3;

    /// Records with these names in these folds.
    fn in_folds<const N: usize>(names: [&str; N], folds: [Option<u32>; N]) -> Source {
        let rows = Rows::Prepared { signals: Array3::zeros((N, 12, 100)), lengths: vec![100; N] };
        let mut source = Source::unlabelled(names.map(str::to_owned).to_vec(), rows);
        source.folds = folds.to_vec();
        source
    }

    /// The same records with all labels.
    fn data_of(source: &Source) -> TrainData {
        let records = source.names.len();
        TrainData {
            prepared: Array3::zeros((records, 12, 100)),
            lengths: vec![100; records],
            labels: Array2::from_elem((records, 7), true),
            label_set: LabelSet::seven(),
            patients: source.patient_ids(),
            names: source.names.clone(),
        }
    }

    /// Six records of three patients, two in each of the folds 1 to 3.
    fn records() -> (Source, TrainData) {
        let folds = [1, 1, 2, 2, 3, 3].map(Some);
        let mut source = in_folds(["b", "a", "d", "c", "f", "e"], folds);
        source.patients = ["p", "p", "q", "q", "p", "r"].map(|own| Some(own.to_owned())).to_vec();
        let data = data_of(&source);
        (source, data)
    }

    fn arguments(more: &str) -> Arguments {
        let line = format!("train --data d --model ribeiro --out o --split labels {more}");
        Arguments::try_parse_from(line.split_whitespace()).expect("parses")
    }

    #[test]
    fn a_fold_of_the_table_is_kept_for_testing() {
        let (source, data) = records();
        let of = |more: &str| {
            let arguments = arguments(more);
            arguments.check_split(SplitBy::Labels).expect("goes together");
            splits(&source, &data, SplitBy::Labels, &arguments)
        };
        type Parts = (u32, [Vec<usize>; 3]);
        let parts = |more: &str| -> Vec<Parts> {
            let splits = of(more).expect("splits").into_iter();
            let lists = splits.map(|own| (own.fold, own.split));
            lists.map(|(fold, own)| (fold, [own.train, own.val, own.test])).collect()
        };
        let test = || vec![4, 5];
        let first: Parts = (1, [vec![2, 3], vec![0, 1], test()]);
        let second: Parts = (2, [vec![0, 1], vec![2, 3], test()]);
        // Validation takes the largest fold that is left.
        assert_eq!(parts("--test-fold 3"), std::slice::from_ref(&second));
        assert_eq!(parts("--test-fold 3 --val-fold 1"), std::slice::from_ref(&first));
        assert_eq!(parts("--test-fold 3 --fold all"), [first, second]);
        let all: Parts = (0, [vec![0, 1, 2, 3], vec![], test()]);
        assert_eq!(parts("--test-fold 3 --no-validation"), [all]);
        let none: Parts = (3, [vec![0, 1, 2, 3], test(), vec![]]);
        assert_eq!(parts(""), [none]);
        let error = of("--test-fold 7").err().expect("no such fold").to_string();
        assert!(error.contains("fold 7 has no records"), "{error}");

        let (mut source, data) = records();
        source.folds = [1, 1, 2, 2, 2, 2].map(Some).to_vec();
        let two = arguments("--test-fold 2");
        let error = splits(&source, &data, SplitBy::Labels, &two).err().expect("no third fold");
        assert!(error.to_string().starts_with("no fold is left to train on"), "{error}");
    }

    #[test]
    fn a_split_counts_only_the_records_that_have_a_fold() {
        let mut source = in_folds(["a", "b", "c"], [Some(1), None, Some(2)]);
        let of = |source: &Source| {
            let data = data_of(source);
            let mut splits = splits(source, &data, SplitBy::Labels, &arguments("--val-fold 2"))?;
            let split = splits.remove(0).split;
            let names = |rows: &[usize]| -> Vec<String> {
                rows.iter().map(|&row| data.names[row].clone()).collect()
            };
            anyhow::Ok([names(&split.train), names(&split.val)])
        };
        let error = of(&source).expect_err("b has none").to_string();
        assert_eq!(error, "found 2 folds of 3 records, expected one for each");
        source.drop_without_fold().expect("two are left");
        assert_eq!(of(&source).expect("splits"), [["a"], ["c"]]);
        let codes = [source.exit_code(), ExitCode::from(SOME_FAILED)];
        let [found, expected] = codes.map(|code| format!("{code:?}"));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_folds_do_not_depend_on_the_weights_to_start_from() {
        let mut source = in_folds(["a", "b", "c", "d", "e", "f"], [None; 6]);
        source.label_set = LabelSet::new(["AF", "SB"]).expect("labels");
        source.labels = vec![Some(vec![false; 2]); 6];
        source.labels[4] = Some(vec![true, false]);
        source.labels[5] = Some(vec![false, true]);
        let validated = |order: [&str; 2]| {
            let mut data = data_of(&source);
            data.label_set = LabelSet::new(order).expect("labels");
            data.labels = source.require_labels(&data.label_set).expect("has labels");
            let arguments = arguments("--folds 2");
            let mut splits = splits(&source, &data, SplitBy::Kfold, &arguments).expect("splits");
            splits.remove(0).split.val
        };
        assert_eq!(validated(["AF", "SB"]), [0, 2, 4]);
        assert_eq!(validated(["SB", "AF"]), [0, 2, 4]);
    }

    #[test]
    fn a_test_fold_needs_the_folds_of_the_table_and_one_of_its_own() {
        let refused =
            |more: &str, by| arguments(more).check_split(by).expect_err("refused").to_string();
        let error = refused("--test-fold 3 --val-fold 3", SplitBy::Labels);
        assert_eq!(error, "--test-fold 3 is also the fold of --val-fold");
        for (by, name) in [(SplitBy::Published, "published"), (SplitBy::Kfold, "kfold")] {
            let error = refused("--test-fold 3", by);
            assert_eq!(error, format!("--test-fold has no effect with --split {name}"));
        }
    }

    #[test]
    fn tested_records_have_a_hash_and_their_patients_are_counted() {
        let (source, data) = records();
        let of = |more: &str| {
            let arguments = arguments(more);
            let mut splits = splits(&source, &data, SplitBy::Labels, &arguments).expect("splits");
            splits.remove(0).split
        };
        let split = of("--test-fold 3");
        // Patient p also has records in fold 1.
        assert_eq!(tested_patients_seen(&data, &split), 1);
        assert_eq!(tested_patients_seen(&data, &of("--test-fold 2")), 0);
        assert_eq!(names_sha256(&data, &split.test), sha256(b"e\nf\n"));
        assert_eq!(names_sha256(&data, &[5, 4]), names_sha256(&data, &[4, 5]));
    }
}
