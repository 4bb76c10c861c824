use ndarray::{ArrayView1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use crate::ModelError;
use crate::error::Doing;

/// The loss to minimise: a mean over records and labels, computed from logits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Loss {
    /// Binary cross-entropy, see [`bce_from_logits`]. The default.
    #[default]
    Bce,
    /// The asymmetric loss (Ridnik et al., Asymmetric Loss for Multi-Label Classification, ICCV 2021, equation 7).
    ///
    /// With the probability p, a record that has the label adds `-(1 - p)^gamma_positive ln p`, and one that has not
    /// adds `-q^gamma_negative ln(1 - q)`, where q = max(p - margin, 0). For rare labels, nearly all records are easy
    /// negatives, and this loss reduces their weight. With exponents and margin 0, it is [`Loss::Bce`]. The paper sums
    /// and this loss takes the mean, so that the learning rate does not depend on the batch.
    Asymmetric {
        /// Exponent that reduces the weight of easy positives; 0, or 1 and more.
        gamma_positive: f64,
        /// Exponent that reduces the weight of easy negatives; 0, or 1 and more.
        gamma_negative: f64,
        /// Probability below which a negative contributes nothing; at least 0 and below 1.
        margin: f64,
    },
}

impl Loss {
    /// The asymmetric loss with its authors' values: positives as in cross-entropy, negatives with exponent 4 and
    /// margin 0.05.
    pub const ASYMMETRIC: Self =
        Self::Asymmetric { gamma_positive: 0.0, gamma_negative: 4.0, margin: 0.05 };

    /// Returns the loss of logits `[record, label]`; see [`bce_from_logits`] for the arguments.
    ///
    /// # Errors
    /// The shapes differ.
    pub fn of_logits(
        self,
        logits: &Tensor,
        targets: &Tensor,
        positive_weights: Option<&Tensor>,
    ) -> Result<Tensor, ModelError> {
        match self {
            Self::Bce => bce_from_logits(logits, targets, positive_weights),
            Self::Asymmetric { gamma_positive, gamma_negative, margin } => asymmetric_from_logits(
                logits,
                targets,
                positive_weights,
                [gamma_positive, gamma_negative],
                margin,
            ),
        }
    }

    /// Checks that the parameters of the loss are in range.
    pub(crate) fn check(self) -> Result<(), ModelError> {
        let Self::Asymmetric { gamma_positive, gamma_negative, margin } = self else {
            return Ok(());
        };
        for (what, found) in
            [("gamma_positive", gamma_positive), ("gamma_negative", gamma_negative)]
        {
            // Between 0 and 1 the gradient at probability 0 is infinite.
            if found != 0.0 && !(found.is_finite() && found >= 1.0) {
                return Err(ModelError::Setting { what, expected: "0 or at least 1", found });
            }
        }
        if !(0.0..1.0).contains(&margin) {
            let (what, expected) = ("margin", "at least 0 and below 1");
            return Err(ModelError::Setting { what, expected, found: margin });
        }
        Ok(())
    }
}

/// Returns the binary cross-entropy of logits `[record, label]`, the mean over records and labels.
///
/// It is computed as Keras does in training: `max(x, 0) - x z + ln(1 + exp(-|x|))`. No probability is clipped.
/// `positive_weights` `[label]` multiplies the terms of the records that have the label.
///
/// # Errors
/// The shapes differ.
pub fn bce_from_logits(
    logits: &Tensor,
    targets: &Tensor,
    positive_weights: Option<&Tensor>,
) -> Result<Tensor, ModelError> {
    logits
        .f_binary_cross_entropy_with_logits::<&Tensor>(
            targets,
            None,
            positive_weights,
            Reduction::Mean,
        )
        .doing("compute the loss")
}

/// Returns [`Loss::Asymmetric`]; `gammas` are the exponents of positives and negatives.
fn asymmetric_from_logits(
    logits: &Tensor,
    targets: &Tensor,
    positive_weights: Option<&Tensor>,
    gammas: [f64; 2],
    margin: f64,
) -> Result<Tensor, ModelError> {
    let compute = || {
        let [gamma_positive, gamma_negative] = gammas;
        let negated = logits.f_neg()?;
        let (p, not_p) = (logits.f_sigmoid()?, negated.f_sigmoid()?);
        // Without a margin, ln(1 - q) is computed from the logit, because 1 - p may round to 0.
        let (q, log_not_q) = if margin > 0.0 {
            let q = p.f_sub_scalar(margin)?.f_clamp_min(0.0)?;
            (q, not_p.f_add_scalar(margin)?.f_clamp_max(1.0)?.f_log()?)
        } else {
            (p, negated.f_log_sigmoid()?)
        };
        let focus = |terms: Tensor, easy: &Tensor, gamma: f64| {
            if gamma == 0.0 {
                return Ok(terms);
            }
            terms.f_mul(&easy.f_pow_tensor_scalar(gamma)?)
        };
        let mut positive = focus(logits.f_log_sigmoid()?, &not_p, gamma_positive)?;
        if let Some(weights) = positive_weights {
            positive = positive.f_mul(weights)?;
        }
        let negative = focus(log_not_q, &q, gamma_negative)?;
        let absent = targets.f_neg()?.f_add_scalar(1.0)?;
        let sum = positive.f_mul(targets)?.f_add(&negative.f_mul(&absent)?)?;
        sum.f_mean(None::<Kind>)?.f_neg()
    };
    compute().doing("compute the loss")
}

/// Returns weights `[label]` that increase the weight of rare labels.
///
/// They are the square root of negatives over positives, at least 1 and at most `limit`; 1 for a label that never
/// occurs.
pub(crate) fn positive_weights(
    labels: ArrayView2<'_, bool>,
    rows: &[usize],
    limit: f64,
) -> Vec<f64> {
    labels
        .axis_iter(Axis(1))
        .map(|column| {
            let positive = rows.iter().filter(|&&row| column[row]).count();
            if positive == 0 {
                return 1.0;
            }
            (((rows.len() - positive) as f64 / positive as f64).sqrt()).clamp(1.0, limit.max(1.0))
        })
        .collect()
}

/// Returns the area under the ROC curve.
///
/// It is the share of (positive, negative) pairs that the scores rank correctly, with ties counting half (Mann and
/// Whitney 1947). `None` if all or none of `truth` are positive.
pub(crate) fn roc_auc(truth: ArrayView1<'_, bool>, scores: ArrayView1<'_, f64>) -> Option<f64> {
    let mut order: Vec<usize> = (0..truth.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let positives = truth.iter().filter(|&&label| label).count() as f64;
    let negatives = truth.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let (mut below, mut right) = (0.0, 0.0);
    for ties in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let hits = ties.iter().filter(|&&row| truth[row]).count() as f64;
        let misses = ties.len() as f64 - hits;
        right += hits * (below + 0.5 * misses);
        below += misses;
    }
    Some(right / (positives * negatives))
}

/// Returns F1 for scores above a threshold; 0 if nothing is positive.
pub(crate) fn f1(truth: ArrayView1<'_, bool>, scores: ArrayView1<'_, f64>, threshold: f64) -> f64 {
    let (mut hits, mut errors) = (0_u32, 0_u32);
    for (&label, &score) in truth.iter().zip(scores) {
        match (label, score > threshold) {
            (true, true) => hits += 1,
            (false, false) => {}
            _ => errors += 1,
        }
    }
    if hits == 0 { 0.0 } else { f64::from(2 * hits) / f64::from(2 * hits + errors) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr1, arr2};

    #[test]
    fn the_loss_is_the_mean_and_saturates_nowhere() {
        // ln 2 at logit 0; 40 for a wrong logit of 40.
        let logits = Tensor::from_slice(&[0.0_f64, 40.0]).view([1, 2]);
        let targets = Tensor::from_slice(&[1.0_f64, 0.0]).view([1, 2]);
        let loss = bce_from_logits(&logits, &targets, None).expect("a loss").double_value(&[]);
        assert!((loss - 0.5 * (2.0_f64.ln() + 40.0)).abs() < 1e-12, "{loss}");
        let weights = Tensor::from_slice(&[3.0_f64, 3.0]);
        let loss = bce_from_logits(&logits, &targets, Some(&weights)).expect("a loss");
        assert!((loss.double_value(&[]) - 0.5 * (3.0 * 2.0_f64.ln() + 40.0)).abs() < 1e-12);
    }

    /// Returns the asymmetric loss of one logit, and its gradient.
    fn asymmetric(logit: f64, target: f64, gammas: [f64; 2], margin: f64) -> [f64; 2] {
        let logits = Tensor::from_slice(&[logit]).view([1, 1]).set_requires_grad(true);
        let targets = Tensor::from_slice(&[target]).view([1, 1]);
        let [gamma_positive, gamma_negative] = gammas;
        let loss = Loss::Asymmetric { gamma_positive, gamma_negative, margin };
        let value = loss.of_logits(&logits, &targets, None).expect("a loss");
        value.backward();
        [value.double_value(&[]), logits.grad().double_value(&[0, 0])]
    }

    #[test]
    fn the_asymmetric_loss_is_its_formula() {
        for logit in [-3.0_f64, -0.5, 0.0, 0.7, 2.0] {
            let p = 1.0 / (1.0 + (-logit).exp());
            let [found, _] = asymmetric(logit, 1.0, [1.5, 4.0], 0.05);
            assert!((found + (1.0 - p).powf(1.5) * p.ln()).abs() < 1e-12);
            let q = (p - 0.05).max(0.0);
            let [found, slope] = asymmetric(logit, 0.0, [1.5, 4.0], 0.05);
            assert!((found + q.powi(4) * (1.0 - q).ln()).abs() < 1e-12);
            let beside = |logit| asymmetric(logit, 0.0, [1.5, 4.0], 0.05)[0];
            let difference = (beside(logit + 1e-5) - beside(logit - 1e-5)) / 2e-5;
            assert!((slope - difference).abs() < 1e-8, "{slope} {difference}");
        }
        // Below the margin a negative contributes nothing, and far from 0 nothing is lost to rounding.
        assert_eq!(asymmetric(-4.0, 0.0, [0.0, 4.0], 0.05), [0.0, 0.0]);
        for (logit, target) in [(-800.0, 1.0), (800.0, 0.0), (-800.0, 0.0), (800.0, 1.0)] {
            for margin in [0.0, 0.05] {
                for gamma in [0.0, 1.0, 4.0] {
                    let found = asymmetric(logit, target, [gamma; 2], margin);
                    assert!(found.iter().all(|value| value.is_finite()), "{found:?}");
                }
            }
        }
    }

    #[test]
    fn without_exponents_and_margin_it_is_cross_entropy() {
        let logits = Tensor::from_slice(&[-40.0_f64, 0.3, 1.0, 40.0]).view([2, 2]);
        let targets = Tensor::from_slice(&[1.0_f64, 0.0, 1.0, 0.0]).view([2, 2]);
        let weights = Tensor::from_slice(&[3.0_f64, 2.0]);
        let plain = Loss::Asymmetric { gamma_positive: 0.0, gamma_negative: 0.0, margin: 0.0 };
        for weights in [None, Some(&weights)] {
            let of = |loss: Loss| loss.of_logits(&logits, &targets, weights).expect("a loss");
            let (a, b) = (of(plain).double_value(&[]), of(Loss::Bce).double_value(&[]));
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
        let refused = |gamma_negative, margin| {
            Loss::Asymmetric { gamma_positive: 0.0, gamma_negative, margin }.check().is_err()
        };
        assert!(refused(0.5, 0.0) && refused(f64::NAN, 0.0) && refused(4.0, 1.0));
        assert!(!refused(4.0, 0.05) && Loss::ASYMMETRIC.check().is_ok());
    }

    #[test]
    fn rare_labels_weigh_more() {
        let labels =
            arr2(&[[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0]]).mapv(|on| on == 1);
        assert_eq!(positive_weights(labels.view(), &[0, 1, 2, 3, 4], 5.0), [1.0, 1.0, 2.0]);
        assert_eq!(positive_weights(labels.view(), &[0, 1, 2, 3, 4], 1.5), [1.0, 1.0, 1.5]);
    }

    #[test]
    fn auc_counts_pairs() {
        let truth = arr1(&[true, false, true, false]);
        assert_eq!(roc_auc(truth.view(), arr1(&[0.9, 0.1, 0.8, 0.2]).view()), Some(1.0));
        assert_eq!(roc_auc(truth.view(), arr1(&[0.5, 0.5, 0.5, 0.5]).view()), Some(0.5));
        assert_eq!(roc_auc(truth.view(), arr1(&[0.3, 0.3, 0.1, 0.2]).view()), Some(0.375));
        assert_eq!(roc_auc(arr1(&[true, true]).view(), arr1(&[0.0, 1.0]).view()), None);
    }

    #[test]
    fn f1_at_a_threshold() {
        let truth = arr1(&[true, true, false, false]);
        let of = |scores: [f64; 4], threshold| f1(truth.view(), arr1(&scores).view(), threshold);
        assert_eq!(of([1.0, -1.0, 1.0, 0.0], 0.0), 0.5);
        assert_eq!(of([-1.0, -1.0, -1.0, -1.0], 0.0), 0.0);
        assert_eq!(of([0.4, 0.3, 0.2, 0.1], 0.2), 1.0);
    }
}
