use ecg_core::LeadMask;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::LimeError;
use crate::players::MAX_LEADS;

/// Returns the 793 masks of the published LIME, for twelve leads.
///
/// They are all ways to remove 1, then 2, 3 and 4 leads, each in lexicographic order of the removed leads (as
/// in Python's `itertools.combinations`). The full mask is not among them.
pub fn published_masks() -> Vec<LeadMask> {
    removals(12, 4)
}

/// Returns all ways to remove 1 to `most` of `players`, in the same order: by number removed, then
/// lexicographic.
///
/// # Panics
/// Panics if there are more than 32 players.
pub fn removals(players: usize, most: usize) -> Vec<LeadMask> {
    assert!(players <= MAX_LEADS, "found {players} players, expected at most {MAX_LEADS}");
    let mut masks = Vec::new();
    for size in 1..=most.min(players) {
        let mut removed: Vec<usize> = (0..size).collect();
        loop {
            let gone = removed.iter().fold(0u32, |bits, k| bits | 1 << k);
            masks.push(LeadMask::all(players).without(LeadMask(gone)));
            // Moves up the last index that still can, and puts those after it directly behind.
            let Some(place) = (0..size).rev().find(|&k| removed[k] + size < players + k) else {
                break;
            };
            removed[place] += 1;
            for k in place + 1..size {
                removed[k] = removed[k - 1] + 1;
            }
        }
    }
    masks
}

/// Returns all 2^players masks in counting order.
///
/// Mask `m` has the bits of `m`; the first keeps nothing, the last everything.
///
/// # Panics
/// Panics if there are more than 20 players.
pub fn all_masks(players: usize) -> Vec<LeadMask> {
    assert!(players <= 20, "found {players} players, expected at most 20");
    (0..1u32 << players).map(LeadMask).collect()
}

/// Returns the full mask, then `samples` - 1 masks over `players` that keep each player with probability 1/2.
///
/// # Panics
/// Panics if there are more than 32 players.
pub fn sampled_masks(players: usize, samples: usize, seed: u64) -> Vec<LeadMask> {
    assert!(players <= MAX_LEADS, "found {players} players, expected at most {MAX_LEADS}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let full = LeadMask::all(players);
    (0..samples).map(|k| if k == 0 { full } else { LeadMask(random.next_u32() & full.0) }).collect()
}

/// The largest number of subsets that are held at a time.
const MAX_SUBSETS: usize = 1 << 20;

/// Refuses zero draws, or more than [`MAX_SUBSETS`].
pub(crate) fn check_samples(samples: usize) -> Result<(), LimeError> {
    if (1..=MAX_SUBSETS).contains(&samples) {
        return Ok(());
    }
    let (setting, expected) = ("the number of samples", "from 1 to 1048576");
    Err(LimeError::Setting { setting, expected, found: samples as f64 })
}

/// Refuses removals of 1 to `most` of at most 32 players if there are more of them than [`MAX_SUBSETS`].
pub(crate) fn check_removals(players: usize, most: usize) -> Result<(), LimeError> {
    let (mut ways, mut choose) = (0, 1);
    for size in 1..=most.min(players) {
        choose = choose * (players + 1 - size) / size;
        ways += choose;
    }
    if ways <= MAX_SUBSETS {
        return Ok(());
    }
    let (setting, expected) = ("the number of subsets with players removed", "at most 1048576");
    Err(LimeError::Setting { setting, expected, found: ways as f64 })
}

/// How many of all subsets a mask stands for, by its size: the masks of a size together count as much as all
/// subsets of that size. 0 for sizes without a mask.
pub(crate) fn stands_for(masks: &[LeadMask], players: usize) -> Vec<f64> {
    let mut seen = vec![0u64; players + 1];
    masks.iter().for_each(|mask| seen[mask.kept() as usize] += 1);
    let mut choose = 1u64;
    seen.into_iter()
        .enumerate()
        .map(|(size, seen)| {
            let all = choose;
            choose = choose * (players - size) as u64 / (size as u64 + 1);
            if seen == 0 { 0.0 } else { all as f64 / seen as f64 }
        })
        .collect()
}

/// Refuses masks that keep a player beyond `players`.
pub(crate) fn check_masks(masks: &[LeadMask], players: usize) -> Result<(), LimeError> {
    for (subset, mask) in masks.iter().enumerate() {
        let beyond = mask.0 & !LeadMask::all(players).0;
        if beyond != 0 {
            let player = beyond.trailing_zeros() as usize;
            return Err(LimeError::Mask { subset, player, players });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_are_in_lexicographic_order() {
        let masks = published_masks();
        assert_eq!(masks.len(), 793);
        let removed = |k: usize| LeadMask::all(12).0 & !masks[k].0;
        assert_eq!((removed(0), removed(11), removed(12), removed(13)), (1, 1 << 11, 0b11, 0b101));
        assert_eq!(removed(792), 0b1111 << 8);
        assert_eq!(removals(2, 4), [LeadMask(0b10), LeadMask(0b01), LeadMask(0)]);
        assert_eq!(all_masks(3).len(), 8);
    }

    #[test]
    #[should_panic(expected = "found 21 players, expected at most 20")]
    fn all_masks_of_too_many_players() {
        all_masks(21);
    }

    #[test]
    #[should_panic(expected = "found 40 players, expected at most 32")]
    fn removals_of_too_many_players() {
        removals(40, 1);
    }

    #[test]
    #[should_panic(expected = "found 33 players, expected at most 32")]
    fn sampled_masks_of_too_many_players() {
        sampled_masks(33, 1, 0);
    }

    #[test]
    fn some_subsets_of_a_size_stand_for_all_of_it() {
        assert_eq!(stands_for(&all_masks(5), 5), [1.0; 6]);
        let some = [0b00001, 0b00010, 0b00111, 0b11111].map(LeadMask);
        assert_eq!(stands_for(&some, 5), [0.0, 2.5, 0.0, 10.0, 0.0, 1.0]);
    }

    #[test]
    fn sampled_masks_are_seeded_and_even() {
        let masks = sampled_masks(12, 4001, 7);
        assert_eq!(masks, sampled_masks(12, 4001, 7));
        assert_ne!(masks, sampled_masks(12, 4001, 8));
        assert_eq!(masks[0], LeadMask::all(12));
        for k in 0..12 {
            let kept = masks[1..].iter().filter(|mask| mask.keeps(k)).count();
            // Six standard deviations of a binomial of 4000.
            assert!(kept.abs_diff(2000) < 190, "{k}: {kept}");
        }
        assert!(sampled_masks(12, 0, 0).is_empty());
    }

    #[test]
    fn more_subsets_than_fit_are_refused() {
        assert!(check_samples(0).is_err() && check_samples(usize::MAX).is_err());
        assert!(check_samples(1).is_ok() && check_samples(1 << 20).is_ok());
        assert!(check_removals(12, usize::MAX).is_ok() && check_removals(32, 5).is_ok());
        let error = check_removals(32, 16).expect_err("too many").to_string();
        let ways: usize = removals(12, 4).len();
        assert_eq!(ways, 793);
        assert!(error.contains("at most 1048576"), "{error}");
    }
}
