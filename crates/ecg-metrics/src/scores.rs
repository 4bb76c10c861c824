use serde::Serialize;

use crate::{Confusion, ZeroDivision};

/// Declares the scores once, with their names in order, so that averages and tables can iterate over them.
macro_rules! scores {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Every score of one label, or an average of them; NaN (null in JSON) where undefined.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
        #[non_exhaustive]
        pub struct Scores {
            $($(#[$doc])* pub $name: f64,)+
        }

        impl Scores {
            /// The names of the scores, in the order of [`Scores::values`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// The scores, in the order of [`Scores::NAMES`].
            pub fn values(&self) -> [f64; Self::NAMES.len()] {
                [$(self.$name),+]
            }

            pub(crate) fn from_values([$($name),+]: [f64; Self::NAMES.len()]) -> Self {
                Self { $($name),+ }
            }
        }
    };
}

scores! {
    /// (TP + TN) / n.
    accuracy,
    /// Positive predictive value, TP / (TP + FP).
    precision,
    /// Recall, TP / (TP + FN).
    sensitivity,
    /// TN / (TN + FP).
    specificity,
    /// Negative predictive value, TN / (TN + FN).
    npv,
    /// 2 TP / (2 TP + FP + FN).
    f1,
    /// 5 TP / (5 TP + FP + 4 FN).
    fbeta2,
    /// TP / (TP + FP + 2 FN).
    gbeta2,
    /// TP / (TP + FP + FN).
    jaccard,
    /// Matthews correlation coefficient.
    mcc,
    /// Cohen's kappa.
    kappa,
    /// Mean of sensitivity and specificity, or whichever of them is defined. The 3DECG-Net study prints its macro
    /// average as "AUC".
    balanced_accuracy,
    /// Area under the ROC curve of the probabilities.
    roc_auc,
    /// Average precision of the probabilities; 0 if there is no positive.
    average_precision,
    /// Mean squared difference between probability and truth.
    brier,
    /// Mean of -ln(probability of what is true), with probabilities clipped by 2.2e-16.
    log_loss,
    /// Expected calibration error over ten bins.
    ece10,
    /// Expected calibration error over fifteen bins.
    ece15,
}

/// The scores that are computed from the probabilities one by one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct ProbabilityScores {
    pub brier: f64,
    pub log_loss: f64,
    pub ece10: f64,
    pub ece15: f64,
}

/// The scores that are computed from the order of the probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OrderScores {
    pub roc_auc: f64,
    pub average_precision: f64,
}

impl Scores {
    pub(crate) fn new(
        confusion: &Confusion,
        order: OrderScores,
        probability: ProbabilityScores,
        empty: ZeroDivision,
    ) -> Self {
        Self {
            accuracy: confusion.accuracy(),
            precision: confusion.precision(empty),
            sensitivity: confusion.sensitivity(empty),
            specificity: confusion.specificity(),
            npv: confusion.npv(),
            f1: confusion.f_beta(1.0, empty),
            fbeta2: confusion.f_beta(2.0, empty),
            gbeta2: confusion.g_beta(2.0),
            jaccard: confusion.jaccard(empty),
            mcc: confusion.mcc(),
            kappa: confusion.kappa(),
            balanced_accuracy: confusion.balanced_accuracy(),
            roc_auc: order.roc_auc,
            average_precision: order.average_precision,
            brier: probability.brier,
            log_loss: probability.log_loss,
            ece10: probability.ece10,
            ece15: probability.ece15,
        }
    }

    /// Averages each score, leaving out NaN. If all weights are zero, the average is unweighted.
    pub(crate) fn average(all: &[Scores], weights: &[f64]) -> Self {
        let rows: Vec<_> = all.iter().map(Scores::values).collect();
        Self::from_values(std::array::from_fn(|k| {
            let (mut sum, mut weight, mut plain, mut n) = (0.0, 0.0, 0.0, 0.0);
            for (row, w) in rows.iter().zip(weights).filter(|(row, _)| !row[k].is_nan()) {
                sum += w * row[k];
                weight += w;
                plain += row[k];
                n += 1.0;
            }
            if weight > 0.0 { sum / weight } else { plain / n }
        }))
    }
}

/// Returns which scores were a division by zero, and why, in the order of [`Scores::NAMES`].
pub(crate) fn undefined(
    confusion: &Confusion,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let no_positive = confusion.support() == 0;
    let no_negative = confusion.fp + confusion.tn == 0;
    let no_predicted = confusion.predicted() == 0;
    let all_predicted = confusion.tn + confusion.fn_ == 0;
    let none = no_positive && no_predicted;
    const NO_POSITIVE: &str = "no record has the label";
    const NO_NEGATIVE: &str = "every record has the label";
    const NO_PREDICTED: &str = "the label is never predicted";
    const ALL_PREDICTED: &str = "the label is always predicted";
    const NONE: &str = "the label neither occurs nor is predicted";
    let constant = if no_positive {
        NO_POSITIVE
    } else if no_negative {
        NO_NEGATIVE
    } else if no_predicted {
        NO_PREDICTED
    } else {
        ALL_PREDICTED
    };
    [
        ("precision", no_predicted, NO_PREDICTED),
        ("sensitivity", no_positive, NO_POSITIVE),
        ("specificity", no_negative, NO_NEGATIVE),
        ("npv", all_predicted, ALL_PREDICTED),
        ("f1", none, NONE),
        ("fbeta2", none, NONE),
        ("gbeta2", none, NONE),
        ("jaccard", none, NONE),
        ("mcc", no_positive || no_negative || no_predicted || all_predicted, constant),
        (
            "kappa",
            none || (no_negative && all_predicted),
            "truth and prediction are the same constant",
        ),
        (
            "balanced_accuracy",
            no_positive || no_negative,
            if no_positive { NO_POSITIVE } else { NO_NEGATIVE },
        ),
        (
            "roc_auc",
            no_positive || no_negative,
            if no_positive { NO_POSITIVE } else { NO_NEGATIVE },
        ),
        ("average_precision", no_positive, NO_POSITIVE),
    ]
    .into_iter()
    .filter(|(_, undefined, _)| *undefined)
    .map(|(name, _, why)| (name, why))
}
