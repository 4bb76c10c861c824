//! Sums of stored values, mod 2^16.

use super::group::Group;
use crate::warning::Notes;
use crate::{Header, IoError};

/// Number of values summed side by side, so that the processor can add many at once.
const LANES: usize = 64;

/// The running sums of the signals of one file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    /// One sum for each position in one or several frames.
    lanes: Vec<u16>,
}

impl Sums {
    pub fn clear(&mut self) {
        self.lanes.clear();
    }

    /// Adds whole frames of `frame` values, in the order of the file.
    pub fn add<V: Copy>(&mut self, values: &[V], frame: usize, low_bits: impl Fn(V) -> u16) {
        if self.lanes.is_empty() {
            self.lanes.resize(frame * LANES.div_ceil(frame).max(1), 0);
        }
        for values in values.chunks(self.lanes.len()) {
            for (sum, value) in self.lanes.iter_mut().zip(values) {
                *sum = sum.wrapping_add(low_bits(*value));
            }
        }
    }

    /// Returns the sum of one signal of the group.
    fn of(&self, group: &Group, place: usize) -> u16 {
        let start = group.starts[place];
        let end = start + group.per_frame[place];
        self.lanes
            .chunks_exact(group.frame)
            .flat_map(|frame| &frame[start..end])
            .fold(0, |sum, value| sum.wrapping_add(*value))
    }

    /// Compares the sums of a whole record with its header.
    pub fn check(
        &self,
        group: &Group,
        header: &Header,
        verify: bool,
        notes: &mut Notes<'_>,
    ) -> Result<(), IoError> {
        if self.lanes.is_empty() {
            // No samples of this file were requested.
            return Ok(());
        }
        for (place, signal) in group.signals.clone().enumerate() {
            let spec = &header.signals[signal];
            let Some(expected) = spec.checksum else { continue };
            let found = self.of(group, place);
            if found == expected {
                continue;
            }
            if verify {
                let (path, line) = (notes.path.to_owned(), spec.line);
                let lead = crate::error::clip(&spec.name(signal));
                return Err(IoError::Checksum { path, line, signal, lead, expected, found });
            }
            let message = format!("{expected} in the header, {found} computed from the samples");
            notes.remark(Some(spec.line), "checksum", message);
        }
        Ok(())
    }
}

/// The sum of stored values mod 2^16.
pub(crate) fn checksum(samples: impl Iterator<Item = i32>) -> u16 {
    samples.fold(0_u32, |sum, v| sum.wrapping_add(v as u32)) as u16
}
