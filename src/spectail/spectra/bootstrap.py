"""Deprecated: the goodness of a power law by resamples of independent values, which has no power on spectra.

Not here: what has (`tail_tests`).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spectail.spectra.precision import ZERO_SHARE, takes_spectrum
from spectail.spectra.tails import PowerLawFit, ks_fit


@dataclass(frozen=True)
class GoodnessOfFit:
    """Deprecated: the share of resampled spectra that lie further from their power law than the data from theirs.

    Attributes:
        p_value: below 0.1, say, the power law is ruled out; a large value does not prove it.
        stderr: of the p-value, √(p(1 − p)/resamples).
        resamples: how many there were.

    >>> GoodnessOfFit(p_value=0.5, stderr=0.035, resamples=200).p_value < 0.1  # is the power law ruled out?
    False
    """

    p_value: float
    stderr: float
    resamples: int


@takes_spectrum
def bootstrap_p_value(
    eigenvalues: Float[Tensor, " k"], fit: PowerLawFit, *, resamples: int = 200, seed: int = 0
) -> GoodnessOfFit:
    """Deprecated: goodness of the fit of `ks_fit`, against resamples of independent values.

    Eigenvalues repel each other and scatter less about a law than independent values do: nearly every spectrum passes.
    `tail_kind` draws matrices instead.

    Args:
        eigenvalues: the spectrum that was fitted, any order.
        fit: what `ks_fit` finds for it.
        resamples: how many.
        seed: of the resamples.

    Source: Clauset, Shalizi & Newman (2009), §4.1.

    >>> with warnings.catch_warnings(action="ignore"):
    ...     bootstrap_p_value([1.0, 2.0, 4.0], ks_fit([1.0, 2.0, 4.0]), resamples=5).resamples
    5
    """
    warnings.warn("bootstrap_p_value has no power on spectra; see tail_kind", DeprecationWarning, stacklevel=3)
    if math.isnan(fit.alpha):
        return GoodnessOfFit(math.nan, math.nan, 0)
    values = eigenvalues.detach().to("cpu", torch.float64).sort().values.numpy()
    values = values[values > values[-1] * ZERO_SHARE]
    body = values[: len(values) - fit.tail_size]
    stream = np.random.default_rng(seed)
    further = 0
    for _ in range(resamples):
        in_tail = int(stream.binomial(len(values), fit.tail_size / len(values))) if len(body) else len(values)
        tail = fit.xmin * (1.0 - stream.random(in_tail)) ** (-1.0 / (fit.alpha - 1.0))
        drawn = np.concatenate([stream.choice(body, len(values) - in_tail), tail]) if len(body) else tail
        further += ks_fit(torch.from_numpy(drawn)).ks_distance >= fit.ks_distance
    p = further / resamples
    return GoodnessOfFit(p, math.sqrt(p * (1.0 - p) / resamples), resamples)
