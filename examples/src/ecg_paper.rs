//! The 12-lead ECG as clinicians print it, as one SVG picture.
//!
//! The paper has squares of 1 mm and 5 mm; the scale is 25 mm/s and 10 mm/mV. Three rows of four leads, 2.5 s
//! each, stand above ten seconds of lead II. The user unit is the millimetre. In recordings of ten seconds or
//! more, the four columns follow one another in time, as on a recorder; in shorter ones, every column starts at
//! the first sample.

use std::fmt::Write;

use ecg_core::{Lead, Recording};

use crate::chart::{AGAINST, FOR, polyline, signed};

/// Millimetres of paper per second.
const MM_PER_S: f64 = 25.0;
/// Millimetres of paper per millivolt.
const MM_PER_MV: f64 = 10.0;
/// Millimetres between the baselines of two rows.
const ROW_MM: f64 = 30.0;
/// Room above the first row, for tall R waves.
const TOP_MM: f64 = 15.0;
/// Room for the calibration pulse, left of the first column.
const LEFT_MM: f64 = 15.0;
/// Seconds of each lead in the three upper rows.
const COLUMN_S: f64 = 2.5;
/// Seconds of the rhythm strip.
const STRIP_S: f64 = 10.0;

/// The leads in the rows above the rhythm strip, in the order of the printed page.
const LAYOUT: [[Lead; 4]; 3] = [
    [Lead::I, Lead::AVR, Lead::V1, Lead::V4],
    [Lead::II, Lead::AVL, Lead::V2, Lead::V5],
    [Lead::III, Lead::AVF, Lead::V3, Lead::V6],
];

/// Draws a recording. Leads that it lacks stay empty.
///
/// `shares` tints the background of each lead by its share in a decision, in the order of
/// [`Lead::STANDARD_12`]. The largest magnitude gets the full tint; positive values are [`FOR`], negative ones
/// [`AGAINST`].
pub fn ecg_svg(recording: &Recording, shares: Option<&[f64; 12]>) -> String {
    let width = LEFT_MM + STRIP_S * MM_PER_S + 5.0;
    let height = TOP_MM + 4.0 * ROW_MM + 5.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}mm\" \
         height=\"{height}mm\" font-family=\"sans-serif\" role=\"img\"><title>12-lead ECG</title>\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fffafa\"/>"
    );
    grid(&mut svg, width, height);
    let paged = recording.duration_s() >= STRIP_S;
    let peak = shares.map_or(0.0, |shares| shares.iter().fold(0.0_f64, |a, b| a.max(b.abs())));
    for (row, leads) in LAYOUT.iter().enumerate() {
        let y = (row as f64 + 0.5) * ROW_MM + TOP_MM;
        calibration(&mut svg, y);
        for (column, &lead) in leads.iter().enumerate() {
            let x = LEFT_MM + column as f64 * COLUMN_S * MM_PER_S;
            if let Some(shares) = shares
                && peak > 0.0
            {
                let size = (COLUMN_S * MM_PER_S, ROW_MM);
                tint(&mut svg, shares[lead.index()] / peak, (x, y - ROW_MM / 2.0), size);
            }
            let start_s = if paged { column as f64 * COLUMN_S } else { 0.0 };
            let end_s = start_s + COLUMN_S;
            trace(&mut svg, recording, lead, (x, y), (start_s, end_s), MM_PER_S);
            if column > 0 {
                let _ = write!(
                    svg,
                    "<path d=\"M{x} {}v6\" stroke=\"#333\" stroke-width=\".3\"/>",
                    y - 3.0
                );
            }
        }
    }
    let y = 3.5 * ROW_MM + TOP_MM;
    calibration(&mut svg, y);
    trace(&mut svg, recording, Lead::II, (LEFT_MM, y), (0.0, STRIP_S), MM_PER_S);
    if peak > 0.0 {
        legend(&mut svg, LEFT_MM, height - 1.5, peak);
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" font-size=\"3.2\" text-anchor=\"end\">25 mm/s  10 mm/mV</text></svg>",
        width - 2.0,
        height - 1.5
    );
    svg
}

pub(crate) fn grid(svg: &mut String, width: f64, height: f64) {
    for (step, colour, stroke) in [(1, "#f6c9c9", 0.08), (5, "#e89a9a", 0.18)] {
        let mut path = String::new();
        for x in (0..=width as usize).step_by(step) {
            let _ = write!(path, "M{x} 0V{height}");
        }
        for y in (0..=height as usize).step_by(step) {
            let _ = write!(path, "M0 {y}H{width}");
        }
        let _ = write!(
            svg,
            "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"{stroke}\" fill=\"none\"/>"
        );
    }
}

/// Opacity of the full tint, chosen so that the trace and the paper stay visible.
const TINT: f64 = 0.45;

/// Tints a part of the paper for a share of -1 to 1.
pub(crate) fn tint(svg: &mut String, share: f64, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let colour = if share >= 0.0 { FOR } else { AGAINST };
    let _ = write!(
        svg,
        "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height}\" fill=\"{colour}\" opacity=\"{:.3}\"/>",
        TINT * share.abs()
    );
}

/// Draws what the tints mean; `peak` is the value of the full tint.
pub(crate) fn legend(svg: &mut String, x: f64, y: f64, peak: f64) {
    for (k, (colour, what)) in
        [(FOR, "speaks for the label"), (AGAINST, "against it")].iter().enumerate()
    {
        let x = x + 45.0 * k as f64;
        let _ = write!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"4\" height=\"3\" fill=\"{colour}\" opacity=\"{TINT}\"/>\
             <text x=\"{}\" y=\"{y}\" font-size=\"3.2\">{what}</text>",
            y - 2.6,
            x + 5.5
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{y}\" font-size=\"3.2\">full tint: {}</text>",
        x + 80.0,
        signed(peak).trim_start_matches('+')
    );
}

/// Draws the pulse of 1 mV and 0.2 s that shows the scale.
fn calibration(svg: &mut String, y: f64) {
    let _ = write!(
        svg,
        "<path d=\"M5 {y}h1.5v-{MM_PER_MV}h{}v{MM_PER_MV}h1.5\" stroke=\"#000\" stroke-width=\".3\" fill=\"none\"/>",
        0.2 * MM_PER_S
    );
}

/// Draws one lead between two times. Its baseline starts at `(x, y)`, its name stands above the beginning, and
/// missing samples leave gaps.
pub(crate) fn trace(
    svg: &mut String,
    recording: &Recording,
    lead: Lead,
    (x, y): (f64, f64),
    (start_s, end_s): (f64, f64),
    mm_per_s: f64,
) {
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" font-size=\"4\" font-weight=\"bold\">{lead}</text>",
        x + 1.5,
        y - 9.0
    );
    let Some(row) = recording.row_of(lead) else { return };
    let hz = recording.sampling_rate.hz();
    let first = (start_s * hz).round() as usize;
    let last = ((end_s * hz).round() as usize).min(recording.n_samples());
    let point = |t: usize| {
        let mv = recording.signal[[row, t]];
        (x + (t - first) as f64 / hz * mm_per_s, y - mv * MM_PER_MV)
    };
    let path = polyline((first..last).map(point), 2);
    if !path.is_empty() {
        let _ = write!(
            svg,
            "<path d=\"{path}\" stroke=\"#111\" stroke-width=\".25\" stroke-linejoin=\"round\" fill=\"none\"/>"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg_core::SamplingRate;
    use ndarray::Array2;

    fn recording(seconds: usize) -> Recording {
        let signal = Array2::from_shape_fn((12, 100 * seconds), |(lead, t)| {
            if t == 50 { f64::NAN } else { lead as f64 / 10.0 }
        });
        let rate = SamplingRate::new(100.0).expect("a rate");
        Recording::new("r", rate, Lead::STANDARD_12, signal).expect("twelve leads")
    }

    #[test]
    fn every_lead_is_named_and_gaps_are_left() {
        let svg = ecg_svg(&recording(10), None);
        for lead in Lead::STANDARD_12 {
            assert!(svg.contains(&format!(">{lead}</text>")), "{lead}");
        }
        assert!(!svg.contains("NaN"));
        // Lead V6 is at 1.1 mV, that is, 11 mm above its baseline at 90 mm.
        assert!(svg.contains("202.50 79.00"), "V6 starts at its column, 11 mm up");
    }

    #[test]
    fn short_recordings_and_missing_leads_are_drawn() {
        let mut short = recording(1);
        short.leads[11] = "X".into();
        let svg =
            ecg_svg(&short, Some(&[-1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        assert!(svg.contains(FOR) && svg.contains(AGAINST));
        assert!(ecg_svg(&recording(10), Some(&[0.0; 12])).contains("</svg>"));
    }
}
