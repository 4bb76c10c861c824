//! Parses the words of an annotation file into annotations.

use std::path::Path;

use ecg_core::SamplingRate;

use super::{Annotation, AnnotationCode, Annotations, CodeDefinition};
use crate::IoError;
use crate::error::clip;
use crate::text::decode_text;
use crate::warning::Notes;

/// Codes that modify the preceding annotation, or the time of the following one.
pub(super) const SKIP: u16 = 59;
pub(super) const NUM: u16 = 60;
pub(super) const SUB: u16 = 61;
pub(super) const CHN: u16 = 62;
pub(super) const AUX: u16 = 63;

pub(super) const TIME_RESOLUTION: &str = "## time resolution:";
pub(super) const DEFINITIONS: &str = "## annotation type definitions";
pub(super) const END_OF_DEFINITIONS: &str = "## end of definitions";

/// The remaining bytes, with the position of the next.
struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<u16> {
        let [low, high] = self.take(2)?.try_into().ok()?;
        Some(u16::from_le_bytes([low, high]))
    }

    /// Takes `n` bytes, or none if fewer are left.
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(taken)
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

pub(super) fn parse(bytes: &[u8], path: &Path, strict: bool) -> Result<Annotations, IoError> {
    let mut faults = Faults { notes: Notes::new(path, false), strict };
    let (mut all, notes) = read_words(bytes, &mut faults)?;
    let (mut out, head) = take_head(&all, &notes, &mut faults)?;
    all.drain(..head);
    out.annotations = all;
    out.path = path.to_owned();
    out.warnings = faults.notes.warnings;
    Ok(out)
}

/// Returns all annotations, and the byte positions of the head: the notes at time 0 that precede all other annotations.
fn read_words(
    bytes: &[u8],
    faults: &mut Faults<'_>,
) -> Result<(Vec<Annotation>, Vec<usize>), IoError> {
    let mut words = Words { bytes, at: 0 };
    let mut all: Vec<Annotation> = Vec::with_capacity(bytes.len().min(1 << 22) / 4);
    let mut notes = Vec::new();
    let mut time = 0_i64;
    let (mut number, mut channel) = (0_i8, 0_u8);
    loop {
        let at = words.at;
        let Some(word) = words.next() else {
            let found = if words.rest().is_empty() { "the end of the file" } else { "one byte" };
            faults.fault(at, "end", found.to_owned(), "an end marker (two zero bytes)")?;
            break;
        };
        let (code, value) = (word >> 10, word & 0x3ff);
        let byte = value as u8;
        if word == 0 {
            // Padding to a whole block is legal.
            if words.rest().iter().any(|&b| b != 0) {
                let found = format!("{} bytes", words.rest().len());
                faults.fault(words.at, "end", found, "nothing after the end marker, ignored")?;
            }
            break;
        }
        if matches!(code, NUM..=AUX) && all.is_empty() {
            faults.fault(at, "modifier", format!("code {code}"), "an annotation before it")?;
        }
        let last = all.last_mut();
        match code {
            // A step in time without a mark.
            0 => time += i64::from(value),
            SKIP => match words.take(4) {
                Some(&[b0, b1, b2, b3]) => {
                    time += i64::from(i32::from_le_bytes([b2, b3, b0, b1]));
                }
                _ => {
                    let found = format!("{} bytes", words.rest().len());
                    faults.fault(at, "SKIP", found, "4 bytes followed by an annotation")?;
                    break;
                }
            },
            NUM => {
                number = byte as i8;
                last.into_iter().for_each(|annotation| annotation.number = number);
            }
            CHN => {
                channel = byte;
                last.into_iter().for_each(|annotation| annotation.channel = channel);
            }
            SUB => last.into_iter().for_each(|annotation| annotation.subtype = byte as i8),
            AUX => {
                let length = usize::from(byte);
                let there = words.rest().len().min(length);
                let text = text(&words.rest()[..there]);
                last.into_iter().for_each(|annotation| annotation.aux.clone_from(&text));
                if words.take(length.next_multiple_of(2)).is_none() {
                    let found = format!("{there} bytes");
                    faults.fault(at, "AUX", found, "the stated bytes, padded to an even number")?;
                    break;
                }
            }
            _ => {
                if code > u16::from(AnnotationCode::MAX.0) {
                    faults.fault(at, "code", code.to_string(), "a code of at most 49")?;
                }
                time += i64::from(value);
                let mut annotation = Annotation::new(time, AnnotationCode(code as u8));
                (annotation.number, annotation.channel) = (number, channel);
                let is_note = time == 0 && annotation.code == AnnotationCode::NOTE;
                if is_note && notes.len() == all.len() {
                    notes.push(at);
                }
                all.push(annotation);
            }
        }
    }
    Ok((all, notes))
}

/// Returns what the notes at the start say about the file, and the number of these notes.
fn take_head(
    all: &[Annotation],
    notes: &[usize],
    faults: &mut Faults<'_>,
) -> Result<(Annotations, usize), IoError> {
    let mut out = Annotations::default();
    let mut head = 0;
    let mut defining = false;
    for (index, (at, note)) in notes.iter().zip(all).enumerate() {
        let text = note.aux.trim();
        if let Some(value) = text.strip_prefix(TIME_RESOLUTION) {
            let value = value.trim();
            let rate = value.parse().ok().and_then(|hz| SamplingRate::new(hz).ok());
            if rate.is_none() {
                let found = clip(value);
                faults.fault(*at, "time resolution", found, "a positive number of Hz, ignored")?;
            }
            out.time_resolution = rate;
        } else if text == DEFINITIONS {
            defining = true;
        } else if text == END_OF_DEFINITIONS {
            defining = false;
        } else if defining {
            match definition(text) {
                Some(definition) => out.definitions.push(definition),
                None => {
                    let expected = "a code, a symbol and a description, ignored";
                    faults.fault(*at, "definition", clip(text), expected)?;
                }
            }
        } else {
            // An ordinary comment at the start of the record.
            break;
        }
        head = index + 1;
    }
    if defining {
        let at = notes[head - 1];
        faults.fault(at, "definition", "the last note".to_owned(), END_OF_DEFINITIONS)?;
    }
    Ok((out, head))
}

/// `15 c calibration pulse`
fn definition(text: &str) -> Option<CodeDefinition> {
    let (code, rest) = text.split_once(' ')?;
    let code = code.parse().ok().filter(|code| (1..=AnnotationCode::MAX.0).contains(code))?;
    let rest = rest.trim_start();
    let (symbol, description) = rest.split_once(' ').unwrap_or((rest, ""));
    (!symbol.is_empty()).then(|| CodeDefinition {
        code: AnnotationCode(code),
        symbol: symbol.to_owned(),
        description: description.trim().to_owned(),
    })
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    decode_text(&bytes[..end]).into_owned()
}

/// Departures from the format: errors in strict mode, warnings otherwise.
struct Faults<'a> {
    notes: Notes<'a>,
    strict: bool,
}

impl Faults<'_> {
    fn fault(
        &mut self,
        at: usize,
        field: &'static str,
        found: String,
        expected: &'static str,
    ) -> Result<(), IoError> {
        if self.strict {
            let path = self.notes.path.to_owned();
            return Err(IoError::Annotation { path, byte: at as u64, field, found, expected });
        }
        // In a file of noise every word is a fault; the first few are enough.
        const MOST: usize = 8;
        if self.notes.warnings.len() < MOST {
            let message = format!("byte {at}: found {found}, expected {expected}");
            self.notes.remark(None, field, message);
        } else {
            self.notes.remark(None, "annotations", "more deviations from the format");
        }
        Ok(())
    }
}
