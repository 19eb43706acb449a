"""Gram matrices, their eigenvalues and factors, by what is fastest at them.

That is SciPy on one thread of a CPU, and torch on other devices. On several threads it is torch again, but for small
eigenvalue problems: SciPy's library would be as fast, but its threads wait in a busy loop for tens of milliseconds,
and what torch does next has to share the cores with them.

Of a symmetric matrix only the lower half is computed, and only that is read.

Not here: where the eigenvalues of a Gram matrix are exact enough, which `eigen` and `blockwise` decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import blas, eigh, lapack
from threadpoolctl import ThreadpoolController
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.precision import as_tensor

FAST_IN_TORCH = 2048  # columns from which on torch's eigenvalues are a third faster; below, SciPy's are

_SMALL = 64  # rows up to which a call of SciPy costs more than it gains

_MANY_THREADS = 1024  # columns from which on more than one thread is faster

# The error of an eigenvalue from a float64 Gram matrix is a few units of rounding of the largest one: measured, at
# most 4e-15 λ_max up to 4096 columns of noise, and 1e-14 λ_max where nearly all eigenvalues are equal. Below
# GRAM_IS_EXACT_ABOVE of λ_max it would exceed 1e-6 of the eigenvalue itself; the singular values of W are
# computed instead.
GRAM_ERROR = 1e-14

GRAM_IS_EXACT_ABOVE = GRAM_ERROR / 1e-6

_Rows = Float[Tensor, "k m"] | NDArray[np.floating] | Iterable[Any]


def gram_matrix(rows: _Rows, block: int = 192) -> Float[Tensor, "k k"]:
    """Z Zᵀ, with each product below the diagonal computed once.

    A general matrix product does the same work twice, and torch offers no symmetric one; SciPy does.

    Args:
        rows: Z, one vector a row; or its columns in several parts, one after the other, so that a
            large Z need not be in memory in this dtype at once.
        block: rows at a time, where SciPy is not used: on several threads or another device, for other
            dtypes than float64, and for few rows. Any value gives the same result to rounding.

    Raises:
        SpectailError: there is no part, or one is no matrix.

    >>> gram_matrix([[[1.0], [2.0]], [[0.0], [3.0]]]).tolist()
    [[1.0, 2.0], [2.0, 13.0]]
    """
    lower = lower_gram(rows, block)
    return lower.add_(lower.tril(-1).T)


def lower_gram(rows: _Rows, block: int = 192) -> Float[Tensor, "k k"]:
    """The lower half of `gram_matrix`, with zeros above the diagonal."""
    gram: Tensor | None = None
    several = isinstance(rows, Iterable) and not isinstance(rows, Tensor | np.ndarray | str | dict)
    parts: Iterable[Any] = rows if several else [rows]
    for part in parts:
        part = as_tensor(part).detach()
        if part.ndim != 2:
            raise SpectailError(f"rows of Z, or a part of its columns, are a matrix, got shape {tuple(part.shape)}")
        gram = part.new_zeros(len(part), len(part)).T if gram is None else gram
        if _by_scipy(part) and part.numel():
            with blas_threads(len(part)):
                add_gram(gram.numpy(), part.numpy())
        else:
            for start in range(0, len(part), block):
                end = start + block
                gram[start:, start:end].addmm_(part[start:], part[start:end].T)
                gram[start:end, start:end].tril_()
    if gram is None:
        raise SpectailError("a Gram matrix needs at least one part")
    return gram


def add_gram(gram: NDArray[np.float64], part: NDArray[np.float64]) -> None:
    """Add Z Zᵀ to a column-major matrix, in place, at and below the diagonal."""
    assert gram.flags.f_contiguous, "the product would go to a copy"
    rows_are_contiguous = bool(part.flags.c_contiguous)
    blas.dsyrk(
        1.0, part.T if rows_are_contiguous else part, beta=1.0, c=gram, trans=rows_are_contiguous, lower=1,
        overwrite_c=1,
    )  # fmt: skip


def symmetric_eigenvalues(matrix: Float[Tensor, "k k"]) -> Float[Tensor, " k"]:
    """The eigenvalues of a symmetric float64 matrix, ascending, from its lower half."""
    small = len(matrix) < (FAST_IN_TORCH if torch.get_num_threads() == 1 else _MANY_THREADS)
    if matrix.device.type != "cpu" or len(matrix) <= _SMALL or not small:
        values: Tensor = torch.linalg.eigvalsh(matrix, UPLO="L")
        return values
    with blas_threads(len(matrix)):
        return torch.from_numpy(scipy_eigenvalues(matrix.numpy()))


def scipy_eigenvalues(matrix: NDArray[np.floating], *, overwrite: bool = False) -> NDArray[Any]:
    """`symmetric_eigenvalues` of an array, by SciPy in its dtype; `overwrite` lets it use up the array's memory."""
    if _SMALL < len(matrix) <= _MANY_THREADS and _needs_no_scaling(matrix):
        return _by_two_steps(matrix, overwrite)
    values: NDArray[Any] = eigh(
        matrix, lower=True, eigvals_only=True, overwrite_a=overwrite, check_finite=False, driver="evd"
    )
    return values


def _needs_no_scaling(matrix: NDArray[np.floating]) -> bool:
    """Whether nothing over- or underflows between the steps; else LAPACK scales the matrix first."""
    tiny = np.finfo(matrix.dtype)
    least = float(np.sqrt(tiny.smallest_normal / tiny.eps))
    return bool(2.0 * least < max(float(matrix.max()), -float(matrix.min())) < 0.5 / least)


def _by_two_steps(matrix: NDArray[np.floating], overwrite: bool) -> NDArray[Any]:
    """What LAPACK's `evd` does for eigenvalues alone, bit for bit, without an eighth of the time that SciPy adds."""
    kind = "d" if matrix.dtype == np.float64 else "s"
    reduce, space, solve = (getattr(lapack, kind + name) for name in ("sytrd", "sytrd_lwork", "sterf"))
    room, _ = space(len(matrix), lower=1)
    _, diagonal, beside, _, _ = reduce(matrix, lower=1, lwork=int(room), overwrite_a=overwrite)
    values, failed = solve(diagonal, beside)
    if failed:
        raise np.linalg.LinAlgError("the eigenvalues did not converge")
    return np.asarray(values)


def cholesky(matrix: Float[Tensor, "k k"]) -> Float[Tensor, "k k"] | None:
    """The lower factor L of a symmetric, finite float64 matrix L Lᵀ, from its lower half; None if it is not positive.

    What is above the diagonal of the factor is not defined.
    """
    if not _by_scipy(matrix):
        factor, failed = torch.linalg.cholesky_ex(matrix)
        return None if int(failed) else factor
    with blas_threads(len(matrix)):
        array, failed = lapack.dpotrf(matrix.numpy(), lower=1, clean=0)
    return None if failed else torch.from_numpy(array)


def symmetric_norm(matrix: Float[Tensor, "k k"]) -> Float[Tensor, ""]:
    """‖A‖_F of a symmetric matrix from its lower half, above which it holds zeros."""
    twice = 2 * torch.linalg.vector_norm(matrix).square()
    norm: Tensor = (twice - torch.linalg.vector_norm(matrix.diagonal()).square()).sqrt()
    return norm


def blas_threads(size: int) -> AbstractContextManager[object]:
    """As many as torch has, or one for a small matrix: others would gain nothing, and then wait in a busy loop."""
    threads = torch.get_num_threads() if size >= _MANY_THREADS else 1
    limited: AbstractContextManager[object] = _pools().limit(limits=threads, user_api="blas")
    return limited


def _by_scipy(matrix: Tensor) -> bool:
    exact = matrix.dtype == torch.float64 and matrix.device.type == "cpu"
    return exact and len(matrix) > _SMALL and torch.get_num_threads() == 1


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()
