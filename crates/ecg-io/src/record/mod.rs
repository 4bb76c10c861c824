//! WFDB records: opened once, then read whole, in parts or in blocks.

mod blocks;
mod matrix;
mod recording;
mod segments;
mod select;
mod stored;

use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

pub use blocks::Blocks;
pub use matrix::Scratch;
pub(crate) use recording::read_wfdb_recording;
pub use select::Selection;
pub use stored::{WfdbRecord, read_wfdb};

use segments::Segments;

use crate::header::{header_bytes, header_path};
use crate::signal::Plan;
use crate::warning::{Notes, keep};
use crate::{Header, IoError, ReadOptions, SignalSpec, Warning};

/// A WFDB record whose header has been read and whose files have been found; samples are read on request.
///
/// It may have any signals, any units and any number of segments. Samples are read for a [`Selection`] and into any
/// [`crate::Sample`] type: `i16` and `i32` give values as stored, `f32` and `f64` physical values, each signal in its
/// own unit ([`SignalSpec::units`]). [`Record::recording`] reads a part as a recording in mV. Only the requested part is
/// read from disk, except for format 8 and FLAC, which can only be decoded from the start of their file.
///
/// If all frames are read, at once or in blocks, the checksums of all signals in the files that are read are verified.
///
/// ```
/// # use ecg_io::ecg_core::{Lead, Recording, SamplingRate};
/// use ecg_io::ndarray::Array2;
/// use ecg_io::{ReadOptions, Record, Selection};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let signal = Array2::from_shape_fn((2, 1000), |(lead, t)| (lead * 1000 + t) as f64 / 1000.0);
/// # let demo = Recording::new("r", SamplingRate::new(500.0)?, [Lead::I, Lead::II], signal)?;
/// # ecg_io::write_wfdb(dir.path(), &demo, &Default::default())?;
/// # let path = dir.path().join("r");
/// let record = Record::open(path, &ReadOptions::default())?;
/// // Half a second of lead II in its own unit (here mV), starting after the first second.
/// let part = Selection::default()
///     .with_frames(record.frames_between(1.0, 1.5))
///     .with_signals(record.signals_named(&["II"])?);
/// let samples: Array2<f64> = record.read_matrix(&part)?; // [sample, signal]
/// assert_eq!((samples.dim(), samples[[0, 0]]), ((250, 1), 1.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Record {
    header: Header,
    body: Body,
    options: ReadOptions,
    /// In order of occurrence, each only once.
    warnings: Mutex<Vec<Warning>>,
}

/// The location of the samples.
#[derive(Debug)]
enum Body {
    Whole(Plan),
    Segments(Segments),
}

impl Record {
    /// Opens a record by reading its header and inspecting its files; `path` may lack the `.hea`.
    ///
    /// The segments of a multi-segment record are inspected when they are read.
    ///
    /// # Errors
    /// Fails if a file is missing, unreadable or shorter than the header says, if the header violates its grammar, or
    /// if a name leads out of the record's folder.
    pub fn open(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self, IoError> {
        let path = header_path(path.as_ref());
        let mut notes = Notes::new(&path, options.strict);
        let header = Header::parse_with(&header_bytes(&path)?, &mut notes)?;
        let body = if header.segments.is_empty() {
            Body::Whole(Plan::new(&header, header.n_frames, &path, options, &mut notes)?)
        } else {
            Body::Segments(Segments::new(&header, options, &mut notes)?)
        };
        let found = notes.warnings;
        let record = Self { header, body, options: options.clone(), warnings: Mutex::default() };
        record.note(found);
        Ok(record)
    }

    /// Returns the contents of the record's header. The header of a multi-segment record has no signals; see
    /// [`Record::signals`].
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the signals. Those of a multi-segment record are taken from its layout, or else from its first segment.
    pub fn signals(&self) -> &[SignalSpec] {
        match &self.body {
            Body::Whole(_) => &self.header.signals,
            Body::Segments(segments) => &segments.signals,
        }
    }

    /// Returns the length in frames; a signal has [`SignalSpec::samples_per_frame`] samples in each.
    pub fn n_frames(&self) -> u64 {
        match &self.body {
            Body::Whole(plan) => plan.n_frames,
            Body::Segments(segments) => segments.n_frames,
        }
    }

    /// Returns the duration in seconds.
    pub fn duration_s(&self) -> f64 {
        self.n_frames() as f64 / self.header.frame_rate.hz()
    }

    /// Returns whether the record consists of segments. Segments can differ in gain and format, so only physical values
    /// can be read.
    pub fn is_multi_segment(&self) -> bool {
        matches!(self.body, Body::Segments(_))
    }

    /// Returns the sampling rate of a signal in Hz: frame rate times samples per frame.
    ///
    /// # Panics
    /// Panics if there is no such signal.
    pub fn sampling_rate_hz(&self, signal: usize) -> f64 {
        self.header.frame_rate.hz() * f64::from(self.signals()[signal].samples_per_frame)
    }

    /// Returns the departures from the format that have been read leniently so far.
    ///
    /// At most 128 are listed; one more counts the rest, and may count those of a part that is read again once more.
    pub fn warnings(&self) -> Vec<Warning> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the frames from `start_s` up to but not including `end_s`, in seconds from the start of the record,
    /// clipped to the record.
    pub fn frames_between(&self, start_s: f64, end_s: f64) -> Range<u64> {
        let frame = |seconds: f64| {
            // Times such as 0.1 s are rarely exact, so a frame counts from a thousandth of a frame before it.
            let frames = seconds * self.header.frame_rate.hz() - 1e-3;
            // NaN and negative times become 0, large times the end.
            (frames.ceil() as u64).min(self.n_frames())
        };
        let start = frame(start_s);
        start..frame(end_s).max(start)
    }

    /// Returns the numbers of the signals with these descriptions, ignoring case; the first if several are equal.
    ///
    /// # Errors
    /// Fails if no signal has one of the names.
    pub fn signals_named(&self, names: &[impl AsRef<str>]) -> Result<Vec<usize>, IoError> {
        let find = |name: &str| {
            self.signals()
                .iter()
                .position(|spec| spec.description.trim().eq_ignore_ascii_case(name.trim()))
                .ok_or_else(|| IoError::NoSuchSignal {
                    path: self.header.path.clone(),
                    found: crate::error::clip(name),
                    n_signals: self.signals().len(),
                })
        };
        names.iter().map(|name| find(name.as_ref())).collect()
    }

    fn note(&self, found: Vec<Warning>) {
        if found.is_empty() {
            return;
        }
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in found {
            // Reading a part again produces the same warnings again.
            if !warnings.contains(&warning) {
                keep(&mut warnings, warning, &self.header.path);
            }
        }
    }
}
