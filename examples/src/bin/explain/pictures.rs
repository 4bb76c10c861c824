//! Pictures of explanations.

use std::borrow::Cow;
use std::path::Path;

use anyhow::Result;
use ecg_core::{LabelSet, Lead, Recording};
use ecg_lime::{Cohort, Explanation};
use ecg3d_examples::chart::{Bar, bars_svg, bars_with_intervals_svg, boxes_svg, plain};
use ecg3d_examples::ecg_paper::ecg_svg;
use ecg3d_examples::ecg_strips::{SegmentShares, ecg_segments_svg, times};
use ecg3d_examples::matrix::matrix_svg;
use ecg3d_examples::picture::{remove_pictures, write_picture};

use crate::asked::{Asked, plain_suffix, suffixes};

/// The names of all pictures; the suffix of a label may follow.
const NAMES: [&str; 7] = ["bars", "ecg", "interactions", "segments", "softmax", "boxes", "means"];

/// Removes the pictures of an earlier run with these labels.
pub fn remove(out: &Path, labels: &LabelSet) -> Result<()> {
    // Suffixes without a position are those of a model without the labels that look the same.
    let suffixes: Vec<String> =
        suffixes(labels).into_iter().chain(labels.iter().map(plain_suffix)).collect();
    remove_pictures(out, &NAMES, &suffixes)
}

/// Values with their leads.
type Named = (String, f64);

/// Draws one record's explanation of one label; `borders_s` are the times of its segments, if it has several.
pub fn of_record(
    asked: &Asked,
    recording: &Recording,
    own: &Explanation,
    borders_s: Option<Vec<f64>>,
    out: &Path,
) -> Result<()> {
    let suffix = asked.suffix(&own.label);
    let draw = |name: &str, svg: &str| write_picture(out, &format!("{name}{suffix}"), svg);
    let stopped = own.partial.map_or(String::new(), |partial| {
        format!(", stopped after {} of {}", partial.done, partial.total)
    });
    let title = format!(
        "{} of {}, {}: {} from {}{stopped}",
        own.method,
        own.label,
        recording.name,
        plain(own.f_all),
        plain(own.f_none)
    );
    let values: Vec<Named> = own.values.iter().map(|own| (own.lead.clone(), own.value)).collect();
    let by_lead = match borders_s {
        None => {
            let bars: Vec<Bar> = own.values.iter().map(bar_of).collect();
            draw("bars", &bars_with_intervals_svg(&title, &asked.value_name(), &bars))?;
            let part = |lead: Lead| own.value_of(lead.name()).unwrap_or(0.0);
            draw("ecg", &ecg_svg(recording, Some(&Lead::STANDARD_12.map(part))))?;
            values
        }
        Some(borders_s) => {
            let sums: Vec<Named> =
                own.by_lead().into_iter().map(|own| (own.lead, own.value)).collect();
            // The players are in the order of lead x segment.
            let segments = own.values.chunks(borders_s.len() - 1);
            let leads: Vec<(String, Vec<f64>)> = sums
                .iter()
                .zip(segments)
                .map(|((lead, _), own)| (lead.clone(), own.iter().map(|own| own.value).collect()))
                .collect();
            draw(
                "bars",
                &bars_svg(&title, &format!("{}, summed over time", asked.value_name()), &sums),
            )?;
            let mut columns = times(&borders_s);
            // The last border is an end.
            columns.pop();
            let rows: Vec<String> = leads.iter().map(|(lead, _)| lead.clone()).collect();
            let cells: Vec<Vec<Option<f64>>> = leads
                .iter()
                .map(|(_, values)| values.iter().copied().map(Some).collect())
                .collect();
            draw("segments", &matrix_svg(&title, &rows, &columns, &cells))?;
            draw("ecg", &ecg_segments_svg(recording, &SegmentShares { borders_s, leads }))?;
            sums
        }
    };
    if let Some(pairs) = &own.interactions {
        let names: Vec<String> = by_lead.iter().map(|(lead, _)| lead.clone()).collect();
        let cells: Vec<Vec<Option<f64>>> = pairs
            .iter()
            .enumerate()
            .map(|(i, row)| {
                row.iter().enumerate().map(|(j, value)| (i != j).then_some(*value)).collect()
            })
            .collect();
        let title = format!("interactions for {}, {}", own.label, recording.name);
        draw("interactions", &matrix_svg(&title, &names, &names, &cells))?;
    }
    let percents: Vec<Named> = own
        .values
        .iter()
        .filter_map(|own| Some((own.lead.clone(), own.softmax_percent?)))
        .collect();
    if !percents.is_empty() {
        draw("softmax", &bars_svg(&title, SOFTMAX, &percents))?;
    }
    Ok(())
}

/// Axis label for the values that the study shows.
const SOFTMAX: &str = "softmax of the coefficients, percent";

/// Returns a bar with two standard errors in each direction, if there is a standard error.
fn bar_of(own: &ecg_lime::Contribution) -> Bar {
    let interval = own.standard_error.map(|se| [own.value - 2.0 * se, own.value + 2.0 * se]);
    Bar { name: own.lead.clone(), value: own.value, interval }
}

/// Titles the pictures of a data set: what is shown, of how many records, and in how many of them each lead was a
/// player because the limb leads contradict each other.
fn cohort_title(first: &Explanation, n: usize, fallback: usize, stopped: bool) -> String {
    let fallback = match fallback {
        0 => String::new(),
        count => format!(", {count} of them with each lead a player"),
    };
    let stopped = if stopped { ", stopped" } else { "" };
    format!("{} of {}, n = {n}{fallback}{stopped}", first.method, first.label)
}

/// Draws what the explanations of one label over a data set have in common.
pub fn of_cohort(
    asked: &Asked,
    explained: &[Cow<'_, Explanation>],
    cohort: &Cohort,
    stopped: bool,
    out: &Path,
) -> Result<()> {
    let Some(first) = explained.first() else { return Ok(()) };
    let suffix = asked.suffix(&first.label);
    let draw = |name: &str, svg: &str| write_picture(out, &format!("{name}{suffix}"), svg);
    let fallback = explained.iter().filter(|own| own.fallback.is_some()).count();
    let title = cohort_title(first, explained.len(), fallback, stopped);
    let values = columns(explained, |own| Some(own.value));
    draw("boxes", &boxes_svg(&title, &asked.value_name(), &values))?;
    let bars: Vec<Bar> = cohort
        .leads
        .iter()
        .map(|own| Bar { name: own.lead.clone(), value: own.mean, interval: own.mean_interval })
        .collect();
    let interval = match bars.iter().any(|bar| bar.interval.is_some()) {
        true => ", 95 % interval",
        false => "",
    };
    let axis = format!("mean {}{interval}", asked.value_name());
    draw("means", &bars_with_intervals_svg(&title, &axis, &bars))?;
    let percents = columns(explained, |own| own.softmax_percent);
    if !percents.is_empty() {
        let mean = |(lead, values): (String, Vec<f64>)| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (lead, mean)
        };
        let means: Vec<Named> = percents.into_iter().map(mean).collect();
        draw("softmax", &bars_svg(&title, SOFTMAX, &means))?;
    }
    Ok(())
}

/// Returns the values of each player over the records, with players in order of first appearance.
fn columns(
    explained: &[Cow<'_, Explanation>],
    value: impl Fn(&ecg_lime::Contribution) -> Option<f64>,
) -> Vec<(String, Vec<f64>)> {
    let mut leads: Vec<(String, Vec<f64>)> = Vec::new();
    for own in explained.iter().flat_map(|own| &own.values) {
        let Some(value) = value(own) else { continue };
        match leads.iter_mut().find(|(lead, _)| *lead == own.lead) {
            Some((_, values)) => values.push(value),
            None => leads.push((own.lead.clone(), vec![value])),
        }
    }
    leads
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg_lime::Target;

    #[test]
    fn a_title_counts_the_records_with_other_players() {
        let values = [("I", 0.5), ("II", 0.25)];
        let own = Explanation::from_values("AF", Target::Logit, values, 0.0, 1.0);
        assert_eq!(cohort_title(&own, 20, 0, false), "shapley of AF, n = 20");
        assert_eq!(
            cohort_title(&own, 20, 3, true),
            "shapley of AF, n = 20, 3 of them with each lead a player, stopped"
        );
    }
}
