use crate::kernel::load;
use crate::simd::{LANES, Vector};
use crate::{ConvertError, Real};

/// The states of [`crate::RecurrencePlot`] and their Euclidean distances, which are all that the presets need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recurrence {
    pub(crate) dimension: usize,
    pub(crate) delay: usize,
}

impl Recurrence {
    /// States of `dimension` samples, `delay` samples apart; neither may be zero.
    pub(crate) fn new(dimension: usize, delay: usize) -> Result<Self, ConvertError> {
        for (field, value) in [("embedding_dimension", dimension), ("embedding_delay", delay)] {
            if value == 0 {
                return Err(ConvertError::config(field, value, "a positive whole number"));
            }
        }
        Ok(Self { dimension, delay })
    }

    /// Number of samples that a state spans after its first.
    fn span(self) -> usize {
        (self.dimension - 1).saturating_mul(self.delay)
    }

    /// Number of states of a signal of `n` samples: `n - (dimension - 1) delay`, or 0.
    pub(crate) fn states(self, n: usize) -> usize {
        n.saturating_sub(self.span())
    }

    /// Number of samples of a signal that has `states` states.
    pub(crate) fn window(self, states: usize) -> usize {
        states.saturating_add(self.span())
    }

    /// Fills `M` groups of columns of a plot, from column `first` on, with the distances of their states to each state
    /// in turn.
    ///
    /// `signal` must reach at least `span` samples beyond the last of these columns. Columns made from what follows the
    /// real samples have no meaning.
    #[inline(always)]
    pub(crate) fn fill<T: Real, V: Vector<T>, const M: usize>(
        self,
        signal: &[T],
        first: usize,
        columns: &mut [[T; LANES]],
    ) {
        let (columns, _) = columns.as_chunks_mut::<M>();
        // The usual two dimensions in one pass. In either case, the sum is taken in the order of the delays.
        if self.dimension == 2 {
            let (xs, ys) =
                (states::<T, V, M>(signal, first), states::<T, V, M>(signal, first + self.delay));
            let pairs = signal.iter().zip(&signal[self.delay..]);
            for (cells, (&x0, &y0)) in columns.iter_mut().zip(pairs) {
                let (x0, y0) = (V::splat(x0), V::splat(y0));
                for m in 0..M {
                    let (x, y) = (xs[m] - x0, ys[m] - y0);
                    (x * x + y * y).sqrt().store(&mut cells[m]);
                }
            }
            return;
        }
        for (i, cells) in columns.iter_mut().enumerate() {
            let mut sums = [V::splat(T::zero()); M];
            for k in 0..self.dimension {
                let xs = states::<T, V, M>(signal, first + k * self.delay);
                let x0 = V::splat(signal[i + k * self.delay]);
                for m in 0..M {
                    let x = xs[m] - x0;
                    sums[m] = sums[m] + x * x;
                }
            }
            for m in 0..M {
                sums[m].sqrt().store(&mut cells[m]);
            }
        }
    }
}

/// The samples from `first` on.
#[inline(always)]
fn states<T: Real, V: Vector<T>, const M: usize>(signal: &[T], first: usize) -> [V; M] {
    load(&signal[first..].as_chunks().0.as_chunks::<M>().0[0])
}
