use crate::FftScratch;

/// Working memory of the `_into` calls: made once, and reused with any plan.
///
/// It grows on first use. After that, calls do not allocate, except where their documentation says so. What it holds
/// never changes a result.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    /// The leads of a recording while it is prepared, `[lead, sample]`.
    pub(crate) rows: Vec<f64>,
    /// The same with padding.
    pub(crate) padded: Vec<f64>,
    /// The leads after resampling.
    pub(crate) resampled: Vec<f64>,
    pub(crate) fft: FftScratch,
    pub(crate) f32s: Vec<f32>,
    pub(crate) f64s: Vec<f64>,
    pub(crate) prepared_f32: Vec<f32>,
    pub(crate) prepared_f64: Vec<f64>,
}

impl Scratch {
    /// Creates an empty scratch.
    pub fn new() -> Self {
        Self::default()
    }
}
