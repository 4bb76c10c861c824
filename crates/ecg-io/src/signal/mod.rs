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

pub(crate) use checksum::checksum;
pub(crate) use fill::{Io, Target};
pub use sample::Sample;
pub(crate) use sample::{Calibration, Value};
pub(crate) use source::{beside, check_inside};

use group::Group;

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
    /// Looks at a record's files.
    pub fn new(
        header: &Header,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<Self, IoError> {
        let mut groups = Vec::new();
        let mut start = 0;
        for same_file in header.signals.chunk_by(|a, b| a.file == b.file && a.format == b.format) {
            let signals = start..start + same_file.len();
            start = signals.end;
            if same_file[0].format != Format::Null {
                groups.push(Group::new(header, signals, options, notes)?);
            }
        }
        if groups.is_empty() {
            return Err(IoError::NoSamples { path: notes.path.to_owned() });
        }
        let n_frames = match header.n_frames {
            Some(n) => {
                for group in &groups {
                    group.check_length(n, header, notes)?;
                }
                n
            }
            None => infer_length(&groups, notes)?,
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
        let null = header.signals.iter().filter(|signal| signal.format == Format::Null);
        let samples = null.fold(0_u64, |sum, signal: &SignalSpec| {
            sum.saturating_add(self.n_frames.saturating_mul(signal.samples_per_frame.into()))
        });
        let limit = options.max_null_samples.max(self.n_frames.saturating_mul(in_files));
        if samples > limit {
            let path = notes.path.to_owned();
            return Err(IoError::TooManyNullSamples { path, samples, limit });
        }
        Ok(())
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
fn infer_length(groups: &[Group], notes: &mut Notes<'_>) -> Result<u64, IoError> {
    let mut shortest = u64::MAX;
    let mut differ = false;
    for group in groups {
        let frames = group.held()?;
        if frames == 0 {
            return Err(IoError::NoSamples { path: group.source.path.clone() });
        }
        differ |= shortest != u64::MAX && shortest != frames;
        shortest = shortest.min(frames);
        if let Some(rest) = group.rest(frames) {
            let message = format!("{rest} bytes of the signal file are no whole frame, ignored");
            notes.quirk(None, "number of samples", message)?;
        }
    }
    if differ {
        let message =
            format!("the signal files have different lengths, {shortest} frames are read");
        notes.quirk(None, "number of samples", message)?;
    }
    Ok(shortest)
}
