"""Quantities that are measured when asked for: `analyze(model, measure=FARMS | LOCALISATION)`.

Here: what they are called, and how slices of a kernel make one number. Not here: how they are computed (`spectra`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from spectail.recording.quantities import Quantity
from spectail.spectra.localisation import vector_localisation
from spectail.spectra.subsampling import windowed_eigenvalues
from spectail.spectra.tails import hill


def _farms(weights: NDArray[np.float64], rows: int, cols: int) -> float:
    """The Hill exponent of the windows of all slices together."""
    return hill(torch.cat([windowed_eigenvalues(one) for one in weights]))


def _excess_left(weights: NDArray[np.float64], rows: int, cols: int) -> float:
    return _mean_excess(weights, "excess_left")


def _excess_right(weights: NDArray[np.float64], rows: int, cols: int) -> float:
    return _mean_excess(weights, "excess_right")


def _mean_excess(weights: NDArray[np.float64], side: str) -> float:
    """The excess of the strongest vector of each slice, on average; slices of zeros have none."""
    excess = [getattr(vector_localisation(one, top=1), side)[0] for one in weights if one.any()]
    return math.fsum(excess) / len(excess) if excess else math.nan


FARMS = {
    Quantity(
        "farms_alpha",
        "α_FARMS",
        "Hill exponent of the pooled spectra of square windows, which does not depend on the aspect ratio",
        of="weights",
    ): _farms
}
"""The exponent that shapes do not change (`spectail.spectra.farms_hill`), for `analyze(measure=…)`."""

LOCALISATION = {
    Quantity(
        "localisation_left",
        "ΣU⁴/null",
        "Σu⁴ of the strongest left singular vector over its mean for a random direction, 3/(rows + 2)",
        of="weights",
        drawn="log",
    ): _excess_left,
    Quantity(
        "localisation_right",
        "ΣV⁴/null",
        "Σv⁴ of the strongest right singular vector over its mean for a random direction, 3/(cols + 2)",
        of="weights",
        drawn="log",
    ): _excess_right,
}
"""How concentrated the strongest directions are (`spectail.spectra.vector_localisation`), for `analyze(measure=…)`."""
