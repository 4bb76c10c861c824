//! Helpers shared by tests of whole programs.

use std::process::{Command, Stdio};
use std::time::Duration;

/// Starts a program and kills it once `seen` returns true; false if it finished before that.
pub fn killed_when(mut command: Command, seen: impl Fn() -> bool) -> bool {
    let mut child = command.stderr(Stdio::null()).spawn().expect("starts");
    while !seen() {
        if child.try_wait().expect("waits").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("kills");
    !child.wait().expect("waits").success()
}
