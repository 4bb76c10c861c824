//! The standard annotation codes.

use std::fmt;

/// The kind of mark: a code from 0 to 63 of the MIT annotation format, of which 1 to 49 occur as annotations in files.
///
/// Codes up to 41 have a standard meaning (except 15 and 17). A file may define others, or redefine these, in
/// [`crate::Annotations::definitions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnnotationCode(pub u8);

/// Code, symbol, mnemonic, description, and whether it marks a beat (a QRS complex).
type Row = (u8, &'static str, &'static str, &'static str, bool);

/// The table of the WFDB Applications Guide.
const TABLE: [Row; 39] = [
    (1, "N", "NORMAL", "normal beat", true),
    (2, "L", "LBBB", "left bundle branch block beat", true),
    (3, "R", "RBBB", "right bundle branch block beat", true),
    (4, "a", "ABERR", "aberrated atrial premature beat", true),
    (5, "V", "PVC", "premature ventricular contraction", true),
    (6, "F", "FUSION", "fusion of ventricular and normal beat", true),
    (7, "J", "NPC", "nodal (junctional) premature beat", true),
    (8, "A", "APC", "atrial premature beat", true),
    (9, "S", "SVPB", "premature or ectopic supraventricular beat", true),
    (10, "E", "VESC", "ventricular escape beat", true),
    (11, "j", "NESC", "nodal (junctional) escape beat", true),
    (12, "/", "PACE", "paced beat", true),
    (13, "Q", "UNKNOWN", "unclassifiable beat", true),
    (14, "~", "NOISE", "change of signal quality", false),
    (16, "|", "ARFCT", "isolated QRS-like artifact", false),
    (18, "s", "STCH", "change of the ST segment", false),
    (19, "T", "TCH", "change of the T wave", false),
    (20, "*", "SYSTOLE", "systole", false),
    (21, "D", "DIASTOLE", "diastole", false),
    (22, "\"", "NOTE", "comment", false),
    (23, "=", "MEASURE", "measurement", false),
    (24, "p", "PWAVE", "peak of a P wave", false),
    (25, "B", "BBB", "left or right bundle branch block beat", true),
    (26, "^", "PACESP", "pacemaker spike without capture", false),
    (27, "t", "TWAVE", "peak of a T wave", false),
    (28, "+", "RHYTHM", "change of rhythm", false),
    (29, "u", "UWAVE", "peak of a U wave", false),
    (30, "?", "LEARN", "beat while learning", true),
    (31, "!", "FLWAV", "ventricular flutter wave", true),
    (32, "[", "VFON", "start of ventricular flutter or fibrillation", false),
    (33, "]", "VFOFF", "end of ventricular flutter or fibrillation", false),
    (34, "e", "AESC", "atrial escape beat", true),
    (35, "n", "SVESC", "supraventricular escape beat", true),
    (36, "@", "LINK", "link to external data", false),
    (37, "x", "NAPC", "P wave without a beat (blocked atrial premature beat)", false),
    (38, "f", "PFUS", "fusion of paced and normal beat", true),
    (39, "(", "WFON", "start of a wave", false),
    (40, ")", "WFOFF", "end of a wave", false),
    (41, "r", "RONT", "R-on-T premature ventricular contraction", true),
];

impl AnnotationCode {
    /// A normal beat.
    pub const NORMAL: Self = Self(1);
    /// A premature ventricular contraction.
    pub const PVC: Self = Self(5);
    /// A comment, in [`crate::Annotation::aux`].
    pub const NOTE: Self = Self(22);
    /// A change of rhythm; [`crate::Annotation::aux`] names the rhythm, such as `(AFIB`.
    pub const RHYTHM: Self = Self(28);
    /// The largest code that an annotation can have.
    pub const MAX: Self = Self(49);

    /// Iterates over all codes with a standard meaning, in order.
    pub fn standard() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| Self(row.0))
    }

    /// Returns the standard code of a symbol such as `N` or `+`.
    pub fn from_symbol(symbol: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == symbol).map(|row| Self(row.0))
    }

    /// Returns the standard code of a mnemonic such as `NORMAL` or `RHYTHM`.
    pub fn from_mnemonic(mnemonic: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.2 == mnemonic).map(|row| Self(row.0))
    }

    /// Returns the standard symbol of the code.
    pub fn symbol(self) -> Option<&'static str> {
        self.row().map(|row| row.1)
    }

    /// Returns the standard mnemonic of the code.
    pub fn mnemonic(self) -> Option<&'static str> {
        self.row().map(|row| row.2)
    }

    /// Returns the standard meaning of the code.
    pub fn description(self) -> Option<&'static str> {
        self.row().map(|row| row.3)
    }

    /// Returns whether the code marks a beat.
    pub fn is_beat(self) -> bool {
        self.row().is_some_and(|row| row.4)
    }

    fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.0 == self.0)
    }
}

/// Formats the code as its symbol, or as its number in brackets if it has none.
impl fmt::Display for AnnotationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol() {
            Some(symbol) => f.pad(symbol),
            None => f.pad(&format!("[{}]", self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_and_mnemonics_lead_back_to_their_code() {
        let mut before = 0;
        for code in AnnotationCode::standard() {
            assert!(code.0 > before && code <= AnnotationCode::MAX);
            before = code.0;
            let (symbol, mnemonic) = (code.symbol().expect("one"), code.mnemonic().expect("one"));
            assert_eq!(AnnotationCode::from_symbol(symbol), Some(code));
            assert_eq!(AnnotationCode::from_mnemonic(mnemonic), Some(code));
        }
        assert_eq!(AnnotationCode(45).to_string(), "[45]");
        assert_eq!(format!("{:3}|", AnnotationCode::RHYTHM), "+  |");
        assert!(AnnotationCode::PVC.is_beat() && !AnnotationCode::NOTE.is_beat());
        // As many as in the QRS map of the WFDB library.
        assert_eq!(AnnotationCode::standard().filter(|code| code.is_beat()).count(), 20);
    }
}
