//! Explains decisions by lead: one record with pictures, or every true positive of a data set.

mod asked;
mod baselines;
mod evaluated;
mod leads;
mod many;
mod one;
mod pictures;
#[allow(dead_code)] // Each program uses a part.
#[path = "../../with_model/mod.rs"]
mod with_model;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use ecg_lime::{Method, Target};
use ecg3d_examples::run;
use ecg3d_examples::source::{LabelArgs, check_not_read, check_outputs};

use crate::asked::{Asked, Kind, Unions};
use with_model::model_args::ModelArgs;

/// Show which leads a decision rests on.
///
/// With --record: explanation.json and, as SVG and PNG: bars, ecg (each lead tinted by its part, in time with
/// --segments), interactions (shapley), segments, softmax (published). With --data: every true positive of the
/// label; explanations.jsonl (one line for each record and label), explanation.json (spread, intervals,
/// agreement), boxes, means and softmax.
///
/// An explanation says what the model made of the leads, not what the heart did: removing leads makes inputs
/// unlike those the model was trained on, and a network that reads volumes never sees polarity.
///
/// Ctrl-C stops after the current batch: the results so far are written, marked as stopped, and the exit status
/// is 130. For a data set, these are the records that were finished. With --record, the first pair of random
/// walks is still completed; a second Ctrl-C ends it. If there is nothing to write, the exit status is 1.
///
/// With --data, finished records are kept in explanations.jsonl.partial. A run interrupted for any reason continues
/// from there when it is started again with the same weights, records, arguments and device.
#[derive(Debug, Parser)]
#[command(name = "explain", version)]
struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// One WFDB or CSV record
    #[arg(long, value_name = "PATH", required_unless_present = "data", conflicts_with = "data")]
    record: Option<PathBuf>,
    /// Folder of records, or .npz of prepared signals that `convert` wrote
    #[arg(long, value_name = "DIR|FILE.npz")]
    data: Option<PathBuf>,
    #[command(flatten)]
    labels: LabelArgs,
    /// The label to explain, several separated by commas, or `all`; one set of evaluations serves them all
    #[arg(long, value_name = "NAME")]
    label: String,
    /// shapley: exact Shapley values; lime: regression on all subsets; lime-sampled: regression on random
    /// subsets; published: the study's 793 subsets; permutation: Shapley values from random walks; owen:
    /// players in unions
    #[arg(long, value_name = "METHOD", default_value = "shapley")]
    method: Method,
    /// The players among which the decision is divided: eight independent leads (removing I or II recomputes
    /// III, aVR, aVL and aVF), or twelve (which splits what the limb leads share) [default: twelve for lime,
    /// lime-sampled and published, else eight]
    #[arg(long, value_name = "N", value_parser = ["8", "12"])]
    players: Option<String>,
    /// Cut each lead into this many time segments (permutation and owen)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    segments: u32,
    /// Which players act together for owen with --segments; without --segments, the limb leads are one union
    /// and the other leads another [default: leads]
    #[arg(long, value_name = "WHO")]
    unions: Option<Unions>,
    /// Number of random walks for permutation, and for owen with --segments, rounded up to an even number; other
    /// methods ignore it
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    permutations: u32,
    /// Number of random subsets for lime-sampled, the one with all leads among them; other methods ignore it
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    samples: u32,
    /// The quantity that is divided among the players; published uses hard labels instead
    #[arg(long, value_name = "WHAT", default_value = "probability", value_parser = targets())]
    target: Target,
    /// What replaces a removed lead, several separated by commas; pictures show the first [default: zero for
    /// published, and if all of --data are of one patient and there is no --reference; else zero and mean-image
    /// for networks that read volumes, zero and background for others and for --segments]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    baseline: Vec<Kind>,
    /// Folder of records, or .npz of prepared signals, from which mean-image and background are made [default: --data;
    /// with --record, synthetic recordings in normal sinus rhythm]
    #[arg(long, value_name = "DIR|FILE.npz")]
    reference: Option<PathBuf>,
    /// Number of recordings for the background baseline
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=512))]
    background: u32,
    /// Number of networks with fresh weights for the weight-randomisation check, at most 100
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    random_models: u32,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Explain at most this many records of --data
    #[arg(long, value_name = "N", conflicts_with = "record", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Discards what an earlier run left in explanations.jsonl.partial
    #[arg(long, conflicts_with = "record")]
    restart: bool,
    /// Folder for the results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Parses the name of a target; the help lists the names.
fn targets() -> impl TypedValueParser<Value = Target> {
    let names = [Target::Probability, Target::Logit].map(Target::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Target>())
}

fn main() -> ExitCode {
    run(explain)
}

fn explain(args: Args) -> Result<ExitCode> {
    let model = args.model.model()?;
    let asked = Asked::new(&args, &model)?;
    let outputs = ["explanation.json", many::LINES];
    let weights = args.model.weights.iter();
    check_outputs(&args.out, &outputs, weights, args.data.as_ref(), &args.labels)?;
    if let Some(reference) = &args.reference {
        let places = outputs.map(|name| args.out.join(name));
        check_not_read(&places, reference, &args.labels.for_reference(reference))?;
    }
    match (&args.record, &args.data) {
        (Some(record), _) => one::explain(&model, &asked, record, &args),
        (None, Some(data)) => many::explain(&model, &asked, data, &args),
        (None, None) => bail!("--record PATH or --data DIR is needed"),
    }
}

#[cfg(test)]
mod tests {
    use ecg_core::LabelSet;
    use ecg3d_convert::ConvertConfig;
    use ecg3d_models::{Architecture, Model, ModelCard, Network, Preset};
    use tch::Device;

    use super::*;

    /// A network of signals that has not been trained.
    pub fn untrained() -> Model {
        model(Architecture::Ribeiro, Preset::Corrected, LabelSet::seven())
    }

    /// A network that has not been trained.
    pub fn model(architecture: Architecture, mode: Preset, labels: LabelSet) -> Model {
        let network =
            Network::new(architecture, mode, labels.len(), Device::Cpu, 1).expect("builds");
        let config = ConvertConfig::preset(mode);
        Model::new(network, ModelCard::new(architecture, mode, labels, config)).expect("a model")
    }

    fn parsed(words: &[&str]) -> Result<Args, clap::Error> {
        let all = ["explain", "--out", "target/never"].into_iter().chain(words.iter().copied());
        Args::try_parse_from(all)
    }

    /// The arguments of a command line, with a folder for the results.
    pub fn args(words: &[&str]) -> Args {
        parsed(words).expect("arguments")
    }

    #[test]
    fn arguments_that_would_be_ignored_or_too_large_are_refused() {
        let error = parsed(&["--label", "AF", "--record", "x", "--limit", "3"]).expect_err("both");
        assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict);
        assert_eq!(args(&["--label", "AF", "--data", "x", "--limit", "3"]).limit, Some(3));
        let with = |count| parsed(&["--label", "AF", "--data", "x", "--random-models", count]);
        assert!(with("100").is_ok() && with("101").is_err());
    }

    #[test]
    fn the_place_of_the_results_comes_before_the_work() {
        let dir = tempfile::tempdir().expect("a folder");
        let weights = dir.path().join("weights.safetensors");
        let model = untrained();
        ecg3d_models::save(model.network(), model.card(), &weights).expect("saves");
        // Neither the record nor the data set exists, which would be noticed later.
        for source in ["--record", "--data"] {
            let path = weights.to_str().expect("a name");
            let mut args = args(&["--label", "AF", source, "absent", "--weights", path]);
            args.out.clone_from(&weights);
            let error = explain(args).expect_err("no folder");
            let place = weights.join("explanation.json");
            assert_eq!(error.to_string(), format!("cannot write {}", place.display()));
        }
    }
}
