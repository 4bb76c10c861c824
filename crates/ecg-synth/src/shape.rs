use crate::rng::Rng;
use crate::waves::{self, Axes, Complex};
use crate::{Condition, Conduction};

/// One Gaussian on one axis of the dipole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Kernel {
    /// The axis: 0 = X, 1 = Y, 2 = Z.
    pub(crate) axis: usize,
    pub(crate) mu_ms: f64,
    pub(crate) amp_mv: f64,
    pub(crate) sigma_ms: f64,
}

/// The QRS and T wave of one kind of beat, as drawn for this recording.
#[derive(Debug, PartialEq)]
pub(crate) struct Beatform {
    /// Gaussians of the QRS; centres in ms from R.
    pub(crate) qrs: Vec<Kernel>,
    /// Gaussians of the T wave; centres in ms from the end of the QRS.
    pub(crate) t: Vec<Kernel>,
    /// Start of the QRS in ms from R.
    pub(crate) on_ms: f64,
    /// End of the QRS in ms from R.
    pub(crate) off_ms: f64,
}

/// The waves of one recording.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Gaussians of the P wave; centres in ms from its onset.
    pub(crate) p: Vec<Kernel>,
    /// The same for premature atrial beats.
    pub(crate) premature_p: Vec<Kernel>,
    pub(crate) main: Beatform,
    pub(crate) premature: Beatform,
    /// Dipole of the pacemaker spike, mV.
    pub(crate) spike: [f64; 3],
}

/// How a wave table is adapted to a recording.
struct Fit {
    /// Factor on the voltage of the QRS and T wave along each axis.
    gain: [f64; 3],
    /// Additional factor on the parts of the QRS that point to the left, foot and back.
    growth: [f64; 3],
    /// Additional factor on the T wave along each axis.
    t_gain: [f64; 3],
    /// Factor on the times of the QRS.
    time: f64,
}

/// Varies each Gaussian independently: its height by a lognormal factor (standard deviation 0.08 of the logarithm), its
/// width by +-8 %. `gain` gives the factor on an amplitude of the table, by its axis.
fn vary(
    axes: &Axes,
    gain: impl Fn(usize, f64) -> f64,
    time: f64,
    from_ms: f64,
    rng: &mut Rng,
) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for (axis, row) in axes.iter().enumerate() {
        for &(mu, a, sigma) in *row {
            kernels.push(Kernel {
                axis,
                mu_ms: (mu - from_ms) * time,
                amp_mv: a * gain(axis, a) * rng.lognormal(0.08),
                sigma_ms: sigma * time * rng.within(0.92, 1.08),
            });
        }
    }
    kernels
}

fn fit(table: &Complex, fit: &Fit, rng: &mut Rng) -> Beatform {
    let qrs_gain = |axis: usize, amplitude: f64| {
        if amplitude > 0.0 { fit.gain[axis] * fit.growth[axis] } else { fit.gain[axis] }
    };
    let t_gain = |axis: usize, _: f64| fit.gain[axis] * fit.t_gain[axis];
    Beatform {
        qrs: vary(&table.qrs, qrs_gain, fit.time, 0.0, rng),
        t: vary(&table.t, t_gain, 1.0, table.off_ms, rng),
        on_ms: table.on_ms * fit.time,
        off_ms: table.off_ms * fit.time,
    }
}

impl Shape {
    /// Draws the waves; `voltage` is the patient's factor, applied to all of them.
    ///
    /// How many numbers the main waves take depends on the condition, so those of premature beats are drawn from
    /// `premature_rng`.
    pub(crate) fn draw(
        condition: &Condition,
        voltage: f64,
        rng: &mut Rng,
        premature_rng: &mut Rng,
    ) -> Self {
        // Everything is drawn regardless of the condition, so that two conditions of the same record share their
        // patient.
        let t_gain = rng.within(0.5, 1.0);
        let block_time = rng.within(0.80, waves::WIDEST);
        let narrow_time = rng.within(0.82, 1.02);
        let incomplete_time = rng.within(0.92, 1.0);
        let left_block_gain = rng.within(1.0, 2.0);
        let [to_left, to_back] = [rng.within(1.5, 1.9), rng.within(1.6, 2.1)];
        let strain = rng.chance(0.6);
        let side = rng.below(2);
        let premature_gain = rng.within(1.3, 1.8);
        let premature_time = rng.within(0.95, 1.10);
        let spike = rng.within(0.3, 1.2);

        let mut main = Fit { gain: [voltage; 3], growth: [1.0; 3], t_gain: [t_gain; 3], time: 1.0 };
        if condition.left_ventricular_hypertrophy {
            // The septum and the right ventricle, which point to the right and to the front, do not grow.
            main.growth = [to_left, 1.0, to_back];
            // Repolarisation does not grow either, and under strain it points away from the QRS.
            let lateral = if strain { -0.5 } else { 1.0 };
            main.t_gain[0] *= lateral;
        }
        if condition.conduction == Conduction::LeftBundleBranchBlock {
            main.gain = [voltage * left_block_gain; 3];
        }
        let table = Complex::of(condition);
        main.time = match table.off_ms - table.on_ms {
            wide if wide > 120.0 => block_time,
            narrow if narrow < 105.0 => narrow_time,
            _ => incomplete_time,
        };
        let premature = Fit {
            gain: waves::VENTRICULAR_FROM[side].map(|factor| factor * voltage * premature_gain),
            growth: [1.0; 3],
            t_gain: [1.0; 3],
            time: premature_time,
        };
        let p_gain = voltage * rng.lognormal(0.15);
        let p_gain = |_: usize, _: f64| p_gain;
        Self {
            p: vary(&waves::P, p_gain, 1.0, -waves::P_LEAD_MS, rng),
            main: fit(table, &main, rng),
            premature_p: vary(&waves::P_ECTOPIC, p_gain, 1.0, -waves::P_LEAD_MS, premature_rng),
            premature: fit(&waves::VENTRICULAR, &premature, premature_rng),
            spike: [0.35, 0.8, -0.45].map(|weight| weight * spike),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rhythm;
    use crate::rng::Stream;

    #[test]
    fn premature_beats_look_the_same_whatever_the_conduction() {
        let draw = |conduction| {
            let condition = Condition::new(Rhythm::NormalSinus).with_conduction(conduction);
            let [mut rng, mut premature] =
                [Stream::Shape, Stream::Premature].map(|stream| Rng::new(1, 5, stream));
            Shape::draw(&condition, 1.0, &mut rng, &mut premature)
        };
        let [narrow, wide] = [Conduction::Normal, Conduction::RightBundleBranchBlock].map(draw);
        assert_ne!(narrow.main, wide.main);
        assert_eq!(narrow.p, wide.p);
        assert_eq!(narrow.premature_p, wide.premature_p);
        assert_eq!(narrow.premature, wide.premature);
    }
}
