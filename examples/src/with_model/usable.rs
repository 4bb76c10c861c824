//! Which records a network can read.

use anyhow::Result;
use ecg3d_convert::{ConvertConfig, ImagePlan};
use ecg3d_examples::source::Source;
use ecg3d_models::{Architecture, InputKind};

/// Moves records to the failed ones that a network cannot read because their samples are too large for volumes.
///
/// # Errors
/// Returns an error if no record is left.
pub fn drop_unusable(
    source: &mut Source,
    architecture: Architecture,
    preprocessing: &ConvertConfig,
) -> Result<()> {
    match architecture.input() {
        InputKind::Volume => source.drop_without_volumes(&ImagePlan::new(preprocessing)?),
        InputKind::Signal => Ok(()),
    }
}
