//! Ribeiro et al., "Automatic diagnosis of the 12-lead ECG using a deep neural network", Nat. Commun. 11, 2020, 1760,
//! <https://doi.org/10.1038/s41467-020-15432-4>, at the size that the 3DECG-Net study gave it.

use tch::Tensor;

use crate::Preset;
use crate::init::Init;
use crate::layers::{Activation, BatchNorm, Conv, Dense, Padding, Pass, Result, dropout, max_pool};
use crate::params::Builder;
use crate::trace::{Channels, Op};

const KERNEL: usize = 16;
const DROPOUT: f64 = 0.2;
/// Channels and stride of each residual unit; the lengths are 100, 100, 34 and 17.
const UNITS: [(usize, i64); 4] = [(128, 1), (196, 1), (256, 3), (320, 2)];

/// A residual unit that returns its sum, taken before the normalisation, as the next unit's skip path.
#[derive(Debug)]
struct Unit {
    conv_1: Conv,
    bn_1: BatchNorm,
    conv_2: Conv,
    skip: Conv,
    bn_2: BatchNorm,
    stride: i64,
}

impl Unit {
    fn new(b: &mut Builder, path: &str, channels: [usize; 2], stride: i64) -> Result<Self> {
        let [_, out] = channels;
        Ok(Self {
            conv_1: Conv::he_1d(b, &format!("{path}.conv_1"), KERNEL, channels, 1)?,
            bn_1: BatchNorm::new(b, &format!("{path}.bn_1"), out)?,
            conv_2: Conv::he_1d(b, &format!("{path}.conv_2"), KERNEL, [out, out], stride)?,
            skip: Conv::he_1d(b, &format!("{path}.skip"), 1, channels, 1)?,
            bn_2: BatchNorm::new(b, &format!("{path}.bn_2"), out)?,
            stride,
        })
    }

    /// Takes a main path `x` and a skip path `y`, both `[n, input, time]`, to both `[n, output, time / stride]`.
    fn forward(&self, x: &Tensor, y: &Tensor, pass: Pass<'_>) -> Result<(Tensor, Tensor)> {
        let shorter = max_pool(y, self.stride, self.stride, Padding::Same, pass)?;
        let skip = self.skip.forward(&shorter, pass)?;
        let x = self.conv_1.forward(x, pass)?;
        let x = pass.relu(self.bn_1.forward(&x, pass)?)?;
        let x = self.conv_2.forward(&dropout(&x, DROPOUT, pass)?, pass)?;
        let y = pass.add(&x, &skip)?;
        let x = pass.relu(self.bn_2.forward(&y, pass)?)?;
        Ok((dropout(&x, DROPOUT, pass)?, y))
    }
}

#[derive(Debug)]
pub(crate) struct Ribeiro {
    mode: Preset,
    conv: Conv,
    bn: BatchNorm,
    units: Vec<Unit>,
    dense: Dense,
}

impl Ribeiro {
    pub(crate) fn new(b: &mut Builder, mode: Preset, n_labels: usize) -> Result<Self> {
        let first = Conv::he_1d(b, "conv", KERNEL, [12, 64], 1)?;
        let bn = BatchNorm::new(b, "bn", 64)?;
        let mut units = Vec::new();
        let mut channels = 64;
        for (k, (out, stride)) in UNITS.into_iter().enumerate() {
            units.push(Unit::new(b, &format!("unit_{}", k + 1), [channels, out], stride)?);
            channels = out;
        }
        let dense = Dense::new(b, "dense", [17 * channels, n_labels], Init::HeNormal)?;
        Ok(Self { mode, conv: first, bn, units, dense })
    }

    /// `[n, 12, 100]` -> logits `[n, label]`.
    pub(crate) fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let x = match self.mode {
            // The study reshaped [12, 100] to [100, 12], which mixes leads and time.
            Preset::Published => {
                let y = x.f_reshape([-1, 100, 12])?.f_transpose(1, 2)?.f_contiguous()?;
                let op = Op::Reshape { how: "row by row, not transposed" };
                pass.step(op, Channels::First, &[x], y)?
            }
            Preset::Corrected => {
                let op = Op::Reshape { how: "transposed" };
                pass.step(op, Channels::First, &[x], x.shallow_clone())?
            }
        }; // [n, 12, 100]
        let x = self.conv.forward(&x, pass)?;
        let mut x = pass.relu(self.bn.forward(&x, pass)?)?; // [n, 64, 100]
        let mut y = x.shallow_clone();
        for unit in &self.units {
            (x, y) = unit.forward(&x, &y, pass)?; // [n, 128, 100], [n, 196, 100], [n, 256, 34], [n, 320, 17]
        }
        let x = pass.flatten(&x.f_transpose(1, 2)?)?; // [n, 5440], time by channel
        self.dense.forward(&x, Activation::Linear, pass)
    }
}
