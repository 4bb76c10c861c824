//! Lets programs and tests find libtorch without any environment variable, and load its CUDA half if there is
//! one.

use std::path::Path;

/// Programs that use no network and therefore load nothing of libtorch.
const LIGHT: [&str; 4] = ["inspect", "synthesize", "convert", "losses"];

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/bin");
    // Provided by torch-sys, on systems that have an rpath.
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return Ok(()) };
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    let cuda = Path::new(&lib).join("libtorch_cuda.so");
    if !cuda.is_file() {
        return Ok(());
    }
    // Nothing refers to its symbols, so the linker would leave it out, and CUDA with it.
    let forced = format!("-Wl,--push-state,--no-as-needed,{},--pop-state", cuda.display());
    println!("cargo::rustc-link-arg=-Wl,--allow-shlib-undefined");
    for entry in std::fs::read_dir("src/bin")? {
        match program(&entry?.path()) {
            Some(name) if !LIGHT.contains(&name) => {
                println!("cargo::rustc-link-arg-bin={name}={forced}");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the name of the program that cargo makes of an entry of `src/bin`, if it makes one: of NAME.rs or
/// NAME/main.rs, unless they are hidden. Cargo refuses flags for any other name.
fn program(path: &Path) -> Option<&str> {
    let name = if path.extension().is_some_and(|extension| extension == "rs") {
        path.file_stem()
    } else {
        path.file_name().filter(|_| path.join("main.rs").is_file())
    };
    name?.to_str().filter(|name| !name.starts_with('.'))
}
