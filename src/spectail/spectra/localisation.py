"""Over how many entries the leading singular vectors of a matrix spread, beside vectors of random direction.

Not here: how the vectors of two matrices overlap (`overlaps`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, svds
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.gram import blas_threads
from spectail.spectra.overlaps import participation_ratio
from spectail.spectra.precision import float64, takes_matrix

_SMALL = 64  # the shorter side up to which all singular vectors are computed


@dataclass(frozen=True)
class Localisation:
    """How far some singular vectors spread, strongest first.

    Attributes:
        participation_left: (Σu²)²/Σu⁴ of each left vector: over how many rows it spreads. About n/3 for a random
            direction (Porter & Thomas, 1956), 1 for a single entry.
        participation_right: the same of each right vector, over columns.
        excess_left: Σu⁴ over its mean for random directions, 3/(n + 2): 1 for a random one, (n + 2)/3 at most.
        excess_right: the same of each right vector.
        z_left: how many standard deviations Σu⁴ lies above its mean for random directions.
        z_right: the same of each right vector.

    >>> import torch
    >>> one = vector_localisation(torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5])), top=1)
    >>> round(one.participation_left[0], 6), round(one.excess_left[0], 6)
    (1.0, 2.0)
    """

    participation_left: tuple[float, ...]
    participation_right: tuple[float, ...]
    excess_left: tuple[float, ...]
    excess_right: tuple[float, ...]
    z_left: tuple[float, ...]
    z_right: tuple[float, ...]


@takes_matrix
def vector_localisation(weights: Float[Tensor, "h d"], *, top: int = 5) -> Localisation:
    """How far the strongest singular vectors spread over rows and columns.

    Args:
        weights: W, any floating dtype.
        top: how many vectors; at most as many as W has.

    Raises:
        SpectailError: W is no matrix, is empty, or holds NaN or inf; or top is below 1.

    >>> import torch
    >>> w = torch.randn(300, 200, generator=torch.Generator().manual_seed(0))
    >>> w[7] *= 10  # one row that is stronger than all others
    >>> vector_localisation(w, top=2).participation_left[0] < 1.1
    True
    """
    if top < 1:
        raise SpectailError(f"top={top} is how many vectors; expected 1 or more")
    m = float64(weights).cpu()
    if not bool(m.isfinite().all()):
        raise SpectailError("a matrix with NaN or inf has no singular vectors")
    sides = [_spread(vectors) for vectors in _leading(m.numpy(), min(top, *m.shape))]
    (left, excess_left, z_left), (right, excess_right, z_right) = sides
    return Localisation(left, right, excess_left, excess_right, z_left, z_right)


def _spread(vectors: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Participation ratio, excess and z of unit vectors, one a column."""
    n = len(vectors)
    participation = participation_ratio(torch.from_numpy(vectors.T**2).contiguous()).numpy()
    fourth = 1.0 / participation  # of unit vectors, Σu⁴
    mean = 3.0 / (n + 2)
    variance = (9.0 * n + 96.0) / ((n + 2) * (n + 4) * (n + 6)) - mean**2  # by the moments of a point of the sphere
    spread = math.sqrt(max(variance, 0.0))
    z = (fourth - mean) / spread if spread > 0 else np.full_like(fourth, math.nan)
    return tuple(participation.tolist()), tuple((fourth / mean).tolist()), tuple(z.tolist())


def _leading(m: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The strongest left and right singular vectors, one a column."""
    if min(m.shape) > _SMALL and 4 * count < min(m.shape) and m.any():
        start = 2.0 + np.sin(np.arange(1, min(m.shape) + 1))  # orthogonal to no vector of any structure
        try:
            with blas_threads(min(m.shape)):
                u, values, vh = svds(m, k=count, v0=start)
            order = np.argsort(-values)
            return u[:, order], vh[order].T
        except ArpackError:  # no convergence: directions are equally strong
            pass
    u, _, vh = np.linalg.svd(m, full_matrices=False)
    return u[:, :count], vh[:count].T
