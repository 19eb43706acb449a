"""Rows of a matrix that are multiples of another, which take rank away.

Not here: what the spectrum says of the rank (`phases`).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.spectra.precision import float64, takes_arrays

_DIRECTIONS = 8  # that rows are compared along: unrelated ones agree along all of them in no model

COPY_SPACINGS = 4.0
"""Directions of two rows that differ by at most so many spacings of their entries are the same."""

_LEAST = 1e-13  # rounding of the comparison itself

_CHUNK = 2**22  # entries in float64 at a time


@takes_arrays
def count_copies(weights: Float[Tensor, "h d"], *, eps: float | None = None) -> tuple[int, int]:
    """How many rows are multiples of another row, of either sign, to rounding; and how many are zero.

    Args:
        weights: of the matrix; of its transpose for columns.
        eps: the relative spacing of the entries as they were stored; by default that of their dtype.

    Returns:
        both counts; a row of zeros is a copy of none.

    >>> count_copies([[1.0, 2.0, 3.0], [-2.0, -4.0, -6.0], [0.0, 0.0, 0.0], [1.0, 2.0, 4.0]])
    (2, 1)
    """
    from scipy.spatial import KDTree

    height, width = weights.shape
    eps = max(torch.finfo(weights.dtype).eps if eps is None else eps, _LEAST)
    generator = torch.Generator(weights.device).manual_seed(0)
    directions = torch.randn(width, _DIRECTIONS, generator=generator, device=weights.device)
    along = float64(directions) / _DIRECTIONS**0.5
    keys = []
    for block in torch.split(weights.detach(), max(_CHUNK // width, 1)):
        rows = float64(block)
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        keys.append(torch.where(norms > 0, rows @ along.to(rows.device) / norms, 0.0).cpu())
    key = torch.cat(keys)
    key = key[key.any(1)]
    if len(key) < 2:
        return 0, height - len(key)
    key = key * key[:, :1].sign()
    distances, _ = KDTree(key.numpy()).query(key.numpy(), k=2, distance_upper_bound=COPY_SPACINGS * eps)
    return int((distances[:, 1] < COPY_SPACINGS * eps).sum()), height - len(key)
