"""Computes the first training losses of the benchmark networks in NumPy, in f64, from Keras's files.

    python crates/ecg3d-models/scripts/training_losses.py GOLDENS

Needs numpy and h5py. GOLDENS is the folder of golden values. The weights are those of the .h5 files, the inputs those of the
.io.npz files, and the labels those of 3decgnet.train.npz. Dropout is off, and normalisations use the mean and the biased
variance of the batch. To check the computation, the script also prints how far its probabilities without training are from
Keras's.
"""

import itertools
import json
import pathlib
import sys

import h5py
import numpy as np


def windows(x, sizes, strides, same, fill):
    """Yields each position of a kernel with the values under it."""

    def padding(n, size, stride):
        total = max((-(-n // stride) - 1) * stride + size - n, 0) if same else 0
        return total // 2, total - total // 2

    axes = [padding(*axis) for axis in zip(x.shape[1:-1], sizes, strides)]
    x = np.pad(x, [(0, 0), *axes, (0, 0)], constant_values=fill)
    counts = [(n - size) // stride + 1 for n, size, stride in zip(x.shape[1:-1], sizes, strides)]
    for at in itertools.product(*map(range, sizes)):
        axes = [slice(k, k + (n - 1) * stride + 1, stride) for k, n, stride in zip(at, counts, strides)]
        yield at, x[(slice(None), *axes)]


def apply(layer, inputs, weights, train):
    """Returns the output of a layer; for the last one, its logits."""
    kind, config, x = layer["class_name"], layer["config"], inputs[0]
    same = config.get("padding") == "same"
    if kind in ("Conv1D", "Conv3D"):
        parts = windows(x, weights[0].shape[:-2], config["strides"], same, 0.0)
        return sum(part @ weights[0][at] for at, part in parts) + (weights[1] if config["use_bias"] else 0.0)
    if kind in ("MaxPooling1D", "MaxPooling3D"):
        parts = windows(x, config["pool_size"], config["strides"], same, -np.inf)
        return np.max([part for _, part in parts], axis=0)
    if kind == "BatchNormalization":
        gamma, beta, mean, variance = weights
        if train:
            axes = tuple(range(x.ndim - 1))
            mean, variance = x.mean(axes), x.var(axes)
        return (x - mean) / np.sqrt(variance + config["epsilon"]) * gamma + beta
    if kind == "Dense":
        return x @ weights[0] + weights[1]
    if kind == "TFOpLambda":
        kind = config["function"].rsplit(".", 1)[-1]
    simple = {
        "Activation": lambda: np.maximum(x, 0.0),
        "relu": lambda: np.maximum(x, 0.0),
        "Dropout": lambda: x,
        "Add": lambda: sum(inputs),
        "add": lambda: sum(inputs),
        "multiply": lambda: inputs[0] * inputs[1],
        "sigmoid": lambda: 1.0 / (1.0 + np.exp(-x)),
        "Concatenate": lambda: np.concatenate(inputs, -1),
        "GlobalAveragePooling3D": lambda: x.mean((1, 2, 3)),
        "Flatten": lambda: x.reshape(len(x), -1),
    }
    return simple[kind]()


def logits(file, x, train):
    """Runs the graph of a file."""
    values = {}
    for layer in json.loads(file.attrs["model_config"])["config"]["layers"]:
        name = layer["config"]["name"]
        if layer["class_name"] == "InputLayer":
            values[name] = x
            continue
        nodes = layer["inbound_nodes"][0]
        if layer["class_name"] == "TFOpLambda":
            # One level less, and the second operand among the arguments.
            second = nodes[3].get("y")
            nodes = [nodes, *([second] if second else [])]
        group = file["model_weights"].get(name)
        weights = [] if group is None else [group[key][()].astype(float) for key in group.attrs["weight_names"]]
        values[name] = apply(layer, [values[node[0]] for node in nodes], weights, train)
    return values[name]


def main():
    models = pathlib.Path(sys.argv[1]) / "models"
    y = np.load(models / "3decgnet.train.npz")["y_labels"].astype(float)
    for name in ["zhang", "sobahi", "ribeiro"]:
        io = np.load(models / f"{name}.io.npz")
        with h5py.File(models / f"{name}.h5") as file:
            plain, z = (logits(file, io["x"].astype(float), train) for train in (False, True))
        difference = np.abs(1.0 / (1.0 + np.exp(-plain)) - io["y"]).max()
        loss = (np.maximum(z, 0.0) - z * y + np.log1p(np.exp(-np.abs(z)))).mean()
        print(f"{name}: loss {loss:.16g}; without training, {difference:.1e} from Keras")


if __name__ == "__main__":
    main()
