"""The truncated power law by mpmath's incomplete gamma function and a general optimizer, one tail after the other."""

import mpmath
import numpy as np
from scipy.optimize import minimize


def log_likelihood(tail, alpha, rate):
    """Of λ^−α e^(−rate λ) above its smallest value, over the values of a tail."""
    xmin = tail[0]
    if rate == 0:
        log_mass = (1 - alpha) * np.log(xmin) - np.log(alpha - 1)
    else:
        gamma = mpmath.gammainc(1 - alpha, rate * xmin)
        log_mass = float(mpmath.log(gamma) - (1 - alpha) * mpmath.log(rate))
    return float(-alpha * np.log(tail).sum() - rate * tail.sum() - len(tail) * log_mass)


def share_above(x, xmin, alpha, rate):
    if rate == 0:
        return (x / xmin) ** (1 - alpha)
    return float(mpmath.gammainc(1 - alpha, rate * x) / mpmath.gammainc(1 - alpha, rate * xmin))


def fit(eigenvalues):
    """(alpha, rate, xmin, distance) of the tail that is closest to its likeliest law."""
    ordered = np.sort(eigenvalues)
    best = None
    for start in range(len(ordered) - 2):
        tail = ordered[start:]
        unit = tail / tail[0]
        run = minimize(
            lambda p, unit=unit: -log_likelihood(unit, *p),
            (2.0, 0.3),
            method="L-BFGS-B",
            bounds=[(1.0 + 1e-12, None), (1e-12, None)],
            options={"ftol": 1e-15, "gtol": 1e-9},
        )
        alpha, z = run.x
        law = np.array([1 - share_above(x, 1.0, alpha, z) for x in unit])
        distance = np.abs(law - np.arange(len(tail)) / len(tail)).max()
        if best is None or distance < best[3]:
            best = alpha, z / tail[0], tail[0], distance
    return best
