//! Signal files mapped into memory: the one place of this crate that needs `unsafe`, built with the feature `mmap` alone and
//! used on request alone.
//!
//! Read once from its start, a mapped file takes longer than positioned reads (by half for a long record in format 212, see
//! `examples/read_speed.rs`: its pages are mapped one by one). It is there for those who read the same parts over and over.
#![allow(unsafe_code)]

use std::path::Path;

use memmap2::Mmap;

use super::source::open;
use crate::IoError;

/// Maps a whole file.
pub(super) fn map(path: &Path) -> Result<Mmap, IoError> {
    let file = open(path)?;
    // SAFETY: the bytes are only read, and any bytes are valid. That nobody changes or shortens the file meanwhile cannot
    // be ensured here: whoever asks for a mapping takes that on, as the option's documentation says.
    unsafe { Mmap::map(&file) }.map_err(IoError::read(path))
}
