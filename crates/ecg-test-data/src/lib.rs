//! Where tests find data that is not part of the repository.
//!
//! | data | folder | else, beside the checkout |
//! |---|---|---|
//! | golden values | `ECG_GOLDENS` | `../shared/goldens` |
//! | real recordings | `ECG_DATA` | `../shared/data` |
//!
//! A test whose data is not there says so on standard error and passes; if `ECG_REQUIRE_DATA` is 1, it fails instead. A
//! variable that does not name a folder is always an error. Use absolute paths: cargo runs each test in the folder of
//! its package.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

/// The variable that makes missing data a failure if it is 1.
pub const REQUIRE: &str = "ECG_REQUIRE_DATA";

/// Returns the file or folder `part` of the golden values, for instance `models`.
///
/// If it is not there, this says that a test is skipped and returns `None`.
///
/// # Panics
/// - `ECG_GOLDENS` does not name a folder.
/// - `part` is not there, and [`REQUIRE`] is 1.
pub fn goldens(part: &str) -> Option<PathBuf> {
    GOLDENS.part(part, GOLDENS.given(), is_required())
}

/// Returns the file or folder `part` of the real recordings, as [`goldens`] does for golden values.
///
/// # Panics
/// - `ECG_DATA` does not name a folder.
/// - `part` is not there, and [`REQUIRE`] is 1.
pub fn recordings(part: &str) -> Option<PathBuf> {
    RECORDINGS.part(part, RECORDINGS.given(), is_required())
}

/// Returns the folder of the golden values, or `None` if there is none.
///
/// # Errors
/// A sentence, if `ECG_GOLDENS` does not name a folder.
pub fn goldens_folder() -> Result<Option<PathBuf>, String> {
    GOLDENS.folder(GOLDENS.given())
}

/// Returns the folder of the real recordings, or `None` if there is none.
///
/// # Errors
/// A sentence, if `ECG_DATA` does not name a folder.
pub fn recordings_folder() -> Result<Option<PathBuf>, String> {
    RECORDINGS.folder(RECORDINGS.given())
}

/// Whether missing data is a failure.
pub fn is_required() -> bool {
    std::env::var_os(REQUIRE).is_some_and(|value| value == "1")
}

/// Where one kind of data is.
struct Place {
    what: &'static str,
    variable: &'static str,
    beside: &'static str,
}

const GOLDENS: Place = Place {
    what: "golden values",
    variable: "ECG_GOLDENS",
    beside: concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/goldens"),
};

const RECORDINGS: Place = Place {
    what: "real recordings",
    variable: "ECG_DATA",
    beside: concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"),
};

impl Place {
    /// Returns the value of the variable.
    fn given(&self) -> Option<OsString> {
        std::env::var_os(self.variable)
    }

    fn folder(&self, given: Option<OsString>) -> Result<Option<PathBuf>, String> {
        let Some(given) = given else {
            return Ok(Some(PathBuf::from(self.beside)).filter(|folder| folder.is_dir()));
        };
        let folder = PathBuf::from(given);
        if folder.is_dir() {
            return Ok(Some(folder));
        }
        let Self { what, variable, .. } = self;
        Err(format!("{variable} is {folder:?}, expected a folder with the {what}"))
    }

    fn part(&self, part: &str, given: Option<OsString>, required: bool) -> Option<PathBuf> {
        let folder = self.folder(given).unwrap_or_else(|error| panic!("{error}"));
        let path = folder.map(|folder| folder.join(part)).filter(|path| path.exists());
        if path.is_none() {
            let said = format!("no {} ({part})", self.what);
            assert!(!required, "{said}, and {REQUIRE} is 1");
            // The test harness would keep what `eprintln!` writes to itself.
            let _ = writeln!(std::io::stderr(), "skipped: {said}");
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = env!("CARGO_MANIFEST_DIR");
    const TYPO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scr");
    /// A place that has nothing beside the checkout.
    const NOTHING: Place = Place { what: "values", variable: "ECG_VALUES", beside: TYPO };

    #[test]
    fn a_variable_must_name_a_folder() {
        assert_eq!(NOTHING.folder(None), Ok(None));
        assert_eq!(NOTHING.folder(Some(HERE.into())), Ok(Some(HERE.into())));
        for wrong in [TYPO, concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), ""] {
            let error = NOTHING.folder(Some(wrong.into())).expect_err(wrong);
            assert_eq!(
                error,
                format!("ECG_VALUES is {wrong:?}, expected a folder with the values")
            );
        }
    }

    #[test]
    fn a_part_is_found_or_skipped() {
        let found = NOTHING.part("src/lib.rs", Some(HERE.into()), true);
        assert_eq!(found, Some(PathBuf::from(HERE).join("src/lib.rs")));
        assert_eq!(NOTHING.part("src/none.rs", Some(HERE.into()), false), None);
        assert_eq!(NOTHING.part("src", None, false), None);
    }

    #[test]
    #[should_panic(expected = "no values (src), and ECG_REQUIRE_DATA is 1")]
    fn a_part_that_is_required_is_not_skipped() {
        NOTHING.part("src", None, true);
    }

    #[test]
    #[should_panic(expected = "expected a folder with the values")]
    fn a_wrong_variable_is_not_skipped() {
        NOTHING.part("src", Some(TYPO.into()), false);
    }
}
