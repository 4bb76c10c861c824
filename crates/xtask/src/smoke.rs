//! Runs every program once, on a few synthetic records: does each start, understand its flags and write its
//! files?

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::workspace::{self, Workspace};

/// A run of one program. In the arguments, `@/` stands for the folder of this run.
struct Run {
    program: &'static str,
    args: &'static str,
    /// Files that it must write, by their paths in that folder.
    writes: &'static [&'static str],
}

/// The steps of a user, from records to an explanation.
const RUNS: [Run; 14] = [
    Run {
        program: "synthesize",
        args: "--out @/data --records 40 --seed 1",
        writes: &["data/labels.csv"],
    },
    // With few windows, for programs that ask a network about each window many times.
    Run {
        program: "synthesize",
        args: "--out @/short --records 8 --seconds 4 --seed 1",
        writes: &["short/labels.csv"],
    },
    Run {
        program: "inspect",
        args: "@RECORD --json --npz @/inspect.npz",
        writes: &["inspect.npz"],
    },
    Run {
        program: "convert",
        args: "--data @/data --out @/prepared.npz --stage prepared --preset corrected",
        writes: &["prepared.npz", "prepared.json"],
    },
    Run {
        program: "convert",
        args: "--data @/data --out @/volumes.npz --stage volume --threads 2",
        writes: &["volumes.npz", "volumes.json"],
    },
    Run {
        program: "convert",
        args: "--data @/data --out @/images.safetensors --stage images --dtype f16 --shard 1/4 --plot @/plots --plot-records 1",
        writes: &["images.safetensors", "images.safetensors.json", "plots/synth00001.svg"],
    },
    Run { program: "losses", args: "--data @/data --out @/losses.csv", writes: &["losses.csv"] },
    Run {
        program: "train",
        args: "--data @/data --model ribeiro --preset corrected --epochs 1 --batch 16 --seed 1 --out @/run",
        writes: &["run/best.safetensors", "run/last.safetensors", "run/log.csv", "run/model.json"],
    },
    Run {
        program: "train",
        args: "--data @/data --model ribeiro --preset corrected --epochs 1 --batch 16 --init @/run/last.safetensors --out @/further",
        writes: &["further/best.safetensors", "further/model.json"],
    },
    Run {
        program: "predict",
        args: "--weights @/run/best.safetensors --data @/data --out @/predictions.csv",
        writes: &["predictions.csv"],
    },
    Run {
        program: "evaluate",
        args: "--weights @/run/best.safetensors --data @/data --out @/evaluation",
        writes: &["evaluation/metrics.json", "evaluation/report.md", "evaluation/predictions.csv"],
    },
    Run {
        program: "explain",
        args: "--weights @/run/best.safetensors --record @/short/synth00000 --label NSR --out @/explanation",
        writes: &["explanation/explanation.json", "explanation/bars.svg", "explanation/ecg.png"],
    },
    Run {
        program: "compare",
        args: "--models ribeiro,resnet1d --preset corrected --weights @/run/best.safetensors --data @/data --repeats 2 --out @/compare",
        writes: &[
            "compare/compare.md",
            "compare/compare.csv",
            "compare/compare.json",
            "compare/compare.svg",
        ],
    },
    Run {
        program: "quickstart",
        args: "--data @/short --explain 1 --out @/quickstart",
        writes: &["quickstart/report.html"],
    },
];

/// Runs that need the golden values; `@GOLDENS` stands for their folder.
const RUNS_ON_GOLDENS: [Run; 2] = [
    Run {
        program: "import-keras",
        args: "--h5 @GOLDENS/models/3decgnet.h5 --model 3decgnet --out @/imported.safetensors",
        writes: &["imported.safetensors", "imported.json"],
    },
    Run {
        program: "predict",
        args: "--weights @/imported.safetensors --data @/volumes.npz --out @/imported.csv",
        writes: &["imported.csv"],
    },
];

/// Runs all of them; the gate's step `programs`.
pub fn run(workspace: &Workspace) -> Result<()> {
    let folder = workspace.scratch("ci");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;

    for program in programs(workspace.root())? {
        help(workspace, &program)?;
    }
    let goldens = ecg_test_data::goldens_folder().map_err(anyhow::Error::msg)?;
    let goldens = goldens.filter(|folder| folder.join("models").is_dir());
    if goldens.is_none() {
        without_goldens(ecg_test_data::is_required())?;
    }
    let on_goldens = RUNS_ON_GOLDENS.iter().filter(|_| goldens.is_some());
    for one in RUNS.iter().chain(on_goldens) {
        execute(workspace, one, &folder, goldens.as_deref())?;
    }
    Ok(())
}

/// Says that the runs on golden values are left out; an error if these are required.
fn without_goldens(required: bool) -> Result<()> {
    if required {
        bail!(
            "no golden values for import-keras, and {} is 1; set ECG_GOLDENS to their folder",
            ecg_test_data::REQUIRE
        );
    }
    println!("skipped: import-keras (no golden values)");
    Ok(())
}

/// Returns the names of all programs, from their sources.
fn programs(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("examples/src/bin");
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| program(&entry.path()).map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

/// Returns the name of the program that cargo makes of an entry of `src/bin`, if it makes one: of NAME.rs or
/// NAME/main.rs, unless they are hidden. `examples/build.rs` does the same.
fn program(path: &Path) -> Option<&str> {
    let name = if path.extension().is_some_and(|extension| extension == "rs") {
        path.file_stem()
    } else {
        path.file_name().filter(|_| path.join("main.rs").is_file())
    };
    name?.to_str().filter(|name| !name.starts_with('.'))
}

fn help(workspace: &Workspace, program: &str) -> Result<()> {
    let mut command = workspace.program("debug", program);
    command.arg("--help").stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !text.contains("Usage:") {
        bail!("{} did not print its help ({})", workspace::line(&command), output.status);
    }
    Ok(())
}

fn execute(workspace: &Workspace, one: &Run, folder: &Path, goldens: Option<&Path>) -> Result<()> {
    let mut command = workspace.program("debug", one.program);
    for word in one.args.split_whitespace() {
        command.arg(resolve(word, folder, goldens)?);
    }
    println!("$ {}", workspace::line(&command));
    let begun = Instant::now();
    let output_path = folder.join("stdout.txt");
    let output = fs::File::create(&output_path)
        .with_context(|| format!("cannot write {}", output_path.display()))?;
    workspace::run(command.stdin(Stdio::null()).stdout(output))?;
    for name in one.writes {
        check_written(one.program, &folder.join(name))?;
    }
    println!("  {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Checks that a program wrote a file, and something into it.
fn check_written(program: &str, path: &Path) -> Result<()> {
    let found = fs::metadata(path)
        .with_context(|| format!("{program} did not write {}", path.display()))?;
    if !found.is_file() {
        bail!("{} of {program} is not a file", path.display());
    }
    if found.len() == 0 {
        bail!("{program} left {} empty", path.display());
    }
    Ok(())
}

/// Replaces placeholders in a word of a command line by the real paths.
fn resolve(word: &str, folder: &Path, goldens: Option<&Path>) -> Result<OsString> {
    if word == "@RECORD" {
        return first_record(&folder.join("data")).map(PathBuf::into_os_string);
    }
    if let Some(rest) = word.strip_prefix("@GOLDENS/") {
        let goldens = goldens.context("no golden values")?;
        return Ok(goldens.join(rest).into_os_string());
    }
    Ok(match word.strip_prefix("@/") {
        Some(rest) => folder.join(rest).into_os_string(),
        None => word.into(),
    })
}

/// Returns the first WFDB record of a folder by name, without its extension.
fn first_record(folder: &Path) -> Result<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if let Ok(record) = first_record(&path) {
                return Ok(record);
            }
        } else if path.extension().is_some_and(|extension| extension == "hea") {
            return Ok(path.with_extension(""));
        }
    }
    bail!("no record in {}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::scratch::{put, scratch};

    #[test]
    fn only_a_file_with_content_counts_as_written() {
        let temp = scratch("written");
        put(temp.path(), "plots/full", "x");
        put(temp.path(), "plots/empty", "");
        let fault = |name: &str| {
            check_written("convert", &temp.path().join(name)).err().map(|error| error.to_string())
        };
        assert_eq!(fault("plots/full"), None);
        for (name, part) in
            [("plots", "is not a file"), ("plots/empty", "empty"), ("plots/none", "did not write")]
        {
            assert!(fault(name).is_some_and(|text| text.contains(part)), "{name}");
        }
    }

    #[test]
    fn an_editors_files_are_no_programs() {
        let temp = scratch("programs");
        for file in [
            "examples/src/bin/train.rs",
            "examples/src/bin/train.rs.orig",
            "examples/src/bin/.train.rs.swp",
            "examples/src/bin/.#train.rs",
            "examples/src/bin/convert/main.rs",
            "examples/src/bin/shared/mod.rs",
            "examples/src/bin/.hidden/main.rs",
        ] {
            put(temp.path(), file, "");
        }
        assert_eq!(programs(temp.path()).expect("a folder"), ["convert", "train"]);
    }

    #[test]
    fn golden_values_can_be_required() {
        assert!(without_goldens(false).is_ok());
        let error = without_goldens(true).expect_err("required").to_string();
        assert!(error.contains("import-keras") && error.contains("ECG_GOLDENS"), "{error}");
    }

    #[test]
    fn words_get_their_paths() {
        let folder = Path::new("/scratch");
        let word = |word: &str, goldens: Option<&Path>| resolve(word, folder, goldens);
        assert_eq!(word("@/a/b.npz", None).expect("a path"), "/scratch/a/b.npz");
        assert_eq!(word("--seed", None).expect("a flag"), "--seed");
        assert_eq!(word("@GOLDENS/x", Some(Path::new("/g"))).expect("a path"), "/g/x");
        assert!(word("@GOLDENS/x", None).is_err());
        assert!(word("@RECORD", None).is_err(), "there is no record in /scratch/data");
    }

    #[test]
    fn every_program_has_a_run() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for program in programs(&root).expect("the sources of the programs") {
            let runs = RUNS.iter().chain(&RUNS_ON_GOLDENS);
            assert!(
                runs.map(|one| one.program).any(|name| name == program),
                "{program} has no run"
            );
        }
    }
}
