//! Properties of explanations, checked on black boxes whose reasons are known.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;

use ecg_core::{LabelSet, Lead, LeadMask, Predict, PredictError, PredictSubsets};
use ecg_lime::{
    EvaluateOptions, ExplainOptions, Explanation, LimeError, Method, Outcome, Players,
    SubsetEvaluations, Subsets, Target, UnknownTarget, explain,
};
use ndarray::{Array2, ArrayView3, Axis, Ix3};
use proptest::prelude::*;

/// Two labels: sigmoid(bias + sum of weight x rms of the lead), and its complement.
struct BlackBox {
    labels: LabelSet,
    weights: [f64; 12],
    bias: f64,
    /// Weight of the product of the rms of V1 and V2.
    pair: f64,
}

impl BlackBox {
    fn new(weights: [f64; 12], bias: f64) -> Self {
        Self { labels: LabelSet::new(["x", "not x"]).unwrap(), weights, bias, pair: 0.0 }
    }
}

impl Predict<Ix3> for BlackBox {
    fn input_shape(&self) -> Vec<usize> {
        vec![12, 10]
    }
    fn labels(&self) -> &LabelSet {
        &self.labels
    }
    fn predict_proba(&self, batch: ArrayView3<'_, f32>) -> Result<Array2<f64>, PredictError> {
        let mut out = Array2::zeros((batch.len_of(Axis(0)), 2));
        for (signal, mut row) in batch.outer_iter().zip(out.outer_iter_mut()) {
            let rms: Vec<f64> = signal
                .rows()
                .into_iter()
                .map(|lead| (lead.iter().map(|v| f64::from(v * v)).sum::<f64>() / 10.0).sqrt())
                .collect();
            let logit = self.bias
                + rms.iter().zip(self.weights).map(|(r, w)| r * w).sum::<f64>()
                + self.pair * rms[6] * rms[7];
            row[0] = 1.0 / (1.0 + (-logit).exp());
            row[1] = 1.0 - row[0];
        }
        Ok(out)
    }
}
impl PredictSubsets for BlackBox {}

/// Every lead a square wave of amplitude 1; the limb leads need not fit each other.
fn signal() -> Array2<f32> {
    Array2::from_shape_fn((12, 10), |(_, t)| if t % 2 == 0 { 1.0 } else { -1.0 })
}

/// Twelve leads that obey Einthoven, of unequal amplitude.
fn body() -> Array2<f32> {
    let mut x = Array2::from_shape_fn((12, 10), |(lead, t)| {
        (0.5 + lead as f32 / 8.0) * if (t + lead) % 2 == 0 { 1.0 } else { -1.0 }
    });
    for t in 0..10 {
        let (i, ii) = (x[[0, t]], x[[1, t]]);
        (x[[2, t]], x[[3, t]], x[[4, t]], x[[5, t]]) =
            (ii - i, -(i + ii) / 2.0, i - ii / 2.0, ii - i / 2.0);
    }
    x
}

fn twelve() -> Players {
    Players::leads(&Lead::STANDARD_12)
}

fn explained(model: &BlackBox, x: &Array2<f32>, players: &Players, method: Method) -> Explanation {
    let options = ExplainOptions::default().with_method(method);
    let go_on = &mut |_, _| ControlFlow::Continue(());
    match explain(model, x.view(), "x", players, &options, go_on).unwrap() {
        Outcome::Explained(explanation) => explanation,
        other => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn shapley_axioms(
        weights in prop::array::uniform12(-1.5..1.5f64),
        bias in -1.0..1.0f64,
        ignored in 0usize..12,
    ) {
        let mut model = BlackBox::new(weights, bias);
        let twin = (ignored + 1) % 12;
        let other = (ignored + 2) % 12;
        model.weights[ignored] = 0.0;
        model.weights[other] = model.weights[twin];
        let own = explained(&model, &signal(), &twelve(), Method::Shapley);
        let value = |k: usize| own.values[k].value;
        prop_assert!(value(ignored).abs() < 1e-14);
        prop_assert!((value(twin) - value(other)).abs() < 1e-14);
        prop_assert!(own.efficiency_residual.unwrap().abs() < 1e-12);
        let sum: f64 = own.values.iter().map(|own| own.value).sum();
        prop_assert!((sum - (own.f_all - own.f_none)).abs() < 1e-12);
        prop_assert_eq!(own.evaluations, 4096);
    }

    #[test]
    fn the_published_lime_finds_the_driving_lead(
        lead in 0usize..12,
        others in prop::array::uniform12(-0.15..0.15f64),
    ) {
        let mut model = BlackBox::new(others, -2.0);
        model.weights[lead] = 6.0;
        let own = explained(&model, &signal(), &twelve(), Method::Published);
        prop_assert_eq!(own.top().unwrap().lead.as_str(), Lead::STANDARD_12[lead].name());
        let percent: f64 = own.values.iter().map(|own| own.softmax_percent.unwrap()).sum();
        prop_assert!((percent - 100.0).abs() < 1e-9);
        prop_assert_eq!(own.evaluations, 795);
    }

    #[test]
    fn exhaustive_lime_of_a_linear_logit_is_the_weights(weights in prop::array::uniform12(-0.5..0.5f64)) {
        let model = BlackBox::new(weights, 0.25);
        let options = ExplainOptions::default()
            .with_method(Method::Lime)
            .with_target(Target::Logit)
            .with_penalty(0.0);
        let go_on = &mut |_, _| ControlFlow::Continue(());
        let outcome = explain(&model, signal().view(), "x", &twelve(), &options, go_on).unwrap();
        let own = outcome.explanation().unwrap();
        for (own, weight) in own.values.iter().zip(weights) {
            prop_assert!((own.value - weight).abs() < 1e-9);
        }
        prop_assert!((own.intercept - 0.25).abs() < 1e-9);
        prop_assert!(own.weighted_r2 > 1.0 - 1e-9);
    }
}

#[test]
fn exhaustive_lime_shrinks_few_players_no_more_than_a_thousand_draws() {
    let players = Players::limb_and_precordial();
    let values = |method: Method| {
        let model = BlackBox::new([0.1; 12], 0.25);
        let options = ExplainOptions::default().with_method(method).with_target(Target::Logit);
        let go_on = &mut |_, _| ControlFlow::Continue(());
        let outcome = explain(&model, signal().view(), "x", &players, &options, go_on).unwrap();
        outcome.explanation().unwrap().values.iter().map(|own| own.value).collect::<Vec<_>>()
    };
    for (all, drawn) in values(Method::Lime).into_iter().zip(values(Method::LimeSampled)) {
        // The penalty of 1 takes about 1 % from either, in different shares because the draws remove every
        // number of leads equally often.
        assert!((all - drawn).abs() < 0.01 * drawn.abs(), "{all} {drawn}");
    }
}

#[test]
fn derived_leads_speak_through_i_and_ii() {
    // Only aVF counts, and aVF is II - I/2: both I and II have a part, the chest leads none.
    let mut model = BlackBox::new([0.0; 12], -1.0);
    model.weights[Lead::AVF.index()] = 2.0;
    let players = Players::independent(&Lead::STANDARD_12).unwrap();
    let own = explained(&model, &body(), &players, Method::Shapley);
    let names: Vec<&str> = own.values.iter().map(|own| own.lead.as_str()).collect();
    assert_eq!(names, ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]);
    assert!(own.value_of("II").unwrap() > own.value_of("I").unwrap());
    assert!(own.values[2..].iter().all(|own| own.value == 0.0));
    assert!(own.efficiency_residual.unwrap().abs() < 1e-12);
    assert_eq!((own.evaluations, own.fallback), (256, None));
}

#[test]
fn limb_leads_that_contradict_each_other_make_twelve_players() {
    let model = BlackBox::new([0.2; 12], -1.0);
    let players = Players::independent(&Lead::STANDARD_12).unwrap();
    let own = explained(&model, &signal(), &players, Method::Shapley);
    assert_eq!(own.values.len(), 12);
    assert!(own.fallback.is_some() && own.to_string().contains("each lead is a player"));
    let tolerant = ExplainOptions::default()
        .with_evaluate(EvaluateOptions::default().with_einthoven_tolerance(10.0));
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let outcome = explain(&model, signal().view(), "x", &players, &tolerant, go_on).unwrap();
    assert_eq!(outcome.explanation().unwrap().values.len(), 8);
}

#[test]
fn interactions_show_what_only_two_have_together() {
    let mut model = BlackBox::new([0.0; 12], 0.0);
    model.pair = 1.0;
    let options = ExplainOptions::default().with_target(Target::Logit);
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let outcome = explain(&model, signal().view(), "x", &twelve(), &options, go_on).unwrap();
    let own = outcome.explanation().unwrap();
    let pairs = own.interactions.as_ref().unwrap();
    for (i, row) in pairs.iter().enumerate() {
        for (j, index) in row.iter().enumerate() {
            let expected = if (i, j) == (6, 7) || (i, j) == (7, 6) { 1.0 } else { 0.0 };
            assert!((index - expected).abs() < 1e-9, "{i} {j}: {index}");
        }
    }
    assert!((own.value_of("V1").unwrap() - 0.5).abs() < 1e-9);
}

#[test]
fn one_set_of_evaluations_serves_all_labels() {
    let model = BlackBox::new([0.3; 12], -1.0);
    let mut heard = Vec::new();
    let options = EvaluateOptions::default().with_batch(1000);
    let all = SubsetEvaluations::new(
        &model,
        signal().view(),
        &twelve(),
        &Subsets::All,
        &options,
        &mut |done, total| {
            heard.push((done, total));
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!(heard, [(1000, 4096), (2000, 4096), (3000, 4096), (4000, 4096), (4096, 4096)]);
    for method in [Method::Shapley, Method::Lime] {
        let options = ExplainOptions::default().with_method(method);
        let [x, not_x] = ["x", "not x"].map(|label| all.explain(label, &options).unwrap());
        for (a, b) in
            x.explanation().unwrap().values.iter().zip(&not_x.explanation().unwrap().values)
        {
            // The labels are complements of each other.
            assert!((a.value + b.value).abs() < 1e-10);
        }
    }
    let groups = SubsetEvaluations::new(
        &model,
        signal().view(),
        &Players::limb_and_precordial(),
        &Subsets::All,
        &EvaluateOptions::default(),
        &mut |_, _| ControlFlow::Continue(()),
    )
    .unwrap();
    let outcome = groups.explain("x", &ExplainOptions::default()).unwrap();
    let values = &outcome.explanation().unwrap().values;
    assert!(values.len() == 2 && (values[0].value - values[1].value).abs() < 1e-12);
}

#[test]
fn one_class_is_an_outcome_that_serialises() {
    let model = BlackBox::new([0.0; 12], 3.0);
    let options = ExplainOptions::default().with_method(Method::Published);
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let outcome = explain(&model, signal().view(), "x", &twelve(), &options, go_on).unwrap();
    assert!(matches!(&outcome, Outcome::OneClass(one) if one.positive && one.f_all > 0.9));
    assert!(outcome.to_string().contains("every one"));
    assert_eq!(outcome.label(), "x");
    let json = serde_json::to_value(&outcome).unwrap();
    assert_eq!((&json["outcome"], &json["positive"]), (&"one_class".into(), &true.into()));
}

#[test]
fn an_explanation_serialises_with_its_leads() {
    let own = explained(&BlackBox::new([0.3; 12], -1.0), &signal(), &twelve(), Method::Shapley);
    let json = serde_json::to_value(&own).unwrap();
    assert_eq!((&json["method"], &json["label"]), (&"shapley".into(), &"x".into()));
    assert_eq!(json["values"][3]["lead"], "aVR");
    assert!(json["seed"].is_null() && json["weighted_r2"].is_number());
    assert_eq!(json["settings"]["target"], "probability");
    assert!(own.to_string().lines().count() == 13);
}

#[test]
fn bad_requests_are_refused() {
    let model = BlackBox::new([0.3; 12], 0.0);
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let options = ExplainOptions::default();
    let unknown = explain(&model, signal().view(), "AF", &twelve(), &options, go_on).unwrap_err();
    assert_eq!(unknown.to_string(), "unknown label \"AF\"; the predictor's labels are x,not x");
    let short = Array2::zeros((8, 10));
    let error = explain(&model, short.view(), "x", &twelve(), &options, go_on).unwrap_err();
    assert!(matches!(error, LimeError::LeadCount { expected: 12, found: 8 }));
    let stop = &mut |_, _| ControlFlow::Break(());
    let stopped = explain(&model, signal().view(), "x", &twelve(), &options, stop).unwrap_err();
    assert!(matches!(stopped, LimeError::Stopped { done: 64, total: 4096 }));
    let some = SubsetEvaluations::new(
        &model,
        signal().view(),
        &twelve(),
        &Subsets::Removed(4),
        &EvaluateOptions::default(),
        go_on,
    )
    .unwrap();
    let incomplete = some.explain("x", &options).unwrap_err();
    assert!(matches!(incomplete, LimeError::Incomplete { expected: 4096, found: 793, .. }));
}

#[test]
fn names_are_read_back() {
    for target in [Target::Probability, Target::Logit] {
        assert_eq!(target.name().parse(), Ok(target));
        assert_eq!(target.to_string(), target.name());
    }
    for word in ["Logit", " logit", "logits", ""] {
        assert_eq!(word.parse::<Target>(), Err(UnknownTarget { found: word.to_owned() }));
    }
    let error = "odds".parse::<Target>().unwrap_err();
    assert_eq!(error.to_string(), "unknown target \"odds\"; expected probability or logit");
    assert_eq!("lime-sampled".parse(), Ok(Method::LimeSampled));
    assert!("shap".parse::<Method>().is_err());
}

#[test]
fn other_subsets_than_a_method_needs_are_refused() {
    let model = BlackBox::new([0.3; 12], -2.75);
    let evaluate = |subsets: &Subsets| {
        let options = EvaluateOptions::default();
        let go_on = &mut |_, _| ControlFlow::Continue(());
        SubsetEvaluations::new(&model, signal().view(), &twelve(), subsets, &options, go_on)
    };
    let published = ExplainOptions::default().with_method(Method::Published);
    let error = evaluate(&Subsets::Removed(3)).unwrap().explain("x", &published).unwrap_err();
    assert!(matches!(error, LimeError::Incomplete { expected: 793, found: 298, .. }), "{error}");
    // The 793 are among all.
    let [own, of_all] = [Subsets::Removed(4), Subsets::All]
        .map(|subsets| evaluate(&subsets).unwrap().explain("x", &published).unwrap());
    let [own, of_all] = [&own, &of_all].map(|outcome| outcome.explanation().unwrap());
    assert_eq!((&own.values, &own.settings), (&of_all.values, &of_all.settings));
    let error = evaluate(&Subsets::Given(vec![LeadMask(1), LeadMask(1 << 12)])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "subset 1 (from 0) keeps player 12 (from 0), but there are 12 players"
    );
}

/// Returns something that is not a probability.
struct Broken(LabelSet, f64);
impl Predict<Ix3> for Broken {
    fn input_shape(&self) -> Vec<usize> {
        vec![12, 10]
    }
    fn labels(&self) -> &LabelSet {
        &self.0
    }
    fn predict_proba(&self, batch: ArrayView3<'_, f32>) -> Result<Array2<f64>, PredictError> {
        Ok(Array2::from_elem((batch.len_of(Axis(0)), 1), self.1))
    }
}
impl PredictSubsets for Broken {}

#[test]
fn what_a_predictor_returns_is_checked() {
    let go_on = &mut |_, _| ControlFlow::Continue(());
    for bad in [f64::NAN, 1.5] {
        let model = Broken(LabelSet::new(["x"]).unwrap(), bad);
        let options = ExplainOptions::default();
        let error = explain(&model, signal().view(), "x", &twelve(), &options, go_on).unwrap_err();
        assert!(matches!(error, LimeError::Probability { input: 0, .. }), "{error}");
    }
}
