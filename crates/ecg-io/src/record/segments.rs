//! Multi-segment records.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::matrix::State;
use super::recording::unusable_gain;
use crate::error::Place;
use crate::header::{MAX_HEADER_BYTES, Unit, header_bytes, is_readable_gain, unit_of};
use crate::signal::{Calibration, Plan, Sample, Target, beside, find_below};
use crate::warning::Notes;
use crate::{Format, Header, IoError, ReadOptions, SegmentSpec, SignalSpec};

/// The segments of a record and their common signals.
#[derive(Debug)]
pub(super) struct Segments {
    pub signals: Vec<SignalSpec>,
    pub n_frames: u64,
    /// Segments with samples or gaps, in order.
    list: Vec<Segment>,
    /// In a variable layout, where signals are matched by description: the numbers of the signals with each
    /// description.
    by_description: Option<HashMap<String, Vec<usize>>>,
    cache: Mutex<Cache>,
}

#[derive(Debug)]
struct Segment {
    spec: SegmentSpec,
    start: u64,
    /// Number of its name: equal for repeated segments.
    name: usize,
}

impl Segment {
    fn is_gap(&self) -> bool {
        self.spec.name == "~"
    }

    fn end(&self) -> u64 {
        self.start + self.spec.n_frames
    }
}

/// A segment whose files have been found.
#[derive(Debug)]
struct Opened {
    header: Header,
    plan: Plan,
    /// For each signal found: its number in the record, its number in the segment, and its units in the segment per
    /// unit of the record. Sorted by the number in the record.
    signals: Vec<(usize, usize, f64)>,
}

/// The segment being read. Its files are closed at the end, because a record may have more segments than files can be
/// open.
#[derive(Debug)]
pub(super) struct Current {
    index: usize,
    opened: Arc<Opened>,
}

impl Drop for Current {
    fn drop(&mut self) {
        self.opened.plan.close();
    }
}

/// The segments opened so far.
#[derive(Debug, Default)]
struct Cache {
    /// By the number of their name.
    opened: HashMap<usize, Arc<Opened>>,
    /// Total size of their headers.
    header_bytes: u64,
}

impl Segments {
    pub fn new(
        header: &Header,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<Self, IoError> {
        let mut start = 0_u64;
        let mut list = Vec::with_capacity(header.segments.len());
        let mut names = HashMap::new();
        for spec in &header.segments {
            let next = names.len();
            let name = *names.entry(spec.name.as_str()).or_insert(next);
            list.push(Segment { spec: spec.clone(), start, name });
            start = start.checked_add(spec.n_frames).ok_or_else(|| IoError::SegmentLengths {
                path: notes.path.to_owned(),
                line: header.line,
                expected: header.n_frames.unwrap_or(0),
                found: u64::MAX,
            })?;
        }
        let no_samples = |field, found| IoError::NoSamples {
            path: header.path.clone(),
            at: Some(Place::new(&header.path, header.line, field)),
            found,
            expected: "a segment with samples",
        };
        let variable = header.segments[0].n_frames == 0;
        let model = list.iter().find(|segment| !segment.is_gap());
        let Some(model) = model else {
            return Err(no_samples("number of segments", format!("{} gaps", list.len())));
        };
        let (signals, _) = read_header_of(&model.spec, header, 0, options, notes)?;
        let signals = signals.signals;
        if signals.len() != header.n_signals {
            return Err(IoError::SegmentDiffers {
                path: notes.path.to_owned(),
                line: model.spec.line,
                name: crate::error::clip(&model.spec.name),
                field: "number of signals",
                expected: header.n_signals as f64,
                found: signals.len() as f64,
            });
        }
        if signals.is_empty() {
            return Err(no_samples("number of signals", "0".to_owned()));
        }
        // No file has yet shown whether there are so many.
        let samples = signals.iter().map(|spec| u64::from(spec.samples_per_frame)).sum();
        if samples > options.max_null_samples {
            return Err(IoError::TooManyNullSamples {
                path: notes.path.to_owned(),
                line: model.spec.line,
                field: "samples per frame",
                samples,
                limit: options.max_null_samples,
                in_blocks: false,
            });
        }
        list.retain(|segment| segment.spec.n_frames > 0);
        if start == 0 {
            return Err(no_samples("number of samples", "0 in all segments".to_owned()));
        }
        let mut by_description: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, spec) in signals.iter().enumerate().filter(|_| variable) {
            by_description.entry(spec.description.trim().to_owned()).or_default().push(place);
        }
        let by_description = variable.then_some(by_description);
        Ok(Self { signals, n_frames: start, list, by_description, cache: Mutex::default() })
    }

    /// Inspects the segments of a range. Fails if the samples without bytes of their own exceed both the number of
    /// samples that the files hold and the limit of the options.
    pub fn check_size(
        &self,
        frames: &Range<u64>,
        signals: &[usize],
        header: &Header,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<(), IoError> {
        // Number of samples requested of each signal in a frame.
        let mut wanted = vec![0_u64; self.signals.len()];
        for signal in signals {
            wanted[*signal] += u64::from(self.signals[*signal].samples_per_frame);
        }
        let all: u64 = wanted.iter().sum();
        let mut of_name: HashMap<usize, (u64, u64)> = HashMap::new();
        let mut files: HashMap<(u64, u64), u64> = HashMap::new();
        let (mut there, mut missing) = (0_u64, 0_u64);
        let (mut used, mut most) = (0_u64, (0, header.line));
        for segment in self.overlapping(frames).map(|index| &self.list[index]) {
            let n = segment.end().min(frames.end) - segment.start.max(frames.start);
            let mut present = 0;
            if !segment.is_gap() {
                let opened = self.open(segment, header, options, notes)?;
                let (samples, bytes) = *of_name.entry(segment.name).or_insert_with(|| {
                    let held = opened.signals.iter().filter(|(_, number, _)| {
                        opened.header.signals[*number].format != Format::Null
                    });
                    let samples = held.map(|(place, ..)| wanted[*place]).sum();
                    let mut bytes = 0_u64;
                    for (file, size, used) in opened.plan.files() {
                        files.insert(file, size);
                        bytes = bytes.saturating_add(used);
                    }
                    (samples, bytes)
                });
                present = samples;
                used = used.saturating_add(bytes);
            }
            there = there.saturating_add(n.saturating_mul(present));
            let lacks = n.saturating_mul(all - present);
            missing = missing.saturating_add(lacks);
            most = most.max((lacks, segment.spec.line));
        }
        // The same bytes may be read repeatedly; then the files hold only a part of the samples.
        let held_bytes = files.values().fold(0_u64, |sum, size| sum.saturating_add(*size));
        let held = match used > held_bytes {
            true => (u128::from(there) * u128::from(held_bytes) / u128::from(used)) as u64,
            false => there,
        };
        let samples = missing.saturating_add(there - held);
        let limit = options.max_null_samples.max(held);
        if samples > limit {
            return Err(IoError::TooManyNullSamples {
                path: notes.path.to_owned(),
                line: most.1,
                field: "segment length",
                samples,
                limit,
                in_blocks: true,
            });
        }
        Ok(())
    }

    /// Numbers of the segments that overlap the frames.
    fn overlapping(&self, frames: &Range<u64>) -> Range<usize> {
        let first = self.list.partition_point(|segment| segment.end() <= frames.start);
        let more = self.list[first..].partition_point(|segment| segment.start < frames.end);
        first..first + more
    }

    /// Fills the targets, each given with the requested units per unit of the record.
    #[allow(clippy::too_many_arguments, reason = "those of a plain record, and the record itself")]
    pub fn fill<T: Sample>(
        &self,
        header: &Header,
        options: &ReadOptions,
        frames: Range<u64>,
        keep_from: u64,
        targets: &[(Target, f64)],
        outs: &mut [&mut [T]],
        state: &mut State,
        notes: &mut Notes<'_>,
    ) -> Result<(), IoError> {
        for (target, _) in targets {
            let per_frame = self.signals[target.signal].samples_per_frame as usize;
            let n = (frames.end - frames.start) as usize * per_frame;
            let column = outs[target.out][target.start..].iter_mut();
            column.step_by(target.stride).take(n).for_each(|out| *out = T::MISSING);
        }
        for index in self.overlapping(&frames) {
            let segment = &self.list[index];
            if segment.is_gap() {
                continue;
            }
            let current = match state.segment.take() {
                Some(current) if current.index == index => current,
                before => {
                    state.forget();
                    let opened = self.open(segment, header, options, notes)?;
                    match before {
                        // The same files, from their start.
                        Some(same) if Arc::ptr_eq(&same.opened, &opened) => {
                            let mut same = same;
                            same.index = index;
                            same
                        }
                        _ => Current { index, opened },
                    }
                }
            };
            let opened = &current.opened;
            let own = segment.start.max(frames.start)..segment.end().min(frames.end);
            let within = own.start - segment.start..own.end - segment.start;
            let own_targets = targets
                .iter()
                .filter_map(|(target, unit)| {
                    let found = opened.signals.binary_search_by_key(&target.signal, |own| own.0);
                    let (_, signal, scale) = opened.signals[found.ok()?];
                    let spec = &opened.header.signals[signal];
                    let before = (own.start - frames.start) as usize
                        * spec.samples_per_frame as usize
                        * target.stride;
                    let gain = spec.gain * (scale / unit);
                    if !is_readable_gain(gain) {
                        return Some(Err(unusable_gain(&opened.header.path, spec)));
                    }
                    Some(Ok(Target {
                        signal,
                        calibration: Calibration::new(spec, gain),
                        skew: spec.skew,
                        start: target.start + before,
                        ..target.clone()
                    }))
                })
                .collect::<Result<Vec<Target>, _>>()
                .map_err(|source| in_segment(&segment.spec, notes.path, source))?;
            let path = opened.header.path.clone();
            let mut own_notes = Notes::new(&path, options.strict);
            let keep_from = keep_from.saturating_sub(segment.start);
            let filled = state.fill_plan(
                &opened.plan,
                &opened.header,
                options,
                within,
                keep_from,
                &own_targets,
                outs,
                &mut own_notes,
            );
            notes.take(own_notes);
            filled.map_err(|source| in_segment(&segment.spec, notes.path, source))?;
            state.segment = Some(current);
        }
        Ok(())
    }

    /// Finds the files of a segment, once for all segments with the same name.
    fn open(
        &self,
        segment: &Segment,
        record: &Header,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<Arc<Opened>, IoError> {
        let spec = &segment.spec;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match cache.opened.get(&segment.name) {
            Some(opened) => opened.clone(),
            None => {
                let (header, bytes) =
                    read_header_of(spec, record, cache.header_bytes, options, notes)?;
                let opened = Arc::new(self.open_files(spec, header, record, options, notes)?);
                cache.header_bytes += bytes;
                cache.opened.insert(segment.name, opened.clone());
                opened
            }
        };
        let found = opened.plan.n_frames;
        if found != spec.n_frames {
            let expected = spec.n_frames as f64;
            return Err(differs(spec, notes.path, "number of samples", expected, found as f64));
        }
        Ok(opened)
    }

    fn open_files(
        &self,
        spec: &SegmentSpec,
        header: Header,
        record: &Header,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<Opened, IoError> {
        let signals = self.signals_of(spec, &header, notes)?;
        let mut own = Notes::new(&header.path, options.strict);
        // A file may be padded, so the length that the record states counts more than its size.
        let n_frames = header.n_frames.unwrap_or(spec.n_frames);
        let plan = Plan::new(&header, Some(n_frames), &record.path, options, &mut own)
            .map_err(|source| in_segment(spec, notes.path, source))?;
        notes.take(own);
        let (expected, found) = (record.frame_rate.hz(), header.frame_rate.hz());
        // Rates may be written with more or fewer digits.
        if (expected - found).abs() > 1e-6 * expected {
            return Err(differs(spec, notes.path, "sampling frequency", expected, found));
        }
        Ok(Opened { header, plan, signals })
    }

    /// Matches the signals of a segment to those of the record.
    fn signals_of(
        &self,
        segment: &SegmentSpec,
        header: &Header,
        notes: &mut Notes<'_>,
    ) -> Result<Vec<(usize, usize, f64)>, IoError> {
        let differs = |notes: &Notes<'_>, field, expected, found| {
            differs(segment, notes.path, field, expected, found)
        };
        if self.by_description.is_none() && header.signals.len() != self.signals.len() {
            let (expected, found) = (self.signals.len() as f64, header.signals.len() as f64);
            return Err(differs(notes, "number of signals", expected, found));
        }
        let mut found = Vec::with_capacity(header.signals.len());
        // Signals with the same description are matched in order.
        let mut taken: HashMap<&str, usize> = HashMap::new();
        for (number, spec) in header.signals.iter().enumerate() {
            let place = match &self.by_description {
                Some(places) => {
                    let description = spec.description.trim();
                    let next = taken.entry(description).or_default();
                    *next += 1;
                    places.get(description).and_then(|places| places.get(*next - 1)).copied()
                }
                None => Some(number),
            };
            let Some(place) = place else {
                let message = format!(
                    "segment {:?}: {:?} is not a signal of the record, ignored",
                    crate::error::clip(&segment.name),
                    crate::error::clip(&spec.description)
                );
                notes.quirk(Some(segment.line), "description", message)?;
                continue;
            };
            let of = &self.signals[place];
            // In a variable layout, they are the same.
            let [expected, own] = [of, spec].map(|signal| signal.description.trim());
            if !expected.is_empty() && !own.is_empty() && !own.eq_ignore_ascii_case(expected) {
                let message = format!(
                    "segment {:?}: {:?} instead of {:?}, joined by position",
                    crate::error::clip(&segment.name),
                    crate::error::clip(own),
                    crate::error::clip(expected)
                );
                notes.quirk(Some(segment.line), "description", message)?;
            }
            if of.samples_per_frame != spec.samples_per_frame {
                let (expected, found) =
                    (of.samples_per_frame.into(), spec.samples_per_frame.into());
                return Err(differs(notes, "samples per frame", expected, found));
            }
            let scale = match (unit_of(&of.units), unit_of(&spec.units)) {
                _ if of.units == spec.units => 1.0,
                (Unit::Voltage { mv: of, .. }, Unit::Voltage { mv, .. }) => of / mv,
                _ => {
                    let message = format!(
                        "segment {:?}: {:?} instead of {:?}, not converted",
                        crate::error::clip(&segment.name),
                        crate::error::clip(&spec.units),
                        crate::error::clip(&of.units)
                    );
                    notes.quirk(Some(segment.line), "units", message)?;
                    1.0
                }
            };
            found.push((place, number, scale));
        }
        found.sort_unstable_by_key(|(place, ..)| *place);
        Ok(found)
    }
}

/// Reads the header of a segment, which must not have segments itself, and returns it with its size. `before` is the
/// total size of the headers before it.
fn read_header_of(
    spec: &SegmentSpec,
    record: &Header,
    before: u64,
    options: &ReadOptions,
    notes: &mut Notes<'_>,
) -> Result<(Header, u64), IoError> {
    let file = format!("{}.hea", spec.name);
    let nested = |path: &Path| {
        let (path, name) = (path.to_owned(), crate::error::clip(&spec.name));
        IoError::NestedSegment { path, line: spec.line, name }
    };
    let path = match beside(&record.path, &file, spec.line) {
        // The name is that of the record itself.
        Err(_) if record.path.file_name().is_some_and(|own| own == file.as_str()) => {
            return Err(nested(notes.path));
        }
        found => found?,
    };
    let wrap = |source| in_segment(spec, &record.path, source);
    let metadata = match find_below(&record.path, &path, &record.path, spec.line, options) {
        Err(outside @ IoError::UnsafeName { .. }) => return Err(outside),
        found => found.map_err(wrap)?,
    };
    let bytes = before.saturating_add(metadata.len());
    if before > 0 && bytes > MAX_HEADER_BYTES {
        let (path, limit) = (record.path.clone(), MAX_HEADER_BYTES);
        return Err(IoError::SegmentHeaders { path, line: spec.line, bytes, limit });
    }
    let bytes = header_bytes(&path).map_err(wrap)?;
    let mut own = Notes::new(&path, options.strict);
    let header = Header::parse_with(&bytes, &mut own).map_err(wrap)?;
    if !header.segments.is_empty() {
        return Err(nested(notes.path));
    }
    notes.take(own);
    Ok((header, bytes.len() as u64))
}

fn in_segment(spec: &SegmentSpec, record: &Path, source: IoError) -> IoError {
    IoError::Segment {
        path: record.to_owned(),
        line: spec.line,
        name: crate::error::clip(&spec.name),
        source: Box::new(source),
    }
}

fn differs(
    spec: &SegmentSpec,
    record: &Path,
    field: &'static str,
    expected: f64,
    found: f64,
) -> IoError {
    let (path, name) = (record.to_owned(), crate::error::clip(&spec.name));
    IoError::SegmentDiffers { path, line: spec.line, name, field, expected, found }
}
