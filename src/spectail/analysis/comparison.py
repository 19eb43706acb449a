"""What changed between two models: the difference of each matrix, of its directions and of its spectrum.

Not here: how a row is made (`row`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, svds
from torch import Tensor

from spectail.analysis.pooling import SLICE_FACTOR, pooled_eigenvalues
from spectail.analysis.spacing import rounding_variance
from spectail.errors import SpectailError
from spectail.spectra.distances import spectral_distances
from spectail.spectra.gram import blas_threads
from spectail.spectra.intruders import strongest_vectors
from spectail.spectra.low_rank import vectors_of_kronecker, vectors_of_product
from spectail.spectra.overlap_nulls import leading_overlap_null
from spectail.spectra.overlaps import (
    SingularVectors,
    leading_count,
    leading_overlap,
    rounding_level,
    squared_overlaps,
)
from spectail.weights.matrix import Factors, Skipped, WeightMatrix, Weights, read_once

Pair = tuple[WeightMatrix, WeightMatrix]

_SMALL = 32  # the shorter side up to which all singular vectors are computed


def pair_up(before: Weights, after: Weights) -> tuple[Weights, dict[str, Pair]]:
    """The matrices W_after − W_before of two models, read when asked for.

    Args:
        before: one model.
        after: the other.

    Returns:
        the differences of the matrices that both have, by name and shape; the rest is listed as skipped.
        And by name, the two matrices behind each difference.
    """
    late = {matrix.name: matrix for matrix in read_once(after.matrices)}
    matrices, pairs = [], {}
    skipped = {one.name: one for one in (*after.skipped, *before.skipped)}
    for matrix in read_once(before.matrices):
        partner = late.pop(matrix.name, None)
        if partner is None:
            skipped[matrix.name] = Skipped(matrix.name, _shape(matrix), "only in the model before")
        elif _shape(partner) != _shape(matrix):
            reason = f"its shape is {_shape(partner)} in the model after"
            skipped[matrix.name] = Skipped(matrix.name, _shape(matrix), reason)
        else:
            pairs[matrix.name] = (matrix, partner)
            change, rank = _Change(matrix, partner), matrix.rank + partner.rank
            known = matrix.factors is not None and partner.factors is not None and rank < min(matrix.rows, matrix.cols)
            matrices.append(replace(matrix.with_values(change), rank=rank, factors=change.factors if known else None))
    for name, matrix in late.items():
        skipped[name] = Skipped(name, _shape(matrix), "only in the model after")
    title = f"{before.title} → {after.title}"
    return Weights(title, tuple(matrices), tuple(skipped.values())), pairs


@dataclass(frozen=True)
class _Change:
    """Reads W_after − W_before in float64, where fp16 weights of nearly equal size differ exactly."""

    before: WeightMatrix
    after: WeightMatrix

    def __call__(self) -> Tensor:
        change = self.after.load().detach().to("cpu", torch.float64, copy=True)
        change -= self.before.load().detach().cpu()
        return change

    def factors(self) -> Factors:
        """Factors of the change of a product, B′A′ − BA, which is a product of twice the rank."""
        assert self.before.factors is not None
        assert self.after.factors is not None
        old, new = self.before.factors(), self.after.factors()
        if old.left.shape != new.left.shape:
            return Factors(torch.cat([new.left, -old.left], 1), torch.cat([new.right, old.right]))
        # (B′ − B)A′ + B(A′ − A): exact where little changes, or nothing
        return Factors(torch.cat([new.left - old.left, old.left], 1), torch.cat([new.right, new.right - old.right]))


def rounding_of_change(before: WeightMatrix, after: WeightMatrix) -> float | None:
    """The variance that the rounding of two stored matrices leaves in their difference.

    Args:
        before: one matrix, or the slices of a kernel.
        after: another of the same shape.

    Returns:
        the larger of both, times `SLICE_FACTOR` for slices of a kernel; None where the matrices are known by their
        factors, or hold NaN.
    """
    if before.factors is not None or after.factors is not None:
        return None
    factor = SLICE_FACTOR if before.slices > 1 else 1.0
    squares = [float(one.load().detach().float().square().mean()) for one in (before, after)]
    variances = [rounding_variance(one.dtype, x) for one, x in zip((before, after), squares, strict=True)]
    return factor * max(variances) if all(map(math.isfinite, variances)) else None


def direction_overlaps(before: WeightMatrix, after: WeightMatrix, *, top: bool = True) -> dict[str, float]:
    """How far the strongest directions of a matrix turned, over slices averaged.

    The squared cosine between the strongest singular vectors, and how much the spans of the leading k share, which
    does not change where two of these change places. Both are 1 where nothing turned; their nulls, for directions that
    turned to independent ones of n dimensions, are 1/n and k/n.

    Args:
        before: one matrix, or the slices of a kernel.
        after: another of the same shape.
        top: whether to look at the strongest direction by itself, which takes as long again.

    Returns:
        `top_overlap_…` and `leading_overlap_…` of both sides with their nulls; NaN where a slice is zero, or holds NaN
        or inf.
    """
    sides = {"left": before.rows, "right": before.cols}
    overlaps: dict[str, list[tuple[float, int]]] = {}  # by the name of the quantity, of each slice; of how many
    old_ones = list(_directions(before, top))
    for old, new in zip(old_ones, old_ones if after is before else _directions(after, top), strict=True):
        for place, side in enumerate(sides):
            of_top, leading = math.nan, (math.nan, 0)
            if old and new:
                of_top = float(old.top[place] @ new.top[place]) ** 2 if old.top and new.top else math.nan
                squares = squared_overlaps(getattr(old.leading, side), getattr(new.leading, side))
                k = min(squares.shape)
                leading = float(leading_overlap(squares, k)), k
            overlaps.setdefault(f"top_overlap_{side}", []).append((of_top, 1))
            overlaps.setdefault(f"leading_overlap_{side}", []).append(leading)
    row: dict[str, float] = {}
    for name, of_slices in overlaps.items():
        values, counts = zip(*of_slices, strict=True)
        nulls = [leading_overlap_null(sides[name.rpartition("_")[2]], k) for k in counts if k]
        known = len(nulls) == len(counts)
        spread = math.sqrt(sum(null.spread**2 for null in nulls)) / len(counts)
        row[name] = sum(values) / len(values)
        row[f"null_{name}"] = float(np.mean([null.mean for null in nulls])) if known else math.nan
        row[f"null_spread_{name}"] = spread if known else math.nan
    return row


def update_overlaps(before: WeightMatrix, change: WeightMatrix) -> dict[str, float]:
    """How far the leading directions of an update are those of the weights that it was made to.

    Args:
        before: one matrix, or the slices of a kernel.
        change: what was added to it.

    Returns:
        `update_overlap_left` and `update_overlap_right` with their nulls, as `direction_overlaps` has them; NaN where
        nothing changed.
    """
    both = direction_overlaps(before, change, top=False)
    return {name.replace("leading", "update"): value for name, value in both.items() if "leading" in name}


def spectral_moves(before: WeightMatrix, after: WeightMatrix) -> dict[str, float]:
    """How far the spectrum of a matrix moved: W₁ and Jensen–Shannon distance, each also of the shape alone.

    Args:
        before: one matrix, or the slices of a kernel.
        after: another of the same shape.

    Returns:
        NaN where one of the two has no spectrum.
    """
    names = ("wasserstein", "wasserstein_shape", "jensen_shannon", "jensen_shannon_shape")
    try:
        spectrum = pooled_eigenvalues(before)
        distances = spectral_distances(spectrum, spectrum if after is before else pooled_eigenvalues(after))
    except SpectailError:  # NaN among the weights, as the row says
        return dict.fromkeys(names, math.nan)
    return {name: getattr(distances, name) for name in names}


class _Directions(NamedTuple):
    """The strongest directions of a matrix: the first of both sides, if it was asked for, and the leading ones."""

    top: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    leading: SingularVectors


def _directions(matrix: WeightMatrix, with_top: bool) -> Iterator[_Directions | None]:
    """The strongest directions of each slice; None for a slice without any."""
    if matrix.factors is not None:
        factors = matrix.factors()
        of = vectors_of_kronecker if factors.kronecker else vectors_of_product
        leading = of(factors.left, factors.right, leading_count(min(matrix.rows, matrix.cols)))
        tops = (leading.left[:, 0].numpy(), leading.right[:, 0].numpy()) if leading.left.shape[1] else None
        yield _Directions(tops, leading) if tops else None
        return
    for weights in matrix.load():
        if not with_top:
            yield _Directions(None, _leading_vectors(weights)) if _has_directions(weights) else None
            continue
        top = _top_vectors(weights)
        yield _Directions(top, _leading_vectors(weights)) if top else None


def _has_directions(weights: Tensor) -> bool:
    """Whether a matrix is finite, and not zero."""
    return bool(weights.isfinite().all()) and bool(weights.any())


def _top_vectors(weights: Float[Tensor, "rows cols"]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The strongest pair of singular vectors, to the bits of the first edition; None for a matrix that has none."""
    matrix = weights.detach().to("cpu", torch.float64).numpy()
    if not np.isfinite(matrix).all() or not matrix.any():
        return None
    if min(matrix.shape) <= _SMALL:
        u, _, vh = np.linalg.svd(matrix, full_matrices=False)
        return u[:, 0], vh[0]
    start = 2.0 + np.sin(np.arange(1, min(matrix.shape) + 1))  # orthogonal to no vector of any structure
    try:
        with blas_threads(min(matrix.shape)):
            u, _, vh = svds(matrix, k=1, v0=start)
    except ArpackError:  # no convergence: two directions are equally strong
        return None
    return u[:, 0], vh[0]


def _leading_vectors(weights: Float[Tensor, "rows cols"]) -> SingularVectors:
    """The leading pairs of singular vectors of a matrix that is not zero, without those that are rounding."""
    values = weights.detach().cpu()
    largest = float(values.abs().max())
    matrix = values.double() / largest
    vectors = strongest_vectors(matrix, leading_count(min(matrix.shape)))
    strengths = (matrix @ vectors.right).norm(dim=0)
    rank = max(int((strengths > rounding_level(values) / largest).sum()), 1)
    return SingularVectors(vectors.left[:, :rank], vectors.right[:, :rank], rank)


def _shape(matrix: WeightMatrix) -> tuple[int, ...]:
    each = (matrix.rows, matrix.cols)
    return each if matrix.slices == 1 else (matrix.slices, *each)
