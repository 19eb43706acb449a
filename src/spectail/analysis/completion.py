"""What a recording lacks and its spectra tell.

Not here: rows of weights that are there (`row`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from spectail.analysis.null_cache import nulls_of_shape
from spectail.analysis.pooling import SLICE_FACTOR
from spectail.analysis.row import has_null, measure_spectrum, null_quantities, unmeasured_row
from spectail.analysis.two_layer_nulls import with_chance
from spectail.recording.argument import as_recording
from spectail.recording.layout import each_matrix
from spectail.recording.quantities import OVER, select
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.nulls import Z_UNLIKELY
from spectail.spectra.precision import ZERO_SHARE
from spectail.spectra.spikes import visible_edge
from spectail.spectra.tails import KS_SPREAD, standard_error
from spectail.weights.matrix import WeightMatrix

_OF_WEIGHTS = frozenset(
    (
        *("effect_homogeneous", "z_homogeneous", "z_bulk", "cause", "taken_out", "kurtosis"),
        *(f"share_{part}" for part in ("norms_and_entries", "spikes", "correlation")),
        *(f"{part}_norm_spread" for part in ("row", "col", "slice")),
        *("tail_kind", "tail_p", *(f"tail_ratio_{law}" for law in ("lognormal", "exponential", "truncated"))),
    )
)
"""What a spectrum does not tell: what is left once norms and entries are taken out of the weights; and what kind of
tail it has, which is told where it was asked for."""

_SIZES = frozenset(("n_eigenvalues", "stable_rank", "effective_rank", "spectral_norm", "frobenius_norm"))

_OF_FITS = {
    **dict.fromkeys(("z_hill", "effect"), ("pl_alpha_hill",)),
    "alpha_stderr": ("pl_alpha_hill", "pl_alpha_ks"),
    "visible_edge": ("n_spikes", "bulk_edge"),  # spikes were counted past it before thresholds came from draws
}
"""Quantities that follow from what is stored of the fits, and what each of them needs."""


def complete(recording: Any) -> xr.Dataset:
    """Add the quantities that a recording lacks and its eigenvalues and shapes tell; nothing is guessed.

    Files of the first edition gain what they did not hold, two-layer runs their nulls, norms and ranks.

    Args:
        recording: of any kind, or an analysis.

    Returns:
        the same with every quantity of "spectrum" and "null", NaN where eigenvalues do not tell; a two-layer run also
        with what it would have by chance (`two_layer_nulls`). A recording without spectra or shapes gains no more than
        that.

    >>> import spectail
    >>> run = spectail.simulate(spectail.Experiment(n=40, n_test=9, n_test_large=9, d=20, h=30, steps=1))
    >>> "z_hill" in run, complete(run)["z_hill"].dims
    (False, ('step',))
    """
    completed = with_chance(as_recording(recording))
    missing = [q for q in select("null", "spectrum") if q.name not in completed.variables]
    if not missing or "eigenvalues" not in completed or not {"rows", "cols"} <= set(completed.coords):
        return completed
    single, lacking = "matrix" not in completed.dims, {q.name for q in missing}
    needed = {"eigenvalues", *(name for names in _OF_FITS.values() for name in names)} & {*completed.data_vars}
    columns = [_column(one, lacking) for one in each_matrix(completed[sorted(needed)])]
    for q in missing:
        of_matrices = [column[q.name] for column in columns]
        table = np.array(of_matrices) if q.of == "null" else np.stack(of_matrices, 1)
        dims = tuple(dim for dim in OVER[q.of] if not (single and dim == "matrix"))
        variable = (dims, table[..., 0] if single else table, q.attributes)
        completed = (
            completed.assign_coords({q.name: variable}) if q.of == "null" else completed.assign({q.name: variable})
        )
    return completed


def _column(one: xr.Dataset, lacking: set[str]) -> dict[str, Any]:
    """What is lacking of one matrix over steps; a single number where it is the same at all steps."""
    matrix, steps = _matrix_of(one), one.sizes["step"]
    nulls = {q.name for q in select("null")}
    column: dict[str, Any] = dict.fromkeys(nulls, math.nan)
    if has_null(matrix, matrix.slices * min(matrix.rows, matrix.cols)) and lacking & nulls:
        column |= null_quantities(matrix)
    words = {q.name for q in select("spectrum") if q.dtype is str}
    column |= {name: np.full(steps, "", object) if name in words else np.full(steps, math.nan) for name in _OF_WEIGHTS}
    spectra = np.atleast_2d(one["eigenvalues"].values).astype(np.float64)
    if lacking & _SIZES:
        column |= _sizes(spectra, matrix)
    column |= _of_fits(one, matrix)
    if not lacking <= column.keys():  # a fit of each spectrum takes milliseconds
        rows = [_from_spectrum(values[~np.isnan(values)], matrix) for values in spectra]
        column = {
            name: np.array([row[name] for row in rows], object if name in words else float)
            for name in lacking - column.keys()
        } | column
    return column


def _matrix_of(one: xr.Dataset) -> WeightMatrix:
    slices = int(one["slices"]) if "slices" in one.coords else 1
    kind = str(one["kind"].item()) if "kind" in one.coords else "weight"
    return WeightMatrix(str(one["matrix"].item()), kind, int(one["rows"]), int(one["cols"]), slices, _unread)


def _sizes(spectra: NDArray[np.float64], matrix: WeightMatrix) -> dict[str, NDArray[np.float64]]:
    """How many eigenvalues there are, norms and ranks; of all steps at once."""
    factor = SLICE_FACTOR if matrix.slices > 1 else 1.0
    there = ~np.isnan(spectra)
    count, values = there.sum(1), np.where(there, spectra, 0.0).clip(0.0)
    largest, total = values.max(1, initial=0.0), values.sum(1)
    shares = np.sqrt(np.where(values > ZERO_SHARE * largest[:, None], values, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = shares / shares.sum(1, keepdims=True)
        entropy = -np.where(shares > 0, shares * np.log(shares), 0.0).sum(1)
        known, has_rank = np.where(count > 0, 1.0, math.nan), np.where(largest > 0, 1.0, math.nan)
        return {
            "n_eigenvalues": count.astype(np.float64),
            "stable_rank": has_rank * total / largest,
            "effective_rank": has_rank * np.exp(entropy),
            "spectral_norm": known * np.sqrt(largest / factor),
            "frobenius_norm": known * np.sqrt(total / factor),
        }


def _of_fits(one: xr.Dataset, matrix: WeightMatrix) -> dict[str, NDArray[np.float64]]:
    """What follows from what is stored of the fits, of all steps at once."""
    known: dict[str, NDArray[np.float64]] = {}
    fits: Mapping[str, NDArray[Any]] = {str(name): values.values for name, values in one.data_vars.items()}
    if "pl_alpha_hill" in fits:
        nothing = np.full(one.sizes["step"], math.nan)
        known = {
            name: nothing for name, needed in _OF_FITS.items() if "pl_alpha_hill" in needed and {*needed} <= {*fits}
        }
        if has_null(matrix, matrix.slices * min(matrix.rows, matrix.cols)):
            null = nulls_of_shape(matrix.rows, matrix.cols, matrix.slices).hill
            alpha = fits["pl_alpha_hill"].astype(np.float64)
            known["z_hill"] = z = np.array([null.z(float(value)) for value in alpha])
            known["effect"] = 1.0 / ((alpha - 1.0) * null.log_spread)
            if "alpha_stderr" in known:
                errors = np.array([standard_error(float(value), KS_SPREAD) for value in fits["pl_alpha_ks"]])
                known["alpha_stderr"] = np.where(np.abs(z) <= Z_UNLIKELY, errors, math.nan)
    if {"n_spikes", "bulk_edge"} <= fits.keys():
        law = MarchenkoPastur(matrix.rows, matrix.cols)
        known["visible_edge"] = fits["bulk_edge"].astype(np.float64) * (visible_edge(law) / law.edges[1])
    return known


def _from_spectrum(values: NDArray[np.float64], matrix: WeightMatrix) -> dict[str, Any]:
    """The row that follows from a stored spectrum."""
    if not len(values):
        return unmeasured_row(matrix, ["no spectrum was kept"])
    return measure_spectrum(torch.from_numpy(values), matrix)


def _unread() -> Tensor:
    raise AssertionError("a stored spectrum has no weights behind it")
