//! Finite impulse responses: the low-pass of the polyphase resampler, and its convolution.

use std::f64::consts::PI;

use ndarray::{Array1, ArrayView1, ArrayView2, ArrayViewMut2, s};
use ndarray_conv::{ConvFFTExt, ConvMode, PaddingMode, get_fft_processor};

use crate::ConvertError;

/// Modified Bessel function of the first kind and order 0, computed by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= quarter / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

/// Returns the taps of a symmetric low-pass of 2 `half` + 1 taps that passes a constant unchanged.
///
/// `cutoff` is the corner frequency as a fraction of half the sampling rate, above 0 and at most 1. `beta` is the shape
/// of the Kaiser window, 0 or more (0 is no window). Other values give useless taps, which may be NaN. The result
/// equals SciPy's `firwin(2 * half + 1, cutoff, window=("kaiser", beta))`. Source: Kaiser, in Kuo and Kaiser (editors),
/// System Analysis by Digital Computer, 1966.
pub fn kaiser_low_pass(half: usize, cutoff: f64, beta: f64) -> Vec<f64> {
    let middle = bessel_i0(beta);
    let tap = |k: usize| {
        let m = k as f64 - half as f64;
        let share = if half == 0 { 0.0 } else { m / half as f64 };
        let window = bessel_i0(beta * (1.0 - share * share).max(0.0).sqrt()) / middle;
        let angle = PI * cutoff * m;
        let sinc = if m == 0.0 { 1.0 } else { angle.sin() / angle };
        cutoff * sinc * window
    };
    let taps: Vec<f64> = (0..=2 * half).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    taps.into_iter().map(|tap| tap / sum).collect()
}

/// Convolves each row with `taps` by FFT, where they overlap fully, and keeps every `step`-th value from `first` on, as
/// many as a row of `out` holds. Samples after those that these values need are not looked at.
pub(crate) fn convolve_rows(
    rows: ArrayView2<'_, f64>,
    taps: &[f64],
    first: usize,
    step: usize,
    mut out: ArrayViewMut2<'_, f64>,
) -> Result<(), ConvertError> {
    let needed = first + out.ncols().saturating_sub(1) * step + taps.len();
    let rows = rows.slice(s![.., ..needed]);
    let kernel = ArrayView1::from(taps);
    let mut processor = get_fft_processor::<f64, f64>();
    for (row, mut out) in rows.rows().into_iter().zip(out.rows_mut()) {
        let full: Array1<f64> = row
            .conv_fft_with_processor(&kernel, ConvMode::Valid, PaddingMode::Zeros, &mut processor)
            .map_err(|error| ConvertError::Convolution {
                samples: row.len(),
                taps: taps.len(),
                reason: error.to_string(),
            })?;
        let values = full.iter().skip(first).step_by(step);
        out.iter_mut().zip(values).for_each(|(cell, &value)| *cell = value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn no_more_is_convolved_than_is_kept() {
        let taps = kaiser_low_pass(20, 0.5, 5.0);
        let mut rows = Array2::from_shape_fn((2, 500), |(row, t)| ((t * (row + 3)) % 17) as f64);
        let mut whole = Array2::zeros((2, 200));
        convolve_rows(rows.view(), &taps, 1, 2, whole.view_mut()).expect("convolves");
        // The last of ten values needs the samples up to 1 + 9 * 2 + 41. With one NaN, a transform is NaN throughout.
        rows.slice_mut(s![.., 60..]).fill(f64::NAN);
        let mut cut = Array2::zeros((2, 10));
        convolve_rows(rows.view(), &taps, 1, 2, cut.view_mut()).expect("convolves");
        for (a, b) in cut.iter().zip(whole.slice(s![.., ..10])) {
            approx::assert_abs_diff_eq!(a, b, epsilon = 1e-12);
        }
    }

    #[test]
    fn low_pass_is_symmetric_and_passes_constants() {
        let taps = kaiser_low_pass(100, 0.1, 5.0);
        assert_eq!(taps.len(), 201);
        for k in 0..100 {
            approx::assert_relative_eq!(taps[k], taps[200 - k], max_relative = 1e-12);
        }
        approx::assert_relative_eq!(taps.iter().sum::<f64>(), 1.0, max_relative = 1e-15);
    }
}
