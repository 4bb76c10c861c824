use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use crate::ModelError;

/// How the logits of a record's windows become those of the record.
///
/// Written `mean`, `max` on command lines and in files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowPooling {
    /// Their mean. This is the default.
    #[default]
    Mean,
    /// For each label the largest one, so that a single window can be enough for a finding.
    Max,
}

impl WindowPooling {
    /// Returns the name on command lines and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Max => "max",
        }
    }
}

impl fmt::Display for WindowPooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for WindowPooling {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "mean" => Ok(Self::Mean),
            "max" => Ok(Self::Max),
            _ => Err(ModelError::UnknownPooling { found: text.to_owned() }),
        }
    }
}

/// The logits `[record, label]` of the windows seen so far: their sums, or their maxima.
pub(crate) struct Pooled {
    pooling: WindowPooling,
    logits: Array2<f64>,
    windows: Vec<usize>,
}

impl Pooled {
    pub(crate) fn new(pooling: WindowPooling, records: usize, labels: usize) -> Self {
        Self { pooling, logits: Array2::zeros((records, labels)), windows: vec![0; records] }
    }

    /// Adds the logits of a window of a record.
    pub(crate) fn add(&mut self, record: usize, logits: ArrayView1<'_, f64>) {
        let first = self.windows[record] == 0;
        self.windows[record] += 1;
        let mut pooled = self.logits.row_mut(record);
        match self.pooling {
            WindowPooling::Mean => pooled.scaled_add(1.0, &logits),
            // What is not a number stays, as in a mean.
            WindowPooling::Max => pooled.zip_mut_with(&logits, |pooled, &logit| {
                if first || logit > *pooled || logit.is_nan() {
                    *pooled = logit;
                }
            }),
        }
    }

    /// Returns the logits `[record, label]` of the records, NaN for one without windows.
    pub(crate) fn logits(mut self) -> Array2<f64> {
        for (mut row, &windows) in self.logits.rows_mut().into_iter().zip(&self.windows) {
            match self.pooling {
                WindowPooling::Mean => row /= windows as f64,
                WindowPooling::Max if windows == 0 => row.fill(f64::NAN),
                WindowPooling::Max => {}
            }
        }
        self.logits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use ndarray::array;

    #[test]
    fn names_go_both_ways_and_others_are_refused() {
        for pooling in [WindowPooling::Mean, WindowPooling::Max] {
            assert_eq!(pooling.to_string().parse::<WindowPooling>().expect("its name"), pooling);
            let text = serde_json::to_string(&pooling).expect("serialises");
            assert_eq!(text, format!("\"{pooling}\""));
        }
        let error = "median".parse::<WindowPooling>().expect_err("refused").to_string();
        assert_eq!(error, "unknown window pooling \"median\", expected mean or max");
    }

    #[test]
    fn what_is_not_a_number_and_a_record_without_windows_give_nan() {
        for (pooling, expected) in [(WindowPooling::Mean, -2.0), (WindowPooling::Max, -1.0)] {
            let mut pooled = Pooled::new(pooling, 2, 3);
            let windows = [[-3.0, f64::NAN, -1.0], [-1.0, -1.0, f64::NAN], [-2.0, -2.0, -2.0]];
            for window in windows {
                pooled.add(0, array![window[0], window[1], window[2]].view());
            }
            let logits = pooled.logits();
            assert_eq!(logits[[0, 0]], expected);
            assert!(logits[[0, 1]].is_nan() && logits[[0, 2]].is_nan());
            assert!(logits.row(1).iter().all(|logit| logit.is_nan()));
        }
    }
}
