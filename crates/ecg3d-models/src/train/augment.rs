use ndarray::ArrayViewMut2;
use serde::{Deserialize, Serialize};

use super::random::Stream;

/// Random changes to a prepared signal `[lead, sample]` before training on it.
///
/// All changes are drawn anew for each record and epoch; a field of 0 turns its change off. All leads are scaled
/// together, because scaling each by itself would destroy the relative amplitudes. Noise and wander are relative to the
/// root mean square of the whole signal, so they suit any unit.
///
/// ```
/// use ecg3d_models::{Augment, TrainConfig};
///
/// let augment = Augment::NONE.with_scale(0.2).with_lead_dropout(0.1);
/// let config = TrainConfig::corrected().with_augment(augment);
/// assert_eq!((config.augment.scale, config.augment.noise), (0.2, 0.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Augment {
    /// Standard deviation of the natural logarithm of a factor for all leads.
    pub scale: f64,
    /// Largest standard deviation of white noise; each record's is drawn uniformly from 0 to this.
    pub noise: f64,
    /// Largest amplitude of a slow sine (0.1 to 0.5 Hz) on each lead.
    pub wander: f64,
    /// Probability that a lead is set to zero, for each lead but one, drawn at random, which is always kept.
    pub lead_dropout: f64,
}

impl Augment {
    /// No change.
    pub const NONE: Self = Self { scale: 0.0, noise: 0.0, wander: 0.0, lead_dropout: 0.0 };

    /// Sets [`Augment::scale`].
    #[must_use]
    pub fn with_scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// Sets [`Augment::noise`].
    #[must_use]
    pub fn with_noise(self, noise: f64) -> Self {
        Self { noise, ..self }
    }

    /// Sets [`Augment::wander`].
    #[must_use]
    pub fn with_wander(self, wander: f64) -> Self {
        Self { wander, ..self }
    }

    /// Sets [`Augment::lead_dropout`].
    #[must_use]
    pub fn with_lead_dropout(self, lead_dropout: f64) -> Self {
        Self { lead_dropout, ..self }
    }

    /// Changes a signal `[lead, sample]` with `rate_hz` samples per second in place.
    pub(crate) fn apply(
        &self,
        mut signal: ArrayViewMut2<'_, f32>,
        rate_hz: f64,
        random: &mut Stream,
    ) {
        let n = signal.len();
        if *self == Self::NONE || n == 0 {
            return;
        }
        if self.scale > 0.0 {
            let factor = (self.scale * random.normal()).exp() as f32;
            signal.mapv_inplace(|v| v * factor);
        }
        let power = signal.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() / n as f64;
        let rms = power.sqrt();
        if self.noise > 0.0 {
            let deviation = self.noise * rms * random.uniform();
            signal.mapv_inplace(|v| v + (deviation * random.normal()) as f32);
        }
        if self.wander > 0.0 {
            for mut lead in signal.rows_mut() {
                let amplitude = self.wander * rms * random.uniform();
                let step = std::f64::consts::TAU * (0.1 + 0.4 * random.uniform()) / rate_hz;
                let phase = std::f64::consts::TAU * random.uniform();
                for (t, v) in lead.iter_mut().enumerate() {
                    *v += (amplitude * (step * t as f64 + phase).sin()) as f32;
                }
            }
        }
        if self.lead_dropout > 0.0 {
            let stays = random.below(signal.nrows());
            for (k, mut lead) in signal.rows_mut().into_iter().enumerate() {
                if random.uniform() < self.lead_dropout && k != stays {
                    lead.fill(0.0);
                }
            }
        }
    }
}

/// No change.
impl Default for Augment {
    fn default() -> Self {
        Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Purpose;
    use super::*;
    use ndarray::Array2;

    fn signal() -> Array2<f32> {
        Array2::from_shape_fn((12, 100), |(lead, t)| ((lead + 1) as f32 * t as f32).sin())
    }

    fn changed(augment: Augment, seed: u64) -> Array2<f32> {
        let mut out = signal();
        augment.apply(out.view_mut(), 50.0, &mut Stream::new(seed, Purpose::Record, 0, 0));
        out
    }

    #[test]
    fn none_changes_nothing_and_seeds_repeat() {
        assert_eq!(changed(Augment::NONE, 1), signal());
        let all = Augment { scale: 0.1, noise: 0.1, wander: 0.1, lead_dropout: 0.1 };
        assert_eq!(changed(all, 1), changed(all, 1));
        assert_ne!(changed(all, 1), changed(all, 2));
    }

    #[test]
    fn scale_is_one_factor_for_all_leads() {
        let out = changed(Augment { scale: 0.2, ..Augment::NONE }, 3);
        let factor = out[[0, 1]] / signal()[[0, 1]];
        assert!(factor > 0.0 && factor != 1.0);
        for (after, before) in out.iter().zip(&signal()) {
            assert!((after - before * factor).abs() < 1e-6);
        }
    }

    #[test]
    fn noise_is_no_louder_than_asked() {
        for seed in 0..20 {
            let change = changed(Augment { noise: 0.1, ..Augment::NONE }, seed) - signal();
            let rms = (change.mapv(|v| v * v).mean().expect("samples")).sqrt();
            // The signal's rms is below 0.75; sampling error of 1200 draws is a few percent.
            assert!(rms < 0.1 * 0.75 * 1.1, "{rms}");
        }
    }

    #[test]
    fn a_lead_always_stays() {
        for seed in 0..50 {
            let out = changed(Augment { lead_dropout: 1.0, ..Augment::NONE }, seed);
            let alive = out.rows().into_iter().filter(|row| row.iter().any(|&v| v != 0.0)).count();
            assert_eq!(alive, 1);
        }
    }
}
