//! The signals of one file.

use std::ops::Range;

use super::flac::Flac;
use super::source::Source;
use crate::warning::Notes;
use crate::{Format, Header, IoError, ReadOptions};

/// The signals of one file, and what of it is theirs.
#[derive(Debug)]
pub(crate) struct Group {
    pub signals: Range<usize>,
    pub source: Source,
    pub format: Format,
    /// Bytes before the first sample; samples in a FLAC file.
    pub offset: u64,
    /// Samples of each signal in a frame.
    pub per_frame: Vec<usize>,
    /// Where each signal's samples begin in a frame.
    pub starts: Vec<usize>,
    /// Samples in a frame, of all signals together.
    pub frame: usize,
    /// The values that the differences of format 8 start from.
    pub initial: Vec<i32>,
    /// Frames that the file holds, unless it is FLAC.
    held: u64,
    /// Samples of each channel that a FLAC file states.
    channel_samples: Option<u64>,
}

impl Group {
    pub fn new(
        header: &Header,
        signals: Range<usize>,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<Self, IoError> {
        let specs = &header.signals[signals.clone()];
        let first = &specs[0];
        let source = Source::find(first, options, notes)?;
        let mut frame = 0_u64;
        let (mut per_frame, mut starts) = (Vec::new(), Vec::new());
        for spec in specs {
            starts.push(frame as usize);
            per_frame.push(spec.samples_per_frame as usize);
            frame = frame.saturating_add(spec.samples_per_frame.into());
        }
        let mut group = Self {
            initial: specs.iter().map(|spec| spec.initial_value).collect(),
            signals,
            format: first.format,
            offset: first.offset,
            frame: usize::try_from(frame).unwrap_or(usize::MAX),
            per_frame,
            starts,
            held: 0,
            channel_samples: None,
            source,
        };
        if group.format.is_flac() {
            group.channel_samples = Flac::inspect(&group, notes.path, first.line)?;
        } else {
            let Some(available) = group.source.size.checked_sub(group.offset) else {
                return Err(IoError::Truncated {
                    path: group.source.path,
                    expected: group.offset,
                    found: group.source.size,
                });
            };
            group.held = group.format.samples_in(available) / frame.max(1);
        }
        Ok(group)
    }

    /// Frames that the file holds. A FLAC file that does not say, or states more than is usual, is decoded to count them.
    pub fn held(&self) -> Result<u64, IoError> {
        if !self.format.is_flac() {
            return Ok(self.held);
        }
        let samples = match self.channel_samples {
            Some(stated) => {
                self.check_flac_samples(stated)?;
                stated
            }
            None => Flac::count(self, u64::MAX)?,
        };
        Ok(samples.saturating_sub(self.offset) / self.per_frame[0] as u64)
    }

    /// Bytes of `n_frames` frames, the last block cut short.
    fn bytes(&self, n_frames: u64) -> u64 {
        n_frames
            .checked_mul(self.frame as u64)
            .and_then(|samples| self.format.bytes_for(samples))
            .unwrap_or(u64::MAX)
    }

    /// Compares the file's size with the length that the header states.
    pub fn check_length(
        &self,
        n_frames: u64,
        header: &Header,
        notes: &mut Notes<'_>,
    ) -> Result<(), IoError> {
        if self.format.is_flac() {
            return self.check_flac_length(n_frames);
        }
        let needed = self.bytes(n_frames).saturating_add(self.offset);
        if needed > self.source.size {
            let (path, found) = (self.source.path.clone(), self.source.size);
            return Err(IoError::Truncated { path, expected: needed, found });
        }
        // The last block may be whole, and skewed signals need frames beyond the end.
        let skew = header.signals[self.signals.clone()].iter().map(|s| s.skew).max().unwrap_or(0);
        let most = self
            .bytes(n_frames.saturating_add(skew.into()))
            .saturating_add(self.offset)
            .saturating_add(self.format.padding());
        if self.source.size > most {
            let message = format!(
                "{} bytes follow the {n_frames} frames that the header states, ignored",
                self.source.size - needed
            );
            notes.quirk(None, "number of samples", message)?;
        }
        Ok(())
    }

    fn check_flac_length(&self, n_frames: u64) -> Result<(), IoError> {
        let needed = n_frames.saturating_mul(self.per_frame[0] as u64).saturating_add(self.offset);
        match self.channel_samples {
            Some(found) if found < needed => {
                let path = self.source.path.clone();
                Err(IoError::TruncatedFlac { path, expected: needed, found })
            }
            _ => self.check_flac_samples(needed),
        }
    }

    /// Decodes what is compressed more strongly than usual once before memory is set aside on the file's word.
    fn check_flac_samples(&self, needed: u64) -> Result<(), IoError> {
        let samples = needed.saturating_mul(self.per_frame.len() as u64);
        if samples > self.source.size.saturating_mul(Flac::USUAL_SAMPLES_PER_BYTE) {
            let found = Flac::count(self, needed)?;
            if found < needed {
                let path = self.source.path.clone();
                return Err(IoError::TruncatedFlac { path, expected: needed, found });
            }
        }
        Ok(())
    }

    /// Bytes that follow the last whole frame and are no padding, where the length is the file's.
    pub fn rest(&self, n_frames: u64) -> Option<u64> {
        if self.format.is_flac() {
            return None;
        }
        let used = self.bytes(n_frames).saturating_add(self.offset);
        let rest = self.source.size.saturating_sub(used);
        (rest > self.format.padding()).then_some(rest)
    }

    /// The bytes of the file that hold `frames`, from the start of a block, and how many samples of that block come first.
    pub fn span(&self, frames: Range<u64>) -> (Range<u64>, usize) {
        // All of this lies within the file, whose size was compared with the record's length.
        let first = frames.start * self.frame as u64;
        let (block, block_bytes) = self.format.block_size();
        let skip = first % block;
        let start = self.offset + first / block * block_bytes;
        let end = self.offset + self.bytes(frames.end);
        (start..end, skip as usize)
    }
}
