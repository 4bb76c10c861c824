//! Keeps finished probabilities in a file beside the output, so that a run that ended for any reason can be
//! continued.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ndarray::{Array2, ArrayView2};

use crate::output::real;
use crate::{remove_if_there, write_atomic};

/// Time between two writes. Results of the last interval are lost if the run is killed.
const EVERY: Duration = Duration::from_secs(5);

/// Rows of probabilities that are kept in `OUT.part` until all are done.
///
/// The file begins with the key of the run in hexadecimal and a line break. The rows follow, as `f64` in
/// little-endian order. Each time, the file is written anew, whole or not at all.
#[derive(Debug)]
pub struct Kept {
    /// `None` if the output is not a file.
    path: Option<PathBuf>,
    key: String,
    /// The rows that an earlier run left.
    before: Array2<f64>,
    written: Option<Instant>,
}

impl Kept {
    /// Opens what an earlier run of the same `key` left beside `out`, at most `[rows, columns]`. With
    /// `restart`, nothing is taken over.
    ///
    /// # Errors
    /// Returns an error if the rows belong to another run, if there are more of them than there can be, or if
    /// the file cannot be read.
    pub fn open(
        out: &Path,
        key: String,
        [rows, columns]: [usize; 2],
        restart: bool,
    ) -> Result<Self> {
        let path = real(out).map(|real| {
            let mut name = real.into_os_string();
            name.push(".part");
            PathBuf::from(name)
        });
        let most = key.len() + 1 + rows * columns * size_of::<f64>();
        let found = match &path {
            Some(path) if !restart => read(path, most)?,
            _ => None,
        };
        let mut before = Array2::zeros((0, columns));
        if let (Some(bytes), Some(path)) = (found, &path) {
            let shown = path.display();
            let rest = bytes.strip_prefix(key.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
            let rest = rest.with_context(|| of_another_run(path))?;
            let row = columns * size_of::<f64>();
            ensure!(
                bytes.len() <= most && rest.len().is_multiple_of(row),
                "{shown} is damaged: expected at most {rows} rows of {row} bytes after the key; discard it with --restart"
            );
            let values =
                rest.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
            before = Array2::from_shape_vec((rest.len() / row, columns), values)?;
        }
        Ok(Self { path, key, before, written: None })
    }

    /// Returns the rows that an earlier run left.
    pub fn rows(&self) -> ArrayView2<'_, f64> {
        self.before.view()
    }

    /// Writes the rows that are done, but not more often than every few seconds.
    ///
    /// # Errors
    /// Returns the error of the file system, with the path.
    pub fn keep(&mut self, rows: ArrayView2<'_, f64>) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if self.written.is_some_and(|written| written.elapsed() < EVERY) {
            return Ok(());
        }
        write_atomic(path, |file| {
            writeln!(file, "{}", self.key)?;
            rows.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))
        })?;
        self.written = Some(Instant::now());
        Ok(())
    }

    /// Removes the file, once everything has been written or is of no use.
    ///
    /// # Errors
    /// Returns the error of the file system, with the path.
    pub fn remove(&self) -> Result<()> {
        self.path.as_deref().map_or(Ok(()), |path| remove_if_there(path).map(drop))
    }
}

/// Describes a file that another run left.
pub fn of_another_run(path: &Path) -> String {
    format!(
        "{} holds results for different weights, records, arguments or device; continue with those, choose another --out, or discard it with --restart",
        path.display()
    )
}

/// Reads the file, if there is one, up to `most` bytes and one more.
fn read(path: &Path, most: usize) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use ndarray::{array, s};

    fn open(out: &Path, key: &str, restart: bool) -> Result<Kept> {
        Kept::open(out, key.to_owned(), [3, 2], restart)
    }

    #[test]
    fn rows_wait_for_the_next_run_until_all_is_done() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("p.csv");
        let mut kept = open(&out, "ab", false).expect("nothing there");
        assert_eq!(kept.rows().dim(), (0, 2));
        let rows = array![[0.25, f64::NAN], [0.1 + 0.2, 1.0]];
        kept.keep(rows.slice(s![..1, ..])).expect("writes");
        // Too soon after the last write.
        kept.keep(rows.view()).expect("waits");
        let kept = open(&out, "ab", false).expect("the same run");
        let found = kept.rows();
        assert!(found.dim() == (1, 2) && found[[0, 0]] == 0.25 && found[[0, 1]].is_nan());
        kept.remove().expect("removes");
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 0);
    }

    #[test]
    fn rows_of_another_run_and_damaged_ones_are_refused_until_they_are_discarded() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("p.csv");
        let mut kept = open(&out, "ab", false).expect("nothing there");
        kept.keep(array![[0.5; 2]].view()).expect("writes");
        let error = |key: &str| open(&out, key, false).expect_err("refused").to_string();
        let text = error("cd");
        assert!(text.contains("p.csv.part holds") && text.contains("--restart"), "{text}");
        for bytes in [17, 64] {
            let text = format!("ab\n{}", "x".repeat(bytes));
            fs::write(dir.path().join("p.csv.part"), text).expect("writes");
            let text = error("ab");
            assert!(
                text.contains("p.csv.part is damaged") && text.contains("3 rows of 16"),
                "{text}"
            );
        }
        assert_eq!(open(&out, "ab", true).expect("discarded").rows().nrows(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_kept_beside_what_is_no_file() {
        let mut kept = open(Path::new("/dev/null"), "ab", false).expect("no file");
        kept.keep(array![[0.5; 2]].view()).expect("does nothing");
        assert!(!Path::new("/dev/null.part").exists());
        kept.remove().expect("does nothing");
    }
}
