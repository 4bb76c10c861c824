use ecg_core::SamplingRate;

use crate::Format;

/// How recordings are read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Refuse files that depart from their format, instead of reading them with a warning. Default: false.
    pub strict: bool,
    /// A WFDB checksum that does not fit its signal is an error; otherwise it is a warning. Default: true.
    pub verify_checksums: bool,
    /// Sampling rate of CSV files that state none. Default: none, such files are refused.
    pub csv_sampling_rate: Option<SamplingRate>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { strict: false, verify_checksums: true, csv_sampling_rate: None }
    }
}

impl ReadOptions {
    /// Sets [`ReadOptions::strict`].
    pub fn with_strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Sets [`ReadOptions::verify_checksums`].
    pub fn with_verify_checksums(mut self, verify: bool) -> Self {
        self.verify_checksums = verify;
        self
    }

    /// Sets [`ReadOptions::csv_sampling_rate`].
    pub fn with_csv_sampling_rate(mut self, rate: Option<SamplingRate>) -> Self {
        self.csv_sampling_rate = rate;
        self
    }
}

/// How WFDB records are written.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Signal format: 16, 24, 32, 61, 80, 160 or 212. Default: 16.
    pub format: Format,
    /// ADC units per mV where the recording has no stored integers that fit. Default: 1000.
    pub gain_per_mv: f64,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { format: Format::I16, gain_per_mv: 1000.0 }
    }
}

impl WriteOptions {
    /// Sets [`WriteOptions::format`].
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Sets [`WriteOptions::gain_per_mv`].
    pub fn with_gain_per_mv(mut self, gain: f64) -> Self {
        self.gain_per_mv = gain;
        self
    }
}
