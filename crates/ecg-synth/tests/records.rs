//! What every record guarantees, whatever it shows: consistent leads, independence, reproducibility.

use ecg_core::{Lead, Recording, SnomedCode};
use ecg_synth::{
    BeatKind, Condition, Conduction, Ectopy, Quality, Rhythm, SynthError, SynthOptions, Synthesizer,
};
use serde::Deserialize;
use serde::de::value::{Error, MapDeserializer};

fn synthesizer(options: SynthOptions) -> Synthesizer {
    Synthesizer::new(options).expect("in bounds")
}

fn integers(recording: &Recording) -> &ndarray::Array2<i32> {
    &recording.adc.as_ref().expect("synthetic recordings have integers").values
}

/// FNV-1a of the integers, little-endian, row by row.
fn fnv(recording: &Recording) -> u64 {
    let bytes = integers(recording).iter().flat_map(|value| value.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn integers_are_the_same_on_every_machine() {
    let synthesizer = synthesizer(SynthOptions::default().with_seed(42));
    let found = [0, 1, 1_000_003].map(|index| fnv(&synthesizer.record(index).recording));
    let pinned = [0x1e92_0c0e_07ee_f525, 0xad26_2f44_885c_401b, 0xc85e_394d_df4d_247c];
    assert_eq!(found, pinned, "{found:#018x?}");
}

#[test]
fn a_record_does_not_depend_on_those_before() {
    let options = SynthOptions::default().with_seed(3).with_seconds(4.0);
    let all = synthesizer(options.clone());
    let before: Vec<_> = (0..30).map(|index| all.record(index)).collect();
    let shard = synthesizer(options);
    for index in [29, 7, 0] {
        assert_eq!(shard.record(index), before[index as usize]);
    }
    assert_ne!(before[0].recording.signal, before[1].recording.signal);
    // A record of the mix equals the record generated from its condition.
    let same = shard.record_with(7, &shard.condition(7)).expect("possible");
    assert_eq!(same, before[7]);
}

#[test]
fn the_beats_do_not_depend_on_blocks() {
    let synthesizer = synthesizer(SynthOptions::default().with_seed(5));
    for rhythm in [Rhythm::NormalSinus, Rhythm::SinusBradycardia] {
        let condition = Condition::new(rhythm);
        for index in 0..10 {
            let times = |condition: Condition| -> Vec<f64> {
                let record = synthesizer.record_with(index, &condition).expect("possible");
                record.truth.beats.iter().map(|beat| beat.r_s).collect()
            };
            let usual = times(condition);
            assert_eq!(usual, times(condition.with_first_degree_av_block()), "{rhythm:?} {index}");
            let wide = condition.with_conduction(Conduction::LeftBundleBranchBlock);
            assert_eq!(usual, times(wide), "{rhythm:?} {index}");
        }
    }
}

#[test]
fn einthoven_and_goldberger_hold() {
    let synthesizer = synthesizer(SynthOptions::default().with_seconds(2.0));
    for index in 0..40 {
        let record = synthesizer.record(index);
        for v in record.clean.columns() {
            assert_eq!(v[2], v[1] - v[0]);
            assert_eq!(v[3], -(v[0] + v[1]) / 2.0);
            assert_eq!(v[4], v[0] - v[1] / 2.0);
            assert_eq!(v[5], v[1] - v[0] / 2.0);
        }
        for v in integers(&record.recording).columns() {
            assert_eq!(v[2], v[1] - v[0]);
            assert_eq!(v[3] + v[4] + v[5], 0);
            for (twice, stored) in
                [(-(v[0] + v[1]), v[3]), (2 * v[0] - v[1], v[4]), (2 * v[1] - v[0], v[5])]
            {
                assert!((2 * stored - twice).abs() <= 1);
            }
        }
    }
}

#[test]
fn the_signal_is_the_integers() {
    let record = synthesizer(SynthOptions::default()).record(5);
    let recording = &record.recording;
    assert_eq!(recording.standard_rows().expect("twelve leads"), std::array::from_fn(|k| k));
    let adc = recording.adc.as_ref().expect("integers");
    assert_eq!(
        (adc.gain_per_mv.as_slice(), adc.baseline.as_slice()),
        (&[1000.0; 12][..], &[0; 12][..])
    );
    assert_eq!(recording.signal, adc.values.mapv(|value| f64::from(value) / 1000.0));
    // Apart from the disturbances, the integers are the noise-free signal.
    let rms = (&recording.signal - &record.clean).mapv(|d| d * d).mean().expect("samples").sqrt();
    assert!((0.01..0.3).contains(&rms), "{rms}");
    assert_eq!(record.condition.diagnoses(), recording.diagnoses);
}

#[test]
fn ectopy_is_stated_where_a_beat_of_it_is_within() {
    let short = synthesizer(SynthOptions::default().with_seconds(4.0));
    for (ectopy, kind, code) in [
        (Ectopy::Atrial, BeatKind::PrematureAtrial, 284_470_004),
        (Ectopy::Ventricular, BeatKind::PrematureVentricular, 427_172_004),
    ] {
        let condition = Condition::new(Rhythm::SinusBradycardia).with_ectopy(ectopy);
        let mut stated = 0;
        for index in 0..40 {
            let record = short.record_with(index, &condition).expect("possible");
            let within = record.truth.beats.iter().any(|beat| beat.kind == kind);
            let codes = &record.recording.diagnoses;
            assert_eq!(codes.contains(&SnomedCode(code)), within, "{ectopy:?} {index}");
            assert_eq!(codes[0], condition.diagnoses()[0]);
            stated += u32::from(within);
        }
        assert!((20..40).contains(&stated), "{ectopy:?} {stated}");
    }
}

#[test]
fn rate_and_duration_keep_the_beats() {
    let base = SynthOptions::default().with_seed(8);
    let usual = synthesizer(base.clone());
    let coarse = synthesizer(base.clone().with_sampling_rate_hz(250.0));
    let odd = synthesizer(base.clone().with_sampling_rate_hz(333.3).with_seconds(25.0));
    for index in 0..20 {
        let (usual, coarse, odd) = (usual.record(index), coarse.record(index), odd.record(index));
        assert_eq!(usual.truth, coarse.truth);
        assert_eq!(usual.truth.beats, odd.truth.beats[..usual.truth.beats.len()]);
        assert_eq!(odd.recording.n_samples(), 8333);
        // The recorder's low-pass filter makes the pacemaker spike depend on the sampling rate.
        if usual.condition.rhythm != Rhythm::Paced {
            for (k, column) in coarse.clean.columns().into_iter().enumerate() {
                let difference = (&column - &usual.clean.column(2 * k)).mapv(f64::abs);
                // The points where the Gaussians are cut off differ by a sample.
                assert!(difference.iter().all(|d| *d < 1e-5), "{index} {difference}");
            }
        }
    }
}

#[test]
fn any_rate_and_duration_within_bounds() {
    for (hz, seconds, samples) in
        [(100.0, 1.0, 100), (128.0, 60.0, 7680), (360.0, 10.0, 3600), (2000.0, 3.5, 7000)]
    {
        let options = SynthOptions::default().with_sampling_rate_hz(hz).with_seconds(seconds);
        let record = synthesizer(options).record(1);
        assert_eq!(record.recording.signal.dim(), (12, samples));
        assert!(record.recording.signal.iter().all(|mv| mv.abs() < 10.1));
    }
    for hz in [0.0, -500.0, 99.0, 1e6, f64::NAN, f64::INFINITY] {
        let error = Synthesizer::new(SynthOptions::default().with_sampling_rate_hz(hz));
        assert!(matches!(error, Err(SynthError::SamplingRate { .. })), "{hz}");
    }
    for seconds in [0.0, -1.0, 0.5, 1e9, f64::NAN] {
        let error = Synthesizer::new(SynthOptions::default().with_seconds(seconds));
        assert!(matches!(error, Err(SynthError::Duration { .. })), "{seconds}");
    }
}

#[test]
fn rate_and_duration_are_bounded_together() {
    let options =
        |hz, seconds| SynthOptions::default().with_sampling_rate_hz(hz).with_seconds(seconds);
    for (hz, seconds) in [(1000.0, 3600.0), (5000.0, 720.0)] {
        assert_eq!(synthesizer(options(hz, seconds)).samples(), 3_600_000);
    }
    for (hz, seconds, text) in [
        (
            5000.0,
            3600.0,
            "3600 s at 5000 Hz are 18000000 samples per lead, expected at most 3600000",
        ),
        (
            5000.0,
            720.5,
            "720.5 s at 5000 Hz are 3602500 samples per lead, expected at most 3600000",
        ),
    ] {
        let error = Synthesizer::new(options(hz, seconds)).expect_err("too many samples");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_flat_lead_is_flat_and_derived_leads_follow() {
    let synthesizer = synthesizer(SynthOptions::default().with_seconds(2.0));
    let condition = Condition::new(Rhythm::NormalSinus).with_quality(Quality::FlatLead);
    let mut seen = std::collections::HashSet::new();
    for index in 0..60 {
        let record = synthesizer.record_with(index, &condition).expect("possible");
        let flat = record.truth.flat_lead.expect("asked for");
        let signal = &record.recording.signal;
        assert!(signal.row(flat.index()).iter().all(|mv| *mv == 0.0));
        if flat == Lead::I {
            assert_eq!(signal.row(Lead::II.index()), signal.row(Lead::III.index()));
        }
        seen.insert(flat);
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn patients_recur() {
    let synthesizer = synthesizer(SynthOptions::default().with_seconds(1.0));
    let of = |index| synthesizer.record(index).recording;
    for (index, patient) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (7, 5), (8, 6)] {
        assert_eq!(Synthesizer::patient(index), patient);
        assert_eq!(of(index).patient, Some(format!("p{patient:05}")));
    }
    assert_eq!((of(2).age_years, of(2).sex), (of(3).age_years, of(3).sex));
}

#[test]
fn options_that_are_left_out_have_their_defaults() {
    let only = MapDeserializer::<_, Error>::new([("seed", 7u64)].into_iter());
    let read = SynthOptions::deserialize(only).expect("valid");
    assert_eq!(read, SynthOptions::default().with_seed(7));
    let misspelt = MapDeserializer::<_, Error>::new([("second", 30u64)].into_iter());
    assert!(SynthOptions::deserialize(misspelt).is_err());
    let misspelt = MapDeserializer::<_, Error>::new([("first_degree_block", true)].into_iter());
    assert!(Condition::deserialize(misspelt).is_err());
}
