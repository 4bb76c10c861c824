//! Explains every true positive of a data set.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use ecg_core::LabelSet;
use ecg_lime::{Agreement, Baseline, Cohort, CohortOptions, Explanation, LimeError, MeanAgreement};
use ecg3d_examples::source::{self, Failed, Needs, Rows, Source};
use ecg3d_examples::stop::{self, INTERRUPTED, stopped};
use ecg3d_examples::{KeptLines, Progress, say, say_err, status, write_json};
use ecg3d_models::Model;
use ndarray::{ArrayView3, Axis, s};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::asked::{Asked, Label};
use crate::baselines::{self, Itself, MadeOf, Stock};
use crate::evaluated::{self, Pair, Said, Subject};
use crate::leads::name_leads;
use crate::one::others;
use crate::with_model::fingerprint::{add_model, add_records};
use crate::with_model::usable::drop_unusable;
use crate::{Args, pictures};

/// The file with a line for each record and label.
pub const LINES: &str = "explanations.jsonl";
/// The same while a run is not finished, so that it can be continued.
const PARTIAL: &str = "explanations.jsonl.partial";

/// The record that a line belongs to.
#[derive(Deserialize)]
struct OfRecord {
    record: String,
}

/// One line of [`LINES`].
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
    let reference = args.reference.as_deref().filter(|_| asked.needs_others());
    let mut source = load(model, data, reference, args)?;
    let other = reference.map(|reference| others(model, reference, args)).transpose()?;
    let found = true_positives(model, asked, &mut source, data)?;
    let work = Work::new(model, asked, &source, &found, data, args.limit)?;
    let origin = args.reference.as_deref().unwrap_or(data).display().to_string();
    let key = work.key(other.as_ref(), &origin, args.random_models)?;
    let (mut kept, before) = work.take_over(&args.out.join(PARTIAL), &key, args.restart)?;
    let stock = stock(model, asked, &source, other.as_ref(), &origin)?;
    let random = asked.random_models(model, args.random_models)?;
    let done = work.explain(&stock, &random, before, &mut kept)?;
    if done.said.is_empty() {
        // Nothing to keep; the message gives the reason.
        kept.remove()?;
        ensure!(!stopped(), "stopped before any record was explained");
        bail!("{}: none of {} records could be explained", data.display(), work.rows.len());
    }
    kept.copy_to(&args.out.join(LINES))?;

    pictures::remove(&args.out, model.labels())?;
    let all = work.summarise(&done.said, &args.out)?;
    let summary = Summary {
        model: model.to_string(),
        data: data.display().to_string(),
        method: asked.options.method,
        reference: origin,
        stopped: stopped(),
        only: (all.len() == 1).then(|| &all[0]),
        labels: (all.len() > 1).then_some(&all),
        failed: &done.failed,
    };
    write_json(&args.out.join("explanation.json"), &summary)?;
    for own in &all {
        own.lines().iter().for_each(|line| say!("{line}"));
    }
    if stopped() {
        let out = args.out.display();
        say!("stopped early; results so far written to {out}; started again, it continues");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    kept.remove()?;
    say!("written to {}", args.out.display());
    Ok(status(!done.failed.is_empty()))
}

/// Loads the records, with their leads named.
fn load(model: &Model, data: &Path, reference: Option<&Path>, args: &Args) -> Result<Source> {
    let config = &model.card().preprocessing;
    // Flags for reading recordings may be meant for a folder of others.
    let labels = match reference {
        Some(reference) if !source::is_npz(reference) => args.labels.beside(data),
        _ => args.labels.clone(),
    };
    let prepared = Some("explanations need prepared signals, one row per record");
    let needs = Needs { labels: Some(model.labels()), prepared, ..Needs::default() };
    let mut source = source::load(data, config, &labels, needs)?;
    drop_unusable(&mut source, model.card().architecture, config)?;
    name_leads(&mut source, config, data);
    Ok(source)
}

/// Returns what the baselines are made of: `others`, if a reference is read, or else the records themselves.
fn stock<'a>(
    model: &'a Model,
    asked: &Asked,
    source: &'a Source,
    others: Option<&'a Source>,
    origin: &str,
) -> Result<Stock<'a>> {
    if others.is_none()
        && asked.usual_baselines
        && asked.needs_others()
        && is_of_one_patient(source)
    {
        say_err!(
            "warning: {origin} has recordings of one patient only, so the only baseline is zero; others need \
             --reference FOLDER"
        );
        return Ok(Stock::flat(asked, model));
    }
    Stock::of_source(asked, model, others.unwrap_or(source), origin)
}

/// The records to explain.
struct Work<'a> {
    model: &'a Model,
    asked: &'a Asked,
    source: &'a Source,
    signals: ArrayView3<'a, f32>,
    lengths: &'a [usize],
    /// The true positives in the order of the rows: a row of `source`, and an index among the labels asked for.
    found: &'a [(usize, usize)],
    /// The rows to explain.
    rows: Vec<usize>,
    /// The folder of the records; empty for an archive, whose records have no location.
    folder: PathBuf,
}

/// The results for some rows, and the records that could not be used.
struct Done {
    said: Vec<(usize, Said)>,
    failed: Vec<Failed>,
}

impl<'a> Work<'a> {
    fn new(
        model: &'a Model,
        asked: &'a Asked,
        source: &'a Source,
        found: &'a [(usize, usize)],
        data: &Path,
        limit: Option<u32>,
    ) -> Result<Self> {
        let Rows::Prepared { signals, lengths } = &source.rows else {
            bail!("{}: no prepared signals", data.display());
        };
        let folder = if data.is_dir() { data.canonicalize() } else { Ok(PathBuf::new()) };
        let folder = folder.with_context(|| format!("cannot find {}", data.display()))?;
        let mut rows: Vec<usize> = found.iter().map(|(row, _)| *row).collect();
        rows.dedup();
        rows.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(Self { model, asked, source, signals: signals.view(), lengths, found, rows, folder })
    }

    /// The labels of which a row is a true positive.
    fn labels_of(&self, row: usize) -> Vec<&'a Label> {
        let first = self.found.partition_point(|(own, _)| *own < row);
        let own = self.found[first..].iter().take_while(|(own, _)| *own == row);
        let labels = &self.asked.labels;
        own.map(|(_, k)| &labels[*k]).collect()
    }

    /// A hash of everything that the lines of results depend on. `other` are the recordings of `--reference`.
    fn key(&self, other: Option<&Source>, origin: &str, random_models: u32) -> Result<String> {
        let mut hash = Sha256::new();
        add_model(&mut hash, self.model)?;
        for source in [Some(self.source), other].into_iter().flatten() {
            add_records(&mut hash, source)?;
            hash.update(format!("{:?} {:?}", source.patients, source.leads));
        }
        let Self { asked, found, rows, folder, .. } = self;
        hash.update(format!("{asked:?} {found:?} {rows:?} {folder:?} {origin:?} {random_models}"));
        Ok(format!("{:x}", hash.finalize()))
    }

    /// Opens what an earlier run left, and returns its results.
    fn take_over(
        &self,
        path: &Path,
        key: &str,
        restart: bool,
    ) -> Result<(KeptLines, Vec<(usize, Said)>)> {
        let mut left: HashMap<&str, usize> = HashMap::new();
        let mut shared: HashSet<&str> = HashSet::new();
        for &row in &self.rows {
            let record = self.source.names[row].as_str();
            if left.insert(record, row).is_some() {
                shared.insert(record);
            }
        }
        let mut said: Vec<(usize, Said)> = Vec::new();
        let mut own: Vec<(usize, Said)> = Vec::new();
        let kept = KeptLines::open(path, key, restart, |line| {
            let OfRecord { record } = serde_json::from_slice(line)?;
            ensure!(
                !shared.contains(record.as_str()),
                "several records are named {record}, so it is not known to which of them the line belongs"
            );
            let row = left.get(record.as_str()).copied();
            // All lines of a record are written together.
            let row = row.filter(|row| own.iter().all(|(before, _)| before == row));
            let row =
                row.with_context(|| format!("a line of record {record} is not expected here"))?;
            own.push((row, Said::read(line)?));
            let whole = own.len() == self.labels_of(row).len();
            if whole {
                said.append(&mut own);
                left.remove(record.as_str());
            }
            Ok(whole)
        })?;
        Ok((kept, said))
    }

    /// Explains the rows of which nothing is said `before`, and adds their lines to `kept` as they come.
    fn explain(
        &self,
        stock: &Stock<'_>,
        random: &[Model],
        before: Vec<(usize, Said)>,
        kept: &mut KeptLines,
    ) -> Result<Done> {
        let mut done = Done { said: before, failed: self.source.failed.clone() };
        let earlier: HashSet<usize> = done.said.iter().map(|(row, _)| *row).collect();
        stop::listen()?;
        let n = self.rows.len();
        say_err!("explaining {n} records; press Ctrl-C to stop and write the results so far");
        let progress = Progress::new(n as u64, "records explained");
        if !earlier.is_empty() {
            progress.skip(earlier.len() as u64);
            progress.line(&format!("resuming after {} of {n} records", earlier.len()));
        }
        for &row in self.rows.iter().filter(|row| !earlier.contains(*row)) {
            let record = &self.source.names[row];
            let outcome = self.explain_one(row, stock, random);
            if stopped() {
                // Only a part of the current record was evaluated, which must not be mixed with the others.
                break;
            }
            progress.inc(1);
            match outcome {
                Ok((own, baselines)) => {
                    let mut lines: Vec<u8> = Vec::new();
                    for said in &own {
                        let line = Line { record, baselines: &baselines, said };
                        serde_json::to_writer(&mut lines, &line).context(LINES)?;
                        lines.push(b'\n');
                    }
                    kept.add(&lines)?;
                    done.said.extend(own.into_iter().map(|own| (row, own)));
                }
                Err(error) => {
                    let reason = format!("{error:#}");
                    progress.line(&format!("failed: {record}: {reason}"));
                    done.failed.push(Failed { record: record.clone(), reason });
                }
            }
        }
        progress.finish();
        // A record that failed in an earlier run may have been explained after those behind it.
        done.said.sort_by_key(|(row, _)| *row);
        Ok(done)
    }

    /// Explains one row, and says what its baselines are made of.
    fn explain_one(
        &self,
        row: usize,
        stock: &Stock<'_>,
        random: &[Model],
    ) -> Result<(Vec<Said>, Vec<MadeOf>)> {
        let record = &self.source.names[row];
        let patient = self.source.patients[row].as_deref().unwrap_or_default();
        let itself = Itself { path: &self.folder.join(record), patient };
        let (leads, length) = (&self.source.leads[row], self.lengths[row]);
        let baselines = stock.baselines(leads, length, itself)?;
        let signal = self.signals.slice(s![row, .., ..length]);
        // Each record has its own seed: draws shared by all records would leave an error in their mean that its
        // interval does not cover.
        let seed = self.asked.seed_of(record);
        let subject = Subject { signal, leads, baselines: &baselines, seed };
        let observer = &mut |_: &str, _, _| match stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let labels = self.labels_of(row);
        let said = evaluated::explain(self.model, random, self.asked, subject, &labels, observer)?;
        Ok((said, baselines.iter().map(baselines::Named::written).collect()))
    }

    /// Sums up the results of each label, and draws their pictures.
    fn summarise(&self, said: &[(usize, Said)], out: &Path) -> Result<Vec<OfLabel>> {
        let mut all = Vec::new();
        for (k, label) in self.asked.labels.iter().enumerate() {
            let true_positives = self.found.iter().filter(|(_, own)| *own == k).count();
            let own: Vec<(Option<&str>, &Said)> = said
                .iter()
                .filter(|(_, own)| own.outcome.label() == label.name)
                .map(|(row, own)| (self.source.patients[*row].as_deref(), own))
                .collect();
            all.push(summarise(self.asked, label, true_positives, &own, out)?);
        }
        Ok(all)
    }
}

/// Whether all records are of one patient. A record of unknown patient counts as one of its own, as in the
/// baselines.
fn is_of_one_patient(source: &Source) -> bool {
    let [first, others @ ..] = &source.patients[..] else { return true };
    others.iter().all(|patient| patient.is_some() && patient == first)
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

fn summarise(
    asked: &Asked,
    label: &Label,
    true_positives: usize,
    said: &[(Option<&str>, &Said)],
    out: &Path,
) -> Result<OfLabel> {
    let explained: Vec<(Option<&str>, &Explanation)> = said
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
        let under: Vec<(Option<&str>, &Explanation)> = said
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
    explained: &[(Option<&str>, &'a Explanation)],
    asked: &Asked,
) -> Result<(Vec<Cow<'a, Explanation>>, Cohort), LimeError> {
    let (patients, mut own): (Vec<Option<&str>>, Vec<Cow<'a, Explanation>>) =
        explained.iter().map(|(patient, own)| (*patient, Cow::Borrowed(*own))).unzip();
    if asked.segments > 1 {
        for own in &mut own {
            let by_lead = own.by_lead();
            own.to_mut().values = by_lead;
        }
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

impl OfLabel {
    /// Describes the results, one line each.
    fn lines(&self) -> Vec<String> {
        let one_class = match self.one_class {
            0 => String::new(),
            n => format!(", {n} with one class only"),
        };
        let mut lines = vec![format!(
            "{} of {} true positives of {} explained{one_class}",
            self.explained, self.true_positives, self.label
        )];
        if self.fallback > 0 {
            lines.push(format!(
                "limb leads contradict each other in {} of {}, so each lead is a player there",
                self.fallback, self.explained
            ));
        }
        for own in &self.cohort.leads {
            let interval = own
                .mean_interval
                .map_or(String::new(), |[low, high]| format!(" (95 %: {low:+.4} to {high:+.4})"));
            let n = match own.n == self.explained {
                true => String::new(),
                false => format!("  n {}", own.n),
            };
            lines.push(format!(
                "{:<4}  mean {:>+8.4}{interval}  median {:>+8.4}  quartiles {:>+8.4} {:>+8.4}  largest in {}{n}",
                own.lead, own.mean, own.median, own.quartiles[0], own.quartiles[1], own.top
            ));
        }
        for pair in self.agreement.methods.iter().chain(&self.agreement.baselines) {
            let [left, right] = &pair.between;
            let ranks =
                pair.agreement.spearman.map_or("undefined".to_owned(), |r| format!("{r:.2}"));
            let top = pair.agreement.same_top.map_or("no top lead".to_owned(), |share| {
                format!("same top lead in {:.0} %", 100.0 * share)
            });
            lines.push(format!("{left} and {right}: rank correlation {ranks}, {top}"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{args, model, untrained};
    use ecg_lime::Target;
    use ecg3d_models::{Architecture, Preset};
    use ndarray::{Array2, Array3};
    use ndarray_npy::NpzWriter;
    use std::fs::File;

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
    fn archives_of_volumes_are_refused_before_they_are_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("x.npz");
        let mut archive = NpzWriter::new(File::create(&data).expect("creates"));
        // An array that cannot be read.
        archive.add_array("volume", &Array3::<i64>::zeros((1, 1, 1))).expect("adds");
        archive.finish().expect("finishes");
        let (model, args) = (untrained(), args(&["--label", "AF", "--data", "x"]));
        let advice = "one row per record; make them with convert --stage prepared";
        for (result, what) in [
            (load(&model, &data, None, &args), "explanations"),
            (others(&model, &data, &args), "baselines"),
        ] {
            let error = result.expect_err("refused").to_string();
            let expected = format!("x.npz holds volume; {what} need prepared signals, {advice}");
            assert!(error.ends_with(&expected), "{error}");
        }
    }

    #[test]
    fn columns_that_no_sidecar_names_are_those_of_the_weights() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("x.npz");
        let mut archive = NpzWriter::new(File::create(&data).expect("creates"));
        archive.add_array("prepared", &Array3::<f32>::zeros((2, 12, 500))).expect("adds");
        archive.add_array("labels", &Array2::<u8>::eye(2)).expect("adds");
        archive.finish().expect("finishes");
        let labels = LabelSet::new(["PVC", "AF"]).expect("labels");
        let model = model(Architecture::Ribeiro, Preset::Corrected, labels.clone());
        let args = args(&["--label", "AF", "--data", "x"]);
        let source = load(&model, &data, None, &args).expect("loads");
        assert_eq!(source.label_set, labels);
        assert_eq!(source.labels, [Some(vec![true, false]), Some(vec![false, true])]);
    }

    #[test]
    fn a_summary_says_where_limb_leads_contradict_each_other() {
        let of = |leads: &[&str], fallback: bool| {
            let values = leads.iter().map(|lead| (*lead, 0.5));
            let mut own = Explanation::from_values("AF", Target::Logit, values, 0.0, 1.0);
            let contradiction = serde_json::json!({"residual": 0.2, "tolerance": 0.05});
            own.fallback =
                fallback.then(|| serde_json::from_value(contradiction).expect("what a file has"));
            own
        };
        let lines = |explained: &[Explanation]| {
            let patients = vec![Some("A"); explained.len()];
            let cohort = Cohort::of(explained, &patients, &CohortOptions::default());
            let own = OfLabel {
                label: "AF".to_owned(),
                threshold: 0.5,
                true_positives: 4,
                explained: explained.len(),
                one_class: 0,
                fallback: explained.iter().filter(|own| own.fallback.is_some()).count(),
                baseline: "zero".to_owned(),
                cohort: cohort.expect("alike"),
                other_baselines: Vec::new(),
                agreement: MeanAgreements {
                    methods: Vec::new(),
                    baselines: Vec::new(),
                    random_weights: None,
                },
                faithfulness: None,
            };
            own.lines()
        };
        let eight = || of(&["I", "V1"], false);
        let plain = lines(&[eight(), eight()]);
        assert_eq!((plain.len(), plain[0].as_str()), (3, "2 of 4 true positives of AF explained"));
        assert!(plain.iter().all(|line| !line.contains("  n ")), "{plain:?}");
        let mixed = lines(&[eight(), of(&["I", "III", "V1"], true), eight()]);
        assert_eq!(
            mixed[1],
            "limb leads contradict each other in 1 of 3, so each lead is a player there"
        );
        let n = |lead: &str| {
            let line = mixed.iter().find(|line| line.starts_with(lead)).expect("a line");
            line.rsplit_once("  n ").map(|(_, n)| n.to_owned())
        };
        assert_eq!((n("I "), n("III"), n("V1")), (None, Some("1".to_owned()), None));
    }

    #[test]
    fn lines_of_a_name_that_several_records_share_are_not_taken_over() {
        let model = untrained();
        let args = args(&["--label", "AF", "--data", "x"]);
        let asked = Asked::new(&args, &model).expect("makes sense");
        let names = ["a", "b", "a"].map(str::to_owned).to_vec();
        let rows = Rows::Prepared { signals: Array3::zeros((3, 12, 500)), lengths: vec![500; 3] };
        let source = Source::unlabelled(names, rows);
        let found = [(0, 0), (1, 0), (2, 0)];
        let work = Work::new(&model, &asked, &source, &found, Path::new("absent"), None);
        let work = work.expect("prepared signals");
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.partial");
        let taken = |text: &str| {
            std::fs::write(&path, text).expect("writes");
            work.take_over(&path, "key", false).map(|(_, said)| said.len())
        };
        assert_eq!(taken("key\n").expect("nothing to take over"), 0);
        let error = format!("{:#}", taken("key\n{\"record\":\"a\"}\n").expect_err("whose is it"));
        let reason = "x.partial:2: cannot continue from this line; discard the file with --restart: several records \
                      are named a, so it is not known to which of them the line belongs";
        assert!(error.ends_with(reason), "{error}");
        // The name of a single record is no obstacle; only the rest of the line is missing.
        let error = format!("{:#}", taken("key\n{\"record\":\"b\"}\n").expect_err("half a line"));
        assert!(!error.contains("several records"), "{error}");
    }

    #[test]
    fn a_record_of_an_unknown_patient_is_of_one_of_its_own() {
        let of_one = |patients: &[Option<&str>]| {
            let n = patients.len();
            let rows = Rows::Prepared { signals: Array3::zeros((n, 12, 1)), lengths: vec![1; n] };
            let mut source = Source::unlabelled(vec!["a".to_owned(); n], rows);
            source.patients = patients.iter().map(|own| own.map(str::to_owned)).collect();
            is_of_one_patient(&source)
        };
        assert!(of_one(&[None]) && of_one(&[Some("p"), Some("p")]));
        assert!(
            !of_one(&[None, None]) && !of_one(&[Some("p"), None]) && !of_one(&[None, Some("p")])
        );
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
