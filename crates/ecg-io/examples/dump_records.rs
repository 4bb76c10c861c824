//! Reads every WFDB record in a folder and writes the result as .npz, for other programs to compare.
//!
//! `cargo run --release -p ecg-io --example dump_records -- FOLDER OUT`; `scripts/compare_with_wfdb_python.py` runs it.

use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;

use ecg_io::{ReadOptions, Record, Selection};
use ndarray::ArrayView1;
use ndarray_npy::NpzWriter;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: dump_records FOLDER OUT".into());
    };
    fs::create_dir_all(&out)?;
    let options = ReadOptions::default();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "hea") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let read = Record::open(&path, &options).and_then(|record| {
            let all = Selection::default();
            let physical: Vec<Vec<f64>> = record.read(&all)?;
            let digital: Vec<Vec<i32>> =
                if record.is_multi_segment() { Vec::new() } else { record.read(&all)? };
            Ok((physical, digital))
        });
        let (physical, digital) = match read {
            Ok(read) => read,
            Err(error) => {
                println!("{name}: {error}");
                continue;
            }
        };
        let mut npz = NpzWriter::new(File::create(out.join(format!("{name}.npz")))?);
        for (k, row) in physical.iter().enumerate() {
            npz.add_array(format!("physical_{k}"), &ArrayView1::from(row))?;
        }
        for (k, row) in digital.iter().enumerate() {
            npz.add_array(format!("digital_{k}"), &ArrayView1::from(row))?;
        }
        npz.finish()?;
    }
    Ok(())
}
