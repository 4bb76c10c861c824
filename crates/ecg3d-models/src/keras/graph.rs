//! The graph in a file's `model_config`, and its comparison with the expected graph.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use super::expected::{Graph, Op};
use crate::ModelError;

/// A layer as described in `model_config`.
#[derive(Debug)]
struct FileLayer<'a> {
    name: &'a str,
    /// The class, or the function of a `TFOpLambda`.
    class: &'a str,
    config: &'a Value,
    inputs: Vec<&'a str>,
}

/// Returns our path of each layer with weights, with the name of the corresponding layer in the file.
pub(super) fn match_layers(
    path: &Path,
    model_config: &str,
    expected: &Graph,
) -> Result<Vec<(String, String)>, ModelError> {
    let config: Value = serde_json::from_str(model_config)
        .map_err(|source| ModelError::KerasConfig { path: path.to_owned(), source })?;
    let layers = layers(&config).ok_or_else(|| ModelError::KerasLayout {
        path: path.to_owned(),
        found: "a model_config without a list of layers".to_owned(),
        expected: "a functional model".to_owned(),
    })?;
    let output = output(&config, &layers);
    let mut matcher = Matcher { path, layers, expected, found: vec![None; expected.nodes.len()] };
    matcher.match_input()?;
    matcher.match_node(expected.nodes.len() - 1, output)?;
    matcher.finish()
}

fn layers(config: &Value) -> Option<HashMap<&str, FileLayer<'_>>> {
    let mut layers = HashMap::new();
    for layer in config.get("config")?.get("layers")?.as_array()? {
        let config = layer.get("config")?;
        let name = layer.get("name").or_else(|| config.get("name"))?.as_str()?;
        let class = match layer.get("class_name")?.as_str()? {
            "TFOpLambda" => config.get("function")?.as_str()?,
            class => class,
        };
        let inputs = layer.get("inbound_nodes").map(inputs).unwrap_or_default();
        layers.insert(name, FileLayer { name, class, config, inputs });
    }
    Some(layers)
}

/// Returns the names of the layers whose outputs a layer takes, in order.
///
/// An inbound node is a list of `[layer, node, tensor, kwargs]`. A `TFOpLambda` has one level of nesting less, and may
/// hold its second operand in the kwargs, `{"y": [layer, node, tensor]}`.
fn inputs(nodes: &Value) -> Vec<&str> {
    fn call<'a>(value: &'a Value, names: &mut Vec<&'a str>) {
        let Some([first, rest @ ..]) = value.as_array().map(Vec::as_slice) else { return };
        match first.as_str() {
            Some(name) => {
                names.push(name);
                if let Some(kwargs) = rest.get(2).and_then(Value::as_object) {
                    kwargs.values().for_each(|operand| call(operand, names));
                }
            }
            None => value.as_array().into_iter().flatten().for_each(|inner| call(inner, names)),
        }
    }
    let mut names = Vec::new();
    call(nodes, &mut names);
    names
}

/// Returns the name of the output layer: the declared one, or else the layer whose output no other layer takes.
fn output<'a>(config: &'a Value, layers: &HashMap<&'a str, FileLayer<'a>>) -> &'a str {
    let declared = config.pointer("/config/output_layers").map(inputs).unwrap_or_default();
    declared.first().copied().unwrap_or_else(|| {
        let taken: HashSet<&str> = layers.values().flat_map(|l| l.inputs.iter().copied()).collect();
        layers.keys().copied().find(|name| !taken.contains(name)).unwrap_or_default()
    })
}

struct Matcher<'a> {
    path: &'a Path,
    layers: HashMap<&'a str, FileLayer<'a>>,
    expected: &'a Graph,
    /// The file's layer for each expected one.
    found: Vec<Option<&'a str>>,
}

impl<'a> Matcher<'a> {
    /// Returns the layer of a name, skipping layers that do nothing outside training.
    fn layer(&self, mut name: &'a str) -> Result<&FileLayer<'a>, ModelError> {
        // A malformed graph may contain a cycle; a chain is no longer than the graph.
        for _ in 0..=self.layers.len() {
            let Some(layer) = self.layers.get(name) else { break };
            let idle = matches!(layer.class, "Dropout" | "SpatialDropout3D")
                || layer.class == "Activation" && text(layer.config, "activation") == "linear";
            match layer.inputs[..] {
                [input] if idle => name = input,
                _ => return Ok(layer),
            }
        }
        Err(self.mismatch(format!("layer {name:?}, which is not in its model_config"), "a layer"))
    }

    fn mismatch(&self, found: String, expected: impl Into<String>) -> ModelError {
        ModelError::KerasGraph {
            path: self.path.to_owned(),
            model: self.expected.architecture.name(),
            found,
            expected: expected.into(),
        }
    }

    /// The input is compared first, because it shows most clearly that a file holds another network.
    fn match_input(&self) -> Result<(), ModelError> {
        let wanted = &self.expected.nodes[0].op;
        match self.layers.values().find(|layer| layer.class == "InputLayer") {
            Some(layer) => {
                check(layer, wanted).map_err(|found| self.mismatch(found, describe(wanted, "")))
            }
            None => Err(self.mismatch("a model_config without an input layer".to_owned(), "one")),
        }
    }

    fn match_node(&mut self, mut k: usize, name: &'a str) -> Result<(), ModelError> {
        let graph = self.expected;
        while graph.nodes[k].op == Op::Dropout {
            k = graph.nodes[k].inputs[0];
        }
        let node = &graph.nodes[k];
        let layer = self.layer(name)?;
        let (name, inputs) = (layer.name, layer.inputs.clone());
        let fits = check(layer, &node.op);
        match self.found[k] {
            Some(other) if other == name => return Ok(()),
            Some(other) => {
                let found = format!("layers {other:?} and {name:?} in the same place");
                return Err(self.mismatch(found, describe(&node.op, &node.path)));
            }
            None => self.found[k] = Some(name),
        }
        if let Err(found) = fits {
            return Err(self.mismatch(found, describe(&node.op, &node.path)));
        }
        if inputs.len() != node.inputs.len() {
            let found = format!("layer {name:?} with {} inputs", inputs.len());
            let expected = format!("{} with {}", describe(&node.op, &node.path), node.inputs.len());
            return Err(self.mismatch(found, expected));
        }
        let so_far = self.found.clone();
        let first = self.match_inputs(&node.inputs, inputs.iter().copied());
        if first.is_err() && matches!(node.op, Op::Add | Op::Multiply) {
            // The operands of sums and products may be in either order.
            self.found = so_far;
            if self.match_inputs(&node.inputs, inputs.into_iter().rev()).is_ok() {
                return Ok(());
            }
        }
        first
    }

    fn match_inputs(
        &mut self,
        nodes: &[usize],
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), ModelError> {
        nodes.iter().zip(names).try_for_each(|(node, name)| self.match_node(*node, name))
    }

    fn finish(self) -> Result<Vec<(String, String)>, ModelError> {
        let mut taken = HashMap::new();
        let mut pairs = Vec::new();
        for (node, name) in self.expected.nodes.iter().zip(&self.found) {
            let (Some(name), false) = (name, node.path.is_empty()) else { continue };
            if let Some(other) = taken.insert(*name, node.path.as_str()) {
                let found = format!("layer {name:?} as both {other} and {}", node.path);
                return Err(self.mismatch(found, "two layers"));
            }
            pairs.push((node.path.clone(), (*name).to_owned()));
        }
        Ok(pairs)
    }
}

fn text<'a>(config: &'a Value, key: &str) -> &'a str {
    config.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn numbers(config: &Value, key: &str) -> Vec<u64> {
    let list = config.get(key).and_then(Value::as_array);
    list.map(|list| list.iter().filter_map(Value::as_u64).collect()).unwrap_or_default()
}

fn number(config: &Value, key: &str) -> Option<f64> {
    config.get(key).and_then(Value::as_f64)
}

/// Returns whether one input has this shape; the number of inputs of a batch, which comes first, may be fixed or not.
fn takes(config: &Value, shape: &[u64]) -> bool {
    let sizes = config.get("batch_input_shape").and_then(Value::as_array);
    sizes.and_then(|sizes| sizes.split_first()).is_some_and(|(_, sizes)| {
        sizes.iter().map(Value::as_u64).eq(shape.iter().copied().map(Some))
    })
}

/// Returns whether a `ReLU` has no upper limit, and is 0 below 0 and nowhere else, which is the default.
fn plain_relu(config: &Value) -> bool {
    let zero = |key: &str| match config.get(key) {
        None | Some(Value::Null) => true,
        Some(value) => value.as_f64() == Some(0.0),
    };
    config.get("max_value").is_none_or(Value::is_null)
        && zero("negative_slope")
        && zero("threshold")
}

/// Returns whether a layer's input has the channels last, which is the default.
fn channels_last(config: &Value) -> bool {
    config.get("data_format").is_none_or(|format| format.is_null() || *format == "channels_last")
}

/// Returns whether a layer works along the last axis of `[n, depth, height, width, channel]`, which is the default.
fn last_of_five(config: &Value) -> bool {
    let is_last = |axis: &Value| matches!(axis.as_i64(), Some(-1 | 4));
    match config.get("axis") {
        None | Some(Value::Null) => true,
        Some(Value::Array(axes)) => matches!(&axes[..], [axis] if is_last(axis)),
        Some(axis) => is_last(axis),
    }
}

fn describe(op: &Op, path: &str) -> String {
    let what = match op {
        Op::Input(shape) => format!("an input of shape {shape:?}"),
        Op::ConvLstm2d { kernel } => format!("ConvLSTM2D with kernel {kernel:?}"),
        Op::Conv { kernel, stride, padding } => {
            format!("Conv{}D with kernel {kernel:?}, stride {stride}, {padding}", kernel.len())
        }
        Op::Dense { activation } => format!("Dense with activation {activation}"),
        Op::MaxPool { size, stride, padding } => {
            format!("MaxPooling with size {size}, stride {stride}, {padding}")
        }
        other => format!("{other:?}"),
    };
    if path.is_empty() { what } else { format!("{what} ({path})") }
}

/// Checks that a layer does what is expected; otherwise returns what it is.
fn check(layer: &FileLayer<'_>, op: &Op) -> Result<(), String> {
    let FileLayer { name, class, config, .. } = layer;
    let class = *class;
    let activation = text(config, "activation");
    let padding = text(config, "padding");
    let all = |key: &str, value: u64| {
        let found = numbers(config, key);
        !found.is_empty() && found.iter().all(|n| *n == value)
    };
    let fits = match op {
        Op::Input(shape) => class == "InputLayer" && takes(config, shape),
        Op::ConvLstm2d { kernel } => {
            class == "ConvLSTM2D"
                && numbers(config, "kernel_size") == *kernel
                && padding == "same"
                && all("strides", 1)
                && all("dilation_rate", 1)
                && activation == "tanh"
                && text(config, "recurrent_activation") == "hard_sigmoid"
                && config.get("go_backwards").is_none_or(|back| *back == false)
        }
        Op::Conv { kernel, stride, padding: expected } => {
            class == format!("Conv{}D", kernel.len())
                && numbers(config, "kernel_size") == *kernel
                && all("strides", *stride)
                && all("dilation_rate", 1)
                // A kernel of one position has no edge to pad.
                && (padding == *expected || kernel.iter().all(|k| *k == 1))
                && activation == "linear"
        }
        Op::BatchNorm => class == "BatchNormalization" && number(config, "epsilon") == Some(1e-3),
        Op::Dense { activation: expected } => class == "Dense" && activation == *expected,
        Op::Relu => {
            matches!(class, "tf.nn.relu" | "nn.relu")
                || class == "ReLU" && plain_relu(config)
                || class == "Activation" && activation == "relu"
        }
        Op::Sigmoid => {
            matches!(class, "math.sigmoid" | "tf.math.sigmoid" | "nn.sigmoid" | "tf.nn.sigmoid")
                || class == "Activation" && activation == "sigmoid"
        }
        Op::Softmax => {
            class == "Activation" && activation == "softmax"
                || class == "Softmax" && last_of_five(config)
        }
        Op::Dropout => class == "Dropout",
        Op::GlobalAverage => class.starts_with("GlobalAveragePooling"),
        Op::MaxPool { size, stride, padding: expected } => {
            class.starts_with("MaxPooling")
                && all("pool_size", *size)
                && all("strides", *stride)
                && padding == *expected
        }
        Op::Multiply => matches!(class, "Multiply" | "math.multiply" | "tf.math.multiply"),
        Op::Add => {
            matches!(class, "Add" | "__operators__.add" | "tf.__operators__.add" | "math.add")
        }
        Op::Concatenate => class == "Concatenate" && last_of_five(config),
        Op::Flatten => class == "Flatten",
    };
    if fits && channels_last(config) {
        return Ok(());
    }
    let mut found = format!("layer {name:?} of class {class}");
    for key in [
        "batch_input_shape",
        "kernel_size",
        "pool_size",
        "strides",
        "dilation_rate",
        "padding",
        "epsilon",
        "axis",
        "go_backwards",
        "activation",
        "max_value",
        "negative_slope",
        "threshold",
        "data_format",
    ] {
        match config.get(key) {
            Some(value) if !value.is_null() && !value.is_object() => {
                found += &format!(", {key} {value}");
            }
            _ => {}
        }
    }
    Err(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inbound_nodes_of_both_kinds() {
        assert_eq!(inputs(&json!([[["a", 0, 0, {}], ["b", 0, 0, {}]]])), ["a", "b"]);
        let add = json!([["a", 0, 0, {"y": ["b", 0, 0], "name": null}]]);
        assert_eq!(inputs(&add), ["a", "b"]);
        assert!(inputs(&json!([])).is_empty());
        assert_eq!(inputs(&json!([["dense", 0, 0]])), ["dense"]);
        assert_eq!(inputs(&json!(["dense", 0, 0])), ["dense"]);
    }

    fn fits(class: &str, op: &Op, config: Value) -> Result<(), String> {
        check(&FileLayer { name: "a", class, config: &config, inputs: Vec::new() }, op)
    }

    #[test]
    fn a_batch_may_have_a_fixed_size() {
        let input = |shape: Value| {
            fits("InputLayer", &Op::Input(&[100, 12]), json!({"batch_input_shape": shape}))
        };
        assert_eq!(input(json!([null, 100, 12])), Ok(()));
        assert_eq!(input(json!([32, 100, 12])), Ok(()));
        for other in [json!([100, 12]), json!([null, 100, 13]), json!([32, 100, null, 12])] {
            let found = input(other.clone()).expect_err("another shape");
            assert!(found.ends_with(&format!("InputLayer, batch_input_shape {other}")), "{found}");
        }
        assert!(input(Value::Null).is_err());
    }

    #[test]
    fn settings_that_change_what_a_layer_does_are_refused() {
        let plain = json!({"max_value": null, "negative_slope": 0.0, "threshold": 0});
        for config in [json!({}), plain] {
            assert_eq!(fits("ReLU", &Op::Relu, config), Ok(()));
        }
        for (config, said) in [
            (json!({"max_value": 6.0}), "max_value 6.0"),
            (json!({"negative_slope": 0.3}), "negative_slope 0.3"),
            (json!({"threshold": 0.5}), "threshold 0.5"),
        ] {
            let found = fits("ReLU", &Op::Relu, config).expect_err("another function");
            assert_eq!(found, format!("layer \"a\" of class ReLU, {said}"));
        }
        let flatten = |format: Value| fits("Flatten", &Op::Flatten, json!({"data_format": format}));
        for format in [Value::Null, json!("channels_last")] {
            assert_eq!(flatten(format), Ok(()));
        }
        let other = flatten(json!("channels_first"));
        assert!(other.is_err_and(|found| found.contains("data_format \"channels_first\"")));
    }

    #[test]
    fn other_axes_and_directions_are_other_layers() {
        for axis in [json!({}), json!({"axis": -1}), json!({"axis": [4]})] {
            assert_eq!(fits("Softmax", &Op::Softmax, axis.clone()), Ok(()));
            assert_eq!(fits("Concatenate", &Op::Concatenate, axis), Ok(()));
        }
        let other = fits("Softmax", &Op::Softmax, json!({"axis": [1, 2, 3]}));
        assert_eq!(other, Err("layer \"a\" of class Softmax, axis [1,2,3]".to_owned()));
        assert!(fits("Concatenate", &Op::Concatenate, json!({"axis": 1})).is_err());
        let lstm = |dilation: u64, back: bool| {
            let op = Op::ConvLstm2d { kernel: vec![3, 3] };
            let config = json!({"kernel_size": [3, 3], "padding": "same", "strides": [1, 1],
                "dilation_rate": [dilation, dilation], "activation": "tanh",
                "recurrent_activation": "hard_sigmoid", "go_backwards": back});
            fits("ConvLSTM2D", &op, config)
        };
        assert_eq!(lstm(1, false), Ok(()));
        assert!(lstm(1, true).is_err_and(|found| found.contains("go_backwards true")));
        assert!(lstm(2, false).is_err_and(|found| found.contains("dilation_rate [2,2]")));
    }

    #[test]
    fn the_output_of_a_long_circle_is_sought_in_one_pass() {
        let config = json!({});
        let names: Vec<String> = (0..200_000).map(|k| k.to_string()).collect();
        let layer = |name, input| {
            let inputs = vec![input];
            FileLayer { name, class: "Dropout", config: &config, inputs }
        };
        let mut layers = HashMap::new();
        for (name, next) in names.iter().zip(names.iter().cycle().skip(1)) {
            layers.insert(name.as_str(), layer(name.as_str(), next.as_str()));
        }
        assert_eq!(output(&config, &layers), "", "each layer is taken by another");
        layers.insert("last", layer("last", "7"));
        assert_eq!(output(&config, &layers), "last");
    }

    #[test]
    fn a_circle_ends() {
        let config = json!({"config": {"layers": [
            {"class_name": "Dropout", "name": "a", "config": {}, "inbound_nodes": [[["b", 0, 0, {}]]]},
            {"class_name": "Dropout", "name": "b", "config": {}, "inbound_nodes": [[["a", 0, 0, {}]]]},
        ], "output_layers": [["a", 0, 0]]}});
        let graph = Graph::of(crate::Architecture::Ribeiro);
        let error = match_layers(Path::new("x.h5"), &config.to_string(), &graph);
        assert!(matches!(error, Err(ModelError::KerasGraph { .. })));
    }
}
