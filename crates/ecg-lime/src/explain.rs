use std::ops::ControlFlow;

use ecg_core::PredictSubsets;
use ndarray::ArrayView2;

use crate::fit::weighted_r2;
use crate::shapley::shapley_kernel;
use crate::{
    Contribution, EvaluateOptions, Explanation, LimeError, LogisticOutcome, Method, OneClass,
    Outcome, Players, Settings, SubsetEvaluations, Subsets, Target, logistic, removals, ridge,
    shapley_interactions, shapley_values, softmax_percent,
};

/// How an explanation is made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExplainOptions {
    /// Default: exact Shapley values.
    pub method: Method,
    /// What is shared out; the published LIME always takes hard labels. Default: the probability.
    pub target: Target,
    /// Published LIME: a subset is positive where its probability exceeds this. Default: 0.5.
    pub threshold: f64,
    /// Published LIME: inverse of the penalty. Default: 1.
    pub c: f64,
    /// Exhaustive LIME: width of the kernel. Default: `None`, 0.75 sqrt(players).
    pub kernel_width: Option<f64>,
    /// Exhaustive LIME: ridge penalty. Default: 1.
    pub penalty: f64,
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
            kernel_width: None,
            penalty: 1.0,
            evaluate: EvaluateOptions::default(),
        }
    }
}

impl ExplainOptions {
    /// Sets the method.
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sets what is shared out.
    pub fn with_target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Sets the threshold of the published LIME's hard labels.
    pub fn with_threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Sets the inverse penalty of the published LIME.
    pub fn with_c(mut self, c: f64) -> Self {
        self.c = c;
        self
    }

    /// Sets the kernel width of exhaustive LIME.
    pub fn with_kernel_width(mut self, width: f64) -> Self {
        self.kernel_width = Some(width);
        self
    }

    /// Sets the ridge penalty of exhaustive LIME.
    pub fn with_penalty(mut self, penalty: f64) -> Self {
        self.penalty = penalty;
        self
    }

    /// Sets how subsets are evaluated.
    pub fn with_evaluate(mut self, evaluate: EvaluateOptions) -> Self {
        self.evaluate = evaluate;
        self
    }

    /// The subsets that the method needs.
    pub fn subsets(&self) -> Subsets {
        match self.method {
            Method::Shapley | Method::Lime => Subsets::All,
            Method::Published => Subsets::Removed(4),
        }
    }
}

/// Explains one label of one prepared signal `[lead, sample]`.
///
/// To explain several labels, make [`SubsetEvaluations`] once and ask it for each of them.
///
/// # Errors
/// As [`SubsetEvaluations::new`] and [`SubsetEvaluations::explain`]; an unknown label is noticed before anything is evaluated.
pub fn explain<P: PredictSubsets + ?Sized>(
    predictor: &P,
    prepared: ArrayView2<'_, f32>,
    label: &str,
    players: &Players,
    options: &ExplainOptions,
    observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Outcome, LimeError> {
    if predictor.labels().index_of(label).is_none() {
        let known = predictor.labels().to_string();
        return Err(LimeError::UnknownLabel { found: label.to_owned(), known });
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
    /// Explains one label from what was evaluated.
    ///
    /// # Errors
    /// An unknown label; subsets other than the method needs; a setting outside its range.
    pub fn explain(&self, label: &str, options: &ExplainOptions) -> Result<Outcome, LimeError> {
        let column = self.column(label)?;
        let probabilities: Vec<f64> = self.probabilities.column(column).to_vec();
        match options.method {
            Method::Shapley => self.shapley(label, column, &probabilities, options.target),
            Method::Lime => self.lime(label, column, &probabilities, options),
            Method::Published => self.published(label, column, &probabilities, options),
        }
    }

    fn shapley(
        &self,
        label: &str,
        column: usize,
        probabilities: &[f64],
        target: Target,
    ) -> Result<Outcome, LimeError> {
        self.require_all("shapley")?;
        let n = self.players.len();
        let values: Vec<f64> = probabilities.iter().map(|p| target.of(*p)).collect();
        let phi = shapley_values(&values, n);
        let f_none = target.of(self.none[column]);
        let kernel = shapley_kernel(n);
        let weights: Vec<f64> =
            self.masks.iter().map(|mask| kernel[mask.kept() as usize]).collect();
        let fitted = self.masks.iter().map(|mask| {
            f_none
                + phi
                    .iter()
                    .enumerate()
                    .filter(|(k, _)| mask.keeps(*k))
                    .map(|(_, v)| v)
                    .sum::<f64>()
        });
        let r2 = weighted_r2(values.iter().copied(), fitted, &weights);
        let pairs = shapley_interactions(&values, n);
        let mut explanation = self.explanation(
            label,
            Method::Shapley,
            &phi,
            f_none,
            [target.of(self.all[column]), f_none],
            Settings::Shapley { target },
        );
        explanation.weighted_r2 = r2;
        explanation.interactions = Some(pairs.outer_iter().map(|row| row.to_vec()).collect());
        Ok(Outcome::Explained(explanation))
    }

    fn lime(
        &self,
        label: &str,
        column: usize,
        probabilities: &[f64],
        options: &ExplainOptions,
    ) -> Result<Outcome, LimeError> {
        self.require_all("lime")?;
        let (n, target) = (self.players.len(), options.target);
        let width = options.kernel_width.unwrap_or(0.75 * (n as f64).sqrt());
        if !(width.is_finite() && width > 0.0) {
            let expected = "positive and finite";
            return Err(LimeError::Setting { setting: "the kernel width", expected, found: width });
        }
        let values: Vec<f64> = probabilities.iter().map(|p| target.of(*p)).collect();
        let weights: Vec<f64> = self
            .masks
            .iter()
            .map(|mask| lime_kernel(n as f64 - f64::from(mask.kept()), width))
            .collect();
        let fit = ridge(&self.masks, n, &values, &weights, options.penalty)?;
        let mut explanation = self.explanation(
            label,
            Method::Lime,
            &fit.coefficients,
            fit.intercept,
            [target.of(self.all[column]), target.of(self.none[column])],
            Settings::Lime { target, kernel_width: width, penalty: options.penalty },
        );
        explanation.weighted_r2 = fit.weighted_r2;
        Ok(Outcome::Explained(explanation))
    }

    fn published(
        &self,
        label: &str,
        column: usize,
        probabilities: &[f64],
        options: &ExplainOptions,
    ) -> Result<Outcome, LimeError> {
        let threshold = options.threshold;
        if !(0.0..=1.0).contains(&threshold) {
            let expected = "from 0 to 1";
            return Err(LimeError::Setting {
                setting: "the threshold",
                expected,
                found: threshold,
            });
        }
        let n = self.players.len();
        let needed = removals(n, 4);
        if self.masks != needed {
            let (expected, found) = (needed.len(), self.masks.len());
            return Err(LimeError::Incomplete { method: "published", expected, found });
        }
        let hard: Vec<bool> = probabilities.iter().map(|p| *p > threshold).collect();
        let weights: Vec<f64> =
            self.masks.iter().map(|mask| f64::from(mask.kept()) / n as f64).collect();
        let (f_all, f_none) = (self.all[column], self.none[column]);
        Ok(match logistic(&self.masks, n, &hard, &weights, options.c)? {
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
            }),
            LogisticOutcome::Fit(fit) => {
                let positive = hard.iter().filter(|label| **label).count();
                let masks = self.masks.len();
                let mut explanation = self.explanation(
                    label,
                    Method::Published,
                    &fit.coefficients,
                    fit.intercept,
                    [f_all, f_none],
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

    /// What all methods fill in alike.
    fn explanation(
        &self,
        label: &str,
        method: Method,
        values: &[f64],
        intercept: f64,
        [f_all, f_none]: [f64; 2],
        settings: Settings,
    ) -> Explanation {
        let contribution = |(player, value): (&crate::Player, &f64)| Contribution {
            lead: player.name.clone(),
            value: *value,
            softmax_percent: None,
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
            seed: None,
            settings,
            interactions: None,
            fallback: self.fallback,
        }
    }
}

/// Weight of a subset with `removed` players gone: sqrt(exp(-d^2 / width^2)) at the Euclidean distance d = sqrt(removed) from the
/// full subset (Ribeiro et al. 2016, as their package has it).
pub fn lime_kernel(removed: f64, width: f64) -> f64 {
    (-removed / (2.0 * width * width)).exp()
}
