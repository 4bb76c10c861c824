/// Returns Spearman's rank correlation, with ties at their mean rank (as `scipy.stats.spearmanr`).
///
/// It is NaN if there are fewer than two values, or if one side is constant or contains NaN.
///
/// # Panics
/// Panics if the slices differ in length.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "expected as many values on both sides");
    if a.len() < 2 || a.iter().chain(b).any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let (a, b) = (mean_ranks(a), mean_ranks(b));
    let middle = (a.len() as f64 + 1.0) / 2.0;
    let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(&b) {
        both += (a - middle) * (b - middle);
        of_a += (a - middle) * (a - middle);
        of_b += (b - middle) * (b - middle);
    }
    // 0 / 0 is NaN if a side is constant.
    (both / (of_a * of_b).sqrt()).clamp(-1.0, 1.0)
}

/// Returns Kendall's tau-b (as `scipy.stats.kendalltau`).
///
/// It is (concordant - discordant) / sqrt((pairs - ties in a)(pairs - ties in b)), over all pairs (Kendall
/// 1945). It is NaN if there are fewer than two values, or if one side is constant or contains NaN.
///
/// # Panics
/// Panics if the slices differ in length.
pub fn kendall_tau_b(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "expected as many values on both sides");
    if a.iter().chain(b).any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let order = |x: f64, y: f64| i64::from(x > y) - i64::from(x < y);
    let (mut score, mut of_a, mut of_b) = (0, 0, 0);
    for i in 0..a.len() {
        for j in 0..i {
            let (in_a, in_b) = (order(a[i], a[j]), order(b[i], b[j]));
            score += in_a * in_b;
            of_a += in_a * in_a;
            of_b += in_b * in_b;
        }
    }
    (score as f64 / (of_a as f64).sqrt() / (of_b as f64).sqrt()).clamp(-1.0, 1.0)
}

/// Ranks from 1, with ties at their mean rank.
fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let value = values[order[first]];
        let ties = order[first..].iter().take_while(|k| values[**k] == value).count();
        for k in &order[first..first + ties] {
            ranks[*k] = first as f64 + (ties as f64 + 1.0) / 2.0;
        }
        first += ties;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        a: Vec<f64>,
        b: Vec<f64>,
        spearman: Option<f64>,
        kendall: Option<f64>,
    }

    /// Values of scipy, made by `scripts/ranks.py`.
    #[test]
    fn as_scipy_has_it() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../tests/data/ranks.json")).expect("valid JSON");
        assert!(cases.len() > 10);
        for case in cases {
            for (ours, theirs) in [
                (spearman(&case.a, &case.b), case.spearman),
                (kendall_tau_b(&case.a, &case.b), case.kendall),
            ] {
                match theirs {
                    Some(theirs) => assert!((ours - theirs).abs() < 1e-12, "{ours} {theirs}"),
                    None => assert!(ours.is_nan(), "{ours}"),
                }
            }
        }
    }

    #[test]
    fn nan_is_not_ranked() {
        assert!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]).is_nan());
        assert!(kendall_tau_b(&[1.0, f64::NAN], &[1.0, 2.0]).is_nan());
        // Zero of either sign is one value.
        assert_eq!(mean_ranks(&[0.0, -0.0, 1.0]), [1.5, 1.5, 3.0]);
    }
}
