//! Reads samples from signal files.

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

/// The bytes and files that make up a single-segment record.
#[derive(Debug)]
pub(crate) struct Plan {
    groups: Vec<Group>,
    pub n_frames: u64,
    /// Whether the header states the length; without it, checksums are not verified.
    stated: bool,
}

impl Plan {
    /// Inspects the files of a plain record, or of a segment of the record whose header is `record`. Without `n_frames`,
    /// the length is taken from the files.
    pub fn new(
        header: &Header,
        n_frames: Option<u64>,
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
                expected: "at least one signal with a file",
            });
        }
        let n_frames = match n_frames {
            Some(n) => {
                for group in &groups {
                    group.check_length(n, header, notes)?;
                }
                n
            }
            None => infer_length(&groups, header, notes)?,
        };
        let plan = Self { groups, n_frames, stated: header.n_frames.is_some() };
        // No block is smaller than a frame.
        plan.check_null_signals(header, &header.signals, 1, options)?;
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

    /// Checks the number of samples of null signals.
    ///
    /// Signals without a file are as long as the header says, a size that no file bounds. In `frames` frames, those of
    /// `signals` may have as many samples as the files hold, or up to the limit of the options.
    pub fn check_null_signals<'a>(
        &self,
        header: &Header,
        signals: impl IntoIterator<Item = &'a SignalSpec>,
        frames: u64,
        options: &ReadOptions,
    ) -> Result<(), IoError> {
        let null = signals.into_iter().filter(|signal| signal.format == Format::Null);
        let (mut per_frame, mut most) = (0_u64, (1, header.line));
        for signal in null {
            per_frame = per_frame.saturating_add(signal.samples_per_frame.into());
            if signal.samples_per_frame > most.0 {
                most = (signal.samples_per_frame, signal.line);
            }
        }
        let in_files = self.groups.iter().map(|group| group.frame as u64);
        let in_files = in_files.fold(0, u64::saturating_add);
        let samples = frames.saturating_mul(per_frame);
        let limit = options.max_null_samples.max(frames.saturating_mul(in_files));
        if samples > limit {
            let (path, line) = (header.path.clone(), most.1);
            let field = if most.0 > 1 { "samples per frame" } else { "number of samples" };
            // No block is smaller than a frame.
            let in_blocks = frames > 1;
            return Err(IoError::TooManyNullSamples {
                path,
                line,
                field,
                samples,
                limit,
                in_blocks,
            });
        }
        Ok(())
    }

    /// Returns the files that the samples come from: for each its identity, its size, and the number of its bytes that
    /// are samples.
    pub fn files(&self) -> impl Iterator<Item = ((u64, u64), u64, u64)> + '_ {
        self.groups.iter().map(|group| {
            let (identity, size) = (group.source.identity, group.source.size);
            (identity, size, group.used(self.n_frames))
        })
    }

    /// Closes the files; reading opens them again.
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

/// Determines the length of a record whose header does not state one.
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
            let message = format!("{rest} bytes of the signal file are not a whole frame, ignored");
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
