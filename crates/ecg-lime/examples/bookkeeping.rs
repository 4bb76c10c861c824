//! Measures how long explanations take beyond the forward passes, with a predictor that costs nothing.
//!
//! `cargo run --release -p ecg-lime --example bookkeeping`

use std::ops::ControlFlow;
use std::time::Instant;

use ecg_core::{LabelSet, Lead, LeadMask, Predict, PredictError, PredictSubsets};
use ecg_lime::{
    EvaluateOptions, ExplainOptions, LimeError, Method, Players, SampleOptions, SampledShapley,
    Segments, SubsetEvaluations, Target,
};
use ndarray::{Array2, ArrayView2, ArrayView3, Ix3};

/// Seven labels that depend only on the position in the batch.
struct Free(LabelSet);

impl Free {
    fn rows(&self, count: usize) -> Array2<f64> {
        Array2::from_shape_fn((count, 7), |(n, label)| ((n * 7 + label) % 97) as f64 / 97.0)
    }
}

impl Predict<Ix3> for Free {
    fn input_shape(&self) -> Vec<usize> {
        vec![12, 100]
    }
    fn labels(&self) -> &LabelSet {
        &self.0
    }
    fn predict_proba(&self, batch: ArrayView3<'_, f32>) -> Result<Array2<f64>, PredictError> {
        Ok(self.rows(batch.dim().0))
    }
}

impl PredictSubsets for Free {
    fn predict_subsets(
        &self,
        _: ArrayView2<'_, f32>,
        masks: &[LeadMask],
    ) -> Result<Array2<f64>, PredictError> {
        Ok(self.rows(masks.len()))
    }
}

/// Prints the median time of eleven runs, in ms.
fn time<T>(what: &str, mut work: impl FnMut() -> Result<T, LimeError>) -> Result<(), LimeError> {
    let mut times = Vec::new();
    for _ in 0..11 {
        let start = Instant::now();
        std::hint::black_box(work()?);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("{what:<70} {:>8.3} ms", times[5]);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Free(LabelSet::new(["NSR", "AF", "IAVB", "LBBB", "RBBB", "SB", "STach"])?);
    // Limb leads that obey Einthoven, since they are all zero.
    let signal = Array2::from_shape_fn((12, 100), |(lead, t)| {
        if lead < 6 { 0.0 } else { ((lead * 31 + t * 17) % 23) as f32 }
    });
    let twelve = Players::leads(&Lead::STANDARD_12);
    let eight = Players::independent(&Lead::STANDARD_12)?;
    let evaluate = EvaluateOptions::default();
    let mut go_on = |_: usize, _: usize| ControlFlow::Continue(());
    for (players, methods) in [
        (&eight, &[Method::Shapley, Method::Lime][..]),
        (&twelve, &[Method::Shapley, Method::Lime, Method::LimeSampled, Method::Published][..]),
    ] {
        for method in methods {
            let options = ExplainOptions::default().with_method(*method);
            let subsets = options.subsets();
            let mut make = || {
                let x = signal.view();
                SubsetEvaluations::new(&model, x, players, &subsets, &evaluate, &mut go_on)
            };
            let evaluations = make()?;
            let count = evaluations.masks().len();
            let what = format!("{} players, {count} subsets", players.len());
            if *method != Method::Lime {
                time(&format!("{what}: evaluate"), make)?;
            }
            time(&format!("{what}: {method}, all seven labels"), || {
                model.0.iter().try_for_each(|label| evaluations.explain(label, &options).map(drop))
            })?;
        }
    }
    let segments = Segments::equal(&twelve, 100, 8)?;
    let options = SampleOptions::default();
    time("96 segments, 64 permutations (6080 inputs): sample, all seven labels", || {
        let walks = SampledShapley::new(&model, signal.view(), &segments, &options, &mut go_on)?;
        model.0.iter().try_for_each(|label| walks.explain(label, Target::Logit).map(drop))
    })?;
    Ok(())
}
