use core::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The purpose of a stream of random numbers.
///
/// Each part of a record has its own stream, so changing the sampling rate, the duration or the condition in one part
/// leaves the draws of the others unchanged.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// The order of rhythms within a block of records; indexed by block.
    Block = 1,
    /// Everything else that a record shows.
    Plan = 2,
    /// Age, sex, axis, voltage; indexed by patient.
    Patient = 3,
    /// Rate and times of the beats.
    Rhythm = 4,
    /// Shape of the waves.
    Shape = 5,
    /// Disturbance parameters, whose number does not depend on the sampling rate.
    Noise = 6,
    /// Disturbances drawn sample by sample.
    Emg = 7,
    /// The origin of time of the atrial waves.
    Atria = 8,
    /// Shape of the waves of premature beats.
    Premature = 9,
}

/// Random numbers that depend only on (seed, index, stream), on every machine.
///
/// ChaCha8 produces integers, which are turned into floats here; logarithms and cosines come from the `libm` crate
/// instead of the platform.
#[derive(Debug)]
pub(crate) struct Rng(ChaCha8Rng);

impl Rng {
    pub(crate) fn new(seed: u64, index: u64, stream: Stream) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        key[16..24].copy_from_slice(&(stream as u64).to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in [0, 1), in steps of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        (self.0.next_u64() >> 11) as f64 * STEP
    }

    /// Uniform in [low, high).
    pub(crate) fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..n, for `n` far below 2^53.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Normal deviate (Box and Muller 1958, using only the cosine of the pair).
    pub(crate) fn normal(&mut self, mean: f64, sd: f64) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        mean + sd * radius * libm::cos(TAU * self.unit())
    }

    /// Exponential of a normal deviate with mean 0.
    pub(crate) fn lognormal(&mut self, sd: f64) -> f64 {
        libm::exp(self.normal(0.0, sd))
    }

    /// Approximately normal deviate with mean 0 and variance 1, within +-3.5: the sum of four 16-bit uniforms.
    ///
    /// It needs only one integer per sample, which makes it much cheaper than [`Rng::normal`].
    pub(crate) fn quick_normal(&mut self) -> f64 {
        /// Standard deviation of the sum: 65536 sqrt(4 / 12).
        const SD: f64 = 37_837.227;
        let bits = self.0.next_u64();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f64 - 131_070.0) / SD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviates_have_their_moments() {
        let mut rng = Rng::new(1, 2, Stream::Noise);
        for quick in [false, true] {
            let draws: Vec<f64> = (0..20_000)
                .map(|_| if quick { rng.quick_normal() } else { rng.normal(0.0, 1.0) })
                .collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let var = draws.iter().map(|x| x * x).sum::<f64>() / draws.len() as f64;
            // Four standard errors of the mean and of the variance.
            assert!(mean.abs() < 4.0 / (2e4f64).sqrt(), "{mean}");
            assert!((var - 1.0).abs() < 4.0 * (2.0 / 2e4f64).sqrt(), "{var}");
        }
    }

    #[test]
    fn streams_differ() {
        let first = |seed, index, stream| Rng::new(seed, index, stream).unit();
        let own = first(1, 1, Stream::Plan);
        assert_eq!(own, first(1, 1, Stream::Plan));
        assert_ne!(own, first(2, 1, Stream::Plan));
        assert_ne!(own, first(1, 2, Stream::Plan));
        assert_ne!(own, first(1, 1, Stream::Rhythm));
    }
}
