use std::fmt;
use std::str::FromStr;

use ecg_core::LabelSet;
use ndarray::{Array2, ArrayView2, Axis};

use crate::ranking::Ranking;
use crate::report::checked_columns;
use crate::{Confusion, MetricsError, Truth, ZeroDivision};

/// The probabilities above which labels are predicted.
///
/// Functions that take thresholds also accept a list with one value per label, or an array `[record, label]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Thresholds<'a> {
    /// One per label.
    Labels(&'a [f64]),
    /// One per record and label, `[record, label]`, such as [`thresholds_across_folds`] returns.
    Records(ArrayView2<'a, f64>),
}

impl Thresholds<'_> {
    /// Checks that there is one threshold from 0 to 1 for each label, or for each label of each record.
    pub(crate) fn check(self, labels: &LabelSet, records: usize) -> Result<(), MetricsError> {
        let (found, rows, by_record) = match self {
            Self::Labels(own) => (own.len(), 1, false),
            Self::Records(own) => {
                let thresholds = own.nrows();
                if thresholds != records {
                    return Err(MetricsError::ThresholdRows { records, thresholds });
                }
                (own.ncols(), records, true)
            }
        };
        if found != labels.len() {
            let expected = labels.len();
            return Err(MetricsError::LabelCount { what: "thresholds", expected, found });
        }
        for row in 0..rows {
            for (k, label) in labels.iter().enumerate() {
                let found = self.at(row, k);
                if !(0.0..=1.0).contains(&found) {
                    let (row, label) = (by_record.then_some(row), label.to_owned());
                    return Err(MetricsError::Threshold { row, label, found });
                }
            }
        }
        Ok(())
    }

    /// Returns the threshold of a record for a label, given by its column.
    pub(crate) fn at(self, record: usize, label: usize) -> f64 {
        match self {
            Self::Labels(own) => own[label],
            Self::Records(own) => own[[record, label]],
        }
    }

    /// Returns the threshold of a label if it is the same for all records, and NaN otherwise.
    pub(crate) fn common(self, label: usize) -> f64 {
        let first = self.at(0, label);
        match self {
            Self::Records(own) if own.column(label).iter().any(|other| *other != first) => f64::NAN,
            _ => first,
        }
    }
}

impl<'a> From<&'a [f64]> for Thresholds<'a> {
    fn from(own: &'a [f64]) -> Self {
        Self::Labels(own)
    }
}

impl<'a, const N: usize> From<&'a [f64; N]> for Thresholds<'a> {
    fn from(own: &'a [f64; N]) -> Self {
        Self::Labels(own)
    }
}

impl<'a> From<&'a Vec<f64>> for Thresholds<'a> {
    fn from(own: &'a Vec<f64>) -> Self {
        Self::Labels(own)
    }
}

impl<'a> From<ArrayView2<'a, f64>> for Thresholds<'a> {
    fn from(own: ArrayView2<'a, f64>) -> Self {
        Self::Records(own)
    }
}

impl<'a> From<&'a Array2<f64>> for Thresholds<'a> {
    fn from(own: &'a Array2<f64>) -> Self {
        Self::Records(own.view())
    }
}

/// How a threshold is chosen. Choose it on validation data, never on the records that are then evaluated.
///
/// For the challenge score, which depends on all labels together, see
/// [`ChallengeWeights::choose_thresholds`](crate::ChallengeWeights::choose_thresholds).
///
/// A rule can be parsed from the name that `evaluate` takes: `youden`, `f1`, `gbeta`, or `sensitivity=VALUE` with a
/// value from 0 to 1. A fixed threshold has no name. A rule is displayed in the words of a report:
///
/// ```
/// let rule: ecg_metrics::ThresholdRule = "f1".parse()?;
/// assert_eq!(rule.to_string(), "largest F1");
/// # Ok::<(), ecg_metrics::MetricsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ThresholdRule {
    /// The same threshold for every label.
    Fixed(f64),
    /// The largest sensitivity + specificity - 1 (Youden 1950).
    Youden,
    /// The largest F1.
    MaxF1,
    /// The largest G-beta with beta 2.
    MaxGBeta,
    /// The largest specificity at which the sensitivity is at least this. There may be no such threshold, because a
    /// probability of zero is never predicted.
    Sensitivity(f64),
}

impl FromStr for ThresholdRule {
    type Err = MetricsError;

    fn from_str(text: &str) -> Result<Self, MetricsError> {
        match text {
            "youden" => Ok(Self::Youden),
            "f1" => Ok(Self::MaxF1),
            "gbeta" => Ok(Self::MaxGBeta),
            _ => {
                let wanted =
                    text.strip_prefix("sensitivity=").and_then(|own| own.parse::<f64>().ok());
                let wanted = wanted.filter(|own| (0.0..=1.0).contains(own)).map(Self::Sensitivity);
                wanted.ok_or_else(|| MetricsError::ThresholdRule { found: text.to_owned() })
            }
        }
    }
}

impl fmt::Display for ThresholdRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(threshold) => write!(f, "fixed at {threshold}"),
            Self::Youden => f.write_str("Youden"),
            Self::MaxF1 => f.write_str("largest F1"),
            Self::MaxGBeta => f.write_str("largest G-beta"),
            Self::Sensitivity(wanted) => write!(f, "sensitivity {wanted}"),
        }
    }
}

impl ThresholdRule {
    /// Returns the quantity that the rule makes as large as possible.
    fn merit(self, c: &Confusion) -> f64 {
        match self {
            ThresholdRule::Fixed(_) => 0.0,
            // In whole numbers: among equal sums of two shares, rounding would pick one.
            ThresholdRule::Youden => (c.tp * (c.tn + c.fp) + c.tn * c.support()) as f64,
            ThresholdRule::MaxF1 => c.f_beta(1.0, ZeroDivision::Zero),
            ThresholdRule::MaxGBeta => c.g_beta(2.0),
            ThresholdRule::Sensitivity(wanted) => {
                let enough = c.sensitivity(ZeroDivision::Zero) >= wanted;
                if enough { c.specificity() } else { -1.0 }
            }
        }
    }
}

/// Chooses thresholds, one per label, by a rule.
///
/// A label gets `None` if it has no positive or no negative record, or if no threshold reaches the sensitivity that the
/// rule asks for; [`thresholds_or`] fills the gaps. With [`ThresholdRule::Fixed`], every label gets the fixed
/// threshold. A threshold is 1, which is never exceeded, if nothing is better than never predicting the label.
///
/// A threshold lies halfway between two neighbouring probabilities, so that rounding does not decide anything. Among
/// equally good thresholds, the highest is chosen.
///
/// # Errors
/// Returns the errors of [`Report::new`](crate::Report::new), and an error if a fixed threshold or a sensitivity is
/// outside 0 to 1.
pub fn choose_thresholds<T: Truth>(
    labels: &LabelSet,
    truth: ArrayView2<'_, T>,
    proba: ArrayView2<'_, f64>,
    rule: ThresholdRule,
) -> Result<Vec<Option<f64>>, MetricsError> {
    let outside = |value: f64| !(0.0..=1.0).contains(&value);
    match rule {
        ThresholdRule::Fixed(found) if outside(found) => {
            let label = labels.to_string();
            return Err(MetricsError::Threshold { row: None, label, found });
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
        let never = Confusion { tp: 0, fp: 0, fn_: positives, tn: negatives };
        let mut best = (rule.merit(&never), 1.0);
        for (k, step) in steps.iter().enumerate() {
            let confusion = Confusion {
                tp: step.tp,
                fp: step.fp,
                fn_: positives - step.tp,
                tn: negatives - step.fp,
            };
            let merit = rule.merit(&confusion);
            let below = steps.get(k + 1).map_or(0.0, |next| next.threshold);
            // Only probabilities strictly above the threshold count, so a probability of zero is never predicted.
            if step.threshold > 0.0 && merit > best.0 {
                best = (merit, between(below, step.threshold));
            }
        }
        // A merit below zero means that the rule is not met.
        (best.0 >= 0.0).then_some(best.1)
    };
    Ok(columns.into_iter().map(choose).collect())
}

/// Returns the chosen thresholds, with the usual one for the labels for which none could be chosen.
///
/// ```
/// assert_eq!(ecg_metrics::thresholds_or(&[Some(0.3), None], 0.5), [0.3, 0.5]);
/// ```
pub fn thresholds_or(chosen: &[Option<f64>], usual: f64) -> Vec<f64> {
    chosen.iter().map(|own| own.unwrap_or(usual)).collect()
}

/// Chooses thresholds `[record, label]` in a cross-validation: those for the records of each fold on all other folds.
///
/// `folds` has the fold of each record, as any number. `choose` is called with a fold, and with the truth and the
/// probabilities of the records of all other folds. It returns one threshold per label. Keep the records of a patient
/// in one fold; otherwise, thresholds are chosen on patients that they are then applied to.
///
/// # Errors
/// Returns the errors of `choose`, and an error if truth, probabilities and folds have different numbers of records, if
/// there are fewer than two folds, or if `choose` does not return one threshold per label.
pub fn thresholds_across_folds<T: Truth, E: From<MetricsError>>(
    truth: ArrayView2<'_, T>,
    proba: ArrayView2<'_, f64>,
    folds: &[u32],
    mut choose: impl FnMut(u32, ArrayView2<'_, T>, ArrayView2<'_, f64>) -> Result<Vec<f64>, E>,
) -> Result<Array2<f64>, E> {
    let records = proba.nrows();
    if truth.nrows() != records {
        let truth = truth.nrows();
        let what = "probabilities";
        return Err(MetricsError::RowCount { what, truth, found: records }.into());
    }
    if folds.len() != records {
        return Err(MetricsError::FoldCount { records, folds: folds.len() }.into());
    }
    let mut all = folds.to_vec();
    all.sort_unstable();
    all.dedup();
    if all.len() < 2 {
        return Err(MetricsError::OneFold.into());
    }
    let mut out = Array2::zeros(proba.dim());
    for fold in all {
        let (own, others): (Vec<usize>, Vec<usize>) =
            (0..records).partition(|&row| folds[row] == fold);
        let (truth, proba) = (truth.select(Axis(0), &others), proba.select(Axis(0), &others));
        let chosen = choose(fold, truth.view(), proba.view())?;
        if chosen.len() != out.ncols() {
            let (expected, found) = (out.ncols(), chosen.len());
            return Err(MetricsError::LabelCount { what: "thresholds", expected, found }.into());
        }
        for row in own {
            out.row_mut(row).iter_mut().zip(&chosen).for_each(|(to, from)| *to = *from);
        }
    }
    Ok(out)
}

/// Returns a threshold halfway between two probabilities: the higher one is above it, the lower one is not.
pub(crate) fn between(low: f64, high: f64) -> f64 {
    // There is nothing between adjacent floating-point numbers, and the middle may be rounded to either.
    let middle = (high + low) / 2.0;
    if middle < high { middle } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Bootstrap, BootstrapOptions, Comparison, Patients, Predictions, Report, ReportOptions,
    };
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

    #[test]
    fn rules_by_name() {
        for (name, rule, words) in [
            ("youden", ThresholdRule::Youden, "Youden"),
            ("f1", ThresholdRule::MaxF1, "largest F1"),
            ("gbeta", ThresholdRule::MaxGBeta, "largest G-beta"),
            ("sensitivity=0.9", ThresholdRule::Sensitivity(0.9), "sensitivity 0.9"),
        ] {
            assert_eq!(name.parse(), Ok(rule));
            assert_eq!(rule.to_string(), words);
        }
        assert_eq!(ThresholdRule::Fixed(0.3).to_string(), "fixed at 0.3");
        for bad in ["", "F1", "sensitivity", "sensitivity=", "sensitivity=90", "sensitivity=nan"] {
            let found = bad.to_owned();
            assert_eq!(bad.parse::<ThresholdRule>(), Err(MetricsError::ThresholdRule { found }));
        }
    }

    fn one(truth: [u8; 3], p: [f64; 3], rule: ThresholdRule) -> Option<f64> {
        let labels = LabelSet::new(["x"]).expect("labels");
        let (truth, p) =
            (ArrayView2::from_shape((3, 1), &truth), ArrayView2::from_shape((3, 1), &p));
        choose_thresholds(&labels, truth.expect("shape"), p.expect("shape"), rule).expect("valid")
            [0]
    }

    #[test]
    fn of_equally_good_thresholds_the_highest() {
        // Predicting everyone is as good as predicting nobody: nobody is chosen.
        assert_eq!(one([1, 0, 0], [0.3; 3], ThresholdRule::Youden), Some(1.0));
        assert_eq!(one([1, 0, 0], [0.9, 0.8, 0.1], ThresholdRule::Sensitivity(0.0)), Some(1.0));
        // Finding one of two positives and eleven of twelve negatives is as good as finding both and five. The order is
        // N P, six N, P, five N.
        let truth = Array2::from_shape_fn((14, 1), |(row, _)| row == 1 || row == 8);
        let p = Array2::from_shape_fn((14, 1), |(row, _)| 1.0 - 0.05 * row as f64);
        let labels = LabelSet::new(["x"]).expect("labels");
        let chosen = choose_thresholds(&labels, truth.view(), p.view(), ThresholdRule::Youden);
        assert!((chosen.expect("valid")[0].expect("both classes") - 0.925).abs() < 1e-12);
    }

    #[test]
    fn a_sensitivity_out_of_reach_gives_no_threshold() {
        // The positive record at zero is never predicted.
        let choose = |wanted| one([1, 1, 0], [0.9, 0.0, 0.5], ThresholdRule::Sensitivity(wanted));
        assert_eq!(choose(1.0), None);
        assert_eq!(choose(0.5), Some(0.7));
    }

    /// Each fold's records are evaluated with the thresholds of the other folds, so the counts equal those of an
    /// evaluation fold by fold.
    #[test]
    fn a_fold_is_judged_by_thresholds_of_the_others() {
        let labels = LabelSet::new(["x", "y"]).expect("labels");
        let n = 60;
        let folds: Vec<u32> = (0..n).map(|row| [7, 2, 9][row * row % 7 % 3]).collect();
        let truth = Array2::from_shape_fn((n, 2), |(row, k)| (row * 5 + k) % 4 == 0);
        let p = Array2::from_shape_fn((n, 2), |(row, k)| {
            0.1 * f64::from(u8::from(truth[[row, k]])) + 0.005 * ((row * 17 + k * 3) % 60) as f64
        });
        let choose = |_: u32, truth: ArrayView2<'_, bool>, p: ArrayView2<'_, f64>| {
            let chosen = choose_thresholds(&labels, truth, p, ThresholdRule::MaxF1)?;
            Ok::<Vec<f64>, MetricsError>(chosen.into_iter().map(|own| own.expect("both")).collect())
        };
        let all = thresholds_across_folds(truth.view(), p.view(), &folds, choose).expect("valid");
        let options = ReportOptions::default();
        let whole = Report::new(&labels, truth.view(), p.view(), all.view(), &options);
        let whole = whole.expect("valid");
        let mut sums = [Confusion::default(); 2];
        for fold in [2, 7, 9] {
            let rows = |own: bool| -> Vec<usize> {
                (0..n).filter(|&row| (folds[row] == fold) == own).collect()
            };
            let part = |own| (truth.select(Axis(0), &rows(own)), p.select(Axis(0), &rows(own)));
            let (others, own) = (part(false), part(true));
            let chosen = choose(fold, others.0.view(), others.1.view()).expect("valid");
            let report = Report::new(&labels, own.0.view(), own.1.view(), &chosen, &options);
            let report = report.expect("valid");
            sums.iter_mut().zip(&report.labels).for_each(|(sum, own)| sum.add(&own.confusion));
        }
        for (own, sum) in whole.labels.iter().zip(sums) {
            assert_eq!(own.confusion, sum);
            assert!(own.threshold.is_nan());
        }
        assert!(whole.to_csv().contains("\nx,,"), "{}", whole.to_csv());

        let patients = Patients::each_record(n);
        let resampling = BootstrapOptions::default();
        let (truth, p) = (truth.view(), p.view());
        let intervals = Bootstrap::new(&labels, truth, p, all.view(), &patients, &resampling);
        let f1 = intervals.expect("valid").macro_.get("f1").expect("a score").value;
        assert!((f1 - whole.macro_.f1).abs() < 1e-12);
        let [own, half] = [Predictions::new(p, all.view()), Predictions::new(p, &[0.5, 0.5])];
        let pair = Comparison::new(&labels, truth, own, half, &patients, &resampling);
        let right = |report: &Report| report.subset_accuracy * n as f64;
        let at_half = Report::new(&labels, truth, p, &[0.5, 0.5], &options).expect("valid");
        let subset = pair.expect("valid").subset;
        let more = subset.first_only as f64 - subset.second_only as f64;
        assert!((more - (right(&whole) - right(&at_half))).abs() < 1e-9);
    }

    #[test]
    fn folds_and_thresholds_have_to_fit() {
        let (truth, p) = (array![[1u8], [0], [1]], array![[0.9], [0.2], [0.6]]);
        let across = |folds: &[u32], found: usize| {
            let choose = |_: u32, _: ArrayView2<'_, u8>, _: ArrayView2<'_, f64>| {
                Ok::<_, MetricsError>(vec![0.5; found])
            };
            thresholds_across_folds(truth.view(), p.view(), folds, choose)
                .expect_err("does not fit")
        };
        assert_eq!(across(&[0, 1], 1), MetricsError::FoldCount { records: 3, folds: 2 });
        assert_eq!(across(&[4, 4, 4], 1), MetricsError::OneFold);
        assert!(matches!(across(&[0, 1, 1], 2), MetricsError::LabelCount { found: 2, .. }));
        let labels = LabelSet::new(["x"]).expect("labels");
        let report = |thresholds: &Array2<f64>| {
            let options = ReportOptions::default();
            Report::new(&labels, truth.view(), p.view(), thresholds, &options)
        };
        assert_eq!(
            report(&array![[0.5], [0.5]]).expect_err("does not fit"),
            MetricsError::ThresholdRows { records: 3, thresholds: 2 }
        );
        assert_eq!(
            report(&array![[0.5], [0.5], [1.5]]).expect_err("does not fit").to_string(),
            "row 2 (from 0): the threshold of x must be from 0 to 1, found 1.5"
        );
        let common =
            Report::new(&labels, truth.view(), p.view(), &[1.5], &ReportOptions::default());
        assert_eq!(
            common.expect_err("does not fit").to_string(),
            "the threshold of x must be from 0 to 1, found 1.5"
        );
        assert_eq!(report(&array![[0.5], [0.5], [0.5]]).expect("valid").labels[0].threshold, 0.5);
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
