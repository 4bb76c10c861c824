use std::fmt;

/// How much of a recording in seconds the study used: 1000 samples at 500 Hz.
pub(super) const STUDY_SECONDS: f64 = 2.0;

/// Something about a recording that its user should know; the conversion goes on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConvertWarning {
    /// All samples of a lead are equal.
    FlatLead {
        /// The lead's name as the recording has it.
        lead: String,
    },
    /// The integers as stored are used, and a unit of them is not 1 uV.
    Gain {
        /// The lead's name as the recording has it.
        lead: String,
        /// ADC units per mV.
        gain_per_mv: f64,
    },
    /// The recording has no integers as stored: mV times 1000 is used.
    NoAdc,
    /// The recording has more leads than are used.
    MoreLeads {
        /// Leads used, from the first.
        used: usize,
        /// Leads of the recording.
        found: usize,
    },
    /// Samples that are no finite numbers were filled in, as [`crate::InvalidSamples::Interpolate`] asks for.
    Interpolated {
        /// The lead's name as the recording has it.
        lead: String,
        /// Samples filled in.
        samples: usize,
        /// How many of them were infinite.
        infinite: usize,
        /// The longest run of them.
        longest: usize,
    },
    /// The recording is shorter than it should be, and was continued, as [`crate::ShortRecords::Pad`] asks for.
    Padded {
        /// Samples of each lead that are needed.
        expected: usize,
        /// Samples of each lead that are there.
        found: usize,
    },
    /// The window, all of the samples that [`crate::Resample::Fft`] takes, lasts another time at this rate than the study's 2 s, by more
    /// than half a sample.
    Rate {
        /// Sampling rate of the recording in Hz.
        rate_hz: f64,
        /// Samples of the window: [`crate::ConvertConfig::first_samples`].
        samples: usize,
    },
}

impl fmt::Display for ConvertWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlatLead { lead } => write!(f, "lead {lead} is flat"),
            Self::Gain { lead, gain_per_mv } => write!(
                f,
                "lead {lead} has {gain_per_mv} ADC units per mV, the published preset takes them for 1000"
            ),
            Self::NoAdc => f.write_str("no ADC values: mV times 1000 is used"),
            Self::MoreLeads { used, found } => {
                write!(f, "{found} leads, of which the first {used} are used")
            }
            Self::Interpolated { lead, samples, infinite, longest } => write!(
                f,
                "lead {lead}: {samples} samples that are no finite numbers are interpolated ({infinite} of them infinite, at most {longest} in a row)"
            ),
            Self::Padded { expected, found } => {
                write!(f, "{found} samples of the {expected} that are needed; the rest is padding")
            }
            Self::Rate { rate_hz, samples } => write!(
                f,
                "{samples} samples at {rate_hz} Hz are {} s, not the {STUDY_SECONDS} s of the study",
                *samples as f64 / rate_hz
            ),
        }
    }
}
