//! Comparison with scikit-learn's exact minimisers, the `lime` package and independent Shapley values.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ecg_core::{LabelSet, Lead, LeadMask, Predict, PredictError, PredictSubsets};
use ecg_lime::{
    Distance, EvaluateOptions, ExplainOptions, LogisticOutcome, Method, Players, SampleOptions,
    SampledShapley, Segments, SubsetEvaluations, Subsets, Target, all_masks, lime_kernel, logistic,
    published_masks, removals, ridge, shapley_values, softmax_percent,
};
use ecg_test_data::goldens;
use ndarray::{Array1, Array2, ArrayView2, ArrayView3, Ix3};
use ndarray_npy::NpzReader;
use serde_json::Value;

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn same(what: &str, ours: &[f64], theirs: &[f64], within: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() < within, "{what}: {ours:?} instead of {theirs:?}");
    }
}

struct Case {
    masks: Vec<LeadMask>,
    weights: Vec<f64>,
    labels: Vec<bool>,
    prob: Vec<f64>,
    npz: NpzReader<File>,
}

impl Case {
    fn open(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("{name}.npz"));
        let mut npz = NpzReader::new(File::open(path).unwrap()).unwrap();
        let masks: Array2<u8> = npz.by_name("masks").unwrap();
        let weights: Array1<f64> = npz.by_name("weights").unwrap();
        let labels: Array1<u8> = npz.by_name("labels").unwrap();
        let prob = npz.by_name("prob").map_or_else(
            |_| {
                let single: Array1<f32> = npz.by_name("prob").unwrap();
                single.mapv(f64::from).to_vec()
            },
            |double: Array1<f64>| double.to_vec(),
        );
        Self {
            masks: masks.rows().into_iter().map(|row| bits(row.iter().map(|v| *v == 1))).collect(),
            weights: weights.to_vec(),
            labels: labels.iter().map(|v| *v == 1).collect(),
            prob,
            npz,
        }
    }

    fn array(&mut self, key: &str) -> Vec<f64> {
        let array: Array1<f64> = self.npz.by_name(key).unwrap();
        array.to_vec()
    }
}

fn bits(kept: impl Iterator<Item = bool>) -> LeadMask {
    LeadMask(kept.enumerate().fold(0, |bits, (k, kept)| bits | u32::from(kept) << k))
}

const CASES: [(&str, &str); 6] = [
    ("report_simple.json", "simple_0_rec04_E07509_adc"),
    ("report_simple.json", "simple_2_rec10_synth_a_mV"),
    ("report_simple.json", "edge_one_positive"),
    ("report_simple.json", "edge_separable_one_lead"),
    ("report.json", "keras_0_rec04_E07509_adc"),
    ("report.json", "keras_1_rec06_JS20014_adc"),
];

#[test]
fn the_published_masks_in_order() {
    let (Some(folder), Some(linear)) = (goldens("lime"), goldens("linear")) else { return };
    let mut npz = NpzReader::new(File::open(linear.join("matrices.npz")).unwrap()).unwrap();
    let golden: Array2<f64> = npz.by_name("masks").unwrap();
    let golden: Vec<LeadMask> =
        golden.rows().into_iter().map(|row| bits(row.iter().map(|v| *v == 1.0))).collect();
    assert_eq!(published_masks(), golden);
    let three = Case::open(&folder, "keras_1_rec06_JS20014_adc");
    assert_eq!(removals(12, 3), three.masks);
}

#[test]
fn weights_are_the_share_kept() {
    let Some(folder) = goldens("lime") else { return };
    for (_, name) in CASES {
        let case = Case::open(&folder, name);
        let kept: Vec<f64> = case.masks.iter().map(|mask| f64::from(mask.kept()) / 12.0).collect();
        assert_eq!(kept, case.weights, "{name}");
    }
}

#[test]
fn logistic_regression_is_at_the_exact_minimum() {
    let Some(folder) = goldens("lime") else { return };
    for (report, name) in CASES {
        let case = Case::open(&folder, name);
        let golden = &json(folder.join(report))[name];
        let unweighted = vec![1.0; case.masks.len()];
        for (key, weights, c) in [
            ("lr_exact_newton", &case.weights, 1.0),
            ("lr_exact_C0.1", &case.weights, 0.1),
            ("lr_exact_C10.0", &case.weights, 10.0),
            ("lr_exact_unweighted", &unweighted, 1.0),
        ] {
            let outcome = logistic(&case.masks, 12, &case.labels, weights, c).unwrap();
            let LogisticOutcome::Fit(fit) = outcome else { panic!("{name}: two classes") };
            let what = format!("{name} {key}");
            same(&what, &fit.coefficients, &numbers(&golden[key]["coef"]), 1e-8);
            same(&what, &[fit.intercept], &[golden[key]["b"].as_f64().unwrap()], 1e-8);
            assert!(fit.iterations < 40, "{what}: {}", fit.iterations);
        }
    }
}

#[test]
fn one_class_only() {
    let Some(folder) = goldens("lime") else { return };
    for (name, positive) in [("edge_all_ones", true), ("edge_all_zero", false)] {
        let case = Case::open(&folder, name);
        let outcome = logistic(&case.masks, 12, &case.labels, &case.weights, 1.0).unwrap();
        assert_eq!(outcome, LogisticOutcome::OneClass { positive });
    }
}

#[test]
fn softmax_of_the_pictures() {
    let Some(folder) = goldens("lime") else { return };
    for (report, name) in CASES {
        let golden = &json(folder.join(report))[name];
        // The golden percentages belong to the default solver's coefficients.
        let ours = softmax_percent(&numbers(&golden["lr_default"]["coef"]));
        same(name, &ours, &numbers(&golden["softmax_importance_percent"]), 1e-10);
    }
}

#[test]
fn ridge_regression() {
    let Some(folder) = goldens("lime") else { return };
    for (report, name) in CASES {
        let case = Case::open(&folder, name);
        let golden = &json(folder.join(report))[name];
        for (key, alpha) in [("ridge_alpha1.0", 1.0), ("ridge_alpha0.01", 0.01)] {
            let fit = ridge(&case.masks, 12, &case.prob, &case.weights, alpha).unwrap();
            let what = format!("{name} {key}");
            same(&what, &fit.coefficients, &numbers(&golden[key]["coef"]), 1e-8);
            let others = [golden[key]["b"].as_f64().unwrap(), golden[key]["r2"].as_f64().unwrap()];
            same(&what, &[fit.intercept, fit.weighted_r2], &others, 1e-8);
        }
    }
}

/// The goldens' black box: sigmoid(b + sum of weight x rms of the lead), in f64.
struct BlackBox {
    labels: LabelSet,
    logits: [f64; 12],
    bias: f64,
}

impl BlackBox {
    fn of(case: &mut Case) -> Self {
        let (w, b) = (case.array("bb_w"), case.array("bb_b")[0]);
        let signal: Array2<f64> = case.npz.by_name("resampled").unwrap();
        let rms = |lead: usize| {
            let row = signal.row(lead);
            (row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64).sqrt()
        };
        let logits = std::array::from_fn(|lead| w[lead] * rms(lead));
        Self { labels: LabelSet::new(["x"]).unwrap(), logits, bias: b }
    }

    fn probability(&self, mask: LeadMask) -> f64 {
        let kept = (0..12).filter(|k| mask.keeps(*k));
        let logit = self.bias + kept.map(|k| self.logits[k]).sum::<f64>();
        1.0 / (1.0 + (-logit).exp())
    }
}

impl Predict<Ix3> for BlackBox {
    fn input_shape(&self) -> Vec<usize> {
        vec![12, 1]
    }
    fn labels(&self) -> &LabelSet {
        &self.labels
    }
    fn predict_proba(&self, _: ArrayView3<'_, f32>) -> Result<Array2<f64>, PredictError> {
        unreachable!("zeroed whole leads are asked for as subsets")
    }
}

impl PredictSubsets for BlackBox {
    fn predict_subsets(
        &self,
        _: ArrayView2<'_, f32>,
        masks: &[LeadMask],
    ) -> Result<Array2<f64>, PredictError> {
        Ok(Array2::from_shape_fn((masks.len(), 1), |(n, _)| self.probability(masks[n])))
    }
}

#[test]
fn as_the_lime_package_has_it() {
    let Some(folder) = goldens("lime") else { return };
    for (report, name) in CASES.into_iter().filter(|(_, name)| name.starts_with("simple")) {
        let mut case = Case::open(&folder, name);
        let model = BlackBox::of(&mut case);
        let mut masks = vec![LeadMask::all(12)];
        masks.extend(&case.masks);
        let evaluations = SubsetEvaluations::new(
            &model,
            Array2::zeros((12, 1)).view(),
            &Players::leads(&Lead::STANDARD_12),
            &Subsets::Given(masks),
            &EvaluateOptions::default(),
            &mut |_, _| ControlFlow::Continue(()),
        )
        .unwrap();
        for (key, distance) in
            [("lime_pkg_euclid", Distance::Euclidean), ("lime_pkg_cosine", Distance::Cosine)]
        {
            let golden = &json(folder.join(report))[name][key];
            let width = golden["kernel_width"].as_f64().unwrap();
            assert!((width - distance.usual_width(12)).abs() < 1e-15, "{key}");
            let options =
                ExplainOptions::default().with_method(Method::LimeSampled).with_distance(distance);
            let outcome = evaluations.explain("x", &options).unwrap();
            let own = outcome.explanation().unwrap();
            let mut coefficients = vec![f64::NAN; 12];
            for pair in golden["exp"].as_array().unwrap() {
                coefficients[usize::try_from(pair[0].as_u64().unwrap()).unwrap()] =
                    pair[1].as_f64().unwrap();
            }
            let what = format!("{name} {key}");
            let ours: Vec<f64> = own.values.iter().map(|own| own.value).collect();
            same(&what, &ours, &coefficients, 1e-8);
            let local = own.intercept + ours.iter().sum::<f64>();
            let wanted = ["intercept", "score", "local_pred"].map(|k| golden[k].as_f64().unwrap());
            same(&what, &[own.intercept, own.weighted_r2, local], &wanted, 1e-8);
        }
        let golden = &json(folder.join(report))[name]["lime_pkg_euclid"];
        let weights = [0.0, 1.0, 1.0].map(|d| lime_kernel(d, Distance::Euclidean.usual_width(12)));
        same(name, &weights, &numbers(&golden["w_first"]), 1e-12);
    }
}

#[test]
fn sampled_permutations_approach_the_golden_shapley_values() {
    let Some(folder) = goldens("lime") else { return };
    for (_, name) in CASES.into_iter().filter(|(_, name)| name.starts_with("simple")) {
        let mut case = Case::open(&folder, name);
        let model = BlackBox::of(&mut case);
        let golden = case.array("shapley");
        let segments = Segments::whole(&Players::leads(&Lead::STANDARD_12), 1);
        let sampled = SampledShapley::new(
            &model,
            Array2::zeros((12, 1)).view(),
            &segments,
            &SampleOptions::default().with_permutations(2000).with_seed(3),
            &mut |_, _| ControlFlow::Continue(()),
        )
        .unwrap();
        let own = sampled.explain("x", Target::Probability).unwrap();
        assert!(own.efficiency_residual.unwrap().abs() < 1e-12);
        for (own, golden) in own.values.iter().zip(&golden) {
            let error = own.standard_error.unwrap();
            assert!(error < 0.01, "{name} {}: {error}", own.lead);
            // The seed is fixed; five standard errors leave room for twelve leads at once.
            assert!((own.value - golden).abs() < 5.0 * error, "{name} {own:?} {golden}");
        }
    }
}

#[test]
fn exact_shapley_values() {
    let Some(folder) = goldens("lime") else { return };
    for (_, name) in CASES.into_iter().filter(|(_, name)| name.starts_with("simple")) {
        let mut case = Case::open(&folder, name);
        let model = BlackBox::of(&mut case);
        let values: Vec<f64> =
            all_masks(12).into_iter().map(|mask| model.probability(mask)).collect();
        let ends = case.array("shapley_base_full");
        same(name, &[values[0], values[4095]], &ends, 1e-12);
        let phi = shapley_values(&values, 12);
        same(name, &phi, &case.array("shapley"), 1e-12);
        assert!((phi.iter().sum::<f64>() - (ends[1] - ends[0])).abs() < 1e-12);
    }
}
