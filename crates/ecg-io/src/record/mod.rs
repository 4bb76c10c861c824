//! WFDB records: opened, and read whole, in parts or in blocks.

mod blocks;
mod matrix;
mod recording;
mod segments;
mod select;
mod stored;

use std::collections::HashSet;
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
use crate::warning::Notes;
use crate::{Header, IoError, ReadOptions, SignalSpec, Warning};

/// A WFDB record whose header is read and whose files were found; samples are read when they are asked for.
///
/// It may have any signals, any units and any number of segments. Reading goes by [`Selection`] and into any
/// [`crate::Sample`]: `i16` and `i32` give values as stored, `f32` and `f64` physical ones. Only the part that is asked for
/// is read from disk, but for format 8 and FLAC, which can be decoded only from the start of their file on.
///
/// Checksums are tested where a signal is read as a whole, at once or in blocks.
///
/// ```
/// # use ecg_core::{Lead, Recording, SamplingRate};
/// use ecg_io::{ReadOptions, Record, Selection};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let signal = ndarray::Array2::from_shape_fn((2, 1000), |(lead, t)| (lead * 1000 + t) as f64 / 1000.0);
/// # let demo = Recording::new("r", SamplingRate::new(500.0)?, [Lead::I, Lead::II], signal)?;
/// # ecg_io::write_wfdb(dir.path(), &demo, &Default::default())?;
/// # let path = dir.path().join("r");
/// let record = Record::open(path, &ReadOptions::default())?;
/// // Half a second of lead II, from the first second on, in mV.
/// let part = Selection::default()
///     .with_frames(record.frames_between(1.0, 1.5))
///     .with_signals(record.signals_named(&["II"])?);
/// let samples: ndarray::Array2<f64> = record.read_matrix(&part)?; // [sample, signal]
/// assert_eq!((samples.dim(), samples[[0, 0]]), ((250, 1), 1.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Record {
    header: Header,
    body: Body,
    options: ReadOptions,
    warnings: Mutex<Noted>,
}

/// Warnings in the order in which they came, each once.
#[derive(Debug, Default)]
struct Noted {
    list: Vec<Warning>,
    seen: HashSet<Warning>,
}

/// Where the samples are.
#[derive(Debug)]
enum Body {
    Whole(Plan),
    Segments(Segments),
}

impl Record {
    /// Reads the header and looks at the files; `path` may lack the `.hea`. The segments of a multi-segment record are
    /// looked at when they are read.
    ///
    /// # Errors
    /// Files that are missing, unreadable or shorter than the header says, what departs from the header's grammar, and names
    /// that lead out of the record's folder.
    pub fn open(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self, IoError> {
        let path = header_path(path.as_ref());
        let mut notes = Notes::new(&path, options.strict);
        let header = Header::parse_with(&header_bytes(&path)?, &mut notes)?;
        let body = if header.segments.is_empty() {
            Body::Whole(Plan::new(&header, &path, options, &mut notes)?)
        } else {
            Body::Segments(Segments::new(&header, options, &mut notes)?)
        };
        let found = notes.warnings;
        let record = Self { header, body, options: options.clone(), warnings: Mutex::default() };
        record.note(found);
        Ok(record)
    }

    /// What the record's header says; that of a multi-segment record has no signals, see [`Record::signals`].
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The signals: of a multi-segment record those of its layout, or else of its first segment.
    pub fn signals(&self) -> &[SignalSpec] {
        match &self.body {
            Body::Whole(_) => &self.header.signals,
            Body::Segments(segments) => &segments.signals,
        }
    }

    /// Length in frames; a signal has [`SignalSpec::samples_per_frame`] samples in each.
    pub fn n_frames(&self) -> u64 {
        match &self.body {
            Body::Whole(plan) => plan.n_frames,
            Body::Segments(segments) => segments.n_frames,
        }
    }

    /// Length in seconds.
    pub fn duration_s(&self) -> f64 {
        self.n_frames() as f64 / self.header.frame_rate.hz()
    }

    /// Whether the record consists of segments. Those can differ in gain and format, so that only physical values are read.
    pub fn is_multi_segment(&self) -> bool {
        matches!(self.body, Body::Segments(_))
    }

    /// Sampling rate of a signal in Hz: frame rate times samples per frame.
    ///
    /// # Panics
    /// There is no such signal.
    pub fn sampling_rate_hz(&self, signal: usize) -> f64 {
        self.header.frame_rate.hz() * f64::from(self.signals()[signal].samples_per_frame)
    }

    /// What was read otherwise than it stands there, so far.
    pub fn warnings(&self) -> Vec<Warning> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).list.clone()
    }

    /// The frames from `start_s` to before `end_s`, in seconds from the start of the record; what lies outside of it is left
    /// out.
    pub fn frames_between(&self, start_s: f64, end_s: f64) -> Range<u64> {
        let frame = |seconds: f64| {
            // Times such as 0.1 s are rarely exact: a frame counts from a thousandth before it.
            let frames = seconds * self.header.frame_rate.hz() - 1e-3;
            // NaN and negative times become 0, large ones the end.
            (frames.ceil() as u64).min(self.n_frames())
        };
        let start = frame(start_s);
        start..frame(end_s).max(start)
    }

    /// Numbers of the signals with these descriptions, whatever the case; of several equal ones the first.
    ///
    /// # Errors
    /// A name that no signal has.
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
            // A part that is read again says the same again.
            if warnings.seen.insert(warning.clone()) {
                warnings.list.push(warning);
            }
        }
    }
}
