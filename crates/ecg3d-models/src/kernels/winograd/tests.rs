use tch::{Device, Kind, Tensor};

use super::*;
use crate::kernels::{Bf16, values};

/// Numbers between -1 and 1 without a pattern that matters here.
fn noise(shape: &[i64], seed: f64) -> Tensor {
    let n: i64 = shape.iter().product();
    let x = Tensor::arange(n, (Kind::Double, Device::Cpu));
    ((x * 12.9898 + seed).sin() * 43758.547).frac().view(shape).to_kind(Kind::Float)
}

/// A case: axes, channels in and out, images, depth, height, width.
type Case = (u32, [usize; 2], [usize; 4]);

const CASES: [Case; 7] = [
    (3, [32, 32], [1, 45, 45, 45]),
    (3, [16, 32], [2, 9, 7, 11]),
    (3, [64, 16], [1, 1, 2, 46]),
    (3, [32, 64], [1, 4, 5, 100]),
    (2, [16, 64], [3, 1, 45, 45]),
    (2, [64, 16], [2, 1, 1, 47]),
    (2, [32, 32], [1, 1, 8, 3]),
];

struct Data {
    grid: Grid,
    x: Tensor,
    kernel: Tensor,
    dy: Tensor,
}

fn data((axes, [input, output], size): Case) -> Data {
    let [images, depth, height, width] = size;
    let grid = Grid { images, depth, height, width };
    let of = |channels: usize| [&size[..], &[channels]].concat().into_iter().map(|n| n as i64).collect::<Vec<_>>();
    let mut shape = vec![output as i64, input as i64];
    shape.extend(vec![3; axes as usize]);
    Data {
        grid,
        x: noise(&of(input), 0.3),
        kernel: noise(&shape, 0.7) * 0.1,
        dy: noise(&of(output), 0.9),
    }
}

/// libtorch's convolution in `f64`, channels last.
fn expected(x: &Tensor, kernel: &Tensor) -> Tensor {
    let (kernel, padding) = match kernel.dim() {
        5 => (kernel.shallow_clone(), [1, 1, 1]),
        _ => (kernel.unsqueeze(2), [0, 1, 1]),
    };
    let (x, kernel) = (x.to_kind(Kind::Double), kernel.to_kind(Kind::Double));
    let y = x.permute([0, 4, 1, 2, 3]).conv3d(&kernel, None::<&Tensor>, [1, 1, 1], padding, [1, 1, 1], 1);
    y.permute([0, 2, 3, 4, 1]).contiguous()
}

fn off(found: &Tensor, expected: &Tensor) -> f64 {
    let found = found.to_kind(Kind::Double).view_as(expected);
    (found - expected).abs().max().double_value(&[]) / expected.abs().max().double_value(&[])
}

#[test]
fn convolutions_equal_libtorchs() {
    for case @ (axes, channels, _) in CASES {
        let Data { grid, x, kernel, .. } = data(case);
        let factors = Factors::new(values(&kernel).expect("kernel"), axes, channels).expect("fits");
        let y = expected(&x, &kernel);
        let mut out = vec![0f32; y.numel()];
        let x = values(&x).expect("x");
        let sums = convolve(x, &factors, grid, &Around::default(), &mut out).expect("runs");
        let off_by = off(&Tensor::from_slice(&out), &y);
        // Sums of up to 1728 products, each point's off by some roundings, which the transforms add up: see `axis`.
        assert!(off_by < 4e-6, "{case:?}: {off_by:e} of the peak");
        let total = y.sum_dim_intlist([1i64, 2, 3].as_slice(), false, None);
        let found = Tensor::from_slice(&sums).view_as(&total);
        assert!((found - total).abs().max().double_value(&[]) < 1e-6 * y.numel() as f64);
    }
}

#[test]
fn what_is_done_on_the_way_in_and_out() {
    let case @ (axes, channels, _) = CASES[1];
    let Data { grid, x, kernel, .. } = data(case);
    let factors = Factors::new(values(&kernel).expect("kernel"), axes, channels).expect("fits");
    let (scale, shift, bias) = (noise(&[16], 0.1), noise(&[16], 0.2), noise(&[32], 0.4));
    let taken = (&x * &scale + &shift).relu();
    let y = (expected(&taken, &kernel) + bias.to_kind(Kind::Double)).relu();
    let around = Around {
        before: Some([values(&scale).expect("scale"), values(&shift).expect("shift")]),
        bias: Some(values(&bias).expect("bias")),
        relu: true,
    };
    let mut out = vec![0f32; y.numel()];
    convolve(values(&x).expect("x"), &factors, grid, &around, &mut out).expect("runs");
    assert!(off(&Tensor::from_slice(&out), &y) < 4e-6);
    // In bf16 the input is rounded before, and the output after.
    let rounded = x.to_kind(Kind::BFloat16);
    let taken = (rounded.to_kind(Kind::Float) * &scale + &shift).relu();
    let y = (expected(&taken, &kernel) + bias.to_kind(Kind::Double)).relu();
    let mut out = Tensor::empty(y.size(), (Kind::BFloat16, Device::Cpu));
    let x = values::<Bf16>(&rounded).expect("x");
    convolve(x, &factors, grid, &around, crate::kernels::values_mut(&mut out).expect("y")).expect("runs");
    assert!(off(&out, &y) < 4e-3);
}

#[test]
fn gradients_equal_libtorchs() {
    for case @ (axes, channels, _) in CASES {
        let Data { grid, x, kernel, dy } = data(case);
        let learned = kernel.to_kind(Kind::Double).set_requires_grad(true);
        (expected(&x, &learned) * dy.to_kind(Kind::Double)).sum(Kind::Double).backward();
        let (x, dy_values) = (values::<f32>(&x).expect("x"), values(&dy).expect("dy"));
        let (kernel, bias) =
            kernel_gradient(x, dy_values, axes, channels, grid, None).expect("runs");
        let off_by = off(&Tensor::from_slice(&kernel), &learned.grad());
        assert!(off_by < 4e-6, "{case:?}: {off_by:e} of the peak");
        let sums = dy.to_kind(Kind::Double).sum_dim_intlist([0i64, 1, 2, 3].as_slice(), false, None);
        assert!(off(&Tensor::from_slice(&bias), &sums) < 1e-5, "{case:?}: bias");
    }
}

#[test]
fn threads_do_not_change_anything() {
    let case @ (axes, channels, _) = CASES[1];
    let Data { grid, x, kernel, dy } = data(case);
    let factors = Factors::new(values(&kernel).expect("kernel"), axes, channels).expect("fits");
    let run = || {
        let (x, dy) = (values::<f32>(&x).expect("x"), values(&dy).expect("dy"));
        let mut out = vec![0f32; dy.len()];
        let sums = convolve(x, &factors, grid, &Around::default(), &mut out).expect("runs");
        (out, sums, kernel_gradient(x, dy, axes, channels, grid, None).expect("runs"))
    };
    let threads = tch::get_num_threads();
    tch::set_num_threads(1);
    let one = run();
    tch::set_num_threads(3);
    let three = run();
    tch::set_num_threads(threads);
    assert!(one == three);
}

#[test]
fn what_does_not_fit_is_refused() {
    let grid = Grid { images: 1, depth: 2, height: 2, width: 2 };
    assert!(Factors::new(&[0.0; 27 * 24 * 16], 3, [24, 16]).is_err());
    assert!(Factors::new(&[0.0; 9], 2, [16, 16]).is_err());
    let factors = Factors::new(&[0.0; 27 * 256], 3, [16, 16]).expect("fits");
    let (x, mut out) = ([0f32; 8 * 16], [0f32; 7 * 16]);
    assert!(convolve(&x, &factors, grid, &Around::default(), &mut out).is_err());
    assert!(kernel_gradient(&x, &out, 3, [16, 16], grid, None).is_err());
}

#[test]
fn speed() {
    tch::set_num_threads(std::env::var("T").map_or(1, |t| t.parse().unwrap()));
    for case in [(3, [32, 32], [1, 45, 45, 45]), (3, [16, 32], [1, 45, 45, 45]), (2, [16, 64], [45, 1, 45, 45]), (2, [16, 64], [1, 1, 45, 45])] {
        let (axes, channels, _) = case;
        let Data { grid, x, kernel, dy } = data(case);
        let t0 = std::time::Instant::now();
        let mut factors = Factors::new(values(&kernel).unwrap(), axes, channels).unwrap();
        for _ in 0..9 { factors = Factors::new(values(&kernel).unwrap(), axes, channels).unwrap(); }
        let t1 = t0.elapsed() / 10;
        let mut out = vec![0f32; dy.numel()];
        let mut best = [1e9f64; 3];
        let xs: &[f32] = values(&x).unwrap();
        let xt = x.permute([0, 4, 1, 2, 3]);
        let k5 = if axes == 3 { kernel.shallow_clone() } else { kernel.unsqueeze(2) };
        let pad = if axes == 3 { [1, 1, 1] } else { [0, 1, 1] };
        for _ in 0..10 {
            let t = std::time::Instant::now();
            convolve::<f32>(xs, &factors, grid, &Around::default(), &mut out).unwrap();
            best[0] = best[0].min(t.elapsed().as_secs_f64());
            let t = std::time::Instant::now();
            kernel_gradient::<f32>(xs, values(&dy).unwrap(), axes, channels, grid, None).unwrap();
            best[1] = best[1].min(t.elapsed().as_secs_f64());
            let t = std::time::Instant::now();
            let _ = xt.conv3d(&k5, None::<&Tensor>, [1, 1, 1], pad, [1, 1, 1], 1);
            best[2] = best[2].min(t.elapsed().as_secs_f64());
        }
        println!("{case:?}: factors {t1:?} forth {:.2} ms kernel {:.2} ms libtorch {:.2} ms", best[0] * 1e3, best[1] * 1e3, best[2] * 1e3);
    }
}
