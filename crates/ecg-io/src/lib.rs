//! Reads and writes 12-lead ECG recordings: WFDB, CSV, label tables and whole data sets
