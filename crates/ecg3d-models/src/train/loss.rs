use ndarray::{ArrayView1, ArrayView2, Axis};
use tch::{Reduction, Tensor};

use crate::ModelError;
use crate::error::Doing;

/// Binary cross-entropy from logits `[record, label]`, the mean over records and labels, as Keras computes it in
/// training: `max(x, 0) - x z + ln(1 + exp(-|x|))`. No probability is clipped.
///
/// `positive_weights` `[label]` multiplies the term of the records that have the label.
///
/// # Errors
/// Shapes that differ.
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

/// Weights `[label]` that lift rare labels: the square root of negatives over positives, 1 at least and `limit` at most;
/// 1 for a label that never occurs.
pub(crate) fn positive_weights(labels: ArrayView2<'_, u8>, rows: &[usize], limit: f64) -> Vec<f64> {
    labels
        .axis_iter(Axis(1))
        .map(|column| {
            let positive = rows.iter().filter(|&&row| column[row] != 0).count();
            if positive == 0 {
                return 1.0;
            }
            (((rows.len() - positive) as f64 / positive as f64).sqrt()).clamp(1.0, limit.max(1.0))
        })
        .collect()
}

/// The area under the ROC curve: the share of (positive, negative) pairs that the scores put in the right order, ties
/// counting half (Mann and Whitney 1947). `None` where all or none of `truth` are positive.
pub(crate) fn roc_auc(truth: ArrayView1<'_, u8>, scores: ArrayView1<'_, f64>) -> Option<f64> {
    let mut order: Vec<usize> = (0..truth.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let positives = truth.iter().filter(|&&label| label != 0).count() as f64;
    let negatives = truth.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let (mut below, mut right) = (0.0, 0.0);
    for ties in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let hits = ties.iter().filter(|&&row| truth[row] != 0).count() as f64;
        let misses = ties.len() as f64 - hits;
        right += hits * (below + 0.5 * misses);
        below += misses;
    }
    Some(right / (positives * negatives))
}

/// F1 of logits above 0, that is of probabilities above one half; 0 where nothing is positive.
pub(crate) fn f1(truth: ArrayView1<'_, u8>, logits: ArrayView1<'_, f64>) -> f64 {
    let (mut hits, mut errors) = (0_u32, 0_u32);
    for (&label, &logit) in truth.iter().zip(logits) {
        match (label != 0, logit > 0.0) {
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

    #[test]
    fn rare_labels_weigh_more() {
        let labels = arr2(&[[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0]]);
        assert_eq!(positive_weights(labels.view(), &[0, 1, 2, 3, 4], 5.0), [1.0, 1.0, 2.0]);
        assert_eq!(positive_weights(labels.view(), &[0, 1, 2, 3, 4], 1.5), [1.0, 1.0, 1.5]);
    }

    #[test]
    fn auc_counts_pairs() {
        let truth = arr1(&[1, 0, 1, 0]);
        assert_eq!(roc_auc(truth.view(), arr1(&[0.9, 0.1, 0.8, 0.2]).view()), Some(1.0));
        assert_eq!(roc_auc(truth.view(), arr1(&[0.5, 0.5, 0.5, 0.5]).view()), Some(0.5));
        assert_eq!(roc_auc(truth.view(), arr1(&[0.3, 0.3, 0.1, 0.2]).view()), Some(0.375));
        assert_eq!(roc_auc(arr1(&[1, 1]).view(), arr1(&[0.0, 1.0]).view()), None);
    }

    #[test]
    fn f1_at_one_half() {
        let truth = arr1(&[1, 1, 0, 0]);
        assert_eq!(f1(truth.view(), arr1(&[1.0, -1.0, 1.0, 0.0]).view()), 0.5);
        assert_eq!(f1(truth.view(), arr1(&[-1.0, -1.0, -1.0, -1.0]).view()), 0.0);
    }
}
