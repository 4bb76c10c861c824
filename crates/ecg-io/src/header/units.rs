//! Physical units, as far as they matter for signals in mV.

/// The meaning of a unit for a signal that should be in mV.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    /// A voltage unit.
    Voltage {
        /// Size of one unit in mV.
        mv: f64,
        /// Whether the unit is spelt as the format requires.
        exact: bool,
    },
    /// Another or unknown unit.
    Other,
}

impl Unit {
    /// Returns the size of a voltage unit in mV.
    pub fn mv(self) -> Option<f64> {
        match self {
            Self::Voltage { mv, .. } => Some(mv),
            Self::Other => None,
        }
    }
}

/// Returns the meaning of a unit: V, mV, uV or nV, ignoring case, with the micro sign (U+00B5) and Greek mu (U+03BC)
/// accepted.
pub(crate) fn unit_of(text: &str) -> Unit {
    let (mv, spelt): (f64, &[&str]) =
        match text.to_lowercase().replace('\u{b5}', "\u{3bc}").as_str() {
            "mv" => (1.0, &["mV"]),
            "uv" | "\u{3bc}v" => (1e-3, &["uV", "\u{b5}V", "\u{3bc}V"]),
            "nv" => (1e-6, &["nV"]),
            "v" => (1e3, &["V"]),
            _ => return Unit::Other,
        };
    Unit::Voltage { mv, exact: spelt.contains(&text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voltages() {
        for (text, mv) in [
            ("mV", 1.0),
            ("uV", 1e-3),
            ("\u{b5}V", 1e-3),
            ("\u{3bc}V", 1e-3),
            ("nV", 1e-6),
            ("V", 1e3),
        ] {
            assert_eq!(unit_of(text), Unit::Voltage { mv, exact: true }, "{text}");
        }
        assert_eq!(unit_of("mv"), Unit::Voltage { mv: 1.0, exact: false });
        assert_eq!(unit_of("mmHg"), Unit::Other);
    }
}
