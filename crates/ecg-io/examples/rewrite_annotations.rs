//! Reads annotation files and writes them again, next to a table of their contents, for
//! `scripts/check_annotations_with_wfdb_python.py` to compare.

use std::fmt::Write;
use std::path::PathBuf;

use ecg_io::{ReadOptions, read_annotations, write_annotations};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let out = arguments.next().ok_or("usage: rewrite_annotations OUT FILE ...")?;
    for path in arguments {
        let read = read_annotations(&path, &ReadOptions::default())?;
        let name = path.file_name().ok_or("a file name")?.to_string_lossy().into_owned();
        let mut table = String::new();
        writeln!(table, "{:?}", read.time_resolution.map(|rate| rate.hz()))?;
        for a in &read.annotations {
            let aux: Vec<String> = a.aux.chars().map(|c| u32::from(c).to_string()).collect();
            let (code, symbol) = (a.code.0, read.symbol(a.code));
            let fields = (a.sample, a.subtype, a.channel, a.number);
            let (sample, subtype, channel, number) = fields;
            let aux = aux.join(" ");
            writeln!(table, "{sample}\t{code}\t{symbol}\t{subtype}\t{channel}\t{number}\t{aux}")?;
        }
        write_annotations(out.join(&name), &read)?;
        std::fs::write(out.join(format!("{name}.tsv")), table)?;
    }
    Ok(())
}
