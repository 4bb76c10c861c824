use std::cmp::Ordering;
use std::ops::ControlFlow;

use ecg_core::PredictSubsets;
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::{
    ExplainOptions, Explanation, LimeError, Outcome, Partial, Players, explain, kendall_tau_b,
    spearman,
};

/// How far two explanations of the same players agree, be they of two methods, baselines, seeds or models.
///
/// Differences below 1e-10 of the largest magnitude are rounding. Values that small count as zero, and values
/// whose neighbours in order lie that close count as equal: two leads with the same part differ by 1e-16 in one
/// method and not at all in another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Agreement {
    /// Spearman's rank correlation of the values; `None` if one side is constant.
    pub spearman: Option<f64>,
    /// Kendall's tau-b of the values; `None` if one side is constant.
    pub kendall: Option<f64>,
    /// Spearman's rank correlation of the magnitudes, which ignores signs; `None` if one side is constant.
    pub spearman_of_magnitudes: Option<f64>,
    /// Number of players that enter the overlap.
    pub k: usize,
    /// Share of the k players of largest magnitude that both explanations have in common. Ties go to the player
    /// that comes first.
    pub top_overlap: f64,
    /// Whether both have the same player on top ([`Explanation::top`]). False if only one of them has any;
    /// `None` if neither has, which is no disagreement.
    pub same_top: Option<bool>,
    /// Share of the players whose values have the same sign (zero agrees with zero only).
    pub same_sign: f64,
}

impl Agreement {
    /// Compares two explanations; `k` players enter the overlap (at most all of them).
    ///
    /// # Errors
    /// Returns an error if the explanations have different players, or the same in a different order, or if `k`
    /// is zero.
    pub fn of(a: &Explanation, b: &Explanation, k: usize) -> Result<Self, LimeError> {
        let names = |own: &Explanation| -> Vec<String> {
            own.values.iter().map(|own| own.lead.clone()).collect()
        };
        if names(a) != names(b) || a.values.is_empty() {
            return Err(LimeError::Unlike { left: names(a).join(","), right: names(b).join(",") });
        }
        if k == 0 {
            let (setting, expected) = ("the number of top players to compare", "at least 1");
            return Err(LimeError::Setting { setting, expected, found: 0.0 });
        }
        let values = |own: &Explanation| -> [Vec<f64>; 3] {
            let rounding = own.rounding();
            let value = |value: f64| if value.abs() < rounding { 0.0 } else { value };
            let signed: Vec<f64> = own.values.iter().map(|own| value(own.value)).collect();
            let magnitudes = signed.iter().map(|v| v.abs()).collect();
            [levelled(signed.clone(), rounding), levelled(magnitudes, rounding), signed]
        };
        let ([x, big_x, signed_x], [y, big_y, signed_y]) = (values(a), values(b));
        let k = k.min(x.len());
        let (top_x, top_y) = (largest(&big_x, k), largest(&big_y, k));
        let common = top_x.iter().filter(|player| top_y.contains(player)).count();
        let sign = |v: f64| i8::from(v > 0.0) - i8::from(v < 0.0);
        let same = signed_x.iter().zip(&signed_y).filter(|(x, y)| sign(**x) == sign(**y)).count();
        let number = |v: f64| (!v.is_nan()).then_some(v);
        Ok(Self {
            spearman: number(spearman(&x, &y)),
            kendall: number(kendall_tau_b(&x, &y)),
            spearman_of_magnitudes: number(spearman(&big_x, &big_y)),
            k,
            top_overlap: common as f64 / k as f64,
            same_top: match (a.top(), b.top()) {
                (None, None) => None,
                (a, b) => Some(a.zip(b).is_some_and(|(a, b)| a.lead == b.lead)),
            },
            same_sign: same as f64 / x.len() as f64,
        })
    }
}

/// The agreements of many records, averaged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MeanAgreement {
    /// Number of records.
    pub n: usize,
    /// Mean of Spearman's rank correlation over the records that have one.
    pub spearman: Option<f64>,
    /// Share of the records in which both sides have the same player on top, among those in which a side has
    /// one; `None` if there are none of these.
    pub same_top: Option<f64>,
    /// Number of players that enter the overlap.
    pub k: usize,
    /// Mean share of the k players of largest magnitude that both sides have in common.
    pub top_overlap: f64,
    /// Mean share of the players whose values have the same sign.
    pub same_sign: f64,
}

impl MeanAgreement {
    /// Averages the agreements; `None` if there are none.
    pub fn of(agreements: &[Agreement]) -> Option<Self> {
        let first = agreements.first()?;
        let n = agreements.len() as f64;
        let mean =
            |value: &dyn Fn(&Agreement) -> f64| agreements.iter().map(value).sum::<f64>() / n;
        let mean_of_some = |value: &dyn Fn(&Agreement) -> Option<f64>| {
            let some: Vec<f64> = agreements.iter().filter_map(value).collect();
            (!some.is_empty()).then(|| some.iter().sum::<f64>() / some.len() as f64)
        };
        Some(Self {
            n: agreements.len(),
            spearman: mean_of_some(&|own| own.spearman),
            same_top: mean_of_some(&|own| own.same_top.map(|same| f64::from(u8::from(same)))),
            k: first.k,
            top_overlap: mean(&|own| own.top_overlap),
            same_sign: mean(&|own| own.same_sign),
        })
    }
}

/// Makes values equal whose neighbours in order lie within `rounding`, so that rounding does not rank them.
fn levelled(mut values: Vec<f64>, rounding: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| falling(values[*a], values[*b]));
    let mut before: Option<(f64, f64)> = None;
    for k in order {
        let own = values[k];
        values[k] =
            before.filter(|(last, _)| last - own <= rounding).map_or(own, |(_, level)| level);
        before = Some((own, values[k]));
    }
    values
}

/// The indices of the `k` largest values.
fn largest(values: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    // The sort is stable, so ties stay in order.
    order.sort_by(|a, b| falling(values[*a], values[*b]));
    order.truncate(k);
    order
}

/// Compares in descending order, for any values. Zeros of either sign are equal, and NaN comes first or last
/// according to its sign.
pub(crate) fn falling(a: f64, b: f64) -> Ordering {
    // Adding zero turns -0 into 0.
    (b + 0.0).total_cmp(&(a + 0.0))
}

/// How an explanation changed when the model's weights were replaced by random ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Randomisation {
    /// The explanation of the model.
    pub original: Explanation,
    /// The explanation of the model with random weights.
    pub randomised: Explanation,
    /// How far the two agree. An explanation that hardly changes reflects the signal or the architecture, not
    /// what the model has learnt.
    pub agreement: Agreement,
}

/// Runs the weight-randomisation check (Adebayo et al. 2018).
///
/// It explains the same label of the same record by a model and by one of the same architecture with random
/// weights, which the caller provides.
///
/// Repeat the check with several random models and records, and compare the correlations with zero. The
/// correlation of a single pair over eight leads is beyond +-0.25 about half the time by chance.
///
/// Returns `Ok(None)` if the published LIME finds only one class in either model.
///
/// # Errors
/// The errors of [`explain`], for either model. Limb leads that contradict each other affect both models alike.
/// Also returns an error if the work is stopped at the first model, whatever
/// [`EvaluateOptions::keep_partial`](crate::EvaluateOptions::keep_partial) says.
pub fn randomisation_check<P: PredictSubsets + ?Sized, R: PredictSubsets + ?Sized>(
    model: &P,
    randomised: &R,
    prepared: ArrayView2<'_, f32>,
    label: &str,
    players: &Players,
    options: &ExplainOptions,
    observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Option<Randomisation>, LimeError> {
    let original = explain(model, prepared, label, players, options, observer)?;
    if let Some(Partial { done, total }) = original.partial() {
        return Err(LimeError::Stopped { done, total });
    }
    let randomised = explain(randomised, prepared, label, players, options, observer)?;
    let (Outcome::Explained(original), Outcome::Explained(randomised)) = (original, randomised)
    else {
        return Ok(None);
    };
    let agreement = Agreement::of(&original, &randomised, 3)?;
    Ok(Some(Randomisation { original, randomised, agreement }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    #[test]
    fn values_that_are_not_numbers_have_a_place_in_the_order() {
        let mut values: Vec<f64> = (0..24).map(|k| f64::from(k * 7 % 24)).collect();
        values[11] = f64::NAN;
        let numbers = largest(&values, 24).into_iter().map(|k| values[k]).filter(|v| !v.is_nan());
        assert!(numbers.is_sorted_by(|a, b| a > b));
        assert_eq!(falling(1.0, f64::NAN), falling(f64::NAN, 1.0).reverse());
        assert_ne!(falling(1.0, f64::NAN), Ordering::Equal);
        assert_eq!(falling(-0.0, 0.0), Ordering::Equal);

        let named = values.iter().enumerate().map(|(k, value)| (k.to_string(), *value));
        let own = Explanation::from_values("AF", Target::Probability, named, 0.0, 1.0);
        let same = Agreement::of(&own, &own, 24).expect("the same players");
        assert_eq!((same.k, same.top_overlap), (24, 1.0));
    }
}
