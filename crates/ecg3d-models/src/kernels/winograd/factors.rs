use super::axis::{self, POINTS, TILE};
use super::{LANES, Lanes, Vector, VectorTask, ZERO, run_vectors};

/// The values of a kernel at the points: for each point a matrix, `[output / 16, input, 16]`.
#[derive(Debug)]
pub(crate) struct Factors {
    axes: u32,
    input: usize,
    output: usize,
    values: Vec<Lanes>,
}

/// The transforms of a kernel along all axes, `[tap.., pair of channels]`.
struct Along {
    x: Vec<Lanes>,
    axes: u32,
    /// Whether from the kernel to its factors, or from the gradients of the factors to those of the kernel.
    forth: bool,
}

impl VectorTask for &mut Along {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let (from, to) = if self.forth { (TILE, POINTS) } else { (POINTS, TILE) };
        let mut after = self.x.len() / from.pow(self.axes);
        for _ in 0..self.axes {
            let mut out = vec![ZERO; self.x.len() / from * to];
            let parts = self.x.chunks_exact(from * after).zip(out.chunks_exact_mut(to * after));
            for (x, out) in parts {
                if self.forth {
                    along::<V, TILE, POINTS>(x, out, axis::kernel);
                } else {
                    along::<V, POINTS, TILE>(x, out, axis::kernel_back);
                }
            }
            self.x = out;
            after *= to;
        }
    }
}

/// Transforms the first axis of `[along, after]`, which changes its length.
#[inline(always)]
fn along<V: Vector, const FROM: usize, const TO: usize>(
    x: &[Lanes],
    out: &mut [Lanes],
    f: impl Fn([V; FROM]) -> [V; TO],
) {
    let after = x.len() / FROM;
    for at in 0..after {
        let mut line = [V::splat(0.0); FROM];
        for (k, value) in line.iter_mut().enumerate() {
            *value = V::load(&x[k * after + at].0);
        }
        for (k, value) in f(line).into_iter().enumerate() {
            value.store(&mut out[k * after + at].0);
        }
    }
}

/// Returns the index of a pair of channels in `[output / 16, input, 16]`.
fn place(output: usize, input: usize, inputs: usize) -> usize {
    (output / LANES * inputs + input) * LANES + output % LANES
}

impl Factors {
    /// Computes the factors of a kernel `[output, input, axis..]`, with two or three axes of 3, and multiples of 16
    /// channels.
    pub(crate) fn new(kernel: &[f32], axes: u32, [input, output]: [usize; 2]) -> Self {
        let (taps, pairs) = (3usize.pow(axes), input * output);
        let mut x = vec![ZERO; kernel.len() / LANES];
        for (pair, kernel) in kernel.chunks_exact(taps).enumerate() {
            let at = place(pair / input, pair % input, input);
            for (tap, value) in kernel.iter().enumerate() {
                x[(tap * pairs + at) / LANES].0[at % LANES] = *value;
            }
        }
        let mut along = Along { x, axes, forth: true };
        run_vectors(&mut along);
        let values = along.x;
        Self { axes, input, output, values }
    }

    pub(crate) fn channels(&self) -> [usize; 2] {
        [self.input, self.output]
    }

    /// Returns whether the kernel has three axes.
    pub(crate) fn is_deep(&self) -> bool {
        self.axes == 3
    }

    pub(super) fn values(&self) -> &[Lanes] {
        &self.values
    }
}

/// Gradients of the factors `[point, output / 16, input, 16]` -> gradients of the kernel, `[output, input, axis..]`.
pub(crate) fn kernel_back(x: Vec<Lanes>, axes: u32, [input, output]: [usize; 2]) -> Vec<f32> {
    let (taps, pairs) = (3usize.pow(axes), input * output);
    let mut along = Along { x, axes, forth: false };
    run_vectors(&mut along);
    let mut out = vec![0.0; pairs * taps];
    for (pair, kernel) in out.chunks_exact_mut(taps).enumerate() {
        let at = place(pair / input, pair % input, input);
        for (tap, value) in kernel.iter_mut().enumerate() {
            *value = along.x[(tap * pairs + at) / LANES].0[at % LANES];
        }
    }
    out
}
