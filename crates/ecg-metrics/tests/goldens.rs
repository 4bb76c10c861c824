//! Metrics compared with golden values of scikit-learn 1.9.1 (the crate's unit tests have hand-made cases).
#![allow(clippy::unwrap_used)]

use std::fs::File;

use ecg_core::LabelSet;
use ecg_metrics::{
    PrCurve, Reliability, Report, ReportOptions, RocCurve, Scores, ZeroDivision, curves,
};
use ecg_test_data::goldens;
use ndarray::{Array1, Array2};
use ndarray_npy::NpzReader;
use serde_json::Value;

const CASES: [&str; 8] = [
    "random600",
    "thr0.3",
    "ties",
    "degenerate_classes",
    "empty_rows",
    "perfect",
    "saturated",
    "tiny",
];

struct Case {
    name: &'static str,
    truth: Array2<u8>,
    proba: Array2<f64>,
    threshold: f64,
    json: Value,
    npz: NpzReader<File>,
}

impl Case {
    fn open(name: &'static str) -> Option<Self> {
        let folder = goldens("metrics")?;
        let mut npz =
            NpzReader::new(File::open(folder.join(format!("{name}.npz"))).unwrap()).unwrap();
        let truth: Array2<i64> = npz.by_name("y").unwrap();
        let json = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        Some(Self {
            name,
            truth: truth.mapv(|v| u8::try_from(v).unwrap()),
            proba: npz.by_name("s").unwrap(),
            threshold: if name == "thr0.3" { 0.3 } else { 0.5 },
            json: serde_json::from_slice(&json).unwrap(),
            npz,
        })
    }

    fn report(&self, zero_division: ZeroDivision) -> Report {
        Report::new(
            &LabelSet::seven(),
            self.truth.view(),
            self.proba.view(),
            &[self.threshold; 7],
            &ReportOptions::default().with_zero_division(zero_division),
        )
        .unwrap()
    }

    fn list(&self, key: &str) -> Vec<f64> {
        let list = self.json[key].as_array().unwrap_or_else(|| panic!("{}: no {key}", self.name));
        list.iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
    }

    fn one(&self, key: &str) -> f64 {
        let value = self.json.get(key).unwrap_or_else(|| panic!("{}: no {key}", self.name));
        value.as_f64().unwrap_or(f64::NAN)
    }

    /// Returns the ROC-AUC of one record over its labels, counted by pairs; NaN if it has no true or no false label.
    fn auc_of_record(&self, row: usize) -> f64 {
        let (truth, p) = (self.truth.row(row), self.proba.row(row));
        let (mut won, mut pairs) = (0.0, 0.0);
        for i in (0..7).filter(|&i| truth[i] == 1) {
            for j in (0..7).filter(|&j| truth[j] == 0) {
                pairs += 1.0;
                won += if p[i] > p[j] { 1.0 } else { f64::from(u8::from(p[i] == p[j])) / 2.0 };
            }
        }
        won / pairs
    }

    fn array(&mut self, key: &str) -> Vec<f64> {
        let array: Array1<f64> = self.npz.by_name(key).unwrap();
        array.to_vec()
    }
}

/// Asserts that values are equal within 1e-12, with NaN equal to NaN. Summed in another order, they differ only by some
/// units in the last place.
fn same(what: &str, ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len(), "{what}: {ours:?} {theirs:?}");
    for (a, b) in ours.iter().zip(theirs) {
        let equal = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() < 1e-12;
        assert!(equal, "{what}: {ours:?} instead of {theirs:?}");
    }
}

/// Averages the values that are not NaN.
fn average(values: &[f64], weights: &[f64]) -> f64 {
    let defined = values.iter().zip(weights).filter(|own| !own.0.is_nan());
    let (sum, weight) =
        defined.fold((0.0, 0.0), |(sum, weight), (&v, &w)| (sum + w * v, weight + w));
    sum / weight
}

type Score = fn(&Scores) -> f64;

#[test]
fn confusion_and_scores_of_each_label() {
    for case in CASES.into_iter().filter_map(Case::open) {
        let report = case.report(ZeroDivision::Zero);
        for (own, golden) in
            report.labels.iter().zip(case.json["mcm_tn_fp_fn_tp"].as_array().unwrap())
        {
            let c = own.confusion;
            let golden: Vec<u64> =
                golden.as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect();
            assert_eq!([c.tn, c.fp, c.fn_, c.tp].as_slice(), golden, "{}", case.name);
        }
        let wanted: [(&str, Score); 13] = [
            ("per_class_accuracy", |s| s.accuracy),
            ("specificity", |s| s.specificity),
            ("npv", |s| s.npv),
            ("gbeta2", |s| s.gbeta2),
            ("balanced_accuracy", |s| s.balanced_accuracy),
            ("mcc", |s| s.mcc),
            ("kappa", |s| s.kappa),
            ("roc_auc_scores_none", |s| s.roc_auc),
            ("avg_precision_none", |s| s.average_precision),
            ("brier", |s| s.brier),
            ("log_loss", |s| s.log_loss),
            ("ece10", |s| s.ece10),
            ("ece15", |s| s.ece15),
        ];
        for (key, score) in wanted {
            let ours: Vec<f64> = report.labels.iter().map(|own| score(&own.scores)).collect();
            same(&format!("{} {key}", case.name), &ours, &case.list(key));
        }
        let support: Vec<f64> =
            report.labels.iter().map(|own| own.confusion.support() as f64).collect();
        same("support", &support, &case.list("support"));
    }
}

#[test]
fn every_average_under_every_zero_division() {
    let scores: [(&str, Score); 5] = [
        ("precision", |s| s.precision),
        ("recall", |s| s.sensitivity),
        ("f1", |s| s.f1),
        ("fbeta2", |s| s.fbeta2),
        ("jaccard", |s| s.jaccard),
    ];
    for case in CASES.into_iter().filter_map(Case::open) {
        for (zd, option) in
            [("zd0", ZeroDivision::Zero), ("zd1", ZeroDivision::One), ("zdnan", ZeroDivision::Nan)]
        {
            let report = case.report(option);
            for (k, (key, score)) in scores.iter().enumerate() {
                if (*key, zd) == ("jaccard", "zdnan") {
                    continue; // scikit-learn has no such option
                }
                let ours: Vec<f64> = report.labels.iter().map(|own| score(&own.scores)).collect();
                let what = |average: &str| format!("{key}_{average}_{zd}");
                same(&what("none"), &ours, &case.list(&what("none")));
                let samples = [
                    report.samples.precision,
                    report.samples.sensitivity,
                    report.samples.f1,
                    report.samples.fbeta2,
                    report.samples.jaccard,
                ][k];
                for (average, ours) in [
                    ("micro", score(&report.micro)),
                    ("macro", score(&report.macro_)),
                    ("weighted", score(&report.weighted)),
                    ("samples", samples),
                ] {
                    let key = what(average);
                    same(&format!("{} {key}", case.name), &[ours], &[case.one(&key)]);
                }
            }
        }
    }
}

#[test]
fn overall_figures() {
    for case in CASES.into_iter().filter_map(Case::open) {
        let report = case.report(ZeroDivision::Zero);
        // Keras only has this threshold.
        let at_half =
            Case { threshold: 0.5, ..Case::open(case.name).unwrap() }.report(ZeroDivision::Zero);
        for (key, ours) in [
            ("subset_accuracy", report.subset_accuracy),
            ("hamming_loss", report.hamming_loss),
            ("zero_one_loss", 1.0 - report.subset_accuracy),
            ("coverage_error", report.coverage_error),
            ("lrap", report.label_ranking_average_precision),
            ("label_ranking_loss", report.label_ranking_loss),
            ("keras_acc_categorical", report.argmax_agreement),
            ("keras_binary_accuracy", 1.0 - at_half.hamming_loss),
            ("mcc_flat", report.micro.mcc),
            ("ece10_flat", report.micro.ece10),
            ("gbeta2_macro", report.macro_.gbeta2),
            ("brier_mean", report.macro_.brier),
            ("roc_auc_scores_micro", report.micro.roc_auc),
            ("avg_precision_micro", report.micro.average_precision),
            ("avg_precision_macro", report.macro_.average_precision),
            ("avg_precision_weighted", report.weighted.average_precision),
            ("avg_precision_samples", report.samples.average_precision),
            ("roc_auc_hard_micro", report.micro.balanced_accuracy),
        ] {
            same(&format!("{} {key}", case.name), &[ours], &[case.one(key)]);
        }
        for (key, ours) in [
            ("roc_auc_hard_macro", report.macro_.balanced_accuracy),
            ("roc_auc_hard_weighted", report.weighted.balanced_accuracy),
        ] {
            // NaN where a label holds for no record, or for all.
            let golden = case.one(key);
            if !golden.is_nan() {
                same(&format!("{} {key}", case.name), &[ours], &[golden]);
            }
        }
        // scikit-learn's average is NaN if any part of it is; ours is over the parts that have a value.
        let (labels, support) = (case.list("roc_auc_scores_none"), case.list("support"));
        let rows: Vec<f64> = (0..report.n).map(|row| case.auc_of_record(row)).collect();
        let ones = vec![1.0; report.n];
        for (key, ours, defined) in [
            ("roc_auc_scores_macro", report.macro_.roc_auc, average(&labels, &[1.0; 7])),
            ("roc_auc_scores_weighted", report.weighted.roc_auc, average(&labels, &support)),
            ("roc_auc_scores_samples", report.samples.roc_auc, average(&rows, &ones)),
        ] {
            let what = format!("{} {key}", case.name);
            same(&what, &[ours], &[defined]);
            let golden = case.one(key);
            if !golden.is_nan() {
                same(&what, &[ours], &[golden]);
            }
        }
    }
}

#[test]
fn curves_of_each_label() {
    for mut case in CASES.into_iter().filter_map(Case::open) {
        let all = curves(&LabelSet::seven(), case.truth.view(), case.proba.view()).unwrap();
        let partial = case.list("roc_auc_partial_0.1");
        for (k, own) in all.iter().enumerate() {
            let p = case.proba.column(k).to_vec();
            let holds: Vec<bool> = case.truth.column(k).iter().map(|v| *v == 1).collect();
            let full = RocCurve::with_every_point(&p, &holds).unwrap();
            let corners = RocCurve::new(&p, &holds).unwrap();
            for (prefix, roc) in [
                (format!("roc{k}"), &own.roc),
                (format!("roc{k}"), &corners),
                (format!("roc{k}_full"), &full),
            ] {
                let what = format!("{} {prefix}", case.name);
                same(&what, &roc.false_positive_rate, &case.array(&format!("{prefix}_fpr")));
                same(&what, &roc.true_positive_rate, &case.array(&format!("{prefix}_tpr")));
                same(&what, &roc.thresholds, &case.array(&format!("{prefix}_thr")));
                same(&what, &[roc.partial_auc(0.1)], &partial[k..=k]);
            }
            let what = format!("{} pr{k}", case.name);
            let pr = PrCurve::new(&p, &holds).unwrap();
            assert_eq!(pr, own.precision_recall);
            same(&what, &pr.precision, &case.array(&format!("pr{k}_p")));
            same(&what, &pr.recall, &case.array(&format!("pr{k}_r")));
            same(&what, &pr.thresholds, &case.array(&format!("pr{k}_thr")));
            let reliability = Reliability::new(&p, &holds, 10).unwrap();
            let what = format!("{} cal{k}", case.name);
            same(&what, &reliability.positive_rate, &case.array(&format!("cal{k}_true")));
            same(&what, &reliability.mean_probability, &case.array(&format!("cal{k}_pred")));
            assert_eq!(reliability.count.iter().sum::<u64>(), p.len() as u64);
        }
    }
}

#[test]
fn wilson_interval() {
    let Some(folder) = goldens("metrics") else { return };
    let json: Value =
        serde_json::from_slice(&std::fs::read(folder.join("stats_tests.json")).unwrap()).unwrap();
    let golden: Vec<f64> =
        json["wilson"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    same("wilson", &ecg_metrics::wilson(37, 50, 0.95), &golden);
}
