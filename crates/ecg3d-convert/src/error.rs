use ecg_core::Lead;

/// The reason why a plan could not be made, or a recording could not be converted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// A setting has an invalid value.
    #[error("{field} is {found}, expected {expected}")]
    Config {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The values allowed.
        expected: &'static str,
    },
    /// A recording has another sampling rate than the plan was made for.
    #[error("the plan is for {expected_hz} Hz, but the recording has {found_hz} Hz")]
    SamplingRate {
        /// Rate of the plan in Hz.
        expected_hz: f64,
        /// Rate of the recording in Hz.
        found_hz: f64,
    },
    /// A sampling rate cannot be turned into another by whole factors of a sensible size.
    #[error(
        "cannot resample from {from_hz} Hz to {to_hz} Hz: no ratio of whole numbers up to {limit}"
    )]
    RateRatio {
        /// Rate of the recording in Hz.
        from_hz: f64,
        /// The rate asked for in Hz.
        to_hz: f64,
        /// The largest factor allowed.
        limit: u64,
    },
    /// A recording has fewer leads than are needed.
    #[error("{expected} leads are needed, found {found}")]
    LeadCount {
        /// Leads needed.
        expected: usize,
        /// Leads of the recording.
        found: usize,
    },
    /// A lead that is looked up by name is missing.
    #[error("lead {lead} is missing; found {found}")]
    MissingLead {
        /// The lead looked up.
        lead: Lead,
        /// The names found, joined by commas.
        found: String,
    },
    /// A recording is shorter than the conversion needs.
    #[error("at least {expected} samples are needed at {rate_hz} Hz, found {found}")]
    TooShort {
        /// Number of samples needed per lead.
        expected: usize,
        /// Number of samples found per lead.
        found: usize,
        /// Sampling rate in Hz.
        rate_hz: f64,
    },
    /// A sample is not a finite number.
    #[error(
        "lead {lead} has {count} samples that are not finite, the first ({value}) at sample {sample} (from 0)"
    )]
    InvalidSample {
        /// The lead's name in the recording.
        lead: String,
        /// Position of the first such sample, from 0.
        sample: usize,
        /// Its value: NaN or an infinity.
        value: f64,
        /// How many there are in this lead.
        count: usize,
    },
    /// A run of samples that are not finite numbers is too long to be filled in.
    #[error(
        "lead {lead} has {length} consecutive samples that are not finite, starting at sample {sample} (from 0); at most {allowed} are interpolated, between finite samples"
    )]
    Gap {
        /// The lead's name in the recording.
        lead: String,
        /// Position of the first sample of the run, from 0.
        sample: usize,
        /// Length of the run.
        length: usize,
        /// The longest run allowed.
        allowed: usize,
    },
    /// Samples are so large that the result is not a finite number of its type.
    #[error(
        "lead {lead} (from 0) has a magnitude of {value:.2e}, which is too large to compute with"
    )]
    Overflow {
        /// Row of the prepared signal or of its window, from 0.
        lead: usize,
        /// The largest magnitude of its resampled samples, or of the given ones.
        value: f64,
    },
    /// A recording becomes too many samples to scale them all together.
    #[error(
        "the resampled recording has {values} values in total, expected at most {most} for scaling"
    )]
    TooLong {
        /// Number of samples of all leads after resampling.
        values: usize,
        /// The largest number allowed.
        most: usize,
    },
    /// An array, or a part of a recording, does not have the shape that the plan works on.
    #[error("{what} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Which array.
        what: &'static str,
        /// The shape that the plan works on.
        expected: Vec<usize>,
        /// The shape that was given.
        found: Vec<usize>,
    },
    /// A mask keeps a lead that the images do not have.
    #[error("mask {mask} keeps lead {lead} (from 0), but there are {leads} leads")]
    Mask {
        /// Index of the mask.
        mask: usize,
        /// The lead, from 0.
        lead: usize,
        /// Number of leads in the images.
        leads: usize,
    },
    /// There are more leads than a mask has bits.
    #[error("subsets can have at most {most} leads, found {leads}")]
    MaskLeads {
        /// Number of leads in the images.
        leads: usize,
        /// Number of leads that a mask can distinguish.
        most: usize,
    },
    /// A signal is too short for a building block.
    #[error("{what} needs at least {expected} values, found {found}")]
    Length {
        /// Which building block.
        what: &'static str,
        /// Number of values needed.
        expected: usize,
        /// Number of values given.
        found: usize,
    },
    /// The convolution failed.
    #[error("the convolution of {samples} samples with {taps} taps failed: {reason}")]
    Convolution {
        /// Length of the signal.
        samples: usize,
        /// Length of the filter.
        taps: usize,
        /// The message of the convolution.
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
