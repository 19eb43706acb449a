"""Rows of a matrix that are multiples of another, or nearly, which take rank away.

Not here: what the spectrum says of the rank (`phases`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spectail.spectra.precision import float64, takes_arrays

_DIRECTIONS = 8  # random ones, along which rows are compared: no unrelated rows agree along all of them

COPY_SPACINGS = 4.0
"""Directions of two rows that differ by at most so many spacings of their entries are the same."""

_LEAST = 1e-13  # rounding of the comparison itself

_CHUNK = 2**22  # entries in float64 at a time

_BY_CHANCE = 1e-3  # share of matrices of independent rows in which some two may be taken for near copies


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

    eps = max(torch.finfo(weights.dtype).eps if eps is None else eps, _LEAST)
    key = _keys(weights)
    there = key.any(1)
    key = key[there]
    if len(key) < 2:
        return 0, len(there) - len(key)
    key = key * key[:, :1].sign()
    distances, _ = KDTree(key.numpy()).query(key.numpy(), k=2, distance_upper_bound=COPY_SPACINGS * eps)
    return int((distances[:, 1] < COPY_SPACINGS * eps).sum()), len(there) - len(key)


@takes_arrays
def count_near_copies(weights: Float[Tensor, "h d"], *, within: float = 0.2) -> tuple[int, float]:
    """How many rows are multiples of another row, of either sign, but for noise; and how far the furthest of them is.

    Args:
        weights: of the matrix; of its transpose for columns.
        within: the largest distance between the directions of two rows, as vectors of norm one; it is lowered where
            independent rows come so near by chance.

    Returns:
        the count, and the largest distance of one of them from its nearest row.

    >>> one = torch.randn(100, 50, generator=torch.Generator().manual_seed(0))
    >>> count_near_copies(torch.cat([one, 0.98 * one + 0.02]))[0]
    200
    """
    from scipy.spatial import KDTree
    from scipy.special import betaincinv

    key = _keys(weights)
    places = torch.nonzero(key.any(1))[:, 0]
    count, width = len(places), weights.shape[1]
    if count < 2 or width < 2:
        return 0, 0.0
    # The squared sine between two independent directions has a beta law.
    within = min(within, math.sqrt(betaincinv((width - 1) / 2, 0.5, 2.0 * _BY_CHANCE / (count * (count - 1)))))
    key = key[places]
    tree, reach = KDTree(key.numpy()), 2.0 * within  # distances along few directions vary by a quarter
    same, nearest = tree.query(key.numpy(), k=2, distance_upper_bound=reach)
    opposite, mirrored = tree.query(-key.numpy(), distance_upper_bound=reach)
    other = torch.from_numpy(np.where(same[:, 1] <= opposite, nearest[:, 1], mirrored))
    near = torch.nonzero(other < count)[:, 0]  # of the others nothing is within reach
    parts = []
    for some in torch.split(near, max(_CHUNK // width, 1)):
        first, second = (
            torch.nn.functional.normalize(float64(weights[one.to(weights.device)])).cpu()
            for one in (places[some], places[other[some]])
        )
        signs = (first * second).sum(1, keepdim=True).sign()
        parts.append(torch.linalg.vector_norm(first - signs * second, dim=1))
    distances = torch.cat([torch.empty(0, dtype=torch.float64), *parts])
    distances = distances[distances < within]
    return len(distances), float(distances.max()) if len(distances) else 0.0


def _keys(weights: Tensor) -> Float[Tensor, "h 8"]:
    """Rows over their norms along a few random directions; zero where the row is."""
    width = weights.shape[1]
    generator = torch.Generator(weights.device).manual_seed(0)
    directions = torch.randn(width, _DIRECTIONS, generator=generator, device=weights.device)
    along = float64(directions) / _DIRECTIONS**0.5
    keys = []
    for block in torch.split(weights.detach(), max(_CHUNK // width, 1)):
        rows = float64(block)
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        keys.append(torch.where(norms > 0, rows @ along.to(rows.device) / norms, 0.0).cpu())
    return torch.cat(keys)
