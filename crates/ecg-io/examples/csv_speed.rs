//! Measures how long a table takes to read: `cargo run --release -p ecg-io --example csv_speed -- FILE [TIMES]`.
//!
//! Without FILE, a table of 12 leads and a million samples is first written to the temporary folder (78 MB). CPU time
//! is user and system time together, if the system reports it (Linux).

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use ecg_io::{ReadOptions, read_csv};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = match arguments.next() {
        Some(path) => PathBuf::from(path),
        None => make()?,
    };
    let times = arguments.next().map_or(Ok(5), |n| n.parse())?;
    for _ in 0..times {
        let start = Instant::now();
        let bytes = std::fs::read(&path)?.len();
        let raw = start.elapsed().as_secs_f64();
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let shape = read_csv(&path, &ReadOptions::default())?.recording.signal.dim();
        let seconds = start.elapsed().as_secs_f64();
        let cpu = match (cpu, cpu_seconds()) {
            (Some(before), Some(after)) => format!(" ({:.3} s of CPU)", after - before),
            _ => String::new(),
        };
        println!("{bytes} bytes, {shape:?}: {seconds:.3} s{cpu}; the bare file {raw:.3} s");
    }
    Ok(())
}

/// Returns the processor time of this thread so far.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split_whitespace().next()?.parse::<f64>().ok()? * 1e-9)
}

fn make() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join("ecg-io-csv-speed.csv");
    let mut text = String::from("# fs: 500\nI,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6\n");
    for sample in 0..1_000_000_u32 {
        for lead in 0..12_u32 {
            let value =
                (f64::from(sample) / 40.0 + f64::from(lead)).sin() * f64::from(lead + 1) / 9.0;
            write!(text, "{value:.3}{}", if lead < 11 { "," } else { "\n" })?;
        }
    }
    std::fs::write(&path, text)?;
    Ok(path)
}
