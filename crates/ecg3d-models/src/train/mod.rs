//! Training: recipes, the optimizer, and the training loop.

mod adam;
mod augment;
mod checkpoint;
mod config;
mod data;
mod engine;
mod event;
mod feed;
#[cfg(test)]
mod golden;
mod loss;
mod random;
mod run;
mod schedule;
mod thresholds;

pub use adam::KerasAdam;
pub use augment::Augment;
pub use checkpoint::{check_run_dir, replace_best};
pub(crate) use config::is_default;
pub use config::{BestBy, TrainConfig};
pub use data::TrainData;
pub use event::{EpochLog, Event, Observer, Warning};
pub use loss::{Loss, bce_from_logits};
pub use run::{Outcome, train};
pub use schedule::Schedule;
pub(crate) use thresholds::check_probabilities;
pub use thresholds::{Thresholds, validation_thresholds};
