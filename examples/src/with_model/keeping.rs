//! Classification that can be continued after a run ended. Included by the programs that link libtorch, since
//! the library must not.

use std::path::Path;

use anyhow::Result;
use ecg3d_examples::source::{Rows, Source};
use ecg3d_examples::{Kept, hex};
use ecg3d_models::Model;
use sha2::{Digest, Sha256};
use tch::Device;

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
    let network = model.network();
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(serde_json::to_vec(model.card())?);
    hash.update(format!("{:?} {:?} {}", network.precision(), network.device(), model.batch()));
    for (name, tensor) in network.tensors() {
        hash.update(name);
        let values = tensor.f_to_device(Device::Cpu)?.f_reshape([-1])?;
        add(&mut hash, Vec::<f32>::try_from(values)?);
    }
    hash.update(serde_json::to_vec(&source.names)?);
    match &source.rows {
        Rows::Prepared { signals, lengths } => {
            hash.update(serde_json::to_vec(lengths)?);
            add(&mut hash, signals.iter().copied());
        }
        Rows::Images(rows) | Rows::Volumes(rows) => add(&mut hash, rows.iter().copied()),
    }
    Ok(hex(&hash.finalize()))
}

fn add(hash: &mut Sha256, values: impl IntoIterator<Item = f32>) {
    let mut block = [0; 1 << 14];
    let mut used = 0;
    for value in values {
        block[used..used + 4].copy_from_slice(&value.to_le_bytes());
        used += 4;
        if used == block.len() {
            hash.update(block);
            used = 0;
        }
    }
    hash.update(&block[..used]);
}
