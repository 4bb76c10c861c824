//! The flag for the device that a model runs on.

use anyhow::Result;
use tch::Device;

use super::device::device;

#[derive(Debug, clap::Args)]
pub struct DeviceArgs {
    /// cpu, cuda or cuda:N [default: cuda if there is a GPU, else cpu]
    #[arg(long, value_name = "D")]
    device: Option<String>,
}

impl DeviceArgs {
    /// Returns the device asked for, or else the one available.
    ///
    /// # Errors
    /// The errors of [`device`].
    pub fn device(&self) -> Result<Device> {
        device(self.device.as_deref())
    }
}
