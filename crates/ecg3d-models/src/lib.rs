//! 3DECG-Net and its benchmark networks on libtorch: inference, training, Keras import
