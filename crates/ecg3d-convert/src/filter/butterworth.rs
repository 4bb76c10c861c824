use std::f64::consts::PI;

use rustfft::num_complex::Complex64;

use super::pairing::{Zpk, sections};
use super::sos::Sos;
use crate::ConvertError;

/// The frequencies that a filter passes, given by its corner frequencies (-3 dB) in Hz.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Band {
    /// Frequencies below a corner.
    Low(f64),
    /// Frequencies above a corner.
    High(f64),
    /// Frequencies between two corners.
    Pass(f64, f64),
    /// All frequencies except those between two corners.
    Stop(f64, f64),
}

impl Band {
    /// Returns the corner frequencies as fractions of the sampling rate.
    fn corners(self, rate_hz: f64) -> Result<(f64, f64), ConvertError> {
        let inside = |hz: f64| hz > 0.0 && hz < rate_hz / 2.0;
        let (low, high) = match self {
            Self::Low(hz) | Self::High(hz) => (hz, hz),
            Self::Pass(low, high) | Self::Stop(low, high) => (low, high),
        };
        let two = matches!(self, Self::Pass(..) | Self::Stop(..));
        if !(inside(low) && inside(high)) || (two && low >= high) {
            return Err(ConvertError::config(
                "the corner frequency in Hz",
                format_args!("{self:?} at {rate_hz} Hz"),
                "increasing frequencies above 0 and below half the sampling rate",
            ));
        }
        Ok((low / rate_hz, high / rate_hz))
    }
}

/// Designs a digital Butterworth filter by the bilinear transform with pre-warped corner frequencies.
///
/// `order` is the order of the low-pass prototype; band-pass and band-stop filters have twice as many poles. The
/// sections have the order and pairing of `scipy.signal.butter(order, ..., output="sos")`: the pair nearest the unit
/// circle comes last. Source: Oppenheim and Schafer, Discrete-Time Signal Processing, chapter 7.
///
/// # Errors
/// Returns an error if the order is 0 or above 32, or if the corner frequencies are not rising, above 0 and below half
/// the sampling rate.
pub fn butterworth(order: usize, band: Band, rate_hz: f64) -> Result<Sos, ConvertError> {
    if !(1..=32).contains(&order) {
        return Err(ConvertError::config("the filter order", order, "1 to 32"));
    }
    if !(rate_hz.is_finite() && rate_hz > 0.0) {
        return Err(ConvertError::config("the sampling rate", rate_hz, "a positive number of Hz"));
    }
    let (low, high) = band.corners(rate_hz)?;
    // The analogue prototype is mapped at a sampling rate of 2; in units of that rate, tan gives the warped frequency.
    let warp = |share: f64| 4.0 * (PI * share).tan();
    let analogue = match band {
        Band::Low(_) => prototype(order).low_pass(warp(low)),
        Band::High(_) => prototype(order).high_pass(warp(low)),
        Band::Pass(..) | Band::Stop(..) => {
            let (low, high) = (warp(low), warp(high));
            let (centre, width) = ((low * high).sqrt(), high - low);
            if matches!(band, Band::Pass(..)) {
                prototype(order).band_pass(centre, width)
            } else {
                prototype(order).band_stop(centre, width)
            }
        }
    };
    Ok(sections(analogue.bilinear()))
}

/// The analogue low-pass with its corner at 1 rad/s. Its poles are spread evenly over the left half of the unit circle.
fn prototype(order: usize) -> Zpk {
    let poles = (0..order)
        .map(|k| {
            let m = 2.0 * k as f64 - (order as f64 - 1.0);
            -Complex64::new(0.0, PI * m / (2.0 * order as f64)).exp()
        })
        .map(|pole| {
            // The middle pole of an odd order is real; its rounding error would make it look complex.
            if pole.im.abs() < 1e-15 { Complex64::new(pole.re, 0.0) } else { pole }
        })
        .collect();
    Zpk { zeros: Vec::new(), poles, gain: 1.0 }
}

fn product(values: impl Iterator<Item = Complex64>) -> Complex64 {
    values.fold(Complex64::new(1.0, 0.0), |all, value| all * value)
}

impl Zpk {
    fn degree(&self) -> usize {
        self.poles.len() - self.zeros.len()
    }

    fn low_pass(mut self, corner: f64) -> Self {
        self.gain *= corner.powi(self.degree() as i32);
        self.poles.iter_mut().for_each(|pole| *pole *= corner);
        self
    }

    fn high_pass(self, corner: f64) -> Self {
        let gain = self.gain / product(self.poles.iter().map(|pole| -pole)).re;
        Zpk {
            zeros: vec![Complex64::default(); self.degree()],
            poles: self.poles.iter().map(|pole| corner / pole).collect(),
            gain,
        }
    }

    fn band_pass(self, centre: f64, width: f64) -> Self {
        let degree = self.degree();
        let scaled: Vec<_> = self.poles.iter().map(|pole| pole * (width / 2.0)).collect();
        Zpk {
            zeros: vec![Complex64::default(); degree],
            poles: split(&scaled, centre),
            gain: self.gain * width.powi(degree as i32),
        }
    }

    fn band_stop(self, centre: f64, width: f64) -> Self {
        let gain = self.gain / product(self.poles.iter().map(|pole| -pole)).re;
        let inverted: Vec<_> = self.poles.iter().map(|pole| (width / 2.0) / pole).collect();
        let mut zeros = vec![Complex64::new(0.0, centre); self.degree()];
        zeros.extend(vec![Complex64::new(0.0, -centre); self.degree()]);
        Zpk { zeros, poles: split(&inverted, centre), gain }
    }

    /// s = 4 (z - 1) / (z + 1), the bilinear transform at a sampling rate of 2.
    fn bilinear(self) -> Self {
        let map = |s: &Complex64| (4.0 + s) / (4.0 - s);
        let ratio = product(self.zeros.iter().map(|zero| 4.0 - zero))
            / product(self.poles.iter().map(|pole| 4.0 - pole));
        let mut zeros: Vec<_> = self.zeros.iter().map(map).collect();
        zeros.extend(vec![Complex64::new(-1.0, 0.0); self.degree()]);
        Zpk { zeros, poles: self.poles.iter().map(map).collect(), gain: self.gain * ratio.re }
    }
}

/// Turns each pole into two, around `centre` and its mirror image.
fn split(poles: &[Complex64], centre: f64) -> Vec<Complex64> {
    let root = |pole: &Complex64| (pole * pole - centre * centre).sqrt();
    let upper = poles.iter().map(|pole| pole + root(pole));
    upper.chain(poles.iter().map(|pole| pole - root(pole))).collect()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    #[test]
    fn published_high_pass() {
        let sos = butterworth(1, Band::High(0.5), 50.0).expect("a design");
        let expected =
            [0.9695312529087462, -0.9695312529087462, 0.0, 1.0, -0.9390625058174923, 0.0];
        for (own, wanted) in sos.sections()[0].iter().zip(expected) {
            // A few rounding errors of the tangent.
            assert_relative_eq!(*own, wanted, max_relative = 4e-15);
        }
    }

    #[test]
    fn corners_must_lie_below_half_the_rate() {
        for band in [
            Band::High(0.0),
            Band::Low(25.0),
            Band::Pass(10.0, 5.0),
            Band::Stop(1.0, 30.0),
            Band::High(f64::NAN),
        ] {
            assert!(butterworth(1, band, 50.0).is_err(), "{band:?}");
        }
        assert!(butterworth(0, Band::High(1.0), 50.0).is_err());
    }
}
