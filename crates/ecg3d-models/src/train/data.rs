use ecg_core::LabelSet;
use ecg3d_convert::{ImagePlan, Resample};
use ndarray::{Array2, Array3, Axis};
use sha2::{Digest, Sha256};

use crate::files::hex;
use crate::{InputKind, ModelCard, ModelError};

/// Returns the number of some rows and the SHA-256 of their list, in which each is 64 bits, little-endian.
pub(crate) fn row_facts(rows: &[usize]) -> serde_json::Value {
    let mut hash = Sha256::new();
    for &row in rows {
        hash.update((row as u64).to_le_bytes());
    }
    serde_json::json!({ "count": rows.len(), "sha256": hex(hash) })
}

/// Records to train on, in memory as prepared signals.
#[derive(Debug, Clone)]
pub struct TrainData {
    /// Prepared signals `[record, lead, sample]` at the rate of the preprocessing, zero after the end of a record.
    pub prepared: Array3<f32>,
    /// Number of real samples of each record.
    pub lengths: Vec<usize>,
    /// Whether each label holds, `[record, label]`.
    pub labels: Array2<bool>,
    /// The labels, in the order of the columns of `labels`; the same as those of the card, in the same order.
    pub label_set: LabelSet,
    /// The patient of each record; equal for records of the same person.
    pub patients: Vec<String>,
    /// Record names.
    pub names: Vec<String>,
}

impl TrainData {
    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.prepared.len_of(Axis(0))
    }

    /// Returns whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that the parts fit together and fit a card's network, and that `rows` exist and hold usable numbers.
    pub(crate) fn check(
        &self,
        card: &ModelCard,
        rows: impl Iterator<Item = usize>,
    ) -> Result<(), ModelError> {
        let ModelCard { preprocessing, labels, .. } = card;
        let plan = match card.architecture.input() {
            InputKind::Signal => None,
            InputKind::Volume => Some(ImagePlan::new(preprocessing)?),
        };
        let (records, leads, samples) = self.prepared.dim();
        let window = preprocessing.window_samples();
        // Otherwise a row is exactly one window, as for a model.
        let longer = matches!(preprocessing.resample, Resample::Polyphase { .. });
        if leads == 12 && samples > window && !longer {
            let (expected, found) = ([12, window], self.prepared.shape().to_vec());
            return Err(ModelError::Prepared { expected, longer, found });
        }
        if leads != 12 || samples < window {
            return Err(ModelError::TrainShape {
                expected: window,
                found: self.prepared.shape().to_vec(),
            });
        }
        for (what, found) in [
            ("lengths", self.lengths.len()),
            ("rows of labels", self.labels.nrows()),
            ("patients", self.patients.len()),
            ("names", self.names.len()),
        ] {
            if found != records {
                return Err(ModelError::RowCount { what, expected: records, found });
            }
        }
        if self.label_set != *labels {
            let (found, expected) = (self.label_set.to_string(), labels.to_string());
            return Err(ModelError::TrainLabels { found, expected });
        }
        if self.labels.ncols() != labels.len() {
            return Err(ModelError::RowCount {
                what: "columns of labels",
                expected: labels.len(),
                found: self.labels.ncols(),
            });
        }
        for row in rows {
            if row >= records {
                return Err(ModelError::NoSuchRow { row, records });
            }
            let found = self.lengths[row];
            if found > samples || preprocessing.window_starts(found).is_empty() {
                let (record, expected) = (self.names[row].clone(), [window, samples]);
                return Err(ModelError::RecordLength { record, expected, found });
            }
            let signal = self.prepared.index_axis(Axis(0), row);
            if !signal.iter().all(|value| value.is_finite()) {
                return Err(ModelError::NotANumber { record: self.names[row].clone() });
            }
            if let Some(plan) = &plan {
                plan.check_samples(signal).map_err(|source| {
                    let record = self.names[row].clone();
                    ModelError::NoVolumes { record, source }
                })?;
            }
        }
        Ok(())
    }

    /// Returns the SHA-256 of the training and validation data, in lower-case hexadecimal.
    pub(crate) fn hash(&self, train: &[usize], val: &[usize]) -> String {
        let mut hash = Sha256::new();
        for (rows, use_of) in [(train, "train"), (val, "val")] {
            hash.update(use_of);
            hash.update((rows.len() as u64).to_le_bytes());
            for &row in rows {
                // A record's windows and random changes depend on its row.
                hash.update((row as u64).to_le_bytes());
                hash.update((self.lengths[row] as u64).to_le_bytes());
                let values = self.prepared.index_axis(Axis(0), row);
                hash.update(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
                hash.update(self.labels.row(row).mapv(u8::from).to_vec());
            }
        }
        hex(hash)
    }
}
