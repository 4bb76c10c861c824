use std::fmt::{self, Write as _};

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::report::too_few;
use crate::{LabelReport, Report, Scores, render_calibration};

/// Serialises as a map, with the keys in order.
pub(crate) struct Map<I>(pub I);

impl<K: Serialize, V: Serialize, I: Iterator<Item = (K, V)> + Clone> Serialize for Map<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}

fn scores_into<M: SerializeMap>(map: &mut M, scores: &Scores) -> Result<(), M::Error> {
    for (name, value) in Scores::NAMES.iter().zip(scores.values()) {
        map.serialize_entry(name, &value)?;
    }
    Ok(())
}

impl Serialize for LabelReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let c = &self.confusion;
        for (name, count) in [
            ("support", c.support()),
            ("predicted", c.predicted()),
            ("tp", c.tp),
            ("fp", c.fp),
            ("fn", c.fn_),
            ("tn", c.tn),
        ] {
            map.serialize_entry(name, &count)?;
        }
        scores_into(&mut map, &self.scores)?;
        map.serialize_entry("intervals", &Map(self.intervals.iter().copied()))?;
        map.serialize_entry("too_few", &self.too_few())?;
        map.serialize_entry("too_few_negatives", &self.too_few_negatives())?;
        map.end()
    }
}

/// Scores, and for each the number of labels for which it is defined.
struct Averaged<'a>(&'a Scores, &'a [usize]);

impl Serialize for Averaged<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        scores_into(&mut map, self.0)?;
        map.serialize_entry("defined", &Map(Scores::NAMES.iter().zip(self.1)))?;
        map.end()
    }
}

/// The layout of `metrics.json`; NaN is null.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("n", &self.n)?;
        let thresholds = self.labels.iter().map(|own| (&own.label, own.threshold));
        map.serialize_entry("thresholds", &Map(thresholds))?;
        map.serialize_entry("threshold_source", &self.threshold_source)?;
        map.serialize_entry("zero_division", &self.zero_division)?;
        map.serialize_entry("confidence", &self.confidence)?;
        map.serialize_entry("labels", &Map(self.labels.iter().map(|own| (&own.label, own))))?;
        map.serialize_entry("micro", &self.micro)?;
        map.serialize_entry("macro", &Averaged(&self.macro_, &self.defined))?;
        map.serialize_entry("weighted", &Averaged(&self.weighted, &self.defined))?;
        map.serialize_entry("samples", &self.samples)?;
        for (name, value) in self.overall() {
            map.serialize_entry(name, &value)?;
        }
        map.serialize_entry("without_label", &self.without_label)?;
        map.serialize_entry("cross_table", &self.cross_table)?;
        if let Some(challenge) = &self.challenge {
            map.serialize_entry("challenge", challenge)?;
        }
        map.serialize_entry("undefined", &self.undefined)?;
        if let Some(own) = &self.calibration {
            let calibration = Map(own.iter().map(|own| (&own.label, own)));
            map.serialize_entry("calibration", &calibration)?;
        }
        if let Some(bootstrap) = &self.bootstrap {
            map.serialize_entry("bootstrap", bootstrap)?;
        }
        map.end()
    }
}

/// A column of the tables: its heading, and the score that it shows.
type Column = (&'static str, fn(&Scores) -> f64);

const COLUMNS: [Column; 9] = [
    ("Sens", |s| s.sensitivity),
    ("Spec", |s| s.specificity),
    ("Prec", |s| s.precision),
    ("NPV", |s| s.npv),
    ("F1", |s| s.f1),
    ("BalAcc", |s| s.balanced_accuracy),
    ("AUC", |s| s.roc_auc),
    ("AP", |s| s.average_precision),
    ("Brier", |s| s.brier),
];

pub(crate) fn number(value: f64) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.3}") }
}

impl Report {
    fn overall(&self) -> [(&'static str, f64); 7] {
        [
            ("subset_accuracy", self.subset_accuracy),
            ("hamming_loss", self.hamming_loss),
            ("coverage_error", self.coverage_error),
            ("label_ranking_average_precision", self.label_ranking_average_precision),
            ("label_ranking_loss", self.label_ranking_loss),
            ("argmax_agreement", self.argmax_agreement),
            ("macro_balanced_accuracy", self.macro_.balanced_accuracy),
        ]
    }

    /// Returns the heading and the rows of the main table.
    fn table(&self) -> Vec<Vec<String>> {
        let mut head: Vec<String> =
            ["Label", "n", "TP", "FP", "FN", "TN"].map(String::from).to_vec();
        head.extend(COLUMNS.iter().map(|column| column.0.to_owned()));
        let mut rows = vec![head];
        for own in &self.labels {
            let c = &own.confusion;
            let mut row = vec![own.label.clone()];
            row.extend([c.support(), c.tp, c.fp, c.fn_, c.tn].map(|count| count.to_string()));
            row.extend(COLUMNS.iter().map(|column| number(column.1(&own.scores))));
            rows.push(row);
        }
        for (name, scores) in
            [("micro", &self.micro), ("macro", &self.macro_), ("weighted", &self.weighted)]
        {
            let mut row = vec![name.to_owned()];
            row.extend(std::iter::repeat_n(String::new(), 5));
            row.extend(COLUMNS.iter().map(|column| number(column.1(scores))));
            rows.push(row);
        }
        let s = &self.samples;
        let mut row = vec!["samples".to_owned()];
        row.extend(std::iter::repeat_n(String::new(), 5));
        row.extend(COLUMNS.iter().map(|column| match column.0 {
            "Sens" => number(s.sensitivity),
            "Prec" => number(s.precision),
            "F1" => number(s.f1),
            "AUC" => number(s.roc_auc),
            "AP" => number(s.average_precision),
            _ => String::new(),
        }));
        rows.push(row);
        rows
    }

    /// Returns the heading and the rows of the cross table.
    fn cross_rows(&self) -> Vec<Vec<String>> {
        let table = &self.cross_table;
        let head = ["Label", "n"].into_iter().chain(table.rows()).map(String::from);
        let mut rows = vec![head.collect::<Vec<_>>()];
        for ((name, n), counts) in table.rows().zip(&table.records).zip(table.counts.rows()) {
            let counts = std::iter::once(n).chain(counts).map(u64::to_string);
            rows.push(std::iter::once(name.to_owned()).chain(counts).collect());
        }
        rows
    }

    /// Lists the scores that are not defined for all labels, in words.
    fn partly_defined(&self) -> Option<String> {
        let all = self.labels.len();
        let partial = Scores::NAMES.iter().zip(self.defined).filter(|(_, n)| *n < all);
        let partial: Vec<String> = partial.map(|(name, n)| format!("{name} for {n}")).collect();
        (!partial.is_empty()).then(|| {
            format!(
                "Defined for fewer than all {all} labels: {}; in averages the others count with what stands in the place of their \
                 score, if anything does",
                partial.join(", ")
            )
        })
    }

    /// Formats the report as Markdown: main table, intervals, overall figures, and what was undefined.
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "{} records, {} of them with none of the labels. Thresholds: {}. A label is predicted where its probability \
             exceeds its threshold.\n\n",
            self.n, self.without_label, self.threshold_source
        );
        let rows = self.table();
        markdown_table(&mut text, &rows, 1);

        let _ = writeln!(text, "\nIntervals ({}, Wilson):\n", percent(self.confidence));
        let mut rows = vec![
            ["Label", "Threshold", "Sensitivity", "Specificity", "Precision", "NPV", ""]
                .map(String::from)
                .to_vec(),
        ];
        for own in &self.labels {
            let threshold = if own.threshold.is_nan() {
                "by record".to_owned()
            } else {
                own.threshold.to_string()
            };
            let mut row = vec![own.label.clone(), threshold];
            for wanted in ["sensitivity", "specificity", "precision", "npv"] {
                row.push(match own.interval(wanted) {
                    Some([low, high]) if !low.is_nan() => format!("{low:.3} to {high:.3}"),
                    _ => "-".to_owned(),
                });
            }
            let c = &own.confusion;
            row.push(too_few(c.support(), c.n() - c.support()).unwrap_or_default().to_owned());
            rows.push(row);
        }
        markdown_table(&mut text, &rows, 1);

        if let Some(bootstrap) = &self.bootstrap {
            let _ = write!(text, "\n{}", bootstrap.to_markdown());
        }
        if let Some(own) = &self.calibration {
            let _ = write!(text, "\n{}", render_calibration::markdown(own));
        }

        text.push_str("\nOver all labels:\n\n");
        let mut rows = vec![["Figure", "Value"].map(String::from).to_vec()];
        rows.extend(self.overall().map(|(name, v)| vec![name.replace('_', " "), number(v)]));
        if let Some(own) = &self.challenge {
            rows.push(vec![format!("challenge score ({})", own.weights), number(own.value)]);
        }
        markdown_table(&mut text, &rows, 1);

        text.push_str(
            "\nPredicted (columns) on the records of each label (rows); off the diagonal only what a record does not have:\n\n",
        );
        markdown_table(&mut text, &self.cross_rows(), 1);

        if !self.undefined.is_empty() {
            let _ = writeln!(
                text,
                "\nUndefined (a division by zero gives {}, except in ranking figures; a score without a value is left out of averages):\n",
                self.zero_division
            );
            let mut rows = vec![["Where", "Score", "Why", "Counted as"].map(String::from).to_vec()];
            rows.extend(self.undefined.iter().map(|u| {
                vec![u.scope.clone(), u.score.clone(), u.reason.clone(), number(u.reported)]
            }));
            markdown_table(&mut text, &rows, 3);
            if let Some(line) = self.partly_defined() {
                let _ = writeln!(text, "\n{line}.");
            }
        }
        text
    }

    /// Formats the report as CSV: one line per label, with every count and score in full precision.
    ///
    /// An undefined score is an empty field, and so is a threshold that differs between records. With bootstrap
    /// intervals, columns `NAME_low`, `NAME_high` and `NAME_defined` (resamples) of every score follow.
    pub fn to_csv(&self) -> String {
        let mut text = String::from("label,threshold,support,tp,fp,fn,tn");
        for name in Scores::NAMES {
            let _ = write!(text, ",{name}");
        }
        if self.bootstrap.is_some() {
            for name in Scores::NAMES {
                let _ = write!(text, ",{name}_low,{name}_high,{name}_defined");
            }
        }
        text.push('\n');
        for (k, own) in self.labels.iter().enumerate() {
            let c = &own.confusion;
            text.push_str(&csv_field(&own.label));
            text.push(',');
            if !own.threshold.is_nan() {
                let _ = write!(text, "{}", own.threshold);
            }
            let _ = write!(text, ",{},{},{},{},{}", c.support(), c.tp, c.fp, c.fn_, c.tn);
            for value in own.scores.values() {
                text.push(',');
                if !value.is_nan() {
                    let _ = write!(text, "{value}");
                }
            }
            for (_, found) in self.bootstrap.iter().flat_map(|all| all.labels[k].1.iter()) {
                for limit in found.interval() {
                    text.push(',');
                    if !limit.is_nan() {
                        let _ = write!(text, "{limit}");
                    }
                }
                let _ = write!(text, ",{}", found.defined);
            }
            text.push('\n');
        }
        text
    }
}

/// Formats the report as a text table.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.table();
        writeln!(f, "{} records, thresholds: {}", self.n, self.threshold_source)?;
        text_table(f, &rows)?;
        writeln!(
            f,
            "subset accuracy {}, Hamming loss {}",
            number(self.subset_accuracy),
            number(self.hamming_loss)
        )?;
        if let Some(own) = &self.challenge {
            writeln!(f, "challenge score {} ({})", number(own.value), own.weights)?;
        }
        if let Some(line) = self.partly_defined() {
            writeln!(f, "{line}")?;
        }
        if let Some(bootstrap) = &self.bootstrap {
            writeln!(f, "{}", bootstrap.caption())?;
            text_table(f, &bootstrap.table())?;
        }
        Ok(())
    }
}

/// Aligns the first column to the left and the others to the right.
fn text_table(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|k| rows.iter().map(|row| row[k].chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let mut line = String::new();
        for (k, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if k == 0 {
                write!(line, "{cell:<width$}")
            } else {
                write!(line, "  {cell:>width$}")
            };
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.4}", share * 100.0).trim_end_matches('0').trim_end_matches('.').to_owned() + " %"
}

/// Quotes a field if needed. A row that begins with `#` would be taken for a comment.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r', '#']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Aligns the first `words` columns to the left and the others, which are numbers, to the right.
pub(crate) fn markdown_table(out: &mut String, rows: &[Vec<String>], words: usize) {
    for (k, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
        if k == 0 {
            let rule: Vec<&str> =
                (0..row.len()).map(|k| if k < words { "---" } else { "---:" }).collect();
            let _ = writeln!(out, "|{}|", rule.join("|"));
        }
    }
}
