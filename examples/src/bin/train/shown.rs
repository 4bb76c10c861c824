//! Shows a training run on the terminal.

use ecg3d_examples::{Progress, say_err};
use ecg3d_models::Event;

/// The display of a training run on the terminal.
pub struct Shown {
    epochs: usize,
    /// Number of steps done, and of all steps.
    steps: (u64, u64),
    /// That of the steps or of a validation, so that there is one bar at a time.
    progress: Option<Progress>,
    validating: bool,
    /// Whether there are records for validation.
    validates: bool,
}

impl Shown {
    /// Starts the display of a run of this many epochs.
    pub fn new(epochs: usize) -> Self {
        Self { epochs, steps: (0, 0), progress: None, validating: false, validates: false }
    }

    /// Removes the bar.
    pub fn finish(self) {
        if let Some(progress) = self.progress {
            progress.finish();
        }
    }

    /// Shows the steps, those before a validation included, or the windows of a validation, in place of the bar that is
    /// there.
    fn begin(&mut self, validated: Option<usize>) {
        if let Some(earlier) = self.progress.take() {
            earlier.finish();
        }
        let (done, all, what) = match validated {
            Some(windows) => (0, windows as u64, "validation windows"),
            None => (self.steps.0, self.steps.1, "steps"),
        };
        let progress = Progress::new(all, what);
        progress.skip(done);
        self.progress = Some(progress);
        self.validating = validated.is_some();
    }

    fn line(&self, line: &str) {
        match &self.progress {
            Some(progress) => progress.line(line),
            None => say_err!("{line}"),
        }
    }

    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Start { epochs, done, batches, val, .. } => {
                self.validates = *val > 0;
                if *done > 0 {
                    self.line(&format!("resuming after epoch {done}"));
                }
                let steps = epochs.saturating_sub(*done).saturating_mul(*batches);
                self.steps = (0, steps as u64);
                self.begin(None);
            }
            Event::Validated { done: 0, total } => self.begin(Some(*total)),
            Event::Validated { done, .. } => {
                if let Some(progress) = &self.progress {
                    progress.reach(*done as u64);
                }
            }
            Event::Batch { epoch, loss, lr, records_per_s, remaining, .. } => {
                if self.validating {
                    self.begin(None);
                }
                self.steps.0 += 1;
                if let Some(progress) = &self.progress {
                    // The time that the bar shows is that of the steps alone.
                    let all = match self.validates {
                        true => format!(", {:.0} s with validation", remaining.as_secs_f64()),
                        false => String::new(),
                    };
                    progress.message(format!(
                        "epoch {epoch}/{}, loss {loss:.4}, rate {lr:.2e}, {records_per_s:.0} records/s{all}",
                        self.epochs
                    ));
                    progress.inc(1);
                }
            }
            Event::Epoch { log, best, remaining } => {
                let shown = |value: Option<f64>| {
                    value.map_or("-".to_owned(), |value| format!("{value:.4}"))
                };
                self.line(&format!(
                    "epoch {}/{}: loss {:.4}, validation loss {}, macro F1 {}, macro AUROC {}, {:.1} s{}, {:.0} s left",
                    log.epoch,
                    self.epochs,
                    log.train_loss,
                    shown(log.val_loss),
                    shown(log.val_f1),
                    shown(log.val_auroc),
                    log.seconds,
                    if *best { ", best so far" } else { "" },
                    remaining.as_secs_f64()
                ));
            }
            Event::Warning(warning) => self.line(&format!("warning: {warning}")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_epochs_is_shown() {
        let mut shown = Shown::new(usize::MAX);
        shown.event(&Event::Start { epochs: usize::MAX, done: 0, batches: 2, train: 2, val: 0 });
        shown.finish();
    }

    #[test]
    fn steps_and_validations_take_turns_and_the_steps_are_counted_on() {
        let mut shown = Shown::new(2);
        let place = |shown: &Shown| {
            let progress = shown.progress.as_ref().expect("a bar");
            (shown.validating, progress.position())
        };
        // What a resumed run may have to do first.
        shown.event(&Event::Validated { done: 0, total: 9 });
        shown.event(&Event::Validated { done: 9, total: 9 });
        assert_eq!(place(&shown), (true, 9));
        shown.event(&Event::Start { epochs: 2, done: 0, batches: 2, train: 2, val: 3 });
        let remaining = std::time::Duration::ZERO;
        for epoch in 1..=2 {
            for batch in 1..=2 {
                let (batches, loss, lr, records_per_s) = (2, 0.5, 1e-3, 1.0);
                let event =
                    Event::Batch { epoch, batch, batches, loss, lr, records_per_s, remaining };
                shown.event(&event);
                assert_eq!(place(&shown), (false, 2 * (epoch as u64 - 1) + batch as u64));
            }
            for done in [0, 4, 6] {
                shown.event(&Event::Validated { done, total: 6 });
                assert_eq!(place(&shown), (true, done as u64));
            }
        }
        shown.finish();
    }
}
