use std::fmt;
use std::ops::ControlFlow;

use ecg_core::PredictSubsets;
use ndarray::{Array2, Array3, ArrayView2};

use crate::{ExplainOptions, LimeError, Outcome, Players, explain};

/// What stands in for a lead that is removed.
///
/// No choice is neutral: a value says "compared with this". Explain with two and look where they differ
/// ([`explain_with_baselines`](crate::explain_with_baselines)).
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Baseline {
    /// A flat line at zero. For networks of recurrence plots the same as any constant lead: a plane of full recurrence, which
    /// hardly any recording has. Needs nothing, and has the fast path of [`ecg_core::PredictSubsets`].
    #[default]
    Zero,
    /// The same lead of this `[lead, sample]`, usually a mean over training records ([`Baseline::mean_of`]). Means of
    /// unaligned signals are nearly flat.
    Mean(Array2<f32>),
    /// For predictors that turn leads into images ([`PredictSubsets::predict_with_images`]): the same lead of these images `[lead,
    /// height, width]`, usually the mean over training records, which keeps a texture that no mean of signals has. For whole
    /// leads, not for time segments. A derived limb lead has its image made of what is left of I and II; where both are
    /// removed, it is removed too.
    MeanImage(Array3<f32>),
    /// The same lead of each of these other recordings `[lead, sample]`; the target is averaged over them. Every lead for
    /// itself is then a real one, at as many times the evaluations.
    Background(Vec<Array2<f32>>),
}

impl Baseline {
    /// Which kind of baseline the name is of that an explanation carries. A background may be of fewer recordings in one record than
    /// in another, and is the same kind.
    pub fn kind_of(name: &str) -> &str {
        name.split(" of ").next().unwrap_or(name)
    }

    /// The mean of signals (or flattened images) `[lead, sample]`.
    ///
    /// # Errors
    /// No signal; signals of unlike shape.
    pub fn mean_of(signals: &[Array2<f32>]) -> Result<Self, LimeError> {
        let first = signals.first().ok_or(LimeError::EmptyBaseline)?;
        let mut sum = Array2::<f64>::zeros(first.dim());
        for (record, signal) in signals.iter().enumerate() {
            same_shape(record, first.dim(), signal)?;
            sum.zip_mut_with(signal, |sum, v| *sum += f64::from(*v));
        }
        Ok(Self::Mean(sum.mapv(|v| (v / signals.len() as f64) as f32)))
    }

    /// Refuses baselines that do not fit a signal.
    pub(crate) fn check(&self, prepared: ArrayView2<'_, f32>) -> Result<(), LimeError> {
        match self {
            Self::Zero => Ok(()),
            Self::Mean(mean) => same_shape(0, prepared.dim(), mean),
            Self::MeanImage(images) if images.dim().0 != prepared.nrows() => {
                let (expected, found) = (prepared.nrows(), images.dim().0);
                Err(LimeError::BaselineLeads { expected, found })
            }
            Self::MeanImage(images) => all_finite(0, images.iter()),
            Self::Background(records) if records.is_empty() => Err(LimeError::EmptyBaseline),
            Self::Background(records) => records
                .iter()
                .enumerate()
                .try_for_each(|(record, signal)| same_shape(record, prepared.dim(), signal)),
        }
    }

    /// What stands in for removed rows of the signal, one after another; `None` is zero.
    pub(crate) fn replacements(&self) -> Vec<Option<ArrayView2<'_, f32>>> {
        match self {
            Self::Zero | Self::MeanImage(_) => vec![None],
            Self::Mean(mean) => vec![Some(mean.view())],
            Self::Background(records) => records.iter().map(|own| Some(own.view())).collect(),
        }
    }
}

/// The name that explanations carry: `zero`, `mean`, `mean-image`, or `background of 5`.
impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("zero"),
            Self::Mean(_) => f.write_str("mean"),
            Self::MeanImage(_) => f.write_str("mean-image"),
            Self::Background(records) => write!(f, "background of {}", records.len()),
        }
    }
}

/// Explains one label under each of several baselines, in their order: the subsets are evaluated anew under each. Work that is stopped
/// ([`EvaluateOptions::keep_partial`](crate::EvaluateOptions::keep_partial)) ends with the baseline at hand, or the one before if too little of it is done.
///
/// The usual two are [`Baseline::Zero`] and one that needs training records. Where [`Explanation::top`](crate::Explanation::top) differs between them, the
/// statement "this lead mattered most" is one about the baseline, not about the record: say so.
///
/// # Errors
/// As [`explain`]; no baseline.
pub fn explain_with_baselines<P: PredictSubsets + ?Sized>(
    predictor: &P,
    prepared: ArrayView2<'_, f32>,
    label: &str,
    players: &Players,
    baselines: &[Baseline],
    options: &ExplainOptions,
    observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<Outcome>, LimeError> {
    if baselines.is_empty() {
        return Err(LimeError::EmptyBaseline);
    }
    let mut outcomes = Vec::with_capacity(baselines.len());
    for baseline in baselines {
        let evaluate = options.evaluate.clone().with_baseline(baseline.clone());
        let options = options.clone().with_evaluate(evaluate);
        match explain(predictor, prepared, label, players, &options, observer) {
            Ok(outcome) => {
                let stopped = outcome.partial().is_some();
                outcomes.push(outcome);
                if stopped {
                    break;
                }
            }
            Err(LimeError::Stopped { .. } | LimeError::TooFew { .. })
                if options.evaluate.keep_partial && !outcomes.is_empty() =>
            {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(outcomes)
}

fn same_shape(
    record: usize,
    (leads, samples): (usize, usize),
    signal: &Array2<f32>,
) -> Result<(), LimeError> {
    if signal.dim() != (leads, samples) {
        let found = [signal.nrows(), signal.ncols()];
        return Err(LimeError::BaselineShape { record, expected: [leads, samples], found });
    }
    all_finite(record, signal.iter())
}

fn all_finite<'a>(
    record: usize,
    mut values: impl Iterator<Item = &'a f32>,
) -> Result<(), LimeError> {
    match values.all(|v| v.is_finite()) {
        true => Ok(()),
        false => Err(LimeError::BaselineNotFinite { record }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baselines_that_do_not_fit_are_refused() {
        let x = Array2::<f32>::ones((2, 3));
        let other = Array2::<f32>::ones((2, 4));
        let mean = Baseline::mean_of(&[x.clone(), &x * 3.0]).expect("alike");
        assert_eq!(mean, Baseline::Mean(&x * 2.0));
        assert!(mean.check(x.view()).is_ok());
        let error = Baseline::mean_of(&[x.clone(), other.clone()]).expect_err("unlike");
        assert_eq!(
            error.to_string(),
            "record 1 (from 0) of the baseline has shape [2, 4], expected [2, 3]"
        );
        assert!(matches!(Baseline::mean_of(&[]), Err(LimeError::EmptyBaseline)));
        let empty = Baseline::Background(vec![]);
        assert!(matches!(empty.check(x.view()), Err(LimeError::EmptyBaseline)));
        let broken = Baseline::Mean(&x * f32::NAN);
        assert!(matches!(broken.check(x.view()), Err(LimeError::BaselineNotFinite { record: 0 })));
        let images = Array3::<f32>::ones((3, 4, 4));
        let error = Baseline::MeanImage(images.clone()).check(x.view()).expect_err("unlike");
        assert_eq!(error.to_string(), "the baseline has images of 3 leads, the signal has 2 leads");
        let broken = Baseline::MeanImage(images.mapv(|_| f32::INFINITY));
        assert!(broken.check(Array2::ones((3, 5)).view()).is_err());
        assert_eq!(Baseline::Background(vec![x.clone(), x]).to_string(), "background of 2");
    }
}
