//! A plain residual network on signals of 10 s at 100 Hz (He et al., CVPR 2016, <https://doi.org/10.1109/CVPR.2016.90>,
//! along one axis).
//!
//! It is not from the study, but a baseline for the study's networks. Both modes are the same.

use tch::Tensor;

use crate::init::Init;
use crate::layers::{Activation, BatchNorm, Conv, Dense, Padding, Pass, Result, dropout, max_pool};
use crate::params::Builder;
use crate::trace::{Channels, Op};

const STEM: usize = 15;
const KERNEL: usize = 7;
const DROPOUT: f64 = 0.2;
/// Channels of the residual units. Each unit halves the length: 250, 125, 63, 32.
const UNITS: [usize; 4] = [64, 96, 128, 192];

#[derive(Debug)]
struct Unit {
    conv_1: Conv,
    bn_1: BatchNorm,
    conv_2: Conv,
    bn_2: BatchNorm,
    skip: Conv,
}

impl Unit {
    fn new(b: &mut Builder, path: &str, channels: [usize; 2]) -> Result<Self> {
        let [_, out] = channels;
        Ok(Self {
            conv_1: Conv::he_1d(b, &format!("{path}.conv_1"), KERNEL, channels, 2)?,
            bn_1: BatchNorm::new(b, &format!("{path}.bn_1"), out)?,
            conv_2: Conv::he_1d(b, &format!("{path}.conv_2"), KERNEL, [out, out], 1)?,
            bn_2: BatchNorm::new(b, &format!("{path}.bn_2"), out)?,
            skip: Conv::he_1d(b, &format!("{path}.skip"), 1, channels, 1)?,
        })
    }

    /// `[n, input, time]` -> `[n, output, time / 2]`.
    fn forward(&self, input: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let x = self.conv_1.forward(input, pass)?;
        let x = pass.relu(self.bn_1.forward(&x, pass)?)?;
        let x = self.conv_2.forward(&dropout(&x, DROPOUT, pass)?, pass)?;
        let x = self.bn_2.forward(&x, pass)?;
        let skip = self.skip.forward(&max_pool(input, 2, 2, Padding::Same, pass)?, pass)?;
        pass.relu(pass.add(&x, &skip)?)
    }
}

#[derive(Debug)]
pub(crate) struct ResNet1d {
    conv: Conv,
    bn: BatchNorm,
    units: Vec<Unit>,
    dense: Dense,
}

impl ResNet1d {
    pub(crate) fn new(b: &mut Builder, n_labels: usize) -> Result<Self> {
        let mut channels = UNITS[0];
        let first = Conv::he_1d(b, "conv", STEM, [12, channels], 2)?;
        let bn = BatchNorm::new(b, "bn", channels)?;
        let mut units = Vec::new();
        for (k, out) in UNITS.into_iter().enumerate() {
            units.push(Unit::new(b, &format!("unit_{}", k + 1), [channels, out])?);
            channels = out;
        }
        let dense = Dense::new(b, "dense", [2 * channels, n_labels], Init::GlorotUniform)?;
        Ok(Self { conv: first, bn, units, dense })
    }

    /// `[n, 12, 1000]` -> logits `[n, label]`.
    pub(crate) fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let x = self.conv.forward(x, pass)?;
        let mut x = pass.relu(self.bn.forward(&x, pass)?)?; // [n, 64, 500]
        for unit in &self.units {
            x = unit.forward(&x, pass)?; // [n, 64, 250], [n, 96, 125], [n, 128, 63], [n, 192, 32]
        }
        // The average of each feature, and its maximum: whether it occurs at all.
        let mean = x.f_mean_dim([2i64].as_slice(), false, None)?;
        let mean = pass.step(Op::GlobalAverage, Channels::Last, &[&x], mean)?;
        let most = x.f_amax([2i64].as_slice(), false)?;
        let most = pass.step(Op::GlobalMax, Channels::Last, &[&x], most)?;
        let x = pass.concatenate(&[mean, most], 1)?; // [n, 384]
        self.dense.forward(&dropout(&x, DROPOUT, pass)?, Activation::Linear, pass)
    }
}
