use ecg_core::LabelSet;
use ecg3d_convert::{ConvertConfig, ImagePlan, Prepared, Resample};
use ndarray::{Array2, Array3, ArrayView1, Axis};
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
///
/// Add them one by one with [`TrainData::push`], or set the fields.
///
/// ```
/// use ecg3d_models::ecg_core::{LabelSet, Lead, Recording, SamplingRate};
/// use ecg3d_models::ecg3d_convert::{ConvertConfig, Plans};
/// use ecg3d_models::TrainData;
/// use ecg3d_models::ndarray::Array2;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let plans = Plans::new(ConvertConfig::corrected());
/// let mut data = TrainData::new(LabelSet::new(["AF"])?, plans.config())?;
/// for name in ["a", "b"] {
///     let signal = Array2::from_shape_fn((12, 5000), |(lead, t)| ((lead + t) as f64 / 40.0).sin());
///     let recording = Recording::new(name, SamplingRate::new(500.0)?, Lead::STANDARD_12, signal)?;
///     let prepared = plans.at(recording.sampling_rate)?.prepare(&recording)?;
///     data.push(&prepared, &[name == "b"], recording.patient.as_deref(), recording.name)?;
/// }
/// assert_eq!(data.prepared.dim(), (2, 12, 500)); // [record, lead, sample]: 10 s at 50 Hz
/// assert_ne!(data.patients[0], data.patients[1]); // unknown, so each counts as one of its own
/// # Ok(())
/// # }
/// ```
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
    /// Returns data without records, for labels and the preprocessing of the records.
    ///
    /// # Errors
    /// The preprocessing is invalid.
    pub fn new(label_set: LabelSet, preprocessing: &ConvertConfig) -> Result<Self, ModelError> {
        // Otherwise the shape may be larger than memory can hold.
        preprocessing.check()?;
        let [leads, samples] = preprocessing.prepared_shape();
        Ok(Self {
            prepared: Array3::zeros((0, leads, samples)),
            lengths: Vec::new(),
            labels: Array2::from_elem((0, label_set.len()), false),
            label_set,
            patients: Vec::new(),
            names: Vec::new(),
        })
    }

    /// Adds a record: its signal, as a [`ConvertPlan`](ecg3d_convert::ConvertPlan) of the preprocessing prepared it,
    /// and whether it has each label, in the order of `label_set`.
    ///
    /// A record without `patient` counts as one of a patient of its own: its id begins with a zero byte, and equals
    /// that of no other record that was added in this way, if none was removed in between.
    ///
    /// # Errors
    /// The signal has another shape than the preprocessing gives, or there are not as many values as labels
    /// ([`ModelError::TrainRecord`]); nothing is added then.
    pub fn push(
        &mut self,
        prepared: &Prepared,
        labels: &[bool],
        patient: Option<&str>,
        name: impl Into<String>,
    ) -> Result<(), ModelError> {
        let name = name.into();
        let refused =
            |source| ModelError::TrainRecord { record: name.clone(), source: Box::new(source) };
        let (row, leads, samples) = self.prepared.dim();
        let (what, expected, found) = ("labels", self.labels.ncols(), labels.len());
        let count = ModelError::RowCount { what, expected, found };
        if found != expected {
            return Err(refused(count));
        }
        self.prepared.push(Axis(0), prepared.signal.view()).map_err(|_| {
            let found = [&[1][..], prepared.signal.shape()].concat();
            refused(ModelError::Prepared { expected: [leads, samples], longer: false, found })
        })?;
        self.labels.push_row(ArrayView1::from(labels)).map_err(|_| refused(count))?;
        self.lengths.push(prepared.length);
        self.patients.push(match patient {
            // With two zero bytes, it cannot be taken for the id of a record without a patient.
            Some(id) if id.starts_with('\0') => format!("\0{id}"),
            Some(id) => id.to_owned(),
            None => format!("\0{row}"),
        });
        self.names.push(name);
        Ok(())
    }

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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ecg_core::{Lead, Recording, SamplingRate};
    use ecg3d_convert::ConvertPlan;

    use super::*;
    use crate::{Architecture, Preset};

    fn prepared(config: ConvertConfig, first: f64) -> Prepared {
        let rate = SamplingRate::new(500.0).expect("a rate");
        let signal = Array2::from_shape_fn((12, 1500), |(lead, t)| {
            (first + 1.0) * (0.01 * (lead + 1) as f64 * t as f64).sin()
        });
        let recording = Recording::new("r", rate, Lead::STANDARD_12, signal).expect("a recording");
        let plan = ConvertPlan::new(config, rate).expect("a plan");
        plan.prepare(&recording).expect("prepares")
    }

    #[test]
    fn records_are_added_one_by_one() {
        let config = ConvertConfig::corrected();
        let labels = LabelSet::new(["a", "b"]).expect("two labels");
        let mut data = TrainData::new(labels.clone(), &config).expect("a preprocessing");
        assert!(data.is_empty());
        // The last two are called like those without a patient.
        for (row, patient) in
            [None, Some("p"), None, Some("p"), Some("\u{0}0"), Some("0")].into_iter().enumerate()
        {
            let own = prepared(config.clone(), row as f64);
            data.push(&own, &[row % 2 == 0, row == 3], patient, format!("r{row}")).expect("fits");
            let signal = data.prepared.index_axis(Axis(0), row);
            assert_eq!((signal, data.lengths[row]), (own.signal.view(), own.length));
        }
        assert_eq!(data.labels.column(0).to_vec(), [true, false, true, false, true, false]);
        assert_eq!(data.labels.column(1).to_vec(), [false, false, false, true, false, false]);
        assert_eq!(data.patients[1], data.patients[3]);
        assert_eq!(data.patients.iter().collect::<HashSet<_>>().len(), 5);
        assert_eq!(data.names, ["r0", "r1", "r2", "r3", "r4", "r5"]);
        assert!(data.prepared.is_standard_layout() && data.labels.is_standard_layout());
        let card = ModelCard::new(Architecture::Ribeiro, Preset::Corrected, labels, config);
        data.check(&card, 0..6).expect("fits together");
    }

    #[test]
    fn a_record_that_does_not_fit_leaves_the_data_as_they_are() {
        let config = ConvertConfig::corrected();
        let mut data = TrainData::new(LabelSet::seven(), &config).expect("a preprocessing");
        let good = prepared(config.clone(), 0.0);
        let error = data.push(&good, &[true; 6], None, "x").expect_err("six labels").with_causes();
        let said = "cannot add record x to the training data: expected 7 labels, found 6";
        assert_eq!(error, said);
        let other = prepared(ConvertConfig::published(), 0.0);
        let error = data.push(&other, &[true; 7], None, "y").expect_err("published").with_causes();
        assert!(error.contains("record y ") && error.contains("[n, 12, 500]"), "{error}");
        assert!(error.ends_with("found [1, 12, 100]"), "{error}");
        let parts =
            [data.labels.nrows(), data.lengths.len(), data.patients.len(), data.names.len()];
        assert_eq!((data.len(), parts), (0, [0; 4]));
        assert!(TrainData::new(LabelSet::seven(), &config.with_max_seconds(1e300)).is_err());
    }
}
