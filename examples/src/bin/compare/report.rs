//! The results as Markdown, CSV and JSON.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use ecg3d_examples::{status, write_atomic, write_json, write_text};
use ecg3d_models::{Architecture, Precision, Preset, Summary};
use serde::Serialize;

use crate::Arguments;
use crate::measure::Measured;
use crate::metrics::Metrics;
use crate::picture;
use crate::subject::Subject;

/// The conditions of the measurements.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    pub software: String,
    /// The processor's name, if the system reports it.
    pub processor: Option<String>,
    /// Number of threads that the processor runs at once.
    pub cores: usize,
    pub device: String,
    pub precision: Precision,
    pub threads: usize,
    pub repeats: u32,
    pub data: Option<String>,
}

impl Settings {
    pub fn new(arguments: &Arguments) -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = info.lines().find(|line| line.starts_with("model name"));
        let processor = name.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            software: concat!("compare ", env!("CARGO_PKG_VERSION")).to_owned(),
            processor: processor.map(str::to_owned),
            cores,
            device: arguments.device.clone(),
            precision: arguments.precision,
            threads: arguments
                .threads
                .threads
                .unwrap_or_else(|| tch::get_num_threads().unsigned_abs())
                as usize,
            repeats: arguments.repeats,
            data: arguments.data.as_ref().map(|data| data.display().to_string()),
        }
    }
}

/// The results of one network.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Name for people.
    pub name: String,
    pub architecture: Architecture,
    pub mode: Preset,
    /// The file of the weights, or `shipped`; `null` for an untrained network.
    pub weights: Option<String>,
    pub parameters: usize,
    pub trainable: usize,
    /// Multiply-accumulate operations for one window.
    pub macs: u64,
    /// Number of windows in a recording of ten seconds.
    pub windows_of_ten_seconds: usize,
    /// `null` if measuring failed.
    pub measured: Option<Measured>,
    /// Why measuring failed.
    pub failed: Option<String>,
    /// `null` for an untrained network, without data, or if the evaluation failed.
    pub metrics: Option<Metrics>,
    /// Why the evaluation failed.
    pub metrics_failed: Option<String>,
}

impl Row {
    pub fn new(
        subject: &Subject,
        summary: &Summary,
        windows_of_ten_seconds: usize,
        measured: Result<Measured>,
        metrics: Result<Option<Metrics>>,
    ) -> Self {
        let (measured, failed) = or_reason(measured.map(Some));
        let (metrics, metrics_failed) = or_reason(metrics);
        Self {
            name: subject.to_string(),
            architecture: subject.architecture,
            mode: subject.mode,
            weights: subject.weights.name(),
            parameters: summary.parameters,
            trainable: summary.trainable,
            macs: summary.macs,
            windows_of_ten_seconds,
            measured,
            failed,
            metrics,
            metrics_failed,
        }
    }

    /// Cells of the columns of [`HEAD`]; `None` if there is no value.
    fn cells(&self) -> [Option<f64>; HEAD.len()] {
        let measured = self.measured.as_ref();
        let metrics = self.metrics.as_ref();
        [
            Some(self.parameters as f64),
            Some(self.trainable as f64),
            Some(self.macs as f64 / 1e9),
            Some(self.windows_of_ten_seconds as f64),
            measured.map(|m| m.latency_ms.median),
            measured.and_then(|m| m.latency_processor_ms),
            measured.map(|m| m.throughput),
            measured.and_then(|m| m.throughput_processor),
            measured.and_then(|m| m.peak_memory_batch_1_mb),
            measured.and_then(|m| m.peak_memory_batch_32_mb),
            metrics.map(|m| m.records as f64),
            metrics.map(|m| m.roc_auc),
            metrics.map(|m| m.average_precision),
            metrics.map(|m| m.f1),
            metrics.map(|m| m.micro_f1),
            metrics.map(|m| m.subset_accuracy),
            metrics.map(|m| m.labels_with_roc_auc as f64),
        ]
        .map(|cell| cell.filter(|value| value.is_finite()))
    }
}

/// Splits a result into its value and the reason of a failure.
fn or_reason<T>(found: Result<Option<T>>) -> (Option<T>, Option<String>) {
    match found {
        Ok(found) => (found, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    }
}

/// Columns: the name in the CSV file and the heading in a table for people.
const HEAD: [(&str, &str); 17] = [
    ("parameters", "parameters"),
    ("trainable", "trained"),
    ("gmacs", "GMAC a window"),
    ("windows_of_ten_seconds", "windows in 10 s"),
    ("latency_ms", "ms, batch 1"),
    ("latency_processor_ms", "processor ms, batch 1"),
    ("throughput", "windows a second, batch 32"),
    ("throughput_processor", "a processor second"),
    ("peak_memory_batch_1_mb", "peak MB, batch 1"),
    ("peak_memory_batch_32_mb", "peak MB, batch 32"),
    ("records", "records"),
    ("macro_roc_auc", "macro ROC-AUC"),
    ("macro_average_precision", "macro AP"),
    ("macro_f1", "macro F1"),
    ("micro_f1", "micro F1"),
    ("subset_accuracy", "all labels right"),
    ("labels_with_roc_auc", "labels with ROC-AUC"),
];
/// Number of columns in the first table; the rest are metrics.
const COSTS: usize = 10;

/// The files that are written into the folder for the results.
pub const OUTPUTS: [&str; 4] = ["compare.json", "compare.svg", "compare.md", "compare.csv"];

/// All networks, and the conditions of the measurements.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub settings: Settings,
    pub networks: Vec<Row>,
}

impl Report {
    /// Writes the four files.
    pub fn write(&self, out: &Path) -> Result<()> {
        let [json, svg, markdown, cells] = OUTPUTS.map(|name| out.join(name));
        write_json(&json, self)?;
        write_text(&svg, &picture::svg(self))?;
        write_text(&markdown, &self.markdown())?;
        write_atomic(&cells, |file| {
            let mut table = csv::Writer::from_writer(file);
            let names = HEAD.iter().map(|(name, _)| *name);
            table.write_record(["model", "preset", "weights"].into_iter().chain(names))?;
            for row in &self.networks {
                let first = [
                    row.architecture.to_string(),
                    row.mode.to_string(),
                    row.weights.clone().unwrap_or_default(),
                ];
                let cells = row.cells().map(|cell| cell.map_or(String::new(), |x| x.to_string()));
                table.write_record(first.into_iter().chain(cells))?;
            }
            table.flush()
        })
    }

    /// Returns the exit status of the program.
    ///
    /// # Errors
    /// Returns an error if no network was measured or evaluated.
    pub fn exit_code(&self, records_failed: bool) -> Result<ExitCode> {
        let done = |row: &Row| row.measured.is_some() || row.metrics.is_some();
        ensure!(self.networks.iter().any(done), "no network could be measured");
        let failed = |row: &Row| row.failed.is_some() || row.metrics_failed.is_some();
        Ok(status(records_failed || self.networks.iter().any(failed)))
    }

    /// Formats the costs of the networks, one line each, followed by their metrics if there are any.
    pub fn table(&self) -> String {
        let mut text = self.part(0..COSTS, |_| true);
        if self.networks.iter().any(|row| row.metrics.is_some()) {
            text += "\n";
            text += &self.part(COSTS..HEAD.len(), |row| row.metrics.is_some());
        }
        text
    }

    /// Formats some columns of some networks as a Markdown table.
    fn part(&self, columns: std::ops::Range<usize>, shown: impl Fn(&Row) -> bool) -> String {
        let mut text = "| network |".to_owned();
        let mut rule = "|---|".to_owned();
        for (_, title) in &HEAD[columns.clone()] {
            text += &format!(" {title} |");
            rule += "---:|";
        }
        text += &format!("\n{rule}\n");
        for row in self.networks.iter().filter(|row| shown(row)) {
            text += &format!("| {} |", row.name.replace('|', "\\|"));
            for cell in &row.cells()[columns.clone()] {
                text += &format!(" {} |", cell.map_or("-".to_owned(), rounded));
            }
            text += "\n";
        }
        text
    }

    fn markdown(&self) -> String {
        let Settings { processor, cores, device, precision, threads, repeats, data, .. } =
            &self.settings;
        let processor = processor.as_deref().unwrap_or("a processor that does not tell its name");
        let mut text = format!(
            "# Networks side by side\n\nDevice {device}, {precision}, {threads} threads; {processor}, {cores} threads at once.\n\n\
             A window is what a network takes: 2 s, for resnet1d 10 s. Times are from its prepared signal to its \
             probabilities, in a process of its own for each network: the median of {repeats} passes of one window, and of {} \
             passes of 32. Processor time is the mean of the same passes and counts all threads, waiting ones too. \
             Memory is the most that the process had, with libtorch in it{}. GMAC: billion multiply-adds.\n\n{}",
            repeats.div_ceil(5),
            if device == "cpu" { "" } else { ", but not that of the GPU" },
            self.part(0..COSTS, |_| true)
        );
        for row in &self.networks {
            if let Some(reason) = &row.failed {
                text += &format!("\nNot measured: {}: {reason}\n", row.name);
            }
        }
        let judged = |row: &Row| row.metrics.is_some() || row.metrics_failed.is_some();
        if let Some(data) = data
            && self.networks.iter().any(judged)
        {
            text += &format!("\n## Metrics on {data}\n\n");
            if self.networks.iter().any(|row| row.metrics.is_some()) {
                text += &self.part(COSTS..HEAD.len(), |row| row.metrics.is_some());
                text += "\nAt the thresholds of the weights. Averages are over the labels. Weights do too well on records that they \
                         were trained on.\n";
            }
            for row in &self.networks {
                if let Some(Metrics { labels, labels_with_roc_auc: defined, .. }) = &row.metrics
                    && defined < labels
                {
                    text += &format!(
                        "\n{}: ROC-AUC over the {defined} of {labels} labels that some records have and some lack; AP and F1 count \
                         a label that no record has as 0.\n",
                        row.name
                    );
                }
            }
            for row in &self.networks {
                if let Some(reason) = &row.metrics_failed {
                    text += &format!("\nNot judged: {}: {reason}\n", row.name);
                }
            }
        }
        let untrained: Vec<&str> = self
            .networks
            .iter()
            .filter(|row| row.weights.is_none())
            .map(|row| row.name.as_str())
            .collect();
        if !untrained.is_empty() {
            text += &format!(
                "\nUntrained, so without metrics: {}. Time and memory do not depend on training.\n",
                untrained.join(", ")
            );
        }
        text + "\n![The networks side by side](compare.svg)\n"
    }
}

/// Formats a value with three digits or more.
pub fn rounded(value: f64) -> String {
    let digits = match value.abs() {
        x if x == x.trunc() && x < 1e15 => 0,
        x if x >= 100.0 => 0,
        x if x >= 10.0 => 1,
        x if x >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use ecg3d_examples::SOME_FAILED;

    use super::*;
    use crate::measure::Spread;

    fn report() -> Report {
        let measured = Measured {
            latency_ms: Spread { median: 12.34, smallest: 12.0, largest: 20.0 },
            latency_processor_ms: None,
            throughput: 250.0,
            throughput_processor: Some(125.0),
            peak_memory_batch_1_mb: Some(300.0),
            peak_memory_batch_32_mb: Some(500.0),
        };
        let row = Row {
            name: "ribeiro (corrected), w|1.safetensors".into(),
            architecture: Architecture::Ribeiro,
            mode: Preset::Corrected,
            weights: Some("w|1.safetensors".into()),
            parameters: 6_432_999,
            trainable: 6_430_000,
            macs: 336_700_000,
            windows_of_ten_seconds: 9,
            measured: Some(measured),
            failed: None,
            metrics: Some(Metrics {
                records: 20,
                roc_auc: f64::NAN,
                average_precision: 0.5,
                f1: 0.25,
                micro_f1: 0.75,
                subset_accuracy: 0.1234,
                labels: 7,
                labels_with_roc_auc: 6,
            }),
            metrics_failed: None,
        };
        let failed = Row {
            name: "zhang (published)".into(),
            architecture: Architecture::Zhang,
            mode: Preset::Published,
            weights: None,
            measured: None,
            failed: Some("it was killed".into()),
            metrics: None,
            metrics_failed: Some("no labels".into()),
            ..row.clone()
        };
        let settings = Settings {
            software: "compare".into(),
            processor: None,
            cores: 2,
            device: "cpu".into(),
            precision: Precision::F32,
            threads: 2,
            repeats: 10,
            data: Some("folder".into()),
        };
        Report { settings, networks: vec![row, failed] }
    }

    #[test]
    fn all_files_are_written_and_say_what_is_missing() {
        let dir = tempfile::tempdir().expect("a folder");
        report().write(dir.path()).expect("writes");
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect(name);
        let json: serde_json::Value = serde_json::from_str(&read("compare.json")).expect("JSON");
        assert_eq!((&json["precision"], &json["threads"]), (&"f32".into(), &2.into()));
        assert_eq!(json["networks"][0]["measured"]["latency_ms"]["median"], 12.34);
        assert!(json["networks"][0]["metrics"]["roc_auc"].is_null());
        assert!(json["networks"][1]["measured"].is_null());
        let csv = read("compare.csv");
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].starts_with("model,preset,weights,parameters,trainable,gmacs,"));
        let first = "ribeiro,corrected,w|1.safetensors,6432999,6430000,0.3367,9,12.34,,250,125,300,500,20,,0.5,0.25,0.75,0.1234,6";
        assert_eq!(lines[1], first);
        assert_eq!(lines[2], "zhang,published,,6432999,6430000,0.3367,9,,,,,,,,,,,,,");
        let markdown = read("compare.md");
        assert!(markdown.contains("| ribeiro (corrected), w\\|1.safetensors | 6432999 | 6430000 | 0.337 | 9 | 12.3 | - | 250 |"));
        assert!(markdown.contains("Processor time is the mean of the same passes"));
        assert!(markdown.contains("Not measured: zhang (published): it was killed"));
        assert!(markdown.contains("Not judged: zhang (published): no labels"));
        assert!(markdown.contains("Untrained, so without metrics: zhang (published)."));
        assert!(markdown.contains("| 20 | - | 0.500 | 0.250 | 0.750 | 0.123 | 6 |"));
        assert!(markdown.contains("w|1.safetensors: ROC-AUC over the 6 of 7 labels that some"));
        let picture = read("compare.svg");
        assert!(picture.contains("zhang (published)") && !picture.contains("NaN"));
        assert!(picture.trim_end().ends_with("</svg>"));
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), OUTPUTS.len());
    }

    #[test]
    fn an_average_over_all_labels_needs_no_remark() {
        let mut report = report();
        let metrics = report.networks[0].metrics.as_mut().expect("metrics");
        metrics.labels_with_roc_auc = 7;
        assert!(!report.markdown().contains("ROC-AUC over"));
    }

    #[test]
    fn data_on_which_nothing_is_judged_have_no_section() {
        let mut report = report();
        assert!(report.markdown().contains("## Metrics on folder"));
        report.networks.remove(0);
        assert!(report.markdown().contains("## Metrics on folder"));
        report.networks[0].metrics_failed = None;
        assert!(!report.markdown().contains("## Metrics"));
    }

    #[test]
    fn nothing_done_is_told_from_some_failed() {
        let mut report = report();
        let (some, all_well) = (ExitCode::from(SOME_FAILED), ExitCode::SUCCESS);
        assert_eq!(report.exit_code(false).expect("one is measured"), some);
        let failed = report.networks.remove(1);
        assert_eq!(report.exit_code(true).expect("it is measured"), some);
        assert_eq!(report.exit_code(false).expect("it is measured"), all_well);
        report.networks = vec![failed];
        let error = report.exit_code(true).expect_err("none is measured");
        assert_eq!(error.to_string(), "no network could be measured");
    }

    #[test]
    fn numbers_keep_three_digits() {
        let texts = [270_416.0, 1234.5, 12.345, 1.2345, 0.29643].map(rounded);
        assert_eq!(texts, ["270416", "1234", "12.3", "1.23", "0.296"]);
    }
}
