//! 3DECG-Net and its benchmark networks on libtorch: inference, training, Keras import.

mod architecture;
mod error;
mod init;
mod layers;
mod nets;
mod network;
mod params;

pub use architecture::{Architecture, InputKind, Preset};
pub use error::ModelError;
pub use network::Network;
