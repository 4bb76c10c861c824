//! Decimal numbers, parsed exactly as `str::parse` does, but faster if they are short.

/// The powers of ten that `f64` represents exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Reads sign, digits and decimal point at the start of `bytes`. Returns the value and the number of bytes it takes.
///
/// `None` if there is no number, or if it has so many digits that a single division would not round it correctly.
/// Mantissa and power of ten are exact as `f64`, so their quotient is the number nearest to the decimal (Clinger 1990).
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

/// How a number of at most seven bytes, not counting its sign, is written: the positions of its digits and its point.
///
/// Most cells are written like the cell above them. Reading one with the shape of another takes no step that has to
/// wait for its length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    negative: bool,
    length: usize,
    /// The bytes up to and including the one after the number, and those of them that are not digits, marked by their
    /// highest bits.
    within: u64,
    others: u64,
    /// The byte of the point, and its content.
    point_at: u64,
    point: u64,
    /// The byte after the number, and a point in it: that would be another shape.
    behind_at: u64,
    point_behind: u64,
    /// The digits that keep their positions, and those that move down over the point.
    before: u64,
    after: u64,
    /// The shift that moves the last digit to the last byte.
    shift: u32,
    divisor: f64,
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// Converts eight bytes, lowest first, so that digits become 0 to 9, and marks the highest bit of each byte that is not
/// a digit.
#[inline]
fn digits_and_others(bytes: &[u8; 8]) -> (u64, u64) {
    let digits = u64::from_le_bytes(*bytes) ^ (u64::from(b'0') * ONES);
    (digits, (((digits & (0x7f * ONES)) + 0x76 * ONES) | digits) & (0x80 * ONES))
}

impl Shape {
    /// The shape that fits no number.
    pub const NONE: Self = Self {
        negative: false,
        length: 0,
        within: u64::MAX,
        others: 1,
        point_at: 0,
        point: 0,
        behind_at: 0,
        point_behind: 1,
        before: 0,
        after: 0,
        shift: 0,
        divisor: 1.0,
    };

    /// Returns the shape of the number at the start of `bytes`; `None` if there is none, if it is longer, or if there
    /// are too few bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let negative = *bytes.first()? == b'-';
        let eight = bytes.get(usize::from(negative)..)?.first_chunk()?;
        let (_, others) = digits_and_others(eight);
        let first = others.trailing_zeros() / 8;
        let has_point = eight.get(first as usize) == Some(&b'.');
        let end = if has_point { (others & (others - 1)).trailing_zeros() / 8 } else { first };
        let digits = end - u32::from(has_point);
        if digits == 0 || end > 7 {
            return None;
        }
        let fraction = if has_point { end - first - 1 } else { 0 };
        let within = u64::MAX >> (8 * (7 - end));
        let before = if has_point { (1 << (8 * first)) - 1 } else { u64::MAX };
        let point_at = if has_point { 0xff << (8 * first) } else { 0 };
        let behind_at = 0xff << (8 * end);
        let point = u64::from(b'.' ^ b'0') * ONES;
        Some(Self {
            negative,
            length: end as usize,
            within,
            others: others & within,
            point_at,
            point: point_at & point,
            behind_at,
            point_behind: behind_at & point,
            before,
            after: !before,
            shift: 64 - 8 * digits,
            divisor: POWERS[fraction as usize],
        })
    }

    /// Returns the number at the start of `bytes` and its length, if it has this shape and is not followed by a point.
    #[inline]
    pub fn read(&self, bytes: &[u8]) -> Option<(f64, usize)> {
        const PAIRS: u64 = 0x0000_00ff_0000_00ff;
        let unsigned = if self.negative { bytes.strip_prefix(b"-")? } else { bytes };
        let (digits, others) = digits_and_others(unsigned.first_chunk()?);
        if others & self.within != self.others
            || digits & self.point_at != self.point
            || digits & self.behind_at == self.point_behind
        {
            return None;
        }
        // Zeros before the first digit; then two, four and eight digits are combined into one number.
        let digits = ((digits & self.before) | ((digits >> 8) & self.after)) << self.shift;
        let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
        let high = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
        let low = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
        let mantissa = (high.wrapping_add(low) >> 32) as u32;
        let value = f64::from(mantissa) / self.divisor;
        Some(if self.negative { (-value, self.length + 1) } else { (value, self.length) })
    }
}

/// Appends the digits from `at` on to a number and returns where they end.
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

    /// Reading all bytes at once gives the same result as reading byte by byte; longer numbers are left alone.
    fn check_shapes(bytes: &[u8]) -> Result<(), TestCaseError> {
        let sign = usize::from(bytes.first() == Some(&b'-'));
        let expected = simple(bytes)
            .filter(|(_, n)| n - sign < 8 && bytes.len() >= sign + 8 && bytes[*n] != b'.');
        let bits = |found: Option<(f64, usize)>| found.map(|(value, n)| (value.to_bits(), n));
        let found = Shape::of(bytes).and_then(|shape| shape.read(bytes));
        prop_assert_eq!(bits(found), bits(expected), "{:?}", bytes);
        // The shape of another number either reads it correctly or not at all.
        for other in ["-0.123,..", "12.3456,", "-7,......", "123456,..", ".5,......", "-1.,......"]
        {
            let shape = Shape::of(other.as_bytes()).expect("a short number");
            if let Some(found) = shape.read(bytes) {
                prop_assert_eq!(bits(Some(found)), bits(expected), "{:?} as {}", bytes, other);
            }
        }
        prop_assert_eq!(Shape::NONE.read(bytes), None);
        Ok(())
    }

    fn check(text: &str) -> Result<(), TestCaseError> {
        let simple = simple(text.as_bytes());
        if let Some((value, n)) = simple {
            let expected: f64 = text[..n].parse().expect("a number");
            prop_assert_eq!(value.to_bits(), expected.to_bits(), "{}", text);
        }
        check_shapes(text.as_bytes())?;
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

        #[test]
        fn any_bytes(bytes in prop::collection::vec(prop_oneof![0x2c_u8..0x3b, any::<u8>()], 0..12)) {
            check_shapes(&bytes)?;
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
