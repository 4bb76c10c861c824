use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::say_err;

/// Seconds between the lines that stand for a bar where standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far a long piece of work has come: a bar on a terminal, a line now and then elsewhere; on standard error.
///
/// Shared between threads by reference.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    what: String,
    /// When the last line was printed; `None` on a terminal, where the bar prints.
    last_line: Option<Mutex<Instant>>,
}

impl Progress {
    /// Work of `len` steps; `what` says what a step is, in the plural ("records").
    pub fn new(len: u64, what: &str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(len), target);
        let template =
            format!("{{wide_bar}} {{pos}}/{{len}} {what} {{per_sec}} {{eta}} left {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Self {
            bar,
            what: what.to_owned(),
            last_line: (!terminal).then(|| Mutex::new(Instant::now())),
        }
    }

    /// `n` more steps are done.
    pub fn inc(&self, n: u64) {
        self.bar.inc(n);
        let Some(last) = &self.last_line else { return };
        let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            say_err!(
                "{}/{} {}, {:.1} a second, {:.0} s left{}",
                self.bar.position(),
                self.bar.length().unwrap_or(0),
                self.what,
                self.bar.per_sec(),
                self.bar.eta().as_secs_f64(),
                match self.bar.message() {
                    message if message.is_empty() => String::new(),
                    message => format!(", {message}"),
                }
            );
        }
    }

    /// `n` steps were done before; the rate does not count them.
    pub fn skip(&self, n: u64) {
        self.bar.inc(n);
        self.bar.reset_eta();
    }

    /// What is going on, shown behind the numbers.
    pub fn message(&self, message: impl Into<String>) {
        self.bar.set_message(message.into());
    }

    /// Prints a line without disturbing the bar.
    pub fn line(&self, line: &str) {
        self.bar.suspend(|| say_err!("{line}"));
    }

    /// The work is done: the bar goes away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
