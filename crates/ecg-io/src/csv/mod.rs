//! Recordings as tables: one column for each lead, one row for each sample.

mod cells;
mod read;
mod time;
mod write;

pub use read::read_csv;
pub(crate) use read::read_csv_recording;
pub use write::write_csv;

use std::io::Read;
use std::path::Path;

use cells::{Layout, is_comment, split};

/// Whether a table is a recording, judged by its first lines; one that cannot be judged is taken for one.
pub(crate) fn looks_like_recording(path: &Path) -> bool {
    let mut start = Vec::new();
    let Ok((file, _)) = crate::text::open(path) else { return true };
    if file.take(1 << 16).read_to_end(&mut start).is_err() {
        return true;
    }
    let content = start.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(&start);
    let first =
        crate::text::lines(content).find(|(_, text)| !text.trim().is_empty() && !is_comment(text));
    let Some((_, first)) = first else { return true };
    let layout = Layout::detect(&first);
    let cells = split(&first, layout.delimiter);
    if layout.has_names {
        let tables = ["record", "ecg_id", "patient_id"];
        !cells.iter().any(|cell| tables.contains(&cell.as_ref()))
            && cells.iter().any(|cell| cells::Column::of(cell).is_standard_lead())
    } else {
        cells.len() == 12
    }
}
