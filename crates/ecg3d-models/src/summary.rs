use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::trace::Seen;
use crate::{Architecture, Network, Preset};

/// What a network is made of, in the manner of Keras's `summary`: see [`Network::summary`].
///
/// ```
/// use ecg3d_models::{Architecture, Network, Preset};
/// use tch::Device;
///
/// # fn main() -> Result<(), ecg3d_models::ModelError> {
/// let network = Network::new(Architecture::Sobahi, Preset::Published, 7, Device::Cpu, 1)?;
/// let summary = network.summary()?;
/// assert_eq!(summary.layers[1].output_shape, [43, 43, 43, 8]);
/// assert_eq!((summary.parameters, summary.macs), (7_000_383, 296_402_096));
/// println!("{summary}"); // a table
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Which network.
    pub architecture: Architecture,
    /// Whether it is the study's program or its text.
    pub mode: Preset,
    /// The layers in the order in which a batch goes through them; the first is the input, the last gives the logits.
    pub layers: Vec<LayerSummary>,
    /// Values of all parameters and running statistics.
    pub parameters: usize,
    /// Those of them that training changes.
    pub trainable: usize,
    /// Products that are summed up for one record.
    pub macs: u64,
}

/// A layer of a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerSummary {
    /// The prefix of its parameters' names, such as `block_1.conv_1`; without parameters, its kind with a number.
    pub name: String,
    /// What it does.
    pub kind: LayerKind,
    /// More on that: sizes of kernels and strides, an activation, a share; empty where there is nothing to say.
    pub detail: String,
    /// The layers whose outputs it takes, in order.
    pub inputs: Vec<String>,
    /// Shape of the output for one record, the channels last: `[depth, height, width, channel]`, `[time, channel]`. The
    /// input's is as [`Architecture::input_shape`] has it.
    pub output_shape: Vec<usize>,
    /// Values of its parameters and running statistics.
    pub parameters: usize,
    /// Those of them that training changes.
    pub trainable: usize,
    /// Products that it sums up for one record: each value of a kernel, at each position of the output. What is less than
    /// a hundredth of it all, biases, normalisations, activations and attention, is left out, and the edges that `same`
    /// pads count as the rest.
    pub macs: u64,
}

/// What a layer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LayerKind {
    /// What the network is given.
    Input,
    /// A convolutional LSTM over the first axis.
    #[serde(rename = "ConvLSTM2D")]
    ConvLstm2d,
    /// A convolution along time.
    #[serde(rename = "Conv1D")]
    Conv1d,
    /// A convolution over depth, height and width.
    #[serde(rename = "Conv3D")]
    Conv3d,
    /// A normalisation by the statistics of each channel.
    #[serde(rename = "BatchNormalization")]
    BatchNorm,
    /// A matrix product over the last axis, with its activation.
    Dense,
    /// What is positive.
    #[serde(rename = "ReLU")]
    Relu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// Exponentials as shares of their sum.
    Softmax,
    /// Sets a share of the values to zero, in training only.
    Dropout,
    /// The largest value of each block.
    #[serde(rename = "MaxPooling")]
    MaxPool,
    /// The mean of each channel.
    #[serde(rename = "GlobalAveragePooling")]
    GlobalAverage,
    /// The largest value of each channel.
    #[serde(rename = "GlobalMaxPooling")]
    GlobalMax,
    /// Product, value by value.
    Multiply,
    /// Sum, value by value.
    Add,
    /// The first input scaled, channel by channel, by the second, plus the third.
    ScaleAdd,
    /// Inputs behind one another along the channels.
    Concatenate,
    /// All axes as one.
    Flatten,
    /// The same values on other axes.
    Reshape,
}

impl LayerKind {
    /// The name in tables and files, Keras's where there is one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "Input",
            Self::ConvLstm2d => "ConvLSTM2D",
            Self::Conv1d => "Conv1D",
            Self::Conv3d => "Conv3D",
            Self::BatchNorm => "BatchNormalization",
            Self::Dense => "Dense",
            Self::Relu => "ReLU",
            Self::Sigmoid => "Sigmoid",
            Self::Softmax => "Softmax",
            Self::Dropout => "Dropout",
            Self::MaxPool => "MaxPooling",
            Self::GlobalAverage => "GlobalAveragePooling",
            Self::GlobalMax => "GlobalMaxPooling",
            Self::Multiply => "Multiply",
            Self::Add => "Add",
            Self::ScaleAdd => "ScaleAdd",
            Self::Concatenate => "Concatenate",
            Self::Flatten => "Flatten",
            Self::Reshape => "Reshape",
        }
    }
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Summary {
    /// Of a network and what was seen of a pass through it.
    pub(crate) fn new(network: &Network, seen: Vec<Seen>) -> Self {
        let mut unnamed: HashMap<LayerKind, usize> = HashMap::new();
        let names: Vec<String> = seen
            .iter()
            .map(|layer| {
                if layer.kind == LayerKind::Input {
                    return "input".to_owned();
                }
                if !layer.path.is_empty() {
                    return layer.path.clone();
                }
                let count = unnamed.entry(layer.kind).or_default();
                *count += 1;
                format!("{}_{count}", layer.kind.name().to_lowercase())
            })
            .collect();
        let layers: Vec<LayerSummary> = seen
            .into_iter()
            .zip(&names)
            .map(|(layer, name)| {
                let own = |(path, _): &(&str, _)| {
                    path.rsplit_once('.').is_some_and(|(layer, _)| layer == name)
                };
                let positions: usize = layer.shape.iter().rev().skip(1).product();
                let kernels =
                    network.tensors().filter(own).filter(|(path, _)| path.ends_with("kernel"));
                let products: usize = kernels.map(|(_, kernel)| kernel.numel()).sum();
                LayerSummary {
                    parameters: network.tensors().filter(own).map(|(_, x)| x.numel()).sum(),
                    trainable: network.trainable().filter(own).map(|(_, x)| x.numel()).sum(),
                    macs: (products * positions) as u64,
                    name: name.clone(),
                    kind: layer.kind,
                    detail: layer.detail,
                    inputs: layer.inputs.iter().map(|k| names[*k].clone()).collect(),
                    output_shape: layer.shape,
                }
            })
            .collect();
        Self {
            architecture: network.architecture(),
            mode: network.mode(),
            parameters: layers.iter().map(|layer| layer.parameters).sum(),
            trainable: layers.iter().map(|layer| layer.trainable).sum(),
            macs: layers.iter().map(|layer| layer.macs).sum(),
            layers,
        }
    }
}

/// A table, one line a layer, and the totals.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unless_none = |n: u64| if n == 0 { String::new() } else { grouped(n) };
        let head = ["layer", "kind", "", "output", "parameters", "trainable", "MACs", "takes"];
        let mut rows = vec![head.map(str::to_owned)];
        let mut before = "";
        for layer in &self.layers {
            // What takes the line above alone says nothing.
            let takes = match &layer.inputs[..] {
                [] => String::new(),
                [one] if one == before => String::new(),
                inputs => inputs.join(", "),
            };
            rows.push([
                layer.name.clone(),
                layer.kind.to_string(),
                layer.detail.clone(),
                format!("{:?}", layer.output_shape),
                unless_none(layer.parameters as u64),
                unless_none(layer.trainable as u64),
                unless_none(layer.macs),
                takes,
            ]);
            before = &layer.name;
        }
        rows.push([
            "total".to_owned(),
            String::new(),
            String::new(),
            String::new(),
            grouped(self.parameters as u64),
            grouped(self.trainable as u64),
            grouped(self.macs),
            String::new(),
        ]);
        let mut widths = [0; 8];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        writeln!(f, "{} ({})", self.architecture, self.mode)?;
        let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
        for (k, row) in rows.iter().enumerate() {
            if k == 1 || k + 1 == rows.len() {
                writeln!(f, "{rule}")?;
            }
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                // Numbers stand at the right.
                line += &match column {
                    4..=6 => format!("{cell:>width$}  "),
                    _ => format!("{cell:<width$}  "),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Digits in groups of three, as [`Summary`] prints them.
///
/// ```
/// assert_eq!(ecg3d_models::grouped(7_000_383), "7,000,383");
/// ```
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (k, digit) in digits.chars().enumerate() {
        if k > 0 && (digits.len() - k).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
