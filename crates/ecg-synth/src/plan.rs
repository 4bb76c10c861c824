use crate::rng::{Rng, Stream};
use crate::{Condition, Conduction, Ectopy, Quality, Rhythm};

/// Rhythms of each block of 20 records, shuffled within the block, so that every block contains every rhythm.
const BLOCK: [Rhythm; 20] = {
    use Rhythm::*;
    [
        NormalSinus,
        NormalSinus,
        NormalSinus,
        NormalSinus,
        NormalSinus,
        NormalSinus,
        SinusBradycardia,
        SinusBradycardia,
        SinusBradycardia,
        SinusTachycardia,
        SinusTachycardia,
        SinusTachycardia,
        AtrialFibrillation,
        AtrialFibrillation,
        AtrialFibrillation,
        AtrialFibrillation,
        SinusArrhythmia,
        AtrialFlutter,
        SupraventricularTachycardia,
        Paced,
    ]
};

/// Draws what record `index` shows. The mix is documented on [`crate::Synthesizer::record`].
pub(crate) fn draw(seed: u64, index: u64) -> Condition {
    let mut order = BLOCK;
    let length = BLOCK.len() as u64;
    let mut rng = Rng::new(seed, index / length, Stream::Block);
    for k in (1..order.len()).rev() {
        order.swap(k, rng.below(k + 1));
    }
    let rhythm = order[(index % length) as usize];

    let mut rng = Rng::new(seed, index, Stream::Plan);
    let [av, conduction, ectopy, voltage, quality] = core::array::from_fn(|_| rng.unit());
    let mut condition = Condition::new(rhythm);
    condition.first_degree_av_block = rhythm.is_sinus() && av < 0.30;
    if rhythm != Rhythm::Paced {
        condition.conduction = match conduction {
            p if p < 0.17 => Conduction::LeftBundleBranchBlock,
            p if p < 0.34 => Conduction::RightBundleBranchBlock,
            p if p < 0.41 => Conduction::IncompleteRightBundleBranchBlock,
            _ => Conduction::Normal,
        };
        condition.left_ventricular_hypertrophy =
            condition.conduction != Conduction::LeftBundleBranchBlock && voltage < 0.08;
    }
    condition.ectopy = match rhythm {
        _ if !rhythm.is_sinus() && rhythm != Rhythm::AtrialFibrillation => Ectopy::None,
        _ if ectopy < 0.08 => Ectopy::Ventricular,
        _ if rhythm.is_sinus() && ectopy < 0.16 => Ectopy::Atrial,
        _ => Ectopy::None,
    };
    condition.quality = match quality {
        p if p < 0.06 => Quality::PoorElectrode,
        p if p < 0.09 => Quality::FlatLead,
        _ => Quality::Good,
    };
    condition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_every_rhythm_and_every_draw_is_possible() {
        for block in 0..50 {
            let drawn: Vec<_> = (0..20).map(|k| draw(7, 20 * block + k)).collect();
            for rhythm in Rhythm::ALL {
                let expected = BLOCK.iter().filter(|own| **own == rhythm).count();
                assert_eq!(drawn.iter().filter(|own| own.rhythm == rhythm).count(), expected);
            }
            assert!(drawn.iter().all(|condition| condition.check().is_ok()));
        }
    }

    #[test]
    fn a_few_hundred_records_have_plenty_of_each_label() {
        let mut positives = [0; 7];
        let mut several = 0;
        for index in 0..300 {
            let labels = draw(1, index).labels();
            several += u32::from(labels.iter().filter(|held| **held).count() > 1);
            for (count, held) in positives.iter_mut().zip(labels) {
                *count += u32::from(held);
            }
        }
        assert!(positives.iter().all(|count| *count >= 35), "{positives:?}");
        assert!(several > 90, "{several}");
    }
}
