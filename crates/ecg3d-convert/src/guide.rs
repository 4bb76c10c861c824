//! How the conversion works, stage by stage, and recipes.

#[doc = include_str!("../docs/stage-1-load.md")]
pub mod stage_1_load {}

#[doc = include_str!("../docs/stage-2-filter.md")]
pub mod stage_2_filter {}

#[doc = include_str!("../docs/stage-3-resample.md")]
pub mod stage_3_resample {}

#[doc = include_str!("../docs/stage-4-recurrence.md")]
pub mod stage_4_recurrence {}

#[doc = include_str!("../docs/stage-5-zoom.md")]
pub mod stage_5_zoom {}

#[doc = include_str!("../docs/cookbook.md")]
pub mod cookbook {}
