//! The device that a flag names.

use anyhow::{Context, Result, ensure};
use tch::Device;

/// Returns the device that was named, or else a GPU if there is one, or else the CPU; prepares cuDNN if it is a GPU.
///
/// # Errors
/// The errors of [`parse`].
pub fn device(text: Option<&str>) -> Result<Device> {
    let device = text.map_or_else(|| Ok(Device::cuda_if_available()), parse)?;
    if device.is_cuda() {
        // It is worth timing all of cuDNN's convolution algorithms for each shape, because all batches except the
        // last have the same size.
        tch::Cuda::cudnn_set_benchmark(true);
    }
    Ok(device)
}

/// Parses `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// Returns an error for any other text, or if the GPU does not exist.
fn parse(text: &str) -> Result<Device> {
    let index = match text {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => 0,
        _ => text
            .strip_prefix("cuda:")
            .and_then(|index| index.parse().ok())
            .with_context(|| format!("invalid --device {text}, expected cpu, cuda or cuda:N"))?,
    };
    ensure!(
        tch::Cuda::is_available(),
        "--device {text} needs CUDA, which is not available: either there is no GPU, or this libtorch is CPU-only; \
         use --device cpu, or build with LIBTORCH pointing to a libtorch with CUDA"
    );
    let devices = tch::Cuda::device_count();
    ensure!(
        (index as i64) < devices,
        "--device {text} does not exist, expected cuda:0 to cuda:{}",
        devices - 1
    );
    Ok(Device::Cuda(index))
}
