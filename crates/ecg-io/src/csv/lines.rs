//! Reads files in blocks of whole lines, decompressing them on the way.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::IoError;
use crate::text::open;

/// Largest table that is read as a recording, after decompression.
pub(super) const MAX_CSV_BYTES: u64 = 1 << 30;

/// The most bytes a compressed file may hold: a base, plus a factor for each of its own bytes. Signals shrink to a
/// tenth, flat ones to a hundredth; files made to exhaust memory shrink to a thousandth.
const MAX_UNPACKED: (u64, u64) = (8 << 20, 100);

/// Number of bytes read at a time: they stay in the processor's cache until they are parsed.
const BLOCK: usize = 256 << 10;

pub(super) fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"))
}

/// A file, compressed or not.
pub(super) enum Source {
    Plain(File),
    Packed(Box<MultiGzDecoder<File>>),
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Packed(file) => file.read(buffer),
        }
    }
}

/// Opens a file, compressed or not. Returns its content, its stored size in bytes, and the most bytes that it may
/// yield.
pub(super) fn open_table(path: &Path) -> Result<(Source, u64, u64), IoError> {
    let (file, bytes) = open(path)?;
    if !is_packed(path) {
        return Ok((Source::Plain(file), bytes, MAX_CSV_BYTES));
    }
    let (base, factor) = MAX_UNPACKED;
    let limit = base.saturating_add(bytes.saturating_mul(factor)).min(MAX_CSV_BYTES);
    Ok((Source::Packed(Box::new(MultiGzDecoder::new(file))), bytes, limit))
}

impl Source {
    /// Counts the lines of an uncompressed file: reading it twice costs less than allocating memory for its rows twice.
    pub fn count_lines(&mut self, path: &Path) -> Result<Option<u64>, IoError> {
        let Self::Plain(file) = self else { return Ok(None) };
        let mut buffer = vec![0; BLOCK];
        let (mut lines, mut last, mut left) = (0, b'\n', MAX_CSV_BYTES);
        loop {
            let n = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(IoError::read(path)(error)),
            };
            lines += line_ends(&buffer[..n]);
            last = buffer[n - 1];
            // The file is growing; [`Blocks`] rejects it.
            left = left.saturating_sub(n as u64);
            if left == 0 {
                break;
            }
        }
        file.rewind().map_err(IoError::read(path))?;
        Ok(Some(lines + u64::from(last != b'\n')))
    }
}

/// Counts the LF bytes. They are summed in a byte as long as it can hold the sum, which the compiler vectorises.
fn line_ends(bytes: &[u8]) -> u64 {
    let of = |chunk: &[u8]| chunk.iter().map(|&byte| u8::from(byte == b'\n')).sum::<u8>();
    bytes.chunks(255).map(|chunk| u64::from(of(chunk))).sum()
}

/// Counts the lines of a text.
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    line_ends(bytes) + u64::from(bytes.last().is_some_and(|&last| last != b'\n'))
}

/// Blocks of whole lines.
pub(super) struct Blocks<'a, R> {
    reader: R,
    path: &'a Path,
    /// The most bytes that are read.
    limit: u64,
    read: u64,
    buffer: Vec<u8>,
    /// End of the whole lines in the buffer, and end of its content.
    whole: usize,
    filled: usize,
    at_end: bool,
}

impl<'a, R: Read> Blocks<'a, R> {
    pub fn new(reader: R, path: &'a Path, limit: u64) -> Self {
        let buffer = vec![0; BLOCK];
        Self { reader, path, limit, read: 0, buffer, whole: 0, filled: 0, at_end: false }
    }

    /// Returns the next lines, each with its LF, which is added to a last line without one. Empty at the end.
    pub fn next(&mut self) -> Result<&[u8], IoError> {
        self.buffer.copy_within(self.whole..self.filled, 0);
        self.filled -= self.whole;
        self.whole = 0;
        while self.whole == 0 && !self.at_end {
            if self.filled == self.buffer.len() {
                // A line longer than the block; its length is bounded by the limit.
                self.buffer.resize(2 * self.buffer.len(), 0);
            }
            let new = match self.reader.read(&mut self.buffer[self.filled..]) {
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(IoError::read(self.path)(error)),
            };
            self.read += new as u64;
            if self.read > self.limit {
                let (bytes, limit) = (self.read, self.limit);
                return Err(IoError::TooLarge { path: self.path.to_owned(), bytes, limit });
            }
            let fresh = &self.buffer[self.filled..self.filled + new];
            let line_end = fresh.iter().rposition(|&byte| byte == b'\n');
            self.whole = line_end.map_or(0, |last| self.filled + last + 1);
            self.filled += new;
            if new == 0 {
                self.at_end = true;
                if self.filled > 0 {
                    self.buffer[self.filled] = b'\n';
                    self.filled += 1;
                    self.whole = self.filled;
                }
            }
        }
        Ok(&self.buffer[..self.whole])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(out.len()).min(self.0.len());
            let (now, later) = self.0.split_at(n);
            out[..n].copy_from_slice(now);
            self.0 = later;
            Ok(n)
        }
    }

    #[test]
    fn blocks_hold_whole_lines() {
        let line = "x".repeat(3 * BLOCK);
        let text = format!("a\n\nbc\n{line}\nlast");
        for step in [1, 7, BLOCK + 1, usize::MAX] {
            let mut blocks = Blocks::new(Slow(text.as_bytes(), step), "r.csv".as_ref(), 1 << 20);
            let mut all = Vec::new();
            loop {
                let block = blocks.next().expect("reads");
                if block.is_empty() {
                    break;
                }
                assert_eq!(block.last(), Some(&b'\n'));
                all.extend_from_slice(block);
            }
            assert_eq!(all, format!("{text}\n").into_bytes());
            assert!(blocks.next().expect("nothing").is_empty());
        }
        let mut few = Blocks::new(text.as_bytes(), "r.csv".as_ref(), 1000);
        assert!(matches!(few.next(), Err(IoError::TooLarge { limit: 1000, .. })));
    }
}
