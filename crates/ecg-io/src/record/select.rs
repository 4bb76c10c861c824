//! Selection of a part of a record.

use std::ops::Range;

/// A part of a record: frames, signals, and the treatment of several samples per frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Selection {
    /// Frames, from 0; [`crate::Record::frames_between`] finds those of a time range. Default: all.
    pub frames: Option<Range<u64>>,
    /// Numbers of the signals, from 0, in the requested order; [`crate::Record::signals_named`] finds them. Default:
    /// all.
    pub signals: Option<Vec<usize>>,
    /// Average the valid samples of each frame instead of returning them as they are. Only for physical values.
    /// Default: false.
    pub average_frames: bool,
}

impl Selection {
    /// Sets [`Selection::frames`].
    #[must_use]
    pub fn with_frames(mut self, frames: Range<u64>) -> Self {
        self.frames = Some(frames);
        self
    }

    /// Sets [`Selection::signals`].
    #[must_use]
    pub fn with_signals(mut self, signals: impl Into<Vec<usize>>) -> Self {
        self.signals = Some(signals.into());
        self
    }

    /// Sets [`Selection::average_frames`].
    #[must_use]
    pub fn with_average_frames(mut self, average: bool) -> Self {
        self.average_frames = average;
        self
    }
}
