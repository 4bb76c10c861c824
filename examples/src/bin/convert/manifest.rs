//! The manifest beside the arrays. It is read from the journal while it is written.

use std::fs;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Result, bail};
use ecg_core::LabelSet;
use ecg3d_convert::ConvertConfig;
use ecg3d_examples::reading::ReadingArgs;
use ecg3d_examples::source::Failed;
use serde::de::IgnoredAny;
use serde::ser::{Error as _, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::parts::{Item, Parts};
use crate::store::{Dtype, FURTHER};

/// `FILE.json`.
#[derive(Serialize)]
pub struct Manifest<'a> {
    pub program: &'a str,
    /// Name of the main array.
    pub stage: &'a str,
    pub shape: &'a [usize],
    pub dtype: Dtype,
    pub config: &'a ConvertConfig,
    pub config_hash: &'a str,
    pub shard: &'a str,
    pub labels: &'a LabelSet,
    pub label_source: &'a str,
    pub label_map: &'a str,
    /// SHA-256 of the map as a table, whatever its name.
    pub label_map_sha256: &'a str,
    pub nsr_rule: String,
    /// Flags that control how recordings are read, if any are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<&'a ReadingArgs>,
    /// SHA-256 of the values of each array: little-endian, in C order, for every kind of file.
    pub sha256: Map<String, Value>,
    pub records: Column<'a, String>,
    /// SHA-256 of the rows of each record, computed in the same way.
    pub record_sha256: Column<'a, String>,
    pub patients: Column<'a, Option<String>>,
    pub folds: Column<'a, Option<u32>>,
    /// Records without labels, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlabelled: Option<Column<'a, String>>,
    pub failed: Column<'a, Failed>,
    pub warnings: Warnings<'a>,
}

/// Keys that every manifest has. Their values are ignored, since those of a large manifest would fill the
/// memory.
#[derive(Deserialize)]
struct Keys {
    #[serde(rename = "config_hash")]
    _config_hash: IgnoredAny,
    #[serde(rename = "records")]
    _records: IgnoredAny,
    #[serde(default)]
    sha256: Sums,
}

/// The arrays of [`FURTHER`] that are listed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Sums {
    labels: Option<IgnoredAny>,
    length: Option<IgnoredAny>,
    row_record: Option<IgnoredAny>,
}

impl Keys {
    /// Reads the keys of a file, if it is a manifest.
    fn read(path: &Path) -> Option<Self> {
        let file = fs::File::open(path).ok()?;
        serde_json::from_reader(BufReader::new(file)).ok()
    }
}

/// Returns the arrays after the main one that the manifest of an earlier result lists; none without one.
///
/// # Errors
/// Returns an error if a file with the manifest's name is no manifest: it must not be overwritten.
pub fn listed_arrays(path: &Path) -> Result<Vec<&'static str>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let Some(Keys { sha256: Sums { labels, length, row_record }, .. }) = Keys::read(path) else {
        bail!(
            "{} would be overwritten, but it is not a manifest written by convert; choose another --out",
            path.display()
        );
    };
    let listed = FURTHER.into_iter().zip([labels, length, row_record]);
    Ok(listed.filter_map(|(name, sum)| sum.map(|_| name)).collect())
}

impl<'a> Manifest<'a> {
    /// Returns the column of the names of the records that were converted.
    pub fn records(parts: &'a Parts) -> Column<'a, String> {
        Column { parts, pick: |item| converted(item).map(|item| item.record) }
    }

    pub fn record_sha256(parts: &'a Parts) -> Column<'a, String> {
        Column { parts, pick: |item| converted(item).map(|item| item.sha256) }
    }

    pub fn patients(parts: &'a Parts) -> Column<'a, Option<String>> {
        Column { parts, pick: |item| converted(item).map(|item| item.patient) }
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

/// One value for each record that has one.
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

/// The warnings about the whole data set, which name no record, followed by those about its records.
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

/// Totals over the journal.
#[derive(Debug, Default)]
pub struct Totals {
    pub rows: usize,
    pub converted: usize,
    pub failed: usize,
    /// Number of warnings about records.
    pub warnings: usize,
    /// Number of converted records without labels.
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

/// Returns the bytes of an array with a few values per record, part after part. `add` adds those of a converted
/// record.
pub fn bytes(
    parts: &Parts,
    mut add: impl FnMut(&Item, &mut Vec<u8>),
) -> Result<impl Iterator<Item = Result<Vec<u8>>>> {
    Ok(parts.read()?.map(move |part| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for item in part?.items.iter().filter(|item| item.failed.is_none()) {
            add(item, &mut bytes);
        }
        Ok(bytes)
    }))
}
