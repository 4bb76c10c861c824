//! The data of tests that is not part of the repository.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Error, Result};
use ecg_test_data::{REQUIRE, goldens_folder, recordings_folder};

/// Lets no test pass for want of data if the data is there, unless the caller's environment says what to do. Says what
/// is not there.
pub fn require(tests: &mut Command) -> Result<()> {
    let folders = [goldens_folder(), recordings_folder()];
    let [goldens, recordings] = folders.map(|folder| folder.map_err(Error::msg));
    let missing = missing(goldens?, recordings?);
    if std::env::var_os(REQUIRE).is_none() {
        require_unless(&missing, tests);
    }
    Ok(())
}

fn missing(goldens: Option<PathBuf>, recordings: Option<PathBuf>) -> Vec<&'static str> {
    let all = [(goldens, "golden values"), (recordings, "real recordings")];
    all.into_iter().filter(|(folder, _)| folder.is_none()).map(|(_, what)| what).collect()
}

fn require_unless(missing: &[&str], tests: &mut Command) {
    if missing.is_empty() {
        tests.env(REQUIRE, "1");
    } else {
        println!("skipped: tests that need {}", missing.join(" or "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_required_where_all_of_it_is_there() {
        let here = || Some(PathBuf::from("/data"));
        for (goldens, recordings, expected) in [
            (here(), here(), vec![]),
            (None, here(), vec!["golden values"]),
            (here(), None, vec!["real recordings"]),
            (None, None, vec!["golden values", "real recordings"]),
        ] {
            let missing = missing(goldens, recordings);
            assert_eq!(missing, expected);
            let mut tests = Command::new("cargo");
            require_unless(&missing, &mut tests);
            assert_eq!(tests.get_envs().count() == 1, missing.is_empty(), "{missing:?}");
        }
    }
}
