//! Converts a record to the values of its rows.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use ecg_io::Dataset;
use ecg3d_convert::{ConvertConfig, ConvertPlan, Plans, Scratch};
use ecg3d_examples::sha256;
use ndarray::{Array2, Array3, s};
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::again::{Stamp, stamps};
use crate::parts::Item;
use crate::store::Dtype;
use crate::{Arguments, Stage};

/// Bytes of rows that are in memory at a time, unless a single record has more.
const ROOM: usize = 64 << 20;
/// Number of records that are prepared at a time, per thread.
const CHUNK: usize = 16;
/// Number of windows of a record that a thread takes at a time.
const TOGETHER: usize = 4;

/// Data shared by all threads.
pub struct Converter<'a> {
    pub config: &'a ConvertConfig,
    data: &'a Path,
    dataset: &'a Dataset,
    plans: Plans,
    stage: Stage,
    dtype: Dtype,
    /// Shape of a row.
    pub shape: Vec<usize>,
}

impl<'a> Converter<'a> {
    pub fn new(
        arguments: &Arguments,
        data: &'a Path,
        config: &'a ConvertConfig,
        dataset: &'a Dataset,
    ) -> Self {
        let [leads, samples] = config.prepared_shape();
        let [depth, height, width] = config.volume_size;
        let shape = match arguments.stage {
            Stage::Prepared => vec![leads, samples],
            Stage::Images => vec![leads, height, width],
            Stage::Volume => vec![depth, height, width],
        };
        let (stage, dtype) = (arguments.stage, arguments.dtype);
        Self { config, data, dataset, plans: Plans::new(config.clone()), stage, dtype, shape }
    }

    /// Returns the number of bytes in a row.
    pub fn row_bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// Returns the current state of the files from which a record is read.
    pub fn stamps(&self, record: usize) -> Vec<Stamp> {
        stamps(self.data, self.dataset.files(record))
    }

    /// Converts records on the threads of a pool, and delivers the result of each with the bytes of its rows,
    /// in order.
    ///
    /// However many and however long the records are, only as many are in memory at a time as have rows that
    /// fit into [`ROOM`], but at least one.
    pub fn each(
        &self,
        pool: &ThreadPool,
        records: &[usize],
        mut deliver: impl FnMut(Item, Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let signal_bytes =
            size_of::<f32>() * self.config.prepared_shape().iter().product::<usize>();
        let together = (ROOM / signal_bytes.max(1)).clamp(1, CHUNK * pool.current_num_threads());
        for chunk in records.chunks(together) {
            let prepared: Vec<Prepared> = pool.install(|| {
                let work = chunk
                    .par_iter()
                    .map_init(Scratch::new, |scratch, &index| self.prepare(index, scratch));
                work.collect()
            });
            let mut rest = prepared.as_slice();
            while !rest.is_empty() {
                let sizes = rest.iter().map(|own| own.starts.len() * self.row_bytes());
                let (group, behind) = rest.split_at(fitting(sizes, ROOM));
                rest = behind;
                let rows: Vec<_> =
                    pool.install(|| group.par_iter().map(|own| self.rows(own)).collect());
                for (item, values) in rows {
                    deliver(item, values)?;
                }
            }
        }
        Ok(())
    }

    fn prepare(&self, index: usize, scratch: &mut Scratch) -> Prepared {
        let item = Item {
            record: self.dataset.names()[index].clone(),
            rows: 0,
            length: 0,
            sha256: String::new(),
            // Before they are read, so that changes made meanwhile are noticed.
            files: self.stamps(index),
            labels: None,
            patient: None,
            fold: self.dataset.fold(index),
            warnings: Vec::new(),
            failed: None,
        };
        let mut prepared = Prepared { item, signal: None, starts: Vec::new() };
        if let Err(error) = self.signal(index, &mut prepared, scratch) {
            prepared.item.failed = Some(format!("{error:#}"));
        }
        prepared
    }

    fn signal(&self, index: usize, own: &mut Prepared, scratch: &mut Scratch) -> Result<()> {
        let loaded = self.dataset.load(index)?;
        let item = &mut own.item;
        item.warnings.extend(loaded.warnings.iter().map(ToString::to_string));
        let recording = loaded.recording;
        let labels = self.dataset.labels_of(index, &recording);
        item.labels = labels.map(|labels| labels.into_iter().map(u8::from).collect());
        let plan = self.plans.at(recording.sampling_rate)?;
        let mut signal = Array2::<f32>::zeros(plan.prepared_shape());
        let outcome = plan.prepare_into(&recording, signal.view_mut(), scratch)?;
        item.warnings.extend(outcome.warnings.iter().map(ToString::to_string));
        item.length = outcome.length;
        item.patient = recording.patient;
        own.starts = match self.stage {
            Stage::Prepared => vec![0],
            _ => plan.windows(outcome.length),
        };
        own.signal = Some((plan, signal));
        Ok(())
    }

    /// Returns the result of a record, and the bytes of its rows.
    fn rows(&self, prepared: &Prepared) -> (Item, Vec<u8>) {
        let mut item = prepared.item.clone();
        let Some((plan, signal)) = &prepared.signal else { return (item, Vec::new()) };
        match self.encoded(plan, signal, &prepared.starts) {
            Ok(values) => {
                item.rows = prepared.starts.len();
                item.sha256 = sha256(&values);
                (item, values)
            }
            Err(error) => {
                item.failed = Some(format!("{error:#}"));
                (item, Vec::new())
            }
        }
    }

    /// Returns the bytes of all rows of a record.
    fn encoded(
        &self,
        plan: &ConvertPlan,
        signal: &Array2<f32>,
        starts: &[usize],
    ) -> Result<Vec<u8>> {
        let mut bytes = vec![0; starts.len() * self.row_bytes()];
        if self.stage == Stage::Prepared {
            let values = signal.as_slice().context("the signal is not contiguous in memory")?;
            self.dtype.encode(values, &mut bytes)?;
            return Ok(bytes);
        }
        let (height, width) = (self.shape[1], self.shape[2]);
        let images = plan.image_plan();
        let new = || (Scratch::new(), Array3::<f32>::zeros((self.shape[0], height, width)));
        let row = |(scratch, row): &mut (Scratch, Array3<f32>),
                   (bytes, start): (&mut [u8], &usize)| {
            let window = signal.slice(s![.., *start..start + self.config.window_samples()]);
            match self.stage {
                Stage::Images => images.images_into(window, row.view_mut(), scratch)?,
                _ => images.volume_of_window_into(window, row.view_mut(), scratch)?,
            }
            let values = row.as_slice().context("the row is not contiguous in memory")?;
            self.dtype.encode(values, bytes)
        };
        let rows = bytes.par_chunks_exact_mut(self.row_bytes()).zip(starts).with_min_len(TOGETHER);
        // The first error, however many threads there are.
        match rows.map_init(new, row).find_first(Result::is_err) {
            Some(Err(error)) => Err(error),
            _ => Ok(bytes),
        }
    }
}

/// A record whose rows are still to be made.
struct Prepared {
    item: Item,
    /// The signal with its plan, unless the record failed.
    signal: Option<(Arc<ConvertPlan>, Array2<f32>)>,
    /// First sample of each row.
    starts: Vec<usize>,
}

/// How many of the first sizes fit into the room, but at least one.
fn fitting(sizes: impl Iterator<Item = usize>, room: usize) -> usize {
    let fit = sizes.scan(0_usize, |sum, size| {
        *sum = sum.saturating_add(size);
        Some(*sum)
    });
    fit.take_while(|sum| *sum <= room).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_records_go_together_as_fit() {
        assert_eq!(fitting([10, 20, 30].into_iter(), 30), 2);
        assert_eq!(fitting([10, 0, 0].into_iter(), 30), 3);
        assert_eq!(fitting([40, 10].into_iter(), 30), 1);
        assert_eq!(fitting([usize::MAX, usize::MAX].into_iter(), 30), 1);
    }
}
