use ecg_core::LeadMask;
use nalgebra::{DMatrix, DVector};
use ndarray::Array2;

use crate::LimeError;
use crate::fit::check_finite;
use crate::masks::{check_masks, stands_for};
use crate::players::MAX_LEADS;

/// Returns the Shapley values of a game given on all subsets of `players`.
///
/// `values[m]` is what the players in the bits of `m` achieve together.
///
/// phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (f(S + i) - f(S)) (Shapley 1953). The values add up
/// to f(all) - f(none).
///
/// # Panics
/// Panics if `values` does not have 2^players entries.
pub fn shapley_values(values: &[f64], players: usize) -> Vec<f64> {
    assert_eq!(values.len(), 1 << players, "expected one value for each subset");
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

/// Returns the Shapley interaction indices `[player, player]`, with zeros on the diagonal.
///
/// An index says how much two players achieve together beyond what they achieve apart, averaged over the
/// others: sum over S without i and j of |S|! (n - |S| - 2)! / (n - 1)! (f(S + i + j) - f(S + i) - f(S + j) +
/// f(S)) (Grabisch and Roubens 1999).
///
/// # Panics
/// Panics if `values` does not have 2^players entries.
pub fn shapley_interactions(values: &[f64], players: usize) -> Array2<f64> {
    assert_eq!(values.len(), 1 << players, "expected one value for each subset");
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

/// Returns the Owen values: Shapley values of players that act in `unions`, a partition of the players.
///
/// Only permutations that keep each union together count: phi_i = sum over sets H of other unions and T of i's
/// own companions of w(|H|, unions) w(|T|, companions and i) (f(H + T + i) - f(H + T)), w(s, n) = s! (n - s -
/// 1)! / n! (Owen 1977).
///
/// The values add up to f(all) - f(none). If each union has one player, or if there is a single union, they are
/// the Shapley values.
///
/// # Errors
/// Returns an error if the unions do not contain each player exactly once, or if a value is not finite.
///
/// # Panics
/// Panics if `values` does not have 2^players entries.
pub fn owen_values(
    values: &[f64],
    players: usize,
    unions: &[Vec<usize>],
) -> Result<Vec<f64>, LimeError> {
    assert_eq!(values.len(), 1 << players, "expected one value for each subset");
    check_partition(unions, players)?;
    check_finite("value", values)?;
    // An empty union changes nothing except the amount of work.
    let unions: Vec<&Vec<usize>> = unions.iter().filter(|union| !union.is_empty()).collect();
    let bits = |members: &[usize]| members.iter().fold(0usize, |bits, k| bits | 1 << k);
    let across = size_weights(unions.len());
    let mut phi = vec![0.0; players];
    for (own, union) in unions.iter().enumerate() {
        let others: Vec<usize> =
            (0..unions.len()).filter(|u| *u != own).map(|u| bits(unions[u])).collect();
        let within = size_weights(union.len());
        for chosen in 0..1usize << others.len() {
            let outside = (0..others.len())
                .filter(|u| chosen >> u & 1 == 1)
                .fold(0, |bits, u| bits | others[u]);
            let outer = across[chosen.count_ones() as usize];
            for &i in *union {
                let companions: Vec<usize> = union.iter().copied().filter(|k| *k != i).collect();
                for inner in 0..1usize << companions.len() {
                    let with = (0..companions.len())
                        .filter(|k| inner >> k & 1 == 1)
                        .fold(outside, |bits, k| bits | 1 << companions[k]);
                    let weight = outer * within[inner.count_ones() as usize];
                    phi[i] += weight * (values[with | 1 << i] - values[with]);
                }
            }
        }
    }
    Ok(phi)
}

/// Refuses unions that do not contain each of `players` exactly once.
pub(crate) fn check_partition(unions: &[Vec<usize>], players: usize) -> Result<(), LimeError> {
    let mut times = vec![0; players];
    for &player in unions.iter().flatten() {
        match times.get_mut(player) {
            Some(times) => *times += 1,
            None => return Err(LimeError::Partition { player, times: 0 }),
        }
    }
    match times.iter().position(|times| *times != 1) {
        Some(player) => Err(LimeError::Partition { player, times: times[player] }),
        None => Ok(()),
    }
}

/// Estimates Shapley values from some of the subsets.
///
/// The estimates are the additive values that fit best under the Shapley kernel and add up to `all` - `none`
/// (Lundberg and Lee 2017, theorem 2). They are exact if every subset is given. Otherwise the subsets of each
/// size stand for all subsets of that size. Sizes may therefore be over- or under-represented, as long as the
/// subsets of each size are a fair sample of that size.
///
/// # Errors
/// Returns an error if the numbers of masks and values differ, if a value is not finite, if there is no player or
/// more than 32, or if the masks keep a player that does not exist or do not determine every player's value.
pub fn kernel_shapley(
    masks: &[LeadMask],
    players: usize,
    values: &[f64],
    [none, all]: [f64; 2],
) -> Result<Vec<f64>, LimeError> {
    if masks.len() != values.len() {
        let (masks, values) = (masks.len(), values.len());
        return Err(LimeError::ValueLength { masks, values });
    }
    check_finite("value", values)?;
    check_finite("end", &[none, all])?;
    if !(1..=MAX_LEADS).contains(&players) {
        return Err(LimeError::PlayerCount { found: players, max: MAX_LEADS });
    }
    check_masks(masks, players)?;
    let (kernel, stands_for) = (shapley_kernel(players), stands_for(masks, players));
    // The last player gets what the others leave, so its column is subtracted from theirs.
    let (free, gain) = (players - 1, all - none);
    let mut normal = DMatrix::<f64>::zeros(free, free);
    let mut right = DVector::<f64>::zeros(free);
    for (mask, value) in masks.iter().zip(values) {
        let size = mask.kept() as usize;
        let weight = kernel[size] * stands_for[size];
        let last = f64::from(u8::from(mask.keeps(free)));
        let row = DVector::from_fn(free, |k, _| f64::from(u8::from(mask.keeps(k))) - last);
        normal.ger(weight, &row, &row, 1.0);
        right.axpy(weight * (value - none - last * gain), &row, 1.0);
    }
    let scale = normal.diagonal().iter().copied().fold(0.0, f64::max);
    // A pivot as small as rounding belongs to a player that the masks do not determine.
    let solved = normal
        .cholesky()
        .filter(|factor| factor.l_dirty().diagonal().iter().all(|l| l * l > 1e-12 * scale));
    let Some(factor) = solved else {
        let (done, total) = (masks.len(), 1 << players);
        return Err(LimeError::TooFew { done, total, players });
    };
    let mut phi: Vec<f64> = factor.solve(&right).iter().copied().collect();
    phi.push(gain - phi.iter().sum::<f64>());
    Ok(phi)
}

/// s! (n - s - 1)! / n! for s = 0 .. n - 1, computed without factorials as 1 / (n C(n - 1, s)).
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

/// Weights under which the Shapley values are the best additive fit: (n - 1) / (C(n, s) s (n - s)), and 0 for
/// the empty and the full subset (Lundberg and Lee 2017).
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
        // Player 0 has a left glove, players 1 and 2 have a right one each; a pair is worth 1.
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

    /// An arbitrary game of `n` players.
    fn game(n: usize) -> Vec<f64> {
        (0..1u64 << n).map(|m| (m.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 1e7).collect()
    }

    #[test]
    fn owen_values_of_trivial_unions_are_shapley_values() {
        let values = game(5);
        let phi = shapley_values(&values, 5);
        let single: Vec<Vec<usize>> = (0..5).map(|k| vec![k]).collect();
        let with_empty = [single.clone(), vec![Vec::new(); 70]].concat();
        for unions in [single, vec![vec![3, 0, 1, 4, 2]], with_empty] {
            let owen = owen_values(&values, 5, &unions).expect("a partition");
            for (a, b) in owen.iter().zip(&phi) {
                assert!((a - b).abs() < 1e-12, "{owen:?} {phi:?}");
            }
        }
    }

    #[test]
    fn a_union_gets_the_shapley_value_of_the_game_between_unions() {
        let values = game(5);
        let unions = [vec![0, 3], vec![1], vec![2, 4]];
        let owen = owen_values(&values, 5, &unions).expect("a partition");
        let between: Vec<f64> = (0..8usize)
            .map(|chosen| {
                let members = (0..3).filter(|u| chosen >> u & 1 == 1).flat_map(|u| &unions[u]);
                values[members.fold(0, |bits, k| bits | 1 << k)]
            })
            .collect();
        for (own, union) in shapley_values(&between, 3).iter().zip(&unions) {
            let sum: f64 = union.iter().map(|k| owen[*k]).sum();
            assert!((sum - own).abs() < 1e-12);
        }
    }

    #[test]
    fn owens_worked_majority() {
        // Any two of three players win. 0 and 1 have agreed to act together, so the third is worth nothing.
        let values: Vec<f64> =
            (0u32..8).map(|s| f64::from(u8::from(s.count_ones() >= 2))).collect();
        let owen = owen_values(&values, 3, &[vec![0, 1], vec![2]]).expect("a partition");
        for (own, expected) in owen.iter().zip([0.5, 0.5, 0.0]) {
            assert!((own - expected).abs() < 1e-15, "{owen:?}");
        }
    }

    #[test]
    fn unions_hold_each_player_once() {
        for (unions, player, times) in
            [(vec![vec![0], vec![0, 1]], 0, 2), (vec![vec![0]], 1, 0), (vec![vec![0, 1, 2]], 2, 0)]
        {
            let error = owen_values(&[0.0; 4], 2, &unions).expect_err("no partition");
            assert!(
                matches!(error, LimeError::Partition { player: p, times: t } if (p, t) == (player, times)),
                "{error}"
            );
        }
    }

    #[test]
    fn the_kernel_fit_of_all_subsets_is_exact() {
        for n in [1, 2, 5, 9] {
            let values = game(n);
            let phi = shapley_values(&values, n);
            let ends = [values[0], values[values.len() - 1]];
            let fit = kernel_shapley(&crate::all_masks(n), n, &values, ends).expect("determined");
            for (a, b) in fit.iter().zip(&phi) {
                assert!((a - b).abs() < 1e-10, "{n}: {fit:?} {phi:?}");
            }
        }
        let few = [LeadMask(0b001), LeadMask(0b110)];
        let error = kernel_shapley(&few, 3, &[1.0, 2.0], [0.0, 3.0]).expect_err("too few");
        assert!(matches!(error, LimeError::TooFew { done: 2, total: 8, players: 3 }), "{error}");
        let error = kernel_shapley(&[LeadMask(8)], 3, &[1.0], [0.0, 3.0]).expect_err("beyond");
        assert!(matches!(error, LimeError::Mask { subset: 0, player: 3, players: 3 }), "{error}");
        let error = kernel_shapley(&few, 3, &[1.0], [0.0, 3.0]).expect_err("one value");
        assert_eq!(error.to_string(), "2 masks and 1 values; expected one value per mask");
        let error = kernel_shapley(&few, 3, &[1.0, f64::NAN], [0.0, 3.0]).expect_err("no number");
        assert_eq!(error.to_string(), "value 1 (from 0) is NaN, expected a finite number");
        let error = kernel_shapley(&few, 3, &[1.0, 2.0], [0.0, f64::INFINITY]).expect_err("no end");
        assert_eq!(error.to_string(), "end 1 (from 0) is inf, expected a finite number");
        let error = owen_values(&[0.0, f64::NAN], 1, &[vec![0]]).expect_err("no number");
        assert!(matches!(error, LimeError::NotFinite { what: "value", index: 1, .. }), "{error}");
        assert!(matches!(
            kernel_shapley(&[], 0, &[], [0.0; 2]),
            Err(LimeError::PlayerCount { found: 0, max: 32 })
        ));
    }
}
