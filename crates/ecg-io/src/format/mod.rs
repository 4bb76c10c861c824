//! The signal formats: their codes, sizes and packing.

mod decode;
mod encode;

pub(crate) use decode::{decode_i16, decode_i32};
pub(crate) use encode::encode;

/// Storage format of samples in a signal file: a name for each WFDB format code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// 0: no file; every sample is invalid.
    Null,
    /// 8: 8-bit first differences.
    Diff8,
    /// 16: 16-bit two's complement, little-endian.
    I16,
    /// 24: 24-bit two's complement, little-endian.
    I24,
    /// 32: 32-bit two's complement, little-endian.
    I32,
    /// 61: 16-bit two's complement, big-endian.
    I16Be,
    /// 80: 8-bit offset binary.
    Offset8,
    /// 160: 16-bit offset binary, little-endian.
    Offset16,
    /// 212: two 12-bit samples in three bytes.
    Packed212,
    /// 310: three 10-bit samples in four bytes, in two words.
    Packed310,
    /// 311: three 10-bit samples in four bytes, in one word.
    Packed311,
    /// 508: FLAC, 8 bits.
    Flac8,
    /// 516: FLAC, 16 bits.
    Flac16,
    /// 524: FLAC, 24 bits.
    Flac24,
}

impl Format {
    /// Returns the format with the given WFDB format code.
    pub fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::Null,
            8 => Self::Diff8,
            16 => Self::I16,
            24 => Self::I24,
            32 => Self::I32,
            61 => Self::I16Be,
            80 => Self::Offset8,
            160 => Self::Offset16,
            212 => Self::Packed212,
            310 => Self::Packed310,
            311 => Self::Packed311,
            508 => Self::Flac8,
            516 => Self::Flac16,
            524 => Self::Flac24,
            _ => return None,
        })
    }

    /// Returns the WFDB format code.
    pub fn code(self) -> u32 {
        match self {
            Self::Null => 0,
            Self::Diff8 => 8,
            Self::I16 => 16,
            Self::I24 => 24,
            Self::I32 => 32,
            Self::I16Be => 61,
            Self::Offset8 => 80,
            Self::Offset16 => 160,
            Self::Packed212 => 212,
            Self::Packed310 => 310,
            Self::Packed311 => 311,
            Self::Flac8 => 508,
            Self::Flac16 => 516,
            Self::Flac24 => 524,
        }
    }

    /// Returns the stored value that means "no valid sample here", or `None` if the format has none.
    pub fn invalid_code(self) -> Option<i32> {
        match self {
            Self::Diff8 => None,
            Self::Offset8 | Self::Flac8 => Some(-128),
            Self::Null | Self::I16 | Self::I16Be | Self::Offset16 | Self::Flac16 => Some(-32768),
            Self::Packed212 => Some(-2048),
            Self::Packed310 | Self::Packed311 => Some(-512),
            Self::I24 | Self::Flac24 => Some(-(1 << 23)),
            Self::I32 => Some(i32::MIN),
        }
    }

    /// Returns the number of bits per sample: the default of the header's ADC resolution.
    pub fn resolution_bits(self) -> u32 {
        match self {
            Self::Offset8 | Self::Flac8 => 8,
            Self::Diff8 | Self::Packed310 | Self::Packed311 => 10,
            Self::Null | Self::Packed212 => 12,
            Self::I16 | Self::I16Be | Self::Offset16 | Self::Flac16 => 16,
            Self::I24 | Self::Flac24 => 24,
            Self::I32 => 32,
        }
    }

    /// Returns whether the samples are FLAC-compressed.
    pub fn is_flac(self) -> bool {
        matches!(self, Self::Flac8 | Self::Flac16 | Self::Flac24)
    }

    /// Number of bytes that may follow the last sample to complete a block.
    pub(crate) fn padding(self) -> u64 {
        match self.block() {
            [first, .., last] => last - first,
            _ => 0,
        }
    }

    /// The number of bytes needed for the first 1, 2, ... samples of a block; the last entry is the size of the whole
    /// block.
    fn block(self) -> &'static [u64] {
        match self {
            Self::Diff8 | Self::Offset8 => &[1],
            Self::I16 | Self::I16Be | Self::Offset16 => &[2],
            Self::I24 => &[3],
            Self::I32 => &[4],
            Self::Packed212 => &[2, 3],
            Self::Packed310 => &[2, 4, 4],
            Self::Packed311 => &[2, 3, 4],
            Self::Null | Self::Flac8 | Self::Flac16 | Self::Flac24 => &[],
        }
    }

    /// Number of samples and of bytes in a whole block.
    pub(crate) fn block_size(self) -> (u64, u64) {
        let block = self.block();
        (block.len().max(1) as u64, block.last().copied().unwrap_or(1))
    }

    /// Number of bytes that hold `samples` samples, with the last block cut short; `None` beyond 64 bits.
    pub(crate) fn bytes_for(self, samples: u64) -> Option<u64> {
        let block = self.block();
        let Some(&whole) = block.last() else { return Some(0) };
        let per_block = block.len() as u64;
        let rest = match samples % per_block {
            0 => 0,
            part => block[part as usize - 1],
        };
        (samples / per_block).checked_mul(whole)?.checked_add(rest)
    }

    /// Number of whole samples in `bytes` bytes.
    pub(crate) fn samples_in(self, bytes: u64) -> u64 {
        let block = self.block();
        let Some(&whole) = block.last() else { return 0 };
        let rest = bytes % whole;
        let part = block.iter().filter(|&&need| need <= rest).count() as u64;
        (bytes / whole).saturating_mul(block.len() as u64).saturating_add(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_both_ways() {
        let known: Vec<u32> = (0..1000).filter(|&c| Format::from_code(c).is_some()).collect();
        assert_eq!(known, [0, 8, 16, 24, 32, 61, 80, 160, 212, 310, 311, 508, 516, 524]);
        for code in known {
            assert_eq!(Format::from_code(code).map(Format::code), Some(code));
        }
    }

    #[test]
    fn the_last_block_may_be_short() {
        for format in [Format::Packed310, Format::Packed311] {
            assert_eq!(format.bytes_for(1018), Some(1358));
            assert_eq!(format.samples_in(1358), 1018);
        }
        assert_eq!(Format::Packed311.bytes_for(1019), Some(1359));
        assert_eq!(Format::Packed212.bytes_for(3), Some(5));
        assert_eq!(Format::I32.bytes_for(u64::MAX), None);
        for format in [8, 16, 24, 32, 61, 80, 160, 212, 310, 311] {
            let format = Format::from_code(format).expect("a format");
            for samples in 0..50 {
                let bytes = format.bytes_for(samples).expect("few");
                let held = format.samples_in(bytes);
                // Two 10-bit samples of format 310 end in the same byte as the third.
                assert!(held == samples || (format == Format::Packed310 && held == samples + 1));
            }
        }
    }
}
