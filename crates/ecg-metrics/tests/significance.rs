//! McNemar, DeLong and Holm compared with `scripts/significance.py`; comparisons with `scripts/bootstrap.py`.
#![allow(clippy::unwrap_used)]

use ecg_core::LabelSet;
use ecg_metrics::{
    BootstrapOptions, Comparison, MetricsError, Patients, Predictions, ZeroDivision, delong, holm,
    mcnemar,
};
use ndarray::{Array2, array};
use serde_json::Value;

fn list(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(what: &str, ours: &[f64], theirs: &[f64], relative: f64) {
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= relative * b.abs() + 1e-300, "{what}: {ours:?} {theirs:?}");
    }
}

fn golden() -> Value {
    serde_json::from_str(include_str!("data/significance.json")).unwrap()
}

#[test]
fn mcnemar_of_scipy() {
    for row in golden()["mcnemar"].as_array().unwrap() {
        let row = list(row);
        let own = mcnemar(row[0] as u64, row[1] as u64);
        // The largest term comes from logarithms of factorials, which are large, and so loses digits.
        close(&format!("{row:?}"), &[own.exact_p], &row[2..3], 1e-9);
        close(&format!("{row:?}"), &[own.chi2], &row[3..4], 1e-15);
        // Near 1, the tail is computed as 0.5 minus a small number.
        close(&format!("{row:?}"), &[own.chi2_p], &row[4..], 1e-12);
        let turned = mcnemar(row[1] as u64, row[0] as u64);
        assert_eq!((own.exact_p, own.chi2_p), (turned.exact_p, turned.chi2_p));
    }
}

#[test]
fn delong_by_its_definition() {
    for case in golden()["delong"].as_array().unwrap() {
        let truth: Vec<bool> = list(&case["truth"]).iter().map(|v| *v == 1.0).collect();
        let own = delong(&list(&case["first"]), &list(&case["second"]), &truth).unwrap();
        let expected = &case["expected"];
        close("auc", &own.auc, &list(&expected["auc"]), 1e-13);
        for k in 0..2 {
            close("covariance", &own.covariance[k], &list(&expected["covariance"][k]), 1e-11);
        }
        close("z", &[own.z], &[expected["z"].as_f64().unwrap()], 1e-11);
        close("p", &[own.p], &[expected["p"].as_f64().unwrap()], 1e-10);
    }
}

#[test]
fn delong_where_there_is_little_to_say() {
    let truth = [true, true, false, false];
    let (good, bad) = ([0.9, 0.8, 0.2, 0.1], [0.1, 0.2, 0.8, 0.9]);
    let same = delong(&good, &good, &truth).unwrap();
    assert_eq!((same.z, same.p), (0.0, 1.0));
    let apart = delong(&good, &bad, &truth).unwrap();
    assert_eq!((apart.auc, apart.z), ([1.0, 0.0], f64::INFINITY));
    assert!(apart.p.is_nan(), "nothing tells it from chance");
    let chance = delong(&[1.0, 0.7, 0.4, 0.1], &[0.5; 4], &truth).unwrap();
    assert!(chance.z.is_infinite() && chance.p.is_nan());
    let one = delong(&good, &bad, &[true, false, false, false]).unwrap();
    assert!(one.p.is_nan() && one.auc == [1.0, 0.0]);
    assert!(delong(&good, &bad, &[true; 4]).unwrap().auc[0].is_nan());
    assert!(delong(&[], &[], &[]).unwrap().p.is_nan());
    let error = |first: &[f64], second: &[f64]| delong(first, second, &truth).unwrap_err();
    assert_eq!(
        error(&good, &bad[..3]),
        MetricsError::RowCount { what: "second scores", truth: 4, found: 3 }
    );
    let nan = [0.1, f64::NAN, 0.2, 0.3];
    assert_eq!(error(&good, &nan), MetricsError::NotANumber { what: "second scores", row: 1 });
    assert_eq!(
        error(&nan, &bad).to_string(),
        "row 1 (from 0) of the first scores: found NaN, expected a number"
    );
}

/// Two classifiers on 200,000 records that differ by one swapped pair, so the difference and its variance are known.
#[test]
fn delong_of_nearly_equal_classifiers() {
    let (positives, negatives) = (20_000, 180_000);
    let truth: Vec<bool> = (0..positives + negatives).map(|row| row < positives).collect();
    let first: Vec<f64> = (0..truth.len()).map(|row| (row * 7919 % truth.len()) as f64).collect();
    let mut second = first.clone();
    let place = |rank: f64| first.iter().position(|own| *own == rank).unwrap();
    let rank = (0..truth.len() - 1)
        .map(|rank| rank as f64)
        .find(|rank| truth[place(*rank)] && !truth[place(rank + 1.0)])
        .unwrap();
    second.swap(place(rank), place(rank + 1.0));
    let own = delong(&first, &second, &truth).unwrap();
    // One placement of each class differs, by 1 / the size of the other class. The variance is the sum of both sample
    // variances, each divided by its number of records.
    let of = |n: f64, step: f64| step * step * (1.0 / n) * (1.0 - 1.0 / n) * n / (n - 1.0) / n;
    let (p, n) = (f64::from(positives as u32), f64::from(negatives as u32));
    let z = -1.0 / (p * n) / (of(p, 1.0 / n) + of(n, 1.0 / p)).sqrt();
    assert!((own.z / z - 1.0).abs() < 1e-6, "{} {z}", own.z);
    assert!((own.p - 0.479_5).abs() < 1e-3, "{}", own.p);
}

#[test]
fn holm_by_its_definition() {
    let json = golden();
    close("holm", &holm(&list(&json["holm"]["p"])), &list(&json["holm"]["expected"]), 1e-15);
    assert!(holm(&[]).is_empty());
}

#[test]
fn differences_of_scipy() {
    let json: Value = serde_json::from_str(include_str!("data/bootstrap.json")).unwrap();
    let rows = |key: &str| {
        let rows: Vec<f64> = json[key].as_array().unwrap().iter().flat_map(list).collect();
        Array2::from_shape_vec((rows.len() / 3, 3), rows).unwrap()
    };
    let truth = rows("truth").mapv(|v| v == 1.0);
    let (first, second) = (rows("proba"), rows("other"));
    let patients = Patients::from_ids(list(&json["patient"]).iter().map(|v| Some(*v as u64)));
    let compare = |a: &Array2<f64>, b: &Array2<f64>| {
        Comparison::new(
            &LabelSet::new(["l0", "l1", "l2"]).unwrap(),
            truth.view(),
            Predictions::new(a.view(), &[0.5; 3]),
            Predictions::new(b.view(), &[0.5; 3]),
            &patients,
            &BootstrapOptions::default().with_seed(7).with_resamples(400),
        )
        .unwrap()
    };
    let own = compare(&first, &second);
    assert!(own.dependent_records);
    for (name, golden) in json["differences"].as_object().unwrap() {
        let (scope, score) = name.split_once('/').unwrap();
        let section = own.differences.sections().find(|own| own.0 == scope).unwrap().1;
        let found = section.get(score).unwrap();
        let equal = |ours: &[f64], theirs: &[f64], epsilon: f64| {
            ours.iter().zip(theirs).for_each(|(a, b)| assert!((a - b).abs() < epsilon, "{name}"));
        };
        equal(&[found.value], &[golden["value"].as_f64().unwrap()], 1e-12);
        equal(&found.percentile, &list(&golden["percentile"]), 1e-12);
        // BCa would not agree with the p-value.
        assert_eq!(found.interval(), found.percentile, "{name}");
        assert_eq!(serde_json::to_value(found).unwrap()["method"], "percentile", "{name}");
        let p = found.p_value.unwrap();
        assert!(p > 0.0 && p <= 1.0);
        // The interval excludes zero exactly if p is at most 0.05.
        let [low, high] = found.percentile;
        assert_eq!(p <= 0.05, low > 0.0 || high < 0.0, "{name} {p} {low} {high}");
    }
    // Nothing differs from itself.
    let same = compare(&first, &first);
    for (_, section) in same.differences.sections() {
        for (name, found) in section.iter().filter(|own| own.1.defined > 0) {
            assert_eq!((found.value, found.p_value), (0.0, Some(1.0)), "{name}");
        }
    }
    assert!(same.tests.iter().all(|own| own.mcnemar.exact_p == 1.0 && own.delong.p == 1.0));
}

#[test]
fn averages_over_other_labels_or_records_are_not_compared() {
    let labels = LabelSet::new(["a", "b"]).unwrap();
    let truth = array![[1u8, 1], [0, 1], [1, 0], [0, 0], [1, 1], [0, 0], [1, 0], [0, 1]];
    let first = truth.mapv(|v| 0.2 + 0.6 * f64::from(v));
    // Never predicts b, so that it has no precision.
    let mut second = first.clone();
    second.column_mut(1).mapv_inplace(|p| p / 2.0);
    let differences = |zero_division| {
        let options = BootstrapOptions::default().with_zero_division(zero_division);
        let [own, other] = [&first, &second].map(|proba| Predictions::new(proba.view(), &[0.5; 2]));
        let patients = Patients::each_record(8);
        let pair = Comparison::new(&labels, truth.view(), own, other, &patients, &options);
        let averages = pair.unwrap().differences;
        // Nor does it predict anything for the records that have b alone.
        let [samples, recall] =
            ["precision", "sensitivity"].map(|score| averages.samples.get(score).unwrap().value);
        assert_eq!(samples.is_nan(), zero_division == ZeroDivision::Nan);
        assert!(!recall.is_nan());
        ["precision", "roc_auc", "sensitivity"]
            .map(|score| averages.macro_.get(score).unwrap().value)
    };
    let [precision, auc, sensitivity] = differences(ZeroDivision::Nan);
    assert!(precision.is_nan());
    assert_eq!((auc, sensitivity), (0.0, 0.5));
    assert_eq!(differences(ZeroDivision::Zero), [0.5, 0.0, 0.5]);
}

#[test]
fn labels_without_weight_do_not_keep_weighted_averages_apart() {
    let labels = LabelSet::new(["a", "never"]).unwrap();
    let mut truth = array![[1u8, 0], [0, 0], [1, 0], [0, 0], [1, 0], [0, 0], [1, 0], [0, 0]];
    let first = truth.mapv(|v| 0.2 + 0.6 * f64::from(v));
    // Predicts "never" once, so that only this classifier has a precision for it.
    let mut second = first.clone();
    second[[1, 1]] = 0.9;
    let differences = |truth: &Array2<u8>| {
        let options = BootstrapOptions::default().with_zero_division(ZeroDivision::Nan);
        let [own, other] = [&first, &second].map(|proba| Predictions::new(proba.view(), &[0.5; 2]));
        let patients = Patients::each_record(8);
        let pair = Comparison::new(&labels, truth.view(), own, other, &patients, &options);
        let averages = pair.unwrap().differences;
        [averages.macro_, averages.weighted].map(|own| own.get("precision").unwrap().value)
    };
    let [macro_, weighted] = differences(&truth);
    assert!(macro_.is_nan());
    assert_eq!(weighted, 0.0);
    // If no label has weight, all count alike.
    truth.fill(0);
    assert!(differences(&truth).iter().all(|own| own.is_nan()));
}

#[test]
fn correction_is_over_all_comparisons() {
    let labels = LabelSet::new(["a", "never"]).unwrap();
    let truth = array![[1u8, 0], [0, 0], [1, 0], [0, 0], [1, 0], [0, 0], [1, 0], [0, 0]];
    let good = truth.mapv(|v| 0.2 + 0.5 * f64::from(v));
    let poor = array![
        [0.3, 0.1],
        [0.6, 0.1],
        [0.4, 0.1],
        [0.3, 0.6],
        [0.1, 0.1],
        [0.9, 0.1],
        [0.7, 0.1],
        [0.8, 0.1]
    ];
    let one = Comparison::new(
        &labels,
        truth.view(),
        Predictions::new(good.view(), &[0.5; 2]),
        Predictions::new(poor.view(), &[0.5; 2]),
        &Patients::each_record(8),
        &BootstrapOptions::default(),
    )
    .unwrap();
    let text = one.to_markdown();
    assert!(text.contains("percentile intervals") && !text.contains("\"Holm\" corrects"), "{text}");
    assert!(text.contains("1000 resamples can give is 0.0020.\n"), "{text}");
    // 2 / 1001 for each of 26 AUCs.
    let mut many = vec![one.clone(); 26];
    Comparison::correct(&mut many);
    assert!(many[0].to_markdown().contains("no less than 0.052"), "{}", many[0].to_markdown());
    let mut all = [one.clone(), one];
    Comparison::correct(&mut all);
    let own = &all[0].tests[0];
    // The first is right and the second is not on records 0, 1, 2, 4, 5 and 7.
    assert_eq!((own.mcnemar.first_only, own.mcnemar.second_only), (6, 0));
    close("p", &[own.mcnemar.exact_p], &[2.0 / 64.0], 1e-13);
    assert_eq!(own.mcnemar_holm, 4.0 * own.mcnemar.exact_p);
    // "never" has no ROC-AUC in either comparison, so two tests remain.
    assert!(all[0].tests[1].delong.p.is_nan() && all[0].tests[1].delong_holm.is_nan());
    assert_eq!(own.delong_holm, 2.0 * own.delong.p);
    assert!(!all[0].dependent_records);
    let over = all[1].corrected_over;
    assert_eq!((over.delong, over.mcnemar, over.bootstrap), (2, 4, 2));
    let text = all[0].to_markdown();
    assert!(text.contains("2 of the AUC by resampling, 2 of DeLong, 4 of McNemar"), "{text}");
    let json = serde_json::to_value(&all[0]).unwrap();
    assert_eq!(json["corrected_over"]["delong"], 2);
    assert!(json["tests"]["never"]["delong"]["p"].is_null());
    assert!(json["differences"]["labels"]["a"]["roc_auc"]["p"].is_number());
}
