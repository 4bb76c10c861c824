use ecg_core::{LeadMask, PredictSubsets};
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, Slice};

use crate::players::{MAX_LEADS, check_names};
use crate::{Baseline, LimeError, Segments, Target};

/// Both targets of the same inputs, averaged over the baseline's recordings: `[input, label]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values {
    pub(crate) probability: Array2<f64>,
    pub(crate) logit: Array2<f64>,
}

impl Values {
    pub(crate) fn zeros(inputs: usize, labels: usize) -> Self {
        let zeros = Array2::zeros((inputs, labels));
        Self { probability: zeros.clone(), logit: zeros }
    }

    /// Adds rows.
    pub(crate) fn append(&mut self, more: &Values) {
        let parts = [(&mut self.probability, &more.probability), (&mut self.logit, &more.logit)];
        for (own, more) in parts {
            own.append(Axis(0), more.view()).expect("both have a column for each label");
        }
    }

    /// Keeps only the first `inputs` rows.
    pub(crate) fn truncate(&mut self, inputs: usize) {
        for own in [&mut self.probability, &mut self.logit] {
            own.slice_axis_inplace(Axis(0), Slice::from(..inputs));
        }
    }

    pub(crate) fn of(&self, target: Target) -> &Array2<f64> {
        match target {
            Target::Probability => &self.probability,
            Target::Logit => &self.logit,
        }
    }
}

/// Asks a predictor about coalitions of one prepared signal.
pub(crate) struct Evaluator<'a, P: ?Sized> {
    predictor: &'a P,
    prepared: ArrayView2<'a, f32>,
    segments: &'a Segments,
    replacements: Vec<Option<ArrayView2<'a, f32>>>,
    /// Images that replace removed leads.
    images: Option<ArrayView3<'a, f32>>,
    /// Whether whole leads are simply set to zero, so that the predictor's own way of doing that can be used.
    plain: bool,
    inputs: Array3<f32>,
    /// Perturbed inputs predicted so far.
    pub(crate) evaluations: usize,
}

impl<'a, P: PredictSubsets + ?Sized> Evaluator<'a, P> {
    /// # Errors
    /// Returns an error if there is no player, if the players have more leads than a mask has bits, if two
    /// players have one name, or if the signal, the segments and the baseline do not fit each other.
    pub(crate) fn new(
        predictor: &'a P,
        prepared: ArrayView2<'a, f32>,
        segments: &'a Segments,
        baseline: &'a Baseline,
    ) -> Result<Self, LimeError> {
        let players = segments.leads().len();
        if !(1..=MAX_LEADS).contains(&players) {
            return Err(LimeError::PlayerCount { found: players, max: MAX_LEADS });
        }
        check_names(segments.leads().iter().map(|player| player.name.as_str()))?;
        let leads = segments.leads().lead_names().len();
        if prepared.nrows() != leads {
            return Err(LimeError::LeadCount { expected: leads, found: prepared.nrows() });
        }
        let expected = segments.borders()[segments.count()];
        if prepared.ncols() != expected {
            return Err(LimeError::SampleCount { expected, found: prepared.ncols() });
        }
        baseline.check(prepared)?;
        let images = match baseline {
            Baseline::MeanImage(_) if segments.count() > 1 => {
                return Err(LimeError::ImagesOfSegments { segments: segments.count() });
            }
            Baseline::MeanImage(images) => Some(images.view()),
            _ => None,
        };
        let plain = segments.count() == 1
            && !segments.leads().derives_limb_leads()
            && *baseline == Baseline::Zero;
        let replacements = baseline.replacements();
        let inputs = Array3::zeros((0, 0, 0));
        let evaluations = 0;
        Ok(Self { predictor, prepared, segments, replacements, images, plain, inputs, evaluations })
    }

    /// Returns the values of coalitions, all in one batch. A coalition is one mask over the lead players for
    /// every segment.
    pub(crate) fn values(&mut self, coalitions: &[LeadMask]) -> Result<Values, LimeError> {
        let count = coalitions.len() / self.segments.count();
        let mut out = Values::zeros(count, self.predictor.labels().len());
        if count == 0 {
            return Ok(out);
        }
        for replacement in 0..self.replacements.len() {
            let found = self.predict(coalitions, count, replacement)?;
            self.evaluations += count;
            out.probability += &found;
            out.logit += &found.mapv(|p| Target::Logit.of(p));
        }
        let share = 1.0 / self.replacements.len() as f64;
        out.probability *= share;
        out.logit *= share;
        Ok(out)
    }

    fn predict(
        &mut self,
        coalitions: &[LeadMask],
        count: usize,
        replacement: usize,
    ) -> Result<Array2<f64>, LimeError> {
        let labels = self.predictor.labels();
        let found = if self.plain {
            self.predictor.predict_subsets(self.prepared, &self.leads_left(coalitions))
        } else {
            let shape = (count, self.prepared.nrows(), self.prepared.ncols());
            if self.inputs.dim() != shape {
                self.inputs = Array3::zeros(shape);
            }
            for (coalition, input) in
                coalitions.chunks(self.segments.count()).zip(self.inputs.outer_iter_mut())
            {
                let other = self.replacements[replacement];
                self.segments.masked_into(self.prepared, other, coalition, input);
            }
            match self.images {
                Some(images) => {
                    let left = self.leads_left(coalitions);
                    self.predictor.predict_with_images(self.inputs.view(), &left, images)
                }
                None => self.predictor.predict_proba(self.inputs.view()),
            }
        };
        let first = self.evaluations;
        let last = first + count - 1;
        let found = found.map_err(|source| LimeError::Predict { first, last, source })?;
        if found.dim() != (count, labels.len()) {
            return Err(LimeError::PredictedShape {
                expected: [count, labels.len()],
                found: [found.nrows(), found.ncols()],
            });
        }
        for ((row, column), p) in found.indexed_iter() {
            if !(0.0..=1.0).contains(p) {
                let label = labels.as_slice()[column].clone();
                return Err(LimeError::Probability { input: first + row, label, found: *p });
            }
        }
        Ok(found)
    }

    fn leads_left(&self, coalitions: &[LeadMask]) -> Vec<LeadMask> {
        let players = self.segments.leads();
        coalitions.iter().map(|mask| players.leads_left(*mask)).collect()
    }
}
