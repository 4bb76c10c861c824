"""Makes tests/data/zoom.npz with scipy: every order, mode and grid mode over some shapes, on numbers that the tests make again.

    python crates/ecg3d-convert/scripts/make_zoom_goldens.py [--random N --out FILE.npz]

`shapes` [case, 6]: sizes before and after, three axes each. `values`: the results one after another, for each case, order,
mode and grid mode in turn. With --random, N cases of random shapes instead. Made with numpy 1.26 and scipy 1.15.3.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from scipy import ndimage

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
MODES = ["mirror", "reflect", "nearest", "grid-wrap", "wrap", "grid-constant", "constant"]
CVAL = 2.5
SHAPES = [
    [(1, 1, 1), (1, 1, 4)],
    [(1, 1, 2), (1, 1, 5)],
    [(1, 1, 9), (1, 1, 4)],
    [(1, 1, 7), (1, 1, 1)],
    [(1, 1, 15), (1, 1, 15)],
    [(1, 4, 6), (1, 7, 5)],
    [(2, 3, 4), (3, 4, 3)],
]


def numbers(shape):
    """Numbers that look random: multiples of 1/8 from -50 to 50."""
    k = np.arange(np.prod(shape), dtype=np.int64)
    return (((k * k * 7 + 13 * k + 5) % 801 - 400) / 8.0).reshape(shape)


def loses_its_last(before, after):
    """Where scipy takes the last sample for one outside by a rounding."""
    return any(b > 1 and (b - 1) * ((a - 1) / (b - 1)) > a - 1 for a, b in zip(before, after))


def random_shapes(count):
    rng = np.random.default_rng(1)
    while count > 0:
        before, after = (tuple(int(n) for n in rng.integers(1, 31, 3)) for _ in range(2))
        if not loses_its_last(before, after):
            count -= 1
            yield before, after


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--random", type=int)
    parser.add_argument("--out", type=Path, default=DATA / "zoom.npz")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # scipy's advice on modes that go well with grid mode
    shapes = SHAPES if options.random is None else list(random_shapes(options.random))
    values = []
    for before, after in shapes:
        x = numbers(before)
        factors = [b / a for a, b in zip(before, after)]
        for order in range(6):
            for mode in MODES:
                for grid in [False, True]:
                    y = ndimage.zoom(x, factors, order=order, mode=mode, cval=CVAL, grid_mode=grid)
                    assert y.shape == tuple(after)
                    values.append(y.ravel())
    flat = np.array([list(before) + list(after) for before, after in shapes], dtype=np.int64)
    np.savez_compressed(options.out, shapes=flat, values=np.concatenate(values))


if __name__ == "__main__":
    main()
