use ecg_core::{Lead, PredictError};

use crate::players::MAX_LEADS;

/// The reasons why an explanation could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LimeError {
    /// The predictor failed on a perturbed input.
    #[error("prediction failed for perturbed inputs {first} to {last} (from 0)")]
    Predict {
        /// First input of the batch.
        first: usize,
        /// Last input of the batch.
        last: usize,
        /// The predictor's error.
        source: PredictError,
    },
    /// The predictor returned an array of an unexpected shape.
    #[error(
        "the predictor returned probabilities of shape {found:?} ([input, label]), expected {expected:?}"
    )]
    PredictedShape {
        /// The expected shape.
        expected: [usize; 2],
        /// The shape returned.
        found: [usize; 2],
    },
    /// A predicted value that is not a probability: NaN, or outside 0 to 1.
    #[error("perturbed input {input} (from 0), label {label}: {found} is not a probability")]
    Probability {
        /// Index of the input.
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
    /// The signal does not have as many leads as the players were made for.
    #[error("the signal has {found} leads, the players cover {expected}")]
    LeadCount {
        /// Number of leads that the players were made for.
        expected: usize,
        /// Number of rows of the signal.
        found: usize,
    },
    /// A lead that the eight independent players need is missing.
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
        /// Number of groups that contain it.
        times: usize,
    },
    /// A group names a row that belongs to no lead.
    #[error("a group names row {row} (from 0), but there are {leads} leads")]
    GroupRow {
        /// The row.
        row: usize,
        /// Number of leads given.
        leads: usize,
    },
    /// Two players have one name, so that their values could not be told apart.
    #[error("two players are named {name:?}, expected a name of its own for each")]
    DuplicatePlayer {
        /// The name.
        name: String,
    },
    /// More leads than a mask has bits.
    #[error("{found} leads, expected at most {max}")]
    TooManyLeads {
        /// Number of leads given.
        found: usize,
        /// The largest possible number.
        max: usize,
    },
    /// A given subset keeps a player that does not exist.
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
    /// No player at all, or too many to enumerate their subsets.
    #[error("{found} players, expected 1 to {max}{}", where_more(*max))]
    PlayerCount {
        /// Number of players given.
        found: usize,
        /// The largest possible number.
        max: usize,
    },
    /// A method was given other subsets than it needs.
    #[error("{method} needs its own {expected} subsets; found {found} that do not match")]
    Incomplete {
        /// The method.
        method: &'static str,
        /// Number of subsets needed.
        expected: usize,
        /// Number of subsets given.
        found: usize,
    },
    /// The numbers of masks, weights and targets of a fit differ.
    #[error(
        "{masks} masks, {targets} targets and {weights} weights; expected one target and one weight per mask"
    )]
    FitLength {
        /// Number of masks.
        masks: usize,
        /// Number of targets.
        targets: usize,
        /// Number of weights.
        weights: usize,
    },
    /// The numbers of masks and of values differ.
    #[error("{masks} masks and {values} values; expected one value per mask")]
    ValueLength {
        /// Number of masks.
        masks: usize,
        /// Number of values.
        values: usize,
    },
    /// A target of a fit, or a value of a game, is NaN or infinite.
    #[error("{what} {index} (from 0) is {found}, expected a finite number")]
    NotFinite {
        /// What the number is: `target`, `value`, or `end` (f(none) is 0, f(all) is 1).
        what: &'static str,
        /// Its index.
        index: usize,
        /// The number.
        found: f64,
    },
    /// The baseline's images are not those of the signal's leads.
    #[error("the baseline has images of {found} leads, the signal has {expected} leads")]
    BaselineLeads {
        /// Number of leads of the signal.
        expected: usize,
        /// Number of leads for which the baseline has images.
        found: usize,
    },
    /// Images cannot replace a part of a lead.
    #[error("images can only replace whole leads, not {segments} time segments of each")]
    ImagesOfSegments {
        /// Number of segments of each lead.
        segments: usize,
    },
    /// The numbers of patients and of explanations differ.
    #[error("{explanations} explanations but {patients} patients; expected one for each")]
    CohortLength {
        /// Number of explanations.
        explanations: usize,
        /// Number of patients.
        patients: usize,
    },
    /// A weight is negative or not finite, or all weights are zero.
    #[error("weights must be finite, non-negative and not all zero")]
    Weights,
    /// A setting is out of range.
    #[error("{setting} must be {expected}, found {found}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// The values it may have.
        expected: &'static str,
        /// The value given.
        found: f64,
    },
    /// The limb leads contradict each other, so that each lead became a player, but what was given is meant for the
    /// players asked for.
    #[error(
        "the limb leads contradict I and II by up to {residual:.3} (tolerance: {tolerance:.3}), so each lead is a player, but the {given} given are for other players; pass `Players::each_lead` of these players, with {given} of those, or set a larger `EvaluateOptions::einthoven_tolerance`"
    )]
    Fallback {
        /// What was given: `subsets` or `unions`.
        given: &'static str,
        /// Largest difference between the derived leads and what I and II imply for them.
        residual: f64,
        /// The difference that was tolerated.
        tolerance: f64,
    },
    /// A fit did not reach its minimum.
    #[error(
        "the fit stopped after {iterations} iterations, before its minimum, with a gradient of {gradient:e}; use a smaller C"
    )]
    NotConverged {
        /// Number of Newton steps made.
        iterations: usize,
        /// Largest component of the gradient.
        gradient: f64,
    },
    /// The observer asked to stop, and what was done is not enough for a result.
    #[error("stopped after {done} of {total} evaluations")]
    Stopped {
        /// Number of evaluations made.
        done: usize,
        /// Number of evaluations wanted.
        total: usize,
    },
    /// The signal is not as long as the segments.
    #[error("the signal has {found} samples, the segments cover {expected}")]
    SampleCount {
        /// Number of samples that the segments cover.
        expected: usize,
        /// Number of columns of the signal.
        found: usize,
    },
    /// No segment, or more segments than samples.
    #[error(
        "{found} segments for {samples} samples, expected at least one and at most one per sample"
    )]
    SegmentCount {
        /// Number of segments asked for.
        found: usize,
        /// Number of samples.
        samples: usize,
    },
    /// Too few borders to make a segment.
    #[error("found {found} segment border{}, expected at least two", plural(*found))]
    SegmentBorders {
        /// Number of borders given.
        found: usize,
    },
    /// The borders of segments do not start at 0 or do not rise.
    #[error("segment border {border} (from 0) is {found}; borders must start at 0 and increase")]
    SegmentBorder {
        /// Index of the border.
        border: usize,
        /// Its value.
        found: usize,
    },
    /// A signal of the baseline has another number of leads than the explained one, or fewer samples.
    #[error(
        "record {record} (from 0) of the baseline has {} lead{} of {} sample{}, expected {} lead{} of at least {} sample{}",
        found[0], plural(found[0]), found[1], plural(found[1]),
        expected[0], plural(expected[0]), expected[1], plural(expected[1])
    )]
    BaselineShape {
        /// Index of the baseline's record.
        record: usize,
        /// Number of leads and the smallest number of samples that fit the signal.
        expected: [usize; 2],
        /// Shape of the record.
        found: [usize; 2],
    },
    /// The baseline contains NaN or infinity.
    #[error("record {record} (from 0) of the baseline has values that are not finite")]
    BaselineNotFinite {
        /// Index of the baseline's record.
        record: usize,
    },
    /// The baseline has no record.
    #[error("the baseline has no records, expected at least one")]
    EmptyBaseline,
    /// The unions for Owen values are not a partition of the players.
    #[error("player {player} (from 0) is in {times} of the unions, expected 1")]
    Partition {
        /// The player.
        player: usize,
        /// Number of unions that contain it.
        times: usize,
    },
    /// Owen values were asked for without unions, and the players are not limb leads and chest leads only.
    #[error(
        "Owen values of {players} need `ExplainOptions::unions`; the defaults are only for limb leads and chest leads"
    )]
    NoUnions {
        /// The players, joined by commas.
        players: String,
    },
    /// The subsets that were drawn, or evaluated before the work was stopped, leave a player's value open.
    #[error("{done} of {total} subsets do not determine the values of {players} players")]
    TooFew {
        /// Number of different subsets evaluated.
        done: usize,
        /// Number of subsets wanted, or of all subsets if they were drawn.
        total: usize,
        /// Number of players.
        players: usize,
    },
    /// Permutation sampling was asked for from evaluations that have already been made.
    #[error("permutation sampling makes its own evaluations; use `SampledShapley` instead")]
    EvaluatesAsItGoes,
    /// Explanations of different kinds, which cannot be combined.
    #[error(
        "one explanation is {left}, another {right}; expected the same label, method, target and baseline, all finished or all stopped"
    )]
    Mixed {
        /// Description of the first.
        left: String,
        /// Description of the other.
        right: String,
    },
    /// Explanations of different players, which cannot be compared.
    #[error("one explanation has the players {left}, the other {right}; expected the same players")]
    Unlike {
        /// Players of the first, joined by commas.
        left: String,
        /// Players of the other, joined by commas.
        right: String,
    },
}

impl LimeError {
    /// Returns the message followed by those of its causes, for places that keep only text.
    pub fn with_causes(&self) -> String {
        ecg_core::with_causes(self)
    }
}

/// Ends a noun that is counted.
fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Names what takes more players than all subsets can be evaluated for.
fn where_more(max: usize) -> &'static str {
    if max < MAX_LEADS {
        "; permutation sampling takes up to 32 leads, each in any number of segments"
    } else {
        ""
    }
}
