use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use ecg_core::{LeadMask, PredictSubsets};
use ndarray::ArrayView2;

use crate::evaluate::{check_unions, column};
use crate::fit::{check_c, check_penalty, determines, ridge_standard_errors, weighted_r2};
use crate::masks::check_samples;
use crate::shapley::shapley_kernel;
use crate::{
    Contribution, Distance, Einthoven, EvaluateOptions, Explanation, LimeError, LogisticOutcome,
    Method, OneClass, Outcome, Partial, Players, Settings, SubsetEvaluations, Subsets, Target,
    kernel_shapley, logistic, owen_values, removals, ridge, shapley_interactions, shapley_values,
    softmax_percent,
};

/// Options for making an explanation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExplainOptions {
    /// The method. Default: exact Shapley values.
    pub method: Method,
    /// The quantity that is divided among the players. The published LIME ignores it and always takes hard
    /// labels. Default: the probability.
    pub target: Target,
    /// Published LIME: a subset is positive if its probability exceeds this. Default: 0.5.
    pub threshold: f64,
    /// Published LIME: inverse of the penalty. Default: 1.
    pub c: f64,
    /// LIME, exhaustive or sampled: the distance of a subset from the full one. Default: Euclidean.
    pub distance: Distance,
    /// LIME, exhaustive or sampled: the width of the kernel. Default: `None`, which stands for
    /// [`Distance::usual_width`].
    pub kernel_width: Option<f64>,
    /// LIME, exhaustive or sampled: the ridge penalty. Default: 1.
    ///
    /// If exhaustive LIME has fewer subsets than [`ExplainOptions::samples`], the penalty is scaled down in
    /// proportion, so that it shrinks the coefficients no more than it would with that many draws.
    pub penalty: f64,
    /// Sampled LIME: the number of subsets drawn. Default: 1000.
    ///
    /// [`SubsetEvaluations::explain`] takes the draws from the evaluations, however many there are. Subsets that do not
    /// determine every player's part are refused ([`LimeError::TooFew`]); there must be more of them than players.
    pub samples: usize,
    /// Sampled LIME: the seed of the draw. Default: 0.
    ///
    /// [`SubsetEvaluations::explain`] takes the draws, and the seed that it states, from the evaluations.
    pub seed: u64,
    /// Owen values: players that act together, by index. Every player is in exactly one union.
    ///
    /// Default: empty, which stands for [`Players::limb_unions`] if the players are limb leads and chest leads
    /// and nothing else. Any other players are refused without unions.
    pub unions: Vec<Vec<usize>>,
    /// How subsets are evaluated.
    pub evaluate: EvaluateOptions,
}

impl Default for ExplainOptions {
    fn default() -> Self {
        Self {
            method: Method::Shapley,
            target: Target::Probability,
            threshold: 0.5,
            c: 1.0,
            distance: Distance::Euclidean,
            kernel_width: None,
            penalty: 1.0,
            samples: 1000,
            seed: 0,
            unions: Vec::new(),
            evaluate: EvaluateOptions::default(),
        }
    }
}

impl ExplainOptions {
    /// Sets the method.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sets the quantity that is divided among the players.
    #[must_use]
    pub fn with_target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Sets the threshold for the published LIME's hard labels.
    #[must_use]
    pub fn with_threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Sets the inverse penalty of the published LIME.
    #[must_use]
    pub fn with_c(mut self, c: f64) -> Self {
        self.c = c;
        self
    }

    /// Sets LIME's distance.
    #[must_use]
    pub fn with_distance(mut self, distance: Distance) -> Self {
        self.distance = distance;
        self
    }

    /// Sets how many subsets sampled LIME draws.
    #[must_use]
    pub fn with_samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Sets the seed of sampled LIME.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the unions for Owen values: a partition of the players, by index.
    #[must_use]
    pub fn with_unions(mut self, unions: Vec<Vec<usize>>) -> Self {
        self.unions = unions;
        self
    }

    /// Sets LIME's kernel width.
    #[must_use]
    pub fn with_kernel_width(mut self, width: f64) -> Self {
        self.kernel_width = Some(width);
        self
    }

    /// Sets LIME's ridge penalty.
    #[must_use]
    pub fn with_penalty(mut self, penalty: f64) -> Self {
        self.penalty = penalty;
        self
    }

    /// Sets how subsets are evaluated.
    #[must_use]
    pub fn with_evaluate(mut self, evaluate: EvaluateOptions) -> Self {
        self.evaluate = evaluate;
        self
    }

    /// Returns the subsets that the method needs.
    pub fn subsets(&self) -> Subsets {
        match self.method {
            Method::Shapley | Method::Lime | Method::Owen | Method::Permutation => Subsets::All,
            Method::Published => Subsets::Removed(4),
            Method::LimeSampled => Subsets::Sampled { samples: self.samples, seed: self.seed },
        }
    }

    /// The unions for Owen values of these players: the ones set, or else the limb leads and the chest leads. `asked`
    /// is the number of players asked for.
    fn unions_of(
        &self,
        players: &Players,
        asked: usize,
        fallback: Option<Einthoven>,
    ) -> Result<Vec<Vec<usize>>, LimeError> {
        if !self.unions.is_empty() {
            check_unions(&self.unions, players.len(), asked, fallback)?;
            return Ok(self.unions.clone());
        }
        if players.are_limb_and_chest() {
            return Ok(players.limb_unions());
        }
        let names: Vec<&str> = players.iter().map(|player| player.name.as_str()).collect();
        Err(LimeError::NoUnions { players: names.join(", ") })
    }

    /// Refuses settings with which evaluations of these players cannot be explained. `asked` is the number of players
    /// asked for.
    fn check(
        &self,
        players: &Players,
        asked: usize,
        fallback: Option<Einthoven>,
    ) -> Result<(), LimeError> {
        let refuse =
            |setting, expected, found| Err(LimeError::Setting { setting, expected, found });
        match self.method {
            Method::Shapley => Ok(()),
            Method::Lime | Method::LimeSampled => {
                if self.method == Method::LimeSampled {
                    check_samples(self.samples)?;
                }
                match self.kernel_width {
                    // The square of a tiny width is zero.
                    Some(width) if !(width.is_finite() && width > 0.0 && width * width > 0.0) => {
                        refuse("the kernel width", "positive and finite", width)
                    }
                    _ => check_penalty(self.penalty),
                }
            }
            Method::Owen => self.unions_of(players, asked, fallback).map(drop),
            Method::Published if !(0.0..=1.0).contains(&self.threshold) => {
                refuse("the threshold", "from 0 to 1", self.threshold)
            }
            Method::Published if players.len() < 2 => {
                let found = players.len() as f64;
                refuse("the number of players of the published method", "at least 2", found)
            }
            Method::Published => check_c(self.c),
            Method::Permutation => Err(LimeError::EvaluatesAsItGoes),
        }
    }
}

/// Explains one label of one prepared signal `[lead, sample]`.
///
/// To explain several labels, make a [`SubsetEvaluations`] once and ask it for each of them.
///
/// Every method except one is available:
/// - [`Method::Permutation`] is refused because it chooses its evaluations as it goes. Use
///   [`SampledShapley`](crate::SampledShapley) instead, over [`Segments::whole`](crate::Segments::whole) if the
///   players are whole leads.
/// - [`Method::Owen`] uses the limb leads and the chest leads as its unions by default; other players need
///   [`ExplainOptions::unions`]. For Owen values of time segments, use
///   [`SampledShapley`](crate::SampledShapley).
/// - [`Method::Shapley`], [`Method::Lime`] and [`Method::Owen`] evaluate all subsets, of at most
///   [`MAX_PLAYERS`](crate::MAX_PLAYERS) players. For more players, use
///   [`SampledShapley`](crate::SampledShapley) or [`Method::LimeSampled`].
///
/// # Errors
/// The errors of [`SubsetEvaluations::new`] and [`SubsetEvaluations::explain`]. An unknown label,
/// [`Method::Permutation`], missing unions and settings out of range are reported before anything is evaluated.
pub fn explain<P: PredictSubsets + ?Sized>(
    predictor: &P,
    prepared: ArrayView2<'_, f32>,
    label: &str,
    players: &Players,
    options: &ExplainOptions,
    observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Outcome, LimeError> {
    column(predictor.labels(), label)?;
    match options.evaluate.fallback(players, prepared)? {
        Some(own) => options.check(&players.each_lead(), players.len(), Some(own))?,
        None => options.check(players, players.len(), None)?,
    }
    let evaluations = SubsetEvaluations::new(
        predictor,
        prepared,
        players,
        &options.subsets(),
        &options.evaluate,
        observer,
    )?;
    evaluations.explain(label, options)
}

impl SubsetEvaluations {
    /// Explains one label from the evaluations.
    ///
    /// If the work was stopped ([`SubsetEvaluations::partial`]), Shapley values are estimated by
    /// [`kernel_shapley`], and the regressions use the subsets that were evaluated, provided that these
    /// determine each player's part. The explanation is marked as partial. Exact Owen values have no such
    /// estimate; they are refused with [`LimeError::Stopped`].
    ///
    /// [`Method::Permutation`] chooses its evaluations as it goes; use
    /// [`SampledShapley`](crate::SampledShapley) instead.
    ///
    /// # Errors
    /// Returns an error in these cases:
    /// - The label is unknown.
    /// - The subsets are not those that the method needs: for [`Method::LimeSampled`], drawn or given ones.
    /// - The subsets drawn for [`Method::LimeSampled`], or those of stopped work, leave a player's part open.
    /// - The work was stopped, and the method is [`Method::Owen`].
    /// - A setting is out of range. That includes a kernel of LIME so narrow that the subsets, weighted by it, leave a
    ///   player's part open although without weights they do not.
    /// - The fit of [`Method::Published`] does not reach its minimum ([`LimeError::NotConverged`]): only with a large
    ///   [`ExplainOptions::c`].
    /// - The unions do not contain each player exactly once, or are missing although the players are not limb
    ///   leads and chest leads only. If the limb leads contradict each other, so that each lead became a player, and
    ///   the unions contain each player asked for exactly once, the error is [`LimeError::Fallback`].
    /// - The method is [`Method::Permutation`].
    pub fn explain(&self, label: &str, options: &ExplainOptions) -> Result<Outcome, LimeError> {
        let column = self.column(label)?;
        options.check(&self.players, self.asked, self.fallback)?;
        match options.method {
            Method::Shapley => self.shapley(label, column, options.target),
            Method::Lime => {
                self.require_all("lime")?;
                self.lime(label, column, options)
            }
            Method::LimeSampled if !self.drawn => {
                let (method, expected) = ("lime-sampled", options.samples);
                Err(LimeError::Incomplete { method, expected, found: self.masks.len() })
            }
            Method::LimeSampled => self.lime(label, column, options),
            Method::Owen => self.owen(label, column, options),
            Method::Published => self.published(label, column, options),
            // The check has refused it.
            Method::Permutation => Err(LimeError::EvaluatesAsItGoes),
        }
    }

    /// A target's values over the subsets, followed by its values with no player and with all players.
    fn game(&self, column: usize, target: Target) -> (Vec<f64>, [f64; 2]) {
        let ends = self.ends.of(target);
        let values = self.values.of(target).column(column).to_vec();
        (values, [ends[[1, column]], ends[[0, column]]])
    }

    fn shapley(&self, label: &str, column: usize, target: Target) -> Result<Outcome, LimeError> {
        self.require_all("shapley")?;
        let n = self.players.len();
        let (values, ends) = self.game(column, target);
        let phi = match self.partial {
            None => shapley_values(&values, n),
            Some(_) => kernel_shapley(&self.masks, n, &values, ends)?,
        };
        let settings = Settings::Shapley { target };
        let mut explanation =
            self.explanation(label, Method::Shapley, &phi, ends[0], ends, settings);
        explanation.weighted_r2 = self.additive_r2(&values, &phi, ends[0]);
        if self.partial.is_none() {
            let pairs = shapley_interactions(&values, n);
            explanation.interactions = Some(pairs.outer_iter().map(|row| row.to_vec()).collect());
        }
        Ok(Outcome::Explained(explanation))
    }

    fn owen(
        &self,
        label: &str,
        column: usize,
        options: &ExplainOptions,
    ) -> Result<Outcome, LimeError> {
        self.require_all("owen")?;
        if let Some(Partial { done, total }) = self.partial {
            return Err(LimeError::Stopped { done, total });
        }
        let (values, ends) = self.game(column, options.target);
        let unions = options.unions_of(&self.players, self.asked, self.fallback)?;
        let phi = owen_values(&values, self.players.len(), &unions)?;
        let settings = Settings::Owen { target: options.target, unions };
        let mut explanation = self.explanation(label, Method::Owen, &phi, ends[0], ends, settings);
        explanation.weighted_r2 = self.additive_r2(&values, &phi, ends[0]);
        Ok(Outcome::Explained(explanation))
    }

    /// How well the sum of the parts explains the subsets, weighted by the Shapley kernel.
    fn additive_r2(&self, values: &[f64], phi: &[f64], f_none: f64) -> f64 {
        let (kernel, stands_for) = (shapley_kernel(self.players.len()), self.stands_for());
        let sizes = self.masks.iter().map(|mask| mask.kept() as usize);
        let weights: Vec<f64> = sizes.map(|size| kernel[size] * stands_for[size]).collect();
        let fitted = self.masks.iter().map(|mask| {
            f_none + (0..phi.len()).filter(|k| mask.keeps(*k)).map(|k| phi[k]).sum::<f64>()
        });
        weighted_r2(values.iter().copied(), fitted, &weights)
    }

    fn lime(
        &self,
        label: &str,
        column: usize,
        options: &ExplainOptions,
    ) -> Result<Outcome, LimeError> {
        let (n, target, distance) = (self.players.len(), options.target, options.distance);
        let width = options.kernel_width.unwrap_or(distance.usual_width(n));
        let (values, ends) = self.game(column, target);
        let stands_for = self.stands_for();
        let sizes = || self.masks.iter().map(|mask| mask.kept());
        let weights: Vec<f64> = sizes()
            .map(|size| stands_for[size as usize] * lime_kernel(distance.of(size, n), width))
            .collect();
        self.require_determined(&self.masks, &weights, Some(width))?;
        let subsets: f64 = sizes().map(|size| stands_for[size as usize]).sum();
        let penalty = match options.method {
            Method::Lime if subsets < options.samples as f64 => {
                options.penalty * subsets / options.samples as f64
            }
            _ => options.penalty,
        };
        let fit = ridge(&self.masks, n, &values, &weights, penalty)?;
        let settings = Settings::Lime {
            target,
            distance,
            kernel_width: width,
            penalty,
            masks: self.masks.len(),
        };
        let mut explanation = self.explanation(
            label,
            options.method,
            &fit.coefficients,
            fit.intercept,
            ends,
            settings,
        );
        explanation.weighted_r2 = fit.weighted_r2;
        // In stopped work the draws are not independent: all draws of one subset are kept or dropped together.
        if self.seed.is_some() && self.partial.is_none() {
            let errors = ridge_standard_errors(&self.masks, n, &values, &weights, penalty, &fit);
            for (own, error) in explanation.values.iter_mut().zip(errors.unwrap_or_default()) {
                own.standard_error = Some(error);
            }
        }
        Ok(Outcome::Explained(explanation))
    }

    fn published(
        &self,
        label: &str,
        column: usize,
        options: &ExplainOptions,
    ) -> Result<Outcome, LimeError> {
        let (probabilities, [f_none, f_all]) = self.game(column, Target::Probability);
        let (threshold, n) = (options.threshold, self.players.len());
        let rows = self.rows_of(&removals(n, 4))?;
        let masks: Vec<LeadMask> = rows.iter().map(|row| self.masks[*row]).collect();
        let probabilities: Vec<f64> = rows.iter().map(|row| probabilities[*row]).collect();
        let hard: Vec<bool> = probabilities.iter().map(|p| *p > threshold).collect();
        let weights: Vec<f64> =
            masks.iter().map(|mask| f64::from(mask.kept()) / n as f64).collect();
        self.require_determined(&masks, &weights, None)?;
        Ok(match logistic(&masks, n, &hard, &weights, options.c)? {
            LogisticOutcome::OneClass { positive } => Outcome::OneClass(OneClass {
                label: label.to_owned(),
                positive,
                threshold,
                range: [
                    probabilities.iter().copied().fold(f64::INFINITY, f64::min),
                    probabilities.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                ],
                f_all,
                f_none,
                evaluations: self.evaluations,
                baseline: self.baseline.clone(),
                partial: self.partial,
            }),
            LogisticOutcome::Fit(fit) => {
                let positive = hard.iter().filter(|label| **label).count();
                let masks = masks.len();
                let mut explanation = self.explanation(
                    label,
                    Method::Published,
                    &fit.coefficients,
                    fit.intercept,
                    [f_none, f_all],
                    Settings::Published { threshold, c: options.c, masks, positive },
                );
                explanation.weighted_r2 = fit.weighted_r2;
                explanation.efficiency_residual = None;
                let percents = softmax_percent(&fit.coefficients);
                for (own, percent) in explanation.values.iter_mut().zip(percents) {
                    own.softmax_percent = Some(percent);
                }
                Outcome::Explained(explanation)
            }
        })
    }

    /// Refuses subsets, weighted by a kernel of a width if one is given, that cannot tell one player's part from
    /// another's; only the penalty would decide between them. The published subsets are too few only if the work was
    /// stopped.
    fn require_determined(
        &self,
        masks: &[LeadMask],
        weights: &[f64],
        width: Option<f64>,
    ) -> Result<(), LimeError> {
        let players = self.players.len();
        if (width.is_none() && self.partial.is_none()) || determines(masks, players, weights) {
            return Ok(());
        }
        if let Some(found) = width
            && determines(masks, players, &vec![1.0; masks.len()])
        {
            let expected = "wide enough for more than the largest subsets to count";
            return Err(LimeError::Setting { setting: "the kernel width", expected, found });
        }
        let (done, total) = match self.partial {
            Some(Partial { done, total }) => (done, total),
            None => (masks.iter().collect::<HashSet<_>>().len(), 1 << players),
        };
        Err(LimeError::TooFew { done, total, players })
    }

    /// Rows of the published method's subsets, all of which must have been evaluated. If these alone were asked
    /// for and the work was stopped, the rows that were done.
    fn rows_of(&self, needed: &[LeadMask]) -> Result<Vec<usize>, LimeError> {
        let places: HashMap<LeadMask, usize> =
            self.masks.iter().enumerate().map(|(row, mask)| (*mask, row)).collect();
        let rows: Vec<usize> = needed.iter().filter_map(|mask| places.get(mask)).copied().collect();
        let stopped = self.partial.is_some_and(|partial| partial.total >= needed.len())
            && rows.len() == self.masks.len();
        if rows.len() == needed.len() || stopped {
            return Ok(rows);
        }
        let (expected, found) = (needed.len(), self.masks.len());
        Err(LimeError::Incomplete { method: "published", expected, found })
    }

    /// Fills in what all methods have in common.
    fn explanation(
        &self,
        label: &str,
        method: Method,
        values: &[f64],
        intercept: f64,
        [f_none, f_all]: [f64; 2],
        settings: Settings,
    ) -> Explanation {
        let contribution = |(player, value): (&crate::Player, &f64)| Contribution {
            lead: player.name.clone(),
            value: *value,
            softmax_percent: None,
            standard_error: None,
        };
        Explanation {
            method,
            label: label.to_owned(),
            values: self.players.iter().zip(values).map(contribution).collect(),
            intercept,
            f_all,
            f_none,
            efficiency_residual: Some(f_all - intercept - values.iter().sum::<f64>()),
            weighted_r2: f64::NAN,
            evaluations: self.evaluations,
            seed: self.seed,
            settings,
            baseline: self.baseline.clone(),
            partial: self.partial,
            interactions: None,
            fallback: self.fallback,
        }
    }
}

/// Returns the weight of a subset at a distance from the full one: sqrt(exp(-d^2 / width^2)) (Ribeiro et al.
/// 2016, as implemented in their package).
pub fn lime_kernel(distance: f64, width: f64) -> f64 {
    (-distance * distance / (2.0 * width * width)).exp()
}
