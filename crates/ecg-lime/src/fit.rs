use ecg_core::LeadMask;
use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use crate::LimeError;
use crate::masks::check_masks;

/// A linear surrogate: value = intercept + sum of the coefficients of the players kept.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LinearFit {
    /// One coefficient for each player.
    pub coefficients: Vec<f64>,
    /// The value with no player kept. For a logistic fit, this is a logit.
    pub intercept: f64,
    /// Weighted share of the variance that the fit explains (for a logistic fit, of the 0/1 targets). NaN if
    /// the targets do not vary.
    pub weighted_r2: f64,
    /// Number of Newton steps; 0 for a fit in closed form.
    pub iterations: usize,
}

/// The result of a logistic regression.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LogisticOutcome {
    /// The fit at the exact minimum.
    Fit(LinearFit),
    /// Every target is the same, so there is nothing to regress.
    OneClass {
        /// The class of all targets.
        positive: bool,
    },
}

fn check(
    masks: &[LeadMask],
    players: usize,
    targets: usize,
    weights: &[f64],
) -> Result<(), LimeError> {
    if targets != masks.len() || weights.len() != masks.len() {
        return Err(LimeError::FitLength { masks: masks.len(), targets, weights: weights.len() });
    }
    if masks.is_empty() {
        let (setting, expected) = ("the number of subsets", "at least 1");
        return Err(LimeError::Setting { setting, expected, found: 0.0 });
    }
    check_masks(masks, players)?;
    let usable =
        weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().any(|w| *w > 0.0);
    if usable { Ok(()) } else { Err(LimeError::Weights) }
}

/// Refuses a ridge penalty that is negative or not finite.
pub(crate) fn check_penalty(penalty: f64) -> Result<(), LimeError> {
    if penalty.is_finite() && penalty >= 0.0 {
        return Ok(());
    }
    let expected = "finite and at least 0";
    Err(LimeError::Setting { setting: "the ridge penalty", expected, found: penalty })
}

/// Refuses an inverse penalty that is not positive and finite.
pub(crate) fn check_c(c: f64) -> Result<(), LimeError> {
    if c.is_finite() && c > 0.0 {
        return Ok(());
    }
    let expected = "positive and finite";
    Err(LimeError::Setting { setting: "the inverse penalty C", expected, found: c })
}

/// Refuses numbers that are NaN or infinite; `what` names one of them.
pub(crate) fn check_finite(what: &'static str, numbers: &[f64]) -> Result<(), LimeError> {
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(index) => Err(LimeError::NotFinite { what, index, found: numbers[index] }),
        None => Ok(()),
    }
}

/// A row of the design matrix: 0 or 1 for each player, then 1 for the intercept.
fn design(mask: LeadMask, players: usize) -> impl Iterator<Item = f64> {
    (0..players).map(move |k| f64::from(u8::from(mask.keeps(k)))).chain([1.0])
}

/// 1 - (weighted squared error) / (weighted variance); NaN if the targets vary by no more than rounding.
pub(crate) fn weighted_r2(
    targets: impl Iterator<Item = f64> + Clone,
    fitted: impl Iterator<Item = f64>,
    weights: &[f64],
) -> f64 {
    let total: f64 = weights.iter().sum();
    let mean = targets.clone().zip(weights).map(|(y, w)| w * y).sum::<f64>() / total;
    let (mut error, mut variance) = (0.0, 0.0);
    for ((y, fit), w) in targets.zip(fitted).zip(weights) {
        error += w * (y - fit) * (y - fit);
        variance += w * (y - mean) * (y - mean);
    }
    // The mean of equal targets is rounded, so their variance need not be exactly zero.
    let rounding = 1e-11 * mean;
    if variance > total * rounding * rounding { 1.0 - error / variance } else { f64::NAN }
}

/// Fits a weighted ridge regression of `targets` on the players kept.
///
/// Minimises sum of w (y - fit)^2 + `penalty` |coefficients|^2, in closed form. The intercept is not penalised.
///
/// # Errors
/// Returns an error in these cases:
/// - The lengths differ.
/// - There is no mask, or one that keeps other players.
/// - A target is not finite.
/// - The weights are unusable.
/// - The penalty is negative or not finite.
/// - The minimum is not unique (only with penalty 0).
pub fn ridge(
    masks: &[LeadMask],
    players: usize,
    targets: &[f64],
    weights: &[f64],
    penalty: f64,
) -> Result<LinearFit, LimeError> {
    check(masks, players, targets.len(), weights)?;
    check_finite("target", targets)?;
    check_penalty(penalty)?;
    let size = players + 1;
    // Targets are taken relative to one of them, so that players who change nothing get exactly zero.
    let start = targets[0];
    let mut right = DVector::<f64>::zeros(size);
    for ((mask, y), w) in masks.iter().zip(targets).zip(weights) {
        let row = DVector::from_iterator(size, design(*mask, players));
        right.axpy(w * (y - start), &row, 1.0);
    }
    let Some(factor) = factor(masks, players, weights, penalty) else {
        let expected = "positive where the masks leave a player undetermined";
        return Err(LimeError::Setting { setting: "the ridge penalty", expected, found: penalty });
    };
    let mut solution = factor.solve(&right);
    solution[players] += start;
    let fitted = masks.iter().map(|mask| dot(&solution, *mask, players));
    Ok(LinearFit {
        coefficients: solution.iter().take(players).copied().collect(),
        intercept: solution[players],
        weighted_r2: weighted_r2(targets.iter().copied(), fitted, weights),
        iterations: 0,
    })
}

/// Returns the Cholesky factor of the normal matrix, sum of w x x' + penalty. `None` if the masks leave a
/// player undetermined, so that its pivot is only rounding.
fn factor(
    masks: &[LeadMask],
    players: usize,
    weights: &[f64],
    penalty: f64,
) -> Option<Cholesky<f64, Dyn>> {
    let size = players + 1;
    let mut normal = DMatrix::<f64>::zeros(size, size);
    for (mask, w) in masks.iter().zip(weights) {
        let row = DVector::from_iterator(size, design(*mask, players));
        normal.ger(*w, &row, &row, 1.0);
    }
    for k in 0..players {
        normal[(k, k)] += penalty;
    }
    let scale = normal.diagonal();
    let pivots = |factor: &Cholesky<f64, Dyn>| {
        factor.l_dirty().diagonal().iter().zip(&scale).all(|(l, scale)| l * l > 1e-12 * scale)
    };
    normal.cholesky().filter(pivots)
}

/// Returns whether the masks tell each player's part from the others' without the help of a penalty.
pub(crate) fn determines(masks: &[LeadMask], players: usize, weights: &[f64]) -> bool {
    factor(masks, players, weights, 0.0).is_some()
}

/// Standard errors of ridge coefficients whose masks were drawn at random.
///
/// This is the sandwich A^-1 (sum of w^2 r^2 x x') A^-1 with A = sum of w x x' + penalty (White 1980), which
/// holds even though no linear model is true, times masks / (masks - parameters) (Hinkley 1977).
///
/// `None` if there are no more masks than parameters: the residuals of so few say nothing about the noise.
pub(crate) fn ridge_standard_errors(
    masks: &[LeadMask],
    players: usize,
    targets: &[f64],
    weights: &[f64],
    penalty: f64,
    fit: &LinearFit,
) -> Option<Vec<f64>> {
    let size = players + 1;
    if masks.len() <= size {
        return None;
    }
    let parameters =
        DVector::from_iterator(size, fit.coefficients.iter().copied().chain([fit.intercept]));
    let mut meat = DMatrix::<f64>::zeros(size, size);
    for ((mask, y), w) in masks.iter().zip(targets).zip(weights) {
        let row = DVector::from_iterator(size, design(*mask, players));
        let pull = w * (y - dot(&parameters, *mask, players));
        meat.ger(pull * pull, &row, &row, 1.0);
    }
    let factor = factor(masks, players, weights, penalty)?;
    let half = factor.solve(&meat);
    let covariance = factor.solve(&half.transpose());
    // The fit makes the residuals smaller than the noise, by the share of parameters among the masks.
    let share = masks.len() as f64 / (masks.len() - size) as f64;
    Some((0..players).map(|k| (share * covariance[(k, k)].max(0.0)).sqrt()).collect())
}

fn dot(parameters: &DVector<f64>, mask: LeadMask, players: usize) -> f64 {
    design(mask, players).zip(parameters.iter()).map(|(x, b)| x * b).sum()
}

/// ln(1 + e^z) without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

/// Fits a weighted logistic regression of hard labels on the players kept, at its exact minimum.
///
/// Minimises sum of w ln(1 + exp(-s z)) + |coefficients|^2 / (2 `c`), s = 1 or -1, z = intercept +
/// coefficients. The intercept is not penalised. If both classes are present, the minimum exists and is unique,
/// whether or not they are separable; Newton's method with step halving finds it, unless `c` is so large that the
/// minimum is out of reach.
///
/// # Errors
/// Returns an error in these cases:
/// - The lengths differ.
/// - There is no mask, or one that keeps other players.
/// - The weights are unusable.
/// - `c` is not positive and finite.
/// - The minimum is not reached ([`LimeError::NotConverged`]). With separable classes, a `c` of 1e100 is too large.
pub fn logistic(
    masks: &[LeadMask],
    players: usize,
    labels: &[bool],
    weights: &[f64],
    c: f64,
) -> Result<LogisticOutcome, LimeError> {
    check(masks, players, labels.len(), weights)?;
    check_c(c)?;
    // A subset without weight does not count, not even towards the number of classes.
    let mut seen = labels.iter().zip(weights).filter(|(_, w)| **w > 0.0).map(|(label, _)| *label);
    let first = seen.next().unwrap_or(false);
    if seen.all(|label| label == first) {
        return Ok(LogisticOutcome::OneClass { positive: first });
    }

    // The weights are scaled to add up to 1, and the penalty in proportion, so that the thresholds below do not
    // depend on their scale.
    let total: f64 = weights.iter().sum();
    let weights: Vec<f64> = weights.iter().map(|w| w / total).collect();
    let c = c * total;
    let size = players + 1;
    let objective = |b: &DVector<f64>| {
        let losses = masks.iter().zip(labels).zip(&weights).map(|((mask, label), w)| {
            let z = dot(b, *mask, players);
            w * softplus(if *label { -z } else { z })
        });
        let squares: f64 = b.iter().take(players).map(|b| b * b).sum();
        losses.sum::<f64>() + squares / (2.0 * c)
    };
    const MOST_ITERATIONS: usize = 200;

    let mut b = DVector::<f64>::zeros(size);
    let mut value = objective(&b);
    let mut largest = f64::INFINITY;
    let (mut iterations, mut polished) = (0, 0);
    while iterations < MOST_ITERATIONS {
        let mut gradient = DVector::<f64>::zeros(size);
        let mut hessian = DMatrix::<f64>::zeros(size, size);
        for ((mask, label), w) in masks.iter().zip(labels).zip(&weights) {
            let row = DVector::from_iterator(size, design(*mask, players));
            let z = dot(&b, *mask, players);
            // 1 - p is computed by itself: if p is nearly 1, the difference would be rounding.
            let (p, not_p) = (sigmoid(z), sigmoid(-z));
            gradient.axpy(w * if *label { -not_p } else { p }, &row, 1.0);
            hessian.ger(w * p * not_p, &row, &row, 1.0);
        }
        for k in 0..players {
            gradient[k] += b[k] / c;
            hessian[(k, k)] += 1.0 / c;
        }
        largest = gradient.amax();
        // The intercept's curvature can underflow far from the minimum. A tiny penalty keeps the matrix
        // invertible.
        hessian[(players, players)] += 1e-300;
        let Some(factor) = hessian.cholesky() else { break };
        let step = factor.solve(&gradient);
        let slope = step.dot(&gradient);
        iterations += 1;
        // Half the slope is what the objective can still lose. Near the minimum, rounding hides that from a
        // line search, while full steps square the error each time.
        if slope <= 1e-9 * value {
            b -= &step;
            polished += 1;
            if polished == 10 || step.amax() <= 1e-12 * (1.0 + b.amax()) {
                break;
            }
            continue;
        }
        let mut share = 1.0;
        let improved = loop {
            let trial = &b - &step * share;
            let trial_value = objective(&trial);
            if trial_value <= value - 1e-4 * share * slope {
                break Some((trial, trial_value));
            }
            share /= 2.0;
            if share < 1e-10 {
                break None;
            }
        };
        let Some(better) = improved else { break };
        (b, value) = better;
    }
    if polished == 0 {
        return Err(LimeError::NotConverged { iterations, gradient: largest });
    }
    let targets = labels.iter().map(|label| f64::from(u8::from(*label)));
    let fitted = masks.iter().map(|mask| sigmoid(dot(&b, *mask, players)));
    Ok(LogisticOutcome::Fit(LinearFit {
        coefficients: b.iter().take(players).copied().collect(),
        intercept: b[players],
        weighted_r2: weighted_r2(targets, fitted, &weights),
        iterations,
    }))
}

/// Returns the softmax of coefficients in percent, as the study's pictures show it. It hides signs.
pub fn softmax_percent(coefficients: &[f64]) -> Vec<f64> {
    let largest = coefficients.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = coefficients.iter().map(|c| (c - largest).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|e| 100.0 * e / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_class_is_an_outcome() {
        let masks = crate::all_masks(2);
        let outcome = logistic(&masks, 2, &[true; 4], &[1.0; 4], 1.0).expect("valid");
        assert_eq!(outcome, LogisticOutcome::OneClass { positive: true });
        // The only negative has no weight.
        let outcome = logistic(&masks, 2, &[false, true, true, true], &[0.0, 1.0, 1.0, 1.0], 1.0);
        assert_eq!(outcome.expect("valid"), LogisticOutcome::OneClass { positive: true });
    }

    #[test]
    fn separable_with_hardly_any_penalty() {
        let masks = crate::all_masks(6);
        let labels: Vec<bool> = masks.iter().map(|mask| mask.keeps(3)).collect();
        let outcome = logistic(&masks, 6, &labels, &vec![1.0; 64], 1e8).expect("converges");
        let LogisticOutcome::Fit(fit) = outcome else { panic!("two classes") };
        assert!(fit.coefficients[3] > 20.0);
        for (k, c) in fit.coefficients.iter().enumerate().filter(|(k, _)| *k != 3) {
            assert!(c.abs() < 1e-6, "{k}: {c}");
        }
    }

    #[test]
    fn the_minimum_is_found_on_any_scale() {
        let masks = crate::all_masks(6);
        let labels: Vec<bool> = masks.iter().map(|mask| mask.keeps(3)).collect();
        for c in [1e-14, 1e-3, 1.0, 1e8, 1e12, 1e14, 1e16] {
            for scale in [1.0, 1e-12, 1e9] {
                let outcome = logistic(&masks, 6, &labels, &[scale; 64], c / scale);
                let LogisticOutcome::Fit(fit) = outcome.expect("converges") else {
                    panic!("two classes")
                };
                // At the zero of the derivative: 32 sigmoid(-b / 2) = b / c.
                let b = fit.coefficients[3];
                let ratio = b * (1.0 + (b / 2.0).exp()) / (32.0 * c);
                assert!((ratio - 1.0).abs() < 1e-9, "{c:e} {scale:e}: {b} {ratio}");
            }
        }
    }

    #[test]
    fn a_minimum_out_of_reach_is_an_error() {
        let masks = crate::all_masks(6);
        let labels: Vec<bool> = masks.iter().map(|mask| mask.keeps(3)).collect();
        for c in [1e100, 1e300, f64::MAX] {
            let outcome = logistic(&masks, 6, &labels, &[1.0; 64], c);
            let error = outcome.expect_err("too far").to_string();
            assert!(error.contains("before its minimum"), "{c:e}: {error}");
        }
        // Classes that overlap have a minimum at hand even so.
        let overlap: Vec<bool> = masks.iter().map(|mask| mask.kept() % 3 == 1).collect();
        assert!(logistic(&masks, 6, &overlap, &[1.0; 64], 1e100).is_ok());
    }

    #[test]
    fn bad_settings_are_refused() {
        let masks = crate::all_masks(2);
        assert!(matches!(
            ridge(&masks, 2, &[0.0; 3], &[1.0; 4], 1.0),
            Err(LimeError::FitLength { masks: 4, targets: 3, weights: 4 })
        ));
        assert!(matches!(ridge(&masks, 2, &[0.0; 4], &[0.0; 4], 1.0), Err(LimeError::Weights)));
        for bad in [f64::NAN, f64::INFINITY] {
            let error = ridge(&masks, 2, &[0.0, 0.0, bad, 0.0], &[1.0; 4], 1.0).expect_err("bad");
            let expected = format!("target 2 (from 0) is {bad}, expected a finite number");
            assert_eq!(error.to_string(), expected);
        }
        assert!(matches!(
            ridge(&masks, 2, &[0.0; 4], &[1.0; 4], f64::NAN),
            Err(LimeError::Setting { .. })
        ));
        // Player 1 is never removed, so without a penalty nothing determines it.
        let partial = [LeadMask(0b11), LeadMask(0b10)];
        assert!(matches!(
            ridge(&partial, 2, &[1.0, 0.0], &[1.0; 2], 0.0),
            Err(LimeError::Setting { .. })
        ));
        // Small weights alone leave nothing undetermined.
        let small = ridge(&masks, 2, &[0.0, 0.5, 0.0, 0.5], &[1e-14; 4], 1e-16).expect("valid");
        assert!((small.coefficients[0] - 0.5).abs() < 0.01, "{small:?}");
        // Weights whose rounding gives player 1 a pivot of 3e-17 still do not determine it.
        assert!(matches!(
            ridge(&partial, 2, &[1.0, 0.0], &[0.3, 0.1], 0.0),
            Err(LimeError::Setting { .. })
        ));
        let beyond = [LeadMask(0b100), LeadMask(0b001)];
        assert!(matches!(
            ridge(&beyond, 2, &[1.0, 0.0], &[1.0; 2], 1.0),
            Err(LimeError::Mask { subset: 0, player: 2, players: 2 })
        ));
        assert!(matches!(
            logistic(&beyond, 2, &[true, false], &[1.0; 2], 1.0),
            Err(LimeError::Mask { .. })
        ));
        assert!(matches!(ridge(&[], 2, &[], &[], 1.0), Err(LimeError::Setting { .. })));
        assert!(matches!(
            logistic(&masks, 2, &[true, false, true, true], &[1.0; 4], 0.0),
            Err(LimeError::Setting { .. })
        ));
    }

    #[test]
    fn nothing_is_explained_where_nothing_varies() {
        for players in [2, 12, 16] {
            let masks = crate::all_masks(players);
            let weights: Vec<f64> =
                masks.iter().map(|mask| 0.1 + f64::from(mask.kept()) / 7.0).collect();
            for constant in [0.1, 0.7, 1e-9, 0.0] {
                let targets = vec![constant; masks.len()];
                let fit = ridge(&masks, players, &targets, &weights, 1.0).expect("valid");
                assert!(fit.weighted_r2.is_nan(), "{players} {constant}: {}", fit.weighted_r2);
                assert_eq!((fit.coefficients, fit.intercept), (vec![0.0; players], constant));
            }
            let targets: Vec<f64> =
                masks.iter().map(|mask| if mask.keeps(1) { 0.7 + 1e-7 } else { 0.7 }).collect();
            let fit = ridge(&masks, players, &targets, &weights, 0.0).expect("valid");
            assert!(fit.weighted_r2 > 0.99, "{players}: {}", fit.weighted_r2);
        }
    }

    #[test]
    fn softmax_adds_up() {
        let percent = softmax_percent(&[1000.0, 999.0, -1000.0]);
        assert!((percent.iter().sum::<f64>() - 100.0).abs() < 1e-12);
        assert!(percent[0] > percent[1] && percent[2] == 0.0);
    }
}
