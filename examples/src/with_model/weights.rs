//! The model that a program runs; a file of the programs that link libtorch, which the library must not.

use std::path::Path;

use ecg3d_models::{Model, ModelError};
use tch::Device;

/// That of a weights file, else the one that ships; on a GPU, where there is one.
///
/// # Errors
/// A file that [`Model::load`] refuses.
pub fn model(weights: Option<&Path>) -> Result<Model, ModelError> {
    let device = Device::cuda_if_available();
    match weights {
        Some(path) => Model::load(path, device),
        None => Model::shipped(device),
    }
}
