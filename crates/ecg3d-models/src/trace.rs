//! The trace of a pass through a network: its layers in order, the inputs of each, and its output.

use std::collections::HashMap;

use tch::Tensor;

use crate::LayerKind;
use crate::layers::Padding;

/// What a layer does, as shown in a summary.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op<'a> {
    Input,
    ConvLstm2d { kernel: &'a Tensor },
    Conv { sizes: &'a [i64], stride: i64, padding: Padding },
    BatchNorm,
    Dense { activation: &'static str },
    Relu,
    Sigmoid,
    Softmax { over: &'static str },
    Dropout { share: f64 },
    MaxPool { size: i64, stride: i64, padding: Padding },
    GlobalAverage,
    GlobalMax,
    Multiply,
    Add,
    ScaleAdd,
    Concatenate,
    Flatten,
    Reshape { how: &'static str },
}

impl Op<'_> {
    fn kind(&self) -> LayerKind {
        match self {
            Self::Input => LayerKind::Input,
            Self::ConvLstm2d { .. } => LayerKind::ConvLstm2d,
            Self::Conv { sizes, .. } if sizes.len() == 1 => LayerKind::Conv1d,
            Self::Conv { .. } => LayerKind::Conv3d,
            Self::BatchNorm => LayerKind::BatchNorm,
            Self::Dense { .. } => LayerKind::Dense,
            Self::Relu => LayerKind::Relu,
            Self::Sigmoid => LayerKind::Sigmoid,
            Self::Softmax { .. } => LayerKind::Softmax,
            Self::Dropout { .. } => LayerKind::Dropout,
            Self::MaxPool { .. } => LayerKind::MaxPool,
            Self::GlobalAverage => LayerKind::GlobalAverage,
            Self::GlobalMax => LayerKind::GlobalMax,
            Self::Multiply => LayerKind::Multiply,
            Self::Add => LayerKind::Add,
            Self::ScaleAdd => LayerKind::ScaleAdd,
            Self::Concatenate => LayerKind::Concatenate,
            Self::Flatten => LayerKind::Flatten,
            Self::Reshape { .. } => LayerKind::Reshape,
        }
    }

    fn detail(&self) -> String {
        let window = |sizes: &[i64], stride: i64, padding: Padding| {
            let mut text = sizes.iter().map(i64::to_string).collect::<Vec<_>>().join("x");
            if stride > 1 {
                text += &format!(", stride {stride}");
            }
            // For a kernel of size 1, both kinds of padding are the same.
            if sizes.iter().any(|size| *size > 1) {
                text += match padding {
                    Padding::Same => ", same",
                    Padding::Valid => ", valid",
                };
            }
            text
        };
        match *self {
            Self::ConvLstm2d { kernel } => window(&kernel.size()[2..], 1, Padding::Same),
            Self::Conv { sizes, stride, padding } => window(sizes, stride, padding),
            Self::MaxPool { size, stride, padding } => window(&[size], stride, padding),
            Self::Dense { activation } => activation.to_owned(),
            Self::Softmax { over } => over.to_owned(),
            Self::Dropout { share } => share.to_string(),
            Self::Reshape { how } => how.to_owned(),
            _ => String::new(),
        }
    }
}

/// The axis of a batch's tensor that holds the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channels {
    /// `[n, channel, axis..]`.
    First,
    /// `[n, step, channel, height, width]`.
    Third,
    /// `[n, axis.., channel]`.
    Last,
}

impl Channels {
    /// Returns the shape of one record's part of `y`, with the channels last.
    fn last(self, y: &Tensor) -> Vec<usize> {
        let mut shape: Vec<usize> = y.size()[1..].iter().map(|n| *n as usize).collect();
        match self {
            Self::First => shape.rotate_left(1),
            Self::Third => shape[1..].rotate_left(1),
            Self::Last => {}
        }
        shape
    }
}

/// A layer that a batch went through.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Prefix of the layer's parameter names; empty if it has no parameters.
    pub path: String,
    pub kind: LayerKind,
    pub detail: String,
    /// Indices of the layers whose outputs it took.
    pub inputs: Vec<usize>,
    /// Shape of one record's output, with the channels last.
    pub shape: Vec<usize>,
    pub output: Tensor,
}

/// The layers that a batch has gone through so far.
///
/// A layer's inputs are recognised by their address in memory. So the trace keeps all outputs alive, and an output that
/// shares the memory of its input must be copied first ([`Trace::holds`]).
#[derive(Debug, Default)]
pub(crate) struct Trace {
    layers: Vec<Seen>,
    places: HashMap<usize, usize>,
}

impl Trace {
    /// Returns whether a tensor shares the memory of a layer's output.
    pub(crate) fn holds(&self, x: &Tensor) -> bool {
        self.places.contains_key(&address(x))
    }

    pub(crate) fn push(
        &mut self,
        path: &str,
        op: Op<'_>,
        channels: Channels,
        inputs: &[&Tensor],
        y: &Tensor,
    ) {
        let inputs = inputs.iter().filter_map(|x| self.places.get(&address(x)).copied()).collect();
        self.places.insert(address(y), self.layers.len());
        self.layers.push(Seen {
            path: path.to_owned(),
            kind: op.kind(),
            detail: op.detail(),
            inputs,
            shape: channels.last(y),
            output: y.shallow_clone(),
        });
    }

    pub(crate) fn into_layers(self) -> Vec<Seen> {
        self.layers
    }
}

fn address(x: &Tensor) -> usize {
    x.data_ptr() as usize
}
