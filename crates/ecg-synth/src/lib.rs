//! Seeded, labelled synthetic 12-lead ECG recordings
