use ecg_core::{LeadName, SamplingRate};

/// Options for reading tables. Anything not set is detected from the file.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct CsvOptions {
    /// Sampling rate of files that do not state one: no comment does, and their times give none or less than 10 Hz.
    /// Default: none; files without comment and times are rejected.
    pub sampling_rate: Option<SamplingRate>,
    /// The byte between cells; a blank stands for any number of blanks. Default: detected from the first row.
    pub delimiter: Option<u8>,
    /// Whether the first row names the columns (or, with [`CsvOrientation::LeadsInRows`], holds the times).
    ///
    /// Default: yes if it has a cell that is not a number, or if it counts eight columns or more, from 0 or 1, above
    /// decimals (the row is then skipped).
    pub has_names: Option<bool>,
    /// The meaning of a row. Default: detected from the first row.
    pub orientation: Option<CsvOrientation>,
    /// The columns (or the rows, with [`CsvOrientation::LeadsInRows`]) that are leads, in the requested order. All
    /// others are skipped, but times still give the sampling rate.
    ///
    /// If twelve are chosen from more than twelve unnamed columns, or by number from more than twelve unnamed rows,
    /// they are the standard leads in their order. Default: every column or row that is neither a time nor a row
    /// number.
    pub columns: Option<Vec<CsvColumn>>,
    /// Names of the leads that are read, in order, in place of the names in the file. Default: the names in the file,
    /// or the twelve standard leads in their order.
    pub leads: Option<Vec<LeadName>>,
    /// Units of leads that state none, such as `uV`. Default: mV, with a warning if the values are far from those of
    /// an ECG in mV.
    pub units: Option<String>,
}

/// A column of a table, or a row if rows are leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CsvColumn {
    /// The first column with this name, ignoring case; the unit of a name such as `V1 (uV)` may be left out.
    Name(String),
    /// The column with this number, counted from 1, including times and row numbers. If rows are leads, the row with
    /// this number, counted after the row that names the samples or holds their times.
    Position(usize),
}

impl From<&str> for CsvColumn {
    /// Converts a text to a position if it is a number, and to a name otherwise.
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Position)
    }
}

/// The meaning of the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CsvOrientation {
    /// One row per sample, one column per lead.
    SamplesInRows,
    /// One row per lead, one column per sample.
    LeadsInRows,
}

impl CsvOptions {
    /// Sets [`CsvOptions::sampling_rate`].
    #[must_use]
    pub fn with_sampling_rate(mut self, rate: impl Into<Option<SamplingRate>>) -> Self {
        self.sampling_rate = rate.into();
        self
    }

    /// Sets [`CsvOptions::delimiter`].
    #[must_use]
    pub fn with_delimiter(mut self, delimiter: impl Into<Option<u8>>) -> Self {
        self.delimiter = delimiter.into();
        self
    }

    /// Sets [`CsvOptions::has_names`].
    #[must_use]
    pub fn with_has_names(mut self, has_names: impl Into<Option<bool>>) -> Self {
        self.has_names = has_names.into();
        self
    }

    /// Sets [`CsvOptions::orientation`].
    #[must_use]
    pub fn with_orientation(mut self, orientation: impl Into<Option<CsvOrientation>>) -> Self {
        self.orientation = orientation.into();
        self
    }

    /// Sets [`CsvOptions::columns`].
    #[must_use]
    pub fn with_columns<C: Into<CsvColumn>>(
        mut self,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Sets [`CsvOptions::leads`].
    #[must_use]
    pub fn with_leads<L: Into<LeadName>>(mut self, leads: impl IntoIterator<Item = L>) -> Self {
        self.leads = Some(leads.into_iter().map(Into::into).collect());
        self
    }

    /// Sets [`CsvOptions::units`].
    #[must_use]
    pub fn with_units(mut self, units: impl Into<String>) -> Self {
        self.units = Some(units.into());
        self
    }
}
