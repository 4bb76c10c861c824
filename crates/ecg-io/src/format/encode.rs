use super::Format;

impl Format {
    /// Returns the smallest and largest valid value of the format, if it can be written.
    pub(crate) fn writable_range(self) -> Option<(i32, i32)> {
        match self {
            Self::Offset8 => Some((-127, 127)),
            Self::Packed212 => Some((-2047, 2047)),
            Self::I16 | Self::I16Be | Self::Offset16 => Some((-32767, 32767)),
            Self::I24 => Some((1 - (1 << 23), (1 << 23) - 1)),
            Self::I32 => Some((i32::MIN + 1, i32::MAX)),
            _ => None,
        }
    }
}

/// Appends samples in the order of the file; the values must fit the format.
pub(crate) fn encode(format: Format, samples: impl Iterator<Item = i32>, out: &mut Vec<u8>) {
    match format {
        Format::I16 => samples.for_each(|v| out.extend((v as i16).to_le_bytes())),
        Format::I16Be => samples.for_each(|v| out.extend((v as i16).to_be_bytes())),
        Format::Offset16 => samples.for_each(|v| out.extend(((v + 32768) as u16).to_le_bytes())),
        Format::Offset8 => samples.for_each(|v| out.push((v + 128) as u8)),
        Format::I24 => samples.for_each(|v| out.extend(&v.to_le_bytes()[..3])),
        Format::I32 => samples.for_each(|v| out.extend(v.to_le_bytes())),
        Format::Packed212 => {
            let mut samples = samples;
            while let Some(low) = samples.next() {
                // An odd last sample takes a whole block by itself.
                let high = samples.next().unwrap_or(0);
                out.extend([low as u8, (low >> 8 & 0x0f | high >> 4 & 0xf0) as u8, high as u8]);
            }
        }
        // Cannot be written: `writable_range` returns `None` for them.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::{decode_i16, decode_i32};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_encoded_is_decoded(
            code in prop::sample::select(vec![16u32, 24, 32, 61, 80, 160, 212]),
            values in prop::collection::vec(any::<i32>(), 1..700),
        ) {
            let format = Format::from_code(code).expect("a format");
            let (low, high) = format.writable_range().expect("written");
            let bits = format.resolution_bits();
            let values: Vec<i32> = values
                .into_iter()
                .map(|v| (v << (32 - bits) >> (32 - bits)).clamp(low, high))
                .collect();
            let mut bytes = Vec::new();
            encode(format, values.iter().copied(), &mut bytes);
            let decoded = if format.is_narrow() {
                let mut out = vec![0; values.len()];
                decode_i16(format, &bytes, &mut out);
                out.into_iter().map(i32::from).collect()
            } else {
                let mut out = vec![0; values.len()];
                decode_i32(format, &bytes, &mut out);
                out
            };
            prop_assert_eq!(decoded, values);
        }
    }
}
