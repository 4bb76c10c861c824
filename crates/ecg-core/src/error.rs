use crate::Lead;

/// Returns the message of an error followed by those of its causes, for places that keep only text.
///
/// ```
/// let broken = String::from_utf8(vec![0xff]).map_err(std::io::Error::other).unwrap_err();
/// let error = std::io::Error::other(broken);
/// assert!(ecg_core::with_causes(&error).contains("invalid utf-8"));
/// ```
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// An invalid value given for part of a recording, a lead or a label set.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// A sampling rate that is not a positive, finite number.
    #[error("the sampling rate must be a positive number of Hz, found {found}")]
    SamplingRate {
        /// The value given, in Hz.
        found: f64,
    },
    /// The number of lead names differs from the number of signal rows.
    #[error("{rows} signal rows but {names} lead names")]
    LeadCount {
        /// Number of rows of the signal.
        rows: usize,
        /// Number of lead names given.
        names: usize,
    },
    /// The shape of the stored integers differs from the shape of the signal.
    #[error("the stored integers have shape {found:?} ([lead, sample]), expected {expected:?}")]
    AdcShape {
        /// Shape of the signal, `[lead, sample]`.
        expected: [usize; 2],
        /// Shape of the stored integers, `[lead, sample]`.
        found: [usize; 2],
    },
    /// The number of gains or baselines differs from the number of leads.
    #[error("{found} {what} for the stored integers, expected one for each of {expected} leads")]
    AdcCount {
        /// Which of the two it is: `gains` or `baselines`.
        what: &'static str,
        /// Number of leads of the signal.
        expected: usize,
        /// Number of values given.
        found: usize,
    },
    /// A standard lead is missing from the recording.
    #[error("lead {lead} is missing; found {found}")]
    MissingLead {
        /// The missing lead.
        lead: Lead,
        /// The lead names present, joined by commas.
        found: String,
    },
    /// A name that is not one of the twelve standard leads.
    #[error("unknown lead {found:?}; expected one of I II III aVR aVL aVF V1 to V6")]
    UnknownLead {
        /// The name given.
        found: String,
    },
    /// A label that appears more than once in a label set.
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
