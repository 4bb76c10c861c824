use super::Format;

/// Frames that are taken signal by signal before going on, so that they stay in the processor's first cache.
const BLOCK_FRAMES: usize = 256;

/// Decodes the interleaved samples of one signal file into one row for each signal.
///
/// A frame holds `per_frame[k]` consecutive samples of signal `k`, one signal after the other. Every row is as long as
/// its samples per frame times the number of frames, and `bytes` holds at least those. `initial` are the values that
/// the differences of format 8 start from.
pub(crate) fn decode(
    format: Format,
    bytes: &[u8],
    per_frame: &[usize],
    initial: &[i32],
    rows: &mut [&mut [i32]],
) {
    match format {
        Format::I16 => deinterleave(bytes, per_frame, rows, |b| i16::from_le_bytes(*b).into()),
        Format::I16Be => deinterleave(bytes, per_frame, rows, |b| i16::from_be_bytes(*b).into()),
        Format::Offset16 => {
            deinterleave(bytes, per_frame, rows, |b| i32::from(u16::from_le_bytes(*b)) - 32768);
        }
        Format::Offset8 => {
            deinterleave(bytes, per_frame, rows, |b: &[u8; 1]| i32::from(b[0]) - 128)
        }
        Format::I24 => deinterleave(bytes, per_frame, rows, |b: &[u8; 3]| {
            i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 8
        }),
        Format::I32 => deinterleave(bytes, per_frame, rows, |b| i32::from_le_bytes(*b)),
        Format::Diff8 => {
            deinterleave(bytes, per_frame, rows, |b: &[u8; 1]| i32::from(b[0] as i8));
            for (row, &start) in rows.iter_mut().zip(initial) {
                let mut value = start;
                for sample in row.iter_mut() {
                    value = value.wrapping_add(*sample);
                    *sample = value;
                }
            }
        }
        Format::Packed212 => unpack(bytes, per_frame, rows, |b: &[u8; 3]| {
            let low = i32::from(b[0]) | i32::from(b[1] & 0x0f) << 8;
            let high = i32::from(b[2]) | i32::from(b[1] & 0xf0) << 4;
            [sign_extend(low, 12), sign_extend(high, 12)]
        }),
        Format::Packed310 => unpack(bytes, per_frame, rows, |b: &[u8; 4]| {
            let w0 = i32::from(u16::from_le_bytes([b[0], b[1]]));
            let w1 = i32::from(u16::from_le_bytes([b[2], b[3]]));
            let third = w0 >> 11 | w1 >> 11 << 5;
            [w0 >> 1 & 0x3ff, w1 >> 1 & 0x3ff, third].map(|v| sign_extend(v, 10))
        }),
        Format::Packed311 => unpack(bytes, per_frame, rows, |b: &[u8; 4]| {
            let word = u32::from_le_bytes(*b);
            [word, word >> 10, word >> 20].map(|v| sign_extend((v & 0x3ff) as i32, 10))
        }),
        // These have no interleaved samples in a file.
        Format::Null | Format::Flac8 | Format::Flac16 | Format::Flac24 => {}
    }
}

fn sign_extend(value: i32, bits: u32) -> i32 {
    value << (32 - bits) >> (32 - bits)
}

/// Unpacks blocks of `N` bytes that hold `M` samples, the last block possibly cut short, and spreads them over the rows.
fn unpack<const N: usize, const M: usize>(
    bytes: &[u8],
    per_frame: &[usize],
    rows: &mut [&mut [i32]],
    block: impl Fn(&[u8; N]) -> [i32; M],
) {
    if let ([row], [_]) = (&mut *rows, per_frame) {
        unpack_row(bytes, row, block);
        return;
    }
    let mut all = vec![0; rows.iter().map(|row| row.len()).sum()];
    unpack_row(bytes, &mut all, block);
    deinterleave(&all, per_frame, rows, |&[value]: &[i32; 1]| value);
}

fn unpack_row<const N: usize, const M: usize>(
    bytes: &[u8],
    out: &mut [i32],
    block: impl Fn(&[u8; N]) -> [i32; M],
) {
    let (whole, rest) = out.as_chunks_mut::<M>();
    let (blocks, _) = bytes.as_chunks::<N>();
    for (out, bytes) in whole.iter_mut().zip(blocks) {
        *out = block(bytes);
    }
    // The last samples: the bytes that the file does not have cannot matter to them.
    let tail = &bytes[(whole.len() * N).min(bytes.len())..];
    let mut last = [0; N];
    for (byte, from) in last.iter_mut().zip(tail) {
        *byte = *from;
    }
    rest.copy_from_slice(&block(&last)[..rest.len()]);
}

/// Spreads interleaved samples of `N` elements over the rows.
fn deinterleave<T: Copy, const N: usize>(
    data: &[T],
    per_frame: &[usize],
    rows: &mut [&mut [i32]],
    value: impl Fn(&[T; N]) -> i32,
) {
    let frame = N * per_frame.iter().sum::<usize>();
    if frame == 0 {
        return;
    }
    for (index, block) in data.chunks(frame.saturating_mul(BLOCK_FRAMES)).enumerate() {
        let first_frame = index * BLOCK_FRAMES;
        let mut offset = 0;
        for (row, &samples) in rows.iter_mut().zip(per_frame) {
            let width = samples * N;
            // Bytes beyond the last frame of the header are not wanted.
            let out = row.get_mut(first_frame * samples..).unwrap_or_default();
            let frames = block.chunks_exact(frame);
            if samples == 1 {
                for (out, frame) in out.iter_mut().zip(frames) {
                    let (sample, _) = frame[offset..offset + N].as_chunks::<N>();
                    *out = value(&sample[0]);
                }
            } else {
                for (out, frame) in out.chunks_exact_mut(samples).zip(frames) {
                    let (from, _) = frame[offset..offset + width].as_chunks::<N>();
                    for (out, sample) in out.iter_mut().zip(from) {
                        *out = value(sample);
                    }
                }
            }
            offset += width;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(format: Format, bytes: &[u8], n: usize) -> Vec<i32> {
        let mut row = vec![0; n];
        decode(format, bytes, &[1], &[0], &mut [&mut row]);
        row
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
        assert_eq!(one(Format::Packed212, &[0x00, 0xf8, 0xff, 0x05, 0x01], 3), [-2048, -1, 261]);
        assert_eq!(one(Format::Packed311, &[0xff, 0x03], 1), [-1]);
        // The lowest bits of both words carry nothing.
        assert_eq!(one(Format::Packed310, &[0x03, 0x00, 0x05, 0xf8], 3), [1, 2, -32]);
    }

    #[test]
    fn differences_have_one_accumulator_for_each_signal() {
        let (mut a, mut b) = (vec![0; 3], vec![0; 3]);
        let bytes = [1, 255, 1, 254, 1, 253];
        decode(Format::Diff8, &bytes, &[1, 1], &[100, -300], &mut [&mut a, &mut b]);
        assert_eq!((a, b), (vec![101, 102, 103], vec![-301, -303, -306]));
    }

    #[test]
    fn frames_with_several_samples() {
        let (mut a, mut b) = (vec![0; 6], vec![0; 2]);
        let bytes: Vec<u8> = (128..136).collect();
        decode(Format::Offset8, &bytes, &[3, 1], &[0, 0], &mut [&mut a, &mut b]);
        assert_eq!((a, b), (vec![0, 1, 2, 4, 5, 6], vec![3, 7]));
    }

    #[test]
    fn more_bytes_than_frames_are_left_alone() {
        let (mut a, mut b) = (vec![0; 1], vec![0; 1]);
        decode(Format::Offset8, &[129; 4000], &[1, 1], &[0, 0], &mut [&mut a, &mut b]);
        assert_eq!((a, b), (vec![1], vec![1]));
    }
}
