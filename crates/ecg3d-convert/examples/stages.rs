//! Draws `docs/stages.svg`: the stages of a conversion, with the results for a made-up recording. In the recurrence
//! plot and the volume, time runs from the left and from the bottom.
//!
//! ```text
//! cargo run -p ecg3d-convert --example stages > crates/ecg3d-convert/docs/stages.svg
//! ```

use std::fmt::Write as _;

use ecg_core::{Lead, Recording, SamplingRate};
use ecg3d_convert::{ConvertConfig, ConvertPlan, RecurrencePlot};
use ndarray::{Array2, ArrayView2, s};

/// Colours from small to large values, which colour-blind people can distinguish by lightness.
const COLOURS: [&str; 8] =
    ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725"];
/// Side length of a picture.
const SIDE: f64 = 132.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let recording = recording()?;
    let plan = ConvertPlan::new(ConvertConfig::corrected(), recording.sampling_rate)?;
    let prepared = plan.prepare(&recording)?;
    let window = prepared.signal.slice(s![.., ..100]);
    let plot = RecurrencePlot::new(2, 1)?.of(&window.row(6).to_vec())?;
    let volume = plan.image_plan().volume_of_window(window)?;

    let mut svg = String::from(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 830 216" font-family="sans-serif" font-size="12" role="img">"#,
    );
    svg += "<title>The stages of a conversion</title>";
    svg += r##"<rect width="830" height="216" fill="#fff"/>"##;
    let first = recording.signal.slice(s![.., ..1000]).mapv(|value| value as f32);
    leads(&mut svg, 10.0, first.view(), 8)?;
    leads(&mut svg, 205.0, window, 1)?;
    for back in (0..4).rev() {
        let shift = 8.0 * f64::from(back);
        let transform = format!("translate({} {})", 400.0 + shift, 60.0 - shift);
        match back {
            0 => face(&mut svg, plot.slice(s![..;-1, ..]), 3, &transform)?,
            _ => write!(
                svg,
                r#"<rect width="{SIDE}" height="{SIDE}" fill="{}" transform="{transform}" stroke="white"/>"#,
                COLOURS[1]
            )?,
        }
    }
    // A block seen from above, right and front: the last lead is in front.
    face(&mut svg, volume.slice(s![44, ..;-1, ..]), 2, "translate(640 60)")?;
    face(&mut svg, volume.slice(s![..;-1, 44, ..]), 2, "matrix(1 0 0.3 -0.3 640 60)")?;
    face(
        &mut svg,
        volume.slice(s![..;-1, ..;-1, 44]).reversed_axes(),
        2,
        "matrix(0.3 -0.3 0 1 772 60)",
    )?;
    for (x, title, shape) in [
        (76.0, "recording", "[12, 5000] at 500 Hz"),
        (271.0, "prepared", "[12, 100] at 50 Hz"),
        (480.0, "recurrence plots", "[12, 99, 99]"),
        (722.0, "volume", "[45, 45, 45]"),
    ] {
        write!(
            svg,
            r#"<text x="{x}" y="14" text-anchor="middle" font-weight="bold">{title}</text>"#
        )?;
        write!(svg, r##"<text x="{x}" y="209" text-anchor="middle" fill="#555">{shape}</text>"##)?;
    }
    for (x, label) in [(174.0, "filter,"), (366.0, "distances"), (600.0, "zoom")] {
        write!(
            svg,
            r##"<path d="M{} 122h26m-6-5l6 5l-6 5" fill="none" stroke="#333"/>"##,
            x - 13.0
        )?;
        write!(svg, r#"<text x="{x}" y="108" text-anchor="middle" font-size="10">{label}</text>"#)?;
    }
    svg += r#"<text x="174" y="140" text-anchor="middle" font-size="10">resample</text></svg>"#;
    println!("{svg}");
    Ok(())
}

/// Returns ten seconds of a signal that resembles heartbeats.
fn recording() -> Result<Recording, Box<dyn std::error::Error>> {
    let wave = |t: f64, at: f64, width: f64| (-((t - at) / width).powi(2)).exp();
    let signal = Array2::from_shape_fn((12, 5000), |(lead, k)| {
        let t = (k as f64 / 500.0 + 0.4) % 0.85;
        let turned = if [3, 6, 7].contains(&lead) { -1.0 } else { 1.0 };
        let beat = 0.15 * wave(t, 0.2, 0.03) - 0.15 * wave(t, 0.36, 0.01)
            + (0.7 + 0.1 * lead as f64) * wave(t, 0.38, 0.012)
            - 0.2 * wave(t, 0.41, 0.012)
            + 0.3 * wave(t, 0.62, 0.05);
        turned * beat + 0.05 * (k as f64 / 700.0 + lead as f64).sin()
    });
    Ok(Recording::new("made up", SamplingRate::new(500.0)?, Lead::STANDARD_12, signal)?)
}

/// Draws leads `[lead, sample]` one above the other, using every `step`-th sample.
fn leads(svg: &mut String, x: f64, rows: ArrayView2<'_, f32>, step: usize) -> std::fmt::Result {
    write!(svg, r##"<g fill="none" stroke="#222" transform="translate({x} 30)">"##)?;
    for (lead, row) in rows.rows().into_iter().enumerate() {
        svg.push_str(r#"<path d=""#);
        for (k, value) in row.iter().enumerate().step_by(step) {
            let px = k as f64 / row.len() as f64 * SIDE;
            let py = 13.0 * lead as f64 + 9.0 - 8.0 * f64::from(*value);
            write!(svg, "{}{px:.0} {py:.1}", if k == 0 { 'M' } else { 'L' })?;
        }
        svg.push_str(r#""/>"#);
    }
    svg.push_str("</g>");
    Ok(())
}

/// Draws numbers `[row, column]` as a square of colours. Each cell is the mean over `step` numbers in both directions.
fn face(
    svg: &mut String,
    values: ArrayView2<'_, f32>,
    step: usize,
    transform: &str,
) -> std::fmt::Result {
    let (rows, columns) = (values.nrows() / step, values.ncols() / step);
    let cell = |i: usize, j: usize| {
        values.slice(s![i * step..(i + 1) * step, j * step..(j + 1) * step]).mean().unwrap_or(0.0)
    };
    let cells = Array2::from_shape_fn((rows, columns), |(i, j)| cell(i, j));
    let peak = cells.iter().fold(f32::MIN_POSITIVE, |peak, value| peak.max(*value));
    let colour = |value: f32| ((value / peak).clamp(0.0, 0.999) * COLOURS.len() as f32) as usize;
    let (w, h) = (SIDE / columns as f64, SIDE / rows as f64);
    write!(svg, r#"<g transform="{transform}" shape-rendering="crispEdges">"#)?;
    write!(svg, r#"<rect width="{SIDE}" height="{SIDE}" fill="{}"/>"#, COLOURS[0])?;
    for (level, fill) in COLOURS.iter().enumerate().skip(1) {
        write!(svg, r#"<path fill="{fill}" d=""#)?;
        for (i, row) in cells.rows().into_iter().enumerate() {
            // Runs of one colour, each drawn slightly larger than it is so that no gaps show.
            let mut j = 0;
            while j < columns {
                let run = row.iter().skip(j).take_while(|v| colour(**v) == level).count();
                if run > 0 {
                    let (x, y) = (j as f64 * w, i as f64 * h);
                    write!(svg, "M{x:.1} {y:.1}h{0:.1}v{h:.1}h-{0:.1}", run as f64 * w)?;
                }
                j += run.max(1);
            }
        }
        svg.push_str(r#""/>"#);
    }
    svg.push_str("</g>");
    Ok(())
}
