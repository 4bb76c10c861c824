use ecg_core::{LabelSet, Predict, PredictError, PredictSubsets};
use ndarray::{Array2, ArrayView3, Ix3, Ix4};

/// A predictor of per-lead images `[record, lead, height, width]` as one of prepared signals `[record, lead, height * width]`.
///
/// With it the players of this crate are images of leads, and [`Baseline::Mean`](crate::Baseline::Mean) of flattened training images is
/// the mean-image baseline. Use players of whole leads ([`Players::leads`](crate::Players::leads)): the derived limb leads follow from I
/// and II as signals, not as images, and a cut in "time" would cut an image's rows.
#[derive(Debug, Clone)]
pub struct FlatImages<P> {
    inner: P,
}

impl<P: Predict<Ix4>> FlatImages<P> {
    /// Wraps a predictor whose [`Predict::input_shape`] is `[lead, height, width]`.
    ///
    /// # Errors
    /// An input shape of another number of axes.
    pub fn new(inner: P) -> Result<Self, PredictError> {
        match inner.input_shape().len() {
            3 => Ok(Self { inner }),
            _ => Err(PredictError::Shape { expected: inner.input_shape(), found: vec![0; 3] }),
        }
    }

    /// The predictor of images.
    pub fn inner(&self) -> &P {
        &self.inner
    }
}

impl<P: Predict<Ix4>> Predict<Ix3> for FlatImages<P> {
    fn input_shape(&self) -> Vec<usize> {
        let shape = self.inner.input_shape();
        vec![shape[0], shape[1..].iter().product()]
    }

    fn labels(&self) -> &LabelSet {
        self.inner.labels()
    }

    fn predict_proba(&self, batch: ArrayView3<'_, f32>) -> Result<Array2<f64>, PredictError> {
        let shape = self.inner.input_shape();
        let found = || PredictError::Shape {
            expected: self.input_shape(),
            found: batch.shape()[1..].to_vec(),
        };
        let whole = (batch.dim().0, shape[0], shape[1], shape[2]);
        let images = batch.to_shape(whole).map_err(|_| found())?;
        if batch.dim().1 != shape[0] {
            return Err(found());
        }
        self.inner.predict_proba(images.view())
    }
}

impl<P: Predict<Ix4>> PredictSubsets for FlatImages<P> {}
