"""Rows and columns of a matrix that are copies or zero, in words: why its rank is what it is.

Not here: how they are found (`spectra/duplicates.py`).
"""

from __future__ import annotations

from spectail.spectra.duplicates import count_copies
from spectail.weights.matrix import WeightMatrix


def repetition(matrix: WeightMatrix, eps: float | None) -> str:
    """What of a matrix repeats, in words; "" where nothing does.

    Args:
        matrix: whose weights are in memory, and finite.
        eps: the relative spacing of the weights as they are stored; None: that of their dtype.

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
    for what, across in (("rows", weights.transpose(0, 1)), ("columns", weights.permute(2, 0, 1))):
        copies, zeros = count_copies(across.flatten(1), eps=eps)
        count = len(across)
        parts += [f"{copies} of {count} {what} are multiples of another"] if copies else []
        parts += [f"{zeros} of {count} {what} are zero"] if zeros else []
    return ", ".join(parts)
