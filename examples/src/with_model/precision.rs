//! The number type that a flag names.

use ecg3d_examples::say_err;
use ecg3d_models::{Architecture, Precision};
use tch::Device;

/// Warns if a device only emulates a number type.
pub fn warn_of_imitation(precision: Precision, architecture: Architecture, device: Device) {
    if !precision.is_native(architecture, device) {
        say_err!(
            "warning: this processor has no instructions for {precision}, so it is many times slower than f32 here"
        );
    }
}
