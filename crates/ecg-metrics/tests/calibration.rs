//! Calibration compared with scikit-learn and SciPy (`scripts/calibration.py`), and its properties.
#![allow(clippy::unwrap_used)]

use ecg_core::LabelSet;
use ecg_metrics::{
    Binning, CalibrationMethod, Calibrator, LabelCalibration, MetricsError, Reliability, Report,
    ReportOptions, Unfitted, calibration,
};
use ndarray::{Array2, array};
use proptest::prelude::*;
use serde_json::Value;

fn cases() -> serde_json::Map<String, Value> {
    let json: Value = serde_json::from_str(include_str!("data/calibration.json")).unwrap();
    json.as_object().unwrap().clone()
}

fn list(json: &Value) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{what}: {ours:?} {theirs:?}");
    }
}

fn one() -> LabelSet {
    LabelSet::new(["x"]).unwrap()
}

fn column(values: &[f64]) -> Array2<f64> {
    Array2::from_shape_vec((values.len(), 1), values.to_vec()).unwrap()
}

fn arrays(case: &Value) -> (Array2<u8>, Array2<f64>) {
    (column(&list(&case["truth"])).mapv(|v| v as u8), column(&list(&case["proba"])))
}

fn logit(p: f64) -> f64 {
    let p = p.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    (p / (1.0 - p)).ln()
}

fn logits(p: &Array2<f64>) -> Array2<f64> {
    p.mapv(logit)
}

#[test]
fn reliability_and_its_errors() {
    for (name, case) in cases() {
        let (truth, p) = arrays(&case);
        let own = &calibration(&one(), truth.view(), p.view()).unwrap()[0];
        let holds: Vec<bool> = truth.iter().map(|v| *v == 1).collect();
        let p = p.into_raw_vec_and_offset().0;
        for (strategy, curve) in [
            ("uniform", Reliability::new(&p, &holds, 10)),
            ("quantile", Reliability::binned(&p, &holds, Binning::EqualCount(10))),
        ] {
            let curve = curve.unwrap();
            let golden = &case["curves"][strategy];
            close(&name, &curve.positive_rate, &list(&golden[0]), 1e-14);
            close(&name, &curve.mean_probability, &list(&golden[1]), 1e-14);
        }
        for (binning, curve) in
            [("equal_width", &own.equal_width), ("equal_count", &own.equal_count)]
        {
            let ours = [curve.expected_error(), curve.max_error()];
            close(&format!("{name} {binning}"), &ours, &list(&case[binning]), 1e-14);
        }
        let options = ReportOptions::default();
        let p = column(&p);
        let report = Report::new(&one(), truth.view(), p.view(), &[0.5], &options).unwrap();
        let ece10 = report.labels[0].scores.ece10;
        assert!((own.equal_width.expected_error() - ece10).abs() < 1e-14, "{name}");
    }
}

#[test]
fn fits_are_the_exact_minima() {
    for (name, case) in cases() {
        let (truth, p) = arrays(&case);
        let own = &calibration(&one(), truth.view(), p.view()).unwrap()[0];
        // Roots of the same derivatives, found by other means. Around them, the loss is flat to 1e-16 of itself.
        close(&name, &[own.slope], &[case["slope"].as_f64().unwrap()], 1e-10);
        close(&name, &[own.intercept], &[case["intercept"].as_f64().unwrap()], 1e-10);
        for (method, exact, sklearn) in [
            (CalibrationMethod::Temperature, "temperature_slope", "sklearn_temperature_slope"),
            (CalibrationMethod::Platt, "platt", "sklearn_platt"),
        ] {
            let fit = Calibrator::fit(&one(), truth.view(), p.view(), method).unwrap();
            let scaling = &fit.labels()[0];
            let numbers = |key: &str| match &case[key] {
                Value::Array(_) => list(&case[key]),
                own => vec![own.as_f64().unwrap(), 0.0],
            };
            let ours = [scaling.slope, scaling.intercept];
            close(&format!("{name} {method}"), &ours, &numbers(exact), 1e-10);
            // scikit-learn's optimisers stop at about 1e-6.
            close(&format!("{name} {method}"), &ours, &numbers(sklearn), 1e-6);
            assert_eq!(scaling.unfitted, None);

            let of_logits =
                Calibrator::fit_logits(&one(), truth.view(), logits(&p).view(), method).unwrap();
            let of_logits = &of_logits.labels()[0];
            close(&name, &[of_logits.slope, of_logits.intercept], &ours, 1e-12);
        }
    }
}

#[test]
fn a_temperature_lowers_the_loss_it_reports() {
    for (name, case) in cases() {
        let (truth, p) = arrays(&case);
        let loss = |p: &Array2<f64>| {
            let options = ReportOptions::default();
            let report = Report::new(&one(), truth.view(), p.view(), &[0.5], &options).unwrap();
            report.labels[0].scores.log_loss
        };
        let fit = Calibrator::fit(&one(), truth.view(), p.view(), CalibrationMethod::Temperature)
            .unwrap();
        let [before, after] = fit.labels()[0].log_loss;
        let calibrated = fit.apply(&one(), p.view()).unwrap();
        assert!(after < before, "{name}");
        close(&name, &[loss(&p), loss(&calibrated)], &[before, after], 1e-13);
        let by_logits = fit.apply_logits(&one(), logits(&p).view()).unwrap();
        close(&name, by_logits.as_slice().unwrap(), calibrated.as_slice().unwrap(), 1e-15);
    }
}

#[test]
fn platt_scaling_repairs_intercept_and_slope() {
    let case = &cases()["blunt"];
    let (truth, p) = arrays(case);
    let fit = Calibrator::fit(&one(), truth.view(), p.view(), CalibrationMethod::Platt).unwrap();
    let after = fit.apply(&one(), p.view()).unwrap();
    let own = &calibration(&one(), truth.view(), after.view()).unwrap()[0];
    // Platt's targets are not quite 0 and 1, so the correction is not complete.
    assert!((own.slope - 1.0).abs() < 0.1 && own.intercept.abs() < 0.05, "{own:?}");
}

fn scaling(truth: &[u8], p: &[f64], method: CalibrationMethod) -> ecg_metrics::LabelScaling {
    let truth = Array2::from_shape_vec((truth.len(), 1), truth.to_vec()).unwrap();
    let fit = Calibrator::fit(&one(), truth.view(), column(p).view(), method).unwrap();
    fit.labels()[0].clone()
}

#[test]
fn labels_without_a_fit_stay_as_they_are() {
    use CalibrationMethod::{Platt, Temperature};
    for (truth, p, method, why) in [
        ([0, 0, 0], [0.1, 0.9, 0.3], Platt, Unfitted::NoPositive),
        ([1, 1, 1], [0.1, 0.9, 0.3], Temperature, Unfitted::NoNegative),
        ([1, 0, 1], [0.3, 0.3, 0.3], Platt, Unfitted::Constant),
        ([1, 0, 1], [0.3, 0.3, 0.3], Temperature, Unfitted::Constant),
        ([1, 0, 1], [0.8, 0.3, 0.5], Temperature, Unfitted::NoError),
        ([1, 0, 0], [0.2, 0.8, 0.4], Temperature, Unfitted::Reversed),
        ([1, 0, 0], [0.2, 0.8, 0.4], Platt, Unfitted::Reversed),
    ] {
        let own = scaling(&truth, &p, method);
        assert_eq!((own.unfitted, own.slope, own.intercept), (Some(why), 1.0, 0.0));
        assert_eq!(own.log_loss[0], own.log_loss[1]);
        assert!([0.0, 0.1234, 1.0].iter().all(|p| own.apply(*p) == *p));
    }
    // Logits whose spread is too large for the number type.
    let (truth, huge) = (array![[0u8], [1]], array![[-1e300], [1e300]]);
    let fit = Calibrator::fit_logits(&one(), truth.view(), huge.view(), Platt).unwrap();
    assert_eq!(fit.labels()[0].unfitted, Some(Unfitted::NotFound));
    // With Platt's targets there is a minimum even if the classes do not overlap.
    assert_eq!(scaling(&[1, 0, 1], &[0.8, 0.3, 0.5], Platt).unfitted, None);
    // Probabilities of 0 and 1, one of them wrong.
    let sure = scaling(&[1, 0, 1, 0, 0], &[1.0, 0.0, 1.0, 1.0, 0.0], Temperature);
    assert!(sure.unfitted.is_none() && sure.apply(1.0) < 0.9, "{sure:?}");
}

#[test]
fn measures_without_a_value() {
    let of = |truth: Array2<u8>, p: Array2<f64>| -> LabelCalibration {
        calibration(&one(), truth.view(), p.view()).unwrap().remove(0)
    };
    let apart = of(array![[0], [0], [1]], array![[0.1], [0.4], [0.4]]);
    assert!(apart.slope.is_nan() && apart.intercept.is_finite());
    // Ten negatives and a positive that share one logit, although their probabilities differ.
    let mut p = vec![1e-20, 1e-30, 1e-20, 1e-30, 1e-20, 1e-30, 1e-20, 1e-30, 1e-20, 1e-30];
    p.extend([1e-25, 0.8, 0.9, 0.95]);
    let truth = Array2::from_shape_fn((14, 1), |(n, _)| u8::from(n >= 10));
    let saturated = of(truth, column(&p));
    assert!(saturated.slope.is_nan() && saturated.intercept.is_finite(), "{saturated:?}");
    let none = of(array![[0], [0]], array![[0.1], [0.4]]);
    assert!(none.slope.is_nan() && none.intercept.is_nan());
    assert_eq!((none.mean_probability, none.prevalence()), (0.25, 0.0));
    let json = serde_json::to_value(&none).unwrap();
    assert!(json["slope"].is_null() && json["mce10_equal_width"] == 0.4, "{json}");
    assert_eq!(json["equal_width"]["limits"][0], serde_json::json!([0.1, 0.2]));
}

#[test]
fn a_report_shows_its_calibration() {
    let (truth, p) = arrays(&cases()["sharp"]);
    let report = |truth: &Array2<u8>, p: &Array2<f64>| {
        let options = ReportOptions::default();
        Report::new(&one(), truth.view(), p.view(), &[0.5], &options).unwrap()
    };
    let own = calibration(&one(), truth.view(), p.view()).unwrap();
    let shown = format!("| x | {:.3} |", own[0].mean_probability);
    let with = report(&truth, &p).with_calibration(own.clone()).unwrap();
    assert!(with.to_markdown().contains(&shown), "{}", with.to_markdown());
    let json = serde_json::to_value(&with).unwrap();
    assert_eq!(json["calibration"]["x"]["slope"], own[0].slope);
    assert!(serde_json::to_value(report(&truth, &p)).unwrap().get("calibration").is_none());
    let (fewer, p) = (truth.slice(ndarray::s![..9, ..]), p.slice(ndarray::s![..9, ..]));
    let fewer = report(&fewer.to_owned(), &p.to_owned());
    assert!(matches!(fewer.with_calibration(own), Err(MetricsError::RowCount { .. })));

    let (truth, p) = (array![[1u8, 0], [0, 1]], array![[0.9, 0.2], [0.3, 0.4]]);
    let labels = LabelSet::new(["a", "b"]).unwrap();
    let own = calibration(&labels, truth.view(), p.view()).unwrap();
    for order in [[1, 0], [0, 0]] {
        let options = ReportOptions::default();
        let report = Report::new(&labels, truth.view(), p.view(), &[0.5; 2], &options).unwrap();
        let error = report.with_calibration(order.map(|k| own[k].clone()).into()).unwrap_err();
        assert!(matches!(error, MetricsError::OtherLabels { what: "calibration", .. }), "{error}");
    }
}

#[test]
fn bad_input_is_refused() {
    let labels = LabelSet::new(["a", "b"]).unwrap();
    let (truth, p) = (array![[1u8, 0], [0, 1]], array![[0.9, 0.2], [0.3, 0.4]]);
    let method = CalibrationMethod::Platt;
    let fit = Calibrator::fit(&labels, truth.view(), p.view(), method).unwrap();
    let other = LabelSet::new(["b", "c"]).unwrap();
    let error = fit.apply(&other, p.view()).unwrap_err();
    assert_eq!(error.to_string(), "unknown label \"c\"; the labels are a,b");
    let turned = LabelSet::new(["b", "a"]).unwrap();
    let by_name = fit.apply(&turned, array![[0.2, 0.9]].view()).unwrap();
    assert_eq!(by_name[[0, 1]], fit.apply(&labels, p.view()).unwrap()[[0, 0]]);
    for bad in [f64::NAN, -0.1, 1.1] {
        let mut p = p.clone();
        p[[1, 0]] = bad;
        let error = fit.apply(&labels, p.view()).unwrap_err();
        assert!(matches!(error, MetricsError::Probability { row: 1, .. }), "{error}");
        assert!(Calibrator::fit(&labels, truth.view(), p.view(), method).is_err());
    }
    let infinite = array![[0.0, 1.0], [f64::INFINITY, 2.0]];
    for error in [
        fit.apply_logits(&labels, infinite.view()).unwrap_err(),
        Calibrator::fit_logits(&labels, truth.view(), infinite.view(), method).unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "row 1 (from 0), label a: the logit inf is not finite");
    }
    let narrow = array![[0.1]];
    for (what, error) in [
        ("probabilities", fit.apply(&labels, narrow.view()).unwrap_err()),
        ("logits", fit.apply_logits(&labels, narrow.view()).unwrap_err()),
        (
            "logits",
            Calibrator::fit_logits(&labels, truth.view(), narrow.view(), method).unwrap_err(),
        ),
    ] {
        assert_eq!(error, MetricsError::LabelCount { what, expected: 2, found: 1 });
    }
    let short = array![[0.1, 0.2]];
    let error = Calibrator::fit_logits(&labels, truth.view(), short.view(), method).unwrap_err();
    assert_eq!(error.to_string(), "the truth has 2 rows, but the logits have 1");
    assert!("isotonic".parse::<CalibrationMethod>().is_err());
}

#[test]
fn what_is_stored_is_checked() {
    let (truth, p) = arrays(&cases()["ties"]);
    let fit =
        Calibrator::fit(&one(), truth.view(), p.view(), CalibrationMethod::Temperature).unwrap();
    let json = serde_json::to_value(&fit).unwrap();
    assert_eq!(serde_json::from_value::<Calibrator>(json.clone()).unwrap(), fit);
    for (path, bad) in [("slope", -1.0), ("slope", 0.0), ("intercept", 0.5)] {
        let mut json = json.clone();
        json["labels"][0][path] = bad.into();
        let error = serde_json::from_value::<Calibrator>(json).unwrap_err().to_string();
        assert!(error.contains("calibrator of label x"), "{error}");
    }
    let mut twice = json.clone();
    let again = twice["labels"][0].clone();
    twice["labels"].as_array_mut().unwrap().push(again);
    assert!(serde_json::from_value::<Calibrator>(twice).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No scaling near the fit has a smaller loss, and the order of the records is not reversed. Records whose
    /// probabilities differ clearly stay apart, unless rounding to 0 or 1 makes them equal.
    #[test]
    fn a_fit_is_a_minimum(
        rows in prop::collection::vec((0.0..=1.0, any::<bool>()), 4..60),
        platt in any::<bool>(),
        by in prop::array::uniform2(-0.01..0.01),
    ) {
        let truth: Vec<u8> = rows.iter().map(|row| u8::from(row.1)).collect();
        let p: Vec<f64> = rows.iter().map(|row| row.0).collect();
        let method =
            if platt { CalibrationMethod::Platt } else { CalibrationMethod::Temperature };
        let own = scaling(&truth, &p, method);
        let positives = truth.iter().filter(|v| **v == 1).count() as f64;
        let negatives = truth.len() as f64 - positives;
        let loss = |slope: f64, intercept: f64| -> f64 {
            p.iter().zip(&truth).map(|(p, t)| {
                let target = match (platt, *t) {
                    (true, 1) => (positives + 1.0) / (positives + 2.0),
                    (true, _) => 1.0 / (negatives + 2.0),
                    (false, t) => f64::from(t),
                };
                let u = slope * logit(*p) + intercept;
                u.max(0.0) + (-u.abs()).exp().ln_1p() - target * u
            }).sum()
        };
        if own.unfitted.is_none() {
            let moved = if platt { own.intercept + by[1] } else { 0.0 };
            let best = loss(own.slope, own.intercept);
            prop_assert!(best <= loss(own.slope * (1.0 + by[0]), moved) + 1e-12 * best);
        }
        let mut sorted = p.clone();
        sorted.sort_by(f64::total_cmp);
        let inside = |p: f64| (1e-6..=1.0 - 1e-6).contains(&p);
        for pair in sorted.windows(2) {
            let [low, high] = [own.apply(pair[0]), own.apply(pair[1])];
            prop_assert!(low <= high);
            let step = own.slope * (logit(pair[1]) - logit(pair[0]));
            let clear = pair[1] - pair[0] > 1e-6 && step > 1e-6;
            if clear && [pair[0], pair[1], low, high].into_iter().all(inside) {
                prop_assert!(low < high, "{pair:?} becomes {low} and {high}");
            }
        }
        prop_assert!(sorted.iter().all(|p| (0.0..=1.0).contains(&own.apply(*p))));
    }
}
