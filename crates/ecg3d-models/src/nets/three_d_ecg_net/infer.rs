//! The network up to its pooling, without learning: image by image, in a few buffers that are used again and again.

use rayon::prelude::*;
use tch::Tensor;

use super::{Block, POOL, ThreeDEcgNet, pooled_side};
use crate::Preset;
use crate::kernels::convolution::{Around, Grid, Kernel, convolve};
use crate::kernels::pool::{Blocks, max_pool};
use crate::kernels::rows::{self, Matrix, ScaleShift};
use crate::kernels::{Element, threads, values, values_mut};
use crate::layers::hand::{self, empty, parameter};
use crate::layers::{Result, Steps, same_padding};

/// Side of a volume.
const SIDE: usize = 45;
const POSITIONS: usize = SIDE * SIDE * SIDE;

/// The weights in the form that the loops take, normalisations included.
#[derive(Debug)]
struct Ready {
    steps_1: Steps,
    norm_1: ScaleShift,
    steps_2: Steps,
    norm_2: ScaleShift,
    blocks: Vec<ReadyBlock>,
    pool: Blocks,
}

#[derive(Debug)]
struct ReadyBlock {
    norm_1: ScaleShift,
    /// Includes the second normalisation.
    conv_1: Kernel,
    bias_1: Vec<f32>,
    conv_2: Kernel,
    bias_2: Vec<f32>,
    /// `[squeezed, channel]` and `[channel, squeezed]`.
    squeeze: Vec<f32>,
    excite: Vec<f32>,
    skip: Matrix,
    skip_bias: Vec<f32>,
}

impl Block {
    fn ready<T: Element>(&self) -> Result<ReadyBlock> {
        let (kernel_1, bias_1) = self.conv_1.parameters()?;
        let (kernel_2, bias_2) = self.conv_2.parameters()?;
        let (skip, skip_bias) = self.skip.parameters()?;
        let (scale, shift) = self.bn_2.scale_and_shift()?;
        let bias_1 = Tensor::f_from_slice(&bias_1)?.f_mul(&scale)?.f_add(&shift)?;
        let [squeeze, excite] = self.se.kernels();
        Ok(ReadyBlock {
            norm_1: self.bn_1.running()?,
            conv_1: hand::ready::<T>(&kernel_1.f_mul(&scale.f_view([-1, 1, 1, 1, 1])?)?)?,
            bias_1: parameter(&bias_1)?,
            conv_2: hand::ready::<T>(kernel_2)?,
            bias_2,
            squeeze: parameter(squeeze)?,
            excite: parameter(excite)?,
            skip: Matrix::new(&parameter(skip)?, skip.size()[1] as usize),
            skip_bias,
        })
    }
}

const VOLUME: Grid = Grid { images: 1, depth: SIDE, height: SIDE, width: SIDE };

impl ReadyBlock {
    /// `[45, 45, 45, input]` -> `out` `[45, 45, 45, output]`, with `inner` of the same size for the intermediate
    /// result.
    fn run<T: Element>(&self, x: &[T], inner: &mut [T], out: &mut [T]) -> Result<()> {
        let norm = Some([&self.norm_1.scale[..], &self.norm_1.shift]);
        let around = Around { before: norm, bias: Some(&self.bias_1), relu: true };
        convolve(x, &self.conv_1, VOLUME, &around, inner)?;
        let around = Around { bias: Some(&self.bias_2), ..Around::default() };
        let sums = convolve(inner, &self.conv_2, VOLUME, &around, out)?;
        let means: Vec<f32> = sums.iter().map(|sum| (sum / POSITIONS as f64) as f32).collect();
        rows::residual(x, &self.skip, &self.skip_bias, None, &self.gates(&means), out)
    }

    /// Returns the gates of squeeze and excitation.
    fn gates(&self, means: &[f32]) -> Vec<f32> {
        let product = |rows: &[f32], x: &[f32]| -> Vec<f32> {
            rows.chunks_exact(x.len())
                .map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
                .collect()
        };
        // `f32::max` would drop NaN.
        let relu = |x: &f32| if *x < 0.0 { 0.0 } else { *x };
        let squeezed: Vec<f32> = product(&self.squeeze, means).iter().map(relu).collect();
        product(&self.excite, &squeezed).iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect()
    }
}

impl Ready {
    /// `[45, 45, 45]` -> `[block, block, block, 32]`.
    fn image<T: Element>(&self, x: &[T], out: &mut [T]) -> Result<()> {
        let step = Grid { depth: 1, ..VOLUME };
        let (channels, wide) = (self.norm_1.scale.len(), self.blocks[0].bias_2.len());
        let [mut first, mut second, mut third] = [(); 3].map(|()| T::take(POSITIONS * wide));
        let (states, others) =
            (&mut first[..POSITIONS * channels], &mut second[..POSITIONS * channels]);
        self.steps_1.forth(x, &self.norm_1, step, states, false)?;
        self.steps_2.forth(states, &self.norm_1, step, others, false)?;
        rows::affine(others, &self.norm_2, true, states)?;
        let mut input = POSITIONS * channels;
        for block in &self.blocks {
            block.run(&first[..input], &mut second, &mut third)?;
            input = POSITIONS * wide;
            std::mem::swap(&mut first, &mut third);
        }
        max_pool(&first, self.pool, wide, out)?;
        [first, second, third].into_iter().for_each(T::give);
        Ok(())
    }
}

impl ThreeDEcgNet {
    fn ready<T: Element>(&self) -> Result<Ready> {
        let count = pooled_side(self.mode);
        let (side, size) = (SIDE as i64, POOL);
        let before = match self.mode {
            Preset::Published => 0,
            Preset::Corrected => same_padding(side, size, size).0 as usize,
        };
        Ok(Ready {
            steps_1: Steps::new::<T>(&self.conv_lstm_1)?,
            norm_1: self.bn_1.running()?,
            steps_2: Steps::new::<T>(&self.conv_lstm_2)?,
            norm_2: self.bn_2.running()?,
            blocks: self.blocks.iter().map(Block::ready::<T>).collect::<Result<_>>()?,
            pool: Blocks { side: SIDE, size: POOL as usize, before, count },
        })
    }

    /// `[n, 45, 45, 45]` -> input of the heads, `[n, 6, 6, 6, 32]`; corrected 7, 7, 7.
    pub(super) fn pooled_without_gradients<T: Element>(&self, x: &Tensor) -> Result<Tensor> {
        let ready = self.ready::<T>()?;
        let side = pooled_side(self.mode) as i64;
        let n = x.size()[0];
        let x = x.f_contiguous()?;
        let mut out = empty::<T>(&[n, side, side, side, 32])?;
        let size = out.numel() / n as usize;
        let (images, pooled) = (values::<T>(&x)?, values_mut::<T>(&mut out)?);
        threads::install(|| {
            images
                .par_chunks(POSITIONS)
                .zip(pooled.par_chunks_mut(size))
                .try_for_each(|(x, out)| ready.image(x, out))
        })??;
        Ok(out)
    }
}
