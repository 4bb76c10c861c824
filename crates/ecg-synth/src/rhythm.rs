use core::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use crate::atrial::AtrialWave;
use crate::rng::Rng;
use crate::waves::Complex;
use crate::{Condition, Conduction, Ectopy, Rhythm};

/// Seconds by which the rhythm starts before the recording, so that the first waves are complete.
const RUN_UP_S: f64 = 4.0;
/// Respiratory frequency, Hz. Respiration modulates the sinus node and turns the heart's axis.
pub(crate) const RESPIRATION_HZ: f64 = 0.25;

/// The origin of a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BeatKind {
    /// The sinus node.
    Sinus,
    /// A premature beat from the atria.
    PrematureAtrial,
    /// A premature beat from the ventricles.
    PrematureVentricular,
    /// A beat conducted from fibrillating atria.
    Fibrillation,
    /// A beat conducted from fluttering atria.
    Flutter,
    /// A supraventricular re-entry beat without a visible P wave.
    Reentry,
    /// A pacemaker, with or without a preceding P wave.
    Paced,
}

/// A beat whose waves have not been drawn yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Planned {
    pub(crate) kind: BeatKind,
    /// Time of R from the start of the recording.
    pub(crate) r_s: f64,
    /// PR interval in ms, if the beat has a P wave.
    pub(crate) pr_ms: Option<f64>,
    /// The RR interval that the T wave is adapted to: a running mean, because repolarisation follows the rate slowly.
    pub(crate) qt_rr_s: f64,
}

/// The beats of a recording and the atrial activity between them.
#[derive(Debug, PartialEq)]
pub(crate) struct Timeline {
    pub(crate) rate_bpm: f64,
    pub(crate) beats: Vec<Planned>,
    /// The P waves of the sinus node that premature ventricular beats keep from the ventricles.
    pub(crate) blocked: Vec<Blocked>,
    pub(crate) atrial: Option<AtrialWave>,
}

/// A P wave without a beat of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Blocked {
    /// Time at which the R of its beat would be, from the start of the recording.
    pub(crate) r_s: f64,
    /// The PR interval that would be, in ms.
    pub(crate) pr_ms: f64,
}

impl Timeline {
    /// Draws beats until `end_s`, in order of time, so that a longer recording starts with the beats of a shorter one.
    ///
    /// `origin_s` is that of the [`AtrialWave`], if the rhythm has one.
    pub(crate) fn draw(condition: &Condition, end_s: f64, origin_s: f64, rng: &mut Rng) -> Self {
        match condition.rhythm {
            Rhythm::NormalSinus
            | Rhythm::SinusBradycardia
            | Rhythm::SinusTachycardia
            | Rhythm::SinusArrhythmia => sinus(condition, end_s, rng),
            Rhythm::AtrialFibrillation => fibrillation(condition, end_s, origin_s, rng),
            Rhythm::AtrialFlutter => flutter(end_s, origin_s, rng),
            Rhythm::SupraventricularTachycardia => {
                // Above 190 per minute a wide QRS would start before the peak of the preceding T wave.
                let wide = matches!(
                    condition.conduction,
                    Conduction::LeftBundleBranchBlock | Conduction::RightBundleBranchBlock
                );
                let highest = if wide { 190.0 } else { 210.0 };
                regular(BeatKind::Reentry, rng.within(151.0, highest), 0.004, None, end_s, rng)
            }
            Rhythm::Paced => {
                let rate = rng.within(55.0, 90.0);
                let pr = rng.chance(0.5).then_some(160.0);
                regular(BeatKind::Paced, rate, 0.0, pr, end_s, rng)
            }
        }
    }

    fn new(rate_bpm: f64, atrial: Option<AtrialWave>) -> Self {
        Self { rate_bpm, beats: Vec::new(), blocked: Vec::new(), atrial }
    }

    /// Adds a beat and returns the interval that its T wave is adapted to.
    fn push(&mut self, kind: BeatKind, r_s: f64, pr_ms: Option<f64>) -> f64 {
        let qt_rr_s = match self.beats.last() {
            Some(last) => 0.7 * last.qt_rr_s + 0.3 * (r_s - last.r_s),
            None => 60.0 / self.rate_bpm,
        };
        self.beats.push(Planned { kind, r_s, pr_ms, qt_rr_s });
        qt_rr_s
    }
}

/// Shortest interval in sinus arrhythmia, as a fraction of the mean interval.
const SHORTEST_OF_ARRHYTHMIA: f64 = 0.72;

/// Draws the mean rate of a sinus rhythm.
///
/// A quarter of normal sinus rhythms, bradycardias and tachycardias lie close to a border between labels.
fn sinus_rate(condition: &Condition, rng: &mut Rng) -> f64 {
    let border = rng.chance(0.25);
    let side = rng.chance(0.5);
    let (low, high) = match (condition.rhythm, border, side) {
        (Rhythm::SinusBradycardia, true, _) => (55.0, 59.0),
        (Rhythm::SinusBradycardia, false, _) => (40.0, 59.0),
        (Rhythm::SinusTachycardia, true, _) => (101.0, 105.0),
        // Above 120 per minute a long PR interval would put the P wave into the preceding QRS.
        (Rhythm::SinusTachycardia, false, _) if condition.first_degree_av_block => (101.0, 120.0),
        (Rhythm::SinusTachycardia, false, _) => (101.0, 150.0),
        // In sinus arrhythmia the same holds above 85, because of its shortest intervals.
        (Rhythm::SinusArrhythmia, ..) if condition.first_degree_av_block => (60.0, 85.0),
        (Rhythm::SinusArrhythmia, ..) => (60.0, 95.0),
        (_, true, true) => (60.0, 65.0),
        (_, true, false) => (95.0, 100.0),
        _ => (60.0, 100.0),
    };
    rng.within(low, high)
}

/// Draws the PR interval in ms for a sinus rate.
fn pr_interval(rate_bpm: f64, condition: &Condition, rng: &mut Rng) -> f64 {
    if condition.first_degree_av_block {
        let shortest = match condition.rhythm {
            Rhythm::SinusArrhythmia => SHORTEST_OF_ARRHYTHMIA,
            _ => 1.0,
        };
        let longest = (shortest * 60_000.0 / rate_bpm - 250.0).min(320.0);
        let pr = rng.within(210.0, longest);
        // The normal deviate below takes two draws. With as many here, all later draws are those without block.
        rng.unit();
        pr
    } else {
        (rng.normal(160.0, 14.0) - 0.35 * (rate_bpm - 70.0)).clamp(115.0, 195.0)
    }
}

fn sinus(condition: &Condition, end_s: f64, rng: &mut Rng) -> Timeline {
    let rate = sinus_rate(condition, rng);
    let mean_s = 60.0 / rate;
    let pr = pr_interval(rate, condition, rng);
    let [respiration, pressure] = [rng.within(0.0, TAU), rng.within(0.0, TAU)];
    let arrhythmia = rng.within(0.12, 0.25);
    let depth = if condition.rhythm == Rhythm::SinusArrhythmia { arrhythmia } else { 0.02 };
    // Number of beats from one ectopic beat to the next; the first comes within three beats of the start.
    let every = 3 + rng.below(4);
    let mut until = rng.below(3);
    // Ventricular beats of one focus have one coupling interval, as a fraction of RR. It is drawn at the first of them,
    // so that the beats before are those without ectopy.
    let mut of_focus = None;

    let mut timeline = Timeline::new(rate, None);
    let mut t = -RUN_UP_S - mean_s * rng.unit();
    while t < end_s {
        let rr = mean_s
            * (1.0
                + depth * libm::sin(TAU * RESPIRATION_HZ * t + respiration)
                + 0.012 * libm::sin(TAU * 0.1 * t + pressure)
                + rng.normal(0.0, 0.005));
        let jitter = rng.normal(0.0, 1.5).clamp(-4.0, 4.0);
        timeline.push(BeatKind::Sinus, t, Some(pr + jitter));
        let due = condition.ectopy != Ectopy::None && t >= 0.0 && until == 0;
        if t >= 0.0 {
            until = if until == 0 { every } else { until - 1 };
        }
        if !due {
            t += rr;
        } else if condition.ectopy == Ectopy::Ventricular {
            // The coupling interval is at least 0.34 s, the refractory period, but at most 0.85 RR, so that the beat
            // stays premature. The sinus node keeps its time, so a full compensatory pause follows; its P wave at RR is
            // not conducted.
            let fraction = *of_focus.get_or_insert_with(|| rng.within(0.55, 0.70));
            let coupling = (rr * fraction).max(0.34).min(0.85 * rr);
            timeline.push(BeatKind::PrematureVentricular, t + coupling, None);
            timeline.blocked.push(Blocked { r_s: t + rr, pr_ms: pr });
            t += 2.0 * rr;
        } else {
            // The ectopic P wave comes at about the peak of the T wave or later, but the coupling interval is at most
            // 0.9 RR, so that the beat stays premature. The sinus node is reset, so the pause is short: together with
            // the coupling interval it stays below 2 RR, also in fast rhythms with their late premature beats.
            let earliest = 0.30 + pr / 1000.0;
            let coupling = (rr * rng.within(0.60, 0.75)).max(earliest).min(0.9 * rr);
            timeline.push(BeatKind::PrematureAtrial, t + coupling, Some(pr));
            t += (coupling + rr * rng.within(1.0, 1.15)).min(1.95 * rr);
        }
    }
    timeline
}

/// Draws an RR interval in s of atrial fibrillation with a mean of 0.66 s.
///
/// This is the AV-node model after Corino et al. 2011 (IEEE TBME 58:3386) with two refractory periods. Impulses arrive
/// at rate `lam` and pass with a probability that rises linearly for `tp` after the refractory period.
fn corino(rng: &mut Rng) -> f64 {
    let (lam, tp) = (7.0, 0.25);
    let l = -libm::log(1.0 - rng.unit());
    let rising = (2.0 * tp * l / lam).sqrt();
    let x = if rising <= tp { rising } else { tp + (l - lam * tp / 2.0) / lam };
    x + if rng.chance(0.6) { 0.35 } else { 0.50 }
}

/// Mean of [`corino`] in s: the integral of its survival function, 0.41 + 0.1928 + exp(-lam tp / 2) / lam.
const CORINO_MEAN_S: f64 = 0.6624;

fn fibrillation(condition: &Condition, end_s: f64, origin_s: f64, rng: &mut Rng) -> Timeline {
    /// Shortest interval in s after a premature ventricular beat, which leaves the AV node refractory.
    const AFTER_PREMATURE_S: f64 = 0.55;
    let rate = rng.normal(92.0, 24.0).clamp(50.0, 150.0);
    let scale = 60.0 / rate / CORINO_MEAN_S;
    let complex = Complex::of(condition);
    let mut timeline = Timeline::new(rate, Some(AtrialWave::fibrillation(origin_s, rng)));
    let every = 4 + rng.below(4);
    let mut until = 1 + rng.below(3);
    let mut t = -RUN_UP_S - rng.unit();
    while t < end_s {
        let qt_rr_s = timeline.push(BeatKind::Fibrillation, t, None);
        if t >= 0.0 {
            until = if until == 0 { every } else { until - 1 };
        }
        let mut shortest = complex.refractory_s(qt_rr_s);
        if condition.ectopy == Ectopy::Ventricular && t >= 0.0 && until == 0 {
            // Earlier than the next beat is due on average.
            t += rng.within(0.36, 0.44).min(0.85 * 60.0 / rate);
            timeline.push(BeatKind::PrematureVentricular, t, None);
            shortest = AFTER_PREMATURE_S;
        }
        t += (scale * corino(rng)).max(shortest);
    }
    timeline
}

fn flutter(end_s: f64, origin_s: f64, rng: &mut Rng) -> Timeline {
    let hz = rng.within(250.0, 320.0) / 60.0;
    let fixed = match rng.unit() {
        p if p < 0.40 => Some(2),
        p if p < 0.50 => Some(3),
        p if p < 0.65 => Some(4),
        _ => None,
    };
    let mean = fixed.map_or(3.0, f64::from);
    let wave = AtrialWave::flutter(hz, origin_s, rng);
    let mut timeline = Timeline::new(60.0 * hz / mean, Some(wave));
    // Whole cycles from beat to beat, so that the QRS keeps its place in the sawtooth.
    let mut cycle = ((origin_s - RUN_UP_S) * hz).floor();
    let place = rng.unit();
    loop {
        let t = (cycle + place) / hz - origin_s;
        if t >= end_s {
            return timeline;
        }
        timeline.push(BeatKind::Flutter, t + rng.normal(0.0, 0.002), None);
        cycle += f64::from(fixed.unwrap_or_else(|| [2, 2, 3, 4, 4][rng.below(5)]));
    }
}

fn regular(
    kind: BeatKind,
    rate: f64,
    spread: f64,
    pr_ms: Option<f64>,
    end_s: f64,
    rng: &mut Rng,
) -> Timeline {
    let mean_s = 60.0 / rate;
    let mut timeline = Timeline::new(rate, None);
    let mut t = -RUN_UP_S - mean_s * rng.unit();
    while t < end_s {
        timeline.push(kind, t, pr_ms);
        t += mean_s * (1.0 + rng.normal(0.0, spread));
    }
    timeline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn corino_has_the_stated_mean_and_spread() {
        let mut rng = Rng::new(3, 0, Stream::Rhythm);
        let rr: Vec<f64> = (0..20_000).map(|_| corino(&mut rng)).collect();
        let mean = rr.iter().sum::<f64>() / 2e4;
        let sd = (rr.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2e4).sqrt();
        // Four standard errors of the mean, each 0.17 / sqrt(20000) = 0.0012.
        assert!((mean - CORINO_MEAN_S).abs() < 0.005, "{mean}");
        assert!((sd / mean - 0.26).abs() < 0.02, "{}", sd / mean);
    }

    #[test]
    fn a_longer_recording_starts_with_the_beats_of_a_shorter() {
        for rhythm in Rhythm::ALL {
            let beats = |end_s| {
                let mut rng = Rng::new(5, 9, Stream::Rhythm);
                Timeline::draw(&Condition::new(rhythm), end_s, 1.3, &mut rng).beats
            };
            let (short, long) = (beats(5.0), beats(30.0));
            assert!(short.len() > 3 && long.len() > short.len());
            assert_eq!(short, long[..short.len()]);
        }
    }

    #[test]
    fn flutter_beats_keep_their_place_in_the_sawtooth_whatever_its_origin() {
        let condition = Condition::new(Rhythm::AtrialFlutter);
        for index in 0..50 {
            let place = |origin_s: f64| {
                let mut rng = Rng::new(1, index, Stream::Rhythm);
                let timeline = Timeline::draw(&condition, 10.0, origin_s, &mut rng);
                let hz = timeline.atrial.expect("F waves").hz;
                let first = timeline.beats[0].r_s;
                assert!((first + RUN_UP_S).abs() < 1.0 / hz + 0.02, "{first}");
                (first + origin_s) * hz
            };
            let apart = place(0.0) - place(3.3);
            assert!((apart - apart.round()).abs() < 1e-9, "{apart}");
        }
    }

    #[test]
    fn the_pause_after_a_premature_atrial_beat_is_incomplete() {
        for rhythm in [Rhythm::SinusTachycardia, Rhythm::NormalSinus, Rhythm::SinusBradycardia] {
            for index in 0..200 {
                let beats = |ectopy| {
                    let condition = Condition::new(rhythm).with_ectopy(ectopy);
                    let mut rng = Rng::new(1, index, Stream::Rhythm);
                    Timeline::draw(&condition, 10.0, 0.0, &mut rng).beats
                };
                // Up to the first premature beat, both have the same beats.
                let (plain, ectopic) = (beats(Ectopy::None), beats(Ectopy::Atrial));
                let early = ectopic.iter().position(|beat| beat.kind == BeatKind::PrematureAtrial);
                let early = early.expect("within the first beats");
                assert_eq!(plain[..early], ectopic[..early]);
                let rr = plain[early].r_s - plain[early - 1].r_s;
                let around = ectopic[early + 1].r_s - ectopic[early - 1].r_s;
                assert!(around < 1.951 * rr, "{rhythm:?} {index}: {around} {rr}");
            }
        }
    }

    #[test]
    fn premature_ventricular_beats_have_one_coupling_and_leave_the_sinus_node_alone() {
        let condition = Condition::new(Rhythm::SinusBradycardia).with_ectopy(Ectopy::Ventricular);
        let mut fractions = Vec::new();
        for index in 0..50 {
            let mut rng = Rng::new(1, index, Stream::Rhythm);
            let timeline = Timeline::draw(&condition, 30.0, 0.0, &mut rng);
            // The times of each premature beat and of its neighbours.
            let premature: Vec<[f64; 3]> = timeline
                .beats
                .windows(3)
                .filter(|beats| beats[1].kind == BeatKind::PrematureVentricular)
                .map(|beats| [0, 1, 2].map(|k: usize| beats[k].r_s))
                .collect();
            assert!(premature.len() > 1, "{index}");
            let fraction =
                |[before, early, after]: [f64; 3]| 2.0 * (early - before) / (after - before);
            let first = fraction(premature[0]);
            for (&times, blocked) in premature.iter().zip(&timeline.blocked) {
                assert!((fraction(times) - first).abs() < 1e-9, "{index}: {times:?}");
                assert!((blocked.r_s - (times[0] + times[2]) / 2.0).abs() < 1e-9, "{index}");
                assert!((115.0..=195.0).contains(&blocked.pr_ms), "{}", blocked.pr_ms);
            }
            fractions.push(first);
        }
        fractions.sort_by(f64::total_cmp);
        assert!(fractions[0] < 0.58 && fractions[49] > 0.67, "{fractions:?}");
    }

    #[test]
    fn a_long_pr_leaves_room_for_the_t_wave() {
        for (rhythm, fastest) in [
            (Rhythm::SinusTachycardia, 120.0),
            (Rhythm::SinusArrhythmia, 85.0),
            (Rhythm::NormalSinus, 100.0),
        ] {
            let condition = Condition::new(rhythm).with_first_degree_av_block();
            for index in 0..200 {
                let mut rng = Rng::new(1, index, Stream::Rhythm);
                let timeline = Timeline::draw(&condition, 10.0, 0.0, &mut rng);
                assert!(timeline.rate_bpm <= fastest);
                for pair in timeline.beats.windows(2) {
                    let pr = pair[1].pr_ms.expect("sinus beats have a P");
                    assert!((205.0..=325.0).contains(&pr), "{pr}");
                    // 250 ms from QRS to P, less what random variation takes from the interval and adds to the PR.
                    let before_p = pair[1].r_s - pair[0].r_s - pr / 1000.0;
                    assert!(before_p > 0.22, "{rhythm:?} {index}: {before_p}");
                }
            }
        }
    }

    #[test]
    fn only_premature_ventricular_beats_start_before_the_peak_of_t() {
        use Conduction::*;
        for rhythm in Rhythm::ALL.into_iter().filter(|rhythm| *rhythm != Rhythm::Paced) {
            for conduction in [
                Normal,
                LeftBundleBranchBlock,
                RightBundleBranchBlock,
                IncompleteRightBundleBranchBlock,
            ] {
                let condition = Condition::new(rhythm).with_conduction(conduction);
                let complex = Complex::of(&condition);
                for index in 0..200 {
                    let mut rng = Rng::new(1, index, Stream::Rhythm);
                    for pair in Timeline::draw(&condition, 10.0, 0.0, &mut rng).beats.windows(2) {
                        let rr = pair[1].r_s - pair[0].r_s;
                        let shortest = complex.refractory_s(pair[0].qt_rr_s);
                        assert!(rr > shortest - 1e-12, "{condition:?} {index}: {rr} {shortest}");
                    }
                }
            }
        }
    }
}
