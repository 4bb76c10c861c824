use std::cell::Cell;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ecg_core::{Lead, LeadMask, Predict, PredictError, PredictSubsets, SamplingRate};
use ecg3d_convert::{ConvertConfig, ConvertPlan, ConvertWarning, ImagePlan};
use ndarray::{Array3, Array4, s};
use tch::Device;

use super::*;
use crate::{Architecture, FrontEnd, Preset, WindowPooling, save};

fn model(architecture: Architecture, mode: Preset) -> Model {
    let network = Network::new(architecture, mode, 7, Device::Cpu, 1).expect("builds");
    let config = ConvertConfig::preset(mode);
    let card = ModelCard::new(architecture, mode, LabelSet::seven(), config);
    Model::new(network, card).expect("fits")
}

fn signals(n: usize, samples: usize) -> Array3<f32> {
    Array3::from_shape_fn((n, 12, samples), |(n, lead, t)| {
        ((t * (lead + 2) + 31 * n) as f32 * 0.05).sin()
    })
}

/// Sums in another order round differently.
#[track_caller]
fn assert_close(a: &Array2<f64>, b: &Array2<f64>) {
    assert_eq!(a.dim(), b.dim());
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a}, expected {b}");
}

#[test]
fn a_record_is_the_mean_of_its_windows_logits() {
    let model = model(Architecture::Ribeiro, Preset::Corrected).with_batch(2);
    let x = signals(2, 250);
    let whole = model.predict_proba(x.view()).expect("predicts");
    let logit = |p: f64| (p / (1.0 - p)).ln();
    let mut mean = Array2::<f64>::zeros((2, 7));
    for start in [0, 50, 100, 150] {
        let window = x.slice(s![.., .., start..start + 100]);
        mean += &model.predict_proba(window).expect("predicts").mapv(logit);
    }
    assert_close(&whole, &mean.mapv(|sum| 1.0 / (1.0 + (-sum / 4.0).exp())));
    let logits = model.logits_prepared(x.view(), None).expect("predicts");
    assert_close(&logits, &(mean / 4.0));
    assert_eq!(sigmoid(logits), whole, "the same bits");

    // Padding does not count, and lengths are checked.
    let short = model.predict_prepared(x.view(), Some(&[250, 149])).expect("predicts");
    let first = model.predict_proba(x.slice(s![1..2, .., ..100])).expect("predicts");
    assert_close(&short.slice(s![1..2, ..]).to_owned(), &first);
    let wrong = |lengths: &[usize]| model.predict_prepared(x.view(), Some(lengths));
    assert!(matches!(wrong(&[250, 99]), Err(ModelError::TooShort { row: 1, found: 99, .. })));
    assert!(matches!(wrong(&[251, 99]), Err(ModelError::TooLong { row: 0, found: 251, .. })));
    assert!(matches!(wrong(&[250]), Err(ModelError::RowCount { .. })));
}

#[test]
fn a_record_can_be_the_maximum_of_its_windows_logits() {
    let masks = [LeadMask(0b1010_0000_0001), LeadMask::all(12)];
    for (architecture, starts) in
        [(Architecture::Ribeiro, vec![0, 50, 100, 150]), (Architecture::ThreeDEcgNet, vec![0, 50])]
    {
        let (network, card) = model(architecture, Preset::Corrected).into_parts();
        let card = card.with_window_pooling(WindowPooling::Max);
        let model = Model::new(network, card).expect("fits").with_batch(3);
        let x = signals(2, starts.last().expect("windows") + 100);
        let maxima = |of: &dyn Fn(usize) -> Array2<f64>| {
            let mut each = starts.iter().map(|&start| of(start));
            let first = each.next().expect("a window");
            each.fold(first, |max, own| {
                ndarray::Zip::from(&max).and(&own).map_collect(|a, b| a.max(*b))
            })
        };
        let cut = |start: usize| x.slice(s![.., .., start..start + 100]);
        let expected = maxima(&|start| model.logits_prepared(cut(start), None).expect("predicts"));
        assert_close(&model.logits_prepared(x.view(), None).expect("predicts"), &expected);
        let expected = maxima(&|start| model.predict_proba(cut(start)).expect("predicts"));
        assert_close(&model.predict_proba(x.view()).expect("predicts"), &expected);
        let record = x.index_axis(Axis(0), 0);
        let expected = maxima(&|start| {
            let window = record.slice(s![.., start..start + 100]);
            model.predict_subsets(window, &masks).expect("predicts")
        });
        assert_close(&model.predict_subsets(record, &masks).expect("predicts"), &expected);
        let moved = model.to_device(Device::Cpu).expect("copies");
        assert_eq!(moved.card().window_pooling, WindowPooling::Max);
    }
}

#[test]
fn subsets_equal_masked_predictions() {
    let masks = [LeadMask(0), LeadMask(0b1010_0000_0001), LeadMask::all(12)];
    for (architecture, samples) in [(Architecture::Ribeiro, 150), (Architecture::ThreeDEcgNet, 100)]
    {
        let model = model(architecture, Preset::Corrected).with_batch(2);
        let x = signals(1, samples);
        let subsets = model.predict_subsets(x.slice(s![0, .., ..]), &masks).expect("predicts");
        let masked = Array3::from_shape_fn((3, 12, samples), |(k, lead, t)| {
            if masks[k].keeps(lead) { x[[0, lead, t]] } else { 0.0 }
        });
        assert_close(&subsets, &model.predict_proba(masked.view()).expect("predicts"));
    }
    let ribeiro = model(Architecture::Ribeiro, Preset::Published);
    let x = signals(1, 100);
    let beyond = ribeiro.predict_subsets(x.slice(s![0, .., ..]), &[LeadMask(1 << 12)]);
    assert!(matches!(beyond, Err(PredictError::Mask { mask: 0, lead: 12, leads: 12 })));
}

#[test]
fn images_stand_in_for_leads() {
    let model = model(Architecture::ThreeDEcgNet, Preset::Corrected).with_batch(2);
    let plan = ImagePlan::new(&ConvertConfig::corrected()).expect("plans");
    let x = signals(2, 150);
    // Two windows of the first record, and one of the second.
    let mean = model.mean_images(x.view(), Some(&[150, 100])).expect("averages");
    let windows = [(0, 0), (0, 50), (1, 0)];
    let sum = windows.iter().fold(Array3::<f32>::zeros(plan.images_shape()), |sum, (n, start)| {
        sum + plan.images(x.slice(s![*n, .., *start..start + 100])).expect("converts")
    });
    assert!((&mean * 3.0 - sum).iter().all(|difference| difference.abs() < 1e-5));

    // A record of one window without leads 1 and 11, together with a complete one.
    let x = x.slice(s![.., .., ..100]);
    let gone = LeadMask::all(12).without(LeadMask(1 << 1 | 1 << 11));
    let found =
        model.predict_with_images(x, &[gone, LeadMask::all(12)], mean.view()).expect("predicts");
    let mut images = Array4::zeros((2, 12, 45, 45));
    for (signal, mut images) in x.outer_iter().zip(images.outer_iter_mut()) {
        images.assign(&plan.images(signal).expect("converts"));
    }
    for lead in [1, 11] {
        images.slice_mut(s![0, lead, .., ..]).assign(&mean.slice(s![lead, .., ..]));
    }
    assert_close(&found, &model.predict_images(images.view()).expect("predicts"));

    // A lead whose image is zero adds nothing, as if its signal were zero.
    let none = Array3::zeros(mean.dim());
    let zeroed = model.predict_with_images(x, &[gone; 2], none.view()).expect("predicts");
    let subsets = model.predict_subsets(x.index_axis(Axis(0), 0), &[gone]).expect("predicts");
    assert_close(&zeroed.slice(s![..1, ..]).to_owned(), &subsets);

    let refused = model.predict_with_images(x, &[gone], mean.view());
    assert!(matches!(refused, Err(PredictError::Backend(_))), "two inputs, one mask");
    let small = mean.slice(s![.., ..44, ..]);
    let refused = model.predict_with_images(x, &[gone; 2], small).expect_err("too small");
    assert_eq!(
        ecg_core::with_causes(&refused).split_once(": ").expect("a cause").1,
        "the stand-in images must have shape [lead, height, width] = [12, 45, 45], found [12, 44, 45]"
    );
    let ribeiro = self::model(Architecture::Ribeiro, Preset::Corrected);
    let refused = ribeiro.predict_with_images(x, &[gone; 2], mean.view());
    assert!(matches!(refused, Err(PredictError::NoImages)));
    assert!(ribeiro.mean_images(x, None).is_err());
}

#[test]
fn volumes_images_and_signals_agree() {
    let model = model(Architecture::ThreeDEcgNet, Preset::Published).with_batch(2);
    let x = signals(1, 100);
    let plan = ImagePlan::new(&ConvertConfig::published()).expect("plans");
    let images = plan.images(x.slice(s![0, .., ..])).expect("converts");
    let volume = plan.volume(images.view()).expect("converts");
    let from_signal = model.predict_proba(x.view()).expect("predicts");
    let from_images = model.predict_images(images.view().insert_axis(Axis(0))).expect("predicts");
    let from_volume = model.predict_volumes(volume.view().insert_axis(Axis(0))).expect("predicts");
    assert_close(&from_signal, &from_images);
    assert_close(&from_signal, &from_volume);
    // As for a network on a GPU.
    let mut model = model;
    model.inputs.front_end = FrontEnd::new(&ConvertConfig::published(), Device::Cpu).ok();
    assert!(model.inputs.front_end.is_some());
    assert_close(&from_signal, &model.predict_proba(x.view()).expect("predicts"));
    assert!(model.predict_volumes(Array4::zeros((1, 45, 45, 44)).view()).is_err());
    let ribeiro = self::model(Architecture::Ribeiro, Preset::Published);
    let error = ribeiro.predict_volumes(Array4::zeros((1, 45, 45, 45)).view());
    assert_eq!(
        error.expect_err("signals only").to_string(),
        "ribeiro takes prepared signals, not volumes"
    );
}

#[test]
fn empty_batches_and_wrong_shapes() {
    let model = model(Architecture::Ribeiro, Preset::Published);
    assert_eq!(model.input_shape(), [12, 100]);
    let none = model.predict_proba(Array3::zeros((0, 12, 100)).view()).expect("nothing to do");
    assert_eq!(none.dim(), (0, 7));
    for shape in [(1, 12, 101), (1, 11, 100)] {
        let error = model.predict_proba(Array3::zeros(shape).view());
        assert!(matches!(error, Err(PredictError::Shape { .. })));
    }
    let none = model.predict_subsets(signals(1, 100).slice(s![0, .., ..]), &[]);
    assert_eq!(none.expect("nothing to do").dim(), (0, 7));
}

#[test]
fn samples_too_large_cost_their_own_record_alone() {
    for architecture in Architecture::ALL {
        if architecture.input() == InputKind::Signal {
            continue;
        }
        for mode in [Preset::Published, Preset::Corrected] {
            let mut model = model(architecture, mode);
            let mut x = signals(3, 100);
            let without = model.predict_proba(x.view()).expect("predicts");
            x[[1, 4, 60]] = 1e20;
            let found = model.predict_proba(x.view()).expect("predicts");
            assert!(found.row(1).iter().all(|p| p.is_nan()), "{architecture} {mode}: {found}");
            for row in [0, 2] {
                assert_eq!(found.row(row), without.row(row), "{architecture} {mode}");
            }
            let whole = [LeadMask::all(12); 3];
            let images = Array3::zeros(model.inputs.plan.images_shape());
            let found = model.predict_with_images(x.view(), &whole, images.view());
            assert!(found.expect("predicts").row(1).iter().all(|p| p.is_nan()));
            // As for a network on a GPU.
            model.inputs.front_end = FrontEnd::new(&ConvertConfig::preset(mode), Device::Cpu).ok();
            let found = model.predict_proba(x.view()).expect("predicts");
            assert!(found.row(1).iter().all(|p| p.is_nan()), "{architecture} {mode}: {found}");
        }
    }
    // One such window of three is enough.
    let model = model(Architecture::Sobahi, Preset::Corrected);
    let mut x = signals(1, 200);
    x[[0, 4, 199]] = -1e20;
    assert!(model.predict_proba(x.view()).expect("predicts").iter().all(|p| p.is_nan()));
    let subsets = model.predict_subsets(x.index_axis(Axis(0), 0), &[LeadMask::all(12)]);
    assert!(matches!(subsets, Err(PredictError::Backend(_))));
}

#[test]
fn a_thread_that_predicts_takes_up_no_other_work_of_its_pool() {
    thread_local! {
        static PREDICTS: Cell<bool> = const { Cell::new(false) };
    }
    let model = model(Architecture::Sobahi, Preset::Corrected).with_batch(16);
    // Four windows each.
    let x = signals(16, 250);
    let expected = model.predict_proba(x.view()).expect("predicts");
    let locked = Mutex::new(model);
    let (done, taken_up) = (AtomicBool::new(false), AtomicBool::new(false));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a pool");
    let found = pool.scope(|scope| {
        scope.spawn(|scope| {
            // One thread has work to share and another looks for work: it may pick up windows, for whose volumes the
            // first then waits.
            for _ in 0..100_000 {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                // If this task needed the model as well, it would wait for the lock forever.
                scope.spawn(|_| _ = taken_up.fetch_or(PREDICTS.get(), Ordering::Relaxed));
                std::thread::sleep(Duration::from_micros(10));
            }
        });
        PREDICTS.set(true);
        let found = locked.lock().expect("a model").predict_proba(x.view());
        PREDICTS.set(false);
        done.store(true, Ordering::Relaxed);
        found.expect("predicts")
    });
    assert_close(&found, &expected);
    assert!(!taken_up.into_inner(), "the thread did other work while it waited");
}

fn refused(path: &Path, what: &str) {
    let text = Model::load(path, Device::Cpu).expect_err("a bad file").with_causes();
    assert!(text.contains(what), "{text:?} lacks {what:?}");
    assert!(text.contains(&path.display().to_string()), "{text:?} lacks the path");
}

#[test]
fn weights_come_back_with_their_card() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("new/ribeiro.safetensors");
    let model = model(Architecture::Ribeiro, Preset::Corrected);
    save(model.network(), model.card(), &path).expect("saves");
    let back = Model::load(&path, Device::Cpu).expect("loads");
    assert_eq!(back.card(), model.card());
    let x = signals(1, 100);
    let [a, b] = [&model, &back].map(|model| model.predict_proba(x.view()).expect("predicts"));
    assert_eq!(a, b);
    let first = std::fs::read(&path).expect("reads");
    save(back.network(), back.card(), &path).expect("saves");
    assert_eq!(first, std::fs::read(&path).expect("reads"));
    let copy = std::fs::read_to_string(path.with_extension("json")).expect("a copy of the card");
    assert_eq!(&serde_json::from_str::<ModelCard>(&copy).expect("a card"), back.card());
}

#[test]
fn bad_weights_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("weights.safetensors");
    let small = model(Architecture::ThreeDEcgNet, Preset::Published);
    save(small.network(), small.card(), &path).expect("saves");
    let good = std::fs::read(&path).expect("reads");
    let with = |bytes: &[u8]| std::fs::write(&path, bytes).expect("writes");
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len(), "the header's length must stay");
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).expect("in there");
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };

    refused(&dir.path().join("absent"), "No such file");
    with(&good[..good.len() - 1]);
    refused(&path, "truncated");
    with(&good[..good.len() / 2]);
    refused(&path, "truncated");
    for part in [0, 1, 7, 8, 100] {
        with(&good[..part]);
        refused(&path, "truncated");
    }
    with(b"record,NSR,AF\n1,0.5,0.5\n");
    refused(&path, "not a .safetensors");
    with(b"\x89HDF\r\n\x1a\nand so on");
    refused(&path, "import-keras");
    with(&replaced("\"card\"", "\"cord\""));
    refused(&path, "no model card");
    with(&replaced("architecture\\\":\\\"3decgnet\\\"", "architecture\\\":\\\"3decgnot\\\""));
    refused(&path, "unknown model \"3decgnot\"");
    with(&replaced("architecture\\\":\\\"3decgnet\\\"", "architecture\\\": \\\"ribeiro\\\""));
    refused(&path, "which ribeiro does not have");
    with(&replaced("mode\\\":\\\"published\\\"", "mode\\\":\\\"corrected\\\""));
    refused(&path, "dense_1.kernel");
    with(&replaced("\\\"STach\\\"]", "\\\"ST\\\"   ]"));
    assert!(Model::load(&path, Device::Cpu).is_ok(), "a label may have any name");
    // More labels than memory can hold are not the labels of this file. Each has a threshold, which is checked first.
    let with_card = |card: &str| {
        let metadata = [("card".to_owned(), card.to_owned())].into();
        let none: [(&str, safetensors::tensor::TensorView<'_>); 0] = [];
        with(&safetensors::serialize(none, Some(metadata)).expect("serializes"));
    };
    let many: Vec<String> = (0..400_000).map(|k| k.to_string()).collect();
    let card = ModelCard::new(
        Architecture::Sobahi,
        Preset::Published,
        LabelSet::new(many).expect("labels"),
        ConvertConfig::published(),
    )
    .with_thresholds(&vec![0.5; 400_000])
    .expect("one for each label");
    with_card(&serde_json::to_string(&card).expect("JSON"));
    refused(&path, "dense");
    // A later format need have none of the other entries.
    with_card(r#"{"format":2}"#);
    refused(&path, "format is 2, expected 1 to 1");
    with_card(r#"{"format":1}"#);
    refused(&path, "missing field");
    with(&replaced("\\\"SB\\\",\\\"STach\\\"]", "\\\"STach\\\"]       "));
    refused(&path, "dense_3.kernel");
    with(&replaced("cutoff_hz\\\":0.5", "cutoff_hz\\\":0.7"));
    refused(&path, "preprocessing_hash");
}

#[test]
fn values_that_cannot_be_loaded_are_neither_saved_nor_loaded() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("weights.safetensors");
    let model = model(Architecture::ThreeDEcgNet, Preset::Corrected);
    model.save(&path).expect("saves");
    let good = std::fs::read(&path).expect("reads");
    let card = std::fs::read(path.with_extension("json")).expect("reads");
    let file = safetensors::SafeTensors::deserialize(&good).expect("weights");
    for (name, value, said) in [
        ("dense_1.kernel", f32::NAN, "dense_1.kernel contains NaN at index 1 (from 0)"),
        ("bn_1.gamma", f32::INFINITY, "contains inf at index 1 (from 0), expected finite values"),
        (
            "bn_1.moving_variance",
            -0.5,
            "contains -0.5 at index 1 (from 0), expected finite values of at least 0",
        ),
    ] {
        let mut tensors = model.network().tensors();
        let (_, tensor) = tensors.find(|(own, _)| *own == name).expect("a tensor");
        let second = tensor.detach().view(-1).get(1);
        let before = second.double_value(&[]);
        let _ = second.shallow_clone().fill_(f64::from(value));
        let error = model.save(&path).expect_err("refused").to_string();
        let _ = second.shallow_clone().fill_(before);
        assert!(error.contains(said) && error.starts_with("cannot save"), "{error}");
        assert_eq!(std::fs::read(&path).expect("reads"), good, "{name}");
        assert_eq!(std::fs::read(path.with_extension("json")).expect("reads"), card, "{name}");

        let own = file.tensor(name).expect("a tensor");
        let at = own.data().as_ptr() as usize - good.as_ptr() as usize + 4;
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let path = dir.path().join("bad.safetensors");
        std::fs::write(&path, bad).expect("writes");
        refused(&path, said);
    }
    Model::load(&path, Device::Cpu).expect("loads");
}

#[test]
fn a_card_must_be_its_networks() {
    let network =
        |mode| Network::new(Architecture::Ribeiro, mode, 7, Device::Cpu, 1).expect("builds");
    let card = |labels| {
        let config = ConvertConfig::published();
        ModelCard::new(Architecture::Ribeiro, Preset::Published, labels, config)
    };
    let wrong = Model::new(network(Preset::Corrected), card(LabelSet::seven()));
    assert!(wrong.expect_err("another mode").to_string().contains("mode"));
    let two = LabelSet::new(["a", "b"]).expect("two");
    let wrong = Model::new(network(Preset::Published), card(two));
    assert!(wrong.expect_err("other labels").to_string().contains("labels is 2, expected 7"));
}

#[test]
fn a_recording_is_prepared_and_judged_as_the_card_says() {
    let model = model(Architecture::Ribeiro, Preset::Corrected);
    // 4 s at 200 Hz in mV.
    let signal = Array2::from_shape_fn((12, 800), |(lead, t)| ((lead + 3) * t) as f64 * 2e-3);
    let rate = SamplingRate::new(200.0).expect("a rate");
    let leads = Lead::STANDARD_12.map(Lead::name);
    let recording = Recording::new("r", rate, leads, signal.mapv(f64::sin)).expect("a recording");
    let found = model.predict_recording(&recording).expect("predicts");
    let plan = ConvertPlan::new(ConvertConfig::corrected(), rate).expect("a plan");
    let prepared = plan.prepare(&recording).expect("prepares");
    let batch = prepared.signal.slice(s![.., ..200]).insert_axis(Axis(0));
    assert_eq!(prepared.length, 200);
    assert_eq!(model.prepare(&recording).expect("prepares"), prepared);
    assert_eq!(model.predict_one(&prepared).expect("predicts"), found);
    assert_close(
        &Array2::from_shape_vec((1, 7), found).expect("seven"),
        &model.predict_proba(batch).expect("predicts"),
    );

    let short = Recording::new("r", rate, leads, Array2::zeros((12, 100))).expect("a recording");
    let error = model.predict_recording(&short).expect_err("too short").with_causes();
    assert!(error.starts_with("cannot prepare record r: "), "{error}");

    // Finite, but too large to square.
    let volumes = self::model(Architecture::Zhang, Preset::Corrected);
    let huge = Recording::new("huge", rate, leads, signal * 1e30).expect("a recording");
    let refused = volumes.predict_recording(&huge);
    assert!(matches!(&refused, Err(ModelError::NoVolumes { record, .. }) if record == "huge"));
    let prepared = volumes.prepare(&huge).expect("prepares");
    assert!(matches!(volumes.predict_one(&prepared), Err(ModelError::Convert(_))));
    let published = ConvertPlan::new(ConvertConfig::published(), rate).expect("a plan");
    let long = Recording::new("r", rate, leads, Array2::ones((12, 1000))).expect("a recording");
    let other = published.prepare(&long).expect("prepares");
    let resnet = architecture_model(Architecture::ResNet1d);
    let error = resnet.predict_one(&other).expect_err("another preprocessing").to_string();
    assert!(error.starts_with("prepared signals must have shape [n, 12, 1000"), "{error}");
}

/// A network with the preprocessing that belongs to it.
fn architecture_model(architecture: Architecture) -> Model {
    let mode = Preset::Corrected;
    let network = Network::new(architecture, mode, 7, Device::Cpu, 1).expect("builds");
    let card =
        ModelCard::new(architecture, mode, LabelSet::seven(), architecture.preprocessing(mode));
    Model::new(network, card).expect("fits")
}

#[test]
fn what_is_odd_about_a_recording_is_told() {
    let model = model(Architecture::Ribeiro, Preset::Published);
    let rate = SamplingRate::new(500.0).expect("a rate");
    let mut signal =
        Array2::from_shape_fn((12, 1000), |(lead, t)| ((lead + 1) as f64 * t as f64).sin());
    signal.row_mut(5).fill(0.25);
    let leads = Lead::STANDARD_12.map(Lead::name);
    let recording = Recording::new("r", rate, leads, signal).expect("a recording");
    let warnings = model.prepare(&recording).expect("prepares").warnings;
    assert!(warnings.contains(&ConvertWarning::NoAdc), "{warnings:?}");
    let flat = ConvertWarning::FlatLead { lead: leads[5].to_owned() };
    assert!(warnings.contains(&flat), "{warnings:?}");
}

#[test]
fn a_copy_on_another_device_is_the_same_model() {
    let model = model(Architecture::Ribeiro, Preset::Corrected)
        .with_batch(3)
        .with_thresholds(&[0.25; 7])
        .expect("seven");
    let rounded = model.with_precision(Precision::Bf16).to_device(Device::Cpu).expect("copies");
    assert_eq!(rounded.network().precision(), Precision::Bf16);
    let model = rounded.with_precision(Precision::F32);
    let copy = model.to_device(Device::Cpu).expect("copies");
    assert_eq!((copy.card(), copy.batch()), (model.card(), 3));
    let x = signals(2, 100);
    let [a, b] = [&model, &copy].map(|model| model.predict_proba(x.view()).expect("predicts"));
    assert_eq!(a, b);
    let first = |model: &Model| model.network().tensors().next().expect("a tensor").1.data_ptr();
    assert_ne!(first(&model), first(&copy), "parameters of its own");
}

#[test]
fn labels_hold_above_their_thresholds() {
    let model = model(Architecture::Ribeiro, Preset::Corrected);
    let thresholds = [0.5, 0.25, 0.5, 0.5, 0.5, 0.5, 0.9];
    let model = model.with_batch(5).with_thresholds(&thresholds).expect("seven");
    assert_eq!(model.batch(), 5);
    let labels = model.labels_of(&[0.5, 0.26, 0.1, 0.51, 0.0, 0.5, 0.9]).expect("seven");
    assert_eq!(labels, ["AF", "LBBB"]);
    let error = model.labels_of(&[0.9; 6]).expect_err("one is missing").to_string();
    assert_eq!(error, "expected 7 probabilities, found 6");
    for (wrong, shown) in [(f64::NAN, "NaN"), (1.5, "1.5"), (-0.1, "-0.1")] {
        let error = model.labels_of(&[0.9, 0.9, 0.9, wrong, 0.9, 0.9, 0.9]);
        let error = error.expect_err("no probability").to_string();
        assert_eq!(error, format!("a probability must be from 0 to 1, found {shown}"));
    }
    assert!(model.with_thresholds(&[0.5; 6]).is_err());
}

#[test]
fn weights_are_not_saved_where_their_card_goes() {
    let model = model(Architecture::Ribeiro, Preset::Corrected);
    let dir = tempfile::tempdir().expect("a folder");
    let error = model.save(dir.path().join("x.json")).expect_err("refused").to_string();
    assert!(error.contains("x.json, which is reserved for their card"), "{error}");
    assert!(dir.path().read_dir().expect("a folder").next().is_none());
}

#[test]
fn what_ships_to_begin_with_fits_what_ships_to_predict_with() {
    let [start, shipped] = [Model::synthetic, Model::shipped].map(|of| of(Device::Cpu));
    let (start, shipped) = (start.expect("loads"), shipped.expect("loads"));
    let of = |model: &Model| {
        let ModelCard { architecture, mode, labels, preprocessing_hash, .. } = model.card().clone();
        (architecture, mode, labels, preprocessing_hash)
    };
    assert_eq!(of(&start), of(&shipped));
    for ((name, a), (other, b)) in start.network().tensors().zip(shipped.network().tensors()) {
        assert_eq!((name, a.size()), (other, b.size()));
    }
}
