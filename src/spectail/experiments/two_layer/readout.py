"""The second stage: ridge readout on the hold-out set, its losses, and kernel–target alignment.

Not here: which features it sees (measure.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.spectra.gram import cholesky, lower_gram, symmetric_norm
from spectail.spectra.precision import float64, like

# Points whose features are held in float64 at a time.
SLICE = 2000


@dataclass(frozen=True)
class Readout:
    """The ridge solution on the hold-out features, and what it says of them.

    Attributes:
        a_hat: â, the new second layer (h), float64.
        train_loss: (1/n)‖ȳ − Z̄ᵀâ‖², without penalty and without ½.
        kta: kernel–target alignment of the conjugate kernel K = Z̄ᵀZ̄ (eq. 7).
        null_kta: mean KTA over all orders of the labels, in which features tell nothing of them.
        null_spread_kta: standard deviation of KTA over these orders.
    """

    a_hat: Float[Tensor, " h"]
    train_loss: float
    kta: float
    null_kta: float
    null_spread_kta: float


def fit_readout(
    features: Float[Tensor, "h n"],
    y: Float[Tensor, " n"],
    ridge: float,
    on_gram: Callable[[Float[Tensor, "h h"]], object] | None = None,
) -> Readout:
    """Ridge regression of the labels on the features, and their kernel–target alignment.

    â = (Z̄Z̄ᵀ + (λn/h) I)⁻¹ Z̄ȳ, by Cholesky in float64; where rounding makes the matrix indefinite,
    by least squares on [Z̄ᵀ; √(λn/h) I], which has the same solution. Everything comes from the
    h × h Gram matrix: ⟨K, ȳȳᵀ⟩ = ‖Z̄ȳ‖² and ‖K‖_F = ‖Z̄Z̄ᵀ‖_F; no n × n matrix is formed.

    Args:
        features: Z̄ (h × n), 1/√h included, any floating dtype.
        y: labels (n).
        ridge: λ > 0.
        on_gram: called with the lower half of Z̄Z̄ᵀ, if that is finite, before it is overwritten.

    Returns:
        the readout; its numbers are NaN where the features hold NaN or inf.

    Source: paper eqs. (6) and (7).
    """
    h, n = features.shape
    y = float64(y)
    projected, total = y.new_zeros(h), y.new_zeros(h)

    def in_float64() -> Iterator[Tensor]:  # each part once, for all sums
        for part in _slices(n):
            z = float64(features[:, part])
            projected.add_(z @ y[part])
            total.add_(z.sum(1))
            yield z

    gram = lower_gram(in_float64())
    kta = float(projected.square().sum() / (symmetric_norm(gram) * y.square().sum()))
    if not math.isfinite(kta):
        return Readout(torch.full_like(projected, math.nan), *[math.nan] * 4)
    null = _kta_of_shuffled_labels(gram, total, y)

    if on_gram is not None:
        on_gram(gram)
    gram.diagonal().add_(ridge * n / h)
    factor = cholesky(gram)
    if factor is not None:
        a_hat = torch.cholesky_solve(projected[:, None], factor)[:, 0]
    else:
        a_hat = _least_squares(float64(features), y, ridge * n / h)
    errors = (y[part] - float64(features[:, part]).T @ a_hat for part in _slices(n))
    return Readout(a_hat, sum(float(error.square().sum()) for error in errors) / n, kta, *null)


def _kta_of_shuffled_labels(gram: Tensor, total: Tensor, y: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of the alignment over all orders of the labels.

    With mean label μ and v its variance (ddof 1), Z̄y has the mean μZ̄1 and the covariance vC of a sample without
    replacement, C = Z̄Z̄ᵀ − Z̄1(Z̄1)ᵀ/n. The mean of ‖Z̄y‖² follows exactly, its variance as if Z̄y were Gaussian.

    Args:
        gram: Z̄Z̄ᵀ, its lower half.
        total: Z̄1.
        y: labels.
    """
    n = len(y)
    if n < 2:
        return math.nan, math.nan
    mean, variance = float(y.mean()), float(y.var())
    squares = float(total.square().sum())
    turned = gram @ total + gram.T @ total - gram.diagonal() * total
    trace = float(gram.diagonal().sum()) - squares / n
    along = float(total @ turned)
    trace_of_square = float(symmetric_norm(gram)) ** 2 - 2 * along / n + (squares / n) ** 2
    along -= squares**2 / n  # (Z̄1)ᵀ C Z̄1
    scale = float(symmetric_norm(gram) * y.square().sum())
    spread = 2 * variance**2 * trace_of_square + 4 * mean**2 * variance * along
    return (mean**2 * squares + variance * trace) / scale, math.sqrt(max(spread, 0.0)) / scale


def readout_loss(readout: Readout, features: Callable[[slice], Float[Tensor, "h k"]], y: Float[Tensor, " m"]) -> float:
    """Mean squared error of ŷ = âᵀz on further points, without ½.

    Args:
        readout: a fitted readout.
        features: the hidden features (h × k) of a slice of the points, 1/√h included.
        y: labels of all points.
    """
    squares = 0.0
    for part in _slices(len(y)):
        z = features(part)
        prediction = z.T @ like(readout.a_hat, z)
        squares += float((float64(y[part]) - float64(prediction)).square().sum())
    return squares / len(y)


def _slices(n: int) -> list[slice]:
    return [slice(start, start + SLICE) for start in range(0, n, SLICE)]


def _least_squares(features: Tensor, y: Tensor, penalty: float) -> Tensor:
    h = len(features)
    stacked = torch.cat([features.T, math.sqrt(penalty) * torch.eye(h, dtype=features.dtype, device=features.device)])
    target = torch.cat([y, y.new_zeros(h)])
    solution: Tensor = torch.linalg.lstsq(stacked, target[:, None]).solution[:, 0]
    return solution
