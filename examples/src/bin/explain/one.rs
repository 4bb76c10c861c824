//! Explains one record and draws pictures of it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use ecg_core::{LeadName, Recording};
use ecg_io::read_recording;
use ecg_lime::{LimeError, Settings};
use ecg3d_convert::{ConvertConfig, ConvertPlan, Resample};
use ecg3d_examples::ecg_paper::ecg_svg;
use ecg3d_examples::source::{self, LabelArgs, Needs, Source};
use ecg3d_examples::stop::{self, INTERRUPTED, stopped};
use ecg3d_examples::{Progress, picture, remove_if_there, say, say_err, write_json};
use ecg3d_models::{Model, ModelCard};
use serde::Serialize;

use crate::asked::{Asked, Label};
use crate::baselines::{Itself, MadeOf, Named, Stock};
use crate::evaluated::{self, Said, Subject};
use crate::leads::name_leads;
use crate::many::LINES;
use crate::with_model::usable::drop_unusable;
use crate::{Args, pictures};

/// The layout of `explanation.json`: what was asked, followed by the results for the label, or for each label.
#[derive(Serialize)]
struct Written<'a> {
    record: String,
    model: String,
    /// Whether Ctrl-C ended the work early.
    stopped: bool,
    baselines: Vec<MadeOf>,
    #[serde(flatten)]
    only: Option<&'a Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a [Said]>,
}

/// Explains the record at `path` into `args.out`.
pub fn explain(model: &Model, asked: &Asked, path: &Path, args: &Args) -> Result<ExitCode> {
    let out = &args.out;
    let unused = without_effect(&args.labels);
    if !unused.is_empty() {
        say_err!(
            "warning: a single record needs no labels, so these flags have no effect: {}",
            unused.join(", ")
        );
    }
    let loaded = read_recording(path, &args.labels.reading.read_options())?;
    for warning in &loaded.warnings {
        say_err!("warning: {warning}");
    }
    let (recording, file) = (loaded.recording, loaded.path);
    let config = &model.card().preprocessing;
    let plan = ConvertPlan::new(config.clone(), recording.sampling_rate)?;
    let prepared =
        plan.prepare(&recording).with_context(|| format!("cannot prepare {}", path.display()))?;
    for warning in &prepared.warnings {
        say_err!("warning: {}: {warning}", path.display());
    }
    let (signal, leads) = (prepared.real(), &prepared.leads);
    let baselines = baselines(model, asked, &file, &recording, leads, prepared.length, args)?;
    let random = asked.random_models(model, args.random_models)?;

    stop::listen()?;
    say_err!("explaining {}; press Ctrl-C to stop and write the results so far", path.display());
    let labels: Vec<&Label> = asked.labels.iter().collect();
    let subject = Subject { signal, leads, baselines: &baselines, seed: asked.seed };
    let mut bar: Option<(String, Progress, usize)> = None;
    let mut begun = false;
    let said = evaluated::explain(
        model,
        &random,
        asked,
        subject,
        &labels,
        &mut |what: &str, done, total| {
            if bar.as_ref().is_none_or(|(own, ..)| own != what) {
                finish(&bar);
                let progress = Progress::new(total as u64, &format!("steps, {what}"));
                bar = Some((what.to_owned(), progress, 0));
            }
            if let Some((_, progress, before)) = &mut bar {
                progress.inc((done - *before) as u64);
                *before = done;
            }
            // Until the first pair of walks is done, there is nothing to write; a second Ctrl-C does not wait
            // for it.
            begun |= done > 0;
            if begun && stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    finish(&bar);
    let said = match said {
        Err(error @ (LimeError::Stopped { .. } | LimeError::TooFew { .. })) if stopped() => {
            return Err(error).context("stopped before there was enough to explain");
        }
        said => said.with_context(|| format!("cannot explain {}", path.display()))?,
    };

    let written = Written {
        record: path.display().to_string(),
        model: model.to_string(),
        stopped: stopped(),
        baselines: baselines.iter().map(Named::written).collect(),
        only: (said.len() == 1).then(|| &said[0]),
        labels: (said.len() > 1).then_some(&said),
    };
    write_json(&out.join("explanation.json"), &written)?;
    pictures::remove(out, model.labels())?;
    // The lines of an earlier run over a data set would be taken for those of this record. What such a run left to
    // continue from stays.
    remove_if_there(&out.join(LINES))?;
    for (own, label) in said.iter().zip(&labels) {
        print(own, label);
        match own.outcome.explanation() {
            Some(explanation) => {
                let borders = borders_s(&explanation.settings, config, &recording, prepared.length);
                pictures::of_record(asked, &recording, explanation, borders, out)?;
            }
            None => {
                let name = format!("ecg{}", asked.suffix(&label.name));
                picture::write_picture(out, &name, &ecg_svg(&recording, None))?;
            }
        }
    }
    if stopped() {
        say!("stopped early; results so far written to {}", out.display());
        return Ok(ExitCode::from(INTERRUPTED));
    }
    say!("written to {}", out.display());
    Ok(ExitCode::SUCCESS)
}

/// Returns the flags given for labels, which only matter to a data set.
fn without_effect(labels: &LabelArgs) -> Vec<&'static str> {
    let table = labels.labels.is_some().then_some("--labels");
    table.into_iter().chain(labels.rules_given()).collect()
}

fn finish(bar: &Option<(String, Progress, usize)>) {
    if let Some((_, progress, _)) = bar {
        progress.finish();
    }
}

fn baselines(
    model: &Model,
    asked: &Asked,
    file: &Path,
    recording: &Recording,
    leads: &[LeadName],
    samples: usize,
    args: &Args,
) -> Result<Vec<Named>> {
    let reference = args.reference.as_deref().filter(|_| asked.needs_others());
    let source = reference.map(|path| others(model, path, args)).transpose()?;
    let stock = match reference.zip(source.as_ref()) {
        Some((path, source)) => {
            Stock::of_source(asked, model, source, &path.display().to_string())?
        }
        None => {
            let (rate, seconds) = (recording.sampling_rate, recording.duration_s());
            Stock::synthetic(asked, model, rate, seconds)?
        }
    };
    let patient = recording.patient.as_deref().unwrap_or_default();
    stock.baselines(leads, samples, Itself { path: &record_path(file), patient })
}

/// Loads the recordings of `--reference`.
pub fn others(model: &Model, reference: &Path, args: &Args) -> Result<Source> {
    let ModelCard { architecture, preprocessing, .. } = model.card();
    let labels = args.labels.for_reference(reference);
    let prepared = Some("baselines need prepared signals, one row per record");
    let needs = Needs { prepared, ..Needs::default() };
    let mut source = source::load_of_any_length(reference, preprocessing, &labels, needs)?;
    drop_unusable(&mut source, *architecture, preprocessing)?;
    source.report_failures();
    name_leads(&mut source, preprocessing, reference);
    Ok(source)
}

/// Returns the path of a record without extension, from the header or table that it was read from.
fn record_path(file: &Path) -> PathBuf {
    let mut stem = file.with_extension("");
    if file.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz")) {
        stem.set_extension("");
    }
    let parent = stem.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Links to folders lead to the same place; a link to a file is a record with a name of its own.
    match (parent.unwrap_or(Path::new(".")).canonicalize(), stem.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => stem,
    }
}

/// Returns the times at which the segments of an explanation begin and end, if it has several. A prepared
/// signal spans the part of the recording that its preprocessing uses.
fn borders_s(
    settings: &Settings,
    config: &ConvertConfig,
    recording: &Recording,
    samples: usize,
) -> Option<Vec<f64>> {
    let Settings::Permutation { borders, .. } = settings else { return None };
    let sample_s = match config.resample {
        Resample::Polyphase { rate_hz, .. } => 1.0 / rate_hz,
        _ => {
            let used = config.first_samples.unwrap_or(usize::MAX).min(recording.n_samples());
            used as f64 / recording.sampling_rate.hz() / samples as f64
        }
    };
    (borders.len() > 2).then(|| borders.iter().map(|border| *border as f64 * sample_s).collect())
}

fn print(said: &Said, label: &Label) {
    say!("{}", said.outcome.to_string().trim_end());
    for other in &said.other_baselines {
        say!("{}", other.to_string().trim_end());
    }
    for note in &said.notes {
        say!("note: {note}");
    }
    let pairs = said.agreement.methods.iter().chain(&said.agreement.baselines);
    for own in pairs {
        let ranks = own.agreement.spearman.map_or("undefined".to_owned(), |r| format!("{r:.2}"));
        let top = match own.agreement.same_top {
            Some(true) => "same",
            Some(false) => "different",
            None => "no",
        };
        say!("{} and {}: rank correlation {ranks}, {top} top lead", own.between[0], own.between[1]);
    }
    if let Some(own) = &said.faithfulness {
        let chance = own.chance_auc.map_or(String::new(), |own| format!(", by chance {own:.3}"));
        say!(
            "deletion AUC {:.3}, insertion AUC {:.3}{chance}",
            own.deletion_auc,
            own.insertion_auc
        );
    }
    if let Some(mean) = said.random_weights.as_ref().and_then(|own| own.mean.as_ref()) {
        let ranks = mean.spearman.map_or("undefined".to_owned(), |r| format!("{r:.2}"));
        say!("random weights ({}): rank correlation {ranks} on average", mean.n);
    }
    if !said.predicted {
        say!("the model does not predict {} here ({:.4})", label.name, said.probability);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::args;

    #[test]
    fn flags_for_labels_are_named_if_they_do_nothing() {
        let of = |words: &[&str]| {
            let all = ["--label", "AF", "--record", "x"].into_iter().chain(words.iter().copied());
            without_effect(&args(&all.collect::<Vec<_>>()).labels)
        };
        assert!(of(&[]).is_empty());
        assert!(of(&["--csv-rate", "500", "--label-map", "default"]).is_empty());
        let all = ["--labels", "no-such.csv", "--label-map", "typo", "--nsr-rule", "rhythm"];
        assert_eq!(of(&all), ["--labels", "--label-map", "--nsr-rule"]);
    }

    #[test]
    fn a_record_is_where_its_file_is() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("part")).expect("makes it");
        let part = dir.path().canonicalize().expect("is there").join("part");
        for file in ["v.hea", "../part/v.HEA", "v.csv", "v.TSV", "v.csv.gz", "v.tsv.GZ"] {
            let file = dir.path().join("part").join(file);
            assert_eq!(record_path(&file), part.join("v"), "{file:?}");
        }
    }
}
