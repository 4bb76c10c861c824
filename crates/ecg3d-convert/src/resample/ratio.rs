use crate::ConvertError;

/// The largest factor by which a rate is raised or lowered; the filter has 20 taps for each.
const LIMIT: u64 = 100_000;
/// Relative error of a rate that is taken for a fraction: a five-hundredth of a sample in ten seconds of 1 kHz.
const TOLERANCE: f64 = 2e-7;
/// Largest denominator of a rate: 1000/3 Hz is written as 333.3333.
const DENOMINATOR: u64 = 1000;

/// The factors `(up, down)`, in lowest terms, that turn a sampling rate into another.
///
/// A rate that is no whole number is taken for the simplest fraction within a relative error of 2e-7 (a denominator of
/// at most 1000).
///
/// # Errors
/// Rates that are not positive; no such fraction, or a factor above 100,000.
pub fn rate_ratio(from_hz: f64, to_hz: f64) -> Result<(usize, usize), ConvertError> {
    let wrong = || ConvertError::RateRatio { from_hz, to_hz, limit: LIMIT };
    let (from, from_parts) = fraction(from_hz).ok_or_else(wrong)?;
    let (to, to_parts) = fraction(to_hz).ok_or_else(wrong)?;
    let (up, down) =
        (u128::from(to) * u128::from(from_parts), u128::from(from) * u128::from(to_parts));
    let common = gcd(up, down);
    let (up, down) = (up / common, down / common);
    if up.max(down) > u128::from(LIMIT) {
        return Err(wrong());
    }
    Ok((up as usize, down as usize))
}

/// A positive number as the simplest fraction near it, by continued fractions.
fn fraction(value: f64) -> Option<(u64, u64)> {
    if !(value.is_finite() && (1e-6..1e9).contains(&value)) {
        return None;
    }
    let (mut before, mut now) = ((0u64, 1u64), (1u64, 0u64));
    let mut rest = value;
    loop {
        let whole = rest.floor();
        let step = whole as u64;
        let next = (
            step.checked_mul(now.0)?.checked_add(before.0)?,
            step.checked_mul(now.1)?.checked_add(before.1)?,
        );
        if next.1 > DENOMINATOR {
            return None;
        }
        if (next.0 as f64 / next.1 as f64 - value).abs() <= TOLERANCE * value {
            return Some(next);
        }
        (before, now) = (now, next);
        rest = 1.0 / (rest - whole);
    }
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
    fn absurd_rates() {
        for from in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e12, 1e-9, 999_983.0] {
            assert!(rate_ratio(from, 50.0).is_err(), "{from}");
        }
    }
}
