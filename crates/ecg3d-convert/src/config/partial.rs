//! A configuration as it is written in a text: fields may be left out, and are then taken from the preset.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    ConvertConfig, Denoise, InvalidSamples, LeadSelection, Preset, Resample, Scale, ShortRecords,
    Units, Windows,
};
use crate::{Metric, Threshold};

macro_rules! partial {
    ($($field:ident: $type:ty,)*) => {
        /// A field is `None` if the text leaves it out.
        #[derive(Serialize, Deserialize)]
        #[serde(rename = "ConvertConfig", default, deny_unknown_fields)]
        #[derive(Default)]
        pub(super) struct Partial {
            preset: Option<Preset>,
            #[serde(with = "all_or_some")]
            first_samples: Option<Option<usize>>,
            $($field: Option<$type>,)*
        }

        impl From<Partial> for ConvertConfig {
            fn from(partial: Partial) -> Self {
                let mut config = Self::preset(partial.preset.unwrap_or_default());
                if let Some(first_samples) = partial.first_samples {
                    config.first_samples = first_samples;
                }
                $(if let Some(value) = partial.$field {
                    config.$field = value;
                })*
                config
            }
        }

        impl From<ConvertConfig> for Partial {
            fn from(config: ConvertConfig) -> Self {
                // Write `first_samples` only if it or the preset has a number: TOML has no way to write "none".
                let usual = ConvertConfig::preset(config.preset).first_samples;
                let told = config.first_samples.is_some() || usual.is_some();
                Self {
                    preset: Some(config.preset),
                    first_samples: told.then_some(config.first_samples),
                    $($field: Some(config.$field),)*
                }
            }
        }
    };
}

partial! {
    units: Units,
    leads: LeadSelection,
    denoise: Denoise,
    resample: Resample,
    scale: Scale,
    invalid_samples: InvalidSamples,
    short_records: ShortRecords,
    max_seconds: f64,
    window_s: f64,
    hop_s: f64,
    windows: Windows,
    embedding_dimension: usize,
    embedding_delay: usize,
    metric: Metric,
    threshold: Threshold,
    volume_size: [usize; 3],
}

/// Reads a choice without settings and refuses unknown fields, which serde on its own ignores beside such a choice. For
/// `deserialize_with`.
pub(crate) fn nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    Nothing::deserialize(deserializer).map(|Nothing {}| ())
}

/// Reads and writes a number, or "all" for `None`. If a format has a null of its own, that is read as `None` as well.
mod all_or_some {
    use super::*;

    const ALL: &str = "all";

    #[allow(clippy::ref_option)] // The signature that serde asks for.
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Option<usize>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(Some(samples)) => serializer.serialize_some(samples),
            Some(None) => serializer.serialize_some(ALL),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<usize>>, D::Error> {
        deserializer.deserialize_any(AllOrSome).map(Some)
    }

    struct AllOrSome;

    impl Visitor<'_> for AllOrSome {
        type Value = Option<usize>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number of samples, or \"all\"")
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
            usize::try_from(value).map(Some).map_err(E::custom)
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
            usize::try_from(value).map(Some).map_err(E::custom)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
            if value == ALL {
                Ok(None)
            } else {
                Err(E::invalid_value(serde::de::Unexpected::Str(value), &self))
            }
        }
    }
}
