//! The twelve leads one below the other, shaded in time by the contribution of each segment to a decision.

use std::fmt::Write;

use ecg_core::{Lead, Recording};

use crate::ecg_paper::{grid, legend, tint, trace};

/// Millimetres of paper for the time shown, however long it is.
const WIDTH_MM: f64 = 250.0;
/// Millimetres of paper for each lead.
const ROW_MM: f64 = 20.0;
const LEFT_MM: f64 = 5.0;
const TOP_MM: f64 = 10.0;
/// Millimetres of paper for each letter of a border's time: 9 mm for `10.0 s`.
const LETTER_MM: f64 = 1.5;

/// The contribution of each segment of each lead.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentShares {
    /// Start times of the segments, in seconds from the start of the recording, followed by the end of the last
    /// one.
    pub borders_s: Vec<f64>,
    /// Leads by name, with the value of each segment. Leads that are not listed stay white.
    pub leads: Vec<(String, Vec<f64>)>,
}

/// Formats times in seconds, with as many decimals as they need: at least one, at most three.
pub fn times(seconds: &[f64]) -> Vec<String> {
    let needs = |own: &f64| {
        let is_whole = |scale: f64| (own * scale - (own * scale).round()).abs() < 1e-6 * scale;
        if is_whole(10.0) {
            1
        } else if is_whole(100.0) {
            2
        } else {
            3
        }
    };
    let decimals = seconds.iter().map(needs).max().unwrap_or(1);
    seconds.iter().map(|own| format!("{own:.decimals$} s")).collect()
}

/// Draws a recording from the first border to the last. Leads that it lacks stay empty.
///
/// The largest magnitude gets the full tint, in the colours of [`ecg_svg`](crate::ecg_paper::ecg_svg). The user
/// unit is the millimetre; 10 mm are 1 mV, and the scale of time stands at the bottom. The time of a border is
/// left out if it would run into the one before.
pub fn ecg_segments_svg(recording: &Recording, shares: &SegmentShares) -> String {
    let width = LEFT_MM + WIDTH_MM + 5.0;
    let height = TOP_MM + 12.0 * ROW_MM + 8.0;
    let (start_s, end_s) = match shares.borders_s.as_slice() {
        [first, .., last] => (*first, *last),
        _ => (0.0, recording.duration_s()),
    };
    let mm_per_s = WIDTH_MM / (end_s - start_s).max(f64::MIN_POSITIVE);
    let x_of = |seconds: f64| LEFT_MM + (seconds - start_s) * mm_per_s;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}mm\" \
         height=\"{height}mm\" font-family=\"sans-serif\" role=\"img\"><title>12-lead ECG with segments</title>\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fffafa\"/>"
    );
    grid(&mut svg, width, height);
    let values = || shares.leads.iter().flat_map(|(_, values)| values);
    let peak = values().fold(0.0_f64, |peak, value| peak.max(value.abs()));
    for (row, lead) in Lead::STANDARD_12.into_iter().enumerate() {
        let top = TOP_MM + row as f64 * ROW_MM;
        let own = shares.leads.iter().find(|(name, _)| name == lead.name());
        let spans = shares.borders_s.windows(2);
        for (value, span) in own.iter().flat_map(|(_, values)| values).zip(spans) {
            let (from, to) = (x_of(span[0]), x_of(span[1]));
            if peak > 0.0 {
                tint(&mut svg, value / peak, (from, top), (to - from, ROW_MM));
            }
        }
        let place = (LEFT_MM, top + 0.6 * ROW_MM);
        trace(&mut svg, recording, lead, place, (start_s, end_s), mm_per_s);
        let _ = write!(
            svg,
            "<path d=\"M{LEFT_MM} {top}h{WIDTH_MM}\" stroke=\"#fff\" stroke-width=\".4\"/>"
        );
    }
    let mut last_label = f64::NEG_INFINITY;
    for (border, text) in shares.borders_s.iter().zip(times(&shares.borders_s)) {
        let x = x_of(*border);
        let _ = write!(
            svg,
            "<path d=\"M{x:.2} {TOP_MM}v{}\" stroke=\"#555\" stroke-width=\".2\" stroke-dasharray=\"1 1\"/>",
            12.0 * ROW_MM
        );
        // A label that would run into the one before is left out.
        if x - last_label >= LETTER_MM * text.len() as f64 {
            last_label = x;
            let _ = write!(
                svg,
                "<text x=\"{x:.2}\" y=\"{}\" font-size=\"3\" text-anchor=\"middle\">{text}</text>",
                TOP_MM - 2.0
            );
        }
    }
    legend(&mut svg, LEFT_MM, height - 2.0, peak);
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" font-size=\"3.2\" text-anchor=\"end\">{mm_per_s:.1} mm/s  10 mm/mV</text></svg>",
        width - 2.0,
        height - 2.0
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{AGAINST, FOR};
    use ecg_core::SamplingRate;
    use ndarray::Array2;

    #[test]
    fn segments_are_tinted_where_they_are() {
        let rate = SamplingRate::new(100.0).expect("a rate");
        let recording = Recording::new("r", rate, Lead::STANDARD_12, Array2::zeros((12, 200)));
        let shares = SegmentShares {
            borders_s: vec![0.0, 0.5, 2.0],
            leads: vec![("II".into(), vec![1.0, -0.5]), ("V9".into(), vec![9.0, 9.0])],
        };
        let svg = ecg_segments_svg(&recording.expect("twelve leads"), &shares);
        // A quarter and three quarters of 250 mm, in the second row. V9 has no row, but it sets the scale.
        assert!(svg.contains(&format!(
            "<rect x=\"5.00\" y=\"30.00\" width=\"62.50\" height=\"20\" fill=\"{FOR}\" opacity=\"0.050\"/>"
        )));
        assert!(svg.contains(&format!(
            "<rect x=\"67.50\" y=\"30.00\" width=\"187.50\" height=\"20\" fill=\"{AGAINST}\" opacity=\"0.025\"/>"
        )));
        assert!(svg.contains("125.0 mm/s") && svg.contains(">0.5 s<") && !svg.contains("NaN"));
    }

    #[test]
    fn times_have_the_decimals_that_they_need() {
        assert_eq!(times(&[0.0, 1.25, 2.5]), ["0.00 s", "1.25 s", "2.50 s"]);
        assert_eq!(times(&[0.0, 5.0, 10.0]), ["0.0 s", "5.0 s", "10.0 s"]);
        assert_eq!(times(&[0.0, 10.0 / 3.0]), ["0.000 s", "3.333 s"]);
        assert_eq!(times(&[0.1 + 0.2]), ["0.3 s"]);
    }

    #[test]
    fn labels_of_borders_do_not_overlap() {
        let rate = SamplingRate::new(100.0).expect("a rate");
        let recording = Recording::new("r", rate, Lead::STANDARD_12, Array2::zeros((12, 1000)));
        let recording = recording.expect("twelve leads");
        let labels = |count: usize| {
            let borders_s = (0..=count).map(|k| 10.0 * k as f64 / count as f64).collect();
            let svg = ecg_segments_svg(&recording, &SegmentShares { borders_s, leads: vec![] });
            (svg.matches(" s</text>").count(), svg.matches("stroke-dasharray").count())
        };
        // 6.25 mm apart with 40 segments, 31.25 mm with 8.
        assert_eq!((labels(8), labels(40)), ((9, 9), (21, 41)));
    }
}
