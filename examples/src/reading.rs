//! Flags that control how recordings are read.

use clap::{Args, ValueEnum};
use ecg_core::SamplingRate;
use ecg_io::{CsvOptions, CsvOrientation, DatasetOptions, PtbXlRecords, ReadOptions};
use serde::Serialize;

/// How recordings are read if their files do not say; flags that several programs share.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize)]
pub struct ReadingArgs {
    /// Sampling rate of tables (CSV, TSV) that do not state one, or whose times give none or less than 10 Hz
    #[arg(long, value_name = "HZ", value_parser = rate)]
    pub csv_rate: Option<SamplingRate>,
    /// Delimiter of the cells of tables: a character, `tab` or `blank` [default: detected from the first row]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    pub csv_delimiter: Option<u8>,
    /// Layout of tables: a row for each sample or for each lead [default: detected from the first rows]
    #[arg(long, value_name = "ROWS")]
    pub csv_layout: Option<CsvLayout>,
    /// Units of tables that do not state them, such as uV [default: mV]
    #[arg(long, value_name = "UNITS")]
    pub csv_units: Option<String>,
    /// Columns of tables (or rows, if these are leads) that are leads, by name or by number from 1, separated
    /// by commas [default: all except times and row numbers]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub csv_columns: Option<Vec<String>>,
    /// Names of the leads of tables, in order, separated by commas [default: those in the table]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub csv_leads: Option<Vec<String>>,
    /// Rate of the recordings of PTB-XL that are present at both [default: both, with a warning]
    #[arg(long, value_name = "HZ", value_parser = ["100", "500"])]
    pub ptbxl_rate: Option<String>,
    /// Follow links to files outside their folder: recordings and tables of a data folder, and the files of WFDB
    /// records
    #[arg(long)]
    pub allow_links: bool,
    /// Read WFDB signals despite a wrong checksum, with a warning
    #[arg(long)]
    pub no_checksums: bool,
    /// Largest number of samples in gaps and null signals that a WFDB record may have beyond those in its files
    /// [default: 2097152]
    #[arg(long, value_name = "N")]
    pub max_null_samples: Option<u64>,
}

/// What a row of a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CsvLayout {
    /// A row for each sample.
    Samples,
    /// A row for each lead.
    Leads,
}

impl ReadingArgs {
    /// Returns the options for reading a recording.
    pub fn read_options(&self) -> ReadOptions {
        let mut csv = CsvOptions::default()
            .with_sampling_rate(self.csv_rate)
            .with_delimiter(self.csv_delimiter)
            .with_orientation(self.csv_layout.map(|layout| match layout {
                CsvLayout::Samples => CsvOrientation::SamplesInRows,
                CsvLayout::Leads => CsvOrientation::LeadsInRows,
            }));
        if let Some(units) = &self.csv_units {
            csv = csv.with_units(units);
        }
        if let Some(columns) = &self.csv_columns {
            csv = csv.with_columns(columns.iter().map(|column| column.trim()));
        }
        if let Some(leads) = &self.csv_leads {
            csv = csv.with_leads(leads.iter().map(|lead| lead.trim()));
        }
        let options = ReadOptions::default()
            .with_csv(csv)
            .with_allow_outside_links(self.allow_links)
            .with_verify_checksums(!self.no_checksums);
        match self.max_null_samples {
            Some(samples) => options.with_max_null_samples(samples),
            None => options,
        }
    }

    /// Returns the options for opening a folder.
    pub fn dataset_options(&self) -> DatasetOptions {
        let records = match self.ptbxl_rate.as_deref() {
            Some("100") => PtbXlRecords::Hz100,
            Some(_) => PtbXlRecords::Hz500,
            None => PtbXlRecords::Both,
        };
        DatasetOptions::default().with_read(self.read_options()).with_ptbxl_records(records)
    }
}

fn rate(text: &str) -> Result<SamplingRate, String> {
    let hz = text.parse().map_err(|_| "expected a positive number of Hz".to_owned())?;
    SamplingRate::new(hz).map_err(|error| error.to_string())
}

fn delimiter(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("tab" | "\\t", _) => Ok(b'\t'),
        ("blank", _) => Ok(b' '),
        (_, [byte]) => Ok(*byte),
        _ => Err("expected one character, tab or blank".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use ecg_io::CsvColumn;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        reading: ReadingArgs,
    }

    fn parse(flags: &str) -> Result<ReadingArgs, clap::Error> {
        let words = std::iter::once("program").chain(flags.split_ascii_whitespace());
        Program::try_parse_from(words).map(|program| program.reading)
    }

    #[test]
    fn every_flag_reaches_its_option() {
        let none = parse("").expect("no flags");
        assert_eq!(
            (&none, none.dataset_options()),
            (&ReadingArgs::default(), DatasetOptions::default())
        );
        let all = parse(
            "--csv-rate 360 --csv-delimiter tab --csv-layout leads --csv-units uV --csv-columns I,3 \
             --csv-leads I,II --ptbxl-rate 100 --allow-links --no-checksums --max-null-samples 7",
        );
        let options = all.expect("all flags").dataset_options();
        assert_eq!(options.ptbxl_records, PtbXlRecords::Hz100);
        let read = options.read;
        assert!(read.allow_outside_links && !read.verify_checksums && read.max_null_samples == 7);
        let columns = vec![CsvColumn::Name("I".to_owned()), CsvColumn::Position(3)];
        let expected = CsvOptions::default()
            .with_sampling_rate(SamplingRate::new(360.0).ok())
            .with_delimiter(Some(b'\t'))
            .with_orientation(Some(CsvOrientation::LeadsInRows))
            .with_units("uV")
            .with_leads(["I", "II"]);
        assert_eq!(read.csv.columns, Some(columns));
        let mut rest = read.csv;
        rest.columns = None;
        assert_eq!(rest, expected);
        let rate = parse("--ptbxl-rate 500").expect("a flag").dataset_options().ptbxl_records;
        assert_eq!(rate, PtbXlRecords::Hz500);
    }

    #[test]
    fn wrong_values_are_refused() {
        for flags in [
            "--csv-rate 0",
            "--csv-rate x",
            "--csv-delimiter ab",
            "--csv-layout x",
            "--ptbxl-rate 250",
        ] {
            assert!(parse(flags).is_err(), "{flags}");
        }
    }
}
