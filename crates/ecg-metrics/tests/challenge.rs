//! The challenge score compared with its definition (`scripts/challenge.py`), and its properties.
#![allow(clippy::unwrap_used)]

use ecg_core::LabelSet;
use ecg_metrics::{
    Bootstrap, BootstrapOptions, ChallengeWeights, Comparison, MetricsError, Patients, Predictions,
    Report, ReportOptions,
};
use ndarray::{Array2, array};
use serde_json::Value;

fn table(json: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect())
        .collect();
    Array2::from_shape_vec((rows.len(), 7), rows.concat()).unwrap()
}

/// Returns truth and probabilities of each case, with the score at a threshold of 0.5.
fn cases() -> Vec<(Array2<u8>, Array2<f64>, Value)> {
    let json: Value = serde_json::from_str(include_str!("data/challenge.json")).unwrap();
    let cases = json["cases"].as_array().unwrap().iter();
    cases
        .map(|case| {
            let truth = table(&case["truth"]).mapv(|v| v as u8);
            (truth, table(&case["proba"]), case["at_half"].clone())
        })
        .collect()
}

#[test]
fn scores_by_definition() {
    let weights = ChallengeWeights::seven();
    for (truth, p, golden) in cases() {
        let own = weights.score(&LabelSet::seven(), truth.view(), p.view(), &[0.5; 7]).unwrap();
        for (name, ours) in
            [("observed", own.observed), ("correct", own.correct), ("inactive", own.inactive)]
        {
            assert!((ours - golden[name].as_f64().unwrap()).abs() < 1e-12, "{name} {own:?}");
        }
        match golden["value"].as_f64() {
            Some(value) => assert!((own.value - value).abs() < 1e-12, "{own:?}"),
            None => assert!(own.value.is_nan()),
        }
    }
}

#[test]
fn by_hand() {
    // AF answered as AF and NSR: (1 + 0.25) / 2. SB missed: 0. Inactive: 0.25 / 2 and 0.45 / 2. Correct: 1 each.
    let labels = LabelSet::new(["SB", "AF", "NSR"]).unwrap();
    let truth = array![[0u8, 1, 0], [1, 0, 0]];
    let p = array![[0.1, 0.9, 0.8], [0.2, 0.1, 0.3]];
    let own = ChallengeWeights::seven().score(&labels, truth.view(), p.view(), &[0.5; 3]).unwrap();
    assert_eq!((own.observed, own.correct), (0.625, 2.0));
    assert!((own.value - (0.625 - 0.35) / (2.0 - 0.35)).abs() < 1e-15, "{own:?}");
}

#[test]
fn ends_of_the_scale() {
    let labels = LabelSet::seven();
    for (truth, p, _) in cases().into_iter().filter(|case| !case.2["value"].is_null()) {
        let weights = ChallengeWeights::seven();
        let score = |p: &Array2<f64>| {
            weights.score(&labels, truth.view(), p.view(), &[0.5; 7]).unwrap().value
        };
        assert!((score(&truth.mapv(f64::from)) - 1.0).abs() < 1e-12);
        let inactive = Array2::from_shape_fn(p.dim(), |(_, k)| f64::from(u8::from(k == 0)));
        assert!(score(&inactive).abs() < 1e-12);
    }
}

#[test]
fn thresholds_that_no_single_change_betters() {
    let (labels, weights) = (LabelSet::seven(), ChallengeWeights::seven());
    for (truth, p, _) in cases() {
        let chosen = weights.choose_thresholds(&labels, truth.view(), p.view()).unwrap();
        let occurs = |k: usize| truth.column(k).iter().any(|holds| *holds == 1);
        assert!((0..7).all(|k| chosen[k].is_some() == occurs(k)), "{chosen:?}");
        // A label that does not occur is never answered.
        let filled = |threshold: &dyn Fn(f64) -> f64| -> Vec<f64> {
            chosen.iter().map(|own| own.map_or(1.0, threshold)).collect()
        };
        let score = |thresholds: &[f64]| {
            weights.score(&labels, truth.view(), p.view(), thresholds).unwrap().observed
        };
        let own = filled(&|own| own);
        let best = score(&own);
        assert!(best >= score(&filled(&|_| 0.5)) - 1e-9);
        let all = p.iter().copied().chain([0.0, 1.0]);
        for threshold in all {
            assert!(best >= score(&filled(&|_| threshold)) - 1e-7, "{threshold} {chosen:?}");
            for k in (0..7).filter(|&k| occurs(k)) {
                let mut other = own.clone();
                other[k] = threshold;
                assert!(best >= score(&other) - 1e-7, "{k} {threshold} {chosen:?}");
            }
        }
    }
}

#[test]
fn reports_intervals_and_comparisons_have_it() {
    let (truth, p, golden) = cases().remove(2);
    let labels = LabelSet::seven();
    let weights = ChallengeWeights::seven();
    let options = ReportOptions::default().with_challenge(weights.clone());
    let report = Report::new(&labels, truth.view(), p.view(), &[0.5; 7], &options).unwrap();
    let value = report.challenge.as_ref().unwrap().value;
    assert!((value - golden["value"].as_f64().unwrap()).abs() < 1e-12);
    assert!(report.to_string().contains("not the official score"), "{report}");
    assert!(report.to_markdown().contains("not the official score"));
    assert_eq!(serde_json::to_value(&report).unwrap()["challenge"]["value"], value);

    let options = BootstrapOptions::default().with_challenge(weights);
    let patients = Patients::each_record(truth.nrows());
    let all =
        Bootstrap::new(&labels, truth.view(), p.view(), &[0.5; 7], &patients, &options).unwrap();
    let interval = all.overall.get("challenge_score").unwrap();
    let [low, high] = interval.interval();
    assert!((interval.value - value).abs() < 1e-12 && low < value && value < high, "{interval:?}");
    // A report takes these intervals, and refuses those of other weights.
    assert!(report.clone().with_bootstrap(all).is_ok());
    let alone = ChallengeWeights::new(&labels, Array2::eye(7).view(), "NSR").unwrap();
    let other = BootstrapOptions::default().with_challenge(alone);
    let other =
        Bootstrap::new(&labels, truth.view(), p.view(), &[0.5; 7], &patients, &other).unwrap();
    let error = report.with_bootstrap(other).unwrap_err();
    assert!(
        matches!(error, MetricsError::OtherPredictions { score: "challenge_score", .. }),
        "{error}"
    );
    let without = BootstrapOptions::default();
    let all =
        Bootstrap::new(&labels, truth.view(), p.view(), &[0.5; 7], &patients, &without).unwrap();
    assert!(all.overall.get("challenge_score").is_none());

    let own = Predictions::new(p.view(), &[0.5; 7]);
    let other = p.mapv(|p| 1.0 - p);
    let other = Predictions::new(other.view(), &[0.5; 7]);
    let all = Comparison::new(&labels, truth.view(), own, other, &patients, &options).unwrap();
    let difference = all.differences.overall.get("challenge_score").unwrap();
    assert!(difference.value > 0.5 && difference.p_value.unwrap() < 0.01, "{difference:?}");
}

#[test]
fn an_inactive_model_that_is_right_leaves_nothing_to_measure() {
    let (truth, p, golden) = cases().pop().unwrap();
    assert!(golden["value"].is_null());
    let options = ReportOptions::default().with_challenge(ChallengeWeights::seven());
    let report =
        Report::new(&LabelSet::seven(), truth.view(), p.view(), &[0.5; 7], &options).unwrap();
    assert!(report.undefined.iter().any(|own| own.score == "challenge_score"));
}

/// Returns NSR and two labels that the table treats as one.
fn joined() -> (LabelSet, ChallengeWeights) {
    let table = ",NSR,CRBBB|RBBB\nNSR,1,0.35\nCRBBB|RBBB,0.35,1\n";
    let labels = LabelSet::new(["NSR", "CRBBB", "RBBB"]).unwrap();
    (labels, ChallengeWeights::parse(table, "NSR").unwrap())
}

#[test]
fn joined_labels_count_as_one() {
    let (labels, weights) = joined();
    // Each is answered with the other's name, then with both: there is one true label and one answer throughout.
    let truth = array![[0u8, 1, 0], [0, 0, 1], [0, 1, 1]];
    let p = array![[0.1, 0.2, 0.9], [0.1, 0.9, 0.2], [0.1, 0.9, 0.3]];
    let own = weights.score(&labels, truth.view(), p.view(), &[0.5; 3]).unwrap();
    assert_eq!((own.value, own.observed, own.correct), (1.0, 3.0, 3.0));
    assert!((own.inactive - 3.0 * 0.35 / 2.0).abs() < 1e-15, "{own:?}");
    // The normal label may also be one of several that are joined.
    let weights = ChallengeWeights::new(
        &LabelSet::new(["CRBBB|RBBB", "NSR"]).unwrap(),
        array![[1.0, 0.35], [0.35, 1.0]].view(),
        "RBBB",
    );
    let own = weights.unwrap().score(&labels, truth.view(), p.view(), &[0.5; 3]).unwrap();
    assert!(own.value.is_nan() && own.inactive == 3.0, "{own:?}");
}

#[test]
fn thresholds_of_joined_labels() {
    let (labels, weights) = joined();
    // CRBBB alone finds all records of the two; RBBB is noise, and any answer of it is a mistake.
    let truth = array![[1u8, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 0, 0]];
    let p = array![
        [0.9, 0.2, 0.8],
        [0.8, 0.1, 0.3],
        [0.2, 0.7, 0.6],
        [0.3, 0.6, 0.1],
        [0.1, 0.8, 0.2],
        [0.7, 0.3, 0.9]
    ];
    let chosen = weights.choose_thresholds(&labels, truth.view(), p.view()).unwrap();
    let chosen: Vec<f64> = chosen.into_iter().map(Option::unwrap).collect();
    let score = |thresholds: &[f64]| {
        weights.score(&labels, truth.view(), p.view(), thresholds).unwrap().observed
    };
    // No answer is wrong: this is the largest possible score.
    assert_eq!(score(&chosen), 6.0, "{chosen:?}");
    assert!(score(&[0.5; 3]) < 6.0);
}

#[test]
fn a_label_that_no_record_has_gets_no_threshold() {
    let (labels, weights) =
        (LabelSet::new(["NSR", "AF", "SB"]).unwrap(), ChallengeWeights::seven());
    let mut truth = array![[1u8, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]];
    let p = array![[0.9, 0.1, 0.3], [0.2, 0.4, 0.9], [0.6, 0.2, 0.1], [0.3, 0.3, 0.2]];
    let choose = |truth: &Array2<u8>| weights.choose_thresholds(&labels, truth.view(), p.view());
    let chosen = choose(&truth).unwrap();
    assert_eq!(chosen[2], None);
    // The other thresholds are the same as without the label.
    let two = LabelSet::new(["NSR", "AF"]).unwrap();
    let columns = ndarray::s![.., ..2];
    let own = weights.choose_thresholds(&two, truth.slice(columns), p.slice(columns)).unwrap();
    assert!(own[..] == chosen[..2] && own.iter().all(Option::is_some), "{own:?} {chosen:?}");
    truth.fill(0);
    assert_eq!(choose(&truth).unwrap(), [None; 3]);
}

#[test]
fn tables_of_weights() {
    let labels = LabelSet::new(["RBBB", "NSR"]).unwrap();
    let (truth, p) = (array![[1u8, 0]], array![[0.9, 0.1]]);
    let table =
        "\u{feff},NSR,AFL,CRBBB|RBBB\r\nNSR,1,.2,.35\r\nAFL,.2,1,.4\r\nCRBBB|RBBB,.35,.4,1\r\n";
    let own = ChallengeWeights::parse(table, "NSR").unwrap().with_description("of 2021");
    assert_eq!((own.weight("NSR", "RBBB"), own.normal()), (Ok(0.35), "NSR"));
    let score = own.score(&labels, truth.view(), p.view(), &[0.5; 2]).unwrap();
    assert_eq!((score.value, score.weights.as_str()), (1.0, "of 2021"));

    for (text, line, expected) in [
        ("", 1, "valid label names"),
        (",a,a\n", 1, "valid label names"),
        ("\n,a,a\n", 2, "valid label names"),
        (",a,b\nb,1,2\n", 2, "the row for a"),
        (",a,b\na,1\n", 2, "2 weights"),
        (",a,b\na,1,x\n", 2, "a number"),
        (",a,b\na,1,nan\n", 2, "a number"),
        (",a,b\na,1,2\n", 3, "the row for b"),
        (",a\na,1\nb,1\n", 3, "no more rows"),
    ] {
        let error = ChallengeWeights::parse(text, "a").unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("line {line} of")) && error.contains(expected),
            "{error}"
        );
    }
    let twice = ChallengeWeights::parse(",A|B,B|C\nA|B,1,0\nB|C,0,1\n", "A").unwrap_err();
    assert_eq!(twice.to_string(), "label B appears twice in the weights");
    let unknown = ChallengeWeights::parse(",a\na,1\n", "b").unwrap_err();
    assert!(matches!(unknown, MetricsError::UnknownLabel { .. }));
    let square = ChallengeWeights::new(&labels, array![[1.0, 0.0]].view(), "NSR").unwrap_err();
    assert!(matches!(square, MetricsError::LabelCount { what: "weights", .. }));
    let nan = array![[1.0, f64::NAN], [0.0, 1.0]];
    let nan = ChallengeWeights::new(&labels, nan.view(), "NSR").unwrap_err();
    assert!(matches!(nan, MetricsError::Weight { .. }));
    // The labels must have weights, and the normal label must be among them.
    let score = |labels: [&str; 2]| {
        let labels = LabelSet::new(labels).unwrap();
        own.score(&labels, truth.view(), p.view(), &[0.5; 2]).unwrap_err()
    };
    assert!(
        matches!(score(["NSR", "SB"]), MetricsError::UnknownLabel { found, .. } if found == "SB")
    );
    assert!(
        matches!(score(["AFL", "RBBB"]), MetricsError::UnknownLabel { found, .. } if found == "NSR")
    );
}
