//! Signal files mapped into memory. This is the only place in the crate that needs `unsafe`; it is compiled only with
//! the feature `mmap` and used only on request.
//!
//! Reading a mapped file once from its start takes longer than positioned reads (half as long again for a long record
//! in format 212, see `examples/read_speed.rs`: its pages are mapped one by one). Mapping is meant for reading the same
//! parts over and over.
#![allow(unsafe_code)]

use std::path::Path;

use memmap2::Mmap;

use super::source::open;
use crate::IoError;

/// Maps a whole file.
pub(super) fn map(path: &Path) -> Result<Mmap, IoError> {
    let file = open(path)?;
    // SAFETY: the bytes are only read, and any byte values are valid. That nobody changes or truncates the file
    // meanwhile cannot be ensured here: the caller who requests a mapping takes responsibility for that, as the
    // option's documentation says.
    unsafe { Mmap::map(&file) }.map_err(IoError::read(path))
}
