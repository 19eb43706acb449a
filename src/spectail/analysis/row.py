"""One row of the table: what the spectrum of one matrix says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spectail.analysis.null_cache import nulls_of_shape
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.eigen import eigenvalues_of_slices
from spectail.spectra.norms import effective_rank, stable_rank
from spectail.spectra.phases import Phase, classify
from spectail.spectra.precision import ZERO_SHARE
from spectail.spectra.tail_tests import bootstrap_p_value
from spectail.spectra.tails import hill_fit, ks_fit
from spectail.weights.matrix import WeightMatrix, read_once

COLUMNS = (
    "name", "kind", "rows", "cols", "n_eigenvalues", "pl_alpha_hill", "pl_alpha_ks", "ks_distance", "xmin", "tail_size",
    "alpha_stderr", "p_value", "null_alpha_hill", "null_alpha_ks", "z_hill", "z_ks", "bulk_edge", "n_spikes",
    "spectral_gap", "stable_rank", "effective_rank", "spectral_norm", "frobenius_norm", "phase", "note",
)  # fmt: skip
"""The columns of `analyze`, in order."""

FEWEST_EIGENVALUES = 10
"""Below this many eigenvalues a spectrum has no phase, and no null is worth its name."""

SHORT_TAIL = 50
"""A KS fit on fewer eigenvalues than this is noted (Clauset et al. 2009 find exponents unreliable below about 50)."""

Z_UNLIKELY = 3.0
"""Standard deviations from the null that an untrained matrix is not expected to reach."""


def measure_matrix(
    matrix: WeightMatrix, *, nulls: bool = True, p_value: bool = False, seed: int = 0
) -> tuple[dict[str, Any], Float[Tensor, " k"]]:
    """One row of `analyze`, and the spectrum that it tells of.

    Args:
        matrix: what to measure.
        nulls: whether to compare with Gaussian matrices of the shape; those are kept on disk.
        p_value: whether to bootstrap the goodness of the KS fit, which takes hundreds of fits.
        seed: of the bootstrap.

    Returns:
        the row, keyed by `COLUMNS`: NaN where there is nothing to say, and then `note` says why; and the
        pooled eigenvalues in float64 on the CPU, none where there is no spectrum.
    """
    try:
        spectrum = pooled_eigenvalues(matrix).cpu()
    except ValueError as error:
        return _row(matrix, [str(error)]), torch.empty(0, dtype=torch.float64)
    return measure_spectrum(spectrum, matrix, nulls=nulls, p_value=p_value, seed=seed), spectrum


def measure_spectrum(
    spectrum: Float[Tensor, " k"], matrix: WeightMatrix, *, nulls: bool = True, p_value: bool = False, seed: int = 0
) -> dict[str, Any]:
    """The row of a matrix whose pooled eigenvalues are known; arguments as for `measure_matrix`."""
    norms = _norms(spectrum, matrix)
    largest = float(spectrum[-1])
    if largest == 0.0:
        return _row(matrix, ["all weights are zero"], norms)
    spectrum = torch.where(spectrum > ZERO_SHARE * largest, spectrum, 0.0)  # what rounding left of a lower rank
    zeros = int((spectrum == 0).sum())
    tail, notes = _tail(spectrum, p_value, seed)
    if zeros:
        notes.append(f"{zeros} of {len(spectrum)} eigenvalues are zero")
    if len(spectrum) < FEWEST_EIGENVALUES:
        count = f"{len(spectrum)} eigenvalue" + ("s" if len(spectrum) > 1 else "")
        return _row(matrix, [f"only {count}: no phase and no null", *notes], norms | tail)
    found = classify(spectrum, matrix.rows, matrix.cols)
    bulk = {
        "bulk_edge": found.law.edges[1],
        "n_spikes": found.n_spikes,
        "spectral_gap": found.spectral_gap,
        "phase": str(found.phase),
    }
    if found.phase is Phase.RANK_COLLAPSE:  # the law of the median has no width
        bulk |= {"bulk_edge": math.nan, "n_spikes": math.nan}
    compared = _against_nulls(tail, matrix) if nulls else {}
    if found.phase is Phase.HEAVY_TAILED and compared.get("z_hill", -math.inf) > -Z_UNLIKELY:
        notes.append(f"an untrained matrix of this shape may look heavy-tailed too: z_hill is {compared['z_hill']:.1f}")
    return _row(matrix, notes, norms | tail | bulk | compared)


def _norms(spectrum: Tensor, matrix: WeightMatrix) -> dict[str, Any]:
    """Norms of the weights as they are, and ranks; no scale is left in the latter."""
    factor = SLICE_FACTOR if matrix.slices > 1 else 1.0
    return {
        "n_eigenvalues": len(spectrum),
        "stable_rank": float(stable_rank(spectrum)),
        "effective_rank": effective_rank(spectrum),
        "spectral_norm": math.sqrt(float(spectrum[-1]) / factor),
        "frobenius_norm": math.sqrt(float(spectrum.sum()) / factor),
    }


def _tail(spectrum: Tensor, p_value: bool, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Both exponents, and what a reader must know before trusting them."""
    hill, ks = hill_fit(spectrum), ks_fit(spectrum)
    fitted = {
        "pl_alpha_hill": hill.alpha,
        "pl_alpha_ks": ks.alpha,
        "ks_distance": ks.ks_distance,
        "xmin": ks.xmin,
        "tail_size": ks.tail_size or math.nan,
        "alpha_stderr": ks.stderr,
        "p_value": bootstrap_p_value(spectrum, ks, seed=seed).p_value if p_value else math.nan,
    }
    notes = list(dict.fromkeys(note for note in (hill.note, ks.note) if note))
    if 0 < ks.tail_size < SHORT_TAIL:
        notes.append(f"KS tail of {ks.tail_size} eigenvalues only")
    return fitted, notes


def _against_nulls(tail: Mapping[str, Any], matrix: WeightMatrix) -> dict[str, Any]:
    """The exponents of untrained matrices of the shape, and how far from them these are."""
    nulls = nulls_of_shape(matrix.rows, matrix.cols, matrix.slices)
    return {
        "null_alpha_hill": MarchenkoPastur(matrix.rows, matrix.cols).hill(),
        "null_alpha_ks": nulls.ks.alpha,
        "z_hill": nulls.hill.z(tail["pl_alpha_hill"]),
        "z_ks": nulls.ks.z(tail["pl_alpha_ks"]),
    }


def _row(matrix: WeightMatrix, notes: list[str], measured: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A row with NaN wherever nothing was measured."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS, math.nan)
    row |= {"name": matrix.name, "kind": matrix.kind, "rows": matrix.rows, "cols": matrix.cols}
    row |= {"n_eigenvalues": 0, "phase": str(Phase.UNKNOWN)} | dict(measured or {})
    return row | {"note": "; ".join(filter(None, [matrix.note, *notes]))}


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
        return eigenvalues_of_slices(slices)[0]
    spectra = eigenvalues_of_slices(slices.contiguous())  # a slice of a kernel lies scattered over all of it
    pooled: Tensor = spectra.flatten().sort().values
    return pooled * SLICE_FACTOR


def constant_quantities(matrix: WeightMatrix, nulls: bool) -> dict[str, Any]:
    """What of a layer does not change while it trains; nulls that are not on the disk yet are simulated."""
    layer = {name: getattr(matrix, name) for name in ("name", "kind", "rows", "cols", "slices")}
    layer |= dict.fromkeys(("null_alpha_hill", "null_alpha_ks", "null_spread_hill", "null_spread_ks"), np.nan)
    if nulls and matrix.slices * min(matrix.rows, matrix.cols) >= FEWEST_EIGENVALUES:
        found = nulls_of_shape(matrix.rows, matrix.cols, matrix.slices)
        layer["null_alpha_hill"] = MarchenkoPastur(matrix.rows, matrix.cols).hill()
        layer["null_alpha_ks"] = found.ks.alpha
        layer["null_spread_hill"], layer["null_spread_ks"] = found.hill.spread, found.ks.spread
    return layer


def measure_all(matrices: Sequence[WeightMatrix], nulls: bool) -> tuple[list[dict[str, Any]], list[Tensor]]:
    """A row and a spectrum of each; one that cannot be measured has a note and no spectrum."""
    rows, spectra = [], []
    for matrix in read_once(matrices):
        try:
            row, spectrum = measure_matrix(matrix, nulls=nulls)
        except Exception as error:  # training is worth more than a row: no memory, no convergence
            told = f"not measured: {error}".splitlines()[0]
            row = dict.fromkeys(COLUMNS, np.nan) | {"phase": str(Phase.UNKNOWN), "n_eigenvalues": 0, "note": told}
            row |= {name: getattr(matrix, name) for name in ("name", "kind", "rows", "cols")}
            spectrum = torch.empty(0, dtype=torch.float64)
        rows.append(row)
        spectra.append(spectrum)
    return rows, spectra
