//! Loads a folder of recordings.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use ecg_core::LabelSet;
use ecg_io::{Dataset, IoError, LabelSource, Loaded};
use ecg3d_convert::{ConvertConfig, Plans};
use ndarray::Array3;

use super::{Failed, LabelArgs, Needs, Rows, Source};
use crate::{Progress, Shown, say_err};

/// Loads a folder, prepared according to `config`.
pub fn load_folder(
    dir: &Path,
    config: &ConvertConfig,
    labels: &LabelArgs,
    needs: Needs<'_>,
) -> Result<Source> {
    let dataset = Dataset::open(dir, &labels.dataset_options()?)?;
    for warning in dataset.warnings() {
        say_err!("warning: {warning}");
    }
    let plans = Plans::new(config.clone());
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
    if let Some(wanted) = needs.labels.filter(|_| needs.every_record) {
        check_labels(&dataset, &source, wanted, |index| prepare(dataset.load(index)).is_ok())?;
    }
    let progress = Progress::new(dataset.len() as u64, "records read");
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

/// Makes sure, as far as the folder's tables say, that each recording has the labels `wanted`. A recording that is not
/// usable fails anyway and needs none.
fn check_labels(
    dataset: &Dataset,
    source: &Source,
    wanted: &LabelSet,
    mut usable: impl FnMut(usize) -> bool,
) -> Result<()> {
    source.columns_of(wanted)?;
    if !matches!(dataset.label_source(), LabelSource::File(_)) {
        return Ok(());
    }
    let labelled = (0..dataset.len()).any(|index| dataset.labels(index).is_some());
    ensure!(labelled, source.no_labels());
    let mut unlabelled = (0..dataset.len()).filter(|&index| dataset.labels(index).is_none());
    if let Some(first) = unlabelled.find(|&index| usable(index)) {
        bail!(source.some_without_labels(&dataset.names()[first], unlabelled.count()));
    }
    Ok(())
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
        load(path, config, &LabelArgs::default(), Needs::default())
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
            let source = load(&folder, &config, &labels, Needs::default());
            let source = source.expect("needs no labels");
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
        let source = load(dir.path(), &config, &labels, Needs::default()).expect("loads");
        assert_eq!(source.names, ["r"]);
    }

    #[test]
    fn lacking_labels_are_noticed_before_all_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("data");
        write_folder(&folder, 5, SynthOptions::default().with_seconds(3.0), Format::Wfdb)
            .expect("synthesises");
        let table = folder.join("labels.csv");
        let write = |text: &str| std::fs::write(&table, text).expect("writes");
        let wanted = LabelSet::new(["AF"]).expect("a label");
        let open = |labels: &LabelSet| {
            let needs = Needs { labels: Some(labels), every_record: true, ..Needs::default() };
            let source = load(&folder, &ConvertConfig::corrected(), &LabelArgs::default(), needs);
            source.map(|source| source.names.len()).map_err(|error| error.to_string())
        };
        write("record,AF\nsynth00000,1\nsynth00003,0\n");
        // A recording that cannot be read needs no labels.
        std::fs::write(folder.join("synth00001.dat"), [0; 7]).expect("cuts a record short");
        let error = open(&wanted).expect_err("two lack labels");
        assert!(error.starts_with("record synth00002 and 1 more have no labels in "), "{error}");
        let error = open(&LabelSet::new(["SB"]).expect("a label")).expect_err("another label");
        assert!(error.starts_with("label SB is not among the labels of "), "{error}");
        write("record,AF\nother,1\n");
        let error = open(&wanted).expect_err("none has labels");
        assert!(error.starts_with("no record has labels in "), "{error}");
        write("record,AF\nsynth00000,1\nsynth00002,1\nsynth00003,0\nsynth00004,0\n");
        assert_eq!(open(&wanted), Ok(4));

        // Only recordings without labels are read, up to the first that is usable.
        write("record,AF\nsynth00002,1\n");
        let options = LabelArgs::default().dataset_options().expect("options");
        let dataset = Dataset::open(&folder, &options).expect("opens");
        let none = Rows::Prepared { signals: Array3::zeros((0, 0, 0)), lengths: Vec::new() };
        let mut source = Source::unlabelled(Vec::new(), none);
        source.label_set = wanted.clone();
        let mut read = Vec::new();
        let checked = check_labels(&dataset, &source, &wanted, |index| {
            read.push(index);
            index == 3
        });
        let error = checked.expect_err("two lack labels").to_string();
        assert!(error.starts_with("record synth00003 and 1 more have no labels"), "{error}");
        assert_eq!(read, [0, 1, 3]);
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
