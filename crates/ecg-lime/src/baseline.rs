use std::fmt;
use std::ops::ControlFlow;

use ecg_core::PredictSubsets;
use ndarray::{Array2, Array3, ArrayView2, s};

use crate::{ExplainOptions, LimeError, Outcome, Players, explain};

/// What replaces a lead that is removed.
///
/// No choice is neutral: every value is relative to the baseline. Explain with two baselines and look at where
/// the values differ ([`explain_with_baselines`](crate::explain_with_baselines)).
///
/// Leads are matched by row: the leads of a baseline must be in the order of those of the explained signal.
///
/// A signal of a baseline must have at least as many samples as the explained signal, and of these its first are
/// used. So one baseline serves records of different lengths.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Baseline {
    /// A flat line at zero.
    ///
    /// For networks of recurrence plots it is the same as any other constant lead: a plane of full recurrence,
    /// which hardly any recording has. It needs no data, and predictors may have a fast path for it
    /// ([`ecg_core::PredictSubsets`]).
    #[default]
    Zero,
    /// The same lead of this `[lead, sample]`, usually a mean over training records ([`Baseline::mean_of`]).
    ///
    /// Means of unaligned signals are nearly flat.
    Mean(Array2<f32>),
    /// The same lead of these images `[lead, height, width]`, for predictors that turn leads into images
    /// ([`PredictSubsets::predict_with_images`]).
    ///
    /// Usually the mean over training records, which keeps a texture that no mean of signals has. It replaces
    /// whole leads, not time segments. The image of a derived limb lead is made from what is left of I and II;
    /// if both are removed, the derived lead is removed too.
    MeanImage(Array3<f32>),
    /// The same lead of each of these other recordings `[lead, sample]`, with the target averaged over them.
    ///
    /// Each lead by itself is then a real one, at the cost of as many times the evaluations as there are
    /// recordings.
    Background(Vec<Array2<f32>>),
}

impl Baseline {
    /// Returns the kind of baseline from the name that an explanation carries.
    ///
    /// Backgrounds of different numbers of recordings are the same kind.
    pub fn kind_of(name: &str) -> &str {
        name.split(" of ").next().unwrap_or(name)
    }

    /// Returns the mean of signals `[lead, sample]` as a [`Baseline::Mean`], which is as long as the shortest of them.
    ///
    /// # Errors
    /// Returns an error if there is no signal, if the signals differ in their number of leads, or if one of them has
    /// values that are not finite among those that are averaged.
    pub fn mean_of<'a>(
        signals: impl IntoIterator<Item = ArrayView2<'a, f32>>,
    ) -> Result<Self, LimeError> {
        let signals: Vec<ArrayView2<'a, f32>> = signals.into_iter().collect();
        let first = signals.first().ok_or(LimeError::EmptyBaseline)?;
        let samples = signals.iter().map(|signal| signal.ncols()).min().unwrap_or_default();
        let mut sum = Array2::<f64>::zeros((first.nrows(), samples));
        for (record, signal) in signals.iter().enumerate() {
            check_signal(record, sum.dim(), *signal)?;
            sum.zip_mut_with(&signal.slice(s![.., ..samples]), |sum, v| *sum += f64::from(*v));
        }
        Ok(Self::Mean(sum.mapv(|v| (v / signals.len() as f64) as f32)))
    }

    /// Refuses baselines that do not fit a signal.
    pub(crate) fn check(&self, prepared: ArrayView2<'_, f32>) -> Result<(), LimeError> {
        match self {
            Self::Zero => Ok(()),
            Self::Mean(mean) => check_signal(0, prepared.dim(), mean.view()),
            Self::MeanImage(images) if images.dim().0 != prepared.nrows() => {
                let (expected, found) = (prepared.nrows(), images.dim().0);
                Err(LimeError::BaselineLeads { expected, found })
            }
            Self::MeanImage(images) => all_finite(0, images.iter()),
            Self::Background(records) if records.is_empty() => Err(LimeError::EmptyBaseline),
            Self::Background(records) => {
                records.iter().enumerate().try_for_each(|(record, signal)| {
                    check_signal(record, prepared.dim(), signal.view())
                })
            }
        }
    }

    /// What replaces removed rows of the signal, one item per recording, which may be longer than the signal; `None`
    /// stands for zero.
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

/// Explains one label under each of several baselines, in order.
///
/// The subsets are evaluated anew under each baseline. If the work is stopped
/// ([`EvaluateOptions::keep_partial`](crate::EvaluateOptions::keep_partial)), the results end with the baseline
/// that was being evaluated, or with the one before if too little of it is done.
///
/// The usual two are [`Baseline::Zero`] and one that is made from training records. If
/// [`Explanation::top`](crate::Explanation::top) differs between them, the statement "this lead mattered most"
/// is about the baseline, not about the record, and should be reported as such.
///
/// # Errors
/// The errors of [`explain`], and an error if there is no baseline.
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

/// Refuses a signal with another number of leads, or whose first samples are too few or not finite.
fn check_signal(
    record: usize,
    (leads, samples): (usize, usize),
    signal: ArrayView2<'_, f32>,
) -> Result<(), LimeError> {
    if signal.nrows() != leads || signal.ncols() < samples {
        let found = [signal.nrows(), signal.ncols()];
        return Err(LimeError::BaselineShape { record, expected: [leads, samples], found });
    }
    all_finite(record, signal.slice(s![.., ..samples]).iter())
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
        let mean = Baseline::Mean(&x * 2.0);
        assert!(mean.check(x.view()).is_ok());
        let error = mean.check(Array2::ones((2, 4)).view()).expect_err("too short");
        assert_eq!(
            error.to_string(),
            "record 0 (from 0) of the baseline has 2 leads of 3 samples, expected 2 leads of at least 4 samples"
        );
        let others = Baseline::Background(vec![x.clone(), Array2::ones((3, 3))]);
        let error = others.check(x.view()).expect_err("one lead more");
        assert!(matches!(error, LimeError::BaselineShape { record: 1, .. }), "{error}");
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

    #[test]
    fn only_the_first_samples_of_longer_signals_count() {
        let x = Array2::<f32>::ones((2, 3));
        let mut long = Array2::<f32>::from_elem((2, 5), 3.0);
        long[[1, 4]] = f32::NAN;
        let others = Baseline::Background(vec![x.clone(), long.clone()]);
        assert!(others.check(x.view()).is_ok());
        assert!(matches!(
            Baseline::Mean(long.clone()).check(Array2::ones((2, 5)).view()),
            Err(LimeError::BaselineNotFinite { record: 0 })
        ));
        let mean = Baseline::mean_of([x.view(), long.view()]).expect("alike");
        assert_eq!(mean, Baseline::Mean(&x * 2.0));
        let error = Baseline::mean_of([x.view(), long.t()]).expect_err("five leads");
        assert_eq!(
            error.to_string(),
            "record 1 (from 0) of the baseline has 5 leads of 2 samples, expected 2 leads of at least 2 samples"
        );
        let error = Baseline::mean_of([long.view()]).expect_err("a value is NaN");
        assert!(matches!(error, LimeError::BaselineNotFinite { record: 0 }), "{error}");
        let none: [ArrayView2<'_, f32>; 0] = [];
        assert!(matches!(Baseline::mean_of(none), Err(LimeError::EmptyBaseline)));
    }
}
