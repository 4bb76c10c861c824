use tch::{Device, Kind, Tensor};

use super::*;
use crate::kernels::tests::INNER;
use crate::kernels::{Bf16, values, values_mut};

/// Returns numbers between -1 and 1 without a pattern that matters here.
pub(crate) fn noise(shape: &[i64], seed: f64) -> Tensor {
    let n: i64 = shape.iter().product();
    let x = Tensor::arange(n, (Kind::Double, Device::Cpu));
    ((x * 12.9898 + seed).sin() * 43758.547).frac().view(shape).to_kind(Kind::Float)
}

/// A test case: axes; input and output channels; images, depth, height, width.
pub(crate) type Case = (u32, [usize; 2], [usize; 4]);

pub(crate) const CASES: [Case; 8] = [
    (3, [32, 32], [1, 45, 45, 45]),
    (3, [16, 32], [2, 9, 7, 11]),
    (3, [64, 16], [1, 1, 2, 46]),
    (3, [32, 64], [1, 4, 5, 100]),
    (2, [16, 64], [3, 1, 45, 45]),
    (2, [64, 16], [2, 1, 1, 47]),
    (2, [32, 32], [1, 1, 8, 3]),
    (2, [64, 64], [2, 1, 7, 91]),
];

/// All cases; without the first one, which takes longest, if this is one of several runs.
fn cases() -> impl Iterator<Item = Case> {
    let skipped = usize::from(std::env::var_os(INNER).is_some());
    CASES.into_iter().skip(skipped)
}

pub(crate) fn shape_of(grid: Grid, channels: usize) -> Vec<i64> {
    let Grid { images, depth, height, width } = grid;
    [images, depth, height, width, channels].map(|n| n as i64).to_vec()
}

pub(crate) struct Data {
    pub grid: Grid,
    pub x: Tensor,
    pub kernel: Tensor,
    pub dy: Tensor,
}

pub(crate) fn data((axes, [input, output], size): Case) -> Data {
    let [images, depth, height, width] = size;
    let grid = Grid { images, depth, height, width };
    let mut shape = vec![output as i64, input as i64];
    shape.extend(vec![3; axes as usize]);
    Data {
        grid,
        x: noise(&shape_of(grid, input), 0.3),
        kernel: noise(&shape, 0.7) * 0.1,
        dy: noise(&shape_of(grid, output), 0.9),
    }
}

impl Data {
    /// Rounds the numbers to a type.
    fn rounded<T: Element>(self) -> Self {
        let [x, kernel, dy] = [self.x, self.kernel, self.dy].map(|x| x.to_kind(T::KIND));
        Self { x, kernel, dy, ..self }
    }
}

fn ready<T: Element>(kernel: &Tensor, axes: u32, channels: [usize; 2]) -> Kernel {
    Kernel::new::<T>(values(kernel).expect("kernel"), axes, channels).expect("fits")
}

/// Rounds numbers as the products in `bf16` do.
fn as_multiplied(x: Tensor) -> Tensor {
    if multiplies_bf16() { x.to_kind(Kind::BFloat16).to_kind(Kind::Float) } else { x }
}

/// Returns libtorch's convolution in `f64`, with the channels last.
pub(crate) fn expected(x: &Tensor, kernel: &Tensor) -> Tensor {
    let (kernel, padding) = match kernel.dim() {
        5 => (kernel.shallow_clone(), [1, 1, 1]),
        _ => (kernel.unsqueeze(2), [0, 1, 1]),
    };
    let (x, kernel) = (x.to_kind(Kind::Double), kernel.to_kind(Kind::Double));
    let y = x.permute([0, 4, 1, 2, 3]).conv3d(
        &kernel,
        None::<&Tensor>,
        [1, 1, 1],
        padding,
        [1, 1, 1],
        1,
    );
    y.permute([0, 2, 3, 4, 1]).contiguous()
}

pub(crate) fn off(found: &Tensor, expected: &Tensor) -> f64 {
    let found = found.to_kind(Kind::Double).view_as(expected);
    (found - expected).abs().max().double_value(&[]) / expected.abs().max().double_value(&[])
}

/// If the inputs are `bf16` numbers, only the output is rounded, whether or not the processor multiplies in `bf16`.
#[test]
fn convolutions_equal_libtorchs() {
    fn check<T: Element>(bound: f64) {
        for case @ (axes, channels, _) in cases() {
            let Data { grid, x, kernel, .. } = data(case).rounded::<T>();
            let ready = ready::<T>(&kernel.to_kind(Kind::Float), axes, channels);
            let y = expected(&x, &kernel);
            let mut out = Tensor::empty(y.size(), (T::KIND, Device::Cpu));
            let (x, out_values) = (values::<T>(&x).expect("x"), values_mut(&mut out).expect("y"));
            let sums = convolve(x, &ready, grid, &Around::default(), out_values).expect("runs");
            let off_by = off(&out, &y);
            assert!(off_by < bound, "{:?}, {case:?}: {off_by:e} of the peak", T::KIND);
            let total = y.sum_dim_intlist([1i64, 2, 3].as_slice(), false, None);
            let found = Tensor::from_slice(&sums).view_as(&total);
            assert!((found - total).abs().max().double_value(&[]) < 1e-6 * y.numel() as f64);
        }
    }
    // Sums of up to 1728 products. Rounding at each point adds up in the transforms, see `winograd::axis`.
    check::<f32>(4e-6);
    // Half a unit in the last of eight binary digits.
    check::<Bf16>(2f64.powi(-8));
}

#[test]
fn what_is_done_on_the_way_in_and_out() {
    let case @ (axes, channels, _) = CASES[1];
    let Data { grid, x, kernel, .. } = data(case);
    let ready = ready::<f32>(&kernel, axes, channels);
    let (scale, shift, bias) = (noise(&[16], 0.1), noise(&[16], 0.2), noise(&[32], 0.4));
    let taken = (&x * &scale + &shift).relu();
    let y = (expected(&taken, &kernel) + bias.to_kind(Kind::Double)).relu();
    let around = Around {
        before: Some([values(&scale).expect("scale"), values(&shift).expect("shift")]),
        bias: Some(values(&bias).expect("bias")),
        relu: true,
    };
    let mut out = vec![0f32; y.numel()];
    convolve(values(&x).expect("x"), &ready, grid, &around, &mut out).expect("runs");
    assert!(off(&Tensor::from_slice(&out), &y) < 4e-6);
    // In bf16, the input is rounded before the convolution, and the output after it.
    let rounded = x.to_kind(Kind::BFloat16);
    let taken = as_multiplied((rounded.to_kind(Kind::Float) * &scale + &shift).relu());
    let y = expected(&taken, &as_multiplied(kernel.shallow_clone()));
    let y = (y + bias.to_kind(Kind::Double)).relu();
    let ready = self::ready::<Bf16>(&kernel, axes, channels);
    let mut out = Tensor::empty(y.size(), (Kind::BFloat16, Device::Cpu));
    let x = values::<Bf16>(&rounded).expect("x");
    convolve(x, &ready, grid, &around, values_mut(&mut out).expect("y")).expect("runs");
    assert!(off(&out, &y) < 4e-3);
}

#[test]
fn gradients_equal_libtorchs() {
    fn check<T: Element>() {
        for case @ (axes, channels, _) in cases() {
            let Data { grid, x, kernel, dy } = data(case).rounded::<T>();
            let learned = kernel.to_kind(Kind::Double).set_requires_grad(true);
            (expected(&x, &learned) * dy.to_kind(Kind::Double)).sum(Kind::Double).backward();
            let (x, dy_values) = (values::<T>(&x).expect("x"), values(&dy).expect("dy"));
            let (kernel, bias) =
                kernel_gradient(x, dy_values, axes, channels, grid, None).expect("runs");
            let off_by = off(&Tensor::from_slice(&kernel), &learned.grad());
            assert!(off_by < 4e-6, "{:?}, {case:?}: {off_by:e} of the peak", T::KIND);
            let sums =
                dy.to_kind(Kind::Double).sum_dim_intlist([0i64, 1, 2, 3].as_slice(), false, None);
            let off_by = off(&Tensor::from_slice(&bias), &sums);
            assert!(off_by < 1e-5, "{:?}, {case:?}: bias", T::KIND);
        }
    }
    check::<f32>();
    check::<Bf16>();
}

#[test]
fn gradients_behind_a_normalisation_and_in_bf16() {
    let case @ (axes, channels, _) = CASES[1];
    let Data { grid, x, kernel, dy } = data(case);
    let (scale, shift) = (noise(&[16], 0.1), noise(&[16], 0.2));
    let before = Some([values(&scale).expect("scale"), values(&shift).expect("shift")]);
    let (half_x, half_dy) = (x.to_kind(Kind::BFloat16), dy.to_kind(Kind::BFloat16));
    let of = |x: &Tensor, dy: &Tensor, read: fn(Tensor) -> Tensor| {
        let learned = kernel.to_kind(Kind::Double).set_requires_grad(true);
        let taken = read((x * &scale + &shift).relu());
        (expected(&taken, &learned) * dy.to_kind(Kind::Double)).sum(Kind::Double).backward();
        learned.grad()
    };
    let (inputs, gradients) = (values::<f32>(&x).expect("x"), values(&dy).expect("dy"));
    let (found, _) =
        kernel_gradient(inputs, gradients, axes, channels, grid, before).expect("runs");
    assert!(off(&Tensor::from_slice(&found), &of(&x, &dy, |x| x)) < 4e-6);
    let (inputs, gradients) = (values::<Bf16>(&half_x).expect("x"), values(&half_dy).expect("dy"));
    let (found, _) =
        kernel_gradient(inputs, gradients, axes, channels, grid, before).expect("runs");
    // The inputs are exact, and the sums are in f32. If the processor multiplies in `bf16`, the factors are rounded,
    // occasionally differently than here.
    let (x, dy) = (half_x.to_kind(Kind::Float), half_dy.to_kind(Kind::Float));
    let bound = if multiplies_bf16() { 2e-5 } else { 4e-6 };
    assert!(off(&Tensor::from_slice(&found), &of(&x, &dy, as_multiplied)) < bound);
}

#[test]
fn threads_do_not_change_anything() {
    fn check<T: Element + PartialEq>() {
        let case @ (axes, channels, _) = CASES[1];
        let Data { grid, x, kernel, dy } = data(case);
        let ready = ready::<T>(&kernel, axes, channels);
        let (x, dy) = (x.to_kind(T::KIND), dy.to_kind(T::KIND));
        let run = || {
            let (x, dy) = (values::<T>(&x).expect("x"), values(&dy).expect("dy"));
            let mut out = vec![T::put(0.0); dy.len()];
            let sums = convolve(x, &ready, grid, &Around::default(), &mut out).expect("runs");
            (out, sums, kernel_gradient(x, dy, axes, channels, grid, None).expect("runs"))
        };
        let threads = tch::get_num_threads();
        tch::set_num_threads(1);
        let one = run();
        tch::set_num_threads(3);
        let three = run();
        tch::set_num_threads(threads);
        assert!(one == three, "{:?}", T::KIND);
    }
    check::<f32>();
    check::<Bf16>();
}

/// NaN spreads to the neighbours, but not beyond the columns that are multiplied together.
#[test]
fn what_is_not_a_number_stays_so() {
    fn check<T: Element>() {
        let grid = Grid { images: 1, depth: 5, height: 6, width: 9 };
        for input in [16, 32] {
            let ready = ready::<T>(&noise(&[16, input, 3, 3, 3], 0.4), 3, [input as usize, 16]);
            let mut x = vec![T::put(0.5); grid.positions() * input as usize];
            let at = |z: usize, y: usize, x: usize| (z * grid.height + y) * grid.width + x;
            x[at(2, 3, 4) * input as usize] = T::put(f32::NAN);
            let mut out = vec![T::put(0.0); grid.positions() * 16];
            let relu = Around { relu: true, ..Around::default() };
            convolve(&x, &ready, grid, &relu, &mut out).expect("runs");
            let is_none = |z, y, x| out[at(z, y, x) * 16].get().is_nan();
            assert!(is_none(2, 3, 4) && is_none(1, 2, 3) && is_none(3, 4, 5));
            assert!(!is_none(2, 3, 8) && !is_none(2, 5, 0) && !is_none(4, 5, 8));
        }
    }
    check::<f32>();
    check::<Bf16>();
}

#[test]
fn what_does_not_fit_is_refused() {
    let grid = Grid { images: 1, depth: 2, height: 2, width: 2 };
    assert!(Kernel::new::<f32>(&[0.0; 27 * 24 * 16], 3, [24, 16]).is_err());
    assert!(Kernel::new::<Bf16>(&[0.0; 9], 2, [16, 16]).is_err());
    let kernel = Kernel::new::<f32>(&[0.0; 27 * 256], 3, [16, 16]).expect("fits");
    let (x, mut out) = ([0f32; 8 * 16], [0f32; 7 * 16]);
    assert!(convolve(&x, &kernel, grid, &Around::default(), &mut out).is_err());
    assert!(kernel_gradient(&x, &out, 3, [16, 16], grid, None).is_err());
    assert!(kernel_gradient(&x, &x, 2, [16, 16], grid, None).is_err(), "planes of a volume");
}
