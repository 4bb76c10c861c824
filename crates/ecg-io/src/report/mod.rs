//! What a data set holds, in numbers.

mod collect;
mod markdown;

use std::collections::BTreeMap;

use serde::Serialize;

/// What a data set holds: labels, patients, rates, lengths, leads, and what is wrong with which recording.
///
/// It is displayed as Markdown, and serialises for programs. Made by [`crate::Dataset::report`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DatasetReport {
    /// Where the labels come from.
    pub label_source: String,
    /// The rule for NSR; it does not change a label file.
    pub nsr_rule: String,
    /// Recordings found.
    pub records: usize,
    /// Recordings that could be read; what follows is about these.
    pub readable: usize,
    /// How many recordings have each label, in the order of the label set.
    pub labels: Vec<Count>,
    /// Recordings with several labels.
    pub with_several_labels: usize,
    /// Recordings that are labelled, but with none of the labels.
    pub with_no_label: usize,
    /// Recordings that nothing states labels of.
    pub unlabelled: usize,
    /// Labels that contradict one another, such as `NSR+SB`.
    pub contradictions: Vec<Count>,
    /// Recordings of each fold that a table states.
    pub folds: BTreeMap<u32, usize>,
    /// Who was recorded.
    pub patients: Patients,
    /// Sampling rates in Hz.
    pub sampling_rates_hz: Vec<Count>,
    /// Lengths in seconds.
    pub durations_s: Vec<Count>,
    /// Leads in the order of the file.
    pub leads: Vec<Count>,
    /// Recordings with leads that never change, and these leads.
    pub flat: Vec<Finding>,
    /// Recordings with samples that are missing, and how many.
    pub missing_samples: Vec<Finding>,
    /// Recordings with the same samples as one before.
    pub duplicates: Vec<Finding>,
    /// Recordings that could not be read, and why.
    pub failed: Vec<Finding>,
    /// What was read otherwise than the files say: field and message, with how many recordings.
    pub warnings: Vec<Count>,
    /// What was found otherwise than expected in the folder and its tables.
    pub folder_warnings: Vec<String>,
}

/// How many recordings have something, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Count {
    /// What they have.
    pub what: String,
    /// How many recordings.
    pub records: usize,
    /// The first of them.
    pub first: String,
}

/// Something about one recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The recording.
    pub record: String,
    /// What there is to say of it.
    pub what: String,
}

/// Who was recorded, as far as tables and recordings say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Patients {
    /// Recordings whose patient is known.
    pub known: usize,
    /// Different patients.
    pub distinct: usize,
    /// Patients with more than one recording.
    pub with_several: usize,
    /// The most recordings of one patient.
    pub most: usize,
    /// Patients with recordings in more than one fold.
    pub in_several_folds: usize,
}
