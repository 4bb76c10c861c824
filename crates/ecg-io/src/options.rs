use crate::{CsvOptions, Format};

/// How recordings are read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Refuse files that depart from their format, instead of reading them with a warning. Default: false.
    pub strict: bool,
    /// A WFDB checksum that does not fit its signal is an error; otherwise it is a warning. Default: true.
    pub verify_checksums: bool,
    /// Read signal files and segments of WFDB records that a symbolic link leads to outside the record's folder; names with
    /// `..` and absolute names are refused all the same. Default: false.
    pub allow_outside_links: bool,
    /// Samples without bytes of their own in a file, beyond which a WFDB record is not read as a whole unless its files
    /// hold as many: of null signals, of gaps and signals that a segment lacks, and of segments that stand there again.
    /// Also the most samples that a frame of a multi-segment record may have. Default: 2097152, 16 MB in `f64`.
    pub max_null_samples: u64,
    /// Samples that a FLAC signal file of a WFDB record may be unpacked to, all channels together, beside a hundred for each
    /// of its bytes, if that is more. A file with more is refused. Default: 33554432, 268 MB in `f64`.
    pub max_packed_samples: u64,
    /// Map WFDB signal files into memory instead of reading them (not FLAC files). Only for files that nobody changes
    /// meanwhile: one that is cut short while it is mapped ends the process. Default: false.
    #[cfg(feature = "mmap")]
    pub memory_map: bool,
    /// How CSV and TSV files are laid out, where they do not show it. Default: [`CsvOptions::default`].
    pub csv: CsvOptions,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            strict: false,
            verify_checksums: true,
            allow_outside_links: false,
            max_null_samples: 1 << 21,
            max_packed_samples: 1 << 25,
            #[cfg(feature = "mmap")]
            memory_map: false,
            csv: CsvOptions::default(),
        }
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

    /// Sets [`ReadOptions::allow_outside_links`].
    pub fn with_allow_outside_links(mut self, allow: bool) -> Self {
        self.allow_outside_links = allow;
        self
    }

    /// Sets [`ReadOptions::max_null_samples`].
    pub fn with_max_null_samples(mut self, samples: u64) -> Self {
        self.max_null_samples = samples;
        self
    }

    /// Sets [`ReadOptions::max_packed_samples`].
    pub fn with_max_packed_samples(mut self, samples: u64) -> Self {
        self.max_packed_samples = samples;
        self
    }

    /// Sets [`ReadOptions::memory_map`].
    #[cfg(feature = "mmap")]
    pub fn with_memory_map(mut self, map: bool) -> Self {
        self.memory_map = map;
        self
    }

    /// Sets [`ReadOptions::csv`].
    pub fn with_csv(mut self, csv: CsvOptions) -> Self {
        self.csv = csv;
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
