use ecg_core::LeadMask;
use ndarray::{ArrayView2, ArrayViewMut2, s};

use crate::{LimeError, Players};

/// Players made of lead x time segments: each player of [`Players`] is cut at the same samples.
///
/// Player `lead * segments + segment` is lead player `lead` from sample `borders[segment]` to the one before
/// `borders[segment + 1]`. Removing a segment of I or II recomputes the derived limb leads within that segment
/// if the lead players derive them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    leads: Players,
    borders: Vec<usize>,
}

impl Segments {
    /// Makes `count` segments of equal width over `samples` samples.
    ///
    /// If `count` does not divide `samples`, widths differ by at most one sample.
    ///
    /// # Errors
    /// Returns an error if there is no segment, or if there are more segments than samples.
    pub fn equal(leads: &Players, samples: usize, count: usize) -> Result<Self, LimeError> {
        if count == 0 || count > samples {
            return Err(LimeError::SegmentCount { found: count, samples });
        }
        let borders = (0..=count).map(|k| (k * samples).div_ceil(count)).collect();
        Ok(Self { leads: leads.clone(), borders })
    }

    /// Makes segments between given borders, such as heart beats, or P, QRS and T.
    ///
    /// The first border is 0, the last is the number of samples.
    ///
    /// # Errors
    /// Returns an error if there are fewer than two borders, or if they do not start at 0 or do not rise.
    pub fn with_borders(leads: &Players, borders: &[usize]) -> Result<Self, LimeError> {
        if borders.len() < 2 {
            return Err(LimeError::SegmentBorders { found: borders.len() });
        }
        if borders[0] != 0 {
            return Err(LimeError::SegmentBorder { border: 0, found: borders[0] });
        }
        if let Some(k) = (1..borders.len()).find(|&k| borders[k] <= borders[k - 1]) {
            return Err(LimeError::SegmentBorder { border: k, found: borders[k] });
        }
        Ok(Self { leads: leads.clone(), borders: borders.to_vec() })
    }

    /// Makes one segment over `samples` samples, so that the players are whole leads.
    pub fn whole(leads: &Players, samples: usize) -> Self {
        Self { leads: leads.clone(), borders: vec![0, samples] }
    }

    /// Returns the lead players.
    pub fn leads(&self) -> &Players {
        &self.leads
    }

    /// Returns the samples at which segments begin, followed by the number of samples.
    pub fn borders(&self) -> &[usize] {
        &self.borders
    }

    /// Returns the number of segments of each lead.
    pub fn count(&self) -> usize {
        self.borders.len() - 1
    }

    /// Returns the number of players: lead players x segments.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.leads.len() * self.count()
    }

    /// Returns the names of the players in order.
    ///
    /// The name is that of the lead if it is whole; otherwise it includes the samples covered, as in
    /// `V1[20..40]`.
    pub fn names(&self) -> Vec<String> {
        let spans = self.borders.windows(2);
        self.leads
            .iter()
            .flat_map(|player| {
                spans.clone().map(|span| match self.count() {
                    1 => player.name.clone(),
                    _ => format!("{}{}", player.name, span_name(span)),
                })
            })
            .collect()
    }

    /// The same segments, with each lead a player of its own.
    pub(crate) fn each_lead(&self) -> Self {
        Self { leads: self.leads.each_lead(), borders: self.borders.clone() }
    }

    /// Returns the lead player and the segment of a player.
    pub(crate) fn place(&self, player: usize) -> (usize, usize) {
        (player / self.count(), player % self.count())
    }

    /// Writes the signal of a coalition, which is one mask over the lead players for each segment.
    pub(crate) fn masked_into(
        &self,
        prepared: ArrayView2<'_, f32>,
        replacement: Option<ArrayView2<'_, f32>>,
        coalition: &[LeadMask],
        mut out: ArrayViewMut2<'_, f32>,
    ) {
        for (span, mask) in self.borders.windows(2).zip(coalition) {
            let span = s![.., span[0]..span[1]];
            let other = replacement.as_ref().map(|other| other.slice(span));
            self.leads.masked_into(prepared.slice(span), other, *mask, out.slice_mut(span));
        }
    }
}

/// What follows the name of a lead in that of its segment between two borders: `[20..40]`.
pub(crate) fn span_name(borders: &[usize]) -> String {
    format!("[{}..{}]", borders[0], borders[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg_core::Lead;
    use ndarray::Array2;

    #[test]
    fn segments_cover_every_sample_once() {
        let leads = Players::leads(&[Lead::I, Lead::II]);
        let segments = Segments::equal(&leads, 10, 3).expect("three of ten");
        assert_eq!(segments.borders(), [0, 4, 7, 10]);
        assert_eq!(segments.len(), 6);
        assert_eq!(segments.names()[4], "II[4..7]");
        assert_eq!(segments.place(4), (1, 1));
        let x = Array2::from_shape_fn((2, 10), |(lead, t)| (1 + lead * 10 + t) as f32);
        let mut sum = Array2::<f32>::zeros((2, 10));
        for player in 0..6 {
            let (lead, segment) = segments.place(player);
            let mut coalition = [LeadMask(0); 3];
            coalition[segment] = LeadMask(1 << lead);
            let mut out = Array2::from_elem((2, 10), f32::NAN);
            segments.masked_into(x.view(), None, &coalition, out.view_mut());
            sum += &out;
        }
        assert_eq!(sum, x);
    }

    #[test]
    fn bad_cuts_are_refused() {
        let leads = Players::leads(&[Lead::I]);
        for count in [0, 11] {
            let found = Segments::equal(&leads, 10, count);
            assert!(matches!(found, Err(LimeError::SegmentCount { samples: 10, .. })));
        }
        for (borders, at) in [(vec![1, 5], 0), (vec![0, 5, 5], 2), (vec![0, 6, 5], 2)] {
            let found = Segments::with_borders(&leads, &borders);
            assert!(
                matches!(found, Err(LimeError::SegmentBorder { border, .. }) if border == at),
                "{borders:?}"
            );
        }
        let error = |borders: &[usize]| {
            Segments::with_borders(&leads, borders).expect_err("too few").to_string()
        };
        assert_eq!(error(&[0]), "found 1 segment border, expected at least two");
        assert_eq!(error(&[]), "found 0 segment borders, expected at least two");
    }
}
