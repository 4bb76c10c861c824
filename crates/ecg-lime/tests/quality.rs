//! Agreement, faithfulness and the weight-randomisation check.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Known, go_on};
use ecg_core::Lead;
use ecg_lime::{
    Agreement, EvaluateOptions, ExplainOptions, Explanation, LimeError, Method, Outcome, Players,
    Segments, Stability, SubsetEvaluations, Subsets, Target, explain, faithfulness,
    randomisation_check,
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
    assert!(agreement.same_top && agreement.top_overlap == 1.0 && agreement.k == 3);
    let mut turned = WEIGHTS;
    turned.iter_mut().for_each(|w| *w = -*w);
    let turned = own(&linear(turned), &logit());
    let agreement = Agreement::of(&shapley, &turned, 99).unwrap();
    assert!(
        agreement.spearman.unwrap() < -0.99 && agreement.spearman_of_magnitudes.unwrap() > 0.99
    );
    // Only the lead without a weight has the same "sign".
    assert!(!agreement.same_top && agreement.k == 6 && agreement.same_sign < 0.17);
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
        "one explanation is of I,II,III,aVR,aVL,aVF, the other of a,b; expected the same players"
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
    let again = faithfulness(
        &linear(WEIGHTS),
        ones().view(),
        &segments,
        outcome.explanation().unwrap(),
        Target::Logit,
        &EvaluateOptions::default().with_batch(4),
    )
    .unwrap();
    assert_eq!((&again.deletion, &again.insertion), (&found.deletion, &found.insertion));
    assert!(again.chance_auc.is_none());
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
    let found = faithfulness(&model, x.view(), &segments, &own, Target::Logit, &options).unwrap();
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
    assert!(found.agreement.spearman.unwrap() < 0.0 && !found.agreement.same_top);
    let same = check(&linear(WEIGHTS), &logit()).unwrap();
    assert!((same.agreement.spearman.unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(same.original, same.randomised);
    let flat = Known::new([6, 2], |_| 0.5);
    // Published LIME has nothing to say about a constant; Shapley values are all zero and correlate with nothing.
    assert!(check(&flat, &logit().with_method(Method::Published)).is_none());
    assert_eq!(check(&flat, &logit()).unwrap().agreement.spearman, None);
    assert!(matches!(
        explain(&flat, x.view(), "x", &six(), &logit(), &mut go_on).unwrap(),
        Outcome::Explained(_)
    ));
}

#[test]
fn sampled_lime_knows_its_own_noise() {
    // Not linear, so that the draw of the subsets matters.
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
    let stability = Stability::of(&runs, 2).unwrap();
    assert!(stability.coefficients.unwrap() > 0.95, "{stability:?}");
    assert!(stability.variables > 0.5 && stability.spearman.unwrap() > 0.8, "{stability:?}");
    let exact = [own(&model, &logit()), own(&model, &logit())];
    let stability = Stability::of(&exact, 3).unwrap();
    assert_eq!((stability.variables, stability.coefficients), (1.0, None));
    assert!(matches!(Stability::of(&exact[..1], 3), Err(LimeError::Setting { .. })));
}
