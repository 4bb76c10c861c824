#![doc = include_str!("trust.md")]
