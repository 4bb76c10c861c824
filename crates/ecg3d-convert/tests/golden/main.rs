//! The converter against scipy, and what must hold whatever the signal.

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
