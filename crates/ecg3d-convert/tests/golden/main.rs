//! The converter compared with SciPy, and properties that must hold for any signal.

mod blocks;
mod configs;
mod corrected;
mod filters;
mod plots;
mod policies;
mod properties;
mod published;
mod splines;
mod support;
