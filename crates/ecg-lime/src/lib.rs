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
//! # Which type for which job
//!
//! | item | what |
//! |---|---|
//! | [`explain`], [`ExplainOptions`] | one label of one record, in one call |
//! | [`SubsetEvaluations`] | the probabilities under all subsets, made once; explains every label from them |
//! | [`Players`] | among whom the decision is shared: eight independent leads, each lead, groups |
//! | [`Outcome`], [`Explanation`] | the parts with their leads, and what belongs with them; serialisable |
//! | [`Method`] | `shapley`, `lime` (all subsets, nothing sampled), `published` (the study's 793 subsets) |
//! | [`shapley_values`], [`shapley_interactions`], [`ridge`], [`logistic`] | the arithmetic alone, over numbers of one's own |
//!
//! # Conventions
//!
//! A signal is prepared, `[lead, sample]`; a removed lead is zero. A mask has bit `k` set where player `k` is kept. Shapley values
//! and exhaustive LIME are in units of the target (probability, or logit); the published LIME's are logistic coefficients. A
//! positive value speaks for the label. All methods here are deterministic: they sample nothing, so [`Explanation::seed`] is
//! `None`.
//!
//! The published LIME's weight is kept/12, its target the hard label. Where all of its 793 hard labels agree there is nothing to
//! regress; that is [`Outcome::OneClass`], not an error.
//!
//! # How far to trust such an explanation
//!
//! It says what the *model* made of the leads, not what the heart did. A removed lead is a flat line, which the models
//! have hardly ever seen: every perturbed input is off the data, and what a network says there need not mean anything. The six limb leads
//! carry two leads' worth of information, so with each lead a player they split credit arbitrarily; use
//! [`Players::independent`] for clinical statements. A recurrence plot does not change when a signal is turned upside down, so a
//! network of volumes never sees polarity: it cannot have found a negative QRS in V1, whatever value V1 gets. The volume also
//! blends neighbouring leads (aVF with V1), which spreads credit over neighbours. Explain with two baselines, methods or models
//! before believing that a lead mattered, and report [`Explanation::weighted_r2`]: a low one says that the parts do not add up
//! to the decision.
//!
//! # Sibling crates
//!
//! `ecg-core` has the predictor traits, `ecg3d-models` predictors, `ecg-metrics` the figures that say whether a model is worth
//! explaining.

mod agreement;
mod baseline;
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

pub use agreement::{Agreement, Randomisation, randomisation_check};
pub use baseline::Baseline;
pub use error::LimeError;
pub use evaluate::{Einthoven, EvaluateOptions, Partial, SubsetEvaluations, Subsets};
pub use explain::{ExplainOptions, explain, explain_with_baselines, lime_kernel};
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
