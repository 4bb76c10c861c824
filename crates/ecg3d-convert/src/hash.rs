use sha2::{Digest, Sha256};

use crate::{ConvertConfig, Denoise, LeadSelection, Metric, Resample, Scale, Threshold, Units};

/// Must be changed whenever equal values no longer mean equal results.
const VERSION: &str = "ecg3d-convert/1";

impl ConvertConfig {
    /// Returns a hash that identifies the preprocessing.
    ///
    /// A network may be given volumes of two configurations together if their hashes are equal.
    ///
    /// The hash is the SHA-256, in lower-case hexadecimal, of JSON with sorted keys and no whitespace. Numbers are in
    /// the shortest form that reads back the same. The JSON holds a version, units, leads, cut, denoising, resampling,
    /// scaling, window length, embedding and volume size; also metric and threshold, if they are not the default ones.
    /// Settings that only decide how many windows of which record are made, or whether one is refused, do not count
    /// (`preset`, `max_seconds`, `hop_s`, `windows`, `invalid_samples`, `short_records`). Nor does the way the filter
    /// is computed (`fir`). No crate feature is needed.
    pub fn hash(&self) -> String {
        format!("{:x}", Sha256::digest(self.canonical()))
    }

    /// The JSON that is hashed.
    fn canonical(&self) -> String {
        let whole = |value: usize| value.to_string();
        let none = || "null".to_owned();
        let units = match self.units {
            Units::Adc => "adc",
            Units::Millivolts => "millivolts",
        };
        let leads = match &self.leads {
            LeadSelection::File { count } => {
                object(vec![("order", text("file")), ("count", whole(*count))])
            }
            LeadSelection::Named { leads } => {
                let leads = leads.iter().map(|lead| text(&lead.to_string()));
                object(vec![("order", text("named")), ("leads", array(leads))])
            }
        };
        let denoise = match self.denoise {
            Denoise::None => object(vec![("filter", text("none"))]),
            Denoise::Causal { order, cutoff_hz, design_rate_hz } => object(vec![
                ("filter", text("causal")),
                ("order", whole(order)),
                ("cutoff_hz", number(cutoff_hz)),
                ("design_rate_hz", design_rate_hz.map_or_else(none, number)),
            ]),
            Denoise::BothWays { order, cutoff_hz, padding_s } => object(vec![
                ("filter", text("both_ways")),
                ("order", whole(order)),
                ("cutoff_hz", number(cutoff_hz)),
                ("padding_s", number(padding_s)),
            ]),
        };
        let (resample, window) = match self.resample {
            Resample::Fft { samples } => {
                (object(vec![("method", text("fft")), ("samples", whole(samples))]), none())
            }
            Resample::Polyphase { rate_hz, .. } => (
                object(vec![("method", text("polyphase")), ("rate_hz", number(rate_hz))]),
                number(self.window_s),
            ),
        };
        let scale = match self.scale {
            Scale::None => "none",
            Scale::UnitPeak => "unit_peak",
            Scale::ZScore => "z_score",
        };
        let mut fields = vec![
            ("version", text(VERSION)),
            ("units", text(units)),
            ("leads", leads),
            ("first_samples", self.first_samples.map_or_else(none, whole)),
            ("denoise", denoise),
            ("resample", resample),
            ("scale", text(scale)),
            ("window_s", window),
            ("embedding_dimension", whole(self.embedding_dimension)),
            ("embedding_delay", whole(self.embedding_delay)),
            ("volume_size", array(self.volume_size.into_iter().map(whole))),
        ];
        // Left out if they are the defaults, so that hashes from before these settings existed remain valid.
        if self.metric != Metric::Euclidean {
            fields.push(("metric", text(&self.metric.to_string())));
        }
        match self.threshold {
            Threshold::None => {}
            Threshold::Distance { distance } => fields.push((
                "threshold",
                object(vec![("rule", text("distance")), ("distance", number(distance))]),
            )),
            Threshold::Rate { rate } => fields
                .push(("threshold", object(vec![("rule", text("rate")), ("rate", number(rate))]))),
        }
        object(fields)
    }
}

fn object(mut fields: Vec<(&str, String)>) -> String {
    fields.sort_by_key(|field| field.0);
    let fields: Vec<_> = fields.into_iter().map(|(key, value)| text(key) + ":" + &value).collect();
    format!("{{{}}}", fields.join(","))
}

fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// Returns a JSON string; all strings here are plain ASCII.
fn text(value: &str) -> String {
    format!("\"{value}\"")
}

/// Returns the fewest digits that read back as the same number, formatted as in `serde_json`.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "null".to_owned();
    }
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    // Number of digits before the decimal point.
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = digits.len() as i32;
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let zeros = |n: i32| "0".repeat(n.max(0) as usize);
    let body = if (1..=16).contains(&point) {
        let whole = format!("{digits}{}", zeros(point - count));
        let (before, after) = whole.split_at(point as usize);
        format!("{before}.{}", if after.is_empty() { "0" } else { after })
    } else if value == 0.0 {
        "0.0".to_owned()
    } else if (-4..=0).contains(&point) {
        format!("0.{}{digits}", zeros(-point))
    } else {
        format!("{mantissa}e{:+}", point - 1)
    };
    format!("{sign}{body}")
}

#[cfg(test)]
mod tests {
    use super::number;
    use crate::{
        ConvertConfig, Denoise, FirMethod, InvalidSamples, Metric, Resample, Scale, ShortRecords,
        Threshold, Windows,
    };
    use proptest::prelude::*;
    use serde_json::{Value, json};

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
        let fir = FirMethod::Convolution;
        for same in [
            config().with_windows(Windows::First),
            config().with_max_seconds(30.0),
            config().with_hop_s(0.5),
            config().with_short_records(ShortRecords::Pad),
            config().with_invalid_samples(InvalidSamples::Interpolate { max_gap_s: 0.1 }),
            config().with_resample(Resample::Polyphase { rate_hz: 50.0, fir }),
        ] {
            assert_eq!(same.hash(), hash);
        }
        for other in [
            config().with_window_s(3.0),
            config().with_scale(Scale::ZScore),
            config().with_embedding_delay(2),
            config().with_metric(Metric::Maximum),
            config().with_threshold(Threshold::Rate { rate: 0.1 }),
            config().with_threshold(Threshold::Distance { distance: 0.1 }),
            config().with_denoise(Denoise::None),
            ConvertConfig::published(),
        ] {
            assert_ne!(other.hash(), hash);
        }
    }

    proptest! {
        // As large as the values in a sensible configuration. Far above, two texts can be equally short and equally
        // close.
        #[test]
        fn numbers_as_json_has_them(long in -1e9..1e9, k in -99_999_i64..99_999, power in -30..4) {
            for value in [long, long * 1e-9, k as f64 * 10_f64.powi(power)] {
                prop_assert_eq!(number(value), Value::from(value).to_string());
            }
        }
    }

    #[test]
    fn odd_numbers() {
        for (value, expected) in
            [(0.0, "0.0"), (-0.0, "-0.0"), (1e300, "1e+300"), (f64::NAN, "null"), (50.0, "50.0")]
        {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn what_is_hashed_is_json_with_sorted_keys() {
        for config in [ConvertConfig::published(), ConvertConfig::corrected()] {
            let config = config.with_threshold(Threshold::Rate { rate: 0.05 });
            let text = config.canonical();
            let value: Value = serde_json::from_str(&text).expect("JSON");
            // The maps of `serde_json` are sorted as well.
            assert_eq!(value.to_string(), text);
            assert_eq!(value["volume_size"], json!([45, 45, 45]));
            assert_eq!(value["threshold"], json!({"rule": "rate", "rate": 0.05}));
        }
    }
}
