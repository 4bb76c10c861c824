//! The grammar of headers, case by case.

use std::path::Path;

use super::Header;
use crate::{IoError, ReadOptions, Warning};

fn read(text: &str) -> (Header, Vec<Warning>) {
    Header::parse(text.as_bytes(), Path::new("r.hea"), &ReadOptions::default()).expect(text)
}

fn refused(text: &str) -> IoError {
    let path = Path::new("r.hea");
    Header::parse(text.as_bytes(), path, &ReadOptions::default()).expect_err(text)
}

fn strictly(text: &str) -> Result<(Header, Vec<Warning>), IoError> {
    Header::parse(text.as_bytes(), Path::new("r.hea"), &ReadOptions::default().with_strict(true))
}

#[test]
fn the_shortest_header_has_defaults() {
    let (header, warnings) = read("r 1\nr.dat 16\n");
    assert_eq!(header.frame_rate.hz(), 250.0);
    assert_eq!((header.n_frames, header.base_counter), (None, 0.0));
    let signal = &header.signals[0];
    assert_eq!((signal.gain, signal.calibrated, signal.units.as_str()), (200.0, false, "mV"));
    assert_eq!((signal.adc_resolution, signal.checksum, signal.baseline), (16, None, 0));
    assert_eq!(warnings.len(), 1);
    assert!(strictly("r 1\nr.dat 16\n").is_ok(), "legal, however bare");
    let (zero, _) = read("r 1\nr.dat 212 200 0\n");
    assert_eq!(zero.signals[0].adc_resolution, 12);
}

#[test]
fn every_field() {
    let (header, warnings) = read(
        "#wfdb 10.7.0\n\n# first\nr 2 3.6e2/720(1.5) 10 12:34:56.5 02/03/2021\r\n\
         \tr.dat\t212x2:3+24 100(-5)/uV 11 1024 995 43172 0 ECG lead II \n  # in between\n\
         r.dat 212+24 100 11 1024 995 -22364 0\n#Dx: 1\n",
    );
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(header.library_version.as_deref(), Some("10.7.0"));
    assert_eq!((header.frame_rate.hz(), header.counter_frequency), (360.0, 720.0));
    assert_eq!((header.base_counter, header.n_frames), (1.5, Some(10)));
    assert_eq!(header.base_date.map(|d| d.to_string()).as_deref(), Some("2021-03-02"));
    let comments: Vec<_> = header.comments.iter().map(|c| (c.line, c.text.as_str())).collect();
    assert_eq!(comments, [(3, "first"), (6, "in between"), (8, "Dx: 1")]);
    let [a, b] = &header.signals[..] else { panic!("two signals") };
    assert_eq!((a.line, a.samples_per_frame, a.skew, a.offset), (5, 2, 3, 24));
    assert_eq!((a.baseline, a.units.as_str(), a.description.as_str()), (-5, "uV", "ECG lead II"));
    assert_eq!((b.baseline, b.adc_zero, b.initial_value), (1024, 1024, 995));
    assert_eq!(a.checksum, b.checksum, "43172 and -22364 are the same");
}

#[test]
fn quirks_warn_and_are_refused_in_strict_mode() {
    let signal = "r.dat 16 1000/mV 16 0 0 0 0 I\n";
    for (line, field) in [
        ("r 1 500 100 05-May-2020 09:49:17", "base time"),
        ("r 1 500 100 09:49:17 05-May-2020", "base date"),
        ("r 1 500 100 25:61:61", "base time"),
        ("r 1 500 100 12:00:00 31/02/2020", "base date"),
        ("r.mat 1 500 100", "record name"),
        ("dir/r 1 500 100", "record name"),
        ("dir/7 1 500 100", "record name"),
        ("q 1 500 100", "record name"),
        ("r+ 1 500 100", "record name"),
    ] {
        let text = format!("{line}\n{signal}");
        let (header, warnings) = read(&text);
        assert_eq!(header.signals.len(), 1, "{line}");
        assert!(warnings.iter().any(|w| w.field == field && w.line == Some(1)), "{line}");
        assert!(matches!(strictly(&text), Err(IoError::Strict(w)) if w.field == field), "{line}");
    }
    let (header, _) = read("r 1 500 100 05-May-2020 09:49:17\nr.dat 16\n");
    assert_eq!(header.base_date.map(|d| d.to_string()).as_deref(), Some("2020-05-05"));
    assert_eq!(header.base_time.map(|t| t.to_string()).as_deref(), Some("09:49:17"));
}

#[test]
fn a_lost_line_end_is_mended() {
    let text = "r 2 500 500000/mV 16 0 15 31255 0 I\nr.mat 16+24 1000/mV 16 0 5 -3 0 II\n";
    let (header, warnings) = read(text);
    assert_eq!(warnings.len(), 1);
    assert_eq!(header.n_frames, None);
    let [a, b] = &header.signals[..] else { panic!("two signals") };
    assert_eq!((a.file.as_str(), a.gain, a.offset, a.initial_value), ("r.mat", 1000.0, 24, 15));
    assert_eq!((a.description.as_str(), a.checksum), ("I", Some(31255)));
    assert_eq!(b.description, "II");
    assert!(matches!(strictly(text), Err(IoError::Strict(_))));
}

#[test]
fn what_breaks_the_grammar_is_refused_with_its_place() {
    for (text, at, name) in [
        ("r\n", 1, "number of signals"),
        ("r -2 500\n", 1, "number of signals"),
        ("r 1.5 500\n", 1, "number of signals"),
        ("r 1 0 100\nr.dat 16\n", 1, "sampling frequency"),
        ("r 1 -500 100\nr.dat 16\n", 1, "sampling frequency"),
        ("r 1 nan 100\nr.dat 16\n", 1, "sampling frequency"),
        ("r 1 1e400 100\nr.dat 16\n", 1, "sampling frequency"),
        ("r 1 500/x 100\nr.dat 16\n", 1, "counter frequency"),
        ("r 1 500/2(3 100\nr.dat 16\n", 1, "base counter value"),
        ("r 1 500 -5\nr.dat 16\n", 1, "number of samples"),
        ("r 1 500 1e10\nr.dat 16\n", 1, "number of samples"),
        ("r 1 500 1 1:00 1/1/2000 x\nr.dat 16\n", 1, "end of the record line"),
        ("r 1\nr.dat\n", 2, "format"),
        ("r 1\n# c\nr.dat 17\n", 3, "format"),
        ("r 1\nr.dat 16 nan\n", 2, "gain"),
        ("r 1\nr.dat 16 200 x\n", 2, "ADC resolution"),
        ("r 1\nr.dat 16 200 -1\n", 2, "ADC resolution"),
        ("r 1\nr.dat 16 200 16 99999999999\n", 2, "ADC zero"),
        ("r 1\nr.dat 16 200 16 0 I\n", 2, "initial value"),
        ("r 1\nr.dat 16 200 16 0 0 7e4\n", 2, "checksum"),
        ("r 1\nr.dat 16 200 16 0 0 0 -1\n", 2, "block size"),
        ("r/2 1 500 10\na 5\nb x\n", 3, "segment length"),
        ("r/2 1 500 10\na 5\nb 5 c\n", 3, "end of the segment line"),
        ("r/0 1 500 10\n", 1, "number of segments"),
    ] {
        match refused(text) {
            IoError::Field { line, field, .. } => {
                assert_eq!((line, field), (at, name), "{text}")
            }
            other => panic!("{text:?}: {other}"),
        }
    }
    assert!(matches!(refused("# only\n\n"), IoError::EmptyHeader { .. }));
    let counts = |text: &str| match refused(text) {
        IoError::LineCount { expected, found, what, line: 1, .. } => (expected, found, what),
        other => panic!("{other}"),
    };
    assert_eq!(counts("r 4294967295\nr.dat 16\n"), (4_294_967_295, 1, "signal"));
    assert_eq!(counts("r 1\nr.dat 16\nr.dat 16\n"), (1, 2, "signal"));
    assert_eq!(counts("r/3 1 500 10\na 5\nb 5\n"), (3, 2, "segment"));
}

#[test]
fn more_lines_than_any_header_has_are_refused() {
    let header = |n: usize| format!("r {n} 500 1\n{}", "~ 0\n".repeat(n));
    let (full, _) = read(&header(4096));
    assert_eq!(full.signals.len(), 4096);
    let error = |text: &str| match refused(text) {
        IoError::TooManyLines { line, what, limit, .. } => (line, what, limit),
        other => panic!("{other}"),
    };
    assert_eq!(error(&header(4097)), (4098, "signal", 4096));
    let segments = format!("r/70000 1 500 0\n{}", "~ 0\n".repeat(70_000));
    assert_eq!(error(&segments), (65_538, "segment", 65_536));
    assert_eq!(error(&"#\n".repeat(70_000)), (65_537, "comment", 65_536));
}

#[test]
fn signals_of_a_file_stand_together_and_agree() {
    let two = |a: &str, b: &str| refused(&format!("r 2\n{a}\n{b}\n"));
    for (a, b, name) in [
        ("r.dat 212", "r.dat 16", "format"),
        ("r.dat 16+24", "r.dat 16", "byte offset"),
        ("r.dat 16 1 1 0 0 0 7 a", "r.dat 16 1 1 0 0 0 0 b", "block size"),
    ] {
        assert!(matches!(two(a, b), IoError::GroupDiffers { line: 3, field, .. } if field == name));
    }
    assert!(matches!(refused("r 3\na 16\nb 16\na 16\n"), IoError::FileOrder { line: 4, .. }));
}

#[test]
fn an_error_quotes_what_was_found() {
    let IoError::Field { found, .. } = refused("r 1\nr.dat 16 200 16 0 0 0 -7 I\n") else {
        panic!("a negative block size");
    };
    assert_eq!(found, "-7");
}

#[test]
fn units_in_mv() {
    for (units, expected) in
        [("mV", Some(1.0)), ("mv", Some(1.0)), ("uV", Some(1e-3)), ("V", Some(1e3)), ("mmHg", None)]
    {
        let (header, _) = read(&format!("r 1\nr.dat 16 1000/{units}\n"));
        assert_eq!(header.signals[0].mv_per_unit(), expected, "{units}");
    }
    assert_eq!(read("r 1\nr.dat 16\n").0.signals[0].mv_per_unit(), Some(1.0));
}

#[test]
fn segments() {
    let (header, _) = read("r/3 2 500 290\nlayout 0\n~ 90\ns1 200\n");
    let lengths: Vec<_> = header.segments.iter().map(|s| (s.name.as_str(), s.n_frames)).collect();
    assert_eq!(lengths, [("layout", 0), ("~", 90), ("s1", 200)]);
    assert_eq!((header.n_signals, header.signals.len()), (2, 0));
    assert!(matches!(
        refused("r/2 2 500 290\na 5\nb 6\n"),
        IoError::SegmentLengths { expected: 290, found: 11, .. }
    ));
}
