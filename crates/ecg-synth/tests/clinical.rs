//! What a cardiologist would measure, measured on the noise-free signal and on the truth.
//!
//! Criteria for the blocks: AHA/ACCF/HRS 2009 (doi 10.1161/CIRCULATIONAHA.108.191095).

use ecg_core::Lead;
use ecg_synth::{
    BeatKind, Condition, Conduction, Ectopy, Rhythm, SynthOptions, SynthRecord, Synthesizer,
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
fn premature_beats_in_fast_fibrillation_are_early() {
    let condition = Condition::new(Rhythm::AtrialFibrillation).with_ectopy(Ectopy::Ventricular);
    let mut fast = 0;
    for record in records(condition) {
        fast += usize::from(record.truth.rate_bpm > 120.0);
        for pair in record.truth.beats.windows(2) {
            if pair[1].kind == BeatKind::PrematureVentricular {
                let early = (pair[1].r_s - pair[0].r_s) * record.truth.rate_bpm / 60.0;
                assert!(early < 0.851, "{early}");
            }
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
