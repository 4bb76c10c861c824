//! Measures the size of each form of a recording, and what it loses.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use ecg_core::Recording;
use ecg_io::{Dataset, IoError, Loaded};
use ecg3d_convert::{
    Band, ConvertConfig, ConvertPlan, ConvertWarning, Denoise, FftResampler, ImagePlan,
    LeadSelection, Plans, Preset, Resample, Units, butterworth, rate_ratio,
};
use ecg3d_examples::chart::quantile;
use ecg3d_examples::reading::ReadingArgs;
use ecg3d_examples::source::{Failed, check_not_of, exit_code};
use ecg3d_examples::{
    Progress, Shown, check_place, print_result, say_err, table_writer, write_atomic,
};
use half::f16;
use ndarray::{Array2, ArrayView1, s};
use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

/// Largest frequency in Hz that a signal sampled at 50 Hz can represent.
const NYQUIST_HZ: f64 = 25.0;

/// Measures, over the recordings of a folder, the bytes of each form and what is lost on the way to it, for
/// both presets.
///
/// Prints a table in Markdown with the median over the recordings and the 5th and 95th percentile.
/// docs/data-loss.md defines each figure. Labels of the recordings are not needed. Exit status: 0 if all went
/// well, 2 if some records failed, 1 if nothing was done.
#[derive(Parser)]
#[command(name = "losses", version)]
struct Arguments {
    /// Folder of WFDB and CSV records, searched recursively
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Also write the figures of each record
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Number of threads, at most 1024; 0 means one per processor
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1024))]
    threads: u32,
    #[command(flatten)]
    reading: ReadingArgs,
}

/// The figures in the order of the table: heading, and number of decimals.
const FIGURES: [(&str, usize); 17] = [
    ("raw, 16 bit: bytes", 0),
    ("prepared, f32: bytes", 0),
    ("images, f16: bytes", 0),
    ("images, f32: bytes", 0),
    ("volume, f32: bytes", 0),
    ("recording against reconstruction: PRD, %", 2),
    ("the same without each lead's mean: PRDN, %", 2),
    ("resampling alone: PRD, %", 2),
    ("energy above 25 Hz, %", 3),
    ("energy below the cutoff, %", 2),
    ("cutoff (gain 0.707), Hz", 2),
    ("share of the recording that is used, %", 1),
    ("offset: mean of a lead, uV", 1),
    ("leads of 12 that point down", 0),
    ("turned upside down: change of the prepared signal, %", 1),
    ("turned upside down: change of the images, %", 1),
    ("f16 images: PRD of the volume, %", 4),
];

/// The figures of a recording.
type Figures = [f64; FIGURES.len()];

fn main() -> ExitCode {
    ecg3d_examples::run(|arguments| losses(&arguments))
}

fn losses(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(path) = &arguments.out {
        check_place(path)?;
    }
    let options = arguments.reading.dataset_options().with_ignore_labels(true);
    let dataset = Dataset::open(&arguments.data, &options)?;
    if let Some(path) = &arguments.out {
        check_not_of(&[path], &dataset)?;
    }
    for warning in dataset.warnings() {
        say_err!("warning: {warning}");
    }
    let mut shown = Shown::default();
    let (mut failed, mut any) = (Vec::new(), false);
    let mut table = format!("{} recordings\n", dataset.len());
    let mut rows = Vec::new();
    for (pass, preset) in [Preset::Published, Preset::Corrected].into_iter().enumerate() {
        let plans = Plans::new(ConvertConfig::preset(preset));
        let progress = Progress::new(dataset.len() as u64, "records");
        let mut columns = vec![Vec::new(); FIGURES.len()];
        dataset.for_each_parallel(
            arguments.threads as usize,
            |_, loaded| {
                let mut warnings = Vec::new();
                let figures = measure(&plans, loaded, pass == 0, &mut warnings);
                (warnings, figures)
            },
            |index, (warnings, result)| -> Result<()> {
                // Records that failed are done, too.
                progress.inc(1);
                let name = &dataset.names()[index];
                for warning in warnings {
                    shown.print(Some(&progress), &warning);
                }
                match result {
                    Ok(figures) => {
                        // NaN is a figure that the recording does not have.
                        let known = columns.iter_mut().zip(figures).filter(|(_, x)| !x.is_nan());
                        known.for_each(|(column, x)| column.push(x));
                        rows.push((preset, name.as_str(), figures));
                    }
                    Err(error) => {
                        let reason = format!("{preset}: {error:#}");
                        progress.line(&format!("failed: {name}: {reason}"));
                        failed.push(Failed { record: name.clone(), reason });
                    }
                }
                Ok(())
            },
        )?;
        progress.finish();
        let measured = columns[0].len();
        table.push_str(&format!("\n{preset}, {measured} recordings\n"));
        if measured == 0 {
            continue;
        }
        any = true;
        table.push_str("\n| | median | 5 % to 95 % |\n|---|---|---|\n");
        for ((name, digits), column) in FIGURES.iter().zip(&mut columns) {
            if column.is_empty() {
                table.push_str(&format!("| {name} | - | - |\n"));
                continue;
            }
            column.sort_by(f64::total_cmp);
            let [low, median, high] = [0.05, 0.5, 0.95].map(|share| quantile(column, share));
            table.push_str(&format!(
                "| {name} | {median:.digits$} | {low:.digits$} to {high:.digits$} |\n"
            ));
        }
    }
    if shown.left() > 0 {
        say_err!("{} more warnings", shown.left());
    }
    ensure!(any, "{}: no record could be measured", arguments.data.display());
    if let Some(path) = &arguments.out {
        write_rows(path, &rows)?;
    }
    print_result(&table)?;
    Ok(exit_code(&failed))
}

/// Measures a recording. Adds to `warnings` those of its conversion, and at the first pass also its own, which are
/// the same at every pass.
fn measure(
    plans: &Plans,
    loaded: Result<Loaded, IoError>,
    is_first: bool,
    warnings: &mut Vec<String>,
) -> Result<Figures> {
    let Loaded { recording, warnings: own, .. } = loaded?;
    if is_first {
        warnings.extend(own.iter().map(ToString::to_string));
    }
    let plan = plans.at(recording.sampling_rate)?;
    let measured = Measured::new(&plan, &recording)?;
    let (name, preset) = (&recording.name, plan.config().preset);
    let own = measured.warnings.iter();
    warnings.extend(own.map(|warning| format!("{name}: {preset}: {warning}")));
    measured.figures()
}

/// Writes the figures of each preset and record.
fn write_rows(path: &Path, rows: &[(Preset, &str, Figures)]) -> Result<()> {
    write_atomic(path, |file| {
        let mut table = table_writer(file);
        table.write_record(["preset", "record"].into_iter().chain(FIGURES.map(|own| own.0)))?;
        for (preset, record, figures) in rows {
            let names = [preset.to_string(), (*record).to_owned()].into_iter();
            let figure = |x: f64| if x.is_nan() { String::new() } else { x.to_string() };
            table.write_record(names.chain(figures.map(figure)))?;
        }
        table.flush()
    })
}

/// A recording and its converted forms.
struct Measured<'a> {
    plan: &'a ConvertPlan,
    rate_hz: f64,
    samples: usize,
    /// The part that is converted, at the sampling rate of the recording: `[lead, sample]`, in the units of the
    /// preset.
    used: Array2<f64>,
    /// The same part, denoised but not resampled.
    filtered: Array2<f64>,
    /// The prepared signal, without the zeros after its end.
    prepared: Array2<f64>,
    /// The prepared signal of the inverted recording.
    turned: Array2<f32>,
    window: Array2<f32>,
    /// For each lead: the value of zero voltage, and the units of the preset per microvolt.
    scale: Vec<[f64; 2]>,
    /// The warnings of the conversion.
    warnings: Vec<ConvertWarning>,
}

impl<'a> Measured<'a> {
    fn new(plan: &'a ConvertPlan, recording: &Recording) -> Result<Self> {
        let config = plan.config();
        let prepared = plan.prepare(recording)?;
        let upside_down = {
            let mut other = recording.clone();
            other.signal.mapv_inplace(|v| -v);
            if let Some(adc) = &mut other.adc {
                adc.values.mapv_inplace(|v| -v);
            }
            plan.prepare(&other)?
        };
        // All of this is denoised; what does not fit into a prepared signal is cut off afterwards.
        let samples = config.first_samples.unwrap_or(recording.n_samples());
        let used_samples = config.first_samples.unwrap_or_else(|| {
            let kept = (config.max_seconds * recording.sampling_rate.hz()).round() as usize;
            samples.min(kept)
        });
        let rows: Vec<usize> = match &config.leads {
            LeadSelection::Named { leads } => {
                leads.iter().filter_map(|lead| recording.row_of(*lead)).collect()
            }
            _ => (0..config.leads.count()).collect(),
        };
        let value = |lead: usize, t: usize| match (config.units, &recording.adc) {
            (Units::Adc, Some(adc)) => f64::from(adc.values[[lead, t]]),
            (Units::Adc, None) => recording.signal[[lead, t]] * 1000.0,
            _ => recording.signal[[lead, t]],
        };
        let scale = |&lead: &usize| match (config.units, &recording.adc) {
            (Units::Adc, Some(adc)) => {
                [f64::from(adc.baseline[lead]), adc.gain_per_mv[lead] / 1000.0]
            }
            (Units::Adc, None) => [0.0, 1.0],
            _ => [0.0, 1e-3],
        };
        let scale = rows.iter().map(scale).collect();
        let whole = Array2::from_shape_fn((rows.len(), samples), |(k, t)| value(rows[k], t));
        let used = whole.slice(s![.., ..used_samples]).to_owned();
        let filtered = filtered(config, recording.sampling_rate.hz(), whole)?;
        let filtered = filtered.slice(s![.., ..used_samples]).to_owned();
        Ok(Self {
            plan,
            rate_hz: recording.sampling_rate.hz(),
            samples: recording.n_samples(),
            used,
            filtered,
            prepared: prepared.real().mapv(f64::from),
            turned: upside_down.real().to_owned(),
            window: prepared.signal.slice(s![.., ..config.window_samples()]).to_owned(),
            scale,
            warnings: prepared.warnings,
        })
    }

    fn figures(&self) -> Result<Figures> {
        let config = self.plan.config();
        let leads = self.used.nrows();
        let [lead_count, kept] = config.prepared_shape();
        let [depth, height, width] = config.volume_size;
        let image_values = (lead_count * height * width) as f64;
        let back = self.reconstructed()?;
        let no_mean = without_mean(&self.used);
        let cutoff_hz = self.cutoff_hz();
        let (above, below) = self.energy(cutoff_hz);
        let offsets = self.used.rows().into_iter().zip(&self.scale);
        let offset_uv =
            offsets.map(|(row, [zero, per_uv])| ((mean(row) - zero) / per_uv).abs()).sum::<f64>()
                / leads as f64;
        let down = no_mean.rows().into_iter().filter(|row| points_down(row.view())).count();
        let images = self.plan.image_plan();
        let prepared_change = prd(self.prepared.view(), self.turned.mapv(f64::from).view());
        let length = config.window_samples();
        let of_window = images.images(self.window.view())?;
        let of_turned = images.images(self.turned.slice(s![.., ..length]))?;
        let change = prd(&of_window, &of_turned);
        Ok([
            (2 * leads * self.samples) as f64,
            (4 * lead_count * kept) as f64,
            2.0 * image_values,
            4.0 * image_values,
            (4 * depth * height * width) as f64,
            prd(self.used.view(), back.view()),
            prd(no_mean.view(), without_mean(&back).view()),
            prd(self.filtered.view(), back.view()),
            100.0 * above,
            100.0 * below,
            cutoff_hz,
            100.0 * self.used.ncols() as f64 / self.samples as f64,
            offset_uv,
            down as f64,
            prepared_change,
            change,
            f16_loss(images, &of_window)?,
        ])
    }

    /// Returns the prepared signal resampled to the recording's rate, through its spectrum.
    fn reconstructed(&self) -> Result<Array2<f64>> {
        let (from, samples) = (self.prepared.ncols(), self.used.ncols());
        let mut back = Array2::zeros(self.used.dim());
        let (from, to) = match self.plan.config().resample {
            Resample::Polyphase { rate_hz, .. } => {
                let (up, down) = rate_ratio(self.rate_hz, rate_hz)?;
                // `up` samples of the prepared signal last as long as `down` samples of the recording.
                let blocks = from.div_ceil(up);
                (blocks * up, blocks * down)
            }
            _ => (from, samples),
        };
        let plan = FftResampler::new(from, to)?;
        for (row, mut out) in self.prepared.rows().into_iter().zip(back.rows_mut()) {
            let mut row = row.to_vec();
            row.resize(from, 0.0);
            let long = plan.resample(&row)?;
            out.iter_mut().zip(long).for_each(|(out, value)| *out = value);
        }
        Ok(back)
    }

    /// Returns the frequency at which the high-pass lets 0.707 of an amplitude through, for this recording.
    fn cutoff_hz(&self) -> f64 {
        match self.plan.config().denoise {
            // A filter designed for one rate and run at another.
            Denoise::Causal { cutoff_hz, design_rate_hz, .. } => {
                cutoff_hz * self.rate_hz / design_rate_hz.unwrap_or(self.rate_hz)
            }
            // The gain counts twice: (f/c)^2n / (1 + (f/c)^2n) = 0.707. The bilinear map has no effect so far
            // below the sampling rate.
            Denoise::BothWays { order, cutoff_hz, .. } => {
                let gain = std::f64::consts::FRAC_1_SQRT_2;
                cutoff_hz * (gain / (1.0 - gain)).powf(0.5 / order as f64)
            }
            _ => 0.0,
        }
    }

    /// Returns the shares of the energy above 25 Hz and below a frequency, for leads without their mean, with a
    /// Hann window.
    fn energy(&self, below_hz: f64) -> (f64, f64) {
        let n = self.used.ncols();
        let fft = FftPlanner::new().plan_fft_forward(n);
        let (mut all, mut high, mut low) = (0.0, 0.0, 0.0);
        for row in without_mean(&self.used).rows() {
            let mut spectrum: Vec<Complex<f64>> = row
                .iter()
                .enumerate()
                .map(|(t, value)| {
                    let phase = std::f64::consts::TAU * t as f64 / n as f64;
                    Complex::new(value * (0.5 - 0.5 * phase.cos()), 0.0)
                })
                .collect();
            fft.process(&mut spectrum);
            for (k, value) in spectrum.iter().enumerate() {
                let hz = k.min(n - k) as f64 * self.rate_hz / n as f64;
                let energy = value.norm_sqr();
                all += energy;
                if hz > NYQUIST_HZ {
                    high += energy;
                } else if hz < below_hz {
                    low += energy;
                }
            }
        }
        if all > 0.0 { (high / all, low / all) } else { (0.0, 0.0) }
    }
}

/// A signal `[lead, sample]`, denoised.
fn filtered(config: &ConvertConfig, rate_hz: f64, mut signal: Array2<f64>) -> Result<Array2<f64>> {
    let high_pass = |order, cutoff_hz, rate_hz| butterworth(order, Band::High(cutoff_hz), rate_hz);
    for mut row in signal.rows_mut() {
        let mut values = row.to_vec();
        match config.denoise {
            Denoise::Causal { order, cutoff_hz, design_rate_hz } => {
                let filter = high_pass(order, cutoff_hz, design_rate_hz.unwrap_or(rate_hz))?;
                filter.filter(&mut values, &mut filter.rest())?;
            }
            Denoise::BothWays { order, cutoff_hz, padding_s } => {
                let filter = high_pass(order, cutoff_hz, rate_hz)?;
                let padding = (padding_s * rate_hz).round() as usize;
                filter.filter_both_ways(&mut values, padding.min(row.len() - 1))?;
            }
            _ => {}
        }
        row.iter_mut().zip(values).for_each(|(out, value)| *out = value);
    }
    Ok(signal)
}

fn mean(row: ArrayView1<'_, f64>) -> f64 {
    row.sum() / row.len() as f64
}

fn without_mean(signal: &Array2<f64>) -> Array2<f64> {
    let mut out = signal.clone();
    for mut row in out.rows_mut() {
        let mean = mean(row.view());
        row.mapv_inplace(|value| value - mean);
    }
    out
}

/// Whether the largest deflection of a lead without its mean is negative.
fn points_down(row: ArrayView1<'_, f64>) -> bool {
    let largest = row.iter().fold(0.0_f64, |a, b| if b.abs() > a.abs() { *b } else { a });
    largest < 0.0
}

/// Percentage root-mean-square difference: 100 sqrt(sum (x - y)^2 / sum x^2), over all leads together.
fn prd<'a, T: Copy + Into<f64> + 'a>(
    x: impl IntoIterator<Item = &'a T>,
    y: impl IntoIterator<Item = &'a T>,
) -> f64 {
    let (mut error, mut energy) = (0.0, 0.0);
    for (x, y) in x.into_iter().zip(y) {
        let (x, y): (f64, f64) = ((*x).into(), (*y).into());
        error += (x - y) * (x - y);
        energy += x * x;
    }
    if energy > 0.0 { 100.0 * (error / energy).sqrt() } else { 0.0 }
}

/// Returns the PRD of the volume made from images rounded to half precision, or NaN if a value is too large for it;
/// `convert --dtype f16` refuses such images.
fn f16_loss(plan: &ImagePlan, images: &ndarray::Array3<f32>) -> Result<f64> {
    let rounded = images.mapv(|value| f16::from_f32(value).to_f32());
    if rounded.iter().any(|value| value.is_infinite()) {
        return Ok(f64::NAN);
    }
    let (exact, other) = (plan.volume(images.view())?, plan.volume(rounded.view())?);
    Ok(prd(&exact, &other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg_core::{Lead, SamplingRate};

    /// Twelve sines of 10 Hz with an offset and a part of 60 Hz, at 500 Hz.
    fn recording(samples: usize) -> Recording {
        let signal = Array2::from_shape_fn((12, samples), |(_, t)| {
            let turns = std::f64::consts::TAU * t as f64 / 500.0;
            0.2 + (10.0 * turns).sin() + 0.1 * (60.0 * turns).sin()
        });
        let rate = SamplingRate::new(500.0).expect("a rate");
        Recording::new("r", rate, Lead::STANDARD_12, signal).expect("twelve leads")
    }

    #[test]
    fn a_record_of_any_name_has_its_row() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("losses.csv");
        let figures = [0.5; FIGURES.len()];
        write_rows(&path, &[(Preset::Published, "#a, \"b\"", figures)]).expect("writes");
        let text = std::fs::read_to_string(&path).expect("reads");
        assert!(text.starts_with("preset,record,\"raw, 16 bit: bytes\","), "{text}");
        assert!(text.contains("\npublished,\"#a, \"\"b\"\"\",0.5,0.5,"), "{text}");
    }

    #[test]
    fn a_known_signal_has_known_losses() {
        let recording = recording(5000);
        let plan =
            ConvertPlan::new(ConvertConfig::corrected(), recording.sampling_rate).expect("a plan");
        let figures = Measured::new(&plan, &recording)
            .and_then(|measured| measured.figures())
            .expect("measures");
        let of = |name: &str| {
            let at = FIGURES.iter().position(|(own, _)| *own == name).expect("a figure");
            figures[at]
        };
        assert_eq!(of("raw, 16 bit: bytes"), 120_000.0);
        assert_eq!(of("prepared, f32: bytes"), 24_000.0);
        // 0.01 / 1.01 of the energy without the offset is at 60 Hz. A Hann window separates sines of whole
        // periods.
        assert!((of("energy above 25 Hz, %") - 100.0 * 0.01 / 1.01).abs() < 1e-6);
        assert!((of("offset: mean of a lead, uV") - 200.0).abs() < 1e-6);
        // The part at 60 Hz is lost to resampling: sqrt(0.01 / 1.01), apart from the ends and the filter's
        // slope.
        assert!((of("resampling alone: PRD, %") - 9.95).abs() < 1.5, "{figures:?}");
        // The offset, 0.04 of 0.04 + 0.505 in energy, is lost as well.
        let whole = 100.0 * ((0.04 + 0.005) / 0.545_f64).sqrt();
        assert!(
            (of("recording against reconstruction: PRD, %") - whole).abs() < 1.5,
            "{figures:?}"
        );
        assert_eq!(of("turned upside down: change of the images, %"), 0.0);
        assert!((of("turned upside down: change of the prepared signal, %") - 200.0).abs() < 1e-4);
        assert!((of("cutoff (gain 0.707), Hz") - 0.777).abs() < 1e-3);
    }

    #[test]
    fn at_any_rate_little_is_lost_of_what_is_below_25_hz() {
        // 2057 samples do not become a whole number of samples at 50 Hz; 257 samples become 50.
        for samples in [2056, 2057] {
            let n = samples as f64;
            let signal = Array2::from_shape_fn((12, samples), |(_, t)| {
                let turns = std::f64::consts::TAU * t as f64;
                (0.5 - 0.5 * (turns / n).cos()) * (8.0 * turns / 257.0).sin()
            });
            let rate = SamplingRate::new(257.0).expect("a rate");
            let recording = Recording::new("r", rate, Lead::STANDARD_12, signal);
            let recording = recording.expect("twelve leads");
            let plan = ConvertPlan::new(ConvertConfig::corrected(), rate).expect("a plan");
            let measured = Measured::new(&plan, &recording).expect("measures");
            let back = measured.reconstructed().expect("resamples");
            // The ripple of the resampling filter.
            assert!(prd(measured.filtered.view(), back.view()) < 0.2, "{samples}");
        }
    }

    #[test]
    fn images_too_large_for_half_precision_have_no_such_figure() {
        let mut large = recording(5000);
        large.signal.mapv_inplace(|value| value * 1e5);
        let plan =
            ConvertPlan::new(ConvertConfig::corrected(), large.sampling_rate).expect("a plan");
        let figures =
            Measured::new(&plan, &large).and_then(|measured| measured.figures()).expect("measures");
        let (last, others) = figures.split_last().expect("figures");
        assert!(last.is_nan() && others.iter().all(|x| x.is_finite()), "{figures:?}");
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("losses.csv");
        write_rows(&path, &[(Preset::Corrected, "large", figures)]).expect("writes");
        let text = std::fs::read_to_string(&path).expect("reads");
        assert!(text.trim_end_matches(['\r', '\n']).ends_with(','), "{text}");
    }

    #[test]
    fn what_is_cut_off_is_filtered_before() {
        let recording = recording(10_000);
        let filtered = |seconds: f64| {
            let config = ConvertConfig::corrected().with_max_seconds(seconds);
            let plan = ConvertPlan::new(config, recording.sampling_rate).expect("a plan");
            Measured::new(&plan, &recording).expect("measures").filtered
        };
        let (cut, whole) = (filtered(10.0), filtered(20.0));
        assert_eq!((cut.dim(), whole.dim()), ((12, 5000), (12, 10_000)));
        assert_eq!(cut, whole.slice(s![.., ..5000]));
    }
}
