//! Rows of unknown number, streamed to disk and put together as an `.npz` at the end.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A file that is removed unless it was renamed to its place.
pub struct Temporary {
    path: PathBuf,
    keep: bool,
}

impl Temporary {
    /// A hidden name beside `target`, of this process alone.
    pub fn beside(target: &Path, kind: &str) -> Self {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let own = format!(".{name}.{}.{kind}.tmp", std::process::id());
        Self { path: target.with_file_name(own), keep: false }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the file in its place.
    pub fn rename(mut self, target: &Path) -> Result<()> {
        std::fs::rename(&self.path, target)
            .with_context(|| format!("cannot write {}", target.display()))?;
        self.keep = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.keep {
            // It may never have been made.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Rows of `f32` on their way to disk.
pub struct RowFile {
    temporary: Temporary,
    file: BufWriter<File>,
    rows: usize,
    shape: Vec<usize>,
}

impl RowFile {
    /// Opens a temporary file beside `target` for rows of a shape.
    pub fn create(target: &Path, shape: &[usize]) -> Result<Self> {
        let temporary = Temporary::beside(target, "rows");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(temporary.path())
            .with_context(|| format!("cannot write {}", temporary.path().display()))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { temporary, file, rows: 0, shape: shape.to_vec() })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds whole rows.
    pub fn push(&mut self, values: &[f32]) -> Result<()> {
        values
            .iter()
            .try_for_each(|value| self.file.write_all(&value.to_le_bytes()))
            .with_context(|| format!("cannot write {}", self.temporary.path().display()))?;
        self.rows += values.len() / self.shape.iter().product::<usize>();
        Ok(())
    }

    /// Moves the rows into an archive as array `name`, `[row, ...]`.
    pub fn store(self, npz: &mut Npz, name: &str) -> Result<()> {
        let shown = self.temporary.path().display().to_string();
        let shape: Vec<usize> = std::iter::once(self.rows).chain(self.shape).collect();
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind().with_context(|| format!("cannot read {shown}"))?;
        npz.array(name, "<f4", &shape, BufReader::with_capacity(1 << 20, file))
    }
}

/// An archive of arrays that numpy reads, not compressed; above 4 GB in the zip64 form.
pub struct Npz {
    zip: ZipWriter<BufWriter<File>>,
    temporary: Temporary,
    target: PathBuf,
}

impl Npz {
    pub fn create(target: &Path) -> Result<Self> {
        let temporary = Temporary::beside(target, "npz");
        let file = File::create(temporary.path())
            .with_context(|| format!("cannot write {}", temporary.path().display()))?;
        Ok(Self { zip: ZipWriter::new(BufWriter::new(file)), temporary, target: target.to_owned() })
    }

    /// Adds an array of little-endian values in C order; `data` gives just as many bytes as the shape needs.
    pub fn array(
        &mut self,
        name: &str,
        kind: &str,
        shape: &[usize],
        mut data: impl Read,
    ) -> Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(true);
        let mut write = || -> Result<()> {
            self.zip.start_file(format!("{name}.npy"), options)?;
            self.zip.write_all(&npy_header(kind, shape))?;
            io::copy(&mut data, &mut self.zip)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", self.target.display()))
    }

    /// Ends the archive; what stands beside it is written by `beside` before it is put in its place.
    pub fn finish(self, beside: impl FnOnce() -> Result<()>) -> Result<()> {
        let file = self.zip.finish().context("cannot end the archive")?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all().with_context(|| format!("cannot write {}", self.target.display()))?;
        beside()?;
        self.temporary.rename(&self.target)
    }
}

/// The header of numpy's format 1.0: magic, version, length and a Python dictionary, padded to 64 bytes.
fn npy_header(kind: &str, shape: &[usize]) -> Vec<u8> {
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

    #[test]
    fn rows_come_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("x.npz");
        let mut rows = RowFile::create(&target, &[2, 3]).expect("a file");
        rows.push(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).expect("writes");
        rows.push(&[6.0, 7.0, 8.0, 9.0, 10.0, 11.0]).expect("writes");
        let mut npz = Npz::create(&target).expect("an archive");
        rows.store(&mut npz, "prepared").expect("writes");
        npz.array("labels", "|u1", &[2], [1u8, 0].as_slice()).expect("writes");
        npz.finish(|| Ok(())).expect("ends");
        let mut read =
            ndarray_npy::NpzReader::new(File::open(&target).expect("opens")).expect("an archive");
        let back: ndarray::Array3<f32> = read.by_name("prepared").expect("an array");
        assert_eq!(back.shape(), [2, 2, 3]);
        assert_eq!(back[[1, 1, 2]], 11.0);
        let labels: ndarray::Array1<u8> = read.by_name("labels").expect("an array");
        assert_eq!(labels.to_vec(), [1, 0]);
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1);
    }
}
