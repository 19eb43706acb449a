"""How far apart the numbers lie that weights are stored in, and what of a spectrum is their rounding.

Not here: the rounding of what is computed with them (spectra/precision).
"""

from __future__ import annotations

import torch
from torch import Tensor

from spectail.spectra.bulk import MarchenkoPastur
from spectail.weights.matrix import WeightMatrix

_OWN_SPACING = ("", "float64", "float32", "bfloat16", "float16")

EPS = {name: torch.finfo(getattr(torch, name)).eps for name in _OWN_SPACING if name}
"""The relative spacing of the numbers that a dtype holds."""


def rounding_level_of(spectrum: Tensor, matrix: WeightMatrix) -> float:
    """The size of an eigenvalue that storing the weights makes by itself; 0 unless half of the spectrum lies below it.

    Args:
        spectrum: eigenvalues, ascending.
        matrix: whose they are.
    """
    eps = EPS.get(matrix.dtype, 0.0)
    entry = float(spectrum.mean()) / max(matrix.rows, matrix.cols)  # mean square of one
    edge = eps**2 / 12.0 * MarchenkoPastur(matrix.rows, matrix.cols, entry).edges[1]
    return edge if float(spectrum[(len(spectrum) - 1) // 2]) < edge else 0.0


def spacing_of_few_bits(stored: str) -> float:
    """The relative spacing of weights of 8 bits and less, however they are read: at least that of 16; else 0."""
    return 0.0 if stored in _OWN_SPACING else torch.finfo(torch.bfloat16).eps


def stored_spacing(stored: str) -> float:
    """The relative spacing of weights of 16 bits and less; else 0."""
    return (
        torch.finfo(torch.float16).eps
        if stored == "float16"
        else spacing_of_few_bits(stored) or (torch.finfo(torch.bfloat16).eps if stored == "bfloat16" else 0.0)
    )
