//! Formats that can only be decoded from the start of their file: 8 and FLAC.

use std::ops::Range;

use super::flac::Flac;
use super::group::Group;
use crate::format::decode_i32;
use crate::{Format, IoError};

/// Number of samples of format 8 decoded at a time.
const CHUNK_SAMPLES: usize = 1 << 15;

/// How far a file has been decoded, and the frames that may still be requested.
#[derive(Debug)]
pub(crate) struct Sequential {
    decoder: Decoder,
    /// Number of samples decoded per signal.
    position: u64,
    /// First frame of `window`.
    start: u64,
    /// Decoded samples, frame by frame; the last frame may be incomplete.
    window: Vec<i32>,
}

#[derive(Debug)]
enum Decoder {
    /// The last value of each signal.
    Differences(Vec<i32>),
    Flac(Box<Flac>),
}

impl Decoder {
    fn new(group: &Group) -> Result<Self, IoError> {
        if group.format == Format::Diff8 {
            return Ok(Self::Differences(group.initial.clone()));
        }
        Flac::open(group).map(|flac| Self::Flac(Box::new(flac)))
    }
}

impl Sequential {
    pub fn new(group: &Group) -> Result<Self, IoError> {
        Ok(Self { decoder: Decoder::new(group)?, position: 0, start: 0, window: Vec::new() })
    }

    /// Returns decoded frames. Frames from `keep_from` on can be requested again without a restart.
    pub fn frames(
        &mut self,
        group: &Group,
        frames: Range<u64>,
        keep_from: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<&[i32], IoError> {
        let needed_from = frames.start.min(keep_from);
        if needed_from < self.start {
            *self = Self::new(group)?;
        }
        let held = (self.window.len() / group.frame) as u64;
        let behind = (needed_from - self.start).min(held);
        // Moving the remaining samples pays off only if they are the smaller part.
        if behind >= held - behind {
            self.window.drain(..behind as usize * group.frame);
            self.start = needed_from;
        }
        while self.reached(group) < frames.end {
            match &self.decoder {
                Decoder::Differences(_) => self.add_differences(group, frames.end, bytes)?,
                Decoder::Flac(_) => self.add_flac(group)?,
            }
        }
        let offset = (frames.start - self.start) as usize * group.frame;
        let len = (frames.end - frames.start) as usize * group.frame;
        Ok(&self.window[offset..offset + len])
    }

    /// Number of whole frames decoded.
    fn reached(&self, group: &Group) -> u64 {
        let after_offset = match self.decoder {
            Decoder::Differences(_) => self.position,
            Decoder::Flac(_) => self.position.saturating_sub(group.offset),
        };
        after_offset / group.per_frame[0] as u64
    }

    fn add_differences(
        &mut self,
        group: &Group,
        end: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), IoError> {
        let frame = group.frame;
        let first = self.reached(group);
        let last = end.min(first + (CHUNK_SAMPLES / frame).max(1) as u64);
        let (span, _) = group.span(first..last);
        let encoded = group.source.bytes(span.start, span.end, bytes)?;
        let from = self.window.len();
        self.window.resize(from + encoded.len(), 0);
        let decoded = &mut self.window[from..];
        decode_i32(group.format, encoded, decoded);
        if let Decoder::Differences(values) = &mut self.decoder {
            for decoded in decoded.chunks_exact_mut(frame) {
                let mut rest = decoded;
                for (value, n) in values.iter_mut().zip(&group.per_frame) {
                    let (own, others) = rest.split_at_mut(*n);
                    for sample in own {
                        *value = value.wrapping_add(*sample);
                        *sample = *value;
                    }
                    rest = others;
                }
            }
        }
        self.position = last * group.per_frame[0] as u64;
        // Samples before the needed frames are no longer required.
        let before = self.start.saturating_sub(first).min(last - first) as usize * frame;
        self.window.drain(from..from + before);
        Ok(())
    }

    fn add_flac(&mut self, group: &Group) -> Result<(), IoError> {
        let per_frame = group.per_frame[0];
        let (frame, offset) = (group.frame, group.offset);
        let Decoder::Flac(flac) = &mut self.decoder else { return Ok(()) };
        let (window, position) = (&mut self.window, self.position);
        // The first sample of the window, counted from the start of the file.
        let first = self.start.saturating_mul(per_frame as u64).saturating_add(offset);
        let decoded = flac.next_block(group, position, |channel, samples| {
            let skip = first.saturating_sub(position).min(samples.len() as u64) as usize;
            let wanted = &samples[skip..];
            if wanted.is_empty() {
                return;
            }
            let at = (position + skip as u64 - first) as usize;
            let needed = (at + wanted.len()).div_ceil(per_frame) * frame;
            if window.len() < needed {
                window.resize(needed, 0);
            }
            let start = channel * per_frame;
            if per_frame == 1 {
                let places = window[at * frame + start..].chunks_mut(frame);
                for (place, value) in places.zip(wanted) {
                    place[0] = *value;
                }
            } else {
                for (t, value) in (at..).zip(wanted) {
                    window[t / per_frame * frame + start + t % per_frame] = *value;
                }
            }
        })?;
        if decoded == 0 {
            return Err(group.truncated_flac(position + 1, position, group.source.named.clone()));
        }
        self.position += decoded;
        Ok(())
    }
}
