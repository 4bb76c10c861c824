use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{Baseline, Explanation, LimeError};

/// How the explanations of many records are put together.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CohortOptions {
    /// Bootstrap resamples behind the intervals. Default: 1000.
    pub resamples: usize,
    /// Share of the resamples that an interval covers. Default: 0.95.
    pub level: f64,
    /// Seed of the resamples. Default: 0.
    pub seed: u64,
}

impl Default for CohortOptions {
    fn default() -> Self {
        Self { resamples: 1000, level: 0.95, seed: 0 }
    }
}

impl CohortOptions {
    /// Sets the number of resamples.
    pub fn with_resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples;
        self
    }

    /// Sets the share of the resamples that an interval covers.
    pub fn with_level(mut self, level: f64) -> Self {
        self.level = level;
        self
    }

    /// Sets the seed.
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
    /// Records that have a value of it.
    pub n: usize,
    /// Mean of the values.
    pub mean: f64,
    /// Interval of the mean; `None` where all records with the player are of one patient.
    pub mean_interval: Option<[f64; 2]>,
    /// Median of the values.
    pub median: f64,
    /// Interval of the median; `None` where all records with the player are of one patient.
    pub median_interval: Option<[f64; 2]>,
    /// Mean of the magnitudes: how much it did either way.
    pub mean_magnitude: f64,
    /// First and third quartile.
    pub quartiles: [f64; 2],
    /// Records in which it has the largest value ([`Explanation::top`]).
    pub top: usize,
}

/// What the explanations of one label have in common over the records of a data set.
///
/// Intervals are percentile bootstrap intervals (Efron 1979) over patients: all records of a patient are drawn together, so that
/// somebody with many recordings does not make the interval narrow. They say how far the mean or the median of such patients is
/// known, not how far a single record's values may be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cohort {
    /// Records.
    pub records: usize,
    /// Patients.
    pub patients: usize,
    /// Bootstrap resamples.
    pub resamples: usize,
    /// Share of the resamples that an interval covers.
    pub level: f64,
    /// Seed of the resamples.
    pub seed: u64,
    /// Each player, in the order in which they first appear.
    pub leads: Vec<Spread>,
}

impl Cohort {
    /// Puts explanations together; `patients` names the patient of each. Players are matched by name, so that records that fell
    /// back to twelve players ([`Explanation::fallback`]) join those of eight: count them.
    ///
    /// # Errors
    /// Another number of patients than of explanations; explanations of several labels, methods, targets or kinds of baseline, or
    /// stopped ones among others; a level outside 0 to 1;
    /// no resample.
    pub fn of(
        explanations: &[Explanation],
        patients: &[String],
        options: &CohortOptions,
    ) -> Result<Self, LimeError> {
        if explanations.len() != patients.len() {
            let (explanations, patients) = (explanations.len(), patients.len());
            return Err(LimeError::CohortLength { explanations, patients });
        }
        let alike = |own: &Explanation| {
            (
                own.label.clone(),
                own.method,
                own.settings.target(),
                Baseline::kind_of(&own.baseline).to_owned(),
                own.partial.is_some(),
            )
        };
        if let Some(first) = explanations.first().map(alike)
            && let Some(other) = explanations.iter().map(alike).find(|own| *own != first)
        {
            let [left, right] = [first, other].map(|(label, method, target, baseline, stopped)| {
                let target = target.map(|target| format!("the {target} of ")).unwrap_or_default();
                let stopped = if stopped { ", stopped" } else { "" };
                format!("{method} for {target}{label}, baseline {baseline}{stopped}")
            });
            return Err(LimeError::Mixed { left, right });
        }
        let CohortOptions { resamples, level, seed } = *options;
        if !(level > 0.0 && level < 1.0) {
            let (setting, expected) = ("the level of an interval", "between 0 and 1");
            return Err(LimeError::Setting { setting, expected, found: level });
        }
        if resamples == 0 {
            let (setting, expected) = ("the number of resamples", "at least 1");
            return Err(LimeError::Setting { setting, expected, found: 0.0 });
        }
        let mut rows_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, patient) in patients.iter().enumerate() {
            rows_of.entry(patient).or_default().push(row);
        }
        let clusters: Vec<Vec<usize>> = rows_of.into_values().collect();
        let columns = columns(explanations);
        let of_several: Vec<bool> = columns
            .iter()
            .map(|(_, values)| {
                let has_one = |rows: &&Vec<usize>| rows.iter().any(|row| values[*row].is_some());
                clusters.iter().filter(has_one).nth(1).is_some()
            })
            .collect();
        let mut drawn: Vec<Drawn> = columns.iter().map(|_| Drawn::default()).collect();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut rows = Vec::new();
        // One resample after another: all together they would be a thousand times the records.
        let wanted = if clusters.len() > 1 { resamples } else { 0 };
        for _ in 0..wanted {
            rows.clear();
            for _ in 0..clusters.len() {
                rows.extend_from_slice(&clusters[random.random_range(0..clusters.len())]);
            }
            for (((_, values), drawn), several) in columns.iter().zip(&mut drawn).zip(&of_several) {
                if *several {
                    drawn.take(sorted(rows.iter().filter_map(|row| values[*row])));
                }
            }
        }
        let leads = columns
            .iter()
            .zip(drawn)
            .map(|((lead, values), drawn)| spread(lead, values, explanations, drawn, level))
            .collect();
        Ok(Self {
            records: explanations.len(),
            patients: clusters.len(),
            resamples,
            level,
            seed,
            leads,
        })
    }
}

/// The values of each player, one place for each record.
fn columns(explanations: &[Explanation]) -> Vec<(&str, Vec<Option<f64>>)> {
    let mut columns: Vec<(&str, Vec<Option<f64>>)> = Vec::new();
    for (row, own) in explanations.iter().enumerate() {
        for value in &own.values {
            let place = columns.iter().position(|(lead, _)| *lead == value.lead);
            let place = place.unwrap_or_else(|| {
                columns.push((&value.lead, vec![None; explanations.len()]));
                columns.len() - 1
            });
            columns[place].1[row] = Some(value.value);
        }
    }
    columns
}

/// Figures of one player's values in resamples.
#[derive(Default)]
struct Drawn {
    means: Vec<f64>,
    medians: Vec<f64>,
}

impl Drawn {
    /// Takes the sorted values of a resample: by chance none, where few records have the player.
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

fn spread(
    lead: &str,
    values: &[Option<f64>],
    explanations: &[Explanation],
    drawn: Drawn,
    level: f64,
) -> Spread {
    let own = sorted(values.iter().flatten().copied());
    let interval = |values: Vec<f64>| {
        let values = sorted(values.into_iter());
        let beyond = (1.0 - level) / 2.0;
        (!values.is_empty()).then(|| [quantile(&values, beyond), quantile(&values, 1.0 - beyond)])
    };
    let top = |own: &&Explanation| own.top().is_some_and(|top| top.lead == lead);
    Spread {
        lead: lead.to_owned(),
        n: own.len(),
        mean: mean(&own),
        mean_magnitude: own.iter().map(|value| value.abs()).sum::<f64>() / own.len() as f64,
        mean_interval: interval(drawn.means),
        median: quantile(&own, 0.5),
        median_interval: interval(drawn.medians),
        quartiles: [quantile(&own, 0.25), quantile(&own, 0.75)],
        top: explanations.iter().filter(top).count(),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A quantile of sorted values, at least one, by linear interpolation.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}
