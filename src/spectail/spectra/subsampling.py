"""Spectra of windows of one aspect ratio, so that matrices of any shape can be compared.

Not here: what an untrained matrix of a shape has (`nulls`), which is the other way to compare shapes.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.eigen import eigenvalues_of_slices
from spectail.spectra.precision import ZERO_SHARE, takes_matrix
from spectail.spectra.tails import hill

_MOST_WINDOWS = 10  # along each side


@takes_matrix
def windowed_eigenvalues(
    weights: Float[Tensor, "h d"], *, aspect: float = 1.0, side: int | None = None
) -> Float[Tensor, " k"]:
    """The eigenvalues of WᵀW of windows of W that have one aspect ratio, pooled (FARMS).

    Windows are contiguous and lie evenly over W, as few as overlap by half and at most ten along each side. There is
    nothing random in them.

    Args:
        weights: W, any floating dtype; its transpose has the same windows.
        aspect: longer over shorter side of a window, at least 1.
        side: its shorter side; None for the largest that fits.

    Returns:
        float64, ascending, as many of each window as it has; 0 where they are rounding.

    Raises:
        SpectailError: W is no matrix, is empty, or holds NaN or inf; or no window fits, or aspect is below 1.

    Source: Hu, Goel, Killiakov & Yang (2025), Eigenspectrum analysis of neural networks without aspect ratio bias.

    >>> import torch
    >>> windowed_eigenvalues(torch.eye(2).repeat(2, 1)).tolist()  # three windows: of rows 0–1, 1–2, 2–3
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    w = weights.detach()
    w = w if w.shape[0] >= w.shape[1] else w.T
    if not aspect >= 1.0:
        raise SpectailError(f"aspect={aspect} is the longer over the shorter side of a window; expected 1 or more")
    shorter = min(w.shape[1], int(w.shape[0] / aspect)) if side is None else side
    longer = round(aspect * shorter)
    if not 1 <= shorter <= w.shape[1] or longer > w.shape[0]:
        shape = " × ".join(map(str, weights.shape))
        raise SpectailError(f"no window of {longer} × {shorter} fits into {shape}; expected a smaller side or aspect")
    windows = [
        w[top : top + longer, left : left + shorter]
        for top in _starts(w.shape[0], longer)
        for left in _starts(w.shape[1], shorter)
    ]
    spectra = [eigenvalues_of_slices(one[None])[0] for one in windows]
    spectra = [torch.where(values > ZERO_SHARE * values[-1], values, 0.0) for values in spectra]
    pooled: Tensor = torch.cat(spectra).sort().values
    return pooled


def _starts(length: int, window: int) -> list[int]:
    """Where windows begin, first at 0 and last at the end."""
    count = min(_MOST_WINDOWS, max(1, math.ceil(2 * length / window) - 1), length - window + 1)
    return [round(i * (length - window) / max(count - 1, 1)) for i in range(count)]


@takes_matrix
def farms_hill(weights: Float[Tensor, "h d"], *, aspect: float = 1.0, side: int | None = None) -> float:
    """The Hill exponent of the pooled `windowed_eigenvalues`, which hardly depends on the shape of a matrix.

    An untrained matrix of any shape has about the exponent of a window, `MarchenkoPastur(aspect * side, side).hill()`.

    Args:
        weights: W, any floating dtype.
        aspect: longer over shorter side of a window.
        side: its shorter side; None for the largest that fits.

    Returns:
        α > 1; NaN as for `hill`.

    Raises:
        SpectailError: as `windowed_eigenvalues`.

    Source: as `windowed_eigenvalues`.

    >>> import torch
    >>> wide = torch.randn(100, 3000, generator=torch.Generator().manual_seed(0))
    >>> round(hill(wide), 1), round(farms_hill(wide), 1)
    (7.6, 2.1)
    """
    return hill(windowed_eigenvalues(weights, aspect=aspect, side=side))
