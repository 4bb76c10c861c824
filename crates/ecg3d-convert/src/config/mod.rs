mod check;
mod choices;
#[cfg(feature = "serde")]
mod partial;

use ecg_core::{Lead, SamplingRate};
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

#[cfg(feature = "serde")]
pub(crate) use partial::nothing;

pub use choices::{
    Denoise, InvalidSamples, LeadSelection, Preset, Resample, Scale, ShortRecords, Units, Windows,
};

use crate::{FirMethod, Metric, Threshold};

/// All settings that decide how a recording becomes volumes.
///
/// The settings are checked when a plan is made. [`ConvertConfig::hash`] identifies the preprocessing. With the feature
/// `serde`, a configuration can be written as TOML, JSON and similar formats and read back unchanged. Fields that are
/// left out take the value of the preset named by `preset` (published if that is left out as well). Unknown fields are
/// refused.
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
    /// The preset that this configuration started from. It only decides the values of fields that are left out of a
    /// text. Default: published.
    pub preset: Preset,
    /// Default: [`Units::Adc`]; corrected: [`Units::Millivolts`].
    pub units: Units,
    /// Default: the file's first 12; corrected: the twelve standard leads by name.
    pub leads: LeadSelection,
    /// Only this many samples of each lead are used, at any sampling rate. The cut is made before anything else.
    /// `None`: all. Default: 1000; corrected: `None`.
    pub first_samples: Option<usize>,
    /// Default: causal, order 1, 0.5 Hz designed for 50 Hz; corrected: both ways, order 1, 0.5 Hz, padding 3 s.
    pub denoise: Denoise,
    /// Default: by FFT to 100 samples; corrected: to 50 Hz by [`FirMethod::Polyphase`].
    pub resample: Resample,
    /// Computed over the whole recording, including what is cut off at `max_seconds`. Default: [`Scale::None`], so ADC
    /// units; corrected: the same, so mV.
    pub scale: Scale,
    /// What happens to samples that are not finite numbers. Default: [`InvalidSamples::Reject`].
    pub invalid_samples: InvalidSamples,
    /// What happens to recordings that are too short. Default: [`ShortRecords::Reject`].
    pub short_records: ShortRecords,
    /// Seconds of a recording that are kept after resampling to a sampling rate. Longer recordings are cut, shorter
    /// ones padded with zeros. Has no meaning for [`Resample::Fft`]. Default: 10.
    pub max_seconds: f64,
    /// Length of a window in seconds. For [`Resample::Fft`], the window is the whole output instead. Default: 2.
    pub window_s: f64,
    /// Seconds from the start of one window to the start of the next. Default: 1.
    pub hop_s: f64,
    /// Default: [`Windows::First`]; corrected: [`Windows::All`].
    pub windows: Windows,
    /// Samples in each state of the recurrence plot. Default: 2.
    pub embedding_dimension: usize,
    /// Samples from one of these to the next. Default: 1.
    pub embedding_delay: usize,
    /// How the distance between two states is measured. Default: [`Metric::Euclidean`].
    pub metric: Metric,
    /// Which states are recurrent. Default: [`Threshold::None`], so the plots hold distances.
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
    /// What the study's programs do, including their faults.
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

    /// Returns the configuration of a preset.
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

    /// Sets [`ConvertConfig::first_samples`]: a number, or `None` for all.
    #[must_use]
    pub fn with_first_samples(mut self, samples: impl Into<Option<usize>>) -> Self {
        self.first_samples = samples.into();
        self
    }

    /// Shape of a prepared signal, `[lead, sample]`: `[12, 100]` published, `[12, 50 max_seconds]` corrected.
    pub fn prepared_shape(&self) -> [usize; 2] {
        let samples = match self.resample {
            Resample::Fft { samples } => samples,
            Resample::Polyphase { rate_hz, .. } => (self.max_seconds * rate_hz).round() as usize,
        };
        [self.leads.count(), samples]
    }

    /// Number of samples in a window: 100 in both presets.
    pub fn window_samples(&self) -> usize {
        match self.resample {
            Resample::Fft { samples } => samples,
            Resample::Polyphase { rate_hz, .. } => (self.window_s * rate_hz).round() as usize,
        }
    }

    /// Returns how many seconds a window lasts in a recording of a given sampling rate.
    ///
    /// For [`Resample::Fft`], the window is made of [`ConvertConfig::first_samples`] samples, and so lasts longer at
    /// lower rates. For [`Resample::Polyphase`], it lasts [`ConvertConfig::window_s`], rounded to whole samples of the
    /// prepared signal, at any rate.
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
            // If there is no cut, which no plan accepts: the number of output samples.
            Resample::Fft { samples } => self.first_samples.unwrap_or(samples) as f64 / rate.hz(),
            Resample::Polyphase { rate_hz, .. } => self.window_samples() as f64 / rate_hz,
        }
    }

    /// Returns where the windows of a prepared signal start, given that its first `length` samples are real.
    ///
    /// Published: only 0. Corrected: 0, 50, 100, ... for as long as a whole window is left, which makes nine for 10 s.
    /// If the signal is shorter than a window there is none or, with [`ShortRecords::Pad`], only 0.
    pub fn window_starts(&self, length: usize) -> Vec<usize> {
        let window = self.window_samples();
        let hop = match self.resample {
            Resample::Fft { samples } => samples as f64,
            Resample::Polyphase { rate_hz, .. } => self.hop_s * rate_hz,
        };
        // No window starts twice.
        let starts = (0..).map(|k| (f64::from(k) * hop.max(1.0)).round() as usize);
        let starts = starts.take_while(|start| start + window <= length.max(window));
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
    fn windows_start_at_the_nearest_sample() {
        // 0.25 s are 12.5 samples.
        let config = ConvertConfig::corrected().with_window_s(1.0).with_hop_s(0.25);
        config.check().expect("sound");
        assert_eq!(config.window_starts(150), [0, 13, 25, 38, 50, 63, 75, 88, 100]);
        assert!(config.window_starts(49).is_empty());
        let half_a_sample = config.clone().with_hop_s(0.01);
        assert_eq!(half_a_sample.window_starts(53), [0, 1, 2, 3]);
        let third = config.with_window_s(1.0 / 3.0);
        assert_eq!(third.window_seconds(SamplingRate::new(500.0).expect("a rate")), 0.34);
    }

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
            let cut = published().with_first_samples(2000).with_window_s(7.0);
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
