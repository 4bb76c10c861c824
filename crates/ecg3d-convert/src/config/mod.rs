mod check;
mod choices;
#[cfg(feature = "serde")]
mod partial;

use ecg_core::{Lead, SamplingRate};
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

pub use choices::{
    Denoise, InvalidSamples, LeadSelection, Preset, Resample, Scale, ShortRecords, Units, Windows,
};

use crate::{FirMethod, Metric, Threshold};

/// Everything that decides how a recording becomes volumes.
///
/// Checked when a plan is made. [`ConvertConfig::hash`] names the preprocessing. With the feature `serde` it goes through TOML,
/// JSON and the like unchanged; fields left out have the value of the preset that `preset` names (published where it is left
/// out too), unknown fields are refused.
///
/// ```
/// use ecg3d_convert::{ConvertConfig, Scale};
///
/// let config = ConvertConfig::corrected().with_scale(Scale::UnitPeak).with_max_seconds(20.0);
/// # #[cfg(feature = "serde")]
/// assert_eq!(
///     toml::from_str::<ConvertConfig>("preset = 'corrected'\nscale = 'unit_peak'\nmax_seconds = 20")?,
///     config
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "partial::Partial", into = "partial::Partial"))]
#[non_exhaustive]
pub struct ConvertConfig {
    /// The preset that this configuration started from; it decides nothing but the fields that a text leaves out. Default:
    /// published.
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
    /// Recordings that are too short. Default: [`ShortRecords::Reject`].
    pub short_records: ShortRecords,
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
    /// How far apart two states are. Default: [`Metric::Euclidean`].
    pub metric: Metric,
    /// Which states are recurrent. Default: [`Threshold::None`], so that the plots hold distances.
    pub threshold: Threshold,
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
            short_records: ShortRecords::Reject,
            max_seconds: 10.0,
            window_s: 2.0,
            hop_s: 1.0,
            windows: Windows::First,
            embedding_dimension: 2,
            embedding_delay: 1,
            metric: Metric::Euclidean,
            threshold: Threshold::None,
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
        /// Sets [`ConvertConfig::short_records`].
        with_short_records short_records: ShortRecords;
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
        /// Sets [`ConvertConfig::metric`].
        with_metric metric: Metric;
        /// Sets [`ConvertConfig::threshold`].
        with_threshold threshold: Threshold;
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

    /// Seconds that a window lasts in a recording of a sampling rate.
    ///
    /// For [`Resample::Fft`] the window is the samples that are cut ([`ConvertConfig::first_samples`]) and lasts longer the lower their
    /// rate; for [`Resample::Polyphase`] it is [`ConvertConfig::window_s`] at any.
    ///
    /// ```
    /// use ecg3d_convert::{ConvertConfig, ecg_core::SamplingRate};
    ///
    /// let rate = SamplingRate::new(250.0)?;
    /// assert_eq!(ConvertConfig::published().window_seconds(rate), 4.0); // 1000 samples
    /// assert_eq!(ConvertConfig::corrected().window_seconds(rate), 2.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn window_seconds(&self, rate: SamplingRate) -> f64 {
        match self.resample {
            // Without a cut, which no plan takes, as many as come out.
            Resample::Fft { samples } => self.first_samples.unwrap_or(samples) as f64 / rate.hz(),
            Resample::Polyphase { .. } => self.window_s,
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
    /// signal is shorter than a window, or with [`ShortRecords::Pad`] 0 alone.
    pub fn window_starts(&self, length: usize) -> Vec<usize> {
        let window = self.window_samples();
        let starts = (0..=length.saturating_sub(window)).step_by(self.hop_samples().max(1));
        let padded = self.short_records == ShortRecords::Pad && length > 0;
        let count = match (length < window, self.windows) {
            (true, _) => usize::from(padded),
            (false, Windows::First) => 1,
            (false, Windows::All) => usize::MAX,
        };
        starts.take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_sound() {
        for preset in [Preset::Published, Preset::Corrected] {
            let config = ConvertConfig::preset(preset);
            config.check().expect("a preset");
            assert_eq!(config.preset, preset);
            assert_eq!(config.window_samples(), 100);
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        assert_eq!(ConvertConfig::default(), ConvertConfig::published());
        assert!("Published".parse::<Preset>().is_err());
    }

    #[test]
    fn windows() {
        let config = ConvertConfig::corrected();
        assert_eq!(config.window_starts(500), (0..9).map(|k| 50 * k).collect::<Vec<_>>());
        assert_eq!(config.window_starts(100), [0]);
        assert_eq!(config.window_starts(149), [0]);
        assert_eq!(config.window_starts(99), [0usize; 0]);
        let padded = config.clone().with_short_records(ShortRecords::Pad);
        assert_eq!((padded.window_starts(99), padded.window_starts(0)), (vec![0], vec![]));
        assert_eq!(config.with_windows(Windows::First).window_starts(500), [0]);
        assert_eq!(ConvertConfig::published().window_starts(100), [0]);
    }

    #[test]
    fn a_window_lasts_as_long_as_its_samples_do() {
        let (published, corrected) = (ConvertConfig::published, ConvertConfig::corrected);
        for (hz, seconds) in [(500.0, 2.0), (1000.0, 1.0), (400.0, 2.5)] {
            let rate = SamplingRate::new(hz).expect("a rate");
            assert_eq!(published().window_seconds(rate), seconds);
            let cut = published().with_first_samples(Some(2000)).with_window_s(7.0);
            assert_eq!(cut.window_seconds(rate), 2.0 * seconds);
            assert_eq!(corrected().window_seconds(rate), 2.0);
            let cut = corrected().with_first_samples(Some(2000)).with_window_s(2.5);
            assert_eq!(cut.window_seconds(rate), 2.5);
        }
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
            published().with_threshold(Threshold::Rate { rate: 0.0 }),
            published().with_invalid_samples(InvalidSamples::Interpolate { max_gap_s: -1.0 }),
            published().with_denoise(Denoise::Causal {
                order: 1,
                cutoff_hz: 25.0,
                design_rate_hz: Some(50.0),
            }),
            published().with_denoise(Denoise::BothWays {
                order: 33,
                cutoff_hz: 0.5,
                padding_s: 0.0,
            }),
            ConvertConfig::corrected().with_max_seconds(1.0),
            ConvertConfig::corrected().with_hop_s(1e-9),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
