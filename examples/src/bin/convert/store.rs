//! Writes arrays as `.npz`, `.npy` or `.safetensors`, streamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use ecg3d_examples::{Progress, check_place, real, say_err, write_atomic, write_json};
use half::f16;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::manifest::listed_arrays;

/// How the values of the main array are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Half precision: 11 significant bits, up to 65504
    F16,
    /// Single precision
    F32,
}

impl Dtype {
    /// Returns the number of bytes of a value.
    pub fn size(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    /// Encodes values in little-endian bytes, [`Dtype::size`] for each.
    ///
    /// # Errors
    /// Returns an error for a value beyond the range of half precision.
    pub fn encode(self, values: &[f32], bytes: &mut [u8]) -> Result<()> {
        let pairs = values.iter().zip(bytes.chunks_exact_mut(self.size()));
        match self {
            Self::F32 => pairs.for_each(|(value, out)| out.copy_from_slice(&value.to_le_bytes())),
            Self::F16 => {
                for (value, out) in pairs {
                    let half = f16::from_f32(*value);
                    if half.is_infinite() {
                        bail!(
                            "the value {value} does not fit in f16 (at most 65504); use --dtype f32"
                        );
                    }
                    out.copy_from_slice(&half.to_le_bytes());
                }
            }
        }
        Ok(())
    }
}

/// The type of an array's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Float(Dtype),
    U8,
    I64,
}

impl Kind {
    pub fn numpy(self) -> &'static str {
        match self {
            Self::Float(Dtype::F16) => "<f2",
            Self::Float(Dtype::F32) => "<f4",
            Self::U8 => "|u1",
            Self::I64 => "<i8",
        }
    }

    fn safetensors(self) -> &'static str {
        match self {
            Self::Float(Dtype::F16) => "F16",
            Self::Float(Dtype::F32) => "F32",
            Self::U8 => "U8",
            Self::I64 => "I64",
        }
    }

    pub fn size(self) -> usize {
        match self {
            Self::Float(dtype) => dtype.size(),
            Self::U8 => 1,
            Self::I64 => 8,
        }
    }
}

/// The arrays that may come after the main one.
pub const FURTHER: [&str; 3] = ["labels", "length", "row_record"];

/// An array to be written: little-endian values in C order, block after block.
pub struct Array<'a> {
    pub name: &'static str,
    pub kind: Kind,
    pub shape: Vec<usize>,
    pub data: Box<dyn Iterator<Item = Result<Vec<u8>>> + 'a>,
}

impl Array<'_> {
    fn bytes(&self) -> u64 {
        self.shape.iter().map(|&size| size as u64).product::<u64>() * self.kind.size() as u64
    }

    /// Writes the values and returns their SHA-256.
    fn copy(self, out: &mut dyn Write) -> Result<String> {
        const MB: u64 = 1_000_000;
        let expected = self.bytes();
        let progress = Progress::new(expected / MB, &format!("MB of {} written", self.name));
        let mut sha = Sha256::new();
        let mut copied = 0_u64;
        for block in self.data {
            let block = block.with_context(|| format!("cannot read array {}", self.name))?;
            sha.update(&block);
            out.write_all(&block)?;
            let before = copied / MB;
            copied += block.len() as u64;
            progress.inc(copied / MB - before);
        }
        progress.finish();
        if copied != expected {
            bail!("array {} has {copied} bytes, expected {expected}", self.name);
        }
        Ok(format!("{:x}", sha.finalize()))
    }
}

/// Returns the file behind the name of a result and its links, beside which the result is put together.
///
/// # Errors
/// Returns an error if something is there that is not a file.
pub fn target_of(out: &Path) -> Result<PathBuf> {
    real(out).with_context(|| {
        format!("cannot write {}: found a pipe or a device, expected a file", out.display())
    })
}

/// The kind of file, by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Npz,
    Npy,
    Safetensors,
}

impl Format {
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "npz" => Ok(Self::Npz),
            "npy" => Ok(Self::Npy),
            "safetensors" => Ok(Self::Safetensors),
            _ => bail!(
                "--out is {}, expected a name that ends in .npz, .npy or .safetensors",
                path.display()
            ),
        }
    }

    /// Returns the path of the manifest: `x.json` beside `x.npz`. For other files it has the whole name of the
    /// file before the extension, so that no two results in one folder share a manifest.
    pub fn manifest(self, target: &Path) -> PathBuf {
        match self {
            Self::Npz => target.with_extension("json"),
            Self::Npy | Self::Safetensors => {
                let mut name = target.as_os_str().to_owned();
                name.push(".json");
                name.into()
            }
        }
    }

    /// Checks that only files of an earlier result will be overwritten or removed: its manifest and, beside an `.npy`, the
    /// arrays that it lists.
    ///
    /// # Errors
    /// Returns an error if a file with the manifest's name is no manifest, or if a file with the name of such an array
    /// is not listed in it or is read-only.
    pub fn check_earlier(self, target: &Path) -> Result<()> {
        let manifest = self.manifest(target);
        let listed = listed_arrays(&manifest)?;
        for name in FURTHER.into_iter().filter(|_| self == Self::Npy) {
            let path = beside(target, name);
            if path.symlink_metadata().is_err() {
                continue;
            }
            ensure!(
                listed.contains(&name),
                "{} would be overwritten, but {} does not list it; choose another --out",
                path.display(),
                manifest.display()
            );
            check_place(&path)?;
        }
        Ok(())
    }

    /// Writes the arrays, the main one first, to `staging`; further files of `.npy` go beside that. Returns the
    /// SHA-256 of each array's values. `about` is what a `.safetensors` says about itself.
    pub fn write(
        self,
        staging: &Path,
        target: &Path,
        arrays: Vec<Array<'_>>,
        about: &Map<String, Value>,
    ) -> Result<Map<String, Value>> {
        let create =
            || File::create(staging).with_context(|| format!("cannot write {}", staging.display()));
        match self {
            Self::Npz => write_npz(create()?, arrays, |file| file.sync_all()),
            Self::Safetensors => write_safetensors(create()?, arrays, about),
            Self::Npy => {
                let mut sums = Map::new();
                for (k, array) in arrays.into_iter().enumerate() {
                    let name = array.name;
                    let path =
                        if k == 0 { staging.to_owned() } else { staging_beside(staging, name) };
                    let own = if k == 0 { target.to_owned() } else { beside(target, name) };
                    let sum = File::create(&path)
                        .map_err(anyhow::Error::from)
                        .and_then(|file| write_npy(file, array))
                        .with_context(|| format!("cannot write {}", own.display()))?;
                    sums.insert(name.to_owned(), Value::from(sum));
                }
                return Ok(sums);
            }
        }
        .with_context(|| format!("cannot write {}", target.display()))
    }

    /// Writes the manifest, and gives what [`Format::write`] left in `staging` the final names of the result `out`,
    /// the main file last. `target` is the file behind `out` and its links.
    ///
    /// A run may end at any moment and be started again. At every moment, each array beside the main one is
    /// listed by the manifest that is there, and the main one, if there, belongs to it. Arrays of an earlier result are
    /// kept beside `staging` until the new manifest is there, and put back if it cannot be written. A main file that is
    /// replaced passes on its permissions.
    pub fn place(
        self,
        staging: &Path,
        out: &Path,
        target: &Path,
        manifest: &impl Serialize,
        sums: &Map<String, Value>,
    ) -> Result<()> {
        let path = self.manifest(out);
        let further = FURTHER.into_iter().filter(|_| self == Self::Npy);
        let (new, others): (Vec<&str>, Vec<&str>) =
            further.partition(|name| sums.contains_key(*name));
        let old =
            if others.is_empty() { Vec::new() } else { listed_arrays(&path).unwrap_or_default() };
        if let Ok(before) = fs::metadata(target) {
            fs::set_permissions(staging, before.permissions())
                .with_context(|| format!("cannot write {}", out.display()))?;
        }
        let mut earlier = Earlier(Vec::new());
        let replace = || -> Result<()> {
            for name in others.into_iter().filter(|name| old.contains(name)) {
                earlier.set_aside(
                    &beside(out, name),
                    &staging_beside(staging, &format!("earlier.{name}")),
                )?;
            }
            earlier.set_aside(target, &staging_beside(staging, "earlier"))?;
            write_json(&path, manifest)
        };
        if let Err(error) = replace() {
            earlier.put_back();
            return Err(error);
        }
        for name in new {
            copy(&staging_beside(staging, name), &beside(out, name))?;
        }
        fs::rename(staging, target).with_context(|| format!("cannot write {}", out.display()))?;
        earlier.remove()
    }
}

/// The arrays of an earlier result that were set aside: for each, where it belongs and where it is.
struct Earlier(Vec<[PathBuf; 2]>);

impl Earlier {
    /// Moves an array to the path `aside`, if it is there.
    fn set_aside(&mut self, path: &Path, aside: &Path) -> Result<()> {
        if path.symlink_metadata().is_ok() {
            move_file(path, aside)?;
            self.0.push([path.to_owned(), aside.to_owned()]);
        }
        Ok(())
    }

    fn put_back(self) {
        for [path, aside] in self.0 {
            if let Err(error) = move_file(&aside, &path) {
                say_err!("warning: {error:#}");
            }
        }
    }

    fn remove(self) -> Result<()> {
        for [_, aside] in self.0 {
            fs::remove_file(&aside)
                .with_context(|| format!("cannot remove {}", aside.display()))?;
        }
        Ok(())
    }
}

/// Moves a file, which is copied if the other place is in another file system.
fn move_file(from: &Path, to: &Path) -> Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(from, to),
        moved => {
            moved.with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
        }
    }
}

/// Moves an array by copying it: one beside the main file may be in another file system, behind a link.
fn copy(from: &Path, to: &Path) -> Result<()> {
    write_atomic(to, |file| io::copy(&mut File::open(from)?, file).map(|_| ()))?;
    fs::remove_file(from).with_context(|| format!("cannot remove {}", from.display()))
}

/// Turns `x.npy` into `x.labels.npy`.
fn beside(target: &Path, name: &str) -> PathBuf {
    target.with_extension(format!("{name}.npy"))
}

fn staging_beside(staging: &Path, name: &str) -> PathBuf {
    staging.with_file_name(format!("{name}.tmp"))
}

/// Flushes everything to disk.
fn end(file: BufWriter<File>) -> Result<()> {
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(())
}

/// Writes an uncompressed archive. Sizes are in the zip64 form, so that no array is too large.
fn write_npz<W: Write + Seek>(
    file: W,
    arrays: Vec<Array<'_>>,
    sync: impl FnOnce(W) -> io::Result<()>,
) -> Result<Map<String, Value>> {
    let file = UntilError { file, error: false, position: 0 };
    let mut zip = ZipWriter::new(BufWriter::with_capacity(1 << 20, file));
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    let mut sums = Map::new();
    for array in arrays {
        let name = array.name;
        zip.start_file(format!("{name}.npy"), options)?;
        zip.write_all(&npy_header(array.kind.numpy(), &array.shape))?;
        sums.insert(name.to_owned(), Value::from(array.copy(&mut zip)?));
    }
    let file = zip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    ensure!(!file.error, "the archive was not written completely");
    sync(file.file)?;
    Ok(sums)
}

/// A file that accepts nothing more after an error, which it reports once: an archive that is given up tries to
/// write its end.
struct UntilError<W> {
    file: W,
    error: bool,
    position: u64,
}

impl<W> UntilError<W> {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        let interrupted =
            result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted);
        self.error |= result.is_err() && !interrupted;
        result
    }
}

impl<W: Write> Write for UntilError<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = if self.error { Ok(bytes.len()) } else { self.file.write(bytes) };
        let written = self.note(written)?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.error {
            return Ok(());
        }
        let flushed = self.file.flush();
        self.note(flushed)
    }
}

impl<W: Seek> Seek for UntilError<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if !self.error {
            let place = self.file.seek(to);
            self.position = self.note(place)?;
        } else if let SeekFrom::Start(place) = to {
            self.position = place;
        }
        Ok(self.position)
    }
}

fn write_npy(file: File, array: Array<'_>) -> Result<String> {
    let mut file = BufWriter::with_capacity(1 << 20, file);
    file.write_all(&npy_header(array.kind.numpy(), &array.shape))?;
    let sum = array.copy(&mut file)?;
    end(file)?;
    Ok(sum)
}

/// Writes the length of the header, the header in JSON, and the values without gaps. Larger elements come
/// first, so that all are aligned.
fn write_safetensors(
    file: File,
    mut arrays: Vec<Array<'_>>,
    about: &Map<String, Value>,
) -> Result<Map<String, Value>> {
    arrays.sort_by_key(|array| std::cmp::Reverse(array.kind.size()));
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), Value::Object(about.clone()));
    let mut from = 0;
    for array in &arrays {
        let to = from + array.bytes();
        header.insert(
            array.name.to_owned(),
            json!({"dtype": array.kind.safetensors(), "shape": array.shape, "data_offsets": [from, to]}),
        );
        from = to;
    }
    let mut text = serde_json::to_vec(&header)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::with_capacity(1 << 20, file);
    file.write_all(&(text.len() as u64).to_le_bytes())?;
    file.write_all(&text)?;
    let mut sums = Map::new();
    for array in arrays {
        sums.insert(array.name.to_owned(), Value::from(array.copy(&mut file)?));
    }
    end(file)?;
    Ok(sums)
}

/// Returns the header of numpy's format 1.0: magic, version, length and a Python dictionary, padded to 64
/// bytes.
pub fn npy_header(kind: &str, shape: &[usize]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let mut text =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", sizes.trim_end());
    const FIXED: usize = 10;
    let padded = (FIXED + text.len() + 1).next_multiple_of(64) - FIXED;
    text.push_str(&" ".repeat(padded - 1 - text.len()));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    // A few axes never fill 64 KiB.
    header.extend_from_slice(&(text.len() as u16).to_le_bytes());
    header.extend_from_slice(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrays() -> Vec<Array<'static>> {
        let values: Vec<f32> = (0..12).map(|k| k as f32).collect();
        let mut bytes = vec![0; 48];
        Dtype::F32.encode(&values, &mut bytes).expect("any f32");
        let labels = [1, 0].map(|label| Ok(vec![label])).into_iter();
        vec![
            Array {
                name: "prepared",
                kind: Kind::Float(Dtype::F32),
                shape: vec![2, 2, 3],
                data: Box::new(std::iter::once(Ok(bytes))),
            },
            Array { name: "labels", kind: Kind::U8, shape: vec![2], data: Box::new(labels) },
        ]
    }

    fn write(name: &str) -> (tempfile::TempDir, PathBuf, Map<String, Value>) {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join(name);
        let sums = write_to(&target, arrays());
        (dir, target, sums)
    }

    fn write_to(target: &Path, arrays: Vec<Array<'_>>) -> Map<String, Value> {
        let about = Map::from_iter([("program".to_owned(), Value::from("test"))]);
        let format = Format::of(target).expect("a known extension");
        let staging = target.with_file_name("x.tmp");
        let sums = format.write(&staging, target, arrays, &about).expect("writes");
        let manifest = json!({"config_hash": "", "records": [], "sha256": sums});
        format.place(&staging, target, target, &manifest, &sums).expect("gives names");
        sums
    }

    #[test]
    fn an_earlier_array_never_belongs_to_a_new_manifest() {
        /// A manifest that is written while no array is there.
        struct Watching<'a>(&'a Path);
        impl Serialize for Watching<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                assert!(!self.0.exists());
                serializer.serialize_str("new")
            }
        }
        let (_dir, target, sums) = write("x.npz");
        let staging = target.with_file_name("x.tmp");
        fs::write(&staging, "rows").expect("writes");
        let manifest = Watching(&target);
        Format::Npz.place(&staging, &target, &target, &manifest, &sums).expect("gives names");
        assert_eq!(fs::read(&target).expect("reads"), b"rows");
    }

    #[test]
    fn an_earlier_result_stays_if_the_manifest_cannot_be_written() {
        let (dir, target, sums) = write("x.npy");
        let entries = || {
            let paths =
                fs::read_dir(dir.path()).expect("lists").map(|own| own.expect("lists").path());
            let mut all: Vec<_> =
                paths.map(|path| (fs::read(&path).expect("reads"), path)).collect();
            all.sort();
            all
        };
        let manifest = Format::Npy.manifest(&target);
        let mut permissions = fs::metadata(&manifest).expect("is there").permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&manifest, permissions).expect("sets");
        let staging = target.with_file_name("x.tmp");
        fs::write(&staging, "rows").expect("writes");
        let before = entries();
        // The labels of the earlier result would go.
        let sums = Map::from_iter([("prepared".to_owned(), sums["prepared"].clone())]);
        let placed = Format::Npy.place(&staging, &target, &target, &json!({}), &sums);
        let error = format!("{:#}", placed.expect_err("read-only"));
        assert!(error.ends_with("x.npy.json: the file is read-only"), "{error}");
        assert_eq!(entries(), before);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_replaced_passes_on_its_permissions() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, target, _) = write("x.npz");
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).expect("sets");
        write_to(&target, arrays());
        let mode = fs::metadata(&target).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn results_of_one_folder_have_manifests_of_their_own() {
        let manifest = |name: &str| {
            let target = Path::new(name);
            Format::of(target).expect("a known extension").manifest(target)
        };
        assert_eq!(manifest("a/x.npz"), Path::new("a/x.json"));
        assert_eq!(manifest("a/x.npy"), Path::new("a/x.npy.json"));
        assert_eq!(manifest("a/x.safetensors"), Path::new("a/x.safetensors.json"));
    }

    #[test]
    fn an_npz_is_read_back_and_has_zip64_sizes() {
        let (_dir, target, _) = write("x.npz");
        let mut read =
            ndarray_npy::NpzReader::new(File::open(&target).expect("opens")).expect("an archive");
        let back: ndarray::Array3<f32> = read.by_name("prepared").expect("an array");
        assert_eq!((back.shape(), back[[1, 1, 2]]), (&[2, 2, 3][..], 11.0));
        let labels: ndarray::Array1<u8> = read.by_name("labels").expect("an array");
        assert_eq!(labels.to_vec(), [1, 0]);
        let bytes = fs::read(target).expect("reads");
        // In the local header, both 32-bit sizes are all ones, and the extra field 0x0001 of 16 bytes has the
        // true sizes.
        assert_eq!(bytes[18..26], [0xff; 8]);
        let extra = 30 + usize::from(u16::from_le_bytes([bytes[26], bytes[27]]));
        assert_eq!(bytes[extra..extra + 4], [1, 0, 16, 0]);
        let size = u64::from_le_bytes(bytes[extra + 4..extra + 12].try_into().expect("eight"));
        assert_eq!(size, 128 + 48);
    }

    #[test]
    fn an_npy_has_its_other_arrays_beside_it() {
        let (dir, target, sums) = write("x.npy");
        let back: ndarray::Array3<f32> = ndarray_npy::read_npy(&target).expect("an array");
        assert_eq!(back[[1, 0, 1]], 7.0);
        let labels: ndarray::Array1<u8> =
            ndarray_npy::read_npy(dir.path().join("x.labels.npy")).expect("an array");
        assert_eq!(labels.to_vec(), [1, 0]);
        assert_eq!(sums["labels"], ecg3d_examples::sha256(&[1, 0]));
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 3);
        // Labels of an earlier result that the next one lacks are removed; a file that no manifest lists is
        // not.
        Format::Npy.check_earlier(&target).expect("all of an earlier result");
        let other = dir.path().join("x.length.npy");
        fs::write(&other, "other").expect("writes");
        let error = Format::Npy.check_earlier(&target).expect_err("not listed").to_string();
        assert!(error.contains("x.length.npy would be overwritten, but "), "{error}");
        write_to(&target, vec![arrays().remove(0)]);
        assert!(!dir.path().join("x.labels.npy").exists());
        assert_eq!(fs::read(&other).expect("reads"), b"other");
    }

    #[test]
    fn safetensors_are_laid_out_as_their_header_says() {
        let (_dir, target, sums) = write("x.safetensors");
        let bytes = fs::read(target).expect("reads");
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
        assert_eq!(length % 8, 0);
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
        assert_eq!(header["__metadata__"]["program"], "test");
        assert_eq!(header["prepared"]["dtype"], "F32");
        assert_eq!(header["labels"]["data_offsets"], json!([48, 50]));
        let data = &bytes[8 + length..];
        assert_eq!(data.len(), 50);
        assert_eq!(data[44..48], 11f32.to_le_bytes());
        assert_eq!(sums["prepared"], ecg3d_examples::sha256(&data[..48]));
    }

    #[test]
    fn an_archive_that_cannot_be_written_is_given_up() {
        /// A disk with room for this many bytes, which counts the writes that it refused.
        struct Small<'a>(io::Cursor<Vec<u8>>, usize, &'a std::cell::Cell<usize>);
        impl Write for Small<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0.position() as usize + bytes.len() > self.1 {
                    self.2.set(self.2.get() + 1);
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl Seek for Small<'_> {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                self.0.seek(to)
            }
        }
        for room in [0, 100, 300, 500] {
            let refused = std::cell::Cell::new(0);
            let disk = Small(io::Cursor::default(), room, &refused);
            let error = write_npz(disk, arrays(), |_| Ok(())).expect_err("too small");
            assert!(format!("{error:#}").contains("no storage space"), "{error:#}");
            assert_eq!(refused.get(), 1, "room for {room} bytes");
        }
    }

    #[test]
    fn what_half_precision_does_not_reach_is_refused() {
        let mut bytes = [0; 4];
        Dtype::F16.encode(&[1.0, -2.5], &mut bytes).expect("both fit");
        assert_eq!(bytes, [0, 0x3c, 0, 0xc1]);
        let error = Dtype::F16.encode(&[70000.0], &mut bytes).expect_err("too large");
        assert!(error.to_string().contains("70000 does not fit in f16"), "{error}");
    }

    #[test]
    fn an_array_of_the_wrong_size_is_an_error() {
        let mut array = arrays().remove(1);
        array.shape = vec![3];
        let error = array.copy(&mut Vec::new()).expect_err("two of three");
        assert_eq!(error.to_string(), "array labels has 2 bytes, expected 3");
        assert!(Format::of(Path::new("x.txt")).is_err());
    }
}
