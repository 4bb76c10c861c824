//! Hand-written backward passes, beside those of libtorch.

use std::cell::RefCell;

use tch::Tensor;

use crate::layers::Result;

type Step = Box<dyn FnOnce() -> Result<()>>;

/// The steps left to do after libtorch has gone back from the loss to the output of a layer that computes its own
/// gradient.
///
/// Such a layer returns a leaf, an output without a graph behind it, and leaves a step on the tape. Once the leaf has
/// its gradient, the step computes those of the layer's inputs and lets libtorch continue from there. Steps run last
/// in, first out, so every use of a leaf has been handled when its step runs.
#[derive(Default)]
pub(crate) struct Tape(RefCell<Vec<Step>>);

impl Tape {
    pub(crate) fn push(&self, step: impl FnOnce() -> Result<()> + 'static) {
        self.0.borrow_mut().push(Box::new(step));
    }

    /// Computes the gradients of `loss` with respect to all parameters.
    pub(crate) fn backward(self, loss: &Tensor) -> Result<()> {
        // The steps record operations for libtorch to go back through, whatever the caller's mode.
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
