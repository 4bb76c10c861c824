use std::fmt;

/// Seconds of each recording that the study used: 1000 samples at 500 Hz.
pub(super) const STUDY_SECONDS: f64 = 2.0;

/// Something that the user should know about a recording, but that does not stop the conversion.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConvertWarning {
    /// All samples of a lead are equal.
    FlatLead {
        /// The lead's name in the recording.
        lead: String,
    },
    /// The integers are used as stored, and one unit of them is not 1 uV.
    Gain {
        /// The lead's name in the recording.
        lead: String,
        /// ADC units per mV.
        gain_per_mv: f64,
    },
    /// The recording has no stored integers; its values in mV times 1000 are used instead.
    NoAdc,
    /// The recording has more leads than are used.
    MoreLeads {
        /// Number of leads used, from the first.
        used: usize,
        /// Number of leads in the recording.
        found: usize,
    },
    /// Samples that are not finite numbers were filled in, as requested by [`crate::InvalidSamples::Interpolate`].
    Interpolated {
        /// The lead's name in the recording.
        lead: String,
        /// Number of samples filled in.
        samples: usize,
        /// How many of these were infinite.
        infinite: usize,
        /// The longest run of such samples.
        longest: usize,
    },
    /// The recording is too short and was extended, as requested by [`crate::ShortRecords::Pad`].
    Padded {
        /// Number of samples needed per lead.
        expected: usize,
        /// Number of samples found per lead.
        found: usize,
    },
    /// At this sampling rate, the length of the window differs from the study's 2 s by more than half a sample. The
    /// window consists of all the samples that [`crate::Resample::Fft`] takes.
    Rate {
        /// Sampling rate of the recording in Hz.
        rate_hz: f64,
        /// Number of samples in the window: [`crate::ConvertConfig::first_samples`].
        samples: usize,
    },
}

impl fmt::Display for ConvertWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlatLead { lead } => write!(f, "lead {lead} is flat"),
            Self::Gain { lead, gain_per_mv } => write!(
                f,
                "lead {lead} has {gain_per_mv} ADC units per mV, but the published preset assumes 1000"
            ),
            Self::NoAdc => f.write_str("no ADC values: using mV times 1000"),
            Self::MoreLeads { used, found } => {
                write!(f, "{found} leads, only the first {used} are used")
            }
            Self::Interpolated { lead, samples, infinite, longest } => write!(
                f,
                "lead {lead}: {samples} samples that are not finite are interpolated ({infinite} of them infinite, at most {longest} consecutive)"
            ),
            Self::Padded { expected, found } => {
                write!(f, "{found} of the {expected} samples needed; the rest is padding")
            }
            Self::Rate { rate_hz, samples } => write!(
                f,
                "{samples} samples at {rate_hz} Hz are {} s, not the {STUDY_SECONDS} s of the study",
                *samples as f64 / rate_hz
            ),
        }
    }
}
