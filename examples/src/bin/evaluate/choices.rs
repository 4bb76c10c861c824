//! What is chosen on other records than the evaluated ones: calibration and thresholds.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use ecg_core::LabelSet;
use ecg_metrics::{
    CalibrationMethod, Calibrator, ChallengeWeights, ThresholdRule, Thresholds, choose_thresholds,
    thresholds_across_folds,
};
use ecg3d_examples::say_err;
use ecg3d_examples::source::LabelArgs;
use ndarray::{Array2, ArrayView2, Axis};

use crate::Args;
use crate::judged::Judged;
use crate::table::Table;

/// How thresholds are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Each label by itself.
    Label(ThresholdRule),
    /// All labels together, by the challenge score.
    Challenge,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "challenge" {
            return Ok(Self::Challenge);
        }
        text.parse().map(Self::Label).map_err(|_| {
            "expected youden, f1, gbeta, challenge, or sensitivity=VALUE from 0 to 1".to_owned()
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(rule) => write!(f, "{rule}"),
            Self::Challenge => f.write_str("largest challenge score"),
        }
    }
}

/// Thresholds for each label, or for each label and fold.
#[derive(Debug, Clone)]
pub enum Cutoffs {
    Labels(Vec<f64>),
    Folds {
        /// `[record, label]`.
        all: Array2<f64>,
        /// The labels' thresholds by fold.
        by_fold: BTreeMap<u32, Vec<f64>>,
    },
}

impl Cutoffs {
    pub fn view(&self) -> Thresholds<'_> {
        match self {
            Self::Labels(own) => own.into(),
            Self::Folds { all, .. } => all.view().into(),
        }
    }
}

/// The thresholds, and a description of where they come from.
pub struct Chosen {
    /// Thresholds for the evaluated predictions.
    pub own: Cutoffs,
    pub source: String,
    /// The same for the other predictions, in their order.
    pub against: Vec<(Cutoffs, String)>,
}

/// Everything asked for beside the predictions, read and checked against the labels before the long work.
pub struct Choices {
    /// The weights of the challenge score, if the labels have any.
    pub weights: Option<ChallengeWeights>,
    /// Thresholds given by `--thresholds`; `None` for a label that it leaves out.
    thresholds: Option<Vec<Option<f64>>>,
    rule: Option<Rule>,
    /// Whether the rule uses the other folds.
    across_folds: bool,
    /// The calibrator of another run, and a description of where it comes from.
    calibrator: Option<(Calibrator, String)>,
    method: Option<CalibrationMethod>,
    validation: Option<Validation>,
}

impl Choices {
    /// Reads everything that depends on the labels that are evaluated.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or lacks a label, or if the arguments do not go together.
    pub fn read(args: &Args, labels: &LabelSet) -> Result<Self> {
        let thresholds =
            args.thresholds.as_deref().map(|text| parse_thresholds(text, labels)).transpose()?;
        let file = args.challenge_weights.as_deref();
        let weights = challenge_weights(file, &args.challenge_normal, labels)?;
        ensure!(
            args.choose_thresholds != Some(Rule::Challenge) || weights.is_some(),
            "--choose-thresholds challenge needs weights for these labels: --challenge-weights FILE"
        );
        let calibrator = match &args.calibrator {
            Some(file) => {
                let calibrator = read_calibrator(file)?;
                let source = format!("of {}", file.display());
                for label in labels.iter() {
                    calibrator.label(label).with_context(|| format!("calibrator {source}"))?;
                }
                Some((calibrator, source))
            }
            None => None,
        };
        let validation = match args.validation.as_deref().zip(args.validation_labels.as_deref()) {
            Some((predictions, truth)) => {
                ensure!(
                    args.choose_thresholds.is_some() || args.calibrate.is_some(),
                    "--validation needs --choose-thresholds or --calibrate"
                );
                Some(Validation::read(predictions, truth, &args.labels, labels)?)
            }
            None => None,
        };
        Ok(Self {
            weights,
            thresholds,
            rule: args.choose_thresholds,
            across_folds: args.across_folds,
            calibrator,
            method: args.calibrate,
            validation,
        })
    }

    /// Makes sure that nothing is chosen on the records that are evaluated, and warns if that cannot be
    /// determined.
    ///
    /// # Errors
    /// Returns an error if a record is among both, or if a record has no fold although thresholds are chosen
    /// across folds.
    pub fn check(
        &self,
        records: &[String],
        patients: &[Option<String>],
        folds: &[Option<u32>],
    ) -> Result<()> {
        if self.across_folds {
            check_folds(records, patients, folds)?;
        }
        self.validation.as_ref().map_or(Ok(()), |own| own.check_apart(records, patients))
    }

    /// Calibrates the probabilities if that was asked for, and chooses the thresholds.
    pub fn make(&mut self, judged: &mut Judged) -> Result<Chosen> {
        let calibrator = match (self.calibrator.take(), self.method, &self.validation) {
            (Some(own), ..) => Some(own),
            (None, Some(method), Some(validation)) => {
                let fit = validation.calibrator(&judged.labels, method)?;
                Some((fit, format!("fitted on {}", validation.what)))
            }
            _ => None,
        };
        if let Some((calibrator, source)) = calibrator {
            if let Some(own) = &mut self.validation {
                own.probabilities = calibrator.apply(&judged.labels, own.probabilities.view())?;
            }
            judged.calibrate(calibrator, source)?;
        }
        let usual = judged.thresholds.as_deref();
        let (own, source) = match (self.rule, &self.validation) {
            (Some(rule), _) if self.across_folds => return self.across_folds(rule, judged),
            (Some(rule), Some(on)) => {
                let (truth, p) = (on.truth.view(), on.probabilities.view());
                let (own, kept) = self.by_rule(rule, &judged.labels, truth, p, usual, &on.what)?;
                (own, format!("{rule} on {}{}", on.what, none_for(&kept, "")))
            }
            _ => {
                let (own, mut source) = given(self.thresholds.as_deref(), usual, &judged.labels);
                if usual.is_some() && judged.calibrator.is_some() && source != "--thresholds" {
                    source.push_str(", calibrated");
                }
                (own, source)
            }
        };
        let own = Cutoffs::Labels(own);
        let against = vec![(own.clone(), source.clone()); judged.against.len()];
        Ok(Chosen { own, source, against })
    }

    /// Chooses thresholds for the records of each fold on those of all others, separately for each set of
    /// predictions.
    fn across_folds(&self, rule: Rule, judged: &Judged) -> Result<Chosen> {
        let folds: Vec<u32> = judged.folds.iter().copied().flatten().collect();
        let choose = |what: &str, p: &Array2<f64>| -> Result<(Cutoffs, String)> {
            let (mut by_fold, mut kept) = (BTreeMap::new(), BTreeSet::new());
            let (truth, p) = (judged.truth.view(), p.view());
            let all = thresholds_across_folds(truth, p, &folds, |fold, truth, p| {
                let others = format!("the folds of {what} except {fold}");
                let usual = judged.thresholds.as_deref();
                let (own, none) = self.by_rule(rule, &judged.labels, truth, p, usual, &others)?;
                by_fold.insert(fold, own.clone());
                kept.extend(none);
                Ok::<_, anyhow::Error>(own)
            });
            let cutoffs = Cutoffs::Folds { all: all.context("--across-folds")?, by_fold };
            let source = format!("{rule} on the other folds{}", none_for(&kept, " in every fold"));
            Ok((cutoffs, source))
        };
        let (own, source) = choose(&judged.what, &judged.probabilities)?;
        let against = judged.against.iter().map(|(file, p)| choose(file, p));
        Ok(Chosen { own, source, against: against.collect::<Result<_>>()? })
    }

    /// Chooses thresholds by a rule on the records of `what`. If the rule finds none, the `usual` one is used,
    /// or 0.5; also returns the labels for which this is so.
    fn by_rule(
        &self,
        rule: Rule,
        labels: &LabelSet,
        truth: ArrayView2<'_, bool>,
        p: ArrayView2<'_, f64>,
        usual: Option<&[f64]>,
        what: &str,
    ) -> Result<(Vec<f64>, BTreeSet<String>)> {
        let chosen = match rule {
            Rule::Label(rule) => choose_thresholds(labels, truth, p, rule)?,
            Rule::Challenge => {
                let weights = self.weights.as_ref().context("no weights for these labels")?;
                weights.choose_thresholds(labels, truth, p)?
            }
        };
        let mut kept = BTreeSet::new();
        let or_usual = |(k, (label, threshold)): (usize, (&str, Option<f64>))| {
            threshold.unwrap_or_else(|| {
                kept.insert(label.to_owned());
                let usual = usual.map_or(0.5, |own| own[k]);
                say_err!(
                    "warning: cannot choose a threshold for {label} on {what}; keeping {usual}"
                );
                usual
            })
        };
        Ok((labels.iter().zip(chosen).enumerate().map(or_usual).collect(), kept))
    }
}

/// Says for which labels no threshold could be chosen, or not `everywhere`.
fn none_for(labels: &BTreeSet<String>, everywhere: &str) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    format!(", but not{everywhere} for {}, where no choice was possible", labels.join(", "))
}

/// Returns the thresholds of `--thresholds`, and those of the weights for labels that it leaves out.
fn given(
    asked: Option<&[Option<f64>]>,
    weights: Option<&[f64]>,
    labels: &LabelSet,
) -> (Vec<f64>, String) {
    let (usual, source) = match weights {
        Some(own) if own.iter().any(|own| *own != 0.5) => (own.to_vec(), "weights"),
        _ => (vec![0.5; labels.len()], "default 0.5"),
    };
    let Some(asked) = asked else { return (usual, source.to_owned()) };
    let all = asked.iter().zip(usual).map(|(own, usual)| own.unwrap_or(usual)).collect();
    if asked.iter().all(Option::is_some) {
        return (all, "--thresholds".to_owned());
    }
    (all, format!("--thresholds, else {source}"))
}

/// Makes sure that each record has a fold and that there are several folds, and warns of patients in several.
fn check_folds(
    records: &[String],
    patients: &[Option<String>],
    folds: &[Option<u32>],
) -> Result<()> {
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut torn = BTreeSet::new();
    for ((record, patient), fold) in records.iter().zip(patients).zip(folds) {
        let fold = fold.with_context(|| {
            format!(
                "record {record} has no fold; --across-folds needs a label table with a column fold"
            )
        })?;
        if let Some(patient) = patient
            && *known.entry(patient).or_insert(fold) != fold
        {
            torn.insert(patient);
        }
    }
    if let Some(patient) = torn.first() {
        say_err!(
            "warning: {} patients, such as {patient}, have records in several folds, so they are evaluated with thresholds that were \
             chosen on their own records",
            torn.len()
        );
    }
    let first = folds.iter().flatten().next();
    ensure!(
        folds.iter().flatten().any(|fold| Some(fold) != first),
        "all records are in one fold; --across-folds needs at least two"
    );
    Ok(())
}

/// Predictions of other records, with their truth.
struct Validation {
    /// The predictions' file.
    what: String,
    records: Table<f64>,
    /// The patients of the records, if known.
    patients: Vec<Option<String>>,
    /// `[record, label]`, with the labels that are evaluated.
    truth: Array2<bool>,
    /// `[record, label]`.
    probabilities: Array2<f64>,
}

impl Validation {
    /// Reads predictions and their truth for the labels that are evaluated.
    fn read(predictions: &Path, truth: &Path, how: &LabelArgs, labels: &LabelSet) -> Result<Self> {
        let table = Table::predictions(predictions)?;
        let columns = table.columns_of(labels, "the evaluated records")?;
        let truth = table.truth_from(&Table::labels(truth, how)?)?;
        Ok(Self {
            what: predictions.display().to_string(),
            truth: truth.holds.select(Axis(1), &columns),
            probabilities: table.values().select(Axis(1), &columns),
            patients: truth.patients,
            records: table,
        })
    }

    fn check_apart(&self, records: &[String], patients: &[Option<String>]) -> Result<()> {
        let shared = self.records.shared_with(records);
        let numbered = is_row_numbers(&self.records.records) || is_row_numbers(records);
        if let Some((line, record)) = shared.by_name.filter(|_| numbered) {
            say_err!(
                "warning: {}:{line}: record {record} is also among the evaluated ones, but these names are row numbers of an \
                 archive, so it may be a different record",
                self.what
            );
        } else if let Some((line, record)) = shared.by_name {
            bail!(
                "{}:{line}: record {record} is also among the evaluated ones; use other records for --validation",
                self.what
            );
        } else if let Some((line, record)) = shared.by_base {
            say_err!(
                "warning: {}:{line}: record {record} may be the evaluated one with the same base name",
                self.what
            );
        }
        let known: HashSet<&String> = patients.iter().flatten().collect();
        if let Some(patient) = self.patients.iter().flatten().find(|own| known.contains(own)) {
            say_err!(
                "warning: patient {patient} has records both in {} and among the evaluated ones",
                self.what
            );
        }
        Ok(())
    }

    /// Fits a calibrator, and warns of labels that it leaves unchanged.
    fn calibrator(&self, labels: &LabelSet, method: CalibrationMethod) -> Result<Calibrator> {
        let fit = Calibrator::fit(labels, self.truth.view(), self.probabilities.view(), method)?;
        for own in fit.labels() {
            if let Some(why) = own.unfitted {
                say_err!("warning: {} is not calibrated: in {} {why}", own.label, self.what);
            }
        }
        Ok(fit)
    }
}

/// Whether these names are row numbers, which an archive without a sidecar gives its records: from 0, of which
/// some may be missing. Data sets whose record names are numbers hardly ever begin at 0.
fn is_row_numbers(records: &[String]) -> bool {
    let number = |name: &String| name.parse().is_ok_and(|row: u64| row.to_string() == *name);
    records.iter().any(|name| name == "0") && records.iter().all(number)
}

/// Reads a calibrator that an earlier run wrote.
fn read_calibrator(path: &Path) -> Result<Calibrator> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a calibrator", path.display()))
}

/// Returns the weights of the challenge score: those of a file, or else the published ones if all labels have
/// one.
fn challenge_weights(
    file: Option<&Path>,
    normal: &str,
    labels: &LabelSet,
) -> Result<Option<ChallengeWeights>> {
    if let Some(path) = file {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        let weights = ChallengeWeights::parse(&text, normal)
            .with_context(|| format!("{shown}"))?
            .with_description(format!("weights of {shown}"));
        for label in labels.iter() {
            weights.weight(label, label).with_context(|| format!("{shown}"))?;
        }
        ensure!(
            labels.iter().any(|label| label == normal),
            "--challenge-normal {normal} is not one of the labels {labels}"
        );
        return Ok(Some(weights));
    }
    let own = ChallengeWeights::seven();
    let known = labels.iter().all(|label| own.weight(label, label).is_ok());
    if !known || labels.index_of(own.normal()).is_none() {
        return Ok(None);
    }
    if labels.len() == LabelSet::seven().len() {
        return Ok(Some(own));
    }
    let fewer = format!(
        "published weights of {} of the seven labels; not the official score",
        labels.len()
    );
    Ok(Some(own.with_description(fewer)))
}

fn parse_thresholds(text: &str, labels: &LabelSet) -> Result<Vec<Option<f64>>> {
    let value =
        |text: &str| -> Result<f64> {
            let value: f64 =
                text.trim().parse().ok().filter(|v| (0.0..=1.0).contains(v)).with_context(
                    || format!("--thresholds: {text:?} is not a number from 0 to 1"),
                )?;
            Ok(value)
        };
    if text.contains('=') {
        let mut out = vec![None; labels.len()];
        for pair in text.split(',') {
            let (name, threshold) = pair
                .split_once('=')
                .with_context(|| format!("--thresholds: {pair:?} is not NAME=VALUE"))?;
            let column = labels.index_of(name.trim()).with_context(|| {
                format!("--thresholds: unknown label {}; the labels are {labels}", name.trim())
            })?;
            let double = out[column].replace(value(threshold)?);
            ensure!(double.is_none(), "--thresholds names {} twice", name.trim());
        }
        return Ok(out);
    }
    let all = text.split(',').map(|text| value(text).map(Some)).collect::<Result<Vec<_>>>()?;
    if let [one] = all[..] {
        return Ok(vec![one; labels.len()]);
    }
    ensure!(
        all.len() == labels.len(),
        "--thresholds: {} values for {} labels ({labels})",
        all.len(),
        labels.len()
    );
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn rules_by_name() {
        assert_eq!("f1".parse(), Ok(Rule::Label(ThresholdRule::MaxF1)));
        assert_eq!("challenge".parse(), Ok(Rule::Challenge));
        let rule: Rule = "sensitivity=0.9".parse().expect("a rule");
        assert_eq!(rule.to_string(), "sensitivity 0.9");
        for bad in ["", "F2", "sensitivity=", "sensitivity=90", "sensitivity=nan"] {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn published_weights_where_they_fit() {
        let weights = |labels: &[&str]| {
            let labels = LabelSet::new(labels.iter().copied()).expect("labels");
            challenge_weights(None, "NSR", &labels).expect("no file")
        };
        let described = |labels: &[&str]| weights(labels).map(|own| own.description().to_owned());
        assert_eq!(
            described(&["AF", "NSR"]).as_deref(),
            Some("published weights of 2 of the seven labels; not the official score")
        );
        assert_eq!(
            described(&["NSR", "AF", "IAVB", "LBBB", "RBBB", "SB", "STach"]).as_deref(),
            Some("published weights of seven labels; not the official score")
        );
        assert!(weights(&["AF", "SB"]).is_none() && weights(&["NSR", "other"]).is_none());
    }

    #[test]
    fn a_label_that_no_record_has_keeps_its_threshold() {
        let labels = LabelSet::new(["NSR", "AF"]).expect("labels");
        let choices = Choices {
            weights: Some(ChallengeWeights::seven()),
            thresholds: None,
            rule: None,
            across_folds: false,
            calibrator: None,
            method: None,
            validation: None,
        };
        let (truth, p) = (array![[true, false], [false, false]], array![[0.8, 0.4], [0.2, 0.6]]);
        let by = |rule, usual: Option<&[f64]>| {
            let own = choices.by_rule(rule, &labels, truth.view(), p.view(), usual, "v.csv");
            let (own, kept) = own.expect("chooses");
            assert_eq!(none_for(&kept, ""), ", but not for AF, where no choice was possible");
            own[1]
        };
        assert_eq!(none_for(&BTreeSet::new(), ""), "");
        for rule in [Rule::Challenge, Rule::Label(ThresholdRule::MaxF1)] {
            assert_eq!((by(rule, Some(&[0.3, 0.4])), by(rule, None)), (0.4, 0.5), "{rule}");
        }
    }

    #[test]
    fn validation_of_other_records() {
        let dir = tempfile::tempdir().expect("a folder");
        let validation = |names: &[&str], patients: &[&str]| {
            let [p, t] = ["p.csv", "t.csv"].map(|name| dir.path().join(name));
            let rows: Vec<_> = names.iter().zip(patients).collect();
            let rows_of = |row: &dyn Fn(&str, &str) -> String| -> String {
                rows.iter().map(|(name, patient)| row(name, patient)).collect()
            };
            let table = rows_of(&|name, _| format!("{name},0.5\n"));
            std::fs::write(&p, format!("record,AF\n{table}")).expect("writes");
            let table = rows_of(&|name, patient| format!("{name},{patient},1\n"));
            std::fs::write(&t, format!("record,patient,AF\n{table}")).expect("writes");
            let labels = LabelSet::new(["AF"]).expect("labels");
            Validation::read(&p, &t, &LabelArgs::default(), &labels).expect("reads")
        };
        let apart = |own: &[&str], judged: &[&str]| {
            let judged: Vec<String> = judged.iter().map(|name| (*name).to_owned()).collect();
            let unknown = vec![None; judged.len()];
            validation(own, &vec![""; own.len()]).check_apart(&judged, &unknown).is_ok()
        };
        assert!(apart(&["a", "b"], &["c", "x/a"]));
        assert!(!apart(&["a", "b"], &["b", "c"]));
        // Rows of two archives; the names of a data set are taken as they are.
        assert!(apart(&["0", "1", "2"], &["0", "1", "3"]));
        assert!(apart(&["0", "2"], &["1", "2"]));
        for [own, judged] in [[["100", "101"], ["101", "102"]], [["0", "a"], ["0", "b"]]] {
            assert!(!apart(&own, &judged), "{own:?}");
        }
        assert!(!apart(&["00", "01"], &["01", "02"]));
    }

    #[test]
    fn thresholds_in_three_ways() {
        let labels = LabelSet::new(["AF", "SB"]).expect("labels");
        let parse = |text: &str| parse_thresholds(text, &labels);
        assert_eq!(parse("0.3").expect("one"), [Some(0.3), Some(0.3)]);
        assert_eq!(parse("0.3,0.4").expect("each"), [Some(0.3), Some(0.4)]);
        assert_eq!(parse("SB=0.2").expect("named"), [None, Some(0.2)]);
        let named = parse("SB=0.2").expect("named");
        let (own, source) = given(Some(&named), Some(&[0.3, 0.4]), &labels);
        assert_eq!((own, source.as_str()), (vec![0.3, 0.2], "--thresholds, else weights"));
        assert_eq!(given(Some(&named), None, &labels).0, [0.5, 0.2]);
        assert_eq!(given(None, Some(&[0.3, 0.4]), &labels), (vec![0.3, 0.4], "weights".to_owned()));
        // A card has no thresholds if all are 0.5.
        let half = (vec![0.5, 0.5], "default 0.5".to_owned());
        assert_eq!(given(None, Some(&[0.5, 0.5]), &labels), half);
        for bad in
            ["", "x", "1.5", "0.1,0.2,0.3", "XX=0.1", "AF=", "AF=0.1,0.2", "nan", "AF=0.1,AF=0.2"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
