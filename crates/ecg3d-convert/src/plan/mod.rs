mod batch;
mod load;
mod many;
mod stages;
mod warning;

use ecg_core::{LeadName, Recording, SamplingRate};
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2, ArrayViewMut3, s};

pub use many::Plans;
pub use warning::ConvertWarning;

use crate::real::sealed::Token;
use crate::{
    Band, Continuation, ConvertConfig, ConvertError, Denoise, FftResampler, ImagePlan,
    PolyResampler, Real, Resample, Scale, Scratch, ShortRecords, Sos, butterworth, rate_ratio,
};
use load::Loaded;

/// A prepared signal: filtered and resampled.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Prepared {
    /// `[lead, sample]`, in the shape that the plan gives. Zero from `length` on; see [`Prepared::real`].
    pub signal: Array2<f32>,
    /// The leads of the rows of `signal`. Leads chosen by name have their standard names; those of
    /// [`LeadSelection::File`](crate::LeadSelection::File) have their names in the recording.
    pub leads: Vec<LeadName>,
    /// Number of samples that are real, not padding.
    pub length: usize,
    /// What the user should know about the recording.
    pub warnings: Vec<ConvertWarning>,
}

impl Prepared {
    /// The signal without its padding: the first `length` samples of each lead, `[lead, sample]`.
    ///
    /// With [`ShortRecords::Pad`], this may be less than a window. The only window of such a recording is the start of
    /// `signal`, padding included.
    pub fn real(&self) -> ArrayView2<'_, f32> {
        self.signal.slice(s![.., ..self.length.min(self.signal.ncols())])
    }
}

/// What [`ConvertPlan::prepare_into`] returns besides the signal.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// Number of samples that are real; those that follow are zero.
    pub length: usize,
    /// What the user should know about the recording. For most recordings this is empty, and so takes no allocation.
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
    /// Plans the conversion of recordings of a given sampling rate.
    ///
    /// # Errors
    /// Returns an error if:
    /// - the configuration is invalid;
    /// - the filter or the resampling cannot work at this rate;
    /// - [`ConvertConfig::first_samples`] make less than a window at this rate (unless [`ShortRecords::Pad`] extends
    ///   them).
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
        let plan = Self { config, rate, filter, resampler, images };
        let needed = plan.window_input();
        if let Some(samples) = plan.config.first_samples
            && samples < needed
            && plan.config.short_records == ShortRecords::Reject
        {
            return Err(ConvertError::config(
                "first_samples",
                format_args!("{samples}, but a window needs {needed} at {} Hz", rate.hz()),
                "at least a window",
            ));
        }
        Ok(plan)
    }

    /// The configuration.
    pub fn config(&self) -> &ConvertConfig {
        &self.config
    }

    /// The sampling rate that the plan is made for.
    pub fn sampling_rate(&self) -> SamplingRate {
        self.rate
    }

    /// The second half of the conversion, from the prepared signal on, which needs no sampling rate.
    pub fn image_plan(&self) -> &ImagePlan {
        &self.images
    }

    /// Shape of a prepared signal, `[lead, sample]`: `[12, 100]` published, `[12, 50 max_seconds]` corrected.
    pub fn prepared_shape(&self) -> [usize; 2] {
        self.config.prepared_shape()
    }

    /// Returns where the windows of a prepared signal start, given that its first `length` samples are real; see
    /// [`ConvertConfig::window_starts`].
    pub fn windows(&self, length: usize) -> Vec<usize> {
        self.config.window_starts(length)
    }

    /// The smallest number of samples of a recording that is not refused: 1 with [`ShortRecords::Pad`].
    pub fn min_samples(&self) -> usize {
        match self.config.short_records {
            ShortRecords::Pad => 1,
            ShortRecords::Reject => self.window_input(),
        }
    }

    /// Number of samples of a recording that make a window; with fewer, the recording is short.
    fn window_input(&self) -> usize {
        match &self.resampler {
            Resampler::Fft(resampler) => resampler.lengths().0,
            // Computed from the factors, not the rates: otherwise 2 s at 500.004 Hz would be 1001 samples.
            Resampler::Polyphase(resampler) => {
                let (up, down) = resampler.ratio();
                (self.config.window_samples() * down).div_ceil(up)
            }
        }
    }

    /// Filters and resamples a recording.
    ///
    /// # Errors
    /// Returns an error if:
    /// - the sampling rate is not the plan's, or leads are missing;
    /// - there are too few samples, or samples are not finite numbers; [`ConvertConfig::short_records`] and
    ///   [`ConvertConfig::invalid_samples`] decide;
    /// - samples are so large that they overflow;
    /// - the recording's names, integers or gains do not fit its signal;
    /// - a [`Scale`] is chosen, and resampling raises the number of the recording's values (leads times samples) to
    ///   more than 2^26.
    pub fn prepare(&self, recording: &Recording) -> Result<Prepared, ConvertError> {
        self.prepare_with(recording, &mut Scratch::new())
    }

    fn prepare_with(
        &self,
        recording: &Recording,
        scratch: &mut Scratch,
    ) -> Result<Prepared, ConvertError> {
        let mut signal = Array2::zeros(self.prepared_shape());
        let Outcome { length, warnings } =
            self.prepare_into(recording, signal.view_mut(), scratch)?;
        Ok(Prepared { signal, leads: self.lead_names(recording), length, warnings })
    }

    /// Like [`ConvertPlan::prepare`], but does not allocate, except for warnings and for
    /// [`crate::FirMethod::Convolution`].
    ///
    /// All arithmetic is done in `f64`; only the result is rounded to `T`.
    ///
    /// # Errors
    /// Returns the errors of [`ConvertPlan::prepare`], and an error if the array does not have the shape of
    /// [`ConvertPlan::prepared_shape`].
    pub fn prepare_into<T: Real>(
        &self,
        recording: &Recording,
        mut out: ArrayViewMut2<'_, T>,
        scratch: &mut Scratch,
    ) -> Result<Outcome, ConvertError> {
        let [leads, kept] = self.prepared_shape();
        ConvertError::check_shape("the prepared signal", out.shape(), &[leads, kept])?;
        let Loaded { samples: n, real, warnings } = self.load(recording, &mut scratch.rows)?;
        let rounding = match self.config.scale {
            Scale::None => 0.0,
            _ => ROUNDING * peak(scratch.rows.iter()),
        };
        if let Some(filter) = &self.filter {
            match self.config.denoise {
                Denoise::BothWays { padding_s, .. } => {
                    // Nothing of a constant passes the filter. Of zeros, not even a rounding error is left.
                    for row in scratch.rows.chunks_exact_mut(n).filter(|row| is_flat(row)) {
                        row.fill(0.0);
                    }
                    let padding = (padding_s * self.rate.hz()).round() as usize;
                    let padding = padding.min(n - 1);
                    filter.rows_both_ways(
                        &mut scratch.rows,
                        n,
                        Continuation::Odd,
                        padding,
                        &mut scratch.padded,
                    )?;
                }
                _ => filter.filter_rows(&mut scratch.rows, n),
            }
        }
        let width = match &self.resampler {
            Resampler::Fft(plan) => plan.lengths().1,
            // Nothing need be computed of what is cut off.
            Resampler::Polyphase(plan) if self.config.scale == Scale::None => {
                plan.output_len(n).min(kept)
            }
            Resampler::Polyphase(plan) => {
                let (width, most) = (plan.output_len(n), MOST_VALUES.max(scratch.rows.len()));
                let values = leads.saturating_mul(width);
                if values > most {
                    return Err(ConvertError::TooLong { values, most });
                }
                width
            }
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
        // What was made from padding is not part of the signal.
        let real = if real < n { (real * width).div_ceil(n) } else { width };
        let rows = || scratch.resampled.chunks_exact(width).map(|row| &row[..real]);
        let (offset, factor) = scaling(self.config.scale, rows().flatten(), rounding)
            .ok_or_else(|| overflow(rows().enumerate()))?;
        let length = real.min(kept);
        out.fill(T::zero());
        for (lead, (mut out, row)) in out.rows_mut().into_iter().zip(rows()).enumerate() {
            let mut finite = true;
            for (cell, value) in out.iter_mut().zip(&row[..length]) {
                *cell = T::from_f64((value - offset) * factor);
                finite &= cell.is_finite();
            }
            if !finite {
                return Err(overflow([(lead, row)].into_iter()));
            }
        }
        Ok(Outcome { length, warnings })
    }

    /// Returns the volume `[depth, height, width]` of a recording's first window.
    ///
    /// Warnings are dropped; [`ConvertPlan::convert_into`] returns them.
    ///
    /// # Errors
    /// Returns the errors of [`ConvertPlan::prepare`] and [`ImagePlan::images`].
    pub fn convert(&self, recording: &Recording) -> Result<Array3<f32>, ConvertError> {
        let mut out = Array3::zeros(self.images.volume_shape());
        self.convert_into(recording, out.view_mut(), &mut Scratch::new())?;
        Ok(out)
    }

    /// Like [`ConvertPlan::convert`], but does not allocate, with the same exceptions as [`ConvertPlan::prepare_into`].
    ///
    /// # Errors
    /// Returns the errors of [`ConvertPlan::convert`], and an error if the array does not have the volume's shape.
    pub fn convert_into<T: Real>(
        &self,
        recording: &Recording,
        out: ArrayViewMut3<'_, T>,
        scratch: &mut Scratch,
    ) -> Result<Outcome, ConvertError> {
        let [leads, samples] = self.prepared_shape();
        let mut prepared = std::mem::take(T::prepared(scratch, Token));
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
        *T::prepared(scratch, Token) = prepared;
        result
    }
}

/// Number of values that a recording may become if all are needed to scale it: 512 MiB, 31 hours of twelve leads at
/// 50 Hz. A recording that has more values before it is resampled than after is let through.
const MOST_VALUES: usize = 1 << 26;

/// Share of a recording's largest magnitude. What the filter leaves below it is rounding, for example of a constant.
const ROUNDING: f64 = 1e-12;

/// The number to subtract from each value, and the factor to multiply the difference by. The factor is 0 if the size of
/// the values (peak or standard deviation) is at most `rounding`, or is subnormal. `None` if that size overflows.
fn scaling<'a>(
    scale: Scale,
    values: impl Iterator<Item = &'a f64> + Clone,
    rounding: f64,
) -> Option<(f64, f64)> {
    let (offset, size) = match scale {
        Scale::None => return Some((0.0, 1.0)),
        Scale::UnitPeak => (0.0, peak(values)),
        Scale::ZScore => {
            let n = values.clone().count() as f64;
            let mean = values.clone().sum::<f64>() / n;
            let variance = values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
            (mean, variance.sqrt())
        }
    };
    size.is_finite()
        .then(|| (offset, if size > rounding.max(f64::MIN_POSITIVE) { 1.0 / size } else { 0.0 }))
}

/// The error that names the row with the largest magnitude. NaN, the difference of two infinities, counts as infinite.
fn overflow<'a>(rows: impl Iterator<Item = (usize, &'a [f64])>) -> ConvertError {
    let magnitude = |value: &f64| if value.is_nan() { f64::INFINITY } else { value.abs() };
    let peaks = rows.map(|(lead, row)| (lead, row.iter().map(magnitude).fold(0.0, f64::max)));
    let (lead, value) = peaks.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
    ConvertError::Overflow { lead, value }
}

fn is_flat(row: &[f64]) -> bool {
    row.iter().all(|value| *value == row[0])
}

fn peak<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    values.fold(0.0, |peak, value| peak.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use ecg_core::Lead;

    use super::*;

    #[test]
    fn no_more_is_resampled_than_is_kept() {
        // Just above twice the filter's corner frequency. 50 Hz is 5000/101 times this rate.
        let rate = SamplingRate::new(1.01).expect("a rate");
        let signal = Array2::from_shape_fn((12, 2000), |(lead, t)| ((t * (lead + 7)) % 41) as f64);
        let recording = Recording::new("slow", rate, Lead::STANDARD_12, signal);
        let recording = recording.expect("a recording");
        let mut scratch = Scratch::new();
        let mut prepare = |scale, seconds| {
            let config = ConvertConfig::corrected().with_scale(scale).with_max_seconds(seconds);
            let plan = ConvertPlan::new(config, rate).expect("a plan");
            let mut signal = Array2::<f64>::zeros(plan.prepared_shape());
            let outcome = plan.prepare_into(&recording, signal.view_mut(), &mut scratch);
            assert_eq!(outcome.expect("prepares").length, signal.ncols());
            (signal, scratch.resampled.len())
        };
        let (cut, made) = prepare(Scale::None, 10.0);
        assert_eq!(made, 12 * 500);
        let (whole, made) = prepare(Scale::None, 1000.0);
        assert_eq!(made, 12 * 50_000);
        assert_eq!(cut, whole.slice(s![.., ..500]));
        // Scaling needs the whole recording.
        let (_, made) = prepare(Scale::UnitPeak, 10.0);
        assert_eq!(made, 12 * 99_010);
    }
}
