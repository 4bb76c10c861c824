"""Writes tests/data/challenge.json: the challenge score by its definition, over matrices and record by record.

Run with numpy from the crate's folder.
"""

import json

import numpy as np

LABELS = ["NSR", "AF", "IAVB", "LBBB", "RBBB", "SB", "STach"]
UPPER = [
    [0.25, 0.45, 0.275, 0.35, 0.45, 0.375],
    [0.3, 0.475, 0.4, 0.3, 0.375],
    [0.325, 0.4, 0.5, 0.425],
    [0.425, 0.325, 0.4],
    [0.4, 0.475],
    [0.425],
]
W = np.eye(7)
for j, row in enumerate(UPPER):
    W[j, j + 1 :] = row
    W[j + 1 :, j] = row


def credit(truth, answers):
    """sum_jk W_jk A_jk, where A_jk grows by 1 / |labels or outputs| for each true j and answered k."""
    total = 0.0
    for t, a in zip(truth, answers):
        total += (t @ W @ a) / max(np.maximum(t, a).sum(), 1)
    return total


def score(truth, answers):
    inactive = np.zeros_like(truth)
    inactive[:, 0] = 1
    o, c, i = credit(truth, answers), credit(truth, truth), credit(truth, inactive)
    return {"observed": o, "correct": c, "inactive": i, "value": (o - i) / (c - i) if c != i else None}


rng = np.random.default_rng(8)
cases = []
for n, rate in [(1, 0.5), (5, 0.3), (40, 0.25), (40, 0.05)]:
    truth = (rng.random((n, 7)) < rate).astype(int)
    proba = np.round(np.clip(0.45 * truth + 0.6 * rng.random((n, 7)), 0, 1), 3)
    cases.append({"truth": truth.tolist(), "proba": proba.tolist(), "at_half": score(truth, (proba > 0.5).astype(int))})
normal = np.zeros((3, 7), int)
normal[:, 0] = 1
cases.append({"truth": normal.tolist(), "proba": (0.9 * normal).tolist(), "at_half": score(normal, normal)})
with open("tests/data/challenge.json", "w") as file:
    json.dump({"labels": LABELS, "cases": cases}, file)
    file.write("\n")
