//! Lets benchmarks find libtorch without any environment variable, and load its CUDA half if there is one.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Provided by torch-sys, on systems that have an rpath.
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    let cuda = Path::new(&lib).join("libtorch_cuda.so");
    if cuda.is_file() {
        // Nothing refers to its symbols, so the linker would leave it out, and CUDA with it.
        println!(
            "cargo::rustc-link-arg=-Wl,--push-state,--no-as-needed,{},--pop-state",
            cuda.display()
        );
        println!("cargo::rustc-link-arg=-Wl,--allow-shlib-undefined");
    }
}
