//! What stands in for removed leads: made of other recordings, or of synthetic ones where none are given.

use std::collections::{HashMap, HashSet};

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

/// Synthetic recordings behind a mean image.
const SYNTHETIC: usize = 64;
/// Recordings kept to choose backgrounds from.
const KEPT: usize = 512;

/// A baseline, and what it was made of.
pub struct Named {
    pub baseline: Baseline,
    pub made_of: String,
}

/// What a baseline was made of, as it is written.
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
    /// `[lead, sample]`, its padding left out.
    signal: Array2<f32>,
}

/// Recordings that baselines are made of.
pub struct Stock {
    kinds: Vec<Kind>,
    count: usize,
    others: Vec<Other>,
    /// Patients of all records of a base name, those that are not kept included.
    patients: HashMap<String, Vec<String>>,
    mean_image: Option<(Array3<f32>, usize)>,
    origin: String,
}

/// Whose leads a baseline must not have: those of the record that is explained, and of others of its patient. Another record of the
/// same base name may be the same one, read from another folder or converted: it is left out, too.
#[derive(Clone, Copy)]
pub struct Itself<'a> {
    pub name: &'a str,
    /// Empty where unknown.
    pub patient: &'a str,
}

impl Stock {
    /// Of the records of a data set, in an order that hangs on the seed and the names alone.
    pub fn of_source(asked: &Asked, model: &Model, source: &Source, origin: &str) -> Result<Self> {
        let mut stock = Self::empty(asked, origin);
        if stock.needs_nothing() {
            return Ok(stock);
        }
        let Rows::Prepared { signals, lengths } = &source.rows else {
            bail!("{origin}: baselines are made of prepared signals (convert --stage prepared)");
        };
        if stock.kinds.contains(&Kind::MeanImage) {
            let images = model.mean_images(signals.view(), Some(lengths))?;
            stock.mean_image = Some((images, lengths.len()));
        }
        for (name, patient) in source.names.iter().zip(&source.patients) {
            let own = stock.patients.entry(base_name(name).to_owned()).or_default();
            own.push(patient.clone());
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

    /// Of synthetic recordings in normal sinus rhythm, prepared as a recording of this rate and length is, or of the nearest that can be
    /// synthesised.
    pub fn synthetic(
        asked: &Asked,
        model: &Model,
        rate: SamplingRate,
        seconds: f64,
    ) -> Result<Self> {
        let origin = format!("synthetic normal sinus rhythm, seed {}", asked.seed);
        let mut stock = Self::empty(asked, &origin);
        if stock.needs_nothing() {
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
            "no synthetic recordings for a second baseline; give --reference FOLDER or --baseline zero",
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
            patients: HashMap::new(),
            mean_image: None,
            origin: origin.to_owned(),
        }
    }

    fn needs_nothing(&self) -> bool {
        self.kinds.iter().all(|kind| *kind == Kind::Zero)
    }

    /// The baselines for a record of so many samples.
    ///
    /// # Errors
    /// No other recording is as long.
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
                let base = base_name(itself.name);
                let known = self.patients.get(base).into_iter().flatten().map(String::as_str);
                let patients: HashSet<&str> = known.chain([itself.patient]).collect();
                let strange = |own: &&Other| {
                    base_name(&own.name) != base
                        && (own.patient.is_empty() || !patients.contains(own.patient.as_str()))
                        && own.signal.ncols() >= samples
                };
                let chosen: Vec<&Other> =
                    self.others.iter().filter(strange).take(self.count).collect();
                ensure!(
                    !chosen.is_empty(),
                    "no other patient's recording, of {} that were looked at, is as long as {samples} samples for the background \
                     baseline: {}",
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
