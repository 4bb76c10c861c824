//! Trained weights to start from.

use std::borrow::Cow;
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
    let (what, file): (_, Cow<'_, [u8]>) = match from.to_str() {
        Some("shipped") => ("the weights that shipped,", Model::shipped_file().into()),
        Some("synthetic") => {
            ("the weights of synthetic recordings that shipped,", Model::synthetic_file().into())
        }
        _ => {
            let file = std::fs::read(from)
                .with_context(|| format!("could not read the weights {}", from.display()))?;
            ("weights with", file.into())
        }
    };
    let start = format!("{what} SHA-256 {}", sha256(&file));
    let (network, card) = Model::from_bytes(&file, from, device)?.into_parts();
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
