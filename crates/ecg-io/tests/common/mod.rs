//! Locates test data that is not part of the repository.

#![allow(dead_code, reason = "every test program uses a part")]

pub mod bad;
pub mod encode;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Environment variable that, if set to 1, makes missing data a failure instead of a test that passes without it.
const REQUIRE: &str = "ECG_REQUIRE_DATA";

/// Returns the folder of golden values; `None`, with a message, if there is none.
pub fn goldens(part: &str) -> Option<PathBuf> {
    find("ECG_GOLDENS", concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/goldens"), part)
        .or_else(|| missing("golden values", part))
}

/// Returns the sample records in many formats; `None`, with a message, if there are none.
pub fn samples() -> Option<PathBuf> {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    find("ECG_DATA", data, "wfdb-samples").or_else(|| missing("sample records", "wfdb-samples"))
}

/// Returns a real data set, unpacked once next to the build; `None`, with a message, if there is none.
pub fn real_data(name: &str) -> Option<PathBuf> {
    let archive = find(
        "ECG_DATA",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"),
        &format!("{name}.tar.xz"),
    );
    let Some(archive) = archive else {
        return missing("real recordings", name);
    };
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let done = base.join(name);
    if !done.is_dir() {
        // Unpacked elsewhere and renamed when complete, in case another process does the same.
        let partial = base.join(format!("{name}.{}", std::process::id()));
        std::fs::create_dir_all(&partial).expect("a folder for the data");
        let tar = Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(&partial).status();
        assert!(tar.expect("tar runs").success(), "{} cannot be unpacked", archive.display());
        if std::fs::rename(&partial, &done).is_err() {
            assert!(done.is_dir(), "another process unpacked the data");
            std::fs::remove_dir_all(&partial).expect("the copy goes");
        }
    }
    // The archive may hold a single folder with its own name.
    let inner = done.join(name);
    Some(if inner.is_dir() { inner } else { done })
}

/// Reports what is missing; fails if [`REQUIRE`] is 1.
fn missing(what: &str, part: &str) -> Option<PathBuf> {
    assert!(
        std::env::var_os(REQUIRE).is_none_or(|value| value != "1"),
        "no {what} ({part}), and {REQUIRE} is 1"
    );
    println!("skipped: no {what} ({part})");
    None
}

fn find(variable: &str, beside: &str, part: &str) -> Option<PathBuf> {
    let base = std::env::var_os(variable).map_or_else(|| PathBuf::from(beside), PathBuf::from);
    Some(base.join(part)).filter(|path| path.exists())
}
