"""Eigenvalues of WᵀW on a GPU, whose symmetric solver takes a tenth of the time of its SVD; None where that cannot be.

Not here: what is done instead, which `eigen` decides.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spectail.spectra.blockwise import (
    EXTRA_DIRECTIONS,
    ITERATIONS,
    NEGLIGIBLE,
    REFINED_SHARE,
    SHIFT,
    sharp_above,
    squares_are_safe,
)

_COLUMNS_AT_A_TIME = 8192  # in float64


def gpu_eigenvalues(weights: Float[Tensor, "h d"]) -> Float[Tensor, " b"] | None:
    """The eigenvalues that `blockwise_eigenvalues` gives, in the same way, by what a GPU is fast at.

    Where the smallest eigenvalues drown in the rounding of the Gram matrix, only those are computed again: as the
    singular values of W itself on the directions that inverse iteration finds for them.

    Args:
        weights: W, any floating dtype, on a device that has float64.

    Returns:
        float64, ascending, squared units of the weights, on the device of W; None where it is empty, all zero, or holds
        NaN, inf, or numbers whose squares overflow or vanish, and where many eigenvalues are small.
    """
    matrix = weights.detach()
    if matrix.numel() == 0 or not squares_are_safe(matrix):
        return None
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    gram = sum(part.T @ part for part in map(_float64, torch.split(tall, _COLUMNS_AT_A_TIME)))
    assert isinstance(gram, Tensor)
    values: Tensor = torch.linalg.eigvalsh(gram)
    largest = float(values[-1])
    small = int((values < sharp_above(largest, float(values.clamp_min(0.0).sum()), matrix)).sum())
    if small and float(values[small - 1]) > NEGLIGIBLE * largest:
        if small > max(REFINED_SHARE * len(values), 1):
            return None
        gram.diagonal().add_(SHIFT * largest)  # positive in spite of rounding
        factor, failed = torch.linalg.cholesky_ex(gram)
        if int(failed):
            return None
        values[:small] = _smallest(tall, small, factor)
    return values.clamp_min(0.0)


def _smallest(tall: Tensor, count: int, factor: Tensor) -> Tensor:
    """The smallest squared singular values of W, each right to rounding of its own root, ascending."""
    size = tall.shape[1]
    start = np.random.default_rng(0).standard_normal((size, min(count + max(count, EXTRA_DIRECTIONS), size)))
    directions = torch.from_numpy(start).to(tall.device)
    for _ in range(ITERATIONS):
        solved = torch.cholesky_solve(directions, factor)
        directions = torch.linalg.qr(solved / solved.abs().max()).Q
    image = torch.cat([_float64(rows) @ directions for rows in torch.split(tall, _COLUMNS_AT_A_TIME)])
    singular: Tensor = torch.linalg.svdvals(torch.linalg.qr(image).R)
    return singular.flip(0)[:count].square()


def _float64(rows: Tensor) -> Tensor:
    return rows.to(torch.float64)
