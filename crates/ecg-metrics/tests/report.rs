//! Properties of a report beyond its numbers.
#![allow(clippy::unwrap_used)]

use ecg_core::LabelSet;
use ecg_metrics::{MetricsError, Report, ReportOptions, ZeroDivision};
use ndarray::{Array2, array};
use proptest::prelude::*;

fn labels() -> LabelSet {
    LabelSet::new(["a", "b", "never"]).unwrap()
}

fn small() -> (Array2<bool>, Array2<f64>) {
    let truth = array![[true, false, false], [false, true, false], [true, true, false]];
    (truth, array![[0.9, 0.5, 0.1], [0.2, 0.8, 0.2], [0.7, 0.6, 0.3]])
}

fn report(options: &ReportOptions) -> Report {
    let (truth, p) = small();
    Report::new(&labels(), truth.view(), p.view(), &[0.5; 3], options).unwrap()
}

#[test]
fn a_probability_at_the_threshold_is_not_predicted() {
    let report = report(&ReportOptions::default());
    assert_eq!(report.label("b").unwrap().confusion.fp, 0);
    assert_eq!(report.subset_accuracy, 1.0);
}

#[test]
fn a_confidence_in_percent_is_refused() {
    let (truth, p) = small();
    for bad in [95.0, 1.0, 0.0, -0.5, f64::NAN] {
        let options = ReportOptions::default().with_confidence(bad);
        let error = Report::new(&labels(), truth.view(), p.view(), &[0.5; 3], &options);
        assert!(matches!(error, Err(MetricsError::Confidence { .. })), "{bad}");
    }
}

#[test]
fn what_is_undefined_is_named_and_left_out() {
    let report = report(&ReportOptions::default());
    assert!(report.label("never").unwrap().scores.roc_auc.is_nan());
    assert_eq!(report.macro_.roc_auc, 1.0);
    let named: Vec<(&str, &str)> =
        report.undefined.iter().map(|u| (u.scope.as_str(), u.score.as_str())).collect();
    for expected in [("never", "roc_auc"), ("never", "precision"), ("never", "kappa")] {
        assert!(named.contains(&expected), "{named:?}");
    }
    assert!(!named.iter().any(|(scope, _)| *scope == "a"));
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert_eq!(json["macro"]["defined"]["roc_auc"], 2);
    assert_eq!(json["macro"]["defined"]["brier"], 3);
    assert!(json["labels"]["never"]["roc_auc"].is_null());
    assert_eq!(json["labels"]["never"]["precision"], 0.0);
}

#[test]
fn the_layout_of_the_json() {
    let options = ReportOptions::default()
        .with_zero_division(ZeroDivision::Nan)
        .with_threshold_source("card");
    let json: serde_json::Value = serde_json::to_value(report(&options)).unwrap();
    assert_eq!(json["n"], 3);
    assert_eq!(json["thresholds"]["b"], 0.5);
    assert_eq!(
        (&json["threshold_source"], &json["zero_division"]),
        (&"card".into(), &"nan".into())
    );
    for key in ["support", "tp", "fp", "fn", "tn", "accuracy", "f1", "average_precision"] {
        assert!(json["labels"]["a"][key].is_number(), "{key}");
    }
    for key in ["micro", "macro", "weighted", "samples"] {
        assert!(json[key]["f1"].is_number(), "{key}");
    }
    assert_eq!(json["labels"]["a"]["too_few"], true);
    assert_eq!(json["labels"]["a"]["too_few_negatives"], true);
    assert_eq!(json["labels"]["a"]["intervals"]["sensitivity"][1], 1.0);
    assert!(json["labels"]["never"]["f1"].is_null());
}

#[test]
fn few_negatives_are_marked() {
    let labels = LabelSet::new(["most", "half", "rare"]).unwrap();
    let truth = Array2::from_shape_fn((30, 3), |(row, k)| [row > 8, row % 2 == 0, row < 9][k]);
    let p = Array2::from_elem((30, 3), 0.4);
    let options = ReportOptions::default();
    let report = Report::new(&labels, truth.view(), p.view(), &[0.5; 3], &options).unwrap();
    let marks: Vec<[bool; 2]> =
        report.labels.iter().map(|own| [own.too_few(), own.too_few_negatives()]).collect();
    assert_eq!(marks, [[false, true], [false, false], [true, false]]);
    let markdown = report.to_markdown();
    let last = |label: &str| {
        let row = markdown.lines().find(|line| line.starts_with(&format!("| {label} | 0.5 |")));
        row.unwrap().trim_end_matches(" |").rsplit(" | ").next().unwrap().to_owned()
    };
    assert_eq!([last("most"), last("half"), last("rare")], ["too few negatives", "", "too few"]);
}

#[test]
fn averages_without_a_value_are_named() {
    let labels = LabelSet::new(["always", "never"]).unwrap();
    let truth = array![[true, false], [true, false]];
    let p = array![[0.9, 0.1], [0.2, 0.3]];
    let options = ReportOptions::default();
    let report = Report::new(&labels, truth.view(), p.view(), &[0.5; 2], &options).unwrap();
    let of = |scope: &str| -> Vec<&str> {
        let own = report.undefined.iter().filter(|own| own.scope == scope);
        own.inspect(|own| assert!(own.reported.is_nan())).map(|own| own.score.as_str()).collect()
    };
    assert_eq!((of("macro"), of("weighted")), (vec!["roc_auc"], vec!["roc_auc"]));
    let markdown = report.to_markdown();
    assert!(markdown.contains("| macro | roc_auc | no label has a value | - |"), "{markdown}");
}

#[test]
fn ranking_figures_of_records_without_a_pair_are_named() {
    let labels = LabelSet::new(["a", "b"]).unwrap();
    let p = array![[0.9, 0.1], [0.2, 0.3], [0.6, 0.4]];
    let new = |truth: &Array2<bool>| {
        let options = ReportOptions::default();
        Report::new(&labels, truth.view(), p.view(), &[0.5; 2], &options).unwrap()
    };
    // The first record has no true label, the second no false one.
    let report = new(&array![[false, false], [true, true], [true, false]]);
    let named: Vec<(&str, &str, f64)> = report
        .undefined
        .iter()
        .filter(|own| own.scope == "overall")
        .map(|own| (own.score.as_str(), own.reason.as_str(), own.reported))
        .collect();
    let no_pair = "2 of 3 records have no true label or no false one";
    assert_eq!(
        named,
        [
            ("label_ranking_average_precision", no_pair, 1.0),
            ("label_ranking_loss", no_pair, 0.0),
            ("coverage_error", "1 of 3 records have no true label", 0.0),
        ]
    );
    assert_eq!(report.coverage_error, 1.0); // 0, 2 and 1 labels
    let whole = new(&array![[true, false], [false, true], [true, false]]);
    assert!(!whole.undefined.iter().any(|own| own.scope == "overall"));
}

#[test]
fn wilson_intervals_by_name() {
    let report = report(&ReportOptions::default());
    let a = report.label("a").unwrap();
    assert_eq!(a.interval("sensitivity"), Some(ecg_metrics::wilson(2, 2, 0.95)));
    assert_eq!(a.interval("roc_auc"), None);
    assert!(report.label("never").unwrap().interval("sensitivity").unwrap()[0].is_nan());
}

#[test]
fn a_label_that_looks_like_a_comment_is_quoted() {
    let labels = LabelSet::new(["#1", "2"]).unwrap();
    let (truth, p) = (array![[true, false], [false, true]], array![[0.9, 0.1], [0.2, 0.6]]);
    let options = ReportOptions::default();
    let report = Report::new(&labels, truth.view(), p.view(), &[0.5; 2], &options).unwrap();
    let csv = report.to_csv();
    let starts: Vec<&str> = csv.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(starts, ["label", "\"#1\"", "2"]);
}

#[test]
fn text_markdown_and_csv() {
    let report = report(&ReportOptions::default());
    let text = report.to_string();
    assert!(text.contains("subset accuracy 1.000") && text.lines().count() > 8, "{text}");
    let markdown = report.to_markdown();
    assert!(markdown.contains("| never | 0 | 0 | 0 | 0 | 3 |"), "{markdown}");
    assert!(markdown.contains("too few") && markdown.contains("no record has the label"));
    assert!(markdown.contains("roc_auc for 2"));
    assert!(markdown.contains("the others count with what stands in the place"), "{markdown}");
    let csv = report.to_csv();
    assert_eq!(csv.lines().count(), 4);
    let fields: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert!(fields.iter().all(|n| *n == fields[0]), "{csv}");
}

#[test]
fn bad_input_is_refused() {
    let (truth, p) = small();
    let options = ReportOptions::default();
    let new = |truth: &Array2<bool>, p: &Array2<f64>, thresholds: &[f64]| {
        Report::new(&labels(), truth.view(), p.view(), thresholds, &options).unwrap_err()
    };
    let shorter = p.slice(ndarray::s![..2, ..]).to_owned();
    assert_eq!(
        new(&truth, &shorter, &[0.5; 3]),
        MetricsError::RowCount { what: "probabilities", truth: 3, found: 2 }
    );
    let narrower = p.slice(ndarray::s![.., ..2]).to_owned();
    assert!(matches!(
        new(&truth, &narrower, &[0.5; 3]),
        MetricsError::LabelCount { what: "probabilities", expected: 3, found: 2 }
    ));
    assert!(matches!(new(&truth, &p, &[0.5; 2]), MetricsError::LabelCount { found: 2, .. }));
    assert!(matches!(new(&truth, &p, &[0.5, 2.0, 0.5]), MetricsError::Threshold { .. }));
    for bad in [f64::NAN, -0.1, 1.5, f64::INFINITY] {
        let mut p = p.clone();
        p[[1, 2]] = bad;
        let error = new(&truth, &p, &[0.5; 3]);
        assert!(error.to_string().starts_with("row 1 (from 0), label never:"), "{error}");
    }
    let none = Array2::<bool>::default((0, 3));
    assert_eq!(new(&none, &Array2::zeros((0, 3)), &[0.5; 3]), MetricsError::Empty);
    let twos = truth.mapv(|holds| 2 * u8::from(holds));
    let error = Report::new(&labels(), twos.view(), p.view(), &[0.5; 3], &options).unwrap_err();
    assert_eq!(error.to_string(), "row 0 (from 0), label a: the truth must be 0 or 1, found 2");
    let unknown = report(&options).label("AF").unwrap_err();
    assert_eq!(unknown.to_string(), "unknown label \"AF\"; the labels are a,b,never");
    assert!("2".parse::<ZeroDivision>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// ROC-AUC by its definition, over all pairs, with many ties.
    #[test]
    fn roc_auc_counts_pairs(rows in prop::collection::vec((0u8..6, any::<bool>()), 2..60)) {
        let set = LabelSet::new(["x"]).unwrap();
        let truth = Array2::from_shape_fn((rows.len(), 1), |(n, _)| rows[n].1);
        let p = Array2::from_shape_fn((rows.len(), 1), |(n, _)| f64::from(rows[n].0) / 5.0);
        let report =
            Report::new(&set, truth.view(), p.view(), &[0.5], &ReportOptions::default()).unwrap();
        let (mut won, mut pairs) = (0.0, 0.0);
        for a in rows.iter().filter(|row| row.1) {
            for b in rows.iter().filter(|row| !row.1) {
                pairs += 1.0;
                won += if a.0 > b.0 { 1.0 } else if a.0 == b.0 { 0.5 } else { 0.0 };
            }
        }
        let auc = report.labels[0].scores.roc_auc;
        if pairs == 0.0 {
            prop_assert!(auc.is_nan());
        } else {
            prop_assert!((auc - won / pairs).abs() < 1e-14);
        }
    }

    /// The order of the records does not matter.
    #[test]
    fn records_in_any_order(
        rows in prop::collection::vec((prop::array::uniform3(0.0..=1.0), prop::array::uniform3(any::<bool>())), 1..30),
        turn in 0usize..30,
    ) {
        let of = |rows: &[([f64; 3], [bool; 3])]| {
            let truth = Array2::from_shape_fn((rows.len(), 3), |(n, k)| rows[n].1[k]);
            let p = Array2::from_shape_fn((rows.len(), 3), |(n, k)| rows[n].0[k]);
            Report::new(&labels(), truth.view(), p.view(), &[0.4; 3], &ReportOptions::default()).unwrap()
        };
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        let (a, b) = (of(&rows), of(&turned));
        for (x, y) in a.macro_.values().into_iter().chain(a.micro.values()).zip(
            b.macro_.values().into_iter().chain(b.micro.values()),
        ) {
            prop_assert!((x - y).abs() < 1e-12 || (x.is_nan() && y.is_nan()));
        }
        prop_assert_eq!(a.labels[0].confusion.n(), rows.len() as u64);
    }
}
