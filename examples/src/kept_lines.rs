//! Keeps finished lines of results in a file beside the output, so that a run that ended for any reason can be
//! continued.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::kept::of_another_run;
use crate::{lock, remove_if_there, write_atomic};

/// Lines that are added to a file as they come, after a first line with the key of the run. The file is begun with
/// the first result.
#[derive(Debug)]
pub struct KeptLines {
    path: PathBuf,
    /// The key and a line break.
    first: String,
    file: Option<File>,
}

impl KeptLines {
    /// Opens what an earlier run of the same `key` left in `path`. With `restart`, nothing is taken over.
    ///
    /// `take` receives each whole line of results, without its line break, and says whether a result ends with it.
    /// Whatever follows the last result is cut off, such as a line that was torn when the run was killed.
    ///
    /// # Errors
    /// Returns an error if the lines belong to another run, if `take` refuses one, or if the file cannot be read or
    /// cut.
    pub fn open(
        path: &Path,
        key: &str,
        restart: bool,
        take: impl FnMut(&[u8]) -> Result<bool>,
    ) -> Result<Self> {
        let (path, first) = (path.to_owned(), format!("{key}\n"));
        let end = if restart { 0 } else { end_of_results(&path, first.as_bytes(), take)? };
        let mut kept = Self { path, first, file: None };
        if end > 0 {
            kept.file = Some(kept.cut(end)?);
        }
        Ok(kept)
    }

    /// Adds the lines of a result, each with its line break.
    ///
    /// # Errors
    /// Returns the error of the file system, with the path.
    pub fn add(&mut self, lines: &[u8]) -> Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = self.cut(0)?;
                file.write_all(self.first.as_bytes()).with_context(|| cannot_write(&self.path))?;
                file
            }
        };
        file.write_all(lines).with_context(|| cannot_write(&self.path))?;
        self.file = Some(file);
        Ok(())
    }

    /// Opens the file, cut off at `end`, and locks it: another run would write into the same lines.
    fn cut(&self, end: u64) -> Result<File> {
        let cannot_write = || cannot_write(&self.path);
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create(end == 0)
            .truncate(false)
            .open(&self.path)
            .with_context(cannot_write)?;
        lock(&file, &self.path)?;
        file.set_len(end).with_context(cannot_write)?;
        file.seek(SeekFrom::Start(end)).with_context(cannot_write)?;
        Ok(file)
    }

    /// Writes the lines of results to `out`, without the key. The file stays, so that the run can be continued.
    ///
    /// # Errors
    /// The errors of [`write_atomic`], or that of opening the file, with the path.
    pub fn copy_to(&self, out: &Path) -> Result<()> {
        let open = || -> io::Result<File> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.first.len() as u64))?;
            Ok(file)
        };
        let mut lines = open().with_context(|| format!("cannot read {}", self.path.display()))?;
        write_atomic(out, |file| io::copy(&mut lines, file).map(drop))
    }

    /// Removes the file, once everything has been written or is of no use.
    ///
    /// # Errors
    /// Returns the error of the file system, with the path.
    pub fn remove(self) -> Result<()> {
        drop(self.file);
        remove_if_there(&self.path).map(drop)
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// Returns where the last result of a file ends; 0 if there is no file, or not even a whole first line.
fn end_of_results(
    path: &Path,
    first: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<bool>,
) -> Result<u64> {
    let shown = path.display();
    let cannot_read = || format!("cannot read {shown}");
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).with_context(cannot_read),
    };
    let mut line = Vec::new();
    file.by_ref().take(first.len() as u64).read_to_end(&mut line).with_context(cannot_read)?;
    if line.len() < first.len() && first.starts_with(&line) {
        return Ok(0);
    }
    ensure!(line == first, of_another_run(path));
    let (mut at, mut end) = (first.len() as u64, first.len() as u64);
    for number in 2_u64.. {
        line.clear();
        at += file.read_until(b'\n', &mut line).with_context(cannot_read)? as u64;
        let Some(whole) = line.strip_suffix(b"\n") else { break };
        let ends = take(whole).with_context(|| {
            format!(
                "{shown}:{number}: cannot continue from this line; discard the file with --restart"
            )
        })?;
        if ends {
            end = at;
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    /// Opens the file and returns the lines that it took over. A result ends with a line that ends in a full stop.
    fn open(path: &Path, key: &str, restart: bool) -> Result<(KeptLines, Vec<String>)> {
        let mut found = Vec::new();
        let kept = KeptLines::open(path, key, restart, |line| {
            let line = String::from_utf8(line.to_vec())?;
            if line.contains('?') {
                bail!("a question");
            }
            let ends = line.ends_with('.');
            found.push(line);
            Ok(ends)
        })?;
        Ok((kept, found))
    }

    #[test]
    fn lines_wait_for_the_next_run_and_torn_results_are_cut_off() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, out) = (dir.path().join("x.partial"), dir.path().join("x"));
        let (mut kept, found) = open(&path, "ab", false).expect("nothing there");
        assert!(found.is_empty() && !path.exists());
        kept.add(b"one\ntwo.\n").expect("writes");
        drop(kept);
        let text = |path: &Path| std::fs::read_to_string(path).expect("reads");
        for torn in ["", "three", "three\n", "three\nfo", "\u{e9}"] {
            // The last one is torn within a letter.
            let bytes = [b"ab\none\ntwo.\n", torn.as_bytes()].concat();
            let cut = bytes.len() - usize::from(torn == "\u{e9}");
            std::fs::write(&path, &bytes[..cut]).expect("writes");
            let (kept, found) = open(&path, "ab", false).expect("the same run");
            assert_eq!(found[..2], ["one", "two."], "{torn}");
            kept.copy_to(&out).expect("copies");
            assert_eq!(text(&out), "one\ntwo.\n");
        }
        let (mut kept, _) = open(&path, "ab", false).expect("the same run");
        kept.add(b"five.\n").expect("writes");
        kept.copy_to(&out).expect("copies");
        assert_eq!(
            (text(&out), text(&path)),
            ("one\ntwo.\nfive.\n".into(), "ab\none\ntwo.\nfive.\n".into())
        );
        kept.remove().expect("removes");
        assert!(!path.exists());
    }

    #[test]
    fn lines_of_another_run_and_damaged_ones_are_refused_until_they_are_discarded() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.partial");
        let refused = |text: &str| {
            std::fs::write(&path, text).expect("writes");
            let error = open(&path, "ab", false).expect_err("refused");
            assert_eq!(std::fs::read_to_string(&path).expect("is still there"), text);
            format!("{error:#}")
        };
        for other in ["ac\none.\n", "{\"record\"", "abc\n"] {
            let error = refused(other);
            assert!(error.contains("x.partial holds results for different weights"), "{error}");
        }
        let error = refused("ab\none.\nwhat?\n");
        assert!(error.contains("x.partial:3: cannot continue from this line"), "{error}");
        let (mut kept, found) = open(&path, "ab", true).expect("discarded");
        assert!(found.is_empty());
        kept.add(b"four.\n").expect("writes");
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), "ab\nfour.\n");
        let error = open(&path, "ab", false).expect_err("the first run still has it");
        assert!(format!("{error:#}").contains("another process is using"), "{error:#}");
        let (mut second, _) = open(&path, "ab", true).expect("nothing is written yet");
        second.add(b"five.\n").expect_err("the first run still has it");
        kept.add(b"six.\n").expect("writes");
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), "ab\nfour.\nsix.\n");
        // A run that was killed before it had written its key.
        std::fs::write(&path, "a").expect("writes");
        assert!(open(&path, "ab", false).expect("begins").1.is_empty());
    }
}
