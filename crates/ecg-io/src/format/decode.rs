use super::Format;

impl Format {
    /// Returns whether samples may have more than 16 bits. Those of format 8 may in theory, but hardly ever do.
    pub(crate) fn is_wide(self) -> bool {
        matches!(self, Self::I24 | Self::I32 | Self::Flac24)
    }

    /// Returns whether every sample fits into 16 bits as stored in the file.
    pub(crate) fn is_narrow(self) -> bool {
        matches!(
            self,
            Self::I16
                | Self::I16Be
                | Self::Offset8
                | Self::Offset16
                | Self::Packed212
                | Self::Packed310
                | Self::Packed311
        )
    }
}

/// Decodes the samples of a narrow format in the order of the file, from the start of a block.
///
/// `bytes` holds at least as many samples as `out`; the last block may be cut short.
pub(crate) fn decode_i16(format: Format, bytes: &[u8], out: &mut [i16]) {
    match format {
        Format::I16 => each(bytes, out, |b| i16::from_le_bytes(*b)),
        Format::I16Be => each(bytes, out, |b| i16::from_be_bytes(*b)),
        Format::Offset16 => each(bytes, out, |b| (u16::from_le_bytes(*b) ^ 0x8000) as i16),
        Format::Offset8 => each(bytes, out, |b: &[u8; 1]| i16::from(b[0]) - 128),
        Format::Packed212 => unpack(bytes, out, |b: &[u8; 3]| {
            let middle = u16::from(b[1]);
            // Shifted up and back down, so that the sign is kept.
            let low = (u16::from(b[0]) << 4 | middle << 12) as i16 >> 4;
            let high = (u16::from(b[2]) << 4 | (middle & 0xf0) << 8) as i16 >> 4;
            [low, high]
        }),
        Format::Packed310 => unpack(bytes, out, |b: &[u8; 4]| {
            let w0 = u16::from_le_bytes([b[0], b[1]]);
            let w1 = u16::from_le_bytes([b[2], b[3]]);
            [w0 >> 1, w1 >> 1, w0 >> 11 | w1 >> 11 << 5].map(sign_extend_10)
        }),
        Format::Packed311 => unpack(bytes, out, |b: &[u8; 4]| {
            let word = u32::from_le_bytes(*b);
            [word as u16, (word >> 10) as u16, (word >> 20) as u16].map(sign_extend_10)
        }),
        // Not narrow.
        _ => {}
    }
}

/// Decodes the samples of a wide format in the order of the file; for format 8, the differences.
pub(crate) fn decode_i32(format: Format, bytes: &[u8], out: &mut [i32]) {
    match format {
        Format::I24 => {
            each(bytes, out, |b: &[u8; 3]| i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 8);
        }
        Format::I32 => each(bytes, out, |b| i32::from_le_bytes(*b)),
        Format::Diff8 => each(bytes, out, |b: &[u8; 1]| i32::from(b[0] as i8)),
        // Narrow formats, or formats whose samples cannot be decoded individually.
        _ => {}
    }
}

fn sign_extend_10(value: u16) -> i16 {
    (value << 6) as i16 >> 6
}

fn each<const N: usize, T>(bytes: &[u8], out: &mut [T], value: impl Fn(&[u8; N]) -> T) {
    let (samples, _) = bytes.as_chunks::<N>();
    for (out, sample) in out.iter_mut().zip(samples) {
        *out = value(sample);
    }
}

/// Unpacks blocks of `N` bytes that hold `M` samples.
fn unpack<const N: usize, const M: usize>(
    bytes: &[u8],
    out: &mut [i16],
    block: impl Fn(&[u8; N]) -> [i16; M],
) {
    let (whole, rest) = out.as_chunks_mut::<M>();
    let (blocks, _) = bytes.as_chunks::<N>();
    for (out, bytes) in whole.iter_mut().zip(blocks) {
        *out = block(bytes);
    }
    // The last samples: missing bytes at the end of the file cannot affect them.
    let done = blocks.len().min(whole.len());
    let tail = bytes.get(done * N..).unwrap_or_default();
    let mut last = [0; N];
    for (byte, from) in last.iter_mut().zip(tail) {
        *byte = *from;
    }
    let last = block(&last);
    let rest = whole.get_mut(done).map_or(rest, |block| block.as_mut_slice());
    for (out, value) in rest.iter_mut().zip(last) {
        *out = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(format: Format, bytes: &[u8], n: usize) -> Vec<i32> {
        if format.is_narrow() {
            let mut out = vec![0; n];
            decode_i16(format, bytes, &mut out);
            return out.into_iter().map(i32::from).collect();
        }
        let mut out = vec![0; n];
        decode_i32(format, bytes, &mut out);
        out
    }

    #[test]
    fn values_by_hand() {
        assert_eq!(one(Format::I16, &[0x00, 0x80, 0xff, 0xff], 2), [-32768, -1]);
        assert_eq!(one(Format::I16Be, &[0x80, 0x00, 0x01, 0x02], 2), [-32768, 258]);
        assert_eq!(one(Format::Offset16, &[0, 0, 1, 0x80], 2), [-32768, 1]);
        assert_eq!(one(Format::Offset8, &[0, 128, 255], 3), [-128, 0, 127]);
        assert_eq!(
            one(Format::I24, &[0, 0, 0x80, 0xff, 0xff, 0xff, 1, 0, 0], 3),
            [-(1 << 23), -1, 1]
        );
        assert_eq!(one(Format::I32, &[0, 0, 0, 0x80], 1), [i32::MIN]);
        assert_eq!(one(Format::Diff8, &[1, 255, 0x80], 3), [1, -1, -128]);
        assert_eq!(one(Format::Packed212, &[0x00, 0xf8, 0xff, 0x05, 0x01], 3), [-2048, -1, 261]);
        assert_eq!(one(Format::Packed311, &[0xff, 0x03], 1), [-1]);
        assert_eq!(one(Format::Packed311, &[0, 0x04, 0xf0, 0x3f, 0, 0, 0, 0], 3), [0, 1, -1]);
        // The lowest bits of both words are unused.
        assert_eq!(one(Format::Packed310, &[0x03, 0x00, 0x05, 0xf8], 3), [1, 2, -32]);
    }

    #[test]
    fn a_block_that_is_cut_short_is_unpacked() {
        assert_eq!(one(Format::Packed212, &[1, 0, 2, 3, 0x0f], 3), [1, 2, -253]);
        assert_eq!(one(Format::Packed310, &[2, 0, 4, 0], 2), [1, 2]);
    }
}
