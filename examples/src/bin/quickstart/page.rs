//! The report: one self-contained page, with nothing loaded from elsewhere.

use std::fmt::Write;

use ecg_core::{LabelSet, Lead};
use ecg_lime::Einthoven;
use ecg_metrics::{LabelReport, Report};
use ecg3d_examples::chart::{bars_svg, escape};
use ecg3d_examples::ecg_paper::ecg_svg;
use ecg3d_examples::heat;
use ndarray::{Array3, ArrayView2, Axis, s};

use crate::example::Example;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:1080px;margin:2em auto;padding:0 1em}\
h1{margin-bottom:.2em}h2{margin-top:2em;border-bottom:1px solid #ccc}\
table{border-collapse:collapse;margin:1em 0}th,td{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}\
th:first-child,td:first-child,.words td:nth-child(2){text-align:left}\
svg{max-width:100%;height:auto}.pictures{display:grid;grid-template-columns:repeat(6,1fr);gap:.6em}\
.pictures figure{margin:0;text-align:center}.pictures img{width:100%;image-rendering:pixelated}\
figcaption{font-size:.85em;color:#444}.note{color:#444;font-size:.9em}.pair{display:flex;flex-wrap:wrap;gap:1em}\
.pair>div{flex:1 1 400px}.warning{background:#fff4d6;padding:.6em 1em;border-left:4px solid #e69f00}";

/// One recording as the converter sees it.
pub struct Cube<'a> {
    /// Name of the recording.
    pub name: &'a str,
    /// `[lead, time, time]`, before resizing.
    pub recurrence: &'a Array3<f32>,
    /// `[depth, height, width]`.
    pub volume: &'a Array3<f32>,
}

/// The contents of the report, in the order in which things happened.
pub struct Page<'a> {
    /// One line on where the recordings come from.
    pub source: &'a str,
    /// Rows of the table of steps: what, how much, seconds.
    pub steps: &'a [(String, String, f64)],
    /// Names of the recordings.
    pub names: &'a [&'a str],
    /// The network's probabilities, `[record, label]`.
    pub probabilities: ArrayView2<'a, f64>,
    /// The probability above which each label is predicted.
    pub thresholds: &'a [f64],
    /// Records that could not be used, with the reason.
    pub failed: &'a [ecg3d_examples::source::Failed],
    /// Labels in column order.
    pub labels: &'a LabelSet,
    /// All stages in one picture, SVG.
    pub stages: &'a str,
    /// One converted recording.
    pub cube: Cube<'a>,
    /// An explained example for each label that has one.
    pub examples: &'a [Example],
    /// The network's metrics on the recordings, if the truth is known.
    pub report: Option<&'a Report>,
    /// How the recordings were prepared and what the network is, one sentence each.
    pub method: &'a [String],
}

impl Page<'_> {
    /// Returns the page.
    ///
    /// # Errors
    /// Returns an error if a picture is empty.
    pub fn html(&self) -> anyhow::Result<String> {
        let mut page = format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>3DECG quick start</title>\
             <style>{STYLE}</style></head><body><h1>3DECG quick start</h1><p>{}</p>",
            escape(self.source)
        );
        self.overview(&mut page)?;
        self.conversion(&mut page)?;
        self.predictions(&mut page)?;
        self.decisions(&mut page)?;
        if let Some(report) = self.report {
            self.metrics(&mut page, report)?;
        }
        page.push_str("</body></html>\n");
        Ok(page)
    }

    fn overview(&self, page: &mut String) -> anyhow::Result<()> {
        page.push_str(
            "<h2>What was done</h2><table class=\"words\"><tr><th>step</th><th></th><th>seconds</th></tr>",
        );
        for (what, amount, seconds) in self.steps {
            write!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{seconds:.1}</td></tr>",
                escape(what),
                escape(amount)
            )?;
        }
        page.push_str("</table>");
        for sentence in self.method {
            write!(page, "<p>{}</p>", escape(sentence))?;
        }
        page.push_str("<table class=\"words\"><tr><th>label</th><th></th>");
        if let Some(report) = self.report {
            write!(page, "<th>labelled, of {}</th>", report.n)?;
        }
        write!(page, "<th>predicted, of {}</th></tr>", self.names.len())?;
        for (column, label) in self.labels.iter().enumerate() {
            let predicted =
                (0..self.names.len()).filter(|&row| self.is_predicted(row, column)).count();
            write!(
                page,
                "<tr><td>{}</td><td>{}</td>",
                escape(label),
                escape(LabelSet::description(label).unwrap_or_default())
            )?;
            if let Some(report) = self.report {
                write!(page, "<td>{}</td>", report.label(label)?.confusion.support())?;
            }
            write!(page, "<td>{predicted}</td></tr>")?;
        }
        write!(
            page,
            "</table><p class=\"note\">{} recordings in all. One may have several labels, or none.</p>",
            self.names.len()
        )?;
        if !self.failed.is_empty() {
            write!(
                page,
                "<div class=\"warning\"><p>{} records could not be used:</p><ul>",
                self.failed.len()
            )?;
            const SHOWN: usize = 20;
            for failed in self.failed.iter().take(SHOWN) {
                write!(
                    page,
                    "<li><b>{}</b>: {}</li>",
                    escape(&failed.record),
                    escape(&failed.reason)
                )?;
            }
            if self.failed.len() > SHOWN {
                write!(page, "<li>and {} more</li>", self.failed.len() - SHOWN)?;
            }
            page.push_str("</ul></div>");
        }
        Ok(())
    }

    fn conversion(&self, page: &mut String) -> anyhow::Result<()> {
        let Cube { name, recurrence, volume } = &self.cube;
        let (height, width) = (recurrence.len_of(Axis(1)), recurrence.len_of(Axis(2)));
        let peak = recurrence.iter().fold(0.0_f32, |a, b| a.max(*b));
        write!(
            page,
            "<h2>From recording to volume</h2>{}<p>The first two seconds of <b>{}</b>. In the recurrence plot of a lead, \
             each pixel is the distance between the signal's states at two times: dark where they are alike. Time runs \
             from left to right and from bottom to top; {height} x {width} pixels.</p>\
             <div class=\"pictures\">",
            self.stages,
            escape(name)
        )?;
        for (lead, image) in Lead::STANDARD_12.iter().zip(recurrence.outer_iter()) {
            write!(
                page,
                "<figure><img alt=\"recurrence plot of lead {lead}\" src=\"{}\"><figcaption>{lead}</figcaption></figure>",
                heat::data_url(image.slice(s![..;-1, ..]), 0.0, peak)?
            )?;
        }
        let (low, high) =
            volume.iter().fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        let depth = volume.len_of(Axis(0));
        write!(
            page,
            "</div><p>The plots are stacked and resized to a volume of {depth} x {} x {} by cubic splines. Shown \
             are its slices at the depths of the leads; those in between are mixtures of neighbouring leads:</p><div class=\"pictures\">",
            volume.len_of(Axis(1)),
            volume.len_of(Axis(2))
        )?;
        for (k, lead) in Lead::STANDARD_12.iter().enumerate() {
            let slice = k * (depth - 1) / 11;
            write!(
                page,
                "<figure><img alt=\"slice {slice} of the volume\" src=\"{}\"><figcaption>{slice} ({lead})</figcaption></figure>",
                heat::data_url(volume.slice(s![slice, ..;-1, ..]), low, high)?
            )?;
        }
        page.push_str(
            "</div><p class=\"note\">What a recurrence plot cannot show: polarity and offset. A signal turned upside down \
             has the same plot, and the network below sees nothing else.</p>",
        );
        Ok(())
    }

    /// Whether a label is predicted for a recording.
    fn is_predicted(&self, row: usize, label: usize) -> bool {
        self.probabilities[[row, label]] > self.thresholds[label]
    }

    fn predictions(&self, page: &mut String) -> anyhow::Result<()> {
        page.push_str(
            "<h2>What the network says</h2><p>The probability of each label, bold where it exceeds the label's threshold: \
             there the label is predicted. This is no diagnosis.</p><table><tr><th>recording</th>",
        );
        for label in self.labels.iter() {
            write!(page, "<th>{}</th>", escape(label))?;
        }
        page.push_str("</tr><tr><td>threshold</td>");
        for threshold in self.thresholds {
            write!(page, "<td>{threshold:.2}</td>")?;
        }
        page.push_str("</tr>");
        const SHOWN: usize = 100;
        let rows = self.names.iter().zip(self.probabilities.rows()).enumerate();
        for (row, (name, own)) in rows.take(SHOWN) {
            write!(page, "<tr><td>{}</td>", escape(name))?;
            for (label, p) in own.iter().enumerate() {
                match self.is_predicted(row, label) {
                    true => write!(page, "<td><b>{p:.3}</b></td>")?,
                    false => write!(page, "<td>{p:.3}</td>")?,
                }
            }
            page.push_str("</tr>");
        }
        page.push_str("</table>");
        if self.names.len() > SHOWN {
            let more = self.names.len() - SHOWN;
            write!(page, "<p class=\"note\">And {more} more, in predictions.csv.</p>")?;
        }
        Ok(())
    }

    fn decisions(&self, page: &mut String) -> anyhow::Result<()> {
        let (which, none) = match self.report {
            Some(_) => (
                "one recording that has it and that the network recognised",
                "No true positive, or not asked for: nothing is explained.",
            ),
            None => (
                "the recording of which the network says it with the highest probability",
                "Not predicted, or not asked for: nothing is explained.",
            ),
        };
        write!(
            page,
            "<h2>Decisions, and what each lead did</h2><p>For each label, {which}, explained by the two seconds that it was \
             surest of. Paper: 25 mm/s, 10 mm/mV. Leads are tinted blue \
             where they spoke for the label and orange where they spoke against it. The values are exact Shapley values of the \
             log-odds over the eight leads that an ECG measures: leads III, aVR, aVL and aVF follow from I and II, and \
             go with them.</p>",
        )?;
        for label in self.labels.iter() {
            write!(
                page,
                "<h3>{}: {}</h3>",
                escape(label),
                escape(LabelSet::description(label).unwrap_or_default())
            )?;
            match self.examples.iter().find(|example| example.label == label) {
                Some(example) => self.decision(page, example)?,
                None => write!(page, "<p>{none}</p>")?,
            }
        }
        Ok(())
    }

    fn decision(&self, page: &mut String, example: &Example) -> anyhow::Result<()> {
        let recording = &example.recording;
        let mut about = vec![recording.name.clone()];
        about.extend(recording.age_years.map(|age| format!("{age:.0} years")));
        about.extend(recording.sex.map(|sex| format!("{sex:?}").to_lowercase()));
        if let Some(truth) = &example.truth {
            let own = self.labels.iter().zip(truth).filter(|own| *own.1);
            let own: Vec<&str> = own.map(|own| own.0).collect();
            about.push(format!("labels: {}", own.join(", ")));
        }
        let [from, to] = example.seconds;
        about.push(format!("explained: {from:.1} to {to:.1} s"));
        let shares: [f64; 12] = std::array::from_fn(|k| {
            example.explanation.value_of(Lead::STANDARD_12[k].name()).unwrap_or(0.0)
        });
        let probabilities: Vec<(String, f64)> = self
            .labels
            .iter()
            .map(str::to_owned)
            .zip(example.probabilities.iter().copied())
            .collect();
        let parts: Vec<(String, f64)> =
            example.explanation.values.iter().map(|own| (own.lead.clone(), own.value)).collect();
        write!(
            page,
            "<p class=\"note\">{}</p>{}{}<div class=\"pair\"><div>{}</div><div>{}</div></div>",
            escape(&about.join(" · ")),
            fallback(example.explanation.fallback),
            ecg_svg(recording, Some(&shares)),
            bars_svg("Probability of each label", "probability", &probabilities),
            bars_svg("What each lead did", "log-odds", &parts),
        )?;
        Ok(())
    }

    fn metrics(&self, page: &mut String, report: &Report) -> anyhow::Result<()> {
        write!(
            page,
            "<h2>How good it is</h2><p>On {} recordings with labels. A label is predicted where \
             its probability exceeds the threshold.</p><table><tr><th>label</th><th>threshold</th><th>positives</th>\
             <th>TP</th><th>FP</th><th>FN</th><th>TN</th><th>sensitivity</th><th>specificity</th><th>precision</th>\
             <th>F1</th><th>ROC-AUC</th><th>average precision</th></tr>",
            report.n
        )?;
        for label in self.labels.iter() {
            let LabelReport { threshold, confusion, scores: m, .. } = report.label(label)?;
            write!(
                page,
                "<tr><td>{}</td><td>{:.2}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
                escape(label),
                threshold,
                confusion.support(),
                confusion.tp,
                confusion.fp,
                confusion.fn_,
                confusion.tn
            )?;
            for value in
                [m.sensitivity, m.specificity, m.precision, m.f1, m.roc_auc, m.average_precision]
            {
                write!(page, "<td>{}</td>", figure(value))?;
            }
            page.push_str("</tr>");
        }
        write!(
            page,
            "</table><p>Every label right: {} of the recordings (subset accuracy). Labels wrong: {} (Hamming loss).</p>",
            figure(report.subset_accuracy),
            figure(report.hamming_loss)
        )?;
        Ok(())
    }
}

/// A note that limb leads contradict each other, and what follows from that.
fn fallback(found: Option<Einthoven>) -> String {
    found.map_or(String::new(), |Einthoven { residual, tolerance, .. }| {
        format!(
            "<p class=\"warning\">The limb leads differ by up to {residual:.3} mV from what I and II make of them ({tolerance:.3} mV \
             are tolerated): each of the twelve leads has a value of its own, which splits what the limb leads share.</p>"
        )
    })
}

/// Formats a number with three decimals, or as a dash if it is undefined.
fn figure(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { "–".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn time_runs_from_the_bottom() {
        let images = Array3::from_shape_fn((12, 2, 2), |(k, h, w)| (4 * k + 2 * h + w) as f32);
        let probabilities = Array2::zeros((1, 7));
        let page = Page {
            source: "",
            steps: &[],
            names: &["r"],
            probabilities: probabilities.view(),
            thresholds: &[0.5; 7],
            failed: &[],
            labels: &LabelSet::default(),
            stages: "",
            cube: Cube { name: "r", recurrence: &images, volume: &images },
            examples: &[],
            report: None,
            method: &[],
        }
        .html()
        .expect("a page");
        assert!(page.contains("from bottom to top"));
        assert!(page.contains("slices at the depths of the leads"));
        assert!(page.contains("<figcaption>1 (II)</figcaption>"));
        assert!(page.contains("<figcaption>11 (V6)</figcaption>"));
        for image in images.outer_iter() {
            // Once as a recurrence plot, and once as a slice of the volume.
            let upright = heat::data_url(image.slice(s![..;-1, ..]), 0.0, 47.0).expect("encodes");
            assert_eq!(page.matches(&upright).count(), 2);
        }
    }

    #[test]
    fn limb_leads_that_contradict_each_other_are_named() {
        assert_eq!(fallback(None), "");
        let found = serde_json::json!({"residual": 0.1234, "tolerance": 0.05});
        let said = fallback(serde_json::from_value(found).expect("what explanations hold"));
        assert!(said.contains("0.123 mV") && said.contains("(0.050 mV are tolerated)"), "{said}");
        assert!(said.contains("each of the twelve leads"), "{said}");
    }
}
