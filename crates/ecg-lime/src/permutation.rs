use std::ops::ControlFlow;

use ecg_core::{LabelSet, LeadMask, PredictSubsets};
use ndarray::{ArrayView1, ArrayView2};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::evaluate::{check_unions, column};
use crate::evaluator::{Evaluator, Values};
use crate::fit::weighted_r2;
use crate::{
    Contribution, Einthoven, EvaluateOptions, Explanation, LimeError, Method, Partial, Segments,
    Settings, Target,
};

/// Options for sampling Shapley or Owen values.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SampleOptions {
    /// Number of permutations to walk through, rounded up to an even number if they are antithetic. Each costs
    /// players - 1 evaluations (times the baseline's recordings). Default: 64.
    pub permutations: usize,
    /// Whether each permutation is also walked backwards, which cancels much of the sampling error at the same
    /// cost. Default: true.
    pub antithetic: bool,
    /// Seed of the permutations. Default: 0.
    pub seed: u64,
    /// Players that act together ([`Segments::unions_of_leads`], [`Segments::unions_of_segments`]), which makes
    /// the values Owen values. Default: `None`, for Shapley values.
    pub unions: Option<Vec<Vec<usize>>>,
    /// How perturbed inputs are made and evaluated. Stopped work always keeps what has been done, whatever
    /// [`EvaluateOptions::keep_partial`] says.
    pub evaluate: EvaluateOptions,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            permutations: 64,
            antithetic: true,
            seed: 0,
            unions: None,
            evaluate: EvaluateOptions::default(),
        }
    }
}

impl SampleOptions {
    /// Sets the number of permutations.
    #[must_use]
    pub fn with_permutations(mut self, permutations: usize) -> Self {
        self.permutations = permutations;
        self
    }

    /// Sets whether permutations come in antithetic pairs.
    #[must_use]
    pub fn with_antithetic(mut self, antithetic: bool) -> Self {
        self.antithetic = antithetic;
        self
    }

    /// Sets the seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the unions, which makes the values Owen values.
    #[must_use]
    pub fn with_unions(mut self, unions: Vec<Vec<usize>>) -> Self {
        self.unions = Some(unions);
        self
    }

    /// Sets how perturbed inputs are made and evaluated.
    #[must_use]
    pub fn with_evaluate(mut self, evaluate: EvaluateOptions) -> Self {
        self.evaluate = evaluate;
        self
    }
}

impl Segments {
    /// Returns one union for each lead: its segments act together.
    pub fn unions_of_leads(&self) -> Vec<Vec<usize>> {
        (0..self.leads().len())
            .map(|lead| (lead * self.count()..(lead + 1) * self.count()).collect())
            .collect()
    }

    /// Returns one union for each time segment: all leads of the same moment act together.
    pub fn unions_of_segments(&self) -> Vec<Vec<usize>> {
        (0..self.count())
            .map(|segment| {
                (0..self.leads().len()).map(|lead| lead * self.count() + segment).collect()
            })
            .collect()
    }
}

/// Random walks through permutations of the players, from which the Shapley or Owen values of every label
/// follow.
///
/// A walk adds the players one by one in a random order. A player's value is the mean, over the walks, of what
/// the target gains when the player enters (Castro, Gomez and Tejada 2009). This estimate is unbiased. Each
/// walk's gains add up to f(all) - f(none), so the values do as well.
///
/// With unions, only orders that keep each union together are drawn, and the means are Owen values. Standard
/// errors come from the spread between walks, or between antithetic pairs of them (Mitchell et al. 2022).
///
/// For 16 players or fewer, [`SubsetEvaluations`](crate::SubsetEvaluations) is exact. This type is meant for
/// lead x time segments.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledShapley {
    segments: Segments,
    labels: LabelSet,
    orders: Vec<Vec<usize>>,
    /// Row `walk * (players - 1) + k` is the coalition of the first k + 1 players in the walk's order.
    walks: Values,
    /// Row 0 is with all players, row 1 with none.
    ends: Values,
    evaluations: usize,
    fallback: Option<Einthoven>,
    options: SampleOptions,
    partial: Option<Partial>,
}

impl SampledShapley {
    /// Samples one prepared signal `[lead, sample]`.
    ///
    /// `observer` is called with `(done, total)` permutations after each batch; an antithetic pair counts once
    /// it is complete. If it stops the work after the first pair (or the first permutation), the result covers
    /// the permutations done and is marked as partial.
    ///
    /// If the players derive limb leads that the recording contradicts, each lead becomes a player of its own,
    /// as in [`SubsetEvaluations::new`](crate::SubsetEvaluations::new). The unions must then fit those players.
    ///
    /// # Errors
    /// Returns an error in these cases:
    /// - The signal does not have the shape of the segments, or the baseline does not fit it
    ///   ([`Baseline`](crate::Baseline)).
    /// - There are no permutations, or the tolerance of the limb leads is not a number.
    /// - Two lead players have one name.
    /// - The unions do not contain each player exactly once. If the limb leads contradict each other, so that each lead
    ///   became a player, and the unions contain each player asked for exactly once, the error is
    ///   [`LimeError::Fallback`].
    /// - The predictor fails, or returns values that are not probabilities.
    /// - The observer stops the work before anything is done.
    pub fn new<P: PredictSubsets + ?Sized>(
        predictor: &P,
        prepared: ArrayView2<'_, f32>,
        segments: &Segments,
        options: &SampleOptions,
        observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Self, LimeError> {
        let fallback = options.evaluate.fallback(segments.leads(), prepared)?;
        let asked = segments.len();
        let segments = if fallback.is_some() { segments.each_lead() } else { segments.clone() };
        let n = segments.len();
        let lead_players = segments.leads().len();
        if options.permutations == 0 {
            let (setting, expected) = ("the number of permutations", "at least 1");
            return Err(LimeError::Setting { setting, expected, found: 0.0 });
        }
        let unions = match &options.unions {
            Some(unions) => {
                check_unions(unions, n, asked, fallback)?;
                unions.clone()
            }
            None => (0..n).map(|player| vec![player]).collect(),
        };
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let mut evaluator =
            Evaluator::new(predictor, prepared, &segments, &options.evaluate.baseline)?;
        let count = segments.count();
        let batch = options.evaluate.batch.max(1);
        let mut both = vec![LeadMask::all(lead_players); count];
        both.extend(vec![LeadMask(0); count]);
        let mut ends = Values::zeros(0, predictor.labels().len());
        for part in both.chunks(batch.saturating_mul(count)) {
            ends.append(&evaluator.values(part)?);
        }
        let unit = if options.antithetic { 2 } else { 1 };
        let total = options.permutations.div_ceil(unit).saturating_mul(unit);
        // As many permutations or pairs at a time as fill a batch.
        let round = (batch / (unit * (n - 1)).max(1)).max(1).saturating_mul(unit);
        let mut orders: Vec<Vec<usize>> = Vec::new();
        let mut found = Values::zeros(0, predictor.labels().len());
        let mut done = 0;
        'work: while done < total {
            let first = orders.len();
            while orders.len() < first.saturating_add(round).min(total) {
                let order = draw(&unions, &mut random);
                if options.antithetic {
                    let backwards = order.iter().rev().copied().collect();
                    orders.push(order);
                    orders.push(backwards);
                } else {
                    orders.push(order);
                }
            }
            let coalitions: Vec<LeadMask> =
                orders[first..].iter().flat_map(|order| prefixes(order, &segments)).collect();
            let mut rest = coalitions.as_slice();
            // A single player has no coalition to evaluate, but the observer is called all the same.
            loop {
                let (chunk, later) = rest.split_at(rest.len().min(batch.saturating_mul(count)));
                found.append(&evaluator.values(chunk)?);
                rest = later;
                done = match rest.is_empty() {
                    true => orders.len(),
                    false => found.probability.nrows() / (unit * (n - 1)) * unit,
                };
                if observer(done, total).is_break() {
                    break 'work;
                }
                if rest.is_empty() {
                    break;
                }
            }
        }
        if done == 0 {
            return Err(LimeError::Stopped { done, total });
        }
        orders.truncate(done);
        found.truncate(done * (n - 1));
        Ok(Self {
            labels: predictor.labels().clone(),
            orders,
            walks: found,
            ends,
            evaluations: evaluator.evaluations,
            fallback,
            options: options.clone(),
            partial: (done < total).then_some(Partial { done, total }),
            segments,
        })
    }

    /// Returns the players: those asked for, or each lead's segments if the limb leads contradict each other.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// Returns the predictor's labels.
    pub fn labels(&self) -> &LabelSet {
        &self.labels
    }

    /// Returns the number of permutations walked through.
    pub fn permutations(&self) -> usize {
        self.orders.len()
    }

    /// Returns how much was done if the work was stopped before all permutations were done.
    pub fn partial(&self) -> Option<Partial> {
        self.partial
    }

    /// Explains one label, from the walks that serve all labels and both targets.
    ///
    /// The standard error is undefined, and left out, if there was only a single permutation or pair.
    ///
    /// # Errors
    /// Returns an error if the label is unknown.
    pub fn explain(&self, label: &str, target: Target) -> Result<Explanation, LimeError> {
        let column = column(&self.labels, label)?;
        let ends = self.ends.of(target);
        let (f_all, f_none) = (ends[[0, column]], ends[[1, column]]);
        let walks = self.walks.of(target);
        let walks = walks.column(column);
        let n = self.segments.len();
        let unit = if self.options.antithetic { 2 } else { 1 };

        let (mut mean, mut squares) = (vec![0.0; n], vec![0.0; n]);
        for (k, orders) in self.orders.chunks(unit).enumerate() {
            let mut gains = vec![0.0; n];
            for (j, order) in orders.iter().enumerate() {
                let row = (k * unit + j) * (n - 1);
                let mut before = f_none;
                for (place, player) in order.iter().enumerate() {
                    let after = if place + 1 < n { walks[row + place] } else { f_all };
                    gains[*player] += (after - before) / orders.len() as f64;
                    before = after;
                }
            }
            // Welford's recurrence.
            for player in 0..n {
                let off = gains[player] - mean[player];
                mean[player] += off / (k + 1) as f64;
                squares[player] += off * (gains[player] - mean[player]);
            }
        }
        let units = self.orders.len() / unit;
        let error =
            |sum: f64| (units > 1).then(|| (sum / (units - 1) as f64 / units as f64).sqrt());
        let names = self.segments.names();
        let values = names.into_iter().zip(&mean).zip(&squares);
        Ok(Explanation {
            method: if self.options.unions.is_some() { Method::Owen } else { Method::Permutation },
            label: label.to_owned(),
            values: values
                .map(|((lead, value), squares)| Contribution {
                    lead,
                    value: *value,
                    softmax_percent: None,
                    standard_error: error(*squares),
                })
                .collect(),
            intercept: f_none,
            f_all,
            f_none,
            efficiency_residual: Some(f_all - f_none - mean.iter().sum::<f64>()),
            weighted_r2: self.additive_r2(walks, &mean, f_none),
            evaluations: self.evaluations,
            seed: Some(self.options.seed),
            settings: Settings::Permutation {
                target,
                permutations: self.orders.len(),
                antithetic: self.options.antithetic,
                unions: self.options.unions.clone(),
                borders: self.segments.borders().to_vec(),
            },
            baseline: self.options.evaluate.baseline.to_string(),
            partial: self.partial,
            interactions: None,
            fallback: self.fallback,
        })
    }

    /// How well the sum of the parts explains the coalitions on the walks.
    fn additive_r2(&self, walks: ArrayView1<'_, f64>, phi: &[f64], f_none: f64) -> f64 {
        let n = phi.len();
        let (mut fitted, mut weights) = (Vec::new(), Vec::new());
        for order in &self.orders {
            let mut sum = f_none;
            for (place, player) in order[..n - 1].iter().enumerate() {
                sum += phi[*player];
                fitted.push(sum);
                // Walks pass each size equally often, while the Shapley kernel gives all subsets of a size
                // together 1 / (s (n - s)).
                let size = (place + 1) as f64;
                weights.push(1.0 / (size * (n as f64 - size)));
            }
        }
        if weights.is_empty() {
            return f64::NAN;
        }
        weighted_r2(walks.iter().copied(), fitted.into_iter(), &weights)
    }
}

/// An order of the players that keeps each union together: the unions are shuffled, and so are the players
/// within each.
fn draw(unions: &[Vec<usize>], random: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<&Vec<usize>> = unions.iter().collect();
    order.shuffle(random);
    let mut players = Vec::new();
    for union in order {
        let first = players.len();
        players.extend(union);
        players[first..].shuffle(random);
    }
    players
}

/// The coalitions of the first 1 to n - 1 players of an order, each as one mask for every segment.
fn prefixes(order: &[usize], segments: &Segments) -> Vec<LeadMask> {
    let mut coalition = vec![LeadMask(0); segments.count()];
    let mut out = Vec::with_capacity(order.len() * coalition.len());
    for player in &order[..order.len() - 1] {
        let (lead, segment) = segments.place(*player);
        coalition[segment].0 |= 1 << lead;
        out.extend(&coalition);
    }
    out
}
