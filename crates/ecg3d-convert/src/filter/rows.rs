//! Filters over the rows of an array.

use super::sos::{Continuation, steady_state};
use crate::simd::Task;

/// Number of rows that are filtered side by side. The recursion of one row is too slow to keep the processor busy.
pub(super) const LANES: usize = 6;

/// Filters rows of `n` samples in place, each starting from rest.
pub(super) struct Causal<'a> {
    pub sections: &'a [[f64; 6]],
    pub rows: &'a mut [f64],
    pub n: usize,
}

impl Task for Causal<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for group in self.rows.chunks_mut(self.n * LANES) {
            filter_group::<false>(self.sections, false, group, self.n);
        }
    }
}

/// Filters rows of `n` samples in place, forward and backward.
pub(super) struct BothWays<'a> {
    pub sections: &'a [[f64; 6]],
    pub rows: &'a mut [f64],
    pub n: usize,
    pub continuation: Continuation,
    /// Less than `n`.
    pub padding: usize,
    /// `LANES * (n + 2 * padding)` values.
    pub padded: &'a mut [f64],
}

impl Task for BothWays<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { sections, rows, n, continuation, padding, padded } = self;
        let width = n + 2 * padding;
        for group in rows.chunks_mut(n * LANES) {
            let padded = &mut padded[..group.len() / n * width];
            for (row, out) in group.chunks_exact(n).zip(padded.chunks_exact_mut(width)) {
                extend(row, continuation, padding, out);
            }
            filter_group::<false>(sections, true, padded, width);
            filter_group::<true>(sections, true, padded, width);
            for (row, from) in group.chunks_exact_mut(n).zip(padded.chunks_exact(width)) {
                row.copy_from_slice(&from[padding..padding + n]);
            }
        }
    }
}

/// Extends a row by `padding` samples on both sides.
#[inline(always)]
fn extend(row: &[f64], continuation: Continuation, padding: usize, out: &mut [f64]) {
    let n = row.len();
    let (first, last) = (row[0], row[n - 1]);
    let (before, rest) = out.split_at_mut(padding);
    let (own, after) = rest.split_at_mut(n);
    own.copy_from_slice(row);
    let mirrored = row[1..].iter();
    let before = before.iter_mut().rev().zip(mirrored.clone());
    let after = after.iter_mut().zip(mirrored.rev().skip(1).chain(&row[..1]));
    match continuation {
        Continuation::Odd => {
            before.for_each(|(cell, value)| *cell = 2.0 * first - value);
            after.for_each(|(cell, value)| *cell = 2.0 * last - value);
        }
        Continuation::Even => before.chain(after).for_each(|(cell, value)| *cell = *value),
        Continuation::Constant => {
            before.for_each(|(cell, _)| *cell = first);
            after.for_each(|(cell, _)| *cell = last);
        }
    }
}

/// Filters up to `LANES` rows, starting from rest, or as if each row had always had its first value.
#[inline(always)]
fn filter_group<const BACKWARD: bool>(
    sections: &[[f64; 6]],
    steady: bool,
    group: &mut [f64],
    n: usize,
) {
    // The first value of each row scales the steady states of all sections.
    let mut first = [0.0; LANES];
    for (first, row) in first.iter_mut().zip(group.chunks_exact(n)) {
        *first = row[if BACKWARD { n - 1 } else { 0 }];
    }
    let mut scale = 1.0;
    for section in sections {
        let unit = if steady { steady_state(section, &mut scale) } else { [0.0; 2] };
        let states = first.map(|first| unit.map(|z| z * first));
        if group.len() == LANES * n {
            let mut rows = group.chunks_exact_mut(n);
            let rows: [&mut [f64]; LANES] =
                std::array::from_fn(|_| rows.next().expect("the group has this many rows"));
            section_of_rows::<LANES, BACKWARD>(section, rows, states);
        } else {
            for (row, state) in group.chunks_exact_mut(n).zip(states) {
                section_of_rows::<1, BACKWARD>(section, [row], [state]);
            }
        }
    }
}

/// Runs one section over whole rows.
#[inline(always)]
fn section_of_rows<const L: usize, const BACKWARD: bool>(
    section: &[f64; 6],
    mut rows: [&mut [f64]; L],
    mut states: [[f64; 2]; L],
) {
    let &[b0, b1, b2, _, a1, a2] = section;
    if b2 != 0.0 || a2 != 0.0 {
        return section_lanes::<L, BACKWARD>(section, rows, &mut states);
    }
    // A first-order section in direct form I. The part that needs no earlier output comes first, so that it waits for
    // nothing.
    let n = rows[0].len();
    for (row, [state, _]) in rows.iter_mut().zip(states) {
        if BACKWARD {
            for k in 0..n - 1 {
                row[k] = b0 * row[k] + b1 * row[k + 1];
            }
            row[n - 1] = b0 * row[n - 1] + state;
        } else {
            let mut before = row[0];
            row[0] = b0 * before + state;
            for value in &mut row[1..] {
                let input = *value;
                *value = b0 * input + b1 * before;
                before = input;
            }
        }
    }
    let mut outputs = [0.0; L];
    for k in 0..n {
        let k = if BACKWARD { n - 1 - k } else { k };
        for (row, output) in rows.iter_mut().zip(&mut outputs) {
            *output = row[k] - a1 * *output;
            row[k] = *output;
        }
    }
}

/// Runs one section in transposed direct form II, with the order of operations that SciPy uses.
#[inline(always)]
pub(super) fn section_lanes<const L: usize, const BACKWARD: bool>(
    &[b0, b1, b2, _, a1, a2]: &[f64; 6],
    mut rows: [&mut [f64]; L],
    states: &mut [[f64; 2]; L],
) {
    let n = rows[0].len();
    for k in 0..n {
        let k = if BACKWARD { n - 1 - k } else { k };
        for (row, z) in rows.iter_mut().zip(states.iter_mut()) {
            let x = row[k];
            let y = b0 * x + z[0];
            z[0] = b1 * x - a1 * y + z[1];
            z[1] = b2 * x - a2 * y;
            row[k] = y;
        }
    }
}
