"""Extracts small single-layer cases from the golden values' models/ops.npz into ops.npz beside this script.

Usage: python extract_ops.py GOLDENS

The golden values were made by running TensorFlow/Keras 2.13.1. For each CASE: CASE__x and CASE__y are the layer's input and
output, CASE__dy the gradient of a loss by the output, CASE__dx by the input, CASE__wI the weights in Keras's order,
CASE__dwI their gradients, CASE__wafterI the weights after a training pass (running statistics). Axes are Keras's,
channels last.
"""

import sys
from pathlib import Path

import numpy as np

CASES = [
    "bn_rank2_infer",
    "bn_rank3_train",
    "bn_rank5_train",
    "conv1d_same_k16_n34_s2",
    "conv3d_same_s2_even",
    "convlstm_seq",
    "dense_relu",
    "maxpool1d_same_n100_k3",
    "maxpool3d_2",
]

source = np.load(Path(sys.argv[1]) / "models" / "ops.npz")
kept = {key: source[key] for key in source.files if key.split("__")[0] in CASES}
np.savez_compressed(Path(__file__).with_name("ops.npz"), **kept)
