//! The ECG 3D Converter: 12-lead recordings to 45x45x45 volumes of recurrence plots
