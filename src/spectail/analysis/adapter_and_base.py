"""What an adapter does to the matrix it adds to: intruder dimensions, and how far both point the same way.

Not here: the spectrum of what it adds (`row`).
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from spectail.analysis.failures import why_not
from spectail.recording.events import NOT_MEASURED
from spectail.recording.quantities import select
from spectail.spectra.intruders import EXAMINED, intruder_dimensions, subspace_overlap
from spectail.spectra.low_rank import vectors_of_kronecker, vectors_of_product
from spectail.spectra.overlaps import SingularVectors
from spectail.weights.bases import Bases
from spectail.weights.matrix import Factors, WeightMatrix


def against_base(delta: WeightMatrix, bases: Bases, device: str | None = None) -> tuple[dict[str, Any], str]:
    """The quantities of what an adapter adds that need the matrix it adds to.

    Args:
        delta: ΔW, known by its factors.
        bases: where W₀ is found.
        device: where to compute; None: where W₀ is.

    Returns:
        the quantities, NaN where there is nothing to say; and a note that says why, or "".
    """
    unknown = {q.name: math.nan for q in select("base")}
    base = bases.find(delta)
    if isinstance(base, str):
        return unknown, base
    try:
        assert delta.factors is not None, "it has no factors"
        weights = base.load()[0].detach()
        return _against(delta.factors(), weights if device is None else weights.to(device)), ""
    except Exception as error:  # its row is worth something without it
        return unknown, f"{NOT_MEASURED}beside its base, {why_not(error, delta)}"


def _against(factors: Factors, base: Tensor) -> dict[str, Any]:
    directions = _strongest(factors)
    if not directions.left.shape[1]:
        return {q.name: math.nan for q in select("base")}  # nothing is added
    intruders = intruder_dimensions(base, base.double() + factors.product().to(base.device))
    return {
        "n_intruders": intruders.count,
        "least_base_cosine": float(intruders.cosines.min()),
        "base_overlap_left": subspace_overlap(directions.left, intruders.base.left.cpu()),
        "base_overlap_right": subspace_overlap(directions.right, intruders.base.right.cpu()),
    }


def _strongest(factors: Factors) -> SingularVectors:
    of = vectors_of_kronecker if factors.kronecker else vectors_of_product
    return of(factors.left, factors.right, EXAMINED)


def work_beside_base(delta: WeightMatrix) -> float:
    """About how long `against_base` takes, in the unit of `cost.work`."""
    shorter, longer = sorted((delta.rows, delta.cols))
    return 2.0 * shorter**2 * (longer + 4.0 * shorter)


def bytes_beside_base(delta: WeightMatrix) -> int:
    """About how much memory `against_base` takes at most, in bytes.

    For W₀ as stored and in float64 twice, its Gram matrix and eigenvectors.
    """
    shorter, longer = sorted((delta.rows, delta.cols))
    return 8 * (4 * longer + 4 * shorter) * shorter
