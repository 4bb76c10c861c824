use ecg_core::{Lead, Recording, SamplingRate};
use ecg3d_convert::{
    Band, ConvertConfig, ConvertError, ConvertPlan, ConvertWarning, InvalidSamples, RecurrencePlot,
    Scratch, ShortRecords, butterworth,
};
use ndarray::{Array2, Array3, ArrayViewD, Axis, Ix2, Ix3, s};

use crate::support::{Npz, assert_close, fixture, goldens, recording, synthetic_adc};

/// Tolerance relative to the peak of a stage, for rounding in other orders of summation.
const F64: f64 = 1e-12;
/// The same for arithmetic in f32 from the prepared signal on.
const F32: f64 = 3e-6;

fn plan(rate_hz: f64) -> ConvertPlan {
    let rate = SamplingRate::new(rate_hz).expect("a rate");
    ConvertPlan::new(ConvertConfig::published(), rate).expect("a plan")
}

/// The results of every stage after the cut, in f64 and f32.
struct Stages {
    prepared: Array2<f64>,
    images: Array3<f64>,
    volume: Array3<f64>,
    volume_f32: Array3<f64>,
}

fn stages(recording: &Recording) -> Stages {
    let plan = plan(recording.sampling_rate.hz());
    let mut scratch = Scratch::new();
    let mut prepared = Array2::<f64>::zeros((12, 100));
    plan.prepare_into(recording, prepared.view_mut(), &mut scratch).expect("prepares");
    let images = plan.image_plan().images(prepared.view()).expect("images");
    let volume = plan.image_plan().volume(images.view()).expect("a volume");
    let mut direct = Array3::<f64>::zeros((45, 45, 45));
    plan.convert_into(recording, direct.view_mut(), &mut scratch).expect("converts");
    assert_eq!(direct, volume, "stage by stage and at one go");
    let volume_f32 = plan.convert(recording).expect("converts").mapv(f64::from);
    Stages { prepared, images, volume, volume_f32 }
}

#[test]
fn equal_to_scipy_on_a_synthetic_recording() {
    let mut expected = fixture("published.npz");
    let own = stages(&recording(synthetic_adc(1200), 500.0));
    assert_close(
        "prepared",
        own.prepared.view().into_dyn(),
        expected.read("resampled").view(),
        F64,
    );
    let plots: Vec<_> = own
        .prepared
        .rows()
        .into_iter()
        .map(|row| {
            let plot = RecurrencePlot::new(2, 1).expect("a plot");
            plot.of(row.as_slice().expect("a row")).expect("distances")
        })
        .collect();
    let views: Vec<_> = plots.iter().map(|plot| plot.slice(s![..;9, ..;7])).collect();
    let plots = ndarray::stack(Axis(0), &views).expect("equal shapes").into_dyn();
    assert_close("plots", plots.view(), expected.read("plots").view(), F64);
    let thin = s![.., ..;4, ..;4];
    assert_close("images", own.images.slice(thin).into_dyn(), expected.read("images").view(), F64);
    let thin = s![..;4, ..;4, ..;4];
    let volume = expected.read("volume");
    assert_close("volume", own.volume.slice(thin).into_dyn(), volume.view(), F64);
    assert_close("volume f32", own.volume_f32.slice(thin).into_dyn(), volume.view(), F32);
}

#[test]
fn equal_to_the_golden_recordings() {
    let Some(folder) = goldens("convert") else { return };
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("lists")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "npz"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let name = file.display().to_string();
        let mut npz = Npz::open(&file);
        // The golden values of recordings in mV are in mV; here, a source without ADC values is taken in uV.
        let (recording, unit) = match npz.try_read::<i16>("raw5000") {
            Some(raw) => {
                let raw = raw.into_dimensionality::<Ix2>().expect("two axes");
                (recording(raw.mapv(i32::from), 500.0), 1.0)
            }
            None => {
                let raw = npz.read::<f64>("raw5000").into_dimensionality().expect("two axes");
                let rate = SamplingRate::new(500.0).expect("a rate");
                let recording = Recording::new("mV", rate, Lead::STANDARD_12, raw);
                (recording.expect("a recording"), 1000.0)
            }
        };
        let own = stages(&recording);
        for (stage, found, expected, tolerance) in [
            ("prepared", own.prepared.view().into_dyn(), "resampled", F64),
            ("volume", own.volume.view().into_dyn(), "volume", F64),
            ("volume f32", own.volume_f32.view().into_dyn(), "volume", F32),
        ] {
            let expected = npz.read::<f64>(expected) * unit;
            assert_close(&format!("{name}, {stage}"), found, expected.view(), tolerance);
        }
        let mut filtered = match npz.try_read::<i16>("cut") {
            Some(cut) => cut.mapv(f64::from),
            None => npz.read("cut"),
        };
        let filter = butterworth(1, Band::High(0.5), 50.0).expect("a filter");
        for mut row in filtered.rows_mut() {
            filter
                .filter(row.as_slice_mut().expect("a row"), &mut filter.rest())
                .expect("its own state");
        }
        assert_close(&name, filtered.view(), npz.read("filtered").view(), F64);
        let plots = npz.read::<f64>("rp").into_dimensionality::<Ix3>().expect("three axes");
        for (row, plot) in own.prepared.rows().into_iter().zip(plots.outer_iter()) {
            let own = RecurrencePlot::new(2, 1).expect("a plot");
            let own = own.of(row.as_slice().expect("a row")).expect("distances") / unit;
            // Samples are exact to a fraction of the signal's peak; the plot does not contain the signal's offset.
            let peak =
                |values: ArrayViewD<'_, f64>| values.iter().fold(0.0, |p: f64, v| p.max(v.abs()));
            let offset = peak(row.into_dyn()) / unit / peak(plot.into_dyn());
            assert_close(&name, own.view().into_dyn(), plot.into_dyn(), F64 * offset.max(1.0));
        }
    }
}

#[test]
fn a_flat_lead_is_a_warning() {
    let mut adc = synthetic_adc(1000);
    adc.row_mut(7).fill(-32000);
    let prepared = plan(500.0).prepare(&recording(adc, 500.0)).expect("prepares");
    assert_eq!(prepared.warnings, [ConvertWarning::FlatLead { lead: "V2".into() }]);
    assert_eq!(prepared.length, 100);
}

#[test]
fn other_rates_gains_and_sources_are_warnings() {
    let mut other = recording(synthetic_adc(1000), 1000.0);
    other.adc.as_mut().expect("integers").gain_per_mv[3] = 200.0;
    let warnings = plan(1000.0).prepare(&other).expect("prepares").warnings;
    assert_eq!(
        warnings,
        [
            ConvertWarning::Rate { rate_hz: 1000.0, samples: 1000 },
            ConvertWarning::Gain { lead: "aVR".into(), gain_per_mv: 200.0 }
        ]
    );
    assert_eq!(
        warnings[0].to_string(),
        "1000 samples at 1000 Hz are 1 s, not the 2 s of the study"
    );
    other.adc = None;
    let warnings = plan(1000.0).prepare(&other).expect("prepares").warnings;
    assert!(warnings.contains(&ConvertWarning::NoAdc));
}

#[test]
fn a_window_is_held_against_the_two_seconds_of_the_study() {
    let warnings = |config: ConvertConfig, rate_hz, samples| {
        let one = recording(synthetic_adc(samples), rate_hz);
        let plan = ConvertPlan::new(config, one.sampling_rate).expect("a plan");
        plan.prepare(&one).expect("prepares").warnings
    };
    let cut = |samples| ConvertConfig::published().with_first_samples(Some(samples));
    // As close to 2 s as a whole number of samples can be.
    for (rate_hz, samples) in [(500.0, 1000), (499.998, 1000), (250.0, 500), (333.3333, 667)] {
        assert_eq!(warnings(cut(samples), rate_hz, samples), [], "{rate_hz} Hz");
    }
    for (rate_hz, samples) in [(500.0, 2000), (500.0, 999), (250.0, 1000), (400.0, 1000)] {
        let expected = ConvertWarning::Rate { rate_hz, samples };
        assert_eq!(warnings(cut(samples), rate_hz, samples), [expected]);
    }
    // The number of samples asked for counts, not the number found.
    let padded = warnings(cut(1000).with_short_records(ShortRecords::Pad), 1000.0, 600);
    assert!(padded.contains(&ConvertWarning::Rate { rate_hz: 1000.0, samples: 1000 }));
    // Windows at a fixed rate have the right length, however much is cut.
    let corrected = ConvertConfig::corrected().with_first_samples(Some(2000));
    assert_eq!(warnings(corrected, 250.0, 2000), []);
}

#[test]
fn what_is_refused() {
    let whole = || recording(synthetic_adc(1000), 500.0);
    let refused = |recording: &Recording| plan(500.0).prepare(recording).expect_err("refused");
    let short = recording(synthetic_adc(999), 500.0);
    let expected = ConvertError::TooShort { expected: 1000, found: 999, rate_hz: 500.0 };
    assert_eq!(refused(&short), expected);
    let few = recording(synthetic_adc(1000).slice_move(s![..8, ..]), 500.0);
    assert_eq!(refused(&few), ConvertError::LeadCount { expected: 12, found: 8 });
    let other = recording(synthetic_adc(1000), 250.0);
    let expected = ConvertError::SamplingRate { expected_hz: 500.0, found_hz: 250.0 };
    assert_eq!(refused(&other), expected);
    for value in [f64::NAN, f64::INFINITY] {
        let mut bad = whole();
        bad.signal[[1, 17]] = value;
        bad.signal[[1, 18]] = value;
        let message = refused(&bad).to_string();
        assert!(message.starts_with("lead II has 2 samples"), "{message}");
        assert!(message.ends_with("at sample 17 (from 0)"), "{message}");
    }
    // An invalid sample after the cut counts too, unless the configuration says otherwise.
    let mut late = recording(synthetic_adc(1200), 500.0);
    late.signal[[0, 1100]] = f64::NAN;
    refused(&late);
    let config = ConvertConfig::published().with_invalid_samples(InvalidSamples::RejectUsed);
    let lenient = ConvertPlan::new(config, late.sampling_rate).expect("a plan");
    assert!(lenient.prepare(&late).is_ok());
    // An array of another shape is refused as well.
    let mut out = Array2::<f32>::zeros((12, 99));
    assert!(plan(500.0).prepare_into(&whole(), out.view_mut(), &mut Scratch::new()).is_err());
}
