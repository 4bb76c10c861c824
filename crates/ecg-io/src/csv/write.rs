use std::fmt::Write;
use std::path::Path;

use ecg_core::Recording;

use super::read::{is_units_key, rate_key};
use crate::IoError;
use crate::atomic::write_file;
use crate::text::one_line;
use crate::write::{check_leads, comment_lines};

/// Writes a recording as a table in mV, with one column per lead.
///
/// [`crate::read_csv`] reads the same values back if they are finite or NaN and the leads have ordinary names. It
/// rejects infinite values. Names such as `t`, `n`, `sample`, `time`, plain numbers, or `V1 (uV)` are not read back as
/// the name of a lead in mV. Control characters in a name or comment become spaces.
///
/// The units are written as mV for all leads, also for a signal that is not a voltage and kept its own unit on reading.
///
/// Sampling rate, units, age, sex, diagnoses and comments precede the table as lines that start with `#`. Stored
/// integers are not kept. The file is written completely or not at all; missing folders are created. A link stays, and
/// its target is written.
///
/// # Errors
/// Fails if the number of lead names differs from the number of signal rows, or if a file cannot be written.
pub fn write_csv(path: impl AsRef<Path>, recording: &Recording) -> Result<(), IoError> {
    let path = path.as_ref();
    check_leads(recording, path)?;
    let mut text = String::with_capacity(recording.signal.len() * 8 + 1024);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# fs: {}\n# units: mV", recording.sampling_rate.hz());
    for comment in comment_lines(recording).filter(|comment| !states_layout(comment)) {
        let _ = writeln!(text, "# {comment}");
    }
    let names: Vec<String> = recording.leads.iter().map(|lead| quoted(lead.as_str())).collect();
    let _ = writeln!(text, "{}", names.join(","));
    for sample in recording.signal.columns() {
        for (k, value) in sample.iter().enumerate() {
            let comma = if k > 0 { "," } else { "" };
            let _ = if value.is_nan() {
                write!(text, "{comma}nan")
            } else {
                write!(text, "{comma}{value}")
            };
        }
        text.push('\n');
    }
    write_file(path, text.as_bytes())
}

/// Returns whether a comment of the source would contradict the table that is written.
fn states_layout(comment: &str) -> bool {
    comment
        .split_once([':', '='])
        .is_some_and(|(key, _)| is_units_key(key) || rate_key(key).is_some())
}

fn quoted(name: &str) -> String {
    let name = one_line(name);
    if name.contains([',', '"', ';', '#', '|', ' ']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name
    }
}
