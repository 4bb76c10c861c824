use std::collections::HashSet;

use ecg_core::LabelSet;
use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use crate::report::{checked_columns, checked_decisions};
use crate::{MetricsError, Thresholds, Truth};

/// The credits of the PhysioNet/CinC challenges of 2020 and 2021 for answering one label when another is true.
///
/// [`ChallengeWeights::seven`] has the published weights for the seven labels of the 3DECG-Net study.
/// [`ChallengeWeights::parse`] reads any others, such as the whole table of a challenge. See [`ChallengeScore`].
#[derive(Debug, Clone, PartialEq)]
pub struct ChallengeWeights {
    /// Names of the rows and columns. A name may hold several labels, separated by `|`, that count as one.
    names: Vec<String>,
    /// `[true label, answered label]`.
    weights: Array2<f64>,
    /// The label that a model gives if it always gives the same one.
    normal: String,
    description: String,
}

/// The published table above the diagonal, row by row, in the order of [`LabelSet::seven`].
const SEVEN: [f64; 21] = [
    0.25, 0.45, 0.275, 0.35, 0.45, 0.375, // NSR with AF, IAVB, LBBB, RBBB, SB, STach
    0.3, 0.475, 0.4, 0.3, 0.375, // AF
    0.325, 0.4, 0.5, 0.425, // IAVB
    0.425, 0.325, 0.4, // LBBB
    0.4, 0.475, // RBBB
    0.425, // SB
];

impl ChallengeWeights {
    /// Returns the weights of 2021 (Reyna et al., Physiol. Meas. 43 (2022) 084001), restricted to the seven labels of
    /// the 3DECG-Net study.
    ///
    /// The official score covers some two dozen diagnoses. This one is not comparable with it. If fewer than the seven
    /// labels are evaluated, say so with [`ChallengeWeights::with_description`].
    pub fn seven() -> Self {
        let names: Vec<String> = LabelSet::seven().into();
        let mut weights = Array2::eye(names.len());
        let mut above = SEVEN.into_iter();
        for j in 0..names.len() {
            for (k, weight) in (j + 1..names.len()).zip(&mut above) {
                weights[[j, k]] = weight;
                weights[[k, j]] = weight;
            }
        }
        let description = "published weights of seven labels; not the official score".to_owned();
        Self { names, weights, normal: "NSR".to_owned(), description }
    }

    /// Creates weights from your own table `[true label, answered label]`. `normal` is the label of an inactive model.
    ///
    /// # Errors
    /// Returns an error if the number of rows or columns is not the number of labels, a weight is not finite, a label
    /// is in two names (`A|B` and `B|C`), or `normal` is not one of the labels.
    pub fn new(
        labels: &LabelSet,
        weights: ArrayView2<'_, f64>,
        normal: &str,
    ) -> Result<Self, MetricsError> {
        let expected = labels.len();
        for found in [weights.nrows(), weights.ncols()] {
            if found != expected {
                return Err(MetricsError::LabelCount { what: "weights", expected, found });
            }
        }
        let names: Vec<String> = labels.clone().into();
        if let Some(((row, column), &found)) = weights.indexed_iter().find(|(_, w)| !w.is_finite())
        {
            let [row, column] = [row, column].map(|k| names[k].clone());
            return Err(MetricsError::Weight { row, column, found });
        }
        let mut known = HashSet::new();
        if let Some(twice) =
            names.iter().flat_map(|name| name.split('|')).find(|l| !known.insert(*l))
        {
            return Err(MetricsError::LabelTwice { label: twice.to_owned() });
        }
        let own = Self {
            names,
            weights: weights.to_owned(),
            normal: normal.to_owned(),
            description: "weights of one's own".to_owned(),
        };
        own.place(normal)?;
        Ok(own)
    }

    /// Reads a table such as the `weights.csv` of a challenge.
    ///
    /// Label names are in the first line and the first column, in the same order, and numbers elsewhere, all separated
    /// by commas. Labels separated by `|` count as one in the score: a record has it, or is answered with it, if that
    /// is true of any of them.
    ///
    /// ```
    /// use ecg_metrics::ecg_core::LabelSet;
    /// use ecg_metrics::ChallengeWeights;
    ///
    /// let table = ",NSR,CRBBB|RBBB\nNSR,1,0.35\nCRBBB|RBBB,0.35,1\n";
    /// let weights = ChallengeWeights::parse(table, "NSR")?;
    /// assert_eq!(weights.weight("NSR", "RBBB")?, 0.35);
    /// # Ok::<(), ecg_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if:
    /// - there is no table;
    /// - the rows are in another order than the columns, or there are too many or too few;
    /// - a cell is not a number (the error has its line);
    /// - a name is there twice, alone or among others;
    /// - `normal` is none of the names.
    pub fn parse(text: &str, normal: &str) -> Result<Self, MetricsError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines().enumerate().filter(|line| !line.1.trim().is_empty());
        let cells = |line: &str| -> Vec<String> {
            line.split(',').map(|cell| cell.trim().to_owned()).collect()
        };
        let wrong = |line: usize, found: &str, expected: String| MetricsError::WeightTable {
            line: line + 1,
            found: found.to_owned(),
            expected,
        };
        let (first, head) = lines.next().map(|(k, line)| (k, cells(line))).unwrap_or_default();
        let names = head.get(1..).unwrap_or_default();
        let labels = LabelSet::new(names).map_err(|error| {
            wrong(first, &head.join(","), format!("valid label names ({error})"))
        })?;
        let mut weights = Array2::zeros((names.len(), names.len()));
        let mut rows = weights.rows_mut().into_iter().zip(names);
        for (k, line) in lines {
            let own = cells(line);
            let Some((mut row, name)) = rows.next() else {
                return Err(wrong(k, &own[0], "no more rows".to_owned()));
            };
            if own[0] != *name {
                return Err(wrong(k, &own[0], format!("the row for {name}")));
            }
            if own.len() != names.len() + 1 {
                let found = format!("{} weights", own.len() - 1);
                return Err(wrong(k, &found, format!("{} weights", names.len())));
            }
            for (weight, cell) in row.iter_mut().zip(&own[1..]) {
                let number = cell.parse().ok().filter(|w: &f64| w.is_finite());
                *weight = number.ok_or_else(|| wrong(k, cell, "a number".to_owned()))?;
            }
        }
        if let Some((_, name)) = rows.next() {
            let last = text.lines().count();
            return Err(wrong(last, "nothing", format!("the row for {name}")));
        }
        Self::new(&labels, weights.view(), normal)
    }

    /// Sets a description of the weights in words, which reports print beside the score.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Returns the description of the weights.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Returns the label that an inactive model gives to every record.
    pub fn normal(&self) -> &str {
        &self.normal
    }

    /// Returns the credit for answering one label when another is true.
    ///
    /// # Errors
    /// Returns an error if a label has no weights.
    pub fn weight(&self, truth: &str, answer: &str) -> Result<f64, MetricsError> {
        Ok(self.weights[[self.place(truth)?, self.place(answer)?]])
    }

    /// Returns the row and column of a label.
    fn place(&self, label: &str) -> Result<usize, MetricsError> {
        let is_own = |name: &String| name == label || name.split('|').any(|part| part == label);
        self.names.iter().position(is_own).ok_or_else(|| MetricsError::UnknownLabel {
            found: label.to_owned(),
            known: self.names.join(","),
        })
    }

    /// Returns the credits between the labels of a set, and the column of the normal label.
    fn of(&self, labels: &LabelSet) -> Result<Credits, MetricsError> {
        let places = labels.iter().map(|label| self.place(label)).collect::<Result<Vec<_>, _>>()?;
        let normal = self.place(&self.normal)?;
        let mut rows: Vec<usize> = Vec::with_capacity(places.len());
        let mut classes = Vec::with_capacity(places.len());
        for place in places {
            let known = rows.iter().position(|&row| row == place);
            classes.push(known.unwrap_or(rows.len()));
            if known.is_none() {
                rows.push(place);
            }
        }
        let Some(normal) = rows.iter().position(|&row| row == normal) else {
            return Err(MetricsError::unknown_label(&self.normal, labels.iter()));
        };
        let n = rows.len();
        let weights = Array2::from_shape_fn((n, n), |(j, k)| self.weights[[rows[j], rows[k]]]);
        Ok(Credits { weights, classes, normal })
    }

    /// Returns the score of the decisions that thresholds make on probabilities `[record, label]`, given their truth
    /// `[record, label]`.
    ///
    /// # Errors
    /// Returns the errors of [`Report::new`](crate::Report::new), and an error if a label has no weights or the normal
    /// label is missing.
    pub fn score<'a, T: Truth>(
        &self,
        labels: &LabelSet,
        truth: ArrayView2<'_, T>,
        proba: ArrayView2<'_, f64>,
        thresholds: impl Into<Thresholds<'a>>,
    ) -> Result<ChallengeScore, MetricsError> {
        let thresholds = thresholds.into();
        let columns = checked_decisions(labels, &truth, &proba, thresholds)?;
        self.of_columns(labels, &columns, thresholds)
    }

    /// Like [`ChallengeWeights::score`], for columns that have been checked.
    pub(crate) fn of_columns(
        &self,
        labels: &LabelSet,
        columns: &[Vec<(f64, bool)>],
        thresholds: Thresholds<'_>,
    ) -> Result<ChallengeScore, MetricsError> {
        let mut sums = [0.0; 3];
        self.each_record(labels, columns, thresholds, |own| {
            sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        })?;
        let [observed, correct, inactive] = sums;
        let (value, weights) = (normalised(sums), self.description.clone());
        Ok(ChallengeScore { value, observed, correct, inactive, weights })
    }

    /// Passes on what each record adds for the answers, for the correct answers, and for the inactive model.
    pub(crate) fn each_record(
        &self,
        labels: &LabelSet,
        columns: &[Vec<(f64, bool)>],
        thresholds: Thresholds<'_>,
        mut take: impl FnMut([f64; 3]),
    ) -> Result<(), MetricsError> {
        let credits = self.of(labels)?;
        let n = credits.weights.nrows();
        let (mut truth, mut answers, mut normal) = (vec![false; n], vec![false; n], vec![false; n]);
        normal[credits.normal] = true;
        for row in 0..columns[0].len() {
            truth.fill(false);
            answers.fill(false);
            for (label, (column, &k)) in columns.iter().zip(&credits.classes).enumerate() {
                truth[k] |= column[row].1;
                answers[k] |= column[row].0 > thresholds.at(row, label);
            }
            take([&answers, &truth, &normal].map(|said| credits.of_record(&truth, said)));
        }
        Ok(())
    }

    /// Chooses thresholds, one per label, that give a large score.
    ///
    /// Choose them on validation data, never on the records that are then evaluated. A label that no record has gets
    /// `None`, and counts as never answered while the other thresholds are chosen.
    ///
    /// The search starts from the best threshold that is the same for all labels. It then gives each label in turn its
    /// best threshold, with the others fixed, until none can be improved. The result is a maximum in each threshold,
    /// but not always the global one. As in [`choose_thresholds`](crate::choose_thresholds), thresholds lie halfway
    /// between neighbouring probabilities.
    ///
    /// # Errors
    /// Returns the errors of [`ChallengeWeights::score`].
    pub fn choose_thresholds<T: Truth>(
        &self,
        labels: &LabelSet,
        truth: ArrayView2<'_, T>,
        proba: ArrayView2<'_, f64>,
    ) -> Result<Vec<Option<f64>>, MetricsError> {
        let columns = checked_columns(labels, &truth, &proba)?;
        Ok(crate::challenge_thresholds::choose(&self.of(labels)?, &columns))
    }
}

/// Returns (observed - inactive) / (correct - inactive), or NaN if an inactive model is as good as a correct one.
pub(crate) fn normalised([observed, correct, inactive]: [f64; 3]) -> f64 {
    let room = correct - inactive;
    if room == 0.0 { f64::NAN } else { (observed - inactive) / room }
}

/// Weights of the labels that are evaluated. Labels that the table joins by `|` are one class.
#[derive(Debug)]
pub(crate) struct Credits {
    /// `[true class, answered class]`.
    pub weights: Array2<f64>,
    /// The class of each label.
    pub classes: Vec<usize>,
    /// The class of the normal label.
    normal: usize,
}

impl Credits {
    /// Returns the sum of the weights of all pairs of a true and an answered class, divided by the number of classes
    /// that are true or answered.
    fn of_record(&self, truth: &[bool], answers: &[bool]) -> f64 {
        let (mut sum, mut labels) = (0.0, 0u32);
        for (k, answered) in answers.iter().enumerate() {
            labels += u32::from(*answered || truth[k]);
            if *answered {
                let column = self.weights.column(k);
                let holds = column.iter().zip(truth).filter(|own| *own.1);
                sum += holds.map(|own| own.0).sum::<f64>();
            }
        }
        sum / f64::from(labels.max(1))
    }
}

/// The score of the PhysioNet/CinC challenges of 2020 and 2021 (Reyna et al., Physiol. Meas. 43 (2022) 084001).
///
/// For each pair of a true and an answered label, a record adds their weight, divided by the number of labels that are
/// true or answered. Labels that the table of weights joins by `|` are one label here: true if any of them is true,
/// answered if any of them is answered. The sum is scaled so that a model which always gives the normal label scores 0,
/// and a model without an error scores 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChallengeScore {
    /// (observed - inactive) / (correct - inactive). Below 0 if the model is worse than one that only gives the normal
    /// label. NaN if such a model is as good as a correct one (the challenges print 0 then).
    pub value: f64,
    /// The sum over the records.
    pub observed: f64,
    /// The same sum for a model without an error.
    pub correct: f64,
    /// The same sum for a model that always gives the normal label.
    pub inactive: f64,
    /// The description of the weights.
    pub weights: String,
}
