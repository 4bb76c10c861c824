//! The networks, each as the figure of its paper.

mod ribeiro;
mod three_d_ecg_net;

pub(crate) use ribeiro::Ribeiro;
pub(crate) use three_d_ecg_net::ThreeDEcgNet;
