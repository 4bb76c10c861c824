use std::fmt::Write;
use std::path::Path;

use ecg_core::{Adc, CoreError, Recording, Sex};

use crate::atomic::{check_place, write_file};
use crate::format::encode;
use crate::header::{Clinical, is_readable_gain};
use crate::signal::checksum;
use crate::text::one_line;
use crate::{IoError, WriteOptions};

/// Writes a recording as a WFDB record: `NAME.hea` and `NAME.dat` in `dir`, with checksums.
///
/// The stored integers of the recording are written with their gain and baseline if they match its signal and fit the
/// format; otherwise the signal is digitised at [`WriteOptions::gain_per_mv`]. NaN becomes the format's code for an
/// invalid sample. Age, sex, diagnoses and comments become comment lines, with a space in place of each control
/// character. The fields count: a comment such as `Age: 61` is not written again, unless the field is empty and the
/// value cannot be read (`Age: 61Y`). Diagnoses in words are kept, on one line with the codes. A name with `/` is
/// written to folders below `dir`; missing folders are created. Each file is written completely or not at all, the
/// header last. A link stays, and its target is written.
///
/// The unit of every lead is written as mV, also of a signal that is not a voltage and kept its own unit on reading.
///
/// # Errors
/// Fails if
///
/// - the name cannot be used for a WFDB record,
/// - the format cannot be written,
/// - the gain is not a positive number, or is too small to be read back (below 2.4e-299),
/// - the number of lead names differs from the number of signal rows,
/// - the signal has no samples,
/// - a sample is beyond the format's range, or
/// - a file cannot be written.
pub fn write_wfdb(
    dir: impl AsRef<Path>,
    recording: &Recording,
    options: &WriteOptions,
) -> Result<(), IoError> {
    let base = checked_name(&recording.name)?;
    let format = options.format;
    let range = format.writable_range();
    let (Some(range), Some(invalid)) = (range, format.invalid_code()) else {
        return Err(IoError::WriteFormat { format: format.code() });
    };
    if !(options.gain_per_mv > 0.0 && is_readable_gain(options.gain_per_mv)) {
        return Err(IoError::WriteGain { found: options.gain_per_mv });
    }
    let header_path = dir.as_ref().join(format!("{}.hea", recording.name));
    check_leads(recording, &header_path)?;
    let (leads, samples) = recording.signal.dim();
    if leads == 0 || samples == 0 {
        return Err(IoError::NoSamples {
            path: header_path,
            at: None,
            found: format!("{samples} samples of {leads} leads"),
            expected: "at least one sample and one lead",
        });
    }
    let adc = match &recording.adc {
        Some(adc) if belongs(adc, recording, range) => stored(adc, recording, invalid),
        _ => digitise(recording, options, range, invalid)?,
    };

    let mut bytes = Vec::new();
    let values = &adc.values;
    encode(format, values.columns().into_iter().flatten().copied(), &mut bytes);
    // Otherwise an old header that cannot be replaced would stand beside the new samples.
    check_place(&header_path)?;
    write_file(&dir.as_ref().join(format!("{}.dat", recording.name)), &bytes)?;

    // Writing to a string cannot fail.
    let mut text = String::new();
    let _ = writeln!(text, "{base} {leads} {} {samples}", recording.sampling_rate.hz());
    for (k, row) in values.rows().into_iter().enumerate() {
        let name = one_line(recording.leads[k].as_str());
        let _ = writeln!(
            text,
            "{base}.dat {} {}({})/mV {} 0 {} {} 0 {}",
            format.code(),
            adc.gain_per_mv[k],
            adc.baseline[k],
            format.resolution_bits(),
            row[0],
            // Signed, as most software writes it.
            checksum(row.iter().copied()) as i16,
            name.trim(),
        );
    }
    for comment in comment_lines(recording) {
        let _ = writeln!(text, "# {comment}");
    }
    write_file(&header_path, text.as_bytes())
}

/// Rejects a recording whose public fields no longer agree.
pub(crate) fn check_leads(recording: &Recording, path: &Path) -> Result<(), IoError> {
    let (rows, names) = (recording.signal.nrows(), recording.leads.len());
    if rows == names {
        return Ok(());
    }
    let source = CoreError::LeadCount { rows, names };
    Err(IoError::Recording { path: path.to_owned(), line: None, source })
}

/// Returns the last part of a recording's name, if the name is fit for a path and its last part for a record.
fn checked_name(name: &str) -> Result<&str, IoError> {
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    // Folders may contain other characters, but none that lead elsewhere.
    let folder = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', ':', '\0'])
    };
    let (folders, base) = match name.rsplit_once('/') {
        Some((folders, base)) => (Some(folders), base),
        None => (None, name),
    };
    if plain(base) && folders.is_none_or(|folders| folders.split('/').all(folder)) {
        Ok(base)
    } else {
        Err(IoError::RecordName { name: name.to_owned() })
    }
}

/// Returns whether the stored integers match the signal to half a unit and fit the format.
fn belongs(adc: &Adc, recording: &Recording, (low, high): (i32, i32)) -> bool {
    let leads = recording.signal.nrows();
    let sound = adc.gain_per_mv.iter().all(|gain| is_readable_gain(*gain));
    sound
        && (adc.gain_per_mv.len(), adc.baseline.len()) == (leads, leads)
        && adc.values.dim() == recording.signal.dim()
        && adc.values.rows().into_iter().zip(recording.signal.rows()).enumerate().all(
            |(k, (values, signal))| {
                let (gain, baseline) = (adc.gain_per_mv[k], f64::from(adc.baseline[k]));
                values.iter().zip(signal).all(|(&value, &mv)| {
                    let off = (mv * gain + baseline - f64::from(value)).abs();
                    mv.is_nan() || (low..=high).contains(&value) && off <= 0.501
                })
            },
        )
}

fn stored(adc: &Adc, recording: &Recording, invalid: i32) -> Adc {
    let mut adc = adc.clone();
    for (value, mv) in adc.values.iter_mut().zip(&recording.signal) {
        if mv.is_nan() {
            *value = invalid;
        }
    }
    adc
}

fn digitise(
    recording: &Recording,
    options: &WriteOptions,
    (low, high): (i32, i32),
    invalid: i32,
) -> Result<Adc, IoError> {
    let gain = options.gain_per_mv;
    let (leads, _) = recording.signal.dim();
    let mut values = ndarray::Array2::zeros(recording.signal.dim());
    for ((position, &mv), value) in recording.signal.indexed_iter().zip(values.iter_mut()) {
        let units = (mv * gain).round();
        *value = if mv.is_nan() {
            invalid
        } else if (f64::from(low)..=f64::from(high)).contains(&units) {
            units as i32
        } else {
            return Err(IoError::WriteRange {
                record: recording.name.clone(),
                lead: recording.leads[position.0].as_str().to_owned(),
                sample: position.1,
                value: mv,
                format: options.format.code(),
                gain,
                low: f64::from(low) / gain,
                high: f64::from(high) / gain,
            });
        };
    }
    Ok(Adc { values, gain_per_mv: vec![gain; leads], baseline: vec![0; leads] })
}

/// Returns the comment lines of a recording, without the comment character: those for its fields, then the comments
/// that no field replaces. Diagnoses in words are on the line of the codes.
pub(crate) fn comment_lines(recording: &Recording) -> impl Iterator<Item = String> + '_ {
    let age = recording.age_years.map(|age| format!("Age: {age}"));
    let sex = recording.sex.map(|sex| match sex {
        Sex::Female => "Sex: Female".to_owned(),
        Sex::Male => "Sex: Male".to_owned(),
    });
    let mut diagnoses: Vec<String> = recording.diagnoses.iter().map(ToString::to_string).collect();
    // Diagnoses in words exist only in the comments.
    let words = recording.comments.iter().flat_map(|own| Clinical::diagnoses_in_words(own));
    diagnoses.extend(words.map(one_line));
    let diagnoses = (!diagnoses.is_empty()).then(|| format!("Dx: {}", diagnoses.join(",").trim()));
    let patient =
        recording.patient.as_ref().map(|patient| format!("Patient: {}", one_line(patient)));
    let others = recording.comments.iter().filter(|own| !Clinical::replaces(recording, own));
    let others = others.map(|comment| one_line(comment));
    [age, sex, diagnoses, patient].into_iter().flatten().chain(others)
}
