use crate::Rhythm;

/// Why recordings could not be synthesised.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// A sampling rate beyond what the waves allow.
    #[error("the sampling rate must lie within {lowest} to {highest} Hz, found {found}")]
    SamplingRate {
        /// The rate asked for, in Hz.
        found: f64,
        /// Lowest rate, in Hz.
        lowest: f64,
        /// Highest rate, in Hz.
        highest: f64,
    },
    /// A duration that is too short for a beat, too long for memory, or no number.
    #[error("the duration must lie within {shortest} to {longest} s, found {found}")]
    Duration {
        /// The duration asked for, in seconds.
        found: f64,
        /// Shortest duration, in seconds.
        shortest: f64,
        /// Longest duration, in seconds.
        longest: f64,
    },
    /// A condition whose parts exclude each other.
    #[error("{part} does not go with {with}")]
    Incompatible {
        /// What was asked for.
        part: &'static str,
        /// What it excludes.
        with: &'static str,
    },
    /// First-degree AV block in a rhythm that conducts no sinus P wave.
    #[error("first-degree AV block needs a sinus rhythm, found {found:?}")]
    AvBlock {
        /// The rhythm asked for.
        found: Rhythm,
    },
    /// A rhythm in which the ectopic beats asked for are not made.
    #[error("{ectopy} are not made in {found:?}")]
    Ectopy {
        /// The ectopic beats asked for.
        ectopy: &'static str,
        /// The rhythm asked for.
        found: Rhythm,
    },
}
