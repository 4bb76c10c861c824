//! Shows a training run on the terminal.

use ecg3d_examples::{Progress, say_err};
use ecg3d_models::Event;

/// The display of a training run on the terminal.
pub struct Shown {
    epochs: usize,
    progress: Option<Progress>,
}

impl Shown {
    /// Starts the display of a run of this many epochs.
    pub fn new(epochs: usize) -> Self {
        Self { epochs, progress: None }
    }

    /// Removes the bar.
    pub fn finish(self) {
        if let Some(progress) = self.progress {
            progress.finish();
        }
    }

    fn line(&self, line: &str) {
        match &self.progress {
            Some(progress) => progress.line(line),
            None => say_err!("{line}"),
        }
    }

    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Start { epochs, done, batches, .. } => {
                if *done > 0 {
                    self.line(&format!("resuming after epoch {done}"));
                }
                let steps = epochs.saturating_sub(*done).saturating_mul(*batches);
                self.progress = Some(Progress::new(steps as u64, "steps"));
            }
            Event::Batch { epoch, loss, lr, records_per_s, .. } => {
                if let Some(progress) = &self.progress {
                    progress.message(format!(
                        "epoch {epoch}/{}, loss {loss:.4}, rate {lr:.2e}, {records_per_s:.0} records/s",
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
}
