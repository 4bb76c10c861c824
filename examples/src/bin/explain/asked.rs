//! The settings that apply to every record.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use ecg_core::{LabelSet, LeadName};
use ecg_lime::{EvaluateOptions, ExplainOptions, LimeError, Method, Players};
use ecg3d_models::{InputKind, Model, Network};
use sha2::{Digest, Sha256};

use crate::Args;
use crate::with_model::einthoven::einthoven_tolerance;

/// What replaces a removed lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A flat line
    Zero,
    /// The mean image of the lead; for networks that read volumes
    MeanImage,
    /// The same lead of other recordings, one at a time, with the results averaged over them
    Background,
}

/// Players that act together for Owen values of time segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Unions {
    /// The segments of one lead
    Leads,
    /// All leads of one segment
    Moments,
}

/// A label to explain.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    pub name: String,
    /// Column among the model's labels.
    pub column: usize,
    /// The label is predicted if its probability is above this.
    pub threshold: f64,
    /// The ending of the names of its pictures if there are several labels.
    suffix: String,
}

/// The settings that apply to every record.
#[derive(Debug)]
pub struct Asked {
    pub labels: Vec<Label>,
    /// Whether the players are eight independent leads, rather than each lead.
    pub eight: bool,
    /// Time segments of each lead.
    pub segments: usize,
    pub unions: Unions,
    pub permutations: usize,
    /// The first one is shown in pictures.
    pub baselines: Vec<Kind>,
    /// Whether the baselines are the default ones, not those of `--baseline`.
    pub usual_baselines: bool,
    /// Number of other recordings for the background baseline.
    pub background: usize,
    pub seed: u64,
    pub options: ExplainOptions,
}

impl Asked {
    pub fn new(args: &Args, model: &Model) -> Result<Self> {
        let method = args.method;
        let eight = match (method, args.players.as_deref()) {
            (Method::Published, Some("8")) => bail!(
                "--players 8 cannot be used with --method published, which has twelve players"
            ),
            (_, Some(players)) => players == "8",
            (method, None) => {
                matches!(method, Method::Shapley | Method::Owen | Method::Permutation)
            }
        };
        let segments = args.segments as usize;
        ensure!(
            segments == 1 || matches!(method, Method::Permutation | Method::Owen),
            "--segments needs --method permutation or owen"
        );
        ensure!(
            args.unions.is_none() || (method == Method::Owen && segments > 1),
            "--unions needs --method owen and --segments"
        );
        let mut evaluate =
            EvaluateOptions::default().with_batch(model.batch()).with_keep_partial(true);
        if let Some(tolerance) = einthoven_tolerance(&model.card().preprocessing) {
            evaluate = evaluate.with_einthoven_tolerance(tolerance);
        }
        let mut options = ExplainOptions::default()
            .with_method(method)
            .with_target(args.target)
            .with_evaluate(evaluate);
        // Only for sampled LIME: otherwise the number of samples would change the penalty of exhaustive LIME.
        if method == Method::LimeSampled {
            options = options.with_samples(args.samples as usize);
        }
        Ok(Self {
            labels: labels(&args.label, model)?,
            eight,
            segments,
            unions: args.unions.unwrap_or(Unions::Leads),
            permutations: args.permutations as usize,
            baselines: baselines(args, model)?,
            usual_baselines: args.baseline.is_empty(),
            background: args.background as usize,
            seed: args.seed,
            options,
        })
    }

    /// Returns whether the baselines are made from other recordings.
    pub fn needs_others(&self) -> bool {
        self.baselines.iter().any(|kind| *kind != Kind::Zero)
    }

    /// Returns the players for a signal with these leads.
    pub fn players(&self, leads: &[LeadName]) -> Result<Players, LimeError> {
        if self.eight { Players::independent(leads) } else { Ok(Players::leads(leads)) }
    }

    /// Returns the seed of a record's draws in a data set, derived from `--seed` and the record's name.
    pub fn seed_of(&self, record: &str) -> u64 {
        let hash = Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(record);
        hash.finalize()[..4].iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    }

    /// Describes the values of an explanation, for the axis of a picture.
    pub fn value_name(&self) -> String {
        match self.options.method {
            Method::Published => "coefficient of the published LIME".to_owned(),
            Method::Lime | Method::LimeSampled => {
                format!("coefficient for the {}", self.options.target)
            }
            _ => format!("part in the {}", self.options.target),
        }
    }

    /// Returns the ending of the name of a label's picture: nothing if there is only one label.
    pub fn suffix(&self, label: &str) -> &str {
        match self.labels.iter().find(|own| own.name == label) {
            Some(own) if self.labels.len() > 1 => &own.suffix,
            _ => "",
        }
    }

    /// Returns the same network with fresh weights, for the weight-randomisation check.
    pub fn random_models(&self, model: &Model, count: u32) -> Result<Vec<Model>> {
        let card = model.card();
        (1..=u64::from(count))
            .map(|k| {
                let device = model.network().device();
                let seed = self.seed.wrapping_add(k);
                let mut network =
                    Network::new(card.architecture, card.mode, card.labels.len(), device, seed)?;
                network.set_precision(model.network().precision());
                Ok(Model::new(network, card.clone())?.with_batch(model.batch()))
            })
            .collect()
    }
}

fn labels(asked: &str, model: &Model) -> Result<Vec<Label>> {
    let (known, thresholds) = (model.labels(), model.card().threshold_values());
    let suffixes = suffixes(known);
    let names: Vec<&str> = match asked {
        // A label of that name would take precedence.
        "all" if known.index_of("all").is_none() => known.iter().collect(),
        names => names.split(',').map(str::trim).collect(),
    };
    let mut labels: Vec<Label> = Vec::new();
    for name in names {
        let column = known
            .index_of(name)
            .with_context(|| format!("unknown label {name}; the model's labels are {known}"))?;
        ensure!(labels.iter().all(|own| own.column != column), "--label names {name} twice");
        let (threshold, suffix) = (thresholds[column], suffixes[column].clone());
        labels.push(Label { name: name.to_owned(), column, threshold, suffix });
    }
    Ok(labels)
}

fn baselines(args: &Args, model: &Model) -> Result<Vec<Kind>> {
    let architecture = model.network().architecture();
    let volumes = architecture.input() == InputKind::Volume;
    if args.baseline.is_empty() {
        return Ok(match args.method {
            // The study's own baseline.
            Method::Published => vec![Kind::Zero],
            _ if volumes && args.segments == 1 => vec![Kind::Zero, Kind::MeanImage],
            _ => vec![Kind::Zero, Kind::Background],
        });
    }
    if args.baseline.contains(&Kind::MeanImage) {
        ensure!(
            volumes,
            "--baseline mean-image needs a network that reads volumes, but {} reads signals",
            architecture.name()
        );
        ensure!(args.segments == 1, "--baseline mean-image is for whole leads, not for --segments");
    }
    let mut kinds = Vec::new();
    for kind in &args.baseline {
        ensure!(!kinds.contains(kind), "--baseline names the same baseline twice");
        kinds.push(*kind);
    }
    Ok(kinds)
}

/// Returns the endings of the names of the pictures of each of a model's labels: a hyphen and the label, in which
/// `_` stands for any sign. Labels that then look the same, such as `ST+` and `ST-`, also get their position among
/// the labels.
pub fn suffixes(labels: &LabelSet) -> Vec<String> {
    let plain: Vec<String> = labels.iter().map(plain_suffix).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    plain.iter().for_each(|own| *counts.entry(own.as_str()).or_default() += 1);
    let suffix = |(k, own): (usize, &String)| match counts.get(own.as_str()) {
        Some(1) => own.clone(),
        _ => format!("{own}-{}", k + 1),
    };
    plain.iter().enumerate().map(suffix).collect()
}

/// Returns the ending of the name of a picture of a label that no other label looks like.
pub fn plain_suffix(label: &str) -> String {
    let plain = label.chars().map(|c| if c.is_alphanumeric() { c } else { '_' });
    format!("-{}", plain.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{args, model, untrained};
    use ecg3d_models::{Architecture, Preset};

    #[test]
    fn a_label_is_named_once() {
        let model = untrained();
        let labels = |names: &str| {
            let asked = Asked::new(&args(&["--label", names, "--record", "x"]), &model)?;
            Ok::<_, anyhow::Error>(asked.labels.into_iter().map(|own| own.name).collect::<Vec<_>>())
        };
        assert_eq!(labels("SB, AF").expect("two labels"), ["SB", "AF"]);
        assert_eq!(labels("all").expect("all labels").len(), 7);
        let error = labels("STach, AF,STach").expect_err("twice");
        assert_eq!(error.to_string(), "--label names STach twice");
    }

    #[test]
    fn labels_that_differ_in_signs_have_pictures_of_their_own() {
        let labels = LabelSet::new(["ST+", "AF", "ST-", "1st AVB"]).expect("four labels");
        assert_eq!(suffixes(&labels), ["-ST_-1", "-AF", "-ST_-3", "-1st_AVB"]);
        let model = model(Architecture::Ribeiro, Preset::Corrected, labels);
        let asked = |names: &str| {
            Asked::new(&args(&["--label", names, "--record", "x"]), &model).expect("makes sense")
        };
        let both = asked("ST-,AF");
        assert_eq!((both.suffix("ST-"), both.suffix("AF")), ("-ST_-3", "-AF"));
        assert_eq!(asked("ST-").suffix("ST-"), "");
    }
}
