//! Explains decisions by lead: one record with pictures, or every true positive of a data set.

mod many;
mod one;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use ecg_core::{Lead, LeadName};
use ecg_lime::{
    EvaluateOptions, ExplainOptions, LimeError, Method, Outcome, Players, SubsetEvaluations,
};
use ecg3d_convert::{ConvertConfig, LeadSelection, Scale, Units};
use ecg3d_examples::source::LabelArgs;
use ecg3d_examples::{NO_WEIGHTS, run};
use ecg3d_models::Model;
use ndarray::ArrayView2;
use std::ops::ControlFlow;
use tch::Device;

/// Say which leads a decision rests on.
///
/// With --record: explanation.json, bars.svg and ecg.svg (each lead tinted by its part). With --data: every true positive
/// of the label; explanations.jsonl (one line a record), explanation.json (a summary) and boxes.svg.
///
/// An explanation says what the model made of the leads, not what the heart did: a removed lead is a flat line, which the
/// model hardly knows, and a network of volumes never sees polarity.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Weights that `train` or `import-keras` wrote (none are shipped yet)
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// One WFDB or CSV record
    #[arg(long, value_name = "PATH", required_unless_present = "data", conflicts_with = "data")]
    record: Option<PathBuf>,
    /// Folder of records, or .npz of prepared signals that `convert` wrote
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    labels: LabelArgs,
    /// The label to explain
    #[arg(long, value_name = "NAME")]
    label: String,
    /// shapley: exact Shapley values; lime: regression on all subsets; lime-sampled: on 1000 random ones; published: the
    /// study's 793 subsets
    #[arg(long, value_name = "METHOD", default_value = "shapley")]
    method: Method,
    /// Among whom the decision is shared: eight independent leads (removing I or II recomputes III, aVR, aVL and aVF), or
    /// twelve (which splits what the limb leads share) [default: eight for shapley, twelve for lime; published has twelve]
    #[arg(long, value_name = "N", value_parser = ["8", "12"])]
    players: Option<String>,
    /// What is shared out
    #[arg(long, value_name = "WHAT", default_value = "probability", value_parser = ["probability", "logit"])]
    target: String,
    /// Explain at most this many true positives of --data
    #[arg(long, value_name = "N", requires = "data")]
    limit: Option<usize>,
    /// Folder for the results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

fn main() -> ExitCode {
    run(|args: Args| {
        let weights = args.weights.as_deref().context(NO_WEIGHTS)?;
        let model = Model::load(weights, Device::cuda_if_available())?;
        let asked = Asked::new(&args, &model)?;
        match (&args.record, &args.data) {
            (Some(record), _) => one::explain(&model, &asked, record, &args.out),
            (None, Some(data)) => many::explain(&model, &asked, data, &args),
            (None, None) => bail!("--record PATH or --data DIR is needed"),
        }
    })
}

/// What is asked of each record.
struct Asked {
    label: String,
    /// Column of the label.
    column: usize,
    /// The label is predicted where its probability is above this.
    threshold: f64,
    eight: bool,
    options: ExplainOptions,
}

impl Asked {
    fn new(args: &Args, model: &Model) -> Result<Self> {
        let labels = model.labels();
        let column = labels.index_of(&args.label).with_context(|| {
            format!("unknown label {}; the model's labels are {labels}", args.label)
        })?;
        let eight = match (args.method, args.players.as_deref()) {
            (Method::Permutation | Method::Owen, _) => {
                bail!(
                    "--method {} is for the library only; use shapley, lime, lime-sampled or published",
                    args.method
                )
            }
            (Method::Published, Some("8")) => bail!("the published method has twelve players"),
            (Method::Published, _) => false,
            (_, Some(players)) => players == "8",
            (method, None) => method == Method::Shapley,
        };
        let mut evaluate = EvaluateOptions::default().with_batch(model.batch().max(64));
        if let Some(tolerance) = einthoven_tolerance(&model.card().preprocessing) {
            evaluate = evaluate.with_einthoven_tolerance(tolerance);
        }
        let threshold = model.card().threshold_values()[column];
        let target = match args.target.as_str() {
            "logit" => ecg_lime::Target::Logit,
            _ => ecg_lime::Target::Probability,
        };
        Ok(Self {
            label: args.label.clone(),
            column,
            threshold,
            eight,
            options: ExplainOptions::default()
                .with_method(args.method)
                .with_target(target)
                .with_threshold(threshold)
                .with_evaluate(evaluate),
        })
    }

    /// The players for a signal with these leads.
    fn players(&self, leads: &[LeadName]) -> Result<Players, LimeError> {
        if self.eight { Players::independent(leads) } else { Ok(Players::leads(leads)) }
    }

    /// Evaluates and explains one prepared signal `[lead, sample]`, its padding left out.
    fn explain(
        &self,
        model: &Model,
        prepared: ArrayView2<'_, f32>,
        leads: &[LeadName],
        observer: &mut dyn FnMut(usize, usize),
    ) -> Result<Outcome, LimeError> {
        let evaluations = SubsetEvaluations::new(
            model,
            prepared,
            &self.players(leads)?,
            &self.options.subsets(),
            &self.options.evaluate,
            &mut |done, total| {
                observer(done, total);
                ControlFlow::Continue(())
            },
        )?;
        evaluations.explain(&self.label, &self.options)
    }

    /// What the values of an explanation are, for the axis of a picture.
    fn value_name(&self) -> String {
        match self.options.method {
            Method::Published => "coefficient of the published LIME".to_owned(),
            Method::Lime | Method::LimeSampled => {
                format!("coefficient for the {}", self.options.target)
            }
            _ => format!("part in the {}", self.options.target),
        }
    }
}

/// 50 uV in the units of prepared signals; `None` where amplitudes are scaled away.
fn einthoven_tolerance(config: &ConvertConfig) -> Option<f64> {
    match (config.scale, config.units) {
        (Scale::None, Units::Adc) => Some(50.0),
        (Scale::None, Units::Millivolts) => Some(0.05),
        _ => None,
    }
}

/// The leads of a prepared signal, given those of the recording.
fn prepared_leads(config: &ConvertConfig, recorded: &[LeadName]) -> Vec<LeadName> {
    match &config.leads {
        LeadSelection::Named { leads } => leads.iter().map(|lead| (*lead).into()).collect(),
        LeadSelection::File { count } => recorded.iter().take(*count).cloned().collect(),
        _ => Lead::STANDARD_12.map(LeadName::from).to_vec(),
    }
}
