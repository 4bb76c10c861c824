//! The names of the leads of prepared signals.

use std::path::Path;

use anyhow::{Context, Result};
use ecg_core::{Lead, LeadName};
use ecg_io::Dataset;
use ecg3d_convert::{ConvertConfig, LeadSelection};
use ecg3d_examples::say_err;
use ecg3d_examples::source::LabelArgs;
use rayon::prelude::*;

/// Returns the leads of a prepared signal, given those of the recording.
pub fn prepared_leads(config: &ConvertConfig, recorded: &[LeadName]) -> Vec<LeadName> {
    match &config.leads {
        LeadSelection::Named { leads } => leads.iter().map(|lead| (*lead).into()).collect(),
        LeadSelection::File { count } => recorded.iter().take(*count).cloned().collect(),
        _ => Lead::STANDARD_12.map(LeadName::from).to_vec(),
    }
}

/// Returns where the leads `wanted` are among those `held`, by name; `None` if one is missing.
pub fn rows_of(held: &[LeadName], wanted: &[LeadName]) -> Option<Vec<usize>> {
    let row =
        |lead: &LeadName| held.iter().position(|own| own.standard_name() == lead.standard_name());
    wanted.iter().map(row).collect()
}

/// Returns the names of leads, separated by commas.
pub fn listed(leads: &[LeadName]) -> String {
    leads.iter().map(LeadName::standard_name).collect::<Vec<_>>().join(", ")
}

/// The source of the names of a data set's prepared leads.
pub enum LeadNames<'a> {
    /// The preprocessing orders them.
    Fixed(Vec<LeadName>),
    /// Each record has its own order.
    File(Box<Dataset>, &'a ConvertConfig),
}

impl<'a> LeadNames<'a> {
    pub fn new(data: &Path, labels: &LabelArgs, config: &'a ConvertConfig) -> Result<Self> {
        let by_file = matches!(config.leads, LeadSelection::File { .. });
        if by_file && data.is_dir() {
            let dataset = Dataset::open(data, &labels.dataset_options()?)?;
            return Ok(Self::File(Box::new(dataset), config));
        }
        if by_file {
            say_err!("warning: {} does not name its leads; assuming I to V6", data.display());
        }
        let standard = Lead::STANDARD_12.map(LeadName::from);
        Ok(Self::Fixed(prepared_leads(config, &standard)))
    }

    /// Returns the leads of a record.
    pub fn of(&self, record: &str) -> Result<Vec<LeadName>> {
        match self {
            Self::Fixed(leads) => Ok(leads.clone()),
            Self::File(dataset, config) => {
                let index = dataset
                    .index_of(record)
                    .with_context(|| format!("the record {record} no longer exists"))?;
                Ok(prepared_leads(config, &dataset.load(index)?.recording.leads))
            }
        }
    }

    /// Returns the leads of several records, which are read in parallel if need be.
    pub fn of_all(&self, records: &[&str]) -> Result<Vec<Vec<LeadName>>> {
        records.par_iter().map(|record| self.of(record)).collect()
    }
}
