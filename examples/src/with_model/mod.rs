//! What the programs that run networks share. The library of this package must not link libtorch, so that `convert`,
//! `inspect` and `synthesize` start without it; each program that links it includes these files instead.

pub mod classify;
pub mod device;
pub mod device_args;
pub mod einthoven;
pub mod fingerprint;
pub mod keeping;
pub mod model_args;
pub mod precision;
pub mod threads;
pub mod usable;
pub mod weights;
