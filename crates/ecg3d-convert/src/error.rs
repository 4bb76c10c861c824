use ecg_core::Lead;

/// Why a plan could not be made, or a recording not be converted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// A value of the configuration that makes no sense.
    #[error("{field} is {found}, expected {expected}")]
    Config {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A recording at another sampling rate than the plan was made for.
    #[error("the plan is made for {expected_hz} Hz, the recording has {found_hz} Hz")]
    SamplingRate {
        /// Rate of the plan in Hz.
        expected_hz: f64,
        /// Rate of the recording in Hz.
        found_hz: f64,
    },
    /// A rate that cannot be turned into another by whole factors of a sensible size.
    #[error(
        "cannot resample from {from_hz} Hz to {to_hz} Hz: no ratio of whole numbers up to {limit}"
    )]
    RateRatio {
        /// Rate of the recording in Hz.
        from_hz: f64,
        /// Rate asked for in Hz.
        to_hz: f64,
        /// The largest factor allowed.
        limit: u64,
    },
    /// Fewer leads than are needed.
    #[error("{expected} leads are needed, found {found}")]
    LeadCount {
        /// Leads needed.
        expected: usize,
        /// Leads of the recording.
        found: usize,
    },
    /// A lead that is looked for by name is not there.
    #[error("lead {lead} is missing; found {found}")]
    MissingLead {
        /// The lead looked for.
        lead: Lead,
        /// The names that are there, joined by commas.
        found: String,
    },
    /// A recording that is shorter than the conversion needs.
    #[error("at least {expected} samples are needed at {rate_hz} Hz, found {found}")]
    TooShort {
        /// Samples of each lead that are needed.
        expected: usize,
        /// Samples of each lead that are there.
        found: usize,
        /// Sampling rate in Hz.
        rate_hz: f64,
    },
    /// A sample that is no finite number.
    #[error(
        "lead {lead} has {count} samples that are no finite numbers, the first ({value}) at sample {sample} (from 0)"
    )]
    InvalidSample {
        /// The lead's name as the recording has it.
        lead: String,
        /// Position of the first such sample, from 0.
        sample: usize,
        /// Its value: NaN or an infinity.
        value: f64,
        /// How many there are in this lead.
        count: usize,
    },
    /// A run of samples that are no finite numbers, too long to be filled in.
    #[error(
        "lead {lead} has {length} samples in a row that are no finite numbers, from sample {sample} (from 0); at most {allowed} are filled in, between others that are"
    )]
    Gap {
        /// The lead's name as the recording has it.
        lead: String,
        /// Position of the first, from 0.
        sample: usize,
        /// How many there are.
        length: usize,
        /// How many are allowed.
        allowed: usize,
    },
    /// Samples so large that what is made of them is no finite number of its type.
    #[error("lead {lead} (from 0) has samples too large to compute with")]
    Overflow {
        /// Row of the prepared signal or of its window, from 0.
        lead: usize,
    },
    /// A recording that becomes too many samples to scale all of them alike.
    #[error("resampled, the recording has {values} values in all, at most {most} are scaled")]
    TooLong {
        /// Samples of all leads once they are resampled.
        values: usize,
        /// The most that are taken.
        most: usize,
    },
    /// An array, or a part of a recording, of another shape than the plan works on.
    #[error("{what} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Which array.
        what: &'static str,
        /// What the plan works on.
        expected: Vec<usize>,
        /// What it was given.
        found: Vec<usize>,
    },
    /// A mask that keeps a lead which the images do not have.
    #[error("mask {mask} keeps lead {lead} (from 0), but there are {leads} leads")]
    Mask {
        /// Index of the mask.
        mask: usize,
        /// The lead, from 0.
        lead: usize,
        /// Leads of the images.
        leads: usize,
    },
    /// More leads than a mask has bits.
    #[error("subsets can be of at most {most} leads, there are {leads}")]
    MaskLeads {
        /// Leads of the images.
        leads: usize,
        /// Leads that a mask can tell apart.
        most: usize,
    },
    /// A signal that is too short for a building block.
    #[error("{what} needs at least {expected} values, found {found}")]
    Length {
        /// Which building block.
        what: &'static str,
        /// Values needed.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// The convolution failed.
    #[error("the convolution of {samples} samples with {taps} taps failed: {reason}")]
    Convolution {
        /// Length of the signal.
        samples: usize,
        /// Length of the filter.
        taps: usize,
        /// What the convolution said.
        reason: String,
    },
}

impl ConvertError {
    pub(crate) fn config(
        field: &'static str,
        found: impl std::fmt::Display,
        expected: &'static str,
    ) -> Self {
        Self::Config { field, found: found.to_string(), expected }
    }

    /// Checks the shape of an array.
    pub(crate) fn check_shape(
        what: &'static str,
        found: &[usize],
        expected: &[usize],
    ) -> Result<(), Self> {
        if found == expected {
            Ok(())
        } else {
            Err(Self::Shape { what, expected: expected.to_vec(), found: found.to_vec() })
        }
    }
}
