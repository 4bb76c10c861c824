use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::CoreError;

/// A SNOMED CT concept identifier, such as 426783006 (sinus rhythm).
///
/// Some identifiers exceed 32 bits (for example 67741000119109).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnomedCode(pub u64);

impl fmt::Display for SnomedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for SnomedCode {
    type Err = CoreError;

    fn from_str(text: &str) -> Result<Self, CoreError> {
        let digits = text.trim();
        let wrong = || CoreError::Snomed { found: text.to_owned() };
        if digits.is_empty() || digits.len() > 18 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        match digits.parse() {
            Ok(code) if code > 0 => Ok(Self(code)),
            _ => Err(wrong()),
        }
    }
}

/// An ordered set of labels, several of which may apply to the same recording.
///
/// Column `k` of every label or probability array belongs to label `k` of the set that accompanies the array. Cloning
/// is cheap. Serialises as a list of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct LabelSet(Arc<[String]>);

impl LabelSet {
    /// Returns the seven labels of the 3DECG-Net study: NSR, AF, IAVB, LBBB, RBBB, SB, STach.
    pub fn seven() -> Self {
        Self(["NSR", "AF", "IAVB", "LBBB", "RBBB", "SB", "STach"].map(String::from).into())
    }

    /// Creates a custom label set.
    ///
    /// # Errors
    /// Fails if there are no labels, if a label is empty, or if a label appears twice.
    pub fn new<S: Into<String>>(labels: impl IntoIterator<Item = S>) -> Result<Self, CoreError> {
        let labels: Vec<String> = labels.into_iter().map(Into::into).collect();
        if labels.is_empty() || labels.iter().any(|label| label.trim().is_empty()) {
            return Err(CoreError::EmptyLabel);
        }
        let mut known = HashSet::with_capacity(labels.len());
        if let Some(label) = labels.iter().find(|label| !known.insert(label.as_str())) {
            return Err(CoreError::DuplicateLabel { label: label.clone() });
        }
        Ok(Self(labels.into()))
    }

    /// Returns the number of labels; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the column of a label, found by its exact name.
    pub fn index_of(&self, label: &str) -> Option<usize> {
        self.0.iter().position(|own| own == label)
    }

    /// Iterates over the labels in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.0.iter().map(String::as_str)
    }

    /// Returns the labels in order.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Returns the full name of one of the seven labels, or `None` for any other label.
    pub fn description(label: &str) -> Option<&'static str> {
        Some(match label {
            "NSR" => "normal sinus rhythm",
            "AF" => "atrial fibrillation",
            "IAVB" => "first-degree AV block",
            "LBBB" => "left bundle branch block",
            "RBBB" => "right bundle branch block",
            "SB" => "sinus bradycardia",
            "STach" => "sinus tachycardia",
            _ => return None,
        })
    }
}

impl Default for LabelSet {
    fn default() -> Self {
        Self::seven()
    }
}

impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl TryFrom<Vec<String>> for LabelSet {
    type Error = CoreError;

    fn try_from(labels: Vec<String>) -> Result<Self, CoreError> {
        Self::new(labels)
    }
}

impl From<LabelSet> for Vec<String> {
    fn from(set: LabelSet) -> Self {
        set.0.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_beyond_32_bits_and_bad_ones() {
        assert_eq!(" 67741000119109 ".parse(), Ok(SnomedCode(67_741_000_119_109)));
        for bad in ["", "0", "-1", "12a", "1.5", "1234567890123456789"] {
            assert!(bad.parse::<SnomedCode>().is_err(), "{bad}");
        }
    }

    #[test]
    fn label_sets_are_ordered_and_unique() {
        let seven = LabelSet::seven();
        assert_eq!(seven.len(), 7);
        assert_eq!(seven.to_string(), "NSR,AF,IAVB,LBBB,RBBB,SB,STach");
        assert!(seven.iter().all(|label| LabelSet::description(label).is_some()));
        assert_eq!(seven.index_of("STach"), Some(6));
        assert_eq!(seven.index_of("stach"), None);
        assert_eq!(
            LabelSet::new(["a", "b", "a"]),
            Err(CoreError::DuplicateLabel { label: "a".into() })
        );
        // So many labels that comparing each with every other would take too long.
        let many: Vec<String> = (0..400_000).map(|k| k.to_string()).collect();
        assert_eq!(LabelSet::new(many.clone()).map(|set| set.len()), Ok(400_000));
        assert_eq!(
            LabelSet::new(many.into_iter().chain(["7".into()])),
            Err(CoreError::DuplicateLabel { label: "7".into() })
        );
        assert_eq!(LabelSet::new(Vec::<String>::new()), Err(CoreError::EmptyLabel));
        let json = serde_json::to_string(&seven).expect("serialises");
        assert_eq!(serde_json::from_str::<LabelSet>(&json).expect("parses"), seven);
        assert!(serde_json::from_str::<LabelSet>("[\"x\",\"x\"]").is_err());
    }
}
