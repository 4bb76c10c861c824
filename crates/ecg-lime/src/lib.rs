//! Explains which ECG lead did what for a classifier's decision: exact Shapley values, LIME without sampling, and the
//! 3DECG-Net study's own LIME, over any predictor of prepared signals.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use ecg_core::{LabelSet, Lead, Predict, PredictError, PredictSubsets};
//! use ecg_lime::{ExplainOptions, Players, explain};
//! use ndarray::{Array2, ArrayView3, Ix3};
//!
//! /// Says "loud" where V1 is.
//! struct Loud(LabelSet);
//! impl Predict<Ix3> for Loud {
//!     fn input_shape(&self) -> Vec<usize> { vec![12, 100] }
//!     fn labels(&self) -> &LabelSet { &self.0 }
//!     fn predict_proba(&self, batch: ArrayView3<'_, f32>) -> Result<Array2<f64>, PredictError> {
//!         let v1 = Lead::V1.index();
//!         Ok(Array2::from_shape_fn((batch.dim().0, 1), |(n, _)| {
//!             f64::from(batch[[n, v1, 0]].abs()).min(1.0)
//!         }))
//!     }
//! }
//! impl PredictSubsets for Loud {}
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Loud(LabelSet::new(["loud"])?);
//! // A prepared signal [lead, sample] with 0.7 throughout V1 to V6.
//! let signal = Array2::from_shape_fn((12, 100), |(lead, _)| if lead < 6 { 0.0 } else { 0.7 });
//! // Eight players: I, II and V1 to V6; removing I or II recomputes the other limb leads.
//! let players = Players::independent(&Lead::STANDARD_12)?;
//! let outcome = explain(
//!     &model,
//!     signal.view(),
//!     "loud",
//!     &players,
//!     &ExplainOptions::default(),
//!     &mut |_done, _total| ControlFlow::Continue(()),
//! )?;
//! let explanation = outcome.explanation().expect("Shapley values always exist");
//! assert_eq!(explanation.top().map(|own| own.lead.as_str()), Some("V1"));
//! assert!((explanation.value_of("V1").unwrap_or(0.0) - 0.7).abs() < 1e-6);
//! println!("{explanation}");
//! # Ok(())
//! # }
//! ```
//!
//! # Which method for which question
//!
//! | question | answer |
//! |---|---|
//! | How much did each lead contribute? | exact Shapley values over eight players ([`Players::independent`], 256 subsets): the default |
//! | Which leads work together, or stand in for each other? | [`Explanation::interactions`], which come with them |
//! | What would the study have reported? | [`Method::Published`] over twelve players (793 subsets) |
//! | What would the `lime` package have said? | [`Method::LimeSampled`]; [`Method::Lime`] is the same without its noise |
//! | Where in time? | [`SampledShapley`] over [`Segments`], with standard errors |
//! | ... where the segments of a lead, or the leads of a moment, belong together? | the same with unions (Owen values); exact for few players: [`Method::Owen`] |
//! | Does the answer hang on the baseline? | [`explain_with_baselines`] and [`Agreement`] |
//! | Does it change from seed to seed? | [`Stability`] of sampled explanations |
//! | Is the order of the leads worth anything? | [`Faithfulness`]: deletion and insertion |
//! | Is it the model's at all? | [`randomisation_check`] |
//! | What holds over a data set? | [`Cohort`]: spread and bootstrap intervals of each lead; [`MeanAgreement`] |
//!
//! # Which type for which job
//!
//! | item | what |
//! |---|---|
//! | [`explain`], [`ExplainOptions`] | one label of one record, in one call |
//! | [`SubsetEvaluations`] | the predictions under many subsets, made once; explains every label and target from them |
//! | [`SampledShapley`], [`SampleOptions`] | random walks through more players than have countable subsets; explains every label and target too |
//! | [`Players`], [`Segments`] | among whom the decision is shared: eight independent leads, each lead, groups; and cut in time |
//! | [`Baseline`], [`EvaluateOptions`] | what stands in for a removed lead; batch size, and whether stopped work is kept |
//! | [`Cohort`], [`Agreement`], [`Stability`], [`Faithfulness`] | what many explanations have in common, and what one is worth |
//! | [`Outcome`], [`Explanation`] | the parts with their leads, and what belongs with them; to JSON and back |
//! | [`shapley_values`], [`shapley_interactions`], [`owen_values`], [`kernel_shapley`], [`ridge`], [`logistic`], [`spearman`], [`kendall_tau_b`] | the arithmetic alone, over numbers of one's own |
//!
//! Recipes that run are in [`cookbook`].
//!
//! # Conventions
//!
//! A signal is prepared, `[lead, sample]`; a removed lead becomes the baseline's, zero by default. A mask has bit `k` set where player
//! `k` is kept. Shapley and Owen values and LIME's coefficients are in units of the target (probability, or logit); the published LIME's
//! are logistic coefficients. A positive value speaks for the label. What is sampled has a seed, gives the same values each time, and
//! says so in [`Explanation::seed`]; all else is deterministic, and the seed is `None`.
//!
//! The observer that every evaluation takes hears how much is done, and stops the work by returning
//! [`ControlFlow::Break`](std::ops::ControlFlow::Break). Sampling then returns what is done, as do subsets where
//! [`EvaluateOptions::keep_partial`] is set; [`Explanation::partial`] marks it.
//!
//! The published LIME's weight is kept/12, its target the hard label. Where all of its 793 hard labels agree there is nothing to
//! regress; that is [`Outcome::OneClass`], not an error.
//!
//! # How far to trust such an explanation
//!
//! It says what the *model* made of the leads, not what the heart did: perturbed ECGs are off the data, limb leads share
//! information, a network of volumes never sees polarity, and every value is one against a baseline. Read [`trust`] before
//! publishing one; it ends with what to check and what to report.
//!
//! # Sibling crates
//!
//! `ecg-core` has the predictor traits, `ecg3d-models` predictors, `ecg-metrics` the figures that say whether a model is worth
//! explaining.

/// Recordings, leads and the predictor traits, as this version takes them.
pub use ecg_core;
/// The arrays of its arguments and results.
pub use ndarray;

mod agreement;
mod baseline;
mod cohort;
pub mod cookbook;
mod error;
mod evaluate;
mod evaluator;
mod explain;
mod explanation;
mod faithfulness;
mod fit;
mod images;
mod masks;
mod permutation;
mod players;
mod ranks;
mod segments;
mod shapley;
mod stability;
pub mod trust;

pub use agreement::{Agreement, MeanAgreement, Randomisation, randomisation_check};
pub use baseline::{Baseline, explain_with_baselines};
pub use cohort::{Cohort, CohortOptions, Spread};
pub use error::LimeError;
pub use evaluate::{Einthoven, EvaluateOptions, Partial, SubsetEvaluations, Subsets};
pub use explain::{ExplainOptions, explain, lime_kernel};
pub use explanation::{
    Contribution, Distance, Explanation, Method, OneClass, Outcome, Settings, Target, UnknownMethod,
};
pub use faithfulness::{Faithfulness, faithfulness};
pub use fit::{LinearFit, LogisticOutcome, logistic, ridge, softmax_percent};
pub use images::FlatImages;
pub use masks::{all_masks, published_masks, removals, sampled_masks};
pub use permutation::{SampleOptions, SampledShapley};
pub use players::{MAX_PLAYERS, Player, Players};
pub use ranks::{kendall_tau_b, spearman};
pub use segments::Segments;
pub use shapley::{kernel_shapley, owen_values, shapley_interactions, shapley_values};
pub use stability::Stability;
