use super::boundary::Symmetry;

/// The pole of the cubic B-spline's inverse filter, sqrt(3) - 2.
pub(crate) const POLE: f64 = -0.267_949_192_431_122_7;

/// Powers of a pole below this are left out of a start value: they are less than a rounding error, even in `f64`.
pub(crate) const NEGLIGIBLE: f64 = 1e-19;

/// Returns the poles of the inverse filter of a B-spline: the roots, within the unit circle, of its samples at whole
/// numbers.
///
/// Orders 0 and 1 have none. Source: Unser, Aldroubi and Eden, IEEE Trans. Signal Process. 41 (1993) 821.
pub(super) fn poles(order: usize) -> &'static [f64] {
    match order {
        2 => &[-0.171_572_875_253_809_9],
        3 => &[POLE],
        4 => &[-0.361_341_225_900_220_18, -0.013_725_429_297_339_121],
        5 => &[-0.430_575_347_099_973_8, -0.043_096_288_203_264_65],
        _ => &[],
    }
}

/// Turns samples into the coefficients of the spline through them, in place.
///
/// For each pole there is a causal and an anti-causal recursion. Each starts from the sum over the extended signal.
pub(super) fn coefficients(line: &mut [f64], order: usize, symmetry: Symmetry) {
    // A single sample is a constant, and its own coefficient.
    if line.len() < 2 {
        return;
    }
    for &pole in poles(order) {
        let gain = (1.0 - pole) * (1.0 - 1.0 / pole);
        line.iter_mut().for_each(|value| *value *= gain);
        one_pole(line, pole, symmetry);
    }
}

fn one_pole(line: &mut [f64], pole: f64, symmetry: Symmetry) {
    let n = line.len();
    let period = symmetry.period(n);
    // The sum of pole^k times the sample k steps away, over as many steps as matter, or over all periods in closed
    // form.
    let sum = |line: &[f64], at: &dyn Fn(i64) -> usize| {
        let (mut sum, mut power, mut k) = (0.0, 1.0, 0);
        while k < period && f64::abs(power) > NEGLIGIBLE {
            sum += power * line[at(k as i64)];
            power *= pole;
            k += 1;
        }
        if k == period { sum / (1.0 - power) } else { sum }
    };
    line[0] = match symmetry {
        Symmetry::HalfSample => half_sample_start(line, pole),
        _ => sum(line, &|k| symmetry.index(-k, n)),
    };
    for k in 1..n {
        line[k] += pole * line[k - 1];
    }
    line[n - 1] = match symmetry {
        Symmetry::WholeSample => (pole * line[n - 2] + line[n - 1]) * pole / (pole * pole - 1.0),
        Symmetry::HalfSample => line[n - 1] * pole / (pole - 1.0),
        // The output of the causal recursion is periodic as well.
        Symmetry::Periodic => -pole * sum(line, &|k| symmetry.index(n as i64 - 1 + k, n)),
    };
    for k in (0..n - 1).rev() {
        line[k] = pole * (line[k + 1] - line[k]);
    }
}

/// Returns the first value of the causal recursion over a signal that is reflected half a sample before its start.
///
/// In the very last term, SciPy uses the sum so far in place of sample 0. The error is pole^(2n) of the peak: 4e-7 for
/// 5 samples at order 3, and nothing from 25 samples on. It is kept so that the results are equal.
fn half_sample_start(line: &[f64], pole: f64) -> f64 {
    let n = line.len();
    let far = pole.powi(n as i32);
    let mut sum = line[0] + far * line[n - 1];
    let mut power = pole;
    for k in 1..n {
        let opposite = if k == n - 1 { sum } else { line[n - 1 - k] };
        sum += power * (line[k] + far * opposite);
        power *= pole;
    }
    line[0] + sum * pole / (1.0 - far * far)
}

/// Returns the first of the `order + 1` nodes around a place, and the values of the B-spline at these nodes.
///
/// Computed by the Cox-de Boor recursion over orders: sums of positive terms, so that no digits are lost.
pub(super) fn weights(place: f64, order: usize) -> (i64, [f64; 6]) {
    // Splines of even order have their joints half-way between the nodes. Half-way, order 0 takes the upper node, as in
    // SciPy.
    let shifted = if order.is_multiple_of(2) { place + 0.5 } else { place };
    let base = shifted.floor();
    let share = shifted - base;
    let mut weights = [0.0; 6];
    weights[0] = 1.0;
    for degree in 1..=order {
        for node in (0..=degree).rev() {
            let left = if node > 0 { weights[node - 1] } else { 0.0 };
            let right = if node < degree { weights[node] } else { 0.0 };
            let behind = (degree - node) as f64 + share;
            let ahead = (node + 1) as f64 - share;
            weights[node] = (behind * left + ahead * right) / degree as f64;
        }
    }
    (base as i64 - (order / 2) as i64, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poles_are_roots_of_the_sampled_spline() {
        for order in 2..=5 {
            let (_, samples) = weights(0.0, order);
            let samples = &samples[..=order - order % 2];
            for &pole in poles(order) {
                let value = samples.iter().rev().fold(0.0, |sum, w| sum * pole + w);
                assert!(value.abs() < 1e-15, "{order}: {value:e}");
            }
        }
    }

    #[test]
    fn weights_are_those_of_the_closed_forms() {
        let y = 0.3;
        let (first, cubic) = weights(4.0 + y, 3);
        assert_eq!(first, 3);
        let z = 1.0 - y;
        let expected = [z * z * z, 4.0 - 6.0 * y * y + 3.0 * y * y * y];
        approx::assert_relative_eq!(cubic[0], expected[0] / 6.0, max_relative = 1e-14);
        approx::assert_relative_eq!(cubic[1], expected[1] / 6.0, max_relative = 1e-14);
        let (first, square) = weights(4.0 + y, 2);
        assert_eq!(first, 3);
        approx::assert_relative_eq!(square[1], 0.75 - y * y, max_relative = 1e-14);
        for order in 0..=5 {
            for share in [0.0, 0.2, 0.5, 0.99] {
                let sum: f64 = weights(7.0 + share, order).1.iter().sum();
                approx::assert_relative_eq!(sum, 1.0, max_relative = 1e-14);
            }
        }
        assert_eq!([2.5, 2.499, 3.5].map(|place| weights(place, 0).0), [3, 2, 4]);
    }
}
