use std::fmt;

use super::{Count, DatasetReport, Finding};

/// The most lines printed of a list; the report itself has all of them.
const MOST: usize = 20;

impl fmt::Display for DatasetReport {
    /// Formats the report as Markdown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.records - self.readable;
        writeln!(
            f,
            "{} recordings, {} of them readable, {failed} not.",
            self.records, self.readable
        )?;
        writeln!(
            f,
            "Labels come from {}; NSR rule: {}.\n",
            plain(&self.label_source),
            self.nsr_rule
        )?;
        counts(f, "Labels", "label", &self.labels)?;
        writeln!(
            f,
            "{} recordings have several labels, {} none of them, {} are not labelled.\n",
            self.with_several_labels, self.with_no_label, self.unlabelled
        )?;
        counts(f, "Labels that contradict one another", "labels", &self.contradictions)?;
        let patients = &self.patients;
        writeln!(f, "## Patients\n")?;
        writeln!(
            f,
            "{} recordings of {} patients ({} recordings say nothing). {} patients have several, one of them {}.",
            patients.known,
            patients.distinct,
            self.readable - patients.known,
            patients.with_several,
            patients.most
        )?;
        if !self.folds.is_empty() {
            let folds: Vec<String> =
                self.folds.iter().map(|(fold, n)| format!("{fold}: {n}")).collect();
            writeln!(f, "\nRecordings in each fold: {}.", folds.join(", "))?;
            writeln!(f, "{} patients are in several folds.", patients.in_several_folds)?;
        }
        writeln!(f)?;
        counts(f, "Sampling rates", "Hz", &self.sampling_rates_hz)?;
        counts(f, "Lengths", "seconds", &self.durations_s)?;
        counts(f, "Leads", "leads", &self.leads)?;
        findings(f, "Flat leads", "leads", &self.flat)?;
        findings(f, "Missing samples", "samples", &self.missing_samples)?;
        findings(f, "Recordings with the samples of another", "the other", &self.duplicates)?;
        findings(f, "Not readable", "reason", &self.failed)?;
        counts(f, "Read otherwise than it stands there", "warning", &self.warnings)?;
        if !self.folder_warnings.is_empty() {
            writeln!(f, "## The folder\n")?;
            for warning in self.folder_warnings.iter().take(MOST) {
                writeln!(f, "- {}", plain(warning))?;
            }
            more(f, self.folder_warnings.len())?;
        }
        Ok(())
    }
}

fn counts(f: &mut fmt::Formatter<'_>, title: &str, what: &str, all: &[Count]) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(f, "## {title}\n\n| {what} | recordings | first |\n|---|---|---|")?;
    for count in all.iter().take(MOST) {
        writeln!(f, "| {} | {} | {} |", plain(&count.what), count.records, plain(&count.first))?;
    }
    writeln!(f)?;
    more(f, all.len())
}

fn findings(f: &mut fmt::Formatter<'_>, title: &str, what: &str, all: &[Finding]) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(f, "## {title}\n\n| recording | {what} |\n|---|---|")?;
    for finding in all.iter().take(MOST) {
        writeln!(f, "| {} | {} |", plain(&finding.record), plain(&finding.what))?;
    }
    writeln!(f)?;
    more(f, all.len())
}

fn more(f: &mut fmt::Formatter<'_>, n: usize) -> fmt::Result {
    match n.checked_sub(MOST) {
        Some(rest) if rest > 0 => writeln!(f, "... and {rest} more.\n"),
        _ => Ok(()),
    }
}

/// Makes a text fit for a table cell: bars would split the cell, and line ends would end it.
fn plain(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "\\|")
}
