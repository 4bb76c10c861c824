//! Agreement, faithfulness and the weight-randomisation check.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;

use common::{Known, go_on};
use ecg_core::Lead;
use ecg_lime::{
    Agreement, Cohort, CohortOptions, EvaluateOptions, ExplainOptions, Explanation, LimeError,
    MeanAgreement, Method, Outcome, Players, Segments, Stability, SubsetEvaluations, Subsets,
    Target, explain, faithfulness, randomisation_check,
};
use ndarray::Array2;

const WEIGHTS: [f64; 6] = [2.0, -1.0, 0.5, 0.0, 1.0, -0.25];

fn linear(weights: [f64; 6]) -> Known {
    Known::new([6, 2], move |x| (0..6).map(|k| weights[k] * f64::from(x[[k, 1]])).sum())
}

fn six() -> Players {
    Players::leads(&Lead::STANDARD_12[..6])
}

fn ones() -> Array2<f32> {
    Array2::ones((6, 2))
}

fn logit() -> ExplainOptions {
    ExplainOptions::default().with_target(Target::Logit)
}

fn own(model: &Known, options: &ExplainOptions) -> Explanation {
    let outcome = explain(model, ones().view(), "x", &six(), options, &mut go_on).unwrap();
    outcome.explanation().unwrap().clone()
}

fn evaluations() -> SubsetEvaluations {
    let options = EvaluateOptions::default();
    let x = ones();
    SubsetEvaluations::new(&linear(WEIGHTS), x.view(), &six(), &Subsets::All, &options, &mut go_on)
        .unwrap()
}

#[test]
fn methods_agree_about_a_linear_model() {
    let model = linear(WEIGHTS);
    let shapley = own(&model, &logit());
    let lime = own(&model, &logit().with_method(Method::Lime));
    let agreement = Agreement::of(&shapley, &lime, 3).unwrap();
    assert!(agreement.spearman.unwrap() > 0.99 && agreement.kendall.unwrap() > 0.99);
    assert_eq!((agreement.same_top, agreement.top_overlap, agreement.k), (Some(true), 1.0, 3));
    let mut turned = WEIGHTS;
    turned.iter_mut().for_each(|w| *w = -*w);
    let turned = own(&linear(turned), &logit());
    let agreement = Agreement::of(&shapley, &turned, 99).unwrap();
    assert!(
        agreement.spearman.unwrap() < -0.99 && agreement.spearman_of_magnitudes.unwrap() > 0.99
    );
    // Only the lead without a weight has the same "sign".
    assert_eq!((agreement.same_top, agreement.k), (Some(false), 6));
    assert!(agreement.same_sign < 0.17);
    let back: Agreement =
        serde_json::from_str(&serde_json::to_string(&agreement).unwrap()).unwrap();
    assert_eq!(back, agreement);
}

#[test]
fn unlike_explanations_are_not_compared() {
    let model = linear(WEIGHTS);
    let whole = own(&model, &logit());
    let pairs =
        Players::groups(&Lead::STANDARD_12[..6], &[("a", &[0, 1, 2]), ("b", &[3, 4, 5])]).unwrap();
    let outcome = explain(&model, ones().view(), "x", &pairs, &logit(), &mut go_on).unwrap();
    let error = Agreement::of(&whole, outcome.explanation().unwrap(), 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "one explanation has the players I,II,III,aVR,aVL,aVF, the other a,b; expected the same players"
    );
    assert!(matches!(Agreement::of(&whole, &whole, 0), Err(LimeError::Setting { .. })));
    let error = evaluations().faithfulness(outcome.explanation().unwrap(), Target::Logit);
    assert!(matches!(error, Err(LimeError::Unlike { .. })));
}

#[test]
fn curves_of_a_linear_model() {
    let evaluations = evaluations();
    let outcome = evaluations.explain("x", &logit()).unwrap();
    let found = evaluations.faithfulness(outcome.explanation().unwrap(), Target::Logit).unwrap();
    // Falling weights 2, 1, 0.5, 0, -0.25, -1 of a sum of 2.25.
    let deletion = [2.25, 0.25, -0.75, -1.25, -1.25, -1.0, 0.0];
    let insertion = [0.0, 2.0, 3.0, 3.5, 3.5, 3.25, 2.25];
    for (curve, expected) in [(&found.deletion, deletion), (&found.insertion, insertion)] {
        for (own, expected) in curve.iter().zip(expected) {
            assert!((own - expected).abs() < 1e-9, "{curve:?}");
        }
    }
    assert!((found.deletion_auc - (2.25 / 2.0 - 4.0) / 6.0).abs() < 1e-9);
    assert!((found.insertion_auc - (15.25 + 2.25 / 2.0) / 6.0).abs() < 1e-9);
    assert!((found.chance_auc.unwrap() - 1.125).abs() < 1e-9);

    let segments = Segments::whole(&six(), 2);
    let again = |stop: usize| {
        let mut heard = Vec::new();
        let found = faithfulness(
            &linear(WEIGHTS),
            ones().view(),
            &segments,
            outcome.explanation().unwrap(),
            Target::Logit,
            &EvaluateOptions::default().with_batch(4),
            &mut |done, total| {
                heard.push((done, total));
                if done >= stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        (found, heard)
    };
    // Each curve has seven inputs. An observer that stops after the last gets both curves.
    let (curves, heard) = again(14);
    let curves = curves.unwrap();
    assert_eq!((&curves.deletion, &curves.insertion), (&found.deletion, &found.insertion));
    assert!(curves.chance_auc.is_none());
    assert_eq!(heard, [(4, 14), (7, 14), (11, 14), (14, 14)]);
    let (stopped, heard) = again(7);
    assert!(matches!(stopped, Err(LimeError::Stopped { done: 7, total: 14 })) && heard.len() == 2);
}

#[test]
fn curves_of_segments() {
    use ecg_lime::{SampleOptions, SampledShapley};
    let model = linear(WEIGHTS);
    let segments = Segments::equal(&six(), 2, 2).unwrap();
    let x = ones();
    let sampled =
        SampledShapley::new(&model, x.view(), &segments, &SampleOptions::default(), &mut go_on)
            .unwrap();
    let own = sampled.explain("x", Target::Logit).unwrap();
    assert_eq!(own.top().unwrap().lead, "I[1..2]");
    let options = EvaluateOptions::default();
    let found =
        faithfulness(&model, x.view(), &segments, &own, Target::Logit, &options, &mut go_on)
            .unwrap();
    assert_eq!(found.deletion.len(), 13);
    assert!((found.deletion[0] - own.f_all).abs() < 1e-12);
    assert!((found.deletion[12] - own.f_none).abs() < 1e-12);
    assert!((found.deletion[1] - 0.25).abs() < 1e-9, "the strongest segment goes first");
    assert!(found.insertion_auc > found.deletion_auc);
}

#[test]
fn random_weights_change_the_explanation() {
    let (model, random) = (linear(WEIGHTS), linear([-1.0, 2.0, 0.0, 0.5, -0.25, 1.0]));
    let x = ones();
    let check = |other: &Known, options: &ExplainOptions| {
        randomisation_check(&model, other, x.view(), "x", &six(), options, &mut go_on).unwrap()
    };
    let found = check(&random, &logit()).unwrap();
    assert!(found.agreement.spearman.unwrap() < 0.0);
    assert_eq!(found.agreement.same_top, Some(false));
    let same = check(&linear(WEIGHTS), &logit()).unwrap();
    assert!((same.agreement.spearman.unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(same.original, same.randomised);
    let flat = Known::new([6, 2], |_| 0.5);
    // The published LIME says nothing about a constant. Shapley values are all zero and correlate with nothing.
    assert!(check(&flat, &logit().with_method(Method::Published)).is_none());
    assert_eq!(check(&flat, &logit()).unwrap().agreement.spearman, None);
    assert!(matches!(
        explain(&flat, x.view(), "x", &six(), &logit(), &mut go_on).unwrap(),
        Outcome::Explained(_)
    ));
}

#[test]
fn sampled_lime_knows_its_own_noise() {
    // A model that is not linear, so that the draw of the subsets matters.
    let model = Known::new([6, 2], |x| {
        let v = |k: usize| f64::from(x[[k, 0]]);
        3.0 * v(0) * v(1) - 2.0 * v(2) + v(3) * v(4) * v(5) - 0.5
    });
    let runs: Vec<Explanation> = (0..60)
        .map(|seed| {
            let options = ExplainOptions::default()
                .with_method(Method::LimeSampled)
                .with_samples(300)
                .with_penalty(0.01)
                .with_seed(seed);
            own(&model, &options)
        })
        .collect();
    for k in 0..6 {
        let values: Vec<f64> = runs.iter().map(|own| own.values[k].value).collect();
        let mean = values.iter().sum::<f64>() / 60.0;
        let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 59.0).sqrt();
        let stated = runs.iter().filter_map(|own| own.values[k].standard_error).sum::<f64>() / 60.0;
        // A standard deviation from 60 runs is good to a tenth.
        assert!((stated / spread - 1.0).abs() < 0.35, "{k}: {stated} {spread}");
    }
    // Six coefficients and an intercept fit seven subsets too well to tell their errors. Whether seven random
    // subsets determine that many is up to chance.
    let few = |samples, seed| {
        let sampled = ExplainOptions::default().with_method(Method::LimeSampled);
        let options = sampled.with_samples(samples).with_seed(seed);
        explain(&model, ones().view(), "x", &six(), &options, &mut go_on)
    };
    let error_of = |samples| {
        let outcome = (0..50).find_map(|seed| few(samples, seed).ok()).unwrap();
        outcome.explanation().unwrap().values[0].standard_error
    };
    assert!(error_of(7).is_none() && error_of(8).is_some());
    // Fewer never do; the penalty alone would give them values.
    for samples in [1, 2, 6] {
        let error = few(samples, 0).unwrap_err();
        assert!(
            matches!(error, LimeError::TooFew { done, total: 64, players: 6 } if done <= samples),
            "{error}"
        );
    }
    assert_eq!(
        few(2, 0).unwrap_err().to_string(),
        "2 of 64 subsets do not determine the values of 6 players"
    );
    let stability = Stability::of(&runs, 2).unwrap();
    assert!(stability.coefficients.unwrap() > 0.95, "{stability:?}");
    assert!(stability.variables > 0.5 && stability.spearman.unwrap() > 0.8, "{stability:?}");
    let exact = [own(&model, &logit()), own(&model, &logit())];
    let stability = Stability::of(&exact, 3).unwrap();
    assert_eq!((stability.variables, stability.coefficients), (1.0, None));
    assert!(matches!(Stability::of(&exact[..1], 3), Err(LimeError::Setting { .. })));
    // Only runs of one kind are compared, such as values from elsewhere.
    let of = |label, values: [f64; 2]| {
        Explanation::from_values(
            label,
            Target::Logit,
            ["I", "II"].into_iter().zip(values),
            0.0,
            1.0,
        )
    };
    let runs = [of("x", [0.75, 0.25]), of("x", [0.5, 0.5]), of("y", [0.5, 0.5])];
    assert_eq!(Stability::of(&runs[..2], 1).unwrap().variables, 1.0);
    let error = Stability::of(&runs, 1).unwrap_err();
    assert!(error.to_string().contains("another shapley for the logit of y"), "{error}");
}

/// Explanations of the linear model for records that have the same leads at various heights.
fn many(heights: &[f32]) -> Vec<Explanation> {
    let model = linear(WEIGHTS);
    let own = |height: &f32| {
        let x = ones() * *height;
        let outcome = explain(&model, x.view(), "x", &six(), &logit(), &mut go_on).unwrap();
        outcome.explanation().unwrap().clone()
    };
    heights.iter().map(own).collect()
}

#[test]
fn rounding_is_no_disagreement() {
    let one = many(&[0.5]).remove(0);
    let values = |values: [f64; 6]| {
        let mut own = one.clone();
        own.values.iter_mut().zip(values).for_each(|(own, value)| own.value = value);
        own
    };
    let exact = values([0.0, -0.0, 0.0, 0.7, 0.0, 0.0]);
    let noisy = values([1e-16, -2e-16, 0.0, 0.7, 3e-17, -1e-16]);
    let own = Agreement::of(&exact, &noisy, 3).unwrap();
    assert_eq!((own.spearman, own.same_sign, own.top_overlap), (Some(1.0), 1.0, 1.0));
    assert_eq!(own.same_top, Some(true));
    // Values that differ by rounding are not ranked, neither at zero nor elsewhere, with either sign.
    let exact = values([0.3, 0.3, 0.3, -0.3, 0.7, -0.7]);
    let noisy = values([0.3 + 1e-16, 0.3 - 2e-16, 0.3, -0.3 - 1e-16, 0.7 + 1e-15, -0.7]);
    let own = Agreement::of(&exact, &noisy, 3).unwrap();
    assert_eq!((own.spearman, own.kendall), (Some(1.0), Some(1.0)));
    assert_eq!((own.spearman_of_magnitudes, own.top_overlap), (Some(1.0), 1.0));
    let noise = values([0.2, 0.2 + 1e-16, 0.2 - 1e-16, 0.2, 0.2 + 2e-16, 0.2]);
    let other = values([0.2 + 1e-16, 0.2 - 1e-16, 0.2, 0.2 + 2e-16, 0.2, 0.2]);
    let own = Agreement::of(&noise, &other, 3).unwrap();
    assert_eq!((own.spearman, own.kendall, own.spearman_of_magnitudes), (None, None, None));
    // If all have the same value, none is on top. Of several equal values, the first is.
    let flat = values([0.2; 6]);
    assert_eq!(flat.top(), None);
    assert_eq!(Agreement::of(&flat, &flat, 3).unwrap().same_top, None);
    assert_eq!(Agreement::of(&flat, &exact, 3).unwrap().same_top, Some(false));
    let first = values([0.0, 0.3, 0.3, -1.0, 0.3, 0.0]);
    assert_eq!(first.top(), Some(&first.values[1]));
}

#[test]
fn a_cohort_has_the_spread_of_its_records() {
    let explanations = many(&[0.1, 0.2, 0.3, 0.4, 1.0]);
    let patients = ["a", "b", "c", "d", "e"].map(|name| Some(name.to_owned()));
    let options = CohortOptions::default();
    let cohort = Cohort::of(&explanations, &patients, &options).unwrap();
    assert_eq!((cohort.records, cohort.patients, cohort.leads.len()), (5, 5, 6));
    // Lead I has weight 2 and II has -1. In a linear model the values are weight times height.
    let [i, ii] = [&cohort.leads[0], &cohort.leads[1]];
    assert_eq!((i.lead.as_str(), i.n, i.top, ii.top), ("I", 5, 5, 0));
    for (own, expected) in [
        (i.mean, 0.8),
        (i.median, 0.6),
        (i.quartiles[0], 0.4),
        (i.quartiles[1], 0.8),
        (ii.mean, -0.4),
    ] {
        assert!((own - expected).abs() < 1e-6, "{own} {expected}");
    }
    // Twice the height gives twice the interval, reversed by the sign.
    let ([low, high], [of_ii_low, of_ii_high]) =
        (i.mean_interval.unwrap(), ii.mean_interval.unwrap());
    assert!(0.2 < low && low < 0.8 && 0.8 < high && high < 2.0, "{low} {high}");
    assert!((low + 2.0 * of_ii_high).abs() < 1e-6 && (high + 2.0 * of_ii_low).abs() < 1e-6);
    let [low, high] = i.median_interval.unwrap();
    assert!((0.2 - 1e-6..=0.6 + 1e-6).contains(&low) && (0.6 - 1e-6..=2.0 + 1e-6).contains(&high));

    assert_eq!(cohort, Cohort::of(&explanations, &patients, &options).unwrap());
    assert_ne!(cohort, Cohort::of(&explanations, &patients, &options.with_seed(1)).unwrap());
    let json = serde_json::to_string(&cohort).unwrap();
    assert!(json.contains("\"level\":0.95"), "{json}");
    assert_eq!(serde_json::from_str::<Cohort>(&json).unwrap(), cohort);
    // Borrowed explanations work as well.
    let borrowed: Vec<&Explanation> = explanations.iter().collect();
    let names = patients.each_ref().map(Option::as_deref);
    assert_eq!(Cohort::of(&borrowed, &names, &CohortOptions::default()).unwrap(), cohort);
    // A patient who is unknown is one of its own, drawn in the order of the records.
    let unknown = [None::<&str>; 5];
    assert_eq!(Cohort::of(&explanations, &unknown, &CohortOptions::default()).unwrap(), cohort);
    let mixed = [None, Some("a"), Some("a"), None, Some("b")];
    let mixed = Cohort::of(&explanations, &mixed, &CohortOptions::default()).unwrap();
    assert_eq!((mixed.patients, mixed.leads[0].mean_interval), (4, None));
}

#[test]
fn records_of_a_patient_are_drawn_together() {
    let explanations = many(&[1.0, 1.0, 5.0, 5.0]);
    let owners = |names: [&str; 4]| names.map(|name| Some(name.to_owned()));
    let of = |names| Cohort::of(&explanations, &owners(names), &CohortOptions::default()).unwrap();
    // Fewer than five patients have no interval, however many records.
    for names in [["a"; 4], ["a", "a", "b", "b"], ["a", "b", "c", "d"]] {
        let own = of(names);
        assert_eq!((own.leads[0].mean_interval, own.leads[0].median_interval), (None, None));
    }
    // The interval is as wide if each of five patients has ten equal records instead of one.
    let heights = [1.0, 1.0, 2.0, 5.0, 5.0];
    let five = many(&heights);
    let names = ["a", "b", "c", "d", "e"].map(Some);
    let single = Cohort::of(&five, &names, &CohortOptions::default()).unwrap();
    let repeated: Vec<&Explanation> = five.iter().cycle().take(50).collect();
    let tenfold = Cohort::of(&repeated, &names.repeat(10), &CohortOptions::default()).unwrap();
    let intervals = [&single, &tenfold].map(|own| own.leads[0].mean_interval.unwrap());
    for (one, ten) in intervals[0].iter().zip(intervals[1]) {
        assert!((one - ten).abs() < 1e-6, "{intervals:?}");
    }
    // A player that only four patients have has none either.
    let mut some = five.clone();
    some[4].values.retain(|value| value.lead != "I");
    let cohort = Cohort::of(&some, &names, &CohortOptions::default()).unwrap();
    let spread = |lead: &str| cohort.leads.iter().find(|own| own.lead == lead).unwrap();
    assert_eq!((spread("I").n, spread("I").mean_interval), (4, None));
    assert!(spread("I").median_interval.is_none() && spread("II").mean_interval.is_some());
    // Two values of one lead would overwrite each other.
    some[4].values[1].lead = "II".to_owned();
    some[4].values[0].lead = "II".to_owned();
    let error = Cohort::of(&some, &names, &CohortOptions::default()).unwrap_err();
    assert!(matches!(error, LimeError::DuplicatePlayer { name } if name == "II"));
    let wrong = |options| Cohort::of(&explanations, &owners(["a"; 4]), &options).unwrap_err();
    for bad in [0.0, 1.0, f64::NAN] {
        let error = wrong(CohortOptions::default().with_confidence(bad));
        assert!(matches!(error, LimeError::Setting { .. }), "{error}");
    }
    assert!(matches!(wrong(CohortOptions::default().with_resamples(0)), LimeError::Setting { .. }));
    let mut mixed = explanations.clone();
    mixed[3].label = "not x".to_owned();
    let error = Cohort::of(&mixed, &owners(["a"; 4]), &CohortOptions::default()).unwrap_err();
    assert!(error.to_string().contains("another shapley for the logit of not x"), "{error}");
    let nobody: [Option<&str>; 0] = [];
    let error = Cohort::of(&explanations, &nobody, &CohortOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "4 explanations but 0 patients; expected one for each");
    let none: [Explanation; 0] = [];
    assert_eq!(Cohort::of(&none, &nobody, &CohortOptions::default()).unwrap().leads, []);
}

#[test]
fn r2_of_exact_values_may_be_far_below_zero() {
    let explained = |model: &Known, leads: usize| {
        let x = Array2::ones((leads, 2));
        let players = Players::leads(&Lead::STANDARD_12[..leads]);
        let outcome = explain(model, x.view(), "x", &players, &logit(), &mut go_on).unwrap();
        outcome.explanation().unwrap().clone()
    };
    // Of a game that takes all players, the subsets between the ends see almost nothing.
    let all = |leads: usize, of_first: f64| {
        Known::new([leads, 2], move |x| {
            let product: f64 = (0..leads).map(|k| f64::from(x[[k, 0]])).product();
            product + of_first * f64::from(x[[0, 0]])
        })
    };
    let own = explained(&all(6, 0.01), 6);
    assert!(own.efficiency_residual.unwrap().abs() < 1e-12 && own.weighted_r2 < -30.0, "{own:?}");
    // An AND of two has no variance between the ends.
    let and = explained(&all(2, 0.0), 2);
    assert!(and.weighted_r2.is_nan() && (and.values[0].value - 0.5).abs() < 1e-12, "{and:?}");
}

#[test]
fn agreements_are_averaged() {
    let explanations = many(&[1.0, -1.0]);
    let same = Agreement::of(&explanations[0], &explanations[0], 3).unwrap();
    let turned = Agreement::of(&explanations[0], &explanations[1], 3).unwrap();
    let mean = MeanAgreement::of(&[same, turned]).unwrap();
    assert_eq!((mean.n, mean.k, mean.same_top, mean.top_overlap), (2, 3, Some(0.5), 1.0));
    assert!(mean.spearman.unwrap().abs() < 1e-12);
    // A record in which neither side has a top player is no disagreement.
    let flat = many(&[0.0]).remove(0);
    let none = Agreement::of(&flat, &flat, 3).unwrap();
    let same = Agreement::of(&explanations[0], &explanations[0], 3).unwrap();
    let mean = MeanAgreement::of(&[same, none.clone()]).unwrap();
    assert_eq!((mean.n, mean.same_top), (2, Some(1.0)));
    assert_eq!(MeanAgreement::of(&[none]).unwrap().same_top, None);
    assert_eq!(MeanAgreement::of(&[]), None);
}
