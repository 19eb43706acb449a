"""What a test loss is to be compared with: a constant, linear regression, and the best that an odd student can do.

All in closed form. Not here: how they are drawn (`panels.py`).
"""

from __future__ import annotations

import math

import numpy as np
import torch

from spectail.experiments.activations import find_activation
from spectail.experiments.experiment import Experiment
from spectail.experiments.theory import gaussian_moments

_ODD = 1e-9  # below this, a student's even part is an error of quadrature


def baselines(experiment: Experiment) -> dict[str, float]:
    """Test losses that need no network, by what reaches them.

    Args:
        experiment: whose teacher, noise, activation, n and d count.

    Returns:
        test losses by name. "linear ridge": ridge regression on n points without a constant, with the best ridge, for
        large n and d. "any odd student", for an odd activation: the teacher's even part and the noise; "any student",
        for others: the noise alone. "a constant": the variance of the labels.

    >>> {name: round(loss, 3) for name, loss in baselines(Experiment(n=8000)).items()}
    {'linear ridge': 0.835, 'any odd student': 0.761, 'a constant': 0.362}
    """
    e = experiment
    moments, noise = gaussian_moments(e.teacher), e.label_noise**2
    even = odd_and_even_squares(e.activation)[1]
    of_student = ("any odd student", odd_and_even_squares(e.teacher)[1]) if even < _ODD else ("any student", 0.0)
    signal, rest = moments.linear**2, moments.square - moments.linear**2 + noise
    return {
        "linear ridge": best_ridge_risk(signal, rest, e.d / e.n),
        of_student[0]: of_student[1] + noise,
        "a constant": moments.square - moments.mean**2 + noise,
    }


def odd_and_even_squares(name: str) -> tuple[float, float]:
    """E f² of the odd and of the even part of an activation or link, over z ~ N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(180)
    z, w = torch.from_numpy(nodes), torch.from_numpy(weights / math.sqrt(2 * math.pi))
    f = find_activation(name)
    there, mirrored = f(z), f(-z)
    return float(w @ ((there - mirrored) / 2).square()), float(w @ ((there + mirrored) / 2).square())


def best_ridge_risk(signal: float, noise: float, ratio: float) -> float:
    """The test loss of ridge regression with the best ridge, isotropic Gaussian inputs, as n and d grow.

    The part of the labels that is not linear in the inputs acts as noise.

    Args:
        signal: squared norm of the coefficients.
        noise: variance of the rest of the labels.
        ratio: d/n.

    Returns:
        σ²/(λv), with λ = ratio·noise/signal and 1/v = λ + ratio/(1 + v).

    Source: Dobriban & Wager (2018), High-dimensional asymptotics of prediction, theorem 2.1.
    """
    if not signal:
        return noise
    ridge = ratio * noise / signal
    # λv² + (λ + ratio − 1)v − 1 = 0
    half = (ridge + ratio - 1) / 2
    v = (-half + math.sqrt(half**2 + ridge)) / ridge
    return noise / (ridge * v)
