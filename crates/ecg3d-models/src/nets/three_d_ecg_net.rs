//! 3DECG-Net: Sadeghi et al., Comput. Biol. Med. 182, 2024, 109126, <https://doi.org/10.1016/j.compbiomed.2024.109126>.
//!
//! Both modes keep two departures of the study's program from its figure, because the study's weights need them: the
//! convolutional LSTMs have no peepholes, and there is one dense layer fewer at the end.

use tch::{Kind, Tensor};

use crate::Preset;
use crate::init::Init;
use crate::kernels::Bf16;
use crate::layers::hand;
use crate::layers::{
    Activation, BatchNorm, Conv, ConvLstm2d, ConvOptions, Dense, Padding, Pass, Result,
    SqueezeExcite, dropout, max_pool,
};
use crate::params::Builder;
use crate::trace::{Channels, Op};

mod by_hand;
mod held;
mod infer;

use held::HeldDense;

const DROPOUT: f64 = 0.25;
const POOL: i64 = 7;

/// Initial standard deviation of keys and queries.
///
/// Their products, the scores, then have a standard deviation of about .5. Attention thus tells the positions apart,
/// but no position takes all of it.
const KEY_DEVIATION: f64 = 0.7;

/// A residual block with a normalisation before each convolution, and with squeeze and excitation.
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
        let x = pass.relu(self.conv_1.forward_normalised(&x, &self.bn_2, pass)?)?;
        let x = self.conv_2.forward(&x, pass)?;
        self.se.forward(&x, &self.skip.forward(input, pass)?, pass)
    }
}

/// An attention head of one channel.
#[derive(Debug)]
struct Head {
    key: HeldDense,
    query: HeldDense,
    value: HeldDense,
}

impl Head {
    fn new(b: &mut Builder, path: &str) -> Result<Self> {
        let mut dense = |name: &str| HeldDense::new(b, &format!("{path}.{name}"), 32);
        Ok(Self { key: dense("key")?, query: dense("query")?, value: dense("value")? })
    }

    /// `[n, depth, height, width, 32]` -> `[n, depth, height, width, 1]`.
    fn forward(&self, x: &Tensor, mode: Preset, pass: Pass<'_>) -> Result<Tensor> {
        let alpha = self.attention(x, mode, pass)?;
        let value = self.value.forward(x, pass)?;
        product(&alpha, &value, pass)
    }

    fn layers(&self) -> [&HeldDense; 3] {
        [&self.key, &self.query, &self.value]
    }

    /// Standardises the outputs of the head's layers for `x`, `[n, depth, height, width, 32]`.
    fn standardise(&self, x: &Tensor) -> Result<()> {
        self.key.dense().standardise(x, KEY_DEVIATION)?;
        self.query.dense().standardise(x, KEY_DEVIATION)?;
        self.value.dense().standardise(x, 1.0)
    }

    /// Returns the weight of each position's value, `[n, depth, height, width, 1]`: 1 on average in both modes.
    ///
    /// For this, the corrected softmax is multiplied by the number of positions. The dense layers would hardly notice
    /// values divided by 343.
    fn attention(&self, x: &Tensor, mode: Preset, pass: Pass<'_>) -> Result<Tensor> {
        let key = self.key.forward(x, pass)?;
        let query = self.query.forward(x, pass)?;
        let score = product(&key, &query, pass)?;
        let (over, alpha) = match mode {
            // The study's softmax runs over an axis of length 1, so all weights are 1, and key and query learn nothing.
            Preset::Published => ("over one channel", score.f_softmax(-1, None)?),
            Preset::Corrected => {
                let flat = score.f_flatten(1, -1)?; // [n, 343]
                let alpha = flat.f_softmax(1, None)?.f_mul_scalar(flat.size()[1])?;
                ("over all positions, times their number", alpha.f_view_as(&score)?)
            }
        };
        pass.step(Op::Softmax { over }, Channels::Last, &[&score], alpha)
    }
}

/// Returns the product of two tensors `[n, axis.., channel]`.
fn product(x: &Tensor, y: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
    pass.step(Op::Multiply, Channels::Last, &[x, y], x.f_mul(y)?)
}

#[derive(Debug)]
pub(crate) struct ThreeDEcgNet {
    mode: Preset,
    conv_lstm_1: ConvLstm2d,
    bn_1: BatchNorm,
    conv_lstm_2: ConvLstm2d,
    bn_2: BatchNorm,
    blocks: Vec<Block>,
    /// All weights of the layers so far.
    body: Vec<Tensor>,
    heads: Vec<Head>,
    dense_1: Dense,
    dense_2: Dense,
    dense_3: Dense,
}

/// Returns the side of a volume after pooling; in corrected mode, nothing is dropped at the far ends.
const fn pooled_side(mode: Preset) -> usize {
    match mode {
        Preset::Published => 6,
        Preset::Corrected => 7,
    }
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
        let body = b.weights();
        let heads = vec![Head::new(b, "head_1")?, Head::new(b, "head_2")?, Head::new(b, "head_3")?];
        let side = pooled_side(mode);
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
            body,
            heads,
            dense_1,
            dense_2,
            dense_3,
        })
    }

    /// Prepares the network for training by a batch `[n, 45, 45, 45]`.
    ///
    /// If `logits`, `[label]`, are given, fresh parameters are fitted to the batch, so that these become its mean
    /// logits. With `hold`, the keys, queries and values of the heads are then held in the state that they have for the
    /// batch.
    ///
    /// Fitting standardises the keys, queries and values of the heads, to the deviations [`KEY_DEVIATION`] (keys and
    /// queries) and 1 (values), and each unit of the hidden dense layers before its ReLU, to the deviation 1. The
    /// maximum of 343 values is far above zero for any record, so fresh heads pass on a thousand numbers that are large
    /// and nearly the same for all records. About half of the dense layers' units are then on for every record and the
    /// others off, and none tells records apart. Moreover, the first steps of Adam lower the logits, since most records
    /// lack most labels, and so turn off the units that were on.
    pub(crate) fn begin(
        &self,
        x: &Tensor,
        logits: Option<&Tensor>,
        hold: bool,
        pass: Pass<'_>,
    ) -> Result<()> {
        let seen = self.pooled_in_parts(x, pass)?;
        if let Some(logits) = logits {
            self.heads.iter().try_for_each(|head| head.standardise(&seen))?;
            let x = self.attended(&seen, pass)?;
            self.dense_1.standardise_units(&x, 1.0)?;
            let x = self.dense_1.forward(&x, Activation::Relu, pass)?;
            self.dense_2.standardise_units(&x, 1.0)?;
            let x = self.dense_2.forward(&x, Activation::Relu, pass)?;
            self.dense_3.shift_means_to(&x, logits)?;
        }
        match hold {
            true => self.held_layers().try_for_each(|layer| layer.hold(&seen)),
            false => Ok(()),
        }
    }

    fn held_layers(&self) -> impl Iterator<Item = &HeldDense> {
        self.heads.iter().flat_map(Head::layers)
    }

    /// Returns how many layers can be held.
    pub(crate) fn held_count(&self) -> usize {
        self.held_layers().count()
    }

    /// Settles the heads after a step; does nothing if none are held.
    pub(crate) fn settle_heads(&self, share: f64) -> Result<()> {
        self.held_layers().try_for_each(|layer| layer.settle(share))
    }

    /// Releases the heads.
    pub(crate) fn release_heads(&self) {
        self.held_layers().for_each(HeldDense::release);
    }

    /// Returns the state of the held layers, `[layer, 2]`; `None` if none are held.
    pub(crate) fn held(&self) -> Result<Option<Tensor>> {
        let held = self.held_layers().map(HeldDense::held).collect::<Result<Option<Vec<_>>>>()?;
        held.map(|held| Tensor::f_stack(&held, 0)).transpose()
    }

    /// Holds the heads in a state returned by [`ThreeDEcgNet::held`].
    pub(crate) fn restore_held(&self, held: &Tensor) -> Result<()> {
        self.held_layers().zip(0..).try_for_each(|(layer, k)| layer.restore(&held.f_get(k)?))
    }

    /// `[n, 45, 45, 45]` -> logits `[n, label]`.
    pub(crate) fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let x = self.pooled(x, pass)?;
        let x = self.attended(&x, pass)?;
        let x = self.dense_1.forward(&x, Activation::Relu, pass)?; // [n, 128]
        let x = self.dense_2.forward(&x, Activation::Relu, pass)?; // [n, 16]
        self.dense_3.forward(&dropout(&x, DROPOUT, pass)?, Activation::Linear, pass)
    }

    /// Input of the heads -> their output, `[n, 648]`; corrected 1029.
    fn attended(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let heads: Vec<Tensor> = self
            .heads
            .iter()
            .map(|head| head.forward(x, self.mode, pass))
            .collect::<Result<_>>()?;
        pass.flatten(&pass.concatenate(&heads, -1)?)
    }

    /// `[n, 45, 45, 45]` -> input of the heads, `[n, 6, 6, 6, 32]`; corrected 7, 7, 7.
    fn pooled(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let by_hand = hand::fits(self.conv_lstm_1.kernel(), x, pass)?;
        let half = x.f_kind()? == Kind::BFloat16;
        let x = match pass.tape {
            None if by_hand && half => return self.pooled_without_gradients::<Bf16>(x),
            None if by_hand => return self.pooled_without_gradients::<f32>(x),
            Some(tape) if by_hand => {
                let x = match half {
                    true => self.blocks_by_hand::<Bf16>(x, pass, tape)?,
                    false => self.blocks_by_hand::<f32>(x, pass, tape)?,
                };
                x.f_permute([0, 4, 1, 2, 3])?
            }
            _ => self.blocks(x, pass)?,
        };
        let padding = match self.mode {
            Preset::Published => Padding::Valid,
            Preset::Corrected => Padding::Same,
        };
        let x = max_pool(&x, POOL, POOL, padding, pass)?; // [n, 32, 6, 6, 6]; corrected 7, 7, 7
        x.f_permute([0, 2, 3, 4, 1])
    }

    /// Returns the input of the heads in training, with at most eight records at a time, normalised by their own
    /// statistics.
    ///
    /// libtorch computes it, even on the CPU, and needs more than 100 MB for each record.
    fn pooled_in_parts(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let pass = Pass { train: true, statistics_rate: 0.0, ..pass };
        let parts = x.f_split(8, 0)?;
        let pooled: Vec<Tensor> =
            parts.iter().map(|part| self.pooled(part, pass)).collect::<Result<_>>()?;
        Tensor::f_cat(&pooled, 0)
    }

    /// `[n, 45, 45, 45]` -> the output of the last block, `[n, 32, 45, 45, 45]`.
    fn blocks(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        // Depth is the time axis of the LSTMs: [n, step, channel, height, width]. Afterwards the order is
        // [n, channel, depth, height, width], with the channels last in memory.
        let x = self.conv_lstm_1.forward(&x.f_unsqueeze(2)?, pass)?;
        let x = self.bn_1.forward_steps(&x, pass)?; // [n, 45, 16, 45, 45]
        let x = self.conv_lstm_2.forward(&x, pass)?;
        let x = self.bn_2.forward_steps(&x, pass)?.f_permute([0, 1, 3, 4, 2])?;
        let mut x = x.f_contiguous()?.f_permute([0, 4, 1, 2, 3])?; // [n, 16, 45, 45, 45]
        for block in &self.blocks {
            x = block.forward(&x, pass)?; // [n, 32, 45, 45, 45]
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::params::Start;
    use crate::tape::Tape;

    pub(super) const PASS: Pass<'_> =
        Pass { train: true, dropout: false, statistics_rate: 0.01, taps: None, tape: None };

    fn head() -> Head {
        let mut b = Builder::new(Start::Seed(3), Device::Cpu, Kind::Float);
        tch::no_grad(|| Head::new(&mut b, "head")).expect("a head")
    }

    pub(super) fn input() -> Tensor {
        Tensor::arange(2 * 343 * 32, (Kind::Float, Device::Cpu)).sin().view([2, 7, 7, 7, 32])
    }

    #[test]
    fn nothing_goes_back_through_a_frozen_body() {
        let mut b = Builder::new(Start::Seed(3), Device::Cpu, Kind::Float);
        let net = tch::no_grad(|| ThreeDEcgNet::new(&mut b, Preset::Corrected, 7));
        let net = net.expect("a network");
        let x = Tensor::arange(91_125, (Kind::Float, Device::Cpu)).sin().reshape([1, 45, 45, 45]);
        let gradient = |steps: usize| {
            let tape = Tape::default();
            let logits = net.forward(&x, Pass { tape: Some(&tape), ..PASS }).expect("runs");
            assert_eq!(format!("{tape:?}"), format!("Tape of {steps} steps"));
            tape.backward(&logits.sum(Kind::Float)).expect("goes back");
            let mut kernel = net.heads[0].value.dense().parameters()[0].shallow_clone();
            let gradient = kernel.grad().copy();
            kernel.zero_grad();
            gradient
        };
        let whole = gradient(1);
        for own in &net.body {
            let _ = own.set_requires_grad(false);
        }
        assert!(gradient(0).equal(&whole));
        // A single parameter that learns needs the way back.
        let _ = net.body[0].set_requires_grad(true);
        assert!(gradient(1).equal(&whole));
    }

    #[test]
    fn corrected_attention_is_shared_out_over_the_positions() {
        let alpha = head().attention(&input(), Preset::Corrected, PASS).expect("runs");
        assert_eq!(alpha.size(), [2, 7, 7, 7, 1]);
        let off = alpha.flatten(1, -1).mean_dim([1i64].as_slice(), false, None) - 1.0;
        // 343 roundings of numbers around 1.
        assert!(off.abs().max().double_value(&[]) < 1e-5);
        let spread = alpha.max() / alpha.min();
        assert!(spread.double_value(&[]) > 1.5, "it prefers no position");
    }

    #[test]
    fn only_corrected_attention_learns() {
        let gradients = |mode| {
            let head = head();
            let y = head.forward(&input(), mode, PASS).expect("runs");
            y.square().sum(Kind::Float).backward();
            head.layers().map(|layer| {
                let gradient = layer.dense().parameters()[0].grad();
                gradient.abs().max().double_value(&[])
            })
        };
        let [key, query, value] = gradients(Preset::Corrected);
        assert!(key > 0.0 && query > 0.0 && value > 0.0, "{key} {query} {value}");
        let [key, query, value] = gradients(Preset::Published);
        assert!(key == 0.0 && query == 0.0 && value > 0.0, "{key} {query} {value}");
    }
}
