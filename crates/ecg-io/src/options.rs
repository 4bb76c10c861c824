use crate::{CsvOptions, Format};

/// Options for reading recordings.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Reject files that depart from their format instead of reading them with a warning. Default: false.
    pub strict: bool,
    /// Treat a WFDB checksum mismatch as an error; otherwise it is a warning. Default: true.
    pub verify_checksums: bool,
    /// Read signal files, segments and annotation files of WFDB records even if a symbolic link leads to them outside
    /// the record's folder, and the recordings and tables of a data set if a link leads to them outside the data folder.
    /// A signal file is sought beside the link to its header. Links to folders of a data set are not followed, and names
    /// with `..` and absolute names are rejected regardless. Default: false.
    pub allow_outside_links: bool,
    /// The most samples without bytes of their own in a file with which a WFDB record is read as a whole.
    ///
    /// These are the samples of null signals, of gaps, of signals that a segment lacks, and of repeated segments. More
    /// are allowed if the record's files hold as many samples. The same limit applies to the number of samples per
    /// frame of a multi-segment record, and to that of null signals in any record unless its files have as many.
    /// Default: 2097152, 16 MB in `f64`.
    pub max_null_samples: u64,
    /// The most samples to which a FLAC signal file of a WFDB record may be decompressed, counting all channels.
    ///
    /// A hundred samples per byte of the file are allowed as well, if that is more. A file with more samples is
    /// rejected. Default: 33554432, 268 MB in `f64`.
    pub max_packed_samples: u64,
    /// Map WFDB signal files into memory instead of reading them (not FLAC files).
    ///
    /// Use this only for files that nobody changes meanwhile: a file that is truncated while it is mapped terminates
    /// the process. Default: false.
    #[cfg(feature = "mmap")]
    pub memory_map: bool,
    /// Layout of CSV and TSV files, where the files do not show it. Default: [`CsvOptions::default`].
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
    #[must_use]
    pub fn with_strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Sets [`ReadOptions::verify_checksums`].
    #[must_use]
    pub fn with_verify_checksums(mut self, verify: bool) -> Self {
        self.verify_checksums = verify;
        self
    }

    /// Sets [`ReadOptions::allow_outside_links`].
    #[must_use]
    pub fn with_allow_outside_links(mut self, allow: bool) -> Self {
        self.allow_outside_links = allow;
        self
    }

    /// Sets [`ReadOptions::max_null_samples`].
    #[must_use]
    pub fn with_max_null_samples(mut self, samples: u64) -> Self {
        self.max_null_samples = samples;
        self
    }

    /// Sets [`ReadOptions::max_packed_samples`].
    #[must_use]
    pub fn with_max_packed_samples(mut self, samples: u64) -> Self {
        self.max_packed_samples = samples;
        self
    }

    /// Sets [`ReadOptions::memory_map`].
    #[cfg(feature = "mmap")]
    #[must_use]
    pub fn with_memory_map(mut self, map: bool) -> Self {
        self.memory_map = map;
        self
    }

    /// Sets [`ReadOptions::csv`].
    #[must_use]
    pub fn with_csv(mut self, csv: CsvOptions) -> Self {
        self.csv = csv;
        self
    }
}

/// Options for writing WFDB records.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Signal format: 16, 24, 32, 61, 80, 160 or 212. Default: 16.
    pub format: Format,
    /// ADC units per mV, used if the recording has no stored integers that fit. Default: 1000.
    pub gain_per_mv: f64,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { format: Format::I16, gain_per_mv: 1000.0 }
    }
}

impl WriteOptions {
    /// Sets [`WriteOptions::format`].
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Sets [`WriteOptions::gain_per_mv`].
    #[must_use]
    pub fn with_gain_per_mv(mut self, gain: f64) -> Self {
        self.gain_per_mv = gain;
        self
    }
}
