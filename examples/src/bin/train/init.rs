//! Trained weights to start from.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ecg_core::LabelSet;
use ecg3d_convert::ConvertConfig;
use ecg3d_examples::sha256;
use ecg3d_models::{Architecture, Model, Network, Preset};
use tch::Device;

/// A network to start from, read before any data.
pub struct Init {
    from: PathBuf,
    network: Network,
    labels: LabelSet,
    /// Description of this start in the card of a run.
    pub start: String,
}

impl Init {
    /// Reads the network of a weights file, or one of those that ship.
    ///
    /// # Errors
    /// Returns an error if a file cannot be used, or if the weights belong to another network, mode or
    /// preprocessing.
    pub fn read(
        from: &Path,
        architecture: Architecture,
        preset: Preset,
        preprocessing: &ConvertConfig,
        device: Device,
    ) -> Result<Self> {
        let (what, file): (_, Cow<'_, [u8]>) = match from.to_str() {
            Some("shipped") => ("the weights that shipped,", Model::shipped_file().into()),
            Some("synthetic") => (
                "the weights of synthetic recordings that shipped,",
                Model::synthetic_file().into(),
            ),
            _ => {
                let file = std::fs::read(from)
                    .with_context(|| format!("cannot read the weights {}", from.display()))?;
                ("weights with", file.into())
            }
        };
        let start = format!("{what} SHA-256 {}", sha256(&file));
        let (network, card) = Model::from_bytes(&file, from, device)?.into_parts();
        for (what, found, expected, flag) in [
            ("network", card.architecture.to_string(), architecture.to_string(), "--model"),
            ("mode", card.mode.to_string(), preset.to_string(), "--preset"),
            ("preprocessing hash", card.preprocessing_hash, preprocessing.hash(), "--preset"),
        ] {
            agree(from, what, &found, &expected, flag)?;
        }
        Ok(Self { from: from.to_owned(), network, labels: card.labels, start })
    }

    /// Refuses weights for other labels than those of the data.
    pub fn check_labels(&self, wanted: &LabelSet) -> Result<()> {
        agree(&self.from, "labels", &self.labels.to_string(), &wanted.to_string(), "--labels")
    }

    /// Returns a separate copy of the network for each training run.
    pub fn network(&self) -> Result<Network> {
        Ok(self.network.to_device(self.network.device())?)
    }
}

/// Refuses weights that were trained for something else.
fn agree(from: &Path, what: &str, found: &str, expected: &str, flag: &str) -> Result<()> {
    ensure!(
        found == expected,
        "--init {}: found weights with {what} {found}, expected {expected}; change {flag}, or leave out --init",
        from.display()
    );
    Ok(())
}
