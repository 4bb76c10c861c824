//! Folders of recordings with their labels.

use std::fs;
use std::path::Path;

use ecg_core::{Lead, Recording, SamplingRate, Sex, SnomedCode};
use ecg_io::{
    CsvColumn, Dataset, DatasetOptions, IoError, LabelMap, LabelSource, NsrRule, PtbXlRecords,
    ReadOptions, WriteOptions, read_recording, write_csv, write_wfdb,
};
use ndarray::Array2;

fn recording(name: &str, codes: &[u64]) -> Recording {
    let rate = SamplingRate::new(500.0).expect("a rate");
    let signal = Array2::from_elem((12, 10), 0.5);
    let mut recording =
        Recording::new(name, rate, Lead::STANDARD_12, signal).expect("twelve leads");
    recording.diagnoses = codes.iter().map(|code| SnomedCode(*code)).collect();
    recording
}

fn wfdb(dir: &Path, name: &str, codes: &[u64]) {
    write_wfdb(dir, &recording(name, codes), &WriteOptions::default()).expect("writes");
}

fn open(dir: &Path) -> Dataset {
    Dataset::open(dir, &DatasetOptions::default()).expect("opens")
}

fn messages(dataset: &Dataset) -> Vec<String> {
    dataset
        .warnings()
        .iter()
        .map(|warning| format!("{}: {}", warning.field, warning.message))
        .collect()
}

fn labels(dataset: &Dataset, i: usize) -> Option<String> {
    let loaded = dataset.load(i).expect("loads");
    let row = dataset.labels_of(i, &loaded.recording)?;
    let on = dataset.label_set().iter().zip(row).filter(|(_, on)| *on).map(|(label, _)| label);
    Some(on.collect::<Vec<_>>().join("+"))
}

#[test]
fn leads_in_rows_longer_than_what_is_looked_at() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let names: String = (0..5000).map(|k| format!(",{k}")).collect();
    let row = ",0.123456".repeat(5000);
    let leads = Lead::STANDARD_12.map(|lead| format!("{lead}{row}\n")).concat();
    fs::write(dir.join("r.csv"), format!("# fs: 500\nlead{names}\n{leads}")).expect("writes");
    let dataset = open(dir);
    assert_eq!(dataset.names(), ["r"]);
    assert_eq!(messages(&dataset), Vec::<String>::new());
    assert_eq!(dataset.load(0).expect("loads").recording.signal.dim(), (12, 5000));
}

#[test]
fn rows_name_files_in_any_case() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    write_csv(dir.join("b.CSV"), &recording("x", &[])).expect("writes");
    write_csv(dir.join("c.MAT.csv"), &recording("x", &[])).expect("writes");
    fs::write(dir.join("labels.csv"), "record,AF\nb.CSV,1\nc.MAT,1\n").expect("writes");
    let dataset = open(dir);
    assert_eq!(messages(&dataset), Vec::<String>::new());
    assert_eq!([0, 1].map(|i| labels(&dataset, i)), [Some("AF".into()), Some("AF".into())]);
}

#[test]
fn recordings_are_found_and_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    wfdb(dir, "b/r2", &[164_889_003]);
    wfdb(dir, "a_1", &[]);
    write_csv(dir.join("b/deep/r1.csv"), &recording("x", &[426_177_001])).expect("writes");
    write_csv(dir.join("b/r2.csv"), &recording("x", &[])).expect("writes");
    fs::write(dir.join("b/r2.tsv"), "fs\tI\n").expect("writes");
    fs::write(dir.join("b/labels.csv"), "record,AF\nr2,0\n").expect("writes");
    fs::write(dir.join("RECORDS"), "a_1\n").expect("writes");
    fs::write(dir.join("conditions.csv"), "Acronym,Name\nAF,x\n").expect("writes");
    fs::write(dir.join(".hidden.hea"), "").expect("writes");
    let dataset = open(dir);
    assert_eq!(dataset.names(), ["a_1", "b/deep/r1", "b/r2"]);
    assert_eq!(dataset.index_of("b/r2"), Some(2));
    assert_eq!(dataset.load(2).expect("loads").recording.name, "b/r2");
    assert!(dataset.entries()[2].path.ends_with("b/r2.hea"));
    assert_eq!(dataset.label_source(), &LabelSource::Comments);
    assert_eq!(labels(&dataset, 0), None);
    assert_eq!(labels(&dataset, 1).as_deref(), Some("SB"));
    assert_eq!(labels(&dataset, 2).as_deref(), Some("AF"));
    let messages = messages(&dataset);
    assert_eq!(messages.len(), 4, "{messages:?}");
    let of = |what: &str| messages.iter().filter(|message| message.contains(what)).count();
    assert_eq!((of("same name as"), of("not a recording"), of("not used")), (2, 1, 1));
}

#[test]
fn a_bad_record_does_not_keep_the_others() {
    let dir = tempfile::tempdir().expect("a folder");
    for k in 0..20 {
        wfdb(dir.path(), &format!("r{k:02}"), &[]);
    }
    fs::write(dir.path().join("r07.dat"), [0; 5]).expect("writes");
    for threads in [0, 1, 3] {
        let all = open(dir.path()).load_all(threads);
        assert_eq!(all.len(), 20);
        for (k, loaded) in all.iter().enumerate() {
            match loaded {
                Ok(loaded) => assert_eq!(loaded.recording.name, format!("r{k:02}")),
                Err(error) => {
                    assert!(matches!(error, IoError::Truncated { expected: 240, found: 5, .. }));
                    assert_eq!(k, 7);
                }
            }
        }
    }
}

#[test]
fn a_label_file_goes_by_path_or_unique_base_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    for name in ["a/x", "b/x", "b/y", "b/z"] {
        wfdb(dir, name, &[164_889_003]);
    }
    let table = "record,patient,fold,P,Q\na/x,p1,3,1,0\ny,p2,,0,1\nx,,,1,1\nq/w,,,0,0\n";
    fs::write(dir.join("labels.csv"), table).expect("writes");
    let dataset = open(dir);
    assert_eq!(dataset.label_set().to_string(), "P,Q");
    assert_eq!(dataset.label_source().to_string(), dir.join("labels.csv").display().to_string());
    assert_eq!(dataset.labels(0), Some(&[true, false][..]));
    assert_eq!(dataset.labels(1), None, "two records are named x");
    assert_eq!(dataset.labels(2), Some(&[false, true][..]));
    assert_eq!((dataset.patient(0), dataset.fold(0)), (Some("p1"), Some(3)));
    assert_eq!((dataset.patient(2), dataset.fold(2)), (Some("p2"), None));
    let loaded = dataset.load(3).expect("loads");
    assert_eq!(dataset.labels_of(3, &loaded.recording), None, "the table counts, not the comment");
    assert_eq!(dataset.load(0).expect("loads").recording.patient.as_deref(), Some("p1"));
    let messages = messages(&dataset);
    assert_eq!(
        messages,
        [
            "record: 1 rows match no record in the folder: q/w",
            "record: 1 rows match several records in the folder: x",
            "record: 2 records in the folder have no row: b/x, b/z",
        ]
    );

    let elsewhere = dir.join("b/other.csv");
    fs::write(&elsewhere, "record,AF\nb/x,1\nz,2\n").expect("writes");
    let options = DatasetOptions::default().with_labels_file(Some(elsewhere.clone()));
    let error = Dataset::open(dir, &options).expect_err("a 2");
    assert_eq!(
        error.to_string(),
        format!("{}:3: column 2 (AF): found \"2\", expected 0 or 1", elsewhere.display())
    );
    fs::write(&elsewhere, "record,AF\nb/y,1\nb/y,1\n").expect("writes");
    assert!(matches!(
        Dataset::open(dir, &options),
        Err(IoError::DuplicateRow { line: 3, first: 2, .. })
    ));
    // The name takes precedence over a base name, and of two base names neither counts.
    fs::write(&elsewhere, "record,AF\ny,1\nb/y,0\n").expect("writes");
    let dataset = Dataset::open(dir, &options).expect("opens");
    assert_eq!(dataset.labels(2), Some(&[false][..]));
    assert!(self::messages(&dataset)[0].ends_with("match no record in the folder: y"));
    fs::write(&elsewhere, "record,AF\nc/y,1\nb/z,1\ny,1\n").expect("writes");
    let dataset = Dataset::open(dir, &options).expect("opens");
    assert_eq!((dataset.labels(2), dataset.labels(3)), (None, Some(&[true][..])));
    let told = "2 rows match a record by a base name that other rows share: c/y, y";
    assert!(self::messages(&dataset)[0].ends_with(told), "{:?}", self::messages(&dataset));
    // A row for another record, which does not exist, and one with an extension.
    fs::write(&elsewhere, "record,AF\nc/y,1\nb/y.tsv.gz,0\n").expect("writes");
    let dataset = Dataset::open(dir, &options).expect("opens");
    assert_eq!(dataset.labels(2), Some(&[false][..]));
    assert!(self::messages(&dataset)[0].ends_with("match no record in the folder: c/y"));
    // Matched by base name from another folder: the labels count, with a warning.
    fs::write(&elsewhere, "record,AF\nc/y,1\nother/b/z,0\n").expect("writes");
    let dataset = Dataset::open(dir, &options).expect("opens");
    assert_eq!((dataset.labels(2), dataset.labels(3)), (Some(&[true][..]), Some(&[false][..])));
    let told = "1 rows name other folders and are matched by base name: c/y";
    assert!(self::messages(&dataset)[0].ends_with(told), "{:?}", self::messages(&dataset));
    let missing = DatasetOptions::default().with_labels_file(Some(dir.join("none.csv")));
    assert!(matches!(Dataset::open(dir, &missing), Err(IoError::Read { .. })));
}

#[test]
fn a_name_of_a_record_may_end_as_that_of_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    fs::create_dir(dir.join("b")).expect("makes");
    for name in ["E1.mat", "b/y.mat", "x", "x.mat"] {
        fs::write(dir.join(format!("{name}.csv")), "# fs: 500\nI,II\n1,2\n").expect("writes");
    }
    let with = |rows: &str| {
        fs::write(dir.join("labels.csv"), format!("record,AF\n{rows}")).expect("writes");
        Dataset::open(dir, &DatasetOptions::default())
    };
    for (rows, expected) in [
        ("E1.mat,1\n", [Some(true), None, None, None]),
        ("x,1\n.\\x.mat,0\n", [None, None, Some(true), Some(false)]),
        ("x.mat,0\nx.hea,1\n", [None, None, Some(true), Some(false)]),
        ("E1.mat.csv,0\nx.mat.csv,1\n", [Some(false), None, None, Some(true)]),
        ("y.mat,1\n", [None, Some(true), None, None]),
        ("data/b/y.mat,1\n", [None, Some(true), None, None]),
    ] {
        let dataset = with(rows).expect(rows);
        assert_eq!(dataset.names(), ["E1.mat", "b/y.mat", "x", "x.mat"]);
        let found: Vec<_> = (0..4).map(|i| dataset.labels(i).map(|row| row[0])).collect();
        assert_eq!(found, expected, "{rows}");
        let [message] = &messages(&dataset)[..] else { panic!("{:?}", messages(&dataset)) };
        assert!(message.contains("records in the folder have no row"), "{message}");
    }
    let absent = messages(&with("z.mat,1\n").expect("opens"));
    assert!(absent[0].ends_with("match no record in the folder: z.mat"), "{absent:?}");
    for rows in ["x,1\nx.hea,0\n", "x.mat,1\n./x.mat,1\n"] {
        let error = with(rows).expect_err(rows);
        assert!(matches!(error, IoError::DuplicateRow { line: 3, first: 2, .. }), "{error}");
    }
}

#[test]
fn labels_are_left_alone_where_none_are_needed() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    wfdb(dir, "a", &[164_889_003]);
    let open = |table: &str| {
        fs::write(dir.join("labels.csv"), table).expect("writes");
        Dataset::open(dir, &DatasetOptions::default()).expect_err("a broken table");
        let options = DatasetOptions::default().with_ignore_labels(true);
        let dataset = Dataset::open(dir, &options).expect("opens");
        assert_eq!(dataset.label_source(), &LabelSource::Ignored);
        assert_eq!(labels(&dataset, 0), None);
        dataset
    };
    let dataset = open("record,patient,severity\na,p1,high\n");
    assert_eq!((dataset.patient(0), dataset.warnings()), (Some("p1"), &[][..]));
    assert_eq!(open("record,patient\na,p2\n").patient(0), Some("p2"));
    let messages = messages(&open("record,AF\na,1\na,0\n"));
    assert!(messages[0].starts_with("labels: ") && messages[0].contains("on line 2"));
}

#[test]
fn ptb_xl_has_its_own_table() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    wfdb(dir, "ptbxl/records500/00000/00001_hr", &[]);
    wfdb(dir, "ptbxl/records100/00000/00001_lr", &[]);
    wfdb(dir, "cinc/HR1", &[426_783_006, 427_084_000, 713_427_006]);
    let table = "ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr\n\
        1,15709.0,56.0,1,\"{'NORM': 100.0, 'SBRAD': 0.0}\",3,records100/00000/00001_lr,records500/00000/00001_hr\n\
        9,1.0,,,{},1,records100/00000/00009_lr,records500/00000/00009_hr\n";
    let path = dir.join("ptbxl/ptbxl_database.csv");
    fs::write(&path, table).expect("writes");
    let dataset = open(dir);
    assert_eq!(dataset.label_source(), &LabelSource::PtbXl(vec![path.clone()]));
    assert_eq!(labels(&dataset, 0).as_deref(), Some("NSR+RBBB+STach"));
    for i in [1, 2] {
        assert_eq!(labels(&dataset, i).as_deref(), Some("NSR+SB"));
        assert_eq!((dataset.patient(i), dataset.fold(i)), (Some("ptbxl-15709"), Some(3)));
        let recording = dataset.load(i).expect("loads").recording;
        assert_eq!((recording.age_years, recording.sex), (Some(56.0), Some(Sex::Female)));
    }
    let expected = [
        "sampling rate: 1 recordings appear twice: records500 has them at another rate",
        "record: 1 rows match no record in the folder: records500/00000/00009_hr",
    ];
    assert_eq!(messages(&dataset), expected);

    let options = DatasetOptions::default()
        .with_nsr_rule(NsrRule::Rhythm)
        .with_label_map(LabelMap::published());
    let dataset = Dataset::open(dir, &options).expect("opens");
    assert_eq!(labels(&dataset, 0).as_deref(), Some("STach"));
    assert_eq!(labels(&dataset, 1).as_deref(), Some("SB"));
    // The table counts wherever it is located if it is given explicitly.
    let moved = tempfile::tempdir().expect("a folder");
    let named = moved.path().join("tables.csv");
    fs::rename(path, &named).expect("moves");
    let options = DatasetOptions::default().with_labels_file(named);
    let dataset = Dataset::open(dir, &options).expect("opens");
    assert_eq!(labels(&dataset, 1).as_deref(), Some("NSR+SB"));
}

#[test]
fn ptb_xl_is_matched_by_unique_base_names() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    for name in ["x/1_hr", "y/1_hr", "z/2_hr"] {
        wfdb(dir, name, &[]);
    }
    let table = dir.join("ptbxl_database.csv");
    fs::write(&table, "scp_codes,filename_hr\n{'AFIB': 100.0},a/1_hr\n{'AFIB': 100.0},a/2_hr\n")
        .expect("writes");
    let told = [
        "record: 1 rows name other folders and are matched by base name: a/2_hr",
        "record: 1 rows match several records in the folder: a/1_hr",
    ];
    for file in [None, Some(table)] {
        let options = DatasetOptions::default().with_labels_file(file);
        let dataset = Dataset::open(dir, &options).expect("opens");
        let found: Vec<bool> = (0..3).map(|i| dataset.labels(i).is_some()).collect();
        assert_eq!(found, [false, false, true]);
        assert_eq!(messages(&dataset), told);
    }
    // A record with a nearer table does not count for the one above it.
    let table = "scp_codes,filename_hr\n{'AFIB': 100.0},1_hr\n";
    fs::write(dir.join("y/ptbxl_database.csv"), table).expect("writes");
    let dataset = open(dir);
    let found: Vec<bool> = (0..3).map(|i| dataset.labels(i).is_some()).collect();
    assert_eq!(found, [true, true, true]);
}

#[test]
fn nothing_to_open() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = DatasetOptions::default();
    assert!(matches!(Dataset::open(dir.path(), &options), Err(IoError::EmptyDataset { .. })));
    let missing = dir.path().join("none");
    assert!(matches!(Dataset::open(missing, &options), Err(IoError::Read { .. })));
    fs::write(dir.path().join("notes.csv"), "a,b\nx,y\n").expect("writes");
    let error = Dataset::open(dir.path(), &options).expect_err("no recording").to_string();
    assert!(error.contains("notes.csv") && error.ends_with("skipped"), "{error}");
    // Neither a recording nor any other file is a folder.
    wfdb(dir.path(), "x", &[]);
    let header = dir.path().join("x.hea");
    for name in ["x", "x.hea", "x.dat"] {
        let error = Dataset::open(dir.path().join(name), &options).expect_err(name);
        assert!(
            matches!(&error, IoError::NotAFolder { recording: Some(file), .. } if *file == header),
            "{error}"
        );
        let told =
            format!("a recording ({}), expected a folder of recordings, such as", header.display());
        assert!(error.to_string().contains(&told), "{error}");
    }
    let error = Dataset::open(dir.path().join("notes.csv"), &options).expect_err("a file");
    assert!(
        error.to_string().ends_with("found a file, expected a folder of recordings"),
        "{error}"
    );
}

#[test]
fn a_long_row_of_a_lead_is_a_recording() {
    let dir = tempfile::tempdir().expect("a folder");
    let names: String = (0..20_000).map(|k| format!(",s{k}")).collect();
    let values = ",0.5".repeat(20_000);
    let text = format!("# fs: 500\nlead{names}\nI{values}\nII{values}\n");
    fs::write(dir.path().join("long.csv"), text).expect("writes");
    let dataset = open(dir.path());
    assert_eq!(dataset.load(0).expect("reads").recording.signal.dim(), (2, 20_000));
}

#[test]
fn a_table_with_as_many_leads_as_are_named_is_a_recording() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let names: String = (1..=12).map(|k| format!(",ch{k}")).collect();
    let values = ",0.5".repeat(12);
    for (name, first) in [("a", "time"), ("b", "record")] {
        let text = format!("{first}{names}\n0{values}\n0.002{values}\n");
        fs::write(dir.join(format!("{name}.csv")), text).expect("writes");
    }
    fs::write(dir.join("c.csv"), "time,ch1\n0,1\n0.002,1\n").expect("writes");
    let mut options = DatasetOptions::default();
    assert!(Dataset::open(dir, &options).is_err());
    options.read.csv = options.read.csv.with_leads(Lead::STANDARD_12);
    let dataset = Dataset::open(dir, &options).expect("opens");
    assert_eq!(dataset.names(), ["a"]);
    let recording = dataset.load(0).expect("loads").recording;
    assert_eq!(recording.standard_rows(), Ok(std::array::from_fn(|k| k)));

    // A list of as many columns is none.
    fs::write(dir.join("list.csv"), "name\nA0001\n").expect("writes");
    fs::write(dir.join("units.csv"), "time,ch1\ns,uV\n0,1\n0.002,1\n").expect("writes");
    options.read.csv = options.read.csv.with_leads(["II"]);
    assert_eq!(Dataset::open(dir, &options).expect("opens").names(), ["c", "units"]);
}

#[test]
fn a_wide_table_of_records_is_no_recording() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("a.csv"), "# fs: 500\nI\n1\n2\n").expect("writes");
    let names: String = (0..3000).map(|k| format!(",feature_{k}")).collect();
    let values = ",0.123456789".repeat(3000);
    let text = format!("record{names}\na{values}\n");
    fs::write(dir.path().join("features.csv"), text).expect("writes");
    let dataset = open(dir.path());
    assert_eq!(dataset.names(), ["a"]);
    assert_eq!(messages(&dataset), ["columns: not a recording (no lead columns), skipped"]);
}

#[test]
fn columns_by_number_make_no_recording_of_a_table_of_records() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    fs::write(dir.join("a.csv"), "# fs: 500\nI,II\n1,2\n").expect("writes");
    fs::write(dir.join("ages.csv"), "record,age\na,61\n").expect("writes");
    let by = |column: CsvColumn| {
        let mut options = DatasetOptions::default();
        options.read.csv = options.read.csv.with_columns([column]);
        Dataset::open(dir, &options).expect("opens").names().to_vec()
    };
    assert_eq!(by(CsvColumn::Position(2)), ["a"]);
    assert_eq!(by(CsvColumn::Name("age".into())), ["ages"]);
}

#[test]
fn a_table_whose_leads_a_comment_names_is_a_recording() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    fs::write(dir.join("a.csv"), "# fs: 500\n# II,V2\n1,2.5\n2,3\n").expect("writes");
    fs::write(dir.join("b.csv"), "# fs: 500\n# one,two\n1,2.5\n2,3\n").expect("writes");
    let dataset = open(dir);
    assert_eq!(dataset.names(), ["a"]);
    assert_eq!(messages(&dataset), ["columns: not a recording (no lead columns), skipped"]);
    let loaded = dataset.load(0).expect("loads");
    assert_eq!(loaded.recording.row_of(Lead::V2), Some(1));
    // By a column's name, too.
    let by = |name: &str| {
        let mut options = DatasetOptions::default();
        options.read.csv = options.read.csv.with_columns([CsvColumn::Name(name.into())]);
        Dataset::open(dir, &options).map(|dataset| dataset.names().to_vec())
    };
    assert_eq!(by("V2").expect("opens"), ["a"]);
    assert!(by("V3").is_err());
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_not_followed() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().expect("a folder");
    wfdb(outside.path(), "secret", &[]);
    let dir = tempfile::tempdir().expect("a folder");
    wfdb(dir.path(), "in/r", &[]);
    symlink(outside.path().join("secret.hea"), dir.path().join("out.hea")).expect("links");
    symlink(dir.path(), dir.path().join("in/circle")).expect("links");
    symlink(dir.path().join("in/r.hea"), dir.path().join("in/again.hea")).expect("links");
    let table = outside.path().join("table.csv");
    fs::write(&table, "scp_codes,filename_hr\n{'AFIB': 100.0},out\n").expect("writes");
    symlink(&table, dir.path().join("ptbxl_database.csv")).expect("links");
    symlink(outside.path().join("secret.dat"), dir.path().join("secret.dat")).expect("links");
    let dataset = open(dir.path());
    assert_eq!(dataset.names(), ["in/again", "in/r"]);
    let told = |what: &str| messages(&dataset).iter().filter(|own| own.contains(what)).count();
    assert_eq!((told("points outside"), told("points to a folder"), told("")), (3, 1, 4));
    assert_eq!(dataset.label_source(), &LabelSource::Comments);
    // On request, links to files are followed, but still none to folders.
    let read = ReadOptions::default().with_allow_outside_links(true);
    let options = DatasetOptions::default().with_read(read);
    let dataset = Dataset::open(dir.path(), &options).expect("opens");
    assert_eq!(dataset.names(), ["in/again", "in/r", "out"]);
    assert_eq!(messages(&dataset), ["link: points to a folder, not followed"]);
    assert_eq!(labels(&dataset, 2).as_deref(), Some("AF"));
}

#[cfg(unix)]
#[test]
fn a_label_table_that_cannot_be_used_is_an_error() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().expect("a folder");
    let truth = outside.path().join("truth.csv");
    fs::write(&truth, "record,P\nr,1\n").expect("writes");
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    wfdb(dir, "r", &[164_889_003]);
    let table = dir.join("labels.csv");
    let error = |options: &DatasetOptions| {
        let error = Dataset::open(dir, options).expect_err("is refused");
        assert!(error.to_string().contains(&table.display().to_string()), "{error}");
        // Labels that are ignored need no table.
        let dataset = Dataset::open(dir, &options.clone().with_ignore_labels(true)).expect("opens");
        assert!(messages(&dataset)[0].contains("label tables are ignored"));
        error
    };
    let mut options = DatasetOptions::default();
    symlink(&truth, &table).expect("links");
    assert!(matches!(error(&options), IoError::OutsideLink { .. }));
    options.read.allow_outside_links = true;
    let dataset = Dataset::open(dir, &options).expect("opens");
    assert_eq!((dataset.labels(0), messages(&dataset)), (Some(&[true][..]), Vec::new()));
    fs::remove_file(&truth).expect("removes");
    assert!(matches!(error(&options), IoError::Read { .. }));
    options.read.allow_outside_links = false;
    assert!(matches!(error(&options), IoError::Read { .. }));
    fs::remove_file(&table).expect("removes");
    let made = std::process::Command::new("mkfifo").arg(&table).status().expect("mkfifo runs");
    assert!(made.success());
    assert!(matches!(error(&options), IoError::NotAFile { .. }));
    fs::remove_file(&table).expect("removes");
    fs::create_dir(&table).expect("makes");
    assert!(matches!(error(&options), IoError::NotAFile { .. }));
    fs::remove_dir(&table).expect("removes");
    // A link inside the folder: its target is no second table.
    fs::create_dir(dir.join("tables")).expect("makes");
    for target in ["tables/truth.txt", "tables/truth.csv", "tables/labels.csv"] {
        fs::write(dir.join(target), "record,P\nr,1\n").expect("writes");
        symlink(target, &table).expect("links");
        let dataset = open(dir);
        assert_eq!((dataset.labels(0), messages(&dataset)), (Some(&[true][..]), Vec::new()));
        fs::remove_file(dir.join(target)).expect("removes");
        fs::remove_file(&table).expect("removes");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_does_not_block() {
    let dir = tempfile::tempdir().expect("a folder");
    let pipe = dir.path().join("x.csv");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    wfdb(dir.path(), "r", &[]);
    let dataset = open(dir.path());
    assert_eq!(dataset.names(), ["r", "x"]);
    assert!(matches!(dataset.load(1), Err(IoError::NotAFile { .. })));
}

#[test]
fn ptbxl_is_taken_at_one_rate() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    for name in [
        "p/records100/00000/1_lr",
        "p/records500/00000/1_hr",
        "p/records500/00000/2_hr",
        "p/records100/00000/4_lr",
        "q/records100/3_lr",
    ] {
        wfdb(dir, name, &[]);
    }
    let table = "patient_id,scp_codes,strat_fold,filename_lr,filename_hr\n\
                 5,{'AFIB': 0.0},4,records100/00000/1_lr,records500/00000/1_hr\n";
    fs::write(dir.join("p/ptbxl_database.csv"), table).expect("writes");
    let at = |records| {
        let options = DatasetOptions::default().with_ptbxl_records(records);
        Dataset::open(dir, &options).expect("opens")
    };
    let high = at(PtbXlRecords::Hz500);
    // As after an interrupted download: what is there at one rate only is taken at that rate.
    let names = [
        "p/records100/00000/4_lr",
        "p/records500/00000/1_hr",
        "p/records500/00000/2_hr",
        "q/records100/3_lr",
    ];
    assert_eq!(high.names(), names);
    assert!(messages(&high)[0].contains("1 recordings are left out"), "{:?}", messages(&high));
    assert_eq!((labels(&high, 1).as_deref(), high.fold(1)), (Some("AF"), Some(4)));
    let low = at(PtbXlRecords::Hz100);
    let names = [
        "p/records100/00000/1_lr",
        "p/records100/00000/4_lr",
        "p/records500/00000/2_hr",
        "q/records100/3_lr",
    ];
    assert_eq!(low.names(), names);
    assert!(messages(&low)[0].contains("1 recordings are left out"), "{:?}", messages(&low));
    assert_eq!(labels(&low, 0).as_deref(), Some("AF"));
    let both = open(dir);
    assert_eq!(both.len(), 5);
    assert!(messages(&both)[0].contains("1 recordings appear twice"), "{:?}", messages(&both));
}

#[test]
fn rules_about_codes_have_no_effect_on_a_label_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    wfdb(dir, "a", &[164_889_003]);
    fs::write(dir.join("labels.csv"), "record,AF\na,1\n").expect("writes");
    let options = DatasetOptions::default()
        .with_label_map(LabelMap::published())
        .with_nsr_rule(NsrRule::Rhythm);
    let told = |options: &DatasetOptions| messages(&Dataset::open(dir, options).expect("opens"));
    let expected = [
        "NSR: the NSR rule rhythm does not affect label files",
        "label map: the label map published does not affect label files",
    ];
    assert_eq!(told(&options), expected);
    assert!(told(&options.with_ignore_labels(true)).is_empty());
}

#[test]
fn diagnoses_in_words() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    fs::write(dir.join("r.csv"), "# fs: 500\n# Dx: Atrial fibrillation, 426783006\nI\n1\n")
        .expect("writes");
    fs::write(
        dir.join("own.csv"),
        "label,system,code\n,extends,default\nAF,text,atrial fibrillation\n",
    )
    .expect("writes");
    let map = LabelMap::read(dir.join("own.csv")).expect("a map");
    let with = |rule| {
        let options = DatasetOptions::default().with_label_map(map.clone()).with_nsr_rule(rule);
        labels(&Dataset::open(dir, &options).expect("opens"), 0)
    };
    assert_eq!(with(NsrRule::Challenge).as_deref(), Some("NSR+AF"));
    assert_eq!(with(NsrRule::Rhythm).as_deref(), Some("AF"));
    // A map of codes gets nothing from words alone.
    let by_codes = |text: &str| {
        fs::write(dir.join("r.csv"), format!("# fs: 500\n# Dx: {text}\nI\n1\n")).expect("writes");
        labels(&open(dir), 0)
    };
    assert_eq!(by_codes("Atrial fibrillation"), None);
    assert_eq!(by_codes("Atrial fibrillation, 426783006").as_deref(), Some("NSR"));
    // After writing, they are still there, and the codes only once.
    let read = || read_recording(dir.join("r"), &ReadOptions::default()).expect("reads").recording;
    let before = read();
    write_csv(dir.join("r.csv"), &before).expect("writes");
    let after = read();
    assert_eq!(after.diagnoses, before.diagnoses);
    let stated = ["fs: 500", "units: mV", "Dx: 426783006, Atrial fibrillation"];
    assert_eq!(after.comments, stated);
    assert_eq!(with(NsrRule::Challenge).as_deref(), Some("NSR+AF"));
}

#[test]
fn a_report_of_a_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    wfdb(dir, "a", &[426_783_006, 426_177_001]);
    wfdb(dir, "b", &[59_118_001]);
    wfdb(dir, "c", &[1]);
    let mut odd = recording("d", &[]);
    odd.signal.row_mut(0).iter_mut().enumerate().for_each(|(t, v)| *v = t as f64 / 10.0);
    odd.signal[[1, 3]] = f64::NAN;
    odd.patient = Some("p|1".into());
    write_wfdb(dir, &odd, &WriteOptions::default()).expect("writes");
    wfdb(dir, "e", &[]);
    fs::write(dir.join("e.dat"), [0; 5]).expect("writes");
    let mut counted = Vec::new();
    let report = open(dir).report_with(2, |done| counted.push(done));
    assert_eq!(counted, [1, 2, 3, 4, 5]);
    assert_eq!(report, open(dir).report(1));
    assert_eq!((report.records, report.readable, report.unlabelled), (5, 4, 1));
    let labels: Vec<_> =
        report.labels.iter().filter(|l| l.records > 0).map(|l| l.what.as_str()).collect();
    assert_eq!(labels, ["NSR", "RBBB", "SB"]);
    assert_eq!((report.with_several_labels, report.with_no_label), (1, 1));
    assert_eq!(
        (report.contradictions[0].what.as_str(), report.contradictions[0].records),
        ("NSR+SB", 1)
    );
    assert_eq!((report.patients.known, report.patients.distinct), (1, 1));
    assert_eq!(
        (report.sampling_rates_hz[0].what.as_str(), report.durations_s[0].what.as_str()),
        ("500", "0.02")
    );
    assert_eq!((report.flat.len(), report.flat[3].what.split(", ").count()), (4, 11));
    assert_eq!(
        (report.missing_samples[0].record.as_str(), report.missing_samples[0].what.as_str()),
        ("d", "1")
    );
    let twins: Vec<_> =
        report.duplicates.iter().map(|f| (f.record.as_str(), f.what.as_str())).collect();
    assert_eq!(twins, [("b", "a"), ("c", "a")]);
    assert!(report.failed[0].record == "e" && report.failed[0].what.contains("5 bytes"));
    let text = report.to_string();
    assert!(text.starts_with("5 recordings, 4 of them readable, 1 not."), "{text}");
    assert!(text.contains("| NSR+SB | 1 | a |") && text.contains("## Not readable"), "{text}");
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["contradictions"][0]["what"], "NSR+SB");
}
