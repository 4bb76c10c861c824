use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{ConvertConfig, Resample};

/// Changes whenever equal values would no longer mean equal results.
const VERSION: &str = "ecg3d-convert/1";

impl ConvertConfig {
    /// Names the preprocessing: two configurations of equal hash make volumes that a network may mix.
    ///
    /// The SHA-256, in lower-case hexadecimal, of JSON with sorted keys, without blanks, numbers in their shortest form that
    /// reads back the same. It holds a version, units, leads, cut, denoising, resampling, scaling, window length, embedding
    /// and volume size. What decides only how many windows of which record are made does not count (`preset`,
    /// `max_seconds`, `hop_s`, `windows`, `invalid_samples`), nor does how the filter is computed (`fir`).
    pub fn hash(&self) -> String {
        let window = match self.resample {
            Resample::Fft { .. } => Value::Null,
            Resample::Polyphase { .. } => json!(self.window_s),
        };
        let resample = match self.resample {
            Resample::Fft { samples } => json!({"method": "fft", "samples": samples}),
            Resample::Polyphase { rate_hz, .. } => {
                json!({"method": "polyphase", "rate_hz": rate_hz})
            }
        };
        let hashed = json!({
            "version": VERSION,
            "units": self.units,
            "leads": self.leads,
            "first_samples": self.first_samples,
            "denoise": self.denoise,
            "resample": resample,
            "scale": self.scale,
            "window_s": window,
            "embedding_dimension": self.embedding_dimension,
            "embedding_delay": self.embedding_delay,
            "volume_size": self.volume_size,
        });
        let mut text = String::new();
        canonical(&hashed, &mut text);
        Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// Writes JSON with sorted keys and no blanks, however the map keeps its keys.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (k, (key, value)) in entries.into_iter().enumerate() {
                if k > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (k, value) in values.iter().enumerate() {
                if k > 0 {
                    out.push(',');
                }
                canonical(value, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{ConvertConfig, FirMethod, Resample, Scale, Windows};

    #[test]
    fn hashes_stay_what_they_are() {
        assert_eq!(
            ConvertConfig::published().hash(),
            "e047122cf50569c412dacf43ea78dfb71d5bd5acf264c572c3bb5e5cc2e74c85"
        );
        assert_eq!(
            ConvertConfig::corrected().hash(),
            "62c777d3531e29cf4cfdfc31b91f6adc4cee98e149c919034d1b2798b42a771c"
        );
    }

    #[test]
    fn only_what_changes_a_volume_counts() {
        let config = ConvertConfig::corrected;
        let hash = config().hash();
        let fir = FirMethod::Polyphase;
        for same in [
            config().with_windows(Windows::First),
            config().with_max_seconds(30.0),
            config().with_hop_s(0.5),
            config().with_resample(Resample::Polyphase { rate_hz: 50.0, fir }),
        ] {
            assert_eq!(same.hash(), hash);
        }
        for other in [
            config().with_window_s(3.0),
            config().with_scale(Scale::ZScore),
            config().with_embedding_delay(2),
            ConvertConfig::published(),
        ] {
            assert_ne!(other.hash(), hash);
        }
    }
}
