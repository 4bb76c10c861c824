use super::{ConvertConfig, Denoise, InvalidSamples, LeadSelection, Resample};
use crate::plot::MOST_STATES;
use crate::{Band, ConvertError, butterworth};

impl ConvertConfig {
    /// Checks that the values make sense, alone and together.
    ///
    /// # Errors
    /// Returns an error that names the first invalid value.
    pub fn check(&self) -> Result<(), ConvertError> {
        /// Numbers of samples and leads up to this limit are accepted; larger ones are taken to be typing errors.
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
        self.threshold.check()?;
        if let InvalidSamples::Interpolate { max_gap_s } = self.invalid_samples {
            positive("max_gap_s", max_gap_s)?;
        }
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
        let filter = |order, cutoff_hz, design_rate_hz: Option<f64>| {
            positive("cutoff_hz", cutoff_hz)?;
            // If the filter is designed for the recording's rate, use a rate at which any cutoff is below half of it.
            let rate_hz = design_rate_hz.unwrap_or(4.0 * cutoff_hz);
            positive("design_rate_hz", rate_hz)?;
            butterworth(order, Band::High(cutoff_hz), rate_hz).map(drop)
        };
        match self.denoise {
            Denoise::None => {}
            Denoise::Causal { order, cutoff_hz, design_rate_hz } => {
                filter(order, cutoff_hz, design_rate_hz)?;
            }
            Denoise::BothWays { order, cutoff_hz, padding_s } => {
                filter(order, cutoff_hz, None)?;
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
                    "a number of samples with method fft",
                ));
            }
            Resample::Fft { samples } => whole("samples", samples)?,
            Resample::Polyphase { rate_hz, .. } => {
                positive("rate_hz", rate_hz)?;
                whole("the number of samples in a window", self.window_samples())?;
                whole("the number of samples in a hop", (self.hop_s * rate_hz).round() as usize)?;
                whole("the number of samples in max_seconds", self.prepared_shape()[1])?;
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
            let expected = "fewer than in a window";
            return Err(ConvertError::config(
                "the number of samples that an embedded state spans",
                found,
                expected,
            ));
        }
        /// A volume of 1024 along each axis takes 4 GiB.
        const SIDE: usize = 1024;
        for size in self.volume_size {
            if !(1..=SIDE).contains(&size) {
                return Err(ConvertError::config("volume_size", size, "1 to 1024 along each axis"));
            }
        }
        if self.window_samples() > MOST_STATES || self.leads.count() > SIDE {
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
