//! Classification that can be continued after a run ended.

use std::path::Path;

use anyhow::Result;
use ecg3d_examples::Kept;
use ecg3d_examples::source::Source;
use ecg3d_models::Model;
use sha2::{Digest, Sha256};

use super::fingerprint::{add_model, add_records};

/// Opens what an earlier run with the same weights, number type, batch and rows left beside `out`. With
/// `restart`, nothing is taken over.
///
/// # Errors
/// Returns an error if the file belongs to another run or cannot be read.
pub fn kept(model: &Model, source: &Source, out: &Path, restart: bool) -> Result<Kept> {
    let shape = [source.rows.len(), model.labels().len()];
    Kept::open(out, key(model, source)?, shape, restart)
}

/// A hash of everything that the probabilities of the rows depend on.
fn key(model: &Model, source: &Source) -> Result<String> {
    let mut hash = Sha256::new();
    add_model(&mut hash, model)?;
    add_records(&mut hash, source)?;
    Ok(format!("{:x}", hash.finalize()))
}
