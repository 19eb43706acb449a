"""A power law against other laws on the same tail, by the ratio of their likelihoods.

Not here: what the tail of a spectrum is (`tail_tests`), which these ratios do not tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import chdtrc, erfcx, log_ndtr
from torch import Tensor

from spectail.spectra.independent_values import truncated_fit, truncated_mass
from spectail.spectra.precision import takes_spectrum
from spectail.spectra.tail_laws import EXPONENTIAL, LOGNORMAL, TRUNCATED

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class LikelihoodRatio:
    """How much better a power law describes a tail than another law does.

    Attributes:
        alternative: the other law.
        ratio: the log likelihood ratio over its standard deviation: positive where the power law fits better.
        p_value: how often a ratio so far from zero comes up where both are equally good.

    >>> LikelihoodRatio("lognormal", ratio=-2.5, p_value=0.012).ratio < 0  # the lognormal fits better
    True
    """

    alternative: str
    ratio: float
    p_value: float


@takes_spectrum
def likelihood_ratios(eigenvalues: Float[Tensor, " k"], xmin: float) -> tuple[LikelihoodRatio, ...]:
    """A power law against the three other laws, on the eigenvalues from xmin up, each conditioned on λ ≥ xmin.

    The ratios take eigenvalues for independent, which they are not: a ratio says which law is closer, but its p-value,
    as the field computes it, does not hold for spectra; that of `tail_kind` does.

    Args:
        eigenvalues: of WᵀW, any order.
        xmin: where the tail starts, as `ks_fit` finds it.

    Returns:
        for the lognormal, the exponential and the truncated power law, in which the power law is nested; NaN where
        fewer than three eigenvalues lie in the tail, or all of them are equal.

    Raises:
        SpectailError: there is no eigenvalue, or they are not in one dimension.

    Source: Vuong (1989); Clauset, Shalizi & Newman (2009), §5.

    >>> power_law = torch.linspace(0.005, 1.0, 200) ** -0.5  # the quantiles of α = 3, evenly
    >>> [one.alternative for one in likelihood_ratios(power_law, 1.0) if one.ratio > 2]
    ['exponential']
    """
    values = eigenvalues.detach().to("cpu", torch.float64).numpy()
    y = np.log(values[values >= xmin * (1 - 1e-12)] / xmin).clip(0.0) if xmin > 0 else np.zeros(0)
    alternatives = (LOGNORMAL, EXPONENTIAL, TRUNCATED)
    if len(y) < 3 or not np.isfinite(y).all() or y.max() == 0.0:
        return tuple(LikelihoodRatio(alternative, math.nan, math.nan) for alternative in alternatives)
    rate = 1 / float(y.mean())
    power = math.log(rate) - rate * y
    return tuple(_vuong(alternative, power - _log_density(alternative, y, rate)) for alternative in alternatives)


def _vuong(alternative: str, gains: _Array) -> LikelihoodRatio:
    total, spread = float(gains.sum()), float(gains.std()) * math.sqrt(len(gains))
    if alternative == TRUNCATED:  # which has a parameter more, and is no worse but for where the search ends
        total = min(total, 0.0)
        p_value = float(chdtrc(1, -2 * total))
    else:
        p_value = math.erfc(abs(total) / spread / math.sqrt(2)) if spread > 0 else 1.0
    return LikelihoodRatio(alternative, total / spread if spread > 0 else 0.0, p_value)


def _log_density(kind: str, y: _Array, rate: float) -> _Array:
    """The log density at each y = log(λ/xmin), by the law of the kind that fits best."""
    from scipy.optimize import minimize

    if kind == EXPONENTIAL:
        scale = float(np.expm1(y).mean())
        return y - np.expm1(y) / scale - math.log(scale)
    if kind == TRUNCATED:
        (exponent, cut), _ = truncated_fit(y, rate, -math.inf)
        return -exponent * y - cut * np.exp(y) - math.log(truncated_mass(exponent, cut))
    first, second = float(y.mean()), float((y**2).mean())  # a normal law of y, cut at zero: exp(−slope·y − bend·y²)

    def cost(parameters: _Array) -> float:
        if abs(parameters[1]) > 30.0 or abs(parameters[0]) > 1e6:
            return math.inf
        slope, bend = float(parameters[0]), math.exp(float(parameters[1]))
        return slope * first + bend * second + _log_mass(slope, bend)

    start = [rate, min(max(-2 * math.log(float(y.max())) - 2, -20.0), 20.0)]
    best = minimize(cost, start, method="Nelder-Mead", options={"maxiter": 400})
    slope, bend = float(best.x[0]), math.exp(float(best.x[1]))
    return -slope * y - bend * y**2 - _log_mass(slope, bend)


def _log_mass(slope: float, bend: float) -> float:
    """Log ∫ e^(−slope·y − bend·y²) dy from 0."""
    place = slope / (2 * math.sqrt(bend))
    if place > 0:  # where the other way loses all digits
        return 0.5 * math.log(math.pi / (4 * bend)) + math.log(erfcx(place))
    return 0.5 * math.log(math.pi / bend) + place**2 + float(log_ndtr(-math.sqrt(2) * place))
