//! Sobahi et al., "Attention-based 3D CNN with residual connections for efficient ECG-based COVID-19 detection",
//! Comput. Biol. Med. 143, 2022, 105335, <https://doi.org/10.1016/j.compbiomed.2022.105335>, as built in the 3DECG-Net
//! study.
//!
//! Both modes are the same, because the study's program does not depart from its text here.

use tch::Tensor;

use crate::init::Init;
use crate::layers::{
    Activation, BatchNorm, Conv, ConvOptions, Dense, Padding, Pass, Result, channels_last, dropout,
};
use crate::params::Builder;
use crate::trace::{Channels, Op};

const DROPOUT: f64 = 0.25;
const CHANNELS: usize = 8;
/// Positions along an axis after the first convolution, which does not pad.
const SIDE: usize = 43;

#[derive(Debug)]
pub(crate) struct Sobahi {
    conv_1: Conv,
    bn_1: BatchNorm,
    conv_2: Conv,
    bn_2: BatchNorm,
    conv_3: Conv,
    bn_3: BatchNorm,
    dense: Dense,
}

impl Sobahi {
    pub(crate) fn new(b: &mut Builder, n_labels: usize) -> Result<Self> {
        let valid = ConvOptions { padding: Padding::Valid, ..ConvOptions::default() };
        let same = ConvOptions::default();
        let flat = SIDE.pow(3) * CHANNELS;
        Ok(Self {
            conv_1: Conv::new(b, "conv_1", &[3; 3], [1, CHANNELS], valid)?,
            bn_1: BatchNorm::new(b, "bn_1", CHANNELS)?,
            conv_2: Conv::new(b, "conv_2", &[3; 3], [CHANNELS; 2], same)?,
            bn_2: BatchNorm::new(b, "bn_2", CHANNELS)?,
            conv_3: Conv::new(b, "conv_3", &[3; 3], [CHANNELS; 2], same)?,
            bn_3: BatchNorm::new(b, "bn_3", flat)?,
            dense: Dense::new(b, "dense", [flat, n_labels], Init::GlorotUniform)?,
        })
    }

    /// `[n, 45, 45, 45]` -> logits `[n, label]`.
    pub(crate) fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let x = self.conv_1.forward_normalised(&channels_last(x)?, &self.bn_1, pass)?;
        let a = pass.relu(x)?; // [n, 8, 43, 43, 43]
        let x = self.conv_2.forward(&dropout(&a, DROPOUT, pass)?, pass)?;
        let x = pass.add(&x, &a)?;
        let b = pass.relu(self.bn_2.forward(&x, pass)?)?; // [n, 8, 43, 43, 43]
        let c = self.conv_3.forward(&dropout(&b, DROPOUT, pass)?, pass)?;
        let x = pass.add(&c, &b)?;
        let gate = pass.step(Op::Sigmoid, Channels::First, &[&x], x.f_sigmoid()?)?;
        let x = pass.step(Op::Multiply, Channels::First, &[&c, &gate], c.f_mul(&gate)?)?; // [n, 8, 43, 43, 43]
        let x = pass.flatten(&x.f_permute([0, 2, 3, 4, 1])?)?; // [n, 636056]
        let x = pass.relu(self.bn_3.forward(&x, pass)?)?;
        self.dense.forward(&x, Activation::Linear, pass)
    }
}
