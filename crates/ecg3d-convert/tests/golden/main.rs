//! The converter against scipy, and what must hold whatever the signal.

mod blocks;
mod corrected;
mod properties;
mod published;
mod splines;
mod support;
