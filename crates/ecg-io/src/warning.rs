use std::fmt;
use std::path::{Path, PathBuf};

use crate::IoError;

/// The most different warnings kept per file: a file of noise could cause millions.
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
        } else if self.warnings.len() < MOST {
            let warning = self.warning(line, field, message);
            self.warnings.push(warning);
        } else {
            // Count this one with the rest; warnings of other files may stand around it.
            const REST: (&str, &str) = ("warnings", "further ones, not listed");
            let mut listed = self.warnings.iter_mut().rev();
            match listed.find(|own| (own.field, own.message.as_str()) == REST) {
                Some(rest) => rest.count += 1,
                None => self.warnings.push(self.warning(line, REST.0, REST.1.to_owned())),
            }
        }
    }

    fn warning(&self, line: Option<u64>, field: &'static str, message: String) -> Warning {
        Warning { path: self.path.to_owned(), line, field, message, count: 1 }
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
        // Warnings that came from elsewhere, such as from segments, are not counted with the rest.
        let mut notes = Notes::new(Path::new("a/r.hea"), false);
        notes.warnings = (0..200).map(|k| notes.warning(Some(k), "gain", k.to_string())).collect();
        notes.remark(Some(7), "units", "x");
        notes.remark(Some(8), "units", "y");
        assert_eq!((notes.warnings[MOST].count, notes.warnings.len()), (1, 201));
        let rest = &notes.warnings[200];
        assert_eq!((rest.line, rest.field, rest.count), (Some(7), "warnings", 2));
        let mut strict = Notes::new(Path::new("r.hea"), true);
        strict.remark(None, "gain", "200/mV assumed");
        let refused = strict.quirk(Some(2), "units", "x").expect_err("strict");
        assert!(matches!(refused, IoError::Strict(warning) if warning.line == Some(2)));
    }
}
