//! From the lines of a header to its fields.

use std::borrow::Cow;
use std::collections::HashSet;

use ecg_core::SamplingRate;

use super::fields::{At, Words, dashed_date, date_field, format_field, gain_field, time_field};
use super::{Comment, Date, Header, SegmentSpec, SignalSpec, TimeOfDay};
use crate::IoError;
use crate::error::clip;
use crate::text::lines;
use crate::warning::Notes;

/// What the record line says.
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
    /// What follows the number of samples where a line end was lost and the first signal stands on this line.
    swallowed: Option<String>,
}

type Line<'a> = (u64, Cow<'a, str>);

pub(super) fn parse(bytes: &[u8], notes: &mut Notes<'_>) -> Result<Header, IoError> {
    let mut comments = Vec::new();
    let mut library_version = None;
    let mut content: Vec<Line<'_>> = Vec::with_capacity(16);
    for (line, text) in lines(bytes) {
        let trimmed = text.trim_ascii();
        if let Some(comment) = trimmed.strip_prefix('#') {
            match comment.strip_prefix("wfdb ") {
                Some(version) if line == 1 => library_version = Some(version.trim().to_owned()),
                _ => comments.push(Comment { line, text: comment.trim().to_owned() }),
            }
        } else if !trimmed.is_empty() {
            content.push((line, text));
        }
    }
    let Some(((line, text), mut rest)) = content.split_first() else {
        return Err(IoError::EmptyHeader { path: notes.path.to_owned() });
    };
    let record = record_line(*line, text, rest, notes)?;
    let restored;
    if let (Some(swallowed), [next, ..]) = (&record.swallowed, rest) {
        // File, format and gain are those of the signal that follows.
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
    if rest.len() as u64 != expected {
        let path = notes.path.to_owned();
        return Err(IoError::LineCount { path, what, expected, found: rest.len() as u64 });
    }
    let (mut signals, mut segments) = (Vec::new(), Vec::new());
    if record.n_segments.is_some() {
        for (line, text) in rest {
            segments.push(segment_line(*line, text, notes)?);
        }
        check_segments(&segments, record.n_frames, notes)?;
    } else {
        signals.reserve_exact(rest.len());
        for (line, text) in rest {
            signals.push(signal_line(*line, text, notes)?);
        }
        check_groups(&signals, notes)?;
    }
    Ok(Header {
        path: notes.path.to_owned(),
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
        None => (250.0, 250.0, 0.0),
    };
    let frame_rate = SamplingRate::new(frame_rate)
        .map_err(|source| IoError::Recording { path: notes.path.to_owned(), source })?;
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
                "{word:?}: a line end is lost and the first signal stands here; its file, format and gain \
                 are taken from the next signal, the length from the file"
            ),
        )?;
        record.swallowed = Some(words.rest().to_owned());
        return Ok(record);
    }
    let n: u64 = at.integer("number of samples", word, "an integer of at least 0")?;
    record.n_frames = (n > 0).then_some(n);
    start_fields(&mut record, words, line, notes)?;
    Ok(record)
}

/// The record's name, and its number of segments where it has one.
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
        // A name with a path may end in a number: signal lines have more than a name and a length.
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
            format!("{:?} has other characters than letters, digits, _ and -", clip(stem));
        notes.quirk(Some(line), "record name", message)?;
    } else if notes.path.file_stem().is_some_and(|file| file != stem) {
        let message = format!("{:?} is not the name of the file", clip(stem));
        notes.quirk(Some(line), "record name", message)?;
    }
    Ok((name.to_owned(), n_segments))
}

/// `fs["/"cfreq["("bcount")"]]`
fn rate_field(text: &str, at: At<'_>) -> Result<(f64, f64, f64), IoError> {
    const RATE: &str = "a positive number of Hz";
    let (rate, counter) = match text.split_once('/') {
        Some((rate, counter)) => (rate, Some(counter)),
        None => (text, None),
    };
    let fs = at.number("sampling frequency", rate, RATE)?;
    if fs <= 0.0 {
        return Err(at.bad("sampling frequency", rate, RATE));
    }
    let Some(counter) = counter else { return Ok((fs, fs, 0.0)) };
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
    Ok((fs, if frequency > 0.0 { frequency } else { fs }, base))
}

/// Time and date, in either order.
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
        notes.quirk(Some(line), "base time", "the date stands before the time")?;
        (time, date) = (second, first);
    }
    if let Some(text) = time {
        record.base_time = time_field(text);
        if record.base_time.is_none() {
            let message = format!("{:?} is no time of day, ignored", clip(text));
            notes.quirk(Some(line), "base time", message)?;
        }
    }
    if let Some(text) = date {
        record.base_date = date_field(text).or_else(|| dashed_date(text));
        if record.base_date.is_none() {
            let message = format!("{:?} is no date, ignored", clip(text));
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
    let i32_range = "an integer of 32 bits";
    let resolution = integer("ADC resolution", "an integer of at least 0")?;
    let adc_zero = integer("ADC zero", i32_range)?;
    let initial = integer("initial value", i32_range)?;
    let checksum = integer("checksum", "an integer of 16 bits")?;
    let block_size = integer("block size", "an integer of at least 0")?;
    let small = |field, value: i64| {
        i32::try_from(value).map_err(|_| at.bad(field, &value.to_string(), i32_range))
    };
    let adc_zero = small("ADC zero", adc_zero.unwrap_or(0))?;
    let initial_value = match initial {
        Some(value) => small("initial value", value)?,
        None => adc_zero,
    };
    let checksum = match checksum {
        // Signed and unsigned spellings both occur.
        Some(value) if (-0x8000..=0xffff).contains(&value) => Some(value as u16),
        Some(value) => return Err(at.bad("checksum", &value.to_string(), "an integer of 16 bits")),
        None => None,
    };
    let block_size = u64::try_from(block_size.unwrap_or(0))
        .map_err(|_| at.bad("block size", "a negative number", "an integer of at least 0"))?;
    let adc_resolution = match resolution {
        Some(bits) => u32::try_from(bits)
            .map_err(|_| at.bad("ADC resolution", &bits.to_string(), "an integer of at least 0"))?,
        None => format.format.resolution_bits(),
    };
    let calibrated = gain.as_ref().is_some_and(|field| field.gain != 0.0);
    if !calibrated {
        notes.remark(Some(line), "gain", "uncalibrated: 200 units for one physical unit assumed");
    }
    Ok(SignalSpec {
        line,
        file: file.to_owned(),
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

/// Signals of one file stand together and agree about it.
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
    let n_frames = at.integer("segment length", length, "an integer of at least 0")?;
    if !words.rest().is_empty() {
        return Err(at.bad("end of the segment line", words.rest(), "nothing after the length"));
    }
    Ok(SegmentSpec { line, name: name.to_owned(), n_frames })
}

fn check_segments(
    segments: &[SegmentSpec],
    n_frames: Option<u64>,
    notes: &Notes<'_>,
) -> Result<(), IoError> {
    let found = segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.n_frames));
    match n_frames {
        Some(expected) if expected != found => {
            Err(IoError::SegmentLengths { path: notes.path.to_owned(), expected, found })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{ReadOptions, Warning};

    fn read(text: &str) -> (Header, Vec<Warning>) {
        Header::parse(text.as_bytes(), Path::new("r.hea"), &ReadOptions::default()).expect(text)
    }

    fn refused(text: &str) -> IoError {
        let path = Path::new("r.hea");
        Header::parse(text.as_bytes(), path, &ReadOptions::default()).expect_err(text)
    }

    fn strictly(text: &str) -> Result<(Header, Vec<Warning>), IoError> {
        Header::parse(
            text.as_bytes(),
            Path::new("r.hea"),
            &ReadOptions::default().with_strict(true),
        )
    }

    #[test]
    fn the_shortest_header_has_defaults() {
        let (header, warnings) = read("r 1\nr.dat 16\n");
        assert_eq!(header.frame_rate.hz(), 250.0);
        assert_eq!((header.n_frames, header.base_counter), (None, 0.0));
        let signal = &header.signals[0];
        assert_eq!((signal.gain, signal.calibrated, signal.units.as_str()), (200.0, false, "mV"));
        assert_eq!((signal.adc_resolution, signal.checksum, signal.baseline), (16, None, 0));
        assert_eq!(warnings.len(), 1);
        assert!(strictly("r 1\nr.dat 16\n").is_ok(), "legal, however bare");
    }

    #[test]
    fn every_field() {
        let (header, warnings) = read(
            "#wfdb 10.7.0\n\n# first\nr 2 3.6e2/720(1.5) 10 12:34:56.5 02/03/2021\r\n\
             \tr.dat\t212x2:3+24 100(-5)/uV 11 1024 995 43172 0 ECG lead II \n  # in between\n\
             r.dat 212+24 100 11 1024 995 -22364 0\n#Dx: 1\n",
        );
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(header.library_version.as_deref(), Some("10.7.0"));
        assert_eq!((header.frame_rate.hz(), header.counter_frequency), (360.0, 720.0));
        assert_eq!((header.base_counter, header.n_frames), (1.5, Some(10)));
        assert_eq!(header.base_date.map(|d| d.to_string()).as_deref(), Some("2021-03-02"));
        let comments: Vec<_> = header.comments.iter().map(|c| (c.line, c.text.as_str())).collect();
        assert_eq!(comments, [(3, "first"), (6, "in between"), (8, "Dx: 1")]);
        let [a, b] = &header.signals[..] else { panic!("two signals") };
        assert_eq!((a.line, a.samples_per_frame, a.skew, a.offset), (5, 2, 3, 24));
        assert_eq!(
            (a.baseline, a.units.as_str(), a.description.as_str()),
            (-5, "uV", "ECG lead II")
        );
        assert_eq!((b.baseline, b.adc_zero, b.initial_value), (1024, 1024, 995));
        assert_eq!(a.checksum, b.checksum, "43172 and -22364 are the same");
    }

    #[test]
    fn quirks_warn_and_are_refused_in_strict_mode() {
        let signal = "r.dat 16 1000/mV 16 0 0 0 0 I\n";
        for (line, field) in [
            ("r 1 500 100 05-May-2020 09:49:17", "base time"),
            ("r 1 500 100 09:49:17 05-May-2020", "base date"),
            ("r 1 500 100 25:61:61", "base time"),
            ("r 1 500 100 12:00:00 31/02/2020", "base date"),
            ("r.mat 1 500 100", "record name"),
            ("dir/r 1 500 100", "record name"),
            ("dir/7 1 500 100", "record name"),
            ("q 1 500 100", "record name"),
            ("r+ 1 500 100", "record name"),
        ] {
            let text = format!("{line}\n{signal}");
            let (header, warnings) = read(&text);
            assert_eq!(header.signals.len(), 1, "{line}");
            assert!(warnings.iter().any(|w| w.field == field && w.line == Some(1)), "{line}");
            assert!(
                matches!(strictly(&text), Err(IoError::Strict(w)) if w.field == field),
                "{line}"
            );
        }
        let (header, _) = read("r 1 500 100 05-May-2020 09:49:17\nr.dat 16\n");
        assert_eq!(header.base_date.map(|d| d.to_string()).as_deref(), Some("2020-05-05"));
        assert_eq!(header.base_time.map(|t| t.to_string()).as_deref(), Some("09:49:17"));
    }

    #[test]
    fn a_lost_line_end_is_mended() {
        let text = "r 2 500 500000/mV 16 0 15 31255 0 I\nr.mat 16+24 1000/mV 16 0 5 -3 0 II\n";
        let (header, warnings) = read(text);
        assert_eq!(warnings.len(), 1);
        assert_eq!(header.n_frames, None);
        let [a, b] = &header.signals[..] else { panic!("two signals") };
        assert_eq!((a.file.as_str(), a.gain, a.offset, a.initial_value), ("r.mat", 1000.0, 24, 15));
        assert_eq!((a.description.as_str(), a.checksum), ("I", Some(31255)));
        assert_eq!(b.description, "II");
        assert!(matches!(strictly(text), Err(IoError::Strict(_))));
    }

    #[test]
    fn what_breaks_the_grammar_is_refused_with_its_place() {
        for (text, at, name) in [
            ("r\n", 1, "number of signals"),
            ("r -2 500\n", 1, "number of signals"),
            ("r 1.5 500\n", 1, "number of signals"),
            ("r 1 0 100\nr.dat 16\n", 1, "sampling frequency"),
            ("r 1 -500 100\nr.dat 16\n", 1, "sampling frequency"),
            ("r 1 nan 100\nr.dat 16\n", 1, "sampling frequency"),
            ("r 1 1e400 100\nr.dat 16\n", 1, "sampling frequency"),
            ("r 1 500/x 100\nr.dat 16\n", 1, "counter frequency"),
            ("r 1 500/2(3 100\nr.dat 16\n", 1, "base counter value"),
            ("r 1 500 -5\nr.dat 16\n", 1, "number of samples"),
            ("r 1 500 1e10\nr.dat 16\n", 1, "number of samples"),
            ("r 1 500 1 1:00 1/1/2000 x\nr.dat 16\n", 1, "end of the record line"),
            ("r 1\nr.dat\n", 2, "format"),
            ("r 1\n# c\nr.dat 17\n", 3, "format"),
            ("r 1\nr.dat 16 nan\n", 2, "gain"),
            ("r 1\nr.dat 16 200 x\n", 2, "ADC resolution"),
            ("r 1\nr.dat 16 200 -1\n", 2, "ADC resolution"),
            ("r 1\nr.dat 16 200 16 99999999999\n", 2, "ADC zero"),
            ("r 1\nr.dat 16 200 16 0 I\n", 2, "initial value"),
            ("r 1\nr.dat 16 200 16 0 0 70000\n", 2, "checksum"),
            ("r 1\nr.dat 16 200 16 0 0 0 -1\n", 2, "block size"),
            ("r/2 1 500 10\na 5\nb x\n", 3, "segment length"),
            ("r/2 1 500 10\na 5\nb 5 c\n", 3, "end of the segment line"),
            ("r/0 1 500 10\n", 1, "number of segments"),
        ] {
            match refused(text) {
                IoError::Field { line, field, .. } => {
                    assert_eq!((line, field), (at, name), "{text}")
                }
                other => panic!("{text:?}: {other}"),
            }
        }
        assert!(matches!(refused("# only\n\n"), IoError::EmptyHeader { .. }));
        let counts = |text: &str| match refused(text) {
            IoError::LineCount { expected, found, what, .. } => (expected, found, what),
            other => panic!("{other}"),
        };
        assert_eq!(counts("r 4294967295\nr.dat 16\n"), (4_294_967_295, 1, "signal"));
        assert_eq!(counts("r 1\nr.dat 16\nr.dat 16\n"), (1, 2, "signal"));
        assert_eq!(counts("r/3 1 500 10\na 5\nb 5\n"), (3, 2, "segment"));
    }

    #[test]
    fn signals_of_a_file_stand_together_and_agree() {
        let two = |a: &str, b: &str| refused(&format!("r 2\n{a}\n{b}\n"));
        for (a, b, name) in [
            ("r.dat 212", "r.dat 16", "format"),
            ("r.dat 16+24", "r.dat 16", "byte offset"),
            ("r.dat 16 1 1 0 0 0 7 a", "r.dat 16 1 1 0 0 0 0 b", "block size"),
        ] {
            assert!(
                matches!(two(a, b), IoError::GroupDiffers { line: 3, field, .. } if field == name)
            );
        }
        assert!(matches!(refused("r 3\na 16\nb 16\na 16\n"), IoError::FileOrder { line: 4, .. }));
    }

    #[test]
    fn segments() {
        let (header, _) = read("r/3 2 500 290\nlayout 0\n~ 90\ns1 200\n");
        let lengths: Vec<_> =
            header.segments.iter().map(|s| (s.name.as_str(), s.n_frames)).collect();
        assert_eq!(lengths, [("layout", 0), ("~", 90), ("s1", 200)]);
        assert_eq!((header.n_signals, header.signals.len()), (2, 0));
        assert!(matches!(
            refused("r/2 2 500 290\na 5\nb 6\n"),
            IoError::SegmentLengths { expected: 290, found: 11, .. }
        ));
    }
}
