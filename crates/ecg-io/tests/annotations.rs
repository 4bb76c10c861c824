//! Annotation files: every pseudo-annotation, broken files, and reading back what is written.

mod common;

use std::path::Path;

use ecg_core::SamplingRate;
use ecg_io::{
    Annotation, AnnotationCode, Annotations, CodeDefinition, IoError, ReadOptions,
    read_annotations, read_header, sibling_annotations, write_annotations,
};
use proptest::prelude::*;

fn parse(words: &[u16], strict: bool) -> Result<Annotations, IoError> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    parse_bytes(&bytes, strict)
}

fn parse_bytes(bytes: &[u8], strict: bool) -> Result<Annotations, IoError> {
    Annotations::parse(bytes, "r.atr", &ReadOptions::default().with_strict(strict))
}

const fn word(code: u16, value: u16) -> u16 {
    code << 10 | value
}

/// The words of a note at time 0.
fn note(text: &str) -> Vec<u16> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    let text_words = bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    [word(22, 0), word(63, text.len() as u16)].into_iter().chain(text_words).collect()
}

#[test]
fn pseudo_annotations() {
    let read = parse(
        &[
            word(1, 100),
            word(60, 0xff),
            word(62, 0xff),
            word(61, 0xfe),
            // Number and channel are sticky, the subtype is not.
            word(5, 1023),
            // A skip of 2^17 and 2, then one back by 3.
            word(59, 0),
            2,
            2,
            word(59, 0),
            0xffff,
            0xfffd,
            word(28, 0),
            word(63, 5),
            u16::from_le_bytes(*b"(A"),
            u16::from_le_bytes(*b"FI"),
            u16::from_le_bytes(*b"B\0"),
            // A step in time without a mark.
            word(0, 7),
            word(45, 1),
            word(60, 0),
            0,
        ],
        true,
    )
    .expect("sound");
    let mark = |sample, code| Annotation::new(sample, AnnotationCode(code)).with_channel(255);
    assert_eq!(
        read.annotations,
        [
            mark(100, 1).with_number(-1).with_subtype(-2),
            mark(1123, 5).with_number(-1),
            mark(1123 + (2 << 16) + 2 - 3, 28).with_number(-1).with_aux("(AFIB"),
            mark(1130 + (2 << 16), 45),
        ]
    );
    assert_eq!((read.symbol(AnnotationCode(45)), read.annotator()), ("[45]".into(), "atr".into()));
    assert_eq!(read.counts().len(), 4);
}

#[test]
fn the_head_states_resolution_and_definitions() {
    let mut words = note("## time resolution: 3.6e2");
    words.extend(note("## annotation type definitions"));
    words.extend(note("15 c c calibration pulse\n"));
    words.extend(note("1 n"));
    words.extend(note("## end of definitions"));
    // What the C library writes to end the head, then a comment at the start of the record.
    words.extend([word(59, 0), 0xffff, 0xffff, word(0, 1)]);
    words.extend(note("a comment"));
    words.extend([word(15, 720), 0]);
    let read = parse(&words, true).expect("sound");
    let rate = |hz| SamplingRate::new(hz).expect("a rate");
    assert_eq!(read.time_resolution, Some(rate(360.0)));
    assert_eq!(read.definitions.len(), 2);
    assert_eq!(read.description(AnnotationCode(15)), "c calibration pulse");
    assert_eq!(
        (read.symbol(AnnotationCode(1)), read.symbol(AnnotationCode(5))),
        ("n".into(), "V".into())
    );
    let [comment, mark] = &read.annotations[..] else { panic!("{:?}", read.annotations) };
    assert_eq!((comment.sample, comment.aux.as_str()), (0, "a comment"));
    assert_eq!(read.time_s(mark, rate(250.0)), 2.0);
    assert_eq!(Annotations::new(vec![]).time_s(mark, rate(250.0)), 2.88);

    for bad in ["## time resolution: 0.", "## time resolution: x", "## annotation type definitions"]
    {
        let mut words = note(bad);
        words.extend([word(1, 5), 0]);
        let lenient = parse(&words, false).expect("lenient");
        assert_eq!((lenient.annotations.len(), lenient.warnings.len()), (1, 1), "{bad}");
        assert!(matches!(parse(&words, true), Err(IoError::Annotation { byte: 0, .. })), "{bad}");
    }
}

#[test]
fn broken_files_are_read_as_documented_or_refused() {
    // The bytes present, how many annotations are read from them, and where the fault is.
    let cases: [(&[u8], usize, u64, &str); 8] = [
        (b"", 0, 0, "end"),
        (&[10, 4], 1, 2, "end"),
        (&[10, 4, 7], 1, 2, "end"),
        (&[10, 4, 0, 0, 7, 4, 0, 0], 1, 4, "end"),
        (&[10, 0x58, 200, 0xfc, b'a', b'b', b'c', 0], 1, 2, "AUX"),
        (&[10, 4, 0, 0xec, 0, 0, 1], 1, 2, "SKIP"),
        (&[0, 0xf0, 10, 4, 0, 0], 1, 0, "modifier"),
        (&[10, 0xd4, 0, 0], 1, 0, "code"),
    ];
    for (bytes, n, position, name) in cases {
        let read = parse_bytes(bytes, false).expect(name);
        assert_eq!((read.annotations.len(), read.warnings.len()), (n, 1), "{bytes:?}");
        assert_eq!(read.warnings[0].field, name);
        let refused = parse_bytes(bytes, true).expect_err(name);
        assert!(
            matches!(refused, IoError::Annotation { byte, field, .. } if byte == position && field == name),
            "{refused}"
        );
    }
    // Blocks may be padded; noise gives a bounded number of warnings.
    assert!(parse_bytes(&[10, 4, 0, 0, 0, 0, 0], true).is_ok());
    let noise: Vec<u8> =
        (0..100_000_u32).map(|k| (k.wrapping_mul(2_654_435_761) >> 13) as u8 | 1).collect();
    assert!(parse_bytes(&noise, false).expect("lenient").warnings.len() <= 9);
}

#[test]
fn broken_files_of_the_collection() {
    let Some(folder) = common::goldens("wfdb-bad") else { return };
    // Number of annotations read, and whether there are warnings.
    let cases = [
        ("C2_ann_odd", 1, true),
        ("C3_ann_empty", 0, true),
        ("C4_ann_aux_past_end", 1, true),
        ("C7_ann_skip_overflow", 1, false),
        ("C9_ann_code_undefined", 1, false),
        ("CA_ann_latin1_aux", 1, false),
        ("CC_ann_trailing", 1, true),
        ("CD_ann_fs_zero", 1, true),
        ("CE_ann_random", 297, true),
    ];
    for (case, n, warned) in cases {
        let path = folder.join(case).join("r.atr");
        let read = read_annotations(&path, &ReadOptions::default()).expect(case);
        let got = (read.annotations.len(), !read.warnings.is_empty());
        assert_eq!(got, (n, warned), "{case}: {:?}", read.warnings);
        let strict = read_annotations(&path, &ReadOptions::default().with_strict(true));
        assert_eq!(strict.is_err(), warned, "{case}");
        let (header, _) =
            read_header(folder.join(case).join("r"), &ReadOptions::default()).expect(case);
        assert_eq!(sibling_annotations(&header, &ReadOptions::default()).read, [read], "{case}");
    }
    let read = |case: &str| {
        let path = folder.join(case).join("r.atr");
        read_annotations(path, &ReadOptions::default()).expect(case).annotations.remove(0)
    };
    assert_eq!(read("C7_ann_skip_overflow").sample, 10_737_418_236);
    assert_eq!(read("CA_ann_latin1_aux").aux, "(\u{e9}\u{b5}\u{ff}");
}

#[test]
fn siblings_are_annotations_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("r.hea"), "r 2 500 2\nr.dat 16\nr.xyz 16\n").expect("writes");
    for name in ["r.dat", "r.xyz", "r.txt", "rr.atr", "q.atr", "r"] {
        std::fs::write(at(name), [10, 4, 0, 0]).expect("writes");
    }
    std::fs::write(at("r.beats"), [10, 4, 0, 0]).expect("writes");
    std::fs::write(at("r.noise"), b"no annotations").expect("writes");
    let (header, _) = read_header(at("r"), &ReadOptions::default()).expect("a header");
    let found = sibling_annotations(&header, &ReadOptions::default());
    let names: Vec<String> = found.read.iter().map(Annotations::annotator).collect();
    assert_eq!((names, found.failed.len()), (vec!["beats".to_owned()], 0));
    std::fs::write(at("r.qrs"), b"no annotations").expect("writes");
    let strict = sibling_annotations(&header, &ReadOptions::default().with_strict(true));
    assert_eq!((strict.read.len(), strict.failed.len()), (1, 1));
}

#[cfg(unix)]
#[test]
fn annotation_files_may_be_links() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().expect("a folder");
    let marks = outside.path().join("marks");
    std::fs::write(&marks, [10, 4, 0, 0]).expect("writes");
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("r.hea"), "r 1 500 2\nr.dat 16\n").expect("writes");
    std::fs::write(at("inside"), [10, 4, 0, 0]).expect("writes");
    symlink("inside", at("r.qrs")).expect("links");
    symlink("inside", at("r.beats")).expect("links");
    for name in ["r.atr", "r.other"] {
        symlink(&marks, at(name)).expect("links");
    }
    symlink("nothing", at("r.ecg")).expect("links");
    let (header, _) = read_header(at("r"), &ReadOptions::default()).expect("a header");
    let names = |options: &ReadOptions| {
        let found = sibling_annotations(&header, options);
        let names: Vec<String> = found.read.iter().map(Annotations::annotator).collect();
        (names.join(" "), found.failed)
    };
    let (read, failed) = names(&ReadOptions::default());
    assert_eq!(read, "beats qrs");
    let [IoError::OutsideLink { path }, IoError::Read { path: nothing, .. }] = &failed[..] else {
        panic!("{failed:?}");
    };
    assert_eq!((path, nothing), (&at("r.atr"), &at("r.ecg")));
    let (read, failed) = names(&ReadOptions::default().with_allow_outside_links(true));
    assert_eq!((read.as_str(), failed.len()), ("atr beats other qrs", 1));
}

#[test]
fn what_the_format_cannot_hold_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("r.atr");
    let mark = |sample, code| Annotation::new(sample, AnnotationCode(code));
    for bad in [
        mark(0, 0),
        mark(0, 50),
        mark(1 << 50, 1),
        mark(0, 1).with_aux("x".repeat(256)),
        mark(0, 1).with_aux("x\0"),
        mark(0, 22).with_aux("## time resolution: 5"),
    ] {
        let error = write_annotations(&path, &Annotations::new(vec![bad])).expect_err("refused");
        assert!(matches!(error, IoError::WriteAnnotation { index: 0, .. }), "{error}");
    }
    for (code, symbol) in [(0, "x"), (15, ""), (15, "a b")] {
        let (code, symbol) = (AnnotationCode(code), symbol.to_owned());
        let definition = CodeDefinition { code, symbol, description: String::new() };
        let bad = Annotations::new(vec![]).with_definitions(vec![definition]);
        assert!(write_annotations(&path, &bad).is_err());
    }
    assert!(!path.exists());
}

fn annotation() -> impl Strategy<Value = Annotation> {
    let sample = prop_oneof![0_i64..5000, -(1_i64 << 40)..(1 << 40)];
    let text = prop_oneof![3 => Just(String::new()), 1 => "\\PC{0,60}", 1 => "[ -~]{255}"];
    (sample, 1_u8..50, any::<i8>(), any::<u8>(), any::<i8>(), text).prop_map(
        |(sample, code, subtype, channel, number, aux)| {
            let annotation = Annotation::new(sample, AnnotationCode(code)).with_subtype(subtype);
            annotation.with_channel(channel).with_number(number).with_aux(aux)
        },
    )
}

fn write_and_read(path: &Path, annotations: &Annotations) -> Annotations {
    write_annotations(path, annotations).expect("writes");
    let mut read =
        read_annotations(path, &ReadOptions::default().with_strict(true)).expect("reads");
    read.path.clone_from(&annotations.path);
    read
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_written_reads_back(
        marks in prop::collection::vec(annotation(), 0..40),
        rate in prop::option::of(prop_oneof![Just(250.0), 1e-3..1e6_f64]),
        codes in prop::collection::btree_map(1_u8..50, "[!-~]{1,3}( [!-~]{1,20}){0,3}", 0..4),
    ) {
        let definitions = codes
            .into_iter()
            .map(|(code, text)| {
                let (symbol, description) = text.split_once(' ').unwrap_or((&text, ""));
                let (symbol, description) = (symbol.to_owned(), description.to_owned());
                CodeDefinition { code: AnnotationCode(code), symbol, description }
            })
            .collect();
        let rate = rate.map(|hz| SamplingRate::new(hz).expect("a rate"));
        let all = Annotations::new(marks).with_time_resolution(rate).with_definitions(definitions);
        let dir = tempfile::tempdir().expect("a folder");
        prop_assert_eq!(write_and_read(&dir.path().join("r.atr"), &all), all);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let lenient = parse_bytes(&bytes, false).expect("lenient mode reads anything");
        prop_assert!(lenient.annotations.len() <= bytes.len() / 2);
        let strict = parse_bytes(&bytes, true);
        prop_assert_eq!(strict.is_ok(), lenient.warnings.is_empty());
    }
}
