use std::fmt;
use std::str::FromStr;

use ecg3d_convert::{ConvertConfig, FirMethod, Resample, Windows};
use serde::{Deserialize, Serialize};

use crate::{ModelError, Preset};

/// A network: the study's own, the three that the study compared it with, and a baseline.
///
/// Written `3decgnet`, `zhang`, `sobahi`, `ribeiro`, `resnet1d` on command lines and in files.
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
    /// A plain residual network on signals of 10 s at 100 Hz, which is not from the study.
    ResNet1d,
}

/// The kind of input that a network reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputKind {
    /// A volume `[45, 45, 45]` (depth, height, width).
    Volume,
    /// A prepared signal (lead, sample): `[12, 100]` at 50 Hz, or `[12, 1000]` at 100 Hz.
    Signal,
}

impl Architecture {
    /// All networks of this version.
    pub const ALL: [Architecture; 5] = [
        Architecture::ThreeDEcgNet,
        Architecture::Zhang,
        Architecture::Sobahi,
        Architecture::Ribeiro,
        Architecture::ResNet1d,
    ];

    /// The names of [`Architecture::ALL`], for messages.
    const NAMES: &str = "3decgnet, zhang, sobahi, ribeiro, resnet1d";

    /// Returns the name on command lines and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Architecture::ThreeDEcgNet => "3decgnet",
            Architecture::Zhang => "zhang",
            Architecture::Sobahi => "sobahi",
            Architecture::Ribeiro => "ribeiro",
            Architecture::ResNet1d => "resnet1d",
        }
    }

    /// Returns the shape of one input, without the batch axis.
    pub const fn input_shape(self) -> &'static [usize] {
        match self {
            Architecture::ThreeDEcgNet | Architecture::Zhang | Architecture::Sobahi => {
                &[45, 45, 45]
            }
            Architecture::Ribeiro => &[12, 100],
            Architecture::ResNet1d => &[12, 1000],
        }
    }

    /// Returns the shape `[lead, sample]` of the window from which an input is made.
    pub const fn window_shape(self) -> [usize; 2] {
        match self {
            Architecture::ResNet1d => [12, 1000],
            _ => [12, 100],
        }
    }

    /// Returns the preprocessing of a preset for this network.
    ///
    /// [`Architecture::ResNet1d`], which is not from the study, takes the first 10 s at 100 Hz in mV, denoised forward
    /// and backward, with either preset.
    pub fn preprocessing(self, preset: Preset) -> ConvertConfig {
        match self {
            Architecture::ResNet1d => ConvertConfig::corrected()
                .with_resample(Resample::Polyphase { rate_hz: 100.0, fir: FirMethod::default() })
                .with_window_s(10.0)
                .with_windows(Windows::First),
            _ => ConvertConfig::preset(preset),
        }
    }

    /// Returns the kind of input that this network reads.
    pub const fn input(self) -> InputKind {
        match self {
            Architecture::ThreeDEcgNet | Architecture::Zhang | Architecture::Sobahi => {
                InputKind::Volume
            }
            Architecture::Ribeiro | Architecture::ResNet1d => InputKind::Signal,
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
