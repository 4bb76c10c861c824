use ecg_core::{Lead, PredictError};

/// Why an explanation could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LimeError {
    /// The predictor failed on a perturbed input.
    #[error("predicting perturbed inputs {first} to {last} (from 0) failed")]
    Predict {
        /// First input of the batch.
        first: usize,
        /// Last input of the batch.
        last: usize,
        /// What the predictor said.
        source: PredictError,
    },
    /// The predictor returned an array of another shape than asked for.
    #[error(
        "the predictor returned {found:?} probabilities ([input, label]), expected {expected:?}"
    )]
    PredictedShape {
        /// What was expected.
        expected: [usize; 2],
        /// What came.
        found: [usize; 2],
    },
    /// A probability that is NaN or outside 0 to 1.
    #[error("perturbed input {input} (from 0), label {label}: {found} is not a probability")]
    Probability {
        /// The input.
        input: usize,
        /// The label.
        label: String,
        /// The value.
        found: f64,
    },
    /// A label that the predictor does not know.
    #[error("unknown label {found:?}; the predictor's labels are {known}")]
    UnknownLabel {
        /// The name given.
        found: String,
        /// The predictor's labels, joined by commas.
        known: String,
    },
    /// The signal has another number of leads than the players were made for.
    #[error("the signal has {found} leads, the players cover {expected}")]
    LeadCount {
        /// Leads that the players were made for.
        expected: usize,
        /// Rows of the signal.
        found: usize,
    },
    /// A lead that the eight independent players need.
    #[error("lead {lead} is missing; the eight independent players need the twelve standard leads")]
    MissingLead {
        /// The lead.
        lead: Lead,
    },
    /// Groups that do not cover every lead exactly once.
    #[error("lead {lead} (from 0) is in {times} groups, expected 1")]
    Group {
        /// Row of the lead.
        lead: usize,
        /// In how many groups it is.
        times: usize,
    },
    /// A group of rows that are no lead's.
    #[error("a group names row {row} (from 0), but there are {leads} leads")]
    GroupRow {
        /// The row.
        row: usize,
        /// Leads given.
        leads: usize,
    },
    /// More leads than a mask has bits.
    #[error("{found} leads, expected at most {max}")]
    TooManyLeads {
        /// Leads given.
        found: usize,
        /// The most that are possible.
        max: usize,
    },
    /// A given subset that keeps a player who does not exist.
    #[error(
        "subset {subset} (from 0) keeps player {player} (from 0), but there are {players} players"
    )]
    Mask {
        /// Index of the subset.
        subset: usize,
        /// The player.
        player: usize,
        /// Number of players.
        players: usize,
    },
    /// No player at all, or more than subsets can be counted for.
    #[error("{found} players, expected 1 to {max}; permutation sampling takes any number")]
    PlayerCount {
        /// Players given.
        found: usize,
        /// The most that are possible.
        max: usize,
    },
    /// A method was given other subsets than it needs.
    #[error("{method} needs its {expected} subsets; found {found} that are not these")]
    Incomplete {
        /// The method.
        method: &'static str,
        /// Subsets needed.
        expected: usize,
        /// Subsets given.
        found: usize,
    },
    /// Masks, weights and targets of a fit that differ in number.
    #[error(
        "{masks} masks, {targets} targets and {weights} weights; expected one of each for every mask"
    )]
    FitLength {
        /// Masks.
        masks: usize,
        /// Targets.
        targets: usize,
        /// Weights.
        weights: usize,
    },
    /// Images of a baseline that are not of the signal's leads.
    #[error("the baseline has images of {found} leads, the signal has {expected} leads")]
    BaselineLeads {
        /// Leads of the signal.
        expected: usize,
        /// Leads that the baseline has images of.
        found: usize,
    },
    /// Images cannot stand in for a part of a lead.
    #[error("images stand in for whole leads, not for {segments} time segments of each")]
    ImagesOfSegments {
        /// Segments of each lead.
        segments: usize,
    },
    /// A list of patients that is not as long as that of the explanations.
    #[error("{explanations} explanations but {patients} patients; expected one for each")]
    CohortLength {
        /// Explanations.
        explanations: usize,
        /// Patients.
        patients: usize,
    },
    /// A weight that is negative or not finite, or weights that are all zero.
    #[error("weights must be finite, not negative and not all zero")]
    Weights,
    /// A setting outside its range.
    #[error("{setting} must be {expected}, found {found}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What it may be.
        expected: &'static str,
        /// The value given.
        found: f64,
    },
    /// A fit that did not reach its minimum.
    #[error("the fit stopped after {iterations} iterations with a gradient of {gradient:e}")]
    NotConverged {
        /// Newton steps made.
        iterations: usize,
        /// Largest component of the gradient.
        gradient: f64,
    },
    /// The observer asked to stop.
    #[error("stopped after {done} of {total} evaluations")]
    Stopped {
        /// Evaluations made.
        done: usize,
        /// Evaluations wanted.
        total: usize,
    },
    /// The signal has another length than the segments cover.
    #[error("the signal has {found} samples, the segments cover {expected}")]
    SampleCount {
        /// Samples that the segments cover.
        expected: usize,
        /// Columns of the signal.
        found: usize,
    },
    /// No segment, or more of them than samples.
    #[error("{found} segments over {samples} samples, expected 1 or more and at most one a sample")]
    SegmentCount {
        /// Segments asked for.
        found: usize,
        /// Samples there are.
        samples: usize,
    },
    /// Borders of segments that do not start at 0 or do not rise.
    #[error("border {border} (from 0) of the segments is {found}; borders start at 0 and rise")]
    SegmentBorder {
        /// Which border.
        border: usize,
        /// Its value.
        found: usize,
    },
    /// A baseline of another shape than the signal.
    #[error("record {record} (from 0) of the baseline has shape {found:?}, expected {expected:?}")]
    BaselineShape {
        /// The baseline's record.
        record: usize,
        /// Shape of the signal, `[lead, sample]`.
        expected: [usize; 2],
        /// Shape of the record.
        found: [usize; 2],
    },
    /// NaN or infinity in a baseline.
    #[error("record {record} (from 0) of the baseline has values that are not finite")]
    BaselineNotFinite {
        /// The baseline's record.
        record: usize,
    },
    /// A baseline without a record.
    #[error("the baseline has no record, expected at least one")]
    EmptyBaseline,
    /// Coalitions of Owen values that are no partition of the players.
    #[error("player {player} (from 0) is in {times} of the unions, expected 1")]
    Partition {
        /// The player.
        player: usize,
        /// In how many unions it is.
        times: usize,
    },
    /// Too few subsets were evaluated before the work was stopped.
    #[error("{done} of {total} subsets do not determine the values of {players} players")]
    TooFew {
        /// Subsets evaluated.
        done: usize,
        /// Subsets wanted.
        total: usize,
        /// Number of players.
        players: usize,
    },
    /// Permutation sampling from evaluations that are already made.
    #[error("permutation sampling evaluates as it goes; make a `SampledShapley` instead")]
    EvaluatesAsItGoes,
    /// Explanations of unlike things, which cannot be put together.
    #[error(
        "one explanation is {left}, another {right}; expected one label, method, target and baseline, all finished or all stopped"
    )]
    Mixed {
        /// What the one is.
        left: String,
        /// What the other is.
        right: String,
    },
    /// Explanations of unlike players, which cannot be compared.
    #[error("one explanation is of {left}, the other of {right}; expected the same players")]
    Unlike {
        /// Players of the one, joined by commas.
        left: String,
        /// Players of the other.
        right: String,
    },
}
