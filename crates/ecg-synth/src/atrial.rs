use core::f64::consts::{PI, TAU};

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Frequency of the slow modulation of fibrillatory waves, Hz.
const MODULATION_HZ: f64 = 0.2;

/// Continuous atrial activity: a sawtooth of three harmonics after Stridh and Sörnmo (IEEE TBME 48:105, 2001).
///
/// On each axis of the dipole,
/// `y = -sum over i = 1..3 of 2/(i pi) (a + da sin 2 pi 0.2 t) sin i theta`, with
/// `theta = 2 pi f0 t + (df / 0.2) sin 2 pi 0.2 t + phase`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AtrialWave {
    /// Mean frequency f0, Hz.
    pub hz: f64,
    /// Amplitude a, mV of the dipole.
    pub amplitude_mv: f64,
    /// Depth da of the amplitude modulation, mV.
    pub amplitude_depth_mv: f64,
    /// Depth df of the frequency modulation, Hz.
    pub hz_depth: f64,
    /// Direction of the dipole: X (left), Y (foot), Z (back).
    pub direction: [f64; 3],
    /// Phase on each axis, radians.
    pub phases: [f64; 3],
}

impl AtrialWave {
    /// f waves of atrial fibrillation: 4.5 to 8 Hz, largest in the right precordial leads. The lead matrix makes them
    /// largest in V2 and V3; in patients they are largest in V1.
    pub(crate) fn fibrillation(rng: &mut Rng) -> Self {
        let amplitude = rng.within(0.05, 0.10);
        let start = rng.within(0.0, TAU);
        Self {
            hz: rng.within(4.5, 8.0),
            amplitude_mv: amplitude,
            amplitude_depth_mv: amplitude / 3.0,
            hz_depth: 0.25,
            direction: [-0.4, 0.4, -0.7],
            phases: [0.0, 0.7, 1.3].map(|phase| start + phase),
        }
    }

    /// F waves of typical flutter: one steady sawtooth, negative in II, III, aVF, positive in V1.
    pub(crate) fn flutter(hz: f64, rng: &mut Rng) -> Self {
        Self {
            hz,
            amplitude_mv: rng.within(0.09, 0.16),
            amplitude_depth_mv: 0.0,
            hz_depth: 0.0,
            direction: [-0.1, -1.0, -0.5],
            phases: [0.0; 3],
        }
    }

    /// The dipole in mV at time `t` in s.
    pub(crate) fn at(&self, t: f64) -> [f64; 3] {
        let slow = libm::sin(TAU * MODULATION_HZ * t);
        let amplitude = self.amplitude_mv + self.amplitude_depth_mv * slow;
        let theta = TAU * self.hz * t + self.hz_depth / MODULATION_HZ * slow;
        let one = |phase: f64| {
            let (sin, cos) = libm::sincos(theta + phase);
            // sin 2x = 2 sin x cos x; sin 3x = sin x (4 cos^2 x - 1).
            let sum = sin + sin * cos + sin * (4.0 * cos * cos - 1.0) / 3.0;
            -2.0 / PI * amplitude * sum
        };
        if self.phases[0] == self.phases[1] && self.phases[0] == self.phases[2] {
            let y = one(self.phases[0]);
            return self.direction.map(|weight| weight * y);
        }
        core::array::from_fn(|axis| self.direction[axis] * one(self.phases[axis]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn equals_the_sum_of_sines() {
        let wave = AtrialWave::fibrillation(&mut Rng::new(1, 1, Stream::Rhythm));
        for k in 0..50 {
            let t = 0.037 * f64::from(k);
            let slow = (TAU * 0.2 * t).sin();
            let theta = TAU * wave.hz * t + 0.25 / 0.2 * slow;
            let a = wave.amplitude_mv;
            for (axis, y) in wave.at(t).into_iter().enumerate() {
                let expected: f64 = (1..=3)
                    .map(|i| {
                        let i = f64::from(i);
                        -2.0 / (i * PI)
                            * (a + a / 3.0 * slow)
                            * (i * (theta + wave.phases[axis])).sin()
                    })
                    .sum();
                assert!((y - wave.direction[axis] * expected).abs() < 1e-14);
            }
        }
    }
}
