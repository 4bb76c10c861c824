use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::trace::Seen;
use crate::{Architecture, Network, Preset};

/// The layers of a network, in the manner of Keras's `summary`; see [`Network::summary`].
///
/// ```
/// use ecg3d_models::tch::Device;
/// use ecg3d_models::{Architecture, Network, Preset};
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
    /// Whether the network is that of the study's program or of its text.
    pub mode: Preset,
    /// The layers in the order in which a batch goes through them. The first is the input, the last gives the logits.
    pub layers: Vec<LayerSummary>,
    /// Number of values of all parameters and running statistics.
    pub parameters: usize,
    /// How many of these values training changes.
    pub trainable: usize,
    /// Number of multiply-adds for one record.
    pub macs: u64,
}

/// A layer of a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerSummary {
    /// The prefix of the layer's parameter names, such as `block_1.conv_1`; without parameters, its kind with a number.
    pub name: String,
    /// What the layer does.
    pub kind: LayerKind,
    /// Details: sizes of kernels and strides, an activation, a rate; empty if there are none.
    pub detail: String,
    /// The layers whose outputs this layer takes, in order.
    pub inputs: Vec<String>,
    /// Shape of the output for one record, channels last: `[depth, height, width, channel]`, `[time, channel]`.
    ///
    /// The input has the shape of [`Architecture::input_shape`].
    pub output_shape: Vec<usize>,
    /// Number of values of the layer's parameters and running statistics.
    pub parameters: usize,
    /// How many of these values training changes.
    pub trainable: usize,
    /// Number of multiply-adds for one record: one for each value of a kernel at each position of the output.
    ///
    /// Counted are convolutions and dense layers, those of the attention too. Biases, normalisations, activations and
    /// element-wise products are not; they are less than a thirtieth of the total. Positions at the edges, where `same`
    /// pads, count like all others.
    pub macs: u64,
}

/// What a layer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LayerKind {
    /// The input of the network.
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
    /// Normalises each channel by its statistics.
    #[serde(rename = "BatchNormalization")]
    BatchNorm,
    /// A matrix product over the last axis, with its activation.
    Dense,
    /// Sets negative values to zero.
    #[serde(rename = "ReLU")]
    Relu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// Exponentials divided by their sum.
    Softmax,
    /// Sets a fraction of the values to zero, in training only.
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
    /// Element-wise product.
    Multiply,
    /// Element-wise sum.
    Add,
    /// The first input, scaled channel by channel by the second, plus the third.
    ScaleAdd,
    /// Inputs joined along the channels.
    Concatenate,
    /// All axes merged into one.
    Flatten,
    /// The same values on other axes.
    Reshape,
}

impl LayerKind {
    /// Returns the name in tables and files, which is Keras's if Keras has one.
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
    /// Makes the summary of a network from the trace of a pass through it.
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

/// A table with one line for each layer, and the totals.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unless_none = |n: u64| if n == 0 { String::new() } else { grouped(n) };
        let head = ["layer", "kind", "", "output", "parameters", "trainable", "MACs", "takes"];
        let mut rows = vec![head.map(str::to_owned)];
        let mut before = "";
        for layer in &self.layers {
            // A layer whose only input is the line above needs no mention of it.
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
                // Numbers are right-aligned.
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

/// Formats a number with its digits in groups of three, as [`Summary`] prints them.
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
