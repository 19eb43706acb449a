"""What the scripts of a recording's page draw: the matrices with their numbers, phases, notes and spectra.

Not here: the text of the page (`recording`), and how numbers become few bytes (`packing`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spectail.analysis.name_lists import without_numbers
from spectail.analysis.null_bands import null_band, word_of_null
from spectail.recording.quantities import OVER, Quantity, quantities_of
from spectail.recording.tensors import name_of_weights, tensor_of
from spectail.report.pages.overlaps import packed_overlaps
from spectail.report.pages.packing import PackedArrays, PackedSpectra, cells_a_decade, spectra_with_room
from spectail.report.pages.template import json_number

_NUMBERS = 6_000_000  # of all series together; beyond, only what tables and spectra show goes into the page

_FOR_SPECTRA = ("ks_xmin", "tail_size", "bulk_edge", "visible_edge")  # drawn beside a spectrum


def steps_with_spectra(recording: xr.Dataset) -> list[int]:
    """The steps whose spectra go into the page: all, or as many as there is room for, evenly.

    Args:
        recording: of any kind.
    """
    if "eigenvalues" not in recording:
        return []
    count, matrices = recording.sizes["step"], recording["matrix"].size
    most = max(spectra_with_room(cells_a_decade(count * matrices)) // matrices, 2)
    chosen: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return chosen


def data_of(recording: xr.Dataset, shown_steps: list[int], changes: NDArray[np.float64]) -> tuple[Any, PackedArrays]:
    """What the scripts draw, and the arrays that it refers to.

    Args:
        recording: of any kind, completed.
        shown_steps: indices of the steps whose spectra go into the page.
        changes: how far each matrix changed.
    """
    arrays = PackedArrays()
    names = [str(name) for name in np.atleast_1d(recording["matrix"].values)]
    series = [q for q in quantities_of(recording) if _is_of_a_matrix(q, recording)]
    if len(names) * recording.sizes["step"] * len(series) > _NUMBERS:
        series = [q for q in series if q.head or q.name in _FOR_SPECTRA]
    nulls = {q.name: _nulls(recording, q) for q in series if q.null}
    labels = {
        name: np.atleast_1d(recording[name].values)
        for name in ("rows", "cols", "slices", "kind")
        if name in recording.coords
    }
    places = {name: at for at, name in enumerate(names)}
    spectra = _spectra(recording, shown_steps)
    matrices = [
        {
            "name": name,
            "kind": str(labels["kind"][at]) if "kind" in labels else "",
            "group": without_numbers(name_of_weights(name)),
            "tensor": tensor_of(name),
            "of": places.get(name_of_weights(name), at),
            **{key: int(labels[key][at]) if key in labels else 1 for key in ("rows", "cols", "slices")},
            "nulls": {key: rows[at] for key, rows in nulls.items() if rows[at] is not None},
            "change": json_number(changes[at]),
        }
        for at, name in enumerate(names)
    ]
    words = {key: _words(table_of(recording, key), arrays) for key in ("phase", "note", "taken_out")}
    data = {
        "steps": recording["step"].values.tolist(),
        "shown": shown_steps,
        **words,
        "quantities": {q.name: _described(q) for q in series},
        "of_training": [one for q in quantities_of(recording) for one in _training_curves(recording, q)],
        "matrices": matrices,
        "series": {q.name: arrays.add(table_of(recording, q.name).T.astype(float)) for q in series},
        "spectra": {"of": arrays.add(spectra[1]), **spectra[0].packed(arrays)},
        "overlaps": packed_overlaps(recording),
    }
    return data, arrays


def table_of(recording: xr.Dataset, name: str) -> NDArray[Any]:
    """A quantity as (steps × matrices), of recordings with one matrix too; eigenvalues have an axis more.

    Args:
        recording: of any kind.
        name: of the variable.
    """
    values = recording[name].transpose("step", "matrix", ..., missing_dims="ignore").values
    return values if "matrix" in recording[name].dims else values[:, None]


def _spectra(recording: xr.Dataset, shown_steps: list[int]) -> tuple[PackedSpectra, NDArray[np.int64]]:
    """The spectra, and which of them each matrix has at each step that is shown: its number, or −1 for none."""
    count = recording["matrix"].size
    packed = PackedSpectra(cells_a_decade(len(shown_steps) * count))
    numbers = np.full((count, len(shown_steps)), -1)
    if shown_steps:
        spectra, spikes = table_of(recording, "eigenvalues"), table_of(recording, "n_spikes")
        for at in range(count):
            numbers[at] = packed.add(spectra[shown_steps, at], spikes[shown_steps, at].astype(float))
    return packed, numbers


def _words(table: NDArray[Any], arrays: PackedArrays) -> dict[str, Any]:
    """Texts of each matrix at each step: the distinct ones, and which of them each is."""
    texts, places = np.unique(table.T.astype(str), return_inverse=True)
    return {"texts": texts.tolist(), "of": arrays.add(places)}


def _is_of_a_matrix(q: Quantity, recording: xr.Dataset) -> bool:
    """Whether a quantity is a number of each matrix at each step, and known of some."""
    values = recording[q.name]
    numeric = OVER[q.of] == ("step", "matrix") and values.dtype.kind not in "OSUT" and "step" in values.dims
    return numeric and set(values.dims) <= {"step", "matrix"} and bool(np.isfinite(values.values.astype(float)).any())


def _described(q: Quantity) -> dict[str, Any]:
    """How a quantity is drawn; without a symbol it is not offered."""
    error = "alpha_stderr" if q.name == "pl_alpha_ks" else ""
    names = {key: getattr(q, key) for key in ("symbol", "text", "drawn", "head", "of")}
    return names | {"integer": q.dtype is int, "error": error, "chance": word_of_null(q)}


def _training_curves(recording: xr.Dataset, q: Quantity) -> list[dict[str, Any]]:
    """Curves of the training itself (loss, learning rate, …) over steps or updates; one a parameter group."""
    values = recording[q.name]
    along = next((str(dim) for dim in ("step", "update") if dim in values.dims), "")
    if (
        not along
        or OVER[q.of] == ("step", "matrix")
        or "matrix" in values.dims
        or values.dtype.kind in "OSUT"
        or not q.symbol
        or q.name.startswith("null_")  # drawn as a band
    ):
        return []
    table = values.transpose(along, ...).values.reshape(values.sizes[along], -1).astype(float)
    numbered, band = table.shape[1] > 1, null_band(recording, q)
    known = band is not None and bool(np.isfinite(band).any())
    return [
        {
            **_described(q),
            "symbol": f"{q.symbol} of group {at}" if numbered else q.symbol,
            "name": f"{q.name}.{at}" if numbered else q.name,
            "x": values[along].values.tolist(),
            "y": [json_number(value) for value in table[:, at]],
            "band": [[json_number(value) for value in line] for line in np.asarray(band)] if known else None,
        }
        for at in range(table.shape[1])
        if np.isfinite(table[:, at]).any()
    ]


def _nulls(recording: xr.Dataset, q: Quantity) -> list[list[float | None] | None]:
    """Where each matrix would lie by chance: two standard deviations below the typical value, that, and two above."""
    count = recording["matrix"].size
    last = recording.isel(step=-1) if q.null in recording and "step" in recording[q.null].dims else recording
    band = null_band(last, q)
    if band is None:
        return [None] * count
    bounds = np.broadcast_to(band.reshape(3, -1), (3, count)).T
    return [[json_number(one) for one in three] if np.isfinite(three).all() else None for three in bounds]


def changes_of(recording: xr.Dataset) -> NDArray[np.float64]:
    """How far each matrix changed from first to last, in factors of two.

    The larger of two: by what factor the spread of log λ above its median grew or shrank (`effect_homogeneous`, or
    `effect`, or 1/(α_H − 1), the first that the recording has), and by what factor the effective rank did. Each counts
    from the first to the last step at which it is known; gradients, updates and momentum do not count.

    Args:
        recording: of any kind.
    """
    change = np.zeros(recording["matrix"].size)
    spread: Callable[[Any], Any] = lambda alpha: 1 / (alpha - 1)  # noqa: E731
    same: Callable[[Any], Any] = lambda value: value  # noqa: E731
    of = next((name for name in ("effect_homogeneous", "effect", "pl_alpha_hill") if name in recording), "")
    for name, size in ((of, spread if of == "pl_alpha_hill" else same), ("effective_rank", same)):
        if name not in recording:
            continue
        with np.errstate(all="ignore"):
            logs = np.log2(size(table_of(recording, name).astype(float)))
        known = np.isfinite(logs)
        first, last = known.argmax(axis=0), len(known) - 1 - known[::-1].argmax(axis=0)
        columns = np.arange(len(change))
        moved = np.abs(logs[last, columns] - logs[first, columns])
        change = np.fmax(change, np.where(known.any(axis=0), moved, 0.0))
    names = np.atleast_1d(recording["matrix"].values)
    return np.where([tensor_of(str(name)) == "weights" for name in names], change, 0.0)
