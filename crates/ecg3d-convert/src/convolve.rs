use std::fmt;
use std::sync::Arc;

use rustfft::num_complex::Complex64;
use rustfft::{Fft, FftPlanner};

use crate::{ConvertError, kaiser_low_pass};

/// Which values of a convolution are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extent {
    /// All values that a sample contributes to: `n + taps - 1`.
    Full,
    /// The middle values, as many as there are samples. A symmetric filter with an odd number of taps delays nothing.
    #[default]
    Same,
    /// The values that all taps contribute to: `n - taps + 1`, or none if the signal is shorter than the filter.
    Valid,
}

impl Extent {
    /// Returns the first value kept and how many are kept, for a signal that is not empty.
    fn range(self, n: usize, taps: usize) -> (usize, usize) {
        match self {
            _ if n == 0 => (0, 0),
            Self::Full => (0, n + taps - 1),
            Self::Same => ((taps - 1) / 2, n),
            Self::Valid => (taps - 1, (n + 1).saturating_sub(taps)),
        }
    }
}

/// A filter with a finite impulse response: value t is the sum of `taps[k] x[t - k]`.
///
/// ```
/// use ecg3d_convert::{Extent, Fir};
///
/// let fir = Fir::new(vec![0.25, 0.5, 0.25])?;
/// let signal = [0.0, 4.0, 0.0, 0.0];
/// assert_eq!(fir.convolve(&signal, Extent::Same), [1.0, 2.0, 1.0, 0.0]);
///
/// // In pieces, as samples arrive.
/// let (mut head, mut tail, mut state) = ([0.0, 4.0], [0.0, 0.0], fir.rest());
/// fir.filter(&mut head, &mut state)?;
/// fir.filter(&mut tail, &mut state)?;
/// assert_eq!((head, tail), ([0.0, 1.0], [2.0, 1.0]));
/// # Ok::<(), ecg3d_convert::ConvertError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fir {
    taps: Vec<f64>,
}

/// The memory of a [`Fir`] between two pieces of a signal: the samples that later values still need.
#[derive(Debug, Clone, PartialEq)]
pub struct FirState(Vec<f64>);

impl FirState {
    /// Creates a state from the last samples, oldest first: one fewer than the filter has taps. With it, filtering
    /// continues where [`FirState::samples`] were taken.
    pub fn new(samples: Vec<f64>) -> Self {
        Self(samples)
    }

    /// The last samples, oldest first: one fewer than the filter has taps.
    pub fn samples(&self) -> &[f64] {
        &self.0
    }
}

impl Fir {
    /// Creates a filter with these taps.
    ///
    /// # Errors
    /// Returns an error if there are no taps, or if one is not a finite number.
    pub fn new(taps: Vec<f64>) -> Result<Self, ConvertError> {
        if taps.is_empty() {
            return Err(ConvertError::Length { what: "an FIR filter", expected: 1, found: 0 });
        }
        match taps.iter().find(|tap| !tap.is_finite()) {
            Some(tap) => Err(ConvertError::config("a tap", tap, "a finite number")),
            None => Ok(Self { taps }),
        }
    }

    /// Creates the low-pass of [`kaiser_low_pass`].
    ///
    /// # Errors
    /// Returns an error if `cutoff` is not above 0 and at most 1, or if `beta` is not from 0 to 500.
    pub fn low_pass(half: usize, cutoff: f64, beta: f64) -> Result<Self, ConvertError> {
        if !(cutoff > 0.0 && cutoff <= 1.0) {
            return Err(ConvertError::config(
                "the cutoff of a low-pass filter",
                cutoff,
                "above 0 and at most 1",
            ));
        }
        if !(0.0..=500.0).contains(&beta) {
            return Err(ConvertError::config("Kaiser's beta", beta, "0 to 500"));
        }
        Self::new(kaiser_low_pass(half, cutoff, beta))
    }

    /// The taps.
    pub fn taps(&self) -> &[f64] {
        &self.taps
    }

    /// Convolves the filter with a signal that is zero beyond its ends. Summed directly: `taps` products for each
    /// value.
    pub fn convolve(&self, signal: &[f64], extent: Extent) -> Vec<f64> {
        let (n, count) = (signal.len(), self.taps.len());
        let (first, length) = extent.range(n, count);
        let value = |t: usize| -> f64 {
            let taps = &self.taps[(t + 1).saturating_sub(n)..count.min(t + 1)];
            let start = t + 1 - count.min(t + 1);
            let samples = signal[start..start + taps.len()].iter().rev();
            taps.iter().zip(samples).map(|(tap, sample)| tap * sample).sum()
        };
        (first..first + length).map(value).collect()
    }

    /// Plans the same convolution by FFT, which is faster from some dozens of taps on.
    pub fn by_fft(&self) -> FftFir {
        FftFir::new(self)
    }

    /// Returns the state of a filter that has only seen zeros.
    pub fn rest(&self) -> FirState {
        FirState(vec![0.0; self.taps.len() - 1])
    }

    /// Filters a piece of a signal in place, causally. `state` carries over to the next piece.
    ///
    /// # Errors
    /// Returns an error if the state belongs to a filter with another number of taps.
    pub fn filter(&self, signal: &mut [f64], state: &mut FirState) -> Result<(), ConvertError> {
        ConvertError::check_shape("the state", &[state.0.len()], &[self.taps.len() - 1])?;
        let kept = state.0.len();
        let mut samples = std::mem::take(&mut state.0);
        samples.extend_from_slice(signal);
        for (value, window) in signal.iter_mut().zip(samples.windows(self.taps.len())) {
            let newest_first = window.iter().rev();
            *value = self.taps.iter().zip(newest_first).map(|(tap, sample)| tap * sample).sum();
        }
        samples.drain(..samples.len() - kept);
        state.0 = samples;
        Ok(())
    }
}

/// A [`Fir`] that is convolved by FFT, block by block. Planned once, shared freely between threads.
///
/// ```
/// use ecg3d_convert::{Extent, Fir};
///
/// let fir = Fir::low_pass(100, 0.1, 5.0)?;
/// let signal: Vec<f64> = (0..5000).map(|t| (t % 77) as f64).collect();
/// let quick = fir.by_fft().convolve(&signal, Extent::Same);
/// for (a, b) in quick.iter().zip(fir.convolve(&signal, Extent::Same)) {
///     assert!((a - b).abs() < 1e-12);
/// }
/// # Ok::<(), ecg3d_convert::ConvertError>(())
/// ```
#[derive(Clone)]
pub struct FftFir {
    taps: usize,
    /// The spectrum of the taps, divided by the length of the transform.
    spectrum: Vec<Complex64>,
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
}

impl FftFir {
    fn new(fir: &Fir) -> Self {
        let taps = fir.taps.len();
        // At least three quarters of a block are new samples, and no block is too short to be worth a transform.
        let length = (4 * taps).next_power_of_two().max(256);
        let mut planner = FftPlanner::new();
        let (forward, inverse) =
            (planner.plan_fft_forward(length), planner.plan_fft_inverse(length));
        let mut spectrum = vec![Complex64::default(); length];
        for (value, tap) in spectrum.iter_mut().zip(&fir.taps) {
            value.re = tap / length as f64;
        }
        forward.process(&mut spectrum);
        Self { taps, spectrum, forward, inverse }
    }

    /// Like [`Fir::convolve`], and equal up to rounding: about 1e-16 of the largest value for each doubling of the
    /// taps.
    pub fn convolve(&self, signal: &[f64], extent: Extent) -> Vec<f64> {
        let length = self.spectrum.len();
        let step = length - (self.taps - 1);
        let (first, count) = extent.range(signal.len(), self.taps);
        let mut out = vec![0.0; count];
        let mut add = |start: usize, values: &mut dyn Iterator<Item = f64>| {
            for (t, value) in (start..).zip(values) {
                if let Some(cell) = t.checked_sub(first).and_then(|t| out.get_mut(t)) {
                    *cell += value;
                }
            }
        };
        let mut block = vec![Complex64::default(); length];
        let mut work =
            vec![
                Complex64::default();
                self.forward.get_inplace_scratch_len().max(self.inverse.get_inplace_scratch_len())
            ];
        // The taps are real, so two blocks can be transformed together, as the real and the imaginary part.
        for (pair, samples) in signal.chunks(2 * step).enumerate() {
            let (a, b) = samples.split_at(step.min(samples.len()));
            block.fill(Complex64::default());
            block.iter_mut().zip(a).for_each(|(value, &sample)| value.re = sample);
            block.iter_mut().zip(b).for_each(|(value, &sample)| value.im = sample);
            self.forward.process_with_scratch(&mut block, &mut work);
            block.iter_mut().zip(&self.spectrum).for_each(|(value, factor)| *value *= factor);
            self.inverse.process_with_scratch(&mut block, &mut work);
            let start = 2 * pair * step;
            // The output of a block goes on after its samples for as long as the filter does.
            let reach = |samples: &[f64]| {
                if samples.is_empty() { 0 } else { samples.len() + self.taps - 1 }
            };
            add(start, &mut block[..reach(a)].iter().map(|value| value.re));
            add(start + step, &mut block[..reach(b)].iter().map(|value| value.im));
        }
        out
    }
}

impl fmt::Debug for FftFir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FftFir")
            .field("taps", &self.taps)
            .field("length", &self.spectrum.len())
            .finish()
    }
}
