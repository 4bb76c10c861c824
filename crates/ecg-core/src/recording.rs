use std::fmt;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::{CoreError, Lead, LeadName, SnomedCode};

/// A sampling frequency in Hz: positive and finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct SamplingRate(f64);

impl SamplingRate {
    /// Creates a sampling rate from a value in Hz.
    ///
    /// # Errors
    /// Fails if the value is zero, negative, infinite or NaN.
    pub fn new(hz: f64) -> Result<Self, CoreError> {
        if hz.is_finite() && hz > 0.0 {
            Ok(Self(hz))
        } else {
            Err(CoreError::SamplingRate { found: hz })
        }
    }

    /// Returns the rate in Hz.
    pub fn hz(self) -> f64 {
        self.0
    }
}

impl fmt::Display for SamplingRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

impl TryFrom<f64> for SamplingRate {
    type Error = CoreError;

    fn try_from(hz: f64) -> Result<Self, CoreError> {
        Self::new(hz)
    }
}

impl From<SamplingRate> for f64 {
    fn from(rate: SamplingRate) -> Self {
        rate.0
    }
}

/// The patient's sex as stated in the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Sex {
    Female,
    Male,
}

/// The integers as the recorder stored them; physical value = (value - baseline) / gain.
#[derive(Debug, Clone, PartialEq)]
pub struct Adc {
    /// Stored values, `[lead, sample]`; the format's code for "invalid" is kept.
    pub values: Array2<i32>,
    /// ADC units per mV, one value per lead.
    pub gain_per_mv: Vec<f64>,
    /// The stored value that corresponds to 0 mV, one per lead.
    pub baseline: Vec<i32>,
}

/// A multi-lead recording.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Recording {
    /// Name within its data set.
    pub name: String,
    /// Lead names in the order of the rows of `signal`.
    pub leads: Vec<LeadName>,
    /// Samples per second.
    pub sampling_rate: SamplingRate,
    /// Physical values in mV, `[lead, sample]`; NaN where the recorder stored no valid value. A signal of a file that is
    /// not a voltage, such as a pressure, is in its own unit.
    pub signal: Array2<f64>,
    /// The integers behind `signal`, if the source had them.
    pub adc: Option<Adc>,
    /// Diagnosis codes stored in the recording itself.
    pub diagnoses: Vec<SnomedCode>,
    /// Patient identifier; recordings of the same person share it.
    pub patient: Option<String>,
    /// Age in years.
    pub age_years: Option<f64>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Comment lines, without the comment character.
    pub comments: Vec<String>,
}

impl Recording {
    /// Creates a recording from physical values `[lead, sample]` in mV, with all other fields left empty.
    ///
    /// # Errors
    /// Fails if the number of leads differs from the number of rows.
    pub fn new<L: Into<LeadName>>(
        name: impl Into<String>,
        sampling_rate: SamplingRate,
        leads: impl IntoIterator<Item = L>,
        signal: Array2<f64>,
    ) -> Result<Self, CoreError> {
        let leads: Vec<LeadName> = leads.into_iter().map(Into::into).collect();
        if leads.len() != signal.nrows() {
            return Err(CoreError::LeadCount { rows: signal.nrows(), names: leads.len() });
        }
        Ok(Self {
            name: name.into(),
            leads,
            sampling_rate,
            signal,
            adc: None,
            diagnoses: Vec::new(),
            patient: None,
            age_years: None,
            sex: None,
            comments: Vec::new(),
        })
    }

    /// Adds the stored integers.
    ///
    /// # Errors
    /// Fails if the shape of the values differs from that of the signal, or if there is not exactly one gain and one
    /// baseline per lead.
    pub fn with_adc(mut self, adc: Adc) -> Result<Self, CoreError> {
        if adc.values.dim() != self.signal.dim() {
            let shape = |dim: (usize, usize)| [dim.0, dim.1];
            return Err(CoreError::AdcShape {
                expected: shape(self.signal.dim()),
                found: shape(adc.values.dim()),
            });
        }
        let rows = self.signal.nrows();
        for (what, found) in [("gains", adc.gain_per_mv.len()), ("baselines", adc.baseline.len())] {
            if found != rows {
                return Err(CoreError::AdcCount { what, expected: rows, found });
            }
        }
        self.adc = Some(adc);
        Ok(self)
    }

    /// Returns the number of leads.
    pub fn n_leads(&self) -> usize {
        self.signal.nrows()
    }

    /// Returns the number of samples per lead.
    pub fn n_samples(&self) -> usize {
        self.signal.ncols()
    }

    /// Returns the duration in seconds.
    pub fn duration_s(&self) -> f64 {
        self.n_samples() as f64 / self.sampling_rate.hz()
    }

    /// Returns the row of a standard lead, found by name, ignoring case; the first if there are several.
    pub fn row_of(&self, lead: Lead) -> Option<usize> {
        self.leads.iter().position(|name| name.lead() == Some(lead))
    }

    /// Returns the rows of the twelve standard leads, in the standard order.
    ///
    /// # Errors
    /// Returns [`CoreError::MissingLead`] for the first lead that is missing.
    pub fn standard_rows(&self) -> Result<[usize; 12], CoreError> {
        let mut rows = [0; 12];
        for (row, lead) in rows.iter_mut().zip(Lead::STANDARD_12) {
            *row = self.row_of(lead).ok_or_else(|| CoreError::MissingLead {
                lead,
                found: self.leads.iter().map(LeadName::as_str).collect::<Vec<_>>().join(", "),
            })?;
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate() -> SamplingRate {
        SamplingRate::new(500.0).expect("a rate")
    }

    #[test]
    fn rates_are_positive() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(SamplingRate::new(bad).is_err());
        }
    }

    #[test]
    fn shapes_must_agree() {
        let signal = Array2::zeros((2, 10));
        assert_eq!(
            Recording::new("r", rate(), ["I"], signal.clone()),
            Err(CoreError::LeadCount { rows: 2, names: 1 })
        );
        let recording = Recording::new("r", rate(), ["I", "II"], signal).expect("shapes agree");
        let adc = |cols, gains: usize| Adc {
            values: Array2::zeros((2, cols)),
            gain_per_mv: vec![1000.0; gains],
            baseline: vec![0; 2],
        };
        assert!(recording.clone().with_adc(adc(10, 2)).is_ok());
        assert_eq!(
            recording.clone().with_adc(adc(9, 2)),
            Err(CoreError::AdcShape { expected: [2, 10], found: [2, 9] })
        );
        assert_eq!(
            recording.with_adc(adc(10, 3)),
            Err(CoreError::AdcCount { what: "gains", expected: 2, found: 3 })
        );
    }

    #[test]
    fn standard_rows_go_by_name() {
        let mut names: Vec<&str> = Lead::STANDARD_12.map(Lead::name).to_vec();
        names.reverse();
        names.insert(0, "PLETH");
        let full = Recording::new("r", rate(), names, Array2::zeros((13, 5))).expect("13 leads");
        assert_eq!(
            full.standard_rows().expect("all twelve"),
            [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
        );
        let short = Recording::new("r", rate(), ["I", "v2"], Array2::zeros((2, 5))).expect("two");
        assert_eq!(
            short.standard_rows(),
            Err(CoreError::MissingLead { lead: Lead::II, found: "I, v2".into() })
        );
    }
}
