//! Matches the rows of a table to records by name.

use std::borrow::Cow;

use ecg_core::LabelSet;
use ndarray::Array2;

use super::table::{RecordTable, extension_of, full_name};
use crate::IoError;

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
        let rows = self.rows.iter().enumerate();
        let row_names = rows.flat_map(|(k, row)| {
            RowName::all(k, &row.record, &row.extension, row.other_name.as_deref())
        });
        Matches::new(row_names, self.rows.len(), names).records
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
    pub fn all(
        row: usize,
        record: &'a str,
        extension: &str,
        other: Option<&'a str>,
    ) -> impl Iterator<Item = Self> + Clone + use<'a> {
        let name = |full: Cow<'a, str>| {
            let stem = full.len() - extension_of(&full).len();
            Self { row, full, stem }
        };
        let other = other.map(|other| name(Cow::Borrowed(other)));
        std::iter::once(name(full_name(record, extension))).chain(other)
    }
}

/// How a row was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowUse {
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

/// The rows of records, and the use of rows.
pub(crate) struct Matches {
    /// Of each record.
    pub records: Vec<RowMatch>,
    /// Of each row.
    pub rows: Vec<RowUse>,
}

impl Matches {
    /// Matches rows, each with all its names, to the records with these names.
    pub fn new<'a>(
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

/// Returns the last part of a record's name, which is a path with `/` between folders.
pub fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::RowMatch::{Absent, Ambiguous, BaseName, Name};
    use super::*;
    use crate::{LabelMap, NsrRule, read_labels, read_probabilities};

    fn matches(rows: &[(&str, Option<&str>)], names: &[&str]) -> Matches {
        let all = rows.iter().enumerate();
        let all = all.flat_map(|(k, (name, other))| RowName::all(k, name, "", *other));
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
