use ndarray::Array2;

/// Shapley values of a game given on all subsets of `players`: `values[m]` is what the players in the bits of `m` get together.
///
/// phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (f(S + i) - f(S)) (Shapley 1953). They add up to
/// f(all) - f(none).
///
/// # Panics
/// `values` must have 2^players entries.
pub fn shapley_values(values: &[f64], players: usize) -> Vec<f64> {
    assert_eq!(values.len(), 1 << players, "one value for each subset");
    let weight = size_weights(players);
    (0..players)
        .map(|i| {
            let without = (0..values.len()).filter(|s| s >> i & 1 == 0);
            without
                .map(|s| weight[s.count_ones() as usize] * (values[s | 1 << i] - values[s]))
                .sum()
        })
        .collect()
}

/// Shapley interaction indices `[player, player]`, zero on the diagonal.
///
/// How much two players have together beyond what they have apart, averaged over the others: sum over S without i and j of
/// |S|! (n - |S| - 2)! / (n - 1)! (f(S + i + j) - f(S + i) - f(S + j) + f(S)) (Grabisch and Roubens 1999).
///
/// # Panics
/// `values` must have 2^players entries.
pub fn shapley_interactions(values: &[f64], players: usize) -> Array2<f64> {
    assert_eq!(values.len(), 1 << players, "one value for each subset");
    let mut out = Array2::zeros((players, players));
    if players < 2 {
        return out;
    }
    let weight = size_weights(players - 1);
    for i in 0..players {
        for j in 0..i {
            let both = 1 << i | 1 << j;
            let without = (0..values.len()).filter(|s| s & both == 0);
            let index: f64 = without
                .map(|s| {
                    let beyond =
                        values[s | both] - values[s | 1 << i] - values[s | 1 << j] + values[s];
                    weight[s.count_ones() as usize] * beyond
                })
                .sum();
            out[[i, j]] = index;
            out[[j, i]] = index;
        }
    }
    out
}

/// s! (n - s - 1)! / n! for s = 0 .. n - 1, without a factorial: 1 / (n C(n - 1, s)).
fn size_weights(n: usize) -> Vec<f64> {
    let mut choose = 1.0;
    (0..n)
        .map(|s| {
            let weight = 1.0 / (n as f64 * choose);
            choose *= (n - 1 - s) as f64 / (s + 1) as f64;
            weight
        })
        .collect()
}

/// Weights under which the Shapley values are the best additive fit: (n - 1) / (C(n, s) s (n - s)), 0 for none and all
/// (Lundberg and Lee 2017).
pub(crate) fn shapley_kernel(players: usize) -> Vec<f64> {
    let n = players as f64;
    let mut choose = 1.0;
    (0..=players)
        .map(|s| {
            let size = s as f64;
            let weight =
                if s == 0 || s == players { 0.0 } else { (n - 1.0) / (choose * size * (n - size)) };
            choose *= (n - size) / (size + 1.0);
            weight
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glove_game() {
        // Player 0 has a left glove, 1 and 2 a right one each; a pair is worth 1.
        let values: Vec<f64> =
            (0u32..8).map(|s| f64::from(u8::from(s & 1 == 1 && s & 6 != 0))).collect();
        let phi = shapley_values(&values, 3);
        for (own, expected) in phi.iter().zip([4.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0]) {
            assert!((own - expected).abs() < 1e-15);
        }
        let pairs = shapley_interactions(&values, 3);
        assert!((pairs[[0, 1]] - 0.5).abs() < 1e-15 && (pairs[[1, 2]] + 0.5).abs() < 1e-15);
        assert_eq!(pairs, pairs.t());
    }

    #[test]
    fn one_player_gets_all() {
        assert_eq!(shapley_values(&[0.25, 1.0], 1), [0.75]);
        assert_eq!(shapley_interactions(&[0.25, 1.0], 1)[[0, 0]], 0.0);
    }
}
