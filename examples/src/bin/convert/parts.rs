//! The folder `FILE.parts/`: finished rows and a journal, so that a run that ended can be continued.
//!
//! ```text
//! run.json        what the rows are of: configuration, stage, data; a run of anything else is refused
//! journal.jsonl   one line a part, written when the part's rows are safely on disk
//! 000000.rows     values of the records of part 0, as they will stand in the array
//! lock            held by the process that works here
//! ```

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ecg3d_examples::{Progress, remove_if_there, sha256, write_json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::again::Stamp;

/// A part ends when it holds this many bytes or this many records, or is this old.
const PART_BYTES: usize = 16 << 20;
const PART_RECORDS: usize = 1024;
const PART_AGE: Duration = Duration::from_secs(1);

const RUN: &str = "run.json";
const JOURNAL: &str = "journal.jsonl";
const LOCK: &str = "lock";
/// The result, before it gets its final name.
const STAGING: &str = "result.tmp";
/// The journal, while records are done again.
const RENEWED: &str = "journal.tmp";

/// The result of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub record: String,
    /// Number of rows in the array; 0 if the record failed.
    pub rows: usize,
    /// Number of real samples of the prepared signal.
    pub length: usize,
    /// SHA-256 of its rows.
    pub sha256: String,
    /// The files that the record was read from.
    pub files: Vec<Stamp>,
    /// 0 or 1 for each label, if known.
    pub labels: Option<Vec<u8>>,
    pub patient: Option<String>,
    pub fold: Option<u32>,
    pub warnings: Vec<String>,
    /// Why the record could not be converted.
    pub failed: Option<String>,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Number of the part's file. Once records were done again, numbers are not in the order of the parts.
    pub part: usize,
    /// Number of bytes in the part's file. A part without bytes has no file.
    pub bytes: usize,
    pub items: Vec<Item>,
}

/// The parts of one result.
pub struct Parts {
    /// The file that the result becomes.
    target: PathBuf,
    folder: PathBuf,
    journal: File,
    /// Kept open, because closing it releases the lock.
    _lock: File,
    /// Number of bytes in a row.
    row_bytes: usize,
    /// Number of the next part.
    next: usize,
    /// Number of records in the journal.
    done: usize,
    /// The part that is being filled.
    items: Vec<Item>,
    values: Vec<u8>,
    begun: Instant,
}

impl Parts {
    /// Opens the folder beside `target`, or creates it.
    ///
    /// `run` describes what the rows are of, `names` lists the records to come, in order. What an unfinished
    /// run of the same kind left is checked and kept.
    pub fn open(
        target: &Path,
        run: &Map<String, Value>,
        names: &[&str],
        row_bytes: usize,
        restart: bool,
    ) -> Result<Self> {
        let mut folder = target.as_os_str().to_owned();
        folder.push(".parts");
        let folder = PathBuf::from(folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let lock = lock(&folder)?;
        let card = folder.join(RUN);
        if restart {
            empty(&folder)?;
        }
        if card.exists() {
            check_card(&card, run)?;
        } else {
            // Rows without a card belong to nothing, because the card is written first and removed last.
            empty(&folder)?;
            write_json(&card, run)?;
        }
        let path = folder.join(JOURNAL);
        let journal = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let mut parts = Self {
            target: target.to_owned(),
            folder,
            journal,
            _lock: lock,
            row_bytes,
            next: 0,
            done: 0,
            items: Vec::new(),
            values: Vec::new(),
            begun: Instant::now(),
        };
        parts.remove_staging();
        parts.take_up(names)?;
        Ok(parts)
    }

    /// Reads the journal as far as it and the parts are intact, and cuts off the rest.
    fn take_up(&mut self, names: &[&str]) -> Result<()> {
        let path = self.folder.join(JOURNAL);
        let shown = path.display();
        let size = self.journal.metadata().with_context(|| format!("cannot read {shown}"))?.len();
        let progress = Progress::new(size, "bytes of the journal checked");
        let mut good = 0;
        let mut parts = 0;
        let mut reader = BufReader::new(&self.journal);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader
                .read_until(b'\n', &mut line)
                .with_context(|| format!("cannot read {shown}"))?;
            if read == 0 {
                break;
            }
            // The last line may have been cut short when the run was ended.
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let part = serde_json::from_slice::<Part>(text).map_err(anyhow::Error::from);
            let checked = part.and_then(|part| self.check(&part, names).map(|()| part));
            match checked {
                Ok(part) => {
                    parts += 1;
                    self.next = self.next.max(part.part + 1);
                    self.done += part.items.len();
                    good += read as u64;
                    progress.inc(read as u64);
                }
                Err(error) => {
                    progress.line(&format!(
                        "warning: {shown}, line {}: {error:#}; the records from there on are converted again",
                        parts + 1
                    ));
                    break;
                }
            }
        }
        progress.finish();
        let mut write = || {
            self.journal.set_len(good)?;
            self.journal.seek(SeekFrom::End(0))
        };
        write().with_context(|| format!("cannot write {shown}"))?;
        Ok(())
    }

    /// Checks that a part continues those before it and that its rows are what was written.
    fn check(&self, part: &Part, names: &[&str]) -> Result<()> {
        let expected = names.get(self.done..self.done + part.items.len());
        let same = expected.is_some_and(|names| {
            part.items.iter().zip(names).all(|(item, name)| item.record == *name)
        });
        ensure!(same && !part.items.is_empty(), "its records are not the next ones of this run");
        let bytes: usize = part.items.iter().map(|item| item.rows * self.row_bytes).sum();
        ensure!(part.bytes == bytes, "found {} bytes, expected {bytes}", part.bytes);
        let values = rows_of(&self.folder, part)?;
        let path = self.rows_path(part.part);
        let shown = path.display();
        ensure!(values.len() == bytes, "{shown} has {} bytes, expected {bytes}", values.len());
        let mut rest = values.as_slice();
        for item in &part.items {
            let (own, behind) = rest.split_at(item.rows * self.row_bytes);
            rest = behind;
            ensure!(
                item.rows == 0 || sha256(own) == item.sha256,
                "{shown}: the rows of record {} do not match their checksum",
                item.record
            );
        }
        Ok(())
    }

    /// Returns the number of records that are done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Returns the file that the result becomes.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path at which the result is put together.
    pub fn staging(&self) -> PathBuf {
        self.folder.join(STAGING)
    }

    /// Removes a result that was given up, which would only fill the disk.
    pub fn remove_staging(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "tmp") {
                // The original error matters more than a file that cannot be removed.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Adds a record with the values of all its rows.
    pub fn push(&mut self, item: Item, values: Vec<u8>) -> Result<()> {
        debug_assert_eq!(values.len(), item.rows * self.row_bytes);
        if self.values.len() + values.len() > PART_BYTES {
            self.close()?;
        }
        if self.items.is_empty() {
            self.begun = Instant::now();
        }
        self.items.push(item);
        if self.values.is_empty() {
            // The rows of a long record are in memory only once.
            self.values = values;
        } else {
            self.values.extend_from_slice(&values);
        }
        if self.values.len() >= PART_BYTES
            || self.items.len() >= PART_RECORDS
            || self.begun.elapsed() >= PART_AGE
        {
            self.close()?;
        }
        Ok(())
    }

    /// Ends the part: writes its rows to disk, then its line to the journal.
    pub fn close(&mut self) -> Result<()> {
        if self.items.is_empty() {
            return Ok(());
        }
        if !self.values.is_empty() {
            let path = self.rows_path(self.next);
            let write = || -> std::io::Result<()> {
                let mut file = File::create(&path)?;
                file.write_all(&self.values)?;
                file.sync_all()?;
                sync_folder(&self.folder)
            };
            write().with_context(|| format!("cannot write {}", path.display()))?;
        }
        let items = std::mem::take(&mut self.items);
        let part = Part { part: self.next, bytes: self.values.len(), items };
        self.next += 1;
        // Replaced rather than cleared, so that the memory of a long record is freed.
        self.values = Vec::new();
        self.log(&part)
    }

    /// Adds a part to the journal.
    fn log(&mut self, part: &Part) -> Result<()> {
        let mut line = serde_json::to_vec(part)?;
        line.push(b'\n');
        let mut write = || {
            self.journal.write_all(&line)?;
            self.journal.sync_data()
        };
        write().with_context(|| format!("cannot write {}", self.folder.join(JOURNAL).display()))?;
        self.done += part.items.len();
        Ok(())
    }

    /// Does the records of the journal at `places`, which are sorted, again. `convert` delivers them in this
    /// order.
    ///
    /// The journal stays as it was until all are done.
    pub fn renew(
        &mut self,
        places: &[usize],
        mut convert: impl FnMut(&[usize], &mut Deliver<'_>) -> Result<()>,
    ) -> Result<()> {
        self.close()?;
        let (path, renewed) = (self.folder.join(JOURNAL), self.folder.join(RENEWED));
        let shown = path.display();
        let old = self.read()?;
        self.journal = File::create(&renewed)
            .with_context(|| format!("cannot write {}", renewed.display()))?;
        self.done = 0;
        let mut replaced = Vec::new();
        let (mut from, mut rest) = (0, places);
        for part in old {
            let part = part?;
            let to = from + part.items.len();
            let (own, behind) = rest.split_at(rest.partition_point(|&place| place < to));
            rest = behind;
            if own.is_empty() {
                self.close()?;
                self.log(&part)?;
            } else {
                self.renew_part(&part, from, own, &mut convert)?;
                replaced.extend((part.bytes > 0).then_some(part.part));
            }
            from = to;
        }
        self.close()?;
        fs::rename(&renewed, &path)
            .and_then(|()| sync_folder(&self.folder))
            .with_context(|| format!("cannot write {shown}"))?;
        for part in replaced {
            let path = self.rows_path(part);
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    /// Writes the records of a part, starting at the place `from`, with those at `places` done again.
    fn renew_part(
        &mut self,
        part: &Part,
        from: usize,
        places: &[usize],
        convert: &mut impl FnMut(&[usize], &mut Deliver<'_>) -> Result<()>,
    ) -> Result<()> {
        let values = rows_of(&self.folder, part)?;
        let row_bytes = self.row_bytes;
        let mut items = part.items.iter().zip(from..);
        let mut rest = values.as_slice();
        let mut old = || {
            let (item, place) = items.next()?;
            let (own, behind) = rest.split_at(item.rows * row_bytes);
            rest = behind;
            Some((item, place, own))
        };
        let mut awaited = places.iter();
        convert(places, &mut |item, values| {
            let awaited = awaited.next();
            while let Some((kept, place, own)) = old() {
                if Some(&place) == awaited {
                    break;
                }
                self.push(kept.clone(), own.to_vec())?;
            }
            self.push(item, values)
        })?;
        while let Some((kept, _, own)) = old() {
            self.push(kept.clone(), own.to_vec())?;
        }
        Ok(())
    }

    /// Reads the journal, part after part, as far as it was written by [`Parts::close`].
    pub fn read(&self) -> Result<impl Iterator<Item = Result<Part>> + use<>> {
        let path = self.folder.join(JOURNAL);
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(BufReader::with_capacity(1 << 18, file).split(b'\n').map(move |line| {
            let line = line.with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_slice(&line).with_context(|| format!("{} is damaged", path.display()))
        }))
    }

    /// Reads all rows, part after part.
    pub fn rows(&self) -> Result<impl Iterator<Item = Result<Vec<u8>>> + use<>> {
        let folder = self.folder.clone();
        Ok(self.read()?.map(move |part| rows_of(&folder, &part?)))
    }

    /// Removes the folder, once the result has its final name.
    pub fn remove(self) -> Result<()> {
        empty(&self.folder)?;
        let path = self.folder.join(LOCK);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        fs::remove_dir(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))
    }

    fn rows_path(&self, part: usize) -> PathBuf {
        rows_path(&self.folder, part)
    }
}

/// Takes a record with the values of its rows.
pub type Deliver<'a> = dyn FnMut(Item, Vec<u8>) -> Result<()> + 'a;

fn rows_path(folder: &Path, part: usize) -> PathBuf {
    folder.join(format!("{part:06}.rows"))
}

/// Reads the rows of a part.
fn rows_of(folder: &Path, part: &Part) -> Result<Vec<u8>> {
    if part.bytes == 0 {
        return Ok(Vec::new());
    }
    let path = rows_path(folder, part.part);
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Makes sure that a file created in a folder is still found there after a power failure.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    // On other systems, folders cannot be opened as files.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Locks the folder, because two runs that write the same file would damage each other's parts.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    ecg3d_examples::lock(&file, folder)?;
    Ok(file)
}

/// Removes what runs leave behind, the card last, and nothing else.
fn empty(folder: &Path) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == LOCK || name == RUN {
            continue;
        }
        ensure!(
            name == JOURNAL || name.ends_with(".rows") || name.ends_with(".tmp"),
            "{} was not written by convert; move it elsewhere",
            path.display()
        );
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    remove_if_there(&folder.join(RUN))?;
    Ok(())
}

/// Refuses parts of another run, and says how that run differs.
fn check_card(path: &Path, run: &Map<String, Value>) -> Result<()> {
    const REMEDY: &str = "continue with the arguments of that run, choose another --out, or discard its rows with --restart";
    let shown = path.display();
    let text = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    let found: Map<String, Value> = serde_json::from_slice(&text)
        .with_context(|| format!("{shown} is damaged; discard the parts with --restart"))?;
    let absent = Value::Null;
    let of = |card: &Map<String, Value>, key: &str| card.get(key).unwrap_or(&absent).clone();
    if of(&found, "config_hash") != of(run, "config_hash") {
        bail!(
            "{shown} belongs to a run with configuration {}, but this one has {}; {REMEDY}",
            of(&found, "config_hash"),
            of(run, "config_hash")
        );
    }
    for key in run.keys().chain(found.keys()) {
        let (theirs, own) = (of(&found, key), of(run, key));
        if theirs != own {
            bail!(
                "{shown} belongs to a run that differs in {key}: found {theirs}, expected {own}; {REMEDY}"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn run(hash: &str) -> Map<String, Value> {
        Map::from_iter([
            ("config_hash".to_owned(), hash.into()),
            ("stage".to_owned(), "images".into()),
        ])
    }

    fn open(dir: &TempDir, restart: bool) -> Result<Parts> {
        Parts::open(&dir.path().join("x.npz"), &run("one"), &NAMES, 2, restart)
    }

    fn item(record: &str, values: &[u8]) -> Item {
        Item {
            record: record.to_owned(),
            rows: values.len() / 2,
            length: 1,
            sha256: sha256(values),
            files: Vec::new(),
            labels: None,
            patient: None,
            fold: None,
            warnings: Vec::new(),
            failed: values.is_empty().then(|| "short".to_owned()),
        }
    }

    /// A folder with two parts of one record each.
    fn two_parts() -> TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        let mut parts = open(&dir, false).expect("new parts");
        for (name, values) in [("a", [1, 2]), ("b", [3, 4])] {
            parts.push(item(name, &values), values.to_vec()).expect("writes");
            parts.close().expect("writes");
        }
        // What a killed process did not finish does not count.
        parts.push(item("c", &[5, 6]), vec![5, 6]).expect("takes it up");
        dir
    }

    fn rows(parts: &Parts) -> Vec<u8> {
        parts.rows().expect("opens").flat_map(|rows| rows.expect("reads")).collect()
    }

    #[test]
    fn parts_are_taken_up_and_go_away() {
        let dir = two_parts();
        let mut parts = open(&dir, false).expect("the same run");
        assert_eq!((parts.done(), rows(&parts)), (2, vec![1, 2, 3, 4]));
        fs::write(parts.staging(), "half a result").expect("writes");
        parts.remove_staging();
        assert!(!parts.staging().exists());
        assert!(
            open(&dir, false).is_err_and(|error| error.to_string().contains("another process"))
        );
        parts.push(item("c", &[]), Vec::new()).expect("takes it up");
        parts.close().expect("writes");
        let items: Vec<Item> =
            parts.read().expect("opens").flat_map(|part| part.expect("reads").items).collect();
        assert_eq!(items.iter().map(|item| item.record.as_str()).collect::<String>(), "abc");
        assert_eq!(items[2].failed.as_deref(), Some("short"));
        parts.remove().expect("removes");
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    }

    #[test]
    fn a_torn_line_and_rows_without_a_line_are_done_again() {
        let dir = two_parts();
        let journal = dir.path().join("x.npz.parts").join(JOURNAL);
        let text = fs::read(&journal).expect("reads");
        fs::write(&journal, &text[..text.len() - 5]).expect("tears the last line");
        let mut parts = open(&dir, false).expect("the same run");
        assert_eq!(parts.done(), 1);
        for (name, values) in [("b", [7, 8]), ("c", [9, 9])] {
            parts.push(item(name, &values), values.to_vec()).expect("writes");
        }
        parts.close().expect("writes");
        assert_eq!(rows(&parts), [1, 2, 7, 8, 9, 9]);
        drop(parts);
        assert_eq!(open(&dir, false).expect("the same run").done(), 3);
    }

    #[test]
    fn rows_that_are_not_what_was_written_are_done_again() {
        let dir = two_parts();
        fs::write(dir.path().join("x.npz.parts/000001.rows"), [3, 5]).expect("damages a part");
        assert_eq!(open(&dir, false).expect("the same run").done(), 1);
        fs::remove_file(dir.path().join("x.npz.parts/000000.rows")).expect("loses a part");
        assert_eq!(open(&dir, false).expect("the same run").done(), 0);
    }

    #[test]
    fn records_are_done_again_in_their_places() {
        let dir = two_parts();
        let mut parts = open(&dir, false).expect("the same run");
        parts.push(item("c", &[]), Vec::new()).expect("takes it up");
        // The second grows, the third no longer fails.
        parts
            .renew(&[1, 2], |places, deliver| {
                for place in places {
                    let values = [vec![], vec![7, 8, 9, 9], vec![1, 1]][*place].clone();
                    deliver(item(NAMES[*place], &values), values)?;
                }
                Ok(())
            })
            .expect("writes");
        assert_eq!((parts.done(), rows(&parts)), (3, vec![1, 2, 7, 8, 9, 9, 1, 1]));
        drop(parts);
        let mut parts = open(&dir, false).expect("the same run");
        assert_eq!((parts.done(), rows(&parts)), (3, vec![1, 2, 7, 8, 9, 9, 1, 1]));
        // A renewal that is given up changes nothing.
        parts.renew(&[0], |_, _| bail!("ended")).expect_err("was ended");
        drop(parts);
        let parts = open(&dir, false).expect("the same run");
        assert_eq!((parts.done(), rows(&parts)), (3, vec![1, 2, 7, 8, 9, 9, 1, 1]));
    }

    #[test]
    fn parts_of_another_run_are_refused_or_discarded() {
        let dir = two_parts();
        let target = dir.path().join("x.npz");
        let text = |run: &Map<String, Value>| {
            let error = Parts::open(&target, run, &NAMES, 2, false).err().expect("another run");
            error.to_string()
        };
        let other = text(&run("two"));
        assert!(other.contains("\"one\"") && other.contains("\"two\""), "{other}");
        assert!(other.ends_with("--restart"), "{other}");
        let mut volumes = run("one");
        volumes.insert("stage".to_owned(), "volume".into());
        let other = text(&volumes);
        assert!(
            other.contains("differs in stage: found \"images\", expected \"volume\""),
            "{other}"
        );
        let parts = Parts::open(&target, &volumes, &NAMES, 2, true).expect("starts anew");
        assert_eq!(parts.done(), 0);
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("x.npz.parts");
        fs::create_dir(&folder).expect("makes");
        fs::write(folder.join("thesis.txt"), "mine").expect("writes");
        let error = open(&dir, true).err().expect("a strange file");
        assert!(error.to_string().ends_with("move it elsewhere"), "{error}");
        assert!(folder.join("thesis.txt").exists());
    }
}
