"""Laws of independent values by maximum likelihood: power law, truncated power law, lognormal, exponential.

Not here: eigenvalues, which are not independent (`population_fits`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spectail.spectra.tail_laws import EXPONENTIAL, LOGNORMAL, POWER_LAW

_Array = NDArray[np.float64]


def independent_fit(kind: str, logs: _Array) -> tuple[tuple[float, ...], float]:
    """Parameters, and the log likelihood of the logs; power laws begin at the smallest value."""
    count, y = len(logs), logs - logs.min()
    rate = (count - 1) / float(y.sum())
    power = count * math.log(rate) - rate * float(y.sum())
    if kind == POWER_LAW:
        return (rate,), power
    if kind == LOGNORMAL:
        sigma = float(logs.std())
        return (sigma,), -count * math.log(sigma * math.sqrt(2 * math.pi * math.e))
    if kind == EXPONENTIAL:
        scaled = np.exp(logs) / np.exp(logs).mean()
        return (), float((np.log(scaled) - scaled).sum())
    return truncated_fit(y, rate, power)


def truncated_fit(y: _Array, rate: float, power: float) -> tuple[tuple[float, ...], float]:
    """The truncated power law of y = log(λ/xmin): rate, cut, and the log likelihood of y."""
    from scipy.optimize import minimize  # 0.2 s to import, for what is asked on request

    total, values = float(y.sum()), float(np.exp(y).sum())

    def cost(parameters: _Array) -> float:
        if parameters[0] < 0.0 or not -28.0 < parameters[1] < 7.0:
            return math.inf
        exponent, cut = float(parameters[0]), math.exp(float(parameters[1]))
        return exponent * total + cut * values + len(y) * math.log(truncated_mass(exponent, cut))

    best = minimize(cost, [rate, -float(y.max())], method="Nelder-Mead", options={"maxiter": 200})
    return (max(float(best.x[0]), 0.0), math.exp(float(best.x[1]))), max(-float(best.fun), power)


def truncated_mass(rate: float, cut: float) -> float:
    """∫ e^(−rate·y − cut·eʸ) dy from 0: the generalised exponential integral."""
    y = np.linspace(0.0, math.log1p(40.0 / cut), 2001)
    density = np.exp(-rate * y - cut * np.exp(y))
    density[1:-1:2] *= 4  # Simpson's rule
    density[2:-1:2] *= 2
    return float(density.sum() * y[1] / 3)


def truncated_cdf(y: _Array, rate: float, cut: float) -> _Array:
    points = np.linspace(0.0, math.log1p(40.0 / cut), 4000)
    density = np.exp(-rate * points - cut * np.exp(points))
    cumulative = np.append(0.0, np.cumsum((density[1:] + density[:-1]) / 2))
    return np.asarray(np.interp(y, points, cumulative / cumulative[-1]))
