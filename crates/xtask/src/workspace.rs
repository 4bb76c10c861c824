//! The checkout: its folders, and child processes that see the environment that a user's shell would give them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

/// Name of the link in the checkout that `.cargo/config.toml` points `LIBTORCH` to.
pub const LINK_NAME: &str = ".libtorch";

/// This checkout, and the folder of its build output.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    /// Folder of the running xtask: `target/debug`, wherever `target` is.
    profile_dir: PathBuf,
}

impl Workspace {
    /// Finds the checkout from what cargo tells a program that it runs.
    pub fn locate() -> Result<Self> {
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir
            .ancestors()
            .nth(2)
            .filter(|root| root.join("Cargo.toml").is_file())
            .with_context(|| format!("no workspace found above {}", manifest_dir.display()))?;
        let exe = std::env::current_exe().context("cannot find the path of the xtask program")?;
        let profile_dir = exe.parent().context("the xtask program has no parent folder")?;
        Ok(Self { root: root.to_path_buf(), profile_dir: profile_dir.to_path_buf() })
    }

    /// Returns the folder of the root `Cargo.toml`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the link (or folder) in the checkout through which everything finds libtorch.
    pub fn libtorch_link(&self) -> PathBuf {
        self.root.join(LINK_NAME)
    }

    /// Returns the user's own `LIBTORCH`, if any.
    pub fn own_libtorch(&self) -> Option<PathBuf> {
        own_libtorch(std::env::var_os("LIBTORCH").as_deref(), &self.root)
    }

    /// Returns the folder where cargo builds.
    pub fn target(&self) -> &Path {
        self.profile_dir.parent().unwrap_or(&self.profile_dir)
    }

    /// Returns a folder beside the build output for files that a run of the gate makes.
    ///
    /// No other project has its name: several projects may build into one folder, where `ci` alone is the
    /// output of a profile of that name.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.profile_dir.with_file_name(format!("ecg3d-{name}"))
    }

    /// Returns a cargo command in the root of the checkout.
    ///
    /// It is the cargo that runs xtask, with the environment of the shell. Variables that cargo set only for
    /// xtask are removed, because build scripts that watch such a variable would run again at every change
    /// between `cargo xtask` and plain `cargo`.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        self.clean(&mut command);
        for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
            if let Some(folder) = absolute_target(std::env::var_os(name)) {
                command.env(name, folder);
            }
        }
        command
    }

    /// Returns a command for a program of this workspace, run in the caller's folder. `profile` is the folder
    /// name, `debug` or `release`.
    pub fn program(&self, profile: &str, name: &str) -> Command {
        let mut command = Command::new(self.program_path(profile, name));
        self.clean(&mut command);
        command
    }

    /// Returns where cargo puts a program of this workspace.
    pub fn program_path(&self, profile: &str, name: &str) -> PathBuf {
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        self.profile_dir.with_file_name(profile).join(file)
    }

    fn clean(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            let set_by_cargo = name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
            });
            if set_by_cargo || (name == "LIBTORCH" && self.own_libtorch().is_none()) {
                command.env_remove(name);
            }
        }
    }
}

/// Makes a relative target folder absolute, starting from the caller's folder, as the cargo that built xtask
/// did; a cargo in the root would start from there. Returns `None` if it can stay as it is.
fn absolute_target(value: Option<OsString>) -> Option<PathBuf> {
    let folder = value.map(PathBuf::from).filter(|folder| folder.is_relative())?;
    std::path::absolute(folder).ok()
}

/// Returns `LIBTORCH`, unless it is the one that `.cargo/config.toml` sets for every program that cargo runs,
/// including xtask.
fn own_libtorch(value: Option<&OsStr>, root: &Path) -> Option<PathBuf> {
    let path = PathBuf::from(value?);
    let same_folder = || {
        let parent = path.parent()?.canonicalize().ok()?;
        Some(parent == root.canonicalize().ok()?)
    };
    let from_config =
        path.file_name() == Some(OsStr::new(LINK_NAME)) && same_folder() == Some(true);
    (!from_config).then_some(path)
}

/// Runs a child to its end. Anything except success is an error that shows the command line.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a child to its end and passes its exit status on.
pub fn status(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => Ok(ExitCode::from(code)),
        _ => bail!("{} failed ({status})", line(command)),
    }
}

/// Formats a command as one would type it, with the bare name of the program.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_the_cargo_config_is_not_the_users_own() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let link = root.join(LINK_NAME);
        assert_eq!(own_libtorch(None, root), None);
        assert_eq!(own_libtorch(Some(link.as_os_str()), root), None);
        let roundabout = root.join("src/..").join(LINK_NAME);
        assert_eq!(own_libtorch(Some(roundabout.as_os_str()), root), None);
    }

    #[test]
    fn any_other_value_is_the_users_own() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for other in ["/opt/libtorch", "/elsewhere/.libtorch", ".libtorch", ""] {
            assert_eq!(own_libtorch(Some(OsStr::new(other)), root), Some(PathBuf::from(other)));
        }
    }

    #[test]
    fn a_relative_target_folder_is_that_of_the_caller() {
        let here = std::env::current_dir().expect("a folder");
        let built = here.join("target-cuda");
        assert_eq!(absolute_target(Some("target-cuda".into())), Some(built.clone()));
        assert_eq!(absolute_target(Some(built.into())), None);
        assert_eq!(absolute_target(Some(OsString::new())), None);
        assert_eq!(absolute_target(None), None);
    }

    #[test]
    fn what_the_gate_writes_is_named_as_ours() {
        let workspace = Workspace { root: "/w".into(), profile_dir: "/shared/debug".into() };
        assert_eq!(workspace.scratch("ci"), Path::new("/shared/ecg3d-ci"));
    }

    #[test]
    fn a_command_line_shows_the_bare_program() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--workspace"]);
        assert_eq!(line(&command), "cargo test --workspace");
    }
}
