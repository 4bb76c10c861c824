//! Examples of recordings for which the network predicts a label, correctly as far as that is known, with
//! explanations.

use std::ops::ControlFlow;

use anyhow::{Context, Result};
use ecg_core::{Lead, Recording};
use ecg_io::Dataset;
use ecg_lime::{EvaluateOptions, ExplainOptions, Explanation, Players, SubsetEvaluations, Target};
use ecg3d_examples::Progress;
use ecg3d_examples::source::{Rows, Source};
use ecg3d_models::Model;
use ndarray::{Array2, Axis, s, stack};

use crate::with_model::einthoven::einthoven_tolerance;

/// A recording for which the network predicts a label, with an explanation.
pub struct Example {
    /// The label that it is an example of.
    pub label: String,
    /// Row of the probabilities.
    pub place: usize,
    /// The window that was explained, in seconds from the start.
    pub seconds: [f64; 2],
    /// The recording.
    pub recording: Recording,
    /// The true labels, if known.
    pub truth: Option<Vec<bool>>,
    /// Probability of each label.
    pub probabilities: Vec<f64>,
    /// The contribution of each lead to the label in that window.
    pub explanation: Explanation,
}

/// Chooses for each label the recording with the highest probability above the threshold, as a row of
/// `probabilities` `[record, label]`. If the truth of any recording is known, only recordings that are known to
/// have the label are considered.
pub fn choose(
    truth: &[Option<Vec<bool>>],
    probabilities: &Array2<f64>,
    thresholds: &[f64],
) -> Vec<Option<usize>> {
    let known = truth.iter().any(Option::is_some);
    let has = |n: usize, label: usize| truth[n].as_ref().is_some_and(|own| own[label]);
    (0..probabilities.ncols())
        .map(|label| {
            (0..probabilities.nrows())
                .filter(|&n| probabilities[[n, label]] > thresholds[label])
                .filter(|&n| !known || has(n, label))
                .max_by(|&a, &b| probabilities[[a, label]].total_cmp(&probabilities[[b, label]]))
        })
        .collect()
}

/// Explains the chosen row of each label by its window with the highest probability. `rows` are the rows of the
/// source that `chosen`, `truth` and `probabilities` refer to.
///
/// Exact Shapley values of eight players take 256 passes for each window. A recording has nine windows, of
/// which one is enough to see what the network relies on. If the limb leads contradict each other, there are
/// twelve players, as in `explain`.
pub fn explain(
    model: &Model,
    source: &Source,
    dataset: &Dataset,
    rows: &[usize],
    truth: &[Option<Vec<bool>>],
    probabilities: &Array2<f64>,
    chosen: &[Option<usize>],
) -> Result<Vec<Example>> {
    let Rows::Prepared { signals, lengths } = &source.rows else {
        anyhow::bail!("found volumes, expected recordings");
    };
    let players = Players::independent(&Lead::STANDARD_12)?;
    let options = ExplainOptions::default().with_target(Target::Logit);
    let preprocessing = &model.card().preprocessing;
    let mut evaluate = EvaluateOptions::default();
    if let Some(tolerance) = einthoven_tolerance(preprocessing) {
        evaluate = evaluate.with_einthoven_tolerance(tolerance);
    }
    let samples = preprocessing.window_samples();
    let rate = samples as f64 / preprocessing.window_s;
    let progress = Progress::new(chosen.iter().flatten().count() as u64, "decisions explained");
    let mut examples = Vec::new();
    for ((column, label), place) in model.labels().iter().enumerate().zip(chosen) {
        let Some(place) = *place else { continue };
        let row = rows[place];
        let starts = preprocessing.window_starts(lengths[row]);
        let windows: Vec<_> = starts
            .iter()
            .map(|&start| signals.slice(s![row, .., start..start + samples]))
            .collect();
        let own = model.predict_prepared(stack(Axis(0), &windows)?.view(), None)?;
        let best = (0..starts.len())
            .max_by(|&a, &b| own[[a, column]].total_cmp(&own[[b, column]]))
            .context("a recording without a window")?;
        let evaluations = SubsetEvaluations::new(
            model,
            windows[best],
            &players,
            &options.subsets(),
            &evaluate,
            &mut |_, _| ControlFlow::Continue(()),
        )?;
        let outcome = evaluations.explain(label, &options)?;
        let explanation = outcome.explanation().context("Shapley values always exist")?.clone();
        examples.push(Example {
            label: label.to_owned(),
            place,
            seconds: [starts[best], starts[best] + samples].map(|sample| sample as f64 / rate),
            recording: recording(source, dataset, row)?,
            truth: truth[place].clone(),
            probabilities: probabilities.row(place).to_vec(),
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
    let index =
        dataset.index_of(name).with_context(|| format!("record {name} no longer exists"))?;
    Ok(dataset.load(index)?.recording)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_surest_of_those_that_have_the_label_is_chosen() {
        let probabilities = array![[0.9, 0.4], [0.8, 0.3], [0.7, 0.2]];
        let truth = [[false, true], [true, true], [true, true]].map(|own| Some(own.to_vec()));
        assert_eq!(choose(&truth, &probabilities, &[0.5, 0.5]), [Some(1), None]);
        let third = [None, None, truth[2].clone()];
        assert_eq!(choose(&third, &probabilities, &[0.5, 0.5]), [Some(2), None]);
        assert_eq!(choose(&[None, None, None], &probabilities, &[0.5, 0.5]), [Some(0), None]);
    }
}
