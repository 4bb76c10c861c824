//! Real recordings: each one loads with correct checksums, and its own diagnoses give the labels of the table.

mod common;

use std::path::Path;

use ecg_io::{Dataset, DatasetOptions, IoError, LabelSource, ReadOptions, Record, Selection};

/// Compares a data set of `records` recordings, of which `labelled` state their own diagnoses.
fn check(folder: &Path, records: usize, labelled: usize) {
    let options = DatasetOptions::default();
    let with_table = Dataset::open(folder, &options).expect("the data set");
    assert!(matches!(with_table.label_source(), LabelSource::File(_)));
    assert_eq!(with_table.len(), records);
    assert_eq!(with_table.warnings(), []);

    // Without the table, the labels come from SCP statements and comments.
    let own = without_table(folder);
    let own_labels = Dataset::open(own.path(), &options).expect("the same without labels.csv");
    let mut failed = Vec::new();
    let mut compared = 0;
    let done: Result<(), ()> = with_table.for_each_parallel(
        0,
        |_, loaded| loaded.map(|loaded| loaded.recording),
        |i, loaded| {
            let name = &with_table.names()[i];
            let recording = match loaded {
                Ok(recording) => recording,
                Err(error) => {
                    failed.push(error.to_string());
                    return Ok(());
                }
            };
            assert_eq!(recording.standard_rows().map(|rows| rows.len()), Ok(12), "{name}");
            assert_eq!(recording.sampling_rate.hz(), 500.0, "{name}");
            assert!(recording.adc.is_some(), "{name}");
            let j = own_labels.index_of(name).expect("the same names");
            if let Some(own) = own_labels.labels_of(j, &recording) {
                compared += 1;
                if Some(own.as_slice()) != with_table.labels(i) {
                    failed.push(format!("{name}: {own:?}, table {:?}", with_table.labels(i)));
                }
            }
            if let (Some(own), Some(table)) = (own_labels.patient(j), with_table.patient(i))
                && (own != table || own_labels.fold(j) != with_table.fold(i))
            {
                failed.push(format!("{name}: patient {own}, {table}"));
            }
            Ok(())
        },
    );
    assert_eq!(done, Ok(()));
    assert_eq!(compared, labelled);
    assert!(failed.is_empty(), "{}: {failed:#?}", failed.len());
}

/// Copies the headers and PTB-XL's table, without `labels.csv`; the signals are not needed.
fn without_table(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for site in std::fs::read_dir(folder).expect("the sites") {
        let site = site.expect("a site").path();
        if !site.is_dir() {
            continue;
        }
        let to = copy.path().join(site.file_name().expect("a name"));
        std::fs::create_dir(&to).expect("a site");
        for file in std::fs::read_dir(&site).expect("the files") {
            let file = file.expect("a file").path();
            if file.extension().is_some_and(|e| e == "hea" || e == "csv") {
                std::fs::copy(&file, to.join(file.file_name().expect("a name"))).expect("copies");
            }
        }
    }
    copy
}

#[test]
fn real_small() {
    let Some(folder) = common::real_data("real-small") else { return };
    // It comes without PTB-XL's table, so its 54 PTB-XL recordings have labels only in labels.csv.
    check(&folder, 108, 54);
}

#[test]
fn real_dev() {
    let Some(folder) = common::real_data("real-dev") else { return };
    check(&folder, 1127, 1127);
}

#[test]
fn sample_records_of_many_formats() {
    let Some(folder) = common::samples() else { return };
    let options = ReadOptions::default();
    let (mut read, mut without_files) = (0, 0);
    for part in ["", "041s", "fixed1", "p000878", "s25047"] {
        let dir =
            if part.is_empty() { folder.clone() } else { folder.join("multi-segment").join(part) };
        for entry in std::fs::read_dir(dir).expect("the folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "hea") {
                continue;
            }
            let samples = Record::open(&path, &options)
                .and_then(|record| record.read::<f32>(&Selection::default()));
            match samples {
                // Their checksums were correct.
                Ok(samples) => read += usize::from(!samples.is_empty()),
                // Many exist only as headers, as do layouts and a segment of a long record.
                Err(IoError::Read { .. } | IoError::NoSamples { .. } | IoError::Segment { .. }) => {
                    without_files += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert_eq!((read, without_files), (54, 10));
}
