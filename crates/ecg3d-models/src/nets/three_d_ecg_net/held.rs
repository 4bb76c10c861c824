use std::cell::RefCell;

use tch::{Tensor, no_grad};

use crate::init::Init;
use crate::layers::{Activation, Dense, Pass, Result};
use crate::params::Builder;

/// Added to a variance, so that equal outputs do not lead to a division by zero; far below the variances of heads.
const EPSILON: f64 = 1e-6;

/// A dense layer `[.., input]` -> `[.., 1]` whose outputs can be held while the network trains.
///
/// Held outputs keep the standard deviation that they had at some moment, around a mean that the bias learns.
///
/// Nothing normalises the input of the heads, each value of which is the maximum of 343. Whatever moves the
/// convolutions therefore moves all outputs of a head together, and farther than records differ. If the layer is held,
/// the outputs of a batch are normalised by the batch's own statistics in the forward pass (Ioffe and Szegedy 2015).
/// After each step the batch enters a running mean and deviation, and the parameters are settled: scaled and shifted so
/// that the plain layer gives the same result with the running statistics. Training keeps these two numbers; once the
/// layer is released, its parameters are its only state.
#[derive(Debug)]
pub(super) struct HeldDense {
    dense: Dense,
    held: RefCell<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    /// Standard deviation of the outputs.
    deviation: Tensor,
    /// Running mean of the outputs without the bias.
    mean: Tensor,
    /// Mean and standard deviation of the last batch's outputs without the bias, not yet settled.
    batch: Option<[Tensor; 2]>,
}

impl HeldDense {
    pub(super) fn new(b: &mut Builder, path: &str, input: usize) -> Result<Self> {
        let dense = Dense::new(b, path, [input, 1], Init::GlorotUniform)?;
        Ok(Self { dense, held: RefCell::default() })
    }

    pub(super) fn dense(&self) -> &Dense {
        &self.dense
    }

    /// `[.., input]` -> `[.., 1]`.
    pub(super) fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let mut held = self.held.borrow_mut();
        let (Some(held), true) = (held.as_mut(), pass.tape.is_some()) else {
            return self.dense.forward(x, Activation::Linear, pass);
        };
        let y = self.dense.linear(x)?;
        let [mean, deviation] = statistics(&y)?;
        held.batch = Some([mean.f_detach()?, deviation.f_detach()?]);
        let y = y.f_sub(&mean)?.f_mul(&held.deviation.f_div(&deviation)?)?;
        self.dense.add_bias(&y.f_add(&held.mean)?)
    }

    /// Holds the outputs in the state that they have for `x`, `[.., input]`.
    pub(super) fn hold(&self, x: &Tensor) -> Result<()> {
        let [mean, deviation] = no_grad(|| statistics(&self.dense.linear(x)?))?;
        self.held.replace(Some(Held { deviation, mean, batch: None }));
        Ok(())
    }

    /// Updates the running statistics by the last batch, with weight `share`, and scales and shifts the parameters
    /// accordingly.
    ///
    /// To be called after each step.
    pub(super) fn settle(&self, share: f64) -> Result<()> {
        let mut held = self.held.borrow_mut();
        let Some(held) = held.as_mut() else { return Ok(()) };
        let Some([mean, deviation]) = held.batch.take() else { return Ok(()) };
        let running = held.deviation.f_square()?.f_lerp(&deviation.f_square()?, share)?.f_sqrt()?;
        let scale = held.deviation.f_div(&running)?;
        let mean = held.mean.f_lerp(&mean, share)?.f_mul(&scale)?;
        self.dense.rescale(&scale, &held.mean.f_sub(&mean)?)?;
        held.mean = mean;
        Ok(())
    }

    /// Releases the outputs.
    pub(super) fn release(&self) {
        self.held.replace(None);
    }

    /// Returns the state of held outputs, `[2]`, for a checkpoint.
    pub(super) fn held(&self) -> Result<Option<Tensor>> {
        let held = self.held.borrow();
        held.as_ref().map(|held| Tensor::f_stack(&[&held.deviation, &held.mean], 0)).transpose()
    }

    /// Holds the outputs in a state returned by [`HeldDense::held`].
    pub(super) fn restore(&self, held: &Tensor) -> Result<()> {
        let held = Held { deviation: held.f_get(0)?, mean: held.f_get(1)?, batch: None };
        self.held.replace(Some(held));
        Ok(())
    }
}

/// Returns the mean and standard deviation of all values, as tensors without axes.
fn statistics(y: &Tensor) -> Result<[Tensor; 2]> {
    Ok([y.f_mean(None)?, y.f_var(false)?.f_add_scalar(EPSILON)?.f_sqrt()?])
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::super::tests::{PASS, input};
    use super::*;
    use crate::params::Start;
    use crate::tape::Tape;

    /// Rounding in sums of 32 products around 10 in `f32`.
    const ROUNDING: f64 = 1e-4;

    fn layer() -> HeldDense {
        let mut b = Builder::new(Start::Seed(5), Device::Cpu, Kind::Float);
        no_grad(|| HeldDense::new(&mut b, "value", 32)).expect("a layer")
    }

    fn plain(layer: &HeldDense, x: &Tensor) -> Tensor {
        layer.forward(x, PASS).expect("runs")
    }

    fn training(layer: &HeldDense, x: &Tensor) -> Tensor {
        let tape = Tape::default();
        layer.forward(x, Pass { tape: Some(&tape), ..PASS }).expect("runs")
    }

    fn assert_close(a: &Tensor, b: &Tensor) {
        let off = (a - b).abs().max().double_value(&[]);
        assert!(off < ROUNDING, "off by {off}");
    }

    #[test]
    fn nothing_is_held_until_it_is_asked_for() {
        let (layer, x) = (layer(), input() * 3.0 + 10.0);
        assert_close(&training(&layer, &x), &plain(&layer, &x));
        layer.settle(1.0).expect("settles");
        assert!(layer.held().expect("looks").is_none());
    }

    #[test]
    fn held_outputs_stay_where_they_were() {
        let (layer, x) = (layer(), input());
        let before = plain(&layer, &x);
        layer.hold(&x).expect("holds");
        assert_close(&training(&layer, &x), &before);
        // The layer's input moves and grows, and so does its output, unless it is held.
        let moved = &x * 3.0 + 10.0;
        assert!((plain(&layer, &moved) - &before).abs().max().double_value(&[]) > 1.0);
        assert_close(&training(&layer, &moved), &before);
        // Once settled completely, the parameters alone give the same outputs.
        layer.settle(1.0).expect("settles");
        assert_close(&plain(&layer, &moved), &before);
        assert_close(&training(&layer, &moved), &before);
    }

    #[test]
    fn held_outputs_learn_their_mean_and_go_on_elsewhere() {
        let (layer, x) = (layer(), input());
        let before = plain(&layer, &x);
        layer.hold(&x).expect("holds");
        training(&layer, &x).sum(Kind::Float).backward();
        let bias = layer.dense.parameters()[1].shallow_clone();
        assert!((bias.grad().double_value(&[0]) - 686.0).abs() < ROUNDING);
        // The kernel can't scale or shift all outputs together; the shift is left to the bias.
        let kernel = layer.dense.parameters()[0].grad();
        assert!(kernel.abs().max().double_value(&[]) < ROUNDING, "{kernel:?}");
        let _ = no_grad(|| bias.shallow_clone().f_add_scalar_(0.5)).expect("a step");
        layer.settle(0.1).expect("settles");
        assert_close(&plain(&layer, &x), &(&before + 0.5));

        let other = super::tests::layer();
        for (own, value) in other.dense.parameters().into_iter().zip(layer.dense.parameters()) {
            no_grad(|| own.shallow_clone().copy_(value));
        }
        other.restore(&layer.held().expect("looks").expect("held")).expect("holds");
        let moved = &x * 2.0 - 3.0;
        assert!(training(&other, &moved).equal(&training(&layer, &moved)));
        other.release();
        assert!(training(&other, &moved).equal(&plain(&layer, &moved)));
    }
}
