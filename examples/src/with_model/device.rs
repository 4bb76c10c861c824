//! The device that a flag names; a file of the programs that link libtorch, which the library must not.

use anyhow::{Context, Result, ensure};
use tch::Device;

/// `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// Another text, or a GPU that is not there.
pub fn device(text: &str) -> Result<Device> {
    let index = match text {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => 0,
        _ => text
            .strip_prefix("cuda:")
            .and_then(|index| index.parse().ok())
            .with_context(|| format!("--device {text} is none of cpu, cuda, cuda:N"))?,
    };
    ensure!(
        tch::Cuda::is_available(),
        "--device {text} asks for CUDA, which is not there: either no GPU is found, or this libtorch is for the CPU only; \
         use --device cpu, or build with LIBTORCH at a libtorch with CUDA"
    );
    let devices = tch::Cuda::device_count();
    ensure!(
        (index as i64) < devices,
        "--device {text}: the GPUs are cuda:0 to cuda:{}",
        devices - 1
    );
    // Of cuDNN's ways to convolve, each shape's quickest is worth a trial of them all: batches are of one size but for the last.
    tch::Cuda::cudnn_set_benchmark(true);
    Ok(Device::Cuda(index))
}
