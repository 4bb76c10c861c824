"""Writes tests/data/ranks.json: rank correlations by scipy (1.15.3), ties and constants included."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau, spearmanr

warnings.simplefilter("ignore")
rng = np.random.default_rng(12)
pairs = [([1, 1, 1], [1, 2, 3]), ([1, 2], [2, 1]), ([1, 2, 2, 3], [1, 2, 3, 3]), ([5], [5])]
for n in (2, 5, 8, 12, 12, 40):
    a = rng.normal(size=n)
    pairs.append((a, a + rng.normal(size=n)))
    # Whole numbers of a few: many ties.
    pairs.append((rng.integers(0, 4, n), rng.integers(0, 3, n)))


def number(value):
    return None if math.isnan(value) else float(value)


cases = []
for a, b in pairs:
    a, b = [float(v) for v in a], [float(v) for v in b]
    one = len(a) < 2
    cases.append(
        {
            "a": a,
            "b": b,
            "spearman": None if one else number(spearmanr(a, b).statistic),
            "kendall": None if one else number(kendalltau(a, b).statistic),
        }
    )
out = Path(__file__).parent.parent / "tests" / "data" / "ranks.json"
out.write_text(json.dumps(cases, indent=1) + "\n")
