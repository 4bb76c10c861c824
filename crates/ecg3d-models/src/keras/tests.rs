use std::path::{Path, PathBuf};

use ecg_core::{LeadMask, PredictSubsets};
use ndarray::{Array1, Array2, ArrayD};
use ndarray_npy::NpzReader;
use tch::{Kind, Tensor, no_grad};

use super::*;
use crate::{Model, Precision};

/// Bound on differences of probabilities. Keras's own f32 and f64 differ by up to 4.5e-7, ours in f32 and Keras's by up
/// to 1.3e-6 (the network of Sobahi, with a sum of 636,056 terms).
const F32: f64 = 3e-6;
/// The same for the network of Zhang, where Keras's f32 and f64 differ by 5.2e-6.
const F32_ZHANG: f64 = 1e-5;

/// Returns the path of `models/NAME` among the golden values; prints a message if there are none.
fn golden(name: &str) -> Option<PathBuf> {
    Some(ecg_test_data::goldens("models")?.join(name))
}

fn arrays(path: &Path) -> NpzReader<std::fs::File> {
    NpzReader::new(std::fs::File::open(path).expect("opens")).expect("an npz")
}

fn tensor(npz: &mut NpzReader<std::fs::File>, name: &str) -> Tensor {
    let array: ArrayD<f32> = npz.by_name(name).expect(name);
    let shape: Vec<i64> = array.shape().iter().map(|n| *n as i64).collect();
    Tensor::from_slice(&array.into_iter().collect::<Vec<_>>()).reshape(shape)
}

fn published(h5: &Path, architecture: Architecture) -> Network {
    import(h5, architecture, Preset::Published, 7).expect("imports").0
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

fn probabilities(network: &Network, x: &Tensor) -> Tensor {
    no_grad(|| network.forward_logits(x, false)).expect("runs").sigmoid()
}

#[test]
fn three_d_ecg_net_equals_keras_in_every_layout() {
    let Some(io) = golden("3decgnet.io.npz") else { return };
    let mut io = arrays(&io);
    let (x, y) = (tensor(&mut io, "x").squeeze_dim(4), tensor(&mut io, "y"));
    let (x_uv, y_uv) = (tensor(&mut io, "x_uV").squeeze_dim(4), tensor(&mut io, "y_uV"));
    let file = |name: &str| golden(name).expect("found before");
    let mut full = published(&file("3decgnet.h5"), Architecture::ThreeDEcgNet);
    for (x, y) in [(&x, &y), (&x_uv, &y_uv)] {
        let difference = largest_difference(&probabilities(&full, x), y);
        assert!(difference < F32, "{difference:e}");
    }

    full.set_precision(Precision::Bf16);
    for (x, y) in [(&x, &y), (&x_uv, &y_uv)] {
        let difference = largest_difference(&probabilities(&full, x), y);
        println!("3decgnet in bf16: {difference:e} from Keras");
        assert!(difference < 2e-2);
    }

    let weights = published(&file("3decgnet.weights.h5"), Architecture::ThreeDEcgNet);
    for ((name, a), (_, b)) in full.tensors().zip(weights.tensors()) {
        assert!(a == b, "{name} differs between .h5 and .weights.h5");
    }
    let compiled = published(&file("3decgnet.compiled_after1step.h5"), Architecture::ThreeDEcgNet);
    assert!(largest_difference(&probabilities(&compiled, &x), &y) > 1e-4);
}

#[test]
fn ribeiro_equals_keras_in_both_modes() {
    let (Some(io), Some(h5)) = (golden("ribeiro.io.npz"), golden("ribeiro.h5")) else { return };
    let mut io = arrays(&io);
    let (x, y) = (tensor(&mut io, "x"), tensor(&mut io, "y"));
    // Keras's input is [n, 100, 12]; this undoes the study's reshape and, below, the transpose.
    let published = published(&h5, Architecture::Ribeiro);
    let difference = largest_difference(&probabilities(&published, &x.reshape([-1, 12, 100])), &y);
    assert!(difference < F32, "{difference:e}");
    let (corrected, _) = import(&h5, Architecture::Ribeiro, Preset::Corrected, 7).expect("imports");
    let (x, y) = (tensor(&mut io, "x_transposed"), tensor(&mut io, "y_transposed"));
    let difference = largest_difference(&probabilities(&corrected, &x.transpose(1, 2)), &y);
    assert!(difference < F32, "{difference:e}");
}

#[test]
fn sobahi_and_zhang_equal_keras() {
    for (architecture, bound) in [(Architecture::Sobahi, F32), (Architecture::Zhang, F32_ZHANG)] {
        let name = architecture.name();
        let Some(io) = golden(&format!("{name}.io.npz")) else { return };
        let h5 = golden(&format!("{name}.h5")).expect("found before");
        let mut io = arrays(&io);
        let (x, y) = (tensor(&mut io, "x").squeeze_dim(4), tensor(&mut io, "y"));
        let difference = largest_difference(&probabilities(&published(&h5, architecture), &x), &y);
        assert!(difference < bound, "{name}: {difference:e}");
    }
}

#[test]
fn signals_with_leads_removed_are_judged_as_by_keras() {
    // Of many masks, every one of these.
    for (name, every) in [("keras_0_rec04_E07509_adc", 40), ("keras_1_rec06_JS20014_adc", 100)] {
        let (Some(lime), Some(h5)) = (ecg_test_data::goldens("lime"), golden("3decgnet.h5")) else {
            return;
        };
        let (network, card) =
            import_keras(h5, Architecture::ThreeDEcgNet, Preset::Published).expect("imports");
        let model = Model::new(network, card).expect("fits");
        let mut npz = arrays(&lime.join(format!("{name}.npz")));
        // Already multiplied by `scale`, as Keras's volumes were.
        let prepared: Array2<f64> = npz.by_name("resampled").expect("a signal");
        let prepared = prepared.mapv(|value| value as f32);
        let rows: Array2<u8> = npz.by_name("masks").expect("masks");
        let removed: Array2<f32> = npz.by_name("prob_all").expect("probabilities");
        let full: Array1<f32> = npz.by_name("prob_full_all").expect("probabilities");
        let (mut masks, mut expected) = (vec![LeadMask::all(12)], vec![full.view()]);
        for (row, p) in rows.outer_iter().zip(removed.outer_iter()).step_by(every) {
            let kept = (0..12_usize).filter(|&lead| row[lead] == 1);
            masks.push(LeadMask(kept.map(|lead| 1_u32 << lead).sum()));
            expected.push(p);
        }
        let found = model.predict_subsets(prepared.view(), &masks).expect("predicts");
        assert_eq!((found.nrows(), found.ncols()), (expected.len(), 7));
        for ((found, expected), mask) in found.outer_iter().zip(expected).zip(masks) {
            // The volumes, too, are computed in f32.
            let mut pairs = found.iter().zip(expected.iter());
            let close = pairs.all(|(a, b)| (a - f64::from(*b)).abs() < 1e-5);
            assert!(close, "{name} {mask:?}: {found}, expected {expected}");
        }
    }
}

#[test]
fn activations_equal_kerass() {
    let (Some(h5), Some(io)) = (golden("3decgnet.h5"), golden("3decgnet.io.npz")) else { return };
    let network = published(&h5, Architecture::ThreeDEcgNet);
    let file = KerasFile::open(&h5).expect("opens");
    let (weights, _) = file.weights(&Graph::of(Architecture::ThreeDEcgNet)).expect("reads");
    let x = tensor(&mut arrays(&io), "x").squeeze_dim(4);
    let activations = network.activations(&x).expect("runs");
    let mut golden = arrays(&golden("3decgnet.acts.npz").expect("found before"));
    let names = golden.names().expect("names");
    let mut compared = 0;
    for (path, ours) in activations {
        let of_layer = |name: &str| name.rsplit_once('.').is_some_and(|(layer, _)| layer == path);
        let weight = weights.iter().find(|(name, _)| of_layer(name)).expect("a layer").1;
        let layer = weight.at.split('/').next().expect("a layer");
        let find = |kind: &str| {
            names.iter().find(|n| n.trim_end_matches(".npy") == format!("{kind}__{layer}"))
        };
        let (theirs, ours) = if let Some(whole) = find("act") {
            (tensor(&mut golden, whole), ours)
        } else if let Some(part) = find("sub") {
            // Converts ours to Keras's order of axes, and takes every seventh position.
            let ours = match path.starts_with("conv_lstm") {
                true => ours.permute([0, 1, 3, 4, 2]),
                false => ours.permute([0, 2, 3, 4, 1]),
            };
            let ours = (1..4).fold(ours, |x, axis| x.slice(axis, 0, None, 7));
            (tensor(&mut golden, part), ours)
        } else {
            continue;
        };
        // The golden value of the last layer is a probability.
        let ours = if path == "dense_3" { ours.sigmoid() } else { ours };
        let scale = theirs.abs().max().double_value(&[]);
        let difference = largest_difference(&ours.reshape(theirs.size()), &theirs) / scale;
        assert!(difference < 1e-4, "{path} ({layer}): {difference:e} of its peak");
        compared += 1;
    }
    // All layers that have weights.
    assert_eq!(compared, 37);
}

#[test]
fn other_models_and_bad_files_are_refused() {
    let Some(h5) = golden("3decgnet.h5") else { return };
    let wrong = |path: &Path, architecture, what: &str| {
        let error = import(path, architecture, Preset::Published, 7).expect_err("a wrong file");
        let text = error.with_causes();
        println!("{text}");
        assert!(text.contains(what), "{text:?} lacks {what:?}");
        assert!(text.contains(&path.display().to_string()), "{text:?} lacks the path");
    };
    let other = |name: &str| golden(name).expect("found before");
    wrong(&other("ribeiro.h5"), Architecture::ThreeDEcgNet, "[null,100,12]");
    wrong(&h5, Architecture::Ribeiro, "[100, 12]");
    wrong(&other("zhang.h5"), Architecture::ThreeDEcgNet, "expected");
    wrong(&other("sobahi.h5"), Architecture::ThreeDEcgNet, "expected");
    wrong(&other("sobahi.h5"), Architecture::Zhang, "expected");
    wrong(&other("zhang.h5"), Architecture::Sobahi, "expected");
    wrong(&other("3decgnet.weights.h5"), Architecture::Ribeiro, "no group");
    wrong(&other("ops.json"), Architecture::Ribeiro, "HDF5");
    wrong(&other("absent.h5"), Architecture::Ribeiro, "cannot read");

    let dir = tempfile::tempdir().expect("a folder");
    let bytes = std::fs::read(&h5).expect("reads");
    let empty = dir.path().join("empty.h5");
    std::fs::write(&empty, b"").expect("writes");
    wrong(&empty, Architecture::ThreeDEcgNet, "HDF5");
    for part in 1..16 {
        let path = dir.path().join(format!("cut_{part}.h5"));
        std::fs::write(&path, &bytes[..bytes.len() * part / 16]).expect("writes");
        wrong(&path, Architecture::ThreeDEcgNet, "as an HDF5 file");
    }
}

#[test]
fn a_layer_too_many_is_named() {
    let Some(h5) = golden("3decgnet.weights.h5") else { return };
    let mut graph = Graph::of(Architecture::ThreeDEcgNet);
    let file = KerasFile::open(&h5).expect("opens");
    assert!(file.weights(&graph).is_ok());
    // Makes the last dense layer one that the network does not have.
    let last = graph.nodes.iter_mut().rfind(|node| !node.path.is_empty()).expect("a layer");
    last.path.clear();
    let error = file.weights(&graph).err().expect("one too many").to_string();
    assert!(error.contains("_layer_checkpoint_dependencies/dense_"), "{error}");
}

#[test]
fn too_many_groups_are_not_taken_for_empty_ones() {
    let Some(h5) = golden("3decgnet.weights.h5") else { return };
    let file = KerasFile::open(&h5).expect("opens");
    let root = file.file.root_group().expect("a root");
    let layers = root.group("_layer_checkpoint_dependencies").expect("layers");
    let (mut others, _) = layers.member_names().expect("names");
    let weighted = ["conv", "dense", "batch_normalization"];
    others.retain(|name| !weighted.iter().any(|class| name.starts_with(class)));
    assert!(others.len() > 2, "{others:?}");
    let refused =
        |most| file.refuse_weights(&layers, others.clone(), Architecture::ThreeDEcgNet, most);
    refused(MOST_GROUPS).expect("no weights");
    let text = refused(2).expect_err("more groups than that").to_string();
    assert!(text.contains("found more than 2 groups of layers without weights"), "{text}");
}

/// Whole models have both: the graph, and the layers in order.
#[test]
fn layers_found_by_their_order_are_those_of_the_graph() {
    for architecture in Architecture::ALL {
        if architecture == Architecture::ResNet1d {
            continue;
        }
        let Some(h5) = golden(&format!("{}.h5", architecture.name())) else { return };
        let graph = Graph::of(architecture);
        let file = KerasFile::open(&h5).expect("opens");
        let root = file.file.root_group().expect("a root");
        let strings = |group: &Group, name| file.strings(group, name).expect("reads").expect(name);
        let config = strings(&root, "model_config").concat();
        let mut by_graph = graph::match_layers(&h5, &config, &graph).expect("matches");
        let layers = root.group("model_weights").expect("layers");
        let names = strings(&layers, "layer_names");
        by_graph.sort_by_key(|(_, layer)| names.iter().position(|name| name == layer));
        let in_order = file.match_in_order(&layers, names.clone(), &graph).expect("matches");
        assert_eq!(in_order, by_graph, "{architecture}");
        let weighted = |name: &String| in_order.iter().any(|(_, layer)| layer == name);
        let fewer = names.iter().filter(|&name| weighted(name)).skip(1).cloned().collect();
        let error = file.match_in_order(&layers, fewer, &graph).expect_err("one is missing");
        assert!(error.to_string().contains("layers with weights, expected"), "{error}");
    }
}

#[test]
fn a_card_says_whether_the_graph_was_in_the_file() {
    for (name, says) in [("3decgnet.h5", false), ("3decgnet.weights.h5", true)] {
        let Some(h5) = golden(name) else { return };
        let (_, card) =
            import_keras(&h5, Architecture::ThreeDEcgNet, Preset::Published).expect("imports");
        let origin = card.origin.expect("an origin");
        assert!(origin.starts_with(&format!("Keras weights {name}, SHA-256 ")), "{origin}");
        assert_eq!(origin.ends_with(", graph not in the file"), says, "{origin}");
    }
}

/// A dataset's name is spoilt where it is in the table of its group, without a path before it.
#[test]
fn a_missing_dataset_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    for (file, dataset, said) in
        [("ribeiro.h5", "kernel:0", ".kernel ("), ("zhang.h5", "moving_mean:0", ".moving_mean (")]
    {
        let Some(h5) = golden(file) else { return };
        let mut bytes = std::fs::read(&h5).expect("reads");
        let wanted = [b"\0", dataset.as_bytes(), b"\0"].concat();
        let at = bytes.windows(wanted.len()).rposition(|window| window == wanted);
        bytes[at.expect("in there") + 1] = b'_';
        let path = dir.path().join(file);
        std::fs::write(&path, bytes).expect("writes");
        let architecture = file.trim_end_matches(".h5").parse().expect("a network");
        let error = import(&path, architecture, Preset::Published, 7).expect_err("misses one");
        let text = error.to_string();
        assert!(matches!(error, ModelError::MissingTensor { .. }) && text.contains(said), "{text}");
    }
}

#[test]
fn another_number_of_labels_is_refused() {
    let Some(h5) = golden("ribeiro.h5") else { return };
    let error = import(&h5, Architecture::Ribeiro, Preset::Published, 5);
    assert!(matches!(error, Err(ModelError::TensorShape { found, .. }) if found == [5440, 7]));
}
