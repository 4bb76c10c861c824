//! The gates of a convolutional LSTM: one step forth, and one back.

use super::{Element, Task, run};

/// Filters of the LSTMs that these loops are for.
pub(crate) const FILTERS: usize = 16;
const GATES: usize = 4 * FILTERS;

type Lanes = [f32; FILTERS];

/// One step for all positions; every slice is `[position, channel]`.
pub(crate) struct Forward<'a, T> {
    /// The sums of the gates i, f, c, o; where `cells` is not empty, the values of the gates are left here.
    pub gates: &'a mut [T],
    /// The running cell state.
    pub cell: &'a mut [f32],
    /// Takes the state.
    pub state: &'a mut [T],
    /// Takes the cell state after the step, for the way back; empty where there is none.
    pub cells: &'a mut [T],
}

/// The same step on the way back.
pub(crate) struct Backward<'a, T> {
    /// Values of the gates; takes their gradients before the activation.
    pub gates: &'a mut [T],
    /// The cell state after this step.
    pub cells: &'a [T],
    /// The cell state before it; empty at the first step.
    pub before: &'a [T],
    /// Gradient of the state as the output.
    pub from_output: &'a [T],
    /// Gradient of what the next step's convolution took, the state being its last channels; empty at the last step.
    pub from_next: &'a [T],
    /// Channels of that.
    pub next_channels: usize,
    /// Running gradient of the cell state.
    pub cell: &'a mut [f32],
}

impl<T: Element> Forward<'_, T> {
    pub(crate) fn run(self) {
        run(self);
    }
}

impl<T: Element> Backward<'_, T> {
    pub(crate) fn run(self) {
        run(self);
    }
}

impl<T: Element> Task for Forward<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { gates, cell, state, cells } = self;
        for (m, ((z, c), h)) in gates
            .chunks_exact_mut(GATES)
            .zip(cell.chunks_exact_mut(FILTERS))
            .zip(state.chunks_exact_mut(FILTERS))
            .enumerate()
        {
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| load(&z[gate * FILTERS..]));
            let (i, f, g, o) =
                (map(i, hard_sigmoid), map(f, hard_sigmoid), map(g, tanh), map(o, hard_sigmoid));
            let new = zip(zip(f, load(c), |f, c| f * c), zip(i, g, |i, g| i * g), |a, b| a + b);
            store(new, c);
            store(zip(o, map(new, tanh), |o, c| o * c), h);
            if !cells.is_empty() {
                for (gate, part) in [i, f, g, o].into_iter().enumerate() {
                    store(part, &mut z[gate * FILTERS..]);
                }
                store(new, &mut cells[m * FILTERS..]);
            }
        }
    }
}

impl<T: Element> Task for Backward<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { gates, cells, before, from_output, from_next, next_channels, cell } = self;
        for (m, (z, dc)) in
            gates.chunks_exact_mut(GATES).zip(cell.chunks_exact_mut(FILTERS)).enumerate()
        {
            let at = m * FILTERS..(m + 1) * FILTERS;
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| load(&z[gate * FILTERS..]));
            let mut dh = load(&from_output[at.clone()]);
            if !from_next.is_empty() {
                let state = (m + 1) * next_channels - FILTERS;
                dh = zip(dh, load(&from_next[state..]), |a, b| a + b);
            }
            let old = if before.is_empty() { [0.0; FILTERS] } else { load(&before[at.clone()]) };
            let c = map(load(&cells[at]), tanh);
            let mut d = load(dc);
            let mut out = [[0.0; FILTERS]; 4];
            for k in 0..FILTERS {
                d[k] += dh[k] * o[k] * (1.0 - c[k] * c[k]);
                out[0][k] = d[k] * g[k] * slope(i[k]);
                out[1][k] = d[k] * old[k] * slope(f[k]);
                out[2][k] = d[k] * i[k] * (1.0 - g[k] * g[k]);
                out[3][k] = dh[k] * c[k] * slope(o[k]);
                d[k] *= f[k];
            }
            store(d, dc);
            for (gate, part) in out.into_iter().enumerate() {
                store(part, &mut z[gate * FILTERS..]);
            }
        }
    }
}

#[inline(always)]
fn load<T: Element>(from: &[T]) -> Lanes {
    let mut out = [0.0; FILTERS];
    for (out, value) in out.iter_mut().zip(&from[..FILTERS]) {
        *out = value.get();
    }
    out
}

#[inline(always)]
fn store<T: Element>(values: Lanes, to: &mut [T]) {
    for (out, value) in to[..FILTERS].iter_mut().zip(values) {
        *out = T::put(value);
    }
}

#[inline(always)]
fn map(mut values: Lanes, f: impl Fn(f32) -> f32) -> Lanes {
    for value in &mut values {
        *value = f(*value);
    }
    values
}

#[inline(always)]
fn zip(mut values: Lanes, others: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    for (value, other) in values.iter_mut().zip(others) {
        *value = f(*value, other);
    }
    values
}

#[inline(always)]
fn hard_sigmoid(x: f32) -> f32 {
    (0.2 * x + 0.5).clamp(0.0, 1.0)
}

/// Slope of the hard sigmoid where it has this value.
#[inline(always)]
fn slope(value: f32) -> f32 {
    if value > 0.0 && value < 1.0 { 0.2 } else { 0.0 }
}

/// The hyperbolic tangent, within two units in the last place, without a branch or a call.
///
/// With `u = exp(-2 |x|) - 1`, `tanh |x| = -u / (u + 2)`. The exponential is `2^n exp(r)` with `|r|` up to half of ln 2, and
/// `exp(r) - 1` its Taylor polynomial, which loses nothing near 0.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    /// Adding and taking away this rounds to a whole number, and leaves that in the lowest bits in between.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with zeros at its end, so that its multiples are exact.
    const LN2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
    // From 9.02 on the nearest f32 is 1. What is not a number stays so: `f32::min` would drop it.
    let a = x.abs();
    let y = -2.0 * if a > 10.0 { 10.0 } else { a };
    let shifted = y * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (y - n * LN2[0]) - n * LN2[1];
    let mut p = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
        p = p * r + coefficient;
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    let u = power * (p * r) + (power - 1.0);
    (-u / (u + 2.0)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_is_the_hyperbolic_tangent() {
        let mut x = 1e-8_f32;
        while x < 20.0 {
            for x in [x, -x] {
                let (found, expected) = (f64::from(tanh(x)), f64::from(x).tanh());
                let error = (found - expected).abs() / expected.abs();
                assert!(error < 2.5e-7, "tanh {x}: {found}, expected {expected}");
            }
            x *= 1.001;
        }
        assert_eq!(tanh(0.0), 0.0);
        assert!(tanh(f32::NAN).is_nan());
    }
}
