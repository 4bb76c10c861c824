//! 3DECG-Net and its benchmark networks on libtorch: inference, training, Keras import.

mod architecture;
mod error;
mod init;
mod keras;
mod layers;
mod nets;
mod network;
mod params;
mod train;

pub use architecture::{Architecture, InputKind, Preset};
pub use error::ModelError;
pub use network::Network;
pub use train::{
    Augment, BestBy, EpochLog, Event, KerasAdam, PUBLISHED_FOLDS, Schedule, Split, TrainConfig,
    TrainData, Warning, bce_from_logits, folds_by_patient, shared_patients, split_by_fold,
    split_published,
};
