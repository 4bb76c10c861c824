//! Matches the rows of a table to records by name.

use std::borrow::Cow;

use super::table::{RecordTable, full_name};

/// The row of a [`RecordTable`] that belongs to a record; see [`RecordTable::match_records`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowMatch {
    /// The row with this number has the record's name.
    Name(usize),
    /// The row with this number has the record's base name, which no other row and no other record has.
    BaseName(usize),
    /// Several rows have the record's name, or several rows or records have its base name.
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
    /// A row belongs to the record with its name, otherwise to the record with its base name if no other record has
    /// that, no row has that record's name, and no other row matches it. Both names of a row of PTB-XL's table count. Names
    /// are sought with the row's extension and then without it, before base names in the same way.
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
}

/// A name of a row: rows of PTB-XL's table have two.
#[derive(Debug, Clone)]
pub(crate) struct RowName<'a> {
    row: usize,
    /// With its extension.
    full: Cow<'a, str>,
    /// Without.
    record: &'a str,
}

impl<'a> RowName<'a> {
    /// Returns the names of a row.
    pub fn all(
        row: usize,
        record: &'a str,
        extension: &str,
        other: Option<&'a str>,
    ) -> impl Iterator<Item = Self> + Clone + use<'a> {
        let first = Self { row, full: full_name(record, extension), record };
        let other = other.map(|record| Self { row, full: Cow::Borrowed(record), record });
        std::iter::once(first).chain(other)
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
            let names = [&*own.full, own.record];
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
        let names = [("x.mat", ".csv"), ("x", ".mat"), ("x", ".hea")];
        let all = names.iter().enumerate();
        let all = all.flat_map(|(k, (name, extension))| RowName::all(k, name, extension, None));
        let found = Matches::new(all, 3, &["x.mat", "x"]);
        assert_eq!(found.records, [Ambiguous, Name(2)]);
        assert_eq!(found.rows, [RowUse::Used, RowUse::Double(0), RowUse::Used]);
    }
}
