//! The flags for labels and for reading recordings.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use ecg_io::{DatasetOptions, IoError, LabelMap, NsrRule, RecordTable, Warning, read_labels};

use super::is_npz;
use crate::reading::ReadingArgs;

/// How labels and recordings are found and read; flags that several programs share.
#[derive(Debug, Clone, Default, Args)]
pub struct LabelArgs {
    /// Label table with a column `record` and a 0/1 column for each label [default: labels.csv in the data
    /// folder, else ptbxl_database.csv, else each header's #Dx; for an .npz, its own labels]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Diagnosis codes that count: `default` (with their equivalents), `published` (those of the study alone),
    /// or a table with columns label, system (snomed, scp, text or extends) and code
    #[arg(long, value_name = "MAP", default_value = "default")]
    pub label_map: String,
    /// When normal sinus rhythm counts: as in the PhysioNet challenges, or as a statement of rhythm
    #[arg(long, value_name = "RULE", default_value_t)]
    pub nsr_rule: NsrRule,
    /// Whether labels are ignored, as by [`LabelArgs::ignored`].
    #[arg(skip)]
    pub ignore: bool,
    /// How recordings are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

impl LabelArgs {
    /// Returns arguments for work that needs no labels and that labels must not stop. From the tables in a
    /// folder, only patients and folds are used, and the labels of an archive are not read.
    pub fn ignored(reading: ReadingArgs) -> Self {
        Self { ignore: true, reading, ..Self::default() }
    }

    /// Returns arguments for the further recordings of `reference`, beside the labelled ones: read in the same
    /// way, with their own labels ignored.
    pub fn for_reference(&self, reference: &Path) -> Self {
        Self::ignored(self.beside(reference).reading)
    }

    /// Returns arguments for `data` where other recordings are read as well. The flags for reading recordings are
    /// meant for those if `data` is an archive.
    pub fn beside(&self, data: &Path) -> Self {
        let mut own = self.clone();
        if is_npz(data) {
            own.reading = ReadingArgs::default();
        }
        own
    }

    /// Refuses flags that have no effect on `data` because it is an archive. [`load`](super::load) makes this check,
    /// too; programs make it before long work.
    ///
    /// # Errors
    /// Returns an error if such a flag is given. For a folder, there is none.
    pub fn check(&self, data: &Path) -> Result<()> {
        if !is_npz(data) {
            return Ok(());
        }
        let shown = data.display();
        ensure!(
            self.reading == ReadingArgs::default(),
            "{shown} is already converted: flags for reading recordings, such as --csv-rate, have no effect on it"
        );
        ensure!(
            self.ignore || self.labels.is_some() || self.rules_given().is_empty(),
            "{shown} has its own labels: --label-map and --nsr-rule have no effect without --labels"
        );
        Ok(())
    }

    /// Reads a table of labels, each 0 or 1, or one like PTB-XL's. The warnings are about flags that have no effect on it.
    ///
    /// # Errors
    /// Returns an error if the table or the label map cannot be read.
    pub fn read(&self, table: &Path) -> Result<(RecordTable<bool>, Vec<Warning>)> {
        let options = self.dataset_options()?;
        let (map, rule) = (&options.label_map, options.nsr_rule);
        let table = read_labels(table, map, rule)?;
        let warnings = table.rule_warnings(map, rule);
        Ok((table, warnings))
    }

    /// Returns which of the flags that say how diagnosis codes become labels, `--label-map` and `--nsr-rule`, differ
    /// from their defaults.
    pub fn rules_given(&self) -> Vec<&'static str> {
        let usual_map = ["", "default"].contains(&self.label_map.as_str());
        let given =
            [("--label-map", !usual_map), ("--nsr-rule", self.nsr_rule != NsrRule::default())];
        given.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
    }

    /// Returns the options for opening a folder.
    ///
    /// # Errors
    /// Returns an error if the label map is neither a known name nor a table that can be read.
    pub fn dataset_options(&self) -> Result<DatasetOptions> {
        let map = match self.label_map.as_str() {
            // As in `LabelArgs::default`.
            "" => LabelMap::default(),
            name => label_map(name)?,
        };
        Ok(self
            .reading
            .dataset_options()
            .with_label_map(map)
            .with_nsr_rule(self.nsr_rule)
            .with_labels_file(self.labels.clone())
            .with_ignore_labels(self.ignore))
    }
}

/// Returns the label map that `--label-map` names.
///
/// # Errors
/// Returns an error if it is neither a known name nor a table that can be read.
pub fn label_map(name: &str) -> Result<LabelMap> {
    let path = Path::new(name);
    match name.parse() {
        Err(IoError::UnknownName { .. }) if path.is_file() => Ok(LabelMap::read(path)?),
        known => known.context("--label-map is neither a known name nor a file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_would_do_nothing_to_an_archive_are_refused() {
        let archive = Path::new("x.npz");
        let reading = ReadingArgs { no_checksums: true, ..ReadingArgs::default() };
        let usual = LabelArgs { label_map: "default".to_owned(), ..LabelArgs::default() };
        usual.check(archive).expect("no flags");
        let read = LabelArgs { reading, ..usual.clone() };
        let error = read.check(archive).expect_err("nothing is read").to_string();
        assert!(error.starts_with("x.npz is already converted: "), "{error}");
        read.check(Path::new("folder")).expect("a folder is read");
        // Other recordings are read with these flags.
        read.beside(archive).check(archive).expect("meant for others");
        read.for_reference(archive).check(archive).expect("meant for others");
        assert_eq!(read.for_reference(Path::new("folder")).reading, read.reading);

        let map = LabelArgs { label_map: "published".to_owned(), ..usual.clone() };
        let rule = LabelArgs { nsr_rule: NsrRule::Rhythm, ..usual };
        for args in [map, rule] {
            let error = args.check(archive).expect_err("has labels").to_string();
            assert!(error.starts_with("x.npz has its own labels: "), "{error}");
            let table = LabelArgs { labels: Some("ptbxl_database.csv".into()), ..args };
            table.check(archive).expect("a table may have codes");
        }
    }
}
