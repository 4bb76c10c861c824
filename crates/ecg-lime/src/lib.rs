//! Explains how much each ECG lead contributed to a classifier's decision.
//!
//! The methods are exact Shapley values, LIME without sampling, and the 3DECG-Net study's own LIME. They work
//! with any predictor of prepared signals.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use ecg_lime::ecg_core::{LabelSet, Lead, Predict, PredictError, PredictSubsets};
//! use ecg_lime::ndarray::{Array2, ArrayView3, Ix3};
//! use ecg_lime::{ExplainOptions, Players, explain};
//!
//! /// Predicts "loud" from the first sample of V1.
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
//! // A prepared signal [lead, sample]: 0.7 throughout V1 to V6, 0 in the limb leads.
//! let signal = Array2::from_shape_fn((12, 100), |(lead, _)| if lead < 6 { 0.0 } else { 0.7 });
//! // Eight players: I, II and V1 to V6. Removing I or II recomputes the other limb leads.
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
//! | Which leads work together, or stand in for each other? | [`Explanation::interactions`], which come with the Shapley values |
//! | What would the study have reported? | [`Method::Published`] over twelve players (793 subsets) |
//! | What would the `lime` package have said? | [`Method::LimeSampled`]; [`Method::Lime`] is the same without its noise |
//! | Where in time? | [`SampledShapley`] over [`Segments`], with standard errors; [`Explanation::by_lead`] adds the segments up |
//! | ... if the segments of a lead, or the leads of a moment, belong together? | the same with unions (Owen values); exact for few players: [`Method::Owen`], whose default unions are the limb leads and the chest leads |
//! | Does the answer depend on the baseline? | [`explain_with_baselines`] and [`Agreement`] |
//! | Does it change from seed to seed? | [`Stability`] of sampled explanations |
//! | Is the order of the leads worth anything? | [`Faithfulness`]: deletion and insertion |
//! | Does the explanation reflect the model at all? | [`randomisation_check`] |
//! | What holds over a data set? | [`Cohort`]: spread and bootstrap intervals of each lead; [`MeanAgreement`] |
//!
//! # Which type for which job
//!
//! | item | use |
//! |---|---|
//! | [`explain`], [`ExplainOptions`] | explain one label of one record in one call |
//! | [`SubsetEvaluations`] | predictions under many subsets, made once, from which every label and target is explained |
//! | [`SampledShapley`], [`SampleOptions`] | random walks, for more players than all subsets can be evaluated for; also explain every label and target |
//! | [`Players`], [`Segments`] | what the decision is divided among: eight independent leads, each lead, or groups of leads; optionally cut in time |
//! | [`Baseline`], [`EvaluateOptions`] | what replaces a removed lead; batch size, and whether stopped work is kept |
//! | [`Cohort`], [`Agreement`], [`Stability`], [`Faithfulness`] | what many explanations have in common, and how good one is |
//! | [`Outcome`], [`Explanation`] | the contribution of each lead, with settings and diagnostics; converts to and from JSON |
//! | [`shapley_values`], [`shapley_interactions`], [`owen_values`], [`kernel_shapley`], [`ridge`], [`logistic`], [`spearman`], [`kendall_tau_b`] | the arithmetic alone, for your own numbers |
//!
//! Runnable recipes are in [`cookbook`].
//!
//! # Conventions
//!
//! - A signal is prepared, `[lead, sample]`. A removed lead is replaced by the baseline, which is zero by
//!   default.
//! - Every sample of a signal counts as real, so a prepared signal is explained without its padding
//!   (`Prepared::real` of `ecg3d-convert`).
//! - Bit `k` of a mask is set if player `k` is kept.
//! - Shapley values, Owen values and LIME's coefficients are in units of the target (probability or logit).
//!   Those of the published LIME are logistic coefficients. A positive value supports the label.
//! - Anything sampled has a seed, gives the same values every time, and records its seed in
//!   [`Explanation::seed`]. Everything else is deterministic, and its seed is `None`.
//!
//! Every evaluation takes an observer, which is told how much is done and stops the work by returning
//! [`ControlFlow::Break`](std::ops::ControlFlow::Break). Sampling then returns what has been done. So does the
//! evaluation of subsets if [`EvaluateOptions::keep_partial`] is set. [`Explanation::partial`] marks such
//! results.
//!
//! The published LIME weights a subset by kept/12 and regresses on the hard label. If all of its 793 hard
//! labels agree, there is nothing to regress; the result is then [`Outcome::OneClass`], not an error.
//!
//! # How far to trust such an explanation
//!
//! An explanation says what the *model* made of the leads, not what the heart did. Perturbed ECGs lie outside
//! the data distribution, limb leads share information, networks of volumes never see polarity, and every value
//! is relative to a baseline. Read [`trust`] before publishing an explanation; it ends with what to check and
//! what to report.
//!
//! # Sibling crates
//!
//! `ecg-core` has the predictor traits, `ecg3d-models` has predictors, and `ecg-metrics` measures whether a
//! model is worth explaining.

/// Recordings, leads and the predictor traits, in the version that this crate uses.
pub use ecg_core;
/// The array types of this crate's arguments and results.
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
    Contribution, Distance, Explanation, Method, OneClass, Outcome, Settings, Target,
    UnknownMethod, UnknownTarget,
};
pub use faithfulness::{Faithfulness, faithfulness};
pub use fit::{LinearFit, LogisticOutcome, logistic, ridge, softmax_percent};
pub use masks::{all_masks, published_masks, removals, sampled_masks};
pub use permutation::{SampleOptions, SampledShapley};
pub use players::{MAX_PLAYERS, Player, Players};
pub use ranks::{kendall_tau_b, spearman};
pub use segments::Segments;
pub use shapley::{kernel_shapley, owen_values, shapley_interactions, shapley_values};
pub use stability::Stability;
