//! From signal files to samples.

mod checksum;
mod fill;
mod flac;
mod group;
#[cfg(feature = "mmap")]
mod map;
mod sample;
mod sequential;
mod source;

use std::path::Path;

pub(crate) use checksum::checksum;
pub(crate) use fill::{Io, Target};
pub use sample::Sample;
pub(crate) use sample::{Calibration, Value};
pub(crate) use source::{beside, find_below, renamed_file};

use group::Group;

use crate::error::Place;
use crate::warning::Notes;
use crate::{Format, Header, IoError, ReadOptions, SignalSpec};

/// Which bytes of which files make up a record of one segment.
#[derive(Debug)]
pub(crate) struct Plan {
    groups: Vec<Group>,
    pub n_frames: u64,
    /// Whether the header stated the length, without which checksums are not tested.
    stated: bool,
}

impl Plan {
    /// Looks at the files of a plain record or of a segment of `record`; both are headers.
    pub fn new(
        header: &Header,
        record: &Path,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<Self, IoError> {
        let mut groups = Vec::new();
        let mut start = 0;
        for same_file in header.signals.chunk_by(|a, b| a.file == b.file && a.format == b.format) {
            let signals = start..start + same_file.len();
            start = signals.end;
            if same_file[0].format != Format::Null {
                groups.push(Group::new(header, signals, record, options, notes)?);
            }
        }
        if groups.is_empty() {
            return Err(IoError::NoSamples {
                path: notes.path.to_owned(),
                at: Some(Place::new(notes.path, header.line, "number of signals")),
                found: format!("{} signals without a file", header.signals.len()),
                expected: "a signal with a file",
            });
        }
        let n_frames = match header.n_frames {
            Some(n) => {
                for group in &groups {
                    group.check_length(n, header, notes)?;
                }
                n
            }
            None => infer_length(&groups, header, notes)?,
        };
        let in_files =
            groups.iter().fold(0_u64, |sum, group| sum.saturating_add(group.frame as u64));
        let plan = Self { groups, n_frames, stated: header.n_frames.is_some() };
        plan.check_null_signals(header, in_files, options, notes)?;
        for signal in &header.signals {
            let samples = n_frames.saturating_mul(signal.samples_per_frame.into());
            if u64::from(signal.skew) >= samples {
                return Err(IoError::SkewPastEnd {
                    path: notes.path.to_owned(),
                    line: signal.line,
                    skew: signal.skew.into(),
                    samples,
                });
            }
        }
        Ok(plan)
    }

    /// Signals without a file are as long as the header says: a size that no file bounds. They may have as many samples as
    /// the files (`in_files` in each frame), or a modest number.
    fn check_null_signals(
        &self,
        header: &Header,
        in_files: u64,
        options: &ReadOptions,
        notes: &Notes<'_>,
    ) -> Result<(), IoError> {
        let null = || header.signals.iter().filter(|signal| signal.format == Format::Null);
        let samples = null().fold(0_u64, |sum, signal: &SignalSpec| {
            sum.saturating_add(self.n_frames.saturating_mul(signal.samples_per_frame.into()))
        });
        let limit = options.max_null_samples.max(self.n_frames.saturating_mul(in_files));
        if samples > limit {
            let path = notes.path.to_owned();
            let most = null().max_by_key(|signal| signal.samples_per_frame);
            let (line, field) = match most {
                Some(signal) if signal.samples_per_frame > 1 => (signal.line, "samples per frame"),
                _ => (header.line, "number of samples"),
            };
            return Err(IoError::TooManyNullSamples { path, line, field, samples, limit });
        }
        Ok(())
    }

    /// Which files the samples come from: for each its identity, its size, and its bytes that are samples.
    pub fn files(&self) -> impl Iterator<Item = ((u64, u64), u64, u64)> + '_ {
        self.groups.iter().map(|group| {
            let (identity, size) = (group.source.identity, group.source.size);
            (identity, size, group.used(self.n_frames))
        })
    }

    /// Closes the files, which reading opens again.
    pub fn close(&self) {
        self.groups.iter().for_each(|group| group.source.close());
    }

    /// Compares the sums of all samples with the header.
    pub fn check_sums(
        &self,
        header: &Header,
        io: &Io,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<(), IoError> {
        if self.stated {
            for (group, sums) in self.groups.iter().zip(&io.sums) {
                sums.check(group, header, options.verify_checksums, notes)?;
            }
        }
        Ok(())
    }
}

/// The length of a record whose header does not state one.
fn infer_length(groups: &[Group], header: &Header, notes: &mut Notes<'_>) -> Result<u64, IoError> {
    let mut shortest = u64::MAX;
    let mut differ = false;
    for group in groups {
        let frames = group.held()?;
        if frames == 0 {
            return Err(IoError::NoSamples {
                path: group.source.path.clone(),
                at: Some(group.source.named.clone()),
                found: format!("{} bytes", group.source.size),
                expected: "at least one frame",
            });
        }
        differ |= shortest != u64::MAX && shortest != frames;
        shortest = shortest.min(frames);
        if let Some(rest) = group.rest(frames) {
            let message = format!("{rest} bytes of the signal file are no whole frame, ignored");
            notes.quirk(Some(header.line), "number of samples", message)?;
        }
    }
    if differ {
        let message =
            format!("the signal files have different lengths, {shortest} frames are read");
        notes.quirk(Some(header.line), "number of samples", message)?;
    }
    Ok(shortest)
}
