//! The networks, each built as in the figure of its paper.

mod resnet1d;
mod ribeiro;
mod sobahi;
mod three_d_ecg_net;
mod zhang;

pub(crate) use resnet1d::ResNet1d;
pub(crate) use ribeiro::Ribeiro;
pub(crate) use sobahi::Sobahi;
pub(crate) use three_d_ecg_net::ThreeDEcgNet;
pub(crate) use zhang::{STAGES as ZHANG_STAGES, Zhang, conv_path as zhang_conv_path};
