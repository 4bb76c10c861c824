//! The networks side by side as bars: a row for each network, a panel for each metric.

use std::fmt::Write;

use ecg3d_examples::chart::{COLOURS, escape};
use ecg3d_models::{Architecture, Preset};

use crate::report::{Report, Row, Settings, rounded};

const PANEL: f64 = 150.0;
const GAP: f64 = 58.0;
const LINE: f64 = 22.0;
const TOP: f64 = 76.0;

/// A panel: its title in two lines, and the value that it shows for a network.
struct Panel {
    title: [&'static str; 2],
    value: fn(&Row) -> Option<f64>,
}

const PANELS: [Panel; 6] = [
    Panel { title: ["parameters,", "millions"], value: |row| Some(row.parameters as f64 / 1e6) },
    Panel {
        title: ["multiply-adds", "a window, billions"],
        value: |row| Some(row.macs as f64 / 1e9),
    },
    Panel {
        title: ["milliseconds a window,", "batch 1"],
        value: |row| row.measured.as_ref().map(|m| m.latency_ms.median),
    },
    Panel {
        title: ["windows a second,", "batch 32"],
        value: |row| row.measured.as_ref().map(|m| m.throughput),
    },
    Panel {
        title: ["peak memory, MB,", "batch 32"],
        value: |row| row.measured.as_ref().and_then(|m| m.peak_memory_batch_32_mb),
    },
    Panel {
        title: ["macro ROC-AUC,", "trained weights only"],
        value: |row| row.metrics.as_ref().map(|m| m.roc_auc),
    },
];

/// Draws the picture. Bars start at zero. Each panel has its own scale, and each bar shows its value.
pub fn svg(report: &Report) -> String {
    let shown: Vec<&Panel> = PANELS
        .iter()
        .filter(|panel| report.networks.iter().any(|row| finite(panel, row).is_some()))
        .collect();
    let longest = report.networks.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let left = 30.0 + 6.6 * longest as f64;
    let width = left + shown.len() as f64 * (PANEL + GAP);
    let height = TOP + LINE * report.networks.len() as f64 + 36.0;
    let Settings { device, precision, threads, .. } = &report.settings;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\"><title>Networks side by side</title>\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\">Networks side by side: {}, {precision}, {threads} threads</text>\n",
        escape(device)
    );
    for (k, panel) in shown.iter().enumerate() {
        let x = left + k as f64 * (PANEL + GAP);
        let values = report.networks.iter().filter_map(|row| finite(panel, row));
        let largest = values.fold(0.0, f64::max);
        let bottom = TOP + LINE * report.networks.len() as f64;
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\">{}</text><text x=\"{x:.1}\" y=\"{:.1}\">{}</text>\
             <path d=\"M{x:.1} {:.1}V{bottom:.1}\" stroke=\"#333\"/>",
            TOP - 25.0,
            panel.title[0],
            TOP - 10.0,
            panel.title[1],
            TOP - 3.0
        );
        for (line, row) in report.networks.iter().enumerate() {
            let y = TOP + LINE * line as f64;
            let (text, length) = match finite(panel, row) {
                Some(value) if largest > 0.0 => (rounded(value), PANEL * value / largest),
                Some(value) => (rounded(value), 0.0),
                None => ("-".to_owned(), 0.0),
            };
            // The published mode is the lighter one, and has a dashed edge.
            let (opacity, dash) = match row.mode {
                Preset::Published => ("0.45", "3 2"),
                Preset::Corrected => ("1", ""),
            };
            let colour = colour(row.architecture);
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{colour}\" fill-opacity=\"{opacity}\" \
                 stroke=\"{colour}\" stroke-dasharray=\"{dash}\"/><text x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                y + 2.0,
                LINE - 6.0,
                x + length + 5.0,
                y + 14.5
            );
        }
    }
    for (line, row) in report.networks.iter().enumerate() {
        let y = TOP + LINE * line as f64 + 14.5;
        let _ = writeln!(svg, "<text x=\"16\" y=\"{y:.1}\">{}</text>", escape(&row.name));
    }
    svg + "</svg>\n"
}

fn finite(panel: &Panel, row: &Row) -> Option<f64> {
    (panel.value)(row).filter(|value| value.is_finite())
}

fn colour(architecture: Architecture) -> &'static str {
    let place = Architecture::ALL.iter().position(|own| *own == architecture).unwrap_or(0);
    // Black is for text.
    COLOURS[1 + place % (COLOURS.len() - 1)]
}
