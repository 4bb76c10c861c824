//! Replays the initial inputs of the fuzz targets and every input that once broke a reader.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut inputs = 0;
    for kind in ["corpus", "crashes"] {
        let Ok(files) = fs::read_dir(base.join(kind).join(target)) else { continue };
        for file in files {
            let path = file.expect("an entry").path();
            println!("{}", path.display());
            let data = fs::read(&path).expect("an input");
            run(&data);
            // Truncated inputs, too.
            for part in [data.len() / 3, data.len() * 2 / 3, data.len().saturating_sub(1)] {
                run(&data[..part]);
            }
            inputs += 1;
        }
    }
    assert!(inputs >= 3, "{inputs} inputs of {target}");
}

#[test]
fn header() {
    replay("header", targets::header);
}

#[test]
fn signal() {
    replay("signal", targets::signal);
}

#[test]
fn segments() {
    replay("segments", targets::segments);
}

#[test]
fn annotations() {
    replay("annotations", targets::annotations);
}

#[test]
fn csv() {
    replay("csv", targets::csv);
}

#[test]
fn labels() {
    replay("labels", targets::labels);
}
