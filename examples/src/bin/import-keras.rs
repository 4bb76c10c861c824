//! Converts the study's Keras weight files to weights of this toolkit.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use ecg3d_examples::{check_inputs, say};
use ecg3d_models::{Architecture, ModelCard, Preset, import_keras, save};

/// Converts a weights file of Keras 2 (.h5, compiled or not, or .weights.h5) to a .safetensors file with a
/// model card, and writes a readable copy of the card beside it.
///
/// A whole model contains its graph, and each layer is compared with the network's. Bare weights (.weights.h5,
/// or a legacy .h5 by save_weights) contain no graph: layers are taken in order, and only their number and
/// shapes are checked. The card's origin then says "graph not in the file".
#[derive(Parser)]
#[command(name = "import-keras", version)]
struct Arguments {
    /// Keras weights file
    #[arg(long, value_name = "FILE")]
    h5: PathBuf,
    /// The network in the file: 3decgnet, zhang, sobahi or ribeiro
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Weights file to write; its name must end in .safetensors
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Preprocessing and mode that the weights were trained with: published or corrected. The corrected
    /// 3DECG-Net and Zhang's network have different weights, so Keras weights cannot be imported for them
    #[arg(long, value_name = "P", default_value_t = Preset::Published)]
    preset: Preset,
}

fn main() -> ExitCode {
    ecg3d_examples::run(import)
}

fn import(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { h5, model, out, preset } = arguments;
    let architecture: Architecture = model.parse()?;
    ensure!(
        out.extension().is_some_and(|extension| extension == "safetensors"),
        "--out is {}, expected a name that ends in .safetensors",
        out.display()
    );
    check_inputs(&out, [&h5])?;
    let copy = out.with_extension("json");
    let is_card = |text: String| serde_json::from_str::<ModelCard>(&text).is_ok();
    ensure!(
        !copy.exists() || std::fs::read_to_string(&copy).is_ok_and(is_card),
        "{} would be overwritten, but it is not a model card; choose another --out",
        copy.display()
    );
    let (network, card) = import_keras(&h5, architecture, preset)?;
    save(&network, &card, &out)?;
    let (parameters, trained) = network.parameter_count();
    say!(
        "{}: {architecture} ({preset}), {parameters} parameters, {trained} of them trainable",
        out.display()
    );
    Ok(ExitCode::SUCCESS)
}
