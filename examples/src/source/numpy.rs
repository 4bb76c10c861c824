//! Reads arrays of numpy in several types of numbers.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use ndarray::{Array, ArrayD, Axis, Dimension, ShapeBuilder};
use ndarray_npy::{NpzReader, ReadDataError, ReadableElement};

/// Reads the array of that name, if the archive holds one.
pub fn read_array<T: ReadableElement>(
    npz: &mut NpzReader<File>,
    path: &Path,
    name: &str,
) -> Result<Option<ArrayD<T>>> {
    let held = npz.names().with_context(|| format!("cannot list {}", path.display()))?;
    if !held.iter().any(|own| own == name) {
        return Ok(None);
    }
    let array = npz
        .by_name(name)
        .with_context(|| format!("{}: array {name} cannot be read", path.display()))?;
    Ok(Some(array))
}

/// Reads `len` numbers of `N` bytes, and nothing else. Memory is reserved only for values that exist, whatever
/// a header claims.
fn read_numbers<const N: usize, T>(
    mut reader: impl Read,
    len: usize,
    number: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, ReadDataError> {
    let mut values = Vec::new();
    let mut block = [0; 1 << 14];
    while values.len() < len {
        let n = (block.len() / N).min(len - values.len());
        match reader.read_exact(&mut block[..n * N]) {
            Ok(()) => {
                let (numbers, _) = block[..n * N].as_chunks();
                values.extend(numbers.iter().map(|bytes| number(*bytes)));
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(ReadDataError::MissingData);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match std::io::copy(&mut reader, &mut std::io::sink())? {
        0 => Ok(values),
        extra => Err(ReadDataError::ExtraBytes(extra as usize)),
    }
}

/// Returns the type of numbers in an array's header, such as `<f4`.
fn type_of(descriptor: &py_literal::Value) -> &str {
    match descriptor {
        py_literal::Value::String(text) => text,
        _ => "",
    }
}

/// A number of half, single or double precision.
#[repr(transparent)]
struct Float(f32);

impl ReadableElement for Float {
    fn read_to_end_exact_vec<R: Read>(
        reader: R,
        descriptor: &py_literal::Value,
        len: usize,
    ) -> Result<Vec<Self>, ReadDataError> {
        match type_of(descriptor) {
            "<f2" => read_numbers(reader, len, |b| Self(half::f16::from_le_bytes(b).to_f32())),
            ">f2" => read_numbers(reader, len, |b| Self(half::f16::from_be_bytes(b).to_f32())),
            "<f4" => read_numbers(reader, len, |b| Self(f32::from_le_bytes(b))),
            ">f4" => read_numbers(reader, len, |b| Self(f32::from_be_bytes(b))),
            "<f8" => read_numbers(reader, len, |b| Self(f64::from_le_bytes(b) as f32)),
            ">f8" => read_numbers(reader, len, |b| Self(f64::from_be_bytes(b) as f32)),
            _ => Err(ReadDataError::WrongDescriptor(descriptor.clone())),
        }
    }
}

/// A whole number or a boolean.
struct Integer(i64);

impl ReadableElement for Integer {
    fn read_to_end_exact_vec<R: Read>(
        reader: R,
        descriptor: &py_literal::Value,
        len: usize,
    ) -> Result<Vec<Self>, ReadDataError> {
        match type_of(descriptor) {
            "|u1" | "|b1" => read_numbers(reader, len, |[b]| Self(b.into())),
            "|i1" => read_numbers(reader, len, |b| Self(i8::from_le_bytes(b).into())),
            "<i2" => read_numbers(reader, len, |b| Self(i16::from_le_bytes(b).into())),
            ">i2" => read_numbers(reader, len, |b| Self(i16::from_be_bytes(b).into())),
            "<i4" => read_numbers(reader, len, |b| Self(i32::from_le_bytes(b).into())),
            ">i4" => read_numbers(reader, len, |b| Self(i32::from_be_bytes(b).into())),
            "<u2" => read_numbers(reader, len, |b| Self(u16::from_le_bytes(b).into())),
            ">u2" => read_numbers(reader, len, |b| Self(u16::from_be_bytes(b).into())),
            "<u4" => read_numbers(reader, len, |b| Self(u32::from_le_bytes(b).into())),
            ">u4" => read_numbers(reader, len, |b| Self(u32::from_be_bytes(b).into())),
            "<i8" => read_numbers(reader, len, |b| Self(i64::from_le_bytes(b))),
            ">i8" => read_numbers(reader, len, |b| Self(i64::from_be_bytes(b))),
            _ => Err(ReadDataError::WrongDescriptor(descriptor.clone())),
        }
    }
}

/// A number of any of these kinds, as used for labels.
pub struct Number(pub f64);

impl ReadableElement for Number {
    fn read_to_end_exact_vec<R: Read>(
        reader: R,
        descriptor: &py_literal::Value,
        len: usize,
    ) -> Result<Vec<Self>, ReadDataError> {
        if type_of(descriptor).contains('f') {
            let floats = Float::read_to_end_exact_vec(reader, descriptor, len)?;
            return Ok(floats.into_iter().map(|number| Self(number.0.into())).collect());
        }
        let integers = Integer::read_to_end_exact_vec(reader, descriptor, len)?;
        Ok(integers.into_iter().map(|number| Self(number.0 as f64)).collect())
    }
}

/// Reads the array of whole numbers or booleans of that name, if the archive holds one.
pub fn read_integers(
    npz: &mut NpzReader<File>,
    path: &Path,
    name: &str,
) -> Result<Option<ArrayD<i64>>> {
    let array: Option<ArrayD<Integer>> = read_array(npz, path, name)?;
    Ok(array.map(|array| array.map(|number| number.0)))
}

/// Reads the array of f16, f32 or f64 of that name, and drops a trailing axis of length 1.
pub fn read_floats<D: Dimension>(
    npz: &mut NpzReader<File>,
    path: &Path,
    name: &str,
) -> Result<Option<Array<f32, D>>> {
    let Some(array) = read_array::<Float>(npz, path, name)? else { return Ok(None) };
    let shape = array.raw_dim().set_f(!array.is_standard_layout());
    let (values, _) = array.into_raw_vec_and_offset();
    // Converted in place, because the array may be all that fits into memory.
    let values: Vec<f32> = values.into_iter().map(|number| number.0).collect();
    let mut array = ArrayD::from_shape_vec(shape, values)?;
    let axes = D::NDIM.unwrap_or(array.ndim());
    if array.ndim() == axes + 1 && array.shape().last() == Some(&1) {
        array.index_axis_inplace(Axis(axes), 0);
    }
    let shape = array.shape().to_vec();
    let array = array.into_dimensionality().with_context(|| {
        format!("{}: array {name} has shape {shape:?}, expected {axes} axes", path.display())
    })?;
    Ok(Some(array))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use ndarray::{Array4, Ix4, s};

    use super::*;

    /// Reads the array `images` of an archive whose header makes these claims.
    fn images(descr: &str, fortran: bool, shape: &str, values: &[u8]) -> Result<Array4<f32>> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rows.npz");
        let mut archive = zip::ZipWriter::new(File::create(&path).expect("a file"));
        let stored = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        let order = if fortran { "True" } else { "False" };
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
        archive.start_file("images.npy", stored).expect("a member");
        let mut member = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        member.extend_from_slice(format!("{header:<117}\n").as_bytes());
        member.extend_from_slice(values);
        archive.write_all(&member).expect("writes");
        archive.finish().expect("finishes");
        let mut npz = NpzReader::new(File::open(&path).expect("is there")).expect("an archive");
        let images = read_floats::<Ix4>(&mut npz, &path, "images")?;
        Ok(images.expect("holds images"))
    }

    #[test]
    fn arrays_that_are_not_what_they_claim() {
        let error = |descr: &str, shape: &str, values: &[u8]| {
            let error = images(descr, false, shape, values).expect_err("refused");
            let text = format!("{error:#}");
            assert!(text.contains("array images cannot be read"), "{text}");
            text
        };
        let huge = error("<f4", "(1000000000000, 12, 45, 45)", &[0; 64]);
        let short = error("<f4", "(1, 1, 2, 2)", &[0; 15]);
        assert_eq!(huge.split("rows.npz").nth(1), short.split("rows.npz").nth(1));
        assert_ne!(error("<f8", "(1, 1, 2, 2)", &[0; 33]), short);
        assert!(error("<c8", "(1, 1, 2, 2)", &[0; 32]).contains("<c8"));
    }

    #[test]
    fn single_precision_in_either_order() {
        let values: Vec<u8> = (0..6).flat_map(|v| (v as f32).to_be_bytes()).collect();
        for (fortran, expected) in [(false, [0.0, 1.0, 2.0]), (true, [0.0, 2.0, 4.0])] {
            let images = images(">f4", fortran, "(1, 1, 2, 3)", &values).expect("reads");
            assert_eq!(images.slice(s![0, 0, 0, ..]).to_vec(), expected);
        }
    }

    #[test]
    fn images_of_half_precision() {
        let values: Vec<u8> = std::iter::repeat_n([0x00, 0x3e], 12 * 45 * 45).flatten().collect();
        let images = images("<f2", false, "(1, 12, 45, 45)", &values).expect("reads");
        assert!(images.iter().all(|value| *value == 1.5));
    }

    #[test]
    fn a_trailing_axis_of_one_is_dropped() {
        let images = images("<f4", false, "(1, 1, 1, 2, 1)", &[0; 8]).expect("reads");
        assert_eq!(images.dim(), (1, 1, 1, 2));
    }
}
