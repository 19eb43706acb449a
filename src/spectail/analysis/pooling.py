"""The eigenvalues of a matrix, those of several slices pooled.

Not here: what they say (`row`).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from spectail.analysis.spacing import spacing_of_few_bits
from spectail.spectra.eigen import eigenvalues_of_slices
from spectail.spectra.low_rank import eigenvalues_of_kronecker, eigenvalues_of_product
from spectail.weights.matrix import WeightMatrix

SLICE_FACTOR = 0.5
"""On the eigenvalues of kernel slices: the convention that the paper's program inherits. No exponent feels it."""


def slice_spectra(matrix: WeightMatrix) -> Float[Tensor, "s b"]:
    """Eigenvalues of WᵀW of every slice of a matrix, each ascending.

    Args:
        matrix: what to read; its parameter is not changed.

    Returns:
        float64, on the device of the weights; those of several slices times `SLICE_FACTOR`. One spectrum, of as many
        as its rank, where a matrix is known by its factors.

    Raises:
        ValueError: a weight is NaN or inf.

    Source: paper §3.2; Zhou et al. (2023) for kernel slices.
    """
    if matrix.factors is not None:
        factors = matrix.factors()
        of = eigenvalues_of_kronecker if factors.kronecker else eigenvalues_of_product
        return of(factors.left, factors.right)[None]
    slices = matrix.load().detach()
    if len(slices) == 1:
        return eigenvalues_of_slices(slices, eps=spacing_of_few_bits(matrix.dtype))
    # a slice of a kernel lies scattered over all of it
    return eigenvalues_of_slices(slices.contiguous(), eps=spacing_of_few_bits(matrix.dtype)) * SLICE_FACTOR


def pooled_eigenvalues(matrix: WeightMatrix) -> Float[Tensor, " k"]:
    """The eigenvalues of `slice_spectra`, pooled, ascending: slices · min(rows, cols) values.

    Args:
        matrix: what to read.
    """
    return pooled(slice_spectra(matrix))


def pooled(spectra: Tensor) -> Tensor:
    return spectra[0] if len(spectra) == 1 else spectra.flatten().sort().values
