#![cfg(feature = "serde")]

use ecg_core::Lead;
use ecg3d_convert::{
    ConvertConfig, Denoise, FirMethod, InvalidSamples, LeadSelection, Metric, Preset, Resample,
    Scale, ShortRecords, Threshold, Units, Windows,
};

/// Returns one configuration for each possible choice.
fn choices() -> Vec<ConvertConfig> {
    let (published, corrected) = (ConvertConfig::published, ConvertConfig::corrected);
    let polyphase = |fir| Resample::Polyphase { rate_hz: 62.5, fir };
    vec![
        published(),
        corrected(),
        published().with_units(Units::Millivolts).with_scale(Scale::UnitPeak),
        corrected().with_scale(Scale::ZScore).with_windows(Windows::First),
        published().with_leads(LeadSelection::File { count: 3 }),
        corrected().with_leads(LeadSelection::Named { leads: vec![Lead::V1, Lead::AVR] }),
        // This configuration does not make the cut that its preset makes.
        published().with_first_samples(None).with_resample(polyphase(FirMethod::Polyphase)),
        corrected().with_first_samples(Some(2500)).with_resample(polyphase(FirMethod::Convolution)),
        published().with_denoise(Denoise::None),
        published().with_denoise(Denoise::Causal {
            order: 3,
            cutoff_hz: 0.7,
            design_rate_hz: None,
        }),
        published().with_denoise(Denoise::BothWays { order: 2, cutoff_hz: 0.05, padding_s: 0.0 }),
        published().with_invalid_samples(InvalidSamples::RejectUsed),
        published().with_invalid_samples(InvalidSamples::Interpolate { max_gap_s: 0.04 }),
        corrected().with_short_records(ShortRecords::Pad).with_max_seconds(7.3),
        corrected().with_window_s(1.0 / 3.0).with_hop_s(0.1),
        published().with_embedding_dimension(3).with_embedding_delay(2),
        published().with_metric(Metric::Maximum).with_threshold(Threshold::Rate { rate: 0.1 }),
        published()
            .with_metric(Metric::Manhattan)
            .with_threshold(Threshold::Distance { distance: 1e-7 })
            .with_volume_size([12, 30, 31]),
    ]
}

#[test]
fn through_json_and_toml() {
    for config in choices() {
        let json = serde_json::to_string(&config).expect("serialises");
        let back: ConvertConfig = serde_json::from_str(&json).expect(&json);
        assert_eq!(back, config, "{json}");
        let text = toml::to_string(&config).expect("serialises");
        let back: ConvertConfig = toml::from_str(&text).expect(&text);
        assert_eq!(back, config, "{text}");
        assert_eq!(back.hash(), config.hash());
    }
}

#[test]
fn what_is_left_out_is_the_presets() {
    let read = |text: &str| toml::from_str::<ConvertConfig>(text);
    assert_eq!(read(""), Ok(ConvertConfig::default()));
    assert_eq!(read("preset = 'corrected'"), Ok(ConvertConfig::preset(Preset::Corrected)));
    let text = "
        preset = 'corrected'
        hop_s = 2 # a whole number is one too
        [threshold]
        rule = 'rate'
        rate = 0.1
    ";
    let expected =
        ConvertConfig::corrected().with_hop_s(2.0).with_threshold(Threshold::Rate { rate: 0.1 });
    assert_eq!(read(text), Ok(expected));
    assert_eq!(
        serde_json::from_str::<ConvertConfig>(r#"{"first_samples": null}"#).expect("reads"),
        ConvertConfig::published().with_first_samples(None)
    );
}

#[test]
fn a_text_from_before_metric_and_threshold_still_reads() {
    let text = r#"{"preset":"corrected","units":"millivolts","leads":{"order":"named","leads":["I","II","III",
        "aVR","aVL","aVF","V1","V2","V3","V4","V5","V6"]},"first_samples":null,"denoise":{"filter":"both_ways",
        "order":1,"cutoff_hz":0.5,"padding_s":3.0},"resample":{"method":"polyphase","rate_hz":50.0,"fir":
        "convolution"},"scale":"none","invalid_samples":"reject","max_seconds":10.0,"window_s":2.0,"hop_s":1.0,
        "windows":"all","embedding_dimension":2,"embedding_delay":1,"volume_size":[45,45,45]}"#;
    let config: ConvertConfig = serde_json::from_str(text).expect("reads");
    let resample = Resample::Polyphase { rate_hz: 50.0, fir: FirMethod::Convolution };
    assert_eq!(config, ConvertConfig::corrected().with_resample(resample));
}

#[test]
fn errors_name_the_field() {
    for (text, expected) in [
        ("widnow_s = 3", "unknown field `widnow_s`, expected one of"),
        ("metric = 'cosine'", "unknown variant `cosine`, expected one of `euclidean`, `maximum`"),
        ("first_samples = 'some'", "a number of samples, or \"all\""),
        ("first_samples = -1", "out of range"),
        ("volume_size = [45, 45]", "an array of length 3"),
        ("[denoise]\nfilter = 'causal'\norder = 1", "missing field `cutoff_hz`"),
        ("[threshold]\nrule = 'rate'\nrate = 0.1\nties = 1", "unknown field `ties`"),
        ("[threshold]\nrule = 'none'\nrate = 0.1", "unknown field `rate`"),
        ("[denoise]\nfilter = 'none'\norder = 2", "unknown field `order`"),
        ("[invalid_samples.interpolate]\nmax_gap_s = 0.1\nmax_gap_samples = 5", "max_gap_samples"),
    ] {
        let message = toml::from_str::<ConvertConfig>(text).expect_err(text).to_string();
        assert!(message.contains(expected), "{message}");
    }
}
