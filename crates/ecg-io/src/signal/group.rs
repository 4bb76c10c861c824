//! The signals of one file.

use std::ops::Range;
use std::path::Path;

use super::flac::Flac;
use super::source::Source;
use crate::error::Place;
use crate::warning::Notes;
use crate::{Format, Header, IoError, ReadOptions};

/// The signals of one file, and the part of the file that belongs to them.
#[derive(Debug)]
pub(crate) struct Group {
    pub signals: Range<usize>,
    pub source: Source,
    pub format: Format,
    /// Bytes before the first sample; in a FLAC file, samples.
    pub offset: u64,
    /// Samples per frame of each signal.
    pub per_frame: Vec<usize>,
    /// Position of each signal's first sample in a frame.
    pub starts: Vec<usize>,
    /// Samples per frame, of all signals together.
    pub frame: usize,
    /// The initial values for the differences of format 8.
    pub initial: Vec<i32>,
    /// Number of frames in the file, unless it is FLAC.
    held: u64,
    /// Number of samples per channel, as stated by a FLAC file.
    channel_samples: Option<u64>,
    /// Number of samples per channel above which a FLAC file is rejected.
    channel_limit: u64,
}

impl Group {
    pub fn new(
        header: &Header,
        signals: Range<usize>,
        record: &Path,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<Self, IoError> {
        let specs = &header.signals[signals.clone()];
        let first = &specs[0];
        let source = Source::find(first, header, record, options, notes)?;
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
            channel_limit: options
                .max_packed_samples
                .max(source.size.saturating_mul(Flac::MOST_SAMPLES_PER_BYTE))
                / specs.len() as u64,
            source,
        };
        if group.format.is_flac() {
            group.channel_samples = Flac::inspect(&group, notes.path, first.line)?;
        } else {
            let Some(available) = group.source.size.checked_sub(group.offset) else {
                return Err(IoError::Truncated {
                    path: group.source.path,
                    at: Place::new(notes.path, first.line, "byte offset"),
                    expected: group.offset,
                    found: group.source.size,
                });
            };
            group.held = group.format.samples_in(available) / frame.max(1);
        }
        Ok(group)
    }

    /// Returns the number of frames in the file.
    ///
    /// A FLAC file that does not state it, or that states more than is usual, is decoded to count them.
    pub fn held(&self) -> Result<u64, IoError> {
        if !self.format.is_flac() {
            return Ok(self.held);
        }
        let samples = match self.channel_samples {
            Some(stated) => {
                self.check_flac_samples(stated, &self.source.named)?;
                stated
            }
            None => self.count_flac(u64::MAX)?,
        };
        Ok(samples.saturating_sub(self.offset) / self.per_frame[0] as u64)
    }

    /// Number of bytes of `n_frames` frames, with the last block cut short.
    fn bytes(&self, n_frames: u64) -> u64 {
        n_frames
            .checked_mul(self.frame as u64)
            .and_then(|samples| self.format.bytes_for(samples))
            .unwrap_or(u64::MAX)
    }

    /// Number of bytes of the file that `n_frames` frames take up: all of them if it is compressed.
    pub fn used(&self, n_frames: u64) -> u64 {
        if self.format.is_flac() { self.source.size } else { self.bytes(n_frames) }
    }

    /// Compares the size of the file with the length that the header states.
    pub fn check_length(
        &self,
        n_frames: u64,
        header: &Header,
        notes: &mut Notes<'_>,
    ) -> Result<(), IoError> {
        let at = Place::new(notes.path, header.line, "number of samples");
        // Skewed signals need frames beyond the end.
        let skew = header.signals[self.signals.clone()].iter().map(|s| s.skew).max().unwrap_or(0);
        let late = n_frames.saturating_add(skew.into());
        let (needed, most, found, unit) = if self.format.is_flac() {
            let needed = self.flac_samples(n_frames);
            self.check_flac_length(needed, at)?;
            // A file that does not state its length is not decoded to compare it.
            let found = self.channel_samples.unwrap_or(needed);
            (needed, self.flac_samples(late), found, "samples per channel")
        } else {
            let needed = self.bytes(n_frames).saturating_add(self.offset);
            let found = self.source.size;
            if needed > found {
                let path = self.source.path.clone();
                return Err(IoError::Truncated { path, at, expected: needed, found });
            }
            let most = self.bytes(late).saturating_add(self.offset);
            // The last block may be complete.
            (needed, most.saturating_add(self.format.padding()), found, "bytes")
        };
        if found > most {
            let message = format!(
                "{} {unit} follow the {n_frames} frames that are stated, ignored",
                found - needed
            );
            notes.quirk(Some(header.line), "number of samples", message)?;
        }
        Ok(())
    }

    /// Number of samples per channel that `n_frames` frames of a FLAC file need.
    fn flac_samples(&self, n_frames: u64) -> u64 {
        n_frames.saturating_mul(self.per_frame[0] as u64).saturating_add(self.offset)
    }

    fn check_flac_length(&self, needed: u64, at: Place) -> Result<(), IoError> {
        match self.channel_samples {
            Some(found) if found < needed => Err(self.truncated_flac(needed, found, at)),
            _ => self.check_flac_samples(needed, &at),
        }
    }

    /// Checks that a FLAC file has the needed samples. If it is compressed more strongly than usual, it is decoded once
    /// before memory is allocated on its word.
    fn check_flac_samples(&self, needed: u64, at: &Place) -> Result<(), IoError> {
        let samples = needed.saturating_mul(self.per_frame.len() as u64);
        if samples > self.source.size.saturating_mul(Flac::USUAL_SAMPLES_PER_BYTE) {
            let found = self.count_flac(needed)?;
            if found < needed {
                return Err(self.truncated_flac(needed, found, at.clone()));
            }
        }
        Ok(())
    }

    /// Counts the samples of each channel, up to `enough`; more than is plausible is an error.
    fn count_flac(&self, enough: u64) -> Result<u64, IoError> {
        let found = Flac::count(self, enough.min(self.channel_limit.saturating_add(1)))?;
        if found <= self.channel_limit || enough <= self.channel_limit {
            return Ok(found);
        }
        Err(IoError::FlacExpands {
            path: self.source.path.clone(),
            at: self.source.named.clone(),
            bytes: self.source.size,
            limit: self.channel_limit * self.per_frame.len() as u64,
        })
    }

    pub fn truncated_flac(&self, expected: u64, found: u64, at: Place) -> IoError {
        IoError::TruncatedFlac { path: self.source.path.clone(), at, expected, found }
    }

    /// Returns the number of bytes that follow the last whole frame and are not padding, when the length is taken from
    /// the file.
    pub fn rest(&self, n_frames: u64) -> Option<u64> {
        if self.format.is_flac() {
            return None;
        }
        let used = self.bytes(n_frames).saturating_add(self.offset);
        let rest = self.source.size.saturating_sub(used);
        (rest > self.format.padding()).then_some(rest)
    }

    /// Returns the bytes of the file that hold `frames`, starting at a block, and the number of samples of that block
    /// to skip.
    pub fn span(&self, frames: Range<u64>) -> (Range<u64>, usize) {
        // All of this lies within the file, because its size was compared with the record's length.
        let first = frames.start * self.frame as u64;
        let (block, block_bytes) = self.format.block_size();
        let skip = first % block;
        let start = self.offset + first / block * block_bytes;
        let end = self.offset + self.bytes(frames.end);
        (start..end, skip as usize)
    }
}
