use std::ops::ControlFlow;

use ecg_core::{LeadMask, PredictSubsets};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::agreement::falling;
use crate::evaluate::column;
use crate::evaluator::Evaluator;
use crate::{
    EvaluateOptions, Explanation, LimeError, Partial, Segments, SubsetEvaluations, Target,
};

/// How the target falls and rises as players are removed and added in the order of their values (Petsiuk, Das
/// and Saenko 2018).
///
/// Both curves run over the share of the players, from 0 to 1 in equal steps. The area under a curve is its
/// mean height (trapezoidal rule), in units of the target. An order that is worth something has a small area
/// under deletion and a large one under insertion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Faithfulness {
    /// The quantity whose curves these are.
    pub target: Target,
    /// The target as players are removed, largest value first: from f(all) to f(none).
    pub deletion: Vec<f64>,
    /// Area under `deletion`.
    pub deletion_auc: f64,
    /// The target as players are added, largest value first: from f(none) to f(all).
    pub insertion: Vec<f64>,
    /// Area under `insertion`.
    pub insertion_auc: f64,
    /// Mean area under either curve over all orders, which is what an uninformed order achieves. `None` if not
    /// every subset was evaluated.
    pub chance_auc: Option<f64>,
}

impl Faithfulness {
    fn new(target: Target, deletion: Vec<f64>, insertion: Vec<f64>) -> Self {
        let (deletion_auc, insertion_auc) = (area(&deletion), area(&insertion));
        Self { target, deletion, deletion_auc, insertion, insertion_auc, chance_auc: None }
    }
}

/// Area by the trapezoidal rule over equal steps from 0 to 1.
fn area(curve: &[f64]) -> f64 {
    let steps = curve.len() - 1;
    curve.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum::<f64>() / steps as f64
}

/// Players by decreasing value; ties keep their order.
fn order(explanation: &Explanation) -> Vec<usize> {
    let mut order: Vec<usize> = (0..explanation.values.len()).collect();
    let value = |k: usize| explanation.values[k].value;
    order.sort_by(|a, b| falling(value(*a), value(*b)));
    order
}

fn require_players(
    explanation: &Explanation,
    names: impl Iterator<Item = String>,
) -> Result<(), LimeError> {
    let names: Vec<String> = names.collect();
    let own: Vec<&str> = explanation.values.iter().map(|own| own.lead.as_str()).collect();
    if own == names && !own.is_empty() {
        return Ok(());
    }
    Err(LimeError::Unlike { left: own.join(","), right: names.join(",") })
}

impl SubsetEvaluations {
    /// Returns the deletion and insertion curves of an explanation, looked up among all subsets without further
    /// evaluations.
    ///
    /// # Errors
    /// Returns an error if the work was stopped or other subsets than all were evaluated, if the label is
    /// unknown, or if the explanation has other players.
    pub fn faithfulness(
        &self,
        explanation: &Explanation,
        target: Target,
    ) -> Result<Faithfulness, LimeError> {
        if let Some(Partial { done, total }) = self.partial {
            return Err(LimeError::Stopped { done, total });
        }
        self.require_all("faithfulness")?;
        require_players(explanation, self.players.iter().map(|own| own.name.clone()))?;
        let column = self.column(&explanation.label)?;
        let values = self.values.of(target).column(column).to_vec();
        let n = self.players.len();
        let full = LeadMask::all(n).0;
        let (mut deletion, mut insertion) = (vec![values[full as usize]], vec![values[0]]);
        let mut added = 0u32;
        for player in order(explanation) {
            added |= 1 << player;
            insertion.push(values[added as usize]);
            deletion.push(values[(full & !added) as usize]);
        }
        let mut found = Faithfulness::new(target, deletion, insertion);
        // Every subset of one size is equally likely along a random order.
        let (mut sums, mut counts) = (vec![0.0; n + 1], vec![0.0; n + 1]);
        for (mask, value) in self.masks.iter().zip(&values) {
            sums[mask.kept() as usize] += value;
            counts[mask.kept() as usize] += 1.0;
        }
        let means: Vec<f64> = sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect();
        found.chance_auc = Some(area(&means));
        Ok(found)
    }
}

/// Evaluates the deletion and insertion curves of an explanation of lead x time segments, or of whole leads
/// ([`Segments::whole`]).
///
/// This takes 2 x (players + 1) further evaluations. `observer` is called with `(done, total)` evaluations
/// after each batch.
///
/// If the explanation fell back to making each lead a player, pass the segments that
/// [`SampledShapley::segments`](crate::SampledShapley::segments) returns.
///
/// # Errors
/// Returns an error in these cases:
/// - The signal does not have the shape of the segments, or the baseline does not fit it
///   ([`Baseline`](crate::Baseline)).
/// - The label is unknown.
/// - The explanation has other players.
/// - The predictor fails, or returns values that are not probabilities.
/// - The observer asks to stop: an incomplete curve has no area.
pub fn faithfulness<P: PredictSubsets + ?Sized>(
    predictor: &P,
    prepared: ArrayView2<'_, f32>,
    segments: &Segments,
    explanation: &Explanation,
    target: Target,
    options: &EvaluateOptions,
    observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Faithfulness, LimeError> {
    require_players(explanation, segments.names().into_iter())?;
    let column = column(predictor.labels(), &explanation.label)?;
    let (count, full) = (segments.count(), LeadMask::all(segments.leads().len()));
    let mut evaluator = Evaluator::new(predictor, prepared, segments, &options.baseline)?;
    let (mut done, total) = (0, 2 * (segments.len() + 1));
    let mut curve = |start: LeadMask| -> Result<Vec<f64>, LimeError> {
        let mut coalition = vec![start; count];
        let mut coalitions = coalition.clone();
        for player in order(explanation) {
            let (lead, segment) = segments.place(player);
            coalition[segment].0 ^= 1 << lead;
            coalitions.extend(&coalition);
        }
        let mut values = Vec::new();
        for chunk in coalitions.chunks(options.batch.max(1).saturating_mul(count)) {
            values.extend(evaluator.values(chunk)?.of(target).column(column));
            done += chunk.len() / count;
            // An observer that stops after the last batch gets the complete result.
            if observer(done, total).is_break() && done < total {
                return Err(LimeError::Stopped { done, total });
            }
        }
        Ok(values)
    };
    let (deletion, insertion) = (curve(full)?, curve(LeadMask(0))?);
    Ok(Faithfulness::new(target, deletion, insertion))
}
