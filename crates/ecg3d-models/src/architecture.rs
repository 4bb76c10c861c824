use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// A network of the study.
///
/// Written `3decgnet`, `zhang`, `sobahi`, `ribeiro` on command lines and in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Architecture {
    /// 3DECG-Net, the study's own network on volumes.
    ThreeDEcgNet,
    /// The Inception network of Zhang et al. on volumes.
    Zhang,
    /// The residual network with attention of Sobahi et al. (Comput. Biol. Med. 143, 2022, 105335) on volumes.
    Sobahi,
    /// The residual network of Ribeiro et al. (Nat. Commun. 11, 2020, 1760) on signals.
    Ribeiro,
}

/// What one input of a network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputKind {
    /// A volume `[45, 45, 45]` (depth, height, width).
    Volume,
    /// A prepared signal `[12, 100]` (lead, sample at 50 Hz).
    Signal,
}

impl InputKind {
    /// Shape of one input, the batch axis left out.
    pub const fn shape(self) -> &'static [usize] {
        match self {
            InputKind::Volume => &[45, 45, 45],
            InputKind::Signal => &[12, 100],
        }
    }
}

impl Architecture {
    /// Every network that this version has.
    pub const ALL: [Architecture; 4] = [
        Architecture::ThreeDEcgNet,
        Architecture::Zhang,
        Architecture::Sobahi,
        Architecture::Ribeiro,
    ];

    /// The names of [`Architecture::ALL`], for messages.
    const NAMES: &str = "3decgnet, zhang, sobahi, ribeiro";

    /// The name on command lines and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Architecture::ThreeDEcgNet => "3decgnet",
            Architecture::Zhang => "zhang",
            Architecture::Sobahi => "sobahi",
            Architecture::Ribeiro => "ribeiro",
        }
    }

    /// What one input is.
    pub const fn input(self) -> InputKind {
        match self {
            Architecture::ThreeDEcgNet | Architecture::Zhang | Architecture::Sobahi => {
                InputKind::Volume
            }
            Architecture::Ribeiro => InputKind::Signal,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Architecture {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        if let Some(found) = Self::ALL.into_iter().find(|arch| arch.name() == text) {
            return Ok(found);
        }
        Err(ModelError::UnknownModel { found: text.to_owned(), expected: Self::NAMES })
    }
}

impl TryFrom<String> for Architecture {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

impl From<Architecture> for String {
    fn from(arch: Architecture) -> Self {
        arch.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways_and_others_are_refused() {
        for arch in Architecture::ALL {
            assert_eq!(arch.to_string().parse::<Architecture>().expect("its own name"), arch);
        }
        assert!(matches!("resnet".parse::<Architecture>(), Err(ModelError::UnknownModel { .. })));
    }
}
