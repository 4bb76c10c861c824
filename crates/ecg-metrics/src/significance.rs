use crate::MetricsError;
use crate::interval::normal_tail;
use crate::patients::Patients;

/// The result of McNemar's test of two classifiers on the same records.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct McNemar {
    /// Number of records that only the first classifier gets right.
    pub first_only: u64,
    /// Number of records that only the second classifier gets right.
    pub second_only: u64,
    /// Two-sided binomial p-value, exact for any number of records.
    pub exact_p: f64,
    /// (|first - second| - 1)^2 / (first + second), with Edwards's continuity correction; 0 if the two counts differ by
    /// at most one record.
    pub chi2: f64,
    /// p-value of `chi2` with one degree of freedom.
    pub chi2_p: f64,
}

/// Runs McNemar's test, given the numbers of records that only one of two classifiers gets right.
///
/// The test treats records as independent. Sources: McNemar, Psychometrika 12 (1947) 153; correction by Edwards,
/// Psychometrika 13 (1948) 185.
///
/// ```
/// let test = ecg_metrics::mcnemar(51, 33);
/// assert!((test.exact_p - 0.06297).abs() < 1e-5 && (test.chi2 - 3.44048).abs() < 1e-5);
/// ```
pub fn mcnemar(first_only: u64, second_only: u64) -> McNemar {
    let (n, least) = (first_only + second_only, first_only.min(second_only));
    let apart = first_only.abs_diff(second_only).saturating_sub(1) as f64;
    let chi2 = if n == 0 { 0.0 } else { apart * apart / n as f64 };
    McNemar {
        first_only,
        second_only,
        exact_p: binomial_two_sided(least, n),
        chi2,
        chi2_p: (2.0 * normal_tail(chi2.sqrt())).min(1.0),
    }
}

/// Returns twice the probability of at most `least` heads in `n` tosses of a fair coin, at most 1.
fn binomial_two_sided(least: u64, n: u64) -> f64 {
    if n - least <= least + 1 {
        // The two tails meet.
        return 1.0;
    }
    // From `least` down, the terms fall by at least a constant ratio. The largest is computed from logarithms.
    let ln_largest = ln_factorial(n) - ln_factorial(least) - ln_factorial(n - least);
    let largest = (ln_largest - n as f64 * std::f64::consts::LN_2).exp();
    let (mut term, mut sum, mut k) = (1.0, 1.0, least);
    while k > 0 && term > 1e-18 * sum {
        term *= k as f64 / (n - k + 1) as f64;
        sum += term;
        k -= 1;
    }
    (2.0 * largest * sum).min(1.0)
}

/// Returns ln(n!), as a sum up to 255 and by Stirling's series (Abramowitz and Stegun 6.1.41) above.
fn ln_factorial(n: u64) -> f64 {
    if n < 256 {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let x = n as f64 + 1.0;
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

/// The result of DeLong's test of two ROC-AUCs on the same records.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct DeLong {
    /// ROC-AUC of the first and of the second classifier; NaN if a class is absent.
    pub auc: [f64; 2],
    /// Their covariance matrix; NaN with fewer than two records of a class.
    pub covariance: [[f64; 2]; 2],
    /// Difference divided by its standard error. 0 if the two rank alike, infinite if the difference has no spread.
    pub z: f64,
    /// Two-sided p-value of the difference. NaN with fewer than two records of a class. Also NaN if the difference has
    /// no spread, because nothing then says whether it is chance.
    pub p: f64,
}

/// Runs the test of DeLong, DeLong and Clarke-Pearson (Biometrics 44 (1988) 837).
///
/// It takes O(n log n), by the ranks of Sun and Xu (IEEE Signal Process. Lett. 21 (2014) 1389). Ties count half.
///
/// The test treats records as independent. If patients have several records, resample patients instead
/// ([`Comparison`](crate::Comparison)).
///
/// # Errors
/// Returns an error if the lists have different lengths, or if a score is NaN (the error names its list and row).
pub fn delong(first: &[f64], second: &[f64], truth: &[bool]) -> Result<DeLong, MetricsError> {
    for (what, scores) in [("first scores", first), ("second scores", second)] {
        if scores.len() != truth.len() {
            let (truth, found) = (truth.len(), scores.len());
            return Err(MetricsError::RowCount { what, truth, found });
        }
        if let Some(row) = scores.iter().position(|score| score.is_nan()) {
            return Err(MetricsError::NotANumber { what, row });
        }
    }
    let positives = truth.iter().filter(|holds| **holds).count();
    let negatives = truth.len() - positives;
    let parts = [first, second].map(|scores| placements(scores, truth));
    let auc = parts.each_ref().map(|part| mean(&part.0));
    let matrix = std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            covariance(&parts[i].0, &parts[j].0) / positives as f64
                + covariance(&parts[i].1, &parts[j].1) / negatives as f64
        })
    });
    // Computed from the differences per record. The difference of the variances would only be rounding if two
    // classifiers are nearly the same.
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
    let [of_positives, of_negatives] =
        [apart(&parts[0].0, &parts[1].0), apart(&parts[0].1, &parts[1].1)];
    let difference = mean(&of_positives);
    let variance = covariance(&of_positives, &of_positives) / positives as f64
        + covariance(&of_negatives, &of_negatives) / negatives as f64;
    let z = if variance.is_nan() {
        f64::NAN
    } else if variance > 1e-24 * difference * difference {
        difference / variance.sqrt()
    } else if difference == 0.0 {
        0.0
    } else {
        // The same difference for every record, except for rounding.
        f64::INFINITY.copysign(difference)
    };
    let p = if z.is_finite() { (2.0 * normal_tail(z.abs())).min(1.0) } else { f64::NAN };
    Ok(DeLong { auc, covariance: matrix, z, p })
}

/// Returns, for each positive, the share of negatives below it and, for each negative, the share of positives above it.
/// Ties count half.
fn placements(scores: &[f64], truth: &[bool]) -> (Vec<f64>, Vec<f64>) {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let positives = truth.iter().filter(|holds| **holds).count();
    let negatives = truth.len() - positives;
    // By row, so that the lists of two classifiers have the same records in the same order.
    let mut share = vec![0.0; scores.len()];
    let (mut positives_below, mut negatives_below) = (0, 0);
    for group in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let own_positives = group.iter().filter(|&&row| truth[row]).count();
        let own_negatives = group.len() - own_positives;
        let below = (2 * negatives_below + own_negatives) as f64 / (2 * negatives) as f64;
        let above =
            (2 * (positives - positives_below) - own_positives) as f64 / (2 * positives) as f64;
        for &row in group {
            share[row] = if truth[row] { below } else { above };
        }
        positives_below += own_positives;
        negatives_below += own_negatives;
    }
    let of = |wanted: bool| -> Vec<f64> {
        share.iter().zip(truth).filter(|own| *own.1 == wanted).map(|own| *own.0).collect()
    };
    (of(true), of(false))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Returns the covariance with denominator n - 1; NaN for fewer than two values.
fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    sum / (a.len() as f64 - 1.0)
}

/// Corrects p-values for their number by Holm's method (Scand. J. Stat. 6 (1979) 65). The result is in the order given.
///
/// NaN stays NaN and does not count as a test.
///
/// ```
/// let p = ecg_metrics::holm(&[0.01, f64::NAN, 0.04, 0.03]);
/// assert_eq!((p[0], p[2], p[3]), (0.03, 0.06, 0.06));
/// assert!(p[1].is_nan());
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).filter(|&k| !p_values[k].is_nan()).collect();
    order.sort_unstable_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut out = vec![f64::NAN; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, &k) in order.iter().enumerate() {
        largest = largest.max(p_values[k] * (order.len() - rank) as f64).min(1.0);
        out[k] = largest;
    }
    out
}

/// Returns whether any patient has several records, which McNemar's and DeLong's tests do not account for.
pub(crate) fn dependent(patients: &Patients) -> bool {
    patients.len() < patients.records()
}
