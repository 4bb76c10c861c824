//! What replaces removed leads, made from other recordings, or from synthetic ones if none are given.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use ecg_core::SamplingRate;
use ecg_lime::Baseline;
use ecg_synth::{Condition, Rhythm, SynthOptions, Synthesizer};
use ecg3d_convert::ConvertPlan;
use ecg3d_examples::base_name;
use ecg3d_examples::source::{Rows, Source};
use ecg3d_models::Model;
use ndarray::{Array2, Array3, Axis, s};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::asked::{Asked, Kind};

/// Number of synthetic recordings for a mean image.
const SYNTHETIC: usize = 64;
/// Number of recordings kept to choose backgrounds from.
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
    patient: String,
    /// `[lead, sample]`, without padding.
    signal: Array2<f32>,
}

/// Recordings from which baselines are made.
pub struct Stock {
    kinds: Vec<Kind>,
    count: usize,
    others: Vec<Other>,
    /// Names and patients of all records by base name, including records that are not kept.
    known: HashMap<String, Vec<(String, String)>>,
    mean_image: Option<(Array3<f32>, usize)>,
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
}

impl Stock {
    /// Makes a stock of the records of a data set, in an order that depends only on the seed and the names.
    pub fn of_source(asked: &Asked, model: &Model, source: &Source, origin: &str) -> Result<Self> {
        let mut stock = Self::empty(asked, origin);
        if !asked.needs_others() {
            return Ok(stock);
        }
        let Rows::Prepared { signals, lengths } = &source.rows else {
            bail!("{origin}: baselines need prepared signals (convert --stage prepared)");
        };
        if stock.kinds.contains(&Kind::MeanImage) {
            let images = model.mean_images(signals.view(), Some(lengths))?;
            stock.mean_image = Some((images, lengths.len()));
        }
        for (name, patient) in source.names.iter().zip(&source.patients) {
            stock.know(name, patient);
        }
        let mut order: Vec<usize> = (0..source.names.len()).collect();
        order.sort_by_cached_key(|&row| {
            Sha256::new()
                .chain_update(asked.seed.to_le_bytes())
                .chain_update(&source.names[row])
                .finalize()
        });
        stock.others = order
            .into_iter()
            .take(KEPT)
            .map(|row| Other {
                name: source.names[row].clone(),
                patient: source.patients[row].clone(),
                signal: signals.slice(s![row, .., ..lengths[row]]).to_owned(),
            })
            .collect();
        Ok(stock)
    }

    /// Makes a stock of synthetic recordings in normal sinus rhythm, prepared like a recording of this rate and
    /// length, or of the nearest that can be synthesised.
    pub fn synthetic(
        asked: &Asked,
        model: &Model,
        rate: SamplingRate,
        seconds: f64,
    ) -> Result<Self> {
        let origin = format!("synthetic normal sinus rhythm, seed {}", asked.seed);
        let mut stock = Self::empty(asked, &origin);
        if !asked.needs_others() {
            return Ok(stock);
        }
        let rate = SamplingRate::new(rate.hz().clamp(100.0, 5000.0))?;
        let options = SynthOptions::default()
            .with_seed(asked.seed)
            .with_sampling_rate_hz(rate.hz())
            .with_seconds(seconds.ceil().clamp(1.0, 3600.0));
        let plan = ConvertPlan::new(model.card().preprocessing.clone(), rate)?;
        let make = || -> Result<Vec<Other>> {
            let synthesizer = Synthesizer::new(options)?;
            (0..SYNTHETIC.max(asked.background) as u64)
                .map(|index| {
                    let normal = Condition::new(Rhythm::NormalSinus);
                    let recording = synthesizer.record_with(index, &normal)?.recording;
                    let prepared = plan.prepare(&recording)?;
                    Ok(Other {
                        name: recording.name.clone(),
                        patient: String::new(),
                        signal: prepared.signal.slice(s![.., ..prepared.length]).to_owned(),
                    })
                })
                .collect()
        };
        stock.others = make().context(
            "cannot synthesise recordings for the baselines; use --reference FOLDER or --baseline zero",
        )?;
        if stock.kinds.contains(&Kind::MeanImage) {
            let views: Vec<_> =
                stock.others.iter().take(SYNTHETIC).map(|own| own.signal.view()).collect();
            let images = model.mean_images(ndarray::stack(Axis(0), &views)?.view(), None)?;
            stock.mean_image = Some((images, views.len()));
        }
        Ok(stock)
    }

    fn empty(asked: &Asked, origin: &str) -> Self {
        Self {
            kinds: asked.baselines.clone(),
            count: asked.background,
            others: Vec::new(),
            known: HashMap::new(),
            mean_image: None,
            origin: origin.to_owned(),
        }
    }

    fn know(&mut self, name: &str, patient: &str) {
        let own = self.known.entry(base_name(name).to_owned()).or_default();
        own.push((name.to_owned(), patient.to_owned()));
    }

    /// Returns the baselines for a record of this many samples.
    ///
    /// # Errors
    /// Returns an error if no other recording is as long.
    pub fn baselines(&self, samples: usize, itself: Itself<'_>) -> Result<Vec<Named>> {
        self.kinds.iter().map(|kind| self.baseline(*kind, samples, itself)).collect()
    }

    fn baseline(&self, kind: Kind, samples: usize, itself: Itself<'_>) -> Result<Named> {
        match kind {
            Kind::Zero => Ok(Named { baseline: Baseline::Zero, made_of: "a flat line".to_owned() }),
            Kind::MeanImage => {
                let (images, n) = self.mean_image.clone().context("no mean image was made")?;
                let made_of = format!("mean lead images of {n} recordings: {}", self.origin);
                Ok(Named { baseline: Baseline::MeanImage(images), made_of })
            }
            Kind::Background => {
                let patients = itself.patients(&self.known);
                let strange = |own: &&Other| {
                    !itself.is(&own.name)
                        && (own.patient.is_empty() || !patients.contains(own.patient.as_str()))
                        && own.signal.ncols() >= samples
                };
                let chosen: Vec<&Other> =
                    self.others.iter().filter(strange).take(self.count).collect();
                ensure!(
                    !chosen.is_empty(),
                    "none of {} recordings considered for the background baseline is from another patient and has at least \
                     {samples} samples: {}",
                    self.others.len(),
                    self.origin
                );
                let names: Vec<&str> = chosen.iter().map(|own| own.name.as_str()).collect();
                let made_of = format!("{} of {}", names.join(", "), self.origin);
                let signals =
                    chosen.iter().map(|own| own.signal.slice(s![.., ..samples]).to_owned());
                Ok(Named { baseline: Baseline::Background(signals.collect()), made_of })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_its_own_background_nor_is_its_patient() {
        let records = [("p1/ecg", "p1/ecg"), ("p2/ecg", "p2/ecg"), ("p3/ecg", "A"), ("x", "A")];
        let mut stock = Stock {
            kinds: vec![Kind::Background],
            count: 10,
            others: Vec::new(),
            known: HashMap::new(),
            mean_image: None,
            origin: "data".to_owned(),
        };
        for (name, patient) in records {
            stock.know(name, patient);
            let (name, patient) = (name.to_owned(), patient.to_owned());
            stock.others.push(Other { name, patient, signal: Array2::zeros((12, 100)) });
        }
        let made_of = |path: &str, patient| {
            let itself = Itself { path: Path::new(path), patient };
            stock.baselines(100, itself).expect("has others").remove(0).made_of
        };
        assert_eq!(made_of("/of/data/p1/ecg", ""), "p2/ecg, p3/ecg, x of data");
        // The patient is known from the other recordings.
        assert_eq!(made_of("/of/data/p3/ecg", ""), "p1/ecg, p2/ecg of data");
        assert_eq!(made_of("/elsewhere/y", "A"), "p1/ecg, p2/ecg of data");
        // An archive made of a subfolder has short names, so any of these records may be meant.
        assert!(stock.baselines(100, Itself { path: Path::new("ecg"), patient: "" }).is_err());
        let itself = Itself { path: Path::new("y"), patient: "" };
        let error = stock.baselines(101, itself).err().expect("none is as long");
        assert!(error.to_string().contains("none of 4 recordings"), "{error}");
    }
}
