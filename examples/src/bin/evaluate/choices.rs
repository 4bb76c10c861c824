//! What is chosen on other records than those that are judged: calibration and thresholds.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use ecg_core::LabelSet;
use ecg_metrics::{
    CalibrationMethod, Calibrator, ChallengeWeights, ThresholdRule, choose_thresholds,
};
use ecg3d_examples::say_err;
use ecg3d_examples::source::LabelArgs;
use ndarray::{Array2, Axis};

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
        Ok(Self::Label(match text {
            "youden" => ThresholdRule::Youden,
            "f1" => ThresholdRule::MaxF1,
            "gbeta" => ThresholdRule::MaxGBeta,
            "challenge" => return Ok(Self::Challenge),
            other => {
                let wanted = other.strip_prefix("sensitivity=").and_then(|v| v.parse().ok());
                let wanted = wanted.filter(|v| (0.0..=1.0).contains(v)).ok_or_else(|| {
                    "expected youden, f1, gbeta, challenge, or sensitivity=VALUE from 0 to 1"
                        .to_owned()
                })?;
                ThresholdRule::Sensitivity(wanted)
            }
        }))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(ThresholdRule::MaxF1) => f.write_str("largest F1"),
            Self::Label(ThresholdRule::MaxGBeta) => f.write_str("largest G-beta"),
            Self::Label(ThresholdRule::Sensitivity(wanted)) => write!(f, "sensitivity {wanted}"),
            Self::Label(_) => f.write_str("Youden"),
            Self::Challenge => f.write_str("largest challenge score"),
        }
    }
}

/// Predictions of other records, with their truth.
pub struct Validation {
    /// The file.
    what: String,
    /// `[record, label]`, labels as judged.
    truth: Array2<bool>,
    /// `[record, label]`.
    probabilities: Array2<f64>,
}

impl Validation {
    /// Reads predictions and labels, and makes sure that none of their records is judged.
    pub fn read(
        predictions: &Path,
        labels: &Path,
        how: &LabelArgs,
        judged: &Judged,
    ) -> Result<Self> {
        let table = Table::predictions(predictions)?;
        let (truth, patients) = table.truth_from(&Table::labels(labels, how)?)?;
        if let Some((line, record)) = table.shared_record(&judged.records) {
            bail!(
                "{}:{line}: record {record} is also among those that are judged; choose on other records",
                predictions.display()
            );
        }
        let known: std::collections::HashSet<&String> = judged.patients.iter().collect();
        if let Some(patient) = patients.iter().flatten().find(|patient| known.contains(patient)) {
            say_err!(
                "warning: patient {patient} has records both in {} and among those that are judged",
                predictions.display()
            );
        }
        let columns = table.columns_of(&judged.labels)?;
        Ok(Self {
            what: predictions.display().to_string(),
            truth: truth.select(Axis(1), &columns),
            probabilities: table.values.select(Axis(1), &columns),
        })
    }

    /// The file of these predictions.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Fits a calibrator, and warns of labels that it leaves as they are.
    pub fn calibrator(&self, labels: &LabelSet, method: CalibrationMethod) -> Result<Calibrator> {
        let fit = Calibrator::fit(labels, self.truth.view(), self.probabilities.view(), method)?;
        for own in fit.labels() {
            if let Some(why) = own.unfitted {
                say_err!("warning: {} is not calibrated: in {} {why}", own.label, self.what);
            }
        }
        Ok(fit)
    }

    /// Applies a calibrator to these records.
    pub fn calibrate(&mut self, labels: &LabelSet, calibrator: &Calibrator) -> Result<()> {
        self.probabilities = calibrator.apply(labels, self.probabilities.view())?;
        Ok(())
    }

    /// Thresholds by a rule, and where they come from in words.
    pub fn thresholds(
        &self,
        labels: &LabelSet,
        rule: Rule,
        weights: Option<&ChallengeWeights>,
    ) -> Result<(Vec<f64>, String)> {
        let (truth, p) = (self.truth.view(), self.probabilities.view());
        let source = format!("{rule} on {}", self.what);
        let rule = match rule {
            Rule::Label(rule) => rule,
            Rule::Challenge => {
                let weights = weights.context(
                    "--choose-thresholds challenge needs weights for these labels: --challenge-weights FILE",
                )?;
                return Ok((weights.choose_thresholds(labels, truth, p)?, source));
            }
        };
        let chosen = choose_thresholds(labels, truth, p, rule)?;
        let or_half = |(label, threshold): (&str, Option<f64>)| {
            threshold.unwrap_or_else(|| {
                say_err!(
                    "warning: no threshold of {label} can be chosen on {}; it stays at 0.5",
                    self.what
                );
                0.5
            })
        };
        Ok((labels.iter().zip(chosen).map(or_half).collect(), source))
    }
}

/// Reads a calibrator that an earlier run wrote.
pub fn read_calibrator(path: &Path) -> Result<Calibrator> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no calibrator", path.display()))
}

/// The weights of the challenge score: of a file, else the published ones where all labels have one.
pub fn challenge_weights(
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
            "--challenge-normal {normal} is none of the labels {labels}"
        );
        return Ok(Some(weights));
    }
    let own = ChallengeWeights::seven();
    let known = labels.iter().all(|label| own.weight(label, label).is_ok());
    Ok((known && labels.index_of(own.normal()).is_some()).then_some(own))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(weights(&["AF", "NSR"]).is_some());
        assert!(weights(&["AF", "SB"]).is_none() && weights(&["NSR", "other"]).is_none());
    }
}
