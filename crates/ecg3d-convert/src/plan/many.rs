use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ecg_core::SamplingRate;

use super::ConvertPlan;
use crate::{ConvertConfig, ConvertError};

/// Plans of one configuration for recordings of several sampling rates, each made on first use.
///
/// The plans of the last eight rates are kept; most collections have one or two rates. Share one `Plans` between
/// threads.
///
/// ```
/// use ecg3d_convert::ecg_core::{Lead, Recording, SamplingRate};
/// use ecg3d_convert::ndarray::Array2;
/// use ecg3d_convert::{ConvertConfig, Plans};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let plans = Plans::new(ConvertConfig::corrected());
/// for hz in [500.0, 257.0, 500.0] {
///     let signal = Array2::from_shape_fn((12, 10 * hz as usize), |(lead, t)| (t as f64 / hz + lead as f64).sin());
///     let leads = Lead::STANDARD_12.map(Lead::name);
///     let recording = Recording::new("sine", SamplingRate::new(hz)?, leads, signal)?;
///     let prepared = plans.at(recording.sampling_rate)?.prepare(&recording)?;
///     assert_eq!((prepared.signal.dim(), prepared.length), ((12, 500), 500)); // [lead, sample]: 10 s at 50 Hz
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Plans {
    config: ConvertConfig,
    /// The newest is last.
    made: Mutex<VecDeque<Arc<ConvertPlan>>>,
}

impl Plans {
    /// Number of plans that are kept; a plan for an odd rate may take 30 MB.
    const MOST: usize = 8;

    /// Returns an empty set of plans; none is made yet.
    pub fn new(config: ConvertConfig) -> Self {
        Self { config, made: Mutex::default() }
    }

    /// The configuration.
    pub fn config(&self) -> &ConvertConfig {
        &self.config
    }

    /// Returns the plan for a sampling rate. Makes it unless it is one of the last eight plans made.
    ///
    /// # Errors
    /// Returns the errors of [`ConvertPlan::new`].
    pub fn at(&self, rate: SamplingRate) -> Result<Arc<ConvertPlan>, ConvertError> {
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let of_rate = |plan: &&Arc<ConvertPlan>| plan.sampling_rate() == rate;
        if let Some(plan) = made().iter().find(of_rate) {
            return Ok(plan.clone());
        }
        // Made without holding the lock: other threads go on meanwhile, and may make the same plan.
        let plan = Arc::new(ConvertPlan::new(self.config.clone(), rate)?);
        let mut made = made();
        if let Some(plan) = made.iter().find(of_rate) {
            return Ok(plan.clone());
        }
        if made.len() == Self::MOST {
            made.pop_front();
        }
        made.push_back(plan.clone());
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_kept_for_the_last_rates_only() {
        let plans = Plans::new(ConvertConfig::corrected());
        let at = |hz: f64| plans.at(SamplingRate::new(hz).expect("a rate")).expect("a plan");
        let first = at(500.0);
        assert!(Arc::ptr_eq(&first, &at(500.0)));
        for k in 1..=20 {
            assert_eq!(at(500.0 + f64::from(k)).sampling_rate().hz(), 500.0 + f64::from(k));
        }
        assert_eq!(plans.made.lock().expect("no panic").len(), Plans::MOST);
        assert!(!Arc::ptr_eq(&first, &at(500.0)));
        assert!(plans.at(SamplingRate::new(0.7).expect("a rate")).is_err());
    }
}
