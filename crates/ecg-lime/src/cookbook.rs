//! Runnable recipes. Each is a test of this crate.
//!
//! All share a toy model of twelve leads x 40 samples. It predicts AF if V1 swings in its first half, and LBBB
//! if V6 is large. Its image of a lead is the row of the lead's magnitudes. Replace it by a predictor of
//! `ecg3d-models`.
//!
//! # All labels and both targets from one set of evaluations
//!
//! ```
//! # use std::ops::ControlFlow;
#![doc = include_str!("cookbook_model.txt")]
//! use ecg_lime::{
//!     EvaluateOptions, ExplainOptions, Method, Players, SubsetEvaluations, Subsets, Target,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (model, signal) = (Toy::new(), signal());
//! let players = Players::independent(&Lead::STANDARD_12)?;
//! let evaluations = SubsetEvaluations::new(
//!     &model,
//!     signal.view(),
//!     &players,
//!     &Subsets::All,
//!     &EvaluateOptions::default(),
//!     &mut |_, _| ControlFlow::Continue(()),
//! )?;
//! for label in ["AF", "LBBB"] {
//!     for target in [Target::Probability, Target::Logit] {
//!         let options = ExplainOptions::default().with_target(target);
//!         println!("{}", evaluations.explain(label, &options)?);
//!     }
//! }
//! // Another method from the same subsets, and how far the two agree.
//! let lime = ExplainOptions::default().with_method(Method::Lime);
//! let shapley = evaluations.explain("LBBB", &ExplainOptions::default())?;
//! let lime = evaluations.explain("LBBB", &lime)?;
//! let (a, b) = (shapley.explanation().ok_or("none")?, lime.explanation().ok_or("none")?);
//! assert!(ecg_lime::Agreement::of(a, b, 3)?.same_top == Some(true));
//! // Is the order of the leads better than chance?
//! let curves = evaluations.faithfulness(a, Target::Probability)?;
//! assert!(curves.insertion_auc > curves.chance_auc.ok_or("all subsets are there")?);
//! # Ok(())
//! # }
//! ```
//!
//! # Two baselines
//!
//! ```
//! # use std::ops::ControlFlow;
#![doc = include_str!("cookbook_model.txt")]
//! use ecg_lime::{Baseline, ExplainOptions, Players, explain_with_baselines};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (model, signal) = (Toy::new(), signal());
//! // Prepared signals of other records, of the same leads and at least as long.
//! let others = vec![&signal * 0.1, &signal * 0.2];
//! let outcomes = explain_with_baselines(
//!     &model,
//!     signal.view(),
//!     "LBBB",
//!     &Players::independent(&Lead::STANDARD_12)?,
//!     &[Baseline::Zero, Baseline::Background(others)],
//!     &ExplainOptions::default(),
//!     &mut |_, _| ControlFlow::Continue(()),
//! )?;
//! let tops: Vec<_> = outcomes
//!     .iter()
//!     .filter_map(|outcome| Some(&outcome.explanation()?.top()?.lead))
//!     .collect();
//! assert_eq!(tops, ["V6", "V6"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Where in time: lead x time segments, stopped when enough is done
//!
//! ```
//! # use std::ops::ControlFlow;
#![doc = include_str!("cookbook_model.txt")]
//! use std::sync::atomic::{AtomicBool, Ordering};
//!
//! use ecg_lime::{Players, SampleOptions, SampledShapley, Segments, Target};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (model, signal) = (Toy::new(), signal());
//! /// Set by a Ctrl-C handler.
//! static STOP: AtomicBool = AtomicBool::new(false);
//!
//! let segments = Segments::equal(&Players::leads(&Lead::STANDARD_12), 40, 4)?;
//! let options = SampleOptions::default()
//!     .with_permutations(200)
//!     .with_seed(7)
//!     // Owen values: the segments of a lead act together.
//!     .with_unions(segments.unions_of_leads());
//! let walks = SampledShapley::new(&model, signal.view(), &segments, &options, &mut |done, total| {
//!     eprintln!("{done} of {total} permutations");
//!     // What has been done by then is returned, and marked as partial.
//!     let stop = STOP.load(Ordering::Relaxed) || done >= 20;
//!     if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
//! })?;
//! let explanation = walks.explain("AF", Target::Logit)?;
//! assert!(explanation.partial.is_some_and(|partial| partial.total == 200));
//! let top = explanation.top().ok_or("players")?;
//! assert!(top.lead == "V1[0..10]" || top.lead == "V1[10..20]");
//! println!("{} {:+.3}, standard error {:?}", top.lead, top.value, top.standard_error);
//! # Ok(())
//! # }
//! ```
//!
//! # LIME as the `lime` package does it
//!
//! ```
//! # use std::ops::ControlFlow;
#![doc = include_str!("cookbook_model.txt")]
//! use ecg_lime::{Distance, ExplainOptions, Method, Players, explain};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (model, signal) = (Toy::new(), signal());
//! let options = ExplainOptions::default()
//!     .with_method(Method::LimeSampled)
//!     .with_distance(Distance::Cosine) // image LIME; Euclidean is the tabular one
//!     .with_samples(500)
//!     .with_seed(1);
//! let players = Players::leads(&Lead::STANDARD_12);
//! let go_on = &mut |_, _| ControlFlow::Continue(());
//! let outcome = explain(&model, signal.view(), "LBBB", &players, &options, go_on)?;
//! let explanation = outcome.explanation().ok_or("LIME always has values")?;
//! assert_eq!(explanation.top().map(|own| own.lead.as_str()), Some("V6"));
//! assert_eq!(explanation.seed, Some(1));
//! # Ok(())
//! # }
//! ```
//!
//! # Do the weights matter?
//!
//! ```
//! # use std::ops::ControlFlow;
#![doc = include_str!("cookbook_model.txt")]
//! use ecg_lime::{ExplainOptions, Players, randomisation_check};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (model, signal) = (Toy::new(), signal());
//! # let random = Toy { heard: Lead::V2, ..Toy::new() };
//! // `random`: the same architecture with fresh weights.
//! let check = randomisation_check(
//!     &model,
//!     &random,
//!     signal.view(),
//!     "LBBB",
//!     &Players::independent(&Lead::STANDARD_12)?,
//!     &ExplainOptions::default(),
//!     &mut |_, _| ControlFlow::Continue(()),
//! )?
//! .ok_or("Shapley values always exist")?;
//! assert_eq!(check.agreement.same_top, Some(false));
//! println!("rank correlation {:?}", check.agreement.spearman);
//! # Ok(())
//! # }
//! ```
//!
//! # Over a data set: spread, intervals, agreement
//!
//! ```
//! # use std::ops::ControlFlow;
#![doc = include_str!("cookbook_model.txt")]
//! use ecg_lime::{
//!     Agreement, Cohort, CohortOptions, EvaluateOptions, ExplainOptions, MeanAgreement, Method,
//!     Players, SubsetEvaluations, Subsets,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (model, signal) = (Toy::new(), signal());
//! let players = Players::independent(&Lead::STANDARD_12)?;
//! let lime = ExplainOptions::default().with_method(Method::Lime);
//! let (mut explanations, mut patients, mut agreements) = (Vec::new(), Vec::new(), Vec::new());
//! // Prepared signals, each with its patient. Fewer than five patients would give no intervals.
//! for (patient, height) in [("a", 0.5), ("b", 0.55), ("c", 0.6), ("d", 0.65), ("e", 0.7)] {
//!     let signal = &signal * height;
//!     let evaluations = SubsetEvaluations::new(
//!         &model,
//!         signal.view(),
//!         &players,
//!         &Subsets::All,
//!         &EvaluateOptions::default(),
//!         &mut |_, _| ControlFlow::Continue(()),
//!     )?;
//!     let own = evaluations.explain("LBBB", &ExplainOptions::default())?;
//!     let other = evaluations.explain("LBBB", &lime)?;
//!     let (own, other) = (own.explanation().ok_or("none")?, other.explanation().ok_or("none")?);
//!     agreements.push(Agreement::of(own, other, 3)?);
//!     explanations.push(own.clone());
//!     patients.push(Some(patient)); // `None` if the patient is unknown
//! }
//! let cohort = Cohort::of(&explanations, &patients, &CohortOptions::default())?;
//! let v6 = cohort.leads.iter().find(|own| own.lead == "V6").ok_or("V6 plays")?;
//! println!("V6: mean {:+.3}, 95 % interval {:?}, largest in {}", v6.mean, v6.mean_interval, v6.top);
//! assert!(v6.top == 5 && v6.mean_interval.is_some());
//! assert_eq!(MeanAgreement::of(&agreements).and_then(|mean| mean.same_top), Some(1.0));
//! # Ok(())
//! # }
//! ```
//!
//! # Mean images as a baseline of a network of volumes
//!
//! `Model` of `ecg3d-models` implements
//! [`PredictSubsets::predict_with_images`](ecg_core::PredictSubsets::predict_with_images), and its
//! `Model::mean_images` makes the images from training records, as the toy model does:
//!
//! ```
//! # use std::ops::ControlFlow;
#![doc = include_str!("cookbook_model.txt")]
//! use ecg_lime::{Baseline, EvaluateOptions, ExplainOptions, Players, explain};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (model, signal) = (Toy::new(), signal());
//! // Prepared signals of training records, `[record, lead, sample]`, and how many samples of each are real.
//! let signals = ecg_lime::ndarray::stack![Axis(0), &signal * 0.1, &signal * 0.3];
//! let lengths = [40, 40];
//! let images = model.mean_images(signals.view(), Some(&lengths))?;
//! let options = ExplainOptions::default()
//!     .with_evaluate(EvaluateOptions::default().with_baseline(Baseline::MeanImage(images)));
//! let players = Players::independent(&Lead::STANDARD_12)?;
//! let go_on = &mut |_, _| ControlFlow::Continue(());
//! let outcome = explain(&model, signal.view(), "LBBB", &players, &options, go_on)?;
//! let explanation = outcome.explanation().ok_or("Shapley values always exist")?;
//! assert_eq!(explanation.baseline, "mean-image");
//! assert_eq!(explanation.top().map(|own| own.lead.as_str()), Some("V6"));
//! # Ok(())
//! # }
//! ```
