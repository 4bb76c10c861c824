use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Count, DatasetReport, Finding, Patients};
use crate::{Dataset, IoError, Loaded, is_contradictory};

/// The data kept for one recording.
struct Seen {
    labels: Option<Vec<bool>>,
    patient: Option<String>,
    rate: String,
    duration: String,
    leads: String,
    flat: Vec<String>,
    missing: usize,
    /// Hash of shape, sampling rate and samples.
    samples: u64,
    warnings: BTreeSet<String>,
}

impl Dataset {
    /// Reads every recording and reports the contents of the data set. `threads` of 0 means one per processor.
    ///
    /// One recording per thread is in memory at a time. Recordings that cannot be read are listed in
    /// [`DatasetReport::failed`].
    pub fn report(&self, threads: usize) -> DatasetReport {
        self.report_with(threads, |_| {})
    }

    /// Reports like [`Dataset::report`], and calls `done` after each recording with the number of recordings so far,
    /// to show progress.
    pub fn report_with(&self, threads: usize, mut done: impl FnMut(usize)) -> DatasetReport {
        let mut tally = Tally::default();
        let read: Result<(), std::convert::Infallible> = self.for_each_parallel(
            threads,
            |i, loaded| loaded.map(|loaded| self.look_at(i, &loaded)),
            |i, seen| {
                tally.take(self, i, seen);
                done(i + 1);
                Ok(())
            },
        );
        match read {
            Ok(()) => tally.finish(self),
        }
    }

    fn look_at(&self, i: usize, loaded: &Loaded) -> Seen {
        let recording = &loaded.recording;
        let mut flat = Vec::new();
        let mut hash = DefaultHasher::new();
        (recording.signal.dim(), recording.sampling_rate.hz().to_bits()).hash(&mut hash);
        for (lead, row) in recording.leads.iter().zip(recording.signal.rows()) {
            let mut valid = row.iter().filter(|value| !value.is_nan());
            if let Some(first) = valid.next()
                && valid.all(|value| value == first)
            {
                flat.push(lead.as_str().to_owned());
            }
            row.iter().for_each(|value| value.to_bits().hash(&mut hash));
        }
        let name = |lead: &ecg_core::LeadName| lead.as_str().to_owned();
        Seen {
            labels: self.labels_of(i, recording),
            patient: recording.patient.clone(),
            rate: recording.sampling_rate.hz().to_string(),
            duration: recording.duration_s().to_string(),
            leads: recording.leads.iter().map(name).collect::<Vec<_>>().join(", "),
            flat,
            missing: recording.signal.iter().filter(|value| value.is_nan()).count(),
            samples: hash.finish(),
            warnings: loaded
                .warnings
                .iter()
                .map(|w| format!("{}: {}", w.field, w.message))
                .collect(),
        }
    }
}

/// Counts in the order of their first recording; sorted with the largest first at the end.
#[derive(Default)]
struct Counts {
    index: HashMap<String, usize>,
    counts: Vec<Count>,
}

impl Counts {
    fn add(&mut self, what: &str, record: &str) {
        if let Some(&index) = self.index.get(what) {
            self.counts[index].records += 1;
        } else {
            self.index.insert(what.to_owned(), self.counts.len());
            let (what, first) = (what.to_owned(), record.to_owned());
            self.counts.push(Count { what, records: 1, first });
        }
    }

    fn sorted(mut self) -> Vec<Count> {
        self.counts.sort_by_key(|count| std::cmp::Reverse(count.records));
        self.counts
    }
}

#[derive(Default)]
struct Tally {
    readable: usize,
    /// Number of records with each label, and the first of them.
    labels: Vec<(usize, String)>,
    several: usize,
    none: usize,
    unlabelled: usize,
    contradictions: Counts,
    folds: BTreeMap<u32, usize>,
    /// Number of recordings and the folds of each patient.
    patients: BTreeMap<String, (usize, BTreeSet<u32>)>,
    rates: Counts,
    durations: Counts,
    leads: Counts,
    flat: Vec<Finding>,
    missing: Vec<Finding>,
    samples: HashMap<u64, usize>,
    duplicates: Vec<Finding>,
    failed: Vec<Finding>,
    warnings: Counts,
}

impl Tally {
    fn take(&mut self, set: &Dataset, i: usize, seen: Result<Seen, IoError>) {
        let record = set.names()[i].as_str();
        let finding = |what: String| Finding { record: record.to_owned(), what };
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => return self.failed.push(finding(error.with_causes())),
        };
        self.readable += 1;
        self.take_labels(set, record, seen.labels.as_deref());
        if let Some(fold) = set.fold(i) {
            *self.folds.entry(fold).or_default() += 1;
        }
        if let Some(patient) = seen.patient {
            let (records, folds) = self.patients.entry(patient).or_default();
            *records += 1;
            folds.extend(set.fold(i));
        }
        self.rates.add(&seen.rate, record);
        self.durations.add(&seen.duration, record);
        self.leads.add(&seen.leads, record);
        if !seen.flat.is_empty() {
            self.flat.push(finding(seen.flat.join(", ")));
        }
        if seen.missing > 0 {
            self.missing.push(finding(seen.missing.to_string()));
        }
        if let Some(&first) = self.samples.get(&seen.samples) {
            self.duplicates.push(finding(set.names()[first].clone()));
        } else {
            self.samples.insert(seen.samples, i);
        }
        seen.warnings.iter().for_each(|warning| self.warnings.add(warning, record));
    }

    fn take_labels(&mut self, set: &Dataset, record: &str, row: Option<&[bool]>) {
        self.labels.resize_with(set.label_set().len(), Default::default);
        let Some(row) = row else {
            self.unlabelled += 1;
            return;
        };
        for ((count, first), _) in self.labels.iter_mut().zip(row).filter(|(_, on)| **on) {
            *count += 1;
            if first.is_empty() {
                record.clone_into(first);
            }
        }
        let on: Vec<&str> = set
            .label_set()
            .iter()
            .zip(row)
            .filter(|(_, on)| **on)
            .map(|(label, _)| label)
            .collect();
        match on.len() {
            0 => self.none += 1,
            1 => {}
            _ => self.several += 1,
        }
        if is_contradictory(set.label_set(), row) {
            let rhythms = on.iter().filter(|label| ["NSR", "AF", "SB", "STach"].contains(label));
            self.contradictions.add(&rhythms.copied().collect::<Vec<_>>().join("+"), record);
        }
    }

    fn finish(self, set: &Dataset) -> DatasetReport {
        let labels = set
            .label_set()
            .iter()
            .zip(self.labels.into_iter().chain(std::iter::repeat_with(Default::default)));
        let several = self.patients.values().filter(|(records, _)| *records > 1).count();
        let patients = Patients {
            known: self.patients.values().map(|(records, _)| records).sum(),
            distinct: self.patients.len(),
            with_several: several,
            most: self.patients.values().map(|(records, _)| *records).max().unwrap_or(0),
            in_several_folds: self.patients.values().filter(|(_, folds)| folds.len() > 1).count(),
        };
        DatasetReport {
            label_source: set.label_source().to_string(),
            nsr_rule: set.nsr_rule().to_string(),
            records: set.len(),
            readable: self.readable,
            labels: labels
                .map(|(label, (records, first))| Count { what: label.to_owned(), records, first })
                .collect(),
            with_several_labels: self.several,
            with_no_label: self.none,
            unlabelled: self.unlabelled,
            contradictions: self.contradictions.sorted(),
            folds: self.folds,
            patients,
            sampling_rates_hz: self.rates.sorted(),
            durations_s: self.durations.sorted(),
            leads: self.leads.sorted(),
            flat: self.flat,
            missing_samples: self.missing,
            duplicates: self.duplicates,
            failed: self.failed,
            warnings: self.warnings.sorted(),
            folder_warnings: set.warnings().iter().map(ToString::to_string).collect(),
        }
    }
}
