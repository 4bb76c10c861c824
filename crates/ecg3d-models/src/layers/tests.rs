use std::fs::File;
use std::path::Path;

use ndarray::ArrayD;
use ndarray_npy::NpzReader;
use tch::{Device, Kind, Tensor, no_grad};

use super::*;
use crate::params::{Start, from_keras, to_keras};

#[test]
fn same_padding_is_as_keras_has_it() {
    assert_eq!(same_padding(100, 16, 1), (7, 8));
    assert_eq!(same_padding(100, 16, 3), (7, 8));
    assert_eq!(same_padding(100, 3, 3), (1, 1));
    assert_eq!(same_padding(34, 2, 2), (0, 0));
    assert_eq!(same_padding(45, 7, 7), (2, 2));
    assert_eq!(same_padding(45, 3, 1), (1, 1));
    assert_eq!(same_padding(10, 1, 2), (0, 0));
}

/// Compares outputs, gradients and running statistics of single layers with Keras's, in small cases that come with the
/// crate.
#[test]
fn layers_equal_kerass() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ops.npz");
    assert_eq!(compare(Path::new(path)), 9);
}

/// Does the same in all cases of the golden values for which there is a layer here.
#[test]
fn layers_equal_kerass_in_all_cases() {
    let Some(folder) = ecg_test_data::goldens("models") else { return };
    let cases = compare(&folder.join("ops.npz"));
    println!("{cases} cases compared");
    assert_eq!(cases, 39);
}

type Forward<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;

struct Case {
    npz: NpzReader<File>,
    name: String,
}

impl Case {
    /// Returns an array in Keras's layout.
    fn array(&mut self, what: &str) -> Option<Tensor> {
        let array: ArrayD<f32> = self.npz.by_name(&format!("{}__{what}", self.name)).ok()?;
        let shape: Vec<i64> = array.shape().iter().map(|n| *n as i64).collect();
        Some(Tensor::from_slice(&array.into_iter().collect::<Vec<_>>()).reshape(shape))
    }

    fn weights(&mut self, what: &str) -> Vec<Tensor> {
        (0..).map_while(|k| self.array(&format!("{what}{k}"))).collect()
    }

    /// Returns the number after a letter in the case's name: 2 for `s` in `conv3d_same_s2`.
    fn number(&self, letter: &str) -> Option<i64> {
        self.name.split('_').find_map(|part| part.strip_prefix(letter)?.parse().ok())
    }

    fn close(&self, what: &str, ours: &Tensor, theirs: &Tensor) {
        assert_eq!(ours.size(), theirs.size(), "{} {what}", self.name);
        let peak = theirs.abs().max().double_value(&[]).max(1.0);
        let difference = (ours - theirs).abs().max().double_value(&[]) / peak;
        // Both are f32: rounding in sums of up to some hundred terms is a few 1e-7 of their peak.
        assert!(difference < 1e-5, "{} {what}: {difference:e} of its peak", self.name);
    }
}

fn compare(path: &Path) -> usize {
    let mut npz = NpzReader::new(File::open(path).expect("opens")).expect("an npz");
    let names = npz.names().expect("names");
    let cases = names.iter().filter_map(|name| name.trim_end_matches(".npy").strip_suffix("__x"));
    cases.filter(|name| compare_case(path, name)).count()
}

/// Returns whether there is a layer for the case.
fn compare_case(path: &Path, name: &str) -> bool {
    let npz = NpzReader::new(File::open(path).expect("opens")).expect("an npz");
    let mut case = Case { npz, name: name.to_owned() };
    let (train, statistics_rate) = (name.ends_with("_train"), BN_UPDATE);
    let pass = Pass { train, dropout: false, statistics_rate, taps: None, tape: None };
    let padding = if name.contains("same") { Padding::Same } else { Padding::Valid };
    let weights = case.weights("w");
    let shape =
        |k: usize| -> Vec<usize> { weights[k].size().into_iter().map(|n| n as usize).collect() };
    let mut b = Builder::new(Start::Blank, Device::Cpu, Kind::Float);
    let kind = name.split('_').next().unwrap_or(name);
    let forward: Forward<'_> = match kind {
        "conv1d" | "conv3d" => {
            let [sizes @ .., input, output] = &shape(0)[..] else { panic!("{name}: a kernel") };
            let stride = case.number("s").unwrap_or(1);
            let bias = weights.len() > 1;
            let options = ConvOptions { stride, padding, bias, init: Init::Zeros };
            let layer = Conv::new(&mut b, "x", sizes, [*input, *output], options).expect("builds");
            Box::new(move |x| layer.forward(x, pass))
        }
        "convlstm" if !name.ends_with("last") => {
            let kernel = shape(0);
            let layer = ConvLstm2d::new(&mut b, "x", kernel[0], [kernel[2], kernel[3] / 4]);
            let layer = layer.expect("builds");
            Box::new(move |x| layer.forward(x, pass))
        }
        "bn" => {
            let layer = BatchNorm::new(&mut b, "x", shape(0)[0]).expect("builds");
            Box::new(move |x| layer.forward(x, pass))
        }
        "dense" | "dense5d" => {
            let [input, output] = shape(0)[..] else { panic!("{name}: a kernel") };
            let layer = Dense::new(&mut b, "x", [input, output], Init::Zeros).expect("builds");
            let activation =
                if name.ends_with("relu") { Activation::Relu } else { Activation::Linear };
            Box::new(move |x| layer.forward(x, activation, pass))
        }
        "maxpool1d" | "maxpool3d" => {
            // `k3` or `3`, or with a stride `3s2`.
            let last = name.rsplit('_').next().unwrap_or(name).trim_start_matches('k');
            let (size, stride) = last.split_once('s').unwrap_or((last, last));
            let [size, stride] = [size, stride].map(|n| n.parse::<i64>().expect(name));
            Box::new(move |x| max_pool(x, size, stride, padding, pass))
        }
        _ => return false,
    };
    let parameters = b.finish();
    assert_eq!(parameters.len(), weights.len(), "{name}");
    for (parameter, weight) in parameters.iter().zip(&weights) {
        let values: Vec<f32> = Vec::try_from(weight.reshape(-1)).expect("f32");
        let shape: Vec<usize> = weight.size().into_iter().map(|n| n as usize).collect();
        let value = from_keras(&values, &shape).expect("a tensor");
        no_grad(|| parameter.tensor.shallow_clone().copy_(&value));
    }

    let x = case.array("x").expect("x").set_requires_grad(true);
    let y = channels_last(kind, &forward(&channels_first(kind, &x)).expect("runs"));
    let expected = case.array("y").expect("y");
    case.close("y", &y, &expected);
    let dy = case.array("dy").expect("dy");
    (&y * dy).sum(Kind::Float).backward();
    let expected = case.array("dx").expect("dx");
    case.close("dx", &x.grad(), &expected);
    let trained = parameters.iter().filter(|p| p.trainable);
    for (k, (parameter, expected)) in trained.zip(case.weights("dw")).enumerate() {
        let gradient = to_keras(&parameter.tensor.grad()).expect("a layout");
        case.close(&format!("dw{k}"), &gradient, &expected);
    }
    for (k, (parameter, expected)) in parameters.iter().zip(case.weights("wafter")).enumerate() {
        let value = to_keras(&parameter.tensor.detach()).expect("a layout");
        case.close(&format!("wafter{k}"), &value, &expected);
    }
    true
}

#[test]
fn dense_layers_are_fitted_to_what_they_see() {
    let mut b = Builder::new(Start::Seed(2), Device::Cpu, Kind::Float);
    let dense = no_grad(|| Dense::new(&mut b, "x", [5, 3], Init::GlorotUniform)).expect("builds");
    let x = Tensor::arange(40 * 5, (Kind::Float, Device::Cpu)).sin().view([40, 5]) + 7.0;
    let moments = |over: &[i64]| {
        let y = dense.add_bias(&dense.linear(&x).expect("runs")).expect("runs");
        let (std, mean) = y.detach().std_mean_dim(over, false, false);
        [mean, std].map(|t| Vec::<f32>::try_from(t.view(-1)).expect("a flat tensor"))
    };
    // Rounding of sums of five products around 7.
    let all_near = |values: &[f32], expected: &[f32]| {
        let far = values.iter().zip(expected).find(|(a, b)| (**a - **b).abs() > 1e-5);
        assert!(far.is_none(), "{values:?}, expected {expected:?}");
    };
    dense.standardise(&x, 0.5).expect("fits");
    let [mean, std] = moments(&[0, 1]);
    all_near(&mean, &[0.0]);
    all_near(&std, &[0.5]);
    dense.standardise_units(&x, 2.0).expect("fits");
    let [mean, std] = moments(&[0]);
    all_near(&mean, &[0.0; 3]);
    all_near(&std, &[2.0; 3]);
    let means = [1.0, -2.0, 0.25];
    dense.shift_means_to(&x, &Tensor::from_slice(&means)).expect("fits");
    all_near(&moments(&[0])[0], &means);
    // Outputs that are equal except for rounding can't be scaled to any deviation, so the layer stays as it is.
    let before = dense.parameters().iter().map(|t| t.detach().copy()).collect::<Vec<_>>();
    dense.standardise_units(&x.zeros_like(), 1.0).expect("fits");
    let alike = x.ones_like() * 7.0 + &x * 1e-7;
    dense.standardise_units(&alike, 1.0).expect("fits");
    assert!(dense.parameters().iter().zip(&before).all(|(now, then)| now.equal(then)));
}

/// Converts Keras's `[n, axis.., channel]` to our layout, in which a convolutional LSTM has its steps before the
/// channel.
fn channels_first(kind: &str, x: &Tensor) -> Tensor {
    match kind {
        "dense" | "dense5d" => x.shallow_clone(),
        "convlstm" => x.movedim_int(-1, 2),
        _ => x.movedim_int(-1, 1),
    }
}

fn channels_last(kind: &str, y: &Tensor) -> Tensor {
    match kind {
        "dense" | "dense5d" => y.shallow_clone(),
        "convlstm" => y.movedim_int(2, -1),
        _ => y.movedim_int(1, -1),
    }
}

/// libtorch adds these values one after the other in `f32`, so its means are off by 2e-5.
#[test]
fn running_statistics_are_of_exact_sums() {
    let mut b = Builder::new(Start::Seed(1), Device::Cpu, Kind::Float);
    let layer = no_grad(|| BatchNorm::new(&mut b, "x", 16)).expect("builds");
    let at = Tensor::arange(2 * 32 * 32 * 32 * 16, (Kind::Float, Device::Cpu));
    let x = ((at * 0.37).sin() + 30.0).reshape([2, 32, 32, 32, 16]).permute([0, 4, 1, 2, 3]);
    let pass = Pass { train: true, dropout: false, statistics_rate: 0.5, taps: None, tape: None };
    let _ = layer.forward(&x, pass).expect("runs");
    let exact = x.to_kind(Kind::Double).transpose(0, 1).flatten(1, -1);
    let mean = exact.mean_dim([1_i64].as_slice(), false, Kind::Double) * 0.5;
    let variance = exact.var_dim([1_i64].as_slice(), true, false) * 0.5 + 0.5;
    let parameters = b.finish();
    for (name, expected) in [("x.moving_mean", mean), ("x.moving_variance", variance)] {
        let own = parameters.iter().find(|own| own.name == name).expect("is there");
        let off = (&own.tensor - &expected).abs().max().double_value(&[]);
        // One rounding to `f32` of values up to 15.
        assert!(off < 1e-6, "{name} is off by {off:e}");
    }
}
