use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::say_err;

/// Seconds between the lines that replace the bar if standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Progress of a long piece of work on standard error: a bar on a terminal, and a line now and then elsewhere.
///
/// Shared between threads by reference.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    what: String,
    /// Time of the last line; `None` on a terminal, where the bar prints.
    last_line: Option<Mutex<Instant>>,
}

impl Progress {
    /// Starts progress over `len` steps. `what` names the steps, in the plural ("records").
    pub fn new(len: u64, what: &str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(len), target);
        let template = format!("{{wide_bar}} {{pos}}/{{len}} {what} {{per_sec}}{{left}} {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.with_key("left", |state: &ProgressState, text: &mut dyn Write| {
                let time = format!("{:#}", HumanDuration(state.eta()));
                let _ = text.write_str(&left(state.per_sec(), &time, " "));
            }));
        }
        Self {
            bar,
            what: what.to_owned(),
            last_line: (!terminal).then(|| Mutex::new(Instant::now())),
        }
    }

    /// Returns the number of steps counted as done.
    pub fn position(&self) -> u64 {
        self.bar.position()
    }

    /// Counts all steps up to the first `n` as done.
    pub fn reach(&self, n: u64) {
        self.inc(n.saturating_sub(self.position()));
    }

    /// Counts `n` more steps as done.
    pub fn inc(&self, n: u64) {
        self.bar.inc(n);
        let Some(last) = &self.last_line else { return };
        let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            say_err!(
                "{}/{} {}, {:.1} per second{}{}",
                self.bar.position(),
                self.bar.length().unwrap_or(0),
                self.what,
                self.bar.per_sec(),
                left(self.bar.per_sec(), &format!("{:.0} s", self.bar.eta().as_secs_f64()), ", "),
                match self.bar.message() {
                    message if message.is_empty() => String::new(),
                    message => format!(", {message}"),
                }
            );
        }
    }

    /// Counts `n` steps as done before this run, which do not enter the rate.
    pub fn skip(&self, n: u64) {
        self.bar.inc(n);
        self.bar.reset_eta();
    }

    /// Sets the message shown behind the numbers.
    pub fn message(&self, message: impl Into<String>) {
        self.bar.set_message(message.into());
    }

    /// Prints a line without disturbing the bar.
    pub fn line(&self, line: &str) {
        self.bar.suspend(|| say_err!("{line}"));
    }

    /// Removes the bar, once the work is done.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Prints the first warnings of a long piece of work and counts all of them.
#[derive(Debug, Default)]
pub struct Shown(usize);

impl Shown {
    /// Largest number of warnings that are printed; a folder may have one for each recording.
    const MOST: usize = 20;

    /// Prints a warning, unless enough of them are printed. `progress` is that of the work, if it has begun.
    pub fn print(&mut self, progress: Option<&Progress>, warning: &str) {
        self.0 += 1;
        if self.0 > Self::MOST {
            return;
        }
        let line = format!("warning: {warning}");
        match progress {
            Some(progress) => progress.line(&line),
            None => say_err!("{line}"),
        }
    }

    /// Returns the number of warnings that were printed.
    pub fn printed(&self) -> usize {
        self.0.min(Self::MOST)
    }

    /// Returns the number of warnings that were not printed.
    pub fn left(&self) -> usize {
        self.0 - self.printed()
    }
}

/// Returns how much time is left, or nothing before the first step is counted, when that is not known.
fn left(per_second: f64, time: &str, before: &str) -> String {
    if per_second > 0.0 { format!("{before}{time} left") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_of_the_time_before_the_first_step() {
        let bar = ProgressBar::with_draw_target(Some(10), ProgressDrawTarget::hidden());
        assert_eq!(left(bar.per_sec(), "0 s", ", "), "");
        bar.inc(0);
        assert_eq!(left(bar.per_sec(), "0 s", ", "), "");
        assert_eq!(left(0.5, "20 s", ", "), ", 20 s left");
    }

    #[test]
    fn warnings_that_are_not_printed_are_counted() {
        let counts = |warnings| (Shown(warnings).printed(), Shown(warnings).left());
        assert_eq!(counts(Shown::MOST), (20, 0));
        assert_eq!(counts(23), (20, 3));
    }
}
