//! 3DECG-Net and its benchmark networks on libtorch: inference, training, Keras import.
//!
//! ```
//! use ecg3d_models::ecg_core::{LabelSet, Predict};
//! use ecg3d_models::ecg3d_convert::ConvertConfig;
//! use ecg3d_models::ndarray::Array3;
//! use ecg3d_models::tch::Device;
//! use ecg3d_models::{Architecture, Model, ModelCard, Network, Preset};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // An untrained network; `Model::shipped` and `Model::load` return trained ones.
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
//! To go from a recording, as read from a file, to its labels, see [`Model::prepare`] and [`Model::predict_one`].
//!
//! # Set-up
//!
//! The crate links libtorch 2.11, which must be present when the crate is built and when programs run. In a checkout of
//! the repository, `cargo xtask setup` fetches one for the CPU. Elsewhere, the variable `LIBTORCH` names its folder,
//! and the crate that contains the program needs a `build.rs` that tells the program where libtorch is at run time, and
//! makes it load libtorch's CUDA half if there is one:
//!
//! ```no_run
//! use std::path::Path;
//! // Set by `torch-sys`, which must be among the dependencies.
//! let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
//! println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
//! // Nothing calls the CUDA half by name, so the linker would leave it out, and the program would stay on the CPU.
//! let cuda = Path::new(&lib).join("libtorch_cuda.so");
//! if cuda.is_file() {
//!     let cuda = cuda.display();
//!     println!("cargo::rustc-link-arg=-Wl,--push-state,--no-as-needed,{cuda},--pop-state");
//!     println!("cargo::rustc-link-arg=-Wl,--allow-shlib-undefined");
//! }
//! ```
//!
//! A GPU needs a libtorch that was built for CUDA; see `docs/CONTRIBUTING.md` in the repository. An empty
//! `CUDA_VISIBLE_DEVICES` keeps a program on the CPU.
//!
//! `tch`, `ndarray`, `serde_json`, `ecg_core` and `ecg3d_convert` are re-exported in the versions that this crate's
//! signatures use.
//!
//! # Which type for which job
//!
//! | type | what |
//! |---|---|
//! | [`Model`] | a network with its card: loads and saves weights, predicts, also from subsets of the leads |
//! | [`ModelCard`] | what weights say about themselves: network, labels, preprocessing, window pooling, thresholds |
//! | [`Network`] | the parameters and the passes through them, for training and for looking inside |
//! | [`Architecture`], [`InputKind`] | which network, and what it reads |
//! | [`Summary`], [`LayerSummary`], [`grouped`] | a network's layers with shapes, parameters and operations |
//! | [`FrontEnd`] | from windows to volumes by tensor operations, for instance on a GPU |
//! | [`Preset`] | the network of the study's program, or of the study's text |
//! | [`import_keras`] | reads the study's weight files |
//! | [`save`] | writes weights and card to one file |
//! | [`replace_best`] | gives the best weights of a run another card |
//! | [`train`](train()), [`TrainConfig`], [`TrainData`], [`Observer`] | training, with an example |
//! | [`check_run_dir`] | whether a run can begin or go on in a folder, before any data are loaded |
//! | [`TrainConfig::of`], [`Architecture::preprocessing`] | the recipe and the preprocessing of a network |
//! | [`KerasAdam`], [`Schedule`], [`Loss`] | parts of training, for a loop by hand |
//! | [`validation_thresholds`] | chooses the probability above which a label is predicted |
//! | [`Precision`] | `f32` or `bf16`: [`Model::with_precision`], [`Network::set_precision`]; [`Precision::quickest`] chooses |
//! | [`WindowPooling`] | mean or maximum of the logits of a record's windows, in [`ModelCard`] and [`TrainConfig`] |
//! | [`keep_freed_memory`] | the first line of a program that trains: 3DECG-Net then takes two thirds of the time |
//! | [`check_simd`] | makes an error of a wrong `ECG3D_SIMD`, which would panic later |
//!
//! A [`Model`] predicts from recordings, prepared signals, lead images or volumes. Training follows the study's recipe
//! or another one, and an [`Observer`] can watch it and end it.
//!
//! # Conventions
//!
//! Prepared signals are `[record, lead, sample]` at 50 Hz (resnet1d: 100 Hz). Volumes are
//! `[record, depth, height, width]` (45 each: leads, time, time), and lead images are `[record, lead, height, width]`.
//! All are `f32` in the units of the preprocessing: ADC units (published) or mV (corrected). Probabilities are
//! `[record, label]`, `f64`, in the order of the label set; a record can have several labels at once. A label is
//! predicted if its probability is strictly above its threshold.
//!
//! The networks follow Keras where libtorch differs (batch normalisation, hard sigmoid, padding, initial values), and
//! are compared with Keras layer by layer. In published mode they are the study's programs, faults included. In
//! corrected mode:
//!
//! - 3DECG-Net pads before its pooling by 7, so that no plane is lost: 7 x 7 x 7 positions remain instead of 6 x 6 x 6.
//!   The softmax of its attention runs over these 343 positions, times 343, instead of over an axis of length 1. (The
//!   weights are 1 on average in both modes.)
//! - Zhang's network has a ReLU after each convolution except the residual projections, and residual additions, with
//!   576,960 more parameters.
//! - Ribeiro's network gets the signal transposed instead of reshaped.
//!
//! `docs/fidelity.md` lists every difference.
//!
//! Fresh parameters depend on the seed alone, not on the machine. [`tch::set_num_threads`] sets the number of threads
//! of a pass. Networks and models can be sent to another thread, but not shared between threads: give each thread a
//! copy of its own, made by [`Model::to_device`] or [`Network::to_device`].
//!
//! On x86-64, the environment variable `ECG3D_SIMD` makes the loops of this crate, which run 3DECG-Net on the CPU, use
//! less than the processor has, and those of `ecg3d-convert` too: `portable`, `avx2`, or `avx512`, which leaves out
//! AMX. Other values panic on first use; [`check_simd`] at the start of a program makes an error of that. The variable
//! is read once. Results then differ by rounding. libtorch ignores it.
//!
//! A [`ModelError`] says what failed; its [`source`](std::error::Error::source) says why. Print the whole chain, as
//! [`ModelError::with_causes`] and anyhow's `{error:#}` do.
//!
//! # Sibling crates
//!
//! `ecg-core` has the shared types, `ecg-io` reads recordings and splits them into folds by patient, `ecg3d-convert`
//! makes prepared signals and volumes, `ecg-lime` explains predictions, and `ecg-metrics` scores them.

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
mod pooling;
mod summary;
mod tape;
mod trace;
mod train;
mod weights;

// The types of other crates that appear in this crate's signatures.
pub use {ecg_core, ecg3d_convert, ndarray, serde_json, tch};

pub use architecture::{Architecture, InputKind};
pub use card::ModelCard;
pub use ecg3d_convert::{Preset, check_simd};
pub use error::ModelError;
pub use front_end::FrontEnd;
pub use keras::import_keras;
pub use memory::keep_freed_memory;
pub use model::Model;
pub use network::{Forward, Network, Precision};
pub use pooling::WindowPooling;
pub use summary::{LayerKind, LayerSummary, Summary, grouped};
pub use train::{
    Augment, BestBy, EpochLog, Event, KerasAdam, Loss, Observer, Outcome, Schedule, Thresholds,
    TrainConfig, TrainData, Warning, bce_from_logits, check_run_dir, replace_best, train,
    validation_thresholds,
};
pub use weights::save;
