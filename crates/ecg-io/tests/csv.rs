//! Tables of many makes.

use ecg_core::{Lead, Recording, SamplingRate};
use ecg_io::{IoError, Loaded, ReadOptions, read_recording};

fn read_with(text: &[u8], options: &ReadOptions) -> Result<Loaded, IoError> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("r.csv");
    std::fs::write(&path, text).expect("writes");
    read_recording(&path, options)
}

fn read(text: &str) -> Recording {
    read_with(text.as_bytes(), &ReadOptions::default()).expect(text).recording
}

fn refused(text: &str) -> IoError {
    read_with(text.as_bytes(), &ReadOptions::default()).expect_err(text)
}

fn row(recording: &Recording, k: usize) -> Vec<f64> {
    recording.signal.row(k).to_vec()
}

#[test]
fn a_time_column_gives_the_rate() {
    let read = read("time,i,AVR\n0,1,-0.5\n0.004,,0.25\n0.008,nan,1e-3\n");
    assert_eq!(read.sampling_rate.hz(), 250.0);
    assert_eq!(read.row_of(Lead::AVR), Some(1));
    assert_eq!(row(&read, 1), [-0.5, 0.25, 1e-3]);
    assert!(read.signal[[0, 0]] == 1.0 && read.signal[[0, 1]].is_nan());
    assert_eq!(read.name, "r");
}

#[test]
fn delimiters_decimal_commas_units_and_indices() {
    // With a byte order mark and a column of row numbers without a name.
    let read =
        read("\u{feff};time_ms;I;V1 (\u{b5}V)\r\n0;0;0,5;250\r\n1;2;1;-250\r\n2;4;1,5;0\r\n");
    assert_eq!(read.sampling_rate.hz(), 500.0);
    assert_eq!(row(&read, 0), [0.5, 1.0, 1.5]);
    assert_eq!(row(&read, 1), [0.25, -0.25, 0.0]);
}

#[test]
fn a_row_of_units_and_comments() {
    let text =
        "# fs: 360 Hz\n# Age: 70\n#Dx: 164889003\nI\tII\n[uV]\tmV\n500\t0.5\n# later\n1\t2\n";
    let read = read(text);
    assert_eq!(read.sampling_rate.hz(), 360.0);
    assert_eq!((row(&read, 0), row(&read, 1)), (vec![0.5, 0.001], vec![0.5, 2.0]));
    assert_eq!((read.age_years, read.diagnoses[0].0), (Some(70.0), 164_889_003));
    assert_eq!(read.comments, ["fs: 360 Hz", "Age: 70", "Dx: 164889003", "later"]);
    assert_eq!(row(&self::read("# fs=500\n# units: uV\nI\n1000\n"), 0), [1.0]);
}

#[test]
fn twelve_columns_need_no_names() {
    let line = "0,1,2,3,4,5,6,7,8,9,10,11\n";
    let options = ReadOptions::default()
        .with_csv_sampling_rate(Some(SamplingRate::new(100.0).expect("a rate")));
    let loaded = read_with(line.repeat(3).as_bytes(), &options).expect("reads");
    assert_eq!(loaded.recording.standard_rows(), Ok(std::array::from_fn(|k| k)));
    assert_eq!(loaded.recording.signal.dim(), (12, 3));
    assert_eq!(loaded.recording.sampling_rate.hz(), 100.0);
    assert!(matches!(refused(&line.repeat(3)), IoError::NoSamplingRate { .. }));
    assert!(matches!(refused("1,2,3\n"), IoError::Columns { line: 1, expected: 12, found: 3, .. }));
}

#[test]
fn errors_name_line_and_column() {
    assert!(matches!(
        refused("# fs: 500\nI,II\n1,2\n1,x2\n"),
        IoError::Cell { line: 4, column: 2, name, found, .. } if name == "II" && found == "x2"
    ));
    assert!(matches!(
        refused("# fs: 500\nI,II\n1,2\n1\n"),
        IoError::Columns { line: 4, expected: 2, found: 1, .. }
    ));
    assert!(matches!(refused("# fs: 500\nI\ninf\n"), IoError::Cell { line: 3, column: 1, .. }));
    assert!(matches!(refused("time,I\n0,1\n1,1\n3,1\n4,1\n"), IoError::UnevenTime { line: 4, .. }));
    assert!(matches!(refused("time,I\n0,1\n,1\n2,1\n"), IoError::Cell { line: 3, column: 1, .. }));
    assert!(matches!(refused("I\n1\n"), IoError::NoSamplingRate { .. }));
    assert!(matches!(refused("# fs: fast\nI\n1\n"), IoError::Field { line: 1, .. }));
    assert!(matches!(refused("# fs: 0\nI\n1\n"), IoError::Field { line: 1, .. }));
    for empty in ["", "# fs: 500\n", "# fs: 500\nI,II\n", "# fs: 500\ntime\n1\n2\n"] {
        assert!(matches!(refused(empty), IoError::NoSamples { .. }), "{empty:?}");
    }
    let binary = read_with(b"I\n\x00\x01", &ReadOptions::default());
    assert!(matches!(binary, Err(IoError::NotText { line: 2, .. })));
}

#[test]
fn a_rate_that_the_times_deny_is_a_warning() {
    let text = b"# fs: 500\ntime,I\n0,1\n0.01,2\n";
    let loaded = read_with(text, &ReadOptions::default()).expect("lenient");
    assert_eq!((loaded.warnings.len(), loaded.recording.sampling_rate.hz()), (1, 500.0));
    let strict = read_with(text, &ReadOptions::default().with_strict(true));
    assert!(matches!(strict, Err(IoError::Strict(_))));
}

#[test]
fn too_many_columns_are_refused() {
    for text in ["I,".repeat(5000), format!("I,II\n{}", "1,".repeat(5000))] {
        let error = refused(&text);
        assert!(matches!(error, IoError::TooManyColumns { limit: 4096, .. }), "{error}");
    }
    let read = read("# fs: 500\n\"I;x\",II\n1,2\n");
    assert_eq!((read.leads[0].as_str(), row(&read, 1)), ("I;x", vec![2.0]));
}
