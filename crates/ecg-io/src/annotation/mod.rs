//! Annotation files in the MIT format: marks on the time axis of a record.

mod codes;
mod parse;
mod siblings;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ecg_core::SamplingRate;

pub use codes::AnnotationCode;
pub use siblings::{Siblings, sibling_annotations};
pub use write::write_annotations;

use crate::text::read_file;
use crate::{IoError, ReadOptions, Warning};

/// Largest annotation file that is read; a day of beats takes a quarter of a megabyte.
const MAX_ANNOTATION_BYTES: u64 = 64 << 20;

/// A mark on the time axis of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Annotation {
    /// Time in ticks of [`Annotations::time_resolution`]. If the file states none, the ticks are the record's frames.
    pub sample: i64,
    /// The kind of mark.
    pub code: AnnotationCode,
    /// Subtype, whose meaning depends on the code. Default: 0.
    pub subtype: i8,
    /// The signal it belongs to, from 0. Default: 0.
    pub channel: u8,
    /// A number for the annotator's own use. Default: 0.
    pub number: i8,
    /// Text, such as the rhythm that starts, without the NULs that some programs append. Default: empty.
    pub aux: String,
}

impl Annotation {
    /// Creates a mark with all other fields at their defaults.
    pub fn new(sample: i64, code: AnnotationCode) -> Self {
        Self { sample, code, subtype: 0, channel: 0, number: 0, aux: String::new() }
    }

    /// Sets [`Annotation::subtype`].
    #[must_use]
    pub fn with_subtype(mut self, subtype: i8) -> Self {
        self.subtype = subtype;
        self
    }

    /// Sets [`Annotation::channel`].
    #[must_use]
    pub fn with_channel(mut self, channel: u8) -> Self {
        self.channel = channel;
        self
    }

    /// Sets [`Annotation::number`].
    #[must_use]
    pub fn with_number(mut self, number: i8) -> Self {
        self.number = number;
        self
    }

    /// Sets [`Annotation::aux`].
    #[must_use]
    pub fn with_aux(mut self, aux: impl Into<String>) -> Self {
        self.aux = aux.into();
        self
    }
}

/// A code to which an annotation file gives its own meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeDefinition {
    /// The code.
    pub code: AnnotationCode,
    /// Its symbol, without whitespace.
    pub symbol: String,
    /// Its meaning. May be empty.
    pub description: String,
}

/// The contents of an annotation file.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Annotations {
    /// The file it was read from.
    pub path: PathBuf,
    /// Ticks per second of the annotation times. `None`: the record's frame rate.
    pub time_resolution: Option<SamplingRate>,
    /// Codes that the file defines.
    pub definitions: Vec<CodeDefinition>,
    /// The annotations in the order of the file, which is in order of time except in unusual files.
    pub annotations: Vec<Annotation>,
    /// Departures from the format that were read leniently.
    pub warnings: Vec<Warning>,
}

impl Annotations {
    /// Creates a set of annotations to write.
    pub fn new(annotations: Vec<Annotation>) -> Self {
        Self { annotations, ..Self::default() }
    }

    /// Sets [`Annotations::time_resolution`].
    #[must_use]
    pub fn with_time_resolution(mut self, rate: impl Into<Option<SamplingRate>>) -> Self {
        self.time_resolution = rate.into();
        self
    }

    /// Sets [`Annotations::definitions`].
    #[must_use]
    pub fn with_definitions(mut self, definitions: Vec<CodeDefinition>) -> Self {
        self.definitions = definitions;
        self
    }

    /// Parses the bytes of an annotation file; `path` only appears in messages. See [`read_annotations`].
    ///
    /// # Errors
    /// Those of [`read_annotations`], except for an unreadable file.
    pub fn parse(
        bytes: &[u8],
        path: impl AsRef<Path>,
        options: &ReadOptions,
    ) -> Result<Self, IoError> {
        parse::parse(bytes, path.as_ref(), options.strict)
    }

    /// Returns the name of the annotator: the extension of the file.
    pub fn annotator(&self) -> String {
        self.path.extension().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns the symbol of a code in this file: its definition in the file, else the standard symbol, else the number
    /// in brackets.
    pub fn symbol(&self, code: AnnotationCode) -> String {
        match self.definition(code) {
            Some(definition) => definition.symbol.clone(),
            None => code.to_string(),
        }
    }

    /// Returns the meaning of a code in this file; empty if neither the file nor the standard gives one.
    pub fn description(&self, code: AnnotationCode) -> &str {
        match self.definition(code) {
            Some(definition) => &definition.description,
            None => code.description().unwrap_or_default(),
        }
    }

    /// Returns the time of an annotation in seconds from the start of its record, which has `frame_rate` frames per
    /// second.
    pub fn time_s(&self, annotation: &Annotation, frame_rate: SamplingRate) -> f64 {
        annotation.sample as f64 / self.time_resolution.unwrap_or(frame_rate).hz()
    }

    /// Counts how often each code occurs.
    pub fn counts(&self) -> BTreeMap<AnnotationCode, usize> {
        let mut counts = BTreeMap::new();
        for annotation in &self.annotations {
            *counts.entry(annotation.code).or_default() += 1;
        }
        counts
    }

    fn definition(&self, code: AnnotationCode) -> Option<&CodeDefinition> {
        self.definitions.iter().rev().find(|definition| definition.code == code)
    }
}

/// Reads an annotation file in the MIT format, such as `100.atr`.
///
/// Times are sums of signed 32-bit steps in `i64`, so no file overflows them. Notes at the start that state the time
/// resolution or define codes are read as such and do not count as annotations. Texts are read as UTF-8, or else as
/// Latin-1.
///
/// Reading is lenient. If the end mark is missing or the file ends within an annotation, everything before that is
/// returned. Bytes after the end mark are left out, and so are definitions that cannot be read. Each of these is a
/// warning, or an error in strict mode.
///
/// ```no_run
/// use ecg_io::{ReadOptions, read_annotations};
///
/// # fn main() -> Result<(), ecg_io::IoError> {
/// let beats = read_annotations("mitdb/100.atr", &ReadOptions::default())?;
/// for annotation in &beats.annotations {
///     println!("{} {} {}", annotation.sample, beats.symbol(annotation.code), annotation.aux);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Fails if the file cannot be read or has more than 64 MiB. In strict mode, every departure from the format is an
/// error that states its position.
pub fn read_annotations(
    path: impl AsRef<Path>,
    options: &ReadOptions,
) -> Result<Annotations, IoError> {
    let path = path.as_ref();
    Annotations::parse(&read_file(path, MAX_ANNOTATION_BYTES)?, path, options)
}
