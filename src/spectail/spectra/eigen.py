"""The door to eigenvalues of WᵀW: of one matrix, of a stack, with the top direction; and singular values.

Why they are exact: the float64 Gram matrix of the shorter side gives each eigenvalue to a few units of rounding of the
largest one. Where the smallest ones would drown in that, they come from the singular values of W instead. A stack is
computed in less memory by `blockwise` or on a GPU by `on_gpu`, and what is stored in 16 bits or less in less time by
`single_precision`; each answers None where it cannot, and then this file does it.

Not here: what a spectrum says.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.blockwise import batch_of_spectra, blockwise_eigenvalues, matrices_at_a_time
from spectail.spectra.gram import GRAM_IS_EXACT_ABOVE, cholesky, lower_gram, symmetric_eigenvalues
from spectail.spectra.on_gpu import gpu_eigenvalues
from spectail.spectra.precision import NOT_FINITE, float64, takes_arrays, takes_matrix
from spectail.spectra.single_precision import certified_eigenvalues


@takes_matrix
def eigenvalues(weights: Float[Tensor, "h d"]) -> Float[Tensor, " b"]:
    """All b = min(h, d) eigenvalues of WᵀW that can differ from zero, the squared singular values of W, ascending.

    They come from the float64 Gram matrix of the shorter side. Where the smallest ones would drown
    in its rounding, they come from float64 singular values instead, so that every eigenvalue above
    1e-10 of the largest is right to 1e-6 of itself.

    Args:
        weights: W, any floating dtype, on any device; an array or a list of rows will do.

    Returns:
        float64, squared units of the weights, on the device of W (on the CPU for a device
        without float64).

    Raises:
        SpectailError: W is no matrix, is empty, or holds NaN, inf, or numbers whose squares are.

    Source: paper §3.2, the empirical spectral density (ESD).

    >>> eigenvalues([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).tolist()
    [1.0, 9.0]
    """
    matrix, scale = _scaled_float64(weights)
    return _eigenvalues(matrix, symmetric_eigenvalues(_short_gram(matrix))) * scale**2


@takes_matrix
def singular_values(weights: Float[Tensor, "h d"]) -> Float[Tensor, " b"]:
    """All b = min(h, d) singular values of W, ascending: the square roots of its `eigenvalues`.

    Args:
        weights: W, any floating dtype, on any device; an array or a list of rows will do.

    Returns:
        float64, units of the weights; each above 1e-5 of the largest is right to 1e-6 of itself.

    Raises:
        SpectailError: as `eigenvalues`.

    >>> singular_values([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).tolist()
    [1.0, 3.0]
    """
    matrix, scale = _scaled_float64(weights)
    return _eigenvalues(matrix, symmetric_eigenvalues(_short_gram(matrix))).sqrt() * scale


@takes_matrix
def eigenvalues_and_top_direction(
    weights: Float[Tensor, "h d"],
) -> tuple[Float[Tensor, " b"], Float[Tensor, " d"]]:
    """The eigenvalues of WᵀW, and the unit eigenvector v₁ of the largest.

    v₁ is the first principal component of W: the direction in input space that a spike points to.
    It is found by inverse iteration on the Gram matrix that the eigenvalues came from, which costs
    one Cholesky factorisation instead of all eigenvectors.

    Args:
        weights: W, any floating dtype, on any device; an array or a list of rows will do.

    Returns:
        the eigenvalues as `eigenvalues` gives them, and v₁ in float64, sign arbitrary.

    Raises:
        SpectailError: as `eigenvalues`.

    Source: paper §3.2, sim(W, β*) (where it is written u₁).

    >>> spectrum, direction = eigenvalues_and_top_direction([[0.0, 0.0, 3.0], [1.0, 0.0, 0.0]])
    >>> [round(abs(x), 9) for x in direction.tolist()]
    [0.0, 0.0, 1.0]
    """
    matrix, scale = _scaled_float64(weights)
    gram = _short_gram(matrix)
    values = symmetric_eigenvalues(gram)
    vector = _top_eigenvector(gram, values[-1])
    if matrix.shape[0] < matrix.shape[1] and values[-1] > 0:
        vector = matrix.T @ vector
        vector /= vector.norm()
    elif matrix.shape[0] < matrix.shape[1]:
        vector = matrix.new_full((matrix.shape[1],), matrix.shape[1] ** -0.5)
    return _eigenvalues(matrix, values) * scale**2, vector


@takes_arrays
def eigenvalues_of_slices(matrices: Float[Tensor, "s h d"], *, eps: float = 0.0) -> Float[Tensor, "s b"]:
    """The eigenvalues of WᵀW of several matrices of one shape, each ascending, as sharp as their dtype.

    In little more memory than one float64 Gram matrix; in fewer calls, where the matrices are small; in float32 where
    W is stored in 16 bits or less and a certificate shows that this loses less than storage has lost.

    Args:
        matrices: W, one after the other, any floating dtype, on any device.
        eps: the relative spacing of the values as they were stored, where that is more than their dtype has, as of
            weights that were quantised.

    Returns:
        float64, squared units of the weights. Each above 1e-10 of its matrix's largest is right to 1e-6 of itself; or,
        where the rounding of W to its dtype leaves it less certain than that, to that rounding.

    Raises:
        SpectailError: there is none, or one is no matrix, is empty, or holds NaN, inf, or numbers whose squares are.

    >>> eigenvalues_of_slices([[[3.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [2.0, 0.0]]]).tolist()
    [[1.0, 9.0], [4.0, 4.0]]
    """
    if matrices.ndim != 3 or not len(matrices):
        raise SpectailError(f"expected one matrix or more of one shape, got shape {tuple(matrices.shape)}")
    spectra = []
    for batch in torch.split(matrices, matrices_at_a_time(matrices)):
        together = batch_of_spectra(batch)
        spectra.append(torch.stack([_of_one_slice(matrix, eps) for matrix in batch]) if together is None else together)
    return torch.cat(spectra)


def _of_one_slice(matrix: Tensor, eps: float) -> Tensor:
    values = None
    if matrix.element_size() <= 2 or (eps > 0.0 and matrix.dtype == torch.float32):
        values = certified_eigenvalues(matrix, max(eps, torch.finfo(matrix.dtype).eps))
    if values is None:
        values = gpu_eigenvalues(matrix) if matrix.device.type == "cuda" else blockwise_eigenvalues(matrix)
    return eigenvalues(matrix) if values is None else values


def _scaled_float64(weights: Tensor) -> tuple[Tensor, float]:
    """W in float64 over a power of two, and that power: 1, but near the largest entry where that is huge or tiny."""
    matrix = float64(weights)
    largest = float(matrix.abs().max())
    if not largest < float("inf"):
        raise SpectailError(NOT_FINITE)
    if largest > 1e150:
        raise SpectailError(f"weights of {largest:.0e} have eigenvalues beyond the range of float64")
    if 1e-50 < largest < 1e50 or largest == 0.0:  # else inverse iteration would leave the range of floats
        return matrix, 1.0
    scale = 2.0 ** int(torch.tensor(largest, dtype=torch.float64).log2().floor())
    return matrix / scale, scale


def _short_gram(matrix: Tensor) -> Tensor:
    """The lower half of the Gram matrix of the shorter side."""
    return lower_gram(matrix if matrix.shape[0] < matrix.shape[1] else matrix.T)


def _eigenvalues(matrix: Tensor, from_gram: Tensor) -> Tensor:
    """The Gram matrix's eigenvalues where they are exact enough, else squared singular values."""
    if from_gram[-1] > 0 and from_gram[0] < GRAM_IS_EXACT_ABOVE * from_gram[-1]:
        singular: Tensor = torch.linalg.svdvals(matrix)
        return singular.flip(0).square_()
    return from_gram.clamp_min(0.0)


def _top_eigenvector(gram: Tensor, top: Tensor) -> Tensor:
    """Unit eigenvector of the largest eigenvalue of a symmetric matrix, by three inverse iterations."""
    size = gram.shape[0]
    # irregular, so that no eigenvector of any structure is orthogonal to it
    start = torch.arange(1, size + 1, dtype=gram.dtype, device=gram.device).sin_().add_(2.0)
    if top <= 0:
        unit: Tensor = start / start.norm()
        return unit
    vector: Tensor = start[:, None]
    factor = _factor_above(gram, top)
    for _ in range(3):
        vector = torch.cholesky_solve(vector, factor)
        vector = vector / vector.norm()
    return vector[:, 0]


def _factor_above(gram: Tensor, top: Tensor) -> Tensor:
    """The Cholesky factor of sI − G, with s as little above the largest eigenvalue as rounding allows."""
    for exponent in range(-13, 2):
        shifted = gram.neg()
        shifted.diagonal().add_(top * (1 + 10.0**exponent))
        factor = cholesky(shifted)
        del shifted
        if factor is not None:
            return factor
    raise ArithmeticError(f"{float(top):g} is not the largest eigenvalue of the matrix")
