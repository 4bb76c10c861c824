//! What is compared: networks in their modes, untrained or with weights.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use ecg_core::LabelSet;
use ecg3d_models::{Architecture, Model, ModelCard, Network, Preset};
use tch::Device;

/// The modes that take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Presets {
    Published,
    Corrected,
    Both,
}

impl Presets {
    fn has(self, preset: Preset) -> bool {
        match self {
            Self::Published => preset == Preset::Published,
            Self::Corrected => preset == Preset::Corrected,
            Self::Both => true,
        }
    }
}

/// A network that takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub architecture: Architecture,
    pub mode: Preset,
    /// Trained weights.
    pub weights: Option<PathBuf>,
}

/// The networks of all flags, in the order of the architectures, each published before corrected.
///
/// # Errors
/// Weights that can't be read, or whose network the other flags leave out.
pub fn subjects(
    models: &[Architecture],
    presets: Presets,
    weights: &[PathBuf],
) -> Result<Vec<Subject>> {
    let wanted = |architecture| models.is_empty() || models.contains(&architecture);
    let mut trained = Vec::new();
    for path in weights {
        let card = Model::load(path, Device::Cpu)?.card().clone();
        let (architecture, mode) = (card.architecture, card.mode);
        ensure!(
            wanted(architecture) && presets.has(mode),
            "{} holds {architecture} ({mode}), which --models or --preset leaves out",
            path.display()
        );
        trained.push(Subject { architecture, mode, weights: Some(path.clone()) });
    }
    let mut subjects = Vec::new();
    for architecture in Architecture::ALL.into_iter().filter(|own| wanted(*own)) {
        for mode in
            [Preset::Published, Preset::Corrected].into_iter().filter(|own| presets.has(*own))
        {
            let own = trained.iter().filter(|s| (s.architecture, s.mode) == (architecture, mode));
            let before = subjects.len();
            subjects.extend(own.cloned());
            if subjects.len() == before {
                subjects.push(Subject { architecture, mode, weights: None });
            }
        }
    }
    Ok(subjects)
}

impl Subject {
    /// The network with its card, fresh parameters where there are no weights.
    pub fn model(&self, device: Device) -> Result<Model> {
        if let Some(path) = &self.weights {
            return Ok(Model::load(path, device)?);
        }
        let Self { architecture, mode, .. } = *self;
        let labels = LabelSet::seven();
        let network = Network::new(architecture, mode, labels.len(), device, 0)?;
        let card = ModelCard::new(architecture, mode, labels, architecture.preprocessing(mode));
        Ok(Model::new(network, card)?)
    }

    /// The file of the weights, as given.
    pub fn file(&self) -> Option<&Path> {
        self.weights.as_deref()
    }
}

/// `ribeiro (corrected)`, with the file of the weights where there is one.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file() {
            Some(path) => write!(f, "{} ({}), {}", self.architecture, self.mode, path.display()),
            None => write!(f, "{} ({})", self.architecture, self.mode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg3d_models::save;

    #[test]
    fn weights_stand_for_the_untrained_network_of_their_kind() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("w.safetensors");
        let untrained = Subject {
            architecture: Architecture::ResNet1d,
            mode: Preset::Corrected,
            weights: None,
        };
        let model = untrained.model(Device::Cpu).expect("builds");
        save(model.network(), model.card(), &path).expect("saves");
        let all = |models: &[Architecture], presets| {
            subjects(models, presets, std::slice::from_ref(&path))
        };
        let names = |subjects: Vec<Subject>| -> Vec<String> {
            subjects.iter().map(ToString::to_string).collect()
        };
        let both = all(&[Architecture::ResNet1d], Presets::Both).expect("subjects");
        let trained = format!("resnet1d (corrected), {}", path.display());
        assert_eq!(names(both), ["resnet1d (published)", &trained]);
        assert_eq!(all(&[], Presets::Corrected).expect("subjects").len(), 5);
        let error = all(&[Architecture::Zhang], Presets::Both).expect_err("left out");
        assert!(error.to_string().ends_with("which --models or --preset leaves out"), "{error}");
        assert!(all(&[], Presets::Published).is_err());
        let absent = subjects(&[], Presets::Both, &[dir.path().join("absent")]);
        assert!(absent.expect_err("no such file").to_string().contains("absent"));
    }
}
