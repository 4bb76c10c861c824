use std::fmt;
use std::path::{Path, PathBuf};

use crate::IoError;

/// The most different warnings kept per file, or per record of several segments: noise could cause millions.
const MOST: usize = 128;

/// A departure of a file from its format, or an assumption made, and how it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Warning {
    /// The file.
    pub path: PathBuf,
    /// Line of the first occurrence, from 1, if the file has lines.
    pub line: Option<u64>,
    /// The field concerned, such as `units`.
    pub field: &'static str,
    /// What was found and how it was read.
    pub message: String,
    /// How often it occurred in the file.
    pub count: u64,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.field, self.message)?;
        if self.count > 1 {
            write!(f, " ({} times)", self.count)?;
        }
        Ok(())
    }
}

/// Collects the warnings of one file; in strict mode, a quirk is an error instead.
pub(crate) struct Notes<'a> {
    pub path: &'a Path,
    pub strict: bool,
    pub warnings: Vec<Warning>,
}

impl<'a> Notes<'a> {
    pub fn new(path: &'a Path, strict: bool) -> Self {
        Self { path, strict, warnings: Vec::new() }
    }

    /// Notes a departure from the format: a warning, or an error in strict mode.
    pub fn quirk(
        &mut self,
        line: Option<u64>,
        field: &'static str,
        message: impl Into<String>,
    ) -> Result<(), IoError> {
        if self.strict {
            return Err(IoError::Strict(self.warning(line, field, message.into())));
        }
        self.remark(line, field, message);
        Ok(())
    }

    /// Notes something legal that a reader should know; never an error.
    pub fn remark(&mut self, line: Option<u64>, field: &'static str, message: impl Into<String>) {
        let message = message.into();
        // Twelve signals with the same quirk give one warning.
        if let Some(last) = self
            .warnings
            .iter_mut()
            .rev()
            .take(4)
            .find(|warning| warning.field == field && warning.message == message)
        {
            last.count += 1;
        } else {
            let warning = self.warning(line, field, message);
            keep(&mut self.warnings, warning, self.path);
        }
    }

    /// Notes one remark about many rows of a table, each with its line (0 if it has none) and name; the first few
    /// names are listed.
    pub fn rows(&mut self, rows: &[(u64, String)], what: &str) {
        let Some((line, _)) = rows.first() else { return };
        let mut names: Vec<&str> = rows.iter().take(3).map(|(_, name)| name.as_str()).collect();
        if rows.len() > names.len() {
            names.push("...");
        }
        let message = format!("{} {what}: {}", rows.len(), names.join(", "));
        self.remark((*line > 0).then_some(*line), "record", message);
    }

    /// Takes the warnings of a file that belongs to this one, such as a segment.
    pub fn take(&mut self, other: Notes<'_>) {
        for warning in other.warnings {
            keep(&mut self.warnings, warning, self.path);
        }
    }

    fn warning(&self, line: Option<u64>, field: &'static str, message: String) -> Warning {
        Warning { path: self.path.to_owned(), line, field, message, count: 1 }
    }
}

/// Adds a warning to those about the file `path`. If the most are kept already, the last one counts it with the rest.
pub(crate) fn keep(warnings: &mut Vec<Warning>, warning: Warning, path: &Path) {
    if warnings.len() < MOST {
        warnings.push(warning);
    } else if let Some(rest) = warnings.get_mut(MOST) {
        rest.count += warning.count;
    } else {
        warnings.push(Warning {
            line: warning.line.filter(|_| warning.path == path),
            path: path.to_owned(),
            field: "warnings",
            message: "more, not listed".to_owned(),
            count: warning.count,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_warnings_are_counted() {
        let mut notes = Notes::new(Path::new("a/r.hea"), false);
        for line in 2..14 {
            notes.quirk(Some(line), "units", "\"mv\" read as mV").expect("lenient");
        }
        assert_eq!(notes.warnings.len(), 1);
        assert_eq!(notes.warnings[0].to_string(), "a/r.hea:2: units: \"mv\" read as mV (12 times)");
        for line in 0..10_000 {
            notes.remark(Some(line), "Dx", line.to_string());
        }
        assert_eq!(notes.warnings.len(), MOST + 1);
        let (rest, kept) = (&notes.warnings[MOST], MOST as u64 - 1);
        assert_eq!((rest.line, rest.field, rest.count), (Some(kept), "warnings", 10_000 - kept));
        // Warnings of segments count towards the same limit.
        let mut record = Notes::new(Path::new("a/all.hea"), false);
        record.remark(Some(1), "gain", "x");
        record.take(notes);
        record.remark(Some(9), "units", "y");
        assert_eq!(record.warnings.len(), MOST + 1);
        assert_eq!(record.warnings.iter().map(|warning| warning.count).sum::<u64>(), 10_014);
        let rest = &record.warnings[MOST];
        assert_eq!((rest.path.as_path(), rest.line, rest.field), (record.path, None, "warnings"));
        let mut strict = Notes::new(Path::new("r.hea"), true);
        strict.remark(None, "gain", "200/mV assumed");
        let refused = strict.quirk(Some(2), "units", "x").expect_err("strict");
        assert!(matches!(refused, IoError::Strict(warning) if warning.line == Some(2)));
    }
}
