//! The fields of record and signal lines.

use crate::error::clip;
use crate::header::{Date, TimeOfDay};
use crate::{Format, IoError};
use std::path::Path;

/// The position of a field, for errors.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub path: &'a Path,
    pub line: u64,
}

impl At<'_> {
    pub fn bad(self, field: &'static str, found: &str, expected: &'static str) -> IoError {
        let path = self.path.to_owned();
        IoError::Field { path, line: self.line, field, found: clip(found), expected }
    }

    /// Parses an integer within the bounds of `T`.
    pub fn integer<T: TryFrom<i64>>(
        self,
        field: &'static str,
        text: &str,
        expected: &'static str,
    ) -> Result<T, IoError> {
        text.parse::<i64>()
            .ok()
            .and_then(|value| T::try_from(value).ok())
            .ok_or_else(|| self.bad(field, text, expected))
    }

    /// Parses a decimal number that is neither infinite nor NaN.
    pub fn number(
        self,
        field: &'static str,
        text: &str,
        expected: &'static str,
    ) -> Result<f64, IoError> {
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.bad(field, text, expected)),
        }
    }
}

/// The words of a line, and what is left of it.
pub(super) struct Words<'a>(pub &'a str);

impl<'a> Words<'a> {
    pub fn rest(&self) -> &'a str {
        self.0.trim_ascii()
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_ascii_start();
        let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// `fmt["x"spf][":"skew]["+"offset]`
pub(super) struct FormatField {
    pub format: Format,
    pub samples_per_frame: u32,
    pub skew: u32,
    pub offset: u64,
}

pub(super) fn format_field(text: &str, at: At<'_>) -> Result<FormatField, IoError> {
    const FORMATS: &str = "one of 0, 8, 16, 24, 32, 61, 80, 160, 212, 310, 311, 508, 516, 524";
    let (code, mut rest) = digits(text);
    let format = code
        .parse()
        .ok()
        .and_then(Format::from_code)
        .ok_or_else(|| at.bad("format", text, FORMATS))?;
    let mut field = FormatField { format, samples_per_frame: 1, skew: 0, offset: 0 };
    if let Some(after) = rest.strip_prefix('x') {
        let (value, after) = digits(after);
        field.samples_per_frame = at
            .integer("samples per frame", value, "a positive integer")
            .map_err(|_| at.bad("samples per frame", text, "a positive integer after the x"))?;
        if field.samples_per_frame == 0 {
            return Err(at.bad("samples per frame", text, "a positive integer after the x"));
        }
        rest = after;
    }
    if let Some(after) = rest.strip_prefix(':') {
        let (value, after) = digits(after);
        field.skew = value
            .parse()
            .map_err(|_| at.bad("skew", text, "a non-negative integer after the colon"))?;
        rest = after;
    }
    if let Some(after) = rest.strip_prefix('+') {
        let (value, after) = digits(after);
        field.offset = value
            .parse()
            .map_err(|_| at.bad("byte offset", text, "a non-negative integer after the +"))?;
        rest = after;
    }
    if rest.is_empty() { Ok(field) } else { Err(at.bad("format", text, "FORMATxSPF:SKEW+OFFSET")) }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `gain["("baseline")"]["/"units]`
pub(super) struct GainField<'a> {
    pub gain: f64,
    pub baseline: Option<i32>,
    pub units: Option<&'a str>,
}

pub(super) fn gain_field<'a>(text: &'a str, at: At<'_>) -> Result<GainField<'a>, IoError> {
    const GAIN: &str = "a decimal number of ADC units per physical unit";
    let end = text.find(['(', '/']).unwrap_or(text.len());
    let (number, mut rest) = text.split_at(end);
    let gain = at.number("gain", number, GAIN)?;
    // 0 stands for an unknown gain.
    if gain != 0.0 && !is_readable_gain(gain) {
        return Err(at.bad("gain", number, GAIN));
    }
    let mut baseline = None;
    if let Some(after) = rest.strip_prefix('(') {
        let expected = "a 32-bit integer in parentheses";
        let (value, after) =
            after.split_once(')').ok_or_else(|| at.bad("baseline", text, expected))?;
        baseline = Some(at.integer("baseline", value, expected)?);
        rest = after;
    }
    let units = match rest.strip_prefix('/') {
        Some("") => return Err(at.bad("units", text, "a unit after the /")),
        Some(units) => Some(units),
        None if rest.is_empty() => None,
        None => return Err(at.bad("gain", text, "GAIN(BASELINE)/UNITS")),
    };
    Ok(GainField { gain, baseline, units })
}

/// Returns whether samples can be divided by a gain: it is not 0, nor so small that the largest sample would become
/// infinite.
pub(crate) fn is_readable_gain(gain: f64) -> bool {
    gain.is_finite() && (f64::from(u32::MAX) / gain).is_finite()
}

/// Parses `H:M:S[.frac]`, `M:S` or `S`; `None` if it is not a time of day.
pub(super) fn time_field(text: &str) -> Option<TimeOfDay> {
    let parts: Vec<&str> = text.split(':').collect();
    let whole = |part: &str| digits(part).1.is_empty().then(|| part.parse::<u32>().ok()).flatten();
    let seconds = |part: &str| {
        let plain = part.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        part.parse::<f64>().ok().filter(|_| plain)
    };
    let (hours, minutes, seconds) = match parts[..] {
        [s] => (0, 0, seconds(s)?),
        [m, s] => (0, whole(m)?, seconds(s)?),
        [h, m, s] => (whole(h)?, whole(m)?, seconds(s)?),
        _ => return None,
    };
    // Only the first part may exceed its unit, as in 90:00 (an hour and a half).
    let fits = match parts.len() {
        1 => true,
        2 => seconds < 60.0,
        _ => seconds < 60.0 && minutes < 60,
    };
    if !fits {
        return None;
    }
    // Seconds without minutes may be any number.
    let minutes = u64::from(minutes).saturating_add((seconds / 60.0) as u64);
    let hours = u64::from(hours).saturating_add(minutes / 60);
    (hours < 24).then(|| TimeOfDay {
        hours: hours as u8,
        minutes: (minutes % 60) as u8,
        seconds: if seconds < 60.0 { seconds } else { seconds % 60.0 },
    })
}

/// Parses `D/M/YYYY`; `None` if it is not a date.
pub(super) fn date_field(text: &str) -> Option<Date> {
    let parts: Vec<&str> = text.split('/').collect();
    let [day, month, year] = parts[..] else { return None };
    date(day.parse().ok()?, month.parse().ok()?, year.parse().ok()?)
}

/// Parses `05-May-2020`, as the CinC headers write it; `None` if it is not a date.
pub(super) fn dashed_date(text: &str) -> Option<Date> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let parts: Vec<&str> = text.split('-').collect();
    let [day, month, year] = parts[..] else { return None };
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    date(day.parse().ok()?, month as u8 + 1, year.parse().ok()?)
}

fn date(day: u8, month: u8, year: u16) -> Option<Date> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days).contains(&day).then_some(Date { year, month, day })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> At<'static> {
        At { path: Path::new("r.hea"), line: 2 }
    }

    #[test]
    fn formats() {
        let full = format_field("212x4:3+24", at()).expect("legal");
        assert_eq!(
            (full.format, full.samples_per_frame, full.skew, full.offset),
            (Format::Packed212, 4, 3, 24)
        );
        assert_eq!(format_field("16+24", at()).expect("legal").offset, 24);
        for bad in [
            "17",
            "abc",
            "-16",
            "",
            "16x0",
            "16x-3",
            "16x",
            "16:-3",
            "16:",
            "16+",
            "16+-1",
            "16+99999999999999999999",
            "16:99999999999",
            "16+1:2",
            "16 ",
            "16x1x1",
            "+16",
        ] {
            assert!(format_field(bad, at()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn gains() {
        let read = |text| {
            let field = gain_field(text, at()).expect(text);
            (field.gain, field.baseline, field.units.map(str::to_owned))
        };
        assert_eq!(read("200"), (200.0, None, None));
        assert_eq!(read("1000.0(0)/mV"), (1000.0, Some(0), Some("mV".into())));
        assert_eq!(read("1.25e+03(-12)/uV"), (1250.0, Some(-12), Some("uV".into())));
        assert_eq!(read("+100(+5)/mV/s"), (100.0, Some(5), Some("mV/s".into())));
        assert_eq!(read(".5/V"), (0.5, None, Some("V".into())));
        assert_eq!(read("2.4011e-11/nV").0, 2.4011e-11);
        assert_eq!(read("-19.3(3064)").0, -19.3);
        for bad in [
            "nan",
            "inf",
            "1e400",
            "0x10",
            "",
            "/mV",
            "200(1.5)/mV",
            "200(99999999999)",
            "200(5",
            "200(5)mV",
            "200/",
            "1e-320",
            "200mV",
        ] {
            assert!(gain_field(bad, at()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_and_dates() {
        let shown = |text| time_field(text).map(|time| time.to_string());
        assert_eq!(shown("12:34:56.789").as_deref(), Some("12:34:56.789"));
        assert_eq!(shown("8:26:04").as_deref(), Some("08:26:04"));
        assert_eq!(shown("31:51.982").as_deref(), Some("00:31:51.982"));
        assert_eq!(shown("0:00").as_deref(), Some("00:00:00"));
        assert_eq!(shown("90:00").as_deref(), Some("01:30:00"));
        assert_eq!(shown("75").as_deref(), Some("00:01:15"));
        for bad in ["25:61:61", "1:60:00", "24:00:00", "-1:00", "1:2:3:4", "a", "", "1:1e1", "inf"]
        {
            assert_eq!(time_field(bad), None, "{bad:?}");
        }
        assert_eq!(date_field("5/3/2021").map(|d| d.to_string()).as_deref(), Some("2021-03-05"));
        assert_eq!(dashed_date("05-May-2020"), date_field("05/05/2020"));
        for bad in ["31/02/2020", "29/2/2100", "0/1/2000", "1/13/2000", "1/1", "1-1-2000"] {
            assert_eq!(date_field(bad), None, "{bad:?}");
        }
        assert!(date_field("29/2/2000").is_some() && dashed_date("31-Sep-2000").is_none());
    }

    #[test]
    fn words_leave_the_rest_as_it_is() {
        let mut words = Words("  a\tb   ECG  lead II ");
        assert_eq!((words.next(), words.next()), (Some("a"), Some("b")));
        assert_eq!(words.rest(), "ECG  lead II");
        assert_eq!(Words("  ").next(), None);
    }
}
