//! Classifies all records of a source.

use anyhow::{Context, Result, bail};
use ecg3d_examples::source::{Failed, Rows, Source};
use ecg3d_examples::{Kept, Progress};
use ecg3d_models::{Model, WindowPooling};
use ndarray::{Array2, Axis, s};

/// Classifies every record and shows progress. Returns the indices of the records whose probabilities are
/// finite, and these probabilities `[record, label]`.
///
/// A record with several rows, one for each window, gets their logits pooled as the model's card says. Records whose
/// probabilities are not finite are added to `source.failed`. Rows that `kept` has from an earlier run are not computed
/// again, and new ones are added to it. It is removed if all rows are done and none is finite.
///
/// # Errors
/// Returns an error if the model cannot use the rows, if no record has finite probabilities, or if `kept`
/// cannot be written.
pub fn classify(
    model: &Model,
    source: &mut Source,
    mut kept: Option<&mut Kept>,
) -> Result<(Vec<usize>, Array2<f64>)> {
    let rows = predict_rows(model, &source.rows, unit(source), kept.as_deref_mut())
        .context("cannot classify the records")?;
    let all = match &source.row_record {
        Some(row_record) => {
            pooled(&rows, row_record, source.names.len(), model.card().window_pooling)
        }
        None => rows,
    };
    let (finite, others): (Vec<usize>, Vec<usize>) =
        (0..all.nrows()).partition(|&record| all.row(record).iter().all(|p| p.is_finite()));
    source.failed.extend(others.iter().map(|&record| Failed::not_finite(&source.names[record])));
    source.report_failures_beside(finite.len());
    if finite.is_empty() {
        // Nothing could be continued, and the file would make a run with other weights or records be refused.
        if let Some(kept) = kept {
            kept.remove()?;
        }
        bail!("no record has finite probabilities");
    }
    let probabilities = all.select(Axis(0), &finite);
    Ok((finite, probabilities))
}

/// Returns how many of the rows that an earlier run left are not computed again: those of whole batches, which
/// give the same bits on the CPU.
pub fn taken_over(model: &Model, kept: &Kept) -> usize {
    let step = model.batch();
    kept.rows().nrows() / step * step
}

/// Returns what a row is, in the plural.
pub fn unit(source: &Source) -> &'static str {
    if source.row_record.is_some() { "windows" } else { "records" }
}

/// Returns the probabilities `[row, label]` of all rows, which may not be finite, and shows progress. `unit` says what
/// a row is, in the plural. `kept` is used as in [`classify`].
///
/// # Errors
/// Returns an error if the model cannot use the rows, or if `kept` cannot be written.
pub fn predict_rows(
    model: &Model,
    rows: &Rows,
    unit: &str,
    mut kept: Option<&mut Kept>,
) -> Result<Array2<f64>> {
    let n = rows.len();
    let step = model.batch();
    let progress = Progress::new(n as u64, &format!("{unit} classified"));
    let mut out = Array2::zeros((n, model.labels().len()));
    let mut done = 0;
    if let Some(kept) = &kept {
        done = taken_over(model, kept);
        out.slice_mut(s![..done, ..]).assign(&kept.rows().slice(s![..done, ..]));
        progress.skip(done as u64);
        if done > 0 {
            progress.line(&format!("resuming after {done} of {n} {unit}"));
        }
    }
    for start in (done..n).step_by(step) {
        let end = n.min(start + step);
        let part = match rows {
            Rows::Prepared { signals, lengths } => model.predict_prepared(
                signals.slice(s![start..end, .., ..]),
                Some(&lengths[start..end]),
            ),
            Rows::Images(images) => model.predict_images(images.slice(s![start..end, .., .., ..])),
            Rows::Volumes(volumes) => {
                model.predict_volumes(volumes.slice(s![start..end, .., .., ..]))
            }
        };
        out.slice_mut(s![start..end, ..]).assign(&part?);
        progress.inc((end - start) as u64);
        if let Some(kept) = &mut kept {
            kept.keep(out.slice(s![..end, ..]))?;
        }
    }
    progress.finish();
    Ok(out)
}

/// Returns one row for each record: the probability that belongs to the logits of its rows, pooled; NaN for a record
/// without rows.
///
/// In a mean, a probability that was rounded to 0 or 1 counts as the nearest number, so that no single window outweighs
/// all others. The largest logit is that of the largest probability.
fn pooled(
    rows: &Array2<f64>,
    row_record: &[usize],
    records: usize,
    pooling: WindowPooling,
) -> Array2<f64> {
    let mut out = Array2::<f64>::zeros((records, rows.ncols()));
    let mut counts = vec![0.0; records];
    for (row, &record) in rows.rows().into_iter().zip(row_record) {
        counts[record] += 1.0;
        out.row_mut(record).zip_mut_with(&row, |pooled, &p| match pooling {
            WindowPooling::Mean => {
                let p = p.clamp(f64::EPSILON / 2.0, 1.0 - f64::EPSILON / 2.0);
                *pooled += (p / (1.0 - p)).ln();
            }
            // What is not a number stays, as in a mean.
            WindowPooling::Max if p > *pooled || p.is_nan() => *pooled = p,
            WindowPooling::Max => {}
        });
    }
    for (mut row, count) in out.rows_mut().into_iter().zip(counts) {
        match pooling {
            WindowPooling::Mean => row.mapv_inplace(|sum| 1.0 / (1.0 + (-sum / count).exp())),
            WindowPooling::Max if count == 0.0 => row.fill(f64::NAN),
            WindowPooling::Max => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn rows_of_a_record_are_pooled_by_their_logits() {
        let rows = array![[0.8, f64::NAN], [0.4, 0.9], [0.2, 0.5]];
        let of = |pooling| pooled(&rows, &[0, 2, 0], 3, pooling);
        for (pooling, expected) in [(WindowPooling::Mean, 0.5), (WindowPooling::Max, 0.8)] {
            let found = of(pooling);
            assert!((found[[0, 0]] - expected).abs() < 1e-12, "{found}");
            assert!((found[[2, 0]] - 0.4).abs() < 1e-12, "{found}");
            assert!((found[[2, 1]] - 0.9).abs() < 1e-12, "{found}");
            // A row that is not finite, and a record without rows.
            assert!(found[[0, 1]].is_nan() && found.row(1).iter().all(|p| p.is_nan()), "{found}");
        }
    }
}
