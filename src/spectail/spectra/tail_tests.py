"""Whether a power law is a plausible account of a tail at all.

Not here: the fit that is tested, which is in `tails`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spectail.spectra.precision import ZERO_SHARE, takes_spectrum
from spectail.spectra.tails import PowerLawFit, ks_fit

RESAMPLES = 200
"""By default; a p-value of 0.1 is then known to 0.02."""


@dataclass(frozen=True)
class GoodnessOfFit:
    """The share of resampled spectra that lie further from their power law than the data from theirs.

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
    eigenvalues: Float[Tensor, " k"], fit: PowerLawFit, *, resamples: int = RESAMPLES, seed: int = 0
) -> GoodnessOfFit:
    """Goodness of the fit of `ks_fit` by the semi-parametric bootstrap, with xmin searched anew each time.

    Each resample has the size of the spectrum: every value of it comes from the fitted law with
    probability tail_size/k, else it is one of the eigenvalues below xmin. Fits of resamples search their
    own xmin as the fit of the data did, without which p would come out too large.

    Eigenvalues repel each other, so that they scatter less about a law than the independent values of a
    resample do: a p-value near one is what a spectrum that follows its law has.

    Args:
        eigenvalues: the spectrum that was fitted, any order.
        fit: what `ks_fit` finds for it.
        resamples: how many.
        seed: of the resamples; the global random state is neither read nor moved.

    Returns:
        NaN where there is no fit.

    Raises:
        SpectailError: there is no eigenvalue, or they are not in one dimension.

    Source: Clauset, Shalizi & Newman (2009), §4.1.

    >>> power_law = torch.linspace(0.01, 1.0, 60) ** -0.5  # the quantiles of α = 3, evenly
    >>> bootstrap_p_value(power_law, ks_fit(power_law), resamples=20).p_value > 0.1
    True
    """
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
