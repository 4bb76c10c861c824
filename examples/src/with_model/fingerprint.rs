//! Hashes of everything that results depend on, so that only the same run is continued.

use anyhow::Result;
use ecg3d_examples::source::{Rows, Source};
use ecg3d_models::Model;
use sha2::{Digest, Sha256};
use tch::Device;

/// Adds the version of the programs, the weights with their card, the number type, the device and the batch.
pub fn add_model(hash: &mut Sha256, model: &Model) -> Result<()> {
    let network = model.network();
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(serde_json::to_vec(model.card())?);
    hash.update(format!("{:?} {:?} {}", network.precision(), network.device(), model.batch()));
    for (name, tensor) in network.tensors() {
        hash.update(name);
        let values = tensor.f_to_device(Device::Cpu)?.f_reshape([-1])?;
        add(hash, Vec::<f32>::try_from(values)?);
    }
    Ok(())
}

/// Adds the names and the rows of records, not their labels or patients.
pub fn add_records(hash: &mut Sha256, source: &Source) -> Result<()> {
    hash.update(serde_json::to_vec(&source.names)?);
    match &source.rows {
        Rows::Prepared { signals, lengths } => {
            hash.update(serde_json::to_vec(lengths)?);
            add(hash, signals.iter().copied());
        }
        Rows::Images(rows) | Rows::Volumes(rows) => add(hash, rows.iter().copied()),
    }
    Ok(())
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
