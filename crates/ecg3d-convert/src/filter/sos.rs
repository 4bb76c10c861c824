use super::rows::{BothWays, Causal, LANES, section_lanes};
use crate::ConvertError;
use crate::simd::run;

/// A recursive filter as a cascade of second-order sections.
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

/// How a signal continues beyond its ends while it is filtered forward and backward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continuation {
    /// By point reflection about its ends, so that neither value nor slope jumps (SciPy's `padtype="odd"`).
    #[default]
    Odd,
    /// By reflection about its end samples (`"even"`).
    Even,
    /// With its end samples (`"constant"`).
    Constant,
}

/// The memory of a filter between two pieces of a signal: two values for each section.
#[derive(Debug, Clone, PartialEq)]
pub struct SosState(Vec<[f64; 2]>);

impl SosState {
    /// Creates a state from two values for each section, like SciPy's `zi`.
    pub fn new(values: Vec<[f64; 2]>) -> Self {
        Self(values)
    }

    /// Returns the two values of each section, like SciPy's `zi`.
    pub fn values(&self) -> &[[f64; 2]] {
        &self.0
    }

    /// Returns the state times `factor`. If `self` is the steady state of a unit step, this is that of a step of height
    /// `factor`.
    pub fn scaled(&self, factor: f64) -> Self {
        Self(self.0.iter().map(|z| z.map(|value| value * factor)).collect())
    }
}

impl Sos {
    /// Creates a filter from sections `[b0, b1, b2, a0, a1, a2]`. Each is divided by its `a0`.
    ///
    /// # Errors
    /// Returns an error if there is no section, a coefficient is not finite, or an `a0` is zero.
    pub fn new(sections: &[[f64; 6]]) -> Result<Self, ConvertError> {
        let bad = |s: &&[f64; 6]| s[3] == 0.0 || s.iter().any(|c| !c.is_finite());
        if sections.is_empty() || sections.iter().find(bad).is_some() {
            return Err(ConvertError::config(
                "a filter's sections",
                format_args!("{sections:?}"),
                "at least one section, all of finite numbers with a nonzero a0",
            ));
        }
        Ok(Self::from_normalised(sections.iter().map(|s| s.map(|c| c / s[3])).collect()))
    }

    /// `sections` must not be empty, and every a0 must be 1.
    pub(super) fn from_normalised(sections: Vec<[f64; 6]>) -> Self {
        Self { sections }
    }

    /// Returns the sections, each as `[b0, b1, b2, 1, a1, a2]`.
    pub fn sections(&self) -> &[[f64; 6]] {
        &self.sections
    }

    /// Returns the state of a filter that has only seen zeros.
    pub fn rest(&self) -> SosState {
        SosState(vec![[0.0; 2]; self.sections.len()])
    }

    /// Returns the state of a filter that has only seen ones (SciPy's `sosfilt_zi`).
    pub fn steady(&self) -> SosState {
        SosState(self.steady_states().collect())
    }

    fn steady_states(&self) -> impl Iterator<Item = [f64; 2]> {
        let mut scale = 1.0;
        self.sections.iter().map(move |section| steady_state(section, &mut scale))
    }

    /// Filters a piece of a signal in place, causally (SciPy's `sosfilt` with `zi`). `state` carries over to the next
    /// piece.
    ///
    /// # Errors
    /// Returns an error if the state belongs to a filter with another number of sections.
    pub fn filter(&self, signal: &mut [f64], state: &mut SosState) -> Result<(), ConvertError> {
        ConvertError::check_shape("the state", &[state.0.len()], &[self.sections.len()])?;
        for (section, z) in self.sections.iter().zip(&mut state.0) {
            section_lanes::<1, false>(section, [&mut *signal], std::array::from_mut(z));
        }
        Ok(())
    }

    /// Filters forward and backward in place, so that no delay is left (SciPy's `sosfiltfilt` with odd padding).
    ///
    /// The signal is extended on both sides by `padding` samples, by point reflection about its ends. The number of
    /// samples is what SciPy calls `padlen`; 0 means no padding.
    ///
    /// # Errors
    /// Returns the errors of [`Sos::filter_both_ways_with`].
    pub fn filter_both_ways(&self, signal: &mut [f64], padding: usize) -> Result<(), ConvertError> {
        self.filter_both_ways_with(signal, Continuation::Odd, padding)
    }

    /// Like [`Sos::filter_both_ways`], with a choice of how the signal continues beyond its ends.
    ///
    /// # Errors
    /// Returns an error if the signal has at most `padding` samples, or if the filter has a pole at 0 Hz, and so no
    /// steady state to start from.
    pub fn filter_both_ways_with(
        &self,
        signal: &mut [f64],
        continuation: Continuation,
        padding: usize,
    ) -> Result<(), ConvertError> {
        let n = signal.len();
        self.rows_both_ways(signal, n, continuation, padding, &mut Vec::new())
    }

    /// Returns the padding that SciPy's `sosfiltfilt` uses by default: three times the filter's length.
    pub fn default_padding(&self) -> usize {
        let without = |k: usize| self.sections.iter().filter(|section| section[k] == 0.0).count();
        3 * (2 * self.sections.len() + 1 - without(2).min(without(5)))
    }

    /// Filters rows of `n` samples in place, each starting from rest.
    pub(crate) fn filter_rows(&self, rows: &mut [f64], n: usize) {
        if n > 0 {
            run(Causal { sections: &self.sections, rows, n });
        }
    }

    /// Like [`Sos::filter_both_ways`], for rows of `n` samples.
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
                "no pole at 0 Hz for filtering forward and backward",
            ));
        }
        padded.resize(LANES * (n + 2 * padding), 0.0);
        run(BothWays { sections: &self.sections, rows, n, continuation, padding, padded });
        Ok(())
    }
}

/// Returns the state of a section that has only seen the value `scale`. Sets `scale` to the section's output for that
/// value.
///
/// The state is the fixed point of the recursion. It is computed in SciPy's order of operations, because the sums
/// nearly cancel in a filter with low corner frequencies.
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
        // Over whole rows, a first-order section uses another order of operations: a few rounding errors of values up
        // to 30.
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
