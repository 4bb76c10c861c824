"""Writes tests/data/calibration.json: reliability by scikit-learn, logistic fits by scipy and scikit-learn.

The fits are roots of the loss's derivatives (scipy), which is exact; those of scikit-learn's own calibrators stop earlier.
Run with numpy, scipy and scikit-learn 1.9 from the crate's folder.
"""

import json

import numpy as np
from scipy import optimize
from scipy.special import expit, logit
from sklearn.calibration import _sigmoid_calibration, _TemperatureScaling, calibration_curve
from sklearn.linear_model import LogisticRegression


def platt_targets(t):
    n1 = t.sum()
    n0 = len(t) - n1
    return np.where(t == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))


def line(u, t):
    def gradient(x):
        gap = expit(x[0] * u + x[1]) - t
        return [gap @ u, gap.sum()]

    def hessian(x):
        p = expit(x[0] * u + x[1])
        w = p * (1 - p)
        return [[w @ u**2, w @ u], [w @ u, w.sum()]]

    found = optimize.root(gradient, [0.5, 0.0], jac=hessian, tol=1e-15)
    assert np.abs(gradient(found.x)).max() < 1e-11, found
    return list(found.x)


def errors(t, p, bins):
    """Expected and maximum calibration error."""
    gaps = np.array([[abs(p[bins == b].mean() - t[bins == b].mean()), (bins == b).sum()] for b in set(bins)])
    return [float(gaps[:, 0] @ gaps[:, 1] / len(p)), float(gaps[:, 0].max())]


rng = np.random.default_rng(11)
n = 120
cases = {}
for name, rate, slope, shift, digits in [
    ("sharp", 0.5, 2.5, 0.0, 3),
    ("blunt", 0.3, 0.5, 0.7, 3),
    ("rare", 0.06, 1.5, -0.5, 3),
    ("ties", 0.4, 1.2, 0.3, 1),
]:
    honest = rng.normal(logit(rate), 1.6, n)
    t = (rng.random(n) < expit(honest)).astype(int)
    p = np.round(expit(slope * honest + shift), digits)
    # As the crate does, so that a probability of 0 or 1 has a logit.
    u = logit(np.clip(p, np.finfo(float).eps, 1 - np.finfo(float).eps))
    curves = {}
    for strategy in ["uniform", "quantile"]:
        rates, means = calibration_curve(t, p, n_bins=10, strategy=strategy)
        curves[strategy] = [rates.tolist(), means.tolist()]
    a, b = _sigmoid_calibration(u, t)
    cases[name] = {
        "truth": t.tolist(),
        "proba": p.tolist(),
        "temperature_slope": optimize.brentq(lambda s: (expit(s * u) - t) @ u, 1e-6, 100, xtol=1e-15, rtol=1e-15),
        "platt": line(u, platt_targets(t)),
        "slope": line(u, t)[0],
        "intercept": optimize.brentq(lambda b: (expit(u + b) - t).sum(), -50, 50, xtol=1e-15, rtol=1e-15),
        "sklearn_platt": [-a, -b],
        # It doubles the logits: its two classes have -u and u.
        "sklearn_temperature_slope": _TemperatureScaling().fit(u / 2, t).beta_,
        "sklearn_slope": float(LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12).fit(u[:, None], t).coef_[0, 0]),
        "curves": curves,
        # Closed on the left, the last on both sides.
        "equal_width": errors(t, p, np.minimum(np.floor(p * 10), 9)),
        "equal_count": errors(t, p, np.searchsorted(np.percentile(p, np.arange(10, 100, 10)), p)),
    }
with open("tests/data/calibration.json", "w") as file:
    json.dump(cases, file)
    file.write("\n")
