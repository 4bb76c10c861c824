"""Writes tests/data/bootstrap.json: intervals by numpy and scipy over scores by scikit-learn, on resamples of patients.

The resamples are drawn as the crate documents (SplitMix64, one stream a resample), so that the distributions are equal
and the intervals can be compared to the last digits. Run with numpy, scipy and scikit-learn from the crate's folder.
"""

import json
import warnings
from types import SimpleNamespace

import numpy as np
from scipy import stats
from sklearn import metrics as m

warnings.filterwarnings("ignore")
MASK = (1 << 64) - 1


class SplitMix64:
    def __init__(self, state):
        self.state = state

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)


def draw(seed, stream, n):
    random = SplitMix64(SplitMix64(seed).next() ^ SplitMix64(stream).next())
    return [(random.next() * n) >> 64 for _ in range(n)]


SEED, RESAMPLES, PATIENTS, LABELS = 7, 400, 24, 3
rng = np.random.default_rng(20)
sizes = rng.integers(1, 5, PATIENTS)
patient = np.repeat(np.arange(PATIENTS), sizes)
n = len(patient)
truth = np.zeros((n, LABELS), int)
truth[:, 0] = rng.random(n) < 0.5
truth[:, 1] = rng.random(n) < 0.4
truth[[3, 20, 41], 2] = 1  # rare, so that some resamples have none
proba = np.clip(np.round(0.5 * truth + 0.5 * rng.random((n, LABELS)) - 0.1, 2), 0, 1)
other = np.clip(np.round(0.3 * truth + 0.6 * rng.random((n, LABELS)), 2), 0, 1)
rows_of = [np.flatnonzero(patient == p) for p in range(PATIENTS)]


def ratio(a, b):
    return a / b if b else np.nan


def scores(t, p):
    """One label."""
    y = p > 0.5
    tp, fp = int((t & y).sum()), int((~t.astype(bool) & y).sum())
    positive, both = t.sum(), 0 < t.sum() < len(t)
    gap = 0.0
    for k in range(10):
        inside = np.minimum((p * 10).astype(int), 9) == k
        gap += abs(p[inside].sum() - t[inside].sum())
    return {
        "sensitivity": ratio(tp, positive),
        "precision": ratio(tp, tp + fp),
        "f1": m.f1_score(t, y) if positive + y.sum() else np.nan,
        "mcc": m.matthews_corrcoef(t, y) if both and 0 < y.sum() < len(y) else np.nan,
        "roc_auc": m.roc_auc_score(t, p) if both else np.nan,
        "average_precision": m.average_precision_score(t, p) if positive else np.nan,
        "brier": np.mean((t - p) ** 2),
        "ece10": gap / len(t),
    }


def figures(rows, p):
    t, p = truth[rows], p[rows]
    out = {}
    each = [scores(t[:, k], p[:, k]) for k in range(LABELS)]
    for k, own in enumerate(each):
        out |= {f"l{k}/{name}": value for name, value in own.items()}
    for name in each[0]:
        out[f"macro/{name}"] = np.mean([own[name] for own in each])
    for name in ["f1", "roc_auc"]:
        out[f"weighted/{name}"] = np.average([own[name] for own in each], weights=t.sum(0) + 1e-300)
    pooled = scores(t.ravel(), p.ravel())
    out |= {f"micro/{name}": pooled[name] for name in ["f1", "roc_auc", "average_precision"]}
    y = (p > 0.5).astype(int)
    out["samples/f1"] = m.f1_score(t, y, average="samples", zero_division=0)
    out["samples/average_precision"] = m.average_precision_score(t, p, average="samples")
    out["overall/subset_accuracy"] = m.accuracy_score(t, y)
    out["overall/hamming_loss"] = m.hamming_loss(t, y)
    out["overall/coverage_error"] = m.coverage_error(t, p)
    out["overall/label_ranking_loss"] = m.label_ranking_loss(t, p)
    # Equal figures must be equal to the last digit: BCa counts ties.
    return {name: round(float(value), 13) for name, value in out.items()}


def ends(sorted):
    "Order statistics that lie as far from either end as a two-sided p of 0.05 reaches."
    beyond = int(0.025 * (len(sorted) + 1) + 1e-12)
    return [sorted[beyond - 1], sorted[len(sorted) - beyond]]


def intervals(of, differences=False):
    draws = [draw(SEED, k, PATIENTS) for k in range(RESAMPLES)]
    gather = lambda patients: np.concatenate([rows_of[k] for k in patients])
    resampled = [of(gather(d)) for d in draws]
    whole = of(np.arange(n))
    out = {}
    for name, value in whole.items():
        values = np.array([r[name] for r in resampled])
        good = values[~np.isnan(values)]
        entry = {"value": value, "defined": len(good)}
        entry["percentile"] = ends(np.sort(good)) if differences else list(np.percentile(good, [2.5, 97.5]))
        if len(good) == RESAMPLES and not differences:
            found = stats.bootstrap(
                (np.arange(PATIENTS),),
                lambda patients: of(gather(patients))[name],
                vectorized=False,
                n_resamples=0,
                method="BCa",
                bootstrap_result=SimpleNamespace(bootstrap_distribution=values),
            )
            entry["bca"] = [None if np.isnan(v) else v for v in found.confidence_interval]
        out[name] = entry
    return out


first = lambda rows: figures(rows, proba)


def difference(rows):
    a, b = figures(rows, proba), figures(rows, other)
    names = ["l0/roc_auc", "l2/sensitivity", "macro/f1", "micro/roc_auc", "overall/subset_accuracy"]
    return {name: round(a[name] - b[name], 13) for name in names}


with open("tests/data/bootstrap.json", "w") as file:
    json.dump(
        {
            "seed": SEED,
            "resamples": RESAMPLES,
            "patient": patient.tolist(),
            "truth": truth.tolist(),
            "proba": proba.tolist(),
            "other": other.tolist(),
            "intervals": intervals(first),
            "differences": intervals(difference, differences=True),
        },
        file,
    )
    file.write("\n")
