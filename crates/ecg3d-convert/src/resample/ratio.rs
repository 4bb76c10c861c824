use crate::ConvertError;

/// The largest factor by which a rate is raised or lowered. The filter has 20 taps for each unit of the larger factor.
const LIMIT: u64 = 100_000;
/// Relative error within which a rate counts as a fraction: a five-hundredth of a sample in ten seconds at 1 kHz.
const TOLERANCE: f64 = 2e-7;
/// The same if no factors are that close: 0.1 ms in ten seconds. Around a simple ratio there is a gap of 1e-5 without
/// any.
const COARSE: f64 = 1e-5;
/// Simple fractions with factors up to this are used as they are, even if smaller factors are within the tolerance.
const SMALL: usize = 5000;
/// Largest denominator of a rate: 1000/3 Hz is written as 333.3333.
const DENOMINATOR: u64 = 1000;

/// Returns the factors `(up, down)`, in lowest terms, that turn one sampling rate into another.
///
/// A rate that is not a whole number counts as a simple fraction if one with a denominator of at most 1000 is within a
/// relative error of 2e-7. If there is none, if the ratio of the fractions is farther than that from the ratio of the
/// rates, or if they lead to a factor above 5,000, the result is the smallest factors up to 100,000 whose ratio is
/// within that error. If there are none of these either, as for rates that differ from 500 Hz by 0.2 to 10 millionths,
/// the error may be up to 1e-5 (0.1 ms in ten seconds). Two rates that differ by a factor of at most a thousand always
/// have such factors.
///
/// # Errors
/// Returns an error if a rate is not from 1e-6 to 1e9, or if there are no such factors up to 100,000.
pub fn rate_ratio(from_hz: f64, to_hz: f64) -> Result<(usize, usize), ConvertError> {
    let wrong = || ConvertError::RateRatio { from_hz, to_hz, limit: LIMIT };
    if ![from_hz, to_hz].iter().all(|hz| (1e-6..1e9).contains(hz)) {
        return Err(wrong());
    }
    let ratio = to_hz / from_hz;
    // The errors of the two fractions may add up.
    let simple = of_fractions(from_hz, to_hz)
        .filter(|&(up, down)| is_near((up as u64, down as u64), ratio, TOLERANCE));
    if let Some((up, down)) = simple
        && up.max(down) <= SMALL
    {
        return Ok((up, down));
    }
    let near = simple.into_iter().chain(nearest(ratio, TOLERANCE));
    near.min_by_key(|&(up, down)| up.max(down)).or_else(|| nearest(ratio, COARSE)).ok_or_else(wrong)
}

/// Returns a ratio in lowest terms.
///
/// # Errors
/// Returns an error if a factor is above 100,000.
pub(super) fn lowest_terms(up: usize, down: usize) -> Result<(usize, usize), ConvertError> {
    within_limit(up as u128, down as u128).ok_or(ConvertError::RateRatio {
        from_hz: down as f64,
        to_hz: up as f64,
        limit: LIMIT,
    })
}

fn within_limit(up: u128, down: u128) -> Option<(usize, usize)> {
    let common = gcd(up, down);
    let (up, down) = (up / common, down / common);
    (up.max(down) <= u128::from(LIMIT)).then_some((up as usize, down as usize))
}

/// Returns the factors of two rates that are simple fractions.
fn of_fractions(from_hz: f64, to_hz: f64) -> Option<(usize, usize)> {
    let ((from, from_parts), (to, to_parts)) = (fraction(from_hz)?, fraction(to_hz)?);
    within_limit(u128::from(to) * u128::from(from_parts), u128::from(from) * u128::from(to_parts))
}

/// Returns the fraction with the smallest numbers that is within a relative error of a positive value.
///
/// The candidates are the convergents of the value's continued fraction and the fractions between these, which come
/// closer one after another.
fn nearest(value: f64, tolerance: f64) -> Option<(usize, usize)> {
    let is_near = |fraction| is_near(fraction, value, tolerance);
    let (mut before, mut now) = ((0u64, 1u64), (1u64, 0u64));
    for whole in quotients(value) {
        let after = |steps: u64| (before.0 + steps * now.0, before.1 + steps * now.1);
        let room = |most: u64, step: u64| most.checked_div(step).unwrap_or(u64::MAX);
        let steps = room(LIMIT - before.0, now.0).min(room(LIMIT - before.1, now.1));
        let steps = steps.min(whole);
        if is_near(after(steps)) {
            let (mut low, mut high) = (0, steps);
            while low < high {
                let middle = low + (high - low) / 2;
                if is_near(after(middle)) {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            let (up, down) = after(high);
            return Some((up as usize, down as usize));
        }
        if steps < whole {
            return None;
        }
        (before, now) = (now, after(steps));
    }
    None
}

/// Returns the partial quotients of a number's continued fraction, without end. Those after a fraction that equals the
/// number have no meaning.
fn quotients(value: f64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(value), |rest| Some(1.0 / (rest - rest.floor())))
        .map(|rest| rest.floor() as u64)
}

/// Returns whether a fraction counts as equal to a number.
fn is_near((above, below): (u64, u64), value: f64, tolerance: f64) -> bool {
    below > 0 && (above as f64 / below as f64 - value).abs() <= tolerance * value
}

/// Returns the simplest fraction near a number from 1e-6 to 1e9, by continued fractions.
fn fraction(value: f64) -> Option<(u64, u64)> {
    let (mut before, mut now) = ((0u64, 1u64), (1u64, 0u64));
    for step in quotients(value) {
        let next = (
            step.checked_mul(now.0)?.checked_add(before.0)?,
            step.checked_mul(now.1)?.checked_add(before.1)?,
        );
        if next.1 > DENOMINATOR {
            return None;
        }
        if is_near(next, value, TOLERANCE) {
            return Some(next);
        }
        (before, now) = (now, next);
    }
    None
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_terms() {
        for (from, expected) in [
            (500.0, (1, 10)),
            (50.0, (1, 1)),
            (360.0, (5, 36)),
            (257.0, (50, 257)),
            (333.3333, (3, 20)),
            (249.9, (500, 2499)),
            (12.5, (4, 1)),
        ] {
            assert_eq!(rate_ratio(from, 50.0), Ok(expected), "{from}");
        }
    }

    #[test]
    fn rates_that_are_no_simple_fractions() {
        for (from, expected) in [(1000.01, (4902, 98041)), (479.0016, (631, 6045))] {
            assert_eq!(rate_ratio(from, 50.0), Ok(expected), "{from}");
        }
        for k in 0..2000 {
            let from = 90.0 + f64::from(k) * 0.505_137_9;
            let (up, down) = rate_ratio(from, 50.0).expect("a ratio");
            assert!(error(from, (up, down)) <= COARSE, "{from}: {up}/{down}");
            assert_eq!(gcd(up as u128, down as u128), 1, "{from}");
        }
    }

    /// The relative difference between a ratio and that of a rate to 50 Hz.
    fn error(from: f64, (up, down): (usize, usize)) -> f64 {
        (up as f64 / down as f64 * from / 50.0 - 1.0).abs()
    }

    #[test]
    fn rates_beside_a_usual_one() {
        for (from, expected) in [
            (499.998, (1, 10)),
            (249.999, (1, 5)),
            (999.996, (1, 20)),
            (500.0004, (1, 10)),
            // Beyond the gap there are some within 2e-7.
            (500.006, (8197, 81_971)),
        ] {
            assert_eq!(rate_ratio(from, 50.0), Ok(expected), "{from}");
        }
        for usual in [100.0, 128.0, 250.0, 256.0, 257.0, 1000.0 / 3.0, 360.0, 500.0, 977.0, 1000.0]
        {
            for tenth in -250..=250 {
                let from = usual * (1.0 + f64::from(tenth) * 1e-7);
                let (up, down) = rate_ratio(from, 50.0).expect("a ratio");
                // Apart from rounding, farther than 2e-7 only if no factors are that close.
                let limit = match nearest(50.0 / from, TOLERANCE) {
                    Some(_) => TOLERANCE * 1.001,
                    None => COARSE,
                };
                assert!(error(from, (up, down)) <= limit, "{from}: {up}/{down}");
                assert!(up.max(down) as u64 <= LIMIT, "{from}: {up}/{down}");
            }
        }
    }

    #[test]
    fn large_factors_of_simple_fractions_give_way_to_smaller_ones() {
        for (from, expected, exact) in
            [(499.87, (769, 7688), (5000, 49_987)), (257.13, (554, 2849), (5000, 25_713))]
        {
            assert_eq!(of_fractions(from, 50.0), Some(exact), "{from}");
            let found = rate_ratio(from, 50.0).expect("a ratio");
            assert_eq!(found, expected, "{from}");
            assert!(error(from, found) <= TOLERANCE, "{from}");
        }
        // Whole numbers up to 5,000 are exact, although smaller ones would be close enough.
        let smaller = nearest(4998.0 / 4999.0, TOLERANCE).expect("a fraction");
        assert!(smaller < (4998, 4999), "{smaller:?}");
        assert_eq!(rate_ratio(4999.0, 4998.0), Ok((4998, 4999)));
    }

    #[test]
    fn the_errors_of_two_rates_do_not_add_up() {
        let (from, to) = (4999.0009, 3000.9995);
        assert_eq!(of_fractions(from, to), Some((3001, 4999)));
        let (up, down) = rate_ratio(from, to).expect("a ratio");
        assert!((up as f64 / down as f64 * from / to - 1.0).abs() <= TOLERANCE, "{up}/{down}");
    }

    #[test]
    fn absurd_rates() {
        for from in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e12, 1e-9, 6e6] {
            assert!(rate_ratio(from, 50.0).is_err(), "{from}");
        }
    }
}
