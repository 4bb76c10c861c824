use std::fmt::Write as _;

use crate::render::{markdown_table, number, percent};
use crate::report::too_few;
use crate::{Bootstrap, BootstrapInterval, Comparison, CorrectedOver};

/// The scores in the tables of intervals, with their headings.
const SCORES: [(&str, &str); 8] = [
    ("sensitivity", "Sens"),
    ("specificity", "Spec"),
    ("precision", "Prec"),
    ("f1", "F1"),
    ("balanced_accuracy", "BalAcc"),
    ("roc_auc", "AUC"),
    ("average_precision", "AP"),
    ("brier", "Brier"),
];

/// Formats "0.812 (0.790 to 0.840)", with "in 812" if some resamples leave the number undefined.
fn cell(own: &BootstrapInterval, resamples: usize) -> String {
    let [low, high] = own.interval();
    let partly = if own.defined > 0 && own.defined < resamples {
        format!(", in {}", own.defined)
    } else {
        String::new()
    };
    match (own.value.is_nan(), low.is_nan()) {
        (true, _) => "-".to_owned(),
        (false, true) => format!("{:.3} (no interval{partly})", own.value),
        (false, false) => format!("{:.3} ({low:.3} to {high:.3}{partly})", own.value),
    }
}

fn p_value(p: f64) -> String {
    match p {
        p if p.is_nan() => "-".to_owned(),
        p if p < 0.001 => "<0.001".to_owned(),
        p => number(p),
    }
}

/// Formats a small share with two significant digits, such as "0.00020".
fn significant(share: f64) -> String {
    let digits = 1.0 - share.log10().floor();
    format!("{share:.*}", digits.clamp(1.0, 17.0) as usize)
}

/// Says how small p-values from this many resamples can be, by themselves and after a correction for `tests` of them
/// (0: none).
fn smallest_p(resamples: usize, tests: usize) -> String {
    let all = resamples as f64 + 1.0;
    let least = 2.0 / all;
    let mut text =
        format!("The smallest p that {resamples} resamples can give is {}", significant(least));
    let corrected = (2.0 * tests as f64 / all).min(1.0);
    if corrected >= 0.05 {
        let _ = write!(
            text,
            ", which Holm's correction for {tests} tests makes no less than {}: none can be below 0.05. Take at least {} \
             resamples",
            significant(corrected),
            40 * tests
        );
    }
    text + "."
}

impl Bootstrap {
    /// Returns the intervals as rows of text: each label, then the averages. Labels that too few patients have or lack
    /// are marked.
    pub(crate) fn table(&self) -> Vec<Vec<String>> {
        let head = std::iter::once("Label").chain(SCORES.map(|score| score.1));
        let mut rows = vec![head.map(String::from).collect::<Vec<_>>()];
        // The last section is not by score. Labels may have the name of any section.
        for (k, (name, section)) in self.sections().take(self.labels.len() + 4).enumerate() {
            let is_label = k < self.labels.len();
            let mut row = vec![if is_label { self.marked(k) } else { name.to_owned() }];
            row.extend(SCORES.iter().map(|(score, _)| {
                section.get(score).map_or_else(String::new, |own| cell(own, self.resamples))
            }));
            rows.push(row);
        }
        rows
    }

    /// Says how the intervals were made, and what a remark in the table means.
    pub(crate) fn caption(&self) -> String {
        let differs = self.sections().any(|(_, own)| own.iter().any(|own| own.1.p_value.is_some()));
        let how = if differs {
            "percentile intervals of differences;"
        } else {
            "BCa, or percentile where not every resample defines a score:"
        };
        format!(
            "Intervals ({}, {}; {how} \"in 900\" says how many define a score)",
            percent(self.confidence),
            self.method()
        )
    }

    /// Returns the name of a label, given by its place, with a mark if too few patients have or lack it.
    fn marked(&self, k: usize) -> String {
        let label = &self.labels[k].0;
        match too_few(self.positive_patients[k] as u64, self.negative_patients[k] as u64) {
            Some(what) => format!("{label} ({what})"),
            None => label.clone(),
        }
    }

    /// Formats the intervals as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("{}:\n\n", self.caption());
        markdown_table(&mut text, &self.table(), 1);
        text.push('\n');
        let mut rows = vec![["Figure", "Value and interval"].map(String::from).to_vec()];
        rows.extend(
            self.overall
                .iter()
                .map(|(name, own)| vec![name.replace('_', " "), cell(own, self.resamples)]),
        );
        markdown_table(&mut text, &rows, 1);
        text
    }
}

impl Comparison {
    /// Formats the comparison as Markdown: tests for each label, differences of the averages, and what the tests
    /// assume.
    pub fn to_markdown(&self) -> String {
        let all = &self.differences;
        let mut text = format!(
            "Differences are first less second, on the same records ({}, {}). Their intervals are percentile intervals, which go with \
             the bootstrap's p.\n\n",
            percent(all.confidence),
            all.method()
        );
        let heads = [
            "Label",
            "AUC",
            "p",
            "Holm",
            "DeLong p",
            "Holm",
            "F1",
            "Only first right",
            "Only second right",
            "McNemar p",
            "Holm",
        ];
        let mut rows = vec![heads.map(String::from).to_vec()];
        for (k, (own, (_, section))) in self.tests.iter().zip(&all.labels).enumerate() {
            let difference = |score: &str| {
                section.get(score).map_or_else(String::new, |found| cell(found, all.resamples))
            };
            rows.push(vec![
                all.marked(k),
                difference("roc_auc"),
                p_value(own.bootstrap_p),
                p_value(own.bootstrap_holm),
                p_value(own.delong.p),
                p_value(own.delong_holm),
                difference("f1"),
                own.mcnemar.first_only.to_string(),
                own.mcnemar.second_only.to_string(),
                p_value(own.mcnemar.exact_p),
                p_value(own.mcnemar_holm),
            ]);
        }
        markdown_table(&mut text, &rows, 1);
        text.push('\n');
        let mut rows = vec![["Figure", "Difference", "p"].map(String::from).to_vec()];
        for (scope, section) in all.sections().skip(self.tests.len()) {
            for (name, found) in section.iter() {
                let wanted = ["f1", "roc_auc", "average_precision", "balanced_accuracy"];
                if scope == "overall" || wanted.contains(&name) {
                    let figure = format!("{scope} {}", name.replace('_', " "));
                    let p = p_value(found.p_value.unwrap_or(f64::NAN));
                    rows.push(vec![figure, cell(found, all.resamples), p]);
                }
            }
        }
        markdown_table(&mut text, &rows, 1);
        let _ = write!(
            text,
            "\nEvery label right: only first {}, only second {} records, McNemar p {}.\n",
            self.subset.first_only,
            self.subset.second_only,
            p_value(self.subset.exact_p)
        );
        if self.corrected_over != CorrectedOver::default() {
            let CorrectedOver { delong, mcnemar, bootstrap } = self.corrected_over;
            let _ = write!(
                text,
                "\n\"Holm\" corrects the p-value at its left for the number of its kind: {bootstrap} of the AUC by resampling, \
                 {delong} of DeLong, {mcnemar} of McNemar. The p-values of averages are not corrected.\n"
            );
        }
        let _ = write!(text, "\n{}\n", smallest_p(all.resamples, self.corrected_over.bootstrap));
        if self.dependent_records {
            text.push_str(
                "\nSome patients have several records. DeLong's and McNemar's tests take records as independent, so their \
                 p-values are too small here: go by the intervals and the bootstrap's p.\n",
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::smallest_p;

    #[test]
    fn how_small_p_can_be() {
        for (resamples, tests, expected) in [
            (10_000, 0, "The smallest p that 10000 resamples can give is 0.00020."),
            (1000, 25, "The smallest p that 1000 resamples can give is 0.0020."),
            (
                1000,
                28,
                "The smallest p that 1000 resamples can give is 0.0020, which Holm's correction for 28 tests makes no less than \
                 0.056: none can be below 0.05. Take at least 1120 resamples.",
            ),
            (1120, 28, "The smallest p that 1120 resamples can give is 0.0018."),
            (
                40,
                30,
                "The smallest p that 40 resamples can give is 0.049, which Holm's correction for 30 tests makes no less than \
                 1.0: none can be below 0.05. Take at least 1200 resamples.",
            ),
        ] {
            assert_eq!(smallest_p(resamples, tests), expected);
        }
        assert!(smallest_p(1119, 28).contains("Take at least 1120"));
    }
}
