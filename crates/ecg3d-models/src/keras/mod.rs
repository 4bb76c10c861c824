//! Weight files of Keras 2: whole models and bare weights in the legacy `.h5` layout, compiled or not, and
//! `.weights.h5`.

mod expected;
mod graph;

use std::collections::HashMap;
use std::path::Path;

use ecg_core::LabelSet;
use ecg3d_convert::ConvertConfig;
use hdf5_reader::Hdf5File;
use hdf5_reader::dataset::Dataset;
use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::group::Group;
use sha2::{Digest, Sha256};
use tch::{Device, Kind};

use crate::error::Doing;
use crate::files::{hex, read};
use crate::params::{Start, from_keras, to_keras};
use crate::weights::check_values;
use crate::{Architecture, ModelCard, ModelError, Network, Preset};
use expected::{Graph, Op};

/// Reads a weights file of Keras 2: a legacy `.h5`, compiled or not, or a `.weights.h5`.
///
/// The names of layers depend on the session that created them, so layers are not found by name:
///
/// - A whole model contains its graph (`model_config`). Layers are found by it, and each is compared with that of the
///   network.
/// - Bare weights (a legacy `.h5` by `save_weights`, or a `.weights.h5`) contain no graph. Layers are found by their
///   order. Only their number and the shapes of their weights are checked and, in a `.weights.h5`, their classes. A
///   network that differs in anything else, such as an activation, is not noticed. The card's origin then ends in
///   "graph not in the file".
///
/// The card has the study's seven labels and the preset's preprocessing.
///
/// # Errors
/// - The file can't be read, is not HDF5, was cut short, or holds another network. Each error names the file, what was
///   found and what was expected.
/// - The network is the corrected 3DECG-Net or the corrected network of Zhang, which have other weights, or resnet1d,
///   which is not from the study.
pub fn import_keras(
    h5: impl AsRef<Path>,
    architecture: Architecture,
    preset: Preset,
) -> Result<(Network, ModelCard), ModelError> {
    let path = h5.as_ref();
    let labels = LabelSet::seven();
    let (network, by_graph) = import(path, architecture, preset, labels.len())?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hash = hex(Sha256::new_with_prefix(read(path)?));
    let graph = if by_graph { "" } else { ", graph not in the file" };
    let card = ModelCard::new(architecture, preset, labels, ConvertConfig::preset(preset))
        .with_origin(format!("Keras weights {name}, SHA-256 {hash}{graph}"));
    Ok((network, card))
}

/// A weight of the file, in Keras's order of axes.
struct Weight {
    /// Its place in the file, for messages.
    at: String,
    dataset: Dataset,
}

/// Reads a network with `n_labels` labels, and returns whether its layers were found by the file's graph.
pub(crate) fn import(
    path: &Path,
    architecture: Architecture,
    mode: Preset,
    n_labels: usize,
) -> Result<(Network, bool), ModelError> {
    if architecture == Architecture::ResNet1d {
        return Err(ModelError::NotInKeras { path: path.to_owned(), model: architecture.name() });
    }
    let reshaped = matches!(architecture, Architecture::ThreeDEcgNet | Architecture::Zhang);
    if reshaped && mode == Preset::Corrected {
        return Err(ModelError::KerasPreset { path: path.to_owned(), model: architecture.name() });
    }
    let file = KerasFile::open(path)?;
    let (mut weights, by_graph) = file.weights(&Graph::of(architecture))?;
    let mut network =
        Network::start(architecture, mode, n_labels, Device::Cpu, Kind::Float, Start::Blank)?;
    network.fill(|name, own| {
        let Some(weight) = weights.remove(name) else {
            return Err(ModelError::MissingTensor {
                path: path.to_owned(),
                name: name.to_owned(),
                model: architecture.name(),
            });
        };
        let expected: Vec<usize> =
            to_keras(own).doing("read a shape")?.size().into_iter().map(|n| n as usize).collect();
        let found: Vec<usize> = weight.dataset.shape().iter().map(|n| *n as usize).collect();
        let name = format!("{name} ({})", weight.at);
        if found != expected {
            return Err(ModelError::TensorShape { path: path.to_owned(), name, expected, found });
        }
        let values = weight.dataset.read_array::<f32>();
        let values = values.map_err(|e| file.failed(&name, architecture, e))?;
        let values: Vec<f32> = values.into_iter().collect();
        check_values(&values, "load", path, &name)?;
        from_keras(&values, &expected).doing("create a tensor")
    })?;
    if let Some((name, weight)) = weights.into_iter().min_by(|a, b| a.0.cmp(&b.0)) {
        return Err(ModelError::UnexpectedTensor {
            path: path.to_owned(),
            name: format!("{name} ({})", weight.at),
            model: architecture.name(),
        });
    }
    Ok((network, by_graph))
}

struct KerasFile<'a> {
    path: &'a Path,
    file: Hdf5File,
}

impl<'a> KerasFile<'a> {
    fn open(path: &'a Path) -> Result<Self, ModelError> {
        // Distinguishes a missing file or a folder from a file that is not HDF5.
        std::fs::File::open(path)
            .and_then(|file| file.metadata())
            .and_then(|m| {
                if m.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
            })
            .map_err(|source| ModelError::Io { path: path.to_owned(), doing: "read", source })?;
        match Hdf5File::open(path) {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(ModelError::Hdf5 { path: path.to_owned(), source: source.into() }),
        }
    }

    fn wrong(&self, source: Hdf5Error) -> ModelError {
        ModelError::Hdf5 { path: self.path.to_owned(), source: source.into() }
    }

    /// Returns the error for something that is missing or can't be read; `name` describes it in the file's terms and
    /// ours.
    fn failed(&self, name: &str, architecture: Architecture, source: Hdf5Error) -> ModelError {
        let (path, name) = (self.path.to_owned(), name.to_owned());
        match source {
            Hdf5Error::GroupNotFound(_) | Hdf5Error::DatasetNotFound(_) => {
                ModelError::MissingTensor { path, name, model: architecture.name() }
            }
            Hdf5Error::TypeMismatch { actual: found, .. } => {
                ModelError::TensorType { path, name, found }
            }
            Hdf5Error::Context { source, .. } => self.failed(&name, architecture, *source),
            source => self.wrong(source),
        }
    }

    /// Returns all weights by our names, and whether they were found by the file's graph.
    fn weights(&self, graph: &Graph) -> Result<(HashMap<String, Weight>, bool), ModelError> {
        let root = self.file.root_group().map_err(|e| self.wrong(e))?;
        let (groups, _) = root.member_names().map_err(|e| self.wrong(e))?;
        let has = |name: &str| groups.iter().any(|group| group == name);
        if has("_layer_checkpoint_dependencies") {
            return Ok((self.checkpoint(&root, graph)?, false));
        }
        let layers = if has("model_weights") {
            root.group("model_weights").map_err(|e| self.wrong(e))?
        } else {
            root.clone()
        };
        if let Some(config) = self.strings(&root, "model_config")? {
            let pairs = graph::match_layers(self.path, &config.concat(), graph)?;
            return Ok((self.legacy(&layers, graph.architecture, pairs)?, true));
        }
        let Some(names) = self.strings(&layers, "layer_names")? else {
            return Err(ModelError::KerasLayout {
                path: self.path.to_owned(),
                found: format!("groups [{}]", groups.join(", ")),
                expected: "model_weights or _layer_checkpoint_dependencies".to_owned(),
            });
        };
        let pairs = self.match_in_order(&layers, names, graph)?;
        Ok((self.legacy(&layers, graph.architecture, pairs)?, false))
    }

    /// Returns our path of each layer with weights, with the name of the layer at the same place among those of the
    /// file; `names` are all of the file's layers, in order.
    fn match_in_order(
        &self,
        layers: &Group,
        names: Vec<String>,
        graph: &Graph,
    ) -> Result<Vec<(String, String)>, ModelError> {
        let mut weighted = Vec::new();
        for name in names {
            let group = layers.group(&name);
            let group = group.map_err(|e| self.failed(&name, graph.architecture, e))?;
            if self.strings(&group, "weight_names")?.is_some_and(|names| !names.is_empty()) {
                weighted.push(name);
            }
        }
        let paths: Vec<String> = weighted_paths(graph).map(|(_, path)| path.to_owned()).collect();
        if weighted.len() != paths.len() {
            return Err(ModelError::KerasGraph {
                path: self.path.to_owned(),
                model: graph.architecture.name(),
                found: format!("{} layers with weights", weighted.len()),
                expected: format!("{}", paths.len()),
            });
        }
        Ok(paths.into_iter().zip(weighted).collect())
    }

    /// Reads the legacy layout: `<layer>/<weight name>`, where the weight name repeats the layer.
    fn legacy(
        &self,
        layers: &Group,
        architecture: Architecture,
        pairs: Vec<(String, String)>,
    ) -> Result<HashMap<String, Weight>, ModelError> {
        let mut weights = HashMap::new();
        for (path, layer) in pairs {
            let missing = |e| self.failed(&format!("{path} (group {layer})"), architecture, e);
            let group = layers.group(&layer).map_err(missing)?;
            for name in self.strings(&group, "weight_names")?.unwrap_or_default() {
                let last = name.rsplit('/').next().unwrap_or(&name);
                let own = format!("{path}.{}", last.split(':').next().unwrap_or(last));
                let missing = |e| self.failed(&format!("{own} ({name})"), architecture, e);
                let dataset = find(&group, &name).map_err(missing)?;
                if let Some(other) =
                    weights.insert(own.clone(), Weight { at: name.clone(), dataset })
                {
                    return Err(ModelError::KerasGraph {
                        path: self.path.to_owned(),
                        model: architecture.name(),
                        found: format!("{own} twice ({} and {name})", other.at),
                        expected: "each weight once".to_owned(),
                    });
                }
            }
        }
        Ok(weights)
    }

    /// Reads the `.weights.h5` layout, which names layers by class and count and has no graph.
    ///
    /// The `i`-th layer with weights of a class, in Keras's order of layers, is `class_{2 i}`.
    fn checkpoint(
        &self,
        root: &Group,
        graph: &Graph,
    ) -> Result<HashMap<String, Weight>, ModelError> {
        let layers = root.group("_layer_checkpoint_dependencies").map_err(|e| self.wrong(e))?;
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut weights = HashMap::new();
        let (mut others, _) = layers.member_names().map_err(|e| self.wrong(e))?;
        for (op, path) in weighted_paths(graph) {
            let Some((class, place, names)) = checkpoint_names(op) else { continue };
            let count = counts.entry(class).or_default();
            let layer = if *count == 0 { class.to_owned() } else { format!("{class}_{count}") };
            *count += 2;
            others.retain(|other| *other != layer);
            let at = format!("_layer_checkpoint_dependencies/{layer}/{place}");
            let missing = |_| ModelError::KerasGraph {
                path: self.path.to_owned(),
                model: graph.architecture.name(),
                found: format!("no group {at}"),
                expected: format!("the weights of {path} there"),
            };
            let group = layers.group(&layer).map_err(missing)?;
            let mut vars = group;
            for part in place.split('/') {
                vars = vars.group(part).map_err(missing)?;
            }
            for (k, dataset) in self.sorted(&vars, &at, graph.architecture)?.into_iter().enumerate()
            {
                let own = match names.get(k) {
                    Some(name) => format!("{path}.{name}"),
                    None => format!("{path}.{k}"),
                };
                weights.insert(own, Weight { at: format!("{at}/{k}"), dataset });
            }
        }
        self.refuse_weights(&layers, others, graph.architecture, MOST_GROUPS)?;
        Ok(weights)
    }

    /// Refuses weights in the groups of layers that should have none; no more than `most` groups are searched.
    fn refuse_weights(
        &self,
        layers: &Group,
        others: Vec<String>,
        architecture: Architecture,
        most: usize,
    ) -> Result<(), ModelError> {
        let mut left = most + 1;
        for layer in others {
            let group = layers.group(&layer).map_err(|e| self.wrong(e))?;
            let found = first_dataset(&group, MOST_LEVELS, &mut left);
            if let Some(name) = found.map_err(|e| self.wrong(e))? {
                return Err(ModelError::UnexpectedTensor {
                    path: self.path.to_owned(),
                    name: format!("_layer_checkpoint_dependencies/{layer}/{name}"),
                    model: architecture.name(),
                });
            }
            if left == 0 {
                return Err(ModelError::KerasLayout {
                    path: self.path.to_owned(),
                    found: format!("more than {most} groups of layers without weights"),
                    expected: "two or three for each layer".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Returns the datasets `0`, `1`, ... of a group.
    fn sorted(
        &self,
        group: &Group,
        at: &str,
        architecture: Architecture,
    ) -> Result<Vec<Dataset>, ModelError> {
        let (_, names) = group.member_names().map_err(|e| self.wrong(e))?;
        let dataset = |k: usize| {
            let failed = |e| self.failed(&format!("{at}/{k}"), architecture, e);
            group.dataset(&k.to_string()).map_err(failed)
        };
        (0..names.len()).map(dataset).collect()
    }

    /// Returns the list of names in an attribute; `None` if there is no such attribute. An empty list is stored as
    /// numbers.
    fn strings(&self, group: &Group, name: &str) -> Result<Option<Vec<String>>, ModelError> {
        let attribute = match group.attribute(name) {
            Ok(attribute) => attribute,
            Err(Hdf5Error::AttributeNotFound(_)) => return Ok(None),
            Err(e) => return Err(self.wrong(e)),
        };
        if attribute.num_elements().map_err(|e| self.wrong(e))? == 0 {
            return Ok(Some(Vec::new()));
        }
        attribute.read_strings().map(Some).map_err(|e| self.wrong(e))
    }
}

/// Levels of groups below a layer's group that are searched: Keras makes two or three, and a link may lead back.
const MOST_LEVELS: usize = 4;

/// Groups without weights that a file may have: Keras makes two or three per layer, and many links may lead to one
/// group.
const MOST_GROUPS: usize = 10_000;

/// Returns the path of a dataset in a group or its subgroups, if there is one among the next `left` groups.
fn first_dataset(
    group: &Group,
    levels: usize,
    left: &mut usize,
) -> hdf5_reader::error::Result<Option<String>> {
    if *left == 0 {
        return Ok(None);
    }
    *left -= 1;
    let (groups, datasets) = group.member_names()?;
    if let Some(name) = datasets.into_iter().next() {
        return Ok(Some(name));
    }
    if levels > 0 {
        for name in groups {
            if let Some(found) = first_dataset(&group.group(&name)?, levels - 1, left)? {
                return Ok(Some(format!("{name}/{found}")));
            }
        }
    }
    Ok(None)
}

fn find(group: &Group, name: &str) -> hdf5_reader::error::Result<Dataset> {
    let mut group = group.clone();
    let mut parts = name.split('/').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return group.dataset(part);
        }
        group = group.group(part)?;
    }
    Err(Hdf5Error::DatasetNotFound(name.to_owned()))
}

/// Returns the layers with weights in Keras's order.
fn weighted_paths(graph: &Graph) -> impl Iterator<Item = (&Op, &str)> {
    let order = graph.keras_order().into_iter().map(|k| &graph.nodes[k]);
    order.filter(|node| !node.path.is_empty()).map(|node| (&node.op, node.path.as_str()))
}

/// Returns a layer's class, the place of its variables and their names in a `.weights.h5` file; `None` without weights.
fn checkpoint_names(op: &Op) -> Option<(&'static str, &'static str, &'static [&'static str])> {
    Some(match op {
        Op::ConvLstm2d { .. } => {
            ("conv_lstm2d", "cell/vars", &["kernel", "recurrent_kernel", "bias"])
        }
        Op::Conv { kernel, .. } if kernel.len() == 1 => ("conv1d", "vars", &["kernel", "bias"]),
        Op::Conv { .. } => ("conv3d", "vars", &["kernel", "bias"]),
        Op::Dense { .. } => ("dense", "vars", &["kernel", "bias"]),
        Op::BatchNorm => {
            ("batch_normalization", "vars", &["gamma", "beta", "moving_mean", "moving_variance"])
        }
        _ => return None,
    })
}

/// Returns the paths of the layers with weights, each with the paths of those that feed it, directly or through layers
/// without weights.
#[cfg(test)]
pub(crate) fn weighted_inputs(architecture: Architecture) -> Vec<(String, Vec<String>)> {
    fn sources(graph: &Graph, k: usize) -> Vec<String> {
        let inputs = graph.nodes[k].inputs.iter();
        let of = |input: &usize| match graph.nodes[*input].path.as_str() {
            "" => sources(graph, *input),
            path => vec![path.to_owned()],
        };
        inputs.flat_map(of).collect()
    }
    let graph = Graph::of(architecture);
    let weighted = (0..graph.nodes.len()).filter(|k| !graph.nodes[*k].path.is_empty());
    weighted.map(|k| (graph.nodes[k].path.clone(), sources(&graph, k))).collect()
}

#[cfg(test)]
mod tests;
