//! The tolerance for contradictions between limb leads.

use ecg3d_convert::{ConvertConfig, Scale, Units};

/// Returns 50 uV in the units of prepared signals; `None` if these are scaled, or in units of an ADC whose gain
/// may differ from record to record.
pub fn einthoven_tolerance(config: &ConvertConfig) -> Option<f64> {
    (config.scale == Scale::None && config.units == Units::Millivolts).then_some(0.05)
}
