//! Helpers shared by tests of whole programs.

use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// Starts a program and kills it once `seen` returns true; false if it ended by itself.
pub fn killed_when(mut command: Command, seen: impl Fn() -> bool) -> bool {
    let mut child = command.stderr(Stdio::null()).spawn().expect("starts");
    while !seen() {
        if child.try_wait().expect("waits").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("kills");
    was_killed(child.wait().expect("waits"))
}

#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    // SIGKILL
    status.signal() == Some(9)
}

/// Elsewhere, a failure of its own cannot be told from a kill.
#[cfg(not(unix))]
fn was_killed(status: ExitStatus) -> bool {
    !status.success()
}
