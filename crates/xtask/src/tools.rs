//! The system programs that set-up and build need, and the messages if one is missing.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Locates a program by the rules of a shell: a name with a slash is a path, any other name is looked up in
/// `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let is_file = |path: &PathBuf| path.is_file();
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(is_file);
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(is_file)
}

/// Returns a compiler command: the words of `$CXX` or `$CC` if set, else the default name.
fn compiler(variable: &str, default: &str) -> Vec<String> {
    words(&std::env::var(variable).unwrap_or_default(), default)
}

/// Returns the words of a command. The path of a program may contain spaces, and is then one word.
fn words(value: &str, default: &str) -> Vec<String> {
    let value = value.trim();
    if value.is_empty() {
        vec![default.to_owned()]
    } else if find(value).is_some() {
        vec![value.to_owned()]
    } else {
        value.split_whitespace().map(str::to_owned).collect()
    }
}

/// Checks that the build of tch will find a C++ compiler.
pub fn check_cxx() -> Result<()> {
    let wanted = compiler("CXX", "c++");
    if find(&wanted[0]).is_some() {
        return Ok(());
    }
    let other = ["g++", "clang++"].into_iter().find(|name| find(name).is_some());
    bail!(no_cxx(&wanted[0], other))
}

fn no_cxx(wanted: &str, other: Option<&str>) -> String {
    match other {
        Some(other) => {
            format!(
                "no C++ compiler: `{wanted}` not found, but `{other}` is installed: export CXX={other}"
            )
        }
        None => format!(
            "no C++ compiler: `{wanted}` not found; install one (Debian, Ubuntu: apt install g++; \
             Fedora: dnf install gcc-c++), or set CXX"
        ),
    }
}

/// Returns the C compiler as a command to which arguments can be added.
pub fn cc() -> Result<Command> {
    let words = compiler("CC", "cc");
    if find(&words[0]).is_none() {
        bail!(
            "no C compiler: `{}` not found; install one (Debian, Ubuntu: apt install gcc; \
             Fedora: dnf install gcc), or set CC",
            words[0]
        );
    }
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    Ok(command)
}

/// A working Python: `$PYTHON`, else `python3`.
#[derive(Debug)]
pub struct Python {
    program: OsString,
}

/// A program that fails in a Python that is too old for `unpack.py` or for a pip that is new enough.
const TRY_PYTHON: &str = "import ctypes, sys, zipfile; \
    sys.exit(sys.version_info < (3, 6) and 'Python 3.6 or newer is required')";

impl Python {
    /// Finds the interpreter and tries it.
    pub fn find() -> Result<Self> {
        let program = std::env::var_os("PYTHON")
            .filter(|value| !value.is_empty())
            .unwrap_or_else(|| "python3".into());
        let python = Self { program };
        let answer = python.command().args(["-c", TRY_PYTHON]).output();
        match answer {
            Ok(output) if output.status.success() => Ok(python),
            Ok(output) => bail!(
                "{} does not work ({}); set PYTHON to a working python3",
                python.name(),
                last_line(&output.stderr)
            ),
            Err(error) => bail!(
                "no Python: {} cannot be run ({error}); install it (Debian, Ubuntu: apt install \
                 python3 python3-pip; Fedora: dnf install python3 python3-pip), or set PYTHON to a python3",
                python.name()
            ),
        }
    }

    /// Returns its name for messages.
    pub fn name(&self) -> String {
        format!("`{}`", self.program.to_string_lossy())
    }

    /// Returns a command that runs it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::null());
        command
    }
}

/// Returns the SHA-256 of a file in lower-case hexadecimal.
pub fn sha256(path: &Path) -> Result<String> {
    let output = Command::new("sha256sum")
        .arg("--")
        .arg(path)
        .output()
        .context("cannot run sha256sum (it comes with coreutils)")?;
    if !output.status.success() {
        bail!("cannot read {}: {}", path.display(), last_line(&output.stderr));
    }
    // A file name with unusual characters is printed after a backslash, which is not part of the sum.
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim_start_matches('\\').split_whitespace().next().unwrap_or_default().to_owned())
}

/// Returns the MB free for this user in the file system of a folder; `None` if `df` does not report them.
pub fn free_mb(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(folder).output().ok()?;
    parse_df(&String::from_utf8_lossy(&output.stdout))
}

fn parse_df(text: &str) -> Option<u64> {
    // Counted from the percentage, since the device before it may have spaces in its name.
    let fields: Vec<&str> = text.lines().nth(1)?.split_whitespace().collect();
    let mut before_share = fields.windows(2).filter(|pair| pair[1].ends_with('%'));
    let kib: u64 = before_share.find_map(|pair| pair[0].parse().ok())?;
    Some(kib * 1024 / 1_000_000)
}

/// Returns the last line that is not empty, for one-line messages.
pub fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.unwrap_or("no reason given").to_owned()
}

/// Returns a path with a suffix added to its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A folder that is removed when the value is dropped.
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    /// Creates the folder.
    pub fn new(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // At worst, it is left over for the next run to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Folders for tests.
#[cfg(test)]
pub mod scratch {
    use super::*;

    /// Makes a separate folder for a test.
    pub fn scratch(name: &str) -> Temporary {
        let path = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        Temporary::new(path).expect("the temporary folder can be written")
    }

    /// Writes a file, and creates the folders above it.
    pub fn put(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a new folder");
        fs::write(path, text).expect("a new file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_compiler_is_told_with_the_remedy() {
        assert!(no_cxx("c++", Some("g++")).ends_with("export CXX=g++"));
        assert!(no_cxx("c++", None).contains("apt install g++"));
        assert!(no_cxx("icpx", None).contains("`icpx`"));
    }

    #[test]
    fn a_compiler_is_a_command_or_the_path_of_a_program() {
        assert_eq!(words("", "c++"), ["c++"]);
        assert_eq!(words(" ", "c++"), ["c++"]);
        let temp = scratch::scratch("two words");
        scratch::put(temp.path(), "g++", "");
        let path = temp.path().join("g++");
        let path = path.to_str().expect("an ordinary path");
        assert_eq!(words(path, "c++"), [path]);
        assert_eq!(words("ccache  g++ -m64", "c++"), ["ccache", "g++", "-m64"]);
    }

    #[test]
    fn programs_are_found_by_path_or_by_name() {
        let exe = std::env::current_exe().expect("a test has a path");
        assert_eq!(find(exe.to_str().expect("an ordinary path")), Some(exe));
        assert_eq!(find("/nonexistent/c++"), None);
        assert_eq!(find("surely-no-such-program"), None);
    }

    #[test]
    fn an_old_python_is_told_by_its_version() {
        // Set-up alone needs a Python.
        let Ok(python) = Python::find() else { return };
        let old = format!("import sys; sys.version_info = (3, 5); {TRY_PYTHON}");
        let output = python.command().args(["-c", &old]).output().expect("it ran before");
        assert!(!output.status.success());
        assert_eq!(last_line(&output.stderr), "Python 3.6 or newer is required");
    }

    #[test]
    fn free_space_is_read_from_df() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                    /dev/vda 264097732 14000000 81000000 15% /\n";
        assert_eq!(parse_df(text), Some(82_944));
        let blanks = text.replace("/dev/vda", "//nas/my files").replace(" /\n", " /my 9% b\n");
        assert_eq!(parse_df(&blanks), Some(82_944));
        assert_eq!(parse_df(""), None);
        assert_eq!(parse_df("df: no such file"), None);
    }

    #[test]
    fn a_program_that_says_nothing_still_gives_a_line() {
        assert_eq!(last_line(b"Traceback\nImportError: no zlib\n\n"), "ImportError: no zlib");
        assert_eq!(last_line(b""), "no reason given");
    }
}
