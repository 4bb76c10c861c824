use ndarray::Array2;

use crate::simd::update;
use crate::{ConvertError, Real};

/// The recurrence plot without a threshold: the distances between all states of a signal.
///
/// State `i` of a signal x is (x\[i\], x\[i + delay\], ..., x\[i + (dimension - 1) delay\]); the plot holds the Euclidean
/// distance of states `i` and `j` in row `i` and column `j`, in the unit of the signal. Source: Eckmann, Kamphorst and
/// Ruelle, Europhys. Lett. 4 (1987) 973.
///
/// ```
/// use ecg3d_convert::Recurrence;
///
/// let plot = Recurrence::new(2, 1)?.distances(&[0.0_f64, 3.0, 3.0, 7.0])?;
/// assert_eq!(plot.dim(), (3, 3));
/// assert_eq!(plot[[0, 2]], 5.0); // from (0, 3) to (3, 7)
/// assert_eq!(plot[[2, 0]], 5.0);
/// # Ok::<(), ecg3d_convert::ConvertError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recurrence {
    dimension: usize,
    delay: usize,
}

impl Recurrence {
    /// A plot of states of `dimension` samples, `delay` samples apart.
    ///
    /// # Errors
    /// Either is zero.
    pub fn new(dimension: usize, delay: usize) -> Result<Self, ConvertError> {
        for (field, value) in [("embedding_dimension", dimension), ("embedding_delay", delay)] {
            if value == 0 {
                return Err(ConvertError::config(field, value, "a positive whole number"));
            }
        }
        Ok(Self { dimension, delay })
    }

    /// Samples that a state spans beyond its first.
    fn span(self) -> usize {
        (self.dimension - 1).saturating_mul(self.delay)
    }

    /// States of a signal of `n` samples: `n - (dimension - 1) delay`, or 0.
    pub fn states(self, n: usize) -> usize {
        n.saturating_sub(self.span())
    }

    /// Samples of a signal of `states` states.
    pub(crate) fn window(self, states: usize) -> usize {
        states + self.span()
    }

    /// The distances `[state, state]` of a signal.
    ///
    /// # Errors
    /// A signal too short for one state.
    pub fn distances<T: Real>(self, signal: &[T]) -> Result<Array2<T>, ConvertError> {
        let n = self.states(signal.len());
        if n == 0 {
            let expected = self.span().saturating_add(1);
            let what = "a recurrence plot";
            return Err(ConvertError::Length { what, expected, found: signal.len() });
        }
        let mut plot = Array2::zeros((n, n));
        if let Some(rows) = plot.as_slice_mut() {
            self.fill(signal, n, rows);
        }
        Ok(plot)
    }

    /// Fills rows of `stride` distances; `signal` has at least `stride + span` values, of which those behind the real
    /// ones give columns without meaning.
    #[inline(always)]
    pub(crate) fn fill<T: Real>(self, signal: &[T], stride: usize, rows: &mut [T]) {
        for (i, row) in rows.chunks_exact_mut(stride).enumerate() {
            let shifted =
                |k: usize| (&signal[k * self.delay..][..stride], signal[i + k * self.delay]);
            // The usual two dimensions at one go; the sum is taken in the order of the delays either way.
            if self.dimension == 2 {
                let ((a, a0), (b, b0)) = (shifted(0), shifted(1));
                row.copy_from_slice(a);
                update(row, b, |a, b| ((a - a0) * (a - a0) + (b - b0) * (b - b0)).sqrt());
                continue;
            }
            row.fill(T::zero());
            for k in 0..self.dimension {
                let (x, x0) = shifted(k);
                update(row, x, |sum, x| sum + (x - x0) * (x - x0));
            }
            row.iter_mut().for_each(|cell| *cell = cell.sqrt());
        }
    }
}
