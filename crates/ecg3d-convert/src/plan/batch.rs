use ecg_core::Recording;
use ndarray::{Array3, ArrayViewMut, ArrayViewMut3, ArrayViewMut4, RemoveAxis};
#[cfg(feature = "rayon")]
use rayon::prelude::*;

use super::{ConvertPlan, Outcome, Prepared};
use crate::{ConvertError, Real, Scratch};

/// Batches of recordings.
///
/// With the feature `rayon`, these run on all threads of rayon's current pool; without it, one recording after another.
/// The results come in the order of the recordings and are bit-identical for any number of threads.
impl ConvertPlan {
    /// Calls [`ConvertPlan::prepare`] for each recording. One that fails does not stop the others.
    pub fn prepare_all(&self, recordings: &[Recording]) -> Vec<Result<Prepared, ConvertError>> {
        map_all(recordings, |scratch, recording| self.prepare_with(recording, scratch))
    }

    /// Calls [`ConvertPlan::prepare_into`] for each recording, writing to the rows of an array
    /// `[record, lead, sample]`.
    ///
    /// Store this rather than volumes: it is far smaller. [`Outcome::length`] says how many samples of a row are real.
    /// If a recording fails, its row is zero.
    ///
    /// # Errors
    /// Returns an error if the array has another shape. What is wrong with a recording is in its own result.
    pub fn prepare_all_into<T: Real>(
        &self,
        recordings: &[Recording],
        out: ArrayViewMut3<'_, T>,
    ) -> Result<Vec<Result<Outcome, ConvertError>>, ConvertError> {
        let [leads, samples] = self.prepared_shape();
        let expected = [recordings.len(), leads, samples];
        ConvertError::check_shape("the array of prepared signals", out.shape(), &expected)?;
        Ok(fill_rows(recordings, out, |scratch, recording, row| {
            self.prepare_into(recording, row, scratch)
        }))
    }

    /// Calls [`ConvertPlan::convert`] for each recording. One that fails does not stop the others.
    ///
    /// Warnings are dropped; [`ConvertPlan::convert_all_into`] returns them.
    ///
    /// A volume of 45x45x45 takes 365 KB; [`ConvertPlan::convert_all_into`] writes all volumes to one array.
    pub fn convert_all(&self, recordings: &[Recording]) -> Vec<Result<Array3<f32>, ConvertError>> {
        map_all(recordings, |scratch, recording| {
            let mut out = Array3::zeros(self.images.volume_shape());
            self.convert_into(recording, out.view_mut(), scratch)?;
            Ok(out)
        })
    }

    /// Calls [`ConvertPlan::convert_into`] for each recording, writing to the rows of an array
    /// `[record, depth, height, width]`.
    ///
    /// If a recording fails, its row is zero.
    ///
    /// # Errors
    /// Returns an error if the array has another shape. What is wrong with a recording is in its own result.
    pub fn convert_all_into<T: Real>(
        &self,
        recordings: &[Recording],
        out: ArrayViewMut4<'_, T>,
    ) -> Result<Vec<Result<Outcome, ConvertError>>, ConvertError> {
        let [depth, height, width] = self.images.volume_shape();
        let expected = [recordings.len(), depth, height, width];
        ConvertError::check_shape("the array of volumes", out.shape(), &expected)?;
        Ok(fill_rows(recordings, out, |scratch, recording, row| {
            self.convert_into(recording, row, scratch)
        }))
    }
}

/// Lets `fill` write each recording to its row; a row whose recording fails is zero.
fn fill_rows<T: Real, D: RemoveAxis>(
    recordings: &[Recording],
    mut out: ArrayViewMut<'_, T, D>,
    fill: impl Fn(
        &mut Scratch,
        &Recording,
        ArrayViewMut<'_, T, D::Smaller>,
    ) -> Result<Outcome, ConvertError>
    + Sync
    + Send,
) -> Vec<Result<Outcome, ConvertError>> {
    let rows: Vec<_> = recordings.iter().zip(out.outer_iter_mut()).collect();
    map_all(rows, |scratch, (recording, mut row)| {
        let result = fill(scratch, recording, row.view_mut());
        if result.is_err() {
            row.fill(T::zero());
        }
        result
    })
}

/// Does the work for each item; many items share a scratch.
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

/// Does the work for each item; all items share one scratch.
#[cfg(not(feature = "rayon"))]
fn map_all<I: IntoIterator, R>(items: I, work: impl Fn(&mut Scratch, I::Item) -> R) -> Vec<R> {
    let mut scratch = Scratch::new();
    items.into_iter().map(|item| work(&mut scratch, item)).collect()
}
