//! Recordings that the network got right, and why it did.

use std::ops::ControlFlow;

use anyhow::{Context, Result};
use ecg_core::{Lead, Recording};
use ecg_io::Dataset;
use ecg_lime::{EvaluateOptions, ExplainOptions, Explanation, Players, SubsetEvaluations, Target};
use ecg3d_examples::Progress;
use ecg3d_examples::source::{Rows, Source};
use ecg3d_models::Model;
use ndarray::{Array2, s};

/// A recording that the network got right for one label, and why it did.
pub struct Example {
    /// The label it is an example of.
    pub label: String,
    /// Row of the source.
    pub row: usize,
    /// The recording.
    pub recording: Recording,
    /// The labels it truly has.
    pub truth: Vec<bool>,
    /// Probability of each label.
    pub probabilities: Vec<f64>,
    /// What each lead did for the label.
    pub explanation: Explanation,
}

/// For each label, the true positive with the highest probability, as a row of `truth` `[record, label]`.
pub fn choose(
    truth: &Array2<bool>,
    probabilities: &Array2<f64>,
    thresholds: &[f64],
) -> Vec<Option<usize>> {
    (0..truth.ncols())
        .map(|label| {
            (0..truth.nrows())
                .filter(|&n| truth[[n, label]] && probabilities[[n, label]] > thresholds[label])
                .max_by(|&a, &b| probabilities[[a, label]].total_cmp(&probabilities[[b, label]]))
        })
        .collect()
}

/// Explains the chosen record of each label; `test` holds the rows of the source that `chosen` counts in.
pub fn explain(
    model: &Model,
    source: &Source,
    dataset: &Dataset,
    test: &[usize],
    chosen: &[Option<usize>],
) -> Result<Vec<Example>> {
    let Rows::Prepared { signals, lengths } = &source.rows else {
        anyhow::bail!("recordings are needed, not volumes");
    };
    let truth = source.require_labels(model.labels())?;
    let players = Players::independent(&Lead::STANDARD_12)?;
    let options = ExplainOptions::default().with_target(Target::Logit);
    let todo = chosen.iter().flatten().count();
    let progress = Progress::new(todo as u64, "decisions explained");
    let mut examples = Vec::with_capacity(todo);
    // A record may be the example of several labels: its subsets are evaluated once.
    let mut evaluated: Vec<(usize, SubsetEvaluations)> = Vec::new();
    for (label, n) in model.labels().iter().zip(chosen) {
        let Some(n) = n else { continue };
        let row = test[*n];
        let known = evaluated.iter().position(|(own, _)| *own == row);
        let index = match known {
            Some(index) => index,
            None => {
                let evaluations = SubsetEvaluations::new(
                    model,
                    signals.slice(s![row, .., ..lengths[row]]),
                    &players,
                    &options.subsets(),
                    &EvaluateOptions::default(),
                    &mut |_, _| ControlFlow::Continue(()),
                )?;
                evaluated.push((row, evaluations));
                evaluated.len() - 1
            }
        };
        let evaluations = &evaluated[index].1;
        let outcome = evaluations.explain(label, &options)?;
        let explanation = outcome.explanation().context("Shapley values always exist")?.clone();
        examples.push(Example {
            label: label.to_owned(),
            row,
            recording: recording(source, dataset, row)?,
            truth: truth.row(row).to_vec(),
            probabilities: evaluations.probability_of_all().to_vec(),
            explanation,
        });
        progress.inc(1);
    }
    progress.finish();
    Ok(examples)
}

/// Reads the recording behind a row again.
pub fn recording(source: &Source, dataset: &Dataset, row: usize) -> Result<Recording> {
    let name = &source.names[row];
    let index = dataset.index_of(name).with_context(|| format!("record {name} is gone"))?;
    Ok(dataset.load(index)?.recording)
}
