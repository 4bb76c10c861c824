//! From a record to the values of its rows.

use anyhow::Result;
use ecg_io::Dataset;
use ecg3d_convert::{ConvertConfig, ConvertPlan, Scratch};
use ecg3d_examples::source::Plans;
use ndarray::{Array2, ArrayViewMut3, s};

use crate::parts::{Item, sha256};
use crate::store::Dtype;
use crate::{Arguments, Stage};

/// What all threads share.
pub struct Converter<'a> {
    pub config: &'a ConvertConfig,
    dataset: &'a Dataset,
    plans: Plans,
    stage: Stage,
    dtype: Dtype,
    /// Shape of a row.
    pub shape: Vec<usize>,
}

impl<'a> Converter<'a> {
    pub fn new(arguments: &Arguments, config: &'a ConvertConfig, dataset: &'a Dataset) -> Self {
        let [leads, samples] = config.prepared_shape();
        let [depth, height, width] = config.volume_size;
        let shape = match arguments.stage {
            Stage::Prepared => vec![leads, samples],
            Stage::Images => vec![leads, height, width],
            Stage::Volume => vec![depth, height, width],
        };
        let (stage, dtype) = (arguments.stage, arguments.dtype);
        Self { config, dataset, plans: Plans::new(config), stage, dtype, shape }
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// What became of a record, and the bytes of its rows.
    pub fn record(&self, index: usize, scratch: &mut Scratch) -> (Item, Vec<u8>) {
        let mut item = Item {
            record: self.dataset.names()[index].clone(),
            rows: 0,
            length: 0,
            sha256: String::new(),
            labels: None,
            patient: None,
            fold: self.dataset.fold(index),
            warnings: Vec::new(),
            failed: None,
        };
        match self.values(index, &mut item, scratch) {
            Ok(values) => {
                item.rows = values.len() / self.row_bytes();
                item.sha256 = sha256(&values);
                (item, values)
            }
            Err(error) => {
                item.failed = Some(format!("{error:#}"));
                (item, Vec::new())
            }
        }
    }

    fn values(&self, index: usize, item: &mut Item, scratch: &mut Scratch) -> Result<Vec<u8>> {
        let loaded = self.dataset.load(index)?;
        item.warnings.extend(loaded.warnings.iter().map(ToString::to_string));
        let recording = loaded.recording;
        let labels = self.dataset.labels_of(index, &recording);
        item.labels = labels.map(|labels| labels.into_iter().map(u8::from).collect());
        let plan = self.plans.at(recording.sampling_rate)?;
        let mut prepared = Array2::<f32>::zeros(plan.prepared_shape());
        let outcome = plan.prepare_into(&recording, prepared.view_mut(), scratch)?;
        item.warnings.extend(outcome.warnings.iter().map(ToString::to_string));
        item.length = outcome.length;
        item.patient = recording.patient;
        let values = match self.stage {
            Stage::Prepared => prepared.into_raw_vec_and_offset().0,
            _ => self.windows(&plan, &prepared, outcome.length, scratch)?,
        };
        self.dtype.encode(&values)
    }

    /// Images or volumes of the windows.
    fn windows(
        &self,
        plan: &ConvertPlan,
        prepared: &Array2<f32>,
        length: usize,
        scratch: &mut Scratch,
    ) -> Result<Vec<f32>> {
        let starts = plan.windows(length);
        let size: usize = self.shape.iter().product();
        let mut values = vec![0.0; starts.len() * size];
        let images = plan.image_plan();
        for (start, row) in starts.iter().zip(values.chunks_exact_mut(size)) {
            let window = prepared.slice(s![.., *start..start + self.config.window_samples()]);
            let out =
                ArrayViewMut3::from_shape((self.shape[0], self.shape[1], self.shape[2]), row)?;
            match self.stage {
                Stage::Images => images.images_into(window, out, scratch)?,
                _ => images.volume_of_window_into(window, out, scratch)?,
            }
        }
        Ok(values)
    }
}
