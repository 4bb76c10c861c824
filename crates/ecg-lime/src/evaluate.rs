use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use ecg_core::{LabelSet, LeadMask, PredictSubsets};
use ndarray::{ArrayView1, ArrayView2, Axis, s};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::evaluator::{Evaluator, Values};
use crate::masks::{
    check_masks, check_removals, check_samples, removals, sampled_masks, stands_for,
};
use crate::players::{MAX_LEADS, MAX_PLAYERS};
use crate::shapley::{check_partition, shapley_kernel};
use crate::{Baseline, LimeError, Players, Segments, Target, all_masks};

/// Which subsets of the players are evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subsets {
    /// All 2^n, in counting order. Shapley values need these.
    All,
    /// All ways to remove 1 to this many players, at most 2^20 subsets. Removing up to 4 of twelve leads gives
    /// the published 793.
    Removed(usize),
    /// The given subsets, which must not keep a player that does not exist. They are refused if each lead becomes a
    /// player because the limb leads contradict each other ([`LimeError::Fallback`]).
    Given(Vec<LeadMask>),
    /// The full subset, then `samples` - 1 that keep each player with probability 1/2.
    ///
    /// This is how the `lime` package draws, although with another generator. A subset that is drawn twice is
    /// evaluated once.
    Sampled {
        /// Number of subsets, including the full one: 1 to 2^20.
        samples: usize,
        /// Seed of the draw.
        seed: u64,
    },
}

/// How perturbed inputs are made and evaluated.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EvaluateOptions {
    /// The largest number of perturbed inputs handed to the predictor at once; 0 counts as 1. Default: 64.
    pub batch: usize,
    /// How far the derived limb leads may differ from what I and II imply for them, in the signal's units (50
    /// uV is the usual limit). Default: `None`, which stands for a twentieth of the largest value among the
    /// limb leads.
    pub einthoven_tolerance: Option<f64>,
    /// What replaces a removed lead. Default: [`Baseline::Zero`].
    pub baseline: Baseline,
    /// Whether an observer that stops the work gets what has been done rather than [`LimeError::Stopped`].
    /// Default: false.
    ///
    /// If set, subsets are evaluated in a random order with a fixed seed. For all 2^n subsets, this order takes
    /// small and large subsets sooner, since they decide most about Shapley values.
    pub keep_partial: bool,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self { batch: 64, einthoven_tolerance: None, baseline: Baseline::Zero, keep_partial: false }
    }
}

impl EvaluateOptions {
    /// Sets the largest batch size.
    #[must_use]
    pub fn with_batch(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    /// Sets the tolerance for the limb leads, in the signal's units.
    #[must_use]
    pub fn with_einthoven_tolerance(mut self, tolerance: f64) -> Self {
        self.einthoven_tolerance = Some(tolerance);
        self
    }

    /// Sets what replaces a removed lead.
    #[must_use]
    pub fn with_baseline(mut self, baseline: Baseline) -> Self {
        self.baseline = baseline;
        self
    }

    /// Sets whether stopped work returns what has been done.
    #[must_use]
    pub fn with_keep_partial(mut self, keep: bool) -> Self {
        self.keep_partial = keep;
        self
    }

    /// Returns by how much the limb leads of a signal contradict each other, if that exceeds the tolerance and
    /// `players` derive some limb leads from others. Each lead then becomes a player of its own.
    ///
    /// # Errors
    /// Returns an error if the signal does not have the players' leads, or if the tolerance is not a number.
    pub fn fallback(
        &self,
        players: &Players,
        prepared: ArrayView2<'_, f32>,
    ) -> Result<Option<Einthoven>, LimeError> {
        let leads = players.lead_names().len();
        if prepared.nrows() != leads {
            return Err(LimeError::LeadCount { expected: leads, found: prepared.nrows() });
        }
        let residual = players.einthoven_residual(prepared);
        let tolerance =
            self.einthoven_tolerance.unwrap_or_else(|| players.limb_peak(prepared) / 20.0);
        if tolerance.is_nan() {
            let (setting, expected) = ("the tolerance of the limb leads", "a number");
            return Err(LimeError::Setting { setting, expected, found: tolerance });
        }
        Ok((residual > tolerance).then_some(Einthoven { residual, tolerance }))
    }
}

/// A contradiction between the limb leads, because of which each of the twelve leads was made a player.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Einthoven {
    /// Largest difference between the derived leads and what I and II imply for them, in the signal's units.
    pub residual: f64,
    /// The difference that was tolerated.
    pub tolerance: f64,
}

impl Einthoven {
    /// The error for `subsets` or `unions` that are meant for other players than each lead.
    pub(crate) fn refusal(self, given: &'static str) -> LimeError {
        LimeError::Fallback { given, residual: self.residual, tolerance: self.tolerance }
    }
}

/// Refuses unions that do not contain each of `players` exactly once. If they are a partition of the `asked` players
/// instead, in whose place each lead became a player, the error says so.
pub(crate) fn check_unions(
    unions: &[Vec<usize>],
    players: usize,
    asked: usize,
    fallback: Option<Einthoven>,
) -> Result<(), LimeError> {
    check_partition(unions, players).map_err(|error| match fallback {
        Some(own) if check_partition(unions, asked).is_ok() => own.refusal("unions"),
        _ => error,
    })
}

/// The probabilities of every label for one record under many subsets of its leads.
///
/// One set of evaluations serves all labels, both targets and every method that needs no other subsets.
#[derive(Debug, Clone, PartialEq)]
pub struct SubsetEvaluations {
    pub(crate) players: Players,
    pub(crate) labels: LabelSet,
    pub(crate) masks: Vec<LeadMask>,
    pub(crate) values: Values,
    /// Row 0 is the full subset, row 1 the empty one.
    pub(crate) ends: Values,
    pub(crate) evaluations: usize,
    /// Number of players asked for. After a fallback there are others.
    pub(crate) asked: usize,
    pub(crate) fallback: Option<Einthoven>,
    pub(crate) baseline: String,
    pub(crate) seed: Option<u64>,
    /// Whether the subsets were drawn at random, as far as is known: those that were given count as drawn.
    pub(crate) drawn: bool,
    pub(crate) partial: Option<Partial>,
}

/// Work that was stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Partial {
    /// Number of subsets (or permutations) done.
    pub done: usize,
    /// Number of subsets (or permutations) asked for.
    pub total: usize,
}

impl SubsetEvaluations {
    /// Evaluates a predictor on subsets of one prepared signal `[lead, sample]`.
    ///
    /// The full and the empty subset are always evaluated, before any others. If `players` derive limb leads
    /// that the recording itself contradicts, each lead becomes a player, and [`SubsetEvaluations::fallback`]
    /// reports it. Given subsets ([`Subsets::Given`]) are then refused, because their bits mean other players. At
    /// most `options.batch` perturbed inputs exist at a time. `observer` is called with `(done, total)` subsets after
    /// each batch and may stop the work.
    ///
    /// # Errors
    /// Returns an error in these cases:
    /// - The signal does not have the players' leads, or the baseline does not fit it ([`Baseline`]).
    /// - There are too many players for all subsets, or two of one name.
    /// - A given subset keeps a player that does not exist, or subsets are given and the limb leads contradict each
    ///   other ([`LimeError::Fallback`]).
    /// - The number of samples, that of the removals, or the tolerance of the limb leads is out of range
    ///   ([`LimeError::Setting`]).
    /// - The predictor fails, or returns values that are not probabilities.
    /// - The observer asks to stop. With [`EvaluateOptions::keep_partial`], what has been done is returned
    ///   instead, once the full and the empty subset are done.
    pub fn new<P: PredictSubsets + ?Sized>(
        predictor: &P,
        prepared: ArrayView2<'_, f32>,
        players: &Players,
        subsets: &Subsets,
        options: &EvaluateOptions,
        observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Self, LimeError> {
        let fallback = options.fallback(players, prepared)?;
        if let (Some(own), Subsets::Given(_)) = (fallback, subsets) {
            return Err(own.refusal("subsets"));
        }
        let asked = players.len();
        let players = if fallback.is_some() { players.each_lead() } else { players.clone() };
        let masks = masks_of(subsets, players.len())?;
        let seed = match subsets {
            Subsets::Sampled { seed, .. } => Some(*seed),
            _ => None,
        };

        // Each distinct subset once, starting with the full and the empty one.
        let mut wanted = vec![LeadMask::all(players.len()), LeadMask(0)];
        let mut places: HashMap<LeadMask, usize> =
            wanted.iter().enumerate().map(|(place, mask)| (*mask, place)).collect();
        for mask in &masks {
            places.entry(*mask).or_insert_with(|| {
                wanted.push(*mask);
                wanted.len() - 1
            });
        }
        if options.keep_partial {
            let others = &mut wanted[2..];
            match subsets {
                Subsets::All => shuffle_by_kernel(others, players.len()),
                _ => others.shuffle(&mut ChaCha8Rng::seed_from_u64(0)),
            }
            wanted = in_pairs(&wanted, LeadMask::all(players.len()));
            places = wanted.iter().enumerate().map(|(place, mask)| (*mask, place)).collect();
        }

        let whole = Segments::whole(&players, prepared.ncols());
        let mut evaluator = Evaluator::new(predictor, prepared, &whole, &options.baseline)?;
        let mut every = Values::zeros(wanted.len(), predictor.labels().len());
        let batch = options.batch.max(1);
        let mut done = 0;
        while done < wanted.len() {
            let next = done.saturating_add(batch).min(wanted.len());
            let found = evaluator.values(&wanted[done..next])?;
            every.probability.slice_mut(s![done..next, ..]).assign(&found.probability);
            every.logit.slice_mut(s![done..next, ..]).assign(&found.logit);
            done = next;
            if observer(done, wanted.len()).is_break() {
                // An observer that stops after the last batch gets the complete result.
                if done < wanted.len() && (!options.keep_partial || done < 2) {
                    return Err(LimeError::Stopped { done, total: wanted.len() });
                }
                break;
            }
        }
        let partial = (done < wanted.len()).then_some(Partial { done, total: wanted.len() });
        let masks: Vec<LeadMask> = masks.into_iter().filter(|mask| places[mask] < done).collect();
        let rows: Vec<usize> = masks.iter().map(|mask| places[mask]).collect();
        let pick = |rows: &[usize]| Values {
            probability: every.probability.select(Axis(0), rows),
            logit: every.logit.select(Axis(0), rows),
        };
        Ok(Self {
            values: pick(&rows),
            ends: pick(&[0, 1]),
            labels: predictor.labels().clone(),
            evaluations: evaluator.evaluations,
            baseline: options.baseline.to_string(),
            players,
            masks,
            asked,
            fallback,
            seed,
            drawn: matches!(subsets, Subsets::Given(_) | Subsets::Sampled { .. }),
            partial,
        })
    }

    /// Returns the players: those asked for, or each lead if the limb leads contradict each other.
    pub fn players(&self) -> &Players {
        &self.players
    }

    /// Returns the predictor's labels, which are the columns of [`SubsetEvaluations::probabilities`].
    pub fn labels(&self) -> &LabelSet {
        &self.labels
    }

    /// Returns the subsets as masks over the players. If the work was stopped, these are the subsets that were
    /// evaluated.
    pub fn masks(&self) -> &[LeadMask] {
        &self.masks
    }

    /// Returns the probabilities `[subset, label]`, averaged over the baseline's recordings.
    pub fn probabilities(&self) -> ArrayView2<'_, f64> {
        self.values.probability.view()
    }

    /// Returns the values of a target `[subset, label]`, averaged over the baseline's recordings.
    pub fn values(&self, target: Target) -> ArrayView2<'_, f64> {
        self.values.of(target).view()
    }

    /// Returns the probability of each label with every player kept, that is, for the record itself.
    pub fn probability_of_all(&self) -> ArrayView1<'_, f64> {
        self.ends.probability.row(0)
    }

    /// Returns the probability of each label with no player kept.
    pub fn probability_of_none(&self) -> ArrayView1<'_, f64> {
        self.ends.probability.row(1)
    }

    /// Returns how much was done if the work was stopped and only some of the subsets were evaluated.
    pub fn partial(&self) -> Option<Partial> {
        self.partial
    }

    /// Returns the number of perturbed inputs that were evaluated: subsets times the baseline's recordings.
    pub fn evaluations(&self) -> usize {
        self.evaluations
    }

    /// Returns the contradiction between the limb leads if it is the reason why each lead was made a player.
    pub fn fallback(&self) -> Option<Einthoven> {
        self.fallback
    }

    /// Returns whether the subsets are all 2^n, each once and in counting order.
    ///
    /// Exact values and [`SubsetEvaluations::faithfulness`] need this. Random subsets do not qualify, even if
    /// there are 2^n of them.
    pub fn has_all(&self) -> bool {
        self.masks.len() == 1 << self.players.len()
            && self.masks.iter().enumerate().all(|(m, mask)| mask.0 as usize == m)
    }

    /// How many of all 2^n subsets an evaluated subset stands for, by its size. This is 1 unless the work was
    /// stopped.
    pub(crate) fn stands_for(&self) -> Vec<f64> {
        let n = self.players.len();
        match self.partial {
            // Random draws count as they were drawn, even if they happened to find all subsets.
            Some(partial) if self.seed.is_none() && partial.total == 1 << n => {
                stands_for(&self.masks, n)
            }
            _ => vec![1.0; n + 1],
        }
    }

    /// Column of a label.
    pub(crate) fn column(&self, label: &str) -> Result<usize, LimeError> {
        column(&self.labels, label)
    }

    /// Refuses subsets that are not all 2^n in counting order. If the work was stopped, those done out of all
    /// 2^n are accepted.
    pub(crate) fn require_all(&self, method: &'static str) -> Result<(), LimeError> {
        let expected = 1 << self.players.len();
        if self.partial.is_some_and(|partial| partial.total == expected) || self.has_all() {
            Ok(())
        } else {
            Err(LimeError::Incomplete { method, expected, found: self.masks.len() })
        }
    }
}

/// Column of a label among a predictor's.
pub(crate) fn column(labels: &LabelSet, label: &str) -> Result<usize, LimeError> {
    labels.index_of(label).ok_or_else(|| LimeError::UnknownLabel {
        found: label.to_owned(),
        known: labels.to_string(),
    })
}

/// Puts the subsets of 1 to n - 1 players in a random order with a fixed seed.
///
/// Subsets of one player and of all but one come first. The others follow, drawn one after another with
/// probabilities given by the Shapley kernel (Efraimidis and Spirakis 2006). Wherever the work is broken off,
/// the sizes that decide most have been seen most, and the subsets of each size are a fair sample.
fn shuffle_by_kernel(masks: &mut [LeadMask], players: usize) {
    let kernel = shapley_kernel(players);
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut keyed: Vec<(bool, f64, LeadMask)> = masks
        .iter()
        .map(|&mask| {
            let size = mask.kept() as usize;
            let inner = size.min(players - size) > 1;
            let waits = -(1.0 - random.random::<f64>()).ln() / kernel[size];
            (inner, waits, mask)
        })
        .collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    masks.iter_mut().zip(keyed).for_each(|(mask, (.., own))| *mask = own);
}

/// Moves the complement of each subset directly behind it, if the complement is wanted too; the first two
/// subsets stay where they are. What one of a pair overstates, the other understates.
fn in_pairs(wanted: &[LeadMask], all: LeadMask) -> Vec<LeadMask> {
    let mut left: HashSet<LeadMask> = wanted[2..].iter().copied().collect();
    let mut out = wanted[..2].to_vec();
    for mask in &wanted[2..] {
        for own in [*mask, all.without(*mask)] {
            if left.remove(&own) {
                out.push(own);
            }
        }
    }
    out
}

fn masks_of(subsets: &Subsets, n: usize) -> Result<Vec<LeadMask>, LimeError> {
    let most = if *subsets == Subsets::All { MAX_PLAYERS } else { MAX_LEADS };
    if !(1..=most).contains(&n) {
        return Err(LimeError::PlayerCount { found: n, max: most });
    }
    let masks = match subsets {
        Subsets::All => all_masks(n),
        Subsets::Removed(most) => {
            check_removals(n, *most)?;
            removals(n, *most)
        }
        Subsets::Given(masks) => masks.clone(),
        Subsets::Sampled { samples, seed } => {
            check_samples(*samples)?;
            sampled_masks(n, *samples, *seed)
        }
    };
    check_masks(&masks, n)?;
    Ok(masks)
}
