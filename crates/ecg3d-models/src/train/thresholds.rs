use ndarray::{ArrayView1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::ModelError;

/// Where the thresholds in the card of trained weights come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Thresholds {
    /// One half for every label. The default.
    #[default]
    Half,
    /// Those of [`validation_thresholds`] on the validation records; one half without such records.
    Validation,
}

/// Labels with fewer positives than this get a threshold that is shrunk towards one half.
const ENOUGH_POSITIVES: usize = 20;

/// Returns thresholds, one for each label, from labels and probabilities `[record, label]` of validation records.
///
/// For each label, the threshold `t` maximises F1 of `probability > t`. It lies halfway between two neighbouring
/// probabilities; among equally good ones, the one nearest to one half is taken. With few positives, `t` is mostly
/// chance, so it is shrunk towards one half according to their number: `0.5 + min(1, positives / 20) (t - 0.5)`. A
/// label that all or none of the records have keeps one half.
///
/// ```
/// use ecg3d_models::validation_thresholds;
/// use ndarray::array;
///
/// # fn main() -> Result<(), ecg3d_models::ModelError> {
/// let (truth, probabilities) = (array![[true], [true], [false]], array![[0.9], [0.3], [0.2]]);
/// let found = validation_thresholds(truth.view(), probabilities.view())?;
/// // 0.25 separates them, but two positives of twenty count a tenth.
/// assert!((found[0] - 0.475).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The arrays have different shapes, or a probability is not from 0 to 1.
pub fn validation_thresholds(
    truth: ArrayView2<'_, bool>,
    probabilities: ArrayView2<'_, f64>,
) -> Result<Vec<f64>, ModelError> {
    for (what, expected, found) in [
        ("rows of probabilities", truth.nrows(), probabilities.nrows()),
        ("columns of probabilities", truth.ncols(), probabilities.ncols()),
    ] {
        if expected != found {
            return Err(ModelError::RowCount { what, expected, found });
        }
    }
    check_probabilities(probabilities)?;
    let columns = truth.axis_iter(Axis(1)).zip(probabilities.axis_iter(Axis(1)));
    Ok(columns.map(|(truth, p)| shrunk(truth, p)).collect())
}

/// Refuses values that are not probabilities, NaN among them.
pub(crate) fn check_probabilities<'a>(
    values: impl IntoIterator<Item = &'a f64>,
) -> Result<(), ModelError> {
    match values.into_iter().find(|p| !(0.0..=1.0).contains(*p)) {
        None => Ok(()),
        Some(&found) => {
            let (what, expected) = ("a probability", "from 0 to 1");
            Err(ModelError::Setting { what, expected, found })
        }
    }
}

fn shrunk(truth: ArrayView1<'_, bool>, probabilities: ArrayView1<'_, f64>) -> f64 {
    let positives = truth.iter().filter(|&&label| label).count();
    if positives == 0 || positives == truth.len() {
        return 0.5;
    }
    let trust = (positives as f64 / ENOUGH_POSITIVES as f64).min(1.0);
    0.5 + trust * (largest_f1(truth, probabilities, positives) - 0.5)
}

fn largest_f1(
    truth: ArrayView1<'_, bool>,
    probabilities: ArrayView1<'_, f64>,
    positives: usize,
) -> f64 {
    let mut ranked: Vec<(f64, bool)> =
        probabilities.iter().copied().zip(truth.iter().copied()).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut best, mut best_f1) = (0.5, 0.0);
    let (mut hits, mut predicted) = (0, 0);
    for equals in ranked.chunk_by(|a, b| a.0 == b.0) {
        hits += equals.iter().filter(|(_, label)| *label).count();
        predicted += equals.len();
        let above = equals[0].0;
        if above == 0.0 {
            // A probability of 0 is above no threshold.
            break;
        }
        let below = ranked.get(predicted).map_or(0.0, |next| next.0);
        // Between neighbouring floating-point numbers, the middle may round to the upper one.
        let middle = 0.5 * (above + below);
        let threshold = if middle < above { middle } else { below };
        let f1 = 2.0 * hits as f64 / (predicted + positives) as f64;
        let nearer = (threshold - 0.5_f64).abs() < (best - 0.5_f64).abs();
        if f1 > best_f1 || (f1 == best_f1 && f1 > 0.0 && nearer) {
            (best, best_f1) = (threshold, f1);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    /// Returns the threshold for `n` records of each (label, probability).
    fn chosen(n: usize, records: &[(u8, f64)]) -> f64 {
        let rows: Vec<(u8, f64)> = records.iter().flat_map(|&one| vec![one; n]).collect();
        let truth = Array2::from_shape_fn((rows.len(), 1), |(row, _)| rows[row].0 == 1);
        let p = Array2::from_shape_fn((rows.len(), 1), |(row, _)| rows[row].1);
        validation_thresholds(truth.view(), p.view()).expect("fits")[0]
    }

    #[test]
    fn f1_is_the_largest_that_there_is() {
        let records =
            [(1, 0.9), (0, 0.8), (1, 0.7), (1, 0.35), (0, 0.25), (0, 0.2), (1, 0.1), (0, 0.05)];
        let found = chosen(10, &records);
        assert!((found - 0.3).abs() < 1e-12, "{found}");
        let f1 = |threshold: f64| {
            let count = |label: u8, above: bool| {
                let of = |one: &&(u8, f64)| one.0 == label && (one.1 > threshold) == above;
                records.iter().filter(of).count() as f64
            };
            2.0 * count(1, true) / (2.0 * count(1, true) + count(0, true) + count(1, false))
        };
        for step in 0..100 {
            assert!(f1(f64::from(step) / 100.0) <= f1(found));
        }
    }

    #[test]
    fn of_equals_the_nearest_to_one_half() {
        // F1 is 2/3 for the thresholds 0.8 and 0.3, and less in between.
        let found = chosen(20, &[(1, 0.9), (0, 0.7), (0, 0.5), (1, 0.4), (0, 0.2)]);
        assert!((found - 0.3).abs() < 1e-12, "{found}");
    }

    #[test]
    fn few_positives_draw_towards_one_half() {
        let parted = [(1, 0.3), (0, 0.1)];
        for (n, expected) in [(1, 0.485), (5, 0.425), (20, 0.2), (40, 0.2)] {
            let found = chosen(n, &parted);
            assert!((found - expected).abs() < 1e-12, "{n}: {found}");
        }
        assert_eq!(chosen(30, &[(1, 0.3)]), 0.5);
        assert_eq!(chosen(30, &[(0, 0.3)]), 0.5);
        assert_eq!(chosen(30, &[(1, 0.0), (0, 0.3)]), 0.5, "no threshold finds one");
    }

    #[test]
    fn neighbouring_numbers_are_told_apart() {
        let high = 0.3_f64;
        let found = chosen(20, &[(1, high), (0, high.next_down())]);
        assert!(high > found && high.next_down() <= found);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (truth, p) = (array![[true, false]], array![[0.5], [0.5]]);
        assert!(validation_thresholds(truth.view(), p.view()).is_err());
        assert!(validation_thresholds(truth.view(), array![[0.5, f64::NAN]].view()).is_err());
    }
}
