use std::collections::{BTreeMap, HashSet};

use ecg_core::LabelSet;
use ecg3d_convert::ConvertConfig;
use serde::{Deserialize, Serialize};

use crate::train::is_default;
use crate::{Architecture, ModelError, Preset, WindowPooling};

/// What a weights file says about itself: the network, its labels, and how its input is made.
///
/// It is stored as JSON in the header of the `.safetensors` file, so that weights never travel without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelCard {
    /// Version of the card's format, see [`ModelCard::FORMAT`].
    pub format: u32,
    /// Which network.
    pub architecture: Architecture,
    /// Whether the network is that of the study's program or of its text.
    pub mode: Preset,
    /// The labels, in the order of the network's outputs.
    pub labels: LabelSet,
    /// How recordings become prepared signals and volumes.
    pub preprocessing: ConvertConfig,
    /// [`ConvertConfig::hash`] of the preprocessing at the time when the card was made.
    pub preprocessing_hash: String,
    /// How the logits of a record's windows become those of the record. Left out of files if it is the mean.
    #[serde(default, skip_serializing_if = "is_default")]
    pub window_pooling: WindowPooling,
    /// The probability above which each label is predicted; `None` means 0.5 for all labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<BTreeMap<String, f64>>,
    /// Where the weights come from, as free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What the network was trained on and how: counts, hash, recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<serde_json::Value>,
    /// What the network reached, and on which data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<serde_json::Value>,
    /// The software that made the file.
    pub software: String,
}

/// A version of tch binds one minor version of libtorch.
pub(crate) const SOFTWARE: &str =
    concat!("ecg3d-models ", env!("CARGO_PKG_VERSION"), " with tch 0.24 and libtorch 2.11");

impl ModelCard {
    /// The format version that this software writes, and the latest one that it reads.
    pub const FORMAT: u32 = 1;

    /// Returns a card with the entries that every model has.
    pub fn new(
        architecture: Architecture,
        mode: Preset,
        labels: LabelSet,
        preprocessing: ConvertConfig,
    ) -> Self {
        Self {
            format: Self::FORMAT,
            architecture,
            mode,
            labels,
            preprocessing_hash: preprocessing.hash(),
            preprocessing,
            window_pooling: WindowPooling::Mean,
            thresholds: None,
            origin: None,
            training: None,
            metrics: None,
            software: SOFTWARE.to_owned(),
        }
    }

    /// Sets where the weights come from.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Sets how the logits of a record's windows become those of the record.
    ///
    /// Thresholds and metrics belong to the pooling with which they were found: another one removes them.
    #[must_use]
    pub fn with_window_pooling(mut self, window_pooling: WindowPooling) -> Self {
        if window_pooling != self.window_pooling {
            (self.thresholds, self.metrics) = (None, None);
        }
        self.window_pooling = window_pooling;
        self
    }

    /// Sets the thresholds, in the order of the labels.
    ///
    /// # Errors
    /// There are not as many thresholds as labels, or one is outside 0 to 1.
    pub fn with_thresholds(mut self, thresholds: &[f64]) -> Result<Self, ModelError> {
        if thresholds.len() != self.labels.len() {
            return Err(ModelError::CardValue {
                what: "number of thresholds",
                found: thresholds.len().to_string(),
                expected: self.labels.len().to_string(),
            });
        }
        let names = self.labels.iter().map(str::to_owned);
        self.thresholds = Some(names.zip(thresholds.iter().copied()).collect());
        self.check()?;
        Ok(self)
    }

    /// Returns the probability above which (strictly) each label is predicted, in the order of the labels.
    ///
    /// It is 0.5 for a label without a threshold.
    pub fn threshold_values(&self) -> Vec<f64> {
        let own = |label| self.thresholds.as_ref().and_then(|t| t.get(label)).copied();
        self.labels.iter().map(|label| own(label).unwrap_or(0.5)).collect()
    }

    /// Checks that this software reads a format.
    pub(crate) fn check_format(format: u32) -> Result<(), ModelError> {
        if (1..=Self::FORMAT).contains(&format) {
            return Ok(());
        }
        let (found, expected) = (format.to_string(), format!("1 to {}", Self::FORMAT));
        Err(ModelError::CardValue { what: "format", found, expected })
    }

    /// Checks that the entries agree with one another.
    ///
    /// # Errors
    /// The first entry that is wrong: a later format, a preprocessing that this version performs differently or that
    /// makes another input than the network reads, or a threshold that is outside 0 to 1 or of an unknown label.
    pub fn check(&self) -> Result<(), ModelError> {
        let wrong = |what, found: String, expected: String| {
            Err(ModelError::CardValue { what, found, expected })
        };
        Self::check_format(self.format)?;
        self.preprocessing.check()?;
        let hash = self.preprocessing.hash();
        if hash != self.preprocessing_hash {
            return wrong("preprocessing_hash", self.preprocessing_hash.clone(), hash);
        }
        let shape = [self.preprocessing.leads.count(), self.preprocessing.window_samples()];
        let expected = self.architecture.window_shape();
        if shape != expected {
            let (found, expected) = (format!("{shape:?}"), format!("{expected:?}"));
            return wrong("window shape [lead, sample]", found, expected);
        }
        if self.preprocessing.volume_size != [45; 3] {
            let found = format!("{:?}", self.preprocessing.volume_size);
            return wrong("volume_size", found, "[45, 45, 45]".to_owned());
        }
        let labels: HashSet<&str> = self.labels.iter().collect();
        for (label, threshold) in self.thresholds.iter().flatten() {
            if !labels.contains(label.as_str()) {
                let expected = format!("one of {}", self.labels);
                return wrong("label with a threshold", label.clone(), expected);
            }
            if !(0.0..=1.0).contains(threshold) {
                return wrong("threshold", format!("{threshold} for {label}"), "0 to 1".to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> ModelCard {
        let preprocessing = ConvertConfig::corrected();
        ModelCard::new(Architecture::Ribeiro, Preset::Corrected, LabelSet::seven(), preprocessing)
    }

    #[test]
    fn a_card_survives_json() {
        let card = card().with_origin("a test").with_thresholds(&[0.25; 7]).expect("seven");
        let text = serde_json::to_string(&card).expect("serialises");
        let back: ModelCard = serde_json::from_str(&text).expect("parses");
        assert_eq!(back, card);
        assert_eq!(back.threshold_values(), [0.25; 7]);
        back.check().expect("agrees with itself");
    }

    #[test]
    fn a_card_names_its_pooling_unless_it_is_the_mean() {
        let text = |card: &ModelCard| serde_json::to_string(card).expect("serialises");
        let read = |text: &str| serde_json::from_str::<ModelCard>(text).expect("parses");
        let (mean, max) = (card(), card().with_window_pooling(WindowPooling::Max));
        assert!(!text(&mean).contains("window_pooling"));
        assert_eq!(read(&text(&mean)).window_pooling, WindowPooling::Mean);
        assert!(text(&max).contains("\"window_pooling\":\"max\""));
        assert_eq!(read(&text(&max)), max);
        let judged = card().with_thresholds(&[0.25; 7]).expect("seven");
        assert_eq!(judged.clone().with_window_pooling(WindowPooling::Mean), judged);
        assert_eq!(judged.with_window_pooling(WindowPooling::Max).thresholds, None);
    }

    #[test]
    fn contradictions_are_named() {
        let text = |card: ModelCard| card.check().expect_err("contradicts itself").to_string();
        let mut other = card();
        other.preprocessing = ConvertConfig::published();
        assert!(text(other).contains("preprocessing_hash"));
        let mut later = card();
        later.format = 2;
        assert!(text(later).contains("format is 2, expected 1 to 1"));
        let mut unknown = card();
        unknown.thresholds = Some(BTreeMap::from([("AFL".to_owned(), 0.5)]));
        assert!(text(unknown).contains("AFL"));
        let config = ConvertConfig::corrected().with_window_s(3.0);
        let wide =
            ModelCard::new(Architecture::Ribeiro, Preset::Corrected, LabelSet::seven(), config);
        assert!(text(wide).contains("[12, 150]"));
        assert!(card().with_thresholds(&[0.5; 6]).is_err());
        assert!(card().with_thresholds(&[f64::NAN; 7]).is_err());
        assert_eq!(card().threshold_values(), [0.5; 7]);
    }
}
