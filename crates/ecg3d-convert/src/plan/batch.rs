use ecg_core::Recording;
use ndarray::{Array3, ArrayViewMut3, ArrayViewMut4};
#[cfg(feature = "rayon")]
use rayon::prelude::*;

use super::{ConvertPlan, Outcome, Prepared};
use crate::{ConvertError, Real, Scratch};

/// Many recordings at once: with the feature `rayon` on all threads of rayon's current pool, else one after another. The results
/// come in the order of the recordings and have the same bits whatever the number of threads.
impl ConvertPlan {
    /// [`ConvertPlan::prepare`] for each recording; one that fails stops no other.
    pub fn prepare_all(&self, recordings: &[Recording]) -> Vec<Result<Prepared, ConvertError>> {
        map_all(recordings, |scratch, recording| {
            let mut signal = ndarray::Array2::zeros(self.prepared_shape());
            let Outcome { length, warnings } =
                self.prepare_into(recording, signal.view_mut(), scratch)?;
            Ok(Prepared { signal, length, warnings })
        })
    }

    /// [`ConvertPlan::convert`] for each recording; one that fails stops no other.
    ///
    /// A volume of 45x45x45 has 365 KB; [`ConvertPlan::convert_all_into`] writes to one array.
    pub fn convert_all(&self, recordings: &[Recording]) -> Vec<Result<Array3<f32>, ConvertError>> {
        map_all(recordings, |scratch, recording| {
            let mut out = Array3::zeros(self.images.volume_shape());
            self.convert_into(recording, out.view_mut(), scratch)?;
            Ok(out)
        })
    }

    /// [`ConvertPlan::convert_into`] for each recording, into the rows of an array `[record, depth, height, width]`.
    ///
    /// The row of a recording that fails is zero.
    ///
    /// # Errors
    /// An array of another shape; what is wrong with a recording is in its own result.
    pub fn convert_all_into<T: Real>(
        &self,
        recordings: &[Recording],
        mut out: ArrayViewMut4<'_, T>,
    ) -> Result<Vec<Result<Outcome, ConvertError>>, ConvertError> {
        let [depth, height, width] = self.images.volume_shape();
        let expected = [recordings.len(), depth, height, width];
        ConvertError::check_shape("the array of volumes", out.shape(), &expected)?;
        let rows: Vec<(&Recording, ArrayViewMut3<'_, T>)> =
            recordings.iter().zip(out.outer_iter_mut()).collect();
        Ok(map_all(rows, |scratch, (recording, mut row)| {
            let result = self.convert_into(recording, row.view_mut(), scratch);
            if result.is_err() {
                row.fill(T::zero());
            }
            result
        }))
    }
}

/// Does the work for each item with a scratch that many share.
#[cfg(feature = "rayon")]
fn map_all<I: IntoParallelIterator, R: Send>(
    items: I,
    work: impl Fn(&mut Scratch, I::Item) -> R + Sync + Send,
) -> Vec<R>
where
    I::Iter: IndexedParallelIterator,
{
    items.into_par_iter().map_init(Scratch::new, work).collect()
}

/// Does the work for each item with a scratch that all share.
#[cfg(not(feature = "rayon"))]
fn map_all<I: IntoIterator, R>(items: I, work: impl Fn(&mut Scratch, I::Item) -> R) -> Vec<R> {
    let mut scratch = Scratch::new();
    items.into_iter().map(|item| work(&mut scratch, item)).collect()
}
