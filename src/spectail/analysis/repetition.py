"""Rows and columns of a matrix that are copies or zero, in words: why its rank is what it is.

Not here: how they are found (`spectra/duplicates.py`).
"""

from __future__ import annotations

import math

from spectail.spectra.duplicates import count_copies, count_near_copies
from spectail.weights.matrix import WeightMatrix


def repetition(matrix: WeightMatrix, eps: float | None, *, nearly: bool = False) -> str:
    """What of a matrix repeats, in words; "" where nothing does.

    Args:
        matrix: whose weights are in memory, and finite.
        eps: the relative spacing of the weights as they are stored; None: that of their dtype.
        nearly: whether copies with a little noise are told too, where there are no others.

    >>> import torch
    >>> weights = torch.randn(1, 30, 40, generator=torch.Generator().manual_seed(0))
    >>> weights[:, 20:] = -2.0 * weights[:, :10]
    >>> repetition(WeightMatrix("w", "linear", 30, 40, 1, lambda: weights), None)
    '20 of 30 rows are multiples of another'
    """
    weights = matrix.load().detach()
    if bool((weights == weights.flatten()[0]).all()):
        return "all weights are equal"
    parts = []
    of_slices = [("slices", weights)] if len(weights) > 1 else []
    for what, across in (*of_slices, ("rows", weights.transpose(0, 1)), ("columns", weights.permute(2, 0, 1))):
        copies, zeros = count_copies(across.flatten(1), eps=eps)
        count = len(across)
        parts += [f"{copies} of {count} {what} are multiples of another"] if copies else []
        if nearly and not copies:
            near, furthest = count_near_copies(across.flatten(1))
            within = f"within {math.ceil(100 * furthest)}% of a multiple of another"
            parts += [f"{near} of {count} {what} are {within}"] if near else []
        parts += [f"{zeros} of {count} {what} are zero"] if zeros else []
    nonzero = weights != 0
    if len(weights) == 1 and max(int(nonzero[0].sum(side).max()) for side in (0, 1)) == 1:
        parts.append("no row or column has more than one weight that is not zero")
    return ", ".join(parts)
