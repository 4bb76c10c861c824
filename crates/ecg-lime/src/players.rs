use std::collections::HashSet;

use ecg_core::{Lead, LeadMask, LeadName};
use ndarray::{ArrayView2, ArrayViewMut2, s};

use crate::LimeError;

/// The largest number of players for which all subsets are evaluated.
pub const MAX_PLAYERS: usize = 16;

/// Number of bits of a [`LeadMask`].
pub(crate) const MAX_LEADS: usize = 32;

/// One player, to which part of a decision is attributed: a lead, or a group of leads that are removed
/// together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Player {
    /// The player's name: the name of the lead or the group.
    pub name: String,
    /// Rows of the signal that are removed with this player.
    pub rows: Vec<usize>,
}

/// The players among which a decision is divided, and what removing each of them does to the signal.
///
/// Bit `k` of a mask over players is set if player `k` is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Players {
    list: Vec<Player>,
    leads: Vec<LeadName>,
    limb: Option<LimbRows>,
}

/// Rows of the six limb leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LimbRows {
    i: usize,
    ii: usize,
    iii: usize,
    avr: usize,
    avl: usize,
    avf: usize,
}

impl LimbRows {
    /// Each derived lead with its coefficients for I and II (Einthoven, Goldberger).
    fn derived(self) -> [(usize, f32, f32); 4] {
        [
            (self.iii, -1.0, 1.0),
            (self.avr, -0.5, -0.5),
            (self.avl, 1.0, -0.5),
            (self.avf, -0.5, 1.0),
        ]
    }
}

impl Players {
    /// Makes each lead a player of its own, under its standard name if it has one (aVR, however the file spells
    /// it).
    ///
    /// Meant for comparison with the published study. The six limb leads hold two signals' worth of
    /// information, so their values split what they share, and removing one of them makes an ECG that no body
    /// can produce.
    ///
    /// Leads of one name are refused when a signal of them is evaluated.
    pub fn leads<L: Clone + Into<LeadName>>(leads: &[L]) -> Self {
        let leads: Vec<LeadName> = leads.iter().cloned().map(Into::into).collect();
        let list = leads
            .iter()
            .enumerate()
            .map(|(row, lead)| Player { name: lead.standard_name().to_owned(), rows: vec![row] });
        Self { list: list.collect(), limb: None, leads }
    }

    /// Makes the eight independent leads I, II and V1 to V6 the players.
    ///
    /// Removing I or II recomputes III, aVR, aVL and aVF from what is left.
    ///
    /// # Errors
    /// Returns an error if there are more than 32 leads, or if one of the twelve standard leads is missing.
    pub fn independent<L: Clone + Into<LeadName>>(leads: &[L]) -> Result<Self, LimeError> {
        let leads: Vec<LeadName> = leads.iter().cloned().map(Into::into).collect();
        check_leads(&leads)?;
        let row = |lead: Lead| {
            let found = leads.iter().position(|name| name.lead() == Some(lead));
            found.ok_or(LimeError::MissingLead { lead })
        };
        let limb = LimbRows {
            i: row(Lead::I)?,
            ii: row(Lead::II)?,
            iii: row(Lead::III)?,
            avr: row(Lead::AVR)?,
            avl: row(Lead::AVL)?,
            avf: row(Lead::AVF)?,
        };
        const EIGHT: [Lead; 8] =
            [Lead::I, Lead::II, Lead::V1, Lead::V2, Lead::V3, Lead::V4, Lead::V5, Lead::V6];
        let list = EIGHT
            .into_iter()
            .map(|lead| Ok(Player { name: lead.name().to_owned(), rows: vec![row(lead)?] }))
            .collect::<Result<_, LimeError>>()?;
        Ok(Self { list, limb: Some(limb), leads })
    }

    /// Makes groups of leads the players. A group has a name and rows, which are removed together.
    ///
    /// # Errors
    /// Returns an error if there are more than 32 leads, if a row belongs to no lead, if a lead is in no group
    /// or in several, or if two groups have one name.
    pub fn groups<L: Clone + Into<LeadName>>(
        leads: &[L],
        groups: &[(&str, &[usize])],
    ) -> Result<Self, LimeError> {
        let leads: Vec<LeadName> = leads.iter().cloned().map(Into::into).collect();
        let rows = groups.iter().flat_map(|group| group.1).copied();
        check_leads(&leads)?;
        check_names(groups.iter().map(|group| group.0))?;
        if let Some(row) = rows.clone().find(|row| *row >= leads.len()) {
            return Err(LimeError::GroupRow { row, leads: leads.len() });
        }
        for lead in 0..leads.len() {
            let times = rows.clone().filter(|row| *row == lead).count();
            if times != 1 {
                return Err(LimeError::Group { lead, times });
            }
        }
        let list = groups
            .iter()
            .map(|(name, rows)| Player { name: (*name).to_owned(), rows: rows.to_vec() });
        Ok(Self { list: list.collect(), limb: None, leads })
    }

    /// Makes two players of twelve leads in standard order: the limb leads and the precordial leads.
    pub fn limb_and_precordial() -> Self {
        let player = |name: &str, rows: std::ops::Range<usize>| Player {
            name: name.to_owned(),
            rows: rows.collect(),
        };
        Self {
            list: vec![player("limb", 0..6), player("precordial", 6..12)],
            leads: Lead::STANDARD_12.map(LeadName::from).to_vec(),
            limb: None,
        }
    }

    /// Iterates over the players in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Player> {
        self.list.iter()
    }

    /// Returns the number of players.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the signal's leads, in the order of its rows.
    pub fn lead_names(&self) -> &[LeadName] {
        &self.leads
    }

    /// Returns whether removing I or II recomputes the derived limb leads.
    pub fn derives_limb_leads(&self) -> bool {
        self.limb.is_some()
    }

    /// Returns a copy in which each lead of a player, and each derived lead, is a player of its own.
    ///
    /// Rows that are always kept remain so.
    pub fn each_lead(&self) -> Self {
        let derived = self.limb.into_iter().flat_map(|limb| limb.derived()).map(|(row, ..)| row);
        let mut rows: Vec<usize> = self
            .list
            .iter()
            .flat_map(|player| player.rows.iter().copied())
            .chain(derived)
            .collect();
        rows.sort_unstable();
        let mut all = Self::leads(&self.leads);
        all.list.retain(|player| rows.binary_search(&player.rows[0]).is_ok());
        all
    }

    /// Returns the usual unions for Owen values, by the players' indices: the players made of limb leads (I,
    /// II, III, aVR, aVL, aVF), then all others.
    ///
    /// If one of the two is empty, there is a single union, and the Owen values are the Shapley values.
    pub fn limb_unions(&self) -> Vec<Vec<usize>> {
        let (limb, others): (Vec<usize>, Vec<usize>) =
            (0..self.len()).partition(|&k| self.is_limb(k) == Some(true));
        [limb, others].into_iter().filter(|union| !union.is_empty()).collect()
    }

    /// Whether [`Players::limb_unions`] are exactly the limb leads and the chest leads: both occur, and nothing
    /// else does.
    pub(crate) fn are_limb_and_chest(&self) -> bool {
        let kinds: Vec<Option<bool>> = (0..self.len()).map(|k| self.is_limb(k)).collect();
        [Some(true), Some(false)].iter().all(|kind| kinds.contains(kind)) && !kinds.contains(&None)
    }

    /// Whether a player consists of limb leads or of chest leads; `None` if it mixes the two or has other
    /// leads.
    fn is_limb(&self, player: usize) -> Option<bool> {
        let mut kinds = self.list[player]
            .rows
            .iter()
            .map(|row| self.leads[*row].lead().map(|lead| lead < Lead::V1));
        let first = kinds.next()??;
        kinds.all(|kind| kind == Some(first)).then_some(first)
    }

    /// The leads of which something is left under a mask over players. The leads of removed players are gone,
    /// and so are the derived limb leads if both I and II are. Rows that are neither a player's nor derived are
    /// always kept.
    pub(crate) fn leads_left(&self, mask: LeadMask) -> LeadMask {
        let removed = self.list.iter().enumerate().filter(|(k, _)| !mask.keeps(*k));
        let mut gone =
            removed.flat_map(|(_, player)| &player.rows).fold(0, |bits, row| bits | 1 << row);
        // I and II are the first two players.
        if let Some(limb) = self.limb.filter(|_| !mask.keeps(0) && !mask.keeps(1)) {
            gone |= limb.derived().into_iter().fold(0, |bits, (row, ..)| bits | 1 << row);
        }
        LeadMask::all(self.leads.len()).without(LeadMask(gone))
    }

    /// Writes the signal `[lead, sample]` of one mask. Removed leads are taken from `replacement` (zero if
    /// there is none), and the derived limb leads are recomputed from the resulting I and II.
    ///
    /// If both I and II are kept, the derived leads stay as recorded, so that the full mask gives back the
    /// signal itself. Rows that are neither a player's nor derived are always kept.
    pub(crate) fn masked_into(
        &self,
        prepared: ArrayView2<'_, f32>,
        replacement: Option<ArrayView2<'_, f32>>,
        mask: LeadMask,
        mut out: ArrayViewMut2<'_, f32>,
    ) {
        out.assign(&prepared);
        for (_, player) in self.list.iter().enumerate().filter(|(k, _)| !mask.keeps(*k)) {
            for &row in &player.rows {
                match replacement {
                    Some(other) => out.row_mut(row).assign(&other.row(row)),
                    None => out.row_mut(row).fill(0.0),
                }
            }
        }
        // I and II are the first two players.
        let Some(limb) = self.limb.filter(|_| !(mask.keeps(0) && mask.keeps(1))) else { return };
        for (row, of_i, of_ii) in limb.derived() {
            for sample in 0..out.ncols() {
                out[[row, sample]] = of_i * out[[limb.i, sample]] + of_ii * out[[limb.ii, sample]];
            }
        }
    }

    /// Returns the largest difference between the derived limb leads and what I and II imply for them, in the
    /// signal's units.
    ///
    /// It is 0 for players that derive nothing.
    pub fn einthoven_residual(&self, prepared: ArrayView2<'_, f32>) -> f64 {
        let Some(limb) = self.limb else { return 0.0 };
        let mut largest = 0.0f32;
        for (row, of_i, of_ii) in limb.derived() {
            let rows =
                prepared.row(row).into_iter().zip(prepared.row(limb.i)).zip(prepared.row(limb.ii));
            for ((own, i), ii) in rows {
                largest = largest.max((own - of_i * i - of_ii * ii).abs());
            }
        }
        f64::from(largest)
    }

    /// Largest absolute value among the limb leads' rows.
    pub(crate) fn limb_peak(&self, prepared: ArrayView2<'_, f32>) -> f64 {
        let Some(limb) = self.limb else { return 0.0 };
        let rows = [limb.i, limb.ii, limb.iii, limb.avr, limb.avl, limb.avf];
        rows.into_iter()
            .flat_map(|row| prepared.slice_move(s![row, ..]))
            .fold(0.0, |peak, v| f64::max(peak, f64::from(v.abs())))
    }
}

/// Refuses names that occur twice.
pub(crate) fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), LimeError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(LimeError::DuplicatePlayer { name: name.to_owned() });
        }
    }
    Ok(())
}

/// Refuses more leads than a mask has bits.
fn check_leads(leads: &[LeadName]) -> Result<(), LimeError> {
    if leads.len() > MAX_LEADS {
        return Err(LimeError::TooManyLeads { found: leads.len(), max: MAX_LEADS });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Array3};

    fn masked(players: &Players, x: &Array2<f32>, masks: &[LeadMask]) -> Array3<f32> {
        let mut batch = Array3::from_elem((masks.len(), x.nrows(), x.ncols()), f32::NAN);
        for (mask, signal) in masks.iter().zip(batch.outer_iter_mut()) {
            players.masked_into(x.view(), None, *mask, signal);
        }
        batch
    }

    #[test]
    fn leads_go_by_their_standard_names() {
        let spelt = ["I", "AVR", "avl", "v1", "Pleth"].map(LeadName::from);
        let names: Vec<String> =
            Players::leads(&spelt).iter().map(|player| player.name.clone()).collect();
        assert_eq!(names, ["I", "aVR", "aVL", "V1", "Pleth"]);
    }

    /// Twelve leads that obey Einthoven; the eight independent ones are random.
    fn body(samples: usize) -> Array2<f32> {
        let mut x = Array2::from_shape_fn((12, samples), |(lead, t)| {
            ((lead * 31 + t * 17) % 23) as f32 - 11.0
        });
        let derived =
            Players::independent(&Lead::STANDARD_12).expect("twelve").limb.expect("limb").derived();
        for (row, of_i, of_ii) in derived {
            for t in 0..samples {
                x[[row, t]] = of_i * x[[0, t]] + of_ii * x[[1, t]];
            }
        }
        x
    }

    #[test]
    fn removing_a_limb_lead_leaves_a_possible_ecg() {
        let players = Players::independent(&Lead::STANDARD_12).expect("twelve leads");
        let x = body(7);
        assert_eq!(players.einthoven_residual(x.view()), 0.0);
        let masks = crate::all_masks(8);
        let batch = masked(&players, &x, &masks);
        for (mask, signal) in masks.iter().zip(batch.outer_iter()) {
            assert_eq!(players.einthoven_residual(signal), 0.0, "{mask:?}");
            for (k, player) in players.iter().enumerate() {
                let row = signal.row(player.rows[0]);
                if mask.keeps(k) {
                    assert_eq!(row, x.row(player.rows[0]));
                } else {
                    assert!(row.iter().all(|v| *v == 0.0));
                }
            }
        }
        assert_eq!(batch.index_axis(ndarray::Axis(0), 255), x);
    }

    #[test]
    fn a_replacement_stands_in_for_what_is_removed() {
        let players = Players::independent(&Lead::STANDARD_12).expect("twelve leads");
        let (x, other) = (body(7), body(7) * 3.0);
        let mut out = Array2::zeros((12, 7));
        for mask in crate::all_masks(8) {
            players.masked_into(x.view(), Some(other.view()), mask, out.view_mut());
            // A mixture of two possible ECGs is possible again.
            assert_eq!(players.einthoven_residual(out.view()), 0.0, "{mask:?}");
            for (k, player) in players.iter().enumerate() {
                let from = if mask.keeps(k) { &x } else { &other };
                assert_eq!(out.row(player.rows[0]), from.row(player.rows[0]));
            }
        }
    }

    #[test]
    fn limb_leads_that_do_not_fit_are_noticed() {
        let players = Players::independent(&Lead::STANDARD_12).expect("twelve leads");
        let mut x = body(7);
        x[[3, 2]] += 0.25;
        assert_eq!(players.einthoven_residual(x.view()), 0.25);
        // The recorded signal is kept as it is if neither I nor II is removed.
        let batch = masked(&players, &x, &[LeadMask::all(8)]);
        assert_eq!(batch.index_axis(ndarray::Axis(0), 0), x);
    }

    #[test]
    fn a_derived_lead_is_gone_with_both_its_parents() {
        let players = Players::independent(&Lead::STANDARD_12).expect("twelve leads");
        let gone = |removed: u32| {
            let left = players.leads_left(LeadMask::all(8).without(LeadMask(removed)));
            (0..12).filter(|row| !left.keeps(*row)).collect::<Vec<_>>()
        };
        assert_eq!(gone(0), [0; 0]);
        assert_eq!((gone(0b01), gone(0b10)), (vec![0], vec![1]));
        assert_eq!(gone(0b1000_0011), [0, 1, 2, 3, 4, 5, 11]);
        let pairs = Players::groups(&[Lead::I, Lead::II, Lead::V1], &[("a", &[0, 2]), ("b", &[1])]);
        assert_eq!(pairs.expect("covered").leads_left(LeadMask(0b10)), LeadMask(0b010));
    }

    #[test]
    fn further_leads_stay_as_they_are() {
        let mut leads = Lead::STANDARD_12.map(LeadName::from).to_vec();
        leads.push(LeadName::from("V7"));
        let players = Players::independent(&leads).expect("twelve leads");
        let mut x = Array2::from_elem((13, 7), 0.5);
        x.slice_mut(s![..12, ..]).assign(&body(7));
        let batch = masked(&players, &x, &crate::all_masks(8));
        for signal in batch.outer_iter() {
            assert_eq!(signal.row(12), x.row(12));
        }
        assert!(batch.slice(s![0, ..12, ..]).iter().all(|v| *v == 0.0));
        assert_eq!(batch.index_axis(ndarray::Axis(0), 255), x);
        // Nor is it a player when each of the twelve leads is.
        let each = players.each_lead();
        let names: Vec<&str> = each.iter().map(|player| player.name.as_str()).collect();
        assert_eq!(names, Lead::STANDARD_12.map(Lead::name));
        assert_eq!(masked(&each, &x, &[LeadMask(0)]).slice(s![0, 12, ..]), x.row(12));
        assert_eq!(each.leads_left(LeadMask(0)), LeadMask(1 << 12));
    }

    #[test]
    fn limb_leads_are_a_union_and_the_others_another() {
        let eight = Players::independent(&Lead::STANDARD_12).expect("twelve leads");
        assert_eq!(eight.limb_unions(), [vec![0, 1], (2..8).collect()]);
        assert_eq!(
            eight.each_lead().limb_unions(),
            [(0..6).collect::<Vec<_>>(), (6..12).collect()]
        );
        assert!(eight.are_limb_and_chest() && eight.each_lead().are_limb_and_chest());
        assert_eq!(Players::limb_and_precordial().limb_unions(), [[0], [1]]);
        // However they are spelt, and wherever they stand. Anything else goes with the chest leads.
        let other = Players::leads(&["v1", "AVF", "Pleth"].map(LeadName::from));
        assert_eq!(
            (other.limb_unions(), other.are_limb_and_chest()),
            (vec![vec![1], vec![0, 2]], false)
        );
        let chest = Players::leads(&[Lead::V1, Lead::V2]);
        assert_eq!((chest.limb_unions(), chest.are_limb_and_chest()), (vec![vec![0, 1]], false));
        // A group with leads of both kinds counts as neither.
        let leads = [Lead::I, Lead::V1, Lead::V2];
        let mixed = Players::groups(&leads, &[("a", &[0, 1]), ("b", &[2])]).expect("covered");
        assert_eq!((mixed.limb_unions(), mixed.are_limb_and_chest()), (vec![vec![0, 1]], false));
    }

    #[test]
    fn groups_cover_each_lead_once() {
        let leads = [Lead::I, Lead::II, Lead::V1];
        let groups = Players::groups(&leads, &[("limb", &[0, 1]), ("V", &[2])]).expect("covered");
        assert_eq!(groups.leads_left(LeadMask(0b01)), LeadMask(0b011));
        let twice = Players::groups(&leads, &[("a", &[0, 1]), ("b", &[1, 2])]);
        assert!(matches!(twice, Err(LimeError::Group { lead: 1, times: 2 })));
        let beyond = Players::groups(&leads, &[("a", &[0, 1, 2, 3])]);
        assert!(matches!(beyond, Err(LimeError::GroupRow { row: 3, leads: 3 })));
        let largest = Players::groups(&leads, &[("a", &[0, 1, usize::MAX])]);
        assert!(matches!(largest, Err(LimeError::GroupRow { row: usize::MAX, leads: 3 })));
        let same = Players::groups(&leads, &[("a", &[0, 1]), ("a", &[2])]).expect_err("one name");
        let expected = "two players are named \"a\", expected a name of its own for each";
        assert_eq!(same.to_string(), expected);
        let rows: Vec<usize> = (0..33).collect();
        let many = Players::groups(&[Lead::I; 33], &[("a", &rows)]);
        assert!(matches!(many, Err(LimeError::TooManyLeads { found: 33, max: 32 })));
        let most = Players::groups(&[Lead::I; 32], &[("a", &rows[..32])]).expect("covered");
        assert_eq!(most.leads_left(LeadMask(1)), LeadMask::all(32));
        assert_eq!(most.leads_left(LeadMask(0)), LeadMask(0));
        assert!(matches!(
            Players::independent(&leads),
            Err(LimeError::MissingLead { lead: Lead::III })
        ));
    }
}
