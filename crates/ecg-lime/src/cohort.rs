use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::players::check_names;
use crate::{Baseline, Explanation, LimeError};

/// Options for combining the explanations of many records.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CohortOptions {
    /// Number of bootstrap resamples behind the intervals. Default: 1000.
    pub resamples: usize,
    /// Confidence of the intervals, that is, the share of the resamples that an interval covers: more than 0
    /// and less than 1. Default: 0.95.
    pub confidence: f64,
    /// Seed of the resamples. Default: 0.
    pub seed: u64,
}

impl Default for CohortOptions {
    fn default() -> Self {
        Self { resamples: 1000, confidence: 0.95, seed: 0 }
    }
}

impl CohortOptions {
    /// Sets the number of resamples.
    #[must_use]
    pub fn with_resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples;
        self
    }

    /// Sets the confidence of the intervals, more than 0 and less than 1.
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets the seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// How one player's values are spread over the records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spread {
    /// The lead, or the group of leads.
    pub lead: String,
    /// Number of records that have a value for it.
    pub n: usize,
    /// Mean of the values.
    pub mean: f64,
    /// Confidence interval of the mean; `None` if the records with the player are from fewer than five patients.
    pub mean_interval: Option<[f64; 2]>,
    /// Median of the values.
    pub median: f64,
    /// Confidence interval of the median; `None` if the records with the player are from fewer than five
    /// patients.
    pub median_interval: Option<[f64; 2]>,
    /// Mean of the magnitudes: how much the player did in either direction.
    pub mean_magnitude: f64,
    /// First and third quartile.
    pub quartiles: [f64; 2],
    /// Number of records in which it has the largest value ([`Explanation::top`]).
    pub top: usize,
}

/// The smallest number of patients for which a bootstrap interval is given.
const FEWEST_PATIENTS: usize = 5;

/// What the explanations of one label have in common over the records of a data set.
///
/// Intervals are percentile bootstrap intervals (Efron 1979) over patients. All records of a patient are drawn
/// together, so that a patient with many recordings does not make the interval narrow. The intervals say how
/// precisely the mean or the median over such patients is known, not how far a single record's values may be
/// trusted.
///
/// Such intervals are too narrow for few patients. In simulations, an interval of 95 % covers the true mean 83 %
/// of the time with 5 patients, 90.5 % with 10, 92 % with 20 and 94.5 % with 50. With fewer than five patients it
/// would be little more than the smallest and the largest value (50 % with 2 patients, 75 % with 3), so there is
/// none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cohort {
    /// Number of records.
    pub records: usize,
    /// Number of patients.
    pub patients: usize,
    /// Number of bootstrap resamples.
    pub resamples: usize,
    /// Confidence of the intervals, that is, the share of the resamples that an interval covers. Called `level`
    /// in JSON.
    #[serde(rename = "level")]
    pub confidence: f64,
    /// Seed of the resamples.
    pub seed: u64,
    /// Each player, in order of first appearance.
    pub leads: Vec<Spread>,
}

impl Cohort {
    /// Combines explanations, owned or borrowed. `patients` names the patient of each, in the same order. An
    /// explanation whose patient is unknown, `None`, counts as the only one of its patient.
    ///
    /// Players are matched by name. Records that fell back to twelve players ([`Explanation::fallback`]) are
    /// therefore combined with those of eight, so count them.
    ///
    /// # Errors
    /// Returns an error in these cases:
    /// - The numbers of patients and explanations differ.
    /// - The explanations have different labels, methods, targets or kinds of baseline, or only some of them
    ///   were stopped.
    /// - An explanation has two players of one name.
    /// - The confidence is not more than 0 and less than 1.
    /// - There are no resamples.
    pub fn of<E: Borrow<Explanation>, P: AsRef<str>>(
        explanations: &[E],
        patients: &[Option<P>],
        options: &CohortOptions,
    ) -> Result<Self, LimeError> {
        let explanations: Vec<&Explanation> = explanations.iter().map(Borrow::borrow).collect();
        if explanations.len() != patients.len() {
            let (explanations, patients) = (explanations.len(), patients.len());
            return Err(LimeError::CohortLength { explanations, patients });
        }
        require_alike(&explanations)?;
        for own in &explanations {
            check_names(own.values.iter().map(|value| value.lead.as_str()))?;
        }
        let CohortOptions { resamples, confidence, seed } = *options;
        if !(confidence > 0.0 && confidence < 1.0) {
            let (setting, expected) = ("the confidence level of intervals", "above 0 and below 1");
            return Err(LimeError::Setting { setting, expected, found: confidence });
        }
        if resamples == 0 {
            let (setting, expected) = ("the number of resamples", "at least 1");
            return Err(LimeError::Setting { setting, expected, found: 0.0 });
        }
        // An unknown patient goes by the row.
        let mut rows_of: BTreeMap<Result<&str, usize>, Vec<usize>> = BTreeMap::new();
        for (row, patient) in patients.iter().enumerate() {
            let patient = patient.as_ref().map(AsRef::as_ref).ok_or(row);
            rows_of.entry(patient).or_default().push(row);
        }
        let clusters: Vec<Vec<usize>> = rows_of.into_values().collect();
        let columns = columns(&explanations);
        let of_enough: Vec<bool> = columns
            .iter()
            .map(|(_, values)| {
                let has_one = |rows: &&Vec<usize>| rows.iter().any(|row| values[*row].is_some());
                clusters.iter().filter(has_one).count() >= FEWEST_PATIENTS
            })
            .collect();
        let mut drawn: Vec<Drawn> = columns.iter().map(|_| Drawn::default()).collect();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut rows = Vec::new();
        // Resamples are taken one after another, since all together they would be a thousand times the records.
        let wanted = if clusters.len() >= FEWEST_PATIENTS { resamples } else { 0 };
        for _ in 0..wanted {
            rows.clear();
            for _ in 0..clusters.len() {
                rows.extend_from_slice(&clusters[random.random_range(0..clusters.len())]);
            }
            for (((_, values), drawn), enough) in columns.iter().zip(&mut drawn).zip(&of_enough) {
                if *enough {
                    drawn.take(sorted(rows.iter().filter_map(|row| values[*row])));
                }
            }
        }
        let mut tops: HashMap<&str, usize> = HashMap::new();
        for top in explanations.iter().filter_map(|own| own.top()) {
            *tops.entry(&top.lead).or_default() += 1;
        }
        let leads = columns
            .iter()
            .zip(drawn)
            .map(|((lead, values), drawn)| {
                spread(lead, values, tops.get(lead).copied().unwrap_or(0), drawn, confidence)
            })
            .collect();
        Ok(Self {
            records: explanations.len(),
            patients: clusters.len(),
            resamples,
            confidence,
            seed,
            leads,
        })
    }
}

/// Refuses explanations that differ in label, method, target or kind of baseline, or of which only some were
/// stopped.
pub(crate) fn require_alike(explanations: &[&Explanation]) -> Result<(), LimeError> {
    let alike = |own: &Explanation| {
        (
            own.label.clone(),
            own.method,
            own.settings.target(),
            Baseline::kind_of(&own.baseline).to_owned(),
            own.partial.is_some(),
        )
    };
    if let Some(first) = explanations.first().copied().map(alike)
        && let Some(other) = explanations.iter().copied().map(alike).find(|own| *own != first)
    {
        let [left, right] = [first, other].map(|(label, method, target, baseline, stopped)| {
            let target = target.map(|target| format!("the {target} of ")).unwrap_or_default();
            let stopped = if stopped { ", stopped" } else { "" };
            format!("{method} for {target}{label}, baseline {baseline}{stopped}")
        });
        return Err(LimeError::Mixed { left, right });
    }
    Ok(())
}

/// The values of each player, with one entry for each record.
fn columns<'a>(explanations: &[&'a Explanation]) -> Vec<(&'a str, Vec<Option<f64>>)> {
    let mut columns: Vec<(&'a str, Vec<Option<f64>>)> = Vec::new();
    let mut places: HashMap<&'a str, usize> = HashMap::new();
    for (row, own) in explanations.iter().enumerate() {
        for value in &own.values {
            let place = *places.entry(&value.lead).or_insert_with(|| {
                columns.push((&value.lead, vec![None; explanations.len()]));
                columns.len() - 1
            });
            columns[place].1[row] = Some(value.value);
        }
    }
    columns
}

/// Statistics of one player's values over the resamples.
#[derive(Default)]
struct Drawn {
    means: Vec<f64>,
    medians: Vec<f64>,
}

impl Drawn {
    /// Takes the sorted values of a resample, which by chance may be none if few records have the player.
    fn take(&mut self, values: Vec<f64>) {
        if !values.is_empty() {
            self.means.push(mean(&values));
            self.medians.push(quantile(&values, 0.5));
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn spread(lead: &str, values: &[Option<f64>], top: usize, drawn: Drawn, confidence: f64) -> Spread {
    let own = sorted(values.iter().flatten().copied());
    let interval = |values: Vec<f64>| {
        let values = sorted(values.into_iter());
        let beyond = (1.0 - confidence) / 2.0;
        (!values.is_empty()).then(|| [quantile(&values, beyond), quantile(&values, 1.0 - beyond)])
    };
    Spread {
        lead: lead.to_owned(),
        n: own.len(),
        mean: mean(&own),
        mean_magnitude: own.iter().map(|value| value.abs()).sum::<f64>() / own.len() as f64,
        mean_interval: interval(drawn.means),
        median: quantile(&own, 0.5),
        median_interval: interval(drawn.medians),
        quartiles: [quantile(&own, 0.25), quantile(&own, 0.75)],
        top,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Quantile of sorted values, of which there is at least one, by linear interpolation.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}
