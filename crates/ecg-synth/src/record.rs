use ecg_core::{Adc, LabelSet, Lead, LeadName, Recording, SamplingRate, Sex};
use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use crate::atrial::AtrialWave;
use crate::dipole::{self, Position};
use crate::leads::{self, GAIN_PER_MV};
use crate::noise::{Electrode, Noise};
use crate::rhythm::{BeatKind, Timeline};
use crate::rng::{Rng, Stream};
use crate::shape::Shape;
use crate::{Condition, Ectopy, SynthError, plan};

/// Lowest sampling rate in Hz; a lower rate can no longer represent the QRS.
const LOWEST_HZ: f64 = 100.0;
/// Highest sampling rate in Hz.
const HIGHEST_HZ: f64 = 5000.0;
/// Shortest recording in s.
const SHORTEST_S: f64 = 1.0;
/// Longest recording in s.
const LONGEST_S: f64 = 3600.0;
/// Most samples per lead, an hour at 1000 Hz. A record takes about 350 bytes of memory for each.
pub const MOST_SAMPLES: usize = 3_600_000;
/// Seconds of rhythm drawn beyond the end, so that a beat after the end still contributes its P wave.
const RUN_OUT_S: f64 = 2.0;

/// What to synthesise. Fields missing from the input when deserialising take their defaults; unknown ones are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SynthOptions {
    /// Random seed; equal seeds give equal records. Default: 0.
    pub seed: u64,
    /// Samples per second, 100 to 5000. Default: 500.
    pub sampling_rate_hz: f64,
    /// Duration in seconds, 1 to 3600, and at most 3,600,000 samples: above 1000 Hz, less than an hour. Default: 10.
    pub seconds: f64,
}

impl Default for SynthOptions {
    fn default() -> Self {
        Self { seed: 0, sampling_rate_hz: 500.0, seconds: 10.0 }
    }
}

impl SynthOptions {
    /// Sets the seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the sampling rate in Hz.
    #[must_use]
    pub fn with_sampling_rate_hz(mut self, hz: f64) -> Self {
        self.sampling_rate_hz = hz;
        self
    }

    /// Sets the duration in seconds.
    #[must_use]
    pub fn with_seconds(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }
}

/// A beat as placed in the recording. Times are in seconds from the first sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Beat {
    /// Origin of the beat.
    pub kind: BeatKind,
    /// Reference point of the QRS. In beats that are conducted normally or with RBBB, it is within a few ms of the peak
    /// of the R wave; in LBBB, paced and ventricular beats, the largest deflection follows 40 to 60 ms later.
    pub r_s: f64,
    /// Start of the P wave, if the beat has one.
    pub p_onset_s: Option<f64>,
    /// PR interval: from the start of the P wave to the start of the QRS, in ms.
    pub pr_ms: Option<f64>,
    /// Start of the QRS.
    pub qrs_onset_s: f64,
    /// End of the QRS.
    pub qrs_offset_s: f64,
}

/// The ground truth from which a recording was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Truth {
    /// Target mean ventricular rate without ectopic beats, per minute.
    pub rate_bpm: f64,
    /// The beats whose reference point lies within the recording, in order.
    pub beats: Vec<Beat>,
    /// Starts of the P waves of the sinus node that are not conducted because of a premature ventricular beat,
    /// in seconds from the first sample, in order: those within the recording. No beat has them as its P wave. Default
    /// if left out when deserialising: none.
    #[serde(default)]
    pub blocked_p_s: Vec<f64>,
    /// f waves of fibrillation or F waves of flutter.
    pub atrial: Option<AtrialWave>,
    /// Rotation of the frontal axis relative to the wave tables, in degrees; positive is to the right.
    pub frontal_rotation_deg: f64,
    /// The badly attached electrode, if any.
    pub poor_electrode: Option<Electrode>,
    /// The lead without signal, if any.
    pub flat_lead: Option<Lead>,
}

/// A synthetic recording with its full ground truth.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SynthRecord {
    /// The recording. `signal` is exactly the integers of `adc` divided by 1000 per mV; diagnoses, patient, age and sex
    /// are filled in.
    pub recording: Recording,
    /// One value for each label of [`LabelSet::seven`].
    pub labels: Vec<bool>,
    /// The condition it shows. A short recording may end before its first ectopic beat and then does not show the
    /// ectopy.
    pub condition: Condition,
    /// The ground truth, beat by beat.
    pub truth: Truth,
    /// The twelve leads in mV before noise, lead failure and digitisation, `[lead, sample]` in the order of
    /// [`Lead::STANDARD_12`].
    pub clean: Array2<f64>,
    /// The dipole behind `clean` in mV, `[axis, sample]`: X (left), Y (foot), Z (back).
    pub dipole: Array2<f64>,
}

/// Generates recordings. Record `i` depends only on the options and on `i`.
///
/// The type is `Send + Sync` and can be shared between threads.
#[derive(Debug, Clone)]
pub struct Synthesizer {
    options: SynthOptions,
    rate: SamplingRate,
    samples: usize,
}

impl Synthesizer {
    /// Creates a synthesizer for recordings of the given duration and sampling rate. No recording is generated yet.
    ///
    /// # Errors
    /// Fails if the sampling rate, the duration or the number of samples is out of bounds.
    pub fn new(options: SynthOptions) -> Result<Self, SynthError> {
        let hz = options.sampling_rate_hz;
        let wrong_rate =
            SynthError::SamplingRate { found: hz, lowest: LOWEST_HZ, highest: HIGHEST_HZ };
        if !(LOWEST_HZ..=HIGHEST_HZ).contains(&hz) {
            return Err(wrong_rate);
        }
        let rate = SamplingRate::new(hz).map_err(|_| wrong_rate)?;
        if !(SHORTEST_S..=LONGEST_S).contains(&options.seconds) {
            return Err(SynthError::Duration {
                found: options.seconds,
                shortest: SHORTEST_S,
                longest: LONGEST_S,
            });
        }
        let samples = (options.seconds * hz).round() as usize;
        if samples > MOST_SAMPLES {
            return Err(SynthError::Samples {
                sampling_rate_hz: hz,
                seconds: options.seconds,
                found: samples,
                most: MOST_SAMPLES,
            });
        }
        Ok(Self { options, rate, samples })
    }

    /// Returns the options it was created with.
    pub fn options(&self) -> &SynthOptions {
        &self.options
    }

    /// Returns the number of samples per lead.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Returns the labels of [`SynthRecord::labels`].
    pub fn label_set(&self) -> LabelSet {
        LabelSet::seven()
    }

    /// Returns what record `index` shows; see [`Synthesizer::record`].
    pub fn condition(&self, index: u64) -> Condition {
        plan::draw(self.options.seed, index)
    }

    /// Returns the patient number of record `index`, counted from 0.
    ///
    /// The last two of every four records belong to the same patient, who keeps age, sex, voltage and axis; what the
    /// two records show is drawn independently.
    pub fn patient(index: u64) -> u64 {
        index / 4 * 3 + (index % 4).min(2)
    }

    /// Generates record `index` of the mix.
    ///
    /// Each block of 20 records holds, in shuffled order, 6 normal sinus rhythms, 3 sinus bradycardias, 3 sinus
    /// tachycardias, 4 atrial fibrillations and one each of sinus arrhythmia, flutter, supraventricular tachycardia and
    /// paced rhythm. The following are added independently:
    ///
    /// - first-degree AV block in 30 % of sinus rhythms;
    /// - left bundle branch block in 17 %, right bundle branch block in 17 % and incomplete right bundle branch block
    ///   in 7 % of all except paced rhythms;
    /// - premature ventricular beats in 8 % of sinus rhythms and fibrillations, premature atrial beats in 8 % of sinus
    ///   rhythms;
    /// - hypertrophy in 8 % of the records where [`Condition::check`] allows it;
    /// - a poor electrode in 6 % and a flat lead in 3 % of all records.
    ///
    /// A quarter of the normal sinus rhythms, sinus bradycardias and sinus tachycardias are drawn with a rate close to
    /// a border between labels (55 to 65, 95 to 105).
    pub fn record(&self, index: u64) -> SynthRecord {
        self.render(index, self.condition(index))
    }

    /// Generates record `index` with the given `condition`.
    ///
    /// The patient, the noise and everything else that does not depend on the condition are those of
    /// [`Synthesizer::record`]. In normal sinus rhythm, for example, the beats have the same times with and without AV
    /// block or bundle branch block. From the first premature beat on, all beats have other times.
    ///
    /// # Errors
    /// Fails if [`Condition::check`] rejects the condition.
    pub fn record_with(
        &self,
        index: u64,
        condition: &Condition,
    ) -> Result<SynthRecord, SynthError> {
        condition.check()?;
        Ok(self.render(index, *condition))
    }

    fn render(&self, index: u64, condition: Condition) -> SynthRecord {
        let seed = self.options.seed;
        let hz = self.rate.hz();
        let patient = Patient::draw(seed, Self::patient(index));
        let stream = |stream| Rng::new(seed, index, stream);
        let origin_s = AtrialWave::draw_origin_s(&mut stream(Stream::Atria));
        let end_s = self.options.seconds + RUN_OUT_S;
        let timeline = Timeline::draw(&condition, end_s, origin_s, &mut stream(Stream::Rhythm));
        let shape = Shape::draw(
            &condition,
            patient.voltage,
            &mut stream(Stream::Shape),
            &mut stream(Stream::Premature),
        );
        let noise = Noise::draw(&condition, &mut stream(Stream::Noise));

        let dipole = dipole::render(&timeline, &shape, &patient.position, self.samples, hz);
        let mut measured = leads::measured(&dipole);
        let clean = leads::twelve(&measured);
        noise.disturb(&mut measured, hz, &mut stream(Stream::Emg));
        let values = leads::digitise(&measured);
        // A long recording needs the memory for the arrays below.
        drop(measured);

        let within = |t_s: &f64| (0.0..self.options.seconds).contains(t_s);
        let beats: Vec<Beat> = timeline
            .beats
            .iter()
            .filter(|beat| within(&beat.r_s))
            .map(|beat| {
                let form = dipole::form_of(beat, &shape);
                Beat {
                    kind: beat.kind,
                    r_s: beat.r_s,
                    p_onset_s: dipole::p_onset_s(beat, form),
                    pr_ms: beat.pr_ms,
                    qrs_onset_s: beat.r_s + form.on_ms / 1000.0,
                    qrs_offset_s: beat.r_s + form.off_ms / 1000.0,
                }
            })
            .collect();
        let blocked =
            timeline.blocked.iter().map(|blocked| dipole::blocked_p_onset_s(blocked, &shape));
        let blocked_p_s = blocked.filter(within).collect();
        // A short recording may end before the first ectopic beat; it must then not state any ectopy.
        let ectopic = [BeatKind::PrematureAtrial, BeatKind::PrematureVentricular];
        let shown = if beats.iter().any(|beat| ectopic.contains(&beat.kind)) {
            condition
        } else {
            condition.with_ectopy(Ectopy::None)
        };
        let mut rows = Array2::zeros((3, self.samples));
        for (mut row, values) in rows.rows_mut().into_iter().zip(dipole) {
            row.assign(&ArrayView1::from(&values));
        }
        SynthRecord {
            recording: self.recording(index, &shown, &patient, values),
            labels: condition.labels(),
            condition,
            truth: Truth {
                rate_bpm: timeline.rate_bpm,
                beats,
                blocked_p_s,
                atrial: timeline.atrial,
                frontal_rotation_deg: patient.position.frontal.to_degrees(),
                poor_electrode: noise.poor_electrode,
                flat_lead: noise.flat_lead,
            },
            clean,
            dipole: rows,
        }
    }

    fn recording(
        &self,
        index: u64,
        shown: &Condition,
        patient: &Patient,
        values: Array2<i32>,
    ) -> Recording {
        let signal = values.mapv(|value| f64::from(value) / GAIN_PER_MV);
        let leads = Lead::STANDARD_12.map(LeadName::from);
        let mut recording = Recording::new(format!("synth{index:05}"), self.rate, leads, signal)
            .expect("twelve names for twelve rows");
        recording.adc =
            Some(Adc { values, gain_per_mv: vec![GAIN_PER_MV; 12], baseline: vec![0; 12] });
        recording.diagnoses = shown.diagnoses();
        recording.patient = Some(format!("p{:05}", Self::patient(index)));
        recording.age_years = Some(patient.age_years);
        recording.sex = Some(patient.sex);
        recording
    }
}

/// The properties that recordings of the same person share.
struct Patient {
    age_years: f64,
    sex: Sex,
    /// Factor applied to every wave.
    voltage: f64,
    position: Position,
}

impl Patient {
    fn draw(seed: u64, number: u64) -> Self {
        let mut rng = Rng::new(seed, number, Stream::Patient);
        Self {
            age_years: rng.normal(60.0, 16.0).round().clamp(18.0, 95.0),
            sex: if rng.chance(0.5) { Sex::Female } else { Sex::Male },
            voltage: rng.lognormal(0.2),
            position: Position::draw(&mut rng),
        }
    }
}
