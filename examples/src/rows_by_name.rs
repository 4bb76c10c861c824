use std::collections::HashMap;

/// Rows of a table by the names of their records, each of which is a path.
#[derive(Debug, Default)]
pub struct RowsByName<'a> {
    by_name: HashMap<&'a str, usize>,
    /// `None` if several rows have the base name.
    by_base: HashMap<&'a str, Option<usize>>,
}

impl<'a> RowsByName<'a> {
    /// Adds a row under one of its names.
    pub fn insert(&mut self, name: &'a str, row: usize) {
        self.by_name.insert(name, row);
        let other = |own: &mut Option<usize>| *own = (*own).filter(|own| *own == row);
        self.by_base.entry(base_name(name)).and_modify(other).or_insert(Some(row));
    }

    /// Returns the row with exactly this name.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Returns the row with this base name, if there is only one.
    pub fn of_base(&self, base: &str) -> Option<usize> {
        self.by_base.get(base).copied().flatten()
    }
}

/// Returns the last part of a record's path.
pub fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_of_one_row_are_no_rivals() {
        let mut rows = RowsByName::default();
        for (name, row) in [("records100/1", 0), ("records500/1", 0), ("a/2", 1), ("b/2", 2)] {
            rows.insert(name, row);
        }
        rows.insert("c/2", 1);
        assert_eq!((rows.of_base("1"), rows.of_base("2")), (Some(0), None));
        assert_eq!(rows.named("records500/1"), Some(0));
    }
}
