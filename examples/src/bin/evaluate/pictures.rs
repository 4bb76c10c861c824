//! The curves that are drawn.

use ecg_metrics::{Curves, LabelReport, Report};
use ecg3d_examples::chart::{LineChart, Series};

/// A name for the legend, with the number that belongs to its line.
fn named(label: &str, what: &str, value: f64) -> String {
    if value.is_nan() {
        format!("{label} (undefined)")
    } else {
        format!("{label} ({what} {value:.3})")
    }
}

fn chart(title: &str, x: &str, y: &str, diagonal: bool, series: Vec<Series>) -> LineChart {
    LineChart {
        title: title.to_owned(),
        x_label: x.to_owned(),
        y_label: y.to_owned(),
        x: (0.0, 1.0),
        y: (0.0, 1.0),
        diagonal,
        series,
    }
}

/// ROC curves of all labels.
pub fn roc(report: &Report, curves: &[Curves]) -> LineChart {
    let line = |(own, curve): (&LabelReport, &Curves)| Series {
        name: named(&own.label, "AUC", own.scores.roc_auc),
        points: zip(&curve.roc.false_positive_rate, &curve.roc.true_positive_rate),
    };
    let series = report.labels.iter().zip(curves).map(line).collect();
    chart("ROC curves", "1 - specificity", "sensitivity", true, series)
}

/// Precision against sensitivity of all labels.
pub fn precision_recall(report: &Report, curves: &[Curves]) -> LineChart {
    let line = |(own, curve): (&LabelReport, &Curves)| {
        let none = own.confusion.support() == 0;
        let curve = &curve.precision_recall;
        Series {
            name: named(
                &own.label,
                "AP",
                if none { f64::NAN } else { own.scores.average_precision },
            ),
            points: if none { Vec::new() } else { steps(&zip(&curve.recall, &curve.precision)) },
        }
    };
    let series = report.labels.iter().zip(curves).map(line).collect();
    chart("Precision against sensitivity", "sensitivity", "precision", false, series)
}

fn zip(x: &[f64], y: &[f64]) -> Vec<(f64, f64)> {
    x.iter().copied().zip(y.iter().copied()).collect()
}

/// Turns points into steps: precision does not change linearly between two thresholds, so each value holds
/// until the next lower sensitivity.
fn steps(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut out = Vec::with_capacity(2 * points.len());
    for &(x, y) in points {
        if let Some(&(_, before)) = out.last() {
            out.push((x, before));
        }
        out.push((x, y));
    }
    out
}
