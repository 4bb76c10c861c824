use std::fmt;
use std::str::FromStr;

use crate::ConvertError;

/// How an array continues beyond its ends: the modes of `scipy.ndimage`.
///
/// The boundary decides what the spline's prefilter assumes, so it matters even for places within the array, most of
/// all near its ends. For the samples a b c d:
///
/// | mode | before | after | SciPy |
/// |---|---|---|---|
/// | [`Boundary::Mirror`] | d c b | c b a | `mirror` |
/// | [`Boundary::Reflect`] | c b a | d c b | `reflect`, `grid-mirror` |
/// | [`Boundary::Nearest`] | a a a | d d d | `nearest` |
/// | [`Boundary::GridWrap`] | b c d | a b c | `grid-wrap` |
/// | [`Boundary::Wrap`] | a b c | b c d (a and d coincide) | `wrap` |
/// | [`Boundary::GridConstant`] | k k k | k k k | `grid-constant` |
/// | [`Boundary::Constant`] | k at once | k at once | `constant` |
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Boundary {
    /// Reflected about the end samples.
    #[default]
    Mirror,
    /// Reflected about the outer edges of the end samples, half a sample further out.
    Reflect,
    /// Extended with the end samples.
    Nearest,
    /// Starts again from the beginning.
    GridWrap,
    /// Starts again from the beginning, with the last sample standing for the first. The prefilter uses
    /// [`Boundary::Mirror`].
    Wrap,
    /// Extended with samples of this value, which the spline approaches smoothly.
    GridConstant(f64),
    /// Any place beyond the end samples has this value, however near. The prefilter uses [`Boundary::Mirror`].
    Constant(f64),
}

impl Boundary {
    /// Number of samples by which an array is extended before it is filtered. The exact start is only known for the
    /// other modes.
    ///
    /// The number is SciPy's. What lies further out changes the result of order 5 by less than 5e-5 of a jump there.
    pub(super) fn padding(self, order: usize) -> usize {
        match self {
            Self::Nearest | Self::GridConstant(_) if order > 1 => 12,
            _ => 0,
        }
    }

    /// The symmetry that the prefilter starts from.
    pub(super) fn symmetry(self) -> Symmetry {
        match self {
            Self::Reflect | Self::Nearest => Symmetry::HalfSample,
            Self::GridWrap => Symmetry::Periodic,
            Self::Mirror | Self::Wrap | Self::Constant(_) | Self::GridConstant(_) => {
                Symmetry::WholeSample
            }
        }
    }

    /// Returns the sample at `index` of an array of `n` samples, or `None` for the constant.
    pub(super) fn index(self, index: i64, n: usize) -> Option<usize> {
        let inside = (0..n as i64).contains(&index);
        match self {
            _ if inside => Some(index as usize),
            Self::GridConstant(_) => None,
            Self::Nearest => Some(index.clamp(0, n as i64 - 1) as usize),
            _ => Some(self.symmetry().index(index, n)),
        }
    }

    /// Returns the place within reach that has the value of `place`, or `None` for the constant.
    ///
    /// `place` may be at most half a sample outside the array.
    pub(super) fn place(self, place: f64, n: usize) -> Option<f64> {
        let last = (n - 1) as f64;
        if (0.0..=last).contains(&place) {
            return Some(place);
        }
        match self {
            Self::Constant(_) => None,
            Self::Nearest => Some(place.clamp(0.0, last)),
            // If there is one sample, every place has its value.
            _ if n == 1 && !matches!(self, Self::GridConstant(_)) => Some(0.0),
            Self::Wrap => Some(place.rem_euclid(last)),
            // The taps are reflected back into the array one by one.
            Self::Mirror | Self::Reflect | Self::GridWrap | Self::GridConstant(_) => Some(place),
        }
    }
}

/// What the prefilter assumes about a signal beyond its ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Symmetry {
    /// Symmetric about the end samples, with period 2 n - 2.
    WholeSample,
    /// Symmetric about points half a sample beyond the end samples, with period 2 n.
    HalfSample,
    /// No symmetry, with period n.
    Periodic,
}

impl Symmetry {
    pub(super) fn period(self, n: usize) -> usize {
        match self {
            Self::WholeSample => (2 * n - 2).max(1),
            Self::HalfSample => 2 * n,
            Self::Periodic => n,
        }
    }

    /// Returns the sample at any index.
    pub(super) fn index(self, index: i64, n: usize) -> usize {
        let period = self.period(n);
        let inside = index.rem_euclid(period as i64) as usize;
        match self {
            Self::WholeSample => inside.min(period - inside),
            Self::HalfSample => inside.min(period - 1 - inside),
            Self::Periodic => inside,
        }
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mirror => "mirror",
            Self::Reflect => "reflect",
            Self::Nearest => "nearest",
            Self::GridWrap => "grid-wrap",
            Self::Wrap => "wrap",
            Self::GridConstant(_) => "grid-constant",
            Self::Constant(_) => "constant",
        })
    }
}

/// Parses SciPy's names; the constants are 0.
impl FromStr for Boundary {
    type Err = ConvertError;

    fn from_str(text: &str) -> Result<Self, ConvertError> {
        Ok(match text {
            "mirror" => Self::Mirror,
            "reflect" | "grid-mirror" => Self::Reflect,
            "nearest" => Self::Nearest,
            "grid-wrap" => Self::GridWrap,
            "wrap" => Self::Wrap,
            "grid-constant" => Self::GridConstant(0.0),
            "constant" => Self::Constant(0.0),
            _ => {
                let expected = "mirror, reflect (or grid-mirror), nearest, grid-wrap, wrap, grid-constant or constant";
                return Err(ConvertError::config("the boundary mode", text, expected));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_ends() {
        let five = |boundary: Boundary| -> Vec<_> {
            (-4..8)
                .map(|k| boundary.index(k, 4).map_or('k', |at| ['a', 'b', 'c', 'd'][at]))
                .collect()
        };
        for (boundary, expected) in [
            (Boundary::Mirror, "cdcbabcdcbab"),
            (Boundary::Reflect, "dcbaabcddcba"),
            (Boundary::Nearest, "aaaaabcddddd"),
            (Boundary::GridWrap, "abcdabcdabcd"),
            (Boundary::GridConstant(1.0), "kkkkabcdkkkk"),
        ] {
            assert_eq!(five(boundary).into_iter().collect::<String>(), expected, "{boundary}");
        }
        for boundary in [Boundary::Mirror, Boundary::Reflect, Boundary::Nearest, Boundary::Wrap] {
            assert_eq!(boundary.index(-3, 1), Some(0), "{boundary}");
            assert_eq!(boundary.to_string().parse(), Ok(boundary));
        }
        assert!("mirrored".parse::<Boundary>().is_err());
    }
}
