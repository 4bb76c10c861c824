use ecg_core::{Adc, Lead, Recording, SamplingRate};
use ecg3d_convert::{
    ConvertConfig, ConvertError, ConvertPlan, ConvertWarning, Denoise, FirMethod, InvalidSamples,
    LeadSelection, Prepared, Resample, Scale, Scratch, ShortRecords, Units,
};
use ndarray::{Array2, Array3, Array4, Axis, s};
use proptest::prelude::*;

use crate::support::{recording, synthetic_adc};

fn prepare(config: ConvertConfig, recording: &Recording) -> Result<Prepared, ConvertError> {
    ConvertPlan::new(config, recording.sampling_rate).expect("a plan").prepare(recording)
}

fn presets() -> [ConvertConfig; 2] {
    [ConvertConfig::published(), ConvertConfig::corrected()]
}

fn interpolate(max_gap_s: f64) -> InvalidSamples {
    InvalidSamples::Interpolate { max_gap_s }
}

#[test]
fn short_gaps_are_filled_along_a_line() {
    for config in presets() {
        let whole = {
            let mut adc = synthetic_adc(1000);
            // The values that a line through the gaps gives.
            adc.slice_mut(s![2, ..4]).fill(40);
            adc[[2, 4]] = 40;
            for (k, value) in [100, 110, 120, 130, 140].into_iter().enumerate() {
                adc[[2, 500 + k]] = value;
            }
            recording(adc, 500.0)
        };
        let mut gaps = whole.clone();
        gaps.signal.slice_mut(s![2, ..4]).fill(f64::NAN);
        gaps.signal.slice_mut(s![2, 501..504]).fill(f64::INFINITY);
        // The integers at these samples mean nothing.
        gaps.adc.as_mut().expect("integers").values.slice_mut(s![2, 501..504]).fill(-32768);
        let config = config.with_invalid_samples(interpolate(0.008));
        let filled = prepare(config.clone(), &gaps).expect("prepares");
        let expected = ConvertWarning::Interpolated {
            lead: "III".into(),
            samples: 7,
            infinite: 3,
            longest: 4,
        };
        assert_eq!(filled.warnings, [expected]);
        let whole = prepare(config.clone(), &whole).expect("prepares");
        assert!(whole.warnings.is_empty());
        for (a, b) in filled.signal.iter().zip(&whole.signal) {
            approx::assert_relative_eq!(a, b, max_relative = 1e-6, epsilon = 1e-5);
        }
        // One more sample makes the gap too long. A lead without any number is refused too, however long a gap may be.
        gaps.signal[[2, 504]] = f64::NAN;
        gaps.signal[[2, 505]] = f64::NEG_INFINITY;
        let error = prepare(config.clone(), &gaps).expect_err("too long");
        let gap = |sample, length, allowed| ConvertError::Gap {
            lead: "III".into(),
            sample,
            length,
            allowed,
        };
        assert_eq!(error, gap(501, 5, 4));
        gaps.signal.row_mut(2).fill(f64::NAN);
        let error = prepare(config.with_invalid_samples(interpolate(60.0)), &gaps);
        assert_eq!(error, Err(gap(0, 1000, 30_000)));
    }
}

#[test]
fn a_gap_shorter_than_a_sample_is_none() {
    let mut one = recording(synthetic_adc(1000), 500.0);
    one.signal[[0, 10]] = f64::NAN;
    let config = ConvertConfig::published().with_invalid_samples(interpolate(0.0001));
    assert!(matches!(prepare(config, &one), Err(ConvertError::Gap { length: 1, allowed: 0, .. })));
}

#[test]
fn short_records_are_padded_where_that_is_asked_for() {
    for config in presets() {
        let config = config.with_short_records(ShortRecords::Pad);
        for samples in [1, 2, 37, 700, 999] {
            let short = recording(synthetic_adc(samples), 500.0);
            let prepared = prepare(config.clone(), &short).expect("prepares");
            let expected = ConvertWarning::Padded { expected: 1000, found: samples };
            assert!(prepared.warnings.contains(&expected), "{samples}: {:?}", prepared.warnings);
            assert_eq!(prepared.length, samples.div_ceil(10));
            let (real, padding) = prepared.signal.view().split_at(Axis(1), prepared.length);
            assert!(padding.iter().all(|value| *value == 0.0));
            assert_eq!(prepared.real(), real);
            assert_eq!(config.window_starts(prepared.length), [0]);
            let plan = ConvertPlan::new(config.clone(), short.sampling_rate).expect("a plan");
            assert_eq!(plan.min_samples(), 1);
            let volume = plan.convert(&short).expect("converts");
            assert!(volume.iter().all(|value| value.is_finite()));
        }
        // A complete recording gives the same result as without the policy.
        let whole = recording(synthetic_adc(1000), 500.0);
        let strict = config.clone().with_short_records(ShortRecords::Reject);
        assert_eq!(prepare(config.clone(), &whole), prepare(strict, &whole));
        let empty = recording(synthetic_adc(0), 500.0);
        let error = prepare(config, &empty).expect_err("empty");
        assert_eq!(error, ConvertError::TooShort { expected: 1000, found: 0, rate_hz: 500.0 });
    }
}

#[test]
fn a_prepared_signal_names_its_leads() {
    let mut mixed = recording(synthetic_adc(1000), 500.0);
    mixed.leads.reverse();
    mixed.leads[0] = "v6".into();
    let names = |config: ConvertConfig| {
        let plan = ConvertPlan::new(config, mixed.sampling_rate).expect("a plan");
        let alone = plan.prepare(&mixed).expect("prepares");
        let batch = plan.prepare_all(std::slice::from_ref(&mixed)).remove(0).expect("prepares");
        assert_eq!(alone, batch);
        alone.leads.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
    };
    let by_name = LeadSelection::Named { leads: vec![Lead::V6, Lead::AVR] };
    assert_eq!(names(ConvertConfig::corrected().with_leads(by_name)), ["V6", "aVR"]);
    assert_eq!(names(ConvertConfig::corrected()), Lead::STANDARD_12.map(Lead::name));
    let first = LeadSelection::File { count: 2 };
    assert_eq!(names(ConvertConfig::published().with_leads(first)), ["v6", "V5"]);
}

#[test]
fn a_length_beyond_the_signal_is_cut() {
    let whole = recording(synthetic_adc(1000), 500.0);
    let mut prepared = prepare(ConvertConfig::published(), &whole).expect("prepares");
    prepared.length = 101;
    assert_eq!(prepared.real(), prepared.signal);
}

#[test]
fn padding_does_not_count_when_scaling() {
    let config =
        ConvertConfig::published().with_short_records(ShortRecords::Pad).with_scale(Scale::ZScore);
    let prepared = prepare(config, &recording(synthetic_adc(600), 500.0)).expect("prepares");
    let real = prepared.real().mapv(f64::from);
    assert_eq!(real.dim(), (12, 60));
    approx::assert_abs_diff_eq!(real.mean().expect("values"), 0.0, epsilon = 1e-6);
    approx::assert_relative_eq!(real.std(0.0), 1.0, max_relative = 1e-6);
}

/// Returns the lead of an overflow.
fn overflow<T>(result: Result<T, ConvertError>) -> Option<usize> {
    match result {
        Err(ConvertError::Overflow { lead, value }) => {
            assert!(value > 1e20, "{value}");
            Some(lead)
        }
        _ => None,
    }
}

#[test]
fn what_overflows_is_refused() {
    let mut large = recording(synthetic_adc(1000), 500.0);
    large.signal[[4, 500]] = 1e200;
    let config = ConvertConfig::corrected();
    assert_eq!(overflow(prepare(config.clone(), &large)), Some(4));
    let plan = ConvertPlan::new(config, large.sampling_rate).expect("a plan");
    let mut out = Array2::<f64>::zeros(plan.prepared_shape());
    assert!(plan.prepare_into(&large, out.view_mut(), &mut Scratch::new()).is_ok());
    // Also refused if only the squares of the distances overflow.
    let mut volume = Array3::<f64>::zeros((45, 45, 45));
    let result = plan.convert_into(&large, volume.view_mut(), &mut Scratch::new());
    assert_eq!(overflow(result), Some(4));
    large.signal[[4, 500]] = 1e25;
    assert!(plan.prepare(&large).is_ok());
    assert_eq!(overflow(plan.convert(&large)), Some(4));
}

#[test]
fn a_scale_that_overflows_is_refused() {
    // The square of this value overflows. With an infinite deviation, all values would be zero.
    let mut large = recording(synthetic_adc(10_000), 500.0);
    large.signal[[4, 500]] = 1e160;
    for config in presets() {
        let config = config.with_units(Units::Millivolts).with_scale(Scale::ZScore);
        assert_eq!(overflow(prepare(config, &large)), Some(4));
    }
    let config = ConvertConfig::corrected().with_max_seconds(5.0);
    let peak = prepare(config.clone().with_scale(Scale::UnitPeak), &large).expect("prepares");
    assert!(peak.signal.iter().all(|value| value.abs() <= 1.0));
    assert!(peak.signal.iter().any(|value| value.abs() == 1.0));
    // Also refused if what overflows is cut off.
    large.signal[[4, 500]] = 0.0;
    large.signal[[7, 9000]] = f64::MAX;
    large.signal[[7, 9001]] = f64::MIN;
    for scale in [Scale::UnitPeak, Scale::ZScore] {
        let config = config.clone().with_scale(scale);
        assert_eq!(overflow(prepare(config, &large)), Some(7), "{scale:?}");
    }
}

#[test]
fn values_without_a_finite_inverse_scale_to_zero() {
    let mut tiny = recording(synthetic_adc(1000), 500.0);
    tiny.signal.mapv_inplace(|value| value * 1e-310);
    let config = ConvertConfig::corrected().with_scale(Scale::UnitPeak);
    let prepared = prepare(config, &tiny).expect("prepares");
    assert!(prepared.signal.iter().all(|value| *value == 0.0));
}

#[test]
fn a_cut_of_polyphase_resampling_is_no_minimum() {
    let short = recording(synthetic_adc(1500), 500.0);
    for short_records in [ShortRecords::Reject, ShortRecords::Pad] {
        let config = ConvertConfig::corrected()
            .with_first_samples(Some(2500))
            .with_short_records(short_records);
        let prepared = prepare(config, &short).expect("two windows fit");
        assert_eq!((prepared.length, prepared.warnings), (150, Vec::new()));
    }
}

#[test]
fn a_low_rate_takes_no_memory_without_bound() {
    // 46 days, which are 2.4e9 values at 50 Hz.
    let slow = recording(synthetic_adc(40_000), 0.01);
    let config = ConvertConfig::corrected().with_denoise(Denoise::None);
    let prepared = prepare(config.clone(), &slow).expect("prepares");
    assert_eq!((prepared.length, prepared.signal.dim()), (500, (12, 500)));
    for scale in [Scale::UnitPeak, Scale::ZScore] {
        let error = prepare(config.clone().with_scale(scale), &slow);
        assert_eq!(error, Err(ConvertError::TooLong { values: 2_400_000_000, most: 1 << 26 }));
    }
}

#[test]
fn parts_of_another_shape_than_the_signal_are_refused() {
    let whole = recording(synthetic_adc(1000), 500.0);
    let broken = |change: &dyn Fn(&mut Recording)| {
        let mut one = whole.clone();
        change(&mut one);
        one
    };
    let adc = |change: &dyn Fn(&mut Adc)| {
        broken(&|one: &mut Recording| change(one.adc.as_mut().expect("integers")))
    };
    let shape = |what, expected: &[usize], found: &[usize]| {
        Err(ConvertError::Shape { what, expected: expected.to_vec(), found: found.to_vec() })
    };
    let convert = |one: &Recording| prepare(ConvertConfig::published(), one);
    let values = "the integers of the recording";
    let rows = adc(&|adc| adc.values = adc.values.slice(s![..11, ..]).to_owned());
    assert_eq!(convert(&rows), shape(values, &[12, 1000], &[11, 1000]));
    let short = adc(&|adc| adc.values = adc.values.slice(s![.., ..999]).to_owned());
    assert_eq!(convert(&short), shape(values, &[12, 1000], &[12, 999]));
    let gains = adc(&|adc| adc.gain_per_mv.truncate(11));
    assert_eq!(convert(&gains), shape("the gains of the recording", &[12], &[11]));
    // Where these parts are not used, they may have any shape.
    for one in [rows, short, gains] {
        assert!(prepare(ConvertConfig::corrected(), &one).is_ok());
    }
    let leads = "the lead names of the recording";
    let more = broken(&|one| one.leads.insert(0, "V9".into()));
    let fewer = broken(&|one| one.leads.truncate(11));
    for config in presets() {
        assert_eq!(prepare(config.clone(), &more), shape(leads, &[12], &[13]));
        assert_eq!(prepare(config, &fewer), shape(leads, &[12], &[11]));
    }
}

#[test]
fn a_cut_that_leaves_less_than_a_window_is_no_plan() {
    let rate = SamplingRate::new(100.0).expect("a rate");
    let cut = |samples| ConvertConfig::corrected().with_first_samples(Some(samples));
    let error = ConvertPlan::new(cut(199), rate).expect_err("2 s are 200 samples");
    assert!(matches!(error, ConvertError::Config { field: "first_samples", .. }), "{error}");
    assert!(error.to_string().contains("199"), "{error}");
    let plan = ConvertPlan::new(cut(200), rate).expect("a plan");
    let long = recording(synthetic_adc(1000), 100.0);
    assert_eq!(plan.prepare(&long).expect("prepares").length, 100);
    let short = plan.prepare(&recording(synthetic_adc(150), 100.0));
    assert_eq!(short, Err(ConvertError::TooShort { expected: 200, found: 150, rate_hz: 100.0 }));
    // With padding, any number of samples makes a window.
    let padded = ConvertPlan::new(cut(100).with_short_records(ShortRecords::Pad), rate);
    let prepared = padded.expect("a plan").prepare(&long).expect("prepares");
    assert_eq!(prepared.length, 50);
    let expected = ConvertWarning::Padded { expected: 200, found: 100 };
    assert!(prepared.warnings.contains(&expected), "{:?}", prepared.warnings);
}

#[test]
fn a_batch_is_its_recordings_whatever_the_threads() {
    let mut recordings: Vec<_> =
        (0..9).map(|k| recording(synthetic_adc(1000 + 150 * k), 500.0)).collect();
    recordings[4].signal[[0, 3]] = f64::NAN;
    for config in presets() {
        let plan = ConvertPlan::new(config, recordings[0].sampling_rate).expect("a plan");
        let alone: Vec<_> = recordings.iter().map(|one| plan.prepare(one)).collect();
        let volumes: Vec<_> = recordings.iter().map(|one| plan.convert(one)).collect();
        let check = || {
            assert_eq!(format!("{:?}", plan.prepare_all(&recordings)), format!("{alone:?}"));
            let all = plan.convert_all(&recordings);
            let mut out = Array4::<f32>::ones((9, 45, 45, 45));
            let outcomes = plan.convert_all_into(&recordings, out.view_mut()).expect("an array");
            let [leads, samples] = plan.prepared_shape();
            let mut signals = Array3::<f32>::ones((9, leads, samples));
            let prepared =
                plan.prepare_all_into(&recordings, signals.view_mut()).expect("an array");
            for (k, (one, outcome)) in alone.iter().zip(&prepared).enumerate() {
                let zeros = Array2::zeros((leads, samples));
                let expected = one.as_ref().map_or(&zeros, |one| &one.signal);
                assert_eq!(signals.index_axis(Axis(0), k), expected);
                match (one, outcome) {
                    (Ok(one), Ok(outcome)) => {
                        assert_eq!(outcome.length, one.length);
                        assert_eq!(outcome.warnings, one.warnings);
                    }
                    _ => {
                        // As text: the invalid sample is NaN, which equals nothing.
                        let text = |error: Option<&ConvertError>| format!("{error:?}");
                        assert_eq!(text(outcome.as_ref().err()), text(one.as_ref().err()));
                    }
                }
            }
            for (k, volume) in volumes.iter().enumerate() {
                assert_eq!(all[k].is_ok(), k != 4);
                assert_eq!(outcomes[k].is_ok(), k != 4);
                let zeros = Array3::zeros((45, 45, 45));
                let expected = volume.as_ref().unwrap_or(&zeros);
                assert_eq!(all[k].as_ref().unwrap_or(&zeros), expected);
                assert_eq!(out.index_axis(Axis(0), k), expected);
            }
        };
        check();
        #[cfg(feature = "rayon")]
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a pool").install(check);
        }
        let mut small = Array4::<f32>::ones((8, 45, 45, 45));
        assert!(plan.convert_all_into(&recordings, small.view_mut()).is_err());
        let mut small = Array3::<f32>::ones((9, 12, 99));
        assert!(plan.prepare_all_into(&recordings, small.view_mut()).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_leads_rate_duration_and_size(
        leads in 1usize..17,
        rate_hz in 20.0..1100.0_f64,
        seconds in 0.01..6.0_f64,
        size in prop::array::uniform3(1usize..20),
        window_s in 0.2..2.0_f64,
        fft in any::<bool>(),
    ) {
        let rate_hz = rate_hz.round();
        let samples = ((seconds * rate_hz) as usize).max(1);
        let signal = Array2::from_shape_fn((leads, samples), |(lead, t)| {
            ((t * (lead + 3)) as f64 / 9.0).sin() + lead as f64
        });
        let names = (0..leads).map(|lead| format!("lead {lead}"));
        let rate = SamplingRate::new(rate_hz).expect("a rate");
        let one = Recording::new("any", rate, names, signal).expect("a recording");
        let resample = if fft {
            Resample::Fft { samples: 40 }
        } else {
            Resample::Polyphase { rate_hz: 50.0, fir: FirMethod::Polyphase }
        };
        let config = ConvertConfig::corrected()
            .with_units(Units::Adc)
            .with_leads(LeadSelection::File { count: leads })
            .with_first_samples(fft.then_some(200))
            .with_resample(resample)
            .with_window_s(window_s)
            .with_volume_size(size)
            .with_short_records(ShortRecords::Pad);
        let plan = ConvertPlan::new(config.clone(), rate).expect("a plan");
        let volume = plan.convert(&one).expect("converts");
        prop_assert_eq!(volume.shape(), size.as_slice());
        prop_assert!(volume.iter().all(|value| value.is_finite()));
        let strict = config.with_short_records(ShortRecords::Reject);
        let strict = ConvertPlan::new(strict, rate).expect("a plan");
        let enough = samples >= strict.min_samples();
        prop_assert_eq!(strict.convert(&one).is_ok(), enough);
        let padded = plan.prepare(&one).expect("prepares").warnings.iter()
            .any(|warning| matches!(warning, ConvertWarning::Padded { .. }));
        prop_assert_eq!(padded, !enough);
    }
}
