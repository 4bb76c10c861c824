//! Reads and writes 12-lead ECG recordings: WFDB, CSV, label tables and whole data sets.
//!
//! ```
//! use ecg_io::ecg_core::{Lead, Recording, SamplingRate, SnomedCode};
//! use ecg_io::ndarray::Array2;
//! use ecg_io::{Dataset, DatasetOptions, ReadOptions, WriteOptions, read_recording, write_wfdb};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! // Two seconds of a slow wave on twelve leads, [lead, sample] in mV, with a diagnosis (atrial fibrillation).
//! let signal = Array2::from_shape_fn((12, 1000), |(lead, t)| (t as f64 / 80.0).sin() * lead as f64 / 12.0);
//! let mut recording = Recording::new("demo", SamplingRate::new(500.0)?, Lead::STANDARD_12, signal)?;
//! recording.diagnoses.push(SnomedCode(164889003));
//! write_wfdb(dir, &recording, &WriteOptions::default())?;
//!
//! let loaded = read_recording(dir.join("demo"), &ReadOptions::default())?;
//! assert!(loaded.warnings.is_empty());
//! assert!((loaded.recording.signal[[4, 77]] - recording.signal[[4, 77]]).abs() <= 0.0005);
//!
//! // The whole folder, several recordings at a time, each with its own result.
//! let dataset = Dataset::open(dir, &DatasetOptions::default())?;
//! for (i, loaded) in dataset.load_all(0).into_iter().enumerate() {
//!     let labels = dataset.labels_of(i, &loaded?.recording).expect("the record states a diagnosis");
//!     assert_eq!(dataset.names()[i], "demo");
//!     assert_eq!(dataset.label_set().index_of("AF"), labels.iter().position(|on| *on));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Which type for which job
//!
//! | task | use |
//! |---|---|
//! | read one recording in mV | [`read_recording`]: WFDB or CSV; [`read_recording_with`] for many; [`read_csv`] |
//! | read some seconds or leads of a WFDB record in mV | [`Record::recording`] |
//! | read WFDB whole, in part or in blocks, as `i16`, `i32`, `f32`, `f64` | [`Record`], [`Selection`], [`Blocks`] |
//! | read a WFDB record as stored, one vector of integers per signal | [`read_wfdb`] |
//! | read only a header | [`read_header`], [`Header::parse`] |
//! | open a folder with labels, patients and folds | [`Dataset`] |
//! | list the contents of a folder and its problems | [`Dataset::report`], [`DatasetReport`] |
//! | make folds for training and testing | [`folds_by_patient`], [`split_published`], [`split_by_fold`] |
//! | map diagnosis codes to labels | [`LabelMap`], [`NsrRule`] |
//! | read a table of labels or predictions alone | [`read_labels`], [`read_probabilities`], [`RecordTable`] |
//! | match the rows of such a table to records | [`RecordTable::match_records`], [`RecordTable::aligned`] |
//! | warn of rows that match no record | [`RecordTable::matches`], [`RecordTable::row_warnings`] |
//! | read and write annotations | [`read_annotations`], [`sibling_annotations`], [`write_annotations`] |
//! | write recordings | [`write_wfdb`], [`write_csv`] |
//! | see what was read leniently | [`Warning`], in [`Loaded::warnings`] and [`Dataset::warnings`] |
//!
//! # Conventions
//!
//! - Signals of a [`Recording`](ecg_core::Recording) are `[lead, sample]`, `f64`, in mV, computed as (stored value -
//!   baseline) / gain. A signal that is not a voltage keeps its unit, with a warning when it is read. Samples that the
//!   format marks as invalid are NaN. The stored integers are returned in [`ecg_core::Recording::adc`].
//! - [`Record`] reads `[sample, signal]`, each signal in its own unit ([`SignalSpec::units`]), which
//!   [`SignalSpec::mv_per_unit`] converts to mV.
//! - Leads keep the names and the order of their file; [`ecg_core::Recording::row_of`] finds them regardless of case.
//! - Reading is lenient: known departures from the formats are read with a [`Warning`] that names the path, line and
//!   field. [`ReadOptions::strict`] rejects them. Anything that cannot be interpreted is an [`IoError`] in both modes.
//! - A WFDB checksum mismatch is an error, unless [`ReadOptions::verify_checksums`] is off.
//! - A record of a data set is named by its path below the folder, with `/` between folders and without its extension.
//!
//! # Formats
//!
//! All WFDB header fields are supported, with signal formats 0, 8, 16, 24, 32, 61, 80, 160, 212, 310, 311, 508, 516 and
//! 524 (which includes the `16+24` of MATLAB containers), byte offsets, several signal files, several samples per
//! frame, and skew. Multi-segment records may have a fixed or variable layout; gaps are read as NaN, and each segment
//! has its own gain. Formats 16, 24, 32, 61, 80, 160 and 212 can be written. MIT annotation files can be read and
//! written.
//!
//! CSV and TSV files may be gzip-compressed (`.gz`), have samples or leads in rows, with or without names, and use any
//! delimiter; see [`read_csv`]. Label tables can be a generic `labels.csv` or the one of PTB-XL; [`LabelMap`] files
//! state which codes count for which label.
//!
//! # Limits
//!
//! - No file makes a reader panic, hang or allocate without bound. Sizes come from the files and not from the header
//!   alone (except for [`ReadOptions::max_null_samples`] and [`ReadOptions::max_packed_samples`]). A selection of
//!   frames is as large as its caller makes it.
//! - Files outside the record's folder are rejected, including those behind a link, and links out of the folder of a
//!   data set are not followed (unless [`ReadOptions::allow_outside_links`] is on).
//! - Parts of a record are read without the rest, except in format 8 and FLAC, which are decoded from the start of
//!   their file.
//! - Segments cannot be nested.
//!
//! # Features
//!
//! `mmap` (off by default): `ReadOptions::memory_map` maps signal files into memory on request. Reading a file once is
//! faster without it.
//!
//! # Sibling crates
//!
//! `ecg-core` has the shared types, `ecg3d-convert` converts recordings to volumes, `ecg-synth` synthesises recordings.

mod annotation;
mod atomic;
mod csv;
mod dataset;
mod error;
mod format;
mod header;
mod labels;
mod options;
mod read;
mod record;
mod report;
mod signal;
mod split;
mod text;
mod warning;
mod write;

// The crates whose types appear in public signatures here.
pub use {ecg_core, ndarray};

pub use annotation::{
    Annotation, AnnotationCode, Annotations, CodeDefinition, Siblings, read_annotations,
    sibling_annotations, write_annotations,
};
pub use csv::{CsvColumn, CsvOptions, CsvOrientation, parse_csv, read_csv, write_csv};
pub use dataset::{Dataset, DatasetOptions, Entry, LabelSource, PtbXlRecords};
pub use error::{IoError, Place};
pub use format::Format;
pub use header::{Comment, Date, Header, SegmentSpec, SignalSpec, TimeOfDay, read_header};
pub use labels::{
    LabelMap, Matches, NsrRule, RecordRow, RecordTable, RowMatch, RowUse, base_name,
    is_contradictory, read_labels, read_probabilities,
};
pub use options::{ReadOptions, WriteOptions};
pub use read::{Loaded, read_recording, read_recording_with};
pub use record::{Blocks, Record, Scratch, Selection, WfdbRecord, read_wfdb};
pub use report::{Count, DatasetReport, Finding, Patients};
pub use signal::Sample;
pub use split::{
    PUBLISHED_FOLDS, Split, folds_by_patient, label_counts, python_shuffle, shared_patients,
    split_by_fold, split_published,
};
pub use warning::Warning;
pub use write::write_wfdb;
