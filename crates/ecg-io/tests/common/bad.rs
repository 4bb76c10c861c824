//! Broken records and their expected results.

use ecg_io::{IoError, Loaded};

/// The expected result of a case.
pub enum Expect {
    /// Read, with this many warnings.
    Read(usize),
    /// Rejected with an error that this function accepts.
    Refused(fn(&IoError) -> bool),
}
use Expect::{Read, Refused};

impl Expect {
    /// Returns whether a case ended as expected.
    pub fn accepts(&self, result: &Result<Loaded, IoError>) -> bool {
        match (self, result) {
            (Read(warnings), Ok(loaded)) => loaded.warnings.len() == *warnings,
            (Refused(accepts), Err(error)) => accepts(error),
            _ => false,
        }
    }
}

macro_rules! refused {
    ($pattern:pat $(if $guard:expr)?) => {
        Refused(|error| matches!(error, $pattern $(if $guard)?))
    };
}

/// The cases of `wfdb-bad`, each a record `r` in its own folder, and their expected results.
pub fn expectations() -> Vec<(&'static str, Expect)> {
    vec![
        ("00_good", Read(0)),
        ("02_dat_odd_byte", refused!(IoError::Truncated { expected: 400, found: 399, .. })),
        ("03_dat_empty", refused!(IoError::Truncated { expected: 400, found: 0, .. })),
        ("04_dat_missing", refused!(IoError::Read { .. })),
        ("09_sig_len_negative", field("number of samples", 1)),
        // An unknown length is legal: it is taken from the file.
        ("10_sig_len_zero", Read(0)),
        ("13_nsig_huge", refused!(IoError::LineCount { expected: 4_294_967_295, found: 2, .. })),
        ("20_nul_in_header", refused!(IoError::NotText { line: 2, .. })),
        ("21_nul_after_record", refused!(IoError::NotText { line: 1, .. })),
        ("22_crlf", Read(0)),
        ("23_cr_only", refused!(IoError::NotText { line: 1, .. })),
        ("26_latin1_comment", Read(0)),
        ("28_utf8_units", Read(0)),
        // Degrees are kept unchanged, with a warning.
        ("29_degree_units", Read(1)),
        // Uncalibrated: 200 units per mV.
        ("30_gain_zero", Read(1)),
        ("31_gain_negative", Read(0)),
        ("35_gain_1e400", field("gain", 2)),
        ("37_baseline_float", field("baseline", 2)),
        ("39_baseline_overflow", field("baseline", 2)),
        ("41_fmt_text", field("format", 2)),
        ("42_fmt_negative", field("format", 2)),
        (
            "43_fmt_differs_in_file",
            refused!(IoError::GroupDiffers { line: 3, field: "format", .. }),
        ),
        ("44_spf_zero", field("samples per frame", 2)),
        ("45_spf_negative", field("samples per frame", 2)),
        ("46_spf_huge", refused!(IoError::Truncated { found: 400, .. })),
        ("47_skew_negative", field("skew", 2)),
        ("49_skew_huge", refused!(IoError::SkewPastEnd { line: 2, samples: 100, .. })),
        ("50_offset_past_end", refused!(IoError::Truncated { found: 400, .. })),
        ("52_offset_overflow", field("byte offset", 2)),
        (
            "53_offsets_differ",
            refused!(IoError::GroupDiffers { line: 3, field: "byte offset", .. }),
        ),
        ("57_backslash_path", refused!(IoError::UnsafeName { line: 2, .. })),
        ("58_space_in_name", field("format", 2)),
        ("59_stdin_name", refused!(IoError::UnsafeName { line: 2, .. })),
        // The folder is empty, and is lost if only files are kept.
        ("61_dat_is_dir", refused!(IoError::NotAFile { .. } | IoError::Read { .. })),
        ("63_dat_is_hea", refused!(IoError::UnsafeName { line: 2, .. })),
        ("64_fs_zero", field("sampling frequency", 1)),
        ("66_fs_nan", field("sampling frequency", 1)),
        ("67_fs_exp", Read(0)),
        // Dates and times that do not exist are left out.
        ("70_date_invalid", Read(1)),
        ("71_time_25h", Read(1)),
        // The name has a path, and is not the name of the file.
        ("75_name_with_path", Read(2)),
        ("77_name_digit_slash", Read(2)),
        ("79_checksum_unsigned", Read(0)),
        ("82_dup_names", refused!(IoError::Checksum { line: 2, expected: 0, .. })),
        ("83_blocksize", Read(0)),
        ("85_blocksize_huge", Read(0)),
        ("86_interleaved_files", refused!(IoError::FileOrder { line: 4, .. })),
        ("87_line_64k", Read(0)),
        ("A1_ms_self", refused!(IoError::NestedSegment { line: 2, .. })),
        ("A2_ms_mutual", refused!(IoError::NestedSegment { line: 2, .. })),
        (
            "AA_ms_fs_differs",
            refused!(IoError::SegmentDiffers { line: 3, field: "sampling frequency", .. }),
        ),
        ("AD_ms_seg_len_huge", refused!(IoError::TooManyNullSamples { .. })),
        ("B1_310_short", refused!(IoError::Truncated { expected: 134, found: 41, .. })),
        (
            "B6_flac_508_16bit",
            refused!(IoError::FlacDiffers { line: 2, field: "bits", expected: 8, found: 16, .. }),
        ),
        // Broken annotations next to a valid record.
        ("C2_ann_odd", Read(0)),
        ("C3_ann_empty", Read(0)),
        ("C4_ann_aux_past_end", Read(0)),
        ("C7_ann_skip_overflow", Read(0)),
        ("C9_ann_code_undefined", Read(0)),
        ("CA_ann_latin1_aux", Read(0)),
        ("CC_ann_trailing", Read(0)),
        ("CD_ann_fs_zero", Read(0)),
        ("CE_ann_random", Read(0)),
    ]
}

fn field(name: &'static str, at: u64) -> Expect {
    // A function pointer cannot capture, so the pairs that occur are spelt out.
    macro_rules! of {
        ($($field:literal $line:literal),*) => {
            match (name, at) {
                $(($field, $line) =>
                    refused!(IoError::Field { field: $field, line: $line, .. }),)*
                other => panic!("no such pair: {other:?}"),
            }
        };
    }
    of!(
        "number of samples" 1, "sampling frequency" 1, "gain" 2, "baseline" 2, "format" 2,
        "samples per frame" 2, "skew" 2, "byte offset" 2
    )
}
