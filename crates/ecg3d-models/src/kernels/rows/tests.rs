use tch::{Kind, Tensor};

use super::*;
use crate::kernels::convolution::tests::noise;
use crate::kernels::values;

/// More than a chunk, and not a multiple of anything relevant.
const ROWS: i64 = 601;

fn slice(x: &Tensor) -> &[f32] {
    values(x).expect("values")
}

/// Checks for equality within a few roundings in sums of some hundred terms.
fn assert_close(found: &[f32], expected: &Tensor) {
    let found = Tensor::from_slice(found).to_kind(Kind::Double);
    let expected = expected.to_kind(Kind::Double).contiguous().view(-1);
    let peak = expected.abs().max().double_value(&[]);
    let off = (found - expected).abs().max().double_value(&[]) / peak;
    assert!(off < 2e-6, "{off:e} of the peak");
}

fn norm(channels: i64) -> (ScaleShift, Tensor, Tensor) {
    let (scale, shift) = (noise(&[channels], 0.5), noise(&[channels], 0.6));
    let norm = ScaleShift { scale: slice(&scale).to_vec(), shift: slice(&shift).to_vec() };
    (norm, scale, shift)
}

#[test]
fn moments_of_many_values_with_a_large_mean() {
    let values: Vec<f32> = (0..9_600_000)
        .map(|k| if k % 2 == 0 { 100.0 + (k / 16 % 7) as f32 } else { (k / 16 % 3) as f32 })
        .collect();
    let found = moments(&values, 16).expect("runs");
    for (c, (mean, variance)) in found.into_iter().enumerate() {
        let column = || values.iter().skip(c).step_by(16).map(|&v| f64::from(v));
        let n = 600_000.0;
        let expected = column().sum::<f64>() / n;
        let spread = column().map(|v| (v - expected).powi(2)).sum::<f64>() / n;
        assert!((mean - expected).abs() < 1e-6, "{mean}, expected {expected}");
        assert!((variance - spread).abs() < 1e-6 * spread, "{variance}, expected {spread}");
    }
}

#[test]
fn affine_with_and_without_relu() {
    let x = noise(&[ROWS, 32], 0.1);
    let (by, scale, shift) = norm(32);
    let mut out = vec![0.0; x.numel()];
    affine(slice(&x), &by, false, &mut out).expect("runs");
    assert_close(&out, &(&x * &scale + &shift));
    affine(slice(&x), &by, true, &mut out).expect("runs");
    assert_close(&out, &(&x * &scale + &shift).relu());
}

#[test]
fn products_with_a_gate() {
    for (input, output) in [(16, 32), (32, 32), (32, 16), (64, 16)] {
        let (x, y) = (noise(&[ROWS, input], 0.1), noise(&[ROWS, output], 0.2));
        let (kernel, gate) = (noise(&[output, input], 0.3), noise(&[output], 0.4));
        let bias = noise(&[output], 0.7);
        let expected = x.linear(&kernel, Some(&bias)) + &y * &gate;
        let matrix = Matrix::new(slice(&kernel), input as usize);
        let mut out = vec![0.0; y.numel()];
        residual(slice(&x), &matrix, slice(&bias), Some(slice(&y)), slice(&gate), &mut out)
            .expect("runs");
        assert_close(&out, &expected);
        out.copy_from_slice(slice(&y));
        residual(slice(&x), &matrix, slice(&bias), None, slice(&gate), &mut out).expect("runs");
        assert_close(&out, &expected);
        let gradient = matrix_gradient(slice(&x), slice(&y), [input as usize, output as usize]);
        assert_close(&gradient.expect("runs"), &y.tr().matmul(&x));
    }
}

#[test]
fn the_way_back_through_relu_and_normalisation() {
    let channels = 32;
    let y = noise(&[ROWS, channels], 0.1).to_kind(Kind::Double).set_requires_grad(true);
    let dz = noise(&[ROWS, channels], 0.2);
    let (beta, gamma) = (noise(&[channels], 0.5), noise(&[channels], 0.6));
    let mean = y.mean_dim([0i64].as_slice(), false, None);
    let reciprocal = (y.var_dim([0i64].as_slice(), false, false) + 1e-3).rsqrt();
    let z = ((&y - &mean) * &reciprocal * &gamma + &beta).relu();
    (z * &dz).sum(Kind::Double).backward();
    // With a product with a matrix added.
    let (dout, kernel) = (noise(&[ROWS, 16], 0.8), noise(&[16, channels], 0.9));
    let expected = y.grad() + dout.matmul(&kernel);

    let single = |x: &Tensor| x.detach().to_kind(Kind::Float).contiguous();
    let scale = single(&(&reciprocal * &gamma));
    let shift = single(&(&beta - &mean * &reciprocal * &gamma));
    let norm = ScaleShift { scale: slice(&scale).to_vec(), shift: slice(&shift).to_vec() };
    let (y, mean, reciprocal) = (single(&y), single(&mean), single(&reciprocal));
    let sums = sums_where_positive(slice(&dz), slice(&y), &norm, slice(&mean)).expect("runs");
    let back = NormBack::new(&norm, slice(&mean), slice(&reciprocal), &sums, ROWS as usize);
    let matrix = Matrix::transposed(slice(&kernel), channels as usize);
    let mut out = slice(&dz).to_vec();
    norm_back(slice(&y), &back, Some((slice(&dout), &matrix)), &mut out).expect("runs");
    assert_close(&out, &expected);
    let mut out = slice(&dz).to_vec();
    norm_back(slice(&y), &back, None, &mut out).expect("runs");
    assert_close(&out, &(expected - dout.matmul(&kernel)));
}

#[test]
fn sums_of_products() {
    let (a, b) = (noise(&[ROWS, 16], 0.1), noise(&[ROWS, 16], 0.2));
    let [sums, with] = sums_with(slice(&a), slice(&b), 16).expect("runs");
    let single = |x: Vec<f64>| x.into_iter().map(|x| x as f32).collect::<Vec<_>>();
    assert_close(&single(sums), &a.sum_dim_intlist([0i64].as_slice(), false, Kind::Double));
    assert_close(&single(with), &(a * b).sum_dim_intlist([0i64].as_slice(), false, Kind::Double));
}
