use ecg_core::{LabelSet, SnomedCode};
use serde::{Deserialize, Serialize};

use crate::SynthError;

/// The rhythm that drives the ventricles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Rhythm {
    /// Sinus rhythm at 60 to 100 per minute: label NSR.
    NormalSinus,
    /// Sinus rhythm at 40 to 59 per minute: label SB.
    SinusBradycardia,
    /// Sinus rhythm at 101 to 150 per minute: label STach.
    SinusTachycardia,
    /// Irregular beats at a mean of 50 to 150 per minute over fibrillatory waves, no P wave: label AF.
    AtrialFibrillation,
    /// Sinus rhythm that varies with respiration by +-12 to 25 %: none of the seven labels.
    SinusArrhythmia,
    /// Sawtooth at 250 to 320 per minute, conducted 2:1, 3:1, 4:1 or variably: none of the seven labels.
    AtrialFlutter,
    /// Regular beats without a P wave at 151 to 210 per minute: none of the seven labels.
    SupraventricularTachycardia,
    /// Beats paced from the right ventricle at 55 to 90 per minute; in half of the recordings each beat follows a P
    /// wave: none of the seven labels.
    Paced,
}

impl Rhythm {
    /// All rhythms.
    pub const ALL: [Rhythm; 8] = [
        Rhythm::NormalSinus,
        Rhythm::SinusBradycardia,
        Rhythm::SinusTachycardia,
        Rhythm::AtrialFibrillation,
        Rhythm::SinusArrhythmia,
        Rhythm::AtrialFlutter,
        Rhythm::SupraventricularTachycardia,
        Rhythm::Paced,
    ];

    /// Returns whether a conducted sinus P wave precedes each beat of the rhythm.
    pub fn is_sinus(self) -> bool {
        matches!(
            self,
            Rhythm::NormalSinus
                | Rhythm::SinusBradycardia
                | Rhythm::SinusTachycardia
                | Rhythm::SinusArrhythmia
        )
    }
}

/// The path of conduction to the ventricles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Conduction {
    /// Through both bundle branches.
    Normal,
    /// Left bundle branch block.
    LeftBundleBranchBlock,
    /// Right bundle branch block.
    RightBundleBranchBlock,
    /// Incomplete right bundle branch block, QRS 100 to 119 ms: none of the seven labels.
    IncompleteRightBundleBranchBlock,
}

/// Single premature beats from an ectopic focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Ectopy {
    /// No ectopic beats.
    None,
    /// Premature atrial beats: early, with a different P wave and an incomplete pause (the beats around one are less
    /// than 2 RR apart).
    Atrial,
    /// Premature ventricular beats: early and wide, without a P wave of their own, with a full pause in sinus rhythm:
    /// the P wave of the sinus node falls shortly before, into or after them, and is not conducted.
    Ventricular,
}

/// Quality of the electrode contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Quality {
    /// The usual disturbances only.
    Good,
    /// One electrode with several times the usual muscle noise and wander.
    PoorElectrode,
    /// One of I, II, V1 to V6 without signal. (If I is flat, III equals II.)
    FlatLead,
}

/// What a synthetic recording shows. All combinations are possible except those that [`Condition::check`] rejects.
///
/// Fields missing from the input when deserialising take their defaults; unknown ones are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Condition {
    /// Rhythm. Default: [`Rhythm::NormalSinus`].
    pub rhythm: Rhythm,
    /// First-degree AV block: a PR interval of 210 to 320 ms, and up to 4 ms more or less from beat to beat. Default:
    /// no.
    pub first_degree_av_block: bool,
    /// Conduction to the ventricles. Default: [`Conduction::Normal`].
    pub conduction: Conduction,
    /// Ectopic beats. Default: [`Ectopy::None`].
    pub ectopy: Ectopy,
    /// Left ventricular hypertrophy: high voltage to the left and back, so that S in V1 and R in V5 and V6 are high and
    /// r in V1 is not, often with an inverted lateral T wave. Default: no.
    pub left_ventricular_hypertrophy: bool,
    /// Recording quality. Default: [`Quality::Good`].
    pub quality: Quality,
}

impl Default for Condition {
    fn default() -> Self {
        Self::new(Rhythm::NormalSinus)
    }
}

impl Condition {
    /// Creates a condition with this rhythm and nothing else.
    pub const fn new(rhythm: Rhythm) -> Self {
        Self {
            rhythm,
            first_degree_av_block: false,
            conduction: Conduction::Normal,
            ectopy: Ectopy::None,
            left_ventricular_hypertrophy: false,
            quality: Quality::Good,
        }
    }

    /// Adds first-degree AV block.
    #[must_use]
    pub const fn with_first_degree_av_block(mut self) -> Self {
        self.first_degree_av_block = true;
        self
    }

    /// Sets the conduction.
    #[must_use]
    pub const fn with_conduction(mut self, conduction: Conduction) -> Self {
        self.conduction = conduction;
        self
    }

    /// Sets the ectopic beats.
    #[must_use]
    pub const fn with_ectopy(mut self, ectopy: Ectopy) -> Self {
        self.ectopy = ectopy;
        self
    }

    /// Adds left ventricular hypertrophy.
    #[must_use]
    pub const fn with_left_ventricular_hypertrophy(mut self) -> Self {
        self.left_ventricular_hypertrophy = true;
        self
    }

    /// Sets the quality.
    #[must_use]
    pub const fn with_quality(mut self, quality: Quality) -> Self {
        self.quality = quality;
        self
    }

    /// Checks that the parts are compatible.
    ///
    /// # Errors
    /// Fails for
    ///
    /// - first-degree AV block or premature atrial beats without sinus rhythm,
    /// - premature ventricular beats in flutter, supraventricular tachycardia or paced rhythm,
    /// - a bundle branch block or hypertrophy in paced rhythm, and
    /// - hypertrophy with left bundle branch block.
    pub fn check(&self) -> Result<(), SynthError> {
        let rhythm = self.rhythm;
        if self.first_degree_av_block && !rhythm.is_sinus() {
            return Err(SynthError::AvBlock { found: rhythm });
        }
        match self.ectopy {
            Ectopy::Atrial if !rhythm.is_sinus() => {
                return Err(SynthError::Ectopy { ectopy: "premature atrial beats", found: rhythm });
            }
            Ectopy::Ventricular if !rhythm.is_sinus() && rhythm != Rhythm::AtrialFibrillation => {
                return Err(SynthError::Ectopy {
                    ectopy: "premature ventricular beats",
                    found: rhythm,
                });
            }
            _ => {}
        }
        let incompatible = |part, with| Err(SynthError::Incompatible { part, with });
        if rhythm == Rhythm::Paced && self.conduction != Conduction::Normal {
            return incompatible("a bundle branch block", "paced rhythm");
        }
        if self.left_ventricular_hypertrophy {
            if rhythm == Rhythm::Paced {
                return incompatible("left ventricular hypertrophy", "paced rhythm");
            }
            if self.conduction == Conduction::LeftBundleBranchBlock {
                return incompatible("left ventricular hypertrophy", "left bundle branch block");
            }
        }
        Ok(())
    }

    /// Returns one value for each label of [`LabelSet::seven`], in that order. A sinus rhythm keeps its label alongside
    /// blocks.
    pub fn labels(&self) -> Vec<bool> {
        LabelSet::seven()
            .iter()
            .map(|label| match label {
                "NSR" => self.rhythm == Rhythm::NormalSinus,
                "AF" => self.rhythm == Rhythm::AtrialFibrillation,
                "IAVB" => self.first_degree_av_block,
                "LBBB" => self.conduction == Conduction::LeftBundleBranchBlock,
                "RBBB" => self.conduction == Conduction::RightBundleBranchBlock,
                "SB" => self.rhythm == Rhythm::SinusBradycardia,
                _ => self.rhythm == Rhythm::SinusTachycardia,
            })
            .collect()
    }

    /// Returns the SNOMED CT codes of everything shown, including findings outside the seven labels.
    ///
    /// A recording that ends before its first ectopic beat does not list the code of the ectopy.
    pub fn diagnoses(&self) -> Vec<SnomedCode> {
        let mut codes = vec![match self.rhythm {
            Rhythm::NormalSinus => 426_783_006,
            Rhythm::SinusBradycardia => 426_177_001,
            Rhythm::SinusTachycardia => 427_084_000,
            Rhythm::AtrialFibrillation => 164_889_003,
            Rhythm::SinusArrhythmia => 427_393_009,
            Rhythm::AtrialFlutter => 164_890_007,
            Rhythm::SupraventricularTachycardia => 426_761_007,
            Rhythm::Paced => 10_370_003,
        }];
        if self.first_degree_av_block {
            codes.push(270_492_004);
        }
        match self.conduction {
            Conduction::Normal => {}
            Conduction::LeftBundleBranchBlock => codes.push(164_909_002),
            Conduction::RightBundleBranchBlock => codes.push(59_118_001),
            Conduction::IncompleteRightBundleBranchBlock => codes.push(713_426_002),
        }
        match self.ectopy {
            Ectopy::None => {}
            Ectopy::Atrial => codes.push(284_470_004),
            Ectopy::Ventricular => codes.push(427_172_004),
        }
        if self.left_ventricular_hypertrophy {
            codes.push(164_873_001);
        }
        codes.into_iter().map(SnomedCode).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, MapDeserializer};

    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        let only = MapDeserializer::<_, Error>::new([("first_degree_av_block", true)].into_iter());
        let read = Condition::deserialize(only).expect("valid");
        assert_eq!(read, Condition::default().with_first_degree_av_block());
        assert_eq!(Condition::default(), Condition::new(Rhythm::NormalSinus));
    }

    #[test]
    fn labels_stand_beside_each_other() {
        let condition = Condition::new(Rhythm::SinusTachycardia)
            .with_first_degree_av_block()
            .with_conduction(Conduction::LeftBundleBranchBlock);
        assert_eq!(condition.check(), Ok(()));
        assert_eq!(condition.labels(), [false, false, true, true, false, false, true]);
        let codes: Vec<u64> = condition.diagnoses().iter().map(|code| code.0).collect();
        assert_eq!(codes, [427_084_000, 270_492_004, 164_909_002]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for rhythm in Rhythm::ALL {
            let blocked = Condition::new(rhythm).with_first_degree_av_block();
            assert_eq!(blocked.check().is_ok(), rhythm.is_sinus(), "{rhythm:?}");
        }
        use Conduction::LeftBundleBranchBlock;
        for bad in [
            Condition::new(Rhythm::AtrialFibrillation).with_ectopy(Ectopy::Atrial),
            Condition::new(Rhythm::Paced).with_ectopy(Ectopy::Ventricular),
            Condition::new(Rhythm::Paced).with_conduction(LeftBundleBranchBlock),
            Condition::new(Rhythm::Paced).with_left_ventricular_hypertrophy(),
            Condition::new(Rhythm::NormalSinus)
                .with_conduction(LeftBundleBranchBlock)
                .with_left_ventricular_hypertrophy(),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
