"""Writes tests/data/significance.json: McNemar by scipy, DeLong by its definition over all pairs, Holm by its definition.

Run with numpy and scipy from the crate's folder.
"""

import json

import numpy as np
from scipy import stats


def mcnemar(b, c):
    if b + c == 0:
        return [1.0, 0.0, 1.0]
    chi2 = max(abs(b - c) - 1, 0) ** 2 / (b + c)
    return [stats.binomtest(min(b, c), b + c, 0.5).pvalue, chi2, stats.chi2.sf(chi2, 1)]


def delong(first, second, truth):
    auc, of_positive, of_negative = [], [], []
    for s in (first, second):
        x, y = s[truth == 1], s[truth == 0]
        psi = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
        auc.append(psi.mean())
        of_positive.append(psi.mean(1))
        of_negative.append(psi.mean(0))
    cov = np.cov(of_positive) / (truth == 1).sum() + np.cov(of_negative) / (truth == 0).sum()
    z = (auc[0] - auc[1]) / np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
    return {"auc": auc, "covariance": cov.tolist(), "z": z, "p": 2 * stats.norm.sf(abs(z))}


def holm(p):
    order, out, largest = np.argsort(p), np.zeros(len(p)), 0.0
    for rank, k in enumerate(order):
        largest = min(1.0, max(largest, p[k] * (len(p) - rank)))
        out[k] = largest
    return out.tolist()


rng = np.random.default_rng(4)
cases = []
for n, digits in [(12, 1), (60, 1), (150, 3), (40, 12)]:
    truth = (rng.random(n) < 0.35).astype(int)
    truth[:2], truth[2:4] = 1, 0
    first = np.round(rng.random(n) + 0.8 * truth, digits)
    second = np.round(0.5 * first + 0.7 * rng.random(n), digits)
    cases.append(
        {
            "truth": truth.tolist(),
            "first": first.tolist(),
            "second": second.tolist(),
            "expected": delong(first, second, truth),
        }
    )
pairs = [(0, 0), (1, 0), (3, 3), (4, 3), (0, 9), (51, 33), (2, 30), (400, 470), (5000, 5600), (100000, 101200)]
p = [0.04, 0.001, 0.2, 0.04, 0.011, 0.9]
with open("tests/data/significance.json", "w") as file:
    json.dump(
        {
            "mcnemar": [[b, c, *mcnemar(b, c)] for b, c in pairs],
            "delong": cases,
            "holm": {"p": p, "expected": holm(np.array(p))},
        },
        file,
    )
    file.write("\n")
