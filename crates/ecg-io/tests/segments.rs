//! Multi-segment records, and signals that are delayed in their file.

mod common;

use std::fs;
use std::path::Path;

use ecg_io::{
    Dataset, DatasetOptions, IoError, Loaded, ReadOptions, Record, Selection, Warning,
    read_recording,
};
use ndarray::{Array2, Axis, s};

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) {
    fs::write(dir.join(name), content).expect("writes");
}

fn bytes(values: impl Iterator<Item = i16>) -> Vec<u8> {
    values.flat_map(i16::to_le_bytes).collect()
}

/// Returns the signals of a record in their own units, and the warnings.
fn read(dir: &Path, name: &str, options: &ReadOptions) -> (Vec<Vec<f64>>, Vec<Warning>) {
    let record = Record::open(dir.join(name), options).expect("opens");
    let signals = record.read::<f64>(&Selection::default()).expect("reads");
    (signals, record.warnings())
}

#[test]
fn equal_descriptions_go_by_their_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    write(dir, "s.dat", bytes((0..9).map(|v| v * 100)));
    write(
        dir,
        "s.hea",
        "s 3 500 3\ns.dat 16 100 16 0 0 900 0 I\ns.dat 16 100 16 0 0 1200 0 I\ns.dat 16 100 16 0 0 1500 0 I\n",
    );
    write(
        dir,
        "lay.hea",
        "lay 3 500 0\n~ 0 100 16 0 0 0 0 I\n~ 0 100 16 0 0 0 0 V\n~ 0 100 16 0 0 0 0 I\n",
    );
    write(dir, "r.hea", "r/2 3 500 3\nlay 0\ns 3\n");
    let (signals, warnings) = read(dir, "r", &ReadOptions::default());
    assert_eq!((&signals[0][..], &signals[2][..]), (&[0.0, 3.0, 6.0][..], &[1.0, 4.0, 7.0][..]));
    assert!(signals[1].iter().all(|v| v.is_nan()));
    // The third signal has no place in the record.
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].message.contains("is not a signal of the record"));
}

#[test]
fn leads_of_a_fixed_layout_that_change_places_are_noticed() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    write(dir, "s.dat", bytes(0..200));
    let signals = |a: &str, b: &str| {
        format!("s.dat 16 100 16 0 0 9900 0 {a}\ns.dat 16 100 16 0 1 10000 0 {b}\n")
    };
    for (name, [first, second]) in
        [("a", ["I", "II"]), ("b", ["II", "I"]), ("c", ["i", "Ii"]), ("d", ["", ""])]
    {
        let header = format!("{name} 2 500 100\n{}", signals(first, second));
        write(dir, &format!("{name}.hea"), header);
    }
    write(dir, "r.hea", "r/3 2 500 300\na 100\nc 100\nd 100\n");
    assert_eq!(read(dir, "r", &ReadOptions::default().with_strict(true)).1, []);
    write(dir, "r.hea", "r/2 2 500 200\na 100\nb 100\n");
    let (_, warnings) = read(dir, "r", &ReadOptions::default());
    let found: Vec<_> = warnings.iter().map(|w| (w.line, w.field, w.message.as_str())).collect();
    let expected = [
        (Some(3), "description", "segment \"b\": \"II\" instead of \"I\", joined by position"),
        (Some(3), "description", "segment \"b\": \"I\" instead of \"II\", joined by position"),
    ];
    assert_eq!(found, expected);
    let strict = read_recording(dir.join("r"), &ReadOptions::default().with_strict(true));
    assert!(
        matches!(&strict, Err(IoError::Strict(warning)) if warning.field == "description"),
        "{strict:?}"
    );
}

#[test]
fn warnings_before_an_error_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    write(dir, "s.dat", bytes(0..100));
    write(dir, "a.hea", "a 1 500 100\ns.dat 16 100\n");
    write(dir, "b.hea", "b 1 500 100\ns.dat 16\n");
    write(dir, "r.hea", "r/3 1 500 300\na 100\nb 100\nmissing 100\n");
    for selection in [Selection::default(), Selection::default().with_frames(0..300)] {
        let record = Record::open(dir.join("r"), &ReadOptions::default()).expect("opens");
        for _ in 0..2 {
            let refused = record.read::<f32>(&selection);
            assert!(matches!(refused, Err(IoError::Segment { line: 4, .. })), "{refused:?}");
            let warnings = record.warnings();
            let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
            assert_eq!((warning.path.as_path(), warning.field), (&*dir.join("b.hea"), "gain"));
        }
    }
}

#[test]
fn a_segment_that_states_no_length_is_as_long_as_the_record_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    // 999 samples, padded to whole blocks, and a checksum that is not compared.
    write(dir, "s.dat", [1_u8, 0, 2].repeat(500));
    write(dir, "s.hea", "s 1 360\ns.dat 212 200 12 0 0 7 0 I\n");
    write(dir, "r.hea", "r/1 1 360 999\ns 999\n");
    let (signals, warnings) = read(dir, "r", &ReadOptions::default().with_strict(true));
    assert_eq!((signals[0].len(), &signals[0][996..]), (999, &[0.005, 0.01, 0.005][..]));
    assert_eq!(warnings, []);
    // The size of the file is compared with that length.
    write(dir, "r.hea", "r/1 1 360 900\ns 900\n");
    let (_, warnings) = read(dir, "r", &ReadOptions::default());
    let fields: Vec<_> = warnings.iter().map(|warning| warning.field).collect();
    assert_eq!(fields, ["number of samples"]);
    write(dir, "r.hea", "r/1 1 360 1001\ns 1001\n");
    let refused = read_recording(dir.join("r"), &ReadOptions::default());
    let Err(IoError::Segment { line: 2, source, .. }) = refused else { panic!("{refused:?}") };
    assert!(matches!(*source, IoError::Truncated { expected: 1502, found: 1500, .. }), "{source}");
}

#[test]
fn a_block_that_is_read_again_counts_once() {
    const FRAMES: usize = 140_000;
    let dir = tempfile::tempdir().expect("a folder");
    let samples = [1_u8, 0].repeat(FRAMES);
    write(dir.path(), "r.dat", &samples);
    // The sum of all samples, mod 2^16.
    let sum = FRAMES % (1 << 16);
    let header = format!("r 1 500 {FRAMES}\nr.dat 16 100 16 0 1 {sum} 0 I\n");
    write(dir.path(), "r.hea", header);
    let record = Record::open(dir.path().join("r"), &ReadOptions::default()).expect("opens");
    let mut blocks = record.blocks::<i16>(&Selection::default(), 70_000).expect("blocks");
    let mut buffer = Vec::new();
    assert_eq!(blocks.next_into(&mut buffer).expect("a block"), Some(0..70_000));
    // The last sample is missing for a while, so that the others of its block are read in vain.
    write(dir.path(), "r.dat", &samples[..samples.len() - 2]);
    let cut = blocks.next_into(&mut buffer);
    assert!(matches!(cut, Err(IoError::Truncated { .. })), "{cut:?}");
    write(dir.path(), "r.dat", &samples);
    assert_eq!(blocks.next_into(&mut buffer).expect("the block"), Some(70_000..140_000));
    assert_eq!((buffer.len(), blocks.next_into(&mut buffer).expect("the end")), (70_000, None));
}

/// The bits of some rows and columns, because NaN equals nothing.
fn bits(signal: &Array2<f64>, rows: &[usize], columns: std::ops::Range<usize>) -> Array2<u64> {
    signal.select(Axis(0), rows).slice(s![.., columns]).mapv(f64::to_bits)
}

#[test]
fn a_part_of_a_record_is_a_recording() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    // 40 frames of two samples of each of two signals, the first 3 samples late; and of 3 and 1 samples.
    let facts = "#Age: 61\n#Dx: 426783006\n";
    write(dir, "p.dat", bytes(0..160));
    write(dir, "e.dat", [3_u8, 1, 255, 2].repeat(40));
    for (name, format) in [("p", 16), ("e", 8)] {
        let file = format!("{name}.dat {format}x2");
        let header = format!("{name} 2 250 40\n{file}:3 100(5)/uV\n{file} 2/V\n{facts}");
        write(dir, &format!("{name}.hea"), header);
    }
    write(dir, "n.hea", "n 2 250 40\n~ 0x2 100\np.dat 16x2:79 100\n");
    write(dir, "q.hea", "q 2 250 40\np.dat 16x3:2 100/mmHg\np.dat 16:1 100\n");
    write(dir, "m.hea", format!("m/3 2 250 100\np 40\n~ 20\np 40\n{facts}"));
    for (name, per_frame, integers) in
        [("p", 2, true), ("e", 2, true), ("n", 2, true), ("q", 1, false), ("m", 2, false)]
    {
        let whole = read_recording(dir.join(name), &ReadOptions::default()).expect(name);
        let record = Record::open(dir.join(name), &ReadOptions::default()).expect(name);
        let all = record.recording(&Selection::default()).expect(name);
        let end = record.n_frames() as usize;
        assert_eq!(all.path, whole.path);
        assert_eq!(all.warnings, whole.warnings, "{name}");
        // A signal that is selected twice is noted once.
        let twice = Selection::default().with_signals([0, 1, 0, 1]);
        assert_eq!(record.recording(&twice).expect(name).warnings, whole.warnings, "{name}");
        for frames in [0..end, 0..1, 7..20, 30..end, end - 2..end, end - 1..end, 5..5] {
            for rows in [&[0, 1][..], &[1, 0][..], &[1, 0, 1][..]] {
                let selection = Selection::default()
                    .with_frames(frames.start as u64..frames.end as u64)
                    .with_signals(rows);
                let Loaded { recording: part, .. } = record.recording(&selection).expect(name);
                let case = format!("{name}, frames {frames:?}, signals {rows:?}");
                let whole = &whole.recording;
                let columns = frames.start * per_frame..frames.end * per_frame;
                let expected = bits(&whole.signal, rows, columns.clone());
                assert_eq!(part.signal.mapv(f64::to_bits), expected, "{case}");
                assert_eq!(part.adc.is_some(), integers, "{case}");
                if let (Some(adc), Some(of)) = (&part.adc, &whole.adc) {
                    let expected = of.values.select(Axis(0), rows);
                    assert_eq!(adc.values, expected.slice(s![.., columns]), "{case}");
                    let gains: Vec<f64> = rows.iter().map(|row| of.gain_per_mv[*row]).collect();
                    let baselines: Vec<i32> = rows.iter().map(|row| of.baseline[*row]).collect();
                    assert_eq!((&adc.gain_per_mv, &adc.baseline), (&gains, &baselines), "{case}");
                }
                let leads: Vec<_> = rows.iter().map(|row| whole.leads[*row].clone()).collect();
                assert_eq!((&part.name, &part.leads), (&whole.name, &leads));
                assert_eq!(part.sampling_rate, whole.sampling_rate);
                assert_eq!((part.age_years, &part.comments), (whole.age_years, &whole.comments));
                assert_eq!(part.diagnoses, whole.diagnoses);
            }
        }
        let beyond = Selection::default().with_frames(1..end as u64 + 1);
        assert!(matches!(record.recording(&beyond), Err(IoError::NoSuchFrames { .. })));
        let none = Selection::default().with_signals([2]);
        assert!(matches!(record.recording(&none), Err(IoError::NoSuchSignal { .. })));
    }

    // The late samples that the file does not have are marked as invalid.
    let record = Record::open(dir.join("p"), &ReadOptions::default()).expect("opens");
    let late = Selection::default().with_frames(38..40);
    let part = record.recording(&late).expect("reads").recording;
    let stored = part.adc.as_ref().expect("stored integers").values.row(0).to_vec();
    assert_eq!(stored, [157, -32768, -32768, -32768]);
    assert_eq!(part.signal[[0, 0]], (157.0 - 5.0) / 1e5);
    assert!(part.signal.row(0).iter().skip(1).all(|value| value.is_nan()));

    // Signals of one rate are not averaged, unless that is requested.
    let record = Record::open(dir.join("q"), &ReadOptions::default()).expect("opens");
    let whole = record.recording(&Selection::default()).expect("reads").recording;
    let first = Selection::default().with_signals([0]);
    let alone = record.recording(&first).expect("reads").recording;
    assert_eq!((alone.n_samples(), alone.sampling_rate.hz()), (120, 750.0));
    assert!(alone.adc.is_some());
    let averaged = record.recording(&first.with_average_frames(true)).expect("reads");
    assert!(averaged.recording.adc.is_none() && averaged.recording.sampling_rate.hz() == 250.0);
    assert_eq!(averaged.recording.signal.mapv(f64::to_bits), bits(&whole.signal, &[0], 0..40));
}

#[test]
fn warnings_of_all_segments_have_one_limit() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    write(dir, "s.dat", bytes(0..1));
    let mut all = "r/300 1 500 300\n".to_owned();
    for k in 0..300 {
        // The name of the record, and that no gain is stated.
        write(dir, &format!("s{k}.hea"), "other 1 500 1\ns.dat 16\n");
        all += &format!("s{k} 1\n");
    }
    write(dir, "r.hea", all);
    let loaded = read_recording(dir.join("r"), &ReadOptions::default()).expect("reads");
    let record = Record::open(dir.join("r"), &ReadOptions::default()).expect("opens");
    record.read::<f64>(&Selection::default()).expect("reads");
    for warnings in [loaded.warnings, record.warnings()] {
        assert_eq!(warnings.len(), 129);
        let rest = &warnings[128];
        assert_eq!((rest.path.as_path(), rest.line), (dir.join("r.hea").as_path(), None));
        // The first segment is looked at twice.
        let n: u64 = warnings.iter().map(|warning| warning.count).sum();
        assert!((600..=602).contains(&n), "{n}");
    }
}

#[test]
fn a_segment_is_looked_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    write(dir, "s.dat", bytes(0..100));
    write(dir, "s.hea", "s 1 500 100\ns.dat 16 100\n");
    write(dir, "r.hea", format!("r/3 1 500 300\n{}", "s 100\n".repeat(3)));
    let record = Record::open(dir.join("r"), &ReadOptions::default()).expect("opens");
    let first = record.read::<f64>(&Selection::default()).expect("reads");
    let once: Vec<f64> = (0..100).map(|v| f64::from(v) / 100.0).collect();
    assert_eq!(first[0], once.repeat(3));
    #[cfg(target_os = "linux")]
    {
        let open = fs::read_dir("/proc/self/fd").expect("the folder");
        let links = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let left: Vec<_> = links.filter(|file| file.starts_with(dir)).collect();
        assert!(left.is_empty(), "still open: {left:?}");
    }
    fs::remove_file(dir.join("s.hea")).expect("removes");
    assert_eq!(record.read::<f64>(&Selection::default()).expect("reads again"), first);
    // The length must match each of the segment lines.
    write(dir, "s.hea", "s 1 500 100\ns.dat 16 100\n");
    write(dir, "r.hea", "r/2 1 500 150\ns 100\ns 50\n");
    let refused = read_recording(dir.join("r"), &ReadOptions::default());
    assert!(
        matches!(refused, Err(IoError::SegmentDiffers { line: 3, field: "number of samples", .. })),
        "{refused:?}"
    );
}

#[test]
fn headers_of_segments_are_bounded_together() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    write(dir, "s.dat", bytes(0..100));
    let comment = "x".repeat(9 << 20);
    for name in ["a", "b"] {
        write(
            dir,
            &format!("{name}.hea"),
            format!("{name} 1 500 100\ns.dat 16 100\n# {comment}\n"),
        );
    }
    write(dir, "r.hea", "r/3 1 500 300\na 100\na 100\na 100\n");
    assert!(read_recording(dir.join("r"), &ReadOptions::default()).is_ok());
    write(dir, "r.hea", "r/3 1 500 300\na 100\na 100\nb 100\n");
    let refused = read_recording(dir.join("r"), &ReadOptions::default());
    let bytes = (18 << 20) + 2 * 28;
    assert!(
        matches!(refused, Err(IoError::SegmentHeaders { line: 4, bytes: found, .. }) if found == bytes),
        "{:?}",
        refused.err()
    );
}

#[test]
fn segments_may_share_the_bytes_of_a_file_or_stand_there_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    write(dir, "s.dat", bytes(0..100));
    write(dir, "a.hea", "a 1 500 50\ns.dat 16 100\n");
    write(dir, "b.hea", "b 1 500 50\ns.dat 16+100 100\n");
    write(dir, "r.hea", "r/2 1 500 100\na 50\nb 50\n");
    let few = ReadOptions::default().with_max_null_samples(1);
    let (signals, _) = read(dir, "r", &few);
    assert_eq!(signals[0], (0..100).map(|v| f64::from(v) / 100.0).collect::<Vec<_>>());
    // As many repeated samples as the files hold, and no more.
    write(dir, "r.hea", "r/4 1 500 200\na 50\nb 50\na 50\nb 50\n");
    assert_eq!(read(dir, "r", &few).0[0].len(), 200);
    write(dir, "r.hea", "r/5 1 500 250\na 50\nb 50\na 50\nb 50\nb 50\n");
    let record = Record::open(dir.join("r"), &few).expect("opens");
    let refused = record.read::<f64>(&Selection::default());
    let Err(IoError::TooManyNullSamples { samples: 150, limit: 100, .. }) = refused else {
        panic!("{refused:?}");
    };
    // Read in blocks, it may have any length.
    let mut blocks = record.blocks::<f64>(&Selection::default(), 100).expect("blocks");
    let (mut buffer, mut all) = (Vec::new(), Vec::new());
    while blocks.next_into(&mut buffer).expect("a block").is_some() {
        all.extend_from_slice(&buffer);
    }
    assert_eq!((all.len(), all[249]), (250, 0.99));
}

#[test]
fn more_than_there_is_memory_for_is_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    write(dir, "s.dat", bytes(0..100));
    write(dir, "s.hea", "s 1 500 100\ns.dat 16 100\n");
    write(dir, "r.hea", "r/2 1 500 4000000000000000000\ns 100\n~ 3999999999999999900\n");
    let record = Record::open(dir.join("r"), &ReadOptions::default()).expect("opens");
    let all = Selection::default().with_frames(0..record.n_frames());
    let samples = record.n_frames();
    for refused in [record.read::<f32>(&all).err(), record.read_matrix::<f32>(&all).err()] {
        let fits =
            matches!(&refused, Some(IoError::OutOfMemory { samples: n, .. }) if *n == samples);
        assert!(fits, "{refused:?}");
    }
}

#[test]
fn an_empty_range_has_the_signals_that_are_asked_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    write(dir, "s.dat", bytes(0..200));
    write(dir, "s.hea", "s 2 500 100\ns.dat 16 100\ns.dat 16:1 100\n");
    write(dir, "n.hea", "n 2 500 200\ns.dat 16 100\n~ 0 100\n");
    write(dir, "r.hea", "r/1 2 500 100\ns 100\n");
    for name in ["s", "n", "r"] {
        let record = Record::open(dir.join(name), &ReadOptions::default()).expect(name);
        for average in [false, true] {
            let none = Selection::default().with_frames(5..5).with_average_frames(average);
            assert_eq!(record.read::<f64>(&none).expect(name), [[], []]);
            assert_eq!(record.read_matrix::<f64>(&none).expect(name).dim(), (0, 2));
            let second = none.with_signals([1]);
            assert_eq!(record.read_matrix::<f64>(&second).expect(name).dim(), (0, 1));
        }
    }
}

#[test]
fn segments_are_no_recordings_of_a_data_set() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    fs::create_dir(dir.join("below")).expect("makes");
    write(dir, "s.dat", bytes(0..100));
    write(dir, "below/t.dat", bytes(0..100));
    write(dir, "s.hea", "s 1 500 100\ns.dat 16 100 16 0 0 4950 0 I\n");
    write(dir, "below/t.hea", "t 1 500 100\nt.dat 16 100 16 0 0 4950 0 I\n");
    write(dir, "lay.hea", "lay 1 500 0\n~ 0 100 16 0 0 0 0 I\n");
    // The record line may be far from the start.
    let comment = format!("# {}\n", "x".repeat(2000));
    write(dir, "r.hea", format!("{comment}r/4 1 500 300\nlay 0\ns 100\n~ 100\nbelow/t 100\n"));
    write(dir, "plain.hea", "plain 1 500 100\ns.dat 16 100 16 0 0 4950 0 I\n");
    // Of two records that name each other as segments, neither hides the other.
    write(dir, "x.hea", "x/1 1 500 100\ny 100\n");
    write(dir, "y.hea", "y/1 1 500 100\nx 100\n");
    let set = Dataset::open(dir, &DatasetOptions::default()).expect("opens");
    assert_eq!(set.names(), ["plain", "r", "x", "y"]);
    assert_eq!(set.load(1).expect("loads").recording.n_samples(), 300);
    let Some(samples) = common::samples() else { return };
    let set = Dataset::open(samples.join("multi-segment/s25047"), &DatasetOptions::default());
    let report = set.expect("opens").report(1);
    assert_eq!((report.readable, report.failed.len()), (report.records, 0), "{:?}", report.failed);
}

#[test]
fn averages_of_late_signals() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    // Longer than what is averaged at a time, with skews beyond that too, in formats of both kinds.
    let (n, skews) = (100_000_usize, [0, 70_001, 99_999]);
    for format in [16, 8] {
        let step = |t: usize| (t * t % 7) as i16 - 2;
        let (mut file, mut values) = (Vec::new(), Vec::new());
        let mut sum = 0_i16;
        for t in 0..n * 4 {
            sum += step(t);
            values.push(sum);
        }
        let mut last = [0_i16; 3];
        let starts = [0, 2, 3, 4];
        let mut stored = vec![Vec::new(); 3];
        for frame in values.chunks(4) {
            for signal in 0..3 {
                for value in &frame[starts[signal]..starts[signal + 1]] {
                    stored[signal].push(f64::from(*value));
                    match format {
                        16 => file.extend(value.to_le_bytes()),
                        _ => file.push((value - last[signal]) as u8),
                    }
                    last[signal] = *value;
                }
            }
        }
        write(dir, "r.dat", file);
        let line = |frame: usize, skew: usize| format!("r.dat {format}x{frame}:{skew} 1\n");
        let header = [line(2, skews[1]), line(1, skews[0]), line(1, skews[2])].concat();
        write(dir, "r.hea", format!("r 3 500 {n}\n{header}"));
        let record = Record::open(dir.join("r"), &ReadOptions::default()).expect("opens");
        let selection = Selection::default().with_average_frames(true);
        let averages = record.read::<f64>(&selection).expect("reads");
        for (signal, (frame, skew)) in
            [(2, skews[1]), (1, skews[0]), (1, skews[2])].into_iter().enumerate()
        {
            for (t, average) in averages[signal].iter().enumerate() {
                let from = (t * frame + skew).min(stored[signal].len());
                let to = (t * frame + frame + skew).min(stored[signal].len());
                let own = &stored[signal][from..to];
                let expected = own.iter().sum::<f64>() / own.len() as f64;
                assert!(
                    *average == expected || average.is_nan() && expected.is_nan(),
                    "format {format}, signal {signal}, frame {t}: {average}, expected {expected}"
                );
            }
        }
    }
}
