"""The spectrum of one matrix of a model, or of all slices of one kernel."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from spectail.networks.matrices import WeightMatrix
from spectail.spectra.lean import lean_spectra

SLICE_FACTOR = 0.5
"""On the eigenvalues of kernel slices: the convention that the paper's program inherits. No exponent feels it."""


def pooled_eigenvalues(matrix: WeightMatrix) -> Float[Tensor, " k"]:
    """Eigenvalues of WᵀW of every slice of a matrix, pooled, ascending.

    Args:
        matrix: what to read; its parameter is not changed.

    Returns:
        float64, slices · min(rows, cols) values, on the device of the weights; those of several slices
        times `SLICE_FACTOR`.

    Raises:
        ValueError: a weight is NaN or inf.

    Source: paper §3.2; Zhou et al. (2023) for kernel slices.
    """
    slices = matrix.load().detach()
    if len(slices) == 1:
        return lean_spectra(slices)[0]
    spectra = lean_spectra(slices.contiguous())  # a slice of a kernel lies scattered over all of it
    pooled: Tensor = spectra.flatten().sort().values
    return pooled * SLICE_FACTOR
