use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use ecg_core::{LabelSet, Recording, SnomedCode};

use crate::IoError;
use crate::header::Clinical;

/// The rule for when a recording counts as normal sinus rhythm (NSR).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NsrRule {
    /// As in the headers of the CinC challenges: code 426783006, or NORM or SR in PTB-XL, regardless of other
    /// diagnoses.
    #[default]
    Challenge,
    /// Only if it is the rhythm: not together with AF, SB or STach, whether their labels or their codes; in PTB-XL, SR,
    /// or NORM without a statement of another rhythm.
    Rhythm,
}

impl fmt::Display for NsrRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Challenge => "challenge",
            Self::Rhythm => "rhythm",
        })
    }
}

impl FromStr for NsrRule {
    type Err = IoError;

    fn from_str(text: &str) -> Result<Self, IoError> {
        match text {
            "challenge" => Ok(Self::Challenge),
            "rhythm" => Ok(Self::Rhythm),
            _ => Err(IoError::UnknownName {
                what: "NSR rule",
                found: text.to_owned(),
                expected: "challenge or rhythm",
            }),
        }
    }
}

/// The codes of the study's seven labels (label, SNOMED CT).
const PUBLISHED: [(&str, u64); 7] = [
    ("NSR", 426_783_006),
    ("AF", 164_889_003),
    ("IAVB", 270_492_004),
    ("LBBB", 164_909_002),
    ("RBBB", 59_118_001),
    ("SB", 426_177_001),
    ("STach", 427_084_000),
];

/// Equivalent codes: the complete bundle branch blocks.
const EQUIVALENT: [(&str, u64); 2] = [("LBBB", 733_534_002), ("RBBB", 713_427_006)];

/// The SCP-ECG statements of PTB-XL.
const SCP: [(&str, &str); 8] = [
    ("NSR", "NORM"),
    ("NSR", "SR"),
    ("AF", "AFIB"),
    ("IAVB", "1AVB"),
    ("LBBB", "CLBBB"),
    ("RBBB", "CRBBB"),
    ("SB", "SBRAD"),
    ("STach", "STACH"),
];

/// Statements of another rhythm. Together with one of these, NORM does not count as sinus rhythm under
/// [`NsrRule::Rhythm`].
const OTHER_RHYTHMS: [&str; 11] =
    ["AFIB", "AFLT", "SBRAD", "STACH", "SARRH", "SVARR", "SVTAC", "PSVT", "PACE", "BIGU", "TRIGU"];

/// The codes of AF, SB and STach. Together with one of these, nothing counts as sinus rhythm under [`NsrRule::Rhythm`],
/// whether or not the map has those labels.
const OTHER_RHYTHM_CODES: [SnomedCode; 3] =
    [SnomedCode(164_889_003), SnomedCode(426_177_001), SnomedCode(427_084_000)];

/// A map from diagnosis codes to labels.
///
/// The default map counts equivalent codes (complete LBBB and RBBB); [`LabelMap::published`] does not.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelMap {
    name: String,
    labels: LabelSet,
    snomed: Vec<(SnomedCode, usize)>,
    scp: Vec<(String, usize)>,
    /// Lower-case words.
    texts: Vec<(String, usize)>,
}

impl Default for LabelMap {
    fn default() -> Self {
        Self::of_pairs("default", PUBLISHED.iter().chain(&EQUIVALENT))
    }
}

impl LabelMap {
    /// Returns the study's map, with one SNOMED CT code per label.
    pub fn published() -> Self {
        Self::of_pairs("published", PUBLISHED.iter())
    }

    fn of_pairs<'a>(name: &str, pairs: impl Iterator<Item = &'a (&'a str, u64)>) -> Self {
        let snomed = pairs.map(|&(label, code)| (SnomedCode(code), label));
        Self::new(name, LabelSet::seven(), snomed, SCP.map(|(label, code)| (code, label)))
    }

    /// Creates a custom map from SNOMED CT codes and SCP statements to labels. Pairs whose label is not in the set are
    /// left out.
    pub fn new<'a>(
        name: impl Into<String>,
        labels: LabelSet,
        snomed: impl IntoIterator<Item = (SnomedCode, &'a str)>,
        scp: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let columns = columns(&labels);
        let column = |label: &str| columns.get(label).copied();
        let snomed =
            snomed.into_iter().filter_map(|(code, label)| Some((code, column(label)?))).collect();
        let scp = scp
            .into_iter()
            .filter_map(|(code, label)| Some((code.to_owned(), column(label)?)))
            .collect();
        drop(columns);
        Self { name: name.into(), labels, snomed, scp, texts: Vec::new() }
    }

    /// Adds words that stand for a label in a free-text diagnosis. Pairs whose label is not in the set are left out.
    #[must_use]
    pub fn with_texts<'a>(mut self, texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let columns = columns(&self.labels);
        for (text, label) in texts {
            let column = columns.get(label).copied();
            self.texts.extend(column.map(|column| (text.to_lowercase(), column)));
        }
        self
    }

    /// Returns the name of the map, for reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the labels, in the order of the rows that the map produces.
    pub fn labels(&self) -> &LabelSet {
        &self.labels
    }

    /// Returns the labels of a recording with these diagnoses.
    pub fn apply(&self, diagnoses: &[SnomedCode], rule: NsrRule) -> Vec<bool> {
        let mut row = vec![false; self.labels.len()];
        for (code, column) in &self.snomed {
            row[*column] |= diagnoses.contains(code);
        }
        self.settle(&mut row, diagnoses, rule);
        row
    }

    /// Returns the labels of a free-text diagnosis: those whose words it contains, ignoring case.
    pub fn apply_text(&self, text: &str, rule: NsrRule) -> Vec<bool> {
        let text = text.to_lowercase();
        let mut row = vec![false; self.labels.len()];
        for (words, column) in &self.texts {
            row[*column] |= contains_words(&text, words);
        }
        self.settle(&mut row, &[], rule);
        row
    }

    /// Returns the labels of a recording from its diagnoses, both codes and free text.
    ///
    /// Returns `None` if it states none, or if it states only words and the map knows only codes.
    pub fn labels_of(&self, recording: &Recording, rule: NsrRule) -> Option<Vec<bool>> {
        let mut texts = recording
            .comments
            .iter()
            .filter(|comment| self.has_texts() && Clinical::states_diagnoses(comment))
            .peekable();
        if recording.diagnoses.is_empty() && texts.peek().is_none() {
            return None;
        }
        let mut row = self.apply(&recording.diagnoses, rule);
        for text in texts {
            for (own, on) in row.iter_mut().zip(self.apply_text(text, rule)) {
                *own |= on;
            }
        }
        self.settle(&mut row, &recording.diagnoses, rule);
        Some(row)
    }

    /// Returns whether the map knows free-text diagnoses.
    pub fn has_texts(&self) -> bool {
        !self.texts.is_empty()
    }

    /// Removes NSR if the rule requires it.
    fn settle(&self, row: &mut [bool], diagnoses: &[SnomedCode], rule: NsrRule) {
        let Some(nsr) = self.labels.index_of("NSR") else { return };
        // A code that the map takes for NSR does not contradict it.
        let is_other = |code: &SnomedCode| {
            OTHER_RHYTHM_CODES.contains(code) && !self.snomed.contains(&(*code, nsr))
        };
        if rule == NsrRule::Rhythm
            && (diagnoses.iter().any(is_other) || is_contradictory(&self.labels, row))
        {
            row[nsr] = false;
        }
    }

    /// Iterates over all pairs: the number of the label, the system and the code.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, &'static str, String)> {
        let snomed = self.snomed.iter().map(|(code, k)| (*k, "snomed", code.0.to_string()));
        let scp = self.scp.iter().map(|(code, k)| (*k, "scp", code.clone()));
        let texts = self.texts.iter().map(|(text, k)| (*k, "text", text.clone()));
        snomed.chain(scp).chain(texts)
    }

    /// Returns the labels of a recording with these SCP statements, at any likelihood.
    pub fn apply_scp<S: AsRef<str>>(&self, statements: &[S], rule: NsrRule) -> Vec<bool> {
        let has = |code: &str| statements.iter().any(|statement| statement.as_ref() == code);
        let mut row = vec![false; self.labels.len()];
        for (code, column) in &self.scp {
            row[*column] |= has(code);
        }
        if rule == NsrRule::Rhythm
            && !has("SR")
            && OTHER_RHYTHMS.into_iter().any(has)
            && let Some(nsr) = self.labels.index_of("NSR")
        {
            row[nsr] = false;
        }
        row
    }
}

impl FromStr for LabelMap {
    type Err = IoError;

    fn from_str(text: &str) -> Result<Self, IoError> {
        match text {
            "default" => Ok(Self::default()),
            "published" => Ok(Self::published()),
            _ => Err(IoError::UnknownName {
                what: "label map",
                found: text.to_owned(),
                expected: "default or published",
            }),
        }
    }
}

/// Returns the numbers of the labels by name.
fn columns(labels: &LabelSet) -> HashMap<&str, usize> {
    labels.iter().enumerate().map(|(column, label)| (label, column)).collect()
}

/// Returns whether words occur in a text as whole words.
fn contains_words(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// Returns whether labels contradict one another: NSR together with AF, SB or STach.
pub fn is_contradictory(labels: &LabelSet, row: &[bool]) -> bool {
    let has = |label| labels.index_of(label).is_some_and(|column| row.get(column) == Some(&true));
    has("NSR") && ["AF", "SB", "STach"].into_iter().any(has)
}

#[cfg(test)]
mod tests {
    use ecg_core::SamplingRate;
    use ndarray::Array2;

    use super::*;

    fn names(row: &[bool]) -> String {
        let labels = LabelSet::seven();
        let on: Vec<_> = labels.iter().zip(row).filter(|(_, on)| **on).map(|(l, _)| l).collect();
        on.join("+")
    }

    #[test]
    fn equivalents_count_only_in_the_default_map() {
        let codes = [SnomedCode(733_534_002), SnomedCode(713_427_006), SnomedCode(426_761_007)];
        assert_eq!(names(&LabelMap::default().apply(&codes, NsrRule::Challenge)), "LBBB+RBBB");
        assert_eq!(names(&LabelMap::published().apply(&codes, NsrRule::Challenge)), "");
    }

    #[test]
    fn each_published_code_is_its_label() {
        for (label, code) in PUBLISHED {
            let row = LabelMap::published().apply(&[SnomedCode(code)], NsrRule::Rhythm);
            assert_eq!(names(&row), label);
        }
    }

    #[test]
    fn the_rules_for_sinus_rhythm() {
        let map = LabelMap::default();
        let codes = [SnomedCode(426_783_006), SnomedCode(426_177_001)];
        assert_eq!(names(&map.apply(&codes, NsrRule::Challenge)), "NSR+SB");
        assert_eq!(names(&map.apply(&codes, NsrRule::Rhythm)), "SB");
        let scp = |codes: &[&str], rule| names(&map.apply_scp(codes, rule));
        assert_eq!(scp(&["NORM", "SBRAD"], NsrRule::Challenge), "NSR+SB");
        assert_eq!(scp(&["NORM", "SBRAD"], NsrRule::Rhythm), "SB");
        assert_eq!(scp(&["NORM", "SARRH"], NsrRule::Rhythm), "");
        assert_eq!(scp(&["NORM", "SR", "SARRH"], NsrRule::Rhythm), "NSR");
        assert_eq!(scp(&["NORM", "CRBBB", "1AVB"], NsrRule::Rhythm), "NSR+IAVB+RBBB");
        assert!(is_contradictory(map.labels(), &map.apply(&codes, NsrRule::Challenge)));
    }

    #[test]
    fn a_map_of_ones_own() {
        let labels = LabelSet::new(["PVC"]).expect("one label");
        let map =
            LabelMap::new("pvc", labels, [(SnomedCode(427_172_004), "PVC")], [("PVC", "PVC")]);
        assert_eq!(map.apply(&[SnomedCode(427_172_004)], NsrRule::Rhythm), [true]);
        assert_eq!(map.apply_scp(&["NORM"], NsrRule::Rhythm), [false]);
    }

    #[test]
    fn codes_of_other_rhythms_count_without_their_labels() {
        let text =
            "label,system,code\nNSR,snomed,426783006\nNSR,text,sinus\nPVC,snomed,427172004\n";
        let map = LabelMap::parse(text.as_bytes(), "own.csv").expect("a map");
        let sinus = SnomedCode(426_783_006);
        for code in OTHER_RHYTHM_CODES {
            assert_eq!(map.apply(&[sinus, code], NsrRule::Rhythm), [false, false]);
            assert_eq!(map.apply(&[sinus, code], NsrRule::Challenge), [true, false]);
        }
        let codes = [sinus, SnomedCode(427_172_004)];
        assert_eq!(map.apply(&codes, NsrRule::Rhythm), [true, true]);
        // A code that the map takes for NSR does not contradict it.
        let wide = "label,system,code\nNSR,snomed,426177001\n";
        let wide = LabelMap::parse(wide.as_bytes(), "own.csv").expect("a map");
        assert_eq!(wide.apply(&[SnomedCode(426_177_001)], NsrRule::Rhythm), [true]);
        // Words beside the codes do not bring it back.
        let rate = SamplingRate::new(500.0).expect("a rate");
        let signal = Array2::zeros((1, 5));
        let mut recording = Recording::new("r", rate, ["I"], signal).expect("a recording");
        recording.comments = vec!["Dx: 164889003,sinus".to_owned()];
        recording.diagnoses = vec![SnomedCode(164_889_003)];
        assert_eq!(map.labels_of(&recording, NsrRule::Rhythm), Some(vec![false, false]));
        assert_eq!(map.labels_of(&recording, NsrRule::Challenge), Some(vec![true, false]));
    }

    #[test]
    fn names_are_parsed() {
        assert_eq!("rhythm".parse::<NsrRule>().expect("a rule"), NsrRule::Rhythm);
        assert_eq!(NsrRule::default().to_string(), "challenge");
        assert_eq!("published".parse::<LabelMap>().expect("a map"), LabelMap::published());
        assert!("x".parse::<NsrRule>().is_err() && "x".parse::<LabelMap>().is_err());
    }
}
