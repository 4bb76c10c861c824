//! Records of several segments.

use std::ops::Range;
use std::path::Path;

use super::matrix::State;
use crate::header::{Unit, header_bytes, unit_of};
use crate::signal::{Calibration, Plan, Sample, Target, beside, check_inside};
use crate::warning::Notes;
use crate::{Header, IoError, ReadOptions, SegmentSpec, SignalSpec};

/// The segments of a record, and the signals that they share.
#[derive(Debug)]
pub(super) struct Segments {
    pub signals: Vec<SignalSpec>,
    pub n_frames: u64,
    /// Those with samples or gaps, in order.
    list: Vec<Segment>,
    /// Whether signals go by their description, not by their number.
    variable: bool,
}

#[derive(Debug)]
struct Segment {
    spec: SegmentSpec,
    start: u64,
}

impl Segment {
    fn is_gap(&self) -> bool {
        self.spec.name == "~"
    }

    fn end(&self) -> u64 {
        self.start + self.spec.n_frames
    }
}

/// A segment whose files were found.
#[derive(Debug)]
pub(super) struct Opened {
    index: usize,
    header: Header,
    plan: Plan,
    /// For each signal of the record that of the segment, with its units for one unit of the record.
    signals: Vec<Option<(usize, f64)>>,
}

impl Segments {
    pub fn new(
        header: &Header,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<Self, IoError> {
        let mut start = 0_u64;
        let mut list = Vec::with_capacity(header.segments.len());
        for spec in &header.segments {
            list.push(Segment { spec: spec.clone(), start });
            start = start.checked_add(spec.n_frames).ok_or_else(|| IoError::SegmentLengths {
                path: notes.path.to_owned(),
                expected: header.n_frames.unwrap_or(0),
                found: u64::MAX,
            })?;
        }
        let variable = header.segments[0].n_frames == 0;
        let model = list.iter().find(|segment| !segment.is_gap());
        let Some(model) = model else {
            return Err(IoError::NoSamples { path: notes.path.to_owned() });
        };
        let signals = read_header_of(&model.spec, header, options, notes)?.signals;
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
        list.retain(|segment| segment.spec.n_frames > 0);
        if start == 0 {
            return Err(IoError::NoSamples { path: notes.path.to_owned() });
        }
        Ok(Self { signals, n_frames: start, list, variable })
    }

    /// Looks at the segments of a range, and refuses one of which more is missing than the files hold, or than is modest.
    pub fn check_size(
        &self,
        frames: &Range<u64>,
        per_frame: u64,
        header: &Header,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<(), IoError> {
        let (mut missing, mut there) = (0_u64, 0_u64);
        for (index, segment) in self.overlapping(frames) {
            let n = segment.end().min(frames.end) - segment.start.max(frames.start);
            let samples = n.saturating_mul(per_frame);
            if segment.is_gap() {
                missing = missing.saturating_add(samples);
            } else {
                self.open(index, header, options, notes)?;
                there = there.saturating_add(samples);
            }
        }
        let limit = options.max_null_samples.max(there);
        if missing > limit {
            let path = notes.path.to_owned();
            return Err(IoError::TooManyNullSamples { path, samples: missing, limit });
        }
        Ok(())
    }

    fn overlapping(&self, frames: &Range<u64>) -> impl Iterator<Item = (usize, &Segment)> {
        let first = self.list.partition_point(|segment| segment.end() <= frames.start);
        let end = frames.end;
        (first..).zip(&self.list[first..]).take_while(move |(_, segment)| segment.start < end)
    }

    /// Fills the targets, whose calibrations are units for one unit of the record.
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
        for (index, segment) in self.overlapping(&frames) {
            if segment.is_gap() {
                continue;
            }
            let opened = match state.segment.take() {
                Some(opened) if opened.index == index => opened,
                _ => {
                    state.forget();
                    self.open(index, header, options, notes)?
                }
            };
            let own = segment.start.max(frames.start)..segment.end().min(frames.end);
            let within = own.start - segment.start..own.end - segment.start;
            let own_targets: Vec<Target> = targets
                .iter()
                .filter_map(|(target, unit)| {
                    let (signal, scale) = opened.signals[target.signal]?;
                    let spec = &opened.header.signals[signal];
                    let before = (own.start - frames.start) as usize
                        * spec.samples_per_frame as usize
                        * target.stride;
                    Some(Target {
                        signal,
                        calibration: Calibration::new(spec, spec.gain * (scale / unit)),
                        start: target.start + before,
                        ..target.clone()
                    })
                })
                .collect();
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
            filled.map_err(|source| in_segment(&segment.spec, notes.path, source))?;
            notes.warnings.append(&mut own_notes.warnings);
            state.segment = Some(opened);
        }
        Ok(())
    }

    fn open(
        &self,
        index: usize,
        record: &Header,
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<Opened, IoError> {
        let spec = &self.list[index].spec;
        let header = read_header_of(spec, record, options, notes)?;
        let signals = self.signals_of(spec, &header, notes)?;
        let path = header.path.clone();
        let mut own = Notes::new(&path, options.strict);
        let plan = Plan::new(&header, options, &mut own)
            .map_err(|source| in_segment(spec, notes.path, source))?;
        notes.warnings.append(&mut own.warnings);
        let differs = |field, expected, found| differs(spec, notes.path, field, expected, found);
        let (expected, found) = (record.frame_rate.hz(), header.frame_rate.hz());
        // Rates are written with more or fewer digits.
        if (expected - found).abs() > 1e-6 * expected {
            return Err(differs("sampling frequency", expected, found));
        }
        if plan.n_frames != spec.n_frames {
            return Err(differs("number of samples", spec.n_frames as f64, plan.n_frames as f64));
        }
        Ok(Opened { index, header, plan, signals })
    }

    /// Which signal of a segment is which of the record.
    fn signals_of(
        &self,
        segment: &SegmentSpec,
        header: &Header,
        notes: &mut Notes<'_>,
    ) -> Result<Vec<Option<(usize, f64)>>, IoError> {
        let differs = |notes: &Notes<'_>, field, expected, found| {
            differs(segment, notes.path, field, expected, found)
        };
        if !self.variable && header.signals.len() != self.signals.len() {
            let (expected, found) = (self.signals.len() as f64, header.signals.len() as f64);
            return Err(differs(notes, "number of signals", expected, found));
        }
        let mut found = vec![None; self.signals.len()];
        for (number, spec) in header.signals.iter().enumerate() {
            let place = if self.variable {
                let same = |of: &SignalSpec| of.description.trim() == spec.description.trim();
                self.signals.iter().position(same).filter(|place| found[*place].is_none())
            } else {
                Some(number)
            };
            let Some(place) = place else {
                let message = format!(
                    "segment {:?}: {:?} is no signal of the record, ignored",
                    crate::error::clip(&segment.name),
                    crate::error::clip(&spec.description)
                );
                notes.quirk(Some(segment.line), "description", message)?;
                continue;
            };
            let of = &self.signals[place];
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
                        "segment {:?}: {:?} instead of {:?}, kept as they are",
                        crate::error::clip(&segment.name),
                        crate::error::clip(&spec.units),
                        crate::error::clip(&of.units)
                    );
                    notes.quirk(Some(segment.line), "units", message)?;
                    1.0
                }
            };
            found[place] = Some((number, scale));
        }
        Ok(found)
    }
}

/// The header of a segment, which must not have segments itself.
fn read_header_of(
    spec: &SegmentSpec,
    record: &Header,
    options: &ReadOptions,
    notes: &mut Notes<'_>,
) -> Result<Header, IoError> {
    let file = format!("{}.hea", spec.name);
    let nested = |path: &Path| {
        let (path, name) = (path.to_owned(), crate::error::clip(&spec.name));
        IoError::NestedSegment { path, line: spec.line, name }
    };
    let path = match beside(&record.path, &file, spec.line) {
        // The record itself.
        Err(_) if record.path.file_name().is_some_and(|own| own == file.as_str()) => {
            return Err(nested(notes.path));
        }
        found => found?,
    };
    let wrap = |source| in_segment(spec, &record.path, source);
    let bytes = header_bytes(&path).map_err(wrap)?;
    let linked = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    if linked && !options.allow_outside_links {
        check_inside(&record.path, &path, spec.line)?;
    }
    let mut own = Notes::new(&path, options.strict);
    let header = Header::parse_with(&bytes, &mut own).map_err(wrap)?;
    if !header.segments.is_empty() {
        return Err(nested(notes.path));
    }
    notes.warnings.append(&mut own.warnings);
    Ok(header)
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
