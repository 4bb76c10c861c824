use core::f64::consts::{PI, TAU};

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Frequency of the slow modulation of fibrillatory waves, Hz.
const MODULATION_HZ: f64 = 0.2;

/// Continuous atrial activity: a sawtooth of three harmonics after Stridh and Sörnmo (IEEE TBME 48:105, 2001).
///
/// On each axis of the dipole,
/// `y = -sum over i = 1..3 of 2/(i pi) (a + da sin 2 pi 0.2 t) sin i theta`, with
/// `theta = 2 pi f0 t + (df / 0.2) sin 2 pi 0.2 t + phase`. The time `t` is counted from `origin_s` before the first
/// sample.
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
    /// Seconds from the origin of time of the formulas to the first sample. Default if left out when deserialising: 0.
    #[serde(default)]
    pub origin_s: f64,
}

impl AtrialWave {
    /// f waves of atrial fibrillation: 4.5 to 8 Hz, largest in the right precordial leads. The lead matrix makes them
    /// largest in V2 and V3; in patients they are largest in V1.
    pub(crate) fn fibrillation(origin_s: f64, rng: &mut Rng) -> Self {
        let amplitude = rng.within(0.05, 0.10);
        let start = rng.within(0.0, TAU);
        Self {
            hz: rng.within(4.5, 8.0),
            amplitude_mv: amplitude,
            amplitude_depth_mv: amplitude / 3.0,
            hz_depth: 0.25,
            direction: [-0.4, 0.4, -0.7],
            phases: [0.0, 0.7, 1.3].map(|phase| start + phase),
            origin_s,
        }
    }

    /// F waves of typical flutter: one steady sawtooth, negative in II, III, aVF, positive in V1.
    pub(crate) fn flutter(hz: f64, origin_s: f64, rng: &mut Rng) -> Self {
        Self {
            hz,
            amplitude_mv: rng.within(0.09, 0.16),
            amplitude_depth_mv: 0.0,
            hz_depth: 0.0,
            direction: [-0.1, -1.0, -0.5],
            phases: [0.0; 3],
            origin_s,
        }
    }

    /// Draws [`AtrialWave::origin_s`]: anywhere in a period of the modulation.
    pub(crate) fn draw_origin_s(rng: &mut Rng) -> f64 {
        rng.within(0.0, 1.0 / MODULATION_HZ)
    }

    /// The dipole in mV, `t_s` seconds after the first sample.
    pub(crate) fn at(&self, t_s: f64) -> [f64; 3] {
        let t = t_s + self.origin_s;
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
        let wave = AtrialWave::fibrillation(1.7, &mut Rng::new(1, 1, Stream::Rhythm));
        for k in 0..50 {
            let after = 0.037 * f64::from(k);
            let t = after + 1.7;
            let slow = (TAU * 0.2 * t).sin();
            let theta = TAU * wave.hz * t + 0.25 / 0.2 * slow;
            let a = wave.amplitude_mv;
            for (axis, y) in wave.at(after).into_iter().enumerate() {
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

    /// The waves of 400 recordings, drawn as for those.
    fn waves(draw: impl Fn(f64, &mut Rng) -> AtrialWave) -> impl Iterator<Item = AtrialWave> {
        (0..400).map(move |index| {
            let origin_s = AtrialWave::draw_origin_s(&mut Rng::new(1, index, Stream::Atria));
            draw(origin_s, &mut Rng::new(1, index, Stream::Rhythm))
        })
    }

    #[test]
    fn f_waves_of_different_recordings_do_not_wax_together() {
        let power = |wave: &AtrialWave, samples: u32| {
            let square =
                |k: u32| wave.at(f64::from(k) / 100.0).iter().map(|mv| mv * mv).sum::<f64>();
            (0..samples).map(square).sum::<f64>() / f64::from(samples)
        };
        // The power of the first 2 s over that of a whole period of the modulation. With one origin for all, the mean
        // would be 1.46. The standard deviation of one ratio is 0.34, so that of the mean 0.017.
        let ratios = waves(AtrialWave::fibrillation)
            .map(|wave| power(&wave, 200) / power(&wave, 500))
            .sum::<f64>();
        assert!((ratios / 400.0 - 1.0).abs() < 0.1, "{}", ratios / 400.0);
    }

    #[test]
    fn flutter_starts_anywhere_in_its_cycle() {
        let down = waves(|origin_s, rng| AtrialWave::flutter(5.0, origin_s, rng))
            .filter(|wave| wave.at(0.0)[1] > 0.0)
            .count();
        // Half of them, to within six standard deviations.
        assert!((140..=260).contains(&down), "{down}");
    }
}
