//! The waves as sums of Gaussians of the heart's dipole.
//!
//! The normal QRS and T rows follow Sameni et al. 2007 (doi 10.1155/2007/43407), converted from phase in the cycle to
//! time. The rows for the P wave, the blocks, incomplete block, pacing and ectopic beats are fits made for this
//! project, checked against the criteria of AHA/ACCF/HRS 2009; they are not published tables.

use crate::{Condition, Conduction, Rhythm};

/// `(mu, a, sigma)`: centre in ms, amplitude in mV, width in ms.
pub(crate) type Gaussian = (f64, f64, f64);

/// The Gaussians of X (left), Y (foot) and Z (back).
pub(crate) type Axes = [&'static [Gaussian]; 3];

/// The QRS and T wave of one kind of beat, centres in ms from R.
#[derive(Debug)]
pub(crate) struct Complex {
    pub(crate) qrs: Axes,
    pub(crate) t: Axes,
    /// Start of the QRS, ms from R.
    pub(crate) on_ms: f64,
    /// End of the QRS, ms from R.
    pub(crate) off_ms: f64,
}

impl Complex {
    /// Returns the table of all beats except premature ones.
    pub(crate) fn of(condition: &Condition) -> &'static Self {
        match (condition.rhythm, condition.conduction) {
            (Rhythm::Paced, _) => &PACED,
            (_, Conduction::Normal) => &NORMAL,
            (_, Conduction::LeftBundleBranchBlock) => &LBBB,
            (_, Conduction::RightBundleBranchBlock) => &RBBB,
            (_, Conduction::IncompleteRightBundleBranchBlock) => &INCOMPLETE_RBBB,
        }
    }

    /// Returns the shortest interval from R to the next R in s.
    ///
    /// At this interval a QRS of the widest form starts at the peak of the preceding T wave, which is adapted to an RR
    /// interval of `rr_s`. The last Gaussian of the T wave on the X axis (left) is its highest.
    pub(crate) fn refractory_s(&self, rr_s: f64) -> f64 {
        let (t_peak_ms, ..) = self.t[0][self.t[0].len() - 1];
        let qrs_ms = WIDEST * (self.off_ms - self.on_ms);
        (qrs_ms + (t_peak_ms - self.off_ms) * t_stretch(rr_s)) / 1000.0
    }
}

/// Largest factor on the times of the QRS.
pub(crate) const WIDEST: f64 = 1.05;

/// Factor on the times of the T wave, counted from the end of the QRS, for an RR interval of `rr_s`: 1 at 1.111 s.
pub(crate) fn t_stretch(rr_s: f64) -> f64 {
    libm::cbrt(rr_s / 1.111)
}

/// Time from the start of the P wave to the point from which the centres in [`P`] are counted, in ms.
pub(crate) const P_LEAD_MS: f64 = 48.0;

/// P wave, centres in ms from `QRS onset - PR + P_LEAD_MS`.
pub(crate) const P: Axes =
    [&[(2.0, 0.055, 22.0)], &[(0.0, 0.10, 21.0)], &[(-12.0, -0.05, 15.0), (15.0, 0.04, 15.0)]];

/// P wave of a focus low in the right atrium, the origin of premature beats: flat or negative in II, III, aVF.
pub(crate) const P_ECTOPIC: Axes =
    [&[(0.0, 0.05, 17.0)], &[(0.0, -0.07, 16.0)], &[(0.0, -0.06, 15.0)]];

pub(crate) const NORMAL: Complex = Complex {
    qrs: [
        &[
            (-33.6, -0.13, 8.0),
            (-12.4, 0.85, 6.7),
            (0.0, 1.11, 5.9),
            (10.6, 0.75, 5.3),
            (38.9, 0.06, 6.7),
        ],
        &[(-19.5, 0.32, 9.7), (-1.8, 0.51, 6.5), (11.5, -0.32, 10.7)],
        &[(-26.5, -0.40, 8.0), (16.8, 0.46, 8.8)],
    ],
    t: [
        &[(212.0, 0.06, 107.0), (251.0, 0.10, 53.0), (297.0, 0.23, 32.0)],
        &[(142.0, 0.024, 80.0), (279.0, 0.048, 53.0)],
        &[(186.0, -0.07, 142.0), (221.0, -0.12, 71.0), (274.0, -0.21, 35.0)],
    ],
    on_ms: -51.0,
    off_ms: 51.0,
};

pub(crate) const LBBB: Complex = Complex {
    qrs: [
        &[(-8.0, 0.50, 18.0), (54.0, 0.66, 21.0)],
        &[(-12.0, 0.22, 14.0), (28.0, 0.10, 18.0), (62.0, -0.06, 16.0)],
        &[(-34.0, -0.14, 8.0), (4.0, 0.42, 17.0), (40.0, 0.80, 20.0), (72.0, 0.30, 14.0)],
    ],
    t: [
        &[(285.0, -0.08, 70.0), (325.0, -0.20, 40.0)],
        &[(320.0, -0.03, 45.0)],
        &[(240.0, -0.08, 70.0), (310.0, -0.30, 48.0)],
    ],
    on_ms: -53.0,
    off_ms: 105.0,
};

pub(crate) const RBBB: Complex = Complex {
    qrs: [
        &[
            (-33.6, -0.13, 8.0),
            (-12.4, 0.85, 6.7),
            (0.0, 1.11, 5.9),
            (10.6, 0.75, 5.3),
            (38.9, 0.06, 6.7),
            (56.0, -0.34, 15.0),
            (78.0, -0.20, 13.0),
        ],
        &[(-19.5, 0.32, 9.7), (-1.8, 0.51, 6.5), (11.5, -0.32, 10.7), (60.0, 0.10, 16.0)],
        &[(-26.5, -0.40, 8.0), (14.0, 0.34, 9.0), (52.0, -0.52, 14.0), (75.0, -0.28, 12.0)],
    ],
    t: [
        &[(225.0, 0.06, 90.0), (262.0, 0.08, 50.0), (305.0, 0.20, 32.0)],
        NORMAL.t[1],
        &[(230.0, 0.05, 90.0), (285.0, 0.16, 42.0)],
    ],
    on_ms: -51.0,
    off_ms: 105.0,
};

/// Incomplete right bundle branch block: a small late vector to the right and front, QRS 100 to 119 ms.
pub(crate) const INCOMPLETE_RBBB: Complex = Complex {
    qrs: [
        &[
            (-33.6, -0.13, 8.0),
            (-12.4, 0.85, 6.7),
            (0.0, 1.11, 5.9),
            (10.6, 0.75, 5.3),
            (39.0, -0.24, 8.5),
        ],
        &[(-19.5, 0.32, 9.7), (-1.8, 0.51, 6.5), (11.5, -0.32, 10.7), (40.0, 0.05, 9.0)],
        &[(-26.5, -0.40, 8.0), (13.0, 0.46, 8.5), (38.0, -0.42, 8.5)],
    ],
    t: NORMAL.t,
    on_ms: -51.0,
    off_ms: 64.0,
};

/// Beat paced from the apex of the right ventricle: wide, directed upwards and back, with an opposite T wave.
pub(crate) const PACED: Complex = Complex {
    qrs: [
        &[(-10.0, 0.35, 20.0), (50.0, 0.40, 24.0)],
        &[(-14.0, -0.40, 18.0), (34.0, -0.80, 24.0), (70.0, -0.30, 18.0)],
        &[(0.0, 0.40, 18.0), (42.0, 0.75, 22.0), (76.0, 0.25, 15.0)],
    ],
    t: [
        &[(290.0, -0.06, 70.0), (325.0, -0.12, 42.0)],
        &[(285.0, 0.08, 70.0), (320.0, 0.22, 45.0)],
        &[(245.0, -0.08, 70.0), (310.0, -0.28, 48.0)],
    ],
    on_ms: -60.0,
    off_ms: 112.0,
};

/// Premature beat from the outflow tract of the right ventricle: left block pattern, directed downwards, broad in all
/// leads.
pub(crate) const VENTRICULAR: Complex = Complex {
    qrs: [LBBB.qrs[0], &[(-10.0, 0.35, 20.0), (30.0, 0.60, 24.0), (62.0, 0.20, 18.0)], LBBB.qrs[2]],
    t: [LBBB.t[0], &[(285.0, -0.06, 70.0), (320.0, -0.20, 45.0)], LBBB.t[2]],
    on_ms: -56.0,
    off_ms: 108.0,
};

/// Factors on X, Y and Z of [`VENTRICULAR`]. The first set keeps its direction, a little more to the back; the second
/// reverses it, for a beat from the left ventricle (right block pattern, directed upwards).
pub(crate) const VENTRICULAR_FROM: [[f64; 3]; 2] = [[0.7, 1.2, 1.3], [-0.6, -1.1, -1.1]];
