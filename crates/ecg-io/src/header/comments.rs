//! Patient data in comment lines.

use std::collections::HashSet;

use ecg_core::{Recording, Sex, SnomedCode};

use super::Comment;
use crate::IoError;
use crate::error::clip;
use crate::warning::Notes;

/// Age, sex and diagnoses as stated in CinC headers: `#Age: 61`, `# Sex: Female`, `#Dx: 426783006,164889003`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Clinical {
    pub age_years: Option<f64>,
    pub sex: Option<Sex>,
    pub diagnoses: Vec<SnomedCode>,
    pub patient: Option<String>,
}

impl Clinical {
    pub fn from_comments(comments: &[Comment], notes: &mut Notes<'_>) -> Result<Self, IoError> {
        let mut clinical = Self::default();
        let mut known = HashSet::new();
        for Comment { line, text } in comments {
            let Some((key, value)) = text.split_once(':') else { continue };
            let (key, value) = (key.trim(), value.trim());
            if is_unknown(value) {
                continue;
            }
            let mut replaced = None;
            if key.eq_ignore_ascii_case("Age") {
                match age_of(value) {
                    Some(age) => replaced = replace("Age", &mut clinical.age_years, age),
                    None => {
                        let message = format!("{:?} is not an age in years, ignored", clip(value));
                        notes.remark(Some(*line), "Age", message);
                    }
                }
            } else if key.eq_ignore_ascii_case("Sex") {
                match sex_of(value) {
                    Some(sex) => replaced = replace("Sex", &mut clinical.sex, sex),
                    None => {
                        let message = format!("{:?} is not Female or Male, ignored", clip(value));
                        notes.remark(Some(*line), "Sex", message);
                    }
                }
            } else if key.eq_ignore_ascii_case("Dx") {
                clinical.add_diagnoses(value, *line, &mut known, notes)?;
            } else if key.eq_ignore_ascii_case("Patient") {
                replaced = replace("Patient", &mut clinical.patient, value.to_owned());
            }
            if let Some(field) = replaced {
                let message =
                    format!("{:?}, but another value above; the last is used", clip(value));
                notes.quirk(Some(*line), field, message)?;
            }
        }
        Ok(clinical)
    }

    fn add_diagnoses(
        &mut self,
        list: &str,
        line: u64,
        known: &mut HashSet<SnomedCode>,
        notes: &mut Notes<'_>,
    ) -> Result<(), IoError> {
        for item in list.split(',').map(str::trim) {
            if item.is_empty() {
                notes.quirk(Some(line), "Dx", "a comma without a code, ignored")?;
                continue;
            }
            match item.parse::<SnomedCode>() {
                Ok(code) if known.insert(code) => self.diagnoses.push(code),
                Ok(code) => {
                    notes.quirk(Some(line), "Dx", format!("{code} appears twice, kept once"))?;
                }
                Err(_) => {
                    let message = format!("{:?} is not a SNOMED CT code, ignored", clip(item));
                    notes.quirk(Some(line), "Dx", message)?;
                }
            }
        }
        Ok(())
    }

    /// Returns whether a comment states diagnoses, even if none of them is known.
    pub fn states_diagnoses(comment: &str) -> bool {
        comment.split_once(':').is_some_and(|(key, value)| {
            key.trim().eq_ignore_ascii_case("Dx") && !is_unknown(value.trim())
        })
    }

    /// Returns the diagnoses that a comment states in words, which no field holds, with the blanks around them.
    pub fn diagnoses_in_words(comment: &str) -> impl Iterator<Item = &str> {
        let list = comment.split_once(':').filter(|_| Self::states_diagnoses(comment));
        let list = list.map_or("", |(_, list)| list);
        list.split(',')
            .filter(|item| !item.trim().is_empty() && item.parse::<SnomedCode>().is_err())
    }

    /// Returns whether a field of a recording replaces a comment: the field has a value, or the comment's value was
    /// removed from it.
    pub fn replaces(recording: &Recording, comment: &str) -> bool {
        let Some((key, value)) = comment.split_once(':') else { return false };
        let (key, value) = (key.trim(), value.trim());
        if key.eq_ignore_ascii_case("Age") {
            recording.age_years.is_some() || age_of(value).is_some()
        } else if key.eq_ignore_ascii_case("Sex") {
            recording.sex.is_some() || sex_of(value).is_some()
        } else if key.eq_ignore_ascii_case("Dx") {
            !recording.diagnoses.is_empty() || !is_unknown(value)
        } else if key.eq_ignore_ascii_case("Patient") {
            recording.patient.is_some() || !is_unknown(value)
        } else {
            false
        }
    }
}

/// Sets a field, and returns its name if it had another value.
fn replace<T: PartialEq>(
    name: &'static str,
    field: &mut Option<T>,
    value: T,
) -> Option<&'static str> {
    let before = field.replace(value);
    (before.is_some() && before != *field).then_some(name)
}

fn age_of(value: &str) -> Option<f64> {
    value.parse::<f64>().ok().filter(|age| (0.0..=150.0).contains(age))
}

/// Returns whether a value says that nothing is known.
pub(crate) fn is_unknown(value: &str) -> bool {
    let words = ["unknown", "nan", "n/a", "na", "null", "none"];
    value.is_empty() || words.iter().any(|word| word.eq_ignore_ascii_case(value))
}

pub(crate) fn sex_of(value: &str) -> Option<Sex> {
    if ["female", "f"].iter().any(|w| w.eq_ignore_ascii_case(value)) {
        Some(Sex::Female)
    } else if ["male", "m"].iter().any(|w| w.eq_ignore_ascii_case(value)) {
        Some(Sex::Male)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(texts: &[&str], strict: bool) -> Result<(Clinical, usize), IoError> {
        let comments: Vec<Comment> = (14..)
            .zip(texts)
            .map(|(line, text)| Comment { line, text: (*text).to_owned() })
            .collect();
        let mut notes = Notes::new(Path::new("r.hea"), strict);
        let clinical = Clinical::from_comments(&comments, &mut notes)?;
        Ok((clinical, notes.warnings.len()))
    }

    #[test]
    fn a_usual_record() {
        let (clinical, warnings) =
            read(&["Age: 61", "sex : female", "Dx: 426783006,67741000119109", "Rx: Unknown"], true)
                .expect("no quirk");
        assert_eq!((clinical.age_years, clinical.sex), (Some(61.0), Some(Sex::Female)));
        assert_eq!(clinical.diagnoses, [SnomedCode(426_783_006), SnomedCode(67_741_000_119_109)]);
        assert_eq!(warnings, 0);
    }

    #[test]
    fn unknown_values_are_not_worth_a_warning() {
        let (clinical, warnings) =
            read(&["Age: NaN", "Sex: Unknown", "Dx: ", "Dx: Unknown"], true).expect("no quirk");
        assert_eq!((clinical, warnings), (Clinical::default(), 0));
        let written = ["Age: NA", "Sex: None", "Dx: null", "Patient: na"];
        assert_eq!(read(&written, true).expect("no quirk"), (Clinical::default(), 0));
    }

    #[test]
    fn broken_lists_keep_what_can_be_read() {
        let list = "Dx: 426783006,,164889003,426783006,AF,";
        let (clinical, warnings) = read(&[list], false).expect("lenient");
        assert_eq!(clinical.diagnoses, [SnomedCode(426_783_006), SnomedCode(164_889_003)]);
        assert_eq!(warnings, 3);
        for bad in ["Dx: 1,", "Dx: 1,1", "Dx: AF"] {
            assert!(matches!(read(&[bad], true), Err(IoError::Strict(w)) if w.line == Some(14)));
        }
        assert_eq!(read(&["Age: old", "Sex: x"], true).expect("remarks").1, 2);
    }

    #[test]
    fn values_that_contradict_one_another() {
        let pairs = [["Age: 61", "age: 30"], ["Sex: F", "Sex: Male"], ["Patient: a", "Patient: b"]];
        for pair in pairs {
            assert_eq!(read(&pair, false).expect("lenient").1, 1);
            assert!(matches!(read(&pair, true), Err(IoError::Strict(w)) if w.line == Some(15)));
        }
        let (last, _) = read(&pairs.concat(), false).expect("lenient");
        let expected = (Some(30.0), Some(Sex::Male), Some("b"));
        assert_eq!((last.age_years, last.sex, last.patient.as_deref()), expected);
        // Neither a repetition nor an unknown value contradicts.
        let same = ["Age: 61", "Age: 61.0", "Age: unknown", "Sex: F", "Sex: female", "Sex: N/A"];
        let (kept, warnings) = read(&same, true).expect("no quirk");
        assert_eq!((kept.age_years, kept.sex, warnings), (Some(61.0), Some(Sex::Female), 0));
        let (kept, warnings) = read(&["Age: 61", "Age: old"], true).expect("a remark");
        assert_eq!((kept.age_years, warnings), (Some(61.0), 1));
    }
}
