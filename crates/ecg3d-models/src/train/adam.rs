use tch::{Kind, TchError, Tensor};

use crate::error::Doing;
use crate::{ModelError, Network};

/// Adam in the form that Keras computes (Kingma and Ba 2015, the "epsilon hat" of its section 2):
/// `theta -= lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon)`.
///
/// libtorch's own Adam adds epsilon to the *corrected* `sqrt(v)`, which gives other numbers. Betas are 0.9 and 0.999,
/// and epsilon is 1e-7, as in Keras. `weight_decay` is decoupled (Loshchilov and Hutter 2019): each step takes a share
/// `lr weight_decay` away from every tensor with two axes or more (kernels, not biases or gains).
///
/// [`steps`](Self::steps), [`moments`](Self::moments) and [`rates`](Self::rates) are the whole state. A loop whose state
/// was saved continues with an optimizer of the same parameters and weight decay, after [`restore`](Self::restore) and
/// [`restore_rates`](Self::restore_rates).
///
/// A training loop by hand:
///
/// ```
/// use ecg3d_models::tch::{Device, Kind, Tensor};
/// use ecg3d_models::{Architecture, KerasAdam, Network, Preset, bce_from_logits};
///
/// # fn main() -> Result<(), ecg3d_models::ModelError> {
/// let network = Network::new(Architecture::ResNet1d, Preset::Corrected, 7, Device::Cpu, 1)?;
/// let mut adam = KerasAdam::of(&network, 0.01)?;
/// // Two prepared signals [record, lead, sample] of 10 s at 100 Hz, and their labels [record, label].
/// let x = Tensor::ones([2, 12, 1000], (Kind::Float, Device::Cpu));
/// let y = Tensor::zeros([2, 7], (Kind::Float, Device::Cpu));
/// for _ in 0..2 {
///     adam.zero_grad();
///     let forward = network.forward_train(&x)?;
///     let loss = bce_from_logits(forward.logits(), &y, None)?;
///     forward.backward(&loss)?;
///     adam.clip_norm(1.0)?;
///     adam.step(1e-3)?;
/// }
/// assert_eq!(adam.steps(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct KerasAdam {
    slots: Vec<Slot>,
    weight_decay: f64,
    steps: u64,
}

/// A parameter with its moments, which have its shape and kind.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    /// The parameter's share of the learning rate.
    rate: f64,
    first: Tensor,
    second: Tensor,
}

impl Slot {
    /// Returns the gradient that a step follows; none if there is none, or if the parameter is frozen or its share of
    /// the rate is 0.
    fn gradient(&self) -> Option<Tensor> {
        // A parameter that was frozen after an earlier training run still has the gradient of that run.
        if self.rate == 0.0 || !self.parameter.requires_grad() {
            return None;
        }
        Some(self.parameter.grad()).filter(Tensor::defined)
    }
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-7;

/// Root mean square of a kernel that learns at the whole rate when rates depend on size: that of a fresh kernel of 3 x
/// 3 x 3, from 32 channels to 32.
const UNIT_SIZE: f64 = 0.034;
/// Limits of the shares that sizes give: a kernel that is nearly zero still learns, and none is torn apart.
const SHARES: [f64; 2] = [0.1, 10.0];
/// Share for gains and biases when rates depend on size, because their initial values, 1 and 0, tell nothing.
const WITHOUT_SIZE: f64 = 3.0;

impl KerasAdam {
    /// Returns an optimizer of all parameters that training changes ([`Network::trainable`]). Moments start at zero.
    ///
    /// # Errors
    /// libtorch can't create the moments (memory).
    pub fn of(network: &Network, weight_decay: f64) -> Result<Self, ModelError> {
        let parameters = network.trainable();
        Self::new(
            parameters.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())),
            weight_decay,
        )
    }

    /// Returns an optimizer of the named parameters. Moments start at zero.
    ///
    /// The tensors must be the network's own ([`Tensor::shallow_clone`]): copies get no gradients.
    ///
    /// # Errors
    /// libtorch can't create the moments (memory).
    pub fn new(
        parameters: impl IntoIterator<Item = (String, Tensor)>,
        weight_decay: f64,
    ) -> Result<Self, ModelError> {
        let slots = parameters
            .into_iter()
            .map(|(name, parameter)| {
                let value = parameter.f_detach()?;
                let (first, second) = (value.f_zeros_like()?, value.f_zeros_like()?);
                Ok(Slot { name, parameter, rate: 1.0, first, second })
            })
            .collect::<Result<_, TchError>>()
            .doing("create the optimizer's moments")?;
        Ok(Self { slots, weight_decay, steps: 0 })
    }

    /// Gives each parameter, in order, a share of the learning rate by its name. Weight decay uses the whole rate.
    ///
    /// A parameter whose share is 0 stays as it is, and so do its moments.
    #[must_use]
    pub fn with_rates(mut self, mut rate: impl FnMut(&str) -> f64) -> Self {
        for slot in &mut self.slots {
            slot.rate = rate(&slot.name);
        }
        self
    }

    /// Multiplies each kernel's share of the learning rate by the kernel's present size.
    ///
    /// The size is the root mean square of its values over 0.034, clamped between a tenth and ten. Gains and biases,
    /// which have one axis, get three times their share.
    ///
    /// # Errors
    /// libtorch fails.
    pub fn scale_rates_by_size(&mut self) -> Result<(), ModelError> {
        tch::no_grad(|| {
            for slot in &mut self.slots {
                let share = if slot.parameter.dim() > 1 {
                    let square = slot.parameter.f_square()?.f_mean(Kind::Double)?;
                    let [least, most] = SHARES;
                    (square.f_double_value(&[])?.sqrt() / UNIT_SIZE).clamp(least, most)
                } else {
                    WITHOUT_SIZE
                };
                // Rounded as in a checkpoint.
                slot.rate = f64::from((slot.rate * share) as f32);
            }
            Ok(())
        })
        .doing("compute the sizes of the parameters")
    }

    /// Returns the shares of the learning rate, in the order of the parameters.
    pub fn rates(&self) -> Vec<f64> {
        self.slots.iter().map(|slot| slot.rate).collect()
    }

    /// Sets the shares of the learning rate to saved ones, in the order of the parameters.
    ///
    /// # Errors
    /// There are not as many shares as parameters, or one is not finite ([`ModelError::OptimizerState`]); nothing is
    /// changed then.
    pub fn restore_rates(&mut self, rates: &[f64]) -> Result<(), ModelError> {
        self.check_count("number of shares of the learning rate", rates.len())?;
        for (slot, rate) in self.slots.iter().zip(rates) {
            let what = || format!("share of the learning rate of {}", slot.name);
            check_state(rate.is_finite(), what, rate, "a finite number")?;
        }
        for (slot, &rate) in self.slots.iter_mut().zip(rates) {
            slot.rate = rate;
        }
        Ok(())
    }

    /// Returns the number of steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Clears the gradients, so that the next backward pass does not add to them.
    pub fn zero_grad(&mut self) {
        for slot in &mut self.slots {
            slot.parameter.zero_grad();
        }
    }

    /// Scales the gradients that [`step`](Self::step) follows, all together, so that their joint Euclidean norm is at
    /// most `limit`, and returns the norm before.
    ///
    /// # Errors
    /// libtorch fails.
    pub fn clip_norm(&mut self, limit: f64) -> Result<f64, ModelError> {
        tch::no_grad(|| {
            let mut grads: Vec<Tensor> = self.slots.iter().filter_map(Slot::gradient).collect();
            let square = |grad: &Tensor| grad.f_square()?.f_sum(Kind::Float);
            let squares = grads.iter().map(square).collect::<Result<Vec<_>, TchError>>()?;
            if squares.is_empty() {
                return Ok(0.0);
            }
            let norm =
                Tensor::f_stack(&squares, 0)?.f_sum(Kind::Double)?.f_double_value(&[])?.sqrt();
            if norm > limit {
                for grad in &mut grads {
                    let _ = grad.f_mul_scalar_(limit / norm)?;
                }
            }
            Ok(norm)
        })
        .doing("clip the gradients")
    }

    /// Takes one step with learning rate `lr`.
    ///
    /// Parameters that are frozen, have no gradient, or have a share of 0 of the rate stay as they are, and so do their
    /// moments.
    ///
    /// # Errors
    /// - No parameter has ever had a gradient ([`ModelError::NoGradient`]): there was no backward pass, or the parameters
    ///   are copies. Nothing is changed then. Gradients that were set to zero count as gradients.
    /// - libtorch fails.
    pub fn step(&mut self, lr: f64) -> Result<(), ModelError> {
        // Those that take no step may be the only ones with a gradient, and then there is nothing to do.
        if !self.slots.iter().any(|slot| slot.parameter.grad().defined()) {
            return Err(ModelError::NoGradient { parameters: self.slots.len() });
        }
        self.steps += 1;
        let t = self.steps as f64;
        let alpha = lr * (1.0 - BETA2.powf(t)).sqrt() / (1.0 - BETA1.powf(t));
        let decay = lr * self.weight_decay;
        tch::no_grad(|| {
            for slot in &mut self.slots {
                let Some(grad) = slot.gradient() else { continue };
                let _ = slot.first.f_lerp_(&grad, 1.0 - BETA1)?;
                let _ = slot.second.f_lerp_(&grad.f_square()?, 1.0 - BETA2)?;
                let root = slot.second.f_sqrt()?.f_add_scalar_(EPSILON)?;
                let change = slot.first.f_div(&root)?.f_mul_scalar_(-alpha * slot.rate)?;
                if decay > 0.0 && slot.parameter.dim() > 1 {
                    let _ = slot.parameter.f_mul_scalar_(1.0 - decay)?;
                }
                let _ = slot.parameter.f_add_(&change)?;
            }
            Ok(())
        })
        .doing("update the parameters")
    }

    /// Returns the name and the moments of each parameter, `(name, m, v)`, in the order of the parameters.
    ///
    /// The tensors are the optimizer's own, which every step changes: save or copy their values.
    pub fn moments(&self) -> impl Iterator<Item = (&str, &Tensor, &Tensor)> {
        self.slots.iter().map(|slot| (slot.name.as_str(), &slot.first, &slot.second))
    }

    /// Restores a saved state: the number of steps, and copies of the moments that [`KerasAdam::moments`] returned.
    ///
    /// The moments may be on another device.
    ///
    /// # Errors
    /// - The moments are of other parameters, or of another shape or number type ([`ModelError::OptimizerState`]);
    ///   nothing is changed then.
    /// - libtorch fails.
    pub fn restore<'a>(
        &mut self,
        steps: u64,
        moments: impl IntoIterator<Item = (&'a str, &'a Tensor, &'a Tensor)>,
    ) -> Result<(), ModelError> {
        let moments: Vec<(&str, &Tensor, &Tensor)> = moments.into_iter().collect();
        self.check_count("number of parameters", moments.len())?;
        for (slot, &(name, first, second)) in self.slots.iter().zip(&moments) {
            check_state(name == slot.name, || "parameter".to_owned(), name, &slot.name)?;
            for (which, own, moment) in [("m", &slot.first, first), ("v", &slot.second, second)] {
                let (found, expected) = (described(moment), described(own));
                check_state(found == expected, || format!("{which} of {name}"), found, &expected)?;
            }
        }
        tch::no_grad(|| {
            for (slot, (_, first, second)) in self.slots.iter_mut().zip(moments) {
                slot.first.f_copy_(first)?;
                slot.second.f_copy_(second)?;
            }
            Ok(())
        })
        .doing("restore the optimizer's moments")?;
        self.steps = steps;
        Ok(())
    }

    fn check_count(&self, what: &str, found: usize) -> Result<(), ModelError> {
        let expected = self.slots.len();
        check_state(found == expected, || what.to_owned(), found, &expected.to_string())
    }
}

/// Refuses a part of a saved state that is not as expected.
fn check_state(
    good: bool,
    what: impl FnOnce() -> String,
    found: impl ToString,
    expected: &str,
) -> Result<(), ModelError> {
    if good {
        return Ok(());
    }
    let (found, expected) = (found.to_string(), expected.to_owned());
    Err(ModelError::OptimizerState { what: what(), found, expected })
}

/// Returns the number type and shape of a tensor, in words.
fn described(tensor: &Tensor) -> String {
    if tensor.defined() {
        format!("{:?} of shape {:?}", tensor.kind(), tensor.size())
    } else {
        "without values".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{Architecture, Preset};

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(&tensor.detach().to_kind(Kind::Double).view(-1)).expect("a flat tensor")
    }

    fn parameter(values: &[f64]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    /// Minimises sum(c theta) with a given c at each step, so that the gradient is c.
    fn steps_with(theta: &Tensor, adam: &mut KerasAdam, lr: f64, gradients: &[[f64; 2]]) {
        for gradient in gradients {
            adam.zero_grad();
            (theta * Tensor::from_slice(gradient)).sum(Kind::Double).backward();
            adam.step(lr).expect("steps");
        }
    }

    #[test]
    fn what_is_frozen_later_stays_as_it_is() {
        let theta = Tensor::from_slice2(&[[1.0, 2.0]]).set_requires_grad(true);
        let mut adam = KerasAdam::new([("w".into(), theta.shallow_clone())], 0.5).expect("new");
        theta.sum(Kind::Double).backward();
        adam.step(0.1).expect("steps");
        let before = values(&theta);
        assert_ne!(before, [1.0, 2.0]);
        // The gradient is still there.
        let _ = theta.set_requires_grad(false);
        adam.step(0.1).expect("steps");
        assert_eq!(values(&theta), before);
    }

    #[test]
    fn a_step_of_parameters_without_gradients_is_refused() {
        let (architecture, mode) = (Architecture::ResNet1d, Preset::Corrected);
        let network = Network::new(architecture, mode, 2, Device::Cpu, 1).expect("builds");
        let mut adam = KerasAdam::of(&network, 0.0).expect("moments");
        let parameters = network.trainable().count();
        assert_eq!(adam.moments().count(), parameters);
        let error = adam.step(0.1).expect_err("no backward pass").to_string();
        let said = format!("none of the optimizer's {parameters} parameters has a gradient");
        assert!(error.starts_with(&said), "{error}");
        // Copies do not see the gradients of the network.
        let copies = network.trainable().map(|(name, own)| (name.to_owned(), own.copy()));
        let mut of_copies = KerasAdam::new(copies, 0.0).expect("moments");
        for (_, own) in network.trainable() {
            own.sum(Kind::Float).backward();
        }
        assert!(matches!(of_copies.step(0.1), Err(ModelError::NoGradient { .. })));
        assert_eq!((adam.steps(), of_copies.steps()), (0, 0));
        let before: Vec<Tensor> = network.trainable().map(|(_, own)| own.detach().copy()).collect();
        adam.step(0.1).expect("steps");
        assert!(network.trainable().zip(&before).all(|((_, own), old)| !own.equal(old)));
    }

    #[test]
    fn two_steps_by_hand() {
        // Step 1: m = .1 g, v = .001 g^2, alpha = lr sqrt(.001)/.1. For g = 2 the change is
        // lr sqrt(.001)/.1 * .2 / (sqrt(.004) + 1e-7) = .01 * .99999841886...; for g = 1e-6,
        // where epsilon shows, .01 * 1e-6 sqrt(.001) / (1e-6 sqrt(.001) + 1e-7) = .01 * .240253...
        let theta = parameter(&[1.0, 1.0]);
        let mut adam = KerasAdam::new([("w".into(), theta.shallow_clone())], 0.0).expect("new");
        steps_with(&theta, &mut adam, 0.01, &[[2.0, 1e-6]]);
        let root = 0.001_f64.sqrt();
        let first = [
            1.0 - 0.01 * (root / 0.1) * 0.2 / (2.0 * root + 1e-7),
            1.0 - 0.01 * 1e-6 * root / (1e-6 * root + 1e-7),
        ];
        for (found, expected) in values(&theta).iter().zip(first) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
        assert!((first[1] - (1.0 - 0.01 * 0.240_253_073_352_042)).abs() < 1e-12, "{}", first[1]);
        // Step 2 with g = -1: m = .9 * .2 - .1 = .08, v = .999 * .004 + .001 = .004996,
        // alpha = .01 sqrt(.001999)/.19.
        steps_with(&theta, &mut adam, 0.01, &[[-1.0, 0.0]]);
        let alpha = 0.01 * 0.001_999_f64.sqrt() / 0.19;
        let expected = first[0] - alpha * 0.08 / (0.004_996_f64.sqrt() + 1e-7);
        assert!((values(&theta)[0] - expected).abs() < 1e-15, "{} {expected}", values(&theta)[0]);
        assert_eq!(adam.steps(), 2);
    }

    #[test]
    fn f32_stays_f32() {
        let theta = Tensor::from_slice(&[1.0_f32, -1.0]).set_requires_grad(true);
        let mut adam = KerasAdam::new([("w".into(), theta.shallow_clone())], 0.0).expect("new");
        theta.square().sum(Kind::Float).backward();
        adam.step(0.001).expect("steps");
        assert_eq!(theta.kind(), Kind::Float);
        // The first step has the size lr and the sign of the gradient, except for epsilon.
        for (found, expected) in values(&theta).iter().zip([0.999, -0.999]) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
    }

    #[test]
    fn decay_takes_kernels_only_and_no_gradient_means_no_change() {
        let kernel = parameter(&[1.0, 2.0]).detach().view([1, 2]).set_requires_grad(true);
        let bias = parameter(&[3.0]);
        let idle = parameter(&[4.0]);
        let named = [("k", &kernel), ("b", &bias), ("i", &idle)];
        let named = named.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
        let mut adam = KerasAdam::new(named, 0.5).expect("new");
        ((&kernel * 0.0).sum(Kind::Double) + (&bias * 0.0).sum(Kind::Double)).backward();
        adam.step(0.1).expect("steps");
        assert_eq!(values(&kernel), [0.95, 1.9]);
        assert_eq!(values(&bias), [3.0]);
        assert_eq!(values(&idle), [4.0]);
    }

    #[test]
    fn rates_go_by_size() {
        let kernel = parameter(&[0.034 * 3.0, -0.034]).detach().view([2, 1]);
        let kernel = kernel.set_requires_grad(true);
        let (zeros, bias) = (kernel.zeros_like().set_requires_grad(true), parameter(&[5.0]));
        let named = [("k", &kernel), ("z", &zeros), ("b", &bias)];
        let named = named.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
        let mut adam = KerasAdam::new(named, 0.0).expect("new");
        adam = adam.with_rates(|name| if name == "z" { 0.5 } else { 1.0 });
        adam.scale_rates_by_size().expect("looks");
        // sqrt((9 + 1) / 2), the least share times a half, and three times the whole for a bias.
        assert_eq!(adam.rates(), [5.0_f32.sqrt(), 0.05, 3.0].map(f64::from));
        let before = [values(&kernel), values(&zeros), values(&bias)].concat();
        let all = kernel.sum(Kind::Double) + zeros.sum(Kind::Double) + bias.sum(Kind::Double);
        all.backward();
        adam.step(1e-3).expect("steps");
        let after = [values(&kernel), values(&zeros), values(&bias)].concat();
        let root = 5.0_f64.sqrt();
        for ((then, now), rate) in before.iter().zip(&after).zip([root, root, 0.05, 0.05, 3.0]) {
            // The first step has the size of the rate and the sign of the gradient, except for epsilon, 3e-6 of it;
            // shares are f32.
            assert!((then - now - 1e-3 * rate).abs() < 1e-8, "{then} {now} {rate}");
        }
    }

    #[test]
    fn a_loop_goes_on_from_saved_state_as_if_never_interrupted() {
        let gradients = [[2.0, -1.0], [0.5, 3.0], [-1.0, 0.1], [4.0, -2.0]];
        let of = |theta: &Tensor| {
            KerasAdam::new([("w".to_owned(), theta.shallow_clone())], 0.0).expect("new")
        };
        let whole = parameter(&[1.0, -1.0]);
        let mut adam = of(&whole).with_rates(|_| 0.3);
        steps_with(&whole, &mut adam, 0.01, &gradients);

        let theta = parameter(&[1.0, -1.0]);
        let mut before = of(&theta).with_rates(|_| 0.3);
        steps_with(&theta, &mut before, 0.01, &gradients[..2]);
        let mut after = of(&theta);
        after.restore(before.steps(), before.moments()).expect("restores");
        after.restore_rates(&before.rates()).expect("restores");
        // The restored moments are copies: further steps of the first optimizer do not change them.
        let other = parameter(&[0.0, 0.0]);
        before.slots[0].parameter = other.shallow_clone();
        steps_with(&other, &mut before, 0.01, &gradients);
        steps_with(&theta, &mut after, 0.01, &gradients[2..]);
        assert_eq!(values(&theta), values(&whole));
        assert_eq!((after.steps(), after.rates()), (adam.steps(), adam.rates()));
    }

    #[test]
    fn state_of_other_parameters_is_refused() {
        let theta = parameter(&[1.0, 1.0]);
        let mut adam = KerasAdam::new([("w".to_owned(), theta)], 0.0).expect("new");
        let (good, long) = (parameter(&[0.0, 0.0]), parameter(&[0.0, 0.0, 0.0]));
        let (single, none) = (good.to_kind(Kind::Float), Tensor::new());
        for (moments, expected) in [
            (vec![], "number of parameters in the state of the optimizer is 0, expected 1"),
            (
                vec![("b", &good, &good)],
                "the parameter in the state of the optimizer is b, expected w",
            ),
            (
                vec![("w", &good, &long)],
                "the v of w in the state of the optimizer is Double of shape [3], expected Double of shape [2]",
            ),
            (vec![("w", &single, &good)], "is Float of shape [2], expected Double of shape [2]"),
            (vec![("w", &none, &good)], "is without values, expected Double of shape [2]"),
        ] {
            let error = adam.restore(9, moments).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        for (rates, expected) in
            [(&[][..], "is 0, expected 1"), (&[f64::NAN][..], "is NaN, expected a finite number")]
        {
            let error = adam.restore_rates(rates).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!((adam.steps(), adam.rates()), (0, vec![1.0]));
        adam.restore(9, [("w", &good, &good)]).expect("fits");
        assert_eq!(adam.steps(), 9);
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let (a, b) = (parameter(&[0.0]), parameter(&[0.0]));
        let named = [("a".to_owned(), a.shallow_clone()), ("b".to_owned(), b.shallow_clone())];
        let mut adam = KerasAdam::new(named, 0.0).expect("new");
        (&a * 3.0 + &b * 4.0).sum(Kind::Double).backward();
        assert_eq!(adam.clip_norm(10.0).expect("clips"), 5.0);
        assert_eq!(values(&a.grad()), [3.0]);
        assert_eq!(adam.clip_norm(1.0).expect("clips"), 5.0);
        assert!((values(&a.grad())[0] - 0.6).abs() < 1e-12);
        assert!((values(&b.grad())[0] - 0.8).abs() < 1e-12);
    }

    #[test]
    fn what_takes_no_step_is_not_clipped_with_the_others() {
        let [a, b, still, frozen] = [1.0, 2.0, 3.0, 4.0].map(|value| parameter(&[value]));
        let named = [("a", &a), ("b", &b), ("still", &still), ("frozen", &frozen)];
        let named = named.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
        let adam = KerasAdam::new(named, 0.5).expect("new");
        let mut adam = adam.with_rates(|name| if name == "still" { 0.0 } else { 1.0 });
        (&a * 3.0 + &b * 4.0 + &still * 12.0 + &frozen * 84.0).sum(Kind::Double).backward();
        let _ = frozen.set_requires_grad(false);
        assert_eq!(adam.clip_norm(10.0).expect("clips"), 5.0);
        assert_eq!(adam.clip_norm(1.0).expect("clips"), 5.0);
        assert_eq!([values(&still.grad()), values(&frozen.grad())], [[12.0], [84.0]]);
        adam.step(0.1).expect("steps");
        assert_eq!([values(&still), values(&frozen)], [[3.0], [4.0]]);
        for (name, first, second) in adam.moments() {
            let moved = ["a", "b"].contains(&name);
            assert_eq!(values(first) != [0.0], moved, "{name}");
            assert_eq!(values(second) != [0.0], moved, "{name}");
        }
    }
}
