//! Exact minimisers of the logistic loss in one or two parameters.
//!
//! The loss of a logit `u` with target `t` is ln(1 + exp(u)) - t u. It is convex in every parameter that `u` depends on
//! linearly.

/// Number of steps after which a fit ends; it usually takes about ten.
const MAX_STEPS: usize = 200;

/// A parameter is found when the next step would change it by less than this fraction.
const TOLERANCE: f64 = 1e-14;

/// If the loss is flat around its minimum, rounding may keep the steps above [`TOLERANCE`], but not above this
/// fraction. Steps towards infinity all have about the same length, so the last of [`MAX_STEPS`] is a larger fraction.
const ROUNDING: f64 = 1e-4;

/// `slope * logit + intercept`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    pub slope: f64,
    pub intercept: f64,
}

/// One record: its logit and its target, from 0 to 1.
pub(crate) type Pair = (f64, f64);

/// Returns the logit of a probability, which is kept 2.2e-16 away from 0 and 1.
pub(crate) fn logit(p: f64) -> f64 {
    let p = p.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    (p / (1.0 - p)).ln()
}

/// Returns the probability of a logit.
pub(crate) fn sigmoid(u: f64) -> f64 {
    if u >= 0.0 {
        1.0 / (1.0 + (-u).exp())
    } else {
        let e = u.exp();
        e / (1.0 + e)
    }
}

/// Returns the loss of one logit.
pub(crate) fn loss(u: f64, target: f64) -> f64 {
    u.max(0.0) + (-u.abs()).exp().ln_1p() - target * u
}

/// Returns the slope with the smallest loss, without an intercept. `None` if the minimum lies at or below 0, or at
/// infinity.
pub(crate) fn fit_slope(pairs: &[Pair]) -> Option<f64> {
    // First and second derivative of the loss with respect to the slope.
    let at = |slope: f64| {
        pairs.iter().fold((0.0, 0.0), |(first, second), &(z, t)| {
            let p = sigmoid(slope * z);
            (first + (p - t) * z, second + p * (1.0 - p) * z * z)
        })
    };
    // The limit of the first derivative.
    let last: f64 = pairs.iter().map(|&(z, t)| if z > 0.0 { (1.0 - t) * z } else { -t * z }).sum();
    if last.is_nan() || last <= 0.0 || at(0.0).0 >= 0.0 {
        return None;
    }
    rising_root(at, 0.0, 1.0)
}

/// Returns the intercept with the smallest loss for a slope of 1. `None` if every target is 0 or every target is 1.
pub(crate) fn fit_intercept(pairs: &[Pair]) -> Option<f64> {
    let wanted: f64 = pairs.iter().map(|pair| pair.1).sum();
    if !(wanted > 0.0 && wanted < pairs.len() as f64) {
        return None;
    }
    let at = |intercept: f64| {
        let (first, second) = pairs.iter().fold((0.0, 0.0), |(first, second), &(z, _)| {
            let p = sigmoid(z + intercept);
            (first + p, second + p * (1.0 - p))
        });
        (first - wanted, second)
    };
    let mut low = -1.0;
    while at(low).0 > 0.0 {
        low *= 2.0;
    }
    rising_root(at, low, low + 1.0)
}

/// Finds the zero of a rising function, by Newton's method within a bracket. If a step would leave the bracket, the
/// bracket is halved instead.
///
/// `at` returns value and derivative; the value is negative at `low`.
fn rising_root(at: impl Fn(f64) -> (f64, f64), mut low: f64, start: f64) -> Option<f64> {
    let mut high = start;
    while at(high).0 < 0.0 {
        let wider = high + 2.0 * (high - low);
        (low, high) = (high, wider);
        if !high.is_finite() {
            return None;
        }
    }
    let mut x = high;
    for _ in 0..MAX_STEPS {
        let (value, slope) = at(x);
        if value < 0.0 {
            low = x;
        } else {
            high = x;
        }
        let newton = x - value / slope;
        let next = if newton > low && newton < high { newton } else { (low + high) / 2.0 };
        let step = next - x;
        x = next;
        if value == 0.0 || step.abs() <= TOLERANCE * x.abs().max(1e-3) {
            break;
        }
    }
    Some(x)
}

/// The loss, its first derivatives, and its second derivatives: by slope twice, mixed, by intercept twice.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    loss: f64,
    gradient: [f64; 2],
    hessian: [f64; 3],
}

impl Sums {
    /// Adds one more record, with logit `z` before the line and `u` after it.
    fn with(mut self, u: f64, z: f64, target: f64) -> Self {
        let e = (-u.abs()).exp();
        let below = 1.0 / (1.0 + e);
        let p = if u >= 0.0 { below } else { e * below };
        let (gap, weight) = (p - target, e * below * below);
        self.loss += u.max(0.0) + e.ln_1p() - target * u;
        self.gradient = [self.gradient[0] + gap * z, self.gradient[1] + gap];
        let h = self.hessian;
        self.hessian = [h[0] + weight * z * z, h[1] + weight * z, h[2] + weight];
        self
    }
}

/// Returns the slope and the intercept with the smallest loss, by Newton's method. Steps are halved until the loss
/// falls as it should.
///
/// `None` if all logits are equal, or if the steps do not converge. The minimum must exist: targets between 0 and 1, or
/// overlapping logits of both classes.
pub(crate) fn fit_line(pairs: &[Pair]) -> Option<Line> {
    let n = pairs.len() as f64;
    let mean = pairs.iter().map(|pair| pair.0).sum::<f64>() / n;
    let spread = (pairs.iter().map(|pair| (pair.0 - mean).powi(2)).sum::<f64>() / n).sqrt();
    if spread.is_nan() || spread <= 0.0 {
        return None;
    }
    // In units of the spread around the mean, the two parameters hardly depend on each other.
    let sums = |at: [f64; 2]| {
        pairs.iter().fold(Sums::default(), |sums, &(z, t)| {
            let z = (z - mean) / spread;
            sums.with(at[0] * z + at[1], z, t)
        })
    };
    let rate = pairs.iter().map(|pair| pair.1).sum::<f64>() / n;
    let mut at = [0.0, logit(rate)];
    let mut now = sums(at);
    let mut change = f64::INFINITY;
    for _ in 0..MAX_STEPS {
        let Sums { loss, gradient: g, hessian: h } = now;
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step =
            [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        let gain = g[0] * step[0] + g[1] * step[1];
        if !gain.is_finite() {
            return None;
        }
        let mut share = 1.0;
        loop {
            let moved = [at[0] - share * step[0], at[1] - share * step[1]];
            let there = sums(moved);
            // Near the minimum, the loss can no longer distinguish two points; a whole step is right there.
            let falls = there.loss <= loss - 1e-4 * share * gain;
            if falls || gain <= 1e-9 * loss || share < 1e-12 {
                (at, now) = (moved, there);
                break;
            }
            share /= 2.0;
        }
        let size = at[0].abs().max(at[1].abs()).max(1e-3);
        // A step that had to be halved says nothing about the distance to the minimum.
        change = if share == 1.0 { step[0].abs().max(step[1].abs()) / size } else { f64::INFINITY };
        if change <= TOLERANCE {
            break;
        }
    }
    let slope = at[0] / spread;
    (change <= ROUNDING).then_some(Line { slope, intercept: at[1] - slope * mean })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(pairs: &[Pair], line: Line) -> [f64; 2] {
        pairs.iter().fold([0.0; 2], |g, &(z, t)| {
            let gap = sigmoid(line.slope * z + line.intercept) - t;
            [g[0] + gap * z, g[1] + gap]
        })
    }

    /// Logits from -a to b, with some on the wrong side.
    fn pairs() -> Vec<Pair> {
        (0..200)
            .map(|k| {
                let z = f64::from(k) / 20.0 - 6.0;
                (z, f64::from(u8::from((k * 37) % 100 < k / 2)))
            })
            .collect()
    }

    #[test]
    fn derivatives_vanish_at_the_minimum() {
        let pairs = pairs();
        let line = fit_line(&pairs).expect("overlaps");
        assert!(gradient(&pairs, line).iter().all(|g| g.abs() < 1e-10), "{line:?}");
        let slope = fit_slope(&pairs).expect("overlaps");
        assert!(gradient(&pairs, Line { slope, intercept: 0.0 })[0].abs() < 1e-10, "{slope}");
        let intercept = fit_intercept(&pairs).expect("both classes");
        assert!(gradient(&pairs, Line { slope: 1.0, intercept })[1].abs() < 1e-10, "{intercept}");
    }

    #[test]
    fn a_minimum_around_which_the_loss_is_flat() {
        // Only 1e-12 on the wrong side. Rounding leaves the slope about five of the digits that it has in exact
        // arithmetic.
        let pairs = [(-2.0, 0.0), (-1.5, 0.0), (1e-12, 0.0), (0.0, 1.0), (1.7, 1.0), (2.0, 1.0)];
        let line = fit_line(&pairs).expect("overlaps");
        assert!((line.slope - 19.16935).abs() < 1e-3, "{line:?}");
    }

    #[test]
    fn units_of_the_logits_do_not_matter() {
        let near = fit_line(&pairs()).expect("overlaps");
        let far: Vec<Pair> = pairs().iter().map(|&(z, t)| (1e6 * z + 1e7, t)).collect();
        let far = fit_line(&far).expect("overlaps");
        assert!((near.slope / (1e6 * far.slope) - 1.0).abs() < 1e-9, "{near:?} {far:?}");
    }

    #[test]
    fn minima_that_do_not_exist() {
        assert_eq!(fit_slope(&[(1.0, 1.0), (-2.0, 0.0)]), None); // at infinity
        assert_eq!(fit_slope(&[(1.0, 0.0), (-2.0, 1.0), (0.1, 1.0)]), None); // below zero
        assert_eq!(fit_slope(&[(0.0, 0.0), (0.0, 1.0)]), None); // anywhere
        assert_eq!(fit_line(&[(2.0, 0.3), (2.0, 0.7)]), None);
        assert_eq!(fit_line(&[(-2.0, 0.0), (-1.0, 0.0), (1.0, 1.0), (2.0, 1.0)]), None); // at infinity
        assert_eq!(fit_line(&[(-1e300, 0.3), (1e300, 0.7)]), None); // beyond the numbers
        assert_eq!(fit_intercept(&[(2.0, 1.0), (0.0, 1.0)]), None);
        // Far from its start, and at logits whose probability is 1 to the last digit.
        let far = fit_intercept(&[(-700.0, 1.0), (-710.0, 0.0)]).expect("exists");
        assert!((far - 705.0).abs() < 1e-9, "{far}");
        let steep = fit_slope(&[(1e-3, 1.0), (1e-3, 1.0), (1e-3, 0.0)]).expect("exists");
        assert!((steep - 1e3 * 2f64.ln()).abs() < 1e-9, "{steep}");
    }

    #[test]
    fn logits_and_probabilities() {
        for p in [0.0, 1e-300, 1e-9, 0.3, 0.999, 1.0] {
            assert!((sigmoid(logit(p)) - p).abs() < 3e-16, "{p}");
        }
        assert!((loss(0.3, 1.0) + sigmoid(0.3).ln()).abs() < 1e-15);
        assert_eq!(loss(-800.0, 1.0), 800.0);
    }
}
