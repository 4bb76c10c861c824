//! The files that a data set is read from.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::walk::KNOWN_TABLES;
use super::{Dataset, Entry};
use crate::read::has_extension;
use crate::signal::{beside, renamed_file};
use crate::{ReadOptions, read_header};

impl Dataset {
    /// Returns the files that recording `i` is read from, each once.
    ///
    /// Its header or table comes first, followed by its signal files and by the headers of its segments with their
    /// signal files. A missing signal file is included, and so is the file read in its place. Files named by a header
    /// that cannot be read are unknown. Names that lead out of the header's folder are left out; links are returned as
    /// they are in the folder.
    ///
    /// # Panics
    /// Panics if `i` is not below [`Self::len`].
    pub fn files(&self, i: usize) -> Vec<PathBuf> {
        files_of(&self.entries[i].path)
    }

    /// Returns whether the data set is read from the file `path`: a file of a recording, or a table of labels, patients
    /// and folds.
    ///
    /// Also true of every file in the folder or below it that is called `labels.csv`, `ptbxl_database.csv` or
    /// `scp_statements.csv`, whether or not it is read: a later version of the data set may be read from it.
    ///
    /// Programs that write into a data folder call this first.
    pub fn reads(&self, path: impl AsRef<Path>) -> bool {
        self.reads_one_of(&[path]).is_some()
    }

    /// Returns one of the files `paths` that the data set is read from, if there is any; see [`Self::reads`].
    ///
    /// A table comes before the files of recordings. Of several paths to the same file, the first is returned. The
    /// headers of the recordings are read once for all of `paths`.
    pub fn reads_one_of<'a, P: AsRef<Path>>(&self, paths: &'a [P]) -> Option<&'a Path> {
        let mut wanted: BTreeMap<PathBuf, &'a Path> = BTreeMap::new();
        for path in paths {
            if let Ok(file) = fs::canonicalize(path) {
                wanted.entry(file).or_insert(path.as_ref());
            }
        }
        if wanted.is_empty() {
            return None;
        }
        let root = fs::canonicalize(&self.root);
        // A table at the root may be a link to a file of any name.
        let is_table = |file: &Path| {
            file.file_name().is_some_and(|name| KNOWN_TABLES.iter().any(|own| name == *own))
                && root.as_ref().is_ok_and(|root| file.starts_with(root))
        };
        let find = |file: &PathBuf| wanted.get(&fs::canonicalize(file).ok()?).copied();
        let tables = KNOWN_TABLES.iter().map(|name| self.root.join(name));
        let mut tables = tables.chain(self.options.labels_file.clone()).chain(self.ptbxl.clone());
        let table = wanted.iter().find(|(file, _)| is_table(file)).map(|(_, path)| *path);
        table.or_else(|| tables.find_map(|table| find(&table))).or_else(|| {
            self.entries.iter().find_map(|Entry { path, .. }| files_of(path).iter().find_map(find))
        })
    }
}

fn files_of(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    let mut known = HashSet::from([path.to_owned()]);
    let mut read = 0;
    // The headers of segments follow that of the record.
    while read < files.len() {
        let path = files[read].clone();
        read += 1;
        if !has_extension(&path, "hea") {
            continue;
        }
        let Ok((header, _)) = read_header(&path, &ReadOptions::default()) else { continue };
        let one_file = header.has_one_file();
        let signals = header.signals.iter().filter_map(|signal| {
            let file = beside(&path, &signal.file, signal.line).ok()?;
            let missing = one_file && !file.exists();
            let renamed = missing.then(|| renamed_file(&path, &file)).flatten();
            Some([Some(file), renamed])
        });
        let segments = header.segment_headers().map(|header| [Some(header), None]);
        let named: Vec<PathBuf> = signals.chain(segments).flatten().flatten().collect();
        files.extend(named.into_iter().filter(|file| known.insert(file.clone())));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DatasetOptions;

    #[test]
    fn the_files_of_a_recording_are_those_that_are_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path();
        let write = |name: &str, text: &str| fs::write(data.join(name), text).expect("writes");
        // A renamed record, with its signal file.
        write("S7.hea", "JS7 1 500 2\nJS7.dat 16\n");
        write("S7.dat", "four");
        // The file with the header's name is not read in place of one of several.
        write("T.hea", "T 2 500 1\nA.dat 16\nB.dat 16\n");
        write("T.dat", "four");
        // Segments, one of them twice, and names that are rejected.
        write("m.hea", "m/5 1 500 10\na 2\na 2\n~ 2\n../x 2\n/y 2\n");
        write("a.hea", "a 1 500 2\na.dat 16\n");
        write("a.dat", "four");
        write("table.csv", "I,II\n1,2\n");
        write("labels.csv", "record,AF\nS7,1\n");
        write("other.txt", "");
        let dataset = Dataset::open(data, &DatasetOptions::default()).expect("opens");
        let files = |name: &str| -> Vec<PathBuf> {
            let files = dataset.files(dataset.index_of(name).expect("is there"));
            files.iter().map(|file| file.strip_prefix(data).expect("below").to_owned()).collect()
        };
        let expected = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(files("S7"), expected(&["S7.hea", "JS7.dat", "S7.dat"]));
        assert_eq!(files("T"), expected(&["T.hea", "A.dat", "B.dat"]));
        assert_eq!(files("m"), expected(&["m.hea", "a.hea", "a.dat"]));
        assert_eq!(files("table"), expected(&["table.csv"]));
        for (name, reads) in [
            ("S7.dat", true),
            ("a.dat", true),
            ("labels.csv", true),
            ("table.csv", true),
            ("other.txt", false),
            ("new.csv", false),
        ] {
            assert_eq!(dataset.reads(data.join(name)), reads, "{name}");
        }
        let [table, other, new] = ["table.csv", "other.txt", "new.csv"].map(|name| data.join(name));
        assert_eq!(dataset.reads_one_of(&[&new, &table, &other]), Some(table.as_path()));
        assert_eq!(dataset.reads_one_of(&[&new, &other]), None);
        // Neither their order nor chance decides between several files.
        fs::create_dir(data.join("sub")).expect("makes");
        let tables =
            ["labels.csv", "scp_statements.csv", "sub/labels.csv", "sub/scp_statements.csv"];
        tables[1..].iter().for_each(|name| write(name, ""));
        let mut tables = tables.map(|name| data.join(name));
        let first = tables[0].clone();
        tables.reverse();
        for _ in 0..8 {
            assert_eq!(dataset.reads_one_of(&tables), Some(first.as_path()));
        }
        let spellings = [data.join("sub/../table.csv"), table];
        assert_eq!(dataset.reads_one_of(&spellings), Some(spellings[0].as_path()));
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_table_is_read_where_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let (data, table) = (dir.path().join("data"), dir.path().join("truth.csv"));
        fs::create_dir(&data).expect("makes");
        fs::write(data.join("a.csv"), "I,II\n1,2\n").expect("writes");
        fs::write(&table, "record,AF\na,1\n").expect("writes");
        std::os::unix::fs::symlink(&table, data.join("labels.csv")).expect("links");
        let mut options = DatasetOptions::default();
        options.read.allow_outside_links = true;
        let dataset = Dataset::open(&data, &options).expect("opens");
        assert_eq!(dataset.labels(0), Some(&[true][..]));
        assert!(dataset.warnings().is_empty());
        assert!(dataset.reads(&table) && dataset.reads(data.join("labels.csv")));

        let (ptbxl, link) = (dir.path().join("ptbxl.csv"), data.join("p/ptbxl_database.csv"));
        fs::create_dir(data.join("p")).expect("makes");
        fs::write(&ptbxl, "scp_codes,filename_hr\n{},b\n").expect("writes");
        std::os::unix::fs::symlink(&ptbxl, &link).expect("links");
        let dataset = Dataset::open(&data, &options).expect("opens");
        assert!(dataset.reads(&ptbxl) && dataset.reads(&link));
    }
}
