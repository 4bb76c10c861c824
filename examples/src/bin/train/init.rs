//! Trained weights to start from.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ecg_core::LabelSet;
use ecg3d_convert::ConvertConfig;
use ecg3d_examples::sha256;
use ecg3d_models::{Architecture, Model, Network, Preset};
use tch::Device;

/// A network to start from, read before any data.
pub struct Init {
    network: Network,
    labels: LabelSet,
    start: String,
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
        Ok(Self { network, labels: card.labels, start })
    }

    /// Returns the labels of the weights.
    pub fn labels(&self) -> &LabelSet {
        &self.labels
    }

    /// Returns the labels of the weights, in their order, if the data has the same ones in any order.
    pub fn same_labels(&self, labels: &LabelSet) -> Option<LabelSet> {
        let [own, others] = [&self.labels, labels].map(|set| set.iter().collect::<BTreeSet<_>>());
        (own == others).then(|| self.labels.clone())
    }

    /// Says what starts fresh if the labels of the data are not those of the weights.
    pub fn note(&self, labels: &LabelSet) -> Option<String> {
        (*labels != self.labels).then(|| {
            format!(
                "labels differ: the last layer starts fresh (the weights are for {}, the data has {labels})",
                self.labels
            )
        })
    }

    /// Returns a separate network for a training run on data with these labels, and a description of this start for the
    /// card of the run.
    ///
    /// If the labels are not those of the weights, the last layer is fresh, as `seed` determines.
    pub fn network(&self, labels: &LabelSet, seed: u64) -> Result<(Network, String)> {
        let (own, device) = (&self.network, self.network.device());
        if *labels == self.labels {
            return Ok((own.to_device(device)?, self.start.clone()));
        }
        let mut network = Network::new(own.architecture(), own.mode(), labels.len(), device, seed)?;
        network.copy_body_from(own)?;
        Ok((network, format!("{}, last layer fresh", self.start)))
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
