//! What the command-line programs share: how they end, how they report progress and write files, how they load data.
//!
//! Nothing here names libtorch, so that a program which needs no network starts without it.

pub mod chart;
mod digest;
pub mod ecg_paper;
pub mod ecg_strips;
pub mod heat;
mod kept;
pub mod matrix;
mod messages;
pub mod metric_charts;
mod output;
pub mod picture;
mod pool;
mod predictions;
mod progress;
pub mod raster;
pub mod reading;
mod rows_by_name;
pub mod source;
pub mod stages;
pub mod stop;
pub mod synthetic;
mod truth;
pub mod usage;

pub use digest::{hex, sha256};
pub use kept::Kept;
pub use messages::{print_json, print_result};
pub use output::{check_inputs, check_place, run, write_atomic};
pub use pool::pool;
pub use predictions::write_predictions;
pub use progress::Progress;
pub use rows_by_name::{RowsByName, base_name};
pub use truth::contradictory;

/// Exit status of a run in which some records failed and the others went on.
pub const SOME_FAILED: u8 = 2;

/// The quick start of the front page is run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
