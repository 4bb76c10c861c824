use ndarray::{Array2, Array3, ArrayView, ArrayView2, ArrayView3, Dimension, Ix3};

use crate::LabelSet;

/// The reason why a prediction failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// The shape of the input is not the one the predictor expects (without the batch axis).
    #[error("the predictor takes inputs of shape {expected:?}, found {found:?}")]
    Shape {
        /// The shape the predictor expects.
        expected: Vec<usize>,
        /// The shape it was given.
        found: Vec<usize>,
    },
    /// A mask keeps a lead that the input does not have.
    #[error("mask {mask} keeps lead {lead} (from 0), but the input has {leads} leads")]
    Mask {
        /// Index of the mask.
        mask: usize,
        /// The lead, counted from 0.
        lead: usize,
        /// Number of leads of the input.
        leads: usize,
    },
    /// The input has more leads than a mask has bits.
    #[error("subsets can have at most {most} leads, found {leads}")]
    MaskLeads {
        /// Number of leads of the input.
        leads: usize,
        /// Number of leads that a mask can distinguish.
        most: usize,
    },
    /// Lead images were passed to a predictor that reads the signals themselves.
    #[error("the predictor takes signals, not images of leads")]
    NoImages,
    /// The predictor itself failed.
    #[error("the predictor failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A multi-label classifier: several labels may apply to the same input.
///
/// `D` is the dimension of a batch: `Ix3` for prepared signals `[record, lead, sample]`, `Ix4` for volumes
/// `[record, depth, height, width]`. Neither `Send` nor `Sync` is required.
pub trait Predict<D: Dimension> {
    /// Returns the shape of one input, without the batch axis; `[12, 100]` for prepared signals of the published
    /// preset.
    ///
    /// A predictor may also accept shorter or longer signals, and then says so.
    fn input_shape(&self) -> Vec<usize>;

    /// Returns the labels, in the order of the columns that [`Predict::predict_proba`] returns.
    fn labels(&self) -> &LabelSet;

    /// Returns the probabilities `[record, label]` for a batch.
    ///
    /// # Errors
    /// Fails if the predictor does not accept the shape of the batch, or if the predictor itself fails.
    fn predict_proba(&self, batch: ArrayView<'_, f32, D>) -> Result<Array2<f64>, PredictError>;
}

/// A subset of an input's leads: bit `k` is set if lead `k` is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeadMask(pub u32);

impl LeadMask {
    /// Returns the mask that keeps all of `leads` leads (at most 32).
    pub const fn all(leads: usize) -> Self {
        Self(if leads >= 32 { u32::MAX } else { (1 << leads) - 1 })
    }

    /// Returns the mask that keeps one lead, counted from 0, or `None` if a mask has no bit for it (from 32 on).
    pub const fn only(lead: usize) -> Option<Self> {
        if lead < 32 { Some(Self(1 << lead)) } else { None }
    }

    /// Returns the mask that keeps the leads that this one keeps and the other does not.
    ///
    /// ```
    /// use ecg_core::LeadMask;
    ///
    /// let all = LeadMask::all(12);
    /// let without_v1 = LeadMask::only(6).map(|v1| all.without(v1));
    /// assert_eq!(without_v1, Some(LeadMask(0b1111_1011_1111)));
    /// ```
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether lead `lead` is kept.
    pub const fn keeps(self, lead: usize) -> bool {
        lead < 32 && self.0 >> lead & 1 == 1
    }

    /// Returns the number of leads kept.
    pub const fn kept(self) -> u32 {
        self.0.count_ones()
    }

    /// Checks that no mask keeps a lead beyond the `leads` of an input.
    ///
    /// # Errors
    /// Returns [`PredictError::Mask`] for the first mask that does.
    pub fn check(masks: &[LeadMask], leads: usize) -> Result<(), PredictError> {
        for (mask, keep) in masks.iter().enumerate() {
            let beyond = keep.without(LeadMask::all(leads)).0;
            if beyond != 0 {
                let lead = beyond.trailing_zeros() as usize;
                return Err(PredictError::Mask { mask, lead, leads });
            }
        }
        Ok(())
    }
}

/// A predictor of prepared signals that can be evaluated on subsets of an input's leads.
///
/// A lead that is not kept is set to zero in the prepared signal. The provided method does exactly that; a predictor
/// that can obtain the same result more cheaply (as a sum of per-lead images) overrides it.
pub trait PredictSubsets: Predict<Ix3> {
    /// Returns the probabilities `[mask, label]` of one prepared signal `[lead, sample]` under each mask.
    ///
    /// # Errors
    /// Fails like [`Predict::predict_proba`], and also if
    ///
    /// - a mask keeps a lead that the input does not have,
    /// - the input has more leads than a mask has bits, or
    /// - the probabilities do not have the requested shape.
    fn predict_subsets(
        &self,
        prepared: ArrayView2<'_, f32>,
        masks: &[LeadMask],
    ) -> Result<Array2<f64>, PredictError> {
        LeadMask::check(masks, prepared.nrows())?;
        const MOST: usize = u32::BITS as usize;
        if prepared.nrows() > MOST {
            return Err(PredictError::MaskLeads { leads: prepared.nrows(), most: MOST });
        }
        /// Number of masked signals held in memory at a time.
        const BATCH: usize = 64;
        let mut out = Array2::zeros((masks.len(), self.labels().len()));
        for (chunk, mut rows) in
            masks.chunks(BATCH).zip(out.axis_chunks_iter_mut(ndarray::Axis(0), BATCH))
        {
            let batch = Array3::from_shape_fn(
                (chunk.len(), prepared.nrows(), prepared.ncols()),
                |(n, lead, t)| if chunk[n].keeps(lead) { prepared[[lead, t]] } else { 0.0 },
            );
            let found = self.predict_proba(batch.view())?;
            if found.dim() != rows.dim() {
                let (found, expected) = (found.dim(), rows.dim());
                let reason = format!("probabilities of shape {found:?}, expected {expected:?}");
                return Err(PredictError::Backend(reason.into()));
            }
            rows.assign(&found);
        }
        Ok(out)
    }

    /// Returns the probabilities `[input, label]` of prepared signals `[input, lead, sample]`, with images in place of
    /// some leads.
    ///
    /// Each lead that an input's mask leaves out is replaced by its image in `stand_ins` `[lead, height, width]`. That
    /// image may be one that no signal produces, such as the mean image of many recordings.
    ///
    /// This is for predictors that turn each lead into an image. The provided method returns
    /// [`PredictError::NoImages`].
    ///
    /// # Errors
    /// Fails like [`Predict::predict_proba`], and also if
    ///
    /// - the predictor does not use images,
    /// - the images do not have the shape that the predictor produces,
    /// - the number of masks differs from the number of inputs, or
    /// - a mask keeps a lead that the inputs do not have.
    fn predict_with_images(
        &self,
        _batch: ArrayView3<'_, f32>,
        _kept: &[LeadMask],
        _stand_ins: ArrayView3<'_, f32>,
    ) -> Result<Array2<f64>, PredictError> {
        Err(PredictError::NoImages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Axis;

    /// Probability = share of the leads that are not all zero.
    struct Share(LabelSet);

    impl Predict<Ix3> for Share {
        fn input_shape(&self) -> Vec<usize> {
            vec![12, 4]
        }
        fn labels(&self) -> &LabelSet {
            &self.0
        }
        fn predict_proba(&self, batch: ArrayView3<'_, f32>) -> Result<Array2<f64>, PredictError> {
            Ok(Array2::from_shape_fn((batch.len_of(Axis(0)), 1), |(n, _)| {
                let record = batch.index_axis(Axis(0), n);
                record.rows().into_iter().filter(|row| row.iter().any(|v| *v != 0.0)).count() as f64
                    / 12.0
            }))
        }
    }
    impl PredictSubsets for Share {}

    #[test]
    fn masked_leads_are_zero() {
        let model = Share(LabelSet::new(["x"]).expect("a label"));
        let prepared = ndarray::Array2::ones((12, 4));
        // More masks than fit one batch.
        let masks: Vec<_> = (0..200).map(LeadMask).collect();
        let p = model.predict_subsets(prepared.view(), &masks).expect("predicts");
        for (mask, row) in masks.iter().zip(p.rows()) {
            assert_eq!(row[0], f64::from(mask.kept()) / 12.0);
        }
    }

    #[test]
    fn more_leads_than_bits_are_refused() {
        let model = Share(LabelSet::new(["x"]).expect("a label"));
        let error = model.predict_subsets(ndarray::Array2::ones((33, 4)).view(), &[LeadMask(1)]);
        let error = error.expect_err("33 leads");
        assert!(matches!(error, PredictError::MaskLeads { leads: 33, most: 32 }));
        assert_eq!(error.to_string(), "subsets can have at most 32 leads, found 33");
    }

    #[test]
    fn single_leads_and_the_others() {
        assert_eq!(LeadMask::only(0), Some(LeadMask(1)));
        assert_eq!(LeadMask::only(31), Some(LeadMask(1 << 31)));
        assert_eq!(LeadMask::only(32), None);
        assert_eq!(LeadMask(0b1110).without(LeadMask(0b0111)), LeadMask(0b1000));
    }

    #[test]
    fn a_mask_beyond_the_leads_is_refused() {
        let masks = [LeadMask::all(12), LeadMask(1 << 12)];
        assert!(matches!(
            LeadMask::check(&masks, 12),
            Err(PredictError::Mask { mask: 1, lead: 12, leads: 12 })
        ));
        assert!(LeadMask::check(&[LeadMask(u32::MAX)], 32).is_ok());
        assert_eq!(LeadMask::all(12).kept(), 12);
        assert!(!LeadMask::all(12).keeps(12) && !LeadMask::all(32).keeps(40));
    }
}
