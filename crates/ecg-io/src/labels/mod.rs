//! Labels of recordings: from diagnosis codes, and from tables.

mod file;
mod map;
mod matching;
mod ptbxl;
mod read;
mod table;

pub use map::{LabelMap, NsrRule, is_contradictory};
pub(crate) use matching::RowName;
pub use matching::{Matches, RowMatch, RowUse, base_name};
pub(crate) use ptbxl::PtbXlTable;
pub use read::{read_labels, read_probabilities};
pub(crate) use table::Table;
pub use table::{RecordRow, RecordTable};
