use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Einthoven, Partial};

/// What is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The probability.
    #[default]
    Probability,
    /// ln(p / (1 - p)), with p kept 1e-12 away from 0 and 1.
    ///
    /// For probabilities that a predictor computed in double precision. Single precision has none between 1 - 6e-8 and 1, whose
    /// logits are 16.6 and 27.6, so that one rounding step near 1 is a part of 11.
    Logit,
}

impl Target {
    /// The target's value for a probability.
    pub fn of(self, probability: f64) -> f64 {
        match self {
            Target::Probability => probability,
            Target::Logit => {
                let p = probability.clamp(1e-12, 1.0 - 1e-12);
                (p / (1.0 - p)).ln()
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::Probability => "probability",
            Target::Logit => "logit",
        })
    }
}

/// How a decision is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// Exact Shapley values from all subsets.
    #[default]
    Shapley,
    /// Weighted ridge regression on all subsets: LIME without sampling.
    Lime,
    /// The study's LIME: 793 subsets, hard labels, logistic regression.
    Published,
    /// Weighted ridge regression on randomly drawn subsets, as the `lime` package does it.
    LimeSampled,
    /// Shapley values estimated from random permutations ([`SampledShapley`](crate::SampledShapley)).
    Permutation,
    /// Owen values: Shapley values where players act in unions. Exact from all subsets, estimated by
    /// [`SampledShapley`](crate::SampledShapley).
    Owen,
}

impl Method {
    /// All methods with their names.
    const NAMES: [(Method, &str); 6] = [
        (Method::Shapley, "shapley"),
        (Method::Lime, "lime"),
        (Method::Published, "published"),
        (Method::LimeSampled, "lime-sampled"),
        (Method::Permutation, "permutation"),
        (Method::Owen, "owen"),
    ];

    /// The method's name: `shapley`, `lime`, `published`, `lime-sampled`, `permutation` or `owen`.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(own, _)| *own == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown method {found:?}; expected shapley, lime, published, lime-sampled, permutation or owen"
)]
pub struct UnknownMethod {
    /// The word.
    pub found: String,
}

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(text: &str) -> Result<Self, UnknownMethod> {
        let named = Self::NAMES.iter().find(|(_, name)| *name == text);
        named.map(|(own, _)| *own).ok_or_else(|| UnknownMethod { found: text.to_owned() })
    }
}

/// How far a subset is from the full one, for the kernel of LIME.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Distance {
    /// sqrt(players removed); the usual kernel width is 0.75 sqrt(players) (the package's tabular LIME).
    #[default]
    Euclidean,
    /// 1 - sqrt(kept / players), the cosine distance of the 0/1 vectors (1 where nothing is kept); the usual kernel width is 0.25
    /// (the package's image LIME).
    Cosine,
}

impl Distance {
    /// Distance of a subset that keeps `kept` of `players`.
    pub fn of(self, kept: u32, players: usize) -> f64 {
        let (kept, players) = (f64::from(kept), players as f64);
        match self {
            Distance::Euclidean => (players - kept).sqrt(),
            Distance::Cosine => 1.0 - (kept / players).sqrt(),
        }
    }

    /// The package's kernel width.
    pub fn usual_width(self, players: usize) -> f64 {
        match self {
            Distance::Euclidean => 0.75 * (players as f64).sqrt(),
            Distance::Cosine => 0.25,
        }
    }
}

/// The settings under which an explanation was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Settings {
    /// Of exact Shapley values.
    Shapley {
        /// What is shared out.
        target: Target,
    },
    /// Of LIME, exhaustive or sampled.
    Lime {
        /// What is fitted.
        target: Target,
        /// The distance from the full subset.
        distance: Distance,
        /// Width of the kernel over that distance.
        kernel_width: f64,
        /// Ridge penalty of the fit.
        penalty: f64,
        /// Subsets that entered the regression.
        masks: usize,
    },
    /// Of the published LIME.
    Published {
        /// A subset is positive where the probability exceeds this.
        threshold: f64,
        /// Inverse of the penalty.
        c: f64,
        /// Subsets that entered the regression.
        masks: usize,
        /// Those of them that were positive.
        positive: usize,
    },
    /// Of permutation sampling, Owen's included.
    Permutation {
        /// What is shared out.
        target: Target,
        /// Permutations walked through, both of an antithetic pair.
        permutations: usize,
        /// Whether each permutation was also walked backwards.
        antithetic: bool,
        /// Players that act together, by their places; `None` where each acts alone.
        unions: Option<Vec<Vec<usize>>>,
        /// Samples at which time segments begin, and the number of samples last.
        borders: Vec<usize>,
    },
    /// Of exact Owen values.
    Owen {
        /// What is shared out.
        target: Target,
        /// Players that act together, by their places.
        unions: Vec<Vec<usize>>,
    },
}

impl Settings {
    /// What was shared out; `None` of the published LIME, which goes by hard labels.
    pub fn target(&self) -> Option<Target> {
        match *self {
            Settings::Shapley { target }
            | Settings::Lime { target, .. }
            | Settings::Permutation { target, .. }
            | Settings::Owen { target, .. } => Some(target),
            Settings::Published { .. } => None,
        }
    }
}

/// NaN as JSON's null and back.
mod nan_as_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        Some(*value).filter(|v| !v.is_nan()).serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
    }
}

/// One player's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Contribution {
    /// The lead, or the group of leads.
    pub lead: String,
    /// Its part, with its sign: above zero where it speaks for the label.
    pub value: f64,
    /// Published LIME only: the softmax over the players in percent, which the study's pictures show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub softmax_percent: Option<f64>,
    /// Where permutations or subsets were drawn at random: the standard error of the value, if there are enough of them to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
}

/// Each player's part in one decision about one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// How it was made.
    pub method: Method,
    /// The label that is explained.
    pub label: String,
    /// The parts, in the order of the players.
    pub values: Vec<Contribution>,
    /// Value with no player: f(none) for Shapley and Owen values, the fitted intercept otherwise.
    pub intercept: f64,
    /// The target for the record itself; of the published LIME, its probability.
    pub f_all: f64,
    /// The target with every lead removed.
    pub f_none: f64,
    /// f(all) - (intercept + sum of the values): rounding only for Shapley values. `None` for the published LIME, whose values
    /// are in units of its own.
    pub efficiency_residual: Option<f64>,
    /// Weighted share of the variance over the subsets that the sum of the parts explains; NaN where nothing varies. Shapley
    /// values are judged under the Shapley kernel.
    #[serde(with = "nan_as_null")]
    pub weighted_r2: f64,
    /// Perturbed inputs that were evaluated, for all labels together.
    pub evaluations: usize,
    /// Seed of the sampling; `None` where nothing is sampled.
    pub seed: Option<u64>,
    /// The method's settings.
    pub settings: Settings,
    /// What stood in for removed leads, as [`Baseline`](crate::Baseline) prints.
    pub baseline: String,
    /// Set where the work was stopped: the values are then an estimate from what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
    /// Shapley interaction indices `[player, player]`; Shapley values only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interactions: Option<Vec<Vec<f64>>>,
    /// Set where the limb leads contradict each other, so that each lead became a player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Einthoven>,
}

impl Explanation {
    /// The player with the largest part for the label (the largest value, not the largest magnitude), the first of equals; `None`
    /// where all of several players have the same. Values that differ by less than 1e-10 of the largest magnitude are equal.
    pub fn top(&self) -> Option<&Contribution> {
        let values = || self.values.iter().map(|own| own.value);
        let largest = values().fold(f64::NEG_INFINITY, f64::max);
        let is_top = |value: f64| value >= largest - self.rounding();
        if self.values.len() > 1 && values().all(is_top) {
            return None;
        }
        self.values.iter().find(|own| is_top(own.value))
    }

    /// What a value may differ by from another without being another, nor another than zero: 1e-10 of the largest magnitude.
    pub(crate) fn rounding(&self) -> f64 {
        1e-10 * self.values.iter().map(|own| own.value.abs()).fold(0.0, f64::max)
    }

    /// The value of a lead or group by name.
    pub fn value_of(&self, lead: &str) -> Option<f64> {
        self.values.iter().find(|own| own.lead == lead).map(|own| own.value)
    }
}

/// A table of the parts.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} for {}: f(all) {:.4}, f(none) {:.4}, intercept {:.4}, {} evaluations, baseline {}",
            self.method,
            self.label,
            self.f_all,
            self.f_none,
            self.intercept,
            self.evaluations,
            self.baseline
        )?;
        if let Some(Partial { done, total }) = self.partial {
            writeln!(f, "stopped after {done} of {total}: an estimate from what was done")?;
        }
        let width = self.values.iter().map(|own| own.lead.chars().count()).max().unwrap_or(0);
        let largest = self.values.iter().map(|own| own.value.abs()).fold(0.0, f64::max);
        for own in &self.values {
            let bar = if largest > 0.0 { (own.value.abs() / largest * 20.0).round() } else { 0.0 };
            let sign = if own.value < 0.0 { "-" } else { "+" };
            write!(f, "{:<width$}  {:>+9.4}", own.lead, own.value)?;
            if let Some(error) = own.standard_error {
                write!(f, " (se {error:.4})")?;
            }
            if let Some(percent) = own.softmax_percent {
                write!(f, "  {percent:>5.1} %")?;
            }
            writeln!(f, "  {}", sign.repeat(bar as usize))?;
        }
        if let Some(Einthoven { residual, tolerance }) = self.fallback {
            writeln!(
                f,
                "limb leads differ from I and II by {residual:.3} (tolerated: {tolerance:.3}), so each lead is a player"
            )?;
        }
        Ok(())
    }
}

/// What came of asking for an explanation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
// An explanation is the rule, and few are held at a time.
#[allow(clippy::large_enum_variant)]
#[non_exhaustive]
pub enum Outcome {
    /// An explanation.
    Explained(Explanation),
    /// Published LIME only: every subset has the same hard label, so no regression is possible.
    OneClass(OneClass),
}

/// Hard labels that are all the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OneClass {
    /// The label that was to be explained.
    pub label: String,
    /// Whether every subset has the label (or none).
    pub positive: bool,
    /// The threshold that made the hard labels.
    pub threshold: f64,
    /// Smallest and largest probability among the subsets.
    pub range: [f64; 2],
    /// The record's own probability.
    pub f_all: f64,
    /// Probability with every lead removed.
    pub f_none: f64,
    /// Perturbed inputs that were evaluated.
    pub evaluations: usize,
    /// What stood in for removed leads, as [`Baseline`](crate::Baseline) prints.
    #[serde(default)]
    pub baseline: String,
    /// Set where the work was stopped: the classes of the other inputs are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

impl Outcome {
    /// Set where the work was stopped.
    pub fn partial(&self) -> Option<Partial> {
        match self {
            Outcome::Explained(explanation) => explanation.partial,
            Outcome::OneClass(one) => one.partial,
        }
    }

    /// The explanation, if there is one.
    pub fn explanation(&self) -> Option<&Explanation> {
        match self {
            Outcome::Explained(explanation) => Some(explanation),
            Outcome::OneClass(_) => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Explained(explanation) => explanation.fmt(f),
            Outcome::OneClass(one) => {
                writeln!(
                    f,
                    "published LIME has nothing to say about {}: {} of the perturbed inputs has a probability above {} \
                     ({:.4} to {:.4}), baseline {}",
                    one.label,
                    if one.positive { "every one" } else { "none" },
                    one.threshold,
                    one.range[0],
                    one.range[1],
                    one.baseline
                )?;
                match one.partial {
                    Some(Partial { done, total }) => {
                        writeln!(f, "stopped after {done} of {total}: others are not known")
                    }
                    None => Ok(()),
                }
            }
        }
    }
}
