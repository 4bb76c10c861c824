use std::f64::consts::PI;
use std::fmt;
use std::sync::Arc;

use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};

use crate::ConvertError;

/// Resamples a real signal of `from` samples to `to` samples by FFT, without a window.
///
/// The signal is treated as one period of a periodic signal. The result equals that of `scipy.signal.resample`,
/// including the bin at half the lower rate, which is doubled when the number of samples falls and halved when it
/// rises.
///
/// ```
/// use ecg3d_convert::FftResampler;
///
/// let wave = |n: usize| move |t| (t as f64 / n as f64 * std::f64::consts::TAU).cos();
/// let slow = FftResampler::new(1000, 100)?.resample(&(0..1000).map(wave(1000)).collect::<Vec<_>>())?;
/// for (t, value) in slow.iter().enumerate() {
///     assert!((value - wave(100)(t)).abs() < 1e-14);
/// }
/// # Ok::<(), ecg3d_convert::ConvertError>(())
/// ```
#[derive(Clone)]
pub struct FftResampler {
    from: usize,
    to: usize,
    /// Works on `from / 2` complex values (pairs of samples) if `from` is even, otherwise on `from`.
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
    /// exp(-2 pi i k / from) for the bins that are kept, if `from` is even.
    twiddles: Vec<Complex64>,
}

/// Working memory of [`FftResampler::resample_into`]; can be used with any resampler.
#[derive(Debug, Clone, Default)]
pub struct FftScratch {
    spectrum: Vec<Complex64>,
    out: Vec<Complex64>,
    work: Vec<Complex64>,
}

impl FftResampler {
    /// Plans the resampling of `from` samples to `to` samples.
    ///
    /// # Errors
    /// Returns an error if either is zero.
    pub fn new(from: usize, to: usize) -> Result<Self, ConvertError> {
        for found in [from, to] {
            if found == 0 {
                return Err(ConvertError::Length { what: "FFT resampling", expected: 1, found });
            }
        }
        let mut planner = FftPlanner::new();
        let even = from.is_multiple_of(2);
        let twiddle = |k: usize| Complex64::from_polar(1.0, -2.0 * PI * k as f64 / from as f64);
        Ok(Self {
            from,
            to,
            forward: planner.plan_fft_forward(if even { from / 2 } else { from }),
            inverse: planner.plan_fft_inverse(to),
            twiddles: if even { (0..=from.min(to) / 2).map(twiddle).collect() } else { Vec::new() },
        })
    }

    /// Returns the number of input samples and of output samples.
    pub fn lengths(&self) -> (usize, usize) {
        (self.from, self.to)
    }

    /// Creates the working memory for this plan.
    pub fn scratch(&self) -> FftScratch {
        let mut scratch = FftScratch::default();
        self.reserve(&mut scratch);
        scratch
    }

    fn reserve(&self, scratch: &mut FftScratch) {
        let zero = Complex64::default();
        scratch.spectrum.resize(self.forward.len(), zero);
        scratch.out.resize(self.to, zero);
        let work =
            self.forward.get_inplace_scratch_len().max(self.inverse.get_inplace_scratch_len());
        if scratch.work.len() < work {
            scratch.work.resize(work, zero);
        }
    }

    /// Resamples one signal.
    ///
    /// # Errors
    /// Returns an error if the signal does not have the planned length.
    pub fn resample(&self, signal: &[f64]) -> Result<Vec<f64>, ConvertError> {
        let mut out = vec![0.0; self.to];
        self.resample_into(signal, &mut out, &mut self.scratch())?;
        Ok(out)
    }

    /// Resamples one signal, without allocating if the scratch has been used with this plan before.
    ///
    /// # Errors
    /// Returns an error if the signal or the output does not have the planned length.
    pub fn resample_into(
        &self,
        signal: &[f64],
        out: &mut [f64],
        scratch: &mut FftScratch,
    ) -> Result<(), ConvertError> {
        ConvertError::check_shape("the signal", &[signal.len()], &[self.from])?;
        ConvertError::check_shape("the resampled signal", &[out.len()], &[self.to])?;
        self.reserve(scratch);
        let FftScratch { spectrum, out: bins, work } = scratch;
        if self.from.is_multiple_of(2) {
            for (value, pair) in spectrum.iter_mut().zip(signal.chunks_exact(2)) {
                *value = Complex64::new(pair[0], pair[1]);
            }
        } else {
            for (value, &sample) in spectrum.iter_mut().zip(signal) {
                *value = Complex64::new(sample, 0.0);
            }
        }
        self.forward.process_with_scratch(spectrum, work);

        let (from, to) = (self.from, self.to);
        let common = from.min(to);
        bins.fill(Complex64::default());
        for k in 0..=common / 2 {
            let mut value = self.bin(spectrum, k);
            if 2 * k == common && from != to {
                value *= if to < from { 2.0 } else { 0.5 };
            }
            if k == 0 || 2 * k == to {
                // A real signal has real bins at 0 and at half its rate.
                bins[k] = Complex64::new(value.re, 0.0);
            } else {
                bins[k] = value;
                bins[to - k] = value.conj();
            }
        }
        self.inverse.process_with_scratch(bins, work);
        let scale = 1.0 / from as f64;
        for (sample, value) in out.iter_mut().zip(bins.iter()) {
            *sample = value.re * scale;
        }
        Ok(())
    }

    /// Returns bin `k` of the signal's spectrum, computed from the transform of pairs of samples if there is one.
    ///
    /// The transform of the pairs is Z = E + iO, where E is the transform of the even samples and O that of the odd
    /// ones. Both are spectra of real signals, so they can be recovered from Z(k) and the conjugate of Z(-k), and
    /// X(k) = E(k) + exp(-2 pi i k / n) O(k).
    fn bin(&self, spectrum: &[Complex64], k: usize) -> Complex64 {
        if self.twiddles.is_empty() {
            return spectrum[k];
        }
        let half = spectrum.len();
        let (a, b) = (spectrum[k % half], spectrum[(half - k) % half].conj());
        let even = (a + b) * 0.5;
        let odd = (a - b) * Complex64::new(0.0, -0.5);
        even + self.twiddles[k] * odd
    }
}

impl fmt::Debug for FftResampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FftResampler").field("from", &self.from).field("to", &self.to).finish()
    }
}
