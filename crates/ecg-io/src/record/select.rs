//! Which part of a record is wanted.

use std::ops::Range;

/// A part of a record: frames, signals, and what becomes of several samples in a frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Selection {
    /// The frames, from 0; [`crate::Record::frames_between`] finds those of a time. Default: all.
    pub frames: Option<Range<u64>>,
    /// Numbers of the signals, from 0, in the order wanted; [`crate::Record::signals_named`] finds them. Default: all.
    pub signals: Option<Vec<usize>>,
    /// Average the samples of each frame, invalid ones left out, instead of giving them as they are. Only for physical
    /// values. Default: false.
    pub average_frames: bool,
}

impl Selection {
    /// Sets [`Selection::frames`].
    pub fn with_frames(mut self, frames: Range<u64>) -> Self {
        self.frames = Some(frames);
        self
    }

    /// Sets [`Selection::signals`].
    pub fn with_signals(mut self, signals: impl Into<Vec<usize>>) -> Self {
        self.signals = Some(signals.into());
        self
    }

    /// Sets [`Selection::average_frames`].
    pub fn with_average_frames(mut self, average: bool) -> Self {
        self.average_frames = average;
        self
    }
}
