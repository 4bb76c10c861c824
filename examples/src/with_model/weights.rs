//! The model that a program runs.

use std::path::Path;

use ecg3d_models::{Model, ModelError};
use tch::Device;

/// Loads the model of a weights file, or else the one that ships.
///
/// # Errors
/// Returns an error if [`Model::load`] refuses the file.
pub fn model(weights: Option<&Path>, device: Device) -> Result<Model, ModelError> {
    match weights {
        Some(path) => Model::load(path, device),
        None => Model::shipped(device),
    }
}
