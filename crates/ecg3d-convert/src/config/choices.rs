use std::fmt;
use std::str::FromStr;

use ecg_core::Lead;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::{ConvertError, FirMethod};

/// The two ways to convert: as the study's programs did, or as its text intends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "lowercase"))]
pub enum Preset {
    /// What the study's programs do, including their faults, so that its numbers and weight files keep their meaning.
    #[default]
    Published,
    /// What the study's text intends.
    Corrected,
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Published => "published",
            Self::Corrected => "corrected",
        })
    }
}

impl FromStr for Preset {
    type Err = ConvertError;

    fn from_str(text: &str) -> Result<Self, ConvertError> {
        match text {
            "published" => Ok(Self::Published),
            "corrected" => Ok(Self::Corrected),
            _ => Err(ConvertError::config("the preset", text, "published or corrected")),
        }
    }
}

/// The unit in which the samples of a recording are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Units {
    /// The integers as stored, whatever their gain and baseline. If a source has none, its values in mV times 1000.
    Adc,
    /// Physical values in mV.
    Millivolts,
}

/// Which leads are used, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(Serialize, Deserialize),
    serde(rename_all = "snake_case", tag = "order", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum LeadSelection {
    /// The first `count` leads in the order of the file.
    File {
        /// Leads used.
        count: usize,
    },
    /// These leads, found by name regardless of case.
    Named {
        /// The leads, in order.
        leads: Vec<Lead>,
    },
}

impl LeadSelection {
    /// Number of leads.
    pub fn count(&self) -> usize {
        match self {
            Self::File { count } => *count,
            Self::Named { leads } => leads.len(),
        }
    }
}

/// How baseline wander is removed: by a Butterworth high-pass.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(Serialize, Deserialize),
    serde(rename_all = "snake_case", tag = "filter", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Denoise {
    /// Not at all.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::config::nothing"))]
    None,
    /// Once, forward, starting from rest.
    Causal {
        /// Order of the filter.
        order: usize,
        /// Cutoff frequency in Hz. The gain there is 0.707 if the filter is designed for the recording's sampling rate.
        cutoff_hz: f64,
        /// The sampling rate in Hz that the filter is designed for; `null` means the recording's.
        design_rate_hz: Option<f64>,
    },
    /// Forward and backward, so that nothing is delayed; the filter's gain applies twice.
    BothWays {
        /// Order of the filter.
        order: usize,
        /// Cutoff frequency in Hz. The gain there is 0.707 after one pass, and 0.5 after both.
        cutoff_hz: f64,
        /// Seconds by which the signal is extended on both sides, by point reflection about its ends; less if the
        /// signal is shorter.
        padding_s: f64,
    },
}

/// How the number of samples is reduced.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(Serialize, Deserialize),
    serde(rename_all = "snake_case", tag = "method", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Resample {
    /// By FFT, to a number of samples. Needs [`first_samples`](crate::ConvertConfig::first_samples).
    Fft {
        /// Number of output samples.
        samples: usize,
    },
    /// By a linear-phase low-pass, to a sampling rate.
    Polyphase {
        /// The output sampling rate in Hz.
        rate_hz: f64,
        /// How the filter is computed. The results are the same up to rounding.
        #[cfg_attr(feature = "serde", serde(default))]
        fir: FirMethod,
    },
}

/// How amplitudes are scaled. All leads always share one scale, because the relative amplitudes of the leads carry
/// meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Scale {
    /// Not scaled.
    None,
    /// The largest magnitude over all leads becomes 1. A recording that is zero stays zero.
    UnitPeak,
    /// Mean 0 and standard deviation 1 over all leads together. A recording that is zero stays zero.
    ZScore,
}

/// Which windows of a prepared signal are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Windows {
    /// Only the first.
    First,
    /// All that fit, one every `hop_s`.
    All,
}

/// What happens to a recording with samples that are not finite numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(Serialize, Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum InvalidSamples {
    /// The recording is refused if any sample of the leads used is not finite.
    Reject,
    /// The recording is refused if the conversion would use a sample that is not finite. Samples after
    /// [`first_samples`](crate::ConvertConfig::first_samples) do not count.
    RejectUsed,
    /// NaN and infinities that the conversion would use are filled in along the line between the neighbouring samples,
    /// or at the ends with the neighbouring sample. A warning says how many. The recording is refused if a gap is
    /// longer than `max_gap_s`, or if a lead has no finite sample at all.
    Interpolate {
        /// The longest gap in seconds.
        max_gap_s: f64,
    },
}

/// What happens to a recording that is shorter than the conversion needs, but not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ShortRecords {
    /// The recording is refused.
    Reject,
    /// The missing part of the prepared signal is zero, the only window starts at 0, and a warning says so.
    ///
    /// For [`Resample::Fft`], which needs all its samples, each lead is extended with its last value before it is
    /// resampled, so that nothing jumps.
    Pad,
}
