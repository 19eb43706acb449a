"""The law of log λ of matrices with few columns, which are too far from the limit of many: by draws.

Of a power law of exponent 3.5 in slices of 64 × 3 the limit keeps half of what tells it from lognormal eigenvalues.
Not here: laws of populations, and the limit (`tail_laws`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float64]

FEW_COLUMNS = 32
"""The law of a matrix with fewer columns, or rows, is drawn."""

_VALUES = 16_000  # eigenvalues that are drawn for a law

_MOST_ENTRIES = 4_000_000  # of all matrices that are drawn, where the population is of the longer side

# Where a cell has about so few eigenvalues, they are spread over its neighbours, by so many averages over three cells.
_FEW_COUNTS, _PASSES, _THREE = 10.0, 16, (0.25, 0.5, 0.25)


def drawn_density(quantile: Callable[[_Array], _Array], rows: int, cols: int, edges: _Array) -> _Array:
    """Shares of log λ between the edges, of WᵀW/rows with W = G·Σ^{1/2}, over matrices with a population.

    All laws of a shape share the same draws, in which the eigenvalues of the population take its quantiles evenly, so
    that the shares change smoothly with the law.

    Args:
        quantile: log τ of the population by the share below it.
        rows: of W, independent of each other.
        cols: of W, whose covariance has the population.
        edges: of the cells, evenly spaced.
    """
    shares, factors = _draws(rows, cols)
    scaled = factors * np.exp(quantile(shares) / 2)[:, None, :]
    gram = scaled @ scaled.transpose(0, 2, 1)
    values = np.linalg.eigvalsh(gram).astype(np.float64) / rows
    counts = np.histogram(np.log(values.clip(1e-30)), edges)[0].astype(np.float64)
    spread = counts * _FEW_COUNTS / (np.convolve(counts, _THREE, mode="same") + _FEW_COUNTS)
    density = counts - spread
    for _ in range(_PASSES):
        spread = np.convolve(spread, _THREE, mode="same")
    density += spread
    return np.asarray(density / density.sum())


@lru_cache(maxsize=2)
def _draws(rows: int, cols: int) -> tuple[_Array, NDArray[np.floating]]:
    """Shares of the population below each of its eigenvalues, and Gaussian factors whose columns these scale.

    Where columns are fewer, the factors are the upper triangles of Bartlett (1933): RᵀR has the law of GᵀG.
    """
    stream, fewer = np.random.default_rng(0), min(rows, cols)
    count = max(min(_VALUES // fewer, _MOST_ENTRIES // (fewer * cols)), 1)
    evenly = (np.arange(count)[:, None] + stream.random((count, cols))) / count
    shares = stream.permuted(evenly, axis=0)
    if rows < cols:
        return shares, stream.standard_normal((count, rows, cols), dtype=np.float32)
    factors = np.triu(stream.standard_normal((count, cols, cols)), 1)
    at = np.arange(cols)
    factors[:, at, at] = np.sqrt(stream.chisquare(rows - at, (count, cols)))
    return shares, factors
