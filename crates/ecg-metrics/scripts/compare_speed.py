"""Measures all metrics of a million records x 7 labels, by ecg-metrics and by scikit-learn, in one run.

    python crates/ecg-metrics/scripts/compare_speed.py [RECORDS]

scikit-learn works out the same figures where it has them: counts, precision, recall, F1, F-beta and Jaccard with their
averages, MCC, kappa, balanced accuracy, ROC-AUC, average precision, Brier score, log loss, subset accuracy, Hamming loss,
coverage error and label ranking. The bootstrap, 1000 resamples of the first 1,126 records, is ours alone. Prints a Markdown
table of seconds: of the clock, and of all processors. Needs numpy and scikit-learn.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
from sklearn import metrics as m

warnings.filterwarnings("ignore")
ROOT = pathlib.Path(__file__).resolve().parents[3]


def everything(t, p):
    y = (p > 0.5).astype(int)
    m.multilabel_confusion_matrix(t, y)
    for average in [None, "micro", "macro", "weighted", "samples"]:
        m.precision_recall_fscore_support(t, y, average=average, zero_division=0)
        m.fbeta_score(t, y, beta=2, average=average, zero_division=0)
        m.jaccard_score(t, y, average=average, zero_division=0)
    auc = None
    for average in [None, "micro", "macro", "weighted"]:
        found = m.roc_auc_score(t, p, average=average)
        auc = found if average == "macro" else auc
        m.average_precision_score(t, p, average=average)
    for k in range(t.shape[1]):
        a, b, q = t[:, k], y[:, k], p[:, k]
        m.matthews_corrcoef(a, b), m.cohen_kappa_score(a, b), m.balanced_accuracy_score(a, b)
        m.brier_score_loss(a, q), m.log_loss(a, q)
    m.accuracy_score(t, y), m.hamming_loss(t, y)
    m.coverage_error(t, p), m.label_ranking_average_precision_score(t, p), m.label_ranking_loss(t, p)
    return auc


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rng = np.random.default_rng(1)
    truth = (rng.random((n, 7)) < [0.3, 0.09, 0.12, 0.04, 0.1, 0.25, 0.2]).astype(np.uint8)
    proba = 1 / (1 + np.exp(-rng.normal(2.5 * truth - 2, 1.2)))
    command = ["cargo", "run", "--release", "-q", "-p", "ecg-metrics", "--example", "speed", "--"]
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/truth.npy", f"{folder}/proba.npy"]
        for file, array in zip(files, [truth, proba]):
            np.save(file, array)
        found = subprocess.run(command + files, cwd=ROOT, check=True, capture_output=True, text=True)
    ours = json.loads(found.stdout)
    clock, start = time.perf_counter(), os.times()
    auc = everything(truth.astype(int), proba)
    used = os.times()
    theirs = [time.perf_counter() - clock, used[0] + used[1] - start[0] - start[1]]
    assert abs(auc - ours["report"]["figure"]) < 1e-12, (auc, ours)
    print(f"| {n} records x 7 labels | seconds | of processors |\n|---|---|---|")
    for name, seconds in [
        ("ecg-metrics, `Report::new`", ours["report"]["seconds"]),
        ("ecg-metrics, `calibration`", ours["calibration"]["seconds"]),
        ("ecg-metrics, `Bootstrap::new` of 1,126 records", ours["bootstrap"]["seconds"]),
        ("scikit-learn " + __import__("sklearn").__version__, theirs),
    ]:
        print(f"| {name} | {seconds[0]:.2f} | {seconds[1]:.2f} |")


if __name__ == "__main__":
    main()
