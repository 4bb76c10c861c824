//! The annotation files of a record.

use std::fmt::Write as _;

use ecg_io::{Annotations, Header, ReadOptions, Warning, sibling_annotations};
use serde::Serialize;

/// All annotation files beside a record.
#[derive(Default)]
pub struct AnnotationReport {
    pub files: Vec<AnnotationFile>,
    pub warnings: Vec<Warning>,
    /// Why files with the name of an annotator could not be read.
    pub failed: Vec<String>,
}

#[derive(Serialize)]
pub struct AnnotationFile {
    pub annotator: String,
    path: String,
    /// Ticks a second, where the file states it.
    time_resolution_hz: Option<f64>,
    definitions: Vec<Definition>,
    count: usize,
    counts: Vec<Kind>,
    pub annotations: Vec<Mark>,
}

#[derive(Serialize)]
struct Definition {
    code: u8,
    symbol: String,
    description: String,
}

/// How often a code occurs.
#[derive(Serialize)]
struct Kind {
    code: u8,
    symbol: String,
    description: String,
    count: usize,
}

#[derive(Serialize)]
pub struct Mark {
    pub sample: i64,
    time_s: f64,
    pub code: u8,
    symbol: String,
    pub subtype: i8,
    pub channel: u8,
    pub number: i8,
    aux: String,
}

impl AnnotationReport {
    pub fn of(header: &Header, options: &ReadOptions) -> Self {
        let mut siblings = sibling_annotations(header, options);
        let warnings =
            siblings.read.iter_mut().flat_map(|file| std::mem::take(&mut file.warnings)).collect();
        Self {
            files: siblings.read.iter().map(|file| AnnotationFile::new(file, header)).collect(),
            warnings,
            failed: siblings.failed.iter().map(ToString::to_string).collect(),
        }
    }
}

impl AnnotationFile {
    fn new(file: &Annotations, header: &Header) -> Self {
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
        let marks = file.annotations.iter().map(|mark| Mark {
            sample: mark.sample,
            time_s: file.time_s(mark, header.frame_rate),
            code: mark.code.0,
            symbol: file.symbol(mark.code),
            subtype: mark.subtype,
            channel: mark.channel,
            number: mark.number,
            aux: mark.aux.clone(),
        });
        Self {
            annotator: file.annotator(),
            path: file.path.display().to_string(),
            time_resolution_hz: file.time_resolution.map(|rate| rate.hz()),
            definitions: definitions.collect(),
            count: file.annotations.len(),
            counts: counts.collect(),
            annotations: marks.collect(),
        }
    }

    /// The file in a few lines.
    pub fn text(&self) -> String {
        let mut out = format!("  {}: {} annotations", self.annotator, self.count);
        // Writing to a string cannot fail.
        if let (Some(first), Some(last)) = (self.annotations.first(), self.annotations.last()) {
            let _ = write!(out, " from {:.3} s to {:.3} s", first.time_s, last.time_s);
        }
        out.push('\n');
        for kind in &self.counts {
            let _ = writeln!(out, "    {:6} {:>7}  {}", kind.symbol, kind.count, kind.description);
        }
        out
    }
}
