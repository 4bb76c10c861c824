//! Everything that is written is read back.

use std::path::Path;

use ecg_core::{Adc, Lead, Recording, SamplingRate, Sex, SnomedCode};
use ecg_io::{Format, IoError, ReadOptions, WriteOptions, read_recording, write_csv, write_wfdb};
use ndarray::Array2;
use proptest::prelude::*;

fn recording(signal: Array2<f64>, rate: f64) -> Recording {
    let leads = Lead::STANDARD_12.into_iter().cycle().take(signal.nrows());
    let rate = SamplingRate::new(rate).expect("a rate");
    let mut recording = Recording::new("site/r_1", rate, leads, signal).expect("shapes agree");
    recording.diagnoses = vec![SnomedCode(426_783_006), SnomedCode(67_741_000_119_109)];
    recording.age_years = Some(61.5);
    recording.sex = Some(Sex::Female);
    recording.patient = Some("p 7".into());
    recording.comments = vec!["Age: 3".into(), "made by a test: yes".into()];
    recording
}

fn reread(dir: &Path) -> Recording {
    let strict = ReadOptions::default().with_strict(true);
    let loaded = read_recording(dir.join("site/r_1"), &strict).expect("reads");
    assert_eq!(loaded.warnings, []);
    loaded.recording
}

fn same_facts(a: &Recording, b: &Recording) {
    assert_eq!((a.sampling_rate, &a.leads), (b.sampling_rate, &b.leads));
    assert_eq!((&a.diagnoses, a.age_years, a.sex), (&b.diagnoses, b.age_years, b.sex));
    assert_eq!(a.patient, b.patient);
    assert!(b.comments.contains(&"made by a test: yes".to_owned()));
    assert!(!b.comments.contains(&"Age: 3".to_owned()), "the field counts, not the old comment");
}

/// Equal, NaN at the same places.
fn close(a: &Array2<f64>, b: &Array2<f64>, tolerance: f64) -> bool {
    a.dim() == b.dim()
        && a.iter().zip(b).all(
            |(a, b)| {
                if a.is_nan() { b.is_nan() } else { (a - b).abs() <= tolerance }
            },
        )
}

fn signals() -> impl Strategy<Value = Array2<f64>> {
    (1usize..13, 1usize..40).prop_flat_map(|(leads, samples)| {
        let value = prop_oneof![20 => -2.0f64..2.0, 1 => Just(f64::NAN)];
        prop::collection::vec(value, leads * samples)
            .prop_map(move |v| Array2::from_shape_vec((leads, samples), v).expect("a shape"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn wfdb(
        signal in signals(),
        code in prop::sample::select(vec![16u32, 24, 32, 61, 160, 212]),
        rate in prop::sample::select(vec![100.0, 500.0, 62.4725, 1000.0]),
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let first = recording(signal, rate);
        let format = Format::from_code(code).expect("a format");
        let options = WriteOptions::default().with_format(format);
        write_wfdb(dir.path(), &first, &options).expect("writes");
        let second = reread(dir.path());
        same_facts(&first, &second);
        prop_assert!(close(&first.signal, &second.signal, 0.0005 + 1e-12));
        // The stored integers that were read are written again unchanged.
        let mut third = second.clone();
        third.name = first.name.clone();
        write_wfdb(dir.path(), &third, &options.with_gain_per_mv(77.0)).expect("writes");
        let fourth = reread(dir.path());
        prop_assert!(close(&second.signal, &fourth.signal, 0.0));
        prop_assert_eq!(second.adc, fourth.adc);
    }

    #[test]
    fn csv(signal in signals(), rate in prop::sample::select(vec![100.0, 500.0, 62.4725])) {
        let dir = tempfile::tempdir().expect("a folder");
        let first = recording(signal, rate);
        write_csv(dir.path().join("site/r_1.csv"), &first).expect("writes");
        let second = reread(dir.path());
        same_facts(&first, &second);
        prop_assert!(close(&first.signal, &second.signal, 0.0));
    }
}

#[test]
fn stored_integers_are_written_only_where_they_are_the_signals() {
    let dir = tempfile::tempdir().expect("a folder");
    let values = Array2::from_shape_vec((1, 3), vec![100, -40, 30_000]).expect("a shape");
    let signal = values.mapv(|v| (f64::from(v) + 5.0) / 400.0);
    let adc = Adc { values: values.clone(), gain_per_mv: vec![400.0], baseline: vec![-5] };
    let stored = recording(signal, 500.0).with_adc(adc).expect("shapes agree");
    write_wfdb(dir.path(), &stored, &WriteOptions::default()).expect("writes");
    let back = reread(dir.path()).adc.expect("stored integers");
    assert_eq!((back.values, back.gain_per_mv, back.baseline), (values, vec![400.0], vec![-5]));

    // After a change of the signal they are stale.
    let mut changed = stored.clone();
    changed.signal.fill(1.25);
    write_wfdb(dir.path(), &changed, &WriteOptions::default()).expect("writes");
    assert_eq!(reread(dir.path()).signal, changed.signal);

    // A gain that the reader refuses is not written.
    let mut tiny = recording(Array2::zeros((1, 3)), 500.0);
    let (values, gain_per_mv) = (Array2::zeros((1, 3)), vec![1e-300]);
    tiny.adc = Some(Adc { values, gain_per_mv, baseline: vec![0] });
    write_wfdb(dir.path(), &tiny, &WriteOptions::default()).expect("writes");
    assert_eq!(reread(dir.path()).adc.expect("stored integers").gain_per_mv, [1000.0]);

    // They do not fit format 212, and neither does the signal.
    let narrow = WriteOptions::default().with_format(Format::Packed212);
    assert!(matches!(
        write_wfdb(dir.path(), &stored, &narrow),
        Err(IoError::WriteRange { sample: 2, format: 212, .. })
    ));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = recording(Array2::zeros((1, 4)), 500.0);
    let options = WriteOptions::default();
    for name in ["", "a b", "../r", "/r", "a/../r", "r.x", "a//r", "a/"] {
        let mut bad = good.clone();
        bad.name = name.into();
        assert!(
            matches!(write_wfdb(dir.path(), &bad, &options), Err(IoError::RecordName { .. })),
            "{name:?}"
        );
    }
    for format in [Format::Diff8, Format::Null, Format::Packed310, Format::Flac16] {
        let options = WriteOptions::default().with_format(format);
        let refused = write_wfdb(dir.path(), &good, &options);
        assert!(matches!(refused, Err(IoError::WriteFormat { .. })));
    }
    for gain in [0.0, -1.0, 1e-300, f64::NAN, f64::INFINITY] {
        let refused = write_wfdb(dir.path(), &good, &options.clone().with_gain_per_mv(gain));
        assert!(matches!(refused, Err(IoError::WriteGain { .. })));
    }
    let empty = recording(Array2::zeros((2, 0)), 500.0);
    assert!(matches!(write_wfdb(dir.path(), &empty, &options), Err(IoError::NoSamples { .. })));
    let mut taken_apart = good.clone();
    taken_apart.leads.push("II".into());
    let refused = write_wfdb(dir.path(), &taken_apart, &options);
    assert!(matches!(refused, Err(IoError::Recording { line: None, .. })));
    assert!(write_csv(dir.path().join("r.csv"), &taken_apart).is_err());
    let huge = recording(Array2::from_elem((1, 2), f64::INFINITY), 500.0);
    assert!(matches!(write_wfdb(dir.path(), &huge, &options), Err(IoError::WriteRange { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).expect("the folder").count(), 0, "nothing is left");
}

#[test]
fn comments_that_fields_replace() {
    let dir = tempfile::tempdir().expect("a folder");
    let write_and_read = |recording: &Recording, suffix: &str| {
        let path = dir.path().join(format!("site/r_1{suffix}"));
        match suffix {
            ".csv" => write_csv(&path, recording).expect("writes"),
            _ => write_wfdb(dir.path(), recording, &WriteOptions::default()).expect("writes"),
        }
        read_recording(path, &ReadOptions::default()).expect("reads").recording
    };
    for suffix in [".csv", ".hea"] {
        // Words are kept, in their order and with their blanks; of the codes, those of the field.
        let mut changed = recording(Array2::zeros((1, 4)), 500.0);
        changed.diagnoses = vec![SnomedCode(164_889_003)];
        changed.comments = vec!["Dx: AF, 426783006, infarction, old".into(), "Dx: b".into()];
        let back = write_and_read(&changed, suffix);
        assert_eq!(back.diagnoses, changed.diagnoses);
        let stated: Vec<_> = back.comments.iter().filter(|own| own.starts_with("Dx")).collect();
        assert_eq!(stated, ["Dx: 164889003, AF, infarction, old, b"]);
        assert_eq!(write_and_read(&back, suffix).comments, back.comments);

        // Values that were not read are kept, those that were read and removed are not.
        let mut empty = recording(Array2::zeros((1, 4)), 500.0);
        (empty.age_years, empty.sex, empty.patient) = (None, None, None);
        empty.diagnoses.clear();
        let kept = ["Age: 61Y", "Sex: W", "Dx: Unknown", "Patient: n/a"];
        let removed = ["Age: 3", "Sex: F", "Dx: 426783006", "Patient: 7"];
        empty.comments = kept.iter().chain(&removed).map(|own| String::from(*own)).collect();
        let back = write_and_read(&empty, suffix);
        let layout = ["fs: 500", "units: mV"];
        let others: Vec<_> =
            back.comments.iter().filter(|own| !layout.contains(&own.as_str())).collect();
        assert_eq!(others, kept);
        // Once the fields are set, they count.
        empty = recording(Array2::zeros((1, 4)), 500.0);
        empty.comments = kept.map(String::from).to_vec();
        let back = write_and_read(&empty, suffix);
        assert_eq!((back.age_years, back.sex), (Some(61.5), Some(Sex::Female)));
        assert!(!back.comments.iter().any(|own| kept.contains(&own.as_str())));
    }
}

#[test]
fn control_characters_become_spaces() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut odd = recording(Array2::zeros((1, 4)), 500.0);
    odd.leads = vec!["le\u{7}ad\t1".into()];
    odd.comments = vec!["a\u{1b}b\r\nc\0".into()];
    odd.patient = Some("p\u{1}7".into());
    let check = || {
        let back = reread(dir.path());
        assert_eq!((back.leads[0].as_str(), back.patient.as_deref()), ("le ad 1", Some("p 7")));
        assert!(back.comments.iter().any(|comment| comment == "a b  c"), "{:?}", back.comments);
    };
    write_csv(dir.path().join("site/r_1.csv"), &odd).expect("writes");
    check();
    write_wfdb(dir.path(), &odd, &WriteOptions::default()).expect("writes");
    check();
}

#[test]
fn samples_are_not_written_beside_a_header_that_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |value| {
        let own = recording(Array2::from_elem((2, 3), value), 500.0);
        write_wfdb(dir.path(), &own, &WriteOptions::default())
    };
    write(0.25).expect("writes");
    let [header, samples] =
        ["hea", "dat"].map(|end| dir.path().join("site/r_1").with_extension(end));
    let before = std::fs::read(&samples).expect("reads");
    let mut permissions = std::fs::metadata(&header).expect("is there").permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&header, permissions).expect("sets");
    let error = write(0.5).expect_err("read-only");
    assert!(matches!(&error, IoError::Write { path, .. } if *path == header), "{error}");
    assert_eq!(std::fs::read(&samples).expect("reads"), before);
}
