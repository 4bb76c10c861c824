//! 3DECG-Net and its benchmark networks on libtorch: inference, training, Keras import.
//!
//! ```
//! use ecg_core::{LabelSet, Predict};
//! use ecg3d_convert::ConvertConfig;
//! use ecg3d_models::{Architecture, Model, ModelCard, Network, Preset};
//! use ndarray::Array3;
//! use tch::Device;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // An untrained network; `Model::shipped` and `Model::load` give trained ones.
//! let (architecture, mode) = (Architecture::Ribeiro, Preset::Corrected);
//! let network = Network::new(architecture, mode, 7, Device::Cpu, 42)?;
//! let card = ModelCard::new(architecture, mode, LabelSet::seven(), ConvertConfig::corrected());
//! let model = Model::new(network, card)?;
//!
//! // Two prepared signals [record, lead, sample]: 2 s at 50 Hz, in mV.
//! let signals = Array3::<f32>::zeros((2, 12, 100));
//! let probabilities = model.predict_proba(signals.view())?;
//! assert_eq!(probabilities.dim(), (2, 7)); // [record, label]
//! assert_eq!(model.labels().index_of("AF"), Some(1));
//! # Ok(())
//! # }
//! ```
//!
//! From a recording as a file has it to its labels: [`Model::predict_recording`].
//!
//! # Set-up
//!
//! The crate links libtorch 2.11, which has to be there when it is built and when programs run. In a checkout of the repository
//! `cargo xtask setup` fetches one for the CPU; elsewhere `LIBTORCH` names its folder, and a `build.rs` of the crate that has the program
//! says where it is at run time, and has the program load its CUDA half, where there is one:
//!
//! ```no_run
//! use std::path::Path;
//! // With `torch-sys` among the dependencies, which tells.
//! let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
//! println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
//! // Nothing calls the CUDA half by name: the linker would leave it out, and the program would stay on the CPU.
//! let cuda = Path::new(&lib).join("libtorch_cuda.so");
//! if cuda.is_file() {
//!     let cuda = cuda.display();
//!     println!("cargo::rustc-link-arg=-Wl,--push-state,--no-as-needed,{cuda},--pop-state");
//!     println!("cargo::rustc-link-arg=-Wl,--allow-shlib-undefined");
//! }
//! ```
//!
//! For a GPU it has to be a libtorch that was built for CUDA: `docs/CONTRIBUTING.md` of the repository. An empty
//! `CUDA_VISIBLE_DEVICES` keeps a program on the CPU.
//!
//! `tch`, `ndarray` and `ecg_core` are exported, in the versions that stand in signatures here.
//!
//! # Which type for which job
//!
//! | type | what |
//! |---|---|
//! | [`Model`] | a network with its card: loads and saves weights, predicts from recordings, prepared signals, lead images or volumes, and answers questions about subsets of the leads |
//! | [`ModelCard`] | what weights say of themselves: network, mode, labels, preprocessing, thresholds |
//! | [`Network`] | the parameters and the pass through them, for training and looking inside |
//! | [`Architecture`], [`InputKind`] | which network, and what it reads |
//! | [`Summary`], [`LayerSummary`], [`grouped`] | its layers with shapes, parameters and operations |
//! | [`FrontEnd`] | windows to volumes as tensor operations, on a GPU for instance |
//! | [`Preset`] | the network of the study's program or of its text |
//! | [`import_keras`] | the study's weight files |
//! | [`save`] | weights and card in one file |
//! | [`replace_best`] | another card for the best weights of a run |
//! | [`train`](train()), [`TrainConfig`], [`TrainData`], [`Observer`] | training by the study's recipe or another, watched and ended from outside |
//! | [`KerasAdam`], [`Schedule`], [`Loss`] | its parts |
//! | [`validation_thresholds`] | the probability above which a label is predicted |
//!
//! # Conventions
//!
//! Prepared signals are `[record, lead, sample]` at 50 Hz (resnet1d: 100 Hz), volumes `[record, depth, height, width]` (45 each: leads, time,
//! time), lead images `[record, lead, height, width]`, all `f32` in the units of the preprocessing: ADC units (published)
//! or mV (corrected). Probabilities are `[record, label]`, `f64`, in the order of the label set; several labels may
//! hold at once. A label is predicted where its probability is above its threshold, strictly.
//!
//! The networks keep Keras's meaning where libtorch's differs (batch normalisation, hard sigmoid, padding, starts), and are
//! compared with Keras layer by layer. In published mode they are the study's programs, faults included. In corrected mode
//! 3DECG-Net pads before its pooling by 7, so that no plane is lost (7 x 7 x 7 positions remain instead of 6 x 6 x 6), and
//! its attention's softmax runs over these 343 positions, times 343, instead of an axis of length 1 (the weights are 1 on
//! average in both modes); Zhang's network has a ReLU behind each convolution and residual additions, with 576,960 more parameters;
//! Ribeiro's network gets the signal transposed instead of reshaped. `docs/fidelity.md` lists every difference.
//!
//! Fresh parameters depend on the seed alone, not on the machine. [`tch::set_num_threads`] sets the threads of a pass;
//! networks and models can be sent to another thread, but not shared.
//!
//! A [`ModelError`] says what failed; what it was due to is its [`source`](std::error::Error::source). Print the whole chain, as
//! anyhow's `{error:#}` does.
//!
//! # Sibling crates
//!
//! `ecg-core` has the shared types, `ecg-io` reads recordings and deals them into folds by patient, `ecg3d-convert` makes prepared signals
//! and volumes, `ecg-lime` explains predictions, and
//! `ecg-metrics` judges them.

mod architecture;
mod card;
mod error;
mod files;
mod front_end;
mod init;
mod inputs;
mod keras;
mod kernels;
mod layers;
mod memory;
mod model;
mod nets;
mod network;
mod params;
mod summary;
mod tape;
mod trace;
mod train;
mod weights;

// The types of other crates that stand in signatures here.
pub use {ecg_core, ndarray, tch};

pub use architecture::{Architecture, InputKind};
pub use card::ModelCard;
pub use ecg3d_convert::Preset;
pub use error::ModelError;
pub use front_end::FrontEnd;
pub use keras::import_keras;
pub use memory::keep_freed_memory;
pub use model::Model;
pub use network::{Forward, Network, Precision};
pub use summary::{LayerKind, LayerSummary, Summary, grouped};
pub use train::{
    Augment, BestBy, EpochLog, Event, KerasAdam, Loss, Observer, Outcome, Schedule, Thresholds,
    TrainConfig, TrainData, Warning, bce_from_logits, check_run_dir, replace_best, train,
    validation_thresholds,
};
pub use weights::save;

/// The folder of golden values; says so on standard output where there is none, and fails where they are required.
#[cfg(test)]
fn goldens() -> Option<std::path::PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/goldens");
    let dir =
        std::env::var_os("ECG_GOLDENS").map_or_else(|| beside.into(), std::path::PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    assert!(
        std::env::var_os("ECG_REQUIRE_DATA").is_none_or(|value| value != "1"),
        "no golden values, and ECG_REQUIRE_DATA is 1"
    );
    println!("skipped: no golden values");
    None
}
