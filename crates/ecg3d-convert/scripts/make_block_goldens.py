"""Makes tests/data/blocks.npz with scipy: the building blocks' choices, on numbers that the tests make again.

    python crates/ecg3d-convert/scripts/make_block_goldens.py

Made with numpy 1.26 and scipy 1.15.3.
"""

from pathlib import Path

import numpy as np
from scipy import signal

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
BANDS = [("lowpass", 20), ("highpass", 5), ("bandpass", [5, 40]), ("bandstop", [45, 55])]
ORDERS = [1, 3, 6]
PAIRS = [(1, 1), (1, 4), (4, 1), (2, 3), (3, 2), (7, 5), (5, 7), (8, 6), (6, 8), (9, 4), (4, 9), (12, 12), (13, 26), (26, 13), (10, 5), (5, 10)]
RATIOS = [(1, 3), (3, 1), (2, 3), (3, 2), (4, 4), (5, 36)]


def numbers(count):
    """Numbers that look random: multiples of 1/8 from -50 to 50."""
    k = np.arange(count, dtype=np.int64)
    return ((k * k * 7 + 13 * k + 5) % 801 - 400) / 8.0


def main():
    out = {}
    x = numbers(150)
    for kind, corner in BANDS:
        for order in ORDERS:
            sos = signal.butter(order, corner, kind, fs=250, output="sos")
            out[f"sos_{kind}_{order}"] = sos
            y, state = signal.sosfilt(sos, x, zi=signal.sosfilt_zi(sos) * x[0])
            out[f"filt_{kind}_{order}"] = y[::5]
            out[f"state_{kind}_{order}"] = state
    sos = out["sos_bandpass_3"]
    for padtype in ["odd", "even", "constant"]:
        out[f"both_{padtype}"] = signal.sosfiltfilt(sos, x, padtype=padtype)
        out[f"both_{padtype}_40"] = signal.sosfiltfilt(sos, x, padtype=padtype, padlen=40)
    out["both_none"] = signal.sosfiltfilt(sos, x, padtype=None)
    for count in [1, 8, 31]:
        taps = numbers(count)
        for mode in ["full", "same", "valid"]:
            out[f"conv_{count}_{mode}"] = signal.convolve(x, taps, mode, method="direct")
    out["low_pass"] = signal.firwin(41, 0.3, window=("kaiser", 6.0))
    for a, b in PAIRS:
        out[f"fft_{a}_{b}"] = signal.resample(numbers(a), b)
    for up, down in RATIOS:
        for padtype in ["line", "constant"]:
            out[f"poly_{up}_{down}_{padtype}"] = signal.resample_poly(x, up, down, padtype=padtype)
    np.savez_compressed(DATA / "blocks.npz", **out)


if __name__ == "__main__":
    main()
