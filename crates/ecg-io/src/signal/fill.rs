//! Delivers samples to the requested places, a bounded number at a time.

use std::ops::Range;

use super::Plan;
use super::checksum::Sums;
use super::group::Group;
use super::sample::{Calibration, Sample};
use super::sequential::Sequential;
use crate::format::{decode_i16, decode_i32};
use crate::{Format, Header, IoError};

/// Number of samples read and decoded at a time: they stay in the processor's second-level cache.
const CHUNK_SAMPLES: usize = 1 << 16;

/// Number of samples spread over rows at a time: they stay in the first-level cache.
const TILE_SAMPLES: usize = 1 << 13;

/// A requested signal and the destination of its samples: sample `t` of the range goes to
/// `outs[out][start + t * stride]`.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub signal: usize,
    pub calibration: Calibration,
    /// Number of samples by which it is delayed in the file, if that is to be corrected; otherwise 0.
    pub skew: u32,
    pub out: usize,
    pub start: usize,
    pub stride: usize,
}

/// Buffers and the decoding state of each file, kept from one call to the next.
#[derive(Debug, Default)]
pub(crate) struct Io {
    bytes: Vec<u8>,
    narrow: Vec<i16>,
    wide: Vec<i32>,
    /// For each group, the sums of the samples read, provided these were read from the start of the record.
    pub sums: Vec<Sums>,
    sequential: Vec<Option<Sequential>>,
}

impl Io {
    /// Forgets everything about a record but keeps the buffers.
    pub fn clear(&mut self) {
        self.sums.iter_mut().for_each(Sums::clear);
        self.sequential.clear();
    }
}

impl Plan {
    /// Fills the targets with the samples of `frames`.
    ///
    /// Later calls may request frames from `keep_from` on without restarting a format that is decoded from the start.
    pub fn fill<T: Sample>(
        &self,
        header: &Header,
        frames: Range<u64>,
        keep_from: u64,
        targets: &[Target],
        outs: &mut [&mut [T]],
        io: &mut Io,
    ) -> Result<(), IoError> {
        for target in targets {
            let spec = &header.signals[target.signal];
            if spec.format == Format::Null || target.skew > 0 {
                let n = (frames.end - frames.start) as usize * spec.samples_per_frame as usize;
                let column = outs[target.out][target.start..].iter_mut();
                column.step_by(target.stride).take(n).for_each(|out| *out = T::MISSING);
            }
        }
        io.sums.resize_with(self.groups.len(), Sums::default);
        io.sequential.resize_with(self.groups.len(), || None);
        for (index, group) in self.groups.iter().enumerate() {
            let own: Vec<&Target> =
                targets.iter().filter(|t| group.signals.contains(&t.signal)).collect();
            if own.is_empty() {
                continue;
            }
            let skews: Vec<(u64, u64)> = own
                .iter()
                .filter(|target| target.skew > 0)
                .map(|target| {
                    let spec = &header.signals[target.signal];
                    (target.skew.into(), spec.samples_per_frame.into())
                })
                .collect();
            let mut filling = Filling {
                group,
                header,
                matrix: is_matrix(group, &own, outs, &frames) && skews.is_empty(),
                spans: spans(&frames, &skews, self.n_frames),
                frames: frames.clone(),
                targets: own,
                outs,
                sums: &mut io.sums[index],
            };
            if group.format.is_narrow() {
                filling.narrow(&mut io.bytes, &mut io.narrow)?;
            } else if matches!(group.format, Format::I24 | Format::I32) {
                filling.wide(&mut io.bytes, &mut io.wide)?;
            } else {
                let state = match &mut io.sequential[index] {
                    Some(state) => state,
                    none => none.insert(Sequential::new(group)?),
                };
                filling.sequential(state, keep_from, &mut io.bytes)?;
            }
        }
        Ok(())
    }
}

/// Returns whether the targets cover all of `outs[0]`, in the order of the file.
fn is_matrix<T>(
    group: &Group,
    targets: &[&Target],
    outs: &[&mut [T]],
    frames: &Range<u64>,
) -> bool {
    targets.len() == group.frame
        && group.per_frame.len() == group.frame
        && targets.iter().enumerate().all(|(place, target)| {
            target.signal == group.signals.start + place
                && (target.out, target.start, target.stride) == (0, place, group.frame)
        })
        && outs[0].len() as u64 == (frames.end - frames.start) * group.frame as u64
}

/// Returns the frames that hold the samples of `frames`, in order.
///
/// These are `frames` itself, whose values are summed, and for each skew (in samples, paired with the samples per
/// frame) the frames in which the delayed samples are stored.
fn spans(frames: &Range<u64>, skews: &[(u64, u64)], n_frames: u64) -> Vec<Range<u64>> {
    let late = skews.iter().map(|(skew, per_frame)| {
        let start = frames.start.saturating_add(skew / per_frame);
        let end = frames.end.saturating_add(skew.div_ceil(*per_frame)).min(n_frames);
        start.min(end)..end
    });
    let mut all: Vec<Range<u64>> = late.collect();
    all.sort_by_key(|span| span.start);
    let mut spans = vec![frames.clone()];
    for span in all {
        match spans.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => spans.push(span),
        }
    }
    spans
}

/// The work on one file.
struct Filling<'a, 'b, T> {
    group: &'a Group,
    header: &'a Header,
    targets: Vec<&'a Target>,
    frames: Range<u64>,
    /// Frames of the file to decode.
    spans: Vec<Range<u64>>,
    matrix: bool,
    outs: &'a mut [&'b mut [T]],
    sums: &'a mut Sums,
}

impl<T: Sample> Filling<'_, '_, T> {
    /// Ranges of frames to decode at a time. Their length is a multiple of all block lengths, so that each part begins
    /// as the first does.
    fn parts(&self) -> impl Iterator<Item = Range<u64>> + use<T> {
        let most = match CHUNK_SAMPLES / self.group.frame {
            0 => 1,
            few @ 1..6 => few,
            many => many / 6 * 6,
        } as u64;
        self.spans.clone().into_iter().flat_map(move |span| {
            let starts = span.clone().step_by(most as usize);
            starts.map(move |start| start..(start + most).min(span.end))
        })
    }

    fn narrow(&mut self, bytes: &mut Vec<u8>, buffer: &mut Vec<i16>) -> Result<(), IoError> {
        let group = self.group;
        for part in self.parts() {
            let n = (part.end - part.start) as usize * group.frame;
            let (span, skip) = group.span(part.clone());
            let encoded = group.source.bytes(span.start, span.end, bytes)?;
            if self.matrix && skip == 0 {
                let place = (part.start - self.frames.start) as usize * group.frame;
                if let Some(out) = T::as_i16(&mut self.outs[0][place..place + n]) {
                    decode_i16(group.format, encoded, out);
                    self.sums.add(out, group.frame, |v| v as u16);
                    continue;
                }
            }
            if buffer.len() < n + skip {
                buffer.resize(n + skip, 0);
            }
            decode_i16(group.format, encoded, &mut buffer[..n + skip]);
            self.deliver(&buffer[skip..n + skip], part, |v| v as u16);
        }
        Ok(())
    }

    fn wide(&mut self, bytes: &mut Vec<u8>, buffer: &mut Vec<i32>) -> Result<(), IoError> {
        let group = self.group;
        for part in self.parts() {
            let n = (part.end - part.start) as usize * group.frame;
            // Blocks of these formats are single samples.
            let (span, _) = group.span(part.clone());
            let encoded = group.source.bytes(span.start, span.end, bytes)?;
            if self.matrix {
                let place = (part.start - self.frames.start) as usize * group.frame;
                if let Some(out) = T::as_i32(&mut self.outs[0][place..place + n]) {
                    decode_i32(group.format, encoded, out);
                    self.sums.add(out, group.frame, |v| v as u16);
                    continue;
                }
            }
            if buffer.len() < n {
                buffer.resize(n, 0);
            }
            decode_i32(group.format, encoded, &mut buffer[..n]);
            self.deliver(&buffer[..n], part, |v| v as u16);
        }
        Ok(())
    }

    fn sequential(
        &mut self,
        state: &mut Sequential,
        keep_from: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), IoError> {
        for part in self.parts() {
            let group = self.group;
            let samples = state.frames(group, part.clone(), keep_from, bytes)?;
            if T::NARROW && group.format == Format::Diff8 {
                self.check_narrow(samples, part.start)?;
            }
            self.deliver(samples, part, |v| v as u16);
        }
        Ok(())
    }

    /// Rejects samples of the targets that do not fit 16 bits, in frames from `first` on.
    fn check_narrow(&self, samples: &[i32], first: u64) -> Result<(), IoError> {
        let group = self.group;
        for (frame, values) in (first..).zip(samples.chunks_exact(group.frame)) {
            for target in &self.targets {
                let signal = target.signal;
                let place = signal - group.signals.start;
                let own = &values[group.starts[place]..][..group.per_frame[place]];
                if let Some(&found) = own.iter().find(|v| i16::try_from(**v).is_err()) {
                    let path = group.source.path.clone();
                    let lead = crate::error::clip(&self.header.signals[signal].name(signal));
                    return Err(IoError::WideSample { path, signal, lead, frame, found });
                }
            }
        }
        Ok(())
    }

    /// Sums the samples of whole frames and distributes them to the targets.
    fn deliver<V: Copy + Into<i32>>(
        &mut self,
        samples: &[V],
        part: Range<u64>,
        low_bits: impl Fn(V) -> u16,
    ) {
        let frame = self.group.frame;
        let asked = self.frames.end.saturating_sub(part.start).min(part.end - part.start) as usize;
        self.sums.add(&samples[..asked * frame], frame, low_bits);
        if self.matrix {
            let place = (part.start - self.frames.start) as usize * frame;
            let out = &mut self.outs[0][place..place + samples.len()];
            convert_matrix(samples, &self.targets, out);
            return;
        }
        let tile = (TILE_SAMPLES / frame).max(1);
        for (index, samples) in samples.chunks(tile * frame).enumerate() {
            let first = part.start + (index * tile) as u64;
            for target in &self.targets {
                let place = target.signal - self.group.signals.start;
                let n = self.group.per_frame[place];
                let spread = Spread {
                    frame,
                    offset: self.group.starts[place],
                    n,
                    asked: self.frames.start * n as u64..self.frames.end * n as u64,
                    skew: target.skew.into(),
                };
                spread.run(samples, first, target, self.outs[target.out]);
            }
        }
    }
}

/// Converts samples that keep their positions.
fn convert_matrix<V: Copy + Into<i32>, T: Sample>(
    samples: &[V],
    targets: &[&Target],
    out: &mut [T],
) {
    let calibrations: Vec<Calibration> = targets.iter().map(|t| t.calibration).collect();
    if let [one, rest @ ..] = &calibrations[..]
        && rest.iter().all(|other| other.same_as(one))
    {
        for (out, sample) in out.iter_mut().zip(samples) {
            *out = T::convert((*sample).into(), one);
        }
        return;
    }
    let n = calibrations.len();
    for (out, samples) in out.chunks_exact_mut(n).zip(samples.chunks_exact(n)) {
        for ((out, sample), calibration) in out.iter_mut().zip(samples).zip(&calibrations) {
            *out = T::convert((*sample).into(), calibration);
        }
    }
}

/// How the samples of one signal are picked from frames.
struct Spread {
    /// Number of samples in a frame, of all signals.
    frame: usize,
    /// Position and number of the signal's samples in a frame.
    offset: usize,
    n: usize,
    /// The requested samples of the signal.
    asked: Range<u64>,
    /// Number of samples by which they are delayed in the file.
    skew: u64,
}

impl Spread {
    fn run<V: Copy + Into<i32>, T: Sample>(
        &self,
        samples: &[V],
        first_frame: u64,
        target: &Target,
        out: &mut [T],
    ) {
        let first = first_frame * self.n as u64;
        let after = first + (samples.len() / self.frame * self.n) as u64;
        // Positions in the file, which include the skew.
        let from = first.max(self.asked.start + self.skew);
        let to = after.min(self.asked.end + self.skew);
        if from >= to {
            return;
        }
        let count = (to - from) as usize;
        let place = (from - self.skew - self.asked.start) as usize;
        let out = &mut out[target.start + place * target.stride..];
        let local = (from - first) as usize;
        let calibration = target.calibration;
        let convert = |sample: V| T::convert(sample.into(), &calibration);
        if self.n == 1 {
            let column = samples[local * self.frame + self.offset..].chunks(self.frame);
            if target.stride == 1 {
                for (out, frame) in out[..count].iter_mut().zip(column) {
                    *out = convert(frame[0]);
                }
            } else {
                for (out, frame) in out.chunks_mut(target.stride).take(count).zip(column) {
                    out[0] = convert(frame[0]);
                }
            }
            return;
        }
        let mut out = out.chunks_mut(target.stride);
        let mut done = 0;
        while done < count {
            let (frame, within) = ((local + done) / self.n, (local + done) % self.n);
            let run = (self.n - within).min(count - done);
            let at = frame * self.frame + self.offset + within;
            for (sample, out) in samples[at..at + run].iter().zip(out.by_ref()) {
                out[0] = convert(*sample);
            }
            done += run;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::spans;

    #[test]
    fn late_samples_cost_no_more_the_later_they_are() {
        let of = |frames, skews: &[(u64, u64)]| -> Vec<(u64, u64)> {
            spans(&frames, skews, 1000).iter().map(|span| (span.start, span.end)).collect()
        };
        assert_eq!(of(5..9, &[]), [(5, 9)]);
        // Some whole frames later, and part of a frame later.
        assert_eq!(of(5..9, &[(500, 1), (3, 2), (502, 1)]), [(5, 11), (505, 511)]);
        // None extends beyond the end of the record.
        assert_eq!(of(5..9, &[(993, 1)]), [(5, 9), (998, 1000)]);
        assert_eq!(of(5..9, &[(4000, 4)]), [(5, 9), (1000, 1000)]);
        assert_eq!(of(996..1000, &[(2, 1), (u64::MAX, 1)]), [(996, 1000)]);
    }
}
