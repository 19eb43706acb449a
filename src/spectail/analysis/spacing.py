"""How far apart the numbers lie that weights are stored in, and what of a spectrum is their rounding.

Not here: the rounding of what is computed with them (spectra/precision).
"""

from __future__ import annotations

import torch
from torch import Tensor

from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.precision import ZERO_SHARE
from spectail.weights.matrix import WeightMatrix

_FEW = 0.05  # of the eigenvalues; of a square untrained matrix in bfloat16 0.2 % are no larger than its rounding

_OWN_SPACING = ("", "float64", "float32", "bfloat16", "float16")

EPS = {name: torch.finfo(getattr(torch, name)).eps for name in _OWN_SPACING if name}
"""The relative spacing of the numbers that a dtype holds."""


def rounding_variance(dtype: str, mean_square: float) -> float:
    """The largest variance that storing adds to an entry; 0 for a dtype whose spacing is not known.

    Args:
        dtype: of the stored weights.
        mean_square: of the entries.

    >>> rounding_variance("bfloat16", 1.0) == 2.0**-14 / 12
    True
    """
    return EPS.get(dtype, 0.0) ** 2 / 12.0 * mean_square


def rounding_level_of(spectrum: Tensor, matrix: WeightMatrix, variance: float | None = None) -> float:
    """The size of an eigenvalue that storing the weights makes by itself.

    It is 0 unless half of the spectrum lies below it, and where all of the spectrum does.

    Args:
        spectrum: eigenvalues, ascending.
        matrix: whose they are.
        variance: of the rounding of an entry; by default what storing such weights makes.
    """
    edge = _rounding_edge(spectrum, matrix, variance)
    if edge > 0 and spectrum[-1] <= edge:  # all of it: a spectrum of noise
        return 0.0
    return edge if float(spectrum[(len(spectrum) - 1) // 2]) < edge else 0.0


def _rounding_edge(spectrum: Tensor, matrix: WeightMatrix, variance: float | None) -> float:
    """The largest eigenvalue that storing the weights makes by itself."""
    if variance is None:
        variance = rounding_variance(matrix.dtype, float(spectrum.mean()) / max(matrix.rows, matrix.cols))
    return MarchenkoPastur(matrix.rows, matrix.cols, variance).edges[1]


def lost_in_rounding(spectrum: Tensor, matrix: WeightMatrix, variance: float | None = None) -> str:
    """How many eigenvalues storing the weights could have made, in words; "" where they are few, or count as zero.

    Args:
        spectrum: eigenvalues, ascending.
        matrix: whose they are.
        variance: of the rounding of an entry; by default what storing such weights makes.
    """
    if spectrum[0] <= ZERO_SHARE * spectrum[-1] or rounding_level_of(spectrum, matrix, variance):
        return ""
    lost, dtype = int((spectrum <= _rounding_edge(spectrum, matrix, variance)).sum()), matrix.dtype
    words = f"{lost} of {len(spectrum)} eigenvalues are no larger than the rounding of"
    return f"{words} {dtype if variance is None else 'the stored weights'}" if lost >= _FEW * len(spectrum) else ""


def spacing_of_few_bits(dtype: str) -> float:
    """The relative spacing that weights of 8 bits and less have at least, that of bfloat16; 0 for other dtypes."""
    return 0.0 if dtype in _OWN_SPACING else torch.finfo(torch.bfloat16).eps


def stored_spacing(dtype: str) -> float:
    """The relative spacing of weights of 16 bits and less; else 0."""
    return (
        torch.finfo(torch.float16).eps
        if dtype == "float16"
        else spacing_of_few_bits(dtype) or (torch.finfo(torch.bfloat16).eps if dtype == "bfloat16" else 0.0)
    )
