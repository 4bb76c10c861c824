use ecg_core::LabelSet;
use ndarray::ArrayView2;

use crate::ranking::Ranking;
use crate::report::checked_columns;
use crate::{Confusion, MetricsError, Truth, ZeroDivision};

/// How a threshold is chosen. Choose on validation data, never on the records that are then judged.
///
/// For the challenge score, which depends on all labels together, see
/// [`ChallengeWeights::choose_thresholds`](crate::ChallengeWeights::choose_thresholds).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ThresholdRule {
    /// The same for every label.
    Fixed(f64),
    /// Largest sensitivity + specificity - 1 (Youden 1950).
    Youden,
    /// Largest F1.
    MaxF1,
    /// Largest G-beta with beta 2.
    MaxGBeta,
    /// Largest specificity at which the sensitivity is at least this. No threshold where none reaches it: a probability of
    /// zero is never predicted.
    Sensitivity(f64),
}

impl ThresholdRule {
    /// What the rule makes as large as it can.
    fn merit(self, c: &Confusion) -> f64 {
        match self {
            ThresholdRule::Fixed(_) => 0.0,
            ThresholdRule::Youden => c.sensitivity(ZeroDivision::Zero) + c.specificity(),
            ThresholdRule::MaxF1 => c.f_beta(1.0, ZeroDivision::Zero),
            ThresholdRule::MaxGBeta => c.g_beta(2.0),
            ThresholdRule::Sensitivity(wanted) => {
                let enough = c.sensitivity(ZeroDivision::Zero) >= wanted;
                if enough { c.specificity() } else { -1.0 }
            }
        }
    }
}

/// Thresholds, one for each label, by a rule; `None` for a label that has no positive or no negative record, or for which no
/// threshold reaches the sensitivity that the rule asks for.
///
/// A threshold lies halfway between two neighbouring probabilities, so that rounding decides nothing. Of equally good ones the
/// highest is taken.
///
/// # Errors
/// As [`Report::new`](crate::Report::new); a fixed threshold or sensitivity outside 0 to 1.
pub fn choose_thresholds<T: Truth>(
    labels: &LabelSet,
    truth: ArrayView2<'_, T>,
    proba: ArrayView2<'_, f64>,
    rule: ThresholdRule,
) -> Result<Vec<Option<f64>>, MetricsError> {
    let outside = |value: f64| !(0.0..=1.0).contains(&value);
    match rule {
        ThresholdRule::Fixed(found) if outside(found) => {
            return Err(MetricsError::Threshold { label: labels.to_string(), found });
        }
        ThresholdRule::Sensitivity(found) if outside(found) => {
            return Err(MetricsError::Sensitivity { found });
        }
        _ => {}
    }
    let columns = checked_columns(labels, &truth, &proba)?;
    let choose = |column: Vec<(f64, bool)>| {
        if let ThresholdRule::Fixed(threshold) = rule {
            return Some(threshold);
        }
        let ranking = Ranking::new(column.into_iter());
        let (positives, negatives) = (ranking.positives(), ranking.negatives());
        if positives == 0 || negatives == 0 {
            return None;
        }
        let steps: Vec<_> = ranking.steps().collect();
        let mut best: Option<(f64, f64)> = None;
        for (k, step) in steps.iter().enumerate() {
            let confusion = Confusion {
                tp: step.tp,
                fp: step.fp,
                fn_: positives - step.tp,
                tn: negatives - step.fp,
            };
            let merit = rule.merit(&confusion);
            let below = steps.get(k + 1).map_or(0.0, |next| next.threshold);
            // Strictly above the threshold counts, so a probability of zero is never predicted.
            if step.threshold > 0.0 && best.is_none_or(|(best, _)| merit > best) {
                best = Some((merit, between(below, step.threshold)));
            }
        }
        // A merit below zero breaks the rule.
        best.filter(|(merit, _)| *merit >= 0.0).map(|(_, threshold)| threshold)
    };
    Ok(columns.into_iter().map(choose).collect())
}

/// A threshold halfway between two probabilities: the higher is above it, the lower is not.
pub(crate) fn between(low: f64, high: f64) -> f64 {
    // Between neighbours among the floating-point numbers nothing lies, and the middle may round to either.
    let middle = (high + low) / 2.0;
    if middle < high { middle } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn each_rule_finds_its_best() {
        let labels = LabelSet::new(["x", "never"]).expect("labels");
        let truth = array![[1u8, 0], [1, 0], [0, 0], [1, 0], [0, 0], [0, 0]];
        let p = array![[0.9, 0.1], [0.8, 0.1], [0.6, 0.1], [0.4, 0.1], [0.2, 0.1], [0.1, 0.1]];
        let choose =
            |rule| choose_thresholds(&labels, truth.view(), p.view(), rule).expect("valid");
        let x = |rule| choose(rule)[0].expect("both classes");
        assert!((x(ThresholdRule::Youden) - 0.7).abs() < 1e-12);
        assert!((x(ThresholdRule::MaxF1) - 0.3).abs() < 1e-12);
        assert!((x(ThresholdRule::Sensitivity(1.0)) - 0.3).abs() < 1e-12);
        assert!((x(ThresholdRule::Sensitivity(0.5)) - 0.7).abs() < 1e-12);
        assert_eq!(choose(ThresholdRule::MaxGBeta)[1], None);
        assert_eq!(choose(ThresholdRule::Fixed(0.3)), [Some(0.3), Some(0.3)]);
        let bad =
            choose_thresholds(&labels, truth.view(), p.view(), ThresholdRule::Fixed(f64::NAN));
        assert!(matches!(bad, Err(MetricsError::Threshold { .. })));
        let percent = ThresholdRule::Sensitivity(90.0);
        let bad = choose_thresholds(&labels, truth.view(), p.view(), percent);
        assert_eq!(bad, Err(MetricsError::Sensitivity { found: 90.0 }));
    }

    fn one(truth: [u8; 3], p: [f64; 3], rule: ThresholdRule) -> Option<f64> {
        let labels = LabelSet::new(["x"]).expect("labels");
        let (truth, p) =
            (ArrayView2::from_shape((3, 1), &truth), ArrayView2::from_shape((3, 1), &p));
        choose_thresholds(&labels, truth.expect("shape"), p.expect("shape"), rule).expect("valid")
            [0]
    }

    #[test]
    fn a_sensitivity_out_of_reach_gives_no_threshold() {
        // The positive record at zero is never predicted.
        let choose = |wanted| one([1, 1, 0], [0.9, 0.0, 0.5], ThresholdRule::Sensitivity(wanted));
        assert_eq!(choose(1.0), None);
        assert_eq!(choose(0.5), Some(0.7));
    }

    #[test]
    fn neighbouring_numbers_are_told_apart() {
        for high in [1.0, 0.5, 0.3, 0.1, f64::from_bits(1)] {
            for low in [f64::next_down(high), f64::next_down(high.next_down()).max(0.0)] {
                let threshold = one([1, 1, 0], [high, high, low], ThresholdRule::Youden);
                let threshold = threshold.expect("both classes");
                assert!(high > threshold && low <= threshold, "{low:e} {threshold:e} {high:e}");
            }
        }
    }
}
