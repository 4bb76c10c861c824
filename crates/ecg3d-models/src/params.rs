//! The named parameters of a network, and how layers request them.

use tch::{Device, Kind, TchError, Tensor};

use crate::init::Init;

/// A named tensor of a network, in libtorch's layout: `[output, input, kernel..]`.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub name: String,
    pub tensor: Tensor,
    pub trainable: bool,
}

/// Where fresh parameters come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    /// Keras's initialisers.
    Seed(u64),
    /// Uninitialised memory, because the values are about to be filled in.
    Blank,
}

/// Provides the layers of a network under construction with parameters, and keeps these in order.
#[derive(Debug)]
pub(crate) struct Builder {
    start: Start,
    device: Device,
    kind: Kind,
    parameters: Vec<Parameter>,
}

impl Builder {
    pub(crate) fn new(start: Start, device: Device, kind: Kind) -> Self {
        Self { start, device, kind, parameters: Vec::new() }
    }

    /// Adds a trained weight. `shape` is in Keras's order, `[kernel.., input, output]`.
    pub(crate) fn weight(
        &mut self,
        name: String,
        shape: &[usize],
        init: Init,
    ) -> Result<Tensor, TchError> {
        self.add(name, shape, init, true)
    }

    /// Adds a running statistic.
    pub(crate) fn buffer(
        &mut self,
        name: String,
        shape: &[usize],
        init: Init,
    ) -> Result<Tensor, TchError> {
        self.add(name, shape, init, false)
    }

    fn add(
        &mut self,
        name: String,
        shape: &[usize],
        init: Init,
        trainable: bool,
    ) -> Result<Tensor, TchError> {
        let tensor = match self.start {
            Start::Seed(seed) => {
                let values = init.values(shape, seed, self.parameters.len() as u64);
                from_keras(&values, shape)?.f_to_device(self.device)?.f_to_kind(self.kind)?
            }
            Start::Blank => {
                let sizes: Vec<i64> =
                    axes(shape.len()).into_iter().map(|axis| shape[axis as usize] as i64).collect();
                Tensor::f_empty(&sizes, (self.kind, self.device))?
            }
        };
        let tensor = tensor.f_set_requires_grad(trainable)?;
        let own = tensor.shallow_clone();
        self.parameters.push(Parameter { name, tensor, trainable });
        Ok(own)
    }

    /// Returns the trained weights so far.
    pub(crate) fn weights(&self) -> Vec<Tensor> {
        let weights = self.parameters.iter().filter(|parameter| parameter.trainable);
        weights.map(|parameter| parameter.tensor.shallow_clone()).collect()
    }

    pub(crate) fn finish(self) -> Vec<Parameter> {
        self.parameters
    }
}

/// Returns a tensor in libtorch's layout `[output, input, kernel..]` from values in Keras's,
/// `[kernel.., input, output]`.
pub(crate) fn from_keras(values: &[f32], shape: &[usize]) -> Result<Tensor, TchError> {
    let sizes: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
    let tensor = Tensor::f_from_slice(values)?.f_reshape(&sizes)?;
    tensor.f_permute(axes(sizes.len()))?.f_contiguous()
}

/// Returns the axes of Keras's layout in the order of libtorch's.
fn axes(rank: usize) -> Vec<i64> {
    let rank = rank as i64;
    match rank {
        0 | 1 => (0..rank).collect(),
        _ => [rank - 1, rank - 2].into_iter().chain(0..rank - 2).collect(),
    }
}

/// The reverse of [`from_keras`], as a view.
pub(crate) fn to_keras(tensor: &Tensor) -> Result<Tensor, TchError> {
    let rank = tensor.dim() as i64;
    if rank < 2 {
        return Ok(tensor.shallow_clone());
    }
    let axes: Vec<i64> = (2..rank).chain([1, 0]).collect();
    tensor.f_permute(&axes)
}
