//! Set-up: decides whose libtorch is used, checks it, and fetches what is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::libtorch::{self, LIBRARY_PATH, VERSION};
use crate::tools::{self, last_line};
use crate::workspace::Workspace;

/// Whose libtorch the build will use.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// Python's torch: `LIBTORCH_USE_PYTORCH` is set, to any value.
    Python,
    /// The user's own `LIBTORCH`.
    Folder(PathBuf),
    /// The copy that set-up lays out.
    Ours,
}

/// Chooses the source. In torch-sys, `LIBTORCH_USE_PYTORCH` takes precedence over `LIBTORCH`.
fn source(use_pytorch: bool, own: Option<PathBuf>) -> Source {
    match own {
        _ if use_pytorch => Source::Python,
        Some(folder) => Source::Folder(folder),
        None => Source::Ours,
    }
}

/// Makes the workspace ready to build. Quick if it already is, and then silent unless the user's own libtorch is used or
/// programs will load another one.
pub fn run(workspace: &Workspace) -> Result<()> {
    let use_pytorch = std::env::var_os("LIBTORCH_USE_PYTORCH").is_some();
    let source = source(use_pytorch, workspace.own_libtorch());
    if source == Source::Ours {
        check_platform(std::env::consts::OS, std::env::consts::ARCH, cfg!(target_env = "musl"))?;
    }
    if cfg!(unix) {
        tools::check_cxx()?;
    }
    let folder = match source {
        Source::Python => return check_python_torch(),
        Source::Folder(folder) => {
            check_own(&folder)?;
            folder
        }
        Source::Ours => {
            let link = workspace.libtorch_link();
            libtorch::provide(&link)?;
            link
        }
    };
    warn_of_another(&folder);
    Ok(())
}

/// Warns if programs will load another libtorch than that of `folder`.
fn warn_of_another(folder: &Path) {
    let used = libtorch::lib(folder);
    let path = std::env::var_os(LIBRARY_PATH);
    if let Some(other) = path.and_then(|path| libtorch::loaded_instead(&path, &used)) {
        eprintln!(
            "warning: {LIBRARY_PATH} has {}, whose libtorch the programs will load instead of {}; unset it",
            other.display(),
            used.display()
        );
    }
}

/// Refuses platforms without a recipe. There is one for x86_64 Linux with glibc. Elsewhere the user's own
/// libtorch works, which is Python's torch if the package index has it for the platform.
fn check_platform(os: &str, arch: &str, musl: bool) -> Result<()> {
    if os == "linux" && arch == "x86_64" && !musl {
        return Ok(());
    }
    let libc = if musl { " with musl" } else { "" };
    let advice = match (os, arch) {
        ("linux" | "macos", "aarch64") if !musl => format!(
            "install Python's torch with these commands, then try again:\n    \
             {NEW_ENVIRONMENT}\n    {}\n    export LIBTORCH_USE_PYTORCH=1",
            install()
        ),
        _ => format!(
            "set LIBTORCH to the absolute path of a libtorch {VERSION} for this platform (with lib and include), and try again"
        ),
    };
    bail!(
        "set-up can only fetch libtorch for x86_64 Linux with glibc, but this is {arch} {os}{libc}; {advice}"
    )
}

/// Many systems allow pip to install only into an environment.
const NEW_ENVIRONMENT: &str = "python3 -m venv .venv && . .venv/bin/activate";

fn install() -> String {
    format!("python -m pip install torch=={VERSION} setuptools")
}

/// Returns how to give the right torch to the Python that torch-sys asks.
fn torch_remedy(in_environment: bool) -> String {
    if in_environment { install() } else { format!("{NEW_ENVIRONMENT} && {}", install()) }
}

fn check_own(folder: &Path) -> Result<()> {
    let remedy = || {
        format!(
            "set LIBTORCH to the folder of a libtorch {VERSION} (with lib and include), or unset it to have one fetched"
        )
    };
    if !folder.is_absolute() {
        bail!("LIBTORCH={:?} is not an absolute path; {}", folder.display().to_string(), remedy());
    }
    libtorch::check(folder)
        .map_err(|reason| anyhow::anyhow!("LIBTORCH: {reason}; {}", remedy()))?;
    println!("using your own libtorch: LIBTORCH={}", folder.display());
    Ok(())
}

/// Checks the torch of the Python that torch-sys will ask.
fn check_python_torch() -> Result<()> {
    let in_environment = std::env::var_os("VIRTUAL_ENV").is_some();
    let python = if in_environment { "python" } else { "python3" };
    let program = "import torch; from torch.utils import cpp_extension; print(torch.__version__)";
    let output = Command::new(python)
        .args(["-c", program])
        .output()
        .with_context(|| format!("LIBTORCH_USE_PYTORCH is set, but `{python}` cannot be run"))?;
    let remedy = torch_remedy(in_environment);
    if !output.status.success() {
        bail!(
            "LIBTORCH_USE_PYTORCH is set, but torch cannot be imported ({}): {remedy}",
            last_line(&output.stderr)
        );
    }
    let version = last_line(&output.stdout);
    if !libtorch::is_version(&version) && !libtorch::bypassed() {
        bail!("LIBTORCH_USE_PYTORCH is set, but the torch of `{python}` is {version}: {remedy}");
    }
    println!("using your own libtorch: torch {version} of `{python}`");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_comes_first() {
        let own = || Some(PathBuf::from("/opt/libtorch"));
        assert_eq!(source(true, own()), Source::Python);
        assert_eq!(source(true, None), Source::Python);
        assert_eq!(source(false, own()), Source::Folder("/opt/libtorch".into()));
        assert_eq!(source(false, None), Source::Ours);
    }

    #[test]
    fn other_platforms_are_told_the_way_that_works() {
        assert!(check_platform("linux", "x86_64", false).is_ok());
        let told =
            |os, arch, musl| check_platform(os, arch, musl).expect_err("no recipe").to_string();
        for (os, arch) in [("macos", "aarch64"), ("linux", "aarch64")] {
            let text = told(os, arch, false);
            assert!(text.contains("-m venv"), "{text}");
            assert!(text.contains("pip install torch==2.11.0"), "{text}");
            assert!(text.contains("export LIBTORCH_USE_PYTORCH=1"), "{text}");
        }
        // No wheels, or no such shell.
        for (os, arch, musl) in [
            ("linux", "x86_64", true),
            ("linux", "aarch64", true),
            ("macos", "x86_64", false),
            ("windows", "x86_64", false),
        ] {
            let text = told(os, arch, musl);
            assert!(text.contains("set LIBTORCH to the absolute path"), "{text}");
            assert!(!text.contains("pip") && !text.contains("export"), "{text}");
        }
    }

    #[test]
    fn torch_is_installed_into_an_environment() {
        assert_eq!(torch_remedy(true), "python -m pip install torch==2.11.0 setuptools");
        assert_eq!(
            torch_remedy(false),
            "python3 -m venv .venv && . .venv/bin/activate && python -m pip install torch==2.11.0 setuptools"
        );
    }

    #[test]
    fn an_unusable_libtorch_is_told_with_the_remedy() {
        for (folder, part) in
            [("", "absolute"), ("libtorch", "absolute"), ("/nonexistent", "does not exist")]
        {
            let text = check_own(Path::new(folder)).expect_err("not usable").to_string();
            assert!(text.contains(part) && text.contains("unset it"), "{text}");
        }
    }
}
