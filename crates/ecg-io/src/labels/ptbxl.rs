//! The table of PTB-XL (`ptbxl_database.csv`).

use std::collections::HashMap;
use std::path::Path;

use ecg_core::Sex;

use super::matching::{RowNames, base_name};
use super::table::{Table, record_key};
use crate::IoError;
use crate::header::is_unknown;

/// One recording of PTB-XL.
#[derive(Debug, PartialEq)]
pub(crate) struct PtbXlRow {
    pub line: u64,
    pub patient: Option<String>,
    pub age_years: Option<f64>,
    pub sex: Option<Sex>,
    pub fold: Option<u32>,
    /// Its name at the higher sampling rate that the table has, and the extension that follows it.
    pub record: String,
    pub extension: String,
    /// Its name at the other rate.
    pub other_name: Option<String>,
    /// SCP statements, at any likelihood.
    pub statements: Vec<String>,
}

impl PtbXlRow {
    /// Returns its names.
    pub fn names(&self) -> RowNames<'_> {
        let Self { line, record, extension, other_name, .. } = self;
        RowNames { line: *line, record, extension, other: other_name.as_deref() }
    }
}

/// The table. No two rows have the same name, at either rate.
#[derive(Debug)]
pub(crate) struct PtbXlTable {
    pub rows: Vec<PtbXlRow>,
}

impl PtbXlTable {
    pub fn read(path: &Path) -> Result<Self, IoError> {
        Self::new(&Table::read(path)?)
    }

    pub fn new(table: &Table) -> Result<Self, IoError> {
        let codes = table.required("scp_codes")?;
        let files: Vec<usize> = match (table.column("filename_hr"), table.column("filename_lr")) {
            (None, None) => vec![table.required("filename_hr")?],
            (high, low) => high.into_iter().chain(low).collect(),
        };
        let mut out = Self { rows: Vec::with_capacity(table.rows().len()) };
        let mut by_name = HashMap::new();
        for (line, cells) in table.rows() {
            let text = |name: &str| {
                table.column(name).map(|k| cells.get(k)).filter(|text| !text.is_empty())
            };
            let statements = statements(cells.get(codes)).ok_or_else(|| {
                table.cell(line, codes, cells.get(codes), "a list such as {'NORM': 100.0}")
            })?;
            // Patient numbers are written as decimals, such as 13243.0.
            let patient = text("patient_id")
                .filter(|id| !is_unknown(id))
                .map(|id| format!("ptbxl-{}", id.strip_suffix(".0").unwrap_or(id)));
            // Ages above 89 are masked as 300.
            let age = text("age").and_then(|age| age.parse().ok());
            let names = files.iter().map(|&file| cells.get(file));
            let names = names.filter(|name| !base_name(name).is_empty());
            let mut keys = names.map(record_key);
            let Some((record, extension)) = keys.next() else {
                return Err(table.cell(line, files[0], "", "the name of a file"));
            };
            let other_name = keys.next().map(|(name, _)| name);
            for name in other_name.iter().chain([&record]) {
                let row = out.rows.len();
                match by_name.insert(name.clone(), row) {
                    Some(first) if first != row => {
                        return Err(table.duplicate(line, name.clone(), out.rows[first].line));
                    }
                    _ => {}
                }
            }
            out.rows.push(PtbXlRow {
                line,
                patient,
                age_years: age.filter(|age| (0.0..=120.0).contains(age)),
                sex: match text("sex") {
                    Some("0" | "0.0") => Some(Sex::Male),
                    Some("1" | "1.0") => Some(Sex::Female),
                    _ => None,
                },
                fold: table.fold(line, cells, table.column("strat_fold"))?,
                record,
                extension,
                other_name,
                statements,
            });
        }
        Ok(out)
    }
}

/// Parses the keys of a Python dictionary such as `{'NORM': 80.0, 'SBRAD': 0.0}`.
fn statements(text: &str) -> Option<Vec<String>> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    if inside.is_empty() {
        return Some(Vec::new());
    }
    inside
        .split(',')
        .map(|pair| {
            let (key, likelihood) = pair.split_once(':')?;
            likelihood.trim().parse::<f64>().ok()?;
            let key = key.trim();
            let quote = key.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
            let key = key.strip_prefix(quote)?.strip_suffix(quote)?;
            Some(key.trim().to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PtbXlTable, IoError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("ptbxl_database.csv");
        std::fs::write(&path, text).expect("writes");
        PtbXlTable::read(&path)
    }

    #[test]
    fn rows_have_the_names_of_both_files() {
        let table = read(
            "ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr\n\
             2,13243.0,300.0,0,\"{'NORM': 80.0, 'SBRAD': 0.0}\",2,records100/00000/00002_lr,records500/00000/00002_hr\n\
             3,7.0,54.0,1,{},,a/3_lr,a/3_hr\n",
        )
        .expect("reads");
        let row = &table.rows[0];
        assert_eq!(row.record, "records500/00000/00002_hr");
        assert_eq!(row.other_name.as_deref(), Some("records100/00000/00002_lr"));
        assert_eq!(row.statements, ["NORM", "SBRAD"]);
        assert_eq!((row.patient.as_deref(), row.fold), (Some("ptbxl-13243"), Some(2)));
        assert_eq!((row.age_years, row.sex, row.line), (None, Some(Sex::Male), 2));
        let row = &table.rows[1];
        assert_eq!((row.age_years, row.sex, row.fold), (Some(54.0), Some(Sex::Female), None));
    }

    #[test]
    fn rows_of_different_folders_may_have_the_same_base_name() {
        let table = read(
            "patient_id,scp_codes,filename_hr\nnan,{},p1/rec1\nUnknown,{},p2/rec1\nn/a,{},x\n",
        );
        let rows = table.expect("reads").rows;
        assert_eq!((rows[0].record.as_str(), rows[1].record.as_str()), ("p1/rec1", "p2/rec1"));
        assert!(rows.iter().all(|row| row.patient.is_none()), "{rows:?}");
    }

    #[test]
    fn broken_tables_name_the_place() {
        let header = "scp_codes,filename_hr\n";
        for bad in ["NORM", "{NORM: 1}", "{'NORM'}", "{'NORM': x}"] {
            let error = read(&format!("{header}{bad},x\n")).expect_err(bad);
            assert!(matches!(error, IoError::Cell { line: 2, column: 1, .. }), "{error}");
        }
        for bad in ["{},a/x,1\n{},a/x,2\n", "{},x,one\n", "{},,1\n"] {
            let text = format!("scp_codes,filename_hr,strat_fold\n{bad}");
            let error = read(&text).expect_err(bad);
            let at = matches!(
                error,
                IoError::Cell { line: 2, .. } | IoError::DuplicateRow { line: 3, .. }
            );
            assert!(at, "{error}");
        }
        assert!(matches!(read("a,b\n"), Err(IoError::MissingColumn { column: "scp_codes", .. })));
        assert!(matches!(
            read("scp_codes\n{}\n"),
            Err(IoError::MissingColumn { column: "filename_hr", .. })
        ));
    }
}
