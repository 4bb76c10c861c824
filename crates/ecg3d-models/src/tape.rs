//! Backward passes written by hand, beside libtorch's.

use std::cell::RefCell;

use tch::Tensor;

use crate::layers::Result;

type Step = Box<dyn FnOnce() -> Result<()>>;

/// What is left to do after libtorch has gone back from the loss to the output of a layer that computes its own gradient.
///
/// Such a layer hands on a leaf, an output that remembers nothing, and leaves a step here. Once the leaf has its gradient,
/// the step works out those of the layer's inputs and lets libtorch go on from there. Steps run last in, first out, so
/// that every use of a leaf has been gone through when its step runs.
#[derive(Default)]
pub(crate) struct Tape(RefCell<Vec<Step>>);

impl Tape {
    pub(crate) fn push(&self, step: impl FnOnce() -> Result<()> + 'static) {
        self.0.borrow_mut().push(Box::new(step));
    }

    /// Gradients of `loss` in all parameters.
    pub(crate) fn backward(self, loss: &Tensor) -> Result<()> {
        // The steps record what libtorch then goes back through, whatever the caller's mode is.
        tch::with_grad(|| {
            loss.f_backward()?;
            self.0.into_inner().into_iter().rev().try_for_each(|step| step())
        })
    }
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tape of {} steps", self.0.borrow().len())
    }
}
