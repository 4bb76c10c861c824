//! Hostile records: each ends in the documented error or reading, within 64 MB.
#![allow(unsafe_code)] // An allocator that counts cannot be written without.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;

use common::bad::expectations;
use common::encode::encode;
use ecg_io::{
    Dataset, DatasetOptions, IoError, Loaded, ReadOptions, Record, Selection, read_recording,
};

/// The most that any case may have allocated at a time.
const LIMIT_BYTES: isize = 64 << 20;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // Not available while the thread ends; nothing is counted then.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no allocated memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller upholds the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller upholds the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller upholds the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller upholds the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Reads a record and checks the memory it needed.
fn bounded(name: &str, path: &Path) -> Result<Loaded, IoError> {
    bounded_with(name, path, &ReadOptions::default())
}

fn bounded_with(name: &str, path: &Path, options: &ReadOptions) -> Result<Loaded, IoError> {
    let before = NOW.get();
    PEAK.set(before);
    let result = read_recording(path, options);
    let peak = PEAK.get() - before;
    assert!(peak < LIMIT_BYTES, "{name}: {peak} bytes");
    if let Err(error) = &result {
        assert!(!error.to_string().is_empty());
    }
    result
}

#[test]
fn broken_records() {
    let Some(folder) = common::goldens("wfdb-bad") else { return };
    for (case, expect) in expectations() {
        let result = bounded(case, &folder.join(case).join("r"));
        assert!(expect.accepts(&result), "{case}: {result:?}");
    }
}

/// 100 frames of two signals in format 16.
fn samples() -> Vec<u8> {
    (0..200_i16).flat_map(i16::to_le_bytes).collect()
}

macro_rules! case {
    ($name:literal, $header:expr, $pattern:pat $(if $guard:expr)?) => {
        ($name, Vec::<u8>::from($header), |error: &IoError| matches!(error, $pattern $(if $guard)?))
    };
}

type Case = (&'static str, Vec<u8>, fn(&IoError) -> bool);

#[test]
fn headers_that_ask_for_too_much_or_make_no_sense() {
    let two = "r.dat 16 200 16 0 0 9900 0 I\nr.dat 16 200 16 0 1 10000 0 II\n";
    let with = |record: &str| format!("{record}\n{two}");
    let one = |signal: &str| format!("r 1 500 100\n{signal}\n");
    let utf16: Vec<u8> =
        "\u{feff}r 2 500 100\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let binary: Vec<u8> = (0..=255).rev().cycle().take(1000).collect();
    let cases: Vec<Case> = vec![
        case!("10000000000 samples", with("r 2 500 10000000000"), IoError::Truncated { .. }),
        case!("9e18 samples", with("r 2 500 9000000000000000000"), IoError::Truncated { .. }),
        case!(
            "101 samples",
            with("r 2 500 101"),
            IoError::Truncated { expected: 404, found: 400, .. }
        ),
        case!("-5 samples", with("r 2 500 -5"), IoError::Field { field: "number of samples", .. }),
        case!(
            "1e10 samples",
            with("r 2 500 1e10"),
            IoError::Field { field: "number of samples", .. }
        ),
        case!("no signals", "r 0 500 100\n", IoError::NoSamples { .. }),
        case!(
            "-2 signals",
            with("r -2 500 100"),
            IoError::Field { field: "number of signals", .. }
        ),
        case!(
            "2e9 signals",
            with("r 2000000000 500 100"),
            IoError::LineCount { line: 1, found: 2, .. }
        ),
        case!("more lines", with("r 1 500 100"), IoError::LineCount { expected: 1, found: 2, .. }),
        case!("fewer lines", with("r 3 500 100"), IoError::LineCount { expected: 3, found: 2, .. }),
        case!(
            "a rate beyond all numbers",
            "r 1 1e308 1\nr.dat 16x100\n",
            IoError::Field { line: 2, field: "samples per frame", .. }
        ),
        case!(
            "more signals than are read",
            format!("r 1000000 500 1\n{}", "~ 0\n".repeat(1_000_000)),
            IoError::TooManyLines { line: 4098, what: "signal", .. }
        ),
        case!(
            "more comments than are read",
            format!("r 1 500 1\n{}r.dat 16\n", "#Dx: x\n".repeat(500_000)),
            IoError::TooManyLines { line: 65_538, what: "comment", .. }
        ),
        case!("empty", "", IoError::EmptyHeader { .. }),
        case!("comments alone", "# a\n\n#b\n", IoError::EmptyHeader { .. }),
        case!("binary", binary, IoError::NotText { line: 1, .. }),
        case!("NUL", "r 2 500 100\0\n", IoError::NotText { line: 1, .. }),
        case!("CR alone", "r 1 500 100\rr.dat 16\r", IoError::NotText { line: 1, .. }),
        case!("BOM", "\u{feff}r 1 500 100\nr.dat 16\n", IoError::NotText { line: 1, .. }),
        case!("UTF-16", utf16, IoError::NotText { line: 1, .. }),
        case!("format 17", one("r.dat 17"), IoError::Field { line: 2, field: "format", .. }),
        case!("format abc", one("r.dat abc"), IoError::Field { line: 2, field: "format", .. }),
        case!(
            "1e9 samples per frame",
            one("r.dat 16x1000000000"),
            IoError::Truncated { found: 400, .. }
        ),
        case!(
            "no samples per frame",
            one("r.dat 16x0"),
            IoError::Field { field: "samples per frame", .. }
        ),
        case!("negative skew", one("r.dat 16:-1"), IoError::Field { field: "skew", .. }),
        case!("skew past the end", one("r.dat 16:100"), IoError::SkewPastEnd { samples: 100, .. }),
        case!("offset past the end", one("r.dat 16+401"), IoError::Truncated { found: 400, .. }),
        case!("..", one("../x 16"), IoError::UnsafeName { line: 2, .. }),
        case!("absolute", one("/etc/passwd 80"), IoError::UnsafeName { line: 2, .. }),
        case!(
            "checksum",
            "r 1 500 100\nr.dat 16 200 16 0 0 7 0 I\n",
            IoError::Checksum { line: 2, expected: 7, found: 4950, .. }
        ),
        case!("gain nan", one("r.dat 16 nan"), IoError::Field { field: "gain", .. }),
        case!("gain 0x10", one("r.dat 16 0x10"), IoError::Field { field: "gain", .. }),
        case!("fs 0", with("r 2 0 100"), IoError::Field { field: "sampling frequency", .. }),
        case!("fs -500", with("r 2 -500 100"), IoError::Field { field: "sampling frequency", .. }),
        case!("fs nan", with("r 2 nan 100"), IoError::Field { field: "sampling frequency", .. }),
        case!(
            "fs 1e400",
            with("r 2 1e400 100"),
            IoError::Field { field: "sampling frequency", .. }
        ),
        case!(
            "null signals of 1e9 samples",
            "r 2 500 1\nr.dat 16\n~ 0x1000000000\n",
            IoError::TooManyNullSamples { .. }
        ),
        case!(
            "a missing segment",
            "r/2 2 500 200\ns 100\nmissing 100\n",
            IoError::Segment { line: 3, .. }
        ),
        case!(
            "segment lengths",
            "r/2 2 500 201\ns 100\ns 100\n",
            IoError::SegmentLengths { found: 200, .. }
        ),
        case!(
            "length of a segment",
            "r/2 2 500 201\ns 100\ns 101\n",
            IoError::SegmentDiffers { line: 3, field: "number of samples", .. }
        ),
        case!("itself", "r/1 2 500 100\nr 100\n", IoError::NestedSegment { line: 2, .. }),
        case!("nested", "r/1 2 500 100\nm 100\n", IoError::NestedSegment { line: 2, .. }),
        case!(
            "a segment elsewhere",
            "r/1 2 500 100\n../s 100\n",
            IoError::UnsafeName { line: 2, .. }
        ),
        case!(
            "signals of a segment",
            "r/2 2 500 200\ns 100\none 100\n",
            IoError::SegmentDiffers { line: 3, field: "number of signals", .. }
        ),
        case!("gaps alone", "r/2 2 500 100\n~ 50\n~ 50\n", IoError::NoSamples { .. }),
        case!(
            "a gap of 1e18",
            "r/2 2 500 1000000000000000100\ns 100\n~ 1000000000000000000\n",
            IoError::TooManyNullSamples { .. }
        ),
        case!(
            "a layout with a frame of 4e9 samples",
            "r/2 2 500 100\nlay 0\ns 100\n",
            IoError::TooManyNullSamples { line: 2, field: "samples per frame", .. }
        ),
        case!(
            "a layout with a signal of 3e6 samples that its segment lacks",
            "r/2 2 500 100\nlay3 0\ns 100\n",
            IoError::TooManyNullSamples {
                line: 3,
                field: "segment length",
                samples: 3_000_000,
                ..
            }
        ),
        case!(
            "segments with signals without a file",
            "r/2 3 500 2000000\nn 1000000\nn2 1000000\n",
            IoError::TooManyNullSamples { line: 3, samples: 4_000_000, .. }
        ),
        case!(
            "a segment of 200 samples, 20000 times",
            format!("r/20000 2 500 2000000\n{}", "s 100\n".repeat(20_000)),
            IoError::TooManyNullSamples { field: "segment length", samples: 3_999_800, .. }
        ),
        case!(
            "segments that share a file, 20000 times",
            format!("r/20000 2 500 2000000\n{}", "s 100\nalso 100\n".repeat(10_000)),
            IoError::TooManyNullSamples { field: "segment length", samples: 3_999_800, .. }
        ),
        case!(
            "lengths beyond 64 bits",
            "r/3 2 500\ns 100\n~ 9223372036854775807\n~ 9223372036854775807\n",
            IoError::SegmentLengths { .. } | IoError::TooManyNullSamples { .. }
        ),
    ];
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let plain = "s 2 500 100\nr.dat 16 200 16 0 0 9900 0 I\nr.dat 16 200 16 0 1 10000 0 II\n";
    fs::write(path("r.dat"), samples()).expect("writes");
    fs::write(path("s.hea"), plain).expect("writes");
    fs::write(path("also.hea"), plain.replace("s 2", "also 2")).expect("writes");
    // Each of them may have so many by itself.
    for name in ["n", "n2"] {
        let header = format!("{name} 3 500 1000000\n{name}.dat 80\n~ 0\n~ 0\n");
        fs::write(path(&format!("{name}.hea")), header).expect("writes");
        fs::write(path(&format!("{name}.dat")), vec![0; 1_000_000]).expect("writes");
    }
    for (name, frame) in [("lay", "4000000000"), ("lay3", "30000")] {
        let layout =
            format!("{name} 2 500 0\n~ 0 200 16 0 0 0 0 I\n~ 0x{frame} 200 16 0 0 0 0 X\n");
        fs::write(path(&format!("{name}.hea")), layout).expect("writes");
    }
    fs::write(path("one.hea"), "one 1 500 100\nr.dat 16\n").expect("writes");
    fs::write(path("m.hea"), "m/1 2 500 100\ns 100\n").expect("writes");
    for (name, header, accepts) in cases {
        fs::write(path("r.hea"), header).expect("writes");
        let error = bounded(name, &path("r")).expect_err(name);
        assert!(accepts(&error), "{name}: {error:?}");
    }
}

#[test]
fn a_record_of_any_length_is_streamed() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    fs::write(path("r.dat"), samples()).expect("writes");
    fs::write(path("s.hea"), "s 2 500 100\nr.dat 16\nr.dat 16\n").expect("writes");
    let gap = 1_000_000_000_000_000_u64;
    let header = format!("r/3 2 500 {}\ns 100\n~ {gap}\ns 100\n", gap + 200);
    fs::write(path("r.hea"), header).expect("writes");
    let record = Record::open(path("r"), &ReadOptions::default()).expect("opens");
    // The end, preceded by a gap of half a million years.
    let n = record.n_frames();
    let end = Selection::default().with_frames(n - 150..n);
    let (before, mut buffer) = (NOW.get(), Vec::new());
    PEAK.set(before);
    let mut blocks = record.blocks::<f32>(&end, 64).expect("blocks");
    let mut valid = 0;
    while blocks.next_into(&mut buffer).expect("a block").is_some() {
        valid += buffer.iter().filter(|v| !v.is_nan()).count();
    }
    assert_eq!(valid, 200);
    let mut blocks = record.blocks::<f32>(&Selection::default(), 1000).expect("blocks");
    assert_eq!(blocks.next_into(&mut buffer).expect("a block"), Some(0..1000));
    assert_eq!(buffer.iter().filter(|v| !v.is_nan()).count(), 200);
    assert!(PEAK.get() - before < 2 << 20);
    assert!(matches!(
        record.read::<f32>(&Selection::default()),
        Err(IoError::TooManyNullSamples { .. })
    ));
}

#[test]
fn signals_without_a_file_are_streamed() {
    const FRAMES: u64 = 3_000_000;
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    fs::write(path("s.dat"), vec![128; FRAMES as usize]).expect("writes");
    fs::write(path("s.hea"), format!("s 3 250 {FRAMES}\ns.dat 80\n~ 0\n~ 0\n")).expect("writes");
    fs::write(path("r.hea"), format!("r/1 3 250 {FRAMES}\ns {FRAMES}\n")).expect("writes");
    for name in ["s", "r"] {
        let record = Record::open(path(name), &ReadOptions::default()).expect(name);
        let (before, mut buffer) = (NOW.get(), Vec::new());
        PEAK.set(before);
        let mut blocks = record.blocks::<f32>(&Selection::default(), 1000).expect("blocks");
        assert_eq!(blocks.next_into(&mut buffer).expect("a block"), Some(0..1000));
        assert_eq!(buffer.iter().filter(|v| v.is_nan()).count(), 2000);
        let end = Selection::default().with_frames(FRAMES - 10..FRAMES);
        assert_eq!(record.read_matrix::<f32>(&end).expect("a range").dim(), (10, 3));
        assert!(PEAK.get() - before < 2 << 20);
        for refused in [
            record.read::<f32>(&Selection::default()).err(),
            read_recording(path(name), &ReadOptions::default()).err(),
        ] {
            let fits = matches!(
                refused,
                Some(IoError::TooManyNullSamples { samples: 6_000_000, limit: FRAMES, .. })
            );
            assert!(fits, "{name}: {refused:?}");
            let message = refused.expect("an error").to_string();
            assert!(message.ends_with(
                "read the record in blocks or raise the limit (max_null_samples, --max-null-samples)"
            ));
        }
        let held = record.read::<f32>(&Selection::default().with_signals([0])).expect("one signal");
        assert_eq!(held[0].len() as u64, FRAMES);
    }
    // A frame is bounded all the same, because every block has at least one.
    fs::write(path("s.hea"), "s 2 250 1\ns.dat 80\n~ 0x3000000\n").expect("writes");
    let refused = Record::open(path("s"), &ReadOptions::default()).err();
    let fits = matches!(
        refused,
        Some(IoError::TooManyNullSamples { line: 3, samples: FRAMES, limit: 2_097_152, .. })
    );
    assert!(fits, "{refused:?}");
    // Neither do blocks help with a frame of several segments.
    fs::write(path("s.hea"), "s 1 250 1\n~ 0x3000000\n").expect("writes");
    fs::write(path("r.hea"), "r/1 1 250 1\ns 1\n").expect("writes");
    for refused in [refused, Record::open(path("r"), &ReadOptions::default()).err()] {
        let message = refused.expect("an error").to_string();
        let advice = "; raise the limit (max_null_samples, --max-null-samples)";
        assert!(message.ends_with(advice), "{message}");
    }
}

#[test]
fn a_data_set_takes_little_for_each_record() {
    const RECORDS: usize = 2000;
    let dir = tempfile::tempdir().expect("a folder");
    let mut table = "record,patient,fold,NSR,AF,IAVB,LBBB,RBBB,SB,STach\n".to_owned();
    for i in 0..RECORDS {
        let name = format!("JS{i:05}");
        fs::write(dir.path().join(format!("{name}.hea")), "r 1 500 1\nr.dat 16\n").expect("writes");
        table += &format!("{name},p{},{},1,0,0,{},0,0,0\n", i / 2, i % 10, i % 3 % 2);
    }
    fs::write(dir.path().join("labels.csv"), table).expect("writes");
    let before = NOW.get();
    PEAK.set(before);
    let set = Dataset::open(dir.path(), &DatasetOptions::default()).expect("opens");
    let (peak, kept) = (PEAK.get() - before, NOW.get() - before);
    println!("{} bytes a record at most, {} kept", peak / 2000, kept / 2000);
    assert!(set.len() == RECORDS && peak < 600 * 2000 && kept < 300 * 2000, "{peak}, {kept}");
}

#[test]
fn flac_that_is_cut_short_or_damaged() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let raw: Vec<i32> = (0..5000).map(|t| t * 7919 % 65536 - 32768).collect();
    let encoded = encode(516, 0, &[1, 1], &[&raw, &raw]);
    let sum = encoded.values[0].iter().sum::<i32>() as i16;
    let line = format!("r.dat 516 200 16 0 0 {sum} 0");
    fs::write(path("r.hea"), format!("r 2 500 5000\n{line} a\n{line} b\n")).expect("writes");
    let good = &encoded.bytes;
    fs::write(path("r.dat"), good).expect("writes");
    assert!(bounded("whole", &path("r")).is_ok());
    for length in (0..good.len()).step_by(97).chain([good.len() - 1]) {
        fs::write(path("r.dat"), &good[..length]).expect("writes");
        let error = bounded("cut", &path("r")).expect_err("cut short");
        assert!(
            matches!(error, IoError::Flac { .. } | IoError::TruncatedFlac { .. }),
            "{length}: {error:?}"
        );
    }
    for position in (0..good.len()).step_by(61).chain(0..60) {
        let mut bytes = good.clone();
        bytes[position] ^= 1 << (position % 8);
        fs::write(path("r.dat"), &bytes).expect("writes");
        // A flipped bit is detected by the stream's own checksums, or affects something that no sample depends on.
        match bounded("flipped", &path("r")) {
            Ok(loaded) => assert!(
                loaded
                    .recording
                    .adc
                    .is_some_and(|adc| { adc.values.row(0).iter().eq(encoded.values[0].iter()) })
            ),
            Err(error) => assert!(
                matches!(
                    error,
                    IoError::Flac { .. }
                        | IoError::TruncatedFlac { .. }
                        | IoError::FlacDiffers { .. }
                ),
                "{position}: {error:?}"
            ),
        }
    }
    // A stream that states more samples than it has: nothing is allocated on its word.
    let mut lying = encode(508, 0, &[1], &[&[3; 100]]).bytes;
    lying[8 + 13..8 + 18].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0xff]);
    fs::write(path("r.dat"), &lying).expect("writes");
    for length in ["30000000000", "0"] {
        fs::write(path("r.hea"), format!("r 1 500 {length}\nr.dat 508\n")).expect("writes");
        let error = bounded("lying", &path("r")).expect_err("too few samples");
        assert!(matches!(error, IoError::Flac { .. } | IoError::TruncatedFlac { .. }), "{error:?}");
    }
}

#[test]
fn flac_that_unpacks_to_more_than_is_plausible() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let n = 1 << 20;
    let constant = vec![3; n];
    let packed = encode(508, 0, &[1; 4], &[&constant[..]; 4]).bytes;
    assert!(packed.len() < 2000);
    fs::write(path("r.dat"), &packed).expect("writes");
    let lines = "r.dat 508\n".repeat(4);
    let few = ReadOptions::default().with_max_packed_samples(2 << 20);
    // Whether or not the header states the length.
    for length in [0, n] {
        fs::write(path("r.hea"), format!("r 4 500 {length}\n{lines}")).expect("writes");
        let error = bounded_with("packed", &path("r"), &few).expect_err("too many samples");
        let fits = matches!(
            &error,
            IoError::FlacExpands { limit: 2_097_152, bytes, at, .. }
                if *bytes == packed.len() as u64 && (at.line, at.field) == (2, "file name")
        );
        assert!(fits, "{error:?}");
    }
    fs::write(path("r.hea"), format!("r 4 500 {n}\n{lines}")).expect("writes");
    assert_eq!(
        read_recording(path("r"), &ReadOptions::default()).expect("allowed").recording.n_samples(),
        n
    );
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_followed_only_on_request() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().expect("a folder");
    let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
    fs::create_dir_all(&inside).expect("makes");
    fs::create_dir_all(&outside).expect("makes");
    fs::write(outside.join("x.dat"), samples()).expect("writes");
    fs::write(outside.join("s.hea"), "s 1 500 200\nr.dat 16\n").expect("writes");
    fs::write(inside.join("r.hea"), "r 1 500 200\nr.dat 16\n").expect("writes");
    symlink(outside.join("x.dat"), inside.join("r.dat")).expect("links");
    symlink(outside.join("s.hea"), inside.join("s.hea")).expect("links");
    symlink(&outside, inside.join("below")).expect("links");
    fs::write(inside.join("m.hea"), "m/1 1 500 200\ns 200\n").expect("writes");
    fs::write(inside.join("b.hea"), "b 1 500 200\nbelow/x.dat 16\n").expect("writes");
    // A segment in a linked folder, with its signal file.
    fs::write(outside.join("r.dat"), samples()).expect("writes");
    symlink("../out", inside.join("relative")).expect("links");
    fs::write(inside.join("d.hea"), "d/1 1 500 200\nbelow/s 200\n").expect("writes");
    fs::write(inside.join("e.hea"), "e/1 1 500 200\nrelative/s 200\n").expect("writes");
    for name in ["r", "m", "b", "d", "e"] {
        let refused = read_recording(inside.join(name), &ReadOptions::default());
        assert!(matches!(refused, Err(IoError::UnsafeName { line: 2, .. })), "{name}: {refused:?}");
        let allowed = ReadOptions::default().with_allow_outside_links(true);
        assert_eq!(
            read_recording(inside.join(name), &allowed).expect(name).recording.n_samples(),
            200
        );
    }
    // The signal file of a segment in a subfolder may lie in the record's folder, but not beyond.
    fs::create_dir(inside.join("own")).expect("makes");
    fs::write(inside.join("own/s.hea"), "s 1 500 200\nr.dat 16\n").expect("writes");
    fs::write(inside.join("f.hea"), "f/1 1 500 200\nown/s 200\n").expect("writes");
    symlink("../../out/r.dat", inside.join("own/r.dat")).expect("links");
    let refused = read_recording(inside.join("f"), &ReadOptions::default());
    let Err(IoError::Segment { line: 2, source, .. }) = refused else { panic!("{refused:?}") };
    assert!(matches!(*source, IoError::UnsafeName { line: 2, .. }), "{source:?}");
    fs::remove_file(inside.join("own/r.dat")).expect("removes");
    fs::write(inside.join("real.dat"), samples()).expect("writes");
    symlink("../real.dat", inside.join("own/r.dat")).expect("links");
    assert!(read_recording(inside.join("f"), &ReadOptions::default()).is_ok());
}

#[test]
fn segments_without_signals() {
    let dir = tempfile::tempdir().expect("a folder");
    let long = "r/3 0 500\nx_layout 0\n~ 9223372036854775807\n~ 9223372036854775807\n";
    for header in [long, "r/2 0 500\nx_layout 0\n~ 100\n"] {
        fs::write(dir.path().join("r.hea"), header).expect("writes");
        fs::write(dir.path().join("x_layout.hea"), "x_layout 0 500 0\n").expect("writes");
        let result = bounded(header, &dir.path().join("r"));
        assert!(matches!(result, Err(IoError::NoSamples { .. })), "{result:?}");
    }
}

#[test]
fn a_table_of_comments() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("r.csv");
    fs::write(&path, "#\n".repeat(100_000)).expect("writes");
    let result = bounded("comments", &path);
    let expected = matches!(
        &result,
        Err(IoError::TooManyLines { line: 65_537, what: "comment", limit: 65_536, .. })
    );
    assert!(expected, "{result:?}");
}
