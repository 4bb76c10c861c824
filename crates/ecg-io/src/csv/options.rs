use ecg_core::{LeadName, SamplingRate};

/// How tables are read. What is not given is found in the file.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct CsvOptions {
    /// Sampling rate of files that state none. Default: none, such files are refused.
    pub sampling_rate: Option<SamplingRate>,
    /// The byte between cells; a blank stands for any number of blanks. Default: found in the first row.
    pub delimiter: Option<u8>,
    /// Whether the first row names the columns (or, with [`CsvOrientation::LeadsInRows`], holds the times). Default: it
    /// does where it has a cell that is no number, or counts eight columns or more, from 0 or 1, above decimals (then it is
    /// passed over).
    pub has_names: Option<bool>,
    /// What a row is. Default: found in the first row.
    pub orientation: Option<CsvOrientation>,
    /// The columns (or the rows, with [`CsvOrientation::LeadsInRows`]) that are leads, in the order in which they are
    /// wanted. All others are passed over, except for times. Default: every one that is no time and no row number.
    pub columns: Option<Vec<CsvColumn>>,
    /// Names of the leads that are read, in their order, in place of those that the file has. Default: the file's, or the
    /// twelve standard leads in their order.
    pub leads: Option<Vec<LeadName>>,
    /// Units of leads that state none, such as `uV`. Default: mV.
    pub units: Option<String>,
}

/// A column of a table, or a row where rows are leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CsvColumn {
    /// The first of this name, whatever its case; the unit of a name such as `V1 (uV)` may be left out.
    Name(String),
    /// The column of this number, from 1, times and row numbers among them; of rows of leads, the row behind those that
    /// name the samples or hold their times.
    Position(usize),
}

impl From<&str> for CsvColumn {
    /// A position where the text is a number, else a name.
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Position)
    }
}

/// What the rows of a table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CsvOrientation {
    /// A row for each sample, a column for each lead.
    SamplesInRows,
    /// A row for each lead, a column for each sample.
    LeadsInRows,
}

impl CsvOptions {
    /// Sets [`CsvOptions::sampling_rate`].
    pub fn with_sampling_rate(mut self, rate: Option<SamplingRate>) -> Self {
        self.sampling_rate = rate;
        self
    }

    /// Sets [`CsvOptions::delimiter`].
    pub fn with_delimiter(mut self, delimiter: Option<u8>) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Sets [`CsvOptions::has_names`].
    pub fn with_has_names(mut self, has_names: Option<bool>) -> Self {
        self.has_names = has_names;
        self
    }

    /// Sets [`CsvOptions::orientation`].
    pub fn with_orientation(mut self, orientation: Option<CsvOrientation>) -> Self {
        self.orientation = orientation;
        self
    }

    /// Sets [`CsvOptions::columns`].
    pub fn with_columns<C: Into<CsvColumn>>(
        mut self,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Sets [`CsvOptions::leads`].
    pub fn with_leads<L: Into<LeadName>>(mut self, leads: impl IntoIterator<Item = L>) -> Self {
        self.leads = Some(leads.into_iter().map(Into::into).collect());
        self
    }

    /// Sets [`CsvOptions::units`].
    pub fn with_units(mut self, units: impl Into<String>) -> Self {
        self.units = Some(units.into());
        self
    }
}
