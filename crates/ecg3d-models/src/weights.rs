//! The weights file: one `.safetensors` with the model card in its header.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use crate::error::Doing;
use crate::files::{read, write_atomic};
use crate::params::Start;
use crate::{ModelCard, ModelError, Network};

/// The card's key in the header's metadata.
const CARD: &str = "card";

/// Writes a network and its card to a `.safetensors` file, and a readable copy of the card to a `.json` file beside it.
///
/// Each file is written completely or not at all, and missing folders are made. Values are stored as `f32`, in
/// libtorch's layout.
///
/// # Errors
/// The card belongs to another network or contradicts itself, the name ends in `.json`, which is reserved for the copy,
/// a value is not finite or a running variance below 0 ([`ModelError::TensorValue`]), or a file can't be written. In
/// all cases except the last, files that were there before stay as they are.
pub fn save(network: &Network, card: &ModelCard, path: impl AsRef<Path>) -> Result<(), ModelError> {
    let path = path.as_ref();
    let copy = path.with_extension("json");
    if copy == path {
        return Err(ModelError::SaveAsJson { path: copy });
    }
    write_weights(network, card, path)?;
    write_card(card, &copy)
}

/// Writes the weights file only.
pub(crate) fn write_weights(
    network: &Network,
    card: &ModelCard,
    path: &Path,
) -> Result<(), ModelError> {
    check_pair(network, card)?;
    let failed = |source: SafeTensorError| ModelError::Safetensors {
        path: path.to_owned(),
        source: source.into(),
    };
    let mut tensors = Vec::new();
    for (name, tensor) in network.tensors() {
        let shape: Vec<usize> = tensor.size().into_iter().map(|n| n as usize).collect();
        let values = values(tensor)?;
        check_values(&values, "save", path, name)?;
        tensors.push((name.to_owned(), shape, bytes(values)));
    }
    let text = serde_json::to_string(card)
        .map_err(|source| ModelError::Card { path: path.to_owned(), source })?;
    let file = serialize(&tensors, CARD, text).map_err(failed)?;
    write_atomic(path, &file)
}

/// Returns a `.safetensors` file of `f32` tensors, each given as its name, its shape and its values in little-endian
/// bytes, with `text` under `key` in the header's metadata.
pub(crate) fn serialize(
    tensors: &[(String, Vec<usize>, Vec<u8>)],
    key: &str,
    text: String,
) -> Result<Vec<u8>, SafeTensorError> {
    let mut views = Vec::new();
    for (name, shape, bytes) in tensors {
        views.push((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?));
    }
    safetensors::serialize(views, Some(HashMap::from([(key.to_owned(), text)])))
}

/// Writes the readable copy of a card, which nothing reads.
pub(crate) fn write_card(card: &ModelCard, path: &Path) -> Result<(), ModelError> {
    let mut text = serde_json::to_string_pretty(card)
        .map_err(|source| ModelError::Card { path: path.to_owned(), source })?;
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

/// Returns the values in C order as little-endian `f32`.
pub(crate) fn values_as_bytes(tensor: &Tensor) -> Result<Vec<u8>, ModelError> {
    values(tensor).map(bytes)
}

fn bytes(values: Vec<f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// Returns the values in C order.
fn values(tensor: &Tensor) -> Result<Vec<f32>, ModelError> {
    let mut values = vec![0.0_f32; tensor.numel()];
    tensor
        .f_detach()
        .and_then(|tensor| tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous())
        .and_then(|tensor| tensor.f_copy_data(&mut values, tensor.numel()))
        .doing("copy a tensor to memory")?;
    Ok(values)
}

/// Checks that a card belongs to this network and does not contradict itself.
pub(crate) fn check_pair(network: &Network, card: &ModelCard) -> Result<(), ModelError> {
    card.check()?;
    let found = |what, found: &dyn ToString, expected: &dyn ToString| ModelError::CardValue {
        what,
        found: found.to_string(),
        expected: expected.to_string(),
    };
    if card.architecture != network.architecture() {
        return Err(found("architecture", &card.architecture, &network.architecture()));
    }
    if card.mode != network.mode() {
        return Err(found("mode", &card.mode, &network.mode()));
    }
    if card.labels.len() != network.n_labels() {
        return Err(found("number of labels", &card.labels.len(), &network.n_labels()));
    }
    Ok(())
}

/// The entry of a card that all formats have.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// Reads a file written by [`save`].
pub(crate) fn load(path: &Path, device: Device) -> Result<(Network, ModelCard), ModelError> {
    parse(&read(path)?, path, device)
}

/// Does the same as [`load`] with a file in memory; errors name it by `path`.
pub(crate) fn parse(
    file: &[u8],
    path: &Path,
    device: Device,
) -> Result<(Network, ModelCard), ModelError> {
    if file.starts_with(b"\x89HDF") {
        return Err(ModelError::StillKeras { path: path.to_owned() });
    }
    let failed = |source| match source {
        SafeTensorError::HeaderTooSmall
        | SafeTensorError::InvalidHeaderLength
        | SafeTensorError::MetadataIncompleteBuffer => {
            ModelError::CutShort { path: path.to_owned(), found: file.len() }
        }
        source => ModelError::Safetensors { path: path.to_owned(), source: source.into() },
    };
    let (_, metadata) = SafeTensors::read_metadata(file).map_err(failed)?;
    let card = metadata.metadata().as_ref().and_then(|entries| entries.get(CARD));
    let card = card.ok_or_else(|| ModelError::CardMissing { path: path.to_owned() })?;
    let unreadable = |source| ModelError::Card { path: path.to_owned(), source };
    let unusable =
        |source| ModelError::Unusable { path: path.to_owned(), source: Box::new(source) };
    // A later format may have other entries, so its number is checked before they are read.
    let Version { format } = serde_json::from_str(card).map_err(unreadable)?;
    ModelCard::check_format(format).map_err(unusable)?;
    let card: ModelCard = serde_json::from_str(card).map_err(unreadable)?;
    card.check().map_err(unusable)?;
    let tensors = SafeTensors::deserialize(file).map_err(failed)?;
    let network = network(path, &card, &tensors, device)?;
    Ok((network, card))
}

/// Refuses weights that would make predictions NaN.
pub(crate) fn check_values(
    values: &[f32],
    doing: &'static str,
    path: &Path,
    name: &str,
) -> Result<(), ModelError> {
    let (least, expected) = match name.contains("moving_variance") {
        true => (0.0, "finite values of at least 0"),
        false => (f32::MIN, "finite values"),
    };
    match values.iter().position(|value| !value.is_finite() || *value < least) {
        None => Ok(()),
        Some(at) => Err(ModelError::TensorValue {
            path: path.to_owned(),
            doing,
            name: name.to_owned(),
            at,
            found: values[at],
            expected,
        }),
    }
}

/// Returns the network that a card names, with the file's values.
fn network(
    path: &Path,
    card: &ModelCard,
    tensors: &SafeTensors<'_>,
    device: Device,
) -> Result<Network, ModelError> {
    let model = card.architecture.name();
    let blank = |labels: usize, device: Device| {
        Network::start(card.architecture, card.mode, labels, device, Kind::Float, Start::Blank)
    };
    // A card may claim more labels than memory can hold, so its number of labels is first compared with the file's
    // tensors, which are no longer than the file.
    let one = blank(1, Device::Cpu)?;
    let own: Vec<&str> = one.tensors().map(|(name, _)| name).collect();
    let mut others: Vec<&str> = tensors.names();
    others.retain(|name| !own.contains(name));
    if let Some(name) = others.into_iter().min() {
        let name = name.to_owned();
        return Err(ModelError::UnexpectedTensor { path: path.to_owned(), name, model });
    }
    if let Some((name, kernel)) = one.last_kernel() {
        let expected = vec![card.labels.len(), kernel.size()[1] as usize];
        let (path, name) = (path.to_owned(), name.to_owned());
        match tensors.tensor(&name) {
            Err(_) => return Err(ModelError::MissingTensor { path, name, model }),
            Ok(view) if view.shape() != expected => {
                let found = view.shape().to_vec();
                return Err(ModelError::TensorShape { path, name, expected, found });
            }
            Ok(_) => {}
        }
    }
    let mut network = blank(card.labels.len(), device)?;
    network.fill(|name, own| {
        let name = name.to_owned();
        let Ok(view) = tensors.tensor(&name) else {
            return Err(ModelError::MissingTensor { path: path.to_owned(), name, model });
        };
        let expected: Vec<usize> = own.size().into_iter().map(|n| n as usize).collect();
        if view.shape() != expected {
            let found = view.shape().to_vec();
            return Err(ModelError::TensorShape { path: path.to_owned(), name, expected, found });
        }
        if view.dtype() != Dtype::F32 {
            let found = view.dtype().to_string();
            return Err(ModelError::TensorType { path: path.to_owned(), name, found });
        }
        let (values, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        check_values(&values, "load", path, &name)?;
        Tensor::f_from_slice(&values)
            .and_then(|tensor| tensor.f_reshape(own.size()))
            .doing("create a parameter")
    })?;
    Ok(network)
}
