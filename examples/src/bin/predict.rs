//! Writes the probabilities of each label for recordings.

#[allow(dead_code)] // Each program uses a part.
#[path = "../with_model/mod.rs"]
mod with_model;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use ecg3d_examples::reading::ReadingArgs;
use ecg3d_examples::source::{LabelArgs, Needs, check_not_read, load};
use ecg3d_examples::{check_inputs, check_place, say_err, write_predictions};

use with_model::classify::classify;
use with_model::keeping::kept;
use with_model::model_args::ModelArgs;

/// Writes FILE.csv with a line for each record: its name, and the probability of each label in full precision.
///
/// The weights determine the network, the labels and the preprocessing. Labels of the recordings are not
/// needed. A record that cannot be used is reported and skipped, and the exit status is 2.
///
/// Finished probabilities are kept in FILE.csv.part. A run interrupted for any reason continues from there when
/// it is started again with the same weights, records, --precision and --batch on the same device.
#[derive(Parser)]
#[command(name = "predict", version)]
struct Arguments {
    #[command(flatten)]
    model: ModelArgs,
    /// Folder of WFDB and CSV recordings, or an .npz that convert wrote
    #[arg(long, value_name = "DIR|FILE.npz")]
    data: PathBuf,
    /// Table to write
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    /// Discards what an earlier run left in FILE.csv.part
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    reading: ReadingArgs,
}

fn main() -> ExitCode {
    ecg3d_examples::run(predict)
}

fn predict(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { model, data, out, restart, reading } = arguments;
    check_place(&out)?;
    let labels = LabelArgs::ignored(reading);
    check_inputs(&out, &model.weights)?;
    check_not_read(&[&out], &data, &labels)?;
    let model = model.model()?;
    let mut source = load(&data, &model.card().preprocessing, &labels, Needs::default())?;
    let mut kept = kept(&model, &source, &out, restart)?;
    let (records, probabilities) = classify(&model, &mut source, Some(&mut kept))?;

    let names: Vec<&str> = records.iter().map(|&record| source.names[record].as_str()).collect();
    write_predictions(&out, model.labels(), &names, probabilities.view())?;
    kept.remove()?;
    // The table itself may go to standard output.
    say_err!("{}: {} records, {model}", out.display(), records.len());
    Ok(source.exit_code())
}

#[cfg(test)]
mod tests {
    use super::with_model::classify::unit;
    use super::*;
    use ecg3d_examples::source::{Rows, Source};
    use ecg3d_models::Model;
    use ndarray::{Array3, Array4};
    use tch::Device;

    #[test]
    fn a_record_too_large_to_compute_with_fails_alone() {
        let model = Model::shipped(Device::Cpu).expect("loads");
        let mut signals =
            Array3::from_shape_fn((2, 12, 100), |(_, lead, t)| (lead * t % 17) as f32);
        signals[[0, 3, 50]] = 1e20;
        let rows = Rows::Prepared { signals, lengths: vec![100; 2] };
        let mut source = Source::unlabelled(vec!["a".to_owned(), "b".to_owned()], rows);
        let (records, probabilities) = classify(&model, &mut source, None).expect("classifies");
        assert_eq!((records, probabilities.dim()), (vec![1], (1, 7)));
        assert_eq!((source.failed.len(), source.failed[0].record.as_str()), (1, "a"));
    }

    #[test]
    fn windows_are_not_counted_as_records() {
        let rows = Rows::Images(Array4::zeros((2, 12, 45, 45)));
        let mut source = Source::unlabelled(vec!["a".to_owned()], rows);
        source.row_record = Some(vec![0, 0]);
        assert_eq!(unit(&source), "windows");
        source.row_record = None;
        assert_eq!(unit(&source), "records");
    }

    #[test]
    fn what_is_read_is_not_written_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir(at("folder")).expect("a folder");
        let (weights, archive, folder) = (at("best.safetensors"), at("data.npz"), at("folder"));
        for (data, name) in [
            (&archive, "best.safetensors"),
            (&archive, "data.npz"),
            (&archive, "data.json"),
            (&folder, "folder/a.csv"),
            (&folder, "folder/labels.csv"),
        ] {
            std::fs::write(at(name), "I,II\n1,2\n").expect("writes");
            let line = ["predict", "--weights", &weights, "--data", data, "--out", &at(name)];
            let error = predict(Arguments::parse_from(line)).expect_err("refused").to_string();
            let expected = format!("{name} would be overwritten, but it is an input");
            assert!(error.contains(&expected), "{error}");
            assert_eq!(std::fs::read(at(name)).expect("is there"), b"I,II\n1,2\n");
        }
    }
}
