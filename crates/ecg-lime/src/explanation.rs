use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::segments::span_name;
use crate::{Einthoven, Partial};

/// The quantity that is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The probability.
    #[default]
    Probability,
    /// The logit, ln(p / (1 - p)), with p kept 1e-12 away from 0 and 1.
    ///
    /// Meant for probabilities that a predictor computes in double precision. Single precision has no values
    /// between 1 - 6e-8 and 1, whose logits are 16.6 and 27.6, so one rounding step near 1 changes it by 11.
    Logit,
}

impl Target {
    /// Returns the target's name: `probability` or `logit`.
    pub fn name(self) -> &'static str {
        match self {
            Target::Probability => "probability",
            Target::Logit => "logit",
        }
    }

    /// Returns the target's value for a probability.
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
        f.write_str(self.name())
    }
}

/// An error for a word that names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown target {found:?}; expected probability or logit")]
pub struct UnknownTarget {
    /// The word.
    pub found: String,
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let named = [Target::Probability, Target::Logit].into_iter().find(|own| own.name() == text);
        named.ok_or_else(|| UnknownTarget { found: text.to_owned() })
    }
}

/// How a decision is divided among the players.
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
    /// Owen values, that is, Shapley values of players that act in unions.
    ///
    /// Exact from all subsets; estimated by [`SampledShapley`](crate::SampledShapley).
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

    /// Returns the method's name: `shapley`, `lime`, `published`, `lime-sampled`, `permutation` or `owen`.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(own, _)| *own == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error for a word that names no method.
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

/// How far a subset is from the full one, for LIME's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Distance {
    /// sqrt(players removed). The usual kernel width is 0.75 sqrt(players), as in the package's tabular LIME.
    #[default]
    Euclidean,
    /// 1 - sqrt(kept / players), the cosine distance of the 0/1 vectors (1 if nothing is kept). The usual
    /// kernel width is 0.25, as in the package's image LIME.
    Cosine,
}

impl Distance {
    /// Returns the distance of a subset that keeps `kept` of `players`.
    pub fn of(self, kept: u32, players: usize) -> f64 {
        let (kept, players) = (f64::from(kept), players as f64);
        match self {
            Distance::Euclidean => (players - kept).sqrt(),
            Distance::Cosine => 1.0 - (kept / players).sqrt(),
        }
    }

    /// Returns the kernel width that the `lime` package uses.
    pub fn usual_width(self, players: usize) -> f64 {
        match self {
            Distance::Euclidean => 0.75 * (players as f64).sqrt(),
            Distance::Cosine => 0.25,
        }
    }
}

/// The settings with which an explanation was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Settings {
    /// Settings for exact Shapley values.
    Shapley {
        /// The quantity that is divided among the players.
        target: Target,
    },
    /// Settings for LIME, exhaustive or sampled.
    Lime {
        /// The quantity that is fitted.
        target: Target,
        /// The distance from the full subset.
        distance: Distance,
        /// Width of the kernel over that distance.
        kernel_width: f64,
        /// Ridge penalty of the fit.
        penalty: f64,
        /// Number of subsets that entered the regression.
        masks: usize,
    },
    /// Settings for the published LIME.
    Published {
        /// A subset is positive if its probability exceeds this.
        threshold: f64,
        /// Inverse of the penalty.
        c: f64,
        /// Number of subsets that entered the regression.
        masks: usize,
        /// Number of those that were positive.
        positive: usize,
    },
    /// Settings for permutation sampling, with or without unions.
    Permutation {
        /// The quantity that is divided among the players.
        target: Target,
        /// Number of permutations walked through, counting both of an antithetic pair.
        permutations: usize,
        /// Whether each permutation was also walked backwards.
        antithetic: bool,
        /// Players that act together, by index; `None` if each acts alone.
        unions: Option<Vec<Vec<usize>>>,
        /// The samples at which time segments begin, followed by the number of samples.
        borders: Vec<usize>,
    },
    /// Settings for exact Owen values.
    Owen {
        /// The quantity that is divided among the players.
        target: Target,
        /// Players that act together, by index.
        unions: Vec<Vec<usize>>,
    },
}

impl Settings {
    /// Returns the quantity that was divided; `None` for the published LIME, which uses hard labels.
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

/// Writes NaN as JSON's null, and reads it back.
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
    /// The player's signed contribution: above zero if it supports the label.
    pub value: f64,
    /// Published LIME only: the softmax over the players in percent, as shown in the study's pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub softmax_percent: Option<f64>,
    /// The standard error of the value, if permutations or subsets were drawn at random and there are enough of
    /// them to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
}

/// Each player's part in one decision about one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The method that made it.
    pub method: Method,
    /// The label that is explained.
    pub label: String,
    /// The parts, in the order of the players.
    pub values: Vec<Contribution>,
    /// The value with no player: f(none) for Shapley and Owen values, the fitted intercept otherwise.
    pub intercept: f64,
    /// The target for the record itself; for the published LIME, the record's probability.
    pub f_all: f64,
    /// The target with every lead removed.
    pub f_none: f64,
    /// f(all) - (intercept + sum of the values), which for Shapley values is rounding only. `None` for the
    /// published LIME, whose values have units of their own.
    pub efficiency_residual: Option<f64>,
    /// 1 - (weighted squared error of the sum of the parts) / (weighted variance of the target), over the
    /// subsets.
    ///
    /// For LIME and the published LIME, it is the share of the variance that the fit explains, and NaN if the
    /// target does not vary. Values of the published LIME are judged by its hard labels.
    ///
    /// For Shapley and Owen values, exact or sampled, only the subsets between none and all count, under the
    /// Shapley kernel. The parts are forced through f(none) and f(all), while the mean that they are compared
    /// with is fitted freely. It may therefore be far below zero although the values are exact, and it is NaN
    /// if nothing varies between the two ends. Sampled Owen values are judged only by coalitions that keep unions
    /// together, since no others are visited, so their figure cannot be compared with that of exact ones.
    #[serde(with = "nan_as_null")]
    pub weighted_r2: f64,
    /// Number of perturbed inputs that were evaluated, for all labels together.
    pub evaluations: usize,
    /// Seed of the sampling; `None` if nothing is sampled.
    pub seed: Option<u64>,
    /// The method's settings.
    pub settings: Settings,
    /// What replaced removed leads, as printed by [`Baseline`](crate::Baseline).
    pub baseline: String,
    /// Set if the work was stopped. The values are then an estimate from what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
    /// Shapley interaction indices `[player, player]`; Shapley values only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interactions: Option<Vec<Vec<f64>>>,
    /// Set if the limb leads contradict each other, so that each lead became a player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Einthoven>,
}

impl Explanation {
    /// Makes an explanation from values that were computed elsewhere, so that [`Agreement`](crate::Agreement),
    /// [`Cohort`](crate::Cohort), [`Stability`](crate::Stability) and [`faithfulness`](crate::faithfulness()) can
    /// judge them. `values` are the names of the players with their values.
    ///
    /// The values are taken as parts in f(all) - f(none): `method` is [`Method::Shapley`], `intercept` is
    /// `f_none`, and `baseline` is empty. Set these fields, and
    /// `settings`, if something else is true. `weighted_r2` is NaN.
    ///
    /// ```
    /// use ecg_lime::{Agreement, Explanation, Target};
    ///
    /// let of = |values| Explanation::from_values("AF", Target::Logit, values, -1.0, 2.0);
    /// let (ours, theirs) = (of([("I", 2.5), ("II", 0.5)]), of([("I", 1.75), ("II", 1.0)]));
    /// assert_eq!(ours.efficiency_residual, Some(0.0));
    /// assert_eq!(theirs.efficiency_residual, Some(0.25));
    /// assert_eq!(Agreement::of(&ours, &theirs, 1)?.same_top, Some(true));
    /// # Ok::<(), ecg_lime::LimeError>(())
    /// ```
    pub fn from_values<N: Into<String>>(
        label: &str,
        target: Target,
        values: impl IntoIterator<Item = (N, f64)>,
        f_none: f64,
        f_all: f64,
    ) -> Self {
        let contribution = |(lead, value): (N, f64)| Contribution {
            lead: lead.into(),
            value,
            softmax_percent: None,
            standard_error: None,
        };
        let values: Vec<Contribution> = values.into_iter().map(contribution).collect();
        let sum: f64 = values.iter().map(|own| own.value).sum();
        Self {
            method: Method::Shapley,
            label: label.to_owned(),
            values,
            intercept: f_none,
            f_all,
            f_none,
            efficiency_residual: Some(f_all - f_none - sum),
            weighted_r2: f64::NAN,
            evaluations: 0,
            seed: None,
            settings: Settings::Shapley { target },
            baseline: String::new(),
            partial: None,
            interactions: None,
            fallback: None,
        }
    }

    /// Returns the player with the largest value for the label (the largest value, not the largest magnitude).
    ///
    /// Of equal values, the first is taken. Returns `None` if there are several players and all have the same
    /// value. Values that differ by less than 1e-10 of the largest magnitude are equal.
    pub fn top(&self) -> Option<&Contribution> {
        let values = || self.values.iter().map(|own| own.value);
        let least = values().fold(f64::NEG_INFINITY, f64::max) - self.rounding();
        let is_top = |value: f64| value >= least;
        if self.values.len() > 1 && values().all(is_top) {
            return None;
        }
        self.values.iter().find(|own| is_top(own.value))
    }

    /// The difference below which two values count as equal, and a value as zero: 1e-10 of the largest
    /// magnitude.
    pub(crate) fn rounding(&self) -> f64 {
        1e-10 * self.values.iter().map(|own| own.value.abs()).fold(0.0, f64::max)
    }

    /// Returns the values by lead: those of its time segments added up, without standard errors, because that of a sum
    /// is not known. Without time segments, these are the values themselves.
    pub fn by_lead(&self) -> Vec<Contribution> {
        let spans: Vec<String> = match &self.settings {
            Settings::Permutation { borders, .. } if borders.len() > 2 => {
                borders.windows(2).map(span_name).collect()
            }
            _ => return self.values.clone(),
        };
        let mut sums: Vec<Contribution> = Vec::new();
        for (own, span) in self.values.iter().zip(spans.iter().cycle()) {
            // A value without a segment has been summed already.
            let Some(lead) = own.lead.strip_suffix(span.as_str()) else {
                sums.push(own.clone());
                continue;
            };
            match sums.last_mut().filter(|last| last.lead == lead) {
                Some(last) => last.value += own.value,
                None => sums.push(Contribution {
                    lead: lead.to_owned(),
                    value: own.value,
                    softmax_percent: None,
                    standard_error: None,
                }),
            }
        }
        sums
    }

    /// Returns the value of a lead or group by name.
    pub fn value_of(&self, lead: &str) -> Option<f64> {
        self.values.iter().find(|own| own.lead == lead).map(|own| own.value)
    }
}

/// Formats the parts as a table.
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
            writeln!(f, "stopped after {done} of {total}: estimated from the part that was done")?;
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
                "limb leads contradict I and II by up to {residual:.3} (tolerance: {tolerance:.3}), so each lead is a player"
            )?;
        }
        Ok(())
    }
}

/// The result of asking for an explanation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
// Almost all outcomes are explanations, and few are held at a time.
#[allow(clippy::large_enum_variant)]
#[non_exhaustive]
pub enum Outcome {
    /// An explanation.
    Explained(Explanation),
    /// Published LIME only: every subset has the same hard label, so no regression is possible.
    OneClass(OneClass),
}

/// A result without an explanation: all hard labels are the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OneClass {
    /// The label that was to be explained.
    pub label: String,
    /// Whether every subset has the label, rather than none.
    pub positive: bool,
    /// The threshold that made the hard labels.
    pub threshold: f64,
    /// Smallest and largest probability among the subsets.
    pub range: [f64; 2],
    /// The record's own probability.
    pub f_all: f64,
    /// Probability with every lead removed.
    pub f_none: f64,
    /// Number of perturbed inputs that were evaluated.
    pub evaluations: usize,
    /// What replaced removed leads, as printed by [`Baseline`](crate::Baseline).
    #[serde(default)]
    pub baseline: String,
    /// Set if the work was stopped. The classes of the remaining inputs are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

impl Outcome {
    /// Returns how much was done if the work was stopped.
    pub fn partial(&self) -> Option<Partial> {
        match self {
            Outcome::Explained(explanation) => explanation.partial,
            Outcome::OneClass(one) => one.partial,
        }
    }

    /// Returns the label that was to be explained.
    pub fn label(&self) -> &str {
        match self {
            Outcome::Explained(explanation) => &explanation.label,
            Outcome::OneClass(one) => &one.label,
        }
    }

    /// Returns the explanation, if there is one.
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
                    "published LIME cannot explain {}: {} of the perturbed inputs has a probability above {} \
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
                        writeln!(f, "stopped after {done} of {total}: the rest is unknown")
                    }
                    None => Ok(()),
                }
            }
        }
    }
}
