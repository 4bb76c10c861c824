//! Parses the lines of a header into its fields.

use std::borrow::Cow;
use std::collections::HashSet;

use ecg_core::SamplingRate;

use super::fields::{At, Words, dashed_date, date_field, format_field, gain_field, time_field};
use super::{Comment, Date, Header, SegmentSpec, SignalSpec, TimeOfDay};
use crate::IoError;
use crate::error::clip;
use crate::text::lines;
use crate::warning::Notes;

/// The most signals, segments and comments that are read. Real headers have hundreds; a header of the largest size
/// could have millions, each taking many times the memory of its line.
const MAX_SIGNALS: usize = 4096;
const MAX_SEGMENTS: usize = 1 << 16;
pub(crate) const MAX_COMMENTS: usize = 1 << 16;

/// The contents of the record line.
struct RecordLine {
    name: String,
    n_segments: Option<u64>,
    n_signals: u64,
    frame_rate: SamplingRate,
    counter_frequency: f64,
    base_counter: f64,
    n_frames: Option<u64>,
    base_time: Option<TimeOfDay>,
    base_date: Option<Date>,
    /// The text after the number-of-samples position, if a line end was lost and the first signal follows on the record
    /// line.
    swallowed: Option<String>,
}

type Line<'a> = (u64, Cow<'a, str>);

pub(super) fn parse(bytes: &[u8], notes: &mut Notes<'_>) -> Result<Header, IoError> {
    let mut comments = Vec::new();
    let mut library_version = None;
    let mut content: Vec<Line<'_>> = Vec::with_capacity(16);
    let path = notes.path;
    let too_many =
        |line, what, limit| Err(IoError::TooManyLines { path: path.to_owned(), line, what, limit });
    for (line, text) in lines(bytes) {
        let trimmed = text.trim_ascii();
        if let Some(comment) = trimmed.strip_prefix('#') {
            match comment.strip_prefix("wfdb ") {
                Some(version) if line == 1 => library_version = Some(version.trim().to_owned()),
                _ if comments.len() == MAX_COMMENTS => {
                    return too_many(line, "comment", MAX_COMMENTS);
                }
                _ => comments.push(Comment { line, text: comment.trim().to_owned() }),
            }
        } else if !trimmed.is_empty() {
            // The record line, and one line beyond the limit.
            if content.len() < MAX_SEGMENTS + 2 {
                content.push((line, text));
            }
        }
    }
    let Some(((line, text), mut rest)) = content.split_first() else {
        return Err(IoError::EmptyHeader { path: notes.path.to_owned() });
    };
    let record = record_line(*line, text, rest, notes)?;
    let restored;
    if let (Some(swallowed), [next, ..]) = (&record.swallowed, rest) {
        // File, format and gain are taken from the following signal.
        let mut words = Words(&next.1);
        let start: Vec<&str> = words.by_ref().take(3).collect();
        let first = (*line, Cow::Owned(format!("{} {swallowed}", start.join(" "))));
        restored = std::iter::once(first).chain(rest.iter().cloned()).collect::<Vec<_>>();
        rest = &restored;
    }
    let (what, expected) = match record.n_segments {
        Some(n) => ("segment", n),
        None => ("signal", record.n_signals),
    };
    let limit = if record.n_segments.is_some() { MAX_SEGMENTS } else { MAX_SIGNALS };
    if let Some((line, _)) = rest.get(limit) {
        return too_many(*line, what, limit);
    }
    if rest.len() as u64 != expected {
        let (path, line, found) = (path.to_owned(), *line, rest.len() as u64);
        return Err(IoError::LineCount { path, line, what, expected, found });
    }
    let (mut signals, mut segments) = (Vec::new(), Vec::new());
    if record.n_segments.is_some() {
        for (line, text) in rest {
            segments.push(segment_line(*line, text, notes)?);
        }
        check_segments(*line, &segments, record.n_frames, notes)?;
    } else {
        signals.reserve_exact(rest.len());
        for (line, text) in rest {
            signals.push(signal_line(*line, text, notes)?);
        }
        check_groups(&signals, notes)?;
    }
    Ok(Header {
        path: notes.path.to_owned(),
        line: *line,
        name: record.name,
        frame_rate: record.frame_rate,
        counter_frequency: record.counter_frequency,
        base_counter: record.base_counter,
        n_frames: record.n_frames,
        base_time: record.base_time,
        base_date: record.base_date,
        signals,
        segments,
        n_signals: record.n_signals as usize,
        comments,
        library_version,
    })
}

/// Returns whether the start of a header shows that it has no segments; false if the record line is incomplete.
pub(super) fn is_plain(start: &[u8]) -> bool {
    let whole = start.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let record = lines(&start[..whole])
        .find(|(_, text)| !text.trim_ascii().is_empty() && !text.trim_ascii().starts_with('#'));
    record.is_some_and(|(_, text)| {
        Words(&text).next().is_some_and(|name| {
            name.rsplit_once('/').is_none_or(|(_, number)| number.parse::<u64>().is_err())
        })
    })
}

fn record_line(
    line: u64,
    text: &str,
    following: &[Line<'_>],
    notes: &mut Notes<'_>,
) -> Result<RecordLine, IoError> {
    let at = At { path: notes.path, line };
    let mut words = Words(text);
    let name = words.next().unwrap_or_default();
    let n_signals = words.next().ok_or_else(|| {
        at.bad("number of signals", text.trim(), "a record name and a number of signals")
    })?;
    let n_signals: u32 =
        at.integer("number of signals", n_signals, "an integer from 0 to 4294967295")?;
    let n_signals = u64::from(n_signals);
    let (name, n_segments) = record_name(name, n_signals, line, following, notes)?;
    let (frame_rate, counter_frequency, base_counter) = match words.next() {
        Some(word) => rate_field(word, at)?,
        None => rate_field("250", at)?,
    };
    let mut record = RecordLine {
        name,
        n_segments,
        n_signals,
        frame_rate,
        counter_frequency,
        base_counter,
        n_frames: None,
        base_time: None,
        base_date: None,
        swallowed: None,
    };
    let Some(word) = words.next() else { return Ok(record) };
    if n_segments.is_none() && word.contains('/') && following.len() as u64 + 1 == n_signals {
        notes.quirk(
            Some(line),
            "number of samples",
            format!(
                "{word:?}: a line break is missing and the first signal is on this line; its file, format and gain \
                 are taken from the next signal, the length from the file"
            ),
        )?;
        record.swallowed = Some(words.rest().to_owned());
        return Ok(record);
    }
    let n: u64 = at.integer("number of samples", word, "a non-negative integer")?;
    record.n_frames = (n > 0).then_some(n);
    start_fields(&mut record, words, line, notes)?;
    Ok(record)
}

/// Returns the record's name, and its number of segments if it has any.
fn record_name(
    text: &str,
    n_signals: u64,
    line: u64,
    following: &[Line<'_>],
    notes: &mut Notes<'_>,
) -> Result<(String, Option<u64>), IoError> {
    let at = At { path: notes.path, line };
    let mut name = text;
    let mut n_segments = None;
    if let Some((before, after)) = text.rsplit_once('/') {
        // A name with a path may end in a number; signal lines have more than a name and a length.
        let signal_lines = following.len() as u64 == n_signals
            && !following.is_empty()
            && following.iter().all(|(_, text)| Words(text).count() > 2);
        match after.parse::<u64>() {
            Ok(n) if !signal_lines => {
                if n == 0 {
                    return Err(at.bad("number of segments", text, "a positive integer"));
                }
                n_segments = Some(n);
                name = before;
            }
            _ => {}
        }
    }
    if name.is_empty() {
        return Err(at.bad("record name", text, "letters, digits and _"));
    }
    let base = name.rsplit('/').next().unwrap_or(name);
    if base.len() != name.len() {
        notes.quirk(Some(line), "record name", format!("{:?} has a path", clip(name)))?;
    }
    let stem = base.strip_suffix(".mat").unwrap_or(base);
    if stem.len() != base.len() {
        notes.quirk(Some(line), "record name", format!("{:?} has an extension", clip(base)))?;
    }
    if !stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        let message =
            format!("{:?} has characters other than letters, digits, _ and -", clip(stem));
        notes.quirk(Some(line), "record name", message)?;
    } else if notes.path.file_stem().is_some_and(|file| file != stem) {
        let message = format!("{:?} does not match the file name", clip(stem));
        notes.quirk(Some(line), "record name", message)?;
    }
    Ok((name.to_owned(), n_segments))
}

/// `fs["/"cfreq["("bcount")"]]`
fn rate_field(text: &str, at: At<'_>) -> Result<(SamplingRate, f64, f64), IoError> {
    const RATE: &str = "a positive number of Hz";
    let (rate, counter) = match text.split_once('/') {
        Some((rate, counter)) => (rate, Some(counter)),
        None => (text, None),
    };
    let fs = at.number("sampling frequency", rate, RATE)?;
    let frame_rate = SamplingRate::new(fs).map_err(|_| at.bad("sampling frequency", rate, RATE))?;
    let Some(counter) = counter else { return Ok((frame_rate, fs, 0.0)) };
    let (frequency, base) = match counter.split_once('(') {
        Some((frequency, base)) => {
            let value = base
                .strip_suffix(')')
                .ok_or_else(|| at.bad("base counter value", text, "a number in parentheses"))?;
            (frequency, at.number("base counter value", value, "a number in parentheses")?)
        }
        None => (counter, 0.0),
    };
    let frequency = at.number("counter frequency", frequency, "a number of Hz")?;
    Ok((frame_rate, if frequency > 0.0 { frequency } else { fs }, base))
}

/// Parses time and date, in either order.
fn start_fields(
    record: &mut RecordLine,
    mut words: Words<'_>,
    line: u64,
    notes: &mut Notes<'_>,
) -> Result<(), IoError> {
    let at = At { path: notes.path, line };
    let (first, second) = (words.next(), words.next());
    if !words.rest().is_empty() {
        return Err(at.bad("end of the record line", words.rest(), "nothing after the date"));
    }
    let (mut time, mut date) = (first, second);
    if let Some(text) = first
        && (dashed_date(text).is_some() || date_field(text).is_some())
    {
        notes.quirk(Some(line), "base time", "the date comes before the time")?;
        (time, date) = (second, first);
    }
    if let Some(text) = time {
        record.base_time = time_field(text);
        if record.base_time.is_none() {
            let message = format!("{:?} is not a time of day, ignored", clip(text));
            notes.quirk(Some(line), "base time", message)?;
        }
    }
    if let Some(text) = date {
        record.base_date = date_field(text).or_else(|| dashed_date(text));
        if record.base_date.is_none() {
            let message = format!("{:?} is not a date, ignored", clip(text));
            notes.quirk(Some(line), "base date", message)?;
        } else if date_field(text).is_none() {
            notes.quirk(Some(line), "base date", "written with dashes, not as D/M/YYYY")?;
        }
    }
    Ok(())
}

fn signal_line(line: u64, text: &str, notes: &mut Notes<'_>) -> Result<SignalSpec, IoError> {
    let at = At { path: notes.path, line };
    let mut words = Words(text);
    let file = words.next().unwrap_or_default();
    let format =
        words.next().ok_or_else(|| at.bad("format", text.trim(), "a file name and a format"))?;
    let format = format_field(format, at)?;
    let gain = words.next().map(|word| gain_field(word, at)).transpose()?;
    let mut integer = |field, expected| match words.next() {
        Some(word) => at.integer::<i64>(field, word, expected).map(Some),
        None => Ok(None),
    };
    let i32_range = "a 32-bit integer";
    let resolution = integer("ADC resolution", "a non-negative integer")?;
    let adc_zero = integer("ADC zero", i32_range)?;
    let initial = integer("initial value", i32_range)?;
    let checksum = integer("checksum", "an integer")?;
    let block_size = integer("block size", "a non-negative integer")?;
    let small = |field, value: i64| {
        i32::try_from(value).map_err(|_| at.bad(field, &value.to_string(), i32_range))
    };
    let adc_zero = small("ADC zero", adc_zero.unwrap_or(0))?;
    let initial_value = match initial {
        Some(value) => small("initial value", value)?,
        None => adc_zero,
    };
    // Signed and unsigned checksums both occur; sums are compared mod 2^16.
    if let Some(value) = checksum.filter(|value| !(-0x8000..=0xffff).contains(value)) {
        let message = format!("{value} does not fit in 16 bits, read as {}", value as u16);
        notes.quirk(Some(line), "checksum", message)?;
    }
    let checksum = checksum.map(|value| value as u16);
    let block_size = block_size.unwrap_or(0);
    let block_size = u64::try_from(block_size)
        .map_err(|_| at.bad("block size", &block_size.to_string(), "a non-negative integer"))?;
    let adc_resolution = match resolution {
        Some(bits) if bits != 0 => u32::try_from(bits)
            .map_err(|_| at.bad("ADC resolution", &bits.to_string(), "a non-negative integer"))?,
        _ => format.format.resolution_bits(),
    };
    let calibrated = gain.as_ref().is_some_and(|field| field.gain != 0.0);
    if !calibrated {
        notes.remark(Some(line), "gain", "uncalibrated: 200 ADC units per physical unit assumed");
    }
    Ok(SignalSpec {
        line,
        file: file.trim_start_matches("./").to_owned(),
        format: format.format,
        samples_per_frame: format.samples_per_frame,
        skew: format.skew,
        offset: format.offset,
        gain: gain.as_ref().filter(|_| calibrated).map_or(200.0, |field| field.gain),
        calibrated,
        baseline: gain.as_ref().and_then(|field| field.baseline).unwrap_or(adc_zero),
        units: gain.and_then(|field| field.units).unwrap_or("mV").to_owned(),
        adc_resolution,
        adc_zero,
        initial_value,
        checksum,
        block_size,
        description: words.rest().to_owned(),
    })
}

/// Checks that the signals of each file are on consecutive lines and agree about the file.
fn check_groups(signals: &[SignalSpec], notes: &Notes<'_>) -> Result<(), IoError> {
    let mut seen = HashSet::new();
    for (index, signal) in signals.iter().enumerate() {
        let path = || notes.path.to_owned();
        if signal.format == crate::Format::Null {
            continue;
        }
        let (line, file) = (signal.line, signal.file.clone());
        let before = index.checked_sub(1).map(|i| &signals[i]).filter(|b| b.file == file);
        let Some(before) = before else {
            if !seen.insert(signal.file.as_str()) {
                return Err(IoError::FileOrder { path: path(), line, file });
            }
            continue;
        };
        let pairs = [
            ("format", u64::from(before.format.code()), u64::from(signal.format.code())),
            ("byte offset", before.offset, signal.offset),
            ("block size", before.block_size, signal.block_size),
        ];
        for (field, expected, found) in pairs {
            if expected != found {
                return Err(IoError::GroupDiffers {
                    path: path(),
                    line,
                    field,
                    file,
                    expected,
                    found,
                });
            }
        }
    }
    Ok(())
}

fn segment_line(line: u64, text: &str, notes: &Notes<'_>) -> Result<SegmentSpec, IoError> {
    let at = At { path: notes.path, line };
    let mut words = Words(text);
    let name = words.next().unwrap_or_default();
    let length = words.next().unwrap_or_default();
    let n_frames = at.integer("segment length", length, "a non-negative integer")?;
    if !words.rest().is_empty() {
        return Err(at.bad("end of the segment line", words.rest(), "nothing after the length"));
    }
    Ok(SegmentSpec { line, name: name.to_owned(), n_frames })
}

fn check_segments(
    line: u64,
    segments: &[SegmentSpec],
    n_frames: Option<u64>,
    notes: &Notes<'_>,
) -> Result<(), IoError> {
    let found = segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.n_frames));
    match n_frames {
        Some(expected) if expected != found => {
            Err(IoError::SegmentLengths { path: notes.path.to_owned(), line, expected, found })
        }
        _ => Ok(()),
    }
}
