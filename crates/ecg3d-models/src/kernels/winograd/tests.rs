use tch::{Device, Kind, Tensor};

use super::*;
use crate::kernels::convolution::tests::{CASES, Case, Data, data, expected, off, shape_of};
use crate::kernels::convolution::{Pair, Slab};
use crate::kernels::values;
use crate::kernels::vector::Portable;

/// The vectors of other processors, with as many rows as AVX-512 has registers for.
#[test]
fn other_vectors_give_the_same() {
    fn run<const ROWS: usize>(case: Case) {
        let (axes, channels, _) = case;
        let Data { grid, x, kernel, dy } = data(case);
        let factors = Factors::new(values(&kernel).expect("kernel"), axes, channels);
        let y = expected(&x, &kernel);
        let (x, dy_values) = (values::<f32>(&x).expect("x"), values::<f32>(&dy).expect("dy"));
        let mut out = vec![0f32; y.numel()];
        let mut scratch = Scratch::default();
        let [input, output] = channels;
        let bias = vec![ZERO; output / LANES];
        let thick = TILE * grid.width * output * if axes == 3 { grid.height } else { 1 };
        let images = out.chunks_mut(grid.positions() * output);
        let mut slabs = 0;
        for (out, x) in images.zip(x.chunks(grid.positions() * input)) {
            for (slab, out) in out.chunks_mut(thick).enumerate() {
                slabs += 1;
                let (mut sums, factors) = (bias.clone(), &factors);
                let slab = Slab {
                    x,
                    slab,
                    out,
                    grid,
                    before: None,
                    bias: &bias,
                    relu: false,
                    sums: &mut sums,
                };
                let forth = Forth { slab, factors, scratch: &mut scratch };
                forth.run::<Portable, ROWS>();
            }
        }
        assert!(off(&Tensor::from_slice(&out), &y) < 4e-6, "{case:?}, {ROWS} rows");

        let learned = kernel.to_kind(Kind::Double).set_requires_grad(true);
        let (inputs, gradients) = (Tensor::from_slice(x), dy.to_kind(Kind::Double));
        let inputs =
            inputs.view_as(&Tensor::zeros(shape_of(grid, input), (Kind::Float, Device::Cpu)));
        (expected(&inputs, &learned) * gradients).sum(Kind::Double).backward();
        let mut sums = vec![ZERO; POINTS.pow(axes) * input * output / LANES];
        let mut of_bias = bias.clone();
        let groups = [input / LANES, output / LANES];
        let gradient = Gradient {
            pair: Pair { x, dy: dy_values, grid, groups, before: None },
            slabs: 0..slabs,
            factors: &mut sums,
            bias: &mut of_bias,
            scratch: &mut scratch,
        };
        gradient.run::<Portable, ROWS>();
        let found = kernel_back(sums, axes, channels);
        assert!(off(&Tensor::from_slice(&found), &learned.grad()) < 4e-6, "{case:?}, {ROWS} rows");
    }
    for case in CASES.into_iter().skip(1) {
        run::<5>(case);
        run::<15>(case);
    }
}
