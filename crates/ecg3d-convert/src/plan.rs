use std::fmt;

use ecg_core::{LeadName, Recording, SamplingRate};
use ndarray::{Array2, Array3, ArrayViewMut2, ArrayViewMut3, s};

use crate::{
    Band, ConvertConfig, ConvertError, Denoise, FftResampler, ImagePlan, InvalidSamples,
    LeadSelection, PolyResampler, Real, Resample, Scale, Scratch, Sos, Units, butterworth,
    rate_ratio,
};

/// The gain, in ADC units per mV, that the published preset takes for granted.
const GAIN_PER_MV: f64 = 1000.0;
/// The sampling rate in Hz of the study's recordings.
const STUDY_RATE_HZ: f64 = 500.0;

/// Something about a recording that its user should know; the conversion goes on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConvertWarning {
    /// All samples of a lead are equal.
    FlatLead {
        /// The lead's name as the recording has it.
        lead: String,
    },
    /// The integers as stored are used, and a unit of them is not 1 uV.
    Gain {
        /// The lead's name as the recording has it.
        lead: String,
        /// ADC units per mV.
        gain_per_mv: f64,
    },
    /// The recording has no integers as stored: mV times 1000 is used.
    NoAdc,
    /// The recording has more leads than are used.
    MoreLeads {
        /// Leads used, from the first.
        used: usize,
        /// Leads of the recording.
        found: usize,
    },
    /// A number of samples is used that lasts another time at this rate than it did in the study.
    Rate {
        /// Sampling rate of the recording in Hz.
        rate_hz: f64,
        /// Samples used.
        samples: usize,
    },
}

impl fmt::Display for ConvertWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlatLead { lead } => write!(f, "lead {lead} is flat"),
            Self::Gain { lead, gain_per_mv } => write!(
                f,
                "lead {lead} has {gain_per_mv} ADC units per mV, the published preset takes them for 1000"
            ),
            Self::NoAdc => f.write_str("no ADC values: mV times 1000 is used"),
            Self::MoreLeads { used, found } => {
                write!(f, "{found} leads, of which the first {used} are used")
            }
            Self::Rate { rate_hz, samples } => write!(
                f,
                "{samples} samples at {rate_hz} Hz are {} s, not the {} s of the study",
                *samples as f64 / rate_hz,
                *samples as f64 / STUDY_RATE_HZ
            ),
        }
    }
}

/// A prepared signal.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Prepared {
    /// `[lead, sample]` of the plan's shape, zero behind `length`.
    pub signal: Array2<f32>,
    /// Samples that are real.
    pub length: usize,
    /// What its user should know.
    pub warnings: Vec<ConvertWarning>,
}

/// What [`ConvertPlan::prepare_into`] says beside the signal.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// Samples that are real; those behind are zero.
    pub length: usize,
    /// What its user should know; empty, and so without an allocation, for most recordings.
    pub warnings: Vec<ConvertWarning>,
}

/// The conversion of recordings of one sampling rate: made once, immutable, shared freely between threads.
///
/// See the [crate's page](crate) for the stages and an example.
#[derive(Debug, Clone)]
pub struct ConvertPlan {
    config: ConvertConfig,
    rate: SamplingRate,
    filter: Option<Sos>,
    resampler: Resampler,
    images: ImagePlan,
}

#[derive(Debug, Clone)]
enum Resampler {
    Fft(FftResampler),
    Polyphase(PolyResampler),
}

impl ConvertPlan {
    /// Plans the conversion of recordings of a sampling rate.
    ///
    /// # Errors
    /// A configuration that makes no sense; a rate that its filter or resampling cannot work with.
    pub fn new(config: ConvertConfig, rate: SamplingRate) -> Result<Self, ConvertError> {
        let images = ImagePlan::new(&config)?;
        let high_pass = |order, cutoff_hz, rate_hz| {
            butterworth(order, Band::High(cutoff_hz), rate_hz).map(Some)
        };
        let filter = match config.denoise {
            Denoise::None => None,
            Denoise::Causal { order, cutoff_hz, design_rate_hz } => {
                high_pass(order, cutoff_hz, design_rate_hz.unwrap_or(rate.hz()))?
            }
            Denoise::BothWays { order, cutoff_hz, .. } => high_pass(order, cutoff_hz, rate.hz())?,
        };
        let resampler = match config.resample {
            Resample::Fft { samples } => {
                let from = config.first_samples.unwrap_or(samples);
                Resampler::Fft(FftResampler::new(from, samples)?)
            }
            Resample::Polyphase { rate_hz, fir } => {
                let (up, down) = rate_ratio(rate.hz(), rate_hz)?;
                Resampler::Polyphase(PolyResampler::new(up, down)?.with_method(fir))
            }
        };
        Ok(Self { config, rate, filter, resampler, images })
    }

    /// The configuration.
    pub fn config(&self) -> &ConvertConfig {
        &self.config
    }

    /// The sampling rate that the plan is made for.
    pub fn sampling_rate(&self) -> SamplingRate {
        self.rate
    }

    /// The part behind the prepared signal, which needs no sampling rate.
    pub fn image_plan(&self) -> &ImagePlan {
        &self.images
    }

    /// Shape of a prepared signal, `[lead, sample]`: `[12, 100]` published, `[12, 50 max_seconds]` corrected.
    pub fn prepared_shape(&self) -> [usize; 2] {
        self.config.prepared_shape()
    }

    /// First samples of the windows of a prepared signal of which `length` samples are real;
    /// see [`ConvertConfig::window_starts`].
    pub fn windows(&self, length: usize) -> Vec<usize> {
        self.config.window_starts(length)
    }

    /// Samples of a recording below which it is too short.
    pub fn min_samples(&self) -> usize {
        match (self.config.first_samples, self.config.resample) {
            (Some(samples), Resample::Fft { .. }) => samples,
            // Less a rounding, lest 2 s at 333.3333 Hz be 667 samples.
            _ => (self.config.window_s * self.rate.hz() * (1.0 - 1e-6)).ceil().max(1.0) as usize,
        }
    }

    /// Filters and resamples a recording.
    ///
    /// # Errors
    /// Another sampling rate than planned, leads that are missing, too few samples, samples that are no finite numbers.
    pub fn prepare(&self, recording: &Recording) -> Result<Prepared, ConvertError> {
        let mut signal = Array2::zeros(self.prepared_shape());
        let Outcome { length, warnings } =
            self.prepare_into(recording, signal.view_mut(), &mut Scratch::new())?;
        Ok(Prepared { signal, length, warnings })
    }

    /// [`ConvertPlan::prepare`] without allocating, but for warnings and for [`crate::FirMethod::Convolution`].
    ///
    /// All arithmetic is done in `f64`; only the result is rounded to `T`.
    ///
    /// # Errors
    /// As [`ConvertPlan::prepare`]; an array of another shape than [`ConvertPlan::prepared_shape`].
    pub fn prepare_into<T: Real>(
        &self,
        recording: &Recording,
        mut out: ArrayViewMut2<'_, T>,
        scratch: &mut Scratch,
    ) -> Result<Outcome, ConvertError> {
        let [leads, kept] = self.prepared_shape();
        ConvertError::check_shape("the prepared signal", out.shape(), &[leads, kept])?;
        let (n, warnings) = self.load(recording, &mut scratch.rows)?;
        if let Some(filter) = &self.filter {
            match self.config.denoise {
                Denoise::BothWays { padding_s, .. } => {
                    let padding = (padding_s * self.rate.hz()).round() as usize;
                    let padding = padding.min(n - 1);
                    filter.rows_both_ways(&mut scratch.rows, n, padding, &mut scratch.padded)?;
                }
                _ => filter.filter_rows(&mut scratch.rows, n),
            }
        }
        let width = match &self.resampler {
            Resampler::Fft(plan) => plan.lengths().1,
            Resampler::Polyphase(plan) => plan.output_len(n),
        };
        scratch.resampled.clear();
        scratch.resampled.resize(leads * width, 0.0);
        match &self.resampler {
            Resampler::Fft(plan) => {
                let rows = scratch.rows.chunks_exact(n);
                for (row, out) in rows.zip(scratch.resampled.chunks_exact_mut(width)) {
                    plan.resample_into(row, out, &mut scratch.fft)?;
                }
            }
            Resampler::Polyphase(plan) => {
                plan.resample_rows(&scratch.rows, n, &mut scratch.resampled, &mut scratch.padded)?;
            }
        }
        let (offset, factor) = scaling(self.config.scale, &scratch.resampled);
        let length = width.min(kept);
        out.fill(T::zero());
        for (mut out, row) in out.rows_mut().into_iter().zip(scratch.resampled.chunks_exact(width))
        {
            for (cell, value) in out.iter_mut().zip(&row[..length]) {
                *cell = T::from_f64((value - offset) * factor);
            }
        }
        Ok(Outcome { length, warnings })
    }

    /// The volume `[depth, height, width]` of a recording's first window.
    ///
    /// # Errors
    /// As [`ConvertPlan::prepare`].
    pub fn convert(&self, recording: &Recording) -> Result<Array3<f32>, ConvertError> {
        let mut out = Array3::zeros(self.images.volume_shape());
        self.convert_into(recording, out.view_mut(), &mut Scratch::new())?;
        Ok(out)
    }

    /// [`ConvertPlan::convert`] without allocating, as far as [`ConvertPlan::prepare_into`] does not.
    ///
    /// # Errors
    /// As [`ConvertPlan::prepare`]; an array of another shape than the volume's.
    pub fn convert_into<T: Real>(
        &self,
        recording: &Recording,
        out: ArrayViewMut3<'_, T>,
        scratch: &mut Scratch,
    ) -> Result<Outcome, ConvertError> {
        let [leads, samples] = self.prepared_shape();
        let mut prepared = std::mem::take(T::prepared(scratch));
        prepared.resize(leads * samples, T::zero());
        let result = match ArrayViewMut2::from_shape((leads, samples), &mut prepared) {
            Ok(mut signal) => {
                self.prepare_into(recording, signal.view_mut(), scratch).and_then(|outcome| {
                    let window = signal.slice(s![.., ..self.config.window_samples()]);
                    self.images.volume_of_window_into(window, out, scratch).map(|()| outcome)
                })
            }
            Err(_) => unreachable!("the buffer was made for this shape"),
        };
        *T::prepared(scratch) = prepared;
        result
    }

    /// Loads the leads used into rows, in the units asked for; gives the samples of each.
    fn load(
        &self,
        recording: &Recording,
        rows: &mut Vec<f64>,
    ) -> Result<(usize, Vec<ConvertWarning>), ConvertError> {
        if recording.sampling_rate != self.rate {
            return Err(ConvertError::SamplingRate {
                expected_hz: self.rate.hz(),
                found_hz: recording.sampling_rate.hz(),
            });
        }
        let found = recording.n_samples();
        let mut warnings = Vec::new();
        let count = self.config.leads.count();
        if recording.n_leads() < count {
            return Err(ConvertError::LeadCount { expected: count, found: recording.n_leads() });
        }
        if matches!(self.config.leads, LeadSelection::File { .. }) && recording.n_leads() > count {
            warnings.push(ConvertWarning::MoreLeads { used: count, found: recording.n_leads() });
        }
        let n = self.config.first_samples.unwrap_or(found);
        let expected = self.min_samples().max(self.config.first_samples.unwrap_or(0));
        if found < expected {
            return Err(ConvertError::TooShort { expected, found, rate_hz: self.rate.hz() });
        }
        if n < self.min_samples() {
            let expected = self.min_samples();
            return Err(ConvertError::TooShort { expected, found: n, rate_hz: self.rate.hz() });
        }
        if self.config.first_samples.is_some() && self.rate.hz() != STUDY_RATE_HZ {
            warnings.push(ConvertWarning::Rate { rate_hz: self.rate.hz(), samples: n });
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
            self.load_lead(recording, lead, row, &mut warnings)?;
        }
        Ok((n, warnings))
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
        let checked = match self.config.invalid_samples {
            InvalidSamples::Reject => physical.len(),
            InvalidSamples::RejectUsed => row.len(),
        };
        let checked = physical.slice(s![..checked]);
        let is_bad = |value: &&f64| !value.is_finite();
        if let Some(sample) = checked.iter().position(|value| is_bad(&value)) {
            return Err(ConvertError::InvalidSample {
                lead: name(),
                sample,
                value: checked[sample],
                count: checked.iter().filter(is_bad).count(),
            });
        }
        match (self.config.units, &recording.adc) {
            (Units::Millivolts, _) => {
                row.iter_mut().zip(physical).for_each(|(own, &mv)| *own = mv);
            }
            (Units::Adc, Some(adc)) => {
                let values = adc.values.row(lead);
                row.iter_mut().zip(values).for_each(|(own, &value)| *own = f64::from(value));
                let gain_per_mv = adc.gain_per_mv[lead];
                if gain_per_mv != GAIN_PER_MV {
                    warnings.push(ConvertWarning::Gain { lead: name(), gain_per_mv });
                }
            }
            (Units::Adc, None) => {
                row.iter_mut().zip(physical).for_each(|(own, &mv)| *own = mv * GAIN_PER_MV);
            }
        }
        if row.iter().all(|value| *value == row[0]) {
            warnings.push(ConvertWarning::FlatLead { lead: name() });
        }
        Ok(())
    }
}

fn names(leads: &[LeadName]) -> String {
    leads.iter().map(LeadName::as_str).collect::<Vec<_>>().join(", ")
}

/// What is taken from each value, and what it is then multiplied by.
fn scaling(scale: Scale, values: &[f64]) -> (f64, f64) {
    let inverse = |size: f64| if size > 0.0 { 1.0 / size } else { 0.0 };
    match scale {
        Scale::None => (0.0, 1.0),
        Scale::UnitPeak => {
            let peak = values.iter().fold(0.0, |peak: f64, value| peak.max(value.abs()));
            (0.0, inverse(peak))
        }
        Scale::ZScore => {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
            (mean, inverse(variance.sqrt()))
        }
    }
}
