//! Code shared by the command-line programs: exit status, progress, writing files and loading data.
//!
//! Nothing here depends on libtorch, so that programs that need no network start without it.

pub mod chart;
mod digest;
pub mod ecg_paper;
pub mod ecg_strips;
pub mod heat;
mod kept;
mod kept_lines;
pub mod matrix;
mod messages;
pub mod metric_charts;
mod output;
pub mod picture;
mod predictions;
mod progress;
pub mod raster;
pub mod reading;
pub mod source;
pub mod stages;
pub mod stop;
pub mod synthetic;
mod truth;
pub mod usage;

pub use digest::sha256;
pub use kept::Kept;
pub use kept_lines::KeptLines;
pub use messages::{print_json, print_result};
pub use output::{
    check_inputs, check_place, lock, real, remove_if_there, run, status, write_atomic, write_json,
    write_text,
};
pub use predictions::{table_writer, write_predictions};
pub use progress::{Progress, Shown};
pub use truth::contradictory;

/// Exit status of a run in which some records failed and the others were processed.
pub const SOME_FAILED: u8 = 2;

/// Runs the quick start of the front page as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Compiles the programs of the page on the libraries.
#[cfg(doctest)]
#[doc = include_str!("../../docs/library.md")]
struct Library;
