"""Eigenvalues of WᵀW in float32, where that loses less than the rounding of W to its dtype has lost; else None.

And of matrices that are themselves drawn or scaled, where no more is asked for than a sharp upper half.

Not here: what is done instead, which `eigen` decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import blas, cho_solve_banded, cholesky_banded, eig_banded
from torch import Tensor

from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.gram import FAST_IN_TORCH, blas_threads, scipy_eigenvalues

# How far float32 moves an eigenvalue, as a share of the root mean square of all. Measured, at most 0.35 of this over
# noise, heavy tails, spikes, power laws and graded spectra (which depends on the processor: 0.25 on others), and four
# fifths where half of the eigenvalues are zero, for which there is no certificate. What is certified is right to a
# sixth of what storage leaves, or better.
FLOAT32_ERROR = 16 * 2.0**-23

# Up to this share of all eigenvalues, small ones are refined; more of them, and float64 costs less.
_REFINED_SHARE = 1 / 16

_WORTH_IT = 1024  # the shorter side from which on float32 is faster

_BAND = 48  # the width at which both stages together cost least

_BLOCK = 512  # rows of W, and columns of a Gram matrix, at a time

_FEW = 128  # rows of W at a time in float64

_ITERATIONS = 6  # of inverse iteration, on the band

_SMALL = 64  # the shorter side up to which slices are solved in one call

_SHARP = 1e-4  # of the median: far below the null spread of any statistic of the upper half

_NEGLIGIBLE = 1e-16  # of λ_max: 1e-6 of an eigenvalue that counts for nothing


def certified_eigenvalues(weights: Float[Tensor, "h d"], eps: float) -> Float[Tensor, " b"] | None:
    """The eigenvalues of WᵀW, each right to what the rounding of W to its storage leaves of it.

    Rounding with relative spacing ε leaves an eigenvalue σ² open by ε·rms·σ (`storage_error`). Against that stand:

    1. The Gram matrix G of the shorter side. Products of 16-bit weights are exact in float32; sums are rounded.
    2. Its reduction by Householder reflections, in float32, to a band and not at once to three diagonals, so that
       nearly all of it is matrix products. Reflections are backward stable: the band has the eigenvalues of G + ΔG,
       with ‖ΔG‖_F a small multiple of float32's rounding of ‖G‖_F.
    3. The eigenvalues of the band, in float64. (The float32 iteration for these would lose a hundred times more.)

    Roundings are of independent sign, so that one direction in b feels ‖ΔG‖_F/√b: what moves an eigenvalue is a small
    multiple of the root mean square ‖G‖_F/√b of all; `FLOAT32_ERROR` is that multiple. Eigenvalues whose storage error
    exceeds it are certified. The few smallest that are not are computed from W in float64, by Rayleigh–Ritz on the
    directions that inverse iteration on the band finds, with bounds of their own: with Ritz values Θ on a basis X,
    R = WᵀWX − XΘ, and γ below all that is orthogonal to X, the smallest eigenvalues lie between those of
    Θ − RᵀR/(γ − θ) and Θ. (For γ stands the middle between θ and the next in the float32 spectrum.)

    Args:
        weights: W, any floating dtype of at most 32 bits, on the CPU.
        eps: the relative spacing of the values that W was rounded to, such as `torch.finfo(torch.bfloat16).eps`.

    Returns:
        float64, ascending, squared units of the weights; None where there is no such certificate: for a spectrum with
        many small ones, and where W is small, is not on the CPU, is all zero, or holds NaN or inf, or where float32
        products are set to be rounded further.
    """
    matrix = weights.detach()
    exact_products = torch.get_float32_matmul_precision() == "highest"
    if matrix.device.type != "cpu" or min(matrix.shape) < _WORTH_IT or not exact_products:
        return None
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    largest = float(torch.stack(torch.aminmax(matrix)).abs().max())
    if not 0.0 < largest < math.inf:
        return None
    scale = 2.0 ** math.floor(math.log2(largest))
    with blas_threads(1):  # solving a band gains nothing from more
        gram = _lower_gram(matrix, scale)
        size = len(gram)
        rows, cols = matrix.shape
        law = MarchenkoPastur(rows, cols, float(gram.diagonal().sum(dtype=torch.float64)) / matrix.numel())
        error = FLOAT32_ERROR * _root_mean_square(gram)
        certified_above = (error / eps) ** 2 / law.variance
        if certified_above > float(law.quantile(torch.tensor(2 * _REFINED_SHARE))):  # of noise; others have more below
            return None
        reduction = _Reduction.of(gram)
        values = reduction.eigenvalues()
        small = int((values < certified_above).sum())
        if small > _REFINED_SHARE * size:
            return None
        if small:
            directions = reduction.smallest_directions(small + small // 2 + 8, 2 * error)
            smallest = _ritz_values(matrix, scale, directions, small, values, eps)
            if smallest is None:
                return None
            values[:small] = smallest
    return torch.from_numpy(np.maximum(values, 0.0)) * scale**2


def float32_eigenvalues(slices: Float[Tensor, "s h d"]) -> Float[Tensor, "s b"] | None:
    """The eigenvalues of WᵀW of several matrices, all computed in float32, in half of the time of float64.

    Args:
        slices: W, one after the other, of float32, on any device; their squares must not overflow.

    Returns:
        float64, each ascending, right to 1e-4 of the median of all, and 1e-5 of itself; None where small ones would be
        further off, or where float32 products are set to be rounded further.
    """
    if torch.get_float32_matmul_precision() != "highest":
        return None
    short = slices if slices.shape[1] <= slices.shape[2] else slices.mT
    if slices.device.type != "cpu" or short.shape[1] <= _SMALL:
        spectra = torch.linalg.eigvalsh(short @ short.mT)
    else:
        with blas_threads(short.shape[1]):
            spectra = torch.stack([_from_float32_gram(one) for one in short])
    spectra = spectra.double().clamp_min_(0.0)
    error = FLOAT32_ERROR * spectra.square().mean(1).sqrt().amax()
    return spectra if bool(error <= _SHARP * spectra.median()) else None


def _from_float32_gram(short: Tensor) -> Tensor:
    """Eigenvalues of the Gram matrix of the rows."""
    rows = short.numpy()
    contiguous = bool(rows.flags.c_contiguous)
    gram = blas.ssyrk(1.0, rows.T if contiguous else rows, trans=contiguous, lower=1)
    if len(gram) < FAST_IN_TORCH:
        return torch.from_numpy(scipy_eigenvalues(gram, overwrite=True))
    values: Tensor = torch.linalg.eigvalsh(torch.from_numpy(gram), UPLO="L")
    return values


def storage_error(eigenvalue: float, eps: float, variance: float) -> float:
    """How far an eigenvalue σ² moves when the entries of W are rounded with relative spacing ε: ε·rms·σ.

    Rounding moves an entry by ε/2 of itself at most, and σ by about ε/2 of their root mean square, as roundings of
    independent sign average out over the two directions of σ.

    Args:
        eigenvalue: σ².
        eps: ε.
        variance: the mean square of the entries.
    """
    return eps * math.sqrt(variance * max(eigenvalue, 0.0))


def _parts(matrix: Tensor, scale: float, rows: int = _BLOCK) -> Iterator[Tensor]:
    """W over a power of two, in float32, a few rows at a time, so that no square of an entry overflows."""
    for part in torch.split(matrix, rows):
        yield part.to(torch.float32, copy=True).div_(scale)


def _lower_gram(matrix: Tensor, scale: float) -> Tensor:
    """WᵀW in float32, valid below the diagonal and in the blocks along it."""
    size = matrix.shape[1]
    gram = np.zeros((size, size), np.float32, order="F")
    with blas_threads(size):
        for part in _parts(matrix, scale):
            columns = part if part.is_contiguous() else part.contiguous()
            blas.ssyrk(1.0, columns.numpy().T, beta=1.0, c=gram, lower=1, overwrite_c=1)
    lower = torch.from_numpy(gram)
    for a, b in _blocks(0, size):
        lower[a:b, a:b] += lower[a:b, a:b].tril(-1).T
    return lower


def _root_mean_square(gram: Tensor) -> float:
    """‖G‖_F/√b, that of its eigenvalues."""
    squares = 0.0
    for a, b in _blocks(0, len(gram)):
        squares += float(gram[a:b, a:b].norm()) ** 2 + 2 * float(gram[b:, a:b].norm()) ** 2
    return math.sqrt(squares / len(gram))


def _blocks(first: int, size: int) -> list[tuple[int, int]]:
    """Where each block of columns begins and ends; all but the first begin at multiples of `_BLOCK`."""
    return list(pairwise([first, *range((first // _BLOCK + 1) * _BLOCK, size, _BLOCK), size]))


@dataclass(frozen=True)
class _Reduction:
    """A band matrix B = QᵀGQ.

    Attributes:
        band: the diagonals of B, the main one first.
        reflections: where Q is kept, below the band.
        inverses: T⁻¹ of each panel.
    """

    band: NDArray[np.float64] = field(repr=False)
    reflections: Tensor = field(repr=False)
    inverses: list[Tensor] = field(repr=False)

    @classmethod
    def of(cls, gram: Tensor) -> _Reduction:
        """Of the lower half of G, which is used up.

        Panel by panel, the columns below the band are made triangular by a block of reflections I − VTVᵀ, which then
        goes over the rest from both sides: A − VYᵀ − YVᵀ with Y = P − ½V(TᵀVᵀP), P = AVT (Dongarra, Sorensen &
        Hammarling 1989).
        """
        size = len(gram)
        inverses = []
        for start in _panels(size):
            first = start + _BAND
            panel = gram[first:, start:first]
            factors, scales = torch.geqrf(panel)
            panel.copy_(factors)
            v = _reflections(panel)
            inverses.append(_inverse(v, scales))
            vt = torch.linalg.solve_triangular(inverses[-1], v.double(), upper=True, left=False).float()
            blocks = _blocks(first, size)
            product = torch.zeros_like(v)
            for a, b in blocks:  # only what is at and below the diagonal is read
                product[a - first :].addmm_(gram[a:, a:b], vt[a - first : b - first])
                product[a - first : b - first].addmm_(gram[b:, a:b].T, vt[b - first :])
            product -= v @ ((vt.T @ product) / 2)
            left, right = torch.cat([v, product], 1), torch.cat([product, v], 1)
            for a, b in blocks:
                gram[a:, a:b].addmm_(left[a - first :], right[a - first : b - first].T, alpha=-1)
        band = np.zeros((_BAND + 1, size))
        for below in range(_BAND + 1):
            band[below, : size - below] = gram.diagonal(-below).numpy()
        return cls(band, gram, inverses)

    def eigenvalues(self) -> NDArray[np.float64]:
        """All of B, ascending."""
        values: NDArray[np.float64] = eig_banded(self.band, lower=True, eigvals_only=True, check_finite=False)
        return values

    def smallest_directions(self, count: int, shift: float) -> Tensor:
        """An orthonormal basis that nearly spans the eigenvectors of the smallest eigenvalues of G.

        Args:
            count: how many.
            shift: makes B positive in spite of rounding.
        """
        shifted = self.band.copy()
        shifted[0] += shift
        factor = cholesky_banded(shifted, lower=True, overwrite_ab=True, check_finite=False)
        block = np.random.default_rng(0).standard_normal((len(self.reflections), count))
        for _ in range(_ITERATIONS):
            block = cho_solve_banded((factor, True), block, overwrite_b=True, check_finite=False)
            block = torch.linalg.qr(torch.from_numpy(block))[0].numpy()
        directions = torch.from_numpy(block).float()
        for start, inverse in reversed(list(zip(_panels(len(block)), self.inverses, strict=True))):
            first = start + _BAND
            v = _reflections(self.reflections[first:, start:first])
            rest = directions[first:]
            rest -= v @ torch.linalg.solve_triangular(inverse, (v.T @ rest).double(), upper=True).float()
        basis: Tensor = torch.linalg.qr(directions.double()).Q
        return basis


def _panels(size: int) -> range:
    """Where each panel begins."""
    return range(0, size - _BAND - 1, _BAND)


def _reflections(panel: Tensor) -> Tensor:
    """V of a block of reflections, from how a QR factorisation keeps it."""
    v = panel[:, : min(panel.shape)].tril(-1)
    v.diagonal().fill_(1.0)
    return v


def _inverse(v: Tensor, scales: Tensor) -> Tensor:
    """T⁻¹ of a block of reflections: the upper half of VᵀV with half its diagonal (Puglisi 1992).

    In float64, so that I − VTVᵀ is orthogonal. A reflection that is none has a T of next to nothing.
    """
    exact = v.double()
    inverse = (exact.T @ exact).triu()
    inverse.diagonal().copy_(torch.where(scales != 0, inverse.diagonal() / 2, 1e300))
    return inverse


def _ritz_values(
    matrix: Tensor, scale: float, basis: Tensor, count: int, values: NDArray[np.float64], eps: float
) -> NDArray[np.float64] | None:
    """The smallest eigenvalues, ascending; None where their bounds leave more open than storage.

    Args:
        matrix: W, no wider than tall.
        scale: what it is divided by.
        basis: orthonormal, near the directions that are sought, and some further ones.
        count: how many are sought.
        values: all eigenvalues, as float32 has them.
        eps: the relative spacing of W.
    """
    inner = (count + basis.shape[1]) // 2  # with these further ones all that are sought have converged
    images = [part.double() @ basis for part in _parts(matrix, scale, _FEW)]
    ritz, turns = torch.linalg.eigh(sum(image.T @ image for image in images))
    ritz, turns = ritz[:inner], turns[:, :inner]
    residual = -(basis @ turns) * ritz
    for part, image in zip(_parts(matrix, scale, _FEW), images, strict=True):
        residual.addmm_(part.double().T, image @ turns)
    gap = (values[inner] - float(ritz[count - 1])) / 2
    if gap <= 0:
        return None
    lowest = torch.linalg.eigvalsh(ritz.diag() - residual.T @ residual / gap)
    variance = float(values.sum()) / matrix.numel()
    smallest: NDArray[np.float64] = ritz[:count].numpy()
    left_open = [storage_error(value, eps, variance) + _NEGLIGIBLE * float(values[-1]) for value in smallest]
    return smallest if bool((ritz[:count] - lowest[:count] <= torch.tensor(left_open)).all()) else None
