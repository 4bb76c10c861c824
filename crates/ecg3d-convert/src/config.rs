use std::fmt;
use std::str::FromStr;

use ecg_core::Lead;
use serde::{Deserialize, Serialize};

use crate::{ConvertError, FirMethod};

/// The two ways to convert: as the study's programs did, or as its text intends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// What the study's programs do, faults included, so that its numbers and weight files mean something.
    #[default]
    Published,
    /// What the study's text intends.
    Corrected,
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Published => "published",
            Self::Corrected => "corrected",
        })
    }
}

impl FromStr for Preset {
    type Err = ConvertError;

    fn from_str(text: &str) -> Result<Self, ConvertError> {
        match text {
            "published" => Ok(Self::Published),
            "corrected" => Ok(Self::Corrected),
            _ => Err(ConvertError::config("the preset", text, "published or corrected")),
        }
    }
}

/// What the numbers of a recording are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Units {
    /// The integers as stored, whatever their gain and baseline; mV times 1000 where a source has none.
    Adc,
    /// Physical values in mV.
    Millivolts,
}

/// Which leads are used, and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order", deny_unknown_fields)]
#[non_exhaustive]
pub enum LeadSelection {
    /// The first `count` leads in the order of the file.
    File {
        /// Leads used.
        count: usize,
    },
    /// These leads, found by name whatever its case.
    Named {
        /// The leads in order.
        leads: Vec<Lead>,
    },
}

impl LeadSelection {
    /// Number of leads.
    pub fn count(&self) -> usize {
        match self {
            Self::File { count } => *count,
            Self::Named { leads } => leads.len(),
        }
    }
}

/// How the baseline's wander is taken out: a Butterworth high-pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "filter", deny_unknown_fields)]
#[non_exhaustive]
pub enum Denoise {
    /// Not at all.
    None,
    /// Once, forward, starting from rest.
    Causal {
        /// Order of the filter.
        order: usize,
        /// Frequency in Hz at which it lets through 0.707, if the design's rate is that of the recording.
        cutoff_hz: f64,
        /// The sampling rate in Hz that it is designed for; `null` means that of the recording.
        design_rate_hz: Option<f64>,
    },
    /// Forward and backward, so that nothing is delayed; the filter's gain counts twice.
    BothWays {
        /// Order of the filter.
        order: usize,
        /// Frequency in Hz at which one pass lets through 0.707, both 0.5.
        cutoff_hz: f64,
        /// Seconds by which the signal is continued on both sides, turned about its end points; less where it is shorter.
        padding_s: f64,
    },
}

/// How the number of samples is lowered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "method", deny_unknown_fields)]
#[non_exhaustive]
pub enum Resample {
    /// By way of the spectrum, to a number of samples; needs [`ConvertConfig::first_samples`].
    Fft {
        /// Samples that come out.
        samples: usize,
    },
    /// By a linear-phase low-pass, to a sampling rate.
    Polyphase {
        /// The rate in Hz that comes out.
        rate_hz: f64,
        /// How the filter is computed; makes no difference beyond rounding.
        #[serde(default)]
        fir: FirMethod,
    },
}

/// How amplitudes are scaled: always all leads alike, since the amplitudes between leads carry meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scale {
    /// As they are.
    None,
    /// So that the largest magnitude of all leads is 1; a recording that is zero stays zero.
    UnitPeak,
    /// One mean and one deviation over all leads, to mean 0 and deviation 1; a recording that is zero stays zero.
    ZScore,
}

/// Which windows of a prepared signal are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Windows {
    /// The first only.
    First,
    /// All that fit, one every `hop_s`.
    All,
}

/// What happens to a recording with samples that are no finite numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InvalidSamples {
    /// It is refused if any sample of the leads used is one.
    Reject,
    /// It is refused if the conversion would use one: those behind [`ConvertConfig::first_samples`] do not count.
    RejectUsed,
}

/// Everything that decides how a recording becomes volumes.
///
/// Checked when a plan is made. Serialises to JSON and back unchanged; fields left out have the value of the published
/// preset, unknown fields are refused. [`ConvertConfig::hash`] names the preprocessing.
///
/// ```
/// use ecg3d_convert::{ConvertConfig, Preset, Scale};
///
/// let config = ConvertConfig::preset(Preset::Corrected).with_scale(Scale::UnitPeak).with_max_seconds(20.0);
/// let text = serde_json::to_string(&config)?;
/// assert_eq!(serde_json::from_str::<ConvertConfig>(&text)?, config);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ConvertConfig {
    /// The preset that this configuration started from; for people, it decides nothing. Default: published.
    pub preset: Preset,
    /// Default: [`Units::Adc`]; corrected: [`Units::Millivolts`].
    pub units: Units,
    /// Default: the file's first 12; corrected: the twelve standard leads by name.
    pub leads: LeadSelection,
    /// Only this many samples of each lead are used, cut before all else, whatever their rate; `None`: all.
    /// Default: 1000; corrected: `None`.
    pub first_samples: Option<usize>,
    /// Default: causal, order 1, 0.5 Hz designed for 50 Hz; corrected: both ways, order 1, 0.5 Hz, padding 3 s.
    pub denoise: Denoise,
    /// Default: by FFT to 100 samples; corrected: to 50 Hz by [`FirMethod::Convolution`].
    pub resample: Resample,
    /// Over the whole recording, what is cut at `max_seconds` included. Default: [`Scale::None`], so ADC units; corrected: likewise, so mV.
    pub scale: Scale,
    /// Samples that are no finite numbers. Default: [`InvalidSamples::Reject`].
    pub invalid_samples: InvalidSamples,
    /// Seconds of a recording that are kept once it is resampled to a rate; longer ones are cut, shorter ones padded with
    /// zeros. Without meaning for [`Resample::Fft`]. Default: 10.
    pub max_seconds: f64,
    /// Length of a window in seconds; for [`Resample::Fft`] the window is all that comes out. Default: 2.
    pub window_s: f64,
    /// Seconds from the start of a window to that of the next. Default: 1.
    pub hop_s: f64,
    /// Default: [`Windows::First`]; corrected: [`Windows::All`].
    pub windows: Windows,
    /// Samples of a state of the recurrence plot. Default: 2.
    pub embedding_dimension: usize,
    /// Samples from one of these to the next. Default: 1.
    pub embedding_delay: usize,
    /// `[depth, height, width]`: leads, time, time. Default: `[45, 45, 45]`.
    pub volume_size: [usize; 3],
}

impl Default for ConvertConfig {
    fn default() -> Self {
        Self::published()
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $with:ident $field:ident: $type:ty;)*) => {
        $($(#[$doc])* #[must_use] pub fn $with(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        })*
    };
}

impl ConvertConfig {
    /// What the study's programs do, faults included.
    pub fn published() -> Self {
        Self {
            preset: Preset::Published,
            units: Units::Adc,
            leads: LeadSelection::File { count: 12 },
            first_samples: Some(1000),
            denoise: Denoise::Causal { order: 1, cutoff_hz: 0.5, design_rate_hz: Some(50.0) },
            resample: Resample::Fft { samples: 100 },
            scale: Scale::None,
            invalid_samples: InvalidSamples::Reject,
            max_seconds: 10.0,
            window_s: 2.0,
            hop_s: 1.0,
            windows: Windows::First,
            embedding_dimension: 2,
            embedding_delay: 1,
            volume_size: [45; 3],
        }
    }

    /// What the study's text intends.
    pub fn corrected() -> Self {
        Self {
            preset: Preset::Corrected,
            units: Units::Millivolts,
            leads: LeadSelection::Named { leads: Lead::STANDARD_12.to_vec() },
            first_samples: None,
            denoise: Denoise::BothWays { order: 1, cutoff_hz: 0.5, padding_s: 3.0 },
            resample: Resample::Polyphase { rate_hz: 50.0, fir: FirMethod::default() },
            windows: Windows::All,
            ..Self::published()
        }
    }

    /// One of the two.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Published => Self::published(),
            Preset::Corrected => Self::corrected(),
        }
    }

    setters! {
        /// Sets [`ConvertConfig::units`].
        with_units units: Units;
        /// Sets [`ConvertConfig::leads`].
        with_leads leads: LeadSelection;
        /// Sets [`ConvertConfig::first_samples`].
        with_first_samples first_samples: Option<usize>;
        /// Sets [`ConvertConfig::denoise`].
        with_denoise denoise: Denoise;
        /// Sets [`ConvertConfig::resample`].
        with_resample resample: Resample;
        /// Sets [`ConvertConfig::scale`].
        with_scale scale: Scale;
        /// Sets [`ConvertConfig::invalid_samples`].
        with_invalid_samples invalid_samples: InvalidSamples;
        /// Sets [`ConvertConfig::max_seconds`].
        with_max_seconds max_seconds: f64;
        /// Sets [`ConvertConfig::window_s`].
        with_window_s window_s: f64;
        /// Sets [`ConvertConfig::hop_s`].
        with_hop_s hop_s: f64;
        /// Sets [`ConvertConfig::windows`].
        with_windows windows: Windows;
        /// Sets [`ConvertConfig::embedding_dimension`].
        with_embedding_dimension embedding_dimension: usize;
        /// Sets [`ConvertConfig::embedding_delay`].
        with_embedding_delay embedding_delay: usize;
        /// Sets [`ConvertConfig::volume_size`].
        with_volume_size volume_size: [usize; 3];
    }

    /// Shape of a prepared signal, `[lead, sample]`: `[12, 100]` published, `[12, 50 max_seconds]` corrected.
    pub fn prepared_shape(&self) -> [usize; 2] {
        let samples = match self.resample {
            Resample::Fft { samples } => samples,
            Resample::Polyphase { rate_hz, .. } => (self.max_seconds * rate_hz).round() as usize,
        };
        [self.leads.count(), samples]
    }

    /// Samples of a window: 100 in both presets.
    pub fn window_samples(&self) -> usize {
        match self.resample {
            Resample::Fft { samples } => samples,
            Resample::Polyphase { rate_hz, .. } => (self.window_s * rate_hz).round() as usize,
        }
    }

    /// Samples from the start of a window to that of the next.
    fn hop_samples(&self) -> usize {
        match self.resample {
            Resample::Fft { samples } => samples,
            Resample::Polyphase { rate_hz, .. } => (self.hop_s * rate_hz).round() as usize,
        }
    }

    /// First samples of the windows of a prepared signal of which `length` samples are real.
    ///
    /// Published: 0 alone. Corrected: 0, 50, 100, ... as long as a whole window is left, so nine for 10 s; none where the
    /// signal is shorter than a window.
    pub fn window_starts(&self, length: usize) -> Vec<usize> {
        let window = self.window_samples();
        let starts = (0..=length.saturating_sub(window)).step_by(self.hop_samples().max(1));
        let count = match (length < window, self.windows) {
            (true, _) => 0,
            (false, Windows::First) => 1,
            (false, Windows::All) => usize::MAX,
        };
        starts.take(count).collect()
    }

    /// Checks the values against one another.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub fn check(&self) -> Result<(), ConvertError> {
        /// Samples, leads and sizes up to here are believed; beyond lie typing errors.
        const LARGE: usize = 1 << 24;
        let whole = |field, value: usize| match value {
            1..=LARGE => Ok(()),
            _ => Err(ConvertError::config(field, value, "a whole number from 1 to 16,777,216")),
        };
        let positive = |field, value: f64| {
            if value > 0.0 && value < 1e9 {
                Ok(())
            } else {
                Err(ConvertError::config(field, value, "a positive number below 1e9"))
            }
        };
        whole("the number of leads", self.leads.count())?;
        if let LeadSelection::Named { leads } = &self.leads {
            for (k, lead) in leads.iter().enumerate() {
                if leads[..k].contains(lead) {
                    return Err(ConvertError::config(
                        "leads",
                        format_args!("{lead} twice"),
                        "each lead once",
                    ));
                }
            }
        }
        if let Some(samples) = self.first_samples {
            whole("first_samples", samples)?;
        }
        match self.denoise {
            Denoise::None => {}
            Denoise::Causal { cutoff_hz, design_rate_hz, .. } => {
                positive("cutoff_hz", cutoff_hz)?;
                positive("design_rate_hz", design_rate_hz.unwrap_or(1.0))?;
            }
            Denoise::BothWays { cutoff_hz, padding_s, .. } => {
                positive("cutoff_hz", cutoff_hz)?;
                if padding_s != 0.0 {
                    positive("padding_s", padding_s)?;
                }
            }
        }
        for (field, value) in
            [("max_seconds", self.max_seconds), ("window_s", self.window_s), ("hop_s", self.hop_s)]
        {
            positive(field, value)?;
        }
        match self.resample {
            Resample::Fft { .. } if self.first_samples.is_none() => {
                return Err(ConvertError::config(
                    "first_samples",
                    "none",
                    "a number of samples, for method fft",
                ));
            }
            Resample::Fft { samples } => whole("samples", samples)?,
            Resample::Polyphase { rate_hz, .. } => {
                positive("rate_hz", rate_hz)?;
                whole("the samples of a window", self.window_samples())?;
                whole("the samples of a hop", self.hop_samples())?;
                whole("the samples of max_seconds", self.prepared_shape()[1])?;
                if self.prepared_shape()[1] < self.window_samples() {
                    let expected = "at least window_s";
                    return Err(ConvertError::config("max_seconds", self.max_seconds, expected));
                }
            }
        }
        whole("embedding_dimension", self.embedding_dimension)?;
        whole("embedding_delay", self.embedding_delay)?;
        if (self.embedding_dimension - 1) * self.embedding_delay >= self.window_samples() {
            let found = (self.embedding_dimension - 1) * self.embedding_delay;
            let expected = "less than a window";
            return Err(ConvertError::config(
                "the samples that an embedded state spans",
                found,
                expected,
            ));
        }
        /// A volume of 1024 a side is 4 GiB; a recurrence plot of 16,384 states 1 GiB.
        const SIDE: usize = 1024;
        const STATES: usize = 16_384;
        for size in self.volume_size {
            if !(1..=SIDE).contains(&size) {
                return Err(ConvertError::config("volume_size", size, "1 to 1024 along each axis"));
            }
        }
        if self.window_samples() > STATES || self.leads.count() > SIDE {
            let found = format!("{} x {}", self.leads.count(), self.window_samples());
            return Err(ConvertError::config(
                "the window",
                found,
                "at most 1024 leads x 16,384 samples",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_sound_and_round_trip() {
        for preset in [Preset::Published, Preset::Corrected] {
            let config = ConvertConfig::preset(preset);
            config.check().expect("a preset");
            assert_eq!(config.window_samples(), 100);
            let text = serde_json::to_string(&config).expect("serialises");
            let back: ConvertConfig = serde_json::from_str(&text).expect("reads");
            assert_eq!(back, config);
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        assert_eq!(ConvertConfig::default(), ConvertConfig::published());
        assert_eq!(
            serde_json::from_str::<ConvertConfig>("{}").expect("reads"),
            ConvertConfig::default()
        );
        assert!(serde_json::from_str::<ConvertConfig>(r#"{"widnow_s": 3}"#).is_err());
        assert!("Published".parse::<Preset>().is_err());
    }

    #[test]
    fn windows() {
        let config = ConvertConfig::corrected();
        assert_eq!(config.window_starts(500), (0..9).map(|k| 50 * k).collect::<Vec<_>>());
        assert_eq!(config.window_starts(100), [0]);
        assert_eq!(config.window_starts(149), [0]);
        assert_eq!(config.window_starts(99), [0usize; 0]);
        assert_eq!(config.with_windows(Windows::First).window_starts(500), [0]);
        assert_eq!(ConvertConfig::published().window_starts(100), [0]);
    }

    #[test]
    fn nonsense_is_refused() {
        let published = ConvertConfig::published;
        for bad in [
            published().with_first_samples(None),
            published().with_first_samples(Some(0)),
            published().with_volume_size([45, 0, 45]),
            published().with_embedding_delay(0),
            published().with_embedding_dimension(101),
            published().with_window_s(f64::NAN),
            published().with_leads(LeadSelection::File { count: 0 }),
            published().with_leads(LeadSelection::Named { leads: vec![Lead::I, Lead::I] }),
            ConvertConfig::corrected().with_max_seconds(1.0),
            ConvertConfig::corrected().with_hop_s(1e-9),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
