//! The types that signals are read into: stored integers or physical values.

use crate::{Format, SignalSpec};

/// A type that signals can be read into.
///
/// `i16` and `i32` give values as stored: codes of invalid samples are kept, and skew is not corrected. `f32` and `f64`
/// give physical values, (stored value - baseline) / gain: NaN where there is no valid sample, and skew corrected.
pub trait Sample: Value {}

impl Sample for i16 {}
impl Sample for i32 {}
impl Sample for f32 {}
impl Sample for f64 {}

/// The operations behind [`Sample`]; not to be implemented elsewhere.
pub trait Value: Copy + Default + Send + Sync + std::fmt::Debug + 'static {
    /// Whether the values are physical.
    const PHYSICAL: bool;
    /// Whether the values have 16 bits.
    const NARROW: bool;
    /// The value of samples that are not stored.
    const MISSING: Self;

    /// Converts a stored value.
    fn convert(stored: i32, calibration: &Calibration) -> Self;

    /// Converts a physical value; only for physical types.
    fn physical(_: f64) -> Self {
        Self::MISSING
    }

    /// Returns the buffer itself if it holds 16-bit stored values.
    fn as_i16(_: &mut [Self]) -> Option<&mut [i16]> {
        None
    }

    /// Returns the buffer itself if it holds 32-bit stored values.
    fn as_i32(_: &mut [Self]) -> Option<&mut [i32]> {
        None
    }
}

impl Value for i16 {
    const PHYSICAL: bool = false;
    const NARROW: bool = true;
    const MISSING: Self = i16::MIN;

    #[inline]
    fn convert(stored: i32, _: &Calibration) -> Self {
        // Formats that may hold wider values were rejected before.
        stored as i16
    }

    fn as_i16(buffer: &mut [Self]) -> Option<&mut [i16]> {
        Some(buffer)
    }
}

impl Value for i32 {
    const PHYSICAL: bool = false;
    const NARROW: bool = false;
    const MISSING: Self = -32768;

    #[inline]
    fn convert(stored: i32, _: &Calibration) -> Self {
        stored
    }

    fn as_i32(buffer: &mut [Self]) -> Option<&mut [i32]> {
        Some(buffer)
    }
}

impl Value for f64 {
    const PHYSICAL: bool = true;
    const NARROW: bool = false;
    const MISSING: Self = f64::NAN;

    #[inline]
    fn convert(stored: i32, calibration: &Calibration) -> Self {
        let stored = f64::from(stored);
        if stored == calibration.invalid {
            f64::NAN
        } else {
            (stored - calibration.baseline) / calibration.gain
        }
    }

    fn physical(value: f64) -> Self {
        value
    }
}

impl Value for f32 {
    const PHYSICAL: bool = true;
    const NARROW: bool = false;
    const MISSING: Self = f32::NAN;

    #[inline]
    fn convert(stored: i32, calibration: &Calibration) -> Self {
        // Rounded once, from the exact value in double precision.
        f64::convert(stored, calibration) as f32
    }

    fn physical(value: f64) -> Self {
        value as f32
    }
}

/// Conversion of stored values to physical values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    gain: f64,
    baseline: f64,
    /// The code for "no valid sample"; NaN, which equals nothing, if the format has none.
    invalid: f64,
}

impl Calibration {
    /// The calibration of a signal, with `gain` ADC units per physical unit in place of its own gain.
    pub(crate) fn new(spec: &SignalSpec, gain: f64) -> Self {
        let invalid = match spec.format {
            Format::Null => None,
            format => format.invalid_code(),
        };
        Self {
            gain,
            baseline: f64::from(spec.baseline),
            invalid: invalid.map_or(f64::NAN, f64::from),
        }
    }

    /// Returns whether both convert every stored value to the same physical value.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let bits = |c: &Self| [c.gain, c.baseline, c.invalid].map(f64::to_bits);
        bits(self) == bits(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions() {
        let of = Calibration { gain: 200.0, baseline: 24.0, invalid: -2048.0 };
        assert_eq!((i16::convert(-2048, &of), i32::convert(-2048, &of)), (-2048, -2048));
        assert!(f64::convert(-2048, &of).is_nan() && f32::convert(-2048, &of).is_nan());
        assert_eq!(f64::convert(23, &of), -1.0 / 200.0);
        assert_eq!(f32::convert(23, &of), (-1.0_f64 / 200.0) as f32);
    }
}
