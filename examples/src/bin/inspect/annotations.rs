//! The annotation files of a record.

use std::fmt::Write as _;

use ecg_core::SamplingRate;
use ecg_io::{Annotation, Annotations, Header, IoError, ReadOptions, Warning, sibling_annotations};
use serde::{Serialize, Serializer};

/// All annotation files beside a record.
#[derive(Default)]
pub struct AnnotationReport {
    pub files: Vec<AnnotationFile>,
    pub warnings: Vec<Warning>,
    /// Why files with an annotator's name could not be read.
    pub failed: Vec<String>,
}

#[derive(Serialize)]
pub struct AnnotationFile {
    pub annotator: String,
    path: String,
    /// Ticks per second, if the file states it.
    time_resolution_hz: Option<f64>,
    definitions: Vec<Definition>,
    count: usize,
    counts: Vec<Kind>,
    pub annotations: Marks,
}

/// The annotations of a file, as they were read. There may be millions, so each is formatted only when it is
/// written.
pub struct Marks {
    file: Annotations,
    frame_rate: SamplingRate,
}

#[derive(Serialize)]
struct Definition {
    code: u8,
    symbol: String,
    description: String,
}

/// The number of times that a code occurs.
#[derive(Serialize)]
struct Kind {
    code: u8,
    symbol: String,
    description: String,
    count: usize,
}

#[derive(Serialize)]
struct Mark<'a> {
    sample: i64,
    time_s: f64,
    code: u8,
    symbol: String,
    subtype: i8,
    channel: u8,
    number: i8,
    aux: &'a str,
}

impl Marks {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Annotation> {
        self.file.annotations.iter()
    }

    /// Returns the time of a mark in seconds from the start of the record.
    pub fn time_s(&self, mark: &Annotation) -> f64 {
        self.file.time_s(mark, self.frame_rate)
    }
}

impl Serialize for Marks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|mark| Mark {
            sample: mark.sample,
            time_s: self.time_s(mark),
            code: mark.code.0,
            symbol: self.file.symbol(mark.code),
            subtype: mark.subtype,
            channel: mark.channel,
            number: mark.number,
            aux: &mark.aux,
        }))
    }
}

impl AnnotationReport {
    pub fn of(header: &Header, options: &ReadOptions) -> Self {
        let mut siblings = sibling_annotations(header, options);
        let warnings =
            siblings.read.iter_mut().flat_map(|file| std::mem::take(&mut file.warnings)).collect();
        Self {
            files: siblings
                .read
                .into_iter()
                .map(|file| AnnotationFile::new(file, header))
                .collect(),
            warnings,
            failed: siblings.failed.iter().map(IoError::with_causes).collect(),
        }
    }
}

impl AnnotationFile {
    fn new(file: Annotations, header: &Header) -> Self {
        let definitions = file.definitions.iter().map(|definition| Definition {
            code: definition.code.0,
            symbol: definition.symbol.clone(),
            description: definition.description.clone(),
        });
        let counts = file.counts().into_iter().map(|(code, count)| Kind {
            code: code.0,
            symbol: file.symbol(code),
            description: file.description(code).to_owned(),
            count,
        });
        Self {
            annotator: file.annotator(),
            path: file.path.display().to_string(),
            time_resolution_hz: file.time_resolution.map(|rate| rate.hz()),
            definitions: definitions.collect(),
            count: file.annotations.len(),
            counts: counts.collect(),
            annotations: Marks { file, frame_rate: header.frame_rate },
        }
    }

    /// Describes the file in a few lines.
    pub fn text(&self) -> String {
        let mut out = format!("  {}: {} annotations", self.annotator, self.count);
        // Writing to a string cannot fail.
        let marks = &self.annotations;
        let all = &marks.file.annotations;
        if let (Some(first), Some(last)) = (all.first(), all.last()) {
            let _ =
                write!(out, " from {:.3} s to {:.3} s", marks.time_s(first), marks.time_s(last));
        }
        out.push('\n');
        for kind in &self.counts {
            let _ = writeln!(out, "    {:6} {:>7}  {}", kind.symbol, kind.count, kind.description);
        }
        out
    }
}
