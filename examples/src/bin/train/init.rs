//! Trained weights to start from.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use ecg3d_examples::sha256;
use ecg3d_models::{Model, ModelCard, Network};
use tch::Device;

/// The network of a weights file, or one of those that ship, and what the card of a run says of it.
///
/// # Errors
/// A file that can't be used, or weights that were trained for something else than `wanted` describes.
pub fn network(from: &Path, wanted: &ModelCard, device: Device) -> Result<(Network, String)> {
    let (model, what, hash) = match from.to_str() {
        Some("shipped") => {
            (Model::shipped(device)?, "the weights that shipped,", sha256(Model::shipped_file()))
        }
        Some("synthetic") => {
            let what = "the weights of synthetic recordings that shipped,";
            (Model::synthetic(device)?, what, sha256(Model::synthetic_file()))
        }
        _ => {
            let file = std::fs::read(from)
                .with_context(|| format!("could not read the weights {}", from.display()))?;
            (Model::from_bytes(&file, from, device)?, "weights with", sha256(&file))
        }
    };
    let start = format!("{what} SHA-256 {hash}");
    let (network, card) = model.into_parts();
    for (what, found, expected, flag) in [
        ("network", card.architecture.to_string(), wanted.architecture.to_string(), "--model"),
        ("mode", card.mode.to_string(), wanted.mode.to_string(), "--preset"),
        ("labels", card.labels.to_string(), wanted.labels.to_string(), "--labels"),
        (
            "preprocessing (by its hash)",
            card.preprocessing_hash,
            wanted.preprocessing_hash.clone(),
            "--preset",
        ),
    ] {
        ensure!(
            found == expected,
            "--init {}: the {what} of these weights is {found}, that of this run is {expected}; change {flag}, \
             or start afresh",
            from.display()
        );
    }
    Ok((network, start))
}
