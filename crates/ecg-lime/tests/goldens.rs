//! Against scikit-learn's exact minimisers, the `lime` package and independent Shapley values.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::PathBuf;

use ecg_core::LeadMask;
use ecg_lime::{
    LogisticOutcome, all_masks, lime_kernel, logistic, published_masks, removals, ridge,
    shapley_values, softmax_percent,
};
use ndarray::{Array1, Array2};
use ndarray_npy::NpzReader;
use serde_json::Value;

fn goldens() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/goldens");
    let root = std::env::var_os("ECG_GOLDENS").map_or_else(|| beside.into(), PathBuf::from);
    if root.join("lime").is_dir() {
        return Some(root);
    }
    println!("skipped: no golden values");
    None
}

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
    fn open(root: &std::path::Path, name: &str) -> Self {
        let path = root.join("lime").join(format!("{name}.npz"));
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
    let Some(root) = goldens() else { return };
    let mut npz = NpzReader::new(File::open(root.join("linear/matrices.npz")).unwrap()).unwrap();
    let golden: Array2<f64> = npz.by_name("masks").unwrap();
    let golden: Vec<LeadMask> =
        golden.rows().into_iter().map(|row| bits(row.iter().map(|v| *v == 1.0))).collect();
    assert_eq!(published_masks(), golden);
    let three = Case::open(&root, "keras_1_rec06_JS20014_adc");
    assert_eq!(removals(12, 3), three.masks);
}

#[test]
fn weights_are_the_share_kept() {
    let Some(root) = goldens() else { return };
    for (_, name) in CASES {
        let case = Case::open(&root, name);
        let kept: Vec<f64> = case.masks.iter().map(|mask| f64::from(mask.kept()) / 12.0).collect();
        assert_eq!(kept, case.weights, "{name}");
    }
}

#[test]
fn logistic_regression_is_at_the_exact_minimum() {
    let Some(root) = goldens() else { return };
    for (report, name) in CASES {
        let case = Case::open(&root, name);
        let golden = &json(root.join("lime").join(report))[name];
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
    let Some(root) = goldens() else { return };
    for (name, positive) in [("edge_all_ones", true), ("edge_all_zero", false)] {
        let case = Case::open(&root, name);
        let outcome = logistic(&case.masks, 12, &case.labels, &case.weights, 1.0).unwrap();
        assert_eq!(outcome, LogisticOutcome::OneClass { positive });
    }
}

#[test]
fn softmax_of_the_pictures() {
    let Some(root) = goldens() else { return };
    for (report, name) in CASES {
        let golden = &json(root.join("lime").join(report))[name];
        // The golden percentages are of the default solver's coefficients.
        let ours = softmax_percent(&numbers(&golden["lr_default"]["coef"]));
        same(name, &ours, &numbers(&golden["softmax_importance_percent"]), 1e-10);
    }
}

#[test]
fn ridge_regression() {
    let Some(root) = goldens() else { return };
    for (report, name) in CASES {
        let case = Case::open(&root, name);
        let golden = &json(root.join("lime").join(report))[name];
        for (key, alpha) in [("ridge_alpha1.0", 1.0), ("ridge_alpha0.01", 0.01)] {
            let fit = ridge(&case.masks, 12, &case.prob, &case.weights, alpha).unwrap();
            let what = format!("{name} {key}");
            same(&what, &fit.coefficients, &numbers(&golden[key]["coef"]), 1e-8);
            let others = [golden[key]["b"].as_f64().unwrap(), golden[key]["r2"].as_f64().unwrap()];
            same(&what, &[fit.intercept, fit.weighted_r2], &others, 1e-8);
        }
    }
}

#[test]
fn as_the_lime_package_has_it() {
    let Some(root) = goldens() else { return };
    for (report, name) in CASES.into_iter().filter(|(_, name)| name.starts_with("simple")) {
        let mut case = Case::open(&root, name);
        let golden = &json(root.join("lime").join(report))[name]["lime_pkg_euclid"];
        let width = golden["kernel_width"].as_f64().unwrap();
        let mut masks = vec![LeadMask::all(12)];
        masks.extend(&case.masks);
        let mut prob = case.array("prob_full");
        prob.extend(&case.prob);
        let weights: Vec<f64> =
            masks.iter().map(|mask| lime_kernel(12.0 - f64::from(mask.kept()), width)).collect();
        same(name, &weights[..3], &numbers(&golden["w_first"]), 1e-12);
        let fit = ridge(&masks, 12, &prob, &weights, 1.0).unwrap();
        let mut coefficients = vec![f64::NAN; 12];
        for pair in golden["exp"].as_array().unwrap() {
            coefficients[usize::try_from(pair[0].as_u64().unwrap()).unwrap()] =
                pair[1].as_f64().unwrap();
        }
        same(name, &fit.coefficients, &coefficients, 1e-8);
        let local = fit.intercept + fit.coefficients.iter().sum::<f64>();
        let wanted = ["intercept", "score", "local_pred"].map(|key| golden[key].as_f64().unwrap());
        same(name, &[fit.intercept, fit.weighted_r2, local], &wanted, 1e-8);
    }
}

#[test]
fn exact_shapley_values() {
    let Some(root) = goldens() else { return };
    for (_, name) in CASES.into_iter().filter(|(_, name)| name.starts_with("simple")) {
        let mut case = Case::open(&root, name);
        let (w, b) = (case.array("bb_w"), case.array("bb_b")[0]);
        let signal: Array2<f64> = case.npz.by_name("resampled").unwrap();
        let rms: Vec<f64> = signal
            .rows()
            .into_iter()
            .map(|row| (row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64).sqrt())
            .collect();
        let values: Vec<f64> = all_masks(12)
            .into_iter()
            .map(|mask| {
                let kept = (0..12).filter(|k| mask.keeps(*k));
                let logit = b + kept.map(|k| w[k] * rms[k]).sum::<f64>();
                1.0 / (1.0 + (-logit).exp())
            })
            .collect();
        let ends = case.array("shapley_base_full");
        same(name, &[values[0], values[4095]], &ends, 1e-12);
        let phi = shapley_values(&values, 12);
        same(name, &phi, &case.array("shapley"), 1e-12);
        assert!((phi.iter().sum::<f64>() - (ends[1] - ends[0])).abs() < 1e-12);
    }
}
