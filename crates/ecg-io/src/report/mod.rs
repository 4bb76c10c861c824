//! Summary of the contents of a data set.

mod collect;
mod markdown;

use std::collections::BTreeMap;

use serde::Serialize;

/// Contents of a data set: labels, patients, rates, durations, leads, and the problems of individual recordings.
///
/// Displayed as Markdown; serialises for use by programs. Created by [`crate::Dataset::report`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DatasetReport {
    /// Source of the labels.
    pub label_source: String,
    /// The NSR rule; it does not change a label file.
    pub nsr_rule: String,
    /// Number of recordings found.
    pub records: usize,
    /// Number of recordings that could be read; the following fields are about these.
    pub readable: usize,
    /// Number of recordings with each label, in the order of the label set.
    pub labels: Vec<Count>,
    /// Number of recordings with several labels.
    pub with_several_labels: usize,
    /// Number of recordings that are labelled, but with none of the labels.
    pub with_no_label: usize,
    /// Number of recordings whose labels are not stated anywhere.
    pub unlabelled: usize,
    /// Labels that contradict one another, such as `NSR+SB`.
    pub contradictions: Vec<Count>,
    /// Number of recordings in each fold stated by a table.
    pub folds: BTreeMap<u32, usize>,
    /// The patients.
    pub patients: Patients,
    /// Sampling rates in Hz.
    pub sampling_rates_hz: Vec<Count>,
    /// Durations in seconds.
    pub durations_s: Vec<Count>,
    /// Leads, in the order of the file.
    pub leads: Vec<Count>,
    /// Recordings with leads that never change, and these leads.
    pub flat: Vec<Finding>,
    /// Recordings with missing samples, and their number.
    pub missing_samples: Vec<Finding>,
    /// Recordings with the same samples as an earlier one.
    pub duplicates: Vec<Finding>,
    /// Recordings that could not be read, and the reason.
    pub failed: Vec<Finding>,
    /// Departures from the formats that were read leniently: field and message, with the number of recordings.
    pub warnings: Vec<Count>,
    /// Unexpected findings in the folder and its tables.
    pub folder_warnings: Vec<String>,
}

/// The number of recordings with some property, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Count {
    /// The property.
    pub what: String,
    /// Number of recordings.
    pub records: usize,
    /// Name of the first recording.
    pub first: String,
}

/// A finding about one recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Name of the recording.
    pub record: String,
    /// The finding.
    pub what: String,
}

/// Patients, as far as tables and recordings state them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Patients {
    /// Number of recordings whose patient is known.
    pub known: usize,
    /// Number of different patients.
    pub distinct: usize,
    /// Number of patients with more than one recording.
    pub with_several: usize,
    /// The largest number of recordings of one patient.
    pub most: usize,
    /// Number of patients with recordings in more than one fold.
    pub in_several_folds: usize,
}
