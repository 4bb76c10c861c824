use crate::report::check_confidence;

/// Returns Wilson's score interval for a proportion of `hits` out of `n`, at a confidence level such as 0.95.
///
/// Both limits are NaN if `n` is 0 or less than `hits`, or if the confidence level is not between 0 and 1 (such as 95).
///
/// Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
///
/// ```
/// let [low, high] = ecg_metrics::wilson(37, 50, 0.95);
/// assert!((low - 0.6045).abs() < 1e-4 && (high - 0.8413).abs() < 1e-4);
/// ```
pub fn wilson(hits: u64, n: u64, confidence: f64) -> [f64; 2] {
    if n == 0 || hits > n || check_confidence(confidence).is_err() {
        return [f64::NAN; 2];
    }
    // Computed from the lower tail: close to 1, 0.5 + confidence / 2 would be rounded to 1.
    let z = -normal_quantile((1.0 - confidence) / 2.0);
    let (n, share) = (n as f64, hits as f64 / n as f64);
    let scale = 1.0 + z * z / n;
    let centre = (share + z * z / (2.0 * n)) / scale;
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / scale;
    // At 0 and n hits, the exact limits are 0 and 1; rounding must not miss them.
    [
        if hits as f64 == 0.0 { 0.0 } else { centre - half },
        if share == 1.0 { 1.0 } else { centre + half },
    ]
}

/// Returns the value that a standard normal variable is below with the given probability; infinite at 0 and 1.
pub(crate) fn normal_quantile(probability: f64) -> f64 {
    if probability <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if probability >= 1.0 {
        return f64::INFINITY;
    }
    // Newton's method on the logarithm of the smaller tail. This function is concave and falling, so steps from above
    // the quantile stay above it. Steps from below overshoot, far enough for the tail to become 0. The start follows
    // from the fact that a tail is at most exp(-z^2 / 2) / 2.
    let tail = probability.min(1.0 - probability);
    let mut z = (-2.0 * (2.0 * tail).ln()).sqrt();
    for _ in 0..60 {
        let above = normal_tail(z);
        let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let step = above * (above / tail).ln() / density;
        z += step;
        // Only rounding can cause a step upwards.
        if step > -1e-15 * (1.0 + z) {
            break;
        }
    }
    if probability < 0.5 { -z } else { z }
}

/// Returns the probability that a standard normal variable exceeds `z`.
pub(crate) fn normal_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - normal_tail(-z);
    }
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z < 3.0 {
        // Series z + z^3/3 + z^5/15 + ... (Abramowitz and Stegun 26.2.11).
        let (mut term, mut sum, mut k) = (z, z, 1.0);
        while term > 1e-18 * sum {
            k += 2.0;
            term *= z * z / k;
            sum += term;
        }
        0.5 - density * sum
    } else {
        // Continued fraction (Abramowitz and Stegun 26.2.14), from its far end.
        let fraction = (1..=100).rev().fold(z, |below, k| z + f64::from(k) / below);
        density / fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal_distribution() {
        // scipy.stats.norm.ppf
        for (p, z) in [
            (0.975, 1.959963984540054),
            (0.5, 0.0),
            (0.995, 2.5758293035489004),
            (0.025, -1.959963984540054),
            (0.9999999, 5.199337582192817),
            (1e-7, -5.199337582192817),
            (1e-20, -9.2623400897984),
        ] {
            // 1 - p itself has lost 1e-16 / (1 - p) of its digits.
            assert!(
                (normal_quantile(p) - z).abs() < 1e-9_f64.min(1e-15 / (1.0 - p) + 1e-13),
                "{p}"
            );
        }
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
        assert!((normal_tail(3.0 - 1e-12) - normal_tail(3.0)).abs() < 1e-14);
    }

    #[test]
    fn limits() {
        let [low, high] = wilson(0, 10, 0.95);
        assert!(low == 0.0 && high > 0.25 && high < 0.31);
        assert_eq!(wilson(10, 10, 0.95)[1], 1.0);
        // In the last three cases, the formula itself would give a limit or two.
        for (hits, n, confidence) in [
            (0, 0, 0.95),
            (3, 2, 0.95),
            (37, 50, 95.0),
            (37, 50, f64::NAN),
            (0, 10, 95.0),
            (5, 5, -1.0),
            (4, 3, 0.9999),
        ] {
            let own = wilson(hits, n, confidence);
            assert!(
                own.iter().all(|limit| limit.is_nan()),
                "{hits} of {n} at {confidence}: {own:?}"
            );
        }
    }

    #[test]
    fn limits_at_any_confidence() {
        for confidence in [f64::MIN_POSITIVE, 0.5, 0.99999999999996, 1.0 - f64::EPSILON / 2.0] {
            for (hits, n) in [(0, 1), (1, 2), (37, 50), (50, 50), (1, 1_000_000_000)] {
                let [low, high] = wilson(hits, n, confidence);
                // NaN is not sorted.
                assert!(
                    [0.0, low, high, 1.0].is_sorted(),
                    "{hits} of {n} at {confidence}: {low} {high}"
                );
            }
        }
    }
}
