//! Messages for people. A line that cannot be printed, because nobody reads on or the disk is full, is lost
//! without ending the program.

use std::io::{self, BufWriter, Write};

use anyhow::{Context, Result};
use serde::Serialize;

/// Prints a message to standard output, as `println!` does.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use ::std::io::Write as _;
        let _ = ::std::writeln!(::std::io::stdout().lock(), $($text)*);
    }};
}

/// Prints a message to standard error, as `eprintln!` does.
#[macro_export]
macro_rules! say_err {
    ($($text:tt)*) => {{
        use ::std::io::Write as _;
        let _ = ::std::writeln!(::std::io::stderr().lock(), $($text)*);
    }};
}

/// Prints a program's result to standard output. Unlike a message, it must not be lost.
///
/// # Errors
/// Returns the error of standard output. A reader that has seen enough is not an error.
pub fn print_result(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Prints JSON to standard output as it is made, like [`print_result`], because a record may have millions of
/// annotations.
///
/// # Errors
/// The errors of [`print_result`].
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from);
    printed(done.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))
}

fn printed(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
