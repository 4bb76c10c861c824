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

/// The contribution of each segment of each lead.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentShares {
    /// Start times of the segments, in seconds from the start of the recording, followed by the end of the last
    /// one.
    pub borders_s: Vec<f64>,
    /// Leads by name, with the value of each segment. Leads that are not listed stay white.
    pub leads: Vec<(String, Vec<f64>)>,
}

/// Draws a recording from the first border to the last. Leads that it lacks stay empty.
///
/// The largest magnitude gets the full tint, in the colours of [`ecg_svg`](crate::ecg_paper::ecg_svg). The user
/// unit is the millimetre; 10 mm are 1 mV, and the scale of time stands at the bottom.
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
    for border in &shares.borders_s {
        let _ = write!(
            svg,
            "<path d=\"M{:.2} {TOP_MM}v{}\" stroke=\"#555\" stroke-width=\".2\" stroke-dasharray=\"1 1\"/>\
             <text x=\"{:.2}\" y=\"{}\" font-size=\"3\" text-anchor=\"middle\">{border:.1} s</text>",
            x_of(*border),
            12.0 * ROW_MM,
            x_of(*border),
            TOP_MM - 2.0
        );
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
}
