//! Encodes annotations as an annotation file.

use std::path::Path;

use super::parse::{AUX, CHN, DEFINITIONS, END_OF_DEFINITIONS, NUM, SKIP, SUB, TIME_RESOLUTION};
use super::{Annotation, AnnotationCode, Annotations};
use crate::IoError;
use crate::atomic::write_file;
use crate::error::clip;

/// Largest absolute time; a step between annotations takes 6 bytes for each 2^31.
const MAX_SAMPLE: i64 = 1 << 40;

/// Longest text of an annotation, in bytes.
const MAX_AUX: usize = 255;

/// Writes an annotation file in the MIT format; [`crate::read_annotations`] reads the same annotations back.
///
/// The annotations are written in the given order; other programs expect the order of time. Texts are UTF-8. The file
/// is written completely or not at all; missing folders are created. A link stays, and its target is written.
///
/// # Errors
/// Fails if
///
/// - a time is beyond 2^40 ticks,
/// - a code is not 1 to 49,
/// - a text has more than 255 bytes or ends in NUL,
/// - a definition, or a note at the start, would be read back as something else, or
/// - the file cannot be written.
pub fn write_annotations(path: impl AsRef<Path>, annotations: &Annotations) -> Result<(), IoError> {
    write_file(path.as_ref(), &encode(annotations)?)
}

fn encode(annotations: &Annotations) -> Result<Vec<u8>, IoError> {
    let mut out = Vec::with_capacity(annotations.annotations.len() * 2 + 64);
    let mut head = |text: String| {
        word(&mut out, u16::from(AnnotationCode::NOTE.0), 0);
        aux(&mut out, &text);
    };
    if let Some(rate) = annotations.time_resolution {
        head(format!("{TIME_RESOLUTION} {}", rate.hz()));
    }
    for (index, definition) in annotations.definitions.iter().enumerate() {
        let text =
            format!("{} {} {}", definition.code.0, definition.symbol, definition.description);
        let sound = writable(definition.code)
            && text.len() <= MAX_AUX
            && !definition.symbol.is_empty()
            && !definition.symbol.contains(char::is_whitespace)
            && !text.contains(char::is_control)
            && definition.description.trim() == definition.description;
        if !sound {
            let expected =
                "a code from 1 to 49, a symbol without whitespace, one line of at most 255 bytes";
            return Err(refuse("definition", index, clip(&text), expected));
        }
        if index == 0 {
            head(DEFINITIONS.to_owned());
        }
        head(text.trim_end().to_owned());
        if index + 1 == annotations.definitions.len() {
            head(END_OF_DEFINITIONS.to_owned());
        }
    }
    let mut before = Annotation::new(0, AnnotationCode(0));
    let mut at_head = true;
    for (index, annotation) in annotations.annotations.iter().enumerate() {
        at_head &= annotation.sample == 0 && annotation.code == AnnotationCode::NOTE;
        check(annotation, index, at_head)?;
        one(&mut out, annotation, &before);
        before.clone_from(annotation);
    }
    out.extend([0, 0]);
    Ok(out)
}

fn check(annotation: &Annotation, index: usize, at_head: bool) -> Result<(), IoError> {
    if !writable(annotation.code) {
        let found = annotation.code.0.to_string();
        return Err(refuse("code", index, found, "1 to 49"));
    }
    if !(-MAX_SAMPLE..=MAX_SAMPLE).contains(&annotation.sample) {
        let found = annotation.sample.to_string();
        return Err(refuse("sample", index, found, "-2^40 to 2^40"));
    }
    let text = annotation.aux.as_str();
    if text.len() > MAX_AUX || text.ends_with('\0') {
        let expected = "at most 255 bytes, not ending in NUL";
        return Err(refuse("text", index, format!("{} bytes", text.len()), expected));
    }
    if at_head
        && [TIME_RESOLUTION, DEFINITIONS, END_OF_DEFINITIONS]
            .iter()
            .any(|start| text.trim().starts_with(start))
    {
        let expected = "a text that is not reserved for file metadata";
        return Err(refuse("text", index, clip(text), expected));
    }
    Ok(())
}

fn writable(code: AnnotationCode) -> bool {
    (1..=AnnotationCode::MAX.0).contains(&code.0)
}

fn refuse(what: &'static str, index: usize, found: String, expected: &'static str) -> IoError {
    IoError::WriteAnnotation { what, index, found, expected }
}

fn one(out: &mut Vec<u8>, annotation: &Annotation, before: &Annotation) {
    let mut step = annotation.sample - before.sample;
    while !(0..=0x3ff).contains(&step) {
        let skip = step.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        let [b0, b1, b2, b3] = skip.to_le_bytes();
        word(out, SKIP, 0);
        out.extend([b2, b3, b0, b1]);
        step -= i64::from(skip);
    }
    word(out, annotation.code.0.into(), step as u16);
    if annotation.number != before.number {
        word(out, NUM, u16::from(annotation.number as u8));
    }
    if annotation.subtype != 0 {
        word(out, SUB, u16::from(annotation.subtype as u8));
    }
    if annotation.channel != before.channel {
        word(out, CHN, annotation.channel.into());
    }
    if !annotation.aux.is_empty() {
        aux(out, &annotation.aux);
    }
}

fn word(out: &mut Vec<u8>, code: u16, value: u16) {
    out.extend((code << 10 | value).to_le_bytes());
}

/// Writes a text of at most [`MAX_AUX`] bytes.
fn aux(out: &mut Vec<u8>, text: &str) {
    word(out, AUX, text.len() as u16);
    out.extend(text.as_bytes());
    if text.len() % 2 == 1 {
        out.push(0);
    }
}
