//! Multi-segment records, and signals that are delayed in their file.

mod common;

use std::fs;
use std::path::Path;

use ecg_io::{
    Dataset, DatasetOptions, IoError, ReadOptions, Record, Selection, Warning, read_recording,
};

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
