//! Loads a folder of recordings.

use std::path::Path;

use anyhow::{Result, bail};
use ecg_io::{Dataset, IoError, Loaded};
use ecg3d_convert::{ConvertConfig, Plans};
use ndarray::Array3;

use super::{Failed, LabelArgs, Rows, Source};
use crate::{Progress, Shown, say_err};

/// Loads a folder, prepared according to `config`.
pub fn load_folder(dir: &Path, config: &ConvertConfig, labels: &LabelArgs) -> Result<Source> {
    let dataset = Dataset::open(dir, &labels.dataset_options()?)?;
    for warning in dataset.warnings() {
        say_err!("warning: {warning}");
    }
    let plans = Plans::new(config.clone());
    let progress = Progress::new(dataset.len() as u64, "records read");
    let none = Rows::Prepared { signals: Array3::zeros((0, 0, 0)), lengths: Vec::new() };
    let mut source = Source::unlabelled(Vec::new(), none);
    source.label_set = dataset.label_set().clone();
    source.label_source = dataset.label_source().to_string();
    let mut values = Vec::new();
    let mut lengths = Vec::new();
    let mut shape = [0; 2];
    let mut shown = Shown::default();
    let prepare = |loaded: Result<Loaded, IoError>| -> Result<_> {
        let Loaded { recording, warnings, .. } = loaded?;
        let prepared = plans.at(recording.sampling_rate)?.prepare(&recording)?;
        Ok((recording, prepared, warnings))
    };
    dataset.for_each_parallel(
        rayon::current_num_threads(),
        |_, loaded| prepare(loaded),
        |index, result| -> Result<()> {
            progress.inc(1);
            let name = dataset.names()[index].clone();
            match result {
                Ok((recording, prepared, warnings)) => {
                    let own = prepared.warnings.iter().map(|warning| format!("{name}: {warning}"));
                    for warning in warnings.iter().map(ToString::to_string).chain(own) {
                        shown.print(Some(&progress), &warning);
                    }
                    shape = [prepared.signal.nrows(), prepared.signal.ncols()];
                    values.extend(prepared.signal.iter());
                    lengths.push(prepared.length);
                    source.labels.push(dataset.labels_of(index, &recording));
                    source.patients.push(recording.patient);
                    source.folds.push(dataset.fold(index));
                    source.leads.push(prepared.leads);
                    source.names.push(name);
                }
                Err(error) => {
                    source.failed.push(Failed { record: name, reason: format!("{error:#}") });
                }
            }
            Ok(())
        },
    )?;
    progress.finish();
    if shown.left() > 0 {
        say_err!("{} more warnings", shown.left());
    }
    if source.names.is_empty() {
        source.report_failures();
        bail!("{}: none of {} records could be used", dir.display(), dataset.len());
    }
    let signals = Array3::from_shape_vec((lengths.len(), shape[0], shape[1]), values)?;
    source.rows = Rows::Prepared { signals, lengths };
    Ok(source)
}

#[cfg(test)]
mod tests {
    use ecg_core::{Lead, LeadName, SamplingRate};
    use ecg_synth::SynthOptions;

    use super::super::load;
    use super::*;
    use crate::reading::ReadingArgs;
    use crate::synthetic::{Format, write_folder};

    fn open(path: &Path, config: &ConvertConfig) -> Result<Source> {
        load(path, config, &LabelArgs::default())
    }

    #[test]
    fn a_folder_needs_no_sound_labels_where_none_are_wanted() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("data");
        write_folder(&folder, 2, SynthOptions::default().with_seconds(3.0), Format::Wfdb)
            .expect("synthesises");
        let config = ConvertConfig::corrected();
        for table in ["record,AF\nsynth00000,maybe\n", "record,AF\nsynth00000,1\nsynth00000,1\n"] {
            std::fs::write(folder.join("labels.csv"), table).expect("writes");
            assert!(open(&folder, &config).is_err(), "{table}");
            let labels = LabelArgs::default().for_reference(&folder);
            let source = load(&folder, &config, &labels).expect("needs no labels");
            assert_eq!((source.names.len(), source.labels), (2, vec![None, None]));
        }
    }

    #[test]
    fn tables_are_read_as_the_flags_say() {
        let dir = tempfile::tempdir().expect("a folder");
        let row = (1..=12).map(|k| k.to_string()).collect::<Vec<_>>().join(",");
        let text = format!("{row}\n").repeat(1500);
        std::fs::write(dir.path().join("r.csv"), text).expect("writes");
        let config = ConvertConfig::corrected();
        assert!(open(dir.path(), &config).is_err(), "no rate");
        let reading =
            ReadingArgs { csv_rate: SamplingRate::new(500.0).ok(), ..ReadingArgs::default() };
        let labels = LabelArgs { reading, ..LabelArgs::default() };
        assert_eq!(load(dir.path(), &config, &labels).expect("loads").names, ["r"]);
    }

    #[test]
    fn a_folder_with_a_bad_record_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("data");
        write_folder(&folder, 5, SynthOptions::default().with_seconds(3.0), Format::Wfdb)
            .expect("synthesises");
        std::fs::write(folder.join("synth00002.dat"), [0; 7]).expect("cuts a record short");
        let source = open(&folder, &ConvertConfig::corrected()).expect("loads");
        assert_eq!(source.names, ["synth00000", "synth00001", "synth00003", "synth00004"]);
        assert_eq!(source.leads, vec![Lead::STANDARD_12.map(LeadName::from).to_vec(); 4]);
        assert_eq!(source.failed.len(), 1);
        assert_eq!(source.failed[0].record, "synth00002");
        assert!(source.failed[0].reason.contains("synth00002"), "{}", source.failed[0].reason);
        let Rows::Prepared { signals, lengths } = &source.rows else { panic!("a folder") };
        assert_eq!((signals.dim(), lengths.as_slice()), ((4, 12, 500), &[150; 4][..]));
    }
}
