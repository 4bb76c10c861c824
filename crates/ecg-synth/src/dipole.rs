use core::f64::consts::TAU;

use crate::rhythm::{BeatKind, Blocked, Planned, RESPIRATION_HZ, Timeline};
use crate::rng::Rng;
use crate::shape::{Beatform, Kernel, Shape};
use crate::waves;

/// Gaussians are cut off where they have fallen to exp(-15), 3e-7 of their height.
const REACH_SIGMAS: f64 = 5.5;

/// The position of the heart in the chest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// Rotation of the frontal plane, radians; positive turns the axis to the right.
    pub(crate) frontal: f64,
    /// Rotation of the horizontal plane, radians; positive turns the axis to the front.
    pub(crate) horizontal: f64,
    /// Amplitude of the respiratory rotation of the frontal plane, radians.
    pub(crate) respiratory: f64,
    /// Phase of the respiration, radians.
    pub(crate) phase: f64,
}

impl Position {
    /// Draws the axis of a patient: frontal N(0, 10 degrees), horizontal N(0, 5 degrees), turned by 5 to 10 degrees
    /// with each breath.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let degrees = |angle: f64| angle * TAU / 360.0;
        Self {
            frontal: degrees(rng.normal(0.0, 10.0)),
            horizontal: degrees(rng.normal(0.0, 5.0)),
            respiratory: degrees(rng.within(5.0, 10.0)),
            phase: rng.within(0.0, TAU),
        }
    }

    /// The rotation matrix at time `t`: column k is the direction of axis k.
    fn matrix(&self, t: f64) -> [[f64; 3]; 3] {
        let breath = libm::sin(TAU * RESPIRATION_HZ * t + self.phase);
        let (sf, cf) = libm::sincos(self.frontal + self.respiratory * breath);
        let (sh, ch) = libm::sincos(self.horizontal);
        [[cf * ch, -sf * ch, sh], [sf, cf, 0.0], [-sh * cf, sh * sf, ch]]
    }
}

/// The dipole of a recording: X, Y, Z in mV.
pub(crate) type Dipole = [Vec<f64>; 3];

/// Renders the waves of all beats and of the atria: `samples` samples at `hz`.
pub(crate) fn render(
    timeline: &Timeline,
    shape: &Shape,
    position: &Position,
    samples: usize,
    hz: f64,
) -> Dipole {
    let mut canvas = Canvas { dipole: [(); 3].map(|()| vec![0.0; samples]), hz };
    for beat in &timeline.beats {
        let turn = position.matrix(beat.r_s);
        canvas.beat(beat, shape, &turn);
    }
    for blocked in &timeline.blocked {
        let onset_s = blocked_p_onset_s(blocked, shape);
        canvas.wave(&shape.p, onset_s, 1.0, &position.matrix(blocked.r_s));
    }
    if let Some(wave) = &timeline.atrial {
        let still = Position { respiratory: 0.0, ..*position };
        let turn = still.matrix(0.0);
        for n in 0..samples {
            let v = wave.at(n as f64 / hz);
            for (axis, row) in turn.iter().enumerate() {
                canvas.dipole[axis][n] += row[0] * v[0] + row[1] * v[1] + row[2] * v[2];
            }
        }
    }
    canvas.dipole
}

/// Start of the P wave of a beat, in s.
pub(crate) fn p_onset_s(beat: &Planned, form: &Beatform) -> Option<f64> {
    beat.pr_ms.map(|pr| beat.r_s + (form.on_ms - pr) / 1000.0)
}

/// Start of a P wave that is not conducted, in s: that of the beat that would follow it.
pub(crate) fn blocked_p_onset_s(blocked: &Blocked, shape: &Shape) -> f64 {
    blocked.r_s + (shape.main.on_ms - blocked.pr_ms) / 1000.0
}

/// The form of a beat's QRS and T.
pub(crate) fn form_of<'a>(beat: &Planned, shape: &'a Shape) -> &'a Beatform {
    if beat.kind == BeatKind::PrematureVentricular { &shape.premature } else { &shape.main }
}

struct Canvas {
    dipole: Dipole,
    hz: f64,
}

impl Canvas {
    fn beat(&mut self, beat: &Planned, shape: &Shape, turn: &[[f64; 3]; 3]) {
        let form = form_of(beat, shape);
        if let Some(onset) = p_onset_s(beat, form) {
            let premature = beat.kind == BeatKind::PrematureAtrial;
            let kernels = if premature { &shape.premature_p } else { &shape.p };
            self.wave(kernels, onset, 1.0, turn);
        }
        self.wave(&form.qrs, beat.r_s, 1.0, turn);
        let stretch = waves::t_stretch(beat.qt_rr_s);
        self.wave(&form.t, beat.r_s + form.off_ms / 1000.0, stretch, turn);
        if beat.kind == BeatKind::Paced {
            self.spike(beat.r_s + form.on_ms / 1000.0, shape.spike);
        }
    }

    /// Adds Gaussians whose times, counted from `from_s`, are stretched by `stretch`.
    fn wave(&mut self, kernels: &[Kernel], from_s: f64, stretch: f64, turn: &[[f64; 3]; 3]) {
        for kernel in kernels {
            let weights = turn.map(|row| row[kernel.axis] * kernel.amp_mv);
            let centre = from_s + stretch * kernel.mu_ms / 1000.0;
            self.gaussian(centre, stretch * kernel.sigma_ms / 1000.0, weights);
        }
    }

    /// Adds a pacemaker spike as it passes the recorder's low-pass filter: at a low sampling rate it is wider and
    /// lower.
    fn spike(&mut self, at_s: f64, peak: [f64; 3]) {
        const WIDTH_S: f64 = 0.0012;
        let sigma = (WIDTH_S * WIDTH_S + 0.09 / (self.hz * self.hz)).sqrt();
        self.gaussian(at_s, sigma, peak.map(|mv| mv * WIDTH_S / sigma));
    }

    /// Adds `weights * exp(-(t - centre)^2 / (2 sigma^2))`.
    ///
    /// Starting at the sample next to the centre and moving outwards, each value follows from the previous one by two
    /// products: with `d = (t - centre) / sigma` and step `s`, `g(d + s) = g(d) r(d)` and `r(d + s) = r(d) exp(-s^2)`.
    fn gaussian(&mut self, centre_s: f64, sigma_s: f64, weights: [f64; 3]) {
        let samples = self.dipole[0].len();
        let (centre, sigma) = (centre_s * self.hz, sigma_s * self.hz);
        let first = (centre - REACH_SIGMAS * sigma).ceil().max(0.0);
        let last = (centre + REACH_SIGMAS * sigma).floor().min(samples as f64 - 1.0);
        if first > last {
            return;
        }
        let middle = centre.floor().clamp(first, last);
        let step = 1.0 / sigma;
        let shrink = libm::exp(-step * step);
        let d = (middle - centre) * step;
        let start = libm::exp(-0.5 * d * d);
        let (first, middle, last) = (first as usize, middle as usize, last as usize);

        let mut g = start;
        let mut ratio = libm::exp(-step * (d + 0.5 * step));
        for n in middle..=last {
            for (row, weight) in self.dipole.iter_mut().zip(weights) {
                row[n] += weight * g;
            }
            g *= ratio;
            ratio *= shrink;
        }
        ratio = libm::exp(step * (d - 0.5 * step));
        g = start * ratio;
        for n in (first..middle).rev() {
            for (row, weight) in self.dipole.iter_mut().zip(weights) {
                row[n] += weight * g;
            }
            ratio *= shrink;
            g *= ratio;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use crate::{Condition, Ectopy, Rhythm};

    #[test]
    fn p_waves_that_are_not_conducted_are_drawn() {
        let condition = Condition::new(Rhythm::SinusBradycardia).with_ectopy(Ectopy::Ventricular);
        let [mut rhythm, mut main, mut premature] =
            [Stream::Rhythm, Stream::Shape, Stream::Premature].map(|stream| Rng::new(1, 0, stream));
        let mut timeline = Timeline::draw(&condition, 10.0, 0.0, &mut rhythm);
        let shape = Shape::draw(&condition, 1.0, &mut main, &mut premature);
        let position = Position { frontal: 0.0, horizontal: 0.0, respiratory: 0.0, phase: 0.0 };
        let foot =
            |timeline: &Timeline| render(timeline, &shape, &position, 5000, 500.0)[1].clone();

        let with = foot(&timeline);
        let onset_s = blocked_p_onset_s(&timeline.blocked.remove(0), &shape);
        let without = foot(&timeline);
        let p: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with - without).collect();
        let peak = (0..p.len()).max_by(|a, b| p[*a].total_cmp(&p[*b])).expect("not empty");
        assert!((peak as f64 / 500.0 - onset_s - waves::P_LEAD_MS / 1000.0).abs() < 0.003);
        assert!((0.05..0.2).contains(&p[peak]), "{}", p[peak]);
        let far = |k: usize| (k as f64 / 500.0 - onset_s - 0.05).abs() > 0.15;
        assert!((0..p.len()).all(|k| !far(k) || p[k].abs() < 1e-12));
    }

    #[test]
    fn the_recurrence_is_the_gaussian() {
        for (centre, sigma) in [(0.5, 0.1), (0.2503, 0.005), (-0.05, 0.05), (1.02, 0.1), (3.0, 0.1)]
        {
            let mut canvas = Canvas { dipole: [(); 3].map(|()| vec![0.0; 500]), hz: 500.0 };
            canvas.gaussian(centre, sigma, [1.0, -2.0, 0.0]);
            for n in 0..500 {
                let d = (n as f64 / 500.0 - centre) / sigma;
                let expected = (-0.5 * d * d).exp();
                // The part cut off is below 3e-7; the recurrence itself is accurate to 1e-12.
                assert!((canvas.dipole[0][n] - expected).abs() < 3e-7, "{centre} {sigma} {n}");
                assert_eq!(canvas.dipole[1][n], -2.0 * canvas.dipole[0][n]);
                assert_eq!(canvas.dipole[2][n], 0.0);
            }
        }
    }

    #[test]
    fn rotations_keep_lengths() {
        let position = Position { frontal: 0.3, horizontal: -0.2, respiratory: 0.1, phase: 1.0 };
        let turn = position.matrix(0.7);
        for j in 0..3 {
            for k in 0..3 {
                let dot: f64 = turn.iter().map(|row| row[j] * row[k]).sum();
                assert!((dot - f64::from(u8::from(j == k))).abs() < 1e-15);
            }
        }
    }
}
