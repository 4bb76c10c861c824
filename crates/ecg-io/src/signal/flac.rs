//! FLAC signal files (formats 508, 516, 524): one channel for each signal.

use std::fs::File;
use std::path::Path;

use claxon::{FlacReader, FlacReaderOptions};

use super::group::Group;
use crate::IoError;

/// A FLAC file that is decoded from its start.
pub(crate) struct Flac {
    reader: FlacReader<File>,
    /// Reused for each block.
    buffer: Vec<i32>,
    channels: u32,
    bits: u32,
}

impl std::fmt::Debug for Flac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flac").field("channels", &self.channels).finish_non_exhaustive()
    }
}

impl Flac {
    /// Samples per byte above which a file is decoded before its stated length is believed.
    pub const USUAL_SAMPLES_PER_BYTE: u64 = 8;

    /// Samples per byte above which a file is rejected, unless [`crate::ReadOptions::max_packed_samples`] allows more.
    pub const MOST_SAMPLES_PER_BYTE: u64 = 100;

    pub fn open(group: &Group) -> Result<Self, IoError> {
        let file = group.source.open()?;
        let options = FlacReaderOptions { metadata_only: false, read_vorbis_comment: false };
        let reader = FlacReader::new_ext(file, options).map_err(failed(group, 0))?;
        let info = reader.streaminfo();
        let (channels, bits) = (info.channels, info.bits_per_sample);
        Ok(Self { reader, buffer: Vec::new(), channels, bits })
    }

    /// Compares a file with the header's lines. Returns the number of samples per channel, if the file states it.
    pub fn inspect(group: &Group, header: &Path, line: u64) -> Result<Option<u64>, IoError> {
        let differs = |field, expected: u64, found: u64| {
            let (path, file) = (header.to_owned(), group.source.path.clone());
            Err(IoError::FlacDiffers { path, line, file, field, expected, found })
        };
        let samples_per_frame = group.per_frame[0];
        if let Some(other) = group.per_frame.iter().find(|n| **n != samples_per_frame) {
            return differs("samples per frame", samples_per_frame as u64, *other as u64);
        }
        let flac = Self::open(group)?;
        if flac.channels as usize != group.per_frame.len() {
            return differs("channels", group.per_frame.len() as u64, flac.channels.into());
        }
        if flac.bits > group.format.resolution_bits() {
            return differs("bits", group.format.resolution_bits().into(), flac.bits.into());
        }
        Ok(flac.reader.streaminfo().samples)
    }

    /// Counts the samples of each channel, up to `enough`.
    pub fn count(group: &Group, enough: u64) -> Result<u64, IoError> {
        let mut flac = Self::open(group)?;
        let mut samples = 0;
        while samples < enough {
            match flac.next_block(group, samples, |_, _| ())? {
                0 => break,
                more => samples += more,
            }
        }
        Ok(samples)
    }

    /// Decodes the next block and passes on the samples of each channel. Returns the number of samples per channel, 0
    /// at the end.
    pub fn next_block(
        &mut self,
        group: &Group,
        position: u64,
        mut take: impl FnMut(usize, &[i32]),
    ) -> Result<u64, IoError> {
        let failed = || failed(group, position);
        let buffer = std::mem::take(&mut self.buffer);
        let block = self.reader.blocks().read_next_or_eof(buffer).map_err(failed())?;
        let Some(block) = block else { return Ok(0) };
        if block.channels() != self.channels || block.duration() == 0 {
            return Err(failed()(claxon::Error::FormatError("the number of channels changes")));
        }
        let lowest = i32::MIN >> (32 - self.bits.clamp(1, 32));
        let range = lowest..=!lowest;
        for channel in 0..self.channels {
            let samples = block.channel(channel);
            if samples.iter().any(|value| !range.contains(value)) {
                let error =
                    claxon::Error::FormatError("a sample has more bits than the file states");
                return Err(failed()(error));
            }
            take(channel as usize, samples);
        }
        let len = block.duration().into();
        self.buffer = block.into_buffer();
        Ok(len)
    }
}

fn failed(group: &Group, sample: u64) -> impl FnOnce(claxon::Error) -> IoError + '_ {
    move |source| IoError::Flac {
        path: group.source.path.clone(),
        sample,
        source: Box::new(source),
    }
}
