//! Block-wise reading of long records.

use std::marker::PhantomData;
use std::ops::Range;

use super::matrix::{Chosen, State};
use super::{Record, Selection};
use crate::IoError;
use crate::signal::Sample;

/// Reads a record in blocks of `[sample, signal]`, from start to end; see [`Record::blocks`].
///
/// Files are read once, except that frames with the delayed samples of skewed signals are read for two blocks, unless
/// the format is decoded from the start.
///
/// Memory is bounded by the length of a block (and, in formats that are decoded from the start, by the largest skew).
#[derive(Debug)]
pub struct Blocks<'r, T> {
    record: &'r Record,
    chosen: Chosen,
    frames_per_block: u64,
    next: u64,
    state: State,
    of: PhantomData<fn() -> T>,
}

impl Record {
    /// Reads a selection in blocks of at most `frames_per_block` frames, and at least one; physical values are in each
    /// signal's own unit ([`SignalSpec::units`](crate::SignalSpec::units)).
    ///
    /// ```
    /// # use ecg_io::ecg_core::{Lead, Recording, SamplingRate};
    /// # use ecg_io::ndarray::Array2;
    /// # use ecg_io::{ReadOptions, Record, Selection};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let signal = Array2::from_shape_fn((2, 1000), |(lead, t)| (lead * 1000 + t) as f64 / 1000.0);
    /// # let demo = Recording::new("r", SamplingRate::new(500.0)?, [Lead::I, Lead::II], signal)?;
    /// # ecg_io::write_wfdb(dir.path(), &demo, &Default::default())?;
    /// let record = Record::open(dir.path().join("r"), &ReadOptions::default())?;
    /// let mut blocks = record.blocks::<f32>(&Selection::default(), 256)?;
    /// let (mut buffer, mut highest) = (Vec::new(), f32::MIN);
    /// while let Some(_frames) = blocks.next_into(&mut buffer)? {
    ///     highest = buffer.iter().copied().fold(highest, f32::max);
    /// }
    /// assert_eq!(highest, 1.999);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those errors of [`Record::read_matrix`] that depend on the selection alone.
    pub fn blocks<T: Sample>(
        &self,
        selection: &Selection,
        frames_per_block: u64,
    ) -> Result<Blocks<'_, T>, IoError> {
        // The block bounds the memory that is allocated, so the record may have any length.
        let all = selection.frames.clone().unwrap_or(0..self.n_frames());
        let chosen = self.choose::<T>(&selection.clone().with_frames(all))?;
        let mut state = State::default();
        state.forget();
        let next = chosen.frames.start;
        let frames_per_block = frames_per_block.max(1);
        Ok(Blocks { record: self, chosen, frames_per_block, next, state, of: PhantomData })
    }
}

impl<T: Sample> Blocks<'_, T> {
    /// Reads the next block into a buffer, which is resized to fit, and returns the frames of the block, or `None`
    /// after the last one.
    ///
    /// # Errors
    /// Those of [`Record::read_matrix`]; a checksum mismatch is reported with the last block.
    pub fn next_into(&mut self, out: &mut Vec<T>) -> Result<Option<Range<u64>>, IoError> {
        if self.next >= self.chosen.frames.end {
            return Ok(None);
        }
        let end = self.next.saturating_add(self.frames_per_block).min(self.chosen.frames.end);
        let frames = self.next..end;
        let part = Chosen { frames: frames.clone(), ..self.chosen.clone() };
        self.record.matrix(&part, out, &mut self.state, end)?;
        self.next = end;
        Ok(Some(frames))
    }
}
