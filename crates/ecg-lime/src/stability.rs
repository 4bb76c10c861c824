use serde::{Deserialize, Serialize};

use crate::cohort::require_alike;
use crate::{Agreement, Explanation, LimeError};

/// How little explanations of the same decision change from seed to seed (Visani et al. 2022, as shares rather
/// than percent).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stability {
    /// Number of explanations compared.
    pub runs: usize,
    /// Number of players of largest magnitude that enter the variables stability index.
    pub k: usize,
    /// Variables stability index: the mean share, over pairs of runs, of the k top players that both have in
    /// common.
    pub variables: f64,
    /// Coefficients stability index: the share of the pairs of runs whose 95 % intervals overlap, averaged over
    /// the players. `None` if a value has no standard error.
    pub coefficients: Option<f64>,
    /// Mean rank correlation (Spearman) over pairs of runs; `None` if one is undefined.
    pub spearman: Option<f64>,
}

impl Stability {
    /// Compares runs of one sampled method with different seeds.
    ///
    /// # Errors
    /// Returns an error if there are fewer than two runs, if the runs have different players, labels, methods,
    /// targets or kinds of baseline, if only some of them were stopped, or if `k` is zero.
    pub fn of(runs: &[Explanation], k: usize) -> Result<Self, LimeError> {
        if runs.len() < 2 {
            let (setting, expected) = ("the number of runs", "at least 2");
            return Err(LimeError::Setting { setting, expected, found: runs.len() as f64 });
        }
        require_alike(&runs.iter().collect::<Vec<_>>())?;
        let (mut variables, mut overlaps, mut ranks) = (0.0, Some(0.0), Some(0.0));
        let mut pairs = 0.0;
        for (i, a) in runs.iter().enumerate() {
            for b in &runs[..i] {
                let agreement = Agreement::of(a, b, k)?;
                pairs += 1.0;
                variables += agreement.top_overlap;
                overlaps = overlaps.zip(overlap(a, b)).map(|(sum, own)| sum + own);
                ranks = ranks.zip(agreement.spearman).map(|(sum, own)| sum + own);
            }
        }
        Ok(Self {
            runs: runs.len(),
            k: k.min(runs[0].values.len()),
            variables: variables / pairs,
            coefficients: overlaps.map(|sum| sum / pairs),
            spearman: ranks.map(|sum| sum / pairs),
        })
    }
}

/// Share of the players whose 95 % intervals overlap.
fn overlap(a: &Explanation, b: &Explanation) -> Option<f64> {
    let mut common = 0;
    for (a, b) in a.values.iter().zip(&b.values) {
        let reach = 1.959_963_984_540_054 * (a.standard_error? + b.standard_error?);
        common += usize::from((a.value - b.value).abs() <= reach);
    }
    Some(common as f64 / a.values.len() as f64)
}
