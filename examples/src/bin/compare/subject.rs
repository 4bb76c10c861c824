//! The networks that are compared, in their modes, untrained or with weights.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use ecg_core::LabelSet;
use ecg3d_models::{Architecture, Model, ModelCard, Network, Preset};
use tch::Device;

/// The modes to compare.
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

/// The source of a network's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weights {
    /// Freshly initialised.
    Untrained,
    /// The weights that ship.
    Shipped,
    /// The weights of a file.
    File(PathBuf),
}

impl Weights {
    /// Returns the file as given, or `shipped`; `None` for an untrained network.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Untrained => None,
            Self::Shipped => Some("shipped".to_owned()),
            Self::File(path) => Some(path.display().to_string()),
        }
    }
}

/// A network to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub architecture: Architecture,
    pub mode: Preset,
    pub weights: Weights,
}

/// Architecture and mode of [`Model::shipped`].
const SHIPPED: (Architecture, Preset) = (Architecture::ThreeDEcgNet, Preset::Corrected);

/// Returns the networks that the flags select, in the order of the architectures, each published before
/// corrected.
///
/// If networks are evaluated and no weights are given, the network that ships is used with its own weights.
///
/// # Errors
/// Returns an error if weights cannot be read, or if the other flags exclude their network.
pub fn subjects(
    models: &[Architecture],
    presets: Presets,
    weights: &[PathBuf],
    judged: bool,
) -> Result<Vec<Subject>> {
    let wanted = |architecture| models.is_empty() || models.contains(&architecture);
    let mut trained = Vec::new();
    for path in weights {
        let card = Model::load(path, Device::Cpu)?.card().clone();
        let (architecture, mode) = (card.architecture, card.mode);
        ensure!(
            wanted(architecture) && presets.has(mode),
            "{} holds {architecture} ({mode}), which --models or --preset excludes",
            path.display()
        );
        trained.push(Subject { architecture, mode, weights: Weights::File(path.clone()) });
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
                let ships = judged && weights.is_empty() && (architecture, mode) == SHIPPED;
                let weights = if ships { Weights::Shipped } else { Weights::Untrained };
                subjects.push(Subject { architecture, mode, weights });
            }
        }
    }
    Ok(subjects)
}

impl Subject {
    /// Returns the network with its card.
    pub fn model(&self, device: Device) -> Result<Model> {
        match &self.weights {
            Weights::Untrained => {}
            Weights::Shipped => return Ok(Model::shipped(device)?),
            Weights::File(path) => return Ok(Model::load(path, device)?),
        }
        let Self { architecture, mode, .. } = *self;
        let labels = LabelSet::seven();
        let network = Network::new(architecture, mode, labels.len(), device, 0)?;
        let card = ModelCard::new(architecture, mode, labels, architecture.preprocessing(mode));
        Ok(Model::new(network, card)?)
    }

    /// Returns whether the network is trained, so that it can be evaluated.
    pub fn is_trained(&self) -> bool {
        self.weights != Weights::Untrained
    }
}

/// Formats as `ribeiro (corrected)`, followed by the file of the weights if there is one, or by `as it ships`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.architecture, self.mode)?;
        match &self.weights {
            Weights::Untrained => Ok(()),
            Weights::Shipped => f.write_str(", as it ships"),
            Weights::File(path) => write!(f, ", {}", path.display()),
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
            weights: Weights::Untrained,
        };
        let model = untrained.model(Device::Cpu).expect("builds");
        save(model.network(), model.card(), &path).expect("saves");
        let all = |models: &[Architecture], presets| {
            subjects(models, presets, std::slice::from_ref(&path), true)
        };
        let names = |subjects: Vec<Subject>| -> Vec<String> {
            subjects.iter().map(ToString::to_string).collect()
        };
        let both = all(&[Architecture::ResNet1d], Presets::Both).expect("subjects");
        let trained = format!("resnet1d (corrected), {}", path.display());
        assert_eq!(names(both), ["resnet1d (published)", &trained]);
        let corrected = all(&[], Presets::Corrected).expect("subjects");
        assert_eq!(corrected.len(), 5);
        assert_eq!(corrected.iter().filter(|subject| subject.is_trained()).count(), 1);
        let error = all(&[Architecture::Zhang], Presets::Both).expect_err("left out");
        assert!(error.to_string().ends_with("which --models or --preset excludes"), "{error}");
        assert!(all(&[], Presets::Published).is_err());
        let absent = subjects(&[], Presets::Both, &[dir.path().join("absent")], false);
        assert!(absent.expect_err("no such file").to_string().contains("absent"));
    }

    #[test]
    fn without_weights_what_ships_is_judged() {
        let of = |judged| {
            subjects(&[Architecture::ThreeDEcgNet], Presets::Both, &[], judged).expect("subjects")
        };
        let judged = of(true);
        let names: Vec<String> = judged.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["3decgnet (published)", "3decgnet (corrected), as it ships"]);
        assert_eq!(judged[1].weights.name().as_deref(), Some("shipped"));
        let model = judged[1].model(Device::Cpu).expect("loads");
        assert_eq!((model.card().architecture, model.card().mode), SHIPPED);
        assert!(model.card().thresholds.is_some() && !judged[0].is_trained());
        assert!(!of(false).iter().any(Subject::is_trained));
    }
}
