//! Set-up: decides whose libtorch is used, checks it, and fetches what is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::libtorch::{self, VERSION};
use crate::tools::{self, last_line};
use crate::workspace::Workspace;

/// Whose libtorch the build will use.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// Python's torch: `LIBTORCH_USE_PYTORCH` is set, to whatever.
    Python,
    /// The user's own `LIBTORCH`.
    Folder(PathBuf),
    /// The copy that set-up lays out.
    Ours,
}

/// torch-sys lets `LIBTORCH_USE_PYTORCH` win over `LIBTORCH`.
fn source(use_pytorch: bool, own: Option<PathBuf>) -> Source {
    match own {
        _ if use_pytorch => Source::Python,
        Some(folder) => Source::Folder(folder),
        None => Source::Ours,
    }
}

/// Makes the workspace ready to build. Quick and silent when it is.
pub fn run(workspace: &Workspace) -> Result<()> {
    let use_pytorch = std::env::var_os("LIBTORCH_USE_PYTORCH").is_some();
    let source = source(use_pytorch, workspace.own_libtorch());
    if source == Source::Ours {
        check_platform(std::env::consts::OS, std::env::consts::ARCH, cfg!(target_env = "musl"))?;
    }
    if cfg!(unix) {
        tools::check_cxx()?;
    }
    match source {
        Source::Python => check_python_torch(),
        Source::Folder(folder) => check_own(&folder),
        Source::Ours => libtorch::provide(&workspace.libtorch_link()),
    }
}

/// There is a recipe for x86_64 Linux with glibc; elsewhere a torch of the user's own works.
fn check_platform(os: &str, arch: &str, musl: bool) -> Result<()> {
    if os == "linux" && arch == "x86_64" && !musl {
        return Ok(());
    }
    let libc = if musl { " with musl" } else { "" };
    bail!(
        "set-up fetches libtorch for x86_64 Linux with glibc only, and this is {arch} {os}{libc}; \
         these two lines work here, then try again:\n    \
         python3 -m pip install torch=={VERSION} setuptools\n    \
         export LIBTORCH_USE_PYTORCH=1"
    )
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
    println!("libtorch of your own: LIBTORCH={}", folder.display());
    Ok(())
}

/// Asks the Python that torch-sys will ask.
fn check_python_torch() -> Result<()> {
    let python = if std::env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    let program = "import torch; from torch.utils import cpp_extension; print(torch.__version__)";
    let output = Command::new(python)
        .args(["-c", program])
        .output()
        .with_context(|| format!("LIBTORCH_USE_PYTORCH is set, but `{python}` cannot be run"))?;
    let remedy = format!("{python} -m pip install torch=={VERSION} setuptools");
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
    println!("libtorch of your own: torch {version} of `{python}`");
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
    fn other_platforms_are_told_the_two_lines_that_work() {
        assert!(check_platform("linux", "x86_64", false).is_ok());
        for (os, arch, musl) in
            [("macos", "aarch64", false), ("linux", "aarch64", false), ("linux", "x86_64", true)]
        {
            let text = check_platform(os, arch, musl).expect_err("no recipe").to_string();
            assert!(text.contains("pip install torch==2.11.0"), "{text}");
            assert!(text.contains("export LIBTORCH_USE_PYTORCH=1"), "{text}");
        }
    }

    #[test]
    fn an_unusable_libtorch_is_told_with_the_remedy() {
        for (folder, part) in
            [("", "absolute"), ("libtorch", "absolute"), ("/nonexistent", "is not there")]
        {
            let text = check_own(Path::new(folder)).expect_err("not usable").to_string();
            assert!(text.contains(part) && text.contains("unset it"), "{text}");
        }
    }
}
