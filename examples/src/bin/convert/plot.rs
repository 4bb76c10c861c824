//! A picture of a record on its way to a volume: leads, prepared window, recurrence images, cube.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use ecg_core::Recording;
use ecg_io::Dataset;
use ecg3d_convert::{ConvertConfig, ConvertPlan, Plans, Preset, Scale, Threshold, Units};
use ecg3d_examples::chart::{escape, polyline};
use ecg3d_examples::{heat, say_err, write_text};
use ndarray::{Array2, Array3, ArrayView2, Axis, s};

/// Width of the picture in pixels, and the space left and right of its panels.
const WIDTH: f64 = 1240.0;
const MARGIN: f64 = 60.0;
const INK: &str = "#222";
const SOFT: &str = "#888";
/// Seconds of the recording that are drawn.
const SHOWN_S: f64 = 10.0;

/// Draws records into a folder, as `DIR/NAME.svg`, and returns how many. A record that cannot be converted is
/// skipped.
pub fn draw(
    dir: &Path,
    dataset: &Dataset,
    records: &[usize],
    config: &ConvertConfig,
) -> Result<usize> {
    let plans = Plans::new(config.clone());
    let mut drawn = 0;
    for &index in records {
        let name = &dataset.names()[index];
        let picture = dataset.load(index).map_err(anyhow::Error::from).and_then(|loaded| {
            let plan = plans.at(loaded.recording.sampling_rate)?;
            Picture::new(&plan, &loaded.recording)?.svg()
        });
        match picture {
            Ok(svg) => {
                // Names have no extension of their own, though they may have dots.
                let path = dir.join(format!("{name}.svg"));
                write_text(&path, &svg)?;
                drawn += 1;
            }
            Err(error) => say_err!("not drawn: {name}: {error:#}"),
        }
    }
    Ok(drawn)
}

/// What is drawn of a record.
struct Picture<'a> {
    recording: &'a Recording,
    config: &'a ConvertConfig,
    /// Names of the rows of everything that follows.
    leads: Vec<String>,
    /// Seconds of the recording that became the window.
    window_s: f64,
    /// `[lead, sample]`.
    window: Array2<f32>,
    /// `[lead, time, time]`.
    images: Array3<f32>,
    /// `[depth, time, time]`.
    volume: Array3<f32>,
}

impl<'a> Picture<'a> {
    /// Converts the first window.
    fn new(plan: &'a ConvertPlan, recording: &'a Recording) -> Result<Self> {
        let config = plan.config();
        let prepared = plan.prepare(recording)?;
        let window = prepared.signal.slice(s![.., ..config.window_samples()]).to_owned();
        let images = plan.image_plan().images(window.view())?;
        let volume = plan.image_plan().volume(images.view())?;
        let window_s = config.window_seconds(recording.sampling_rate);
        let leads = prepared.leads.iter().map(ToString::to_string).collect();
        Ok(Self { recording, config, leads, window_s, window, images, volume })
    }

    /// The unit of the prepared signal; none if it is scaled.
    fn unit(&self) -> &'static str {
        if self.config.scale != Scale::None {
            return "no unit";
        }
        match (self.config.units, &self.recording.adc) {
            (Units::Millivolts, _) => "mV",
            (_, Some(_)) => "ADC units",
            _ => "µV",
        }
    }

    /// Seconds from one prepared sample to the next.
    fn step_s(&self) -> f64 {
        self.window_s / self.window.ncols() as f64
    }

    fn svg(&self) -> Result<String> {
        let mut svg = String::new();
        let mut y = 58.0;
        y = self.recorded(&mut svg, y);
        y = self.prepared(&mut svg, y + 40.0);
        y = self.recurrence(&mut svg, y + 50.0)?;
        y = self.cube(&mut svg, y + 50.0)?;
        let preset = match self.config.preset {
            Preset::Published => "published preset",
            Preset::Corrected => "corrected preset",
        };
        let title = format!(
            "{}: {} Hz, {:.1} s, {preset}",
            self.recording.name,
            self.recording.sampling_rate.hz(),
            self.recording.duration_s()
        );
        let height = y + 20.0;
        Ok(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
             height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"{INK}\" role=\"img\">\
             <title>{0}</title><rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#fff\"/>\
             <text x=\"{MARGIN}\" y=\"26\" font-size=\"18\" font-weight=\"bold\">{0}</text>{svg}</svg>\n",
            escape(&title)
        ))
    }

    /// Draws the recording in mV, in two columns of leads, with the part that becomes the window tinted.
    fn recorded(&self, svg: &mut String, top: f64) -> f64 {
        let hz = self.recording.sampling_rate.hz();
        let seconds = self.recording.duration_s().min(SHOWN_S);
        let samples = (seconds * hz).round() as usize;
        let signal = self.recording.signal.slice(s![.., ..samples.min(self.recording.n_samples())]);
        let names: Vec<&str> = self.recording.leads.iter().map(|lead| lead.as_str()).collect();
        let panel = Traces {
            title: "Recording (mV); the tinted part becomes the first window",
            names: &names,
            unit: "mV",
            seconds,
            tinted_s: self.window_s.min(seconds),
        };
        panel.draw(svg, top, signal.mapv(|v| v as f32).view())
    }

    fn prepared(&self, svg: &mut String, top: f64) -> f64 {
        let names: Vec<&str> = self.leads.iter().map(String::as_str).collect();
        let title = format!(
            "Prepared window: denoised, {} samples in {:.2} s ({})",
            self.window.ncols(),
            self.window_s,
            self.unit()
        );
        let panel = Traces {
            title: &title,
            names: &names,
            unit: self.unit(),
            seconds: self.window_s,
            tinted_s: 0.0,
        };
        panel.draw(svg, top, self.window.view())
    }

    /// Draws one image per lead, all on one colour scale, with time along both axes.
    fn recurrence(&self, svg: &mut String, top: f64) -> Result<f64> {
        const COLUMNS: usize = 6;
        const SIZE: f64 = 138.0;
        const GAP: f64 = 34.0;
        let (_, height, width) = self.images.dim();
        heading(
            svg,
            top,
            &format!(
                "Recurrence images, {height} x {width}: distance between the states at two times"
            ),
        );
        let (low, high) = (0.0, upper(&self.images));
        let top = top + 34.0;
        let span_s = self.span_s();
        for (k, image) in self.images.axis_iter(Axis(0)).enumerate() {
            let x = MARGIN + (k % COLUMNS) as f64 * (SIZE + GAP);
            let y = top + (k / COLUMNS) as f64 * (SIZE + GAP + 22.0);
            let name = self.leads.get(k).map_or("", String::as_str);
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
                y - 5.0,
                escape(name)
            );
            // Time runs from the left and, as on paper, from the bottom.
            let upright = image.slice(s![..;-1, ..]);
            picture(svg, upright, (low, high), [x, y, SIZE, SIZE])?;
            for tick in ticks(span_s, 4) {
                let along = tick / span_s * SIZE;
                let _ = write!(
                    svg,
                    "<path d=\"M{0:.1} {1:.1}v4M{x:.1} {2:.1}h-4\" stroke=\"{INK}\"/>\
                     <text x=\"{0:.1}\" y=\"{3:.1}\" text-anchor=\"middle\" font-size=\"10\">{4}</text>",
                    x + along,
                    y + SIZE,
                    y + SIZE - along,
                    y + SIZE + 14.0,
                    milliseconds(tick)
                );
                if k % COLUMNS == 0 {
                    let _ = write!(
                        svg,
                        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"10\">{}</text>",
                        x - 6.0,
                        y + SIZE - along + 4.0,
                        milliseconds(tick)
                    );
                }
            }
        }
        let rows = self.images.len_of(Axis(0)).div_ceil(COLUMNS) as f64;
        let bottom = top + rows * (SIZE + GAP + 22.0) - 22.0;
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">time of one state (ms)</text>\
             <text x=\"18\" y=\"{2:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 18 {2:.1})\">time of the other (ms)</text>",
            MARGIN + COLUMNS as f64 * (SIZE + GAP) / 2.0 - GAP / 2.0,
            bottom + 2.0,
            (top + bottom) / 2.0 - 10.0
        );
        let x = MARGIN + COLUMNS as f64 * (SIZE + GAP);
        self.scale(svg, [x + 6.0, top, 18.0, bottom - top - 32.0], (low, high))?;
        Ok(bottom)
    }

    /// Seconds from the first to the last state of an image.
    fn span_s(&self) -> f64 {
        let reach = (self.config.embedding_dimension - 1) * self.config.embedding_delay;
        (self.window.ncols() - reach - 1).max(1) as f64 * self.step_s()
    }

    /// Draws the volume as a block seen from above, right and front, and cut open along its three middle
    /// planes.
    fn cube(&self, svg: &mut String, top: f64) -> Result<f64> {
        const SIZE: f64 = 230.0;
        const SLANT: f64 = 120.0;
        let (depth, height, width) = self.volume.dim();
        let lowest = self.volume.iter().copied().fold(0.0, f32::min);
        let scale = (lowest, upper(&self.volume));
        heading(
            svg,
            top,
            &format!("Volume, {depth} x {height} x {width}: the images stacked along the leads"),
        );
        let (x, y) = (MARGIN + 20.0, top + 26.0);
        svg.push_str(&heat::block(self.volume.view(), scale, [x, y, SIZE, SLANT])?);
        let bottom = y + SLANT + SIZE;
        for (k, name) in self.leads.iter().take(self.images.len_of(Axis(0))).enumerate() {
            // The first lead is at the back.
            let share = k as f64 / (self.images.len_of(Axis(0)) - 1).max(1) as f64;
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\">{}</text>",
                x + SIZE + SLANT * (1.0 - share) + 8.0,
                bottom - SLANT * (1.0 - share) + 4.0,
                escape(name)
            );
        }
        time_axis(svg, [x, bottom, SIZE], self.span_s(), "time (ms)");
        // Planes inside.
        let third = 205.0;
        for (k, plane) in [depth / 4, depth / 2, 3 * depth / 4].into_iter().enumerate() {
            let x = MARGIN + 430.0 + k as f64 * (third + 20.0);
            let y = bottom - third;
            let lead =
                plane as f64 * (self.images.len_of(Axis(0)) - 1) as f64 / (depth - 1).max(1) as f64;
            let below = self.leads.get(lead.floor() as usize).map_or("", String::as_str);
            let above = self.leads.get(lead.ceil() as usize).map_or("", String::as_str);
            let between =
                if below == above { below.to_owned() } else { format!("{below} to {above}") };
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\">plane {plane} ({})</text>",
                y - 8.0,
                escape(&between)
            );
            let face = self.volume.slice(s![plane, ..;-1, ..]);
            picture(svg, face, scale, [x, y, third, third])?;
            time_axis(svg, [x, y + third, third], self.span_s(), "time (ms)");
        }
        self.scale(
            svg,
            [MARGIN + 430.0 + 3.0 * third + 2.0 * 20.0 + 12.0, bottom - third, 14.0, third],
            scale,
        )?;
        Ok(bottom + 34.0)
    }

    /// Draws the colour scale with its numbers, high values on top.
    fn scale(&self, svg: &mut String, place: [f64; 4], (low, high): (f32, f32)) -> Result<()> {
        const STEPS: usize = 64;
        let bar = Array2::from_shape_fn((STEPS, 1), |(row, _)| {
            high - (high - low) * row as f32 / (STEPS - 1) as f32
        });
        picture(svg, bar.view(), (low, high), place)?;
        let [x, y, width, height] = place;
        for share in [0.0, 0.5, 1.0] {
            let value = f64::from(low) + share * f64::from(high - low);
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\">{}</text>",
                x + width + 4.0,
                y + (1.0 - share) * height + 4.0,
                if share == 1.0 { format!("≥ {}", short(value)) } else { short(value) }
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"10\">{}</text>",
            x + width,
            y - 8.0,
            match self.config.threshold {
                Threshold::None => self.unit(),
                _ => "",
            }
        );
        Ok(())
    }
}

/// Returns the upper end of the colour scale: the 99th percentile, so that a few QRS complexes do not leave
/// everything else dark.
fn upper(values: &Array3<f32>) -> f32 {
    let mut sorted: Vec<f32> = values.iter().copied().collect();
    let place = (sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1));
    if sorted.is_empty() {
        return 0.0;
    }
    *sorted.select_nth_unstable_by(place, f32::total_cmp).1
}

/// Leads in two columns, all on one amplitude scale.
struct Traces<'a> {
    title: &'a str,
    names: &'a [&'a str],
    unit: &'a str,
    seconds: f64,
    /// The first part, which has a background.
    tinted_s: f64,
}

impl Traces<'_> {
    fn draw(&self, svg: &mut String, top: f64, signal: ArrayView2<'_, f32>) -> f64 {
        const STEP: f64 = 46.0;
        heading(svg, top, self.title);
        let top = top + 16.0;
        let rows = signal.nrows().div_ceil(2);
        let width = (WIDTH - 2.0 * MARGIN - 60.0) / 2.0;
        let bottom = top + rows as f64 * STEP;
        // A lead gets the room that most leads need; a taller one runs into its neighbours.
        let mut peaks: Vec<f32> = signal
            .outer_iter()
            .map(|row| row.iter().filter(|v| v.is_finite()).fold(0.0_f32, |a, b| a.max(b.abs())))
            .collect();
        peaks.sort_by(f32::total_cmp);
        let peak = f64::from(peaks.get(peaks.len() * 3 / 4).copied().unwrap_or(0.0));
        let per_unit = if peak > 0.0 { 0.55 * STEP / peak } else { 0.0 };
        for column in 0..2 {
            let x = MARGIN + column as f64 * (width + 60.0);
            if self.tinted_s > 0.0 {
                let _ = write!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#dcebf7\"/>",
                    width * self.tinted_s / self.seconds,
                    bottom - top
                );
            }
            time_axis_s(svg, [x, bottom, width], self.seconds);
        }
        for (k, row) in signal.outer_iter().enumerate() {
            let x = MARGIN + (k / rows) as f64 * (width + 60.0);
            let middle = top + ((k % rows) as f64 + 0.5) * STEP;
            let _ = write!(
                svg,
                "<path d=\"M{x:.1} {middle:.1}h{width:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-weight=\"bold\">{}</text>",
                x - 6.0,
                middle + 4.0,
                escape(self.names.get(k).copied().unwrap_or(""))
            );
            let point = |(t, value): (usize, &f32)| {
                (x + t as f64 / row.len() as f64 * width, middle - f64::from(*value) * per_unit)
            };
            let path = polyline(row.iter().enumerate().map(point), 1);
            let _ = write!(
                svg,
                "<path d=\"{path}\" stroke=\"#111\" stroke-width=\".9\" stroke-linejoin=\"round\" fill=\"none\"/>"
            );
        }
        if per_unit > 0.0 {
            // A bar of a round size, right of the second column.
            let size = round_below(0.8 * STEP / per_unit);
            let x = MARGIN + 2.0 * width + 60.0 + 10.0;
            let _ = write!(
                svg,
                "<path d=\"M{0:.1} {1:.1}h6m-3 0v{2:.1}m-3 0h6\" stroke=\"{INK}\" fill=\"none\"/>\
                 <text x=\"{0:.1}\" y=\"{3:.1}\" font-size=\"10\">{4}</text>\
                 <text x=\"{0:.1}\" y=\"{5:.1}\" font-size=\"10\">{6}</text>",
                x,
                top + 4.0,
                size * per_unit,
                top + size * per_unit + 18.0,
                short(size),
                top + size * per_unit + 30.0,
                self.unit
            );
        }
        bottom + 32.0
    }
}

fn heading(svg: &mut String, y: f64, text: &str) {
    let _ = write!(
        svg,
        "<text x=\"{MARGIN}\" y=\"{y:.1}\" font-size=\"14\" font-weight=\"bold\">{}</text>",
        escape(text)
    );
}

/// Draws a matrix in a frame, its first row on top.
fn picture(
    svg: &mut String,
    values: ArrayView2<'_, f32>,
    (low, high): (f32, f32),
    [x, y, width, height]: [f64; 4],
) -> Result<()> {
    let _ = write!(
        svg,
        "<image x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" preserveAspectRatio=\"none\" \
         style=\"image-rendering:pixelated\" href=\"{}\"/><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\" fill=\"none\" stroke=\"{SOFT}\"/>",
        heat::data_url(values, low, high)?
    );
    Ok(())
}

fn time_axis(svg: &mut String, [x, y, width]: [f64; 3], seconds: f64, label: &str) {
    for tick in ticks(seconds, 4) {
        let _ = write!(
            svg,
            "<path d=\"M{0:.1} {y:.1}v4\" stroke=\"{INK}\"/><text x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"middle\" \
             font-size=\"10\">{2}</text>",
            x + tick / seconds * width,
            y + 14.0,
            milliseconds(tick)
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
        x + width / 2.0,
        y + 28.0
    );
}

fn time_axis_s(svg: &mut String, [x, y, width]: [f64; 3], seconds: f64) {
    for tick in ticks(seconds, 10) {
        let _ = write!(
            svg,
            "<path d=\"M{0:.1} {y:.1}v4\" stroke=\"{INK}\"/><text x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"middle\" \
             font-size=\"10\">{2}</text>",
            x + tick / seconds * width,
            y + 15.0,
            short(tick)
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">time (s)</text>",
        x + width / 2.0,
        y + 29.0
    );
}

/// Round numbers from 0 to `end`, in about `count` steps at most.
fn ticks(end: f64, count: usize) -> Vec<f64> {
    let step = round_below(end / count as f64 * 1.999);
    if step <= 0.0 {
        return vec![0.0];
    }
    (0..=(end / step * (1.0 + 1e-9)) as usize).map(|k| k as f64 * step).collect()
}

/// Returns the largest of 1, 2, 5 times a power of ten that is not above `value`; 0 for a value that is not
/// positive.
fn round_below(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 0.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let digit = value / power * (1.0 + 1e-9);
    power
        * if digit >= 5.0 {
            5.0
        } else if digit >= 2.0 {
            2.0
        } else {
            1.0
        }
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.0}", 1000.0 * seconds)
}

/// Formats a value with about three digits, without trailing zeros.
fn short(value: f64) -> String {
    let size = value.abs();
    let digits = if size >= 100.0 {
        0
    } else if size >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg_synth::{SynthOptions, Synthesizer};

    #[test]
    fn a_record_is_drawn_with_all_its_leads() {
        let synth = Synthesizer::new(SynthOptions::default()).expect("defaults");
        let recording = synth.record(3).recording;
        for preset in [Preset::Published, Preset::Corrected] {
            let config = ConvertConfig::preset(preset);
            let plan = ConvertPlan::new(config, recording.sampling_rate).expect("a plan");
            let svg = Picture::new(&plan, &recording).and_then(|own| own.svg()).expect("draws");
            for lead in ["aVR", "V6"] {
                // Recording, prepared window, images and cube.
                assert_eq!(svg.matches(&format!(">{lead}</text>")).count(), 4, "{lead}");
            }
            // Twelve images and their scale, three faces, three planes and their scale.
            assert_eq!(svg.matches("<image ").count(), 12 + 1 + 3 + 3 + 1);
            // The base64 of the images may spell anything.
            for own in svg.split('"').filter(|own| !own.contains("base64,")) {
                assert!(!own.contains("NaN") && !own.contains("inf"), "numbers only: {own}");
            }
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(10.0, 10), (0..=10).map(f64::from).collect::<Vec<_>>());
        assert_eq!(ticks(1.96, 4), [0.0, 0.5, 1.0, 1.5]);
        assert_eq!(ticks(0.0, 4), [0.0]);
        assert_eq!(round_below(0.0999), 0.05);
        assert_eq!([short(-0.001), short(1.5), short(1234.4)], ["0", "1.5", "1234"]);
    }
}
