//! Recipes, and how to report results.

#[doc = include_str!("../docs/cookbook.md")]
pub mod cookbook {}

#[doc = include_str!("../docs/reporting.md")]
pub mod reporting {}
