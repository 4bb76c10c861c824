//! Zhang et al.'s network of three-dimensional recurrence plots, an Inception-ResNet (Szegedy et al., AAAI 2017,
//! <https://doi.org/10.1609/aaai.v31i1.11231>), at the size that the 3DECG-Net study gave it.

use tch::Tensor;

use crate::Preset;
use crate::init::Init;
use crate::layers::{
    Activation, BatchNorm, Conv, ConvOptions, Dense, Padding, Pass, Result, channels_last, max_pool,
};
use crate::params::Builder;
use crate::trace::{Channels, Op};

/// A convolution of a branch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub kernel: [usize; 3],
    pub filters: usize,
    /// 2 without padding, or 1 with padding; only the very first convolution has stride 1 and no padding.
    pub stride: i64,
    pub padding: Padding,
}

/// Branches that all take the input of the stage, and whose outputs are joined along the channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage {
    pub name: &'static str,
    pub branches: &'static [&'static [Cell]],
    /// Size of a pooling with stride 2 that forms another branch.
    pub pool: Option<i64>,
    /// Whether, in corrected mode, the joined branches are projected to the input's channels and added to the input.
    pub residual: bool,
}

const fn conv(kernel: [usize; 3], filters: usize) -> Cell {
    Cell { kernel, filters, stride: 1, padding: Padding::Same }
}

/// 1 x 1 x 1.
const fn point(filters: usize) -> Cell {
    conv([1; 3], filters)
}

const fn cube(filters: usize) -> Cell {
    conv([3; 3], filters)
}

const fn halving(filters: usize) -> Cell {
    Cell { kernel: [3; 3], filters, stride: 2, padding: Padding::Valid }
}

/// The comments show the output channels and sides in published mode, where there are no residual additions.
pub(crate) const STAGES: [Stage; 9] = [
    Stage {
        name: "stem_1",
        branches: &[&[Cell { kernel: [3; 3], filters: 32, stride: 1, padding: Padding::Valid }]],
        pool: None,
        residual: false,
    }, // 32, 43^3
    Stage { name: "stem_2", branches: &[&[halving(96)]], pool: Some(2), residual: false }, // 128, 21^3
    Stage {
        name: "stem_3",
        branches: &[
            &[point(64), conv([1, 1, 7], 64), conv([1, 7, 1], 64), cube(96)],
            &[point(64), cube(96)],
        ],
        pool: None,
        residual: false,
    }, // 192, 21^3
    Stage { name: "stem_4", branches: &[&[halving(192)]], pool: Some(2), residual: false }, // 384, 10^3
    Stage {
        name: "inception_a",
        branches: &[&[point(64), cube(64), cube(64)], &[point(64), cube(64)], &[point(64)]],
        pool: None,
        residual: true,
    }, // 192, 10^3
    Stage {
        name: "reduction_a",
        branches: &[&[halving(64)], &[point(64), cube(64), halving(64)]],
        pool: Some(3),
        residual: false,
    }, // 320, 4^3
    Stage {
        name: "inception_b",
        branches: &[&[point(32), conv([1, 1, 7], 32), conv([1, 7, 1], 32)], &[point(32)]],
        pool: None,
        residual: true,
    }, // 64, 4^3
    Stage {
        name: "reduction_b",
        branches: &[
            &[point(32), conv([1, 1, 7], 32), conv([1, 7, 1], 32), halving(32)],
            &[point(32), halving(32)],
        ],
        pool: Some(3),
        residual: false,
    }, // 128, 1
    Stage {
        name: "inception_c",
        branches: &[&[point(32), conv([1, 1, 3], 32), conv([1, 3, 1], 32)], &[point(32)]],
        pool: None,
        residual: true,
    }, // 64, 1
];

/// Returns the name of a convolution, by its branch and its place within the branch.
pub(crate) fn conv_path(stage: &str, branch: usize, place: usize) -> String {
    format!("{stage}.branch_{}.conv_{}", branch + 1, place + 1)
}

#[derive(Debug)]
struct Module {
    branches: Vec<Vec<Conv>>,
    pool: Option<i64>,
    /// The projection back to the input's channels, in corrected mode.
    residual: Option<Conv>,
}

impl Module {
    /// Returns a stage for `input` channels, and the number of its output channels.
    fn new(b: &mut Builder, stage: &Stage, mode: Preset, input: usize) -> Result<(Self, usize)> {
        let mut joined = if stage.pool.is_some() { input } else { 0 };
        let mut branches = Vec::new();
        for (k, cells) in stage.branches.iter().enumerate() {
            let mut channels = input;
            let mut branch = Vec::new();
            for (place, cell) in cells.iter().enumerate() {
                let Cell { kernel, filters, stride, padding } = *cell;
                let options = ConvOptions { stride, padding, ..ConvOptions::default() };
                let path = conv_path(stage.name, k, place);
                branch.push(Conv::new(b, &path, &kernel, [channels, filters], options)?);
                channels = filters;
            }
            branches.push(branch);
            joined += channels;
        }
        let residual = if stage.residual && mode == Preset::Corrected {
            let path = format!("{}.residual", stage.name);
            Some(Conv::new(b, &path, &[1; 3], [joined, input], ConvOptions::default())?)
        } else {
            None
        };
        let output = if residual.is_some() { input } else { joined };
        Ok((Self { branches, pool: stage.pool, residual }, output))
    }

    fn forward(&self, x: &Tensor, mode: Preset, pass: Pass<'_>) -> Result<Tensor> {
        let mut joined = Vec::new();
        for branch in &self.branches {
            let mut y = x.shallow_clone();
            for conv in branch {
                y = conv.forward(&y, pass)?;
                if mode == Preset::Corrected {
                    y = pass.relu(y)?;
                }
            }
            joined.push(y);
        }
        if let Some(size) = self.pool {
            joined.push(max_pool(x, size, 2, Padding::Valid, pass)?);
        }
        let y = match &joined[..] {
            [one] => one.shallow_clone(),
            _ => pass.concatenate(&joined, 1)?,
        };
        match &self.residual {
            Some(conv) => pass.relu(pass.add(&conv.forward(&y, pass)?, x)?),
            None => Ok(y),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Zhang {
    mode: Preset,
    modules: Vec<Module>,
    bn_1: BatchNorm,
    dense_1: Dense,
    bn_2: BatchNorm,
    dense_2: Dense,
}

impl Zhang {
    pub(crate) fn new(b: &mut Builder, mode: Preset, n_labels: usize) -> Result<Self> {
        let mut channels = 1;
        let mut modules = Vec::new();
        for stage in &STAGES {
            let (module, output) = Module::new(b, stage, mode, channels)?;
            modules.push(module);
            channels = output;
        }
        Ok(Self {
            mode,
            modules,
            bn_1: BatchNorm::new(b, "bn_1", channels)?,
            dense_1: Dense::new(b, "dense_1", [channels, 32], Init::GlorotUniform)?,
            bn_2: BatchNorm::new(b, "bn_2", 32)?,
            dense_2: Dense::new(b, "dense_2", [32, n_labels], Init::GlorotUniform)?,
        })
    }

    /// `[n, 45, 45, 45]` -> logits `[n, label]`.
    ///
    /// The study's program has no activation except the last one. In corrected mode, each convolution except the
    /// residual projections is followed by a ReLU, and the Inception modules add their output to their input, like the
    /// network that they are named after.
    pub(crate) fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let mut x = channels_last(x)?;
        for module in &self.modules {
            x = module.forward(&x, self.mode, pass)?;
        } // [n, 64, 1, 1, 1]; corrected [n, 576, 1, 1, 1]
        let x = self.bn_1.forward(&x, pass)?;
        let mean = x.f_mean_dim([2i64, 3, 4].as_slice(), false, None)?;
        let x = pass.step(Op::GlobalAverage, Channels::Last, &[&x], mean)?; // [n, 64]
        let x = self.dense_1.forward(&x, Activation::Linear, pass)?; // [n, 32]
        let x = self.bn_2.forward(&x, pass)?;
        self.dense_2.forward(&x, Activation::Linear, pass)
    }
}
