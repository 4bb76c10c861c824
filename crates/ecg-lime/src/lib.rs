//! Explains which ECG lead did what for a classifier's decision: LIME without sampling noise
