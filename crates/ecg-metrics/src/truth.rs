use std::fmt;

/// An element of a truth array: a `bool`, or a number of any type that is 0 or 1.
pub trait Truth: Copy + fmt::Debug {
    /// Returns whether the label holds, or `None` for a number that is neither 0 nor 1.
    fn holds(self) -> Option<bool>;
}

impl Truth for bool {
    fn holds(self) -> Option<bool> {
        Some(self)
    }
}

macro_rules! numbers {
    ($zero:literal, $one:literal: $($number:ty),+) => {
        $(impl Truth for $number {
            fn holds(self) -> Option<bool> {
                if self == $zero {
                    Some(false)
                } else if self == $one {
                    Some(true)
                } else {
                    None
                }
            }
        })+
    };
}

numbers!(0, 1: u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);
numbers!(0.0, 1.0: f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_type() {
        fn all<T: Truth>(values: [T; 3]) -> [Option<bool>; 3] {
            values.map(Truth::holds)
        }
        let expected = [Some(false), Some(true), None];
        assert_eq!(all([0u8, 1, 2]), expected);
        assert_eq!(all([0u64, 1, u64::MAX]), expected);
        assert_eq!(all([0usize, 1, 3]), expected);
        assert_eq!(all([0i8, 1, -1]), expected);
        assert_eq!(all([0i32, 1, -1]), expected);
        assert_eq!(all([0i64, 1, 1 << 32]), expected);
        assert_eq!(all([-0.0f32, 1.0, 0.5]), expected);
        assert_eq!(all([0.0f64, 1.0, f64::NAN]), expected);
    }
}
