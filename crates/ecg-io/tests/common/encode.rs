//! An encoder for all signal formats, written from their descriptions and independent of the library's own.

/// A signal file.
pub struct Encoded {
    pub bytes: Vec<u8>,
    /// The stored values of each signal.
    pub values: Vec<Vec<i32>>,
    /// The initial value of each signal.
    pub initial: Vec<i32>,
}

fn bits(format: u32) -> u32 {
    match format {
        80 | 508 => 8,
        310 | 311 => 10,
        212 => 12,
        24 | 524 => 24,
        32 => 32,
        _ => 16,
    }
}

/// Encodes signals whose raw values are cut to the bits of the format. `offset` bytes, or samples in FLAC, come first.
pub fn encode(format: u32, offset: usize, per_frame: &[usize], raw: &[&[i32]]) -> Encoded {
    let mut initial = vec![0; raw.len()];
    let values: Vec<Vec<i32>> = if format == 8 {
        raw.iter()
            .zip(&mut initial)
            .map(|(raw, initial)| {
                *initial = raw[0] % 1000;
                let mut value = *initial;
                raw.iter()
                    .map(|v| {
                        value += i32::from(*v as i8);
                        value
                    })
                    .collect()
            })
            .collect()
    } else {
        let cut = 32 - bits(format);
        raw.iter().map(|raw| raw.iter().map(|v| v << cut >> cut).collect()).collect()
    };
    let bytes = if format > 500 {
        flac(bits(format), offset, &values)
    } else {
        let mut bytes = vec![0xa5; offset];
        pack(format, &in_frames(format, per_frame, &values, &initial), &mut bytes);
        bytes
    };
    Encoded { bytes, values, initial }
}

/// The samples in the order of the file; differences in format 8.
fn in_frames(format: u32, per_frame: &[usize], values: &[Vec<i32>], initial: &[i32]) -> Vec<i32> {
    let frames = values[0].len() / per_frame[0];
    let mut last = initial.to_vec();
    let mut all = Vec::new();
    for frame in 0..frames {
        for (k, n) in per_frame.iter().enumerate() {
            for value in &values[k][frame * n..(frame + 1) * n] {
                all.push(if format == 8 { value - last[k] } else { *value });
                last[k] = *value;
            }
        }
    }
    all
}

fn pack(format: u32, samples: &[i32], bytes: &mut Vec<u8>) {
    for group in samples.chunks(6) {
        match format {
            8 => bytes.extend(group.iter().map(|v| *v as u8)),
            16 => group.iter().for_each(|v| bytes.extend(&v.to_le_bytes()[..2])),
            61 => group.iter().for_each(|v| bytes.extend(&v.to_be_bytes()[2..])),
            24 => group.iter().for_each(|v| bytes.extend(&v.to_le_bytes()[..3])),
            32 => group.iter().for_each(|v| bytes.extend(v.to_le_bytes())),
            80 => bytes.extend(group.iter().map(|v| (v + 128) as u8)),
            160 => group.iter().for_each(|v| bytes.extend(&(v + 32768).to_le_bytes()[..2])),
            212 => {
                for pair in group.chunks(2) {
                    let (a, b) = (pair[0], pair.get(1).copied());
                    bytes.push(a as u8);
                    bytes.push((a >> 8 & 15 | b.unwrap_or(0) >> 4 & 0xf0) as u8);
                    bytes.extend(b.map(|b| b as u8));
                }
            }
            310 => {
                for three in group.chunks(3) {
                    let at = |k: usize| three.get(k).copied().unwrap_or(0) & 0x3ff;
                    let w0 = at(0) << 1 | (at(2) & 31) << 11;
                    let w1 = at(1) << 1 | (at(2) >> 5) << 11;
                    let whole = [&w0.to_le_bytes()[..2], &w1.to_le_bytes()[..2]].concat();
                    bytes.extend(&whole[..[2, 4, 4][three.len() - 1]]);
                }
            }
            _ => {
                for three in group.chunks(3) {
                    let word = three.iter().rev().fold(0, |word, v| word << 10 | v & 0x3ff);
                    bytes.extend(&word.to_le_bytes()[..three.len() + 1]);
                }
            }
        }
    }
}

/// Samples per FLAC block, so that records have several blocks; long records have long blocks.
const BLOCK: usize = 192;
const LONG_BLOCK: usize = 1 << 15;

/// A FLAC stream of verbatim and constant subframes, after `offset` samples that are not part of the record.
fn flac(bits: u32, offset: usize, values: &[Vec<i32>]) -> Vec<u8> {
    let channels: Vec<Vec<i32>> = values
        .iter()
        .map(|values| std::iter::repeat_n(5, offset).chain(values.iter().copied()).collect())
        .collect();
    let n = channels[0].len();
    let block = if n < LONG_BLOCK { BLOCK } else { LONG_BLOCK };
    let mut out = b"fLaC\x80\x00\x00\x22".to_vec();
    out.extend([(block as u16).to_be_bytes(); 2].concat());
    out.extend([0; 6]);
    let info =
        250_u64 << 44 | (channels.len() as u64 - 1) << 41 | u64::from(bits - 1) << 36 | n as u64;
    out.extend(info.to_be_bytes());
    out.extend([0; 16]);
    for (number, start) in (0..n).step_by(block).enumerate() {
        let block = start..(start + block).min(n);
        let size_code = match bits {
            8 => 1,
            16 => 4,
            _ => 6,
        };
        let mut frame = vec![0xff, 0xf8, 0x70, (channels.len() as u8 - 1) << 4 | size_code << 1];
        frame.extend(char::from_u32(number as u32).expect("few").to_string().bytes());
        frame.extend(((block.len() - 1) as u16).to_be_bytes());
        frame.push(crc(&frame, 8, 0x07) as u8);
        for channel in &channels {
            let samples = &channel[block.clone()];
            let constant = samples.iter().all(|v| *v == samples[0]);
            frame.push(if constant { 0 } else { 2 });
            let written = if constant { &samples[..1] } else { samples };
            for v in written {
                frame.extend(&v.to_be_bytes()[4 - bits as usize / 8..]);
            }
        }
        frame.extend(crc(&frame, 16, 0x8005).to_be_bytes());
        out.extend(frame);
    }
    out
}

fn crc(bytes: &[u8], width: u32, polynomial: u16) -> u16 {
    let top = 1_u32 << (width - 1);
    let mask = (top << 1) - 1;
    bytes.iter().fold(0_u32, |mut crc, byte| {
        crc ^= u32::from(*byte) << (width - 8);
        for _ in 0..8 {
            let carry = crc & top != 0;
            crc = crc << 1 & mask;
            if carry {
                crc ^= u32::from(polynomial);
            }
        }
        crc
    }) as u16
}
