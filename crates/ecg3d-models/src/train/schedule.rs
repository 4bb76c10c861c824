use serde::{Deserialize, Serialize};

/// How the learning rate changes during training, as a factor of the base rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// Always the base rate.
    Constant,
    /// The study's schedule: 10^(-e / epochs_per_decade) for epoch e, counted from 0, and constant within an epoch.
    Decay {
        /// Number of epochs after which the rate is a tenth; 100 in the study.
        epochs_per_decade: f64,
    },
    /// A linear rise over the first epochs, then half a cosine down to `floor` at the last step.
    WarmupCosine {
        /// Number of epochs of the rise; may be fractional. The rise takes at most half the run.
        warmup_epochs: f64,
        /// Factor at the last step.
        floor: f64,
    },
}

impl Schedule {
    /// Returns the factor at a step, with `epoch` and `batch` from 0, in a run of `epochs` epochs with `batches`
    /// batches each.
    pub fn factor(&self, epoch: usize, batch: usize, epochs: usize, batches: usize) -> f64 {
        match *self {
            Self::Constant => 1.0,
            Self::Decay { epochs_per_decade } => 10.0_f64.powf(-(epoch as f64) / epochs_per_decade),
            Self::WarmupCosine { warmup_epochs, floor } => {
                let batches = batches.max(1) as f64;
                let steps = epochs as f64 * batches;
                // A warm-up over more than half the run would leave nothing to learn with.
                let warmup = (warmup_epochs * batches).min(0.5 * steps);
                let step = epoch as f64 * batches + batch as f64;
                if step < warmup {
                    return (step + 1.0) / (warmup + 1.0);
                }
                let left = (steps - 1.0 - warmup).max(1.0);
                let share = ((step - warmup) / left).min(1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
        }
    }

    /// Returns whether the number of epochs affects the rates, so that a run can't be extended afterwards.
    pub(crate) fn depends_on_epochs(&self) -> bool {
        matches!(self, Self::WarmupCosine { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decay_is_a_tenth_after_a_decade_of_epochs() {
        let decay = Schedule::Decay { epochs_per_decade: 100.0 };
        assert_eq!(decay.factor(0, 5, 100, 10), 1.0);
        assert!((decay.factor(1, 0, 100, 10) - 0.977_237_220_955_810_7).abs() < 1e-15);
        assert!((decay.factor(100, 0, 200, 10) - 0.1).abs() < 1e-15);
    }

    #[test]
    fn cosine_rises_then_falls_to_its_floor() {
        let cosine = Schedule::WarmupCosine { warmup_epochs: 1.0, floor: 0.01 };
        let rates: Vec<f64> =
            (0..40).map(|step| cosine.factor(step / 10, step % 10, 4, 10)).collect();
        assert!(rates[0] > 0.0 && rates[..10].windows(2).all(|w| w[0] < w[1]));
        assert_eq!(rates[10], 1.0);
        assert!(rates[10..].windows(2).all(|w| w[0] > w[1]));
        assert!((rates[39] - 0.01).abs() < 1e-12);
        // One epoch of one batch consists only of warm-up, but its rate must still be useful.
        assert!(cosine.factor(0, 0, 1, 1) > 0.5);
    }
}
