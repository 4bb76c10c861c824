use crate::Rhythm;

/// The reason why recordings could not be synthesised.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// A sampling rate outside the range that the waves allow.
    #[error("the sampling rate must be from {lowest} to {highest} Hz, found {found}")]
    SamplingRate {
        /// The requested rate, in Hz.
        found: f64,
        /// Lowest rate, in Hz.
        lowest: f64,
        /// Highest rate, in Hz.
        highest: f64,
    },
    /// A duration that is too short for a beat, too long, or not a number.
    #[error("the duration must be from {shortest} to {longest} s, found {found}")]
    Duration {
        /// The requested duration, in seconds.
        found: f64,
        /// Shortest duration, in seconds.
        shortest: f64,
        /// Longest duration, in seconds.
        longest: f64,
    },
    /// A sampling rate and a duration that are possible, but together give too many samples.
    #[error(
        "{seconds} s at {sampling_rate_hz} Hz are {found} samples per lead, expected at most {most}"
    )]
    Samples {
        /// The requested rate, in Hz.
        sampling_rate_hz: f64,
        /// The requested duration, in seconds.
        seconds: f64,
        /// Their samples per lead.
        found: usize,
        /// Highest number of samples per lead.
        most: usize,
    },
    /// A condition with parts that exclude each other.
    #[error("{part} cannot be combined with {with}")]
    Incompatible {
        /// The requested part.
        part: &'static str,
        /// The part it excludes.
        with: &'static str,
    },
    /// First-degree AV block in a rhythm that conducts no sinus P wave.
    #[error("first-degree AV block needs a sinus rhythm, found {found:?}")]
    AvBlock {
        /// The requested rhythm.
        found: Rhythm,
    },
    /// A rhythm in which the requested ectopic beats are not available.
    #[error("{ectopy} are not available in {found:?}")]
    Ectopy {
        /// The requested ectopic beats.
        ectopy: &'static str,
        /// The requested rhythm.
        found: Rhythm,
    },
}
