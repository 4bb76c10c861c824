use std::ops::ControlFlow;

use ecg_core::{LabelSet, LeadMask, PredictSubsets};
use ndarray::{Array2, ArrayView2, s};
use serde::Serialize;

use crate::players::{MAX_LEADS, MAX_PLAYERS};
use crate::{LimeError, Players, all_masks, masks::removals};

/// Which subsets of the players are evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subsets {
    /// All 2^n, in counting order. What Shapley values need.
    All,
    /// All ways to remove 1 to this many players; 4 of twelve leads are the published 793.
    Removed(usize),
    /// These. They must keep no player that does not exist.
    Given(Vec<LeadMask>),
}

/// How subsets are evaluated.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EvaluateOptions {
    /// Most perturbed inputs handed to the predictor at once. Default: 64.
    pub batch: usize,
    /// How far the derived limb leads may be from what I and II make of them, in the signal's units (50 uV is the usual
    /// limit). Default: `None`, a twentieth of the largest value among the limb leads.
    pub einthoven_tolerance: Option<f64>,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self { batch: 64, einthoven_tolerance: None }
    }
}

impl EvaluateOptions {
    /// Sets the largest batch.
    pub fn with_batch(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    /// Sets the tolerance of the limb leads, in the signal's units.
    pub fn with_einthoven_tolerance(mut self, tolerance: f64) -> Self {
        self.einthoven_tolerance = Some(tolerance);
        self
    }
}

/// Limb leads that contradict each other, for which each of the twelve leads was made a player.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Einthoven {
    /// Largest difference from what I and II make of the derived leads, in the signal's units.
    pub residual: f64,
    /// What was tolerated.
    pub tolerance: f64,
}

/// Probabilities of every label for one record under many subsets of its leads.
///
/// One set of evaluations serves all labels and all methods that need no other subsets.
#[derive(Debug, Clone, PartialEq)]
pub struct SubsetEvaluations {
    pub(crate) players: Players,
    pub(crate) labels: LabelSet,
    pub(crate) masks: Vec<LeadMask>,
    pub(crate) probabilities: Array2<f64>,
    pub(crate) all: Vec<f64>,
    pub(crate) none: Vec<f64>,
    pub(crate) evaluations: usize,
    pub(crate) fallback: Option<Einthoven>,
}

impl SubsetEvaluations {
    /// Evaluates a predictor on subsets of one prepared signal `[lead, sample]`.
    ///
    /// The full and the empty subset are always evaluated. Where `players` derive limb leads that the recording itself
    /// contradicts, each lead becomes a player, and [`SubsetEvaluations::fallback`] says so. At most `options.batch` perturbed
    /// inputs exist at a time; `observer` hears `(done, total)` after each batch and may stop the work.
    ///
    /// # Errors
    /// A signal whose leads are not those of the players; too many players for all subsets; a given subset that keeps a
    /// player who does not exist; what the predictor reports, or values from it that are no probabilities; an observer that
    /// asked to stop.
    pub fn new<P: PredictSubsets + ?Sized>(
        predictor: &P,
        prepared: ArrayView2<'_, f32>,
        players: &Players,
        subsets: &Subsets,
        options: &EvaluateOptions,
        observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Self, LimeError> {
        let leads = players.lead_names().len();
        if prepared.nrows() != leads {
            return Err(LimeError::LeadCount { expected: leads, found: prepared.nrows() });
        }
        let residual = players.einthoven_residual(prepared);
        let tolerance =
            options.einthoven_tolerance.unwrap_or_else(|| players.limb_peak(prepared) / 20.0);
        let fallback = (residual > tolerance).then_some(Einthoven { residual, tolerance });
        let players = if fallback.is_some() { players.each_lead() } else { players.clone() };

        let n = players.len();
        let most = if *subsets == Subsets::All { MAX_PLAYERS } else { MAX_LEADS };
        if !(1..=most).contains(&n) {
            return Err(LimeError::PlayerCount { found: n, max: most });
        }
        let masks = match subsets {
            Subsets::All => all_masks(n),
            Subsets::Removed(most) => removals(n, *most),
            Subsets::Given(masks) => masks.clone(),
        };
        for (subset, mask) in masks.iter().enumerate() {
            let beyond = mask.0 & !LeadMask::all(n).0;
            if beyond != 0 {
                let player = beyond.trailing_zeros() as usize;
                return Err(LimeError::Mask { subset, player, players: n });
            }
        }
        let mut wanted = masks.clone();
        let place = |wanted: &mut Vec<LeadMask>, mask: LeadMask| {
            wanted.iter().position(|own| *own == mask).unwrap_or_else(|| {
                wanted.push(mask);
                wanted.len() - 1
            })
        };
        let none = place(&mut wanted, LeadMask(0));
        let all = place(&mut wanted, LeadMask::all(n));

        let every =
            predict(predictor, prepared, &players, &wanted, options.batch.max(1), observer)?;
        Ok(Self {
            all: every.row(all).to_vec(),
            none: every.row(none).to_vec(),
            probabilities: every.slice(s![..masks.len(), ..]).to_owned(),
            labels: predictor.labels().clone(),
            evaluations: wanted.len(),
            players,
            masks,
            fallback,
        })
    }

    /// Who plays: those asked for, or each lead where the limb leads contradict each other.
    pub fn players(&self) -> &Players {
        &self.players
    }

    /// The predictor's labels: the columns of [`SubsetEvaluations::probabilities`].
    pub fn labels(&self) -> &LabelSet {
        &self.labels
    }

    /// The subsets, over the players.
    pub fn masks(&self) -> &[LeadMask] {
        &self.masks
    }

    /// Probabilities `[subset, label]`.
    pub fn probabilities(&self) -> ArrayView2<'_, f64> {
        self.probabilities.view()
    }

    /// Probability of each label with every player kept: that of the record itself.
    pub fn probability_of_all(&self) -> &[f64] {
        &self.all
    }

    /// Probability of each label with no player kept.
    pub fn probability_of_none(&self) -> &[f64] {
        &self.none
    }

    /// Perturbed inputs that were evaluated.
    pub fn evaluations(&self) -> usize {
        self.evaluations
    }

    /// Set where the limb leads contradict each other and each lead was made a player for that reason.
    pub fn fallback(&self) -> Option<Einthoven> {
        self.fallback
    }

    /// Column of a label.
    pub(crate) fn column(&self, label: &str) -> Result<usize, LimeError> {
        self.labels.index_of(label).ok_or_else(|| LimeError::UnknownLabel {
            found: label.to_owned(),
            known: self.labels.to_string(),
        })
    }

    /// Whether the subsets are all 2^n in counting order.
    pub(crate) fn require_all(&self, method: &'static str) -> Result<(), LimeError> {
        let expected = 1 << self.players.len();
        let in_order = self.masks.iter().enumerate().all(|(m, mask)| mask.0 as usize == m);
        if self.masks.len() == expected && in_order {
            Ok(())
        } else {
            Err(LimeError::Incomplete { method, expected, found: self.masks.len() })
        }
    }
}

fn predict<P: PredictSubsets + ?Sized>(
    predictor: &P,
    prepared: ArrayView2<'_, f32>,
    players: &Players,
    masks: &[LeadMask],
    batch: usize,
    observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Array2<f64>, LimeError> {
    let labels = predictor.labels();
    let mut out = Array2::zeros((masks.len(), labels.len()));
    let mut done = 0;
    for chunk in masks.chunks(batch) {
        let last = done + chunk.len() - 1;
        let found = if players.derives_limb_leads() {
            predictor.predict_proba(players.masked(prepared, chunk).view())
        } else {
            let leads: Vec<LeadMask> = chunk.iter().map(|mask| players.lead_mask(*mask)).collect();
            predictor.predict_subsets(prepared, &leads)
        };
        let found = found.map_err(|source| LimeError::Predict { first: done, last, source })?;
        if found.dim() != (chunk.len(), labels.len()) {
            return Err(LimeError::PredictedShape {
                expected: [chunk.len(), labels.len()],
                found: [found.nrows(), found.ncols()],
            });
        }
        for ((row, column), p) in found.indexed_iter() {
            if !(0.0..=1.0).contains(p) {
                let label = labels.as_slice()[column].clone();
                return Err(LimeError::Probability { input: done + row, label, found: *p });
            }
        }
        out.slice_mut(s![done..=last, ..]).assign(&found);
        done = last + 1;
        if observer(done, masks.len()).is_break() {
            return Err(LimeError::Stopped { done, total: masks.len() });
        }
    }
    Ok(out)
}
