//! One record under every baseline, and the results for each of its labels.

use std::ops::ControlFlow;

use ecg_core::LeadName;
use ecg_lime::{
    Agreement, Baseline, EvaluateOptions, ExplainOptions, Explanation, Faithfulness, LimeError,
    MeanAgreement, Method, Outcome, Partial, SampleOptions, SampledShapley, Segments,
    SubsetEvaluations, Target, faithfulness,
};
use ecg3d_examples::stop::stopped;
use ecg3d_models::Model;
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::asked::{Asked, Label, Unions};
use crate::baselines::Named;

/// Called with the current activity, how much of it is done, and the total; decides whether to go on.
pub type Observer<'a> = dyn FnMut(&str, usize, usize) -> ControlFlow<()> + 'a;

/// Number of players of largest magnitude whose overlap is compared.
const TOP: usize = 3;

/// A record to explain.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Prepared `[lead, sample]`, without padding.
    pub signal: ArrayView2<'a, f32>,
    pub leads: &'a [LeadName],
    pub baselines: &'a [Named],
    /// Seed of everything random.
    pub seed: u64,
}

/// How far two explanations agree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pair {
    pub between: [String; 2],
    #[serde(flatten)]
    pub agreement: Agreement,
}

/// Agreement between everything that was tried.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Agreements {
    /// The chosen method against others from the same evaluations.
    pub methods: Vec<Pair>,
    /// The first baseline against the others.
    pub baselines: Vec<Pair>,
}

/// The weight-randomisation check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RandomWeights {
    /// Number of networks with fresh weights that gave an explanation.
    pub models: usize,
    /// Each of them against the model.
    pub agreement: Vec<Agreement>,
    pub mean: Option<MeanAgreement>,
}

/// The results for one label of one record.
#[derive(Debug, Clone, Serialize)]
pub struct Said {
    pub probability: f64,
    /// `None` if the outcome states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    pub predicted: bool,
    /// The outcome under the first baseline.
    #[serde(flatten)]
    pub outcome: Outcome,
    pub other_baselines: Vec<Outcome>,
    pub agreement: Agreements,
    pub faithfulness: Option<Faithfulness>,
    pub random_weights: Option<RandomWeights>,
    /// Notes that a reader must know.
    pub notes: Vec<String>,
}

/// What a line of results says beside the outcome, whose keys are among the others.
#[derive(Deserialize)]
struct Beside {
    probability: f64,
    threshold: Option<f64>,
    predicted: bool,
    other_baselines: Vec<Outcome>,
    agreement: Agreements,
    faithfulness: Option<Faithfulness>,
    random_weights: Option<RandomWeights>,
    notes: Vec<String>,
}

impl Said {
    /// Reads a line of JSON that was made from one, whatever else it holds.
    pub fn read(line: &[u8]) -> serde_json::Result<Self> {
        let outcome: Outcome = serde_json::from_slice(line)?;
        let Beside {
            probability,
            threshold,
            predicted,
            other_baselines,
            agreement,
            faithfulness,
            random_weights,
            notes,
        } = serde_json::from_slice(line)?;
        Ok(Self {
            probability,
            // Otherwise it is that of the outcome.
            threshold: outcome.explanation().and(threshold),
            predicted,
            outcome,
            other_baselines,
            agreement,
            faithfulness,
            random_weights,
            notes,
        })
    }
}

/// The evaluations of one record under one baseline.
enum Evaluated {
    Subsets(SubsetEvaluations),
    Walks(SampledShapley),
}

/// Explains some labels of one record.
///
/// After Ctrl-C, or if `observer` stops the work, what has been done is explained, and anything that needs
/// further evaluations is left out.
pub fn explain(
    model: &Model,
    random: &[Model],
    asked: &Asked,
    subject: Subject<'_>,
    labels: &[&Label],
    observer: &mut Observer<'_>,
) -> Result<Vec<Said>, LimeError> {
    let mut runs = Vec::new();
    for own in subject.baselines {
        if !runs.is_empty() && stopped() {
            break;
        }
        let what = format!("baseline {}", own.baseline);
        match evaluate(model, asked, subject, &own.baseline, &what, observer) {
            Ok(run) => runs.push(run),
            // Too little is done of a further baseline.
            Err(LimeError::Stopped { .. }) if !runs.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    let mut strangers = Vec::new();
    for (k, other) in random.iter().enumerate() {
        if stopped() {
            break;
        }
        let what = format!("random weights {}", k + 1);
        match evaluate(other, asked, subject, &subject.baselines[0].baseline, &what, observer) {
            Ok(run) if run.partial().is_none() => strangers.push(run),
            Ok(_) | Err(LimeError::Stopped { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    let mut said = Vec::new();
    for label in labels {
        let mut own = say(asked, label, &runs, &strangers)?;
        if let Some(explanation) = own.outcome.explanation()
            && explanation.partial.is_none()
            && !stopped()
        {
            let curves = runs[0].faithfulness(model, asked, subject, explanation, observer);
            own.faithfulness = match curves {
                Err(LimeError::Stopped { .. }) => None,
                curves => Some(curves?),
            };
        }
        said.push(own);
    }
    Ok(said)
}

fn evaluate(
    model: &Model,
    asked: &Asked,
    subject: Subject<'_>,
    baseline: &Baseline,
    what: &str,
    observer: &mut Observer<'_>,
) -> Result<Evaluated, LimeError> {
    let players = asked.players(subject.leads)?;
    let options = options_with(asked, baseline);
    let mut observer = |done: usize, total: usize| observer(what, done, total);
    let method = asked.options.method;
    if method == Method::Permutation || (method == Method::Owen && asked.segments > 1) {
        let samples = subject.signal.ncols();
        let segments = Segments::equal(&players, samples, asked.segments)?;
        let mut sample = SampleOptions::default()
            .with_permutations(asked.permutations)
            .with_seed(subject.seed)
            .with_evaluate(options.clone());
        if method == Method::Owen {
            // Unions refer to the final players.
            let playing = match options.fallback(&players, subject.signal)? {
                Some(_) => Segments::equal(&players.each_lead(), samples, asked.segments)?,
                None => segments.clone(),
            };
            sample = sample.with_unions(match asked.unions {
                Unions::Leads => playing.unions_of_leads(),
                Unions::Moments => playing.unions_of_segments(),
            });
        }
        let walks = SampledShapley::new(model, subject.signal, &segments, &sample, &mut observer)?;
        return Ok(Evaluated::Walks(walks));
    }
    let subsets = asked.options.clone().with_seed(subject.seed).subsets();
    let signal = subject.signal;
    SubsetEvaluations::new(model, signal, &players, &subsets, &options, &mut observer)
        .map(Evaluated::Subsets)
}

fn options_with(asked: &Asked, baseline: &Baseline) -> EvaluateOptions {
    asked.options.evaluate.clone().with_baseline(baseline.clone())
}

impl Evaluated {
    fn partial(&self) -> Option<Partial> {
        match self {
            Self::Subsets(own) => own.partial(),
            Self::Walks(own) => own.partial(),
        }
    }

    fn probability(&self, label: &Label) -> Result<f64, LimeError> {
        match self {
            Self::Subsets(own) => Ok(own.probability_of_all()[label.column]),
            Self::Walks(own) => Ok(own.explain(&label.name, Target::Probability)?.f_all),
        }
    }

    fn explain(&self, asked: &Asked, label: &Label, method: Method) -> Result<Outcome, LimeError> {
        match self {
            Self::Subsets(own) => own.explain(&label.name, &options_of(asked, label, method, own)),
            Self::Walks(own) => {
                own.explain(&label.name, asked.options.target).map(Outcome::Explained)
            }
        }
    }

    /// Explains by the other methods that need no further evaluation; none for sampled or stopped work.
    fn other_methods(&self, asked: &Asked, label: &Label) -> Vec<Explanation> {
        let others = [Method::Shapley, Method::Lime, Method::Owen, Method::Published]
            .into_iter()
            .filter(|method| *method != asked.options.method);
        match self {
            Self::Subsets(own) if own.partial().is_none() && own.has_all() => others
                .filter(|method| *method != Method::Published || own.players().len() == 12)
                .filter_map(|method| {
                    let options = options_of(asked, label, method, own);
                    own.explain(&label.name, &options).ok()?.explanation().cloned()
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    fn faithfulness(
        &self,
        model: &Model,
        asked: &Asked,
        subject: Subject<'_>,
        explanation: &Explanation,
        observer: &mut Observer<'_>,
    ) -> Result<Faithfulness, LimeError> {
        let target = match asked.options.method {
            Method::Published => Target::Probability,
            _ => asked.options.target,
        };
        let segments = match self {
            Self::Subsets(own) if own.has_all() => {
                return own.faithfulness(explanation, target);
            }
            Self::Subsets(own) => Segments::whole(own.players(), subject.signal.ncols()),
            Self::Walks(own) => own.segments().clone(),
        };
        let options = options_with(asked, &subject.baselines[0].baseline);
        let what = format!("curves of {}", explanation.label);
        let mut observer = |done: usize, total: usize| observer(&what, done, total);
        let signal = subject.signal;
        faithfulness(model, signal, &segments, explanation, target, &options, &mut observer)
    }
}

/// Returns the options for one label and method. For exact Owen values, the limb leads are one union and the
/// others another.
fn options_of(
    asked: &Asked,
    label: &Label,
    method: Method,
    evaluations: &SubsetEvaluations,
) -> ExplainOptions {
    let options = asked.options.clone().with_method(method).with_threshold(label.threshold);
    if method != Method::Owen {
        return options;
    }
    options.with_unions(evaluations.players().limb_unions())
}

/// Returns what the evaluations say about a label.
fn say(
    asked: &Asked,
    label: &Label,
    runs: &[Evaluated],
    strangers: &[Evaluated],
) -> Result<Said, LimeError> {
    let method = asked.options.method;
    let outcome = runs[0].explain(asked, label, method)?;
    let mut other_baselines = Vec::new();
    for run in &runs[1..] {
        match run.explain(asked, label, method) {
            Ok(own) => other_baselines.push(own),
            // Too little was done of a further baseline when the work was stopped.
            Err(LimeError::TooFew { .. } | LimeError::Stopped { .. })
                if run.partial().is_some() => {}
            Err(error) => return Err(error),
        }
    }
    let probability = runs[0].probability(label)?;
    let mut said = Said {
        probability,
        threshold: outcome.explanation().map(|_| label.threshold),
        predicted: probability > label.threshold,
        agreement: Agreements::default(),
        faithfulness: None,
        random_weights: None,
        notes: Vec::new(),
        outcome,
        other_baselines,
    };
    let Some(own) = said.outcome.explanation().cloned() else { return Ok(said) };
    // An estimate also differs from an exact value by chance.
    let whole = |other: &&Explanation| own.partial.is_none() && other.partial.is_none();
    let others = said.other_baselines.iter().filter_map(Outcome::explanation).filter(whole);
    let others: Vec<&Explanation> = others.collect();
    said.notes = notes(&own, &others);

    for other in runs[0].other_methods(asked, label) {
        let between = [method.to_string(), other.method.to_string()];
        said.agreement.methods.push(pair(between, &own, &other)?);
    }
    for other in others {
        let between = [own.baseline.clone(), other.baseline.clone()];
        said.agreement.baselines.push(pair(between, &own, other)?);
    }
    if !strangers.is_empty() {
        let mut agreement = Vec::new();
        for run in strangers {
            if let Outcome::Explained(other) = run.explain(asked, label, method)? {
                agreement.push(Agreement::of(&own, &other, TOP)?);
            }
        }
        let mean = MeanAgreement::of(&agreement);
        said.random_weights = Some(RandomWeights { models: agreement.len(), agreement, mean });
    }
    Ok(said)
}

fn pair(between: [String; 2], own: &Explanation, other: &Explanation) -> Result<Pair, LimeError> {
    Ok(Pair { between, agreement: Agreement::of(own, other, TOP)? })
}

/// Returns notes that belong beside the values.
fn notes(own: &Explanation, others: &[&Explanation]) -> Vec<String> {
    let mut notes = Vec::new();
    if own.by_lead().iter().any(|own| own.lead == "aVR") {
        notes.push("each limb lead is a player, which splits shared information".to_owned());
    }
    let top = |own: &Explanation| own.top().map(|top| top.lead.clone());
    for other in others {
        if let (Some(first), Some(second)) = (top(own), top(other))
            && first != second
        {
            notes.push(format!(
                "the largest value depends on the baseline: {first} with {}, {second} with {}",
                own.baseline, other.baseline
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{args, untrained};
    use ecg_core::Lead;
    use ndarray::Array2;

    #[test]
    fn as_many_random_subsets_as_there_are_in_all() {
        let model = untrained();
        let arguments =
            "--label AF --record x --method lime-sampled --players 8 --samples 256 --baseline zero";
        let words: Vec<&str> = arguments.split(' ').collect();
        let asked = Asked::new(&args(&words), &model).expect("makes sense");
        let leads = Lead::STANDARD_12.map(LeadName::from);
        // Limb leads that are zero do not contradict each other.
        let signal = Array2::from_shape_fn((12, 100), |(lead, t)| {
            if lead < 6 { 0.0 } else { ((lead * 31 + t * 17) % 23) as f32 / 23.0 }
        });
        let baselines = [Named { baseline: Baseline::Zero, made_of: String::new() }];
        let subject =
            Subject { signal: signal.view(), leads: &leads, baselines: &baselines, seed: 0 };
        let mut heard = Vec::new();
        let observer = &mut |what: &str, done, total| {
            heard.push((what.to_owned(), done, total));
            ControlFlow::Continue(())
        };
        let said = explain(&model, &[], &asked, subject, &[&asked.labels[0]], observer);
        let said = said.expect("explains");
        let curves = said[0].faithfulness.as_ref().expect("curves");
        assert_eq!((curves.deletion.len(), curves.chance_auc), (9, None));
        assert!(said[0].agreement.methods.is_empty());
        assert_eq!(heard.last(), Some(&("curves of AF".to_owned(), 18, 18)));

        // If the work is stopped within the curves, the explanation is kept.
        let observer = &mut |what: &str, _, _| match what {
            "curves of AF" => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let stopped = explain(&model, &[], &asked, subject, &[&asked.labels[0]], observer);
        // A line of a file is read back as it was written.
        let line = serde_json::to_string(&said[0]).expect("JSON");
        let back = Said::read(line.as_bytes()).expect("reads");
        assert_eq!(serde_json::to_string(&back).expect("JSON"), line);

        let stopped = &stopped.expect("explains")[0];
        assert_eq!((&stopped.outcome, &stopped.faithfulness), (&said[0].outcome, &None));
    }

    #[test]
    fn an_outcome_without_an_explanation_is_read_back() {
        let own = r#""probability":0.75,"predicted":true,"outcome":"one_class","label":"AF","positive":true,"threshold":0.5,"range":[0.6,0.8],"f_all":0.75,"f_none":0.7,"evaluations":795,"baseline":"zero","other_baselines":[],"agreement":{"methods":[],"baselines":[]},"faithfulness":null,"random_weights":null,"notes":[]}"#;
        let line = format!(r#"{{"record":"a","baselines":[],{own}"#);
        let said = Said::read(line.as_bytes()).expect("reads");
        assert_eq!((said.outcome.label(), said.threshold), ("AF", None));
        assert_eq!(serde_json::to_string(&said).expect("JSON"), format!("{{{own}"));
        assert!(Said::read(b"{}").is_err());
    }

    #[test]
    fn exact_owen_values_of_the_first_baseline_survive_a_stop_in_the_second() {
        let model = untrained();
        let words: Vec<&str> = "--label AF --record x --method owen".split(' ').collect();
        let asked = Asked::new(&args(&words), &model).expect("makes sense");
        let leads = Lead::STANDARD_12.map(LeadName::from);
        let signal = Array2::zeros((12, 100));
        let made_of = String::new;
        let baselines = [
            Named { baseline: Baseline::Zero, made_of: made_of() },
            Named { baseline: Baseline::Mean(Array2::ones((12, 100))), made_of: made_of() },
        ];
        let subject =
            Subject { signal: signal.view(), leads: &leads, baselines: &baselines, seed: 0 };
        let observer = &mut |what: &str, _, _| match what {
            "baseline zero" => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        };
        let said = explain(&model, &[], &asked, subject, &[&asked.labels[0]], observer);
        let said = &said.expect("explains")[0];
        assert!(said.outcome.explanation().is_some_and(|own| own.partial.is_none()));
        assert!(said.other_baselines.is_empty() && said.agreement.baselines.is_empty());
    }
}
