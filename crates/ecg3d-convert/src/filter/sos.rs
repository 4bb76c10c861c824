use super::rows::{BothWays, Causal, LANES, section_lanes};
use crate::ConvertError;
use crate::simd::run;

/// A recursive filter as a chain of second-order sections.
///
/// A section `[b0, b1, b2, 1, a1, a2]` has the transfer function (b0 + b1/z + b2/z^2) / (1 + a1/z + a2/z^2).
///
/// ```
/// use ecg3d_convert::{Band, butterworth};
///
/// let high_pass = butterworth(1, Band::High(0.5), 500.0)?;
/// let mut signal = vec![1.0; 5000]; // an offset
/// high_pass.filter(&mut signal, &mut high_pass.rest())?;
/// assert!(signal[4999].abs() < 1e-12); // is gone
/// # Ok::<(), ecg3d_convert::ConvertError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sos {
    sections: Vec<[f64; 6]>,
}

/// How a signal goes on beyond its ends while it is filtered forward and backward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continuation {
    /// Turned by half a circle about its end points, so that neither value nor slope jumps (`padtype="odd"` of scipy).
    #[default]
    Odd,
    /// Turned about its end samples, as in a mirror (`"even"`).
    Even,
    /// With its end samples (`"constant"`).
    Constant,
}

/// What a filter remembers between two pieces of a signal: two values for each section.
#[derive(Debug, Clone, PartialEq)]
pub struct SosState(Vec<[f64; 2]>);

impl SosState {
    /// A state of these values, two for each section, as scipy's `zi`.
    pub fn new(values: Vec<[f64; 2]>) -> Self {
        Self(values)
    }

    /// The two values of each section, as scipy's `zi`.
    pub fn values(&self) -> &[[f64; 2]] {
        &self.0
    }

    /// The state times `factor`: the steady state of a step of that height, if `self` is that of a unit step.
    pub fn scaled(&self, factor: f64) -> Self {
        Self(self.0.iter().map(|z| z.map(|value| value * factor)).collect())
    }
}

impl Sos {
    /// A filter of these sections, `[b0, b1, b2, a0, a1, a2]` each, divided by their `a0`.
    ///
    /// # Errors
    /// No section; a coefficient that is not finite, or an `a0` of zero.
    pub fn new(sections: &[[f64; 6]]) -> Result<Self, ConvertError> {
        let bad = |s: &&[f64; 6]| s[3] == 0.0 || s.iter().any(|c| !c.is_finite());
        if sections.is_empty() || sections.iter().find(bad).is_some() {
            return Err(ConvertError::config(
                "a filter's sections",
                format_args!("{sections:?}"),
                "at least one section of finite numbers with a0 other than 0",
            ));
        }
        Ok(Self::from_normalised(sections.iter().map(|s| s.map(|c| c / s[3])).collect()))
    }

    /// `sections` is not empty and every a0 is 1.
    pub(super) fn from_normalised(sections: Vec<[f64; 6]>) -> Self {
        Self { sections }
    }

    /// The sections, `[b0, b1, b2, 1, a1, a2]` each.
    pub fn sections(&self) -> &[[f64; 6]] {
        &self.sections
    }

    /// The state of a filter that has seen nothing but zeros.
    pub fn rest(&self) -> SosState {
        SosState(vec![[0.0; 2]; self.sections.len()])
    }

    /// The state of a filter that has seen nothing but ones (scipy's `sosfilt_zi`).
    pub fn steady(&self) -> SosState {
        SosState(self.steady_states().collect())
    }

    fn steady_states(&self) -> impl Iterator<Item = [f64; 2]> {
        let mut scale = 1.0;
        self.sections.iter().map(move |section| steady_state(section, &mut scale))
    }

    /// Filters a piece of a signal in place, causally; `state` carries over to the next piece (scipy's `sosfilt` with `zi`).
    ///
    /// # Errors
    /// A state of a filter with another number of sections.
    pub fn filter(&self, signal: &mut [f64], state: &mut SosState) -> Result<(), ConvertError> {
        ConvertError::check_shape("the state", &[state.0.len()], &[self.sections.len()])?;
        for (section, z) in self.sections.iter().zip(&mut state.0) {
            section_lanes::<1, false>(section, [&mut *signal], std::array::from_mut(z));
        }
        Ok(())
    }

    /// Filters forward and backward in place, so that no delay is left (scipy's `sosfiltfilt` with odd padding).
    ///
    /// The signal is continued on both sides by `padding` samples, turned about its end points. The extent of the
    /// padding is what scipy calls `padlen`; 0 means none.
    ///
    /// # Errors
    /// As [`Sos::filter_both_ways_with`].
    pub fn filter_both_ways(&self, signal: &mut [f64], padding: usize) -> Result<(), ConvertError> {
        self.filter_both_ways_with(signal, Continuation::Odd, padding)
    }

    /// [`Sos::filter_both_ways`] with a choice of how the signal goes on.
    ///
    /// # Errors
    /// A signal of at most `padding` samples; a filter with a pole at 0 Hz, which has no steady state to begin from.
    pub fn filter_both_ways_with(
        &self,
        signal: &mut [f64],
        continuation: Continuation,
        padding: usize,
    ) -> Result<(), ConvertError> {
        let n = signal.len();
        self.rows_both_ways(signal, n, continuation, padding, &mut Vec::new())
    }

    /// The padding that scipy's `sosfiltfilt` takes where it is told none: three times the filter's length.
    pub fn default_padding(&self) -> usize {
        let without = |k: usize| self.sections.iter().filter(|section| section[k] == 0.0).count();
        3 * (2 * self.sections.len() + 1 - without(2).min(without(5)))
    }

    /// Filters rows of `n` samples in place, each from rest.
    pub(crate) fn filter_rows(&self, rows: &mut [f64], n: usize) {
        if n > 0 {
            run(Causal { sections: &self.sections, rows, n });
        }
    }

    /// [`Sos::filter_both_ways`] over rows of `n` samples.
    pub(crate) fn rows_both_ways(
        &self,
        rows: &mut [f64],
        n: usize,
        continuation: Continuation,
        padding: usize,
        padded: &mut Vec<f64>,
    ) -> Result<(), ConvertError> {
        if n <= padding {
            let what = "filtering forward and backward";
            return Err(ConvertError::Length {
                what,
                expected: padding.saturating_add(1),
                found: n,
            });
        }
        if !self.steady_states().flatten().all(f64::is_finite) {
            return Err(ConvertError::config(
                "a filter's sections",
                format_args!("{:?}", self.sections),
                "no pole at 0 Hz, for a signal that is filtered both ways",
            ));
        }
        padded.resize(LANES * (n + 2 * padding), 0.0);
        run(BothWays { sections: &self.sections, rows, n, continuation, padding, padded });
        Ok(())
    }
}

/// The state of a section that has seen nothing but `scale`; `scale` then becomes what it puts out.
///
/// The fixed point of the recursion, in the order of operations of scipy: in a filter of low corners the sums nearly
/// cancel.
pub(super) fn steady_state(&[b0, b1, b2, _, a1, a2]: &[f64; 6], scale: &mut f64) -> [f64; 2] {
    let first = ((b1 - a1 * b0) + (b2 - a2 * b0)) / ((1.0 + a1) + a2);
    let second = (1.0 + a1) * first - (b1 - a1 * b0);
    let state = [*scale * first, *scale * second];
    *scale *= (b0 + b1 + b2) / (1.0 + a1 + a2);
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pole_at_zero_has_no_steady_state() {
        let sum = Sos::new(&[[1.0, 0.0, 0.0, 1.0, -1.0, 0.0]]).expect("a filter");
        let mut signal = vec![1.0; 100];
        let error = sum.filter_both_ways(&mut signal, 3).expect_err("a pole at 0 Hz");
        assert!(error.to_string().contains("no pole at 0 Hz"), "{error}");
        assert_eq!(signal, [1.0; 100]);
    }

    #[test]
    fn rows_are_filtered_as_if_alone() {
        let sos = Sos::new(&[[0.5, 0.2, 0.1, 1.0, -0.9, 0.3], [2.0, -2.0, 0.0, 2.0, 0.4, 0.0]])
            .expect("a filter");
        let n = 37;
        let mut rows: Vec<f64> = (0..7 * n).map(|k| ((k * k) % 23) as f64 - 11.0).collect();
        let mut alone = rows.clone();
        sos.filter_rows(&mut rows, n);
        for row in alone.chunks_exact_mut(n) {
            // In two pieces, with the state carried over.
            let mut state = sos.rest();
            let (head, tail) = row.split_at_mut(11);
            sos.filter(head, &mut state).expect("its own state");
            sos.filter(tail, &mut state).expect("its own state");
        }
        // Over whole rows a section of order one takes another order of operations: a few roundings of values up to 30.
        for (own, expected) in rows.iter().zip(&alone) {
            approx::assert_abs_diff_eq!(*own, *expected, epsilon = 30.0 * 1e-15);
        }
    }

    #[test]
    fn a_constant_stays_steady() {
        let sos = Sos::new(&[[0.5, 0.2, 0.1, 1.0, -0.5, 0.3]]).expect("a filter");
        let mut signal = vec![3.0; 20];
        sos.filter(&mut signal, &mut sos.steady().scaled(3.0)).expect("its own state");
        for value in &signal {
            approx::assert_relative_eq!(*value, signal[0], max_relative = 1e-14);
        }
    }

    #[test]
    fn padding_needs_a_longer_signal() {
        let sos = Sos::new(&[[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]]).expect("a filter");
        let error = sos.filter_both_ways(&mut [1.0, 2.0], 2).expect_err("too short");
        assert_eq!(
            error.to_string(),
            "filtering forward and backward needs at least 3 values, found 2"
        );
        assert!(sos.filter_both_ways(&mut [], 0).is_err());
    }

    #[test]
    fn states_belong_to_their_filter() {
        let one = Sos::new(&[[1.0, 0.0, 0.0, 1.0, 0.5, 0.0]]).expect("a filter");
        let mut state = SosState::new(vec![[0.0; 2]; 2]);
        let error = one.filter(&mut [1.0], &mut state).expect_err("two sections").to_string();
        assert_eq!(error, "the state has shape [2], expected [1]");
        let mut state = SosState::new(vec![[3.0, 4.0]]);
        assert!(one.filter(&mut [], &mut state).is_ok());
        assert_eq!(state.values(), [[3.0, 4.0]]);
    }
}
