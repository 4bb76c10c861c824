use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::CoreError;

/// One of the twelve standard leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Lead {
    I,
    II,
    III,
    #[serde(rename = "aVR")]
    AVR,
    #[serde(rename = "aVL")]
    AVL,
    #[serde(rename = "aVF")]
    AVF,
    V1,
    V2,
    V3,
    V4,
    V5,
    V6,
}

impl Lead {
    /// The twelve leads in the standard order: I, II, III, aVR, aVL, aVF, V1 to V6.
    pub const STANDARD_12: [Lead; 12] = [
        Lead::I,
        Lead::II,
        Lead::III,
        Lead::AVR,
        Lead::AVL,
        Lead::AVF,
        Lead::V1,
        Lead::V2,
        Lead::V3,
        Lead::V4,
        Lead::V5,
        Lead::V6,
    ];

    /// Returns the name as printed on paper: `aVR`, `V1`.
    pub const fn name(self) -> &'static str {
        match self {
            Lead::I => "I",
            Lead::II => "II",
            Lead::III => "III",
            Lead::AVR => "aVR",
            Lead::AVL => "aVL",
            Lead::AVF => "aVF",
            Lead::V1 => "V1",
            Lead::V2 => "V2",
            Lead::V3 => "V3",
            Lead::V4 => "V4",
            Lead::V5 => "V5",
            Lead::V6 => "V6",
        }
    }

    /// Returns the lead's position in [`Lead::STANDARD_12`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Parses a lead name, ignoring case and surrounding whitespace.
impl FromStr for Lead {
    type Err = CoreError;

    fn from_str(text: &str) -> Result<Self, CoreError> {
        let name = text.trim();
        Lead::STANDARD_12
            .into_iter()
            .find(|lead| lead.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| CoreError::UnknownLead { found: text.to_owned() })
    }
}

/// A lead name as its source spells it, with the standard lead it stands for, if any.
///
/// Serialises as the name alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct LeadName {
    name: String,
    lead: Option<Lead>,
}

impl LeadName {
    /// Returns the name as the source spells it.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Returns the standard lead with this name, ignoring case, or `None` if there is none.
    pub fn lead(&self) -> Option<Lead> {
        self.lead
    }

    /// Returns the standard spelling of a standard lead's name; for any other lead, the name as the source spells it.
    pub fn standard_name(&self) -> &str {
        self.lead.map_or(self.as_str(), |lead| lead.name())
    }
}

impl fmt::Display for LeadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl From<Lead> for LeadName {
    fn from(lead: Lead) -> Self {
        Self { name: lead.name().to_owned(), lead: Some(lead) }
    }
}

impl From<String> for LeadName {
    fn from(name: String) -> Self {
        let lead = name.parse().ok();
        Self { name, lead }
    }
}

impl From<&str> for LeadName {
    fn from(name: &str) -> Self {
        name.to_owned().into()
    }
}

impl From<LeadName> for String {
    fn from(name: LeadName) -> Self {
        name.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_whatever_their_case() {
        for lead in Lead::STANDARD_12 {
            assert_eq!(lead.name().to_lowercase().parse(), Ok(lead));
            assert_eq!(lead.name().to_uppercase().parse(), Ok(lead));
            assert_eq!(Lead::STANDARD_12[lead.index()], lead);
        }
        assert!("V7".parse::<Lead>().is_err());
    }

    #[test]
    fn a_name_keeps_its_spelling() {
        let name = LeadName::from("avr");
        assert_eq!((name.as_str(), name.lead()), ("avr", Some(Lead::AVR)));
        assert_eq!(LeadName::from("PLETH").lead(), None);
        assert_eq!(format!("{:>4}|{:<4}|", Lead::AVF, name), " aVF|avr |");
        let json = serde_json::to_string(&name).expect("a name serialises");
        assert_eq!(json, "\"avr\"");
        assert_eq!(serde_json::from_str::<LeadName>(&json).expect("a name parses"), name);
        assert_eq!(serde_json::to_string(&Lead::AVR).expect("a lead serialises"), "\"aVR\"");
    }
}
