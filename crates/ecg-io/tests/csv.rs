//! Tables of many kinds.

use std::path::Path;

use ecg_core::{Lead, Recording, SamplingRate};
use ecg_io::{CsvOptions, CsvOrientation, IoError, Loaded, ReadOptions, parse_csv, read_recording};

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
fn a_long_first_row_is_counted_once() {
    // The work grows with the size of the file: counting its cells for each comment, or its tabs for each blank line,
    // would take minutes.
    let comments = "#I\n".repeat(60_000);
    let row = "0".repeat(500) + &format!(",{}", "0".repeat(500)).repeat(3999);
    let text = format!("# fs: 500\n{comments}{row}\n{row}\n");
    let error = read_with(text.as_bytes(), &ReadOptions::default()).expect_err("no names");
    assert!(matches!(error, IoError::Columns { expected: 12, found: 4000, .. }), "{error}");
    let values = "0".repeat(100) + &format!("\t{}", "0".repeat(100)).repeat(4999);
    let text = format!("# fs: 500\n{values}\n{}", "\t\n".repeat(200_000));
    let loaded = read_with(text.as_bytes(), &ReadOptions::default()).expect("reads");
    assert_eq!(loaded.recording.signal.dim(), (1, 5000));
}

#[test]
fn a_low_rate_from_times_gives_a_warning() {
    let found = |text: &str| {
        let loaded = read_with(text.as_bytes(), &ReadOptions::default()).expect(text);
        let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        (loaded.recording.sampling_rate.hz(), warnings)
    };
    let (hz, warnings) = found("timestamp,I\n0,1\n2,1\n4,1\n");
    assert_eq!((hz, warnings.len()), (0.5, 1));
    assert!(
        warnings[0].ends_with(
            "r.csv:2: sampling rate: 0.5 Hz, as the times are 2 s apart; times without a unit are read as seconds"
        ),
        "{warnings:?}"
    );
    assert_eq!(found("time,I\n0,1\n0.1,1\n"), (10.0, vec![]));
    assert_eq!(found("# fs: 0.5\ntimestamp,I\n0,1\n2,1\n"), (0.5, vec![]));
}

#[test]
fn a_given_rate_stands_in_for_times_that_give_none() {
    let found = |text: &str, hz: f64, strict: bool| {
        let csv = CsvOptions::default().with_sampling_rate(SamplingRate::new(hz).ok());
        let options = ReadOptions::default().with_csv(csv).with_strict(strict);
        let loaded = parse_csv(text.as_bytes(), "r.csv", &options)?;
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        Ok::<_, IoError>((loaded.recording.sampling_rate.hz(), warnings.join("; ")))
    };
    let remarks = [
        // Times that may lack their unit, with a rate that differs and with the same.
        (
            "timestamp,I\n0,1\n2,1\n4,1\n",
            500.0,
            500.0,
            ":2: sampling rate: 500 Hz as given, although the times are 2 s apart; they may lack their unit",
        ),
        ("timestamp,I\n0,1\n2,1\n4,1\n", 0.5, 0.5, ""),
        // Rates that go before the caller's.
        (
            "time,I\n0,1\n0.004,1\n0.008,1\n",
            500.0,
            250.0,
            ":2: sampling rate: 500 Hz given, but the times imply 250 Hz, which is used",
        ),
        (
            "# fs: 250\nI\n1\n1\n",
            500.0,
            250.0,
            ":1: sampling rate: 500 Hz given, but the comment states 250 Hz, which is used",
        ),
        // A single time.
        ("time,I\n0,1\n", 500.0, 500.0, ""),
        ("# fs: 500\ntime,I\n0,1\n", 500.0, 500.0, ""),
    ];
    let quirks = [
        (
            "time,I\n0,1\n0.001,1\n0.001,1\n",
            ":4: sampling rate: 1024 Hz, as given; the times are not used: found 0.001 s, expected a later time than the one before",
        ),
        (
            "# fs: 1024\ntime,I\n0,1\n1,1\n3,1\n4,1\n",
            ":5: sampling rate: 1024 Hz, as the comment states; the times are not used: found 3 s, expected 2 s",
        ),
    ];
    for (text, given, hz, warning) in remarks {
        for strict in [false, true] {
            let (own, told) = found(text, given, strict).expect(text);
            assert_eq!((own, told.strip_prefix("r.csv").unwrap_or("")), (hz, warning));
        }
    }
    for (text, warning) in quirks {
        let (hz, told) = found(text, 1024.0, false).expect(text);
        assert_eq!((hz, told), (1024.0, format!("r.csv{warning}")));
        assert!(matches!(found(text, 1024.0, true), Err(IoError::Strict(_))), "{text}");
    }
    assert!(matches!(refused("time,I\n0,1\n"), IoError::NoSamplingRate { .. }));
}

#[test]
fn a_time_may_stand_before_column_numbers() {
    // As data frames without names are written, whose index is called so.
    let numbers = |from: usize| (from..from + 12).map(|k| format!(",{k}")).collect::<String>();
    let values: String = (0..12).map(|k| format!(",{k}.5")).collect();
    for text in [
        format!("time{}\n0{values}\n0.002{values}\n", numbers(0)),
        format!("time_ms{}\n0{values}\n2{values}\n", numbers(1)),
        format!("# fs: 500\nindex{}\n0{values}\n1{values}\n", numbers(0)),
    ] {
        let read = read(&text);
        assert_eq!(read.standard_rows(), Ok(std::array::from_fn(|k| k)), "{text}");
        assert_eq!((read.sampling_rate.hz(), row(&read, 11)), (500.0, vec![11.5, 11.5]));
    }
    // Other numbers of columns are called by their numbers.
    for count in [2, 8, 11, 13, 15] {
        let names: String = (0..count).map(|k| format!(",{k}")).collect();
        let values: String = (0..count).map(|k| format!(",{k}.5")).collect();
        for text in [
            format!("time{names}\n0{values}\n0.002{values}\n"),
            format!("# fs: 500\nindex{names}\n0{values}\n1{values}\n"),
        ] {
            let other = read(&text);
            assert_eq!((other.leads[1].as_str(), row(&other, 1)), ("1", vec![1.5, 1.5]), "{text}");
            assert_eq!((other.leads.len(), other.sampling_rate.hz()), (count, 500.0));
        }
    }
    // Rows of leads, with and without names, below their times.
    let named = read(&format!("time_ms{}\nI{values}\nMLII{values}\n", numbers(0)));
    assert_eq!((named.signal.dim(), named.sampling_rate.hz()), ((2, 12), 1000.0));
    let odd = read(&format!("time_ms{}\nMLII{values}\n", numbers(0)));
    assert_eq!((odd.signal.dim(), odd.sampling_rate.hz()), ((1, 12), 1000.0));
    for text in [
        "time,0,0.002,0.004\n1,2,3\n4,5,6\n",
        "time,0,0.002,0.004\n1,2,3,\n4,5,6,\n",
        "time_ms,0,1,2\n1,2,3,\n4,5,6,\n",
    ] {
        let unnamed = read(text);
        assert_eq!((unnamed.signal.dim(), row(&unnamed, 1)), ((2, 3), vec![4.0, 5.0, 6.0]));
    }
}

#[test]
fn values_unlike_those_of_an_ecg_in_mv_give_a_warning() {
    let found = |text: &str, csv: CsvOptions| {
        let options = ReadOptions::default().with_csv(csv);
        let warnings = read_with(text.as_bytes(), &options).expect(text).warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let warning = |span: &str| {
        format!(
            "r.csv: units: most leads span {span} mV, but no units are stated or given, so mV is assumed"
        )
    };
    for (text, span) in [
        ("# fs: 500\nI,II,III\n0,0,0\n-1000,1,90\n550,2,9\n", "more than 50"),
        ("# fs: 500\nI,II\n0,0\n0.0005,nan\n0,0.0015\n", "less than 0.02"),
        ("# fs: 500\nI\n-1e308\n1e308\n", "more than 50"),
    ] {
        let [told] = &found(text, CsvOptions::default())[..] else { panic!("{text}") };
        assert!(told.ends_with(&warning(span)), "{told}");
        assert_eq!(found(text, CsvOptions::default().with_units("mV")), [""; 0]);
    }
    for text in [
        "# fs: 500\nI\n0\n50\n",
        // One lead may be faulty.
        "# fs: 500\nI,II\n0,0\n1,65.5\n",
        "# fs: 500\nI,II\n0,0\n0.01,1\n",
        "# fs: 500\nI,II,III\n0,0,0\n1,-1,65.5\n",
        "# fs: 500\nI,II\n0,0\n0.02,0\n",
        // Flat leads say nothing.
        "# fs: 500\nI,II\n900,0\n900,0\n",
        "# fs: 500\nI\nnan\nnan\n",
        "# fs: 500\n# units: uV\nI\n0\n0.5\n",
        "# fs: 500\nI (mV)\n0\n500\n",
        "# fs: 500\nI\nmV\n0\n500\n",
    ] {
        assert_eq!(found(text, CsvOptions::default()), [""; 0], "{text}");
    }
}

#[test]
fn values_that_are_not_finite_in_mv_name_the_place() {
    let volts = || CsvOptions::default().with_units("V");
    let sideways = || volts().with_orientation(CsvOrientation::LeadsInRows);
    for (text, csv, line, column) in [
        ("I,II\n1,1\n1,1\n# c\n1,1e306\n1,1e307\n", volts(), 5, 2),
        ("II,I (V)\n1,-1e306\n1,1\n", CsvOptions::default(), 2, 2),
        ("time,x,II\n0,1,1\n1,1,1e306\n", volts().with_columns(["II"]), 3, 3),
        ("I,1,2,3\nII,1,1e306,2\n", sideways(), 2, 3),
    ] {
        let error = with(text, csv).expect_err(text);
        assert!(
            matches!(
                &error,
                IoError::Cell { line: l, column: c, expected: "a number that is finite in mV", .. }
                    if (*l, *c) == (line, column)
            ),
            "{error}"
        );
    }
    let most = with("I,II\n1,1e305\n1,1\n", volts()).expect("finite");
    assert!(most.signal.iter().all(|value| value.is_finite()));
    let as_they_are = with("I,II\n1,1e307\n1,1e306\n1,1\n", CsvOptions::default());
    assert_eq!(row(&as_they_are.expect("finite"), 1), [1e307, 1e306, 1.0]);
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
    // With a byte order mark and an unnamed column of row numbers.
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
    let line = "5,1,2,3,4,5,6,7,8,9,10,11\n";
    let options = ReadOptions::default()
        .with_csv(CsvOptions::default().with_sampling_rate(SamplingRate::new(100.0).ok()));
    let loaded = read_with(line.repeat(3).as_bytes(), &options).expect("reads");
    assert_eq!(loaded.recording.standard_rows(), Ok(std::array::from_fn(|k| k)));
    assert_eq!(loaded.recording.signal.dim(), (12, 3));
    assert_eq!(loaded.recording.sampling_rate.hz(), 100.0);
    assert!(matches!(refused(&line.repeat(3)), IoError::NoSamplingRate { .. }));
    assert!(matches!(refused("1,2,3\n"), IoError::Columns { line: 1, expected: 12, found: 3, .. }));
}

#[test]
fn a_row_of_column_numbers_is_no_sample() {
    // As data frames without names are written, with and without their index.
    let numbers: Vec<String> = (0..12).map(|k| k.to_string()).collect();
    let values: Vec<String> = (0..12).map(|k| format!("{k}.5")).collect();
    let (numbers, values) = (numbers.join(","), values.join(","));
    let options = ReadOptions::default()
        .with_csv(CsvOptions::default().with_sampling_rate(SamplingRate::new(100.0).ok()));
    for text in [
        format!("{numbers}\n{values}\n{values}\n"),
        format!(",{numbers}\n0,{values}\n1,{values}\n"),
    ] {
        let loaded = read_with(text.as_bytes(), &options).expect(&text);
        assert_eq!(loaded.recording.standard_rows(), Ok(std::array::from_fn(|k| k)));
        assert_eq!(row(&loaded.recording, 11), [11.5, 11.5]);
        let warning = loaded.warnings[0].to_string();
        assert!(
            warning.contains("r.csv:1: columns: the first row numbers the columns"),
            "{warning}"
        );
    }
}

#[test]
fn a_row_of_sample_numbers_is_no_lead() {
    // A data frame of twelve rows, with more columns than a recording has leads.
    let n = 5000;
    let numbers: Vec<String> = (0..n).map(|k| k.to_string()).collect();
    let values = vec!["0.5"; n].join(",");
    let text = format!("{}\n{}", numbers.join(","), format!("{values}\n").repeat(12));
    let options = ReadOptions::default()
        .with_csv(CsvOptions::default().with_sampling_rate(SamplingRate::new(500.0).ok()));
    let loaded = read_with(text.as_bytes(), &options).expect("reads");
    assert_eq!(loaded.recording.standard_rows(), Ok(std::array::from_fn(|k| k)));
    assert_eq!(loaded.recording.signal.dim(), (12, n));
    assert!(loaded.recording.signal.iter().all(|value| *value == 0.5));
}

#[test]
fn columns_that_are_numbered_are_chosen_by_position_or_standard_name() {
    let row = |from: usize, n: usize, end: &str| {
        (from..from + n).map(|k| format!("{k}{end}")).collect::<Vec<_>>().join(",")
    };
    let read = |text: &str, columns: &[&str]| {
        let csv = CsvOptions::default()
            .with_sampling_rate(SamplingRate::new(500.0).ok())
            .with_columns(columns.iter().copied());
        read_with(text.as_bytes(), &ReadOptions::default().with_csv(csv)).expect(text).recording
    };
    let fourteen = format!("{}\n{}\n", row(0, 14, ""), row(0, 14, ".5"));
    let columns: Vec<String> = (2..14).map(|n| n.to_string()).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let own = read(&fourteen, &columns);
    assert_eq!(own.standard_rows(), Ok(std::array::from_fn(|k| k)));
    assert_eq!((row_of(&own, 0), row_of(&own, 11)), (1.5, 12.5));
    let index = format!(",{}\n0,{}\n", row(0, 12, ""), row(0, 12, ".5"));
    let own = read(&index, &["V1", "3"]);
    assert_eq!(own.leads.iter().map(|lead| lead.as_str()).collect::<Vec<_>>(), ["V1", "II"]);
    assert_eq!((row_of(&own, 0), row_of(&own, 1)), (6.5, 1.5));
}

/// The only sample of a lead.
fn row_of(recording: &Recording, lead: usize) -> f64 {
    recording.signal[[lead, 0]]
}

#[test]
fn rates_and_times_of_other_units() {
    assert_eq!(read("# fs: 0.5 kHz\nI\n1\n").sampling_rate.hz(), 500.0);
    assert_eq!(read("# fs: 500hz\nI\n1\n").sampling_rate.hz(), 500.0);
    let error = refused("# fs: 2 ms\nI\n1\n").to_string();
    assert!(error.contains("expected a positive number of Hz or kHz"), "{error}");
    // Sample numbers are not seconds.
    let read = read("# fs: 500\nTime (samples),I\n0,1\n1,2\n");
    assert_eq!((read.sampling_rate.hz(), row(&read, 0)), (500.0, vec![1.0, 2.0]));
    assert!(matches!(refused("Time (samples),I\n0,1\n1,2\n"), IoError::NoSamplingRate { .. }));
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

fn with(text: &str, csv: CsvOptions) -> Result<Recording, IoError> {
    let rate = SamplingRate::new(500.0).ok();
    let options = ReadOptions::default().with_csv(csv.with_sampling_rate(rate));
    parse_csv(text.as_bytes(), "a/r.csv", &options).map(|loaded| loaded.recording)
}

#[test]
fn leads_in_rows() {
    let sideways = "# fs: 500\nI,0.1,-0.2,\nv2,1,2,3\n";
    let read = read(sideways);
    assert_eq!((read.leads[1].as_str(), row(&read, 1)), ("v2", vec![1.0, 2.0, 3.0]));
    assert!(read.signal[[0, 2]].is_nan());
    let timed = self::read("time_ms\t0\t4\t8\nV1 (uV)\t1\t2\t3\n");
    assert_eq!((timed.sampling_rate.hz(), timed.n_samples()), (250.0, 3));
    assert_eq!(row(&timed, 0), [0.001, 0.002, 0.003]);
    // Without names, either as requested or because there are more numbers than columns are allowed.
    let told = CsvOptions::default().with_orientation(Some(CsvOrientation::LeadsInRows));
    let two = with("1 2 3\n4 5 6\n", told.clone()).expect("two leads");
    assert_eq!((two.leads[1].as_str(), row(&two, 1)), ("II", vec![4.0, 5.0, 6.0]));
    let long =
        with(&format!("{}\n", ["0.5"; 5000].join(",")), CsvOptions::default()).expect("one lead");
    assert_eq!(long.signal.dim(), (1, 5000));
    assert!(matches!(
        refused("I,1,2\nII,1\n"),
        IoError::Columns { line: 2, expected: 3, found: 2, .. }
    ));
    assert!(matches!(
        refused("I,1,2\nII,1,x\n"),
        IoError::Cell { line: 2, column: 3, name, .. } if name == "II"
    ));
}

#[test]
fn long_rows_with_quotes_are_read_whole() {
    let values: Vec<String> = (0..5000).map(|k| (f64::from(k) / 500.0).to_string()).collect();
    let times = format!("\"time\",{}\n", values.join(","));
    for row in [values.join(","), format!("\"{}\"", values.join("\",\""))] {
        for first in ["# fs: 500\n", times.as_str()] {
            let read = read(&format!("{first}\"I\",{row}\n\"II\",{row}\n"));
            assert_eq!((read.signal.dim(), read.sampling_rate.hz()), ((2, 5000), 500.0));
            assert_eq!(read.signal[[1, 4999]], 9.998);
        }
    }
}

#[test]
fn what_is_given_takes_the_place_of_what_is_found() {
    let csv = CsvOptions::default;
    let read = with(
        "1:2\n3:4\n",
        csv().with_delimiter(Some(b':')).with_leads(["X", "Y"]).with_units("uV"),
    );
    let read = read.expect("two leads");
    assert_eq!((read.leads[0].as_str(), row(&read, 1)), ("X", vec![0.002, 0.004]));
    assert_eq!((read.sampling_rate.hz(), read.name.as_str()), (500.0, "r"));
    let named = with("time,a,b\n0,1,2\n1,3,4\n", csv().with_leads(["I", "II"])).expect("renamed");
    // These times may lack their unit.
    assert_eq!((named.row_of(Lead::II), named.sampling_rate.hz()), (Some(1), 500.0));
    // The first row is data or names, as requested.
    assert_eq!(
        with("1\n2\n", csv().with_leads(["I"]).with_has_names(Some(false)))
            .expect("two")
            .n_samples(),
        2
    );
    assert_eq!(
        with("1\n2\n", csv().with_has_names(Some(true))).expect("one").leads[0].as_str(),
        "1"
    );
    let error = with("a,b\n1,2\n", csv().with_leads(["I"])).expect_err("two");
    assert!(matches!(error, IoError::LeadNames { expected: 1, found: 2, .. }));
    let error = with("I\n1\n", csv().with_units("mmHg")).expect_err("no voltage");
    assert!(matches!(error, IoError::CsvUnits { .. }));
}

#[test]
fn plain_and_odd_rows_read_alike() {
    // The same numbers in a row that is read by the fast path and in one that is not.
    let rows = [
        ("1.5,-2,0.001", "1.5 , -2.0e0,\"0.001\""),
        ("-0.0,123456789.123,7.", "-0,123456789.1230,+7"),
        ("nan,,3", "NaN,n/a,3.0"),
        (
            "0.1234567890123456789,1e-5,9007199254740993",
            "0.12345678901234567890,0.00001,9.007199254740993e15",
        ),
    ];
    for (plain, odd) in rows {
        let text = |row: &str, end: &str| {
            with(&format!("I,II,III\n1,1,1\n{row}{end}# c\n\n{row}{end}"), CsvOptions::default())
                .expect(row)
        };
        let expected = text(odd, "\n");
        for end in ["\n", "\r\n"] {
            let read = text(plain, end);
            let bits = |recording: &Recording| {
                recording.signal.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            };
            assert_eq!(bits(&read), bits(&expected), "{plain}");
            assert_eq!(read.signal.dim(), (3, 3));
        }
    }
    // A delimiter at the end of each row, and more rows than the first made room for.
    let read = with(&format!("I;II\n{}", "1;2;\n-100,25;4\n".repeat(50)), CsvOptions::default())
        .expect("reads");
    assert_eq!((read.signal[[0, 99]], read.signal[[1, 98]]), (-100.25, 2.0));
    let grows = format!("I\n{}\n{}", "1".repeat(200), "5\n".repeat(5000));
    assert_eq!(with(&grows, CsvOptions::default()).expect("reads").n_samples(), 5001);
    assert!(matches!(
        with("I,II\n1,2\n3,4\n5,6,7\n", CsvOptions::default()),
        Err(IoError::Columns { line: 4, expected: 2, found: 3, .. })
    ));
    assert!(matches!(
        with("I,II\n1,2\n3,4x\n", CsvOptions::default()),
        Err(IoError::Cell { line: 3, column: 2, .. })
    ));
}

#[test]
fn delimiters_at_the_end_are_a_warning() {
    let line_of = |text: &str| {
        let strict = read_with(text.as_bytes(), &ReadOptions::default().with_strict(true));
        assert!(matches!(strict, Err(IoError::Strict(_))), "{text}");
        let loaded = read_with(text.as_bytes(), &ReadOptions::default()).expect(text);
        assert_eq!(row(&loaded.recording, 1), [2.0, 4.0]);
        let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
        assert!(warning.path.ends_with("r.csv") && warning.field == "columns", "{warning}");
        warning.line
    };
    assert_eq!(line_of("# fs: 500\nI,II\n1,2\n3,4,\n"), Some(4));
    assert_eq!(line_of("# fs: 500\nI;II;\n1;2;\n3;4;\n"), Some(2));
}

#[test]
fn a_delimiter_that_may_be_part_of_a_cell_is_refused() {
    for byte in *b".+-\"#5e\n\x00\xb5" {
        let error = with("I1II\n", CsvOptions::default().with_delimiter(Some(byte)));
        assert!(matches!(error, Err(IoError::UnknownName { what: "delimiter", .. })), "{byte}");
    }
}

#[test]
fn numbers_of_changing_shape_read_as_printed() {
    // Signs, lengths and points change from row to row.
    let values: Vec<f64> = (0..4000_i32)
        .map(|k| f64::from((k * 7919) % 20_011 - 10_000) / [1.0, 10.0, 1e3, 1e5][k as usize % 4])
        .collect();
    for end in ["\n", "\r\n"] {
        let mut text = format!("# fs: 500{end}I|II|V1{end}");
        for row in values.chunks_exact(3) {
            text += &format!("{}|{}|{}{end}", row[0], row[1], row[2]);
        }
        let read = with(&text, CsvOptions::default()).expect("reads");
        for (k, row) in values.chunks_exact(3).enumerate() {
            assert_eq!(read.signal.column(k).to_vec(), row);
        }
    }
}

#[test]
fn packed_files() {
    use std::io::Write;
    let dir = tempfile::tempdir().expect("a folder");
    let pack = |name: &str, text: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(text).expect("packs");
        let packed = packed.finish().expect("packs");
        std::fs::write(dir.path().join(name), &packed).expect("writes");
        packed
    };
    let packed = pack("r.csv.gz", b"# fs: 500\nI\n1\n2\n");
    let read = |name: &str| read_recording(dir.path().join(name), &ReadOptions::default());
    let loaded = read("r").expect("unpacks");
    assert_eq!((loaded.recording.name.as_str(), row(&loaded.recording, 0)), ("r", vec![1.0, 2.0]));
    std::fs::write(dir.path().join("cut.tsv.gz"), &packed[..packed.len() - 9]).expect("writes");
    assert!(matches!(read("cut.tsv.gz"), Err(IoError::Read { .. })));
    // A file made to fill the memory.
    pack("bomb.csv.gz", &vec![b','; 64 << 20]);
    let bomb = read("bomb.csv.gz").expect_err("too much");
    assert!(matches!(bomb, IoError::TooLarge { .. }), "{bomb}");
}

#[test]
fn leads_are_chosen_by_name_or_position() {
    let text = "time,HR,V1 (uV),note,I\n0,60,500,x,1\n0.004,61,250,y,2\n";
    let chosen =
        |columns: &[&str]| with(text, CsvOptions::default().with_columns(columns.iter().copied()));
    let read = chosen(&["i", "v1"]).expect("two leads");
    assert_eq!((read.leads[0].as_str(), read.leads[1].as_str()), ("I", "V1"));
    assert_eq!((row(&read, 0), row(&read, 1)), (vec![1.0, 2.0], vec![0.5, 0.25]));
    assert_eq!((read.signal.nrows(), read.sampling_rate.hz()), (2, 250.0));
    let by_number = chosen(&["5", "3"]).expect("two leads");
    assert_eq!((by_number.signal, by_number.leads), (read.signal, read.leads));
    let named = CsvOptions::default().with_columns(["2"]).with_leads(["X"]);
    assert_eq!(with(text, named).expect("one lead").leads[0].as_str(), "X");
    for (absent, name) in [("V2", "V2"), ("6", "6"), ("0", "0")] {
        let error = chosen(&[absent]).expect_err(absent);
        assert!(
            matches!(&error, IoError::NoSuchColumn { line: 1, column, found, .. }
                if column == name && found == "time, HR, V1 (uV), note, I"),
            "{error}"
        );
    }
    let twice = chosen(&["I", "5"]).expect_err("one column");
    assert!(matches!(twice, IoError::ColumnTwice { line: 1, .. }), "{twice}");
    // Without names: twelve columns are the standard leads, otherwise numbers.
    let bare = |text: &str, columns: &[&str]| {
        let csv = CsvOptions::default().with_columns(columns.iter().copied());
        with(text, csv).expect(text)
    };
    assert_eq!(bare("1,2,3,4,5,6,7,8,9,10,11,12\n", &["12"]).row_of(Lead::V6), Some(0));
    assert_eq!(bare("1,2,3\n", &["3", "1"]).leads[0].as_str(), "3");
    let thirteen = (2..14).map(|k| k.to_string()).collect::<Vec<_>>();
    let thirteen: Vec<&str> = thirteen.iter().map(String::as_str).collect();
    let read = bare("0,1,2,3,4,5,6,7,8,9,10,11,12\n", &thirteen);
    assert_eq!((read.row_of(Lead::I), read.signal[[0, 0]]), (Some(0), 1.0));
    // Rows that are leads.
    let rows = "time,0,0.002\nI,1,2\nnote,a,b\nII,3,4\n";
    for columns in [["II", "I"], ["3", "1"]] {
        let read = bare(rows, &columns);
        assert_eq!((row(&read, 0), row(&read, 1)), (vec![3.0, 4.0], vec![1.0, 2.0]));
        assert_eq!(read.leads[0].as_str(), "II");
    }
    let error = with(rows, CsvOptions::default().with_columns(["V1"])).expect_err("no V1");
    assert!(matches!(error, IoError::NoSuchColumn { .. }), "{error}");
}

#[test]
fn frames_that_lie_on_their_side() {
    for n in [3, 11, 12, 1000, 5000] {
        let numbers: Vec<String> = (0..n).map(|k| k.to_string()).collect();
        let names: Vec<String> = numbers.iter().map(|k| format!("s{k}")).collect();
        let lines = [
            format!(",{}", numbers.join(",")),
            format!("lead,{}", numbers.join(",")),
            format!("lead,{}", names.join(",")),
        ];
        for first in lines {
            for end in ["", ".5"] {
                let rows: String = numbers.iter().map(|k| format!(",{k}{end}")).collect();
                let read = read(&format!("# fs: 500\n{first}\nI{rows}\nII{rows}\n"));
                assert_eq!(read.signal.dim(), (2, n), "{n}");
                assert_eq!(read.signal[[1, n - 1]].floor(), (n - 1) as f64);
            }
        }
    }
    // Rows that start with a row number, and rows with names that are not standard leads.
    for n in [12, 1000, 5000] {
        let numbers: Vec<String> = (0..n).map(|k| k.to_string()).collect();
        for (names, leads) in [(["0", "1"], ["I", "II"]), (["MLII", "abd"], ["MLII", "abd"])] {
            let rows = names.map(|name| format!("{name}{}\n", ",0.5".repeat(n))).concat();
            let text = format!(",{}\n{rows}", numbers.join(","));
            let rows = (n < 4096).then_some(CsvOrientation::LeadsInRows);
            let read = with(&text, CsvOptions::default().with_orientation(rows)).expect(names[0]);
            assert_eq!(read.signal.dim(), (2, n));
            assert!(read.signal.iter().all(|value| *value == 0.5), "{n} {names:?}");
            assert!(read.leads.iter().map(|lead| lead.as_str()).eq(leads), "{:?}", read.leads);
        }
    }
}

#[test]
fn twelve_that_are_chosen_keep_the_names_that_they_have() {
    let standard = Lead::STANDARD_12.map(|lead| lead.name());
    let named = |places: [usize; 12]| places.map(|k| standard[k]);
    let names = |places| named(places).map(str::to_owned);
    let numbers = |places: [usize; 12]| places.map(|k| (k + 1).to_string());
    let straight: [usize; 12] = std::array::from_fn(|k| k);
    let (reversed, later) = (straight.map(|k| 11 - k), straight.map(|k| k + 1));
    let chest_first = straight.map(|k| (k + 6) % 12);
    let mut swapped = straight;
    swapped.swap(3, 4);
    // The values of each column or row show which one it is.
    let columns = |n: usize| (0..n).map(|k| format!("{k}.5")).collect::<Vec<_>>().join(",") + "\n";
    let rows = |n: usize| (0..n).map(|k| format!("{k}.5,0\n")).collect::<String>();
    let named_rows = chest_first.iter().enumerate();
    let named_rows: String =
        named_rows.map(|(k, &lead)| format!("{},{k}.5,0\n", standard[lead])).collect();
    let sideways = Some(CsvOrientation::LeadsInRows);
    for (text, orientation, chosen, leads, values) in [
        (named_rows, None, names(chest_first), named(chest_first), straight),
        (columns(12), None, names(swapped), named(swapped), swapped),
        (columns(12), None, numbers(reversed), named(reversed), reversed),
        (rows(12), sideways, numbers(reversed), named(reversed), reversed),
        (rows(13), sideways, names(swapped), named(swapped), swapped),
        // With more columns or rows than leads, numbers do not determine names.
        (columns(13), None, numbers(later), standard, later),
        (rows(13), sideways, numbers(later), standard, later),
    ] {
        let csv = CsvOptions::default().with_orientation(orientation);
        let read = with(&text, csv.with_columns(chosen.iter().map(|own| &**own))).expect(&text);
        assert!(read.leads.iter().map(|lead| lead.as_str()).eq(leads), "{text}: {:?}", read.leads);
        let values = values.map(|k| k as f64 + 0.5);
        assert_eq!(read.signal.column(0).to_vec(), values, "{text}");
    }
}

#[test]
fn times_in_small_units() {
    for (name, step) in [("time_us", 2000.0), ("t_ns", 2e6), ("time [min]", 0.002 / 60.0)] {
        let read = read(&format!("{name},I\n0,1\n{step},2\n"));
        assert_eq!((read.sampling_rate.hz(), read.signal.nrows()), (500.0, 1), "{name}");
    }
}

#[test]
fn contradictions_and_odd_columns_are_warnings() {
    let warnings = |text: &str| {
        let loaded = read_with(text.as_bytes(), &ReadOptions::default()).expect(text);
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let ends = |text: &str, end: &str| {
        let [warning] = &warnings(text)[..] else { panic!("{:?}", warnings(text)) };
        assert!(warning.ends_with(end), "{warning}");
    };
    ends("# fs: 500\nI,i,II\n1,2,3\n", "r.csv:2: columns: \"i\" appears twice, the first is used");
    ends(
        "# fs: 500\n# fs: 250\nI\n1\n",
        "r.csv:2: sampling rate: 250 Hz, but 500 Hz on line 1; the last is used",
    );
    ends(
        "#units: uV\n# unit: mV\n# fs: 500\nI\n1\n",
        "units: mV, but other units above; the last are used",
    );
    ends(
        "# fs: 500\nI,HR,x\n1,2,3\n",
        "r.csv:2: columns: HR, x read as leads like the other columns",
    );
    for plain in ["# fs: 500\n# fs=500 Hz\nI,II\n1,2\n", "# fs: 500\nECG1,ECG2\n1,2\n"] {
        assert!(warnings(plain).is_empty(), "{plain}");
    }
    let strict = read_with(b"# fs: 1\n# fs: 2\nI\n1\n", &ReadOptions::default().with_strict(true));
    assert!(matches!(strict, Err(IoError::Strict(w)) if w.line == Some(2)));
}

#[test]
fn a_lead_without_a_value_above_others_is_an_error() {
    let options = CsvOptions::default()
        .with_orientation(Some(CsvOrientation::LeadsInRows))
        .with_sampling_rate(Some(SamplingRate::new(500.0).expect("a rate")));
    let options = ReadOptions::default().with_csv(options);
    let error = parse_csv(b"I\nII,0.3,2,3\n", Path::new("r.csv"), &options).expect_err("uneven");
    assert_eq!(error.to_string(), "r.csv:2: 4 columns, expected 1");
}

#[test]
fn a_comment_names_the_columns() {
    // As `np.savetxt` writes its header, in the order of MIMIC-IV-ECG.
    let names = "I,II,III,aVR,aVF,aVL,V1,V2,V3,V4,V5,V6";
    let numbers = "1,2,3,4,5,6,7,8,9,10,11,12.5\n";
    let by_commas = read(&format!("# fs: 500\n# {names}\n{numbers}{numbers}"));
    assert_eq!(by_commas.row_of(Lead::AVF), Some(4));
    assert_eq!(row(&by_commas, 4), [5.0, 5.0]);
    let by_blanks = read(&format!("#fs=500\n# {names}\n{}", numbers.replace(',', " ")));
    assert_eq!(by_blanks.row_of(Lead::AVL), Some(5));
    let timed = read("# time (ms), v1, II\n0,1,0.5\n2,2,0.5\n");
    assert_eq!((timed.sampling_rate.hz(), timed.row_of(Lead::V1)), (500.0, Some(0)));
    // These do not name the columns: other words, another number of words, names below.
    for comment in ["I and more", "I,II", "one,two,three,I,II,III,V1,V2,V3,V4,V5,V6"] {
        let read = read(&format!("# fs: 500\n# {comment}\n{numbers}"));
        assert_eq!(read.row_of(Lead::AVF), Some(5), "{comment}");
    }
    assert_eq!(read("# fs: 500\n# V1,V2\nI,II\n1,2\n").row_of(Lead::II), Some(1));
}

#[test]
fn a_row_of_tabs_is_a_row_of_missing_samples() {
    for text in ["# fs: 500\nI\tII\n1\t2\n\t\n3\t4\n", "# fs: 500\nI\tII\n\t\n1\t2\n3\t4\n"] {
        let read = read(text);
        assert_eq!(read.signal.ncols(), 3, "{text:?}");
        assert_eq!(read.signal.iter().filter(|value| value.is_nan()).count(), 2);
    }
    for text in ["# fs: 500\nI,II\n1,2\n \t \n3,4\n", "# fs: 500\nI\tII\n1\t2\n\t\t\n \n3\t4\n"] {
        assert_eq!(read(text).signal.ncols(), 2, "{text:?}");
    }
}

#[test]
fn the_key_of_the_rate_may_be_written_in_many_ways() {
    for key in ["sample_rate", "Sampling-Frequency", "fs (Hz)", "fs_hz", "sampling rate [Hz]"] {
        assert_eq!(read(&format!("# {key}: 250\nI\n1\n")).sampling_rate.hz(), 250.0, "{key}");
    }
    assert_eq!(read("# fs (kHz): 0.5\nI\n1\n").sampling_rate.hz(), 500.0);
    assert!(matches!(refused("# mains frequency: 50\nI\n1\n"), IoError::NoSamplingRate { .. }));
}

#[test]
fn of_two_columns_of_times_the_first_counts() {
    let read = read("timestamp,time_ms,I\n0,0,1\n0.004,4,2\n0.008,8,0.5\n");
    assert_eq!((read.sampling_rate.hz(), read.signal.nrows()), (250.0, 1));
    assert_eq!(row(&read, 0), [1.0, 2.0, 0.5]);
}

#[test]
fn a_delimiter_may_end_rows_of_leads() {
    for text in [
        "# fs: 500\nI,1,2,\nII,3,4,\n",
        "time,0,0.002,\nI,1,2,\nII,3,4,\n",
        "# fs: 500\nlead,s0,s1,\nI,1,2,\nII,3,4,\n",
    ] {
        let Loaded { recording, warnings, .. } =
            read_with(text.as_bytes(), &ReadOptions::default()).expect(text);
        assert_eq!((row(&recording, 0), row(&recording, 1)), (vec![1.0, 2.0], vec![3.0, 4.0]));
        assert!(warnings.iter().any(|own| own.to_string().contains("trailing")), "{text}");
    }
    // A missing last sample.
    for text in ["# fs: 500\nI,1,2,\nII,3,4,5\n", "time,0,0.002,0.004\nI,1,2,\nII,3,4,\n"] {
        let read = read(text);
        assert!(read.signal.ncols() == 3 && read.signal[[0, 2]].is_nan(), "{text}");
    }
}

#[test]
fn what_rdsamp_writes() {
    let seconds = "'Elapsed time','i','avr'\n'seconds','mV','uV'\n0.000,-0.145,65\n0.004,-0.1,7\n";
    let clock = "'Elapsed time','i','avr'\n'hh:mm:ss.mmm','mV','uV'\n'0:00.000',-0.145,65\n'0:00.004',-0.1,7\n";
    let numbered = "# fs: 250\n'sample #','i','avr'\n0,-0.145,0.065\n1,-0.1,0.007\n";
    for text in [seconds, clock, numbered] {
        let read = read(text);
        assert_eq!((read.sampling_rate.hz(), read.row_of(Lead::AVR)), (250.0, Some(1)), "{text}");
        assert_eq!((row(&read, 0), row(&read, 1)), (vec![-0.145, -0.1], vec![0.065, 0.007]));
    }
    let long = "time,I\n1:59:59.9,1\n2:00:00.0,1\n2:00:00.1,1\n";
    assert_eq!(read(long).sampling_rate.hz(), 10.0);
    for bad in ["0:x", ":1", "1:2:3:4", "0:-1", "-0:01"] {
        let error = refused(&format!("time,I\n0:00.0,1\n{bad},1\n"));
        assert!(matches!(error, IoError::Cell { line: 3, column: 1, .. }), "{bad}: {error}");
    }
}
