use ndarray::{Array2, ArrayView1};

use crate::dipole::Dipole;

/// Number of leads computed from the dipole; the other four follow from I and II.
pub(crate) const MEASURED: usize = 8;

/// Coefficients of X, Y and Z for I, II, V1 to V6 (Dower, Machado and Osborne 1980, Clin. Cardiol. 3:87;
/// printed there for a dipole in mV of the Frank leads).
const DOWER: [[f64; 3]; MEASURED] = [
    [0.632, -0.235, 0.059],
    [0.235, 1.066, -0.132],
    [-0.515, 0.157, -0.917],
    [0.044, 0.164, -1.387],
    [0.882, 0.098, -1.277],
    [1.213, 0.127, -0.601],
    [1.125, 0.127, -0.086],
    [0.831, 0.076, 0.230],
];

/// ADC units per mV: steps of 1 uV.
pub(crate) const GAIN_PER_MV: f64 = 1000.0;
/// Saturation level of the recorder in ADC units: 10 mV. Limb leads derived from saturated ones still fit into 16 bits.
const SATURATION: f64 = 10_000.0;

/// Computes I, II, V1 to V6 in mV from the dipole.
pub(crate) fn measured(dipole: &Dipole) -> [Vec<f64>; MEASURED] {
    let [x, y, z] = dipole;
    DOWER.map(|[cx, cy, cz]| {
        x.iter().zip(y).zip(z).map(|((x, y), z)| cx * x + cy * y + cz * z).collect()
    })
}

/// Derives all twelve leads `[lead, sample]` in mV from I, II, V1 to V6: III = II - I, aVR = -(I + II)/2, aVL = I -
/// II/2, aVF = II - I/2.
pub(crate) fn twelve(measured: &[Vec<f64>; MEASURED]) -> Array2<f64> {
    let samples = measured[0].len();
    let mut out = Array2::zeros((12, samples));
    for n in 0..samples {
        let (one, two) = (measured[0][n], measured[1][n]);
        let limb = [one, two, two - one, -(one + two) / 2.0, one - two / 2.0, two - one / 2.0];
        for (lead, value) in limb.into_iter().enumerate() {
            out[[lead, n]] = value;
        }
    }
    for (lead, row) in measured[2..].iter().enumerate() {
        out.row_mut(6 + lead).assign(&ArrayView1::from(row));
    }
    out
}

/// Digitises the twelve leads `[lead, sample]` to integers of 1 uV.
///
/// I, II and V1 to V6 are rounded, and III = II - I holds exactly. Of aVR, aVL and aVF, either none or two end in a
/// half. aVL is rounded down, aVF is rounded up, and aVR = -(aVL + aVF), so each is within half a unit of its
/// definition and their sum is 0.
pub(crate) fn digitise(measured: &[Vec<f64>; MEASURED]) -> Array2<i32> {
    let unit = |mv: f64| (mv * GAIN_PER_MV).round().clamp(-SATURATION, SATURATION) as i32;
    let samples = measured[0].len();
    let mut out = Array2::zeros((12, samples));
    for n in 0..samples {
        let (one, two) = (unit(measured[0][n]), unit(measured[1][n]));
        let avl = (2 * one - two).div_euclid(2);
        let avf = -(one - 2 * two).div_euclid(2);
        let limb = [one, two, two - one, -(avl + avf), avl, avf];
        for (lead, value) in limb.into_iter().enumerate() {
            out[[lead, n]] = value;
        }
        for (lead, row) in measured[2..].iter().enumerate() {
            out[[6 + lead, n]] = unit(row[n]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limb_leads_hold_in_integers() {
        let mut measured: [Vec<f64>; MEASURED] = Default::default();
        for one in -4..5 {
            for two in -4..5 {
                measured[0].push(f64::from(one) / 1000.0);
                measured[1].push(f64::from(two) / 1000.0);
            }
        }
        let samples = measured[0].len();
        measured[2..].fill(vec![99.0; samples]);
        let out = digitise(&measured);
        for v in out.columns() {
            let (one, two) = (v[0], v[1]);
            assert_eq!(v[2], two - one);
            assert_eq!(v[3] + v[4] + v[5], 0);
            assert!((2 * v[3] + one + two).abs() <= 1);
            assert!((2 * v[4] - 2 * one + two).abs() <= 1);
            assert!((2 * v[5] - 2 * two + one).abs() <= 1);
            assert_eq!(v[6], 10_000);
        }
    }
}
