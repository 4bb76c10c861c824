use crate::Lead;

/// What can be wrong with the values that make up a recording or a label set.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// A sampling rate that is not a positive, finite number.
    #[error("the sampling rate must be a positive number of Hz, found {found}")]
    SamplingRate {
        /// The value given, in Hz.
        found: f64,
    },
    /// The number of lead names differs from the number of rows of the signal.
    #[error("{rows} rows of signal but {names} lead names")]
    LeadCount {
        /// Rows of the signal.
        rows: usize,
        /// Lead names given.
        names: usize,
    },
    /// The raw values have another shape than the signal.
    #[error("the stored integers are {found:?} ([lead, sample]), the signal is {expected:?}")]
    AdcShape {
        /// Shape of the signal, `[lead, sample]`.
        expected: [usize; 2],
        /// Shape of the raw values, `[lead, sample]`.
        found: [usize; 2],
    },
    /// Not one gain or baseline for each lead.
    #[error("{found} {what} of stored integers, expected one for each of {expected} leads")]
    AdcCount {
        /// `gains` or `baselines`.
        what: &'static str,
        /// Leads of the signal.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A standard lead is not in the recording.
    #[error("lead {lead} is missing; found {found}")]
    MissingLead {
        /// The lead looked for.
        lead: Lead,
        /// The names that are there, joined by commas.
        found: String,
    },
    /// A name that is not one of the twelve standard leads.
    #[error("unknown lead {found:?}; expected one of I II III aVR aVL aVF V1 to V6")]
    UnknownLead {
        /// The name given.
        found: String,
    },
    /// A label that appears twice in a label set.
    #[error("label {label:?} appears twice")]
    DuplicateLabel {
        /// The label.
        label: String,
    },
    /// An empty label set, or an empty label.
    #[error("a label set needs at least one label, and no label may be empty")]
    EmptyLabel,
    /// A diagnosis code that is not a positive integer of at most 18 digits.
    #[error("{found:?} is not a SNOMED CT code (a positive integer of at most 18 digits)")]
    Snomed {
        /// The text given.
        found: String,
    },
}
