//! One record: its explanation, and the pictures of it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use ecg_core::Lead;
use ecg_io::{ReadOptions, read_recording};
use ecg_lime::Outcome;
use ecg3d_convert::ConvertPlan;
use ecg3d_examples::chart::bars_svg;
use ecg3d_examples::ecg_paper::ecg_svg;
use ecg3d_examples::{Progress, write_atomic};
use ecg3d_models::Model;
use ndarray::s;
use serde::Serialize;

use crate::{Asked, prepared_leads};

/// The layout of `explanation.json`: what was asked of what, then the outcome.
#[derive(Serialize)]
struct Written<'a> {
    record: String,
    model: String,
    threshold: f64,
    predicted: bool,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// Explains the record at `path` into `out`.
pub fn explain(model: &Model, asked: &Asked, path: &Path, out: &Path) -> Result<ExitCode> {
    let loaded = read_recording(path, &ReadOptions::default())?;
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    let recording = loaded.recording;
    let config = &model.card().preprocessing;
    let plan = ConvertPlan::new(config.clone(), recording.sampling_rate)?;
    let prepared =
        plan.prepare(&recording).with_context(|| format!("cannot prepare {}", path.display()))?;
    for warning in &prepared.warnings {
        eprintln!("warning: {}: {warning}", path.display());
    }
    let signal = prepared.signal.slice(s![.., ..prepared.length]);
    let leads = prepared_leads(config, &recording.leads);

    let mut progress: Option<(Progress, usize)> = None;
    let outcome = asked
        .explain(model, signal, &leads, &mut |done, total| {
            let (bar, before) = progress
                .get_or_insert_with(|| (Progress::new(total as u64, "perturbed inputs"), 0));
            bar.inc((done - *before) as u64);
            *before = done;
        })
        .with_context(|| format!("cannot explain {}", path.display()))?;
    if let Some((bar, _)) = progress {
        bar.finish();
    }

    let probability = match &outcome {
        Outcome::Explained(own) if own.method == ecg_lime::Method::Published => own.f_all,
        Outcome::Explained(own) => match asked.options.target {
            ecg_lime::Target::Logit => 1.0 / (1.0 + (-own.f_all).exp()),
            _ => own.f_all,
        },
        Outcome::OneClass(one) => one.f_all,
        _ => f64::NAN,
    };
    let predicted = probability > asked.threshold;
    let written = Written {
        record: path.display().to_string(),
        model: model.to_string(),
        threshold: asked.threshold,
        predicted,
        outcome: &outcome,
    };
    let json = serde_json::to_string_pretty(&written).context("explanation.json")?;
    write_atomic(&out.join("explanation.json"), |file| writeln!(file, "{json}"))?;
    print!("{outcome}");
    if !predicted {
        println!("the model does not predict {} here ({probability:.4})", asked.label);
    }
    let bars_file = out.join("bars.svg");
    let mut shares = None;
    if let Some(own) = outcome.explanation() {
        let bars: Vec<(String, f64)> =
            own.values.iter().map(|own| (own.lead.clone(), own.value)).collect();
        let title = format!(
            "{} of {}, {}: {:.3} from {:.3}",
            own.method, asked.label, recording.name, own.f_all, own.f_none
        );
        let svg = bars_svg(&title, &asked.value_name(), &bars);
        write_atomic(&bars_file, |file| file.write_all(svg.as_bytes()))?;
        shares = Some(Lead::STANDARD_12.map(|lead| own.value_of(lead.name()).unwrap_or(0.0)));
    } else if bars_file.exists() {
        // Of an earlier run: it would pass for a picture of this one.
        std::fs::remove_file(&bars_file)
            .with_context(|| format!("cannot remove {}", bars_file.display()))?;
    }
    let svg = ecg_svg(&recording, shares.as_ref());
    write_atomic(&out.join("ecg.svg"), |file| file.write_all(svg.as_bytes()))?;
    println!("written to {}", out.display());
    Ok(ExitCode::SUCCESS)
}
