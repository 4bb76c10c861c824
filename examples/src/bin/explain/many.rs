//! Every true positive of a data set.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use ecg_core::{Lead, LeadName};
use ecg_io::Dataset;
use ecg_lime::{Explanation, Outcome};
use ecg3d_convert::LeadSelection;
use ecg3d_examples::chart::{boxes_svg, quantile};
use ecg3d_examples::source::{self, Failed, Rows};
use ecg3d_examples::{Progress, write_atomic};
use ecg3d_models::Model;
use ndarray::{ArrayView2, Axis, s};
use serde::Serialize;

use crate::{Args, Asked, prepared_leads};

/// One line of `explanations.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    record: &'a str,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// How one lead's values are spread over the records.
#[derive(Serialize)]
struct Spread {
    lead: String,
    n: usize,
    mean: f64,
    median: f64,
    quartiles: [f64; 2],
    /// Records in which it has the largest value.
    top: usize,
}

/// The layout of `explanation.json`.
#[derive(Serialize)]
struct Summary<'a> {
    model: String,
    data: String,
    label: &'a str,
    method: ecg_lime::Method,
    threshold: f64,
    true_positives: usize,
    explained: usize,
    /// Records in which the published LIME found one class only.
    one_class: usize,
    leads: Vec<Spread>,
    failed: &'a [Failed],
}

/// Explains every true positive of `data`.
pub fn explain(model: &Model, asked: &Asked, data: &Path, args: &Args) -> Result<ExitCode> {
    let config = &model.card().preprocessing;
    let mut source = source::load(data, config, &args.labels)?;
    source.drop_unlabelled()?;
    source.report_failures();
    let Rows::Prepared { signals, lengths } = &source.rows else {
        bail!("{}: explanations need prepared signals (convert --stage prepared)", data.display());
    };
    let truth = source.require_labels(model.labels())?;
    let with_label: Vec<usize> =
        (0..source.names.len()).filter(|&row| truth[[row, asked.column]]).collect();
    let mut rows = Vec::new();
    let progress = Progress::new(with_label.len() as u64, "records classified");
    for chunk in with_label.chunks(32) {
        let batch = signals.select(Axis(0), chunk);
        let real: Vec<usize> = chunk.iter().map(|&row| lengths[row]).collect();
        let p = model.predict_prepared(batch.view(), Some(&real))?;
        let predicted = chunk.iter().zip(p.column(asked.column));
        rows.extend(predicted.filter(|(_, p)| **p > asked.threshold).map(|(row, _)| *row));
        progress.inc(chunk.len() as u64);
    }
    progress.finish();
    if rows.is_empty() {
        bail!(
            "{}: no true positive of {} among {} records ({} have the label)",
            data.display(),
            asked.label,
            source.names.len(),
            with_label.len()
        );
    }
    let true_positives = rows.len();
    rows.truncate(args.limit.unwrap_or(usize::MAX));

    let names = LeadNames::new(data, args, config)?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make {}", args.out.display()))?;
    let lines = args.out.join("explanations.jsonl");
    // Lines are added as they come, so that a run that is cut short leaves what it has.
    let partial = args.out.join("explanations.jsonl.partial");
    let cannot_write = || format!("cannot write {}", partial.display());
    let mut file = BufWriter::new(File::create(&partial).with_context(cannot_write)?);
    let mut failed = source.failed.clone();
    let mut explained: Vec<Explanation> = Vec::new();
    let mut one_class = 0;
    let progress = Progress::new(rows.len() as u64, "true positives explained");
    for &row in &rows {
        let record = &source.names[row];
        let signal: ArrayView2<'_, f32> = signals.index_axis(Axis(0), row);
        let signal = signal.slice(s![.., ..lengths[row]]);
        let outcome = names
            .of(record)
            .and_then(|leads| Ok(asked.explain(model, signal, &leads, &mut |_, _| ())?));
        progress.inc(1);
        match outcome {
            Ok(outcome) => {
                serde_json::to_writer(&mut file, &Line { record, outcome: &outcome })
                    .with_context(cannot_write)?;
                writeln!(file).and_then(|()| file.flush()).with_context(cannot_write)?;
                match outcome {
                    Outcome::Explained(explanation) => explained.push(explanation),
                    _ => one_class += 1,
                }
            }
            Err(error) => {
                let reason = format!("{error:#}");
                progress.line(&format!("failed: {record}: {reason}"));
                failed.push(Failed { record: record.clone(), reason });
            }
        }
    }
    progress.finish();
    drop(file);
    std::fs::rename(&partial, &lines)
        .with_context(|| format!("cannot write {}", lines.display()))?;

    if explained.is_empty() && one_class == 0 {
        bail!("{}: none of {true_positives} true positives could be explained", data.display());
    }
    let summary = Summary {
        model: model.to_string(),
        data: data.display().to_string(),
        label: &asked.label,
        method: asked.options.method,
        threshold: asked.threshold,
        true_positives,
        explained: explained.len(),
        one_class,
        leads: spreads(&explained),
        failed: &failed,
    };
    for stale in ["boxes.svg", "softmax.svg"] {
        // An earlier run's picture must not pass for one of this run; there may be none.
        let _ = std::fs::remove_file(args.out.join(stale));
    }
    pictures(asked, &explained, &args.out)?;
    let json = serde_json::to_string_pretty(&summary).context("explanation.json")?;
    write_atomic(&args.out.join("explanation.json"), |file| writeln!(file, "{json}"))?;
    println!(
        "{} of {true_positives} true positives of {} explained, {one_class} with one class only",
        explained.len(),
        asked.label
    );
    for own in &summary.leads {
        println!(
            "{:<4}  median {:>+8.4}  quartiles {:>+8.4} {:>+8.4}  largest in {}",
            own.lead, own.median, own.quartiles[0], own.quartiles[1], own.top
        );
    }
    println!("written to {}", args.out.display());
    Ok(source::exit_code(&failed))
}

/// Where the names of a prepared signal's leads come from.
enum LeadNames<'a> {
    /// The preprocessing orders them.
    Fixed(Vec<LeadName>),
    /// Each record has its own order.
    File(Box<Dataset>, &'a ecg3d_convert::ConvertConfig),
}

impl<'a> LeadNames<'a> {
    fn new(data: &Path, args: &Args, config: &'a ecg3d_convert::ConvertConfig) -> Result<Self> {
        let by_file = matches!(config.leads, LeadSelection::File { .. });
        if by_file && data.is_dir() {
            let dataset = Dataset::open(data, &args.labels.dataset_options()?)?;
            return Ok(Self::File(Box::new(dataset), config));
        }
        if by_file {
            eprintln!("warning: {} does not name its leads; taken as I to V6", data.display());
        }
        let standard = Lead::STANDARD_12.map(LeadName::from);
        Ok(Self::Fixed(prepared_leads(config, &standard)))
    }

    fn of(&self, record: &str) -> Result<Vec<LeadName>> {
        match self {
            Self::Fixed(leads) => Ok(leads.clone()),
            Self::File(dataset, config) => {
                let index = dataset.index_of(record).context("the record has gone")?;
                Ok(prepared_leads(config, &dataset.load(index)?.recording.leads))
            }
        }
    }
}

/// Values of each player over the records, players in the order in which they first appear.
fn by_lead(
    explained: &[Explanation],
    value: impl Fn(&ecg_lime::Contribution) -> Option<f64>,
) -> Vec<(String, Vec<f64>)> {
    let mut leads: Vec<(String, Vec<f64>)> = Vec::new();
    for own in explained.iter().flat_map(|own| &own.values) {
        let Some(value) = value(own) else { continue };
        match leads.iter_mut().find(|(lead, _)| *lead == own.lead) {
            Some((_, values)) => values.push(value),
            None => leads.push((own.lead.clone(), vec![value])),
        }
    }
    leads
}

fn spreads(explained: &[Explanation]) -> Vec<Spread> {
    let tops: Vec<&str> =
        explained.iter().filter_map(|own| own.top().map(|top| top.lead.as_str())).collect();
    let spread = |(lead, mut values): (String, Vec<f64>)| {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        Spread {
            n,
            mean: values.iter().sum::<f64>() / n as f64,
            median: quantile(&values, 0.5),
            quartiles: [quantile(&values, 0.25), quantile(&values, 0.75)],
            top: tops.iter().filter(|top| **top == lead).count(),
            lead,
        }
    };
    by_lead(explained, |own| Some(own.value)).into_iter().map(spread).collect()
}

fn pictures(asked: &Asked, explained: &[Explanation], out: &Path) -> Result<()> {
    if explained.is_empty() {
        return Ok(());
    }
    let title = format!("{} of {}, {} records", asked.options.method, asked.label, explained.len());
    let svg = boxes_svg(&title, &asked.value_name(), &by_lead(explained, |own| Some(own.value)));
    write_atomic(&out.join("boxes.svg"), |file| file.write_all(svg.as_bytes()))?;
    let percent = by_lead(explained, |own| own.softmax_percent);
    if !percent.is_empty() {
        let svg = boxes_svg(&title, "softmax of the coefficients, percent", &percent);
        write_atomic(&out.join("softmax.svg"), |file| file.write_all(svg.as_bytes()))?;
    }
    Ok(())
}
