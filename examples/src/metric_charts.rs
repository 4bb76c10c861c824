//! Pictures of a classifier's performance: which labels it confuses, and whether its probabilities can be
//! trusted.

use std::fmt::Write;

use ecg_metrics::{CrossTable, LabelCalibration, wilson};

use crate::chart::{escape, open};

/// A blue that colour-blind people can tell from white at every depth (Okabe and Ito).
const BLUE: [u8; 3] = [0x00, 0x72, 0xb2];

/// Draws the predicted labels (columns) for the records of each label (rows): shares by depth of colour, with
/// counts.
pub fn cross_table_svg(title: &str, table: &CrossTable) -> String {
    const CELL: (f64, f64) = (66.0, 42.0);
    let n = table.records.len();
    let longest = table.rows().map(|name| name.chars().count()).max().unwrap_or(0);
    let (left, top) = (86.0 + 7.5 * longest as f64, 92.0);
    let height = top + CELL.1 * n as f64 + 52.0;
    let mut svg = open(left + CELL.0 * n as f64 + 16.0, height, title);
    let middle = left + CELL.0 * n as f64 / 2.0;
    let _ = write!(
        svg,
        "<text x=\"{middle:.1}\" y=\"54\" text-anchor=\"middle\">predicted</text>\
         <text x=\"14\" y=\"{0:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {0:.1})\">true (records)</text>",
        top + CELL.1 * n as f64 / 2.0
    );
    for (k, name) in table.rows().enumerate() {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{} ({})</text>",
            left + CELL.0 * (k as f64 + 0.5),
            top - 10.0,
            escape(name),
            left - 8.0,
            top + CELL.1 * (k as f64 + 0.5) + 5.0,
            escape(name),
            table.records[k]
        );
    }
    for ((row, column), count) in table.counts.indexed_iter() {
        let (x, y) = (left + CELL.0 * column as f64, top + CELL.1 * row as f64);
        let share = table.share(row, column);
        let depth = if share.is_nan() { 0.0 } else { share };
        let [r, g, b] = BLUE.map(|full| 255.0 - (255.0 - f64::from(full)) * depth);
        // White has the better contrast only on nearly full blue.
        let ink = if depth > 0.95 { "#fff" } else { "#000" };
        let percent =
            if share.is_nan() { "-".to_owned() } else { format!("{:.0} %", share * 100.0) };
        let _ = write!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"rgb({r:.0},{g:.0},{b:.0})\" stroke=\"#bbb\"/>\
             <text x=\"{2:.1}\" y=\"{3:.1}\" text-anchor=\"middle\" fill=\"{ink}\">{percent}</text>\
             <text x=\"{2:.1}\" y=\"{4:.1}\" text-anchor=\"middle\" font-size=\"10\" fill=\"{ink}\">{count}</text>",
            CELL.0,
            CELL.1,
            x + CELL.0 / 2.0,
            y + 19.0,
            y + 34.0
        );
    }
    for k in 0..n {
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"none\" stroke=\"#000\" stroke-width=\"2\"/>",
            left + CELL.0 * k as f64,
            top + CELL.1 * k as f64,
            CELL.0,
            CELL.1
        );
    }
    let _ = write!(
        svg,
        "<text x=\"20\" y=\"{:.1}\" font-size=\"11\">Framed: the label found. Elsewhere: another label predicted that the \
         record does not have; \"none\": no label.</text></svg>",
        height - 20.0
    );
    svg
}

/// Side of a reliability panel, height of the strip of counts below it, size of a panel, and position of the
/// first one.
const SIDE: f64 = 180.0;
const STRIP: f64 = 36.0;
const PANEL: (f64, f64) = (SIDE + 44.0, SIDE + STRIP + 62.0);
const START: (f64, f64) = (54.0, 62.0);

/// Draws a panel for each label: the share of records with the label against the mean probability, over bins of
/// equal width, with Wilson's 95 % intervals and the number of records in each bin.
pub fn reliability_svg(title: &str, all: &[LabelCalibration]) -> String {
    let columns = all.len().clamp(1, 4);
    let rows = all.len().div_ceil(columns).max(1);
    let height = START.1 + PANEL.1 * rows as f64 + 16.0;
    let mut svg = open(START.0 + PANEL.0 * columns as f64, height, title);
    for (k, own) in all.iter().enumerate() {
        let x = START.0 + PANEL.0 * (k % columns) as f64;
        panel(&mut svg, (x, START.1 + PANEL.1 * (k / columns) as f64), own);
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">mean probability of a bin (below: its records, on a log scale)</text>\
         <text x=\"14\" y=\"{2:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {2:.1})\">share with the label</text></svg>",
        START.0 + PANEL.0 * columns as f64 / 2.0 - 22.0,
        height - 14.0,
        height / 2.0
    );
    svg
}

fn panel(svg: &mut String, (left, top): (f64, f64), own: &LabelCalibration) {
    let (px, py) = (|p: f64| left + p * SIDE, |share: f64| top + (1.0 - share) * SIDE);
    let curve = &own.equal_width;
    let ece = curve.expected_error();
    let _ = write!(
        svg,
        "<text x=\"{left:.1}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"11\">ECE {ece:.3}, {} of {}</text>",
        top - 7.0,
        escape(&own.label),
        left + SIDE,
        top - 7.0,
        own.positives,
        own.n
    );
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let _ = write!(
            svg,
            "<path d=\"M{0:.1} {top:.1}v{SIDE}M{left:.1} {1:.1}h{SIDE}\" stroke=\"#e4e4e4\"/>",
            px(tick),
            py(tick)
        );
        if tick != 0.25 && tick != 0.75 {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\">{tick}</text>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"11\">{tick}</text>",
                px(tick),
                top + SIDE + STRIP + 16.0,
                left - 5.0,
                py(tick) + 4.0
            );
        }
    }
    let _ = write!(
        svg,
        "<path d=\"M{left:.1} {:.1}L{:.1} {top:.1}\" stroke=\"#888\" stroke-dasharray=\"3 3\"/>",
        top + SIDE,
        left + SIDE
    );
    let floor = top + SIDE + STRIP;
    let most = curve.count.iter().copied().max().unwrap_or(1);
    let mut line = String::new();
    let mut marks = String::new();
    for (k, (&mean, &rate)) in curve.mean_probability.iter().zip(&curve.positive_rate).enumerate() {
        let (x, y) = (px(mean), py(rate));
        let [low, high] = wilson(curve.positives[k], curve.count[k], 0.95).map(py);
        let _ = write!(line, "{}{x:.1} {y:.1}", if k == 0 { 'M' } else { 'L' });
        let _ = write!(
            marks,
            "<path d=\"M{x:.1} {low:.1}V{high:.1}\" stroke=\"#0072b2\" stroke-width=\"1.2\"/>\
             <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\" fill=\"#d55e00\"/>"
        );
        let [from, to] = curve.limits[k].map(px);
        let tall = (STRIP - 6.0) * (curve.count[k] as f64).ln_1p() / (most as f64).ln_1p();
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"#999\"/>",
            from + 0.5,
            floor - tall,
            to - from - 1.0
        );
    }
    let _ = write!(
        svg,
        "<path d=\"{line}\" fill=\"none\" stroke=\"#0072b2\" stroke-width=\"1.6\"/>{marks}\
         <path d=\"M{left:.1} {top:.1}h{SIDE}v{0:.1}h-{SIDE}zM{left:.1} {1:.1}h{SIDE}\" fill=\"none\" stroke=\"#333\"/>",
        SIDE + STRIP,
        top + SIDE
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg_core::LabelSet;
    use ecg_metrics::{Report, ReportOptions, calibration};
    use ndarray::array;

    #[test]
    fn pictures_hold_every_label_and_no_nan() {
        let labels = LabelSet::new(["A & B", "never"]).expect("labels");
        let truth = array![[true, false], [false, false], [true, false]];
        let p = array![[0.9, 0.1], [0.6, 0.2], [0.2, 0.3]];
        let options = ReportOptions::default();
        let report = Report::new(&labels, truth.view(), p.view(), &[0.5; 2], &options);
        let table = cross_table_svg("what", &report.expect("valid").cross_table);
        let all = calibration(&labels, truth.view(), p.view()).expect("valid");
        let panels = reliability_svg("how", &all);
        for svg in [&table, &panels] {
            assert!(svg.contains("A &amp; B") && svg.contains("never") && svg.ends_with("</svg>"));
            assert!(!svg.contains("NaN"), "{svg}");
        }
        assert!(table.contains(">50 %<") && table.contains("A &amp; B (2)"), "{table}");
        assert!(table.contains(">-<"), "no record has the label: {table}");
        assert_eq!(panels.matches("<circle").count(), 6);
    }
}
