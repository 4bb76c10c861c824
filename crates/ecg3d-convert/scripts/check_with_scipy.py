"""Compares what `convert` wrote with scipy's result on the same records, and prints the largest error.

    convert --data DIR --stage volume --out FILE.npz
    python crates/ecg3d-convert/scripts/check_with_scipy.py FILE.npz DIR [--tolerance 3e-6] [--limit N]

The file may hold any stage of either preset, first windows only. Records are read with wfdb-python; those that are no
WFDB records are passed over. The error of a record is relative to the peak of what is expected. Exit status 1 if one
exceeds the tolerance. Needs numpy, scipy and wfdb.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import wfdb
from scipy import ndimage, signal

STANDARD = "I II III AVR AVL AVF V1 V2 V3 V4 V5 V6".split()


def read(path):
    """Reads a record; wfdb-python refuses names with a dot and dates before times, which some sources have."""
    lines = path.with_name(path.name + ".hea").read_text(errors="replace").splitlines()
    first = next(k for k, line in enumerate(lines) if line.strip() and not line.startswith("#"))
    lines[first] = " ".join([path.name, *lines[first].split()[1:4]])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for line in lines[first + 1 :]:
            name = line.split()[0] if line.strip() and not line.startswith("#") else None
            if name and not (copy / name).exists():
                (copy / name).symlink_to((path.parent / name).resolve())
        (copy / (path.name + ".hea")).write_text("\n".join(lines) + "\n")
        return wfdb.rdrecord(str(copy / path.name), physical=False)


def published(record):
    x = record.d_signal.T[:12, :1000].astype(float)
    sos = signal.butter(1, 0.5, "highpass", fs=50, output="sos")
    return signal.resample(signal.sosfilt(sos, x, axis=1), 100, axis=1)


def corrected(record):
    names = [name.strip().upper() for name in record.sig_name]
    rows = [names.index(lead) for lead in STANDARD]
    scale = {"mv": 1.0, "uv": 1e-3, "v": 1e3, "nv": 1e-6}
    gain = np.array(record.adc_gain)[rows, None]
    baseline = np.array(record.baseline)[rows, None]
    unit = np.array([scale[record.units[row].lower()] for row in rows])[:, None]
    x = (record.d_signal.T[rows] - baseline) / gain * unit
    rate = int(record.fs)
    assert rate == record.fs, "only whole rates"
    sos = signal.butter(1, 0.5, "highpass", fs=rate, output="sos")
    padding = min(3 * rate, x.shape[1] - 1)
    filtered = signal.sosfiltfilt(sos, x, axis=1, padtype="odd", padlen=padding)
    common = math.gcd(50, rate)
    return signal.resample_poly(filtered, 50 // common, rate // common, axis=1, padtype="line")


def plot(x):
    states = np.stack([x[:-1], x[1:]], axis=1)
    return np.sqrt(((states[:, None] - states[None]) ** 2).sum(-1))


def expected(record, preset, stage, shape):
    prepared = {"published": published, "corrected": corrected}[preset](record)
    if stage == "prepared":
        out = np.zeros(shape)
        n = min(shape[1], prepared.shape[1])
        out[:, :n] = prepared[:, :n]
        return out
    plots = np.stack([plot(row) for row in prepared[:, :100]])
    depth = 1.0 if stage == "images" else 45 / 12
    return ndimage.zoom(plots, (depth, 45 / 99, 45 / 99), order=3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("npz", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tolerance", type=float, default=3e-6)
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    sidecar = json.loads(options.npz.with_suffix(".json").read_text())
    stage, preset = sidecar["stage"], sidecar["config"]["preset"]
    arrays = np.load(options.npz)
    rows = arrays[stage]
    assert "row_record" not in arrays.files, "first windows only"
    assert len(rows) == len(sidecar["records"])
    worst, compared = (0.0, ""), 0
    for name, row in list(zip(sidecar["records"], rows))[: options.limit]:
        path = options.data / name
        if not path.with_name(path.name + ".hea").exists():
            continue
        record = read(path)
        want = expected(record, preset, stage, row.shape)
        peak = np.abs(want).max()
        error = np.abs(row - want).max() / (peak if peak > 0 else 1.0)
        assert np.isfinite(error), name
        worst = max(worst, (error, name))
        compared += 1
    print(f"{compared} records, stage {stage}, preset {preset}: largest error {worst[0]:.2e} of the peak ({worst[1]})")
    if compared == 0 or worst[0] > options.tolerance:
        sys.exit(1)


if __name__ == "__main__":
    main()
