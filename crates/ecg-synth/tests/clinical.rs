//! What a cardiologist would measure, measured on the noise-free signal and on the truth.
//!
//! Criteria for the blocks: AHA/ACCF/HRS 2009 (doi 10.1161/CIRCULATIONAHA.108.191095).

use ecg_core::Lead;
use ecg_synth::{
    Beat, BeatKind, Condition, Conduction, Ectopy, Rhythm, SynthOptions, SynthRecord, Synthesizer,
};

const HZ: f64 = 500.0;
const RECORDS: u64 = 40;

fn records(condition: Condition) -> impl Iterator<Item = SynthRecord> {
    let synthesizer = Synthesizer::new(SynthOptions::default().with_seed(11)).expect("in bounds");
    (0..RECORDS).map(move |index| synthesizer.record_with(index, &condition).expect("possible"))
}

fn sinus() -> Condition {
    Condition::new(Rhythm::NormalSinus)
}

fn blocked(conduction: Conduction) -> Condition {
    sinus().with_conduction(conduction)
}

fn rr_s(record: &SynthRecord) -> Vec<f64> {
    record.truth.beats.windows(2).map(|pair| pair[1].r_s - pair[0].r_s).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation divided by the mean.
fn variation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
    var.sqrt() / mean
}

/// Speed of the dipole at each sample, mV/ms.
fn spatial_speed(record: &SynthRecord) -> Vec<f64> {
    let n = record.dipole.ncols();
    let step_ms = 2000.0 / HZ;
    (0..n)
        .map(|k| {
            let (before, after) = (k.max(1) - 1, (k + 1).min(n - 1));
            let squares =
                record.dipole.rows().into_iter().map(|row| (row[after] - row[before]).powi(2));
            squares.sum::<f64>().sqrt() / step_ms
        })
        .collect()
}

/// First and last sample of the QRS around sample `r`: outwards while the spatial speed exceeds 0.003 mV/ms, bridging
/// gaps of up to 10 ms, within -120 to +160 ms.
fn qrs_bounds(speed: &[f64], r: usize) -> (usize, usize) {
    let outwards = |samples: &mut dyn Iterator<Item = usize>| {
        let mut bound = r;
        for k in samples {
            if speed[k] > 0.003 {
                bound = k;
            } else if k.abs_diff(bound) > 5 {
                break;
            }
        }
        bound
    };
    (outwards(&mut (r - 60..=r).rev()), outwards(&mut (r..=r + 80)))
}

/// R samples of the beats that are far enough from both ends.
fn whole_beats(record: &SynthRecord) -> Vec<usize> {
    let inside = record.truth.beats.iter().map(|beat| beat.r_s).filter(|r| (0.6..9.3).contains(r));
    inside.map(|r| (r * HZ).round() as usize).collect()
}

/// A lead of the noise-free signal from the start to the end of the first complete QRS, relative to its start, mV.
fn first_qrs(record: &SynthRecord, lead: Lead) -> Vec<f64> {
    let (on, off) = qrs_bounds(&spatial_speed(record), whole_beats(record)[0]);
    let row = record.clean.row(lead.index());
    (on..=off).map(|k| row[k] - row[on]).collect()
}

fn highest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::MIN, f64::max)
}

fn lowest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::MAX, f64::min)
}

/// The samples from one time to another.
fn samples(from_s: f64, to_s: f64) -> std::ops::Range<usize> {
    let at = |s: f64| (s * HZ).round() as usize;
    at(from_s)..at(to_s)
}

/// The integral of a lead of the noise-free signal over the QRS of a beat, mV ms.
fn qrs_area(record: &SynthRecord, lead: Lead, beat: &Beat) -> f64 {
    let row = record.clean.row(lead.index());
    samples(beat.qrs_onset_s, beat.qrs_offset_s).map(|k| row[k]).sum::<f64>() * 1000.0 / HZ
}

/// Cosine of the angle between the QRS and the T wave of a beat, each the integral of the dipole; -1 if opposite.
fn qrs_t_cosine(record: &SynthRecord, beat: &Beat) -> f64 {
    let vector = |from_s: f64, to_s: f64| -> [f64; 3] {
        std::array::from_fn(|axis| {
            samples(from_s, to_s).map(|k| record.dipole[[axis, k]]).sum::<f64>()
        })
    };
    let qrs = vector(beat.qrs_onset_s, beat.qrs_offset_s);
    let t = vector(beat.qrs_offset_s + 0.06, beat.qrs_offset_s + 0.32);
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(qrs, t) / (dot(qrs, qrs) * dot(t, t)).sqrt()
}

/// The beats of one kind that are far enough from both ends.
fn whole_of(record: &SynthRecord, kind: BeatKind) -> impl Iterator<Item = &Beat> {
    let beats = record.truth.beats.iter();
    beats.filter(move |beat| beat.kind == kind && (0.6..9.3).contains(&beat.r_s))
}

/// Width of a QRS as measured on the signal, ms.
fn qrs_ms(speed: &[f64], beat: &Beat) -> f64 {
    let (on, off) = qrs_bounds(speed, (beat.r_s * HZ).round() as usize);
    (off - on) as f64 * 1000.0 / HZ
}

#[test]
fn sinus_rates_keep_to_their_label() {
    for (rhythm, low, high) in [
        (Rhythm::NormalSinus, 60.0, 100.0),
        (Rhythm::SinusBradycardia, 40.0, 59.0),
        (Rhythm::SinusTachycardia, 101.0, 150.0),
    ] {
        for record in records(Condition::new(rhythm)) {
            let rr = rr_s(&record);
            let rate = 60.0 / mean(&rr);
            assert!((low..=high).contains(&record.truth.rate_bpm));
            // Respiration and chance move the mean of about ten intervals by up to 2 %.
            assert!((rate / record.truth.rate_bpm - 1.0).abs() < 0.02, "{rhythm:?} {rate}");
            assert!(variation(&rr) < 0.04);
        }
    }
}

#[test]
fn r_peaks_of_the_signal_are_where_the_truth_says() {
    for record in records(sinus()) {
        let size = |k: usize| -> f64 { record.dipole.column(k).iter().map(|v| v * v).sum() };
        for r in whole_beats(&record) {
            let peak = (r - 100..r + 100).max_by(|a, b| size(*a).total_cmp(&size(*b)));
            // The largest vector is within 16 ms of the reference point.
            assert!(peak.is_some_and(|peak| peak.abs_diff(r) <= 8), "{peak:?} {r}");
        }
    }
}

#[test]
fn fibrillation_is_irregular_and_has_no_p() {
    let mut pooled = Vec::new();
    for record in records(Condition::new(Rhythm::AtrialFibrillation)) {
        assert!((50.0..=150.0).contains(&record.truth.rate_bpm));
        assert!(record.truth.beats.iter().all(|b| b.pr_ms.is_none() && b.p_onset_s.is_none()));
        let wave = record.truth.atrial.expect("f waves");
        assert!((4.5..8.0).contains(&wave.hz) && (0.05..0.10).contains(&wave.amplitude_mv));
        let rr = rr_s(&record);
        let average = mean(&rr);
        pooled.extend(rr.iter().map(|interval| interval / average));
    }
    let spread = variation(&pooled);
    assert!((0.18..0.30).contains(&spread), "{spread}");
}

/// Swing of lead II from 230 to 70 ms before R, averaged over all beats at least 1 s after the previous one.
fn average_before_qrs(rhythm: Rhythm) -> f64 {
    let (mut sum, mut count) = ([0.0; 81], 0.0);
    for record in records(Condition::new(rhythm)) {
        for pair in record.truth.beats.windows(2).filter(|pair| pair[1].r_s - pair[0].r_s > 1.0) {
            let start = ((pair[1].r_s - 0.230) * HZ).round() as usize;
            for (total, k) in sum.iter_mut().zip(start..) {
                *total += record.clean[[Lead::II.index(), k]];
            }
            count += 1.0;
        }
    }
    assert!(count > 40.0, "{count}");
    (highest(&sum) - lowest(&sum)) / count
}

#[test]
fn no_p_wave_emerges_from_the_average_of_fibrillation() {
    assert!(average_before_qrs(Rhythm::SinusBradycardia) > 0.07);
    assert!(average_before_qrs(Rhythm::AtrialFibrillation) < 0.03);
}

#[test]
fn pr_is_long_in_first_degree_block_alone() {
    for rhythm in Rhythm::ALL.into_iter().filter(|rhythm| rhythm.is_sinus()) {
        for (condition, low, high) in [
            (Condition::new(rhythm), 110.0, 200.0),
            (Condition::new(rhythm).with_first_degree_av_block(), 205.0, 325.0),
        ] {
            for beat in records(condition).flat_map(|record| record.truth.beats) {
                let pr = beat.pr_ms.expect("sinus beats have a P");
                assert!((low..=high).contains(&pr), "{condition:?} {pr}");
                let onset = beat.p_onset_s.expect("sinus beats have a P");
                assert!(((beat.qrs_onset_s - onset) * 1000.0 - pr).abs() < 1e-9);
            }
        }
    }
}

#[test]
fn pr_measured_on_the_signal_is_that_of_the_truth() {
    // At these rates the preceding T wave has ended.
    for condition in [
        Condition::new(Rhythm::SinusBradycardia),
        Condition::new(Rhythm::SinusBradycardia).with_first_degree_av_block(),
    ] {
        for record in records(condition) {
            let r = whole_beats(&record)[0];
            let (on, _) = qrs_bounds(&spatial_speed(&record), r);
            let lead = record.clean.row(Lead::II.index());
            let start = r - 210;
            let height = |k: usize| lead[k] - lead[start];
            let peak = (start..on - 15)
                .max_by(|a, b| height(*a).total_cmp(&height(*b)))
                .expect("not empty");
            // The P wave starts where it has reached a tenth of its height.
            let onset = (start..peak).rev().find(|k| height(*k) < 0.1 * height(peak));
            let onset = onset.expect("the window starts before P");
            let measured = (on - onset) as f64 * 1000.0 / HZ;
            let at = r as f64 / HZ;
            let truth = record.truth.beats.iter().find(|beat| (beat.r_s - at).abs() < 0.01);
            let pr = truth.and_then(|beat| beat.pr_ms).expect("a sinus beat");
            assert!((measured - pr).abs() < 14.0, "{measured} {pr}");
        }
    }
}

#[test]
fn qrs_width_fits_the_conduction() {
    use Conduction::*;
    for (conduction, low, high) in [
        (Normal, 78.0, 109.0),
        (IncompleteRightBundleBranchBlock, 100.0, 119.0),
        (LeftBundleBranchBlock, 120.0, 190.0),
        (RightBundleBranchBlock, 120.0, 175.0),
    ] {
        for record in records(blocked(conduction)) {
            let speed = spatial_speed(&record);
            for (r, beat) in whole_beats(&record)
                .into_iter()
                .zip(record.truth.beats.iter().filter(|beat| (0.6..9.3).contains(&beat.r_s)))
            {
                let (on, off) = qrs_bounds(&speed, r);
                let width = (off - on) as f64 * 1000.0 / HZ;
                assert!((low..=high).contains(&width), "{conduction:?} {width}");
                // High voltage and the gain of left block put more of the flanks above the threshold.
                let stated = (beat.qrs_offset_s - beat.qrs_onset_s) * 1000.0;
                assert!((width - stated).abs() < 26.0, "{conduction:?} {width} {stated}");
            }
        }
    }
}

#[test]
fn right_block_has_rsr_in_v1_and_a_wide_s_in_i_and_v6() {
    for record in records(blocked(Conduction::RightBundleBranchBlock)) {
        let v1 = first_qrs(&record, Lead::V1);
        let bottom = (0..v1.len()).min_by(|a, b| v1[*a].total_cmp(&v1[*b])).expect("not empty");
        let (r, s, second) = (highest(&v1[..bottom]), v1[bottom], highest(&v1[bottom..]));
        assert!(r > 0.1 && s < -0.1 && second > r, "{r} {s} {second}");
        for lead in [Lead::I, Lead::V6] {
            let qrs = first_qrs(&record, lead);
            let top = (0..qrs.len()).max_by(|a, b| qrs[*a].total_cmp(&qrs[*b])).expect("not empty");
            let s_ms = qrs[top..].iter().filter(|v| **v < -0.02).count() as f64 * 1000.0 / HZ;
            assert!(s_ms >= 40.0, "{lead} {s_ms}");
        }
    }
}

#[test]
fn incomplete_right_block_has_a_small_late_r_in_v1() {
    for record in records(blocked(Conduction::IncompleteRightBundleBranchBlock)) {
        let v1 = first_qrs(&record, Lead::V1);
        let bottom = (0..v1.len()).min_by(|a, b| v1[*a].total_cmp(&v1[*b])).expect("not empty");
        assert!(highest(&v1[bottom..]) > 0.05, "no r' in V1");
    }
}

#[test]
fn left_block_has_a_broad_notched_r_to_the_left_and_qs_or_rs_in_v1() {
    for record in records(blocked(Conduction::LeftBundleBranchBlock)) {
        let v1 = first_qrs(&record, Lead::V1);
        assert!(lowest(&v1) < -0.4 && highest(&v1) < 0.25 * -lowest(&v1), "V1");
        let mut notches = 0;
        for lead in [Lead::I, Lead::V5, Lead::V6] {
            let qrs = first_qrs(&record, lead);
            let top = highest(&qrs);
            // No q wave, and positive for most of its length.
            let first_half = &qrs[..qrs.len() / 3];
            assert!(lowest(first_half) > -0.1 * top, "{lead} has a q");
            let broad_ms = qrs.iter().filter(|v| **v > 0.1 * top).count() as f64 * 1000.0 / HZ;
            assert!(broad_ms > 85.0, "{lead} {broad_ms}");
            notches +=
                qrs.windows(3).filter(|w| w[1] < w[0] && w[1] <= w[2] && w[1] > 0.1 * top).count();
        }
        assert!(notches >= 1, "no notch in I, V5, V6");
        // The T wave points away from the QRS.
        let last = record.truth.beats.iter().find(|beat| beat.r_s > 0.6).expect("a beat");
        let t = ((last.r_s + 0.30) * HZ) as usize;
        assert!(
            record.clean[[Lead::V6.index(), t]] < 0.0 && record.clean[[Lead::V1.index(), t]] > 0.0
        );
    }
}

#[test]
fn normal_conduction_has_neither() {
    for record in records(sinus()) {
        let v1 = first_qrs(&record, Lead::V1);
        let bottom = (0..v1.len()).min_by(|a, b| v1[*a].total_cmp(&v1[*b])).expect("not empty");
        assert!(highest(&v1[bottom..]) < highest(&v1[..bottom]), "no R' in V1");
        assert!(highest(&first_qrs(&record, Lead::V6)) > 0.3);
    }
}

#[test]
fn hypertrophy_is_high_voltage_to_the_left_and_back_alone() {
    use Conduction::*;
    for conduction in [Normal, RightBundleBranchBlock, IncompleteRightBundleBranchBlock] {
        let usual = blocked(conduction);
        let large = usual.with_left_ventricular_hypertrophy();
        for (usual, large) in records(usual).zip(records(large)) {
            let [[r, sokolow], [r_large, sokolow_large]] = [usual, large].map(|record| {
                let v1 = first_qrs(&record, Lead::V1);
                let bottom =
                    (0..v1.len()).min_by(|a, b| v1[*a].total_cmp(&v1[*b])).expect("not empty");
                let left = [Lead::V5, Lead::V6].map(|lead| highest(&first_qrs(&record, lead)));
                [highest(&v1[..bottom]), highest(&left) - v1[bottom]]
            });
            // A high R in V1 would be a sign of the right ventricle.
            assert!((0.85..1.0).contains(&(r_large / r)), "{conduction:?} {r} {r_large}");
            assert!(sokolow_large > 1.4 * sokolow, "{conduction:?} {sokolow} {sokolow_large}");
        }
    }
}

#[test]
fn paced_beats_are_regular_and_wide_with_an_axis_upwards_and_an_opposite_t() {
    let mut with_p = 0;
    for record in records(Condition::new(Rhythm::Paced)) {
        assert!((55.0..=90.0).contains(&record.truth.rate_bpm), "{}", record.truth.rate_bpm);
        let rr = rr_s(&record);
        assert!(rr.iter().all(|rr| (rr * record.truth.rate_bpm / 60.0 - 1.0).abs() < 1e-9));
        let speed = spatial_speed(&record);
        for beat in whole_of(&record, BeatKind::Paced) {
            let width = qrs_ms(&speed, beat);
            assert!(width >= 120.0, "{width}");
            let area = |lead| qrs_area(&record, lead, beat);
            assert!(
                [Lead::II, Lead::III, Lead::AVF, Lead::V1].iter().all(|lead| area(*lead) < -20.0)
            );
            assert!(area(Lead::I) > 10.0, "{}", area(Lead::I));
            let cosine = qrs_t_cosine(&record, beat);
            assert!(cosine < -0.9, "{cosine}");
        }
        let beats = &record.truth.beats;
        assert!(beats.iter().all(|beat| beat.kind == BeatKind::Paced));
        assert!(beats.iter().all(|beat| beat.pr_ms == beats[0].pr_ms));
        with_p += usize::from(beats[0].pr_ms.is_some());
    }
    assert!((10..=30).contains(&with_p), "{with_p}");
}

#[test]
fn supraventricular_tachycardia_is_fast_and_regular_and_has_no_p() {
    use Conduction::*;
    for (conduction, fastest) in
        [(Normal, 210.0), (LeftBundleBranchBlock, 190.0), (RightBundleBranchBlock, 190.0)]
    {
        let condition = Condition::new(Rhythm::SupraventricularTachycardia);
        for record in records(condition.with_conduction(conduction)) {
            let rate = record.truth.rate_bpm;
            assert!((151.0..=fastest).contains(&rate), "{conduction:?} {rate}");
            let rr = rr_s(&record);
            assert!((60.0 / mean(&rr) / rate - 1.0).abs() < 0.005, "{conduction:?} {rate}");
            assert!(variation(&rr) < 0.01, "{conduction:?} {}", variation(&rr));
            for beat in &record.truth.beats {
                assert_eq!(beat.kind, BeatKind::Reentry);
                assert!(beat.p_onset_s.is_none() && beat.pr_ms.is_none());
            }
        }
    }
}

#[test]
fn premature_ventricular_beats_are_wide_and_from_either_side_with_an_opposite_t() {
    let condition = Condition::new(Rhythm::SinusBradycardia).with_ectopy(Ectopy::Ventricular);
    let [mut from_right, mut from_left] = [0, 0];
    for record in records(condition) {
        let speed = spatial_speed(&record);
        for beat in whole_of(&record, BeatKind::PrematureVentricular) {
            let width = qrs_ms(&speed, beat);
            assert!(width >= 140.0, "{width}");
            // From the right ventricle: negative in V1 and downwards. From the left one: the opposite.
            let [v1, avf] = [Lead::V1, Lead::AVF].map(|lead| qrs_area(&record, lead, beat));
            assert!(v1.abs() > 30.0 && avf.abs() > 30.0 && v1 * avf < 0.0, "{v1} {avf}");
            from_right += usize::from(v1 < 0.0);
            from_left += usize::from(v1 > 0.0);
            let cosine = qrs_t_cosine(&record, beat);
            assert!(cosine < -0.9, "{cosine}");
        }
    }
    assert!(from_right > 0 && from_left > 0, "{from_right} {from_left}");
}

#[test]
fn the_p_wave_behind_a_premature_ventricular_beat_is_not_conducted() {
    for rhythm in [Rhythm::NormalSinus, Rhythm::SinusBradycardia, Rhythm::SinusTachycardia] {
        for record in records(Condition::new(rhythm).with_ectopy(Ectopy::Ventricular)) {
            let blocked = &record.truth.blocked_p_s;
            assert!(blocked.iter().all(|onset| (0.0..10.0).contains(onset)), "{blocked:?}");
            for beats in record.truth.beats.windows(3) {
                if beats[1].kind != BeatKind::PrematureVentricular {
                    continue;
                }
                let onset = |beat: &Beat| beat.p_onset_s.expect("sinus beats have a P");
                let middle = (onset(&beats[0]) + onset(&beats[2])) / 2.0;
                // The PR intervals vary by up to 4 ms.
                let there = blocked.iter().filter(|onset| (**onset - middle).abs() < 0.005).count();
                assert_eq!(there, 1, "{rhythm:?} {middle} {blocked:?}");
            }
        }
    }
    for condition in [
        sinus(),
        sinus().with_ectopy(Ectopy::Atrial),
        Condition::new(Rhythm::AtrialFibrillation).with_ectopy(Ectopy::Ventricular),
    ] {
        assert!(records(condition).all(|record| record.truth.blocked_p_s.is_empty()));
    }
}

#[test]
fn premature_beats_in_fast_fibrillation_are_early() {
    let condition = Condition::new(Rhythm::AtrialFibrillation).with_ectopy(Ectopy::Ventricular);
    let mut fast = 0;
    for record in records(condition) {
        fast += usize::from(record.truth.rate_bpm > 120.0);
        let beats = &record.truth.beats;
        let premature = |beat: &Beat| beat.kind == BeatKind::PrematureVentricular;
        assert!(beats.iter().any(premature), "no premature beat");
        for pair in beats.windows(2).filter(|pair| premature(&pair[1])) {
            let early = (pair[1].r_s - pair[0].r_s) * record.truth.rate_bpm / 60.0;
            assert!(early < 0.851, "{early}");
        }
    }
    assert!(fast > 0, "no fast recording");
}

#[test]
fn premature_beats_are_early_and_present() {
    for (ectopy, kind) in [
        (Ectopy::Ventricular, BeatKind::PrematureVentricular),
        (Ectopy::Atrial, BeatKind::PrematureAtrial),
    ] {
        for rhythm in [Rhythm::NormalSinus, Rhythm::SinusBradycardia, Rhythm::SinusTachycardia] {
            for record in records(Condition::new(rhythm).with_ectopy(ectopy)) {
                let beats = &record.truth.beats;
                assert!(beats.iter().any(|beat| beat.kind == kind), "{rhythm:?} {ectopy:?}");
                for pair in beats.windows(2).filter(|pair| pair[1].kind == kind) {
                    let early = (pair[1].r_s - pair[0].r_s) * record.truth.rate_bpm / 60.0;
                    assert!((0.5..0.95).contains(&early), "{rhythm:?} {ectopy:?} {early}");
                    assert_eq!(pair[1].pr_ms.is_some(), ectopy == Ectopy::Atrial);
                }
            }
        }
    }
}

#[test]
fn flutter_beats_keep_to_the_sawtooth() {
    for record in records(Condition::new(Rhythm::AtrialFlutter)) {
        let wave = record.truth.atrial.expect("F waves");
        for rr in rr_s(&record) {
            let cycles = rr * wave.hz;
            assert!((1.9..4.1).contains(&cycles) && (cycles - cycles.round()).abs() < 0.06);
        }
    }
}
