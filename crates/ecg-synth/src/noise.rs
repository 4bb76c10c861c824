use core::f64::consts::TAU;

use ecg_core::Lead;
use serde::{Deserialize, Serialize};

use crate::leads::MEASURED;
use crate::rng::Rng;
use crate::{Condition, Quality};

/// An electrode of the 12-lead recording, excluding the neutral one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Electrode {
    RightArm,
    LeftArm,
    LeftLeg,
    V1,
    V2,
    V3,
    V4,
    V5,
    V6,
}

impl Electrode {
    const ALL: [Electrode; 9] = {
        use Electrode::*;
        [RightArm, LeftArm, LeftLeg, V1, V2, V3, V4, V5, V6]
    };
}

/// Leads that may be flat. Only measured leads are among them, so that the derived ones stay consistent.
const MAY_BE_FLAT: [Lead; MEASURED] =
    [Lead::I, Lead::II, Lead::V1, Lead::V2, Lead::V3, Lead::V4, Lead::V5, Lead::V6];

/// A sine and a cosine of one frequency, with weights in mV for each electrode.
#[derive(Debug)]
struct Hum {
    hz: f64,
    weights: [[f64; 2]; 9],
}

impl Hum {
    /// Draws weights for an amplitude of about `amplitude_mv` in a lead, which is the difference of two electrodes.
    fn draw(hz: f64, amplitude_mv: f64, rng: &mut Rng) -> Self {
        let weights = [(); 9]
            .map(|()| [rng.normal(0.0, 0.5), rng.normal(0.0, 0.5)].map(|w| w * amplitude_mv));
        Self { hz, weights }
    }
}

/// The disturbances of a recording, electrode by electrode, so that the leads stay consistent with one another.
#[derive(Debug)]
pub(crate) struct Noise {
    wander: [Hum; 2],
    mains: Hum,
    emg_mv: [f64; 9],
    pub(crate) poor_electrode: Option<Electrode>,
    pub(crate) flat_lead: Option<Lead>,
}

impl Noise {
    /// Draws wander of 0.05 to 0.15 mV at 0.15 to 0.4 Hz (and a weaker, slower one), mains hum of 5 to 20 uV at 50 or
    /// 60 Hz, and muscle noise of 10 to 25 uV rms.
    pub(crate) fn draw(condition: &Condition, rng: &mut Rng) -> Self {
        let wander_mv = rng.within(0.05, 0.15);
        let wander_hz = rng.within(0.15, 0.40);
        let mut wander = [
            Hum::draw(wander_hz, wander_mv, rng),
            Hum::draw(wander_hz * rng.within(0.3, 0.5), 0.5 * wander_mv, rng),
        ];
        let mains_hz = if rng.chance(0.5) { 50.0 } else { 60.0 };
        let mains_mv = rng.within(0.005, 0.020);
        let mains = Hum::draw(mains_hz, mains_mv, rng);
        // The noise of two electrodes adds up in a lead.
        let rms = rng.within(0.010, 0.025) / core::f64::consts::SQRT_2;
        let mut emg_mv = [(); 9].map(|()| rms * rng.within(0.8, 1.2));

        let electrode = rng.below(9);
        let (more_emg, more_wander) = (rng.within(5.0, 10.0), rng.within(2.0, 4.0));
        let poor = condition.quality == Quality::PoorElectrode;
        if poor {
            emg_mv[electrode] *= more_emg;
            for hum in &mut wander {
                hum.weights[electrode] = hum.weights[electrode].map(|w| w * more_wander);
            }
        }
        let flat = MAY_BE_FLAT[rng.below(MEASURED)];
        Self {
            wander,
            mains,
            emg_mv,
            poor_electrode: poor.then_some(Electrode::ALL[electrode]),
            flat_lead: (condition.quality == Quality::FlatLead).then_some(flat),
        }
    }

    /// Adds the disturbances to I, II, V1 to V6 in mV, sampled at `hz`.
    ///
    /// Mains hum that the sampling rate cannot represent is left out, as a recorder's low-pass filter would remove it.
    pub(crate) fn disturb(&self, leads: &mut [Vec<f64>; MEASURED], hz: f64, rng: &mut Rng) {
        let hums: Vec<&Hum> =
            self.wander.iter().chain([&self.mains]).filter(|hum| hum.hz < 0.45 * hz).collect();
        for n in 0..leads[0].len() {
            let t = n as f64 / hz;
            let mut electrodes = self.emg_mv.map(|rms| rms * rng.quick_normal());
            for hum in &hums {
                let (sin, cos) = libm::sincos(TAU * hum.hz * t);
                for (mv, [s, c]) in electrodes.iter_mut().zip(hum.weights) {
                    *mv += s * sin + c * cos;
                }
            }
            let [right, left, foot, chest @ ..] = electrodes;
            leads[0][n] += left - right;
            leads[1][n] += foot - right;
            let terminal = (right + left + foot) / 3.0;
            for (row, mv) in leads[2..].iter_mut().zip(chest) {
                row[n] += mv - terminal;
            }
        }
        if let Some(flat) = self.flat_lead {
            for (row, _) in leads.iter_mut().zip(MAY_BE_FLAT).filter(|(_, lead)| *lead == flat) {
                row.fill(0.0);
            }
        }
    }
}
