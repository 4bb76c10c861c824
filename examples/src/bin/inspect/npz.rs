//! The arrays of a recording, for use in programs.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ecg3d_examples::{check_place, write_atomic};
use ndarray::{Array1, Array2};
use ndarray_npy::NpzWriter;

use super::Shown;

/// Makes sure that an archive can be written there and that it does not replace anything else, such as a file
/// of the recording.
///
/// # Errors
/// Returns an error if the place cannot be written to, or holds a file that is not an archive.
pub fn check(path: &Path) -> Result<()> {
    check_place(path)?;
    if !path.is_file() {
        return Ok(());
    }
    let shown = path.display();
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(2).read_to_end(&mut start))
        .with_context(|| format!("cannot read {shown}"))?;
    ensure!(
        start.is_empty() || start == b"PK",
        "{shown} would be overwritten, but it is not an .npz archive; choose another --npz"
    );
    Ok(())
}

/// Writes the arrays of a recording and of its annotations.
pub fn write(path: &Path, shown: &Shown) -> Result<()> {
    let mut npz = NpzWriter::new(Cursor::new(Vec::new()));
    if let Some(record) = &shown.stored {
        add_rows(&mut npz, "digital", &record.digital)?;
    }
    add_rows(&mut npz, "physical", &shown.signals)?;
    for file in &shown.annotations.files {
        let times: Array1<f64> =
            file.annotations.iter().map(|mark| file.annotations.time_s(mark)).collect();
        npz.add_array(format!("annotations_{}_time_s", file.annotator), &times)?;
        let mut add = |what: &str, values: Vec<i64>| {
            npz.add_array(
                format!("annotations_{}_{what}", file.annotator),
                &Array1::from_vec(values),
            )
        };
        let marks = || file.annotations.iter();
        add("sample", marks().map(|mark| mark.sample).collect())?;
        add("code", marks().map(|mark| mark.code.0.into()).collect())?;
        add("subtype", marks().map(|mark| mark.subtype.into()).collect())?;
        add("channel", marks().map(|mark| mark.channel.into()).collect())?;
        add("number", marks().map(|mark| mark.number.into()).collect())?;
    }
    let bytes = npz.finish()?.into_inner();
    write_atomic(path, |file| file.write_all(&bytes))
}

/// Adds rows as one array `[signal, sample]`, or as one array each if their lengths differ.
fn add_rows<T: Copy + ndarray_npy::WritableElement>(
    npz: &mut NpzWriter<Cursor<Vec<u8>>>,
    name: &str,
    rows: &[Vec<T>],
) -> Result<()> {
    let length = rows.first().map_or(0, Vec::len);
    if rows.iter().all(|row| row.len() == length) {
        let all = Array2::from_shape_vec((rows.len(), length), rows.concat())?;
        npz.add_array(name, &all)?;
    } else {
        for (k, row) in rows.iter().enumerate() {
            npz.add_array(format!("{name}_{k}"), &Array1::from_vec(row.clone()))?;
        }
    }
    Ok(())
}
