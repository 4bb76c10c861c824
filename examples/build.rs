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
        let path = entry?.path();
        match path.file_stem().and_then(|name| name.to_str()) {
            Some(name) if !LIGHT.contains(&name) => {
                println!("cargo::rustc-link-arg-bin={name}={forced}");
            }
            _ => {}
        }
    }
    Ok(())
}
