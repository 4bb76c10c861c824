//! The way from a recording to probabilities in one picture. In recurrence plots and the volume, time runs from the
//! left and from the bottom.

use std::fmt::Write;

use ecg_core::{LabelSet, Recording};
use ndarray::{Array3, ArrayView2, Axis, s};

use crate::chart::{FOR, escape, polyline};
use crate::heat;

/// The contents of the picture, all from one recording.
#[derive(Debug)]
pub struct Stages<'a> {
    /// The recording.
    pub recording: &'a Recording,
    /// The prepared window `[lead, sample]` that became the volume.
    pub window: ArrayView2<'a, f32>,
    /// Length of the window in seconds.
    pub window_s: f64,
    /// Recurrence plots `[lead, time, time]`.
    pub recurrence: &'a Array3<f32>,
    /// Volume `[depth, height, width]`.
    pub volume: &'a Array3<f32>,
    /// Labels in column order.
    pub labels: &'a LabelSet,
    /// Probability of each label.
    pub probabilities: &'a [f64],
}

/// Height of a panel; the user unit is the pixel.
const HEIGHT: f64 = 200.0;
const TOP: f64 = 34.0;

impl Stages<'_> {
    /// Draws the picture as SVG.
    ///
    /// # Errors
    /// Returns an error if an array is empty.
    pub fn svg(&self) -> Result<String, png::EncodingError> {
        let (leads, samples) = self.recording.signal.dim();
        let hz = self.recording.sampling_rate.hz();
        let shown = ((self.window_s * hz).round() as usize).min(samples);
        let mut svg = String::from(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1120 260\" width=\"1120\" height=\"260\" \
             font-family=\"sans-serif\" font-size=\"13\" role=\"img\"><title>From a recording to probabilities</title>\
             <rect width=\"1120\" height=\"260\" fill=\"#fff\"/>",
        );
        caption(&mut svg, 10.0, 180.0, "recording", &format!("[{leads}, {samples}] mV"));
        let raw = self.recording.signal.slice(s![.., ..shown]).mapv(|v| v as f32);
        traces(&mut svg, raw.view(), 10.0, 180.0);
        arrow(&mut svg, 200.0);
        let (rows, columns) = self.window.dim();
        caption(
            &mut svg,
            230.0,
            180.0,
            "prepared",
            &format!("[{rows}, {columns}] in {} s", self.window_s),
        );
        traces(&mut svg, self.window, 230.0, 180.0);
        arrow(&mut svg, 420.0);
        let (n, height, width) = self.recurrence.dim();
        caption(&mut svg, 450.0, 190.0, "recurrence plots", &format!("[{n}, {height}, {width}]"));
        let peak = self.recurrence.iter().fold(0.0_f32, |a, b| a.max(*b));
        for (k, plot) in self.recurrence.axis_iter(Axis(0)).enumerate() {
            let shift = k as f64 * 8.0;
            let _ = write!(
                svg,
                "<image x=\"{}\" y=\"{}\" width=\"102\" height=\"102\" preserveAspectRatio=\"none\" href=\"{}\"/>\
                 <rect x=\"{}\" y=\"{}\" width=\"102\" height=\"102\" fill=\"none\" stroke=\"#fff\"/>",
                450.0 + shift,
                TOP + 5.0 + shift,
                heat::data_url(plot.slice(s![..;-1, ..]), 0.0, peak)?,
                450.0 + shift,
                TOP + 5.0 + shift
            );
        }
        arrow(&mut svg, 655.0);
        let (depth, height, width) = self.volume.dim();
        caption(&mut svg, 685.0, 190.0, "volume", &format!("[{depth}, {height}, {width}]"));
        let range =
            self.volume.iter().fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        svg.push_str(&heat::block(self.volume.view(), range, [690.0, TOP + 5.0, 125.0, 55.0])?);
        arrow(&mut svg, 885.0);
        caption(&mut svg, 915.0, 190.0, "probabilities", &format!("[{}]", self.labels.len()));
        for (k, (label, p)) in self.labels.iter().zip(self.probabilities).enumerate() {
            let y = TOP + 18.0 + k as f64 * (HEIGHT - 20.0) / self.labels.len() as f64;
            let _ = write!(
                svg,
                "<text x=\"965\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"972\" y=\"{}\" width=\"130\" \
                 height=\"14\" fill=\"#eee\"/><rect x=\"972\" y=\"{}\" width=\"{:.1}\" height=\"14\" fill=\"{}\"/>",
                y + 11.0,
                escape(label),
                y,
                y,
                130.0 * p.clamp(0.0, 1.0),
                FOR
            );
        }
        svg.push_str("</svg>");
        Ok(svg)
    }
}

fn caption(svg: &mut String, x: f64, width: f64, what: &str, shape: &str) {
    let middle = x + width / 2.0;
    let _ = write!(
        svg,
        "<text x=\"{middle}\" y=\"20\" text-anchor=\"middle\" font-weight=\"bold\">{what}</text>\
         <text x=\"{middle}\" y=\"252\" text-anchor=\"middle\" fill=\"#444\">{shape}</text>"
    );
}

fn arrow(svg: &mut String, x: f64) {
    let y = TOP + HEIGHT / 2.0;
    let _ = write!(
        svg,
        "<path d=\"M{x} {y}h16m-6 -6l6 6l-6 6\" stroke=\"#444\" stroke-width=\"2\" fill=\"none\"/>"
    );
}

/// Draws all rows of a signal one below the other, on one scale.
fn traces(svg: &mut String, signal: ArrayView2<'_, f32>, x: f64, width: f64) {
    let peak = signal.iter().filter(|v| v.is_finite()).fold(0.0_f32, |a, b| a.max(b.abs()));
    let scale = if peak > 0.0 { 22.0 / f64::from(peak) } else { 0.0 };
    let step = HEIGHT / signal.nrows() as f64;
    for (k, row) in signal.outer_iter().enumerate() {
        let middle = TOP + (k as f64 + 0.5) * step;
        let dx = width / row.len() as f64;
        let point =
            |(t, value): (usize, &f32)| (x + t as f64 * dx, middle - f64::from(*value) * scale);
        let path = polyline(row.iter().enumerate().map(point), 1);
        let _ =
            write!(svg, "<path d=\"{path}\" stroke=\"#111\" stroke-width=\".8\" fill=\"none\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg_core::{Lead, SamplingRate};
    use ndarray::Array2;

    #[test]
    fn time_runs_from_the_bottom() {
        let signal = Array2::from_shape_fn((12, 100), |(lead, t)| (lead * t) as f64 / 1000.0);
        let rate = SamplingRate::new(50.0).expect("a rate");
        let recording = Recording::new("r", rate, Lead::STANDARD_12, signal).expect("twelve leads");
        let window = recording.signal.mapv(|v| v as f32);
        let recurrence = Array3::from_shape_fn((1, 2, 2), |(_, h, w)| (2 * h + w) as f32);
        let volume = Array3::from_shape_fn((2, 2, 2), |(d, h, w)| (4 * d + 2 * h + w) as f32);
        let stages = Stages {
            recording: &recording,
            window: window.view(),
            window_s: 2.0,
            recurrence: &recurrence,
            volume: &volume,
            labels: &LabelSet::default(),
            probabilities: &[0.5; 7],
        };
        let svg = stages.svg().expect("draws");
        let upright = ndarray::array![[2.0, 3.0], [0.0, 1.0]];
        assert!(svg.contains(&heat::data_url(upright.view(), 0.0, 3.0).expect("encodes")));
        let place = [690.0, TOP + 5.0, 125.0, 55.0];
        assert!(svg.contains(&heat::block(volume.view(), (0.0, 7.0), place).expect("draws")));
    }
}
