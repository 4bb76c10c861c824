//! Recordings as tables.

mod cells;
mod float;
mod lines;
mod options;
mod read;
mod table;
mod time;
mod write;

pub use options::{CsvColumn, CsvOptions, CsvOrientation};
pub use read::{parse_csv, read_csv};
pub use write::write_csv;

use std::io::Read;
use std::path::Path;

use cells::{Layout, is_comment};

/// Extensions of tables, after which `.gz` may follow.
const EXTENSIONS: [&str; 2] = ["csv", "tsv"];

/// Whether a file's name is that of a table, packed or not.
pub(crate) fn is_table(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.contains(&extension))
}

/// Whether a table is a recording, judged by its first lines; one that cannot be judged is taken for one.
pub(crate) fn looks_like_recording(path: &Path, options: &CsvOptions) -> bool {
    let mut start = Vec::new();
    let Ok((file, ..)) = lines::open_table(path) else { return true };
    const LOOKED_AT: u64 = 1 << 16;
    if file.take(LOOKED_AT).read_to_end(&mut start).is_err() {
        return true;
    }
    let is_whole = (start.len() as u64) < LOOKED_AT;
    let content = start.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(&start);
    let mut rows = crate::text::lines(content)
        .map(|(_, text)| text)
        .filter(|text| !text.trim().is_empty() && !is_comment(text));
    let (Some(first), second) = (rows.next(), rows.next()) else { return true };
    // Rows so long that there is no second one to judge by: of leads, as like as not.
    if second.is_none() && !is_whole {
        return true;
    }
    let layout = Layout::detect(&first, second.as_deref(), options);
    let cells = layout.split(&first);
    if layout.orientation == CsvOrientation::LeadsInRows {
        return true;
    }
    let names = table::names(&layout, &cells, options);
    if let Some(columns) = &options.columns {
        return columns.iter().all(|column| cells::find(column, &names).is_some());
    }
    if layout.names_columns() {
        let tables = ["record", "ecg_id", "patient_id"];
        !cells.iter().any(|cell| tables.contains(&cell.as_ref()))
            && cells.iter().any(|cell| cells::Column::of(cell).is_standard_lead())
    } else {
        names.len() == cells.len()
    }
}
