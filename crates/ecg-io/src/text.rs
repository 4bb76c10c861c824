//! Text files of unknown encoding, read within bounds.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::IoError;

/// Opens a regular file and returns its size; a pipe or device could block for ever.
pub(crate) fn open(path: &Path) -> Result<(File, u64), IoError> {
    let metadata = std::fs::metadata(path).map_err(IoError::read(path))?;
    if !metadata.is_file() {
        return Err(IoError::NotAFile { path: path.to_owned(), at: None });
    }
    let file = File::open(path).map_err(IoError::read(path))?;
    Ok((file, metadata.len()))
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, IoError> {
    let (file, bytes) = open(path)?;
    if bytes > limit {
        return Err(IoError::TooLarge { path: path.to_owned(), bytes, limit });
    }
    let mut content = Vec::with_capacity(bytes as usize);
    file.take(limit).read_to_end(&mut content).map_err(IoError::read(path))?;
    Ok(content)
}

/// Rejects byte order marks, UTF-16, control characters and lone carriage returns.
pub(crate) fn check_text(bytes: &[u8], path: &Path) -> Result<(), IoError> {
    let refuse = |position: usize, found: String| {
        let line = 1 + bytes[..position].iter().filter(|&&b| b == b'\n').count() as u64;
        Err(IoError::NotText { path: path.to_owned(), line, found })
    };
    if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
        return refuse(0, "a UTF-8 byte order mark".to_owned());
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return refuse(0, "a UTF-16 byte order mark".to_owned());
    }
    for (position, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\t' | b'\n' | 0x20.. => {}
            b'\r' if bytes.get(position + 1) == Some(&b'\n') => {}
            b'\r' => return refuse(position, "a lone carriage return".to_owned()),
            _ => return refuse(position, format!("byte 0x{byte:02x}")),
        }
    }
    Ok(())
}

/// Makes a text fit for one line of a file that passes [`check_text`]: each control character becomes a space.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Decodes text as UTF-8, or as Latin-1 if it is not valid UTF-8.
pub(crate) fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&b| char::from(b)).collect()),
    }
}

/// Iterates over the lines of a file with their numbers, from 1.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, Cow<'_, str>)> {
    (1..)
        .zip(bytes.split(|&b| b == b'\n'))
        .map(|(number, line)| (number, decode_text(line.strip_suffix(b"\r").unwrap_or(line))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_text_passes() {
        let path = Path::new("r.hea");
        assert!(check_text(b"r 1 500\r\nx\t16\n# \xb5V\n", path).is_ok());
        for bad in [&b"\xef\xbb\xbfr 1"[..], b"\xff\xfer\0", b"r 1\rx 16\r", b"r\0 1", b"r\x1b"] {
            assert!(matches!(check_text(bad, path), Err(IoError::NotText { line: 1, .. })));
        }
        assert!(matches!(check_text(b"a\nb\0", path), Err(IoError::NotText { line: 2, .. })));
    }

    #[test]
    fn latin_1_is_read_where_utf_8_fails() {
        let read: Vec<_> = lines(b"\xc2\xb5V\r\n\xb5V").collect();
        assert_eq!(read, [(1, "\u{b5}V".into()), (2, "\u{b5}V".into())]);
    }
}
