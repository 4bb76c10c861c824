use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::{ChallengeWeights, MetricsError};

/// The value of precision, sensitivity, F1, F-beta and Jaccard if their denominator is zero.
///
/// Zero and one count in averages; NaN is left out. Default: [`ZeroDivision::Zero`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZeroDivision {
    /// They are 0.
    #[default]
    Zero,
    /// They are 1.
    One,
    /// They are NaN (null in JSON), and averages leave them out.
    Nan,
}

impl ZeroDivision {
    /// Returns the value itself.
    pub fn value(self) -> f64 {
        match self {
            ZeroDivision::Zero => 0.0,
            ZeroDivision::One => 1.0,
            ZeroDivision::Nan => f64::NAN,
        }
    }
}

impl fmt::Display for ZeroDivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ZeroDivision::Zero => "0",
            ZeroDivision::One => "1",
            ZeroDivision::Nan => "nan",
        })
    }
}

impl FromStr for ZeroDivision {
    type Err = MetricsError;

    fn from_str(text: &str) -> Result<Self, MetricsError> {
        match text.trim() {
            "0" => Ok(ZeroDivision::Zero),
            "1" => Ok(ZeroDivision::One),
            other if other.eq_ignore_ascii_case("nan") => Ok(ZeroDivision::Nan),
            _ => Err(MetricsError::ZeroDivision { found: text.to_owned() }),
        }
    }
}

/// Serialises as 0, 1 or `"nan"`.
impl Serialize for ZeroDivision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ZeroDivision::Zero => serializer.serialize_u8(0),
            ZeroDivision::One => serializer.serialize_u8(1),
            ZeroDivision::Nan => serializer.serialize_str("nan"),
        }
    }
}

/// Options of a [`Report`](crate::Report).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReportOptions {
    /// The result of a division by zero. Default: 0.
    pub zero_division: ZeroDivision,
    /// Where the thresholds come from, in words, for the reader of the report. Default: `default`.
    pub threshold_source: String,
    /// Confidence level of the Wilson intervals, more than 0 and less than 1. Default: 0.95.
    pub confidence: f64,
    /// Weights of the challenge score, which the report does not have without them. Default: none.
    pub challenge: Option<ChallengeWeights>,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            zero_division: ZeroDivision::Zero,
            threshold_source: "default".to_owned(),
            confidence: 0.95,
            challenge: None,
        }
    }
}

impl ReportOptions {
    /// Sets the result of a division by zero.
    #[must_use]
    pub fn with_zero_division(mut self, value: ZeroDivision) -> Self {
        self.zero_division = value;
        self
    }

    /// Sets the words that say where the thresholds come from.
    #[must_use]
    pub fn with_threshold_source(mut self, source: impl Into<String>) -> Self {
        self.threshold_source = source.into();
        self
    }

    /// Sets the confidence level of the intervals, more than 0 and less than 1; a report refuses any other.
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Adds the challenge score with these weights.
    #[must_use]
    pub fn with_challenge(mut self, weights: ChallengeWeights) -> Self {
        self.challenge = Some(weights);
        self
    }
}
