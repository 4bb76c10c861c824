use ecg_core::{LeadName, Recording};
use ndarray::{ArrayView1, s};

use super::warning::STUDY_SECONDS;
use super::{ConvertPlan, ConvertWarning, is_flat};
use crate::simd::{Task, run};
use crate::{ConvertError, InvalidSamples, LeadSelection, Resample, ShortRecords, Units};

/// The gain in ADC units per mV that the published preset assumes.
const GAIN_PER_MV: f64 = 1000.0;

/// What was loaded into the rows.
pub(super) struct Loaded {
    /// Samples of each row.
    pub(super) samples: usize,
    /// Samples of each row that come from the recording; the rest is padding.
    pub(super) real: usize,
    pub(super) warnings: Vec<ConvertWarning>,
}

impl ConvertPlan {
    /// Loads the leads that are used into rows, in the unit of the configuration.
    pub(super) fn load(
        &self,
        recording: &Recording,
        rows: &mut Vec<f64>,
    ) -> Result<Loaded, ConvertError> {
        if recording.sampling_rate != self.rate {
            return Err(ConvertError::SamplingRate {
                expected_hz: self.rate.hz(),
                found_hz: recording.sampling_rate.hz(),
            });
        }
        self.check_parts(recording)?;
        let found = recording.n_samples();
        let mut warnings = Vec::new();
        let count = self.config.leads.count();
        if let (LeadSelection::File { .. }, leads) = (&self.config.leads, recording.n_leads()) {
            if leads < count {
                return Err(ConvertError::LeadCount { expected: count, found: leads });
            }
            if leads > count {
                warnings.push(ConvertWarning::MoreLeads { used: count, found: leads });
            }
        }
        let wanted = self.config.first_samples.unwrap_or(found);
        let real = wanted.min(found);
        let expected = self.window_input();
        if real < expected {
            if self.config.short_records == ShortRecords::Reject || real == 0 {
                return Err(ConvertError::TooShort {
                    expected,
                    found: real,
                    rate_hz: self.rate.hz(),
                });
            }
            warnings.push(ConvertWarning::Padded { expected, found: real });
        }
        // Resampling to a rate works with however many samples there are.
        let n = match self.config.resample {
            Resample::Fft { .. } => wanted,
            Resample::Polyphase { .. } => real,
        };
        if let (Some(samples), Resample::Fft { .. }) =
            (self.config.first_samples, self.config.resample)
            && samples as f64 != (STUDY_SECONDS * self.rate.hz()).round()
        {
            warnings.push(ConvertWarning::Rate { rate_hz: self.rate.hz(), samples });
        }
        if self.config.units == Units::Adc && recording.adc.is_none() {
            warnings.push(ConvertWarning::NoAdc);
        }
        rows.clear();
        rows.resize(count * n, 0.0);
        for (k, row) in rows.chunks_exact_mut(n).enumerate() {
            let lead = match &self.config.leads {
                LeadSelection::File { .. } => k,
                LeadSelection::Named { leads } => recording.row_of(leads[k]).ok_or_else(|| {
                    ConvertError::MissingLead { lead: leads[k], found: names(&recording.leads) }
                })?,
            };
            let (own, beyond) = row.split_at_mut(real);
            self.load_lead(recording, lead, own, &mut warnings)?;
            beyond.fill(own[real - 1]);
        }
        Ok(Loaded { samples: n, real, warnings })
    }

    /// Names the rows that [`ConvertPlan::load`] has loaded.
    pub(super) fn lead_names(&self, recording: &Recording) -> Vec<LeadName> {
        match &self.config.leads {
            LeadSelection::File { count } => recording.leads.iter().take(*count).cloned().collect(),
            LeadSelection::Named { leads } => leads.iter().copied().map(LeadName::from).collect(),
        }
    }

    /// Checks that the parts of a recording that are used fit its signal. All of them are public fields.
    fn check_parts(&self, recording: &Recording) -> Result<(), ConvertError> {
        let leads = recording.n_leads();
        let check = ConvertError::check_shape;
        check("the lead names of the recording", &[recording.leads.len()], &[leads])?;
        if let (Units::Adc, Some(adc)) = (self.config.units, &recording.adc) {
            let (values, signal) = (adc.values.shape(), recording.signal.shape());
            check("the integers of the recording", values, signal)?;
            check("the gains of the recording", &[adc.gain_per_mv.len()], &[leads])?;
        }
        Ok(())
    }

    fn load_lead(
        &self,
        recording: &Recording,
        lead: usize,
        row: &mut [f64],
        warnings: &mut Vec<ConvertWarning>,
    ) -> Result<(), ConvertError> {
        let name = || recording.leads[lead].as_str().to_owned();
        let physical = recording.signal.row(lead);
        let used = physical.slice(s![..row.len()]);
        match self.config.invalid_samples {
            InvalidSamples::Reject => check_finite(physical, name)?,
            InvalidSamples::RejectUsed => check_finite(used, name)?,
            InvalidSamples::Interpolate { .. } => {}
        }
        match (self.config.units, &recording.adc) {
            (Units::Millivolts, _) => copy(physical, row, |mv| mv),
            (Units::Adc, Some(adc)) => {
                copy(adc.values.row(lead), row, f64::from);
                let gain_per_mv = adc.gain_per_mv[lead];
                if gain_per_mv != GAIN_PER_MV {
                    warnings.push(ConvertWarning::Gain { lead: name(), gain_per_mv });
                }
            }
            (Units::Adc, None) => copy(physical, row, |mv| mv * GAIN_PER_MV),
        }
        if let InvalidSamples::Interpolate { max_gap_s } = self.config.invalid_samples
            && used.iter().any(|value| !value.is_finite())
        {
            // The factor makes 0.29 s at 100 Hz 29 samples, however the product is rounded.
            let max_gap = (max_gap_s * self.rate.hz() * (1.0 + 1e-9)) as usize;
            warnings.push(fill_gaps(row, used, max_gap, name)?);
        }
        if is_flat(row) {
            warnings.push(ConvertWarning::FlatLead { lead: name() });
        }
        Ok(())
    }
}

/// Fills a row with the first samples of a lead.
fn copy<A: Copy>(samples: ArrayView1<'_, A>, row: &mut [f64], value: impl Fn(A) -> f64) {
    match samples.as_slice() {
        // Contiguous samples are converted several at a time.
        Some(samples) => {
            row.iter_mut().zip(samples).for_each(|(own, &sample)| *own = value(sample));
        }
        None => row.iter_mut().zip(samples).for_each(|(own, &sample)| *own = value(sample)),
    }
}

/// Refuses samples that are not finite numbers.
fn check_finite(
    samples: ArrayView1<'_, f64>,
    name: impl Fn() -> String,
) -> Result<(), ConvertError> {
    let finite = match samples.as_slice() {
        Some(samples) => run(AllFinite(samples)),
        None => samples.iter().all(|value| value.is_finite()),
    };
    if finite {
        return Ok(());
    }
    let is_bad = |value: &&f64| !value.is_finite();
    let sample = samples.iter().position(|value| is_bad(&value)).unwrap_or_default();
    Err(ConvertError::InvalidSample {
        lead: name(),
        sample,
        value: samples[sample],
        count: samples.iter().filter(is_bad).count(),
    })
}

/// Looks at every sample, several at a time, which is faster than stopping at the first bad one.
struct AllFinite<'a>(&'a [f64]);

impl Task for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        self.0.iter().fold(true, |finite, value| finite & (value.abs() <= f64::MAX))
    }
}

/// Fills in the values of `row` where `judged` is not finite, along the line between the neighbouring values.
fn fill_gaps(
    row: &mut [f64],
    judged: ArrayView1<'_, f64>,
    max_gap: usize,
    name: impl Fn() -> String,
) -> Result<ConvertWarning, ConvertError> {
    let n = row.len();
    let good = |t: &usize| judged[*t].is_finite();
    let (mut samples, mut infinite, mut longest) = (0, 0, 0);
    let mut start = 0;
    while let Some(first) = (start..n).find(|t| !good(t)) {
        let after = (first..n).find(good).unwrap_or(n);
        let length = after - first;
        if length > max_gap || length == n {
            return Err(ConvertError::Gap {
                lead: name(),
                sample: first,
                length,
                allowed: max_gap,
            });
        }
        let right = if after < n { row[after] } else { row[first - 1] };
        let left = if first > 0 { row[first - 1] } else { right };
        for (k, value) in row[first..after].iter_mut().enumerate() {
            *value = left + (right - left) * ((k + 1) as f64 / (length + 1) as f64);
        }
        samples += length;
        infinite += judged.slice(s![first..after]).iter().filter(|v| v.is_infinite()).count();
        longest = longest.max(length);
        start = after;
    }
    Ok(ConvertWarning::Interpolated { lead: name(), samples, infinite, longest })
}

fn names(leads: &[LeadName]) -> String {
    leads.iter().map(LeadName::as_str).collect::<Vec<_>>().join(", ")
}
