//! 3DECG-Net and its benchmark networks on libtorch: inference, training, Keras import.

mod architecture;
mod card;
mod error;
mod files;
mod init;
mod keras;
mod layers;
mod model;
mod nets;
mod network;
mod params;
mod train;
mod weights;

pub use architecture::{Architecture, InputKind};
pub use card::ModelCard;
pub use ecg3d_convert::Preset;
pub use error::ModelError;
pub use keras::import_keras;
pub use model::Model;
pub use network::Network;
pub use train::{
    Augment, BestBy, EpochLog, Event, KerasAdam, Outcome, PUBLISHED_FOLDS, Schedule, Split,
    TrainConfig, TrainData, Warning, bce_from_logits, folds_by_patient, shared_patients,
    split_by_fold, split_published, train,
};
pub use weights::save;
