//! Reads the samples of a selection.

use std::ops::Range;

use ndarray::Array2;

use super::segments::Current;
use super::{Body, Record, Selection};
use crate::signal::{Calibration, Io, Plan, Sample, Target};
use crate::warning::Notes;
use crate::{Header, IoError, ReadOptions, SignalSpec};

/// Number of samples, of all signals together, that are averaged at a time.
const AVERAGED_SAMPLES: u64 = 1 << 16;

/// Reusable buffers for reading one record after another.
#[derive(Debug, Default)]
pub struct Scratch(pub(super) State);

/// Buffers and the decoding state of a record.
#[derive(Debug, Default)]
pub(super) struct State {
    io: Io,
    pub segment: Option<Current>,
    /// The frame up to which all frames from the first on are summed.
    summed: u64,
}

impl State {
    /// Keeps only the buffers.
    pub fn forget(&mut self) {
        self.io.clear();
        self.segment = None;
        self.summed = u64::MAX;
    }

    /// Fills the targets from a plain record or segment, and verifies its checksums after its last frame.
    #[allow(clippy::too_many_arguments, reason = "what is read, and where it goes")]
    pub fn fill_plan<T: Sample>(
        &mut self,
        plan: &Plan,
        header: &Header,
        options: &ReadOptions,
        frames: Range<u64>,
        keep_from: u64,
        targets: &[Target],
        outs: &mut [&mut [T]],
        notes: &mut Notes<'_>,
    ) -> Result<(), IoError> {
        if frames.start == 0 {
            self.io.sums.clear();
            self.summed = 0;
        }
        let end = frames.end;
        // After an error, the sums hold some of these frames and are not compared.
        let follows = std::mem::replace(&mut self.summed, u64::MAX) == frames.start;
        plan.fill(header, frames, keep_from, targets, outs, &mut self.io)?;
        if follows {
            self.summed = end;
        }
        if self.summed == plan.n_frames {
            plan.check_sums(header, &self.io, options, notes)?;
        }
        Ok(())
    }
}

/// A selection with its defaults filled in.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub frames: Range<u64>,
    pub signals: Vec<usize>,
    pub average: bool,
}

impl Chosen {
    /// Number of samples that a signal has in each frame of the result.
    fn per_frame(&self, spec: &SignalSpec) -> usize {
        if self.average { 1 } else { spec.samples_per_frame as usize }
    }
}

impl Record {
    /// Reads one vector per signal, in the order of the selection, with all samples of each frame.
    ///
    /// Physical values are in each signal's own unit ([`SignalSpec::units`]).
    ///
    /// # Errors
    /// Fails if
    ///
    /// - the selection goes beyond the record,
    /// - stored values of a multi-segment record are requested,
    /// - `i16` is requested for wider values,
    /// - a file cannot be read, or
    /// - a checksum does not match.
    pub fn read<T: Sample>(&self, selection: &Selection) -> Result<Vec<Vec<T>>, IoError> {
        let chosen = self.choose::<T>(selection)?;
        let mut rows = Vec::with_capacity(chosen.signals.len());
        for signal in &chosen.signals {
            let per_frame = chosen.per_frame(&self.signals()[*signal]);
            let mut row = Vec::new();
            self.set_aside(&mut row, &chosen.frames, per_frame)?;
            rows.push(row);
        }
        let mut outs: Vec<&mut [T]> = rows.iter_mut().map(Vec::as_mut_slice).collect();
        let gains: Vec<f64> = chosen.signals.iter().map(|s| self.signals()[*s].gain).collect();
        let targets = self.rows(&chosen, &gains, T::PHYSICAL);
        self.fill(&chosen, &targets, &mut outs, &mut State::default(), u64::MAX)?;
        Ok(rows)
    }

    /// Reads a matrix `[sample, signal]` of signals with the same sampling rate. Physical values are in each signal's
    /// own unit ([`SignalSpec::units`]).
    ///
    /// # Errors
    /// Those of [`Record::read`]; also fails for signals with different numbers of samples per frame, unless they are
    /// averaged.
    pub fn read_matrix<T: Sample>(&self, selection: &Selection) -> Result<Array2<T>, IoError> {
        let chosen = self.choose::<T>(selection)?;
        let mut values = Vec::new();
        let samples = self.matrix(&chosen, &mut values, &mut State::default(), u64::MAX)?;
        let shape = (samples, chosen.signals.len());
        Ok(Array2::from_shape_vec(shape, values).expect("the shape that was filled"))
    }

    /// Reads a matrix `[sample, signal]` into a buffer, which is resized to fit, and returns the number of samples per
    /// signal. Physical values are in each signal's own unit ([`SignalSpec::units`]).
    ///
    /// If the buffer and scratch of the previous record are passed, nothing is allocated for the samples.
    ///
    /// # Errors
    /// Those of [`Record::read_matrix`].
    pub fn read_matrix_into<T: Sample>(
        &self,
        selection: &Selection,
        out: &mut Vec<T>,
        scratch: &mut Scratch,
    ) -> Result<usize, IoError> {
        let chosen = self.choose::<T>(selection)?;
        scratch.0.forget();
        self.matrix(&chosen, out, &mut scratch.0, u64::MAX)
    }

    /// Reads a matrix `[sample, signal]`; later calls may continue from frame `keep_from`.
    pub(super) fn matrix<T: Sample>(
        &self,
        chosen: &Chosen,
        out: &mut Vec<T>,
        state: &mut State,
        keep_from: u64,
    ) -> Result<usize, IoError> {
        let per_frame = |signal: &usize| chosen.per_frame(&self.signals()[*signal]);
        let n = chosen.signals.first().map_or(1, per_frame);
        if let Some(other) = chosen.signals.iter().find(|signal| per_frame(signal) != n) {
            return Err(IoError::DifferentRates {
                path: self.header.path.clone(),
                line: self.signals()[*other].line,
                expected: n,
                found: per_frame(other),
            });
        }
        let signals = chosen.signals.len();
        self.set_aside(out, &chosen.frames, n.saturating_mul(signals))?;
        let samples = (chosen.frames.end - chosen.frames.start) as usize * n;
        let targets: Vec<(Target, f64)> = chosen
            .signals
            .iter()
            .enumerate()
            .map(|(column, &signal)| {
                let gain = self.signals()[signal].gain;
                self.target(signal, gain, T::PHYSICAL, 0, column, signals)
            })
            .collect();
        self.fill(chosen, &targets, &mut [out], state, keep_from)?;
        Ok(samples)
    }

    /// Resizes a buffer to hold some frames; fails if there is no memory for it.
    pub(super) fn set_aside<T: Sample>(
        &self,
        buffer: &mut Vec<T>,
        frames: &Range<u64>,
        per_frame: usize,
    ) -> Result<(), IoError> {
        let samples = (frames.end - frames.start).saturating_mul(per_frame as u64);
        let len = usize::try_from(samples).unwrap_or(usize::MAX);
        if buffer.try_reserve_exact(len.saturating_sub(buffer.len())).is_err() {
            return Err(IoError::OutOfMemory { path: self.header.path.clone(), samples });
        }
        buffer.resize(len, T::default());
        Ok(())
    }

    /// Returns the targets for one row per signal, each with its gain, in ADC units per requested unit. Skew is
    /// corrected if they are `aligned`.
    pub(super) fn rows(&self, chosen: &Chosen, gains: &[f64], aligned: bool) -> Vec<(Target, f64)> {
        let signals = chosen.signals.iter().zip(gains).enumerate();
        signals
            .map(|(row, (&signal, &gain))| self.target(signal, gain, aligned, row, 0, 1))
            .collect()
    }

    /// Returns the target of a signal, and the requested units per unit of the signal. `gain` is in ADC units per
    /// requested unit.
    fn target(
        &self,
        signal: usize,
        gain: f64,
        aligned: bool,
        out: usize,
        start: usize,
        stride: usize,
    ) -> (Target, f64) {
        let spec = &self.signals()[signal];
        let calibration = Calibration::new(spec, gain);
        let skew = if aligned { spec.skew } else { 0 };
        (Target { signal, calibration, skew, out, start, stride }, spec.gain / gain)
    }

    pub(super) fn fill<T: Sample>(
        &self,
        chosen: &Chosen,
        targets: &[(Target, f64)],
        outs: &mut [&mut [T]],
        state: &mut State,
        keep_from: u64,
    ) -> Result<(), IoError> {
        // An empty buffer has no position where a signal could start.
        if chosen.frames.is_empty() {
            return Ok(());
        }
        if chosen.average {
            return self.fill_averages(chosen, targets, outs, state);
        }
        let mut notes = Notes::new(&self.header.path, self.options.strict);
        let frames = chosen.frames.clone();
        let filled = match &self.body {
            Body::Whole(plan) => {
                let targets: Vec<Target> =
                    targets.iter().map(|(target, _)| target.clone()).collect();
                state.fill_plan(
                    plan,
                    &self.header,
                    &self.options,
                    frames,
                    keep_from,
                    &targets,
                    outs,
                    &mut notes,
                )
            }
            Body::Segments(segments) => segments.fill(
                &self.header,
                &self.options,
                frames,
                keep_from,
                targets,
                outs,
                state,
                &mut notes,
            ),
        };
        // After an error, too: a segment is inspected only once.
        self.note(notes.warnings);
        filled
    }

    /// Averages the valid samples of each frame, some frames at a time.
    fn fill_averages<T: Sample>(
        &self,
        chosen: &Chosen,
        targets: &[(Target, f64)],
        outs: &mut [&mut [T]],
        state: &mut State,
    ) -> Result<(), IoError> {
        let per_frame = |target: &Target| self.signals()[target.signal].samples_per_frame as usize;
        let all: usize = targets.iter().map(|(target, _)| per_frame(target)).sum();
        let block = (AVERAGED_SAMPLES / all.max(1) as u64).max(1);
        let own: Vec<(Target, f64)> = targets
            .iter()
            .enumerate()
            .map(|(out, (target, unit))| {
                (Target { out, start: 0, stride: 1, ..target.clone() }, *unit)
            })
            .collect();
        let mut rows: Vec<Vec<f64>> = vec![Vec::new(); targets.len()];
        let mut first = chosen.frames.start;
        while first < chosen.frames.end {
            let frames = first..(first + block).min(chosen.frames.end);
            for (row, (target, _)) in rows.iter_mut().zip(targets) {
                self.set_aside(row, &frames, per_frame(target))?;
            }
            let part = Chosen { frames: frames.clone(), average: false, ..chosen.clone() };
            let mut views: Vec<&mut [f64]> = rows.iter_mut().map(Vec::as_mut_slice).collect();
            self.fill(&part, &own, &mut views, state, frames.end)?;
            let done = (first - chosen.frames.start) as usize;
            for (row, (target, _)) in rows.iter().zip(targets) {
                let out = outs[target.out][target.start + done * target.stride..].iter_mut();
                let means = row.chunks_exact(per_frame(target)).map(mean_of_valid);
                for (out, mean) in out.step_by(target.stride).zip(means) {
                    *out = T::physical(mean);
                }
            }
            first = frames.end;
        }
        Ok(())
    }

    /// Checks a selection, and that the requested samples exist before memory is allocated for them.
    pub(super) fn choose<T: Sample>(&self, selection: &Selection) -> Result<Chosen, IoError> {
        let path = || self.header.path.clone();
        let n_signals = self.signals().len();
        let signals = match &selection.signals {
            None => (0..n_signals).collect(),
            Some(signals) => signals.clone(),
        };
        if let Some(beyond) = signals.iter().find(|signal| **signal >= n_signals) {
            let found = beyond.to_string();
            return Err(IoError::NoSuchSignal { path: path(), found, n_signals });
        }
        let frames = selection.frames.clone().unwrap_or(0..self.n_frames());
        if frames.start > frames.end || frames.end > self.n_frames() {
            let n_frames = self.n_frames();
            return Err(IoError::NoSuchFrames { path: path(), frames, n_frames });
        }
        if !T::PHYSICAL && (self.is_multi_segment() || selection.average_frames) {
            return Err(IoError::PhysicalOnly { path: path() });
        }
        if T::NARROW
            && let Some(wide) =
                signals.iter().map(|signal| &self.signals()[*signal]).find(|s| s.format.is_wide())
        {
            let format = wide.format.code();
            return Err(IoError::WideFormat { path: path(), line: wide.line, format });
        }
        let chosen = Chosen { frames, signals, average: selection.average_frames };
        if selection.frames.is_none() {
            self.check_whole(&chosen)?;
        }
        Ok(chosen)
    }

    /// Rejects reading the whole of a record if too much of it has no bytes in a file.
    fn check_whole(&self, chosen: &Chosen) -> Result<(), IoError> {
        let (header, options) = (&self.header, &self.options);
        match &self.body {
            Body::Whole(plan) => {
                let signals = chosen.signals.iter().map(|signal| &header.signals[*signal]);
                plan.check_null_signals(header, signals, plan.n_frames, options)
            }
            Body::Segments(segments) => {
                let mut notes = Notes::new(&header.path, options.strict);
                let (frames, signals) = (&chosen.frames, &chosen.signals);
                let checked = segments.check_size(frames, signals, header, options, &mut notes);
                self.note(notes.warnings);
                checked
            }
        }
    }
}

fn mean_of_valid(frame: &[f64]) -> f64 {
    let (sum, n) =
        frame.iter().filter(|v| !v.is_nan()).fold((0.0, 0_u32), |(sum, n), v| (sum + v, n + 1));
    if n == 0 { f64::NAN } else { sum / f64::from(n) }
}
