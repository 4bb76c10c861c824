//! Which records train, validate and test.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use ecg_io::{Split, folds_by_patient, split_by_fold, split_published};
use ecg3d_examples::say;
use ecg3d_examples::source::Source;
use ecg3d_models::TrainData;
use ndarray::{Array2, Axis};

use crate::arguments::{Arguments, SplitBy};

/// The records of one training run, and the fold that validates (0 if none does).
pub struct OneFold {
    pub fold: u32,
    pub split: Split,
}

/// Returns the splits of the training runs that were asked for: one, or that of each fold.
pub fn splits(
    source: &Source,
    data: &TrainData,
    by: SplitBy,
    arguments: &Arguments,
) -> Result<Vec<OneFold>> {
    if arguments.no_validation && by != SplitBy::Published {
        // Only the published split keeps records for testing.
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
            let folds = table_folds(source)?;
            let largest = folds.iter().copied().max().unwrap_or(0);
            (folds, arguments.val_fold.unwrap_or(largest))
        }
        _ => {
            let (labels, folds) = (data.labels.view(), arguments.n_folds());
            let folds = folds_by_patient(labels, &data.patients, folds, arguments.seed)?;
            (folds, arguments.one_fold())
        }
    };
    let folds: BTreeSet<u32> = if arguments.all_folds() {
        fold_of.iter().copied().collect()
    } else {
        BTreeSet::from([one])
    };
    let split = |fold| Ok(OneFold { fold, split: split_by_fold(&fold_of, fold)? });
    folds.into_iter().map(split).collect()
}

/// Returns the fold of each record in the label table.
fn table_folds(source: &Source) -> Result<Vec<u32>> {
    let fold = |(fold, name): (&Option<u32>, &String)| {
        fold.with_context(|| {
            format!(
                "record {name} has no fold in {}; --split labels needs a label table with a column fold",
                source.label_source
            )
        })
    };
    source.folds.iter().zip(&source.names).map(fold).collect()
}

/// Reports the training data: how many records there are, and how many of them have each label.
pub fn summarise(source: &Source, data: &TrainData, split: &Split) {
    let count = |rows: &[usize]| {
        let labels: Array2<bool> = data.labels.select(Axis(0), rows);
        let counts: Vec<String> = source
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
        say!("kept for testing: {}", count(&split.test));
    }
}
