//! Decimal numbers, read exactly as `str::parse` reads them, but faster where they are short.

/// The powers of ten that an `f64` holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Reads sign, digits and decimal point at the start of `bytes`: the value, and how many bytes it takes.
///
/// `None` where there is no number, or one of so many digits that one division would not round it correctly. Mantissa
/// and power of ten are exact as `f64`, so their quotient is the number nearest to the decimal (Clinger 1990).
#[inline]
pub(super) fn simple(bytes: &[u8]) -> Option<(f64, usize)> {
    let negative = *bytes.first()? == b'-';
    let start = usize::from(negative);
    let mut mantissa = 0_u64;
    let mut at = digits(bytes, start, &mut mantissa);
    let mut n = at - start;
    let mut fraction = 0;
    if bytes.get(at) == Some(&b'.') {
        let end = digits(bytes, at + 1, &mut mantissa);
        fraction = end - at - 1;
        n += fraction;
        at = end;
    }
    // Up to 19 digits fit into 64 bits.
    if n == 0 || n > 19 || mantissa > 1 << 53 {
        return None;
    }
    let value = mantissa as f64 / POWERS[fraction];
    Some((if negative { -value } else { value }, at))
}

/// Adds the digits from `at` on to a number; returns where they end.
#[inline]
fn digits(bytes: &[u8], mut at: usize, number: &mut u64) -> usize {
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        *number = number.wrapping_mul(10).wrapping_add(digit.into());
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> Result<(), TestCaseError> {
        if let Some((value, n)) = simple(text.as_bytes()) {
            let expected: f64 = text[..n].parse().expect("a number");
            prop_assert_eq!(value.to_bits(), expected.to_bits(), "{}", text);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn decimals_are_rounded_as_the_standard_library_does(text in "-?[0-9]{0,12}(\\.[0-9]{0,12})?[,e]?") {
            check(&text)?;
        }

        #[test]
        fn numbers_as_they_are_printed(value in any::<f64>(), digits in 0_usize..9) {
            check(&value.to_string())?;
            check(&format!("{:.digits$}", value % 1e6))?;
        }
    }

    #[test]
    fn what_is_read_here_and_what_is_not() {
        assert_eq!(simple(b"-0.25,"), Some((-0.25, 5)));
        assert_eq!(simple(b"9007199254740992"), Some((9_007_199_254_740_992.0, 16)));
        assert_eq!(simple(b".5"), Some((0.5, 2)));
        assert_eq!(simple(b"7.e"), Some((7.0, 2)));
        assert!(simple(b"-0").is_some_and(|(value, _)| value.is_sign_negative()));
        for other in
            ["", "-", ".", "-.", "x", "+1", "nan", "9007199254740993", "0.00000000000000000001"]
        {
            assert_eq!(simple(other.as_bytes()), None, "{other}");
        }
    }
}
