//! Writes one recording in every writable format, and next to each the values that a reader must find.
//!
//! `cargo run -p ecg-io --example write_formats -- DIR`; `scripts/check_with_wfdb_python.py` compares them.

use std::error::Error;
use std::fs::File;
use std::path::PathBuf;

use ecg_core::{Lead, Recording, SamplingRate, Sex, SnomedCode};
use ecg_io::{Format, WriteOptions, write_wfdb};
use ndarray::Array2;
use ndarray_npy::NpzWriter;

fn main() -> Result<(), Box<dyn Error>> {
    let dir: PathBuf = std::env::args_os().nth(1).ok_or("usage: write_formats DIR")?.into();
    for (code, gain, samples) in [
        (16_u32, 1000.0, 5000),
        (24, 100_000.0, 999),
        (32, 1e8, 500),
        (61, 1000.0, 101),
        (80, 50.0, 500),
        (160, 1000.0, 500),
        (212, 1000.0, 997),
    ] {
        for leads in [1, 2, 3, 12] {
            let mut signal = Array2::from_shape_fn((leads, samples), |(lead, t)| {
                (t as f64 / 37.0 + lead as f64).sin() * 1.9
            });
            signal[[0, samples / 2]] = f64::NAN;
            let digital = signal.mapv(|mv| (mv * gain).round());
            let names = Lead::STANDARD_12.into_iter().take(leads);
            let name = format!("f{code}_{leads}");
            let mut recording = Recording::new(&name, SamplingRate::new(500.0)?, names, signal)?;
            recording.age_years = Some(61.0);
            recording.sex = Some(Sex::Male);
            recording.diagnoses = vec![SnomedCode(426_783_006), SnomedCode(59_118_001)];
            let format = Format::from_code(code).ok_or("an unknown format")?;
            let options = WriteOptions::default().with_format(format).with_gain_per_mv(gain);
            write_wfdb(&dir, &recording, &options)?;
            let mut npz = NpzWriter::new(File::create(dir.join(format!("{name}.npz")))?);
            npz.add_array("physical", &(&digital / gain))?;
            npz.add_array("digital", &digital)?;
            npz.add_array("gain", &ndarray::arr0(gain))?;
            npz.finish()?;
        }
    }
    Ok(())
}
