//! Explains every true positive of a data set.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use ecg_core::LabelSet;
use ecg_lime::{
    Agreement, Baseline, Cohort, CohortOptions, Explanation, LimeError, MeanAgreement, Outcome,
};
use ecg3d_examples::source::{self, Failed, Rows, Source};
use ecg3d_examples::stop::{self, INTERRUPTED, stopped};
use ecg3d_examples::{Progress, say, say_err, write_atomic};
use ecg3d_models::Model;
use ndarray::{Axis, s};
use serde::Serialize;

use crate::asked::{Asked, Label};
use crate::baselines::{Itself, MadeOf, Named, Stock};
use crate::evaluated::{self, Pair, Said, Subject};
use crate::leads::name_leads;
use crate::one::others;
use crate::usable::drop_unusable;
use crate::{Args, pictures};

/// One line of `explanations.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    record: &'a str,
    baselines: &'a [MadeOf],
    #[serde(flatten)]
    said: &'a Said,
}

/// The layout of `explanation.json`, for one label or for each.
#[derive(Serialize)]
struct Summary<'a> {
    model: String,
    data: String,
    method: ecg_lime::Method,
    /// The source of the other recordings from which baselines are made.
    reference: String,
    /// Whether Ctrl-C ended the work early; `explained` tells how far it got.
    stopped: bool,
    #[serde(flatten)]
    only: Option<&'a OfLabel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a [OfLabel]>,
    failed: &'a [Failed],
}

/// The results for one label.
#[derive(Serialize)]
struct OfLabel {
    label: String,
    threshold: f64,
    true_positives: usize,
    explained: usize,
    /// Number of records in which the published LIME found only one class.
    one_class: usize,
    /// Number of records whose limb leads contradict each other, so that each lead was a player.
    fallback: usize,
    baseline: String,
    #[serde(flatten)]
    cohort: Cohort,
    other_baselines: Vec<OfBaseline>,
    agreement: MeanAgreements,
    faithfulness: Option<MeanFaithfulness>,
}

/// The results under a further baseline.
#[derive(Serialize)]
struct OfBaseline {
    baseline: String,
    #[serde(flatten)]
    cohort: Cohort,
}

/// Agreements over all records.
#[derive(Serialize)]
struct MeanAgreements {
    methods: Vec<MeanPair>,
    baselines: Vec<MeanPair>,
    random_weights: Option<MeanAgreement>,
}

#[derive(Serialize)]
struct MeanPair {
    between: [String; 2],
    #[serde(flatten)]
    agreement: MeanAgreement,
}

#[derive(Serialize)]
struct MeanFaithfulness {
    n: usize,
    deletion_auc: f64,
    insertion_auc: f64,
    chance_auc: Option<f64>,
}

/// Explains every true positive of `data`.
pub fn explain(model: &Model, asked: &Asked, data: &Path, args: &Args) -> Result<ExitCode> {
    let config = &model.card().preprocessing;
    let reference = args.reference.as_deref().filter(|_| asked.needs_others());
    // Flags for reading recordings may be meant for a folder of others.
    let labels = match reference {
        Some(reference) if !source::is_npz(reference) => args.labels.beside(data),
        _ => args.labels.clone(),
    };
    let mut source = source::load(data, config, &labels)?;
    let prepared = matches!(source.rows, Rows::Prepared { .. }) && source.row_record.is_none();
    ensure!(
        prepared,
        "{}: explanations need prepared signals (convert --stage prepared)",
        data.display()
    );
    drop_unusable(&mut source, model.card().architecture, config)?;
    name_leads(&mut source, config, data);
    let other = reference.map(|reference| others(model, reference, args)).transpose()?;
    let found = true_positives(model, asked, &mut source, data)?;
    let origin = args.reference.as_deref().unwrap_or(data).display().to_string();
    let stock = match &other {
        None if asked.usual_baselines && asked.needs_others() && is_of_one_patient(&source) => {
            say_err!(
                "warning: {origin} has recordings of one patient only, so the only baseline is zero; others need \
                 --reference FOLDER"
            );
            Stock::flat(asked, model)
        }
        others => Stock::of_source(asked, model, others.as_ref().unwrap_or(&source), &origin)?,
    };
    let Rows::Prepared { signals, lengths } = &source.rows else {
        bail!("{}: no prepared signals", data.display());
    };
    // The records of an archive have no location.
    let folder = if data.is_dir() { data.canonicalize() } else { Ok(PathBuf::new()) };
    let folder = folder.with_context(|| format!("cannot find {}", data.display()))?;
    let random = asked.random_models(model, args.random_models)?;
    let mut rows: Vec<usize> = found.iter().map(|(row, _)| *row).collect();
    rows.dedup();
    rows.truncate(args.limit.map_or(usize::MAX, |limit| limit as usize));

    let lines = args.out.join("explanations.jsonl");
    // Lines are added as they come, so that a killed run leaves what it has.
    let partial = args.out.join("explanations.jsonl.partial");
    let cannot_write = || format!("cannot write {}", partial.display());
    let mut file = BufWriter::new(File::create(&partial).with_context(cannot_write)?);
    let mut failed = source.failed.clone();
    let mut said: Vec<(usize, Said)> = Vec::new();
    stop::listen()?;
    say_err!(
        "explaining {} records; press Ctrl-C to stop and write the results so far",
        rows.len()
    );
    let progress = Progress::new(rows.len() as u64, "records explained");
    for &row in &rows {
        let record = &source.names[row];
        let labels: Vec<&Label> =
            found.iter().filter(|(own, _)| *own == row).map(|(_, k)| &asked.labels[*k]).collect();
        let one = || -> Result<(Vec<Said>, Vec<MadeOf>)> {
            let patient = source.patients[row].as_deref().unwrap_or_default();
            let itself = Itself { path: &folder.join(record), patient };
            let leads = &source.leads[row];
            let baselines = stock.baselines(leads, lengths[row], itself)?;
            let signal = signals.slice(s![row, .., ..lengths[row]]);
            // Each record has its own seed: draws shared by all records would leave an error in their mean that
            // its interval does not cover.
            let seed = asked.seed_of(record);
            let subject = Subject { signal, leads, baselines: &baselines, seed };
            let observer = &mut |_: &str, _, _| match stopped() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            let said = evaluated::explain(model, &random, asked, subject, &labels, observer)?;
            Ok((said, baselines.iter().map(Named::written).collect()))
        };
        let outcome = one();
        if stopped() {
            // Only a part of the current record was evaluated, which must not be mixed with the others.
            break;
        }
        progress.inc(1);
        match outcome {
            Ok((own, baselines)) => {
                for said in &own {
                    let line = Line { record, baselines: &baselines, said };
                    serde_json::to_writer(&mut file, &line).with_context(cannot_write)?;
                    writeln!(file).with_context(cannot_write)?;
                }
                file.flush().with_context(cannot_write)?;
                said.extend(own.into_iter().map(|own| (row, own)));
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
    if said.is_empty() {
        // Nothing to keep; the message gives the reason.
        let _ = std::fs::remove_file(&partial);
        ensure!(!stopped(), "stopped before any record was explained");
        bail!("{}: none of {} records could be explained", data.display(), rows.len());
    }
    std::fs::rename(&partial, &lines)
        .with_context(|| format!("cannot write {}", lines.display()))?;

    pictures::remove(&args.out, model.labels())?;
    let patients = source.patient_ids();
    let mut all = Vec::new();
    for (k, label) in asked.labels.iter().enumerate() {
        let true_positives = found.iter().filter(|(_, own)| *own == k).count();
        let own: Vec<(&str, &Said)> = said
            .iter()
            .filter(|(_, own)| label_of(&own.outcome) == label.name)
            .map(|(row, own)| (patients[*row].as_str(), own))
            .collect();
        all.push(summarise(asked, label, true_positives, &own, &args.out)?);
    }
    let summary = Summary {
        model: model.to_string(),
        data: data.display().to_string(),
        method: asked.options.method,
        reference: origin,
        stopped: stopped(),
        only: (all.len() == 1).then(|| &all[0]),
        labels: (all.len() > 1).then_some(&all),
        failed: &failed,
    };
    let json = serde_json::to_string_pretty(&summary).context("explanation.json")?;
    write_atomic(&args.out.join("explanation.json"), |file| writeln!(file, "{json}"))?;
    all.iter().for_each(print);
    if stopped() {
        say!("stopped early; results so far written to {}", args.out.display());
        return Ok(ExitCode::from(INTERRUPTED));
    }
    say!("written to {}", args.out.display());
    Ok(source::exit_code(&failed))
}

/// Whether all records are of one patient. A record of unknown patient counts as one of its own, as in the
/// baselines.
fn is_of_one_patient(source: &Source) -> bool {
    let patients = source.patient_ids();
    patients.iter().all(|patient| *patient == patients[0])
}

/// Returns, for every true positive, its row of `source` and its index among the labels asked for, in the order
/// of the rows. `source` keeps all rows, because baselines are made of the others.
fn true_positives(
    model: &Model,
    asked: &Asked,
    source: &mut Source,
    data: &Path,
) -> Result<Vec<(usize, usize)>> {
    let records = source.fail_unlabelled()?.iter().filter(|labelled| **labelled).count();
    let wanted = LabelSet::new(asked.labels.iter().map(|label| label.name.as_str()))?;
    let columns = source.columns_of(&wanted)?;
    let holds =
        |row: usize, k: usize| source.labels[row].as_ref().is_some_and(|own| own[columns[k]]);
    let rows: Vec<usize> =
        (0..source.names.len()).filter(|&row| (0..columns.len()).any(|k| holds(row, k))).collect();
    let Rows::Prepared { signals, lengths } = &source.rows else {
        bail!("{}: no prepared signals", data.display());
    };
    let mut found = Vec::new();
    let mut failed = Vec::new();
    let progress = Progress::new(rows.len() as u64, "records classified");
    for part in rows.chunks(model.batch()) {
        let signals = signals.select(Axis(0), part);
        let lengths: Vec<usize> = part.iter().map(|&row| lengths[row]).collect();
        let probabilities = model
            .predict_prepared(signals.view(), Some(&lengths))
            .context("cannot classify the records")?;
        for (&row, p) in part.iter().zip(probabilities.outer_iter()) {
            if !p.iter().all(|p| p.is_finite()) {
                failed.push(Failed::not_finite(&source.names[row]));
                continue;
            }
            let positive =
                |(k, label): &(usize, &Label)| holds(row, *k) && p[label.column] > label.threshold;
            let labels = asked.labels.iter().enumerate().filter(positive);
            found.extend(labels.map(|(k, _)| (row, k)));
        }
        progress.inc(part.len() as u64);
    }
    progress.finish();
    let used = rows.len() - failed.len();
    source.failed.extend(failed);
    source.report_failures_beside(used);
    ensure!(used > 0 || rows.is_empty(), "no record has finite probabilities");
    ensure!(
        !found.is_empty(),
        "{}: no true positive of {} among {records} records ({} have such a label)",
        data.display(),
        asked.labels.iter().map(|label| label.name.as_str()).collect::<Vec<_>>().join(", "),
        rows.len()
    );
    Ok(found)
}

fn label_of(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Explained(own) => &own.label,
        Outcome::OneClass(own) => &own.label,
        _ => "",
    }
}

fn summarise(
    asked: &Asked,
    label: &Label,
    true_positives: usize,
    said: &[(&str, &Said)],
    out: &Path,
) -> Result<OfLabel> {
    let explained: Vec<(&str, &Explanation)> = said
        .iter()
        .filter_map(|(patient, own)| Some((*patient, own.outcome.explanation()?)))
        .collect();
    let (own, cohort) = cohort(&explained, asked)?;
    pictures::of_cohort(asked, &own, &cohort, stopped(), out)?;

    // By the baseline's index, since a background may consist of fewer recordings in one record than in
    // another.
    let further = said.iter().map(|(_, own)| own.other_baselines.len()).max().unwrap_or(0);
    let mut other_baselines = Vec::new();
    for k in 0..further {
        let under: Vec<(&str, &Explanation)> = said
            .iter()
            .filter_map(|(patient, own)| {
                Some((*patient, own.other_baselines.get(k)?.explanation()?))
            })
            .collect();
        let (explained, cohort) = self::cohort(&under, asked)?;
        if let Some(first) = explained.first() {
            other_baselines.push(OfBaseline { baseline: first.baseline.clone(), cohort });
        }
    }
    let random: Vec<Agreement> = said
        .iter()
        .filter_map(|(_, own)| own.random_weights.as_ref())
        .flat_map(|own| own.agreement.clone())
        .collect();
    let curves: Vec<_> = said.iter().filter_map(|(_, own)| own.faithfulness.as_ref()).collect();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / curves.len() as f64;
    Ok(OfLabel {
        label: label.name.clone(),
        threshold: label.threshold,
        true_positives,
        explained: own.len(),
        one_class: said.len() - own.len(),
        fallback: own.iter().filter(|own| own.fallback.is_some()).count(),
        baseline: own.first().map_or(String::new(), |own| own.baseline.clone()),
        cohort,
        other_baselines,
        agreement: MeanAgreements {
            methods: mean_pairs(said.iter().flat_map(|(_, own)| &own.agreement.methods)),
            baselines: mean_pairs(said.iter().flat_map(|(_, own)| &own.agreement.baselines)),
            random_weights: MeanAgreement::of(&random),
        },
        faithfulness: (!curves.is_empty()).then(|| MeanFaithfulness {
            n: curves.len(),
            deletion_auc: mean(&mut curves.iter().map(|own| own.deletion_auc)),
            insertion_auc: mean(&mut curves.iter().map(|own| own.insertion_auc)),
            chance_auc: curves
                .iter()
                .map(|own| own.chance_auc)
                .sum::<Option<f64>>()
                .map(|sum| sum / curves.len() as f64),
        }),
    })
}

/// Returns the explanations, with time segments summed by lead, and what they have in common.
fn cohort<'a>(
    explained: &[(&str, &'a Explanation)],
    asked: &Asked,
) -> Result<(Vec<Cow<'a, Explanation>>, Cohort), LimeError> {
    let (patients, mut own): (Vec<&str>, Vec<Cow<'a, Explanation>>) =
        explained.iter().map(|(patient, own)| (*patient, Cow::Borrowed(*own))).unzip();
    if asked.segments > 1 {
        own.iter_mut().for_each(|own| pictures::sum_segments(own.to_mut(), asked.segments));
    }
    let cohort = Cohort::of(&own, &patients, &CohortOptions::default().with_seed(asked.seed))?;
    Ok((own, cohort))
}

fn mean_pairs<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Vec<MeanPair> {
    let mut by_kind: BTreeMap<[&str; 2], Vec<&Pair>> = BTreeMap::new();
    for own in pairs {
        by_kind
            .entry(own.between.each_ref().map(|name| Baseline::kind_of(name)))
            .or_default()
            .push(own);
    }
    by_kind
        .into_values()
        .filter_map(|own| {
            let agreements: Vec<Agreement> = own.iter().map(|own| own.agreement.clone()).collect();
            let agreement = MeanAgreement::of(&agreements)?;
            Some(MeanPair { between: own[0].between.clone(), agreement })
        })
        .collect()
}

fn print(own: &OfLabel) {
    let one_class = match own.one_class {
        0 => String::new(),
        n => format!(", {n} with one class only"),
    };
    say!(
        "{} of {} true positives of {} explained{one_class}",
        own.explained,
        own.true_positives,
        own.label
    );
    for own in &own.cohort.leads {
        let interval = own
            .mean_interval
            .map_or(String::new(), |[low, high]| format!(" (95 %: {low:+.4} to {high:+.4})"));
        say!(
            "{:<4}  mean {:>+8.4}{interval}  median {:>+8.4}  quartiles {:>+8.4} {:>+8.4}  largest in {}",
            own.lead,
            own.mean,
            own.median,
            own.quartiles[0],
            own.quartiles[1],
            own.top
        );
    }
    for pair in own.agreement.methods.iter().chain(&own.agreement.baselines) {
        let ranks = pair.agreement.spearman.map_or("undefined".to_owned(), |r| format!("{r:.2}"));
        let top = pair.agreement.same_top.map_or("no top lead".to_owned(), |share| {
            format!("same top lead in {:.0} %", 100.0 * share)
        });
        say!("{} and {}: rank correlation {ranks}, {top}", pair.between[0], pair.between[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{args, untrained};
    use ndarray::Array3;

    #[test]
    fn flags_meant_for_a_reference_that_is_not_read_are_refused() {
        let model = untrained();
        let explain = |baseline: &str| {
            let args = args(&[
                "--label",
                "AF",
                "--data",
                "absent.npz",
                "--reference",
                "absent",
                "--csv-rate",
                "500",
                "--baseline",
                baseline,
            ]);
            let asked = Asked::new(&args, &model).expect("makes sense");
            let result = explain(&model, &asked, Path::new("absent.npz"), &args);
            result.expect_err("there is nothing").to_string()
        };
        assert!(explain("zero").starts_with("absent.npz is already converted: "));
        assert_eq!(explain("background"), "cannot read absent.npz");
    }

    #[test]
    fn true_positives_leave_all_records_to_the_baselines() {
        let model = untrained();
        let args = args(&["--label", "AF", "--data", "x"]);
        let mut asked = Asked::new(&args, &model).expect("makes sense");
        asked.labels[0].threshold = 0.0;
        let mut signals = Array3::zeros((4, 12, 500));
        signals[[3, 0, 0]] = f32::NAN;
        let names = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let rows = Rows::Prepared { signals, lengths: vec![500; 4] };
        let mut source = Source::unlabelled(names, rows);
        source.label_set = LabelSet::new(["SB", "AF"]).expect("two");
        source.labels = [Some([false, true]), None, Some([true, false]), Some([true, true])]
            .map(|own| own.map(Vec::from))
            .to_vec();
        let found = true_positives(&model, &asked, &mut source, Path::new("x")).expect("one");
        assert_eq!((found, source.rows.len(), source.names.len()), (vec![(0, 0)], 4, 4));
        let failed: Vec<_> = source.failed.iter().map(|own| own.record.as_str()).collect();
        assert_eq!(failed, ["b", "d"]);
    }
}
