//! 3DECG-Net: Sadeghi et al., Comput. Biol. Med. 182, 2024, 109126, <https://doi.org/10.1016/j.compbiomed.2024.109126>.
//!
//! Two departures of the study's program from its figure are kept in both modes, since its weights need them: there are
//! no peepholes in the convolutional LSTM, and one dense layer fewer at the end.

use tch::Tensor;

use crate::Preset;
use crate::init::Init;
use crate::layers::{
    Activation, BatchNorm, Conv, ConvLstm2d, ConvOptions, Dense, Padding, Pass, Result,
    SqueezeExcite, dropout, max_pool,
};
use crate::params::Builder;
use crate::trace::{Channels, Op};

const DROPOUT: f64 = 0.25;
const POOL: i64 = 7;

/// A residual block, normalised before each convolution, with squeeze and excitation.
#[derive(Debug)]
struct Block {
    bn_1: BatchNorm,
    conv_1: Conv,
    bn_2: BatchNorm,
    conv_2: Conv,
    se: SqueezeExcite,
    skip: Conv,
}

impl Block {
    fn new(b: &mut Builder, path: &str, [input, output]: [usize; 2]) -> Result<Self> {
        let options = ConvOptions::default();
        let conv = |b: &mut Builder, name: &str, size: usize, channels: [usize; 2]| {
            Conv::new(b, &format!("{path}.{name}"), &[size; 3], channels, options)
        };
        Ok(Self {
            bn_1: BatchNorm::new(b, &format!("{path}.bn_1"), input)?,
            conv_1: conv(b, "conv_1", 3, [input, output])?,
            bn_2: BatchNorm::new(b, &format!("{path}.bn_2"), output)?,
            conv_2: conv(b, "conv_2", 3, [output, output])?,
            se: SqueezeExcite::new(b, &format!("{path}.se"), output, 4)?,
            skip: conv(b, "skip", 1, [input, output])?,
        })
    }

    /// `[n, input, 45, 45, 45]` -> `[n, output, 45, 45, 45]`.
    fn forward(&self, input: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let x = pass.relu(self.bn_1.forward(input, pass)?)?;
        let x = self.conv_1.forward(&x, pass)?;
        let x = pass.relu(self.bn_2.forward(&x, pass)?)?;
        let x = self.conv_2.forward(&x, pass)?;
        self.se.forward(&x, &self.skip.forward(input, pass)?, pass)
    }
}

/// An attention head of one channel.
#[derive(Debug)]
struct Head {
    key: Dense,
    query: Dense,
    value: Dense,
}

impl Head {
    fn new(b: &mut Builder, path: &str) -> Result<Self> {
        let mut dense =
            |name: &str| Dense::new(b, &format!("{path}.{name}"), [32, 1], Init::GlorotUniform);
        Ok(Self { key: dense("key")?, query: dense("query")?, value: dense("value")? })
    }

    /// `[n, depth, height, width, 32]` -> `[n, depth, height, width, 1]`.
    fn forward(&self, x: &Tensor, mode: Preset, pass: Pass<'_>) -> Result<Tensor> {
        let key = self.key.forward(x, Activation::Linear, pass)?;
        let query = self.query.forward(x, Activation::Linear, pass)?;
        let value = self.value.forward(x, Activation::Linear, pass)?;
        let product =
            |x: &Tensor, y: &Tensor| pass.step(Op::Multiply, Channels::Last, &[x, y], x.f_mul(y)?);
        let score = product(&key, &query)?;
        let (over, alpha) = match mode {
            // The study's softmax runs over an axis of length 1, so alpha is 1 and key and query learn nothing.
            Preset::Published => ("over one channel", score.f_softmax(-1, None)?),
            Preset::Corrected => {
                let alpha = score.f_flatten(1, -1)?.f_softmax(1, None)?;
                ("over all positions", alpha.f_view_as(&score)?)
            }
        };
        let alpha = pass.step(Op::Softmax { over }, Channels::Last, &[&score], alpha)?;
        product(&alpha, &value)
    }
}

#[derive(Debug)]
pub(crate) struct ThreeDEcgNet {
    mode: Preset,
    conv_lstm_1: ConvLstm2d,
    bn_1: BatchNorm,
    conv_lstm_2: ConvLstm2d,
    bn_2: BatchNorm,
    blocks: Vec<Block>,
    heads: Vec<Head>,
    dense_1: Dense,
    dense_2: Dense,
    dense_3: Dense,
}

impl ThreeDEcgNet {
    pub(crate) fn new(b: &mut Builder, mode: Preset, n_labels: usize) -> Result<Self> {
        let conv_lstm_1 = ConvLstm2d::new(b, "conv_lstm_1", 3, [1, 16])?;
        let bn_1 = BatchNorm::new(b, "bn_1", 16)?;
        let conv_lstm_2 = ConvLstm2d::new(b, "conv_lstm_2", 3, [16, 16])?;
        let bn_2 = BatchNorm::new(b, "bn_2", 16)?;
        let blocks = vec![
            Block::new(b, "block_1", [16, 32])?,
            Block::new(b, "block_2", [32, 32])?,
            Block::new(b, "block_3", [32, 32])?,
        ];
        let heads = vec![Head::new(b, "head_1")?, Head::new(b, "head_2")?, Head::new(b, "head_3")?];
        // What pooling leaves: 6 x 6 x 6 positions (published), or 7 x 7 x 7 with nothing dropped at the far ends.
        let side: usize = match mode {
            Preset::Published => 6,
            Preset::Corrected => 7,
        };
        let flat = side.pow(3) * heads.len();
        let dense_1 = Dense::new(b, "dense_1", [flat, 128], Init::GlorotUniform)?;
        let dense_2 = Dense::new(b, "dense_2", [128, 16], Init::GlorotUniform)?;
        let dense_3 = Dense::new(b, "dense_3", [16, n_labels], Init::GlorotUniform)?;
        Ok(Self {
            mode,
            conv_lstm_1,
            bn_1,
            conv_lstm_2,
            bn_2,
            blocks,
            heads,
            dense_1,
            dense_2,
            dense_3,
        })
    }

    /// `[n, 45, 45, 45]` -> logits `[n, label]`.
    pub(crate) fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        // Depth is the time axis of the LSTMs: [n, step, channel, height, width]; then [n, channel, depth, height, width],
        // with the channels last in memory.
        let x = self.conv_lstm_1.forward(&x.f_unsqueeze(2)?, pass)?;
        let x = self.bn_1.forward_steps(&x, pass)?; // [n, 45, 16, 45, 45]
        let x = self.conv_lstm_2.forward(&x, pass)?;
        let x = self.bn_2.forward_steps(&x, pass)?.f_permute([0, 1, 3, 4, 2])?;
        let mut x = x.f_contiguous()?.f_permute([0, 4, 1, 2, 3])?; // [n, 16, 45, 45, 45]
        for block in &self.blocks {
            x = block.forward(&x, pass)?; // [n, 32, 45, 45, 45]
        }
        let padding = match self.mode {
            Preset::Published => Padding::Valid,
            Preset::Corrected => Padding::Same,
        };
        let x = max_pool(&x, POOL, POOL, padding, pass)?; // [n, 32, 6, 6, 6]; corrected 7, 7, 7
        let x = x.f_permute([0, 2, 3, 4, 1])?; // [n, 6, 6, 6, 32]
        let heads: Vec<Tensor> = self
            .heads
            .iter()
            .map(|head| head.forward(&x, self.mode, pass))
            .collect::<Result<_>>()?;
        let x = pass.flatten(&pass.concatenate(&heads, -1)?)?; // [n, 648]; corrected 1029
        let x = self.dense_1.forward(&x, Activation::Relu, pass)?; // [n, 128]
        let x = self.dense_2.forward(&x, Activation::Relu, pass)?; // [n, 16]
        self.dense_3.forward(&dropout(&x, DROPOUT, pass)?, Activation::Linear, pass)
    }
}
