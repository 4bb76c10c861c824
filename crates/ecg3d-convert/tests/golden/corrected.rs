use ecg_core::{Lead, SamplingRate};
use ecg3d_convert::{
    ConvertConfig, ConvertError, ConvertPlan, ConvertWarning, FirMethod, Resample, Scale, Scratch,
    Threshold,
};
use ndarray::{Array2, Axis, s};

use crate::support::{assert_close, fixture, recording, synthetic_adc};

/// Tolerance relative to the peak, for rounding in other orders of summation.
const F64: f64 = 1e-12;

fn prepare(config: ConvertConfig, rate_hz: f64, samples: usize) -> (Array2<f64>, usize) {
    let rate = SamplingRate::new(rate_hz).expect("a rate");
    let plan = ConvertPlan::new(config, rate).expect("a plan");
    let mut out = Array2::from_elem(plan.prepared_shape(), f64::NAN);
    let recording = recording(synthetic_adc(samples), rate_hz);
    let outcome =
        plan.prepare_into(&recording, out.view_mut(), &mut Scratch::new()).expect("prepares");
    assert_eq!(outcome.warnings, []);
    (out, outcome.length)
}

#[test]
fn equal_to_scipy_at_all_rates() {
    let mut goldens = fixture("corrected.npz");
    for (rate, seconds) in
        [(100, 10.0), (250, 2.0), (257, 5.0), (360, 7.5), (500, 10.0), (1000, 12.0)]
    {
        let samples = (f64::from(rate) * seconds) as usize;
        let expected = goldens.read::<f64>(&format!("fs{rate}"));
        for fir in [FirMethod::Polyphase, FirMethod::Convolution] {
            let config = ConvertConfig::corrected()
                .with_max_seconds(12.0)
                .with_resample(Resample::Polyphase { rate_hz: 50.0, fir });
            let (out, length) = prepare(config, f64::from(rate), samples);
            assert_eq!(out.dim(), (12, 600));
            assert_eq!(length, (50.0 * seconds) as usize);
            let (real, padding) = out.view().split_at(Axis(1), length);
            assert!(padding.iter().all(|value| *value == 0.0));
            let found = real.select(Axis(0), &[0, 5, 11]).into_dyn();
            assert_close(&format!("{rate} Hz, {fir:?}"), found.view(), expected.view(), F64);
        }
    }
}

#[test]
fn scaled_over_all_leads() {
    let mut goldens = fixture("corrected.npz");
    for (scale, name) in [(Scale::UnitPeak, "fs100_peak"), (Scale::ZScore, "fs100_zscore")] {
        let config = ConvertConfig::corrected().with_scale(scale).with_max_seconds(5.0);
        let (out, _) = prepare(config, 100.0, 500);
        let found = out.select(Axis(0), &[0, 5, 11]).into_dyn();
        assert_close(name, found.view(), goldens.read(name).view(), F64);
    }
}

#[test]
fn longer_recordings_are_cut_after_filtering() {
    let long = prepare(ConvertConfig::corrected().with_max_seconds(12.0), 1000.0, 12_000).0;
    let (cut, length) = prepare(ConvertConfig::corrected(), 1000.0, 12_000);
    assert_eq!((cut.dim(), length), ((12, 500), 500));
    assert_eq!(cut, long.slice(ndarray::s![.., ..500]));
}

#[test]
fn leads_go_by_name() {
    let plan = |rate| ConvertPlan::new(ConvertConfig::corrected(), rate).expect("a plan");
    let straight = recording(synthetic_adc(1000), 500.0);
    let mut turned = straight.clone();
    turned.signal.invert_axis(Axis(0));
    turned.leads.reverse();
    turned.leads[0] = "v6".into();
    turned.adc = None;
    let plan = plan(straight.sampling_rate);
    let straight = plan.prepare(&straight).expect("prepares");
    assert_eq!(plan.prepare(&turned), Ok(straight));
    turned.leads[8] = "X".into();
    let error = plan.prepare(&turned).expect_err("aVR is missing");
    assert!(matches!(error, ConvertError::MissingLead { lead: Lead::AVR, .. }), "{error}");
    turned.signal.remove_index(Axis(0), 8);
    turned.leads.remove(8);
    let error = plan.prepare(&turned).expect_err("there are eleven leads, without aVR");
    assert!(matches!(error, ConvertError::MissingLead { lead: Lead::AVR, .. }), "{error}");
}

#[test]
fn two_seconds_are_the_least() {
    let config = ConvertConfig::corrected;
    for (rate, least) in [
        (500.0, 1000),
        (257.0, 514),
        (333.3333, 667),
        (500.0004, 1000),
        (500.004, 1000),
        (499.996, 1000),
        (100.0, 200),
    ] {
        let rate = SamplingRate::new(rate).expect("a rate");
        let plan = ConvertPlan::new(config(), rate).expect("a plan");
        let enough = plan.prepare(&recording(synthetic_adc(least), rate.hz())).expect("prepares");
        assert!(enough.length >= 100, "{rate}: {}", enough.length);
        let short = recording(synthetic_adc(least - 1), rate.hz());
        let error = plan.prepare(&short).expect_err("too short");
        let expected =
            ConvertError::TooShort { expected: least, found: least - 1, rate_hz: rate.hz() };
        assert_eq!(error, expected);
    }
    let absurd = SamplingRate::new(0.7).expect("a rate");
    assert!(ConvertPlan::new(config(), absurd).is_err());
}

#[test]
fn all_flat_gives_zeros() {
    for (scale, level) in [
        (Scale::None, 0),
        (Scale::None, 1234),
        (Scale::UnitPeak, 0),
        (Scale::ZScore, 0),
        // Of a constant, the filter leaves only rounding errors, which no scale may turn into a signal.
        (Scale::UnitPeak, 1234),
        (Scale::ZScore, 1234),
    ] {
        let flat = recording(Array2::from_elem((12, 1000), level), 500.0);
        let config = ConvertConfig::corrected().with_scale(scale);
        let plan = ConvertPlan::new(config, flat.sampling_rate).expect("a plan");
        let prepared = plan.prepare(&flat).expect("prepares");
        let zero = prepared.signal.iter().all(|value| *value == 0.0);
        assert!(zero, "{scale:?} of {level}");
        assert_eq!(prepared.warnings.len(), 12);
    }
}

#[test]
fn the_plot_of_a_flat_lead_is_that_of_zeros() {
    for (threshold, value) in [
        (Threshold::None, 0.0),
        (Threshold::Distance { distance: 0.0 }, 1.0),
        (Threshold::Rate { rate: 0.1 }, 1.0),
    ] {
        let config = ConvertConfig::corrected().with_threshold(threshold);
        for rate_hz in [257.0, 500.0, 1000.0] {
            let mut adc = synthetic_adc(3000);
            adc.row_mut(7).fill(5000);
            let one = recording(adc, rate_hz);
            let plan = ConvertPlan::new(config.clone(), one.sampling_rate).expect("a plan");
            let prepared = plan.prepare(&one).expect("prepares");
            assert_eq!(prepared.warnings, [ConvertWarning::FlatLead { lead: "V2".into() }]);
            let window = prepared.signal.slice(s![.., ..100]);
            let images = plan.image_plan().images(window).expect("images");
            let image = images.index_axis(Axis(0), 7);
            // Rounding of the zoom.
            let close = image.iter().all(|own| (own - value).abs() < 1e-6);
            assert!(close, "{threshold:?} at {rate_hz} Hz: {image}, expected {value}");
            assert!(images.index_axis(Axis(0), 6).iter().any(|own| (own - value).abs() > 0.1));
        }
    }
}
