//! Matches the rows of a table to records by name.

use std::borrow::Cow;
use std::path::Path;

use ecg_core::LabelSet;
use ndarray::Array2;

use super::map::{LabelMap, NsrRule};
use super::table::{RecordTable, extension_of, full_name};
use crate::warning::Notes;
use crate::{IoError, Warning};

/// The row of a [`RecordTable`] that belongs to a record; see [`RecordTable::match_records`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowMatch {
    /// The row with this number has the record's name.
    Name(usize),
    /// The row with this number has the record's base name, which no other row and no other record has.
    BaseName(usize),
    /// Several rows have the record's name, or a row goes by its base name, which other rows or records have, too.
    Ambiguous,
    /// No row belongs to the record.
    Absent,
}

impl RowMatch {
    /// Returns the number of the row, if one row belongs to the record.
    pub fn row(self) -> Option<usize> {
        match self {
            Self::Name(row) | Self::BaseName(row) => Some(row),
            Self::Ambiguous | Self::Absent => None,
        }
    }
}

impl<T> RecordTable<T> {
    /// Returns the row of each of these records.
    ///
    /// A row matches the record with the same name. Otherwise it matches by base name, if exactly one record and one row
    /// have that base name. Both names of a row of PTB-XL's table count. A name that ends with the extension of a file is
    /// sought with it first, and then without it.
    ///
    /// ```
    /// use ecg_io::RowMatch::{Absent, Ambiguous, BaseName, Name};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("predictions.csv");
    /// std::fs::write(&path, "record,AF\na/1.hea,0.5\nother/2,0.25\n3,0.75\n")?;
    /// let table = ecg_io::read_probabilities(&path)?;
    /// let matches = table.match_records(&["a/1", "b/1", "a/2", "a/3", "b/3"]);
    /// assert_eq!(matches, [Name(0), Absent, BaseName(1), Ambiguous, Ambiguous]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn match_records(&self, names: &[impl AsRef<str>]) -> Vec<RowMatch> {
        self.matches(names).records
    }

    /// Returns the same as [`Self::match_records`], together with the use of each row.
    pub fn matches(&self, names: &[impl AsRef<str>]) -> Matches {
        let rows = self.rows.iter().enumerate();
        let row_names = rows.flat_map(|(k, row)| RowName::all(k, row.names()));
        Matches::new(row_names, self.rows.len(), names)
    }

    /// Returns warnings about rows that belong to no record, and about rows that name another folder than their
    /// record's.
    ///
    /// `matches` are those of the records with these `names`, and `place` says where the records are.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("predictions.csv");
    /// std::fs::write(&path, "record,AF\na/1,0.5\nother/2,0.25\n3,0.75\n")?;
    /// let table = ecg_io::read_probabilities(&path)?;
    /// let names = ["a/1", "a/2", "a/3", "b/3"];
    /// let warnings = table.row_warnings(&table.matches(&names), &names, "of the study")?;
    /// let messages: Vec<&str> = warnings.iter().map(|warning| warning.message.as_str()).collect();
    /// assert_eq!(messages[0], "1 rows name other folders and are matched by base name: other/2");
    /// assert_eq!(messages[1], "1 rows match several records of the study: 3");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Fails if two rows name the same record, at least one of them with an extension.
    ///
    /// # Panics
    /// Panics if `matches` belongs to other names or another table and has numbers that are too large for these.
    pub fn row_warnings(
        &self,
        matches: &Matches,
        names: &[impl AsRef<str>],
        place: &str,
    ) -> Result<Vec<Warning>, IoError> {
        matches.row_warnings(&self.path, |row| self.rows[row].names(), names, place)
    }

    /// Returns the values `[record, label]` of these records and labels, in their order.
    ///
    /// Rows are matched as by [`Self::match_records`]. Other rows and columns are left out.
    ///
    /// ```
    /// use ecg_io::ecg_core::LabelSet;
    /// use ecg_io::ndarray::array;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("predictions.csv");
    /// std::fs::write(&path, "record,AF,SB\na/1,0.5,0.25\na/2,0.75,1\n")?;
    /// let table = ecg_io::read_probabilities(&path)?;
    /// let labels = LabelSet::new(["SB", "AF"])?;
    /// assert_eq!(table.aligned(&["a/2", "1"], &labels)?, array![[1.0, 0.75], [0.25, 0.5]]);
    /// let error = table.aligned(&["a/3"], &labels).unwrap_err();
    /// assert!(error.to_string().ends_with("record \"a/3\": found no row, expected one"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the table lacks a label, if no row belongs to a record, or if several may.
    ///
    /// # Panics
    /// Panics if a row has been given fewer values than the table has labels.
    pub fn aligned(
        &self,
        names: &[impl AsRef<str>],
        labels: &LabelSet,
    ) -> Result<Array2<T>, IoError>
    where
        T: Clone,
    {
        let column = |label: &String| {
            self.labels.index_of(label).ok_or_else(|| IoError::NoSuchLabel {
                path: self.path.clone(),
                label: label.clone(),
                found: self.labels.to_string(),
            })
        };
        let columns = labels.as_slice().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let rows = names.iter().zip(self.match_records(names)).map(|(name, found)| {
            found.row().ok_or_else(|| IoError::NoSuchRow {
                path: self.path.clone(),
                record: name.as_ref().to_owned(),
                ambiguous: found == RowMatch::Ambiguous,
            })
        });
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let value = |(n, k): (usize, usize)| self.rows[rows[n]].values[columns[k]].clone();
        Ok(Array2::from_shape_fn((rows.len(), columns.len()), value))
    }
}

/// The names of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowNames<'a> {
    pub line: u64,
    pub record: &'a str,
    pub extension: &'a str,
    /// That of a row of PTB-XL's table at the other rate.
    pub other: Option<&'a str>,
}

impl<'a> RowNames<'a> {
    fn full(&self) -> Cow<'a, str> {
        full_name(self.record, self.extension)
    }
}

/// A name of a row: rows of PTB-XL's table have two.
#[derive(Debug, Clone)]
pub(crate) struct RowName<'a> {
    row: usize,
    /// With its extension, if it has one.
    full: Cow<'a, str>,
    /// Its length without.
    stem: usize,
}

impl<'a> RowName<'a> {
    /// Returns the names of a row.
    pub fn all(row: usize, names: RowNames<'a>) -> impl Iterator<Item = Self> + Clone + use<'a> {
        let name = |full: Cow<'a, str>| {
            let stem = full.len() - extension_of(&full).len();
            Self { row, full, stem }
        };
        let other = names.other.map(|other| name(Cow::Borrowed(other)));
        std::iter::once(name(names.full())).chain(other)
    }
}

impl RecordTable<bool> {
    /// Returns a warning for each rule about diagnosis codes that is not the default and has no effect, because the
    /// table has no codes.
    pub fn rule_warnings(&self, map: &LabelMap, rule: NsrRule) -> Vec<Warning> {
        let mut notes = Notes::new(&self.path, false);
        if !self.from_codes && rule != NsrRule::default() {
            notes.remark(None, "NSR", format!("the NSR rule {rule} does not affect label files"));
        }
        if !self.from_codes && *map != LabelMap::default() {
            let message = format!("the label map {} does not affect label files", map.name());
            notes.remark(None, "label map", message);
        }
        notes.warnings
    }
}

/// How a row was used; see [`RecordTable::matches`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RowUse {
    /// For one record, or for one record by each of its names.
    Used,
    /// It has the name of a record that this earlier row has, too.
    Double(usize),
    /// Its base name is that of several records.
    Several,
    /// Other rows match its record by base name as well.
    Rival,
    /// No record matches that is not named by another row.
    Absent,
}

/// The rows of records, and the use of rows; see [`RecordTable::matches`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Matches {
    /// The row of each record.
    pub records: Vec<RowMatch>,
    /// The use of each row.
    pub rows: Vec<RowUse>,
}

impl Matches {
    /// Takes back all matches by base name, which may be wrong if there are further records whose names are unknown.
    ///
    /// Rows that have only the base name of a record are then [`RowUse::Absent`]. Returns whether there are any.
    pub fn drop_base_names(&mut self) -> bool {
        let mut named = vec![false; self.rows.len()];
        for found in &mut self.records {
            match found {
                RowMatch::Name(row) => named[*row] = true,
                RowMatch::BaseName(_) => *found = RowMatch::Absent,
                _ => {}
            }
        }
        let mut dropped = false;
        for (used, named) in self.rows.iter_mut().zip(named) {
            if !named && matches!(used, RowUse::Used | RowUse::Several | RowUse::Rival) {
                *used = RowUse::Absent;
                dropped = true;
            }
        }
        dropped
    }

    /// Returns the warnings of [`RecordTable::row_warnings`] about the table `path`. `row` returns the names of a row.
    pub(crate) fn row_warnings<'r>(
        &self,
        path: &Path,
        row: impl Fn(usize) -> RowNames<'r>,
        names: &[impl AsRef<str>],
        place: &str,
    ) -> Result<Vec<Warning>, IoError> {
        let shown = |k: usize| (row(k).line, row(k).full().into_owned());
        let (mut absent, mut several, mut rivals) = (Vec::new(), Vec::new(), Vec::new());
        for (k, used) in self.rows.iter().enumerate() {
            match *used {
                RowUse::Used => {}
                RowUse::Double(first) => {
                    let ((line, record), first) = (shown(k), row(first).line);
                    let path = path.to_owned();
                    return Err(IoError::DuplicateRow { path, line, record, first });
                }
                RowUse::Several => several.push(shown(k)),
                RowUse::Rival => rivals.push(shown(k)),
                RowUse::Absent => absent.push(shown(k)),
            }
        }
        let mut elsewhere = Vec::new();
        for (record, found) in self.records.iter().enumerate() {
            let RowMatch::BaseName(k) = *found else { continue };
            let (own, name) = (row(k), names[record].as_ref());
            let full = own.full();
            // Neither a bare name nor a path from another root.
            let mut all = [own.record, &*full].into_iter().chain(own.other);
            if !all.any(|own| may_be_the_same(own, name)) {
                elsewhere.push(shown(k));
            }
        }
        // A row may be that of two records, one at each rate of PTB-XL.
        elsewhere.sort();
        elsewhere.dedup();
        let mut notes = Notes::new(path, false);
        notes.rows(&absent, &format!("rows match no record {place}"));
        notes.rows(&elsewhere, "rows name other folders and are matched by base name");
        notes.rows(&several, &format!("rows match several records {place}"));
        notes.rows(&rivals, "rows match a record by a base name that other rows share");
        Ok(notes.warnings)
    }

    /// Matches rows, each with all its names, to the records with these names.
    pub(crate) fn new<'a>(
        row_names: impl Iterator<Item = RowName<'a>> + Clone,
        n_rows: usize,
        names: &[impl AsRef<str>],
    ) -> Self {
        let by_name = Sorted::new(names, |name| name);
        let by_base = Sorted::new(names, base_name);
        let target_of = |own: &RowName<'_>| {
            // What looks like an extension may be the end of the record's own name.
            let names = [&*own.full, &own.full[..own.stem]];
            let same = names.into_iter().find_map(|name| by_name.find(name));
            let of_base = || names.into_iter().find_map(|name| by_base.find(base_name(name)));
            same.map(Target::Name).or_else(|| of_base().map(Target::Base))
        };
        // By the first record of a name or base name.
        let mut rows_named: Vec<Option<Number>> = vec![None; names.len()];
        let mut rows_of_base: Vec<Option<Number>> = vec![None; names.len()];
        for own in row_names.clone() {
            match target_of(&own) {
                Some(Target::Name(record)) => {
                    rows_named[record.first].get_or_insert(Number::one(own.row)).add(own.row)
                }
                Some(Target::Base(record)) => {
                    rows_of_base[record.first].get_or_insert(Number::one(own.row)).add(own.row)
                }
                None => {}
            }
        }
        let row_of = |name: &str| {
            let (same, base) = (by_name.find(name), by_base.find(base_name(name)));
            let named = same.and_then(|record| rows_named[record.first]);
            let of_base = base.and_then(|record| rows_of_base[record.first]);
            let is_only = base.is_some_and(|record| !record.several);
            match (named, of_base) {
                (Some(row), _) if !row.several => RowMatch::Name(row.first),
                (None, Some(row)) if !row.several && is_only => RowMatch::BaseName(row.first),
                (None, None) => RowMatch::Absent,
                _ => RowMatch::Ambiguous,
            }
        };
        let records: Vec<RowMatch> = names.iter().map(|name| row_of(name.as_ref())).collect();
        let mut rows = vec![RowUse::Absent; n_rows];
        for own in row_names {
            let used = match target_of(&own) {
                Some(Target::Name(record)) => match rows_named[record.first] {
                    Some(row) if row.first != own.row => RowUse::Double(row.first),
                    _ => RowUse::Used,
                },
                Some(Target::Base(record)) if record.several => RowUse::Several,
                Some(Target::Base(record)) => match records[record.first] {
                    RowMatch::BaseName(_) => RowUse::Used,
                    _ if rows_named[record.first].is_none() => RowUse::Rival,
                    _ => RowUse::Absent,
                },
                None => RowUse::Absent,
            };
            rows[own.row] = rows[own.row].min(used);
        }
        Self { records, rows }
    }
}

/// The numbers of records, sorted by name or base name: for millions of records, much smaller than a hash table.
struct Sorted<'n, N> {
    names: &'n [N],
    key: fn(&str) -> &str,
    order: Vec<usize>,
}

impl<'n, N: AsRef<str>> Sorted<'n, N> {
    fn new(names: &'n [N], key: fn(&str) -> &str) -> Self {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|a, b| key(names[*a].as_ref()).cmp(key(names[*b].as_ref())));
        Self { names, key, order }
    }

    fn find(&self, wanted: &str) -> Option<Number> {
        let key = |record: &usize| (self.key)(self.names[*record].as_ref());
        let rest = &self.order[self.order.partition_point(|record| key(record) < wanted)..];
        let first = *rest.first().filter(|record| key(record) == wanted)?;
        Some(Number { first, several: rest.get(1).is_some_and(|record| key(record) == wanted) })
    }
}

/// The record or records that have a row's name, or its base name.
enum Target {
    Name(Number),
    Base(Number),
}

/// The number of a record or row, or the first of several.
#[derive(Debug, Clone, Copy)]
struct Number {
    first: usize,
    several: bool,
}

impl Number {
    fn one(first: usize) -> Self {
        Self { first, several: false }
    }

    fn add(&mut self, number: usize) {
        self.several |= self.first != number;
    }
}

/// Returns whether two paths with the same base name can refer to the same record: one must end with the other.
fn may_be_the_same(a: &str, b: &str) -> bool {
    let (long, short) = if a.len() > b.len() { (a, b) } else { (b, a) };
    long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// Returns the last part of a record's name, which is a path with `/` between folders.
pub fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::RowMatch::{Absent, Ambiguous, BaseName, Name};
    use super::*;
    use crate::{read_labels, read_probabilities};

    fn matches(rows: &[(&str, Option<&str>)], names: &[&str]) -> Matches {
        let all = rows.iter().enumerate();
        let all = all.flat_map(|(k, &(record, other))| {
            RowName::all(k, RowNames { line: 0, record, extension: "", other })
        });
        Matches::new(all, rows.len(), names)
    }

    #[test]
    fn a_base_name_counts_if_it_is_unique_on_both_sides() {
        let found = matches(&[("1", None)], &["x/1", "y/1"]);
        assert_eq!(
            (&found.records[..], &found.rows[..]),
            (&[Ambiguous; 2][..], &[RowUse::Several][..])
        );
        let found = matches(&[("a/1", None), ("b/1", None)], &["x/1", "2"]);
        assert_eq!(found.records, [Ambiguous, Absent]);
        assert_eq!(found.rows, [RowUse::Rival; 2]);
        // A row and a record with the same name stand aside.
        let found = matches(&[("x/1", None), ("1", None), ("b/2", None)], &["x/1", "a/2"]);
        assert_eq!(found.records, [Name(0), BaseName(2)]);
        assert_eq!(found.rows, [RowUse::Used, RowUse::Absent, RowUse::Used]);
        assert_eq!(matches(&[("x/1", None)], &["x/1", "y/1"]).records, [Name(0), Absent]);
    }

    #[test]
    fn matches_by_base_name_can_be_taken_back() {
        let rows =
            [("x/1", None), ("1", None), ("b/2", None), ("4", None), ("c/5", None), ("5", None)];
        let names = ["x/1", "a/2", "y/4", "z/4", "w/5"];
        let mut found = matches(&rows, &names);
        assert!(found.drop_base_names());
        assert_eq!(found.records, [Name(0), Absent, Ambiguous, Ambiguous, Ambiguous]);
        assert_eq!(found.rows[0], RowUse::Used);
        assert_eq!(found.rows[1..], [RowUse::Absent; 5]);
        let mut found = matches(&[("x/1", None), ("3", None)], &names);
        assert!(!found.drop_base_names());
    }

    #[test]
    fn rows_without_a_record_and_rules_without_effect_have_warnings() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("labels.csv");
        let table = |text: &str| {
            std::fs::write(&path, text).expect("writes");
            read_labels(&path, &LabelMap::default(), NsrRule::Challenge).expect("reads")
        };
        let names = ["x/1", "y/1", "x/2", "x/3", "x/4"];
        let told = |table: &RecordTable<bool>| -> Result<Vec<String>, IoError> {
            let warnings = table.row_warnings(&table.matches(&names), &names, "of p.npz")?;
            Ok(warnings.into_iter().map(|own| format!("{:?} {}", own.line, own.message)).collect())
        };
        let own = table("record,AF\n1,1\nx/3,1\nz/2,1\na/4,1\nb/4,1\nq,1\n");
        let expected = [
            "Some(7) 1 rows match no record of p.npz: q",
            "Some(4) 1 rows name other folders and are matched by base name: z/2",
            "Some(2) 1 rows match several records of p.npz: 1",
            "Some(5) 2 rows match a record by a base name that other rows share: a/4, b/4",
        ];
        assert_eq!(told(&own).expect("warns"), expected);
        let twice = told(&table("record,AF\nx/3.hea,1\nx/3.dat,1\n")).expect_err("twice");
        assert!(matches!(twice, IoError::DuplicateRow { line: 3, first: 2, .. }), "{twice}");
        // The name of the record looks as if it had an extension.
        let codes = table("scp_codes,filename_hr\n{},y.mat\n{},y.mat.csv\n");
        let twice = codes.row_warnings(&codes.matches(&["y.mat"]), &["y.mat"], "of p.npz");
        let twice = twice.expect_err("twice");
        assert!(matches!(twice, IoError::DuplicateRow { line: 3, first: 2, .. }), "{twice}");

        let rules = |table: &RecordTable<bool>, map: &LabelMap, rule| -> Vec<String> {
            let warnings = table.rule_warnings(map, rule).into_iter();
            warnings.map(|warning| warning.message).collect()
        };
        let (map, published) = (LabelMap::default(), LabelMap::published());
        assert!(rules(&own, &map, NsrRule::Challenge).is_empty());
        let expected = [
            "the NSR rule rhythm does not affect label files",
            "the label map published does not affect label files",
        ];
        assert_eq!(rules(&own, &published, NsrRule::Rhythm), expected);
        let codes = table("scp_codes,filename_hr\n{},x/2\n");
        assert!(rules(&codes, &published, NsrRule::Rhythm).is_empty());
    }

    #[test]
    fn two_names_of_one_row_are_no_rivals() {
        let rows =
            [("records500/1", Some("records100/1")), ("records500/2_hr", Some("records100/2_lr"))];
        let names = ["1", "records100/2_lr", "x/2_hr"];
        assert_eq!(matches(&rows, &names).records, [BaseName(0), Name(1), BaseName(1)]);
        assert_eq!(matches(&rows, &["records100/1", "x/1"]).records, [Name(0), Ambiguous]);
    }

    #[test]
    fn the_rows_of_one_name_are_ambiguous() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("labels.csv");
        let found = |rows: &str, names: &[&str]| {
            std::fs::write(&path, format!("record,AF\n{rows}")).expect("writes");
            let table = read_labels(&path, &LabelMap::default(), NsrRule::Challenge);
            table.expect("reads").match_records(names)
        };
        let three = "x.mat.csv,1\nx.mat,1\nx.hea,0\n";
        assert_eq!(found(three, &["x.mat", "x"]), [Ambiguous, Name(2)]);
        for rows in ["x,1\nx.hea,0\n", "x.dat,1\nx.hea,0\n"] {
            assert_eq!(found(rows, &["x"]), [Ambiguous], "{rows}");
            assert_eq!(found(rows, &["a/x"]), [Ambiguous], "{rows}");
        }
        assert_eq!(found("x.mat,1\nx,0\n", &["x.mat", "x"]), [Name(0), Name(1)]);
        assert_eq!(found("b/x.dat,1\n", &["a/x"]), [BaseName(0)]);
    }

    #[test]
    fn values_are_aligned_to_records_and_labels() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("p.csv");
        std::fs::write(&path, "record,AF,SB\na/1,0.5,0.25\nx/2,0,1\ny/2,1,0\n").expect("writes");
        let table = read_probabilities(&path).expect("reads");
        let of = |names: &[&str], labels: &[&str]| {
            table.aligned(names, &LabelSet::new(labels.iter().copied()).expect("labels"))
        };
        assert_eq!(of(&["y/2", "1"], &["SB"]).expect("has them"), ndarray::array![[0.0], [0.25]]);
        assert_eq!(of(&[], &["SB", "AF"]).expect("has them").dim(), (0, 2));
        let message = |names: &[&str], labels: &[&str]| {
            let error = of(names, labels).expect_err("is refused").to_string();
            error.strip_prefix(&path.display().to_string()).map(str::to_owned)
        };
        let expected = |text: &str| Some(text.to_owned());
        assert_eq!(
            message(&["a/1", "3"], &["AF"]),
            expected(": record \"3\": found no row, expected one")
        );
        assert_eq!(
            message(&["2"], &["AF"]),
            expected(
                ": record \"2\": found rows or records that cannot be told apart, expected one row with its full name"
            )
        );
        assert_eq!(
            message(&["a/1"], &["AF", "NSR"]),
            expected(": no column for label \"NSR\"; the labels are AF,SB")
        );
    }
}
