//! What stands beside the arrays, read from the journal as it is written.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Result, ensure};
use ecg_core::LabelSet;
use ecg3d_convert::ConvertConfig;
use ecg3d_examples::reading::ReadingArgs;
use ecg3d_examples::source::Failed;
use serde::ser::{Error as _, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::parts::{Item, Part, Parts};
use crate::store::Dtype;

/// `FILE.json`.
#[derive(Serialize)]
pub struct Manifest<'a> {
    pub program: &'a str,
    /// The main array.
    pub stage: &'a str,
    pub shape: &'a [usize],
    pub dtype: Dtype,
    pub config: &'a ConvertConfig,
    pub config_hash: &'a str,
    pub shard: &'a str,
    pub labels: &'a LabelSet,
    pub label_source: &'a str,
    pub label_map: &'a str,
    /// Of what the map says, whatever it is called.
    pub label_map_sha256: &'a str,
    pub nsr_rule: &'a str,
    /// Flags that say how recordings are read, where some are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<&'a ReadingArgs>,
    /// SHA-256 of the values of each array: little-endian, in C order, whatever the kind of file.
    pub sha256: Map<String, Value>,
    pub records: Column<'a, String>,
    /// SHA-256 of the rows of each record, likewise.
    pub record_sha256: Column<'a, String>,
    pub patients: Column<'a, String>,
    pub folds: Column<'a, Option<u32>>,
    /// Records without labels, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlabelled: Option<Column<'a, String>>,
    pub failed: Column<'a, Failed>,
    pub warnings: Warnings<'a>,
}

/// Makes sure that nothing but an earlier manifest is written over.
///
/// # Errors
/// Another file of that name.
pub fn check_manifest(path: &Path) -> Result<()> {
    let is_manifest = |text: String| {
        serde_json::from_str::<Map<String, Value>>(&text)
            .is_ok_and(|own| own.contains_key("config_hash") && own.contains_key("records"))
    };
    ensure!(
        !path.is_file() || fs::read_to_string(path).is_ok_and(is_manifest),
        "{} would be written over, though it is no manifest of convert; give another --out",
        path.display()
    );
    Ok(())
}

impl<'a> Manifest<'a> {
    /// The columns of the records that were converted.
    pub fn records(parts: &'a Parts) -> Column<'a, String> {
        Column { parts, pick: |item| converted(item).map(|item| item.record) }
    }

    pub fn record_sha256(parts: &'a Parts) -> Column<'a, String> {
        Column { parts, pick: |item| converted(item).map(|item| item.sha256) }
    }

    /// A record whose patient is unknown has one of its own.
    pub fn patients(parts: &'a Parts) -> Column<'a, String> {
        let pick = |item| converted(item).map(|item| item.patient.unwrap_or(item.record));
        Column { parts, pick }
    }

    pub fn folds(parts: &'a Parts) -> Column<'a, Option<u32>> {
        Column { parts, pick: |item| converted(item).map(|item| item.fold) }
    }

    pub fn unlabelled(parts: &'a Parts) -> Column<'a, String> {
        let pick = |item| {
            let unlabelled = converted(item).filter(|item| item.labels.is_none());
            unlabelled.map(|item| item.record)
        };
        Column { parts, pick }
    }

    pub fn failed(parts: &'a Parts) -> Column<'a, Failed> {
        let pick = |item: Item| {
            let Item { record, failed, .. } = item;
            failed.map(|reason| Failed { record, reason })
        };
        Column { parts, pick }
    }
}

fn converted(item: Item) -> Option<Item> {
    item.failed.is_none().then_some(item)
}

/// One value a record, for those that have one.
pub struct Column<'a, T> {
    parts: &'a Parts,
    pick: fn(Item) -> Option<T>,
}

impl<T: Serialize> Serialize for Column<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for part in self.parts.read().map_err(S::Error::custom)? {
            for item in part.map_err(S::Error::custom)?.items {
                if let Some(value) = (self.pick)(item) {
                    list.serialize_element(&value)?;
                }
            }
        }
        list.end()
    }
}

#[derive(Serialize)]
struct Warned<'a> {
    record: &'a str,
    warning: &'a str,
}

/// Those of the data set, without a record, then those of its records.
pub struct Warnings<'a> {
    pub of_all: &'a [String],
    pub parts: &'a Parts,
}

impl Serialize for Warnings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for warning in self.of_all {
            list.serialize_element(&Warned { record: "", warning })?;
        }
        for part in self.parts.read().map_err(S::Error::custom)? {
            for Item { record, warnings, .. } in &part.map_err(S::Error::custom)?.items {
                for warning in warnings {
                    list.serialize_element(&Warned { record, warning })?;
                }
            }
        }
        list.end()
    }
}

/// What the journal comes to.
#[derive(Debug, Default)]
pub struct Totals {
    pub rows: usize,
    pub converted: usize,
    pub failed: usize,
    /// Warnings about records.
    pub warnings: usize,
    /// Converted records without labels.
    pub unlabelled: usize,
}

impl Totals {
    pub fn of(parts: &Parts) -> Result<Self> {
        let mut totals = Self::default();
        for part in parts.read()? {
            for item in part?.items {
                totals.warnings += item.warnings.len();
                if item.failed.is_some() {
                    totals.failed += 1;
                    continue;
                }
                totals.rows += item.rows;
                totals.converted += 1;
                totals.unlabelled += usize::from(item.labels.is_none());
            }
        }
        Ok(totals)
    }
}

/// Bytes of an array with a few values a record, read from the journal part after part.
pub struct Bytes<I, F> {
    parts: I,
    /// Adds the bytes of a record that was converted.
    add: F,
    buffer: Vec<u8>,
    read: usize,
}

impl<I, F> Bytes<I, F> {
    pub fn new(parts: I, add: F) -> Self {
        Self { parts, add, buffer: Vec::new(), read: 0 }
    }
}

impl<I, F> Read for Bytes<I, F>
where
    I: Iterator<Item = Result<Part>>,
    F: FnMut(&Item, &mut Vec<u8>),
{
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.read == self.buffer.len() {
            let Some(part) = self.parts.next() else { return Ok(0) };
            self.buffer.clear();
            self.read = 0;
            for item in &part.map_err(std::io::Error::other)?.items {
                if item.failed.is_none() {
                    (self.add)(item, &mut self.buffer);
                }
            }
        }
        let mut rest = &self.buffer[self.read..];
        let n = rest.read(out)?;
        self.read += n;
        Ok(n)
    }
}
