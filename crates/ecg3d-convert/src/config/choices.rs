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
    /// What the study's programs do, faults included, so that its numbers and weight files mean something.
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

/// What the numbers of a recording are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Units {
    /// The integers as stored, whatever their gain and baseline; mV times 1000 where a source has none.
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
    /// These leads, found by name whatever its case.
    Named {
        /// The leads in order.
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

/// How the baseline's wander is taken out: a Butterworth high-pass.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(Serialize, Deserialize),
    serde(rename_all = "snake_case", tag = "filter", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Denoise {
    /// Not at all.
    None,
    /// Once, forward, starting from rest.
    Causal {
        /// Order of the filter.
        order: usize,
        /// Frequency in Hz at which it lets through 0.707, if the design's rate is that of the recording.
        cutoff_hz: f64,
        /// The sampling rate in Hz that it is designed for; `null` means that of the recording.
        design_rate_hz: Option<f64>,
    },
    /// Forward and backward, so that nothing is delayed; the filter's gain counts twice.
    BothWays {
        /// Order of the filter.
        order: usize,
        /// Frequency in Hz at which one pass lets through 0.707, both 0.5.
        cutoff_hz: f64,
        /// Seconds by which the signal is continued on both sides, turned about its end points; less where it is shorter.
        padding_s: f64,
    },
}

/// How the number of samples is lowered.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(Serialize, Deserialize),
    serde(rename_all = "snake_case", tag = "method", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Resample {
    /// By way of the spectrum, to a number of samples; needs [`first_samples`](crate::ConvertConfig::first_samples).
    Fft {
        /// Samples that come out.
        samples: usize,
    },
    /// By a linear-phase low-pass, to a sampling rate.
    Polyphase {
        /// The rate in Hz that comes out.
        rate_hz: f64,
        /// How the filter is computed; makes no difference beyond rounding.
        #[cfg_attr(feature = "serde", serde(default))]
        fir: FirMethod,
    },
}

/// How amplitudes are scaled: always all leads alike, since the amplitudes between leads carry meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Scale {
    /// As they are.
    None,
    /// So that the largest magnitude of all leads is 1; a recording that is zero stays zero.
    UnitPeak,
    /// One mean and one deviation over all leads, to mean 0 and deviation 1; a recording that is zero stays zero.
    ZScore,
}

/// Which windows of a prepared signal are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Windows {
    /// The first only.
    First,
    /// All that fit, one every `hop_s`.
    All,
}

/// What happens to a recording with samples that are no finite numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum InvalidSamples {
    /// It is refused if any sample of the leads used is one.
    Reject,
    /// It is refused if the conversion would use one: those behind [`first_samples`](crate::ConvertConfig::first_samples) do not count.
    RejectUsed,
    /// Those that the conversion would use are filled along the line between the samples beside them, at the ends with the
    /// sample beside them, and a warning says how many. The recording is refused if a gap is longer than this, or a lead
    /// has no number at all. NaN and infinities alike.
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
    /// It is refused.
    Reject,
    /// What is missing of the prepared signal is zero, the one window starts at 0, and a warning says so.
    ///
    /// For [`Resample::Fft`], which needs all its samples, each lead goes on with its last value until it is resampled, so
    /// that nothing jumps.
    Pad,
}
