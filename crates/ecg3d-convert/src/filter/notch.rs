use std::f64::consts::PI;

use super::sos::Sos;
use crate::ConvertError;

/// Designs a filter that removes one frequency, such as mains hum.
///
/// The filter is one section with a zero at that frequency, and -3 dB at the ends of a band of `hz / quality` around
/// it. It equals `scipy.signal.iirnotch(hz, quality, fs=rate_hz)`. Source: Orfanidis, Introduction to Signal
/// Processing, section 11.3.
///
/// ```
/// use ecg3d_convert::notch;
///
/// let filter = notch(50.0, 30.0, 500.0)?;
/// let mut hum: Vec<f64> =
///     (0..5000).map(|t| (std::f64::consts::TAU * 50.0 * t as f64 / 500.0).sin()).collect();
/// filter.filter(&mut hum, &mut filter.rest())?;
/// assert!(hum[4000..].iter().all(|value| value.abs() < 1e-9));
/// # Ok::<(), ecg3d_convert::ConvertError>(())
/// ```
///
/// # Errors
/// Returns an error if:
/// - the sampling rate or the quality is not a positive number;
/// - the frequency is not above 0 and below half the sampling rate;
/// - the band is half the sampling rate or wider;
/// - the band is so narrow, or so near 0 Hz, that rounding makes the filter unstable.
pub fn notch(hz: f64, quality: f64, rate_hz: f64) -> Result<Sos, ConvertError> {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    if !positive(rate_hz) {
        return Err(ConvertError::config("the sampling rate", rate_hz, "a positive number of Hz"));
    }
    if !positive(quality) {
        return Err(ConvertError::config("the notch quality", quality, "a positive number"));
    }
    if !(hz > 0.0 && hz < rate_hz / 2.0) {
        return Err(ConvertError::config(
            "the notch frequency in Hz",
            format_args!("{hz} at {rate_hz} Hz"),
            "above 0 and below half the sampling rate",
        ));
    }
    let band_hz = hz / quality;
    if band_hz >= rate_hz / 2.0 {
        return Err(ConvertError::config(
            "the notch bandwidth in Hz",
            format_args!("{band_hz} at {rate_hz} Hz"),
            "below half the sampling rate",
        ));
    }
    let angle = 2.0 * PI * hz / rate_hz;
    let gain = 1.0 / (1.0 + (angle / quality / 2.0).tan());
    let middle = -2.0 * gain * angle.cos();
    let last = 2.0 * gain - 1.0;
    // Both poles must lie within the unit circle.
    if !(last.abs() < 1.0 && middle.abs() < 1.0 + last) {
        return Err(ConvertError::config(
            "the notch bandwidth in Hz",
            format_args!("{band_hz} around {hz} at {rate_hz} Hz"),
            "one for which the filter stays stable after rounding",
        ));
    }
    Sos::new(&[[gain, middle, gain, 1.0, middle, last]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (hz, quality, rate) in [
            (0.0, 30.0, 500.0),
            (250.0, 30.0, 500.0),
            (f64::NAN, 30.0, 500.0),
            (50.0, 0.0, 500.0),
            (50.0, f64::INFINITY, 500.0),
            (50.0, 30.0, -1.0),
            // Poles outside the unit circle, or on it to the last bit.
            (150.0, 0.5, 500.0),
            (50.0, 0.2, 500.0),
            (50.0, 0.05, 500.0),
            (50.0, 1e17, 500.0),
            (1e-8, 30.0, 500.0),
        ] {
            assert!(notch(hz, quality, rate).is_err(), "{hz} {quality} {rate}");
        }
        for (hz, quality) in [(50.0, 0.201), (249.9, 1.0), (0.01, 30.0), (50.0, 1e6)] {
            let notch = notch(hz, quality, 500.0).expect("a stable filter");
            let mut impulse = vec![0.0; 5000];
            impulse[0] = 1.0;
            notch.filter(&mut impulse, &mut notch.rest()).expect("its own state");
            assert!(impulse.iter().all(|value| value.abs() <= 1.0), "{hz} {quality}");
        }
    }
}
