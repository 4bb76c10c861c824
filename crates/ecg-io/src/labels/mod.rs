//! Labels of recordings: from diagnosis codes, and from tables.

mod file;
mod map;
mod ptbxl;
mod table;

pub use map::{LabelMap, NsrRule, is_contradictory};
pub(crate) use ptbxl::PtbXlTable;
pub(crate) use table::{LabelTable, Table};
