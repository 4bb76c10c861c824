use serde::Serialize;

use crate::ZeroDivision;

/// Counts of a yes-or-no decision against the truth.
///
/// A measure whose denominator is zero is NaN, unless it takes a [`ZeroDivision`] or its description says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Confusion {
    /// True positives.
    pub tp: u64,
    /// False positives.
    pub fp: u64,
    /// False negatives.
    #[serde(rename = "fn")]
    pub fn_: u64,
    /// True negatives.
    pub tn: u64,
}

/// Returns a / b, or `empty` if b is zero.
fn ratio(a: f64, b: f64, empty: f64) -> f64 {
    if b == 0.0 { empty } else { a / b }
}

impl Confusion {
    /// Counts one decision.
    pub fn count(&mut self, truth: bool, predicted: bool) {
        match (truth, predicted) {
            (true, true) => self.tp += 1,
            (false, true) => self.fp += 1,
            (true, false) => self.fn_ += 1,
            (false, false) => self.tn += 1,
        }
    }

    /// Adds the counts of another confusion matrix.
    pub fn add(&mut self, other: &Confusion) {
        self.tp += other.tp;
        self.fp += other.fp;
        self.fn_ += other.fn_;
        self.tn += other.tn;
    }

    /// Number of decisions.
    pub fn n(&self) -> u64 {
        self.tp + self.fp + self.fn_ + self.tn
    }

    /// Number of decisions where the truth is positive: TP + FN.
    pub fn support(&self) -> u64 {
        self.tp + self.fn_
    }

    /// Number of decisions where the prediction is positive: TP + FP.
    pub fn predicted(&self) -> u64 {
        self.tp + self.fp
    }

    /// (TP + TN) / n.
    pub fn accuracy(&self) -> f64 {
        ratio((self.tp + self.tn) as f64, self.n() as f64, f64::NAN)
    }

    /// Positive predictive value, TP / (TP + FP).
    pub fn precision(&self, empty: ZeroDivision) -> f64 {
        ratio(self.tp as f64, self.predicted() as f64, empty.value())
    }

    /// Recall, TP / (TP + FN).
    pub fn sensitivity(&self, empty: ZeroDivision) -> f64 {
        ratio(self.tp as f64, self.support() as f64, empty.value())
    }

    /// TN / (TN + FP).
    pub fn specificity(&self) -> f64 {
        ratio(self.tn as f64, (self.tn + self.fp) as f64, f64::NAN)
    }

    /// Negative predictive value, TN / (TN + FN).
    pub fn npv(&self) -> f64 {
        ratio(self.tn as f64, (self.tn + self.fn_) as f64, f64::NAN)
    }

    /// (1 + beta^2) TP / ((1 + beta^2) TP + FP + beta^2 FN); beta = 1 is F1.
    pub fn f_beta(&self, beta: f64, empty: ZeroDivision) -> f64 {
        let b2 = beta * beta;
        let below = b2 * self.support() as f64 + self.predicted() as f64;
        ratio((1.0 + b2) * self.tp as f64, below, empty.value())
    }

    /// TP / (TP + FP + beta FN), the G-beta of the PhysioNet/CinC challenge 2020. NaN if nothing is positive.
    pub fn g_beta(&self, beta: f64) -> f64 {
        let below = (self.tp + self.fp) as f64 + beta * self.fn_ as f64;
        ratio(self.tp as f64, below, f64::NAN)
    }

    /// TP / (TP + FP + FN).
    pub fn jaccard(&self, empty: ZeroDivision) -> f64 {
        ratio(self.tp as f64, (self.tp + self.fp + self.fn_) as f64, empty.value())
    }

    /// Matthews correlation coefficient; 0 if truth or prediction is constant, as in scikit-learn.
    pub fn mcc(&self) -> f64 {
        let [tp, fp, fn_, tn] = self.floats();
        let below = ((tp + fp) * (tp + fn_)).sqrt() * ((tn + fp) * (tn + fn_)).sqrt();
        ratio(tp * tn - fp * fn_, below, 0.0)
    }

    /// Cohen's kappa; NaN if truth and prediction are the same constant.
    pub fn kappa(&self) -> f64 {
        let [tp, fp, fn_, tn] = self.floats();
        let below = (tp + fp) * (fp + tn) + (tp + fn_) * (fn_ + tn);
        ratio(2.0 * (tp * tn - fp * fn_), below, f64::NAN)
    }

    /// Mean of sensitivity and specificity, or whichever of them is defined.
    pub fn balanced_accuracy(&self) -> f64 {
        let (sensitivity, specificity) = (self.sensitivity(ZeroDivision::Nan), self.specificity());
        if sensitivity.is_nan() {
            specificity
        } else if specificity.is_nan() {
            sensitivity
        } else {
            (sensitivity + specificity) / 2.0
        }
    }

    fn floats(&self) -> [f64; 4] {
        [self.tp as f64, self.fp as f64, self.fn_ as f64, self.tn as f64]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_denominator() {
        let none = Confusion { tn: 5, ..Confusion::default() };
        assert_eq!(none.precision(ZeroDivision::Zero), 0.0);
        assert_eq!(none.sensitivity(ZeroDivision::One), 1.0);
        assert!(none.f_beta(1.0, ZeroDivision::Nan).is_nan());
        assert!(none.g_beta(2.0).is_nan() && none.kappa().is_nan());
        assert_eq!((none.mcc(), none.balanced_accuracy(), none.npv()), (0.0, 1.0, 1.0));
        assert!(Confusion::default().accuracy().is_nan());
    }

    #[test]
    fn g_beta_weighs_misses() {
        let c = Confusion { tp: 6, fp: 2, fn_: 1, tn: 0 };
        assert_eq!(c.g_beta(2.0), 0.6);
        assert_eq!(c.f_beta(1.0, ZeroDivision::Zero), 12.0 / 15.0);
    }
}
