use std::collections::HashMap;

/// Rows of a table by the names of their records, a path each.
#[derive(Debug, Default)]
pub struct RowsByName<'a> {
    by_name: HashMap<&'a str, usize>,
    /// `None` where several have the base name.
    by_base: HashMap<&'a str, Option<usize>>,
}

impl<'a> RowsByName<'a> {
    /// Takes up a row under one of its names.
    pub fn insert(&mut self, name: &'a str, row: usize) {
        self.by_name.insert(name, row);
        self.by_base.entry(base_name(name)).and_modify(|own| *own = None).or_insert(Some(row));
    }

    /// The row of this very name.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The only row of this base name.
    pub fn of_base(&self, base: &str) -> Option<usize> {
        self.by_base.get(base).copied().flatten()
    }
}

/// The last part of a record's path.
pub fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
