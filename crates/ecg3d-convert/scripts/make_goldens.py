"""Makes tests/data/published.npz and tests/data/corrected.npz with scipy, on signals that the tests make again.

    python crates/ecg3d-convert/scripts/make_goldens.py

Made with numpy 1.26 and scipy 1.15.3; scipy 1.10 to 1.17 agree to a few roundings.
"""

import math
from pathlib import Path

import numpy as np
from scipy import ndimage, signal

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
# Rates in Hz and lengths in seconds of the corrected cases.
CASES = [(100, 10.0), (250, 2.0), (257, 5.0), (360, 7.5), (500, 10.0), (1000, 12.0)]
LEADS = [0, 5, 11]


def adc(samples):
    """Whole numbers [12, samples]: a triangle wave and noise, another for each lead."""
    t = np.arange(samples, dtype=np.int64)
    rows = []
    for lead in range(12):
        triangle = np.abs((t * (lead + 2)) % 600 - 300) * 3 - 450
        noise = (t * t * (lead + 3) + 37 * t + 101 * lead) % 2003 - 1001
        rows.append(triangle + noise // 8)
    return np.array(rows)


def recurrence(x):
    states = np.stack([x[:-1], x[1:]], axis=1)
    return np.sqrt(((states[:, None] - states[None]) ** 2).sum(-1))


def published(x):
    sos = signal.butter(1, 0.5, "highpass", fs=50, output="sos")
    filtered = signal.sosfilt(sos, x[:, :1000].astype(float), axis=1)
    resampled = signal.resample(filtered, 100, axis=1)
    plots = np.stack([recurrence(row) for row in resampled])
    images = ndimage.zoom(plots, (1, 45 / 99, 45 / 99), order=3)
    volume = ndimage.zoom(plots, (45 / 12, 45 / 99, 45 / 99), order=3)
    return resampled, plots, images, volume


def corrected(x, rate):
    sos = signal.butter(1, 0.5, "highpass", fs=rate, output="sos")
    padding = min(3 * rate, x.shape[1] - 1)
    filtered = signal.sosfiltfilt(sos, x, axis=1, padtype="odd", padlen=padding)
    common = math.gcd(50, rate)
    return signal.resample_poly(filtered, 50 // common, rate // common, axis=1, padtype="line")


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    resampled, plots, images, volume = published(adc(1000))
    np.savez_compressed(
        DATA / "published.npz",
        resampled=resampled,
        plots=plots[:, ::9, ::7],
        images=images[:, ::4, ::4],
        volume=volume[::4, ::4, ::4],
    )
    out = {}
    for rate, seconds in CASES:
        whole = corrected(adc(round(rate * seconds)) / 1000.0, rate)
        out[f"fs{rate}"] = whole[LEADS]
    # Scaling is over all leads, so all leads must be known.
    scaled = corrected(adc(500) / 1000.0, 100)
    out["fs100_peak"] = (scaled / np.abs(scaled).max())[LEADS]
    out["fs100_zscore"] = ((scaled - scaled.mean()) / scaled.std())[LEADS]
    np.savez_compressed(DATA / "corrected.npz", **out)


if __name__ == "__main__":
    main()
