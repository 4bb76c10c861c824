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

use cells::{Column, Layout, comment};

/// Extensions of tables, which may be followed by `.gz`.
const EXTENSIONS: [&str; 2] = ["csv", "tsv"];

/// Returns whether a file name is that of a table, compressed or not.
pub(crate) fn is_table(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.contains(&extension))
}

/// Returns whether a table is a recording, judging by its first lines; a table that cannot be judged counts as one.
pub(crate) fn looks_like_recording(path: &Path, options: &CsvOptions) -> bool {
    let mut start = Vec::new();
    let Ok((file, ..)) = lines::open_table(path) else { return true };
    const LOOKED_AT: u64 = 1 << 16;
    if file.take(LOOKED_AT).read_to_end(&mut start).is_err() {
        return true;
    }
    let is_whole = (start.len() as u64) < LOOKED_AT;
    if !is_whole {
        // A row that is cut off would seem to have too few cells.
        start.truncate(start.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    }
    let content = start.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(&start);
    let (mut rows, mut comments) = (Vec::with_capacity(2), Vec::new());
    for (_, text) in crate::text::lines(content).filter(|(_, text)| !text.trim().is_empty()) {
        match comment(&text) {
            Some(own) => comments.push(own.to_owned()),
            None => rows.push(text),
        }
        if rows.len() == 2 {
            break;
        }
    }
    let Some(first) = rows.first() else { return true };
    let second = rows.get(1);
    let layout = Layout::detect(first, second.map(|row| &**row), options);
    let cells = layout.split(first);
    let is_other = cells.iter().any(|cell| ["record", "ecg_id", "patient_id"].contains(&&**cell));
    // The rows are so long that there is no second one to judge by; most likely they are leads.
    if second.is_none() && !is_whole {
        return !is_other;
    }
    if layout.orientation == CsvOrientation::LeadsInRows {
        return true;
    }
    let comments = comments.iter().map(String::as_str);
    let names = match layout.names_above(comments, first, options) {
        Some((_, names)) => layout.split(&names).iter().map(|name| name.to_string()).collect(),
        None => table::names(&layout, &cells, options),
    };
    if let Some(columns) = &options.columns {
        // A number fits tables of any kind.
        let named = columns.iter().any(|column| matches!(column, CsvColumn::Name(_)));
        return (named || !is_other)
            && columns.iter().all(|column| cells::find(column, &names).is_some());
    }
    if layout.names_columns() {
        let leads = || cells.iter().map(|cell| Column::of(cell)).filter(Column::is_lead);
        // The caller names the leads of a table that has as many columns of numbers.
        let named = options.leads.as_ref().is_some_and(|own| own.len() == leads().count())
            && second.is_none_or(|row| layout.holds_values(row));
        !is_other && (named || leads().any(|lead| lead.is_standard_lead()))
    } else {
        names.len() == cells.len()
    }
}
