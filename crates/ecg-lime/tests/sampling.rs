//! Permutation sampling, Owen values, baselines, partial results.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Known, amount, go_on};
use ecg_core::{LabelSet, Lead, LeadMask, LeadName, Predict, PredictError, PredictSubsets};
use ecg_lime::{
    Baseline, EvaluateOptions, ExplainOptions, Explanation, LimeError, Method, Players,
    SampleOptions, SampledShapley, Segments, SubsetEvaluations, Subsets, Target, explain,
    explain_with_baselines,
};
use ndarray::{Array2, Array3, ArrayView3, Ix3, s};
use proptest::prelude::*;

const THREE: [Lead; 3] = [Lead::V1, Lead::V2, Lead::V6];

fn three() -> Players {
    Players::leads(&THREE)
}

fn ones(leads: usize, samples: usize) -> Array2<f32> {
    Array2::ones((leads, samples))
}

/// Multiplies what the first lead has early by what the second has late, and ignores the third.
fn early_and_late() -> Known {
    Known::new([3, 8], |x| amount(x, 0, 0..4) * amount(x, 1, 4..8) / 8.0 - 1.0)
}

fn sampled(model: &Known, segments: &Segments, options: &SampleOptions) -> Explanation {
    let x = ones(segments.leads().len(), segments.borders()[segments.count()]);
    let sampled = SampledShapley::new(model, x.view(), segments, options, &mut go_on).unwrap();
    sampled.explain("x", Target::Logit).unwrap()
}

#[test]
fn segments_that_matter_are_found() {
    let segments = Segments::equal(&three(), 8, 2).unwrap();
    let own = sampled(&early_and_late(), &segments, &SampleOptions::default());
    let names: Vec<&str> = own.values.iter().map(|own| own.lead.as_str()).collect();
    assert_eq!(names, ["V1[0..4]", "V1[4..8]", "V2[0..4]", "V2[4..8]", "V6[0..4]", "V6[4..8]"]);
    // Two players share a product equally; in an antithetic pair each comes last once, so there is no error at all.
    for (own, expected) in own.values.iter().zip([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]) {
        assert!((own.value - expected).abs() < 1e-9, "{own:?}");
        assert!(own.standard_error.unwrap() < 1e-9, "{own:?}");
    }
    assert!(own.efficiency_residual.unwrap().abs() < 1e-9);
    // 64 walks of 5 coalitions, and the two ends.
    assert_eq!((own.evaluations, own.seed), (64 * 5 + 2, Some(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn samples_converge_to_the_exact_values(
        weights in prop::array::uniform6(-1.0..1.0f64),
        pair in -2.0..2.0f64,
        seed in any::<u64>(),
        antithetic in any::<bool>(),
    ) {
        let black = move || Known::new([6, 1], move |x| {
            let v = |k: usize| f64::from(x[[k, 0]]);
            (0..6).map(|k| weights[k] * v(k)).sum::<f64>() + pair * v(0) * v(1) * (1.0 - v(2))
        });
        let players = Players::leads(&Lead::STANDARD_12[..6]);
        let x = ones(6, 1);
        let outcome = explain(&black(), x.view(), "x", &players, &ExplainOptions::default(), &mut go_on);
        let exact = outcome.unwrap().explanation().unwrap().clone();
        let segments = Segments::whole(&players, 1);
        let at = |permutations: usize| {
            let options = SampleOptions::default()
                .with_permutations(permutations)
                .with_antithetic(antithetic)
                .with_seed(seed);
            SampledShapley::new(&black(), x.view(), &segments, &options, &mut go_on)
                .unwrap()
                .explain("x", Target::Probability)
                .unwrap()
        };
        let own = at(2000);
        prop_assert!(own.efficiency_residual.unwrap().abs() < 1e-12);
        prop_assert!((own.f_all - exact.f_all).abs() < 1e-14);
        for (own, exact) in own.values.iter().zip(&exact.values) {
            // Chance does not reach seven standard errors (plus a little for players without spread).
            let allowed = 7.0 * own.standard_error.unwrap() + 1e-12;
            prop_assert!((own.value - exact.value).abs() < allowed, "{:?} {:?}", own, exact);
        }
        // Ten times the work gives a third of the error.
        let mean = |own: &Explanation| own.values.iter().filter_map(|v| v.standard_error).sum::<f64>();
        prop_assert!(mean(&own) < 0.6 * mean(&at(200)) + 1e-12);
    }

    #[test]
    fn unions_of_one_are_no_unions(seed in any::<u64>()) {
        let segments = Segments::equal(&three(), 8, 2).unwrap();
        let model = Known::new([3, 8], |x| x.iter().enumerate().map(|(k, v)| f64::from(*v) * k as f64 / 99.0).sum::<f64>().powi(2) - 4.0);
        let options = SampleOptions::default().with_seed(seed).with_permutations(1500);
        let plain = sampled(&model, &segments, &options);
        let single = options.with_unions((0..6).map(|k| vec![k]).collect());
        let owen = sampled(&model, &segments, &single);
        prop_assert_eq!(owen.method, Method::Owen);
        for (a, b) in plain.values.iter().zip(&owen.values) {
            let allowed = 7.0 * (a.standard_error.unwrap() + b.standard_error.unwrap()) + 1e-9;
            prop_assert!((a.value - b.value).abs() < allowed, "{:?} {:?}", a, b);
        }
    }
}

#[test]
fn sampled_owen_values_approach_the_exact_ones() {
    let players = Players::leads(&Lead::STANDARD_12[..5]);
    let model = Known::new([5, 1], |x| {
        let v = |k: usize| f64::from(x[[k, 0]]);
        2.0 * v(0) * v(3) - v(1) * v(2) * v(4) + 0.3 * v(1)
    });
    let unions = vec![vec![0, 1], vec![2], vec![3, 4]];
    let x = ones(5, 1);
    let options = ExplainOptions::default().with_method(Method::Owen).with_unions(unions.clone());
    let outcome = explain(&model, x.view(), "x", &players, &options, &mut go_on).unwrap();
    let exact = outcome.explanation().unwrap();
    assert!(exact.efficiency_residual.unwrap().abs() < 1e-12);
    let options = SampleOptions::default().with_permutations(4000).with_unions(unions);
    let sampled =
        SampledShapley::new(&model, x.view(), &Segments::whole(&players, 1), &options, &mut go_on)
            .unwrap();
    let own = sampled.explain("x", Target::Probability).unwrap();
    for (own, exact) in own.values.iter().zip(&exact.values) {
        let error = own.standard_error.unwrap();
        assert!(error < 0.01 && (own.value - exact.value).abs() < 6.0 * error + 1e-12, "{own:?}");
    }
    let plain = explain(&model, x.view(), "x", &players, &ExplainOptions::default(), &mut go_on);
    let shapley = plain.unwrap().explanation().unwrap().clone();
    let differs =
        shapley.values.iter().zip(&exact.values).any(|(a, b)| (a.value - b.value).abs() > 1e-3);
    assert!(differs, "the unions make a difference");
}

#[test]
fn one_set_of_walks_serves_every_label_and_target() {
    let segments = Segments::equal(&three(), 8, 4).unwrap();
    let x = ones(3, 8);
    let mut heard = Vec::new();
    let options = SampleOptions::default()
        .with_permutations(5)
        .with_evaluate(EvaluateOptions::default().with_batch(7));
    let sampled = SampledShapley::new(
        &early_and_late(),
        x.view(),
        &segments,
        &options,
        &mut |done, total| {
            heard.push((done, total));
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    // A pair is 22 coalitions, four batches, and counts once it is whole.
    let done: Vec<usize> = heard.iter().map(|(done, _)| *done).collect();
    assert_eq!(done, [0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 6]);
    assert!(heard.iter().all(|(_, total)| *total == 6));
    let [a, b] = ["x", "not x"].map(|label| sampled.explain(label, Target::Logit).unwrap());
    for (a, b) in a.values.iter().zip(&b.values) {
        assert!((a.value + b.value).abs() < 1e-9);
    }
    assert!(a.weighted_r2 <= 1.0 && sampled.partial().is_none());
    assert!(sampled.explain("y", Target::Logit).is_err());
    let again = SampledShapley::new(&early_and_late(), x.view(), &segments, &options, &mut go_on);
    assert_eq!(again.unwrap(), sampled, "the seed decides");
}

#[test]
fn segments_of_derived_leads_stay_possible() {
    // Only aVF counts, and only late: the late parts of I and II share it, by aVF = II - I/2.
    let mut x = Array2::from_elem((12, 6), 0.0f32);
    for t in 0..6 {
        let (i, ii) = (0.5, 1.5);
        for (lead, v) in
            [i, ii, ii - i, -(i + ii) / 2.0, i - ii / 2.0, ii - i / 2.0].iter().enumerate()
        {
            x[[lead, t]] = *v;
        }
    }
    let avf = Lead::AVF.index();
    let model = Known::new([12, 6], move |x| (3..6).map(|t| f64::from(x[[avf, t]])).sum());
    let players = Players::independent(&Lead::STANDARD_12).unwrap();
    let segments = Segments::equal(&players, 6, 2).unwrap();
    let sampled =
        SampledShapley::new(&model, x.view(), &segments, &SampleOptions::default(), &mut go_on);
    let own = sampled.unwrap().explain("x", Target::Logit).unwrap();
    for own in &own.values {
        let expected = match own.lead.as_str() {
            "I[3..6]" => -0.75,
            "II[3..6]" => 4.5,
            _ => 0.0,
        };
        assert!((own.value - expected).abs() < 1e-6, "{own:?}");
    }
    assert_eq!(segments.unions_of_leads()[1], [2, 3]);
    assert_eq!(segments.unions_of_segments()[1], [1, 3, 5, 7, 9, 11, 13, 15]);
}

#[test]
fn stopped_sampling_keeps_what_is_done() {
    let segments = Segments::equal(&three(), 8, 4).unwrap();
    let options = SampleOptions::default().with_evaluate(EvaluateOptions::default().with_batch(22));
    let mut rounds = 0;
    let sampled = SampledShapley::new(
        &early_and_late(),
        ones(3, 8).view(),
        &segments,
        &options,
        &mut |_, _| {
            rounds += 1;
            if rounds == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    )
    .unwrap();
    let own = sampled.explain("x", Target::Logit).unwrap();
    let partial = own.partial.unwrap();
    assert_eq!((partial.done, partial.total), (6, 64));
    assert!(own.to_string().contains("stopped after 6 of 64"));
    assert!(own.efficiency_residual.unwrap().abs() < 1e-9);
}

#[test]
fn sampling_stops_within_a_pair() {
    let segments = Segments::equal(&three(), 8, 4).unwrap();
    let evaluate = EvaluateOptions::default().with_batch(7);
    let run = |batches: usize, options: &SampleOptions| {
        let mut heard = 0;
        let x = ones(3, 8);
        SampledShapley::new(&early_and_late(), x.view(), &segments, options, &mut |_, _| {
            heard += 1;
            if heard == batches { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    let options = SampleOptions::default().with_permutations(6).with_evaluate(evaluate);
    // Four batches make a pair. The work stops in the second batch of the second pair, which is dropped.
    let stopped = run(6, &options).unwrap();
    assert_eq!((stopped.partial().unwrap().done, stopped.permutations()), (2, 2));
    let own = stopped.explain("x", Target::Logit).unwrap();
    // The two ends, a pair of 22 coalitions, and two batches that were not used.
    assert_eq!(own.evaluations, 2 + 22 + 14);
    let pair = run(usize::MAX, &options.clone().with_permutations(2)).unwrap();
    assert_eq!(own.values, pair.explain("x", Target::Logit).unwrap().values);
    assert!(own.weighted_r2 <= 1.0);
    let error = run(3, &options).unwrap_err();
    assert!(matches!(error, LimeError::Stopped { done: 0, total: 6 }), "{error}");
    // Without pairs, the first batch that goes beyond a permutation of 11 coalitions is enough.
    let single = options.with_antithetic(false);
    assert!(run(1, &single).is_err());
    assert_eq!(run(2, &single).unwrap().partial().unwrap().done, 1);
    // An observer that stops after the last batch gets the complete result. A permutation takes two batches.
    assert_eq!(run(12, &single).unwrap().partial(), None);
}

#[test]
fn a_single_player_gets_all_and_the_observer_hears_of_it() {
    let model = Known::new([1, 2], |x| f64::from(x[[0, 0]]));
    let segments = Segments::whole(&Players::leads(&[Lead::V1]), 2);
    let mut heard = Vec::new();
    let options = SampleOptions::default().with_permutations(4);
    let stop = &mut |done, _| {
        heard.push(done);
        ControlFlow::Break(())
    };
    let x = ones(1, 2);
    let sampled = SampledShapley::new(&model, x.view(), &segments, &options, stop).unwrap();
    let own = sampled.explain("x", Target::Logit).unwrap();
    assert!((own.values[0].value - 1.0).abs() < 1e-12 && own.evaluations == 2);
    assert_eq!(heard, [4]);
}

#[test]
fn bad_settings_are_refused_before_anything_is_evaluated() {
    let model = Known::new([3, 8], |_| panic!("evaluated"));
    let ask = |options: ExplainOptions| {
        explain(&model, ones(3, 8).view(), "x", &three(), &options, &mut go_on).unwrap_err()
    };
    let of = |method| ExplainOptions::default().with_method(method);
    assert!(matches!(ask(of(Method::Permutation)), LimeError::EvaluatesAsItGoes));
    let players = Players::leads(&[Lead::V1]);
    let published = of(Method::Published);
    let x = ones(1, 8);
    let error = explain(&model, x.view(), "x", &players, &published, &mut go_on).unwrap_err();
    assert!(error.to_string().ends_with("must be at least 2, found 1"), "{error}");
    let none = Players::leads::<Lead>(&[]);
    let x = ones(0, 8);
    let error = explain(&model, x.view(), "x", &none, &published, &mut go_on).unwrap_err();
    assert!(error.to_string().ends_with("must be at least 2, found 0"), "{error}");
    let twice = Players::leads(&[Lead::V1, Lead::V2, Lead::V1]);
    let shapley = ExplainOptions::default();
    let x = ones(3, 8);
    let error = explain(&model, x.view(), "x", &twice, &shapley, &mut go_on).unwrap_err();
    assert!(matches!(error, LimeError::DuplicatePlayer { name } if name == "V1"));
    let error = ask(of(Method::Owen));
    assert_eq!(
        error.to_string(),
        "Owen values of V1, V2, V6 need `ExplainOptions::unions`; the defaults are only for limb leads and chest leads"
    );
    for (options, setting) in [
        (of(Method::Lime).with_kernel_width(0.0), "the kernel width"),
        (of(Method::LimeSampled).with_kernel_width(f64::NAN), "the kernel width"),
        (of(Method::Lime).with_penalty(-1.0), "the ridge penalty"),
        (of(Method::LimeSampled).with_penalty(f64::INFINITY), "the ridge penalty"),
        (of(Method::Published).with_threshold(1.5), "the threshold"),
        (of(Method::Published).with_c(0.0), "the inverse penalty C"),
    ] {
        let error = ask(options);
        assert!(matches!(error, LimeError::Setting { setting: s, .. } if s == setting), "{error}");
    }
    // Unions refer to the final players: here twelve leads, since the limb leads contradict each other.
    let model = Known::new([12, 8], |x| f64::from(x[[0, 0]]));
    let players = Players::independent(&Lead::STANDARD_12).unwrap();
    let ask = |unions: Vec<Vec<usize>>| {
        let options = of(Method::Owen).with_unions(unions);
        explain(&model, ones(12, 8).view(), "x", &players, &options, &mut go_on)
    };
    let error = ask(vec![(0..8).collect()]).unwrap_err();
    assert!(matches!(error, LimeError::Fallback { given: "unions", .. }), "{error}");
    assert!(ask(vec![(0..6).collect(), (6..12).collect()]).is_ok());
    // Unions that are a partition of neither the eight nor the twelve have another mistake.
    for count in [7_usize, 11] {
        let error = ask(vec![(0..count).collect()]).unwrap_err();
        assert!(
            matches!(error, LimeError::Partition { player, times: 0 } if player == count),
            "{error}"
        );
    }
}

#[test]
fn what_is_given_for_eight_players_is_not_taken_for_twelve() {
    let model = Known::new([12, 8], |x| f64::from(x[[0, 0]]));
    let players = Players::independent(&Lead::STANDARD_12).unwrap();
    let x = ones(12, 8);
    let evaluate = |subsets: &Subsets, options: &EvaluateOptions| {
        SubsetEvaluations::new(&model, x.view(), &players, subsets, options, &mut go_on)
    };
    let given = Subsets::Given(vec![LeadMask(0b1111_1110), LeadMask(0b1111_1101)]);
    let options = EvaluateOptions::default();
    assert_eq!(
        evaluate(&given, &options).unwrap_err().to_string(),
        "the limb leads contradict I and II by up to 2.000 (tolerance: 0.050), so each lead is a player, but the \
         subsets given are for other players; pass `Players::each_lead` of these players, with subsets of \
         those, or set a larger `EvaluateOptions::einthoven_tolerance`"
    );
    assert_eq!(evaluate(&Subsets::Removed(1), &options).unwrap().players().len(), 12);
    let tolerant = options.with_einthoven_tolerance(2.0);
    assert_eq!(evaluate(&given, &tolerant).unwrap().players().len(), 8);
    // What the message advises: the same twelve players, even beside a row that is none.
    let mut leads = Lead::STANDARD_12.map(LeadName::from).to_vec();
    leads.push(LeadName::from("VX"));
    let (wide, y) = (Known::new([13, 8], |x| f64::from(x[[0, 0]])), ones(13, 8));
    let of = |players: &Players, subsets: &Subsets| {
        let options = EvaluateOptions::default();
        SubsetEvaluations::new(&wide, y.view(), players, subsets, &options, &mut go_on)
    };
    let eight = Players::independent(&leads).unwrap();
    let advised = eight.each_lead();
    assert_eq!(of(&eight, &Subsets::Removed(1)).unwrap().players(), &advised);
    assert_eq!(of(&advised, &given).unwrap().players().len(), 12);

    let segments = Segments::equal(&players, 8, 2).unwrap();
    let walk = |unions: Vec<Vec<usize>>| {
        let options = SampleOptions::default().with_permutations(2).with_unions(unions);
        SampledShapley::new(&model, x.view(), &segments, &options, &mut go_on)
    };
    let error = walk(segments.unions_of_leads()).unwrap_err();
    assert!(matches!(error, LimeError::Fallback { given: "unions", .. }), "{error}");
    let twelve = Segments::equal(&players.each_lead(), 8, 2).unwrap();
    assert!(walk(twelve.unions_of_leads()).is_ok());
    let forgets_one = twelve.unions_of_leads()[..11].to_vec();
    let error = walk(forgets_one).unwrap_err();
    assert!(matches!(error, LimeError::Partition { player: 22, times: 0 }), "{error}");
    // Unions are also checked where the evaluations have been made.
    let all = evaluate(&Subsets::All, &EvaluateOptions::default()).unwrap();
    let owen = ExplainOptions::default().with_method(Method::Owen);
    let owen_of =
        |count: usize| all.explain("x", &owen.clone().with_unions(vec![(0..count).collect()]));
    let error = owen_of(8).unwrap_err();
    assert!(matches!(error, LimeError::Fallback { given: "unions", .. }), "{error}");
    let error = owen_of(11).unwrap_err();
    assert!(matches!(error, LimeError::Partition { player: 11, times: 0 }), "{error}");
}

#[test]
fn sampled_lime_takes_only_draws() {
    let sampled = ExplainOptions::default().with_method(Method::LimeSampled);
    let ask = |subsets: &Subsets| {
        let x = ones(3, 8);
        let options = EvaluateOptions::default();
        let model = early_and_late();
        SubsetEvaluations::new(&model, x.view(), &three(), subsets, &options, &mut go_on)
            .unwrap()
            .explain("x", &sampled)
    };
    for (subsets, count) in [(Subsets::All, 8), (Subsets::Removed(2), 6)] {
        let error = ask(&subsets).unwrap_err();
        assert!(
            matches!(error, LimeError::Incomplete { method: "lime-sampled", found, .. } if found == count),
            "{error}"
        );
    }
    // The evaluations decide how many there are, and by which seed.
    let outcome = ask(&Subsets::Sampled { samples: 40, seed: 5 }).unwrap();
    assert_eq!(outcome.explanation().unwrap().seed, Some(5));
    let given =
        Subsets::Given(vec![0b111, 0b110, 0b101, 0b011].into_iter().map(LeadMask).collect());
    assert!(ask(&given).is_ok());
}

#[test]
fn a_kernel_too_narrow_is_not_too_few_subsets() {
    let model = Known::new([12, 1], |x| f64::from(x[[5, 0]]));
    let players = Players::leads(&Lead::STANDARD_12);
    let ask = |method: Method, width: f64| {
        let options = ExplainOptions::default().with_method(method).with_kernel_width(width);
        explain(&model, ones(12, 1).view(), "x", &players, &options, &mut go_on)
    };
    for (method, width) in [(Method::LimeSampled, 0.15), (Method::Lime, 0.1)] {
        assert_eq!(
            ask(method, width).unwrap_err().to_string(),
            format!(
                "the kernel width must be wide enough for more than the largest subsets to count, found {width}"
            )
        );
        assert!(ask(method, 1.0).is_ok(), "{method}");
    }
}

#[test]
fn values_of_segments_add_up_by_lead() {
    let segments = Segments::equal(&three(), 8, 2).unwrap();
    let mut own = sampled(&early_and_late(), &segments, &SampleOptions::default());
    let sums = own.by_lead();
    let names: Vec<&str> = sums.iter().map(|own| own.lead.as_str()).collect();
    assert_eq!(names, ["V1", "V2", "V6"]);
    for (sum, parts) in sums.iter().zip(own.values.chunks(2)) {
        assert_eq!(sum.value, parts[0].value + parts[1].value);
        assert_eq!(sum.standard_error, None);
    }
    own.values = sums.clone();
    assert_eq!(own.by_lead(), sums, "leads stay as they are");
    let whole =
        sampled(&early_and_late(), &Segments::whole(&three(), 8), &SampleOptions::default());
    assert!(whole.by_lead() == whole.values && whole.values[0].standard_error.is_some());
}

/// Counts the inputs that it is given at once.
struct Counting(Known, AtomicUsize);
impl Predict<Ix3> for Counting {
    fn input_shape(&self) -> Vec<usize> {
        self.0.input_shape()
    }
    fn labels(&self) -> &LabelSet {
        self.0.labels()
    }
    fn predict_proba(&self, batch: ArrayView3<'_, f32>) -> Result<Array2<f64>, PredictError> {
        self.1.fetch_max(batch.dim().0, Ordering::Relaxed);
        self.0.predict_proba(batch)
    }
}
impl PredictSubsets for Counting {}

#[test]
fn no_more_inputs_at_once_than_a_batch() {
    let segments = Segments::equal(&three(), 8, 2).unwrap();
    for batch in [1, 2, 7] {
        let model = Counting(early_and_late(), AtomicUsize::new(0));
        let evaluate = EvaluateOptions::default().with_batch(batch);
        let options = SampleOptions::default().with_permutations(4).with_evaluate(evaluate);
        let x = ones(3, 8);
        SampledShapley::new(&model, x.view(), &segments, &options, &mut go_on).unwrap();
        assert_eq!(model.1.into_inner(), batch);
    }
}

#[test]
fn owen_values_are_of_limb_and_chest_leads_unless_told() {
    let model = Known::new([12, 2], |x| {
        let v = |k: usize| f64::from(x[[k, 0]]);
        v(0) * v(6) + v(1) * v(7) * v(8) - 0.5
    });
    let players = Players::independent(&Lead::STANDARD_12).unwrap();
    let default = ExplainOptions::default().with_method(Method::Owen);
    let ask = |x: &Array2<f32>, options: &ExplainOptions| {
        let outcome = explain(&model, x.view(), "x", &players, options, &mut go_on).unwrap();
        outcome.explanation().unwrap().clone()
    };
    // Limb leads that follow from I and II, both 1; then ones that contradict each other.
    let limb = [1.0, 1.0, 0.0, -1.0, 0.5, 0.5];
    let body = Array2::from_shape_fn((12, 2), |(lead, _)| limb.get(lead).copied().unwrap_or(1.0));
    for (x, limb, count) in [(body, 2, 8), (ones(12, 2), 6, 12)] {
        let explicit = vec![(0..limb).collect(), (limb..count).collect()];
        let own = ask(&x, &default);
        assert_eq!((own.values.len(), own.fallback.is_some()), (count, count == 12));
        assert_eq!(own, ask(&x, &default.clone().with_unions(explicit)));
        let shapley = ask(&x, &ExplainOptions::default());
        assert!(
            own.values.iter().zip(&shapley.values).any(|(a, b)| (a.value - b.value).abs() > 1e-3)
        );
    }
}

#[test]
fn a_lead_that_does_not_play_stays_under_any_baseline() {
    // Twelve leads that contradict each other, so that each plays, and one more.
    let mut leads: Vec<LeadName> = Lead::STANDARD_12.map(LeadName::from).to_vec();
    leads.push("V7".into());
    let players = Players::independent(&leads).unwrap();
    let model = Known::new([13, 2], |x| f64::from(x[[0, 0]] + 2.0 * x[[12, 0]]) - 1.5);
    let sigmoid = |logit: f64| 1.0 / (1.0 + (-logit).exp());
    for baseline in [Baseline::Zero, Baseline::Mean(Array2::zeros((13, 2)))] {
        let evaluate = EvaluateOptions::default().with_baseline(baseline);
        let options = ExplainOptions::default().with_evaluate(evaluate);
        let outcome = explain(&model, ones(13, 2).view(), "x", &players, &options, &mut go_on);
        let own = outcome.unwrap().explanation().unwrap().clone();
        assert_eq!(own.values.len(), 12);
        assert!((own.f_all - sigmoid(1.5)).abs() < 1e-12, "{own:?}");
        assert!((own.f_none - sigmoid(0.5)).abs() < 1e-12, "{own:?}");
    }
}

#[test]
fn as_many_random_subsets_as_all_are_not_all() {
    let make = |subsets: &Subsets| {
        let x = ones(3, 8);
        let options = EvaluateOptions::default();
        SubsetEvaluations::new(&early_and_late(), x.view(), &three(), subsets, &options, &mut go_on)
            .unwrap()
    };
    assert!(make(&Subsets::All).has_all());
    let sampled = make(&Subsets::Sampled { samples: 8, seed: 0 });
    assert!(sampled.masks().len() == 8 && !sampled.has_all());
    assert!(!make(&Subsets::Removed(4)).has_all());
}

#[test]
fn stopped_subsets_give_an_estimate_that_says_so() {
    let model = Known::new([12, 1], |x| {
        x.iter().enumerate().map(|(k, v)| f64::from(*v) * (k as f64 - 4.0) / 6.0).sum()
    });
    let players = Players::leads(&Lead::STANDARD_12);
    let run = |stop: usize, keep: bool| {
        SubsetEvaluations::new(
            &model,
            ones(12, 1).view(),
            &players,
            &Subsets::All,
            &EvaluateOptions::default().with_keep_partial(keep),
            &mut |done, _| {
                if done >= stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        )
    };
    assert!(matches!(run(512, false), Err(LimeError::Stopped { done: 512, total: 4096 })));
    let whole = run(usize::MAX, true).unwrap();
    assert_eq!(whole, run(usize::MAX, false).unwrap(), "the order of evaluation does not matter");
    let some = run(512, true).unwrap();
    assert_eq!((some.masks().len(), some.partial().unwrap().done), (512, 512));
    let options = ExplainOptions::default();
    let [exact, estimate] = [&whole, &some]
        .map(|own| own.explain("x", &options).unwrap().explanation().unwrap().clone());
    assert!(exact.partial.is_none() && estimate.partial.is_some());
    assert!(estimate.efficiency_residual.unwrap().abs() < 1e-12);
    for (a, b) in exact.values.iter().zip(&estimate.values) {
        assert!((a.value - b.value).abs() < 0.03, "{a:?} {b:?}");
    }
    for method in [Method::Lime, Method::Shapley] {
        let options = ExplainOptions::default().with_method(method);
        assert!(some.explain("not x", &options).unwrap().explanation().unwrap().partial.is_some());
    }
    assert!(matches!(
        some.explain("x", &ExplainOptions::default().with_method(Method::Published)),
        Err(LimeError::Incomplete { .. })
    ));
}

#[test]
fn stopped_subsets_that_leave_a_player_open_give_no_estimate() {
    let model = Known::new([12, 1], |x| f64::from(x[[5, 0]]));
    let players = Players::leads(&Lead::STANDARD_12);
    let run = |method: Method, stop: usize| {
        let evaluate = EvaluateOptions::default().with_batch(1).with_keep_partial(true);
        let options = ExplainOptions::default().with_method(method).with_evaluate(evaluate);
        let mut observer = |done: usize, _: usize| match done >= stop {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        explain(&model, ones(12, 1).view(), "x", &players, &options, &mut observer)
    };
    for method in [Method::Lime, Method::LimeSampled, Method::Published, Method::Shapley] {
        // After two evaluations there are only the ends, neither of which is one of the published subsets.
        for stop in [2, 4, 12] {
            let error = run(method, stop).unwrap_err();
            let expected =
                matches!(error, LimeError::TooFew { done, players: 12, .. } if done <= stop);
            assert!(
                expected || method == Method::Published && stop == 2,
                "{method} {stop}: {error}"
            );
        }
        let own = run(method, 200).unwrap().explanation().unwrap().clone();
        assert!(own.partial.is_some() && own.values.iter().all(|own| own.standard_error.is_none()));
        assert_eq!(own.top().unwrap().lead, "aVF", "{method}");
    }
}

#[test]
fn stopped_work_without_an_estimate_says_how_far_it_got() {
    let model = Known::new([12, 1], |x| f64::from(x[[5, 0]]));
    let players = Players::leads(&Lead::STANDARD_12);
    let evaluate = EvaluateOptions::default().with_keep_partial(true);
    let stop = &mut |done: usize, _: usize| match done >= 128 {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let x = ones(12, 1);
    let some = SubsetEvaluations::new(&model, x.view(), &players, &Subsets::All, &evaluate, stop);
    let some = some.unwrap();
    let owen = some.explain("x", &ExplainOptions::default().with_method(Method::Owen)).unwrap_err();
    assert_eq!(owen.to_string(), "stopped after 128 of 4096 evaluations");
    let shapley = some.explain("x", &ExplainOptions::default()).unwrap();
    let curves = some.faithfulness(shapley.explanation().unwrap(), Target::Probability);
    assert!(matches!(curves, Err(LimeError::Stopped { done: 128, total: 4096 })));
}

/// Half of the subsets of a saturating game that a few leads decide. If the subsets were drawn evenly, chance
/// would decide whether those of one lead and of all but one are included (errors of .05 to .3 of the largest
/// value).
#[test]
fn stopped_subsets_are_of_the_sizes_that_decide() {
    let players = Players::leads(&Lead::STANDARD_12);
    for seed in 0..5 {
        let model = Known::new([12, 1], move |x| {
            let weight = |k: usize| f64::from((k * 7 + seed * 5) as u8 % 12) / 3.0 - 1.0;
            x.iter().enumerate().map(|(k, v)| f64::from(*v) * weight(k)).sum::<f64>() - 5.0
        });
        let run = |stop: usize| {
            let options = EvaluateOptions::default().with_keep_partial(true);
            let mut observer = |done, _: usize| match done >= stop {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            let x = ones(12, 1);
            let own = SubsetEvaluations::new(
                &model,
                x.view(),
                &players,
                &Subsets::All,
                &options,
                &mut observer,
            );
            own.unwrap()
        };
        let (whole, half) = (run(usize::MAX), run(2048));
        for (method, most) in [(Method::Shapley, 0.04), (Method::Lime, 0.04)] {
            let options = ExplainOptions::default().with_method(method);
            let [exact, estimate] = [&whole, &half]
                .map(|own| own.explain("x", &options).unwrap().explanation().unwrap().clone());
            let largest = exact.values.iter().map(|own| own.value.abs()).fold(0.0, f64::max);
            for (a, b) in exact.values.iter().zip(&estimate.values) {
                assert!((a.value - b.value).abs() < most * largest, "{method} {seed}: {a:?} {b:?}");
            }
            assert!((exact.weighted_r2 - estimate.weighted_r2).abs() < 0.05);
        }
    }
}

#[test]
fn stopped_work_keeps_the_baselines_that_are_done() {
    let model = Known::new([3, 4], |x| x.iter().map(|v| f64::from(*v)).sum::<f64>());
    let baselines = [Baseline::Zero, Baseline::Mean(ones(3, 4)), Baseline::Zero];
    let run = |stop: usize, keep: bool| {
        let evaluate = EvaluateOptions::default().with_batch(2).with_keep_partial(keep);
        let options = ExplainOptions::default().with_evaluate(evaluate);
        let mut calls = 0;
        let mut observer = |_: usize, _: usize| {
            calls += 1;
            if calls >= stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let x = ones(3, 4);
        let three = three();
        explain_with_baselines(&model, x.view(), "x", &three, &baselines, &options, &mut observer)
    };
    // Four batches make a baseline. Two subsets of the second are not enough for three players; six are.
    assert_eq!(run(5, true).unwrap().len(), 1);
    let two = run(7, true).unwrap();
    assert!(two.len() == 2 && two[0].partial().is_none() && two[1].partial().is_some());
    assert!(matches!(run(5, false), Err(LimeError::Stopped { .. })));
    assert!(run(1, true).is_err());
}

#[test]
fn settings_out_of_range_are_noticed_first() {
    let model = Known::new([3, 4], |_| panic!("evaluates nothing"));
    let of = |options: &ExplainOptions| {
        explain(&model, ones(3, 4).view(), "x", &three(), options, &mut go_on).unwrap_err()
    };
    let sampled = ExplainOptions::default().with_method(Method::LimeSampled);
    let options = ExplainOptions::default();
    let nan = EvaluateOptions::default().with_einthoven_tolerance(f64::NAN);
    for bad in [
        sampled.clone().with_samples(0),
        sampled.with_kernel_width(1e-200),
        options.with_evaluate(nan),
    ] {
        assert!(matches!(of(&bad), LimeError::Setting { .. }), "{bad:?}");
    }
}

#[test]
fn a_baseline_is_what_removed_leads_become() {
    let model = Known::new([3, 4], |x| x.iter().map(|v| f64::from(*v)).sum::<f64>());
    let x = ones(3, 4);
    let backgrounds = vec![&x * 0.5, &x * 0.0];
    let mean = Baseline::mean_of(backgrounds.iter().map(|own| own.view())).unwrap();
    let baselines = [Baseline::Zero, mean, Baseline::Background(backgrounds)];
    let options = ExplainOptions::default().with_target(Target::Logit);
    let outcomes =
        explain_with_baselines(&model, x.view(), "x", &three(), &baselines, &options, &mut go_on)
            .unwrap();
    // For a linear logit, a lead's part is what it has beyond the baseline: 4 x 1, 4 x 0.75, and the mean of 2
    // and 4.
    for ((outcome, part), (name, evaluations)) in outcomes.iter().zip([4.0, 3.0, 3.0]).zip([
        ("zero", 8),
        ("mean", 8),
        ("background of 2", 16),
    ]) {
        let own = outcome.explanation().unwrap();
        assert_eq!((own.baseline.as_str(), own.evaluations), (name, evaluations));
        assert!(own.values.iter().all(|own| (own.value - part).abs() < 1e-6), "{own}");
        assert!(own.efficiency_residual.unwrap().abs() < 1e-12);
    }
    let under = |baseline: Baseline| {
        let options =
            options.clone().with_evaluate(options.evaluate.clone().with_baseline(baseline));
        explain(&model, x.view(), "x", &three(), &options, &mut go_on)
    };
    // What a longer signal has beyond the explained one does not matter.
    let mut long = Array2::from_elem((3, 6), 0.5);
    long.slice_mut(s![.., 4..]).fill(f32::NAN);
    let same = Baseline::Background(vec![long, &x * 0.0]);
    assert_eq!(under(same).unwrap(), outcomes[2]);
    let found = under(Baseline::Mean(ones(3, 3)));
    assert!(matches!(found, Err(LimeError::BaselineShape { record: 0, .. })));
}

/// Probability = sum over the leads of weight times brightness. The brightness of a signal is its first sample,
/// that of an image its first pixel.
struct Brightness(LabelSet, Vec<f64>);
impl Brightness {
    fn of(&self, brightness: impl Fn(usize) -> f32) -> f64 {
        self.1.iter().enumerate().map(|(lead, weight)| weight * f64::from(brightness(lead))).sum()
    }
}
impl Predict<Ix3> for Brightness {
    fn input_shape(&self) -> Vec<usize> {
        vec![12, 2]
    }
    fn labels(&self) -> &LabelSet {
        &self.0
    }
    fn predict_proba(&self, batch: ArrayView3<'_, f32>) -> Result<Array2<f64>, PredictError> {
        Ok(Array2::from_shape_fn((batch.dim().0, 1), |(n, _)| self.of(|lead| batch[[n, lead, 0]])))
    }
}
impl PredictSubsets for Brightness {
    fn predict_with_images(
        &self,
        batch: ArrayView3<'_, f32>,
        kept: &[LeadMask],
        images: ArrayView3<'_, f32>,
    ) -> Result<Array2<f64>, PredictError> {
        Ok(Array2::from_shape_fn((batch.dim().0, 1), |(n, _)| {
            self.of(|lead| match kept[n].keeps(lead) {
                true => batch[[n, lead, 0]],
                false => images[[lead, 0, 0]],
            })
        }))
    }
}

#[test]
fn images_stand_in_for_removed_leads() {
    // I, II, III, aVR, aVL, aVF of a body whose I and II are both 0.4; the images are all of brightness 0.1.
    let x = [0.4, 0.4, 0.0, -0.4, 0.2, 0.2, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5];
    let x = Array2::from_shape_fn((12, 2), |(lead, _)| x[lead]);
    let mut weights = vec![0.1; 12];
    weights[3..6].fill(0.0);
    let model = Brightness(LabelSet::new(["x"]).unwrap(), weights);
    let images = Array3::from_elem((12, 2, 2), 0.1);
    let options = ExplainOptions::default().with_evaluate(
        EvaluateOptions::default().with_baseline(Baseline::MeanImage(images.clone())),
    );
    let run = |players: &Players| {
        explain(&model, x.view(), "x", players, &options, &mut go_on)
            .unwrap()
            .explanation()
            .unwrap()
            .clone()
    };
    let twelve = run(&Players::leads(&Lead::STANDARD_12));
    assert_eq!(twelve.baseline, "mean-image");
    for (lead, value) in [("I", 0.03), ("III", -0.01), ("aVR", 0.0), ("V1", 0.04)] {
        assert!((twelve.value_of(lead).unwrap() - value).abs() < 1e-7, "{twelve}");
    }
    // Removing I leaves III = II, removing II leaves III = -I; removing both leaves the image of III.
    let eight = run(&Players::independent(&Lead::STANDARD_12).unwrap());
    let [none, only_i, only_ii, both] = [0.1, -0.4, 0.4, 0.0].map(|of_iii: f64| of_iii * 0.1);
    let of_i = 0.03 + ((only_i - none) + (both - only_ii)) / 2.0;
    let of_ii = 0.03 + ((only_ii - none) + (both - only_i)) / 2.0;
    for (lead, value) in [("I", of_i), ("II", of_ii), ("V1", 0.04)] {
        assert!((eight.value_of(lead).unwrap() - value).abs() < 1e-7, "{eight}");
    }

    let segments = Segments::equal(&Players::leads(&Lead::STANDARD_12), 2, 2).unwrap();
    let sample = SampleOptions::default().with_evaluate(options.evaluate.clone());
    let error = SampledShapley::new(&model, x.view(), &segments, &sample, &mut go_on).unwrap_err();
    assert!(matches!(error, LimeError::ImagesOfSegments { segments: 2 }), "{error}");
    // A predictor without images reports that.
    let signals = Known::new([12, 2], |x| f64::from(x[[0, 0]]));
    let players = Players::leads(&Lead::STANDARD_12);
    let error = explain(&signals, x.view(), "x", &players, &options, &mut go_on).unwrap_err();
    assert!(matches!(error, LimeError::Predict { source: PredictError::NoImages, .. }), "{error}");
    let text = error.with_causes();
    assert!(text.ends_with(": the predictor takes signals, not images of leads"), "{text}");
}

#[test]
fn sampled_lime_draws_by_seed_and_evaluates_each_subset_once() {
    let model = early_and_late();
    let run = |seed| {
        let options = ExplainOptions::default()
            .with_method(Method::LimeSampled)
            .with_samples(200)
            .with_seed(seed);
        let outcome = explain(&model, ones(3, 8).view(), "x", &three(), &options, &mut go_on);
        outcome.unwrap().explanation().unwrap().clone()
    };
    let own = run(1);
    assert_eq!(own, run(1));
    assert_ne!(own.values, run(2).values);
    assert_eq!((own.evaluations, own.seed), (8, Some(1)));
    assert!(own.value_of("V1").unwrap() > 0.1 && own.value_of("V6").unwrap().abs() < 0.05);
}

#[test]
fn every_explanation_survives_json() {
    let (model, x) = (early_and_late(), ones(3, 8));
    let mut all: Vec<Explanation> = Vec::new();
    for method in [Method::Shapley, Method::Lime, Method::Owen, Method::LimeSampled] {
        let options =
            ExplainOptions::default().with_method(method).with_unions(vec![vec![0, 1], vec![2]]);
        let outcome = explain(&model, x.view(), "x", &three(), &options, &mut go_on).unwrap();
        all.push(outcome.explanation().unwrap().clone());
    }
    let segments = Segments::equal(&three(), 8, 2).unwrap();
    let unions = segments.unions_of_segments();
    all.push(sampled(&model, &segments, &SampleOptions::default().with_unions(unions)));
    all.push(sampled(&model, &segments, &SampleOptions::default().with_permutations(1)));
    for own in all {
        let text = serde_json::to_string(&own).unwrap();
        let back: Explanation = serde_json::from_str(&text).unwrap();
        assert_eq!(back, own, "{text}");
        for key in ["values", "intercept", "f_all", "f_none", "efficiency_residual", "evaluations"]
        {
            assert!(text.contains(&format!("\"{key}\"")), "{text}");
        }
    }
    // If nothing varies, R2 is not a number, which is null in JSON.
    let flat = Known::new([3, 8], |_| 1.0);
    let outcome =
        explain(&flat, x.view(), "x", &three(), &ExplainOptions::default(), &mut go_on).unwrap();
    let own = outcome.explanation().unwrap();
    let back: Explanation = serde_json::from_value(serde_json::to_value(own).unwrap()).unwrap();
    assert!(own.weighted_r2.is_nan() && back.weighted_r2.is_nan());
    assert!(own.values.iter().all(|own| own.value == 0.0));
}

#[test]
fn bad_requests_are_refused() {
    let (model, x) = (early_and_late(), ones(3, 8));
    let segments = Segments::equal(&three(), 8, 2).unwrap();
    let ask = |segments: &Segments, options: &SampleOptions| {
        SampledShapley::new(&model, x.view(), segments, options, &mut go_on).unwrap_err()
    };
    let none = ask(&segments, &SampleOptions::default().with_permutations(0));
    assert_eq!(none.to_string(), "the number of permutations must be at least 1, found 0");
    let unions = SampleOptions::default().with_unions(vec![vec![0, 1]]);
    assert!(matches!(ask(&segments, &unions), LimeError::Partition { player: 2, times: 0 }));
    let longer = Segments::equal(&three(), 9, 2).unwrap();
    let error = ask(&longer, &SampleOptions::default());
    assert_eq!(error.to_string(), "the signal has 8 samples, the segments cover 9");
    let evaluations = SubsetEvaluations::new(
        &model,
        x.view(),
        &three(),
        &Subsets::Given(vec![LeadMask(1)]),
        &EvaluateOptions::default(),
        &mut go_on,
    )
    .unwrap();
    let options = ExplainOptions::default().with_method(Method::Permutation);
    assert!(matches!(evaluations.explain("x", &options), Err(LimeError::EvaluatesAsItGoes)));
}

#[test]
fn the_published_lime_of_stopped_work_says_so() {
    let model = Known::new([12, 1], |x| f64::from(x[[3, 0]]) * 4.0 - 2.0 - f64::from(x[[7, 0]]));
    let evaluations = SubsetEvaluations::new(
        &model,
        ones(12, 1).view(),
        &Players::leads(&Lead::STANDARD_12),
        &Subsets::Removed(4),
        &EvaluateOptions::default().with_keep_partial(true),
        &mut |done, _| if done >= 384 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) },
    )
    .unwrap();
    let options = ExplainOptions::default().with_method(Method::Published);
    let outcome = evaluations.explain("x", &options).unwrap();
    let own = outcome.explanation().unwrap();
    assert_eq!(own.top().unwrap().lead, "aVR");
    assert_eq!(own.partial.unwrap().done, 384);
    // The ends are not among the published subsets.
    assert!(serde_json::to_string(own).unwrap().contains("\"masks\":382"));
}

#[test]
fn the_batch_size_does_not_matter() {
    let segments = Segments::equal(&three(), 8, 2).unwrap();
    let run = |batch: usize| {
        let evaluate = EvaluateOptions::default().with_batch(batch);
        let options = SampleOptions::default().with_permutations(6).with_evaluate(evaluate.clone());
        let own = sampled(&early_and_late(), &segments, &options);
        let options = ExplainOptions::default().with_evaluate(evaluate);
        let x = ones(3, 8);
        let exact = explain(&early_and_late(), x.view(), "x", &three(), &options, &mut go_on);
        (own, exact.unwrap())
    };
    let usual = run(64);
    for batch in [0, 1, 5, usize::MAX] {
        assert_eq!(run(batch), usual, "{batch}");
    }
}
