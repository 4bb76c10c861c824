//! The gates of a convolutional LSTM: one step forward, and one backward.

use super::Element;
use super::vector::{LANES, Vector, VectorTask, run_vectors};

/// Number of filters of the LSTMs that these loops support.
pub(crate) const FILTERS: usize = LANES;

/// One step for all positions. Every slice is `[position, channel]`.
pub(crate) struct Forward<'a, T> {
    /// The sums of the gates i, f, c, o. If `cells` is not empty, they are replaced by the values of the gates.
    pub gates: &'a mut [T],
    /// The running cell state.
    pub cell: &'a mut [f32],
    /// Receives the state.
    pub state: &'a mut [T],
    /// Receives the cell state after the step, for the backward pass; empty if there is none.
    pub cells: &'a mut [T],
}

/// The same step in the backward pass.
pub(crate) struct Backward<'a, T> {
    /// The values of the gates, which are replaced by the gradients before the activation.
    pub gates: &'a mut [T],
    /// The cell state after this step.
    pub cells: &'a [T],
    /// The cell state before the step; empty at the first step.
    pub before: &'a [T],
    /// Gradient of the state as an output.
    pub from_output: &'a [T],
    /// Gradient of the input of the next step's convolution, whose last channels are the state; empty at the last step.
    pub from_next: &'a [T],
    /// Number of channels of `from_next`.
    pub next_channels: usize,
    /// Running gradient of the cell state.
    pub cell: &'a mut [f32],
}

impl<T: Element> Forward<'_, T> {
    pub(crate) fn run(self) {
        run_vectors(self);
    }
}

impl<T: Element> Backward<'_, T> {
    pub(crate) fn run(self) {
        run_vectors(self);
    }
}

impl<T: Element> VectorTask for Forward<'_, T> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let gates = self.gates.as_chunks_mut::<FILTERS>().0.as_chunks_mut::<4>().0;
        let cell = self.cell.as_chunks_mut::<FILTERS>().0;
        let state = self.state.as_chunks_mut::<FILTERS>().0;
        let cells = self.cells.as_chunks_mut::<FILTERS>().0;
        for (m, ((z, c), h)) in gates.iter_mut().zip(cell).zip(state).enumerate() {
            let (i, f) = (hard_sigmoid::<V>(V::get(&z[0])), hard_sigmoid::<V>(V::get(&z[1])));
            let (g, o) = (tanh::<V>(V::get(&z[2])), hard_sigmoid::<V>(V::get(&z[3])));
            let new = f.mul_add(V::load(c), i.mul(g));
            new.store(c);
            o.mul(tanh(new)).put(h);
            if let Some(cells) = cells.get_mut(m) {
                for (gate, part) in z.iter_mut().zip([i, f, g, o]) {
                    part.put(gate);
                }
                new.put(cells);
            }
        }
    }
}

impl<T: Element> VectorTask for Backward<'_, T> {
    #[inline(always)]
    fn run<V: Vector, const ROWS: usize>(self) {
        let gates = self.gates.as_chunks_mut::<FILTERS>().0.as_chunks_mut::<4>().0;
        let cells = self.cells.as_chunks::<FILTERS>().0;
        let before = self.before.as_chunks::<FILTERS>().0;
        let from_output = self.from_output.as_chunks::<FILTERS>().0;
        let from_next = self.from_next.as_chunks::<FILTERS>().0;
        let next_groups = self.next_channels / FILTERS;
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let cell = self.cell.as_chunks_mut::<FILTERS>().0;
        for (m, (z, dc)) in gates.iter_mut().zip(cell).enumerate() {
            let (i, f, g, o) = (V::get(&z[0]), V::get(&z[1]), V::get(&z[2]), V::get(&z[3]));
            let mut dh = V::get(&from_output[m]);
            if !from_next.is_empty() {
                dh = dh.add(V::get(&from_next[(m + 1) * next_groups - 1]));
            }
            let old = if let Some(old) = before.get(m) { V::get(old) } else { zero };
            let c = tanh::<V>(V::get(&cells[m]));
            let d = dh.mul(o).mul_add(one.sub(c.mul(c)), V::load(dc));
            d.mul(f).store(dc);
            through_sigmoid(d.mul(g), i).put(&mut z[0]);
            through_sigmoid(d.mul(old), f).put(&mut z[1]);
            d.mul(i).mul(one.sub(g.mul(g))).put(&mut z[2]);
            through_sigmoid(dh.mul(c), o).put(&mut z[3]);
        }
    }
}

#[inline(always)]
fn hard_sigmoid<V: Vector>(x: V) -> V {
    x.mul_add(V::splat(0.2), V::splat(0.5)).clamp(0.0, 1.0)
}

/// Returns the gradient before a hard sigmoid, from the gradient after it and its value.
///
/// The slope is 0.2, or 0 at both ends.
#[inline(always)]
fn through_sigmoid<V: Vector>(d: V, value: V) -> V {
    V::splat(0.2).mul(d).where_positive(value).where_positive(V::splat(1.0).sub(value))
}

/// Returns the hyperbolic tangent, within three units in the last place.
///
/// With `u = exp(2 x) - 1`, it is `u / (u + 2)`. The exponential is `2^n exp(r)`, where `|r|` is at most half of ln 2,
/// and `exp(r) - 1` is its Taylor polynomial, which loses nothing near 0.
#[inline(always)]
fn tanh<V: Vector>(x: V) -> V {
    /// Adding and subtracting this rounds to an integer, which in between is in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with trailing zeros, so that its multiples are exact.
    const LN2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
    // From 9.02 on, the nearest f32 is 1.
    let y = x.clamp(-10.0, 10.0);
    let y = y.add(y);
    let shifted = y.mul_add(V::splat(std::f32::consts::LOG2_E), V::splat(ROUND));
    let n = shifted.sub(V::splat(ROUND));
    let r = n.mul_add(V::splat(-LN2[1]), n.mul_add(V::splat(-LN2[0]), y));
    let mut p = V::splat(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
        p = p.mul_add(r, V::splat(coefficient));
    }
    let power = shifted.power_of_two();
    let u = power.mul_add(p.mul(r), power.sub(V::splat(1.0)));
    u.div(u.add(V::splat(2.0)))
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::kernels::convolution::tests::{noise, off};
    use crate::kernels::values;
    use crate::kernels::vector::Portable;

    struct Tanh<'a>(&'a [f32; LANES], &'a mut [f32; LANES]);

    impl VectorTask for Tanh<'_> {
        #[inline(always)]
        fn run<V: Vector, const ROWS: usize>(self) {
            tanh(V::load(self.0)).store(self.1);
        }
    }

    #[test]
    fn tanh_is_the_hyperbolic_tangent() {
        let check = |x: &[f32; LANES]| {
            let mut found = [[0.0; LANES]; 2];
            run_vectors(Tanh(x, &mut found[0]));
            Tanh(x, &mut found[1]).run::<Portable, 5>();
            for (x, found) in x.iter().zip(found[0]).chain(x.iter().zip(found[1])) {
                let (found, expected) = (f64::from(found), f64::from(*x).tanh());
                let error = (found - expected).abs() / expected.abs();
                assert!(error < 2.5e-7, "tanh {x}: {found}, expected {expected}");
            }
        };
        let mut x = 1e-8_f32;
        while x < 20.0 {
            let mut values = [0.0; LANES];
            for pair in values.as_chunks_mut().0 {
                *pair = [x, -x];
                x *= 1.001;
            }
            check(&values);
        }
        let mut found = [0.0; LANES];
        let mut x = [0.0; LANES];
        x[1] = f32::NAN;
        run_vectors(Tanh(&x, &mut found));
        assert!(found[0] == 0.0 && found[1].is_nan());
    }

    #[test]
    fn a_step_and_the_way_back_equal_libtorchs() {
        // Both flat ends of the hard sigmoid are among these. The convolution of the next step has 48 channels.
        let sums = noise(&[5, 64], 0.1) * 4.0;
        let [old, dh, dc] = [0.2, 0.3, 0.4].map(|seed| noise(&[5, 16], seed));
        let next = noise(&[5, 48], 0.5);
        let [of_sums, of_old] =
            [&sums, &old].map(|x| x.to_kind(Kind::Double).set_requires_grad(true));
        let gate = |k: i64| of_sums.narrow(1, 16 * k, 16);
        let [i, f, o] = [0, 1, 3].map(|k| (gate(k) * 0.2 + 0.5).clamp(0.0, 1.0));
        let new = f * &of_old + i * gate(2).tanh();
        let state = o * new.tanh();
        let loss = &state * (&dh + next.narrow(1, 32, 16)) + &new * &dc;
        loss.sum(Kind::Double).backward();

        let read = |x: &Tensor| values::<f32>(x).expect("f32").to_vec();
        // A few roundings, and the error of `tanh`.
        let check = |found: &[f32], expected: &Tensor, what: &str| {
            let off_by = off(&Tensor::from_slice(found), expected);
            assert!(off_by < 4e-6, "{what}: {off_by:e} of the peak");
        };
        let (mut gates, mut cell, before) = (read(&sums), read(&old), read(&old));
        let [mut found, mut cells] = [(); 2].map(|()| vec![0f32; before.len()]);
        Forward { gates: &mut gates, cell: &mut cell, state: &mut found, cells: &mut cells }.run();
        check(&found, &state, "state");
        check(&cell, &new, "cell state");
        check(&cells, &new, "cell state for the way back");
        let mut back = read(&dc);
        Backward {
            gates: &mut gates,
            cells: &cells,
            before: &before,
            from_output: &read(&dh),
            from_next: &read(&next),
            next_channels: 48,
            cell: &mut back,
        }
        .run();
        check(&gates, &of_sums.grad(), "gradient of the sums");
        check(&back, &of_old.grad(), "gradient of the cell state before");
    }
}
