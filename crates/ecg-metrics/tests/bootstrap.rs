//! Bootstrap intervals compared with NumPy, SciPy and scikit-learn (`scripts/bootstrap.py`), and their properties.
#![allow(clippy::unwrap_used)]

use ecg_core::LabelSet;
use ecg_metrics::{
    Bootstrap, BootstrapInterval, BootstrapOptions, Comparison, MetricsError, Patients,
    Predictions, Report, ReportOptions, Scores, ZeroDivision,
};
use ndarray::{Array2, array};
use serde_json::Value;

struct Fixture {
    json: Value,
    labels: LabelSet,
    truth: Array2<u8>,
    proba: Array2<f64>,
    patients: Patients,
}

fn fixture() -> Fixture {
    let json: Value = serde_json::from_str(include_str!("data/bootstrap.json")).unwrap();
    let rows = |key: &str| -> Vec<f64> {
        let rows = json[key].as_array().unwrap().iter();
        rows.flat_map(|row| row.as_array().unwrap()).map(|v| v.as_f64().unwrap()).collect()
    };
    let (truth, proba) = (rows("truth"), rows("proba"));
    let n = truth.len() / 3;
    Fixture {
        labels: LabelSet::new(["l0", "l1", "l2"]).unwrap(),
        truth: Array2::from_shape_vec((n, 3), truth).unwrap().mapv(|v| v as u8),
        proba: Array2::from_shape_vec((n, 3), proba).unwrap(),
        patients: Patients::from_ids(
            json["patient"].as_array().unwrap().iter().map(|v| Some(v.as_u64().unwrap())),
        ),
        json,
    }
}

fn bootstrap(f: &Fixture, options: &BootstrapOptions) -> Bootstrap {
    Bootstrap::new(&f.labels, f.truth.view(), f.proba.view(), &[0.5; 3], &f.patients, options)
        .unwrap()
}

fn find<'a>(all: &'a Bootstrap, name: &str) -> &'a BootstrapInterval {
    let (scope, score) = name.split_once('/').unwrap();
    all.sections().find(|own| own.0 == scope).unwrap().1.get(score).unwrap()
}

/// Summed in another order, results differ only in the last digits.
fn close(what: &str, ours: f64, theirs: &Value) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() < 1e-12, "{what}: {ours} instead of {theirs}");
}

#[test]
fn intervals_of_scipy() {
    let f = fixture();
    let options = BootstrapOptions::default().with_seed(7).with_resamples(400);
    let all = bootstrap(&f, &options);
    let (mut with_bca, mut partly) = (0, 0);
    for (name, golden) in f.json["intervals"].as_object().unwrap() {
        let own = find(&all, name);
        close(name, own.value, &golden["value"]);
        assert_eq!(own.defined as u64, golden["defined"].as_u64().unwrap(), "{name}");
        for side in 0..2 {
            close(name, own.percentile[side], &golden["percentile"][side]);
        }
        if let Some(bca) = golden.get("bca").filter(|bca| bca[0].is_number()) {
            with_bca += 1;
            for side in 0..2 {
                // The bias goes through the normal distribution and back, which costs digits.
                let theirs = bca[side].as_f64().unwrap();
                assert!((own.bca[side] - theirs).abs() < 1e-9, "{name} {:?} {bca}", own.bca);
            }
            assert_eq!(own.interval(), own.bca);
        } else {
            partly += 1;
            assert_eq!(own.interval(), own.percentile, "{name}");
        }
    }
    assert!(with_bca > 15 && partly > 5, "{with_bca} {partly}");
}

#[test]
fn the_values_are_those_of_the_report() {
    let f = fixture();
    for empty in [ZeroDivision::Zero, ZeroDivision::One, ZeroDivision::Nan] {
        let report = Report::new(
            &f.labels,
            f.truth.view(),
            f.proba.view(),
            &[0.5; 3],
            &ReportOptions::default().with_zero_division(empty),
        )
        .unwrap();
        let options = BootstrapOptions::default().with_resamples(40).with_zero_division(empty);
        let all = bootstrap(&f, &options);
        let check = |scores: &Scores, own: &ecg_metrics::Intervals| {
            for ((name, value), own) in Scores::NAMES.iter().zip(scores.values()).zip(own.iter()) {
                assert_eq!(*name, own.0);
                assert!((value - own.1.value).abs() < 1e-13, "{name}: {value} {}", own.1.value);
            }
        };
        for (label, own) in report.labels.iter().zip(&all.labels) {
            check(&label.scores, &own.1);
        }
        check(&report.micro, &all.micro);
        check(&report.macro_, &all.macro_);
        check(&report.weighted, &all.weighted);
        for (name, value) in [
            ("samples/roc_auc", report.samples.roc_auc),
            ("samples/jaccard", report.samples.jaccard),
            ("overall/argmax_agreement", report.argmax_agreement),
            ("overall/label_ranking_average_precision", report.label_ranking_average_precision),
        ] {
            assert!((find(&all, name).value - value).abs() < 1e-13, "{name}");
        }
    }
}

#[test]
fn the_seed_alone_decides() {
    let f = fixture();
    let options = BootstrapOptions::default().with_resamples(100);
    let text = |options: &BootstrapOptions| serde_json::to_string(&bootstrap(&f, options)).unwrap();
    assert_eq!(text(&options), text(&options));
    assert_ne!(text(&options), text(&options.clone().with_seed(1)));
}

#[test]
fn repeated_records_of_a_patient_add_nothing() {
    // Each record four times: intervals by patient stay the same, intervals by record halve.
    let f = fixture();
    let n = f.truth.nrows();
    let four = |k: usize| k % n;
    let truth = Array2::from_shape_fn((4 * n, 3), |(k, l)| f.truth[[four(k), l]]);
    let proba = Array2::from_shape_fn((4 * n, 3), |(k, l)| f.proba[[four(k), l]]);
    let width = |patients: &Patients| {
        let options = BootstrapOptions::default();
        let all =
            Bootstrap::new(&f.labels, truth.view(), proba.view(), &[0.5; 3], patients, &options);
        let [low, high] = find(&all.unwrap(), "micro/accuracy").percentile;
        high - low
    };
    let by_patient = width(&Patients::from_ids((0..4 * n).map(|k| Some(four(k)))));
    let by_record = width(&Patients::each_record(4 * n));
    assert!((by_patient / by_record - 2.0).abs() < 0.3, "{by_patient} {by_record}");
}

#[test]
fn a_label_that_never_occurs_has_no_interval() {
    let labels = LabelSet::new(["a", "never"]).unwrap();
    let truth = array![[1u8, 0], [0, 0], [1, 0], [0, 0]];
    let proba = array![[0.9, 0.1], [0.2, 0.3], [0.6, 0.2], [0.7, 0.1]];
    let all = Bootstrap::new(
        &labels,
        truth.view(),
        proba.view(),
        &[0.5; 2],
        &Patients::each_record(4),
        &BootstrapOptions::default(),
    )
    .unwrap();
    let never = all.label("never").unwrap().get("roc_auc").unwrap();
    assert!(never.value.is_nan() && never.interval()[0].is_nan() && never.defined == 0);
    // 2 x (1/2)^4 of the resamples have only one class. The average is over the one label that has a value.
    let a = find(&all, "macro/roc_auc");
    assert!((820..930).contains(&a.defined) && !a.interval()[0].is_nan(), "{a:?}");
    let json = serde_json::to_value(&all).unwrap();
    assert!(json["labels"]["never"]["roc_auc"]["interval"][0].is_null());
    assert_eq!(json["labels"]["a"]["roc_auc"]["method"], "percentile");
}

#[test]
fn few_patients_are_remarked_on() {
    let labels = LabelSet::new(["a", "b"]).unwrap();
    // Twelve records have "a", all from one patient; "b" is spread over the patients.
    let of_ids = |most: usize| {
        Patients::from_ids((0..60).map(|row| Some(if row < 12 { 0 } else { row % most })))
    };
    let truth =
        Array2::from_shape_fn((60, 2), |(row, k)| if k == 0 { row < 12 } else { row % 2 == 0 });
    let proba = Array2::from_shape_fn((60, 2), |(row, _)| (row * 17 % 60) as f64 / 60.0);
    let new = |patients: &Patients| {
        let options = BootstrapOptions::default();
        Bootstrap::new(&labels, truth.view(), proba.view(), &[0.5; 2], patients, &options).unwrap()
    };
    let all = new(&of_ids(60));
    assert_eq!(all.positive_patients[0], 1);
    let text = all.to_markdown();
    assert!(text.contains("a (too few)") && !text.contains("b (too few)"), "{text}");
    assert!(!all.method().contains("too few patients"));
    assert_eq!(all.negative_patients, [48, 25]);
    // Nearly every patient has "a", and at most nine have it or lack it.
    let turned = |truth: Array2<bool>, patients: &Patients| {
        let options = BootstrapOptions::default().with_resamples(40);
        Bootstrap::new(&labels, truth.view(), proba.view(), &[0.5; 2], patients, &options).unwrap()
    };
    let most = turned(truth.mapv(|holds| !holds), &of_ids(60));
    assert_eq!((most.positive_patients[0], most.negative_patients[0]), (48, 1));
    let text = most.to_markdown();
    assert!(text.contains("a (too few negatives)") && !text.contains("b (too few"), "{text}");
    assert_eq!(serde_json::to_value(&most).unwrap()["negative_patients"]["a"], 1);
    let nine = turned(truth.clone(), &of_ids(9));
    assert!(nine.to_markdown().contains("b (too few of either)"), "{}", nine.to_markdown());
    let five = of_ids(5);
    assert!(new(&five).method().contains("too few patients"));
    let p = |patients: &Patients| {
        let other = truth.mapv(|holds| f64::from(u8::from(holds)));
        let options = BootstrapOptions::default();
        let pair = Comparison::new(
            &labels,
            truth.view(),
            Predictions::new(proba.view(), &[0.5; 2]),
            Predictions::new(other.view(), &[0.5; 2]),
            patients,
            &options,
        );
        pair.unwrap().differences.macro_.get("f1").unwrap().p_value.unwrap()
    };
    assert!(p(&five).is_nan() && p(&of_ids(60)) < 0.05);
}

#[test]
fn labels_may_be_called_like_a_section() {
    let labels = LabelSet::new(["overall", "micro"]).unwrap();
    // Few have the first label; the second is common.
    let truth =
        Array2::from_shape_fn((60, 2), |(row, k)| if k == 0 { row < 5 } else { row % 2 == 0 });
    let proba = Array2::from_shape_fn((60, 2), |(row, k)| ((row * 17 + k) % 60) as f64 / 60.0);
    let patients = Patients::each_record(60);
    let options = BootstrapOptions::default().with_resamples(40);
    let new = |labels: &LabelSet| {
        Bootstrap::new(labels, truth.view(), proba.view(), &[0.5; 2], &patients, &options).unwrap()
    };
    let first = |all: &Bootstrap| -> Vec<String> {
        let text = all.to_markdown();
        let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
        rows.map(|line| line.split(" | ").next().unwrap()[2..].to_owned()).take(6).collect()
    };
    let averages = ["micro", "macro", "weighted", "samples"];
    let expected = [&["overall (too few)", "micro"][..], &averages].concat();
    assert_eq!(first(&new(&labels)), expected);
    let turned = LabelSet::new(["micro", "overall"]).unwrap();
    let expected = [&["micro (too few)", "overall"][..], &averages].concat();
    assert_eq!(first(&new(&turned)), expected);
}

#[test]
fn an_interval_holds_its_value() {
    // Well calibrated: every resample is less so than the original records.
    let labels = LabelSet::new(["x"]).unwrap();
    let truth = Array2::from_shape_fn((400, 1), |(row, _)| row % 10 < row / 40);
    let proba = Array2::from_shape_fn((400, 1), |(row, _)| (row / 40) as f64 / 10.0 + 1e-6);
    let patients = Patients::each_record(400);
    let options = BootstrapOptions::default();
    let all = Bootstrap::new(&labels, truth.view(), proba.view(), &[0.5], &patients, &options);
    let all = all.unwrap();
    for (_, section) in all.sections() {
        for (name, own) in section.iter() {
            let [low, high] = own.interval();
            let holds = low - 1e-9 <= own.value && own.value <= high + 1e-9;
            assert!(holds || low.is_nan(), "{name} {own:?}");
        }
    }
    let ece = find(&all, "micro/ece10");
    assert!(ece.interval()[0].is_nan() && ece.percentile[0] > ece.value, "{ece:?}");
}

#[test]
fn bad_options_are_refused() {
    let f = fixture();
    let new = |patients: &Patients, options: &BootstrapOptions| {
        Bootstrap::new(&f.labels, f.truth.view(), f.proba.view(), &[0.5; 3], patients, options)
            .unwrap_err()
    };
    let usual = BootstrapOptions::default();
    for n in [0, 39, 100_001, usize::MAX] {
        let error = new(&f.patients, &usual.clone().with_resamples(n));
        assert!(matches!(error, MetricsError::Resamples { least: 40, .. }), "{error}");
    }
    let tight = new(&f.patients, &usual.clone().with_confidence(0.99999));
    assert_eq!(
        tight.to_string(),
        "a confidence level of 0.99999 needs 200000 resamples, but at most 100000 are allowed"
    );
    let just = new(&f.patients, &usual.clone().with_confidence(0.99998));
    assert!(matches!(just, MetricsError::Resamples { least: 100_000, .. }), "{just}");
    assert!(matches!(new(&Patients::each_record(3), &usual), MetricsError::PatientCount { .. }));
    let one = Patients::from_ids(vec![Some(0); f.truth.nrows()]);
    assert_eq!(new(&one, &usual), MetricsError::OnePatient);
}

#[test]
fn a_report_shows_its_intervals() {
    let f = fixture();
    let report = || {
        let options = ReportOptions::default();
        Report::new(&f.labels, f.truth.view(), f.proba.view(), &[0.5; 3], &options).unwrap()
    };
    let all = bootstrap(&f, &BootstrapOptions::default());
    let with = report().with_bootstrap(all.clone()).unwrap();
    let auc = all.label("l0").unwrap().get("roc_auc").unwrap();
    let shown = format!("{:.3} ({:.3} to {:.3})", auc.value, auc.interval()[0], auc.interval()[1]);
    assert!(with.to_string().contains(&shown) && with.to_markdown().contains(&shown), "{with}");
    let rare = all.label("l2").unwrap().get("sensitivity").unwrap();
    assert!(with.to_string().contains(&format!(", in {})", rare.defined)), "{with}");
    assert!(with.to_string().contains("l2 (too few)"), "{with}");
    assert!(with.to_markdown().contains("| l2 (too few) |"));
    let json = serde_json::to_value(&with).unwrap();
    assert_eq!(json["bootstrap"]["labels"]["l0"]["roc_auc"]["interval"][0], auc.interval()[0]);
    assert!(serde_json::to_value(report()).unwrap().get("bootstrap").is_none());
    let csv = with.to_csv();
    let fields: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert!(fields.iter().all(|n| *n == 7 + 4 * Scores::NAMES.len()), "{csv}");

    let (truth, proba) = (array![[1u8], [0]], array![[0.9], [0.2]]);
    let one = LabelSet::new(["l0"]).unwrap();
    let options = ReportOptions::default();
    let other = Report::new(&one, truth.view(), proba.view(), &[0.5], &options).unwrap();
    assert!(matches!(other.with_bootstrap(all.clone()), Err(MetricsError::LabelCount { .. })));
    // Of the same records, but with other probabilities.
    let changed = f.proba.mapv(|p| p * p);
    let changed =
        Report::new(&f.labels, f.truth.view(), changed.view(), &[0.5; 3], &options).unwrap();
    let error = changed.with_bootstrap(all.clone()).unwrap_err();
    assert!(matches!(error, MetricsError::OtherPredictions { .. }), "{error}");
    // With a label that has no precision, the average is a number in one and undefined in the other.
    let never = ndarray::Array2::from_elem(f.proba.dim(), 0.1);
    let intervals = Bootstrap::new(
        &f.labels,
        f.truth.view(),
        never.view(),
        &[0.5; 3],
        &f.patients,
        &BootstrapOptions::default(),
    );
    let nan = ReportOptions::default().with_zero_division(ZeroDivision::Nan);
    let undefined = Report::new(&f.labels, f.truth.view(), never.view(), &[0.5; 3], &nan).unwrap();
    let error = undefined.with_bootstrap(intervals.unwrap()).unwrap_err();
    assert!(
        matches!(error, MetricsError::OtherPredictions { score: "precision", expected, found }
            if expected.is_nan() && found == 0.0),
        "{error}"
    );
    let mut turned = all;
    turned.labels.swap(0, 1);
    assert_eq!(
        report().with_bootstrap(turned).unwrap_err().to_string(),
        "intervals for the labels l1,l0,l2, but the report is for l0,l1,l2"
    );
}
