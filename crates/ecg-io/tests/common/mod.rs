//! Locates test data that is not part of the repository.

#![allow(dead_code, reason = "every test program uses a part")]

pub mod bad;
pub mod encode;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

/// Returns the folder of golden values; `None`, with a message, if there is none.
pub fn goldens(part: &str) -> Option<PathBuf> {
    ecg_test_data::goldens(part)
}

/// Returns the sample records in many formats; `None`, with a message, if there are none.
pub fn samples() -> Option<PathBuf> {
    ecg_test_data::recordings("wfdb-samples")
}

/// Returns a real data set, unpacked once next to the build; `None`, with a message, if there is none.
pub fn real_data(name: &str) -> Option<PathBuf> {
    let archive = ecg_test_data::recordings(&format!("{name}.tar.xz"))?;
    // A changed archive is unpacked again.
    let file = std::fs::metadata(&archive).expect("the archive");
    let modified = file.modified().expect("a time").duration_since(UNIX_EPOCH).expect("since 1970");
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let done = base.join(format!("{name}-{}-{}", file.len(), modified.as_nanos()));
    if !done.is_dir() {
        // Unpacked elsewhere and renamed when complete, in case another process does the same.
        let partial = tempfile::tempdir_in(base).expect("a folder for the data");
        let tar =
            Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(partial.path()).status();
        assert!(tar.expect("tar runs").success(), "{} cannot be unpacked", archive.display());
        let renamed = std::fs::rename(partial.path(), &done);
        assert!(renamed.is_ok() || done.is_dir(), "{}: {renamed:?}", done.display());
    }
    // The archive may hold a single folder with its own name.
    let inner = done.join(name);
    Some(if inner.is_dir() { inner } else { done })
}
