//! What replaces removed leads, made from other recordings, or from synthetic ones if none are given.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use ecg_core::{LeadName, SamplingRate};
use ecg_io::base_name;
use ecg_lime::Baseline;
use ecg_synth::{Condition, MOST_SAMPLES, Rhythm, SynthOptions, Synthesizer};
use ecg3d_convert::ConvertPlan;
use ecg3d_examples::say_err;
use ecg3d_examples::source::{Rows, Source};
use ecg3d_models::Model;
use ndarray::{Array3, Axis, CowArray, Ix3, s};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::asked::{Asked, Kind};
use crate::leads::{listed, rows_of};

/// Number of synthetic recordings for mean images, unless more are asked for as backgrounds.
const SYNTHETIC: usize = 64;
/// Number of recordings to choose backgrounds from.
const KEPT: usize = 512;

/// A baseline, and a description of what it was made from.
pub struct Named {
    pub baseline: Baseline,
    pub made_of: String,
}

/// What a baseline was made from, as it is written to a file.
#[derive(Serialize)]
pub struct MadeOf {
    name: String,
    made_of: String,
}

impl Named {
    pub fn written(&self) -> MadeOf {
        MadeOf { name: self.baseline.to_string(), made_of: self.made_of.clone() }
    }
}

/// One of the other recordings.
struct Other {
    name: String,
    /// Empty if unknown.
    patient: String,
    /// Its place among the signals of the stock.
    record: usize,
    /// The row of its signal that holds each lead of the stock.
    rows: Vec<usize>,
    /// Number of samples that are real, not padding.
    length: usize,
}

/// Recordings from which baselines are made.
pub struct Stock<'a> {
    model: &'a Model,
    kinds: Vec<Kind>,
    count: usize,
    /// `[record, lead, sample]`: those of a data set, which are not copied, or synthetic ones.
    signals: CowArray<'a, f32, Ix3>,
    /// The leads of the baselines and of all images, in the order of their rows.
    leads: Vec<LeadName>,
    /// All records if there are mean images, otherwise those that backgrounds are chosen from.
    others: Vec<Other>,
    /// Names and patients of all records by base name, including records that are not kept.
    known: HashMap<String, Vec<(String, String)>>,
    /// Lead images, summed over the windows of all others, and the number of windows.
    images: Option<(Array3<f64>, f64)>,
    origin: String,
}

/// The record that is explained. A baseline must not contain its leads, nor those of other records of its
/// patient.
#[derive(Clone, Copy)]
pub struct Itself<'a> {
    /// Path without extension; for a record of an archive, its name there.
    pub path: &'a Path,
    /// Empty if unknown.
    pub patient: &'a str,
}

impl<'a> Itself<'a> {
    /// Whether a record of a folder or an archive is this one, as far as its name tells: differing parent
    /// folders do not matter.
    fn is(self, name: &str) -> bool {
        let name = Path::new(name);
        self.path.ends_with(name) || name.ends_with(self.path)
    }

    /// The patients of this record, according to what is known of all records.
    fn patients(self, known: &'a HashMap<String, Vec<(String, String)>>) -> HashSet<&'a str> {
        let base = self.path.file_name().unwrap_or_default().to_string_lossy();
        let records = known.get(base.as_ref()).into_iter().flatten();
        let own = records.filter(|(name, _)| self.is(name)).map(|(_, patient)| patient.as_str());
        own.chain([self.patient]).collect()
    }

    /// Whether a recording is neither this record nor of one of its patients.
    fn is_stranger_to(self, other: &Other, patients: &HashSet<&str>) -> bool {
        let unknown = other.patient.is_empty();
        !self.is(&other.name) && (unknown || !patients.contains(other.patient.as_str()))
    }
}

impl<'a> Stock<'a> {
    /// Makes a stock of the records of a data set, in an order that depends only on the seed and the names.
    ///
    /// Their leads, which `source` must name, are put into the order that most of them have. Records without one of
    /// these leads are left out.
    pub fn of_source(
        asked: &Asked,
        model: &'a Model,
        source: &'a Source,
        origin: &str,
    ) -> Result<Self> {
        let mut stock = Self::empty(asked, model, origin);
        if !asked.needs_others() {
            return Ok(stock);
        }
        let Rows::Prepared { signals, lengths } = &source.rows else {
            bail!("{origin}: baselines need prepared signals (convert --stage prepared)");
        };
        for (name, patient) in source.names.iter().zip(&source.patients) {
            stock.know(name, patient.as_deref().unwrap_or_default());
        }
        let mut order: Vec<usize> = (0..source.names.len()).collect();
        order.sort_by_cached_key(|&record| {
            Sha256::new()
                .chain_update(asked.seed.to_le_bytes())
                .chain_update(&source.names[record])
                .finalize()
        });
        if !stock.kinds.contains(&Kind::MeanImage) {
            order.truncate(KEPT);
        }
        let leads: Vec<&[LeadName]> =
            order.iter().map(|&record| source.leads[record].as_slice()).collect();
        stock.leads = most_frequent(&leads);
        let (expected, found) = (stock.leads.len(), signals.len_of(Axis(1)));
        ensure!(
            expected == found,
            "{origin}: the prepared signals have {found} leads, expected {expected}"
        );
        stock.signals = signals.view().into();
        for (&record, leads) in order.iter().zip(leads) {
            let Some(rows) = rows_of(leads, &stock.leads) else { continue };
            stock.others.push(Other {
                name: source.names[record].clone(),
                patient: source.patients[record].clone().unwrap_or_default(),
                record,
                rows,
                length: lengths[record],
            });
        }
        let left_out = order.len() - stock.others.len();
        if left_out > 0 {
            say_err!(
                "warning: {origin}: {left_out} of {} records do not have the leads {}; baselines are made without them",
                order.len(),
                listed(&stock.leads)
            );
        }
        stock.add_images()?;
        Ok(stock)
    }

    /// Makes a stock of synthetic recordings in normal sinus rhythm, prepared like a recording of this rate and
    /// length, or of the nearest that can be synthesised.
    pub fn synthetic(
        asked: &Asked,
        model: &'a Model,
        rate: SamplingRate,
        seconds: f64,
    ) -> Result<Self> {
        let origin = format!("synthetic normal sinus rhythm, seed {}", asked.seed);
        let mut stock = Self::empty(asked, model, &origin);
        if !asked.needs_others() {
            return Ok(stock);
        }
        let config = &model.card().preprocessing;
        let rate = SamplingRate::new(rate.hz().clamp(100.0, 5000.0))?;
        let options = SynthOptions::default()
            .with_seed(asked.seed)
            .with_sampling_rate_hz(rate.hz())
            .with_seconds(synthetic_s(seconds, rate));
        let plan = ConvertPlan::new(config.clone(), rate)?;
        let (mut values, mut shape) = (Vec::new(), (0, 0));
        let wanted = match stock.kinds.contains(&Kind::MeanImage) {
            true => SYNTHETIC.max(asked.background),
            false => asked.background,
        };
        let make = || -> Result<()> {
            let synthesizer = Synthesizer::new(options)?;
            for record in 0..wanted {
                let normal = Condition::new(Rhythm::NormalSinus);
                let recording = synthesizer.record_with(record as u64, &normal)?.recording;
                let prepared = plan.prepare(&recording)?;
                shape = prepared.signal.dim();
                values.extend(prepared.signal.iter());
                // All have the same leads in the same order.
                stock.leads = prepared.leads;
                stock.others.push(Other {
                    // Not the synthesizer's name, which a record that is explained may have, too.
                    name: format!("normal sinus rhythm {record}"),
                    patient: String::new(),
                    record,
                    rows: (0..shape.0).collect(),
                    length: prepared.length,
                });
            }
            Ok(())
        };
        make().context(
            "cannot synthesise recordings for the baselines; use --reference FOLDER or --baseline zero",
        )?;
        stock.signals =
            Array3::from_shape_vec((stock.others.len(), shape.0, shape.1), values)?.into();
        stock.add_images()?;
        Ok(stock)
    }

    /// Makes a stock that only has the flat line.
    pub fn flat(asked: &Asked, model: &'a Model) -> Self {
        Self { kinds: vec![Kind::Zero], ..Self::empty(asked, model, "") }
    }

    fn empty(asked: &Asked, model: &'a Model, origin: &str) -> Self {
        Self {
            model,
            kinds: asked.baselines.clone(),
            count: asked.background,
            signals: Array3::zeros((0, 0, 0)).into(),
            leads: Vec::new(),
            others: Vec::new(),
            known: HashMap::new(),
            images: None,
            origin: origin.to_owned(),
        }
    }

    fn know(&mut self, name: &str, patient: &str) {
        let own = self.known.entry(base_name(name).to_owned()).or_default();
        own.push((name.to_owned(), patient.to_owned()));
    }

    /// Sums the images of all others, if there are to be mean images.
    fn add_images(&mut self) -> Result<()> {
        if !self.kinds.contains(&Kind::MeanImage) {
            return Ok(());
        }
        for own in &self.others {
            let (images, windows) = self.images_of(own)?;
            match &mut self.images {
                Some((sum, count)) => {
                    *sum += &images;
                    *count += windows;
                }
                None => self.images = Some((images, windows)),
            }
        }
        Ok(())
    }

    /// Returns the lead images of a recording, summed over its windows, and the number of windows.
    fn images_of(&self, own: &Other) -> Result<(Array3<f64>, f64)> {
        let windows = self.model.card().preprocessing.window_starts(own.length).len() as f64;
        let signal = self.signals.index_axis(Axis(0), own.record).select(Axis(0), &own.rows);
        let mean = self
            .model
            .mean_images(signal.view().insert_axis(Axis(0)), Some(&[own.length]))
            .with_context(|| format!("cannot make lead images of {}", own.name))?;
        Ok((mean.mapv(|value| f64::from(value) * windows), windows))
    }

    /// Returns the baselines for a record of this many samples, with its leads in their order.
    ///
    /// # Errors
    /// Returns an error if no record of another patient is left, or none is as long, or if the record has other
    /// leads.
    pub fn baselines(
        &self,
        leads: &[LeadName],
        samples: usize,
        itself: Itself<'_>,
    ) -> Result<Vec<Named>> {
        self.kinds.iter().map(|kind| self.baseline(*kind, leads, samples, itself)).collect()
    }

    fn baseline(
        &self,
        kind: Kind,
        leads: &[LeadName],
        samples: usize,
        itself: Itself<'_>,
    ) -> Result<Named> {
        match kind {
            Kind::Zero => Ok(Named { baseline: Baseline::Zero, made_of: "a flat line".to_owned() }),
            Kind::MeanImage => self.mean_image(&self.rows(leads)?, itself),
            Kind::Background => self.background(&self.rows(leads)?, samples, itself),
        }
    }

    /// Returns the rows of a record's leads.
    fn rows(&self, leads: &[LeadName]) -> Result<Vec<usize>> {
        rows_of(&self.leads, leads).with_context(|| {
            format!(
                "{}: the recordings for the baselines have the leads {}, but this record has {}; use a --reference with the same leads, or --baseline zero",
                self.origin,
                listed(&self.leads),
                listed(leads)
            )
        })
    }

    fn mean_image(&self, rows: &[usize], itself: Itself<'_>) -> Result<Named> {
        let (mut sum, mut windows) = self.images.clone().context("no mean image was made")?;
        let patients = itself.patients(&self.known);
        let mut n = self.others.len();
        for own in self.others.iter().filter(|own| !itself.is_stranger_to(own, &patients)) {
            let (images, count) = self.images_of(own)?;
            sum -= &images;
            windows -= count;
            n -= 1;
        }
        ensure!(
            n > 0,
            "none of {} recordings considered for the mean-image baseline is from another patient: {}; use --reference \
             FOLDER or --baseline zero",
            self.others.len(),
            self.origin
        );
        let images = sum.select(Axis(0), rows).mapv(|sum| (sum / windows) as f32);
        let made_of = format!("mean lead images of {n} recordings: {}", self.origin);
        Ok(Named { baseline: Baseline::MeanImage(images), made_of })
    }

    fn background(&self, rows: &[usize], samples: usize, itself: Itself<'_>) -> Result<Named> {
        let patients = itself.patients(&self.known);
        let considered = &self.others[..self.others.len().min(KEPT)];
        let chosen: Vec<&Other> = considered
            .iter()
            .filter(|own| itself.is_stranger_to(own, &patients) && own.length >= samples)
            .take(self.count)
            .collect();
        ensure!(
            !chosen.is_empty(),
            "none of {} recordings considered for the background baseline is from another patient and has at least \
             {samples} samples: {}; use --reference FOLDER or --baseline zero",
            considered.len(),
            self.origin
        );
        let names: Vec<&str> = chosen.iter().map(|own| own.name.as_str()).collect();
        let made_of = format!("{} of {}", names.join(", "), self.origin);
        let signal = |own: &&Other| {
            let rows: Vec<usize> = rows.iter().map(|&row| own.rows[row]).collect();
            self.signals.slice(s![own.record, .., ..samples]).select(Axis(0), &rows)
        };
        let signals = chosen.iter().map(signal).collect();
        Ok(Named { baseline: Baseline::Background(signals), made_of })
    }
}

/// Returns the duration in s that can be synthesised at this rate and is nearest to `seconds`, rounded up.
fn synthetic_s(seconds: f64, rate: SamplingRate) -> f64 {
    seconds.ceil().clamp(1.0, (MOST_SAMPLES as f64 / rate.hz()).min(3600.0))
}

/// Returns the leads that most records have, in their order; of several, those of the first record.
fn most_frequent(all: &[&[LeadName]]) -> Vec<LeadName> {
    let mut counts: HashMap<&[LeadName], usize> = HashMap::new();
    all.iter().for_each(|own| *counts.entry(own).or_default() += 1);
    let most = all.iter().rev().max_by_key(|own| counts.get(**own));
    most.map(|own| own.to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{args, model, untrained};
    use ecg_core::{LabelSet, Lead};
    use ecg3d_examples::source::{LabelArgs, Needs, load};
    use ecg3d_models::{Architecture, Preset};

    fn standard() -> Vec<LeadName> {
        Lead::STANDARD_12.map(LeadName::from).to_vec()
    }

    /// Records with these names and patients. Each signal of 200 samples has frequencies of its own.
    fn stock<'a>(model: &'a Model, kind: Kind, records: &[(&str, &str)]) -> Stock<'a> {
        let mut stock = Stock {
            model,
            kinds: vec![kind],
            count: 10,
            signals: Array3::from_shape_fn((records.len(), 12, 200), |(k, lead, t)| {
                (t as f32 * 0.1 * (lead + 2 * k + 1) as f32).sin()
            })
            .into(),
            leads: standard(),
            others: Vec::new(),
            known: HashMap::new(),
            images: None,
            origin: "data".to_owned(),
        };
        for (k, (name, patient)) in records.iter().enumerate() {
            stock.know(name, patient);
            let (name, patient) = ((*name).to_owned(), (*patient).to_owned());
            let rows = (0..12).collect();
            stock.others.push(Other { name, patient, record: k, rows, length: 100 });
        }
        stock.add_images().expect("images");
        stock
    }

    #[test]
    fn recordings_of_any_rate_and_length_have_synthetic_ones_like_them() {
        for (hz, seconds, nearest) in [
            (500.0, 9.2, 10.0),
            (100.0, 0.1, 1.0),
            (1000.0, 7000.0, 3600.0),
            (5000.0, 900.0, 720.0),
        ] {
            let rate = SamplingRate::new(hz).expect("a rate");
            let found = synthetic_s(seconds, rate);
            assert_eq!(found, nearest);
            let options = SynthOptions::default().with_sampling_rate_hz(hz).with_seconds(found);
            Synthesizer::new(options).expect("can be synthesised");
        }
    }

    #[test]
    fn no_record_is_its_own_background_nor_is_its_patient() {
        let records = [("p1/ecg", "p1/ecg"), ("p2/ecg", "p2/ecg"), ("p3/ecg", "A"), ("x", "A")];
        let model = untrained();
        let stock = stock(&model, Kind::Background, &records);
        let made_of = |path: &str, patient| {
            let itself = Itself { path: Path::new(path), patient };
            stock.baselines(&standard(), 100, itself).expect("has others").remove(0).made_of
        };
        assert_eq!(made_of("/of/data/p1/ecg", ""), "p2/ecg, p3/ecg, x of data");
        // The patient is known from the other recordings.
        assert_eq!(made_of("/of/data/p3/ecg", ""), "p1/ecg, p2/ecg of data");
        assert_eq!(made_of("/elsewhere/y", "A"), "p1/ecg, p2/ecg of data");
        let refused = |path: &str, samples| {
            let itself = Itself { path: Path::new(path), patient: "" };
            let error = stock.baselines(&standard(), samples, itself).err().expect("none is left");
            error.to_string()
        };
        // An archive made of a subfolder has short names, so any of these records may be meant.
        assert!(refused("ecg", 100).contains("none of 4 recordings"));
        // What follows the real samples is padding.
        assert!(refused("y", 101).contains("none of 4 recordings"));
    }

    #[test]
    fn no_record_is_in_its_own_mean_image_nor_is_its_patient() {
        let model = model(Architecture::ThreeDEcgNet, Preset::Corrected, LabelSet::seven());
        let records = [("a", "A"), ("b", "B"), ("c", "A"), ("d", "")];
        let stock = stock(&model, Kind::MeanImage, &records);
        let mean = |path: &str| {
            let itself = Itself { path: Path::new(path), patient: "" };
            let own = stock.baselines(&standard(), 100, itself).expect("has others").remove(0);
            match own.baseline {
                Baseline::MeanImage(images) => (images, own.made_of),
                other => panic!("{other}"),
            }
        };
        let left: [(&str, &[usize]); 4] =
            [("a", &[1, 3]), ("b", &[0, 2, 3]), ("d", &[0, 1, 2]), ("y", &[0, 1, 2, 3])];
        for (path, rows) in left {
            let (found, made_of) = mean(path);
            let signals = stock.signals.select(Axis(0), rows);
            let lengths = vec![100; rows.len()];
            let expected = model.mean_images(signals.view(), Some(&lengths)).expect("images");
            assert!((&found - &expected).iter().all(|apart| apart.abs() < 1e-5), "{path}");
            let n = rows.len();
            assert_eq!(made_of, format!("mean lead images of {n} recordings: data"));
        }
        // In the order of the record's leads.
        let itself = Itself { path: Path::new("y"), patient: "" };
        let turned: Vec<LeadName> = standard().into_iter().rev().collect();
        let own = stock.baselines(&turned, 100, itself).expect("has others").remove(0);
        let mut expected = mean("y").0;
        expected.invert_axis(Axis(0));
        assert_eq!(own.baseline, Baseline::MeanImage(expected));

        let one = [("a", "A"), ("c", "A")];
        let stock = self::stock(&model, Kind::MeanImage, &one);
        let itself = Itself { path: Path::new("a"), patient: "" };
        let error = stock.baselines(&standard(), 100, itself).err().expect("no other patient");
        assert!(error.to_string().starts_with("none of 2 recordings considered for the mean"));
    }

    fn background(model: &Model) -> Asked {
        let words = ["--label", "AF", "--record", "x", "--baseline", "background"];
        Asked::new(&args(&words), model).expect("makes sense")
    }

    #[test]
    fn no_synthetic_recording_is_the_record() {
        let model = untrained();
        let asked = background(&model);
        let rate = SamplingRate::new(100.0).expect("a rate");
        let stock = Stock::synthetic(&asked, &model, rate, 2.0).expect("synthesises");
        // As `synthesize` names its records.
        let itself = Itself { path: Path::new("/of/data/synth00003"), patient: "" };
        let made_of = stock.baselines(&standard(), 100, itself).expect("others").remove(0).made_of;
        let expected: Vec<String> = (0..5).map(|k| format!("normal sinus rhythm {k}")).collect();
        let origin = "synthetic normal sinus rhythm, seed 0";
        assert_eq!(made_of, format!("{} of {origin}", expected.join(", ")));
        // No more are made than are used.
        assert_eq!(stock.others.len(), 5);
    }

    /// Writes a table of twelve leads with a signal that depends on the lead alone.
    fn write_table(path: &Path, leads: &[LeadName]) {
        let mut text = format!("# fs: 500\n{}\n", listed(leads).replace(", ", ","));
        for t in 0..1000 {
            let cell = |lead: &LeadName| {
                let rate = lead.lead().map_or(13, |lead| lead.index() + 1);
                format!("{:.4}", (f64::from(t) * 0.01 * rate as f64).sin())
            };
            text += &leads.iter().map(cell).collect::<Vec<_>>().join(",");
            text.push('\n');
        }
        std::fs::write(path, text).expect("writes");
    }

    #[test]
    fn leads_of_other_recordings_go_by_name_in_the_order_of_each_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let standard = standard();
        let turned: Vec<LeadName> = standard.iter().rev().cloned().collect();
        let strange: Vec<LeadName> =
            standard.iter().skip(1).cloned().chain([LeadName::from("V7")]).collect();
        for (name, leads) in [("a", &standard), ("b", &turned), ("c", &standard), ("d", &strange)] {
            write_table(&dir.path().join(format!("{name}.csv")), leads);
        }
        let model = model(Architecture::Ribeiro, Preset::Published, LabelSet::seven());
        let asked = background(&model);
        let config = &model.card().preprocessing;
        let source = load(dir.path(), config, &LabelArgs::default(), Needs::default());
        let source = source.expect("loads");
        assert_eq!(source.names, ["a", "b", "c", "d"]);
        assert!(source.leads[1] == turned);
        let stock = Stock::of_source(&asked, &model, &source, "data").expect("a stock");
        assert!(stock.signals.is_view());
        let Rows::Prepared { signals, .. } = &source.rows else { panic!("a folder") };
        for (row, leads) in [(0, &standard), (1, &turned)] {
            let path = dir.path().join(&source.names[row]);
            let itself = Itself { path: &path, patient: "" };
            let own = stock.baselines(leads, 100, itself).expect("others").remove(0);
            let Baseline::Background(others) = own.baseline else { panic!("{}", own.made_of) };
            // The record without lead I is left out, and the others are like this one.
            assert_eq!(others.len(), 2, "{}", own.made_of);
            for other in others {
                assert_eq!(other, signals.index_axis(Axis(0), row), "{}", own.made_of);
            }
        }
        let itself = Itself { path: Path::new("y"), patient: "" };
        let error = stock.baselines(&strange, 100, itself).err().expect("no V7");
        assert!(error.to_string().contains("have the leads I, II, III, aVR"), "{error}");
    }
}
