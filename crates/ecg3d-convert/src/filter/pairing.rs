//! From zeros, poles and gain to second-order sections.

use rustfft::num_complex::Complex64;

use super::sos::Sos;

/// Zeros, poles and gain of a filter.
#[derive(Debug, Clone)]
pub(super) struct Zpk {
    pub(super) zeros: Vec<Complex64>,
    pub(super) poles: Vec<Complex64>,
    pub(super) gain: f64,
}

/// Keeps one of each complex pair of zeros or poles, complex ones first. Real ones get an imaginary part of 0.
fn halve(values: &[Complex64]) -> Vec<Complex64> {
    let tolerance = 100.0 * f64::EPSILON;
    let is_real = |v: &Complex64| v.im.abs() <= tolerance * v.norm();
    let mut complex: Vec<_> =
        values.iter().filter(|v| !is_real(v) && v.im > 0.0).copied().collect();
    complex.sort_by(|a, b| a.re.total_cmp(&b.re).then(a.im.total_cmp(&b.im)));
    let mut real: Vec<_> =
        values.iter().filter(|v| is_real(v)).map(|v| Complex64::new(v.re, 0.0)).collect();
    real.sort_by(|a, b| a.re.total_cmp(&b.re));
    complex.extend(real);
    complex
}

fn is_real(value: &Complex64) -> bool {
    value.im == 0.0
}

fn reals(values: &[Complex64]) -> usize {
    values.iter().filter(|v| is_real(v)).count()
}

/// Removes and returns the value with the least `cost` among those that `wanted` allows; of equals, the first.
fn take(
    values: &mut Vec<Complex64>,
    wanted: impl Fn(&Complex64) -> bool,
    cost: impl Fn(&Complex64) -> f64,
) -> Option<Complex64> {
    let best = (0..values.len())
        .filter(|&k| wanted(&values[k]))
        .min_by(|&a, &b| cost(&values[a]).total_cmp(&cost(&values[b])))?;
    Some(values.remove(best))
}

/// Coefficients of the monic polynomial with these roots (at most two, real or a conjugate pair).
fn polynomial(roots: &[Complex64]) -> [f64; 3] {
    match roots {
        [] => [1.0, 0.0, 0.0],
        [a] => [1.0, -a.re, 0.0],
        [a, b, ..] => [1.0, -(a + b).re, (a * b).re],
    }
}

/// Turns zeros, poles and gain into sections, like SciPy's `zpk2sos(pairing="nearest")`.
///
/// Each pair of poles is paired with the zeros nearest to it, the poles nearest the unit circle first. The pair that is
/// taken first becomes the last section.
pub(super) fn sections(filter: Zpk) -> Sos {
    let Zpk { mut zeros, mut poles, gain } = filter;
    let both = zeros.len().max(poles.len());
    let even = both + both % 2;
    zeros.resize(even, Complex64::default());
    poles.resize(even, Complex64::default());
    let (mut zeros, mut poles) = (halve(&zeros), halve(&poles));
    let off_circle = |v: &Complex64| (1.0 - v.norm()).abs();
    let mut rows = Vec::with_capacity(even / 2);
    while let Some(first) = take(&mut poles, |_| true, off_circle) {
        let near = |v: &Complex64| (v - first).norm();
        let second = if is_real(&first) {
            take(&mut poles, is_real, off_circle)
        } else {
            Some(first.conj())
        };
        // If one real pole and one real zero are left over, they belong together in a later section, so that zero is
        // not taken now.
        let spare_the_real = zeros.len() == poles.len() + 1
            && !is_real(&first)
            && reals(&poles) == 1
            && reals(&zeros) == 1;
        let zero = if second.is_none() {
            take(&mut zeros, is_real, near)
        } else if spare_the_real {
            take(&mut zeros, |v| !is_real(v), near)
        } else {
            take(&mut zeros, |_| true, near)
        };
        let pair: Vec<_> = match zero {
            None => Vec::new(),
            Some(zero) if !is_real(&zero) => vec![zero, zero.conj()],
            Some(zero) if second.is_some() => {
                std::iter::once(zero).chain(take(&mut zeros, is_real, near)).collect()
            }
            Some(zero) => vec![zero],
        };
        let numerator = polynomial(&pair);
        let denominator: Vec<_> = std::iter::once(first).chain(second).collect();
        let denominator = polynomial(&denominator);
        rows.push([
            numerator[0],
            numerator[1],
            numerator[2],
            denominator[0],
            denominator[1],
            denominator[2],
        ]);
    }
    rows.reverse();
    for b in &mut rows[0][..3] {
        *b *= gain;
    }
    Sos::from_normalised(rows)
}
