use std::collections::{BTreeMap, BTreeSet};

use tch::Device;

use super::*;
use crate::Precision;
use crate::keras::weighted_inputs;

const MODES: [Preset; 2] = [Preset::Published, Preset::Corrected];

fn network(architecture: Architecture, mode: Preset) -> Network {
    Network::new(architecture, mode, 7, Device::Cpu, 1).expect("builds")
}

fn summary(architecture: Architecture, mode: Preset) -> Summary {
    network(architecture, mode).summary().expect("runs")
}

#[test]
fn totals_are_kerass() {
    let totals = |architecture| {
        let Summary { parameters, trainable, macs, .. } = summary(architecture, Preset::Published);
        (parameters, trainable, macs)
    };
    // 16.66, 0.296, 6.15 and 0.337 G. For 3DECG-Net: 2,571,912,000 in the LSTMs, 14,090,112,768 in the blocks, 62,208
    // in the heads and 85,104 after them.
    assert_eq!(totals(Architecture::ThreeDEcgNet), (270_416, 270_000, 16_662_172_080));
    let (parameters, _, macs) = totals(Architecture::Sobahi);
    assert_eq!((parameters, macs), (7_000_383, 296_402_096));
    let (parameters, _, macs) = totals(Architecture::Zhang);
    assert_eq!((parameters, (macs + 5_000_000) / 10_000_000), (2_582_823, 615));
    let (parameters, _, macs) = totals(Architecture::Ribeiro);
    assert_eq!((parameters, (macs + 500_000) / 1_000_000), (6_432_999, 337));
}

#[test]
fn every_parameter_belongs_to_a_layer_and_every_layer_is_joined_to_the_next() {
    for architecture in Architecture::ALL {
        for mode in MODES {
            let mut network = network(architecture, mode);
            let summary = network.summary().expect("runs");
            let of = (summary.parameters, summary.trainable);
            assert_eq!(of, network.parameter_count(), "{architecture} {mode}");
            let names: BTreeSet<&str> = summary.layers.iter().map(|l| l.name.as_str()).collect();
            assert_eq!(names.len(), summary.layers.len(), "{architecture} {mode}: names");
            let taken: BTreeSet<&str> =
                summary.layers.iter().flat_map(|l| l.inputs.iter().map(String::as_str)).collect();
            for (k, layer) in summary.layers.iter().enumerate() {
                let name = &layer.name;
                assert_eq!(layer.inputs.is_empty(), k == 0, "{architecture} {mode}: {name}");
                let last = k + 1 == summary.layers.len();
                assert_eq!(taken.contains(name.as_str()), !last, "{architecture} {mode}: {name}");
                for input in &layer.inputs {
                    let before = summary.layers[..k].iter().any(|other| other.name == *input);
                    assert!(before, "{architecture} {mode}: {name} takes {input}");
                }
            }
            assert_eq!(summary.layers[0].output_shape, architecture.input_shape());
            assert_eq!(summary.layers.last().expect("layers").output_shape, [7]);
            network.set_precision(Precision::Bf16);
            assert_eq!(network.summary().expect("runs"), summary, "{architecture} {mode}");
        }
    }
}

#[test]
fn corrected_zhang_has_a_relu_behind_each_convolution_and_adds_back_its_inception_stages() {
    let summary = summary(Architecture::Zhang, Preset::Corrected);
    let kind_of: BTreeMap<&str, LayerKind> =
        summary.layers.iter().map(|layer| (layer.name.as_str(), layer.kind)).collect();
    let takers = |name: &str| -> Vec<LayerKind> {
        let takes = |layer: &&LayerSummary| layer.inputs.iter().any(|input| input == name);
        summary.layers.iter().filter(takes).map(|layer| layer.kind).collect()
    };
    let of = |kind| summary.layers.iter().filter(move |layer| layer.kind == kind);
    let (back, others): (Vec<_>, Vec<_>) =
        of(LayerKind::Conv3d).partition(|layer| takers(&layer.name) == [LayerKind::Add]);
    let from: Vec<LayerKind> = back.iter().map(|layer| kind_of[layer.inputs[0].as_str()]).collect();
    assert_eq!(from, [LayerKind::Concatenate; 3]);
    for layer in others {
        assert_eq!(takers(&layer.name), [LayerKind::Relu], "{}", layer.name);
    }
    assert_eq!(of(LayerKind::Add).count(), 3);
    for add in of(LayerKind::Add) {
        assert_eq!(takers(&add.name), [LayerKind::Relu]);
    }
    // The study's program has no residual additions.
    let published = super::tests::summary(Architecture::Zhang, Preset::Published);
    let without = |kind| published.layers.iter().all(|layer| layer.kind != kind);
    assert!(without(LayerKind::Add));
}

/// Returns which layers with parameters feed each such layer, directly or through layers without parameters.
fn heard(summary: &Summary) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut sources: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut heard = BTreeMap::new();
    for layer in &summary.layers {
        let from: BTreeSet<&str> =
            layer.inputs.iter().flat_map(|input| sources[input.as_str()].clone()).collect();
        if layer.parameters == 0 {
            sources.insert(&layer.name, from);
        } else {
            sources.insert(&layer.name, [layer.name.as_str()].into());
            heard.insert(layer.name.as_str(), from);
        }
    }
    heard
}

#[test]
fn layers_are_joined_as_in_kerass_graph() {
    for architecture in [
        Architecture::ThreeDEcgNet,
        Architecture::Zhang,
        Architecture::Sobahi,
        Architecture::Ribeiro,
    ] {
        let own = summary(architecture, Preset::Published);
        let theirs = weighted_inputs(architecture);
        let theirs: BTreeMap<&str, BTreeSet<&str>> = theirs
            .iter()
            .map(|(path, inputs)| (path.as_str(), inputs.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(heard(&own), theirs, "{architecture}");
    }
}

#[test]
fn shapes_have_the_channels_last() {
    let shape = |summary: &Summary, name: &str| -> Vec<usize> {
        let layer = summary.layers.iter().find(|layer| layer.name == name);
        layer.unwrap_or_else(|| panic!("no {name}")).output_shape.clone()
    };
    let net = summary(Architecture::ThreeDEcgNet, Preset::Published);
    assert_eq!(shape(&net, "conv_lstm_1"), [45, 45, 45, 16]);
    assert_eq!(shape(&net, "bn_2"), [45, 45, 45, 16]);
    assert_eq!(shape(&net, "block_3.conv_2"), [45, 45, 45, 32]);
    assert_eq!(shape(&net, "block_1.se.squeeze"), [4]);
    assert_eq!(shape(&net, "maxpooling_1"), [6, 6, 6, 32]);
    assert_eq!(shape(&net, "head_1.key"), [6, 6, 6, 1]);
    assert_eq!(shape(&net, "flatten_1"), [648]);
    let corrected = summary(Architecture::ThreeDEcgNet, Preset::Corrected);
    assert_eq!(shape(&corrected, "maxpooling_1"), [7, 7, 7, 32]);
    let net = summary(Architecture::Ribeiro, Preset::Published);
    assert_eq!(shape(&net, "reshape_1"), [100, 12]);
    assert_eq!(shape(&net, "unit_4.conv_2"), [17, 320]);
    let net = summary(Architecture::Zhang, Preset::Published);
    assert_eq!(shape(&net, "concatenate_1"), [21, 21, 21, 128]);
    assert_eq!(shape(&net, "bn_1"), [1, 1, 1, 64]);
}

#[test]
fn a_summary_survives_json_and_shows_its_totals() {
    let summary = summary(Architecture::Ribeiro, Preset::Corrected);
    let text = serde_json::to_string(&summary).expect("serialises");
    assert!(text.contains(r#""kind":"BatchNormalization""#));
    assert_eq!(serde_json::from_str::<Summary>(&text).expect("parses"), summary);
    let table = summary.to_string();
    let line = |start: &str| {
        table.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start}"))
    };
    assert!(table.starts_with("ribeiro (corrected)\n"));
    assert!(line("unit_3.conv_2 ").contains("16, stride 3, same"));
    assert!(line("total").contains("6,432,999"));
    for layer in &summary.layers {
        let value = serde_json::to_value(layer.kind).expect("serialises");
        assert_eq!(value, layer.kind.name());
    }
}
