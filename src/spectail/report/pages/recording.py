"""The page of a recording of any kind: over steps, over depth, one spectrum, in one HTML file that needs no network.

What it shows, and what that is called, comes from the table of quantities; its colours from the palette.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spectail.analysis.answer import Analysis, skipped_of
from spectail.analysis.completion import complete
from spectail.analysis.event_groups import events_by_step
from spectail.analysis.null_bands import null_band, word_of_null
from spectail.analysis.summary import EFFECT, summarize
from spectail.errors import SettingError, StoreError
from spectail.files import write_content
from spectail.recording.events import events
from spectail.recording.layout import frame
from spectail.recording.quantities import OVER, Quantity, quantities_of
from spectail.recording.reading import load_recording
from spectail.report.pages.template import SPECTRA_BYTES, json_number, json_numbers, pack_spectrum, page
from spectail.report.wording import IN_BRACKETS, number_text, recording_title, shown_quantities, with_null

_BRACKETS = ("(…)", IN_BRACKETS.partition(": ")[2])

_FEWEST_POINTS, _MOST_POINTS = 100, 4000  # of one packed spectrum

_EVENTS = 300  # groups of them that are listed

_NUMBERS = 1_000_000  # of all series together; beyond, only what tables show goes into the page


def write_page(shown: Any, path: str | os.PathLike[str], *, command: str = "") -> Path:
    """Write one HTML page of what was measured, which needs no network and no server.

    Args:
        shown: an `Analysis`, a `Comparison`, or a recording of any kind.
        path: of the page.
        command: that made what is shown, to be named.

    Returns:
        the path.

    Raises:
        SettingError: it is something else.
        StoreError: the recording holds no measurement.
        OSError: the page cannot be written.

    >>> import tempfile
    >>> import spectail as sp
    >>> from torch import nn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_page(sp.analyze(nn.Linear(30, 20), nulls=False), Path(folder) / "analysis.html").name
    'analysis.html'
    """
    return write_content(Path(path), page_of(shown, command=command))


def page_of(shown: Any, *, command: str = "", version: str = "") -> str:
    """The text of the page that `write_page` writes.

    Args:
        shown: an `Analysis`, a `Comparison`, or a recording of any kind.
        command: that made what is shown, to be named.
        version: of what is shown; with it the page asks the server that it came from whether there is another.

    Raises:
        SettingError: it is something else.
        StoreError: the recording holds no measurement.
    """
    recording = shown.recording if isinstance(shown, Analysis) else shown
    if not isinstance(recording, xr.Dataset) or not {"matrix", "step"} <= set(recording.coords):
        is_results = isinstance(recording, xr.Dataset) and "key" in recording
        hint = "results have no page of their own yet: spectail report FOLDER" if is_results else "expected a recording"
        raise SettingError(f"there is no page of a {type(shown).__name__}; {hint}")
    if not recording.sizes["step"] or not recording["matrix"].size:
        raise StoreError("the recording holds no measurement, so there is nothing to show on a page")
    recording = complete(recording)
    table = frame(recording)
    shown_steps = _steps_with_spectra(recording)
    skipped = skipped_of(recording)
    happened = _event_groups(recording)
    return page(
        "recording",
        _data(recording, shown_steps),
        title=recording_title(recording),
        kind=str(recording.attrs.get("of", "")),
        summary=summarize(recording),
        effect=EFFECT,
        command=command,
        steps=recording["step"].values.tolist(),
        columns=["matrix", *(q.head for q in shown_quantities(recording))],
        rows=_rows(recording, table.to_dict("records")),
        groups=happened[:_EVENTS],
        more=max(len(happened) - _EVENTS, 0),
        skipped=skipped or (),
        spectra=len(shown_steps),
        seconds=_seconds(recording),
        about=[(q.head, q.text) for q in shown_quantities(recording)] + [_BRACKETS],
        left_out=json.loads(recording.attrs.get("left_out", "[]")),
        version=version,
    )


def recordings_in(folder: Path) -> Iterator[tuple[Path, xr.Dataset]]:
    """The recordings of a folder that have a page of their own, by name.

    Other files are passed over, and so are two-layer runs: there may be thousands, which the study's page explores.
    """
    for path in sorted(folder.glob("*.nc")):
        try:
            recording = load_recording(path)
        except (ValueError, OSError):
            continue
        if recording.attrs["of"] != "two-layer":
            yield path, recording


def _seconds(recording: xr.Dataset) -> dict[str, float]:
    """What the measurements took together, and the training beside them, where that is known."""
    totals: dict[str, Callable[[Any], Any]] = {"measuring": np.nansum, "training": np.nanmax}
    return {
        name: float(total(recording[f"{name}_seconds"]))
        for name, total in totals.items()
        if f"{name}_seconds" in recording
    }


def _table(recording: xr.Dataset, name: str) -> NDArray[Any]:
    """A quantity as (steps × matrices), of recordings with one matrix too; eigenvalues have an axis more."""
    values = recording[name].transpose("step", "matrix", ..., missing_dims="ignore").values
    return values if "matrix" in recording[name].dims else values[:, None]


def _steps_with_spectra(recording: xr.Dataset) -> list[int]:
    """The steps whose spectra go into the page: all, or as many as keep it small, evenly."""
    if "eigenvalues" not in recording:
        return []
    most = max(int(SPECTRA_BYTES / (2.7 * _FEWEST_POINTS * recording["matrix"].size)), 2)
    count = recording.sizes["step"]
    chosen: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return chosen


def _data(recording: xr.Dataset, shown_steps: list[int]) -> dict[str, Any]:
    """What the script draws."""
    names = [str(name) for name in np.atleast_1d(recording["matrix"].values)]
    phases = sorted({str(phase) for phase in recording["phase"].values.ravel()})
    series = [q for q in quantities_of(recording) if _is_of_a_matrix(q, recording)]
    if len(names) * recording.sizes["step"] * len(series) > _NUMBERS:
        series = [q for q in series if q.head or q.name in ("ks_xmin", "bulk_edge", "visible_edge")]
    points = int(np.clip(SPECTRA_BYTES / (2.7 * max(len(shown_steps) * len(names), 1)), _FEWEST_POINTS, _MOST_POINTS))
    tables = {q.name: json_numbers(_table(recording, q.name).T.astype(float)) for q in series}
    words = ("phase", "note", "n_spikes", "taken_out")
    phase, note, n_spikes, taken_out = (_table(recording, name) for name in words)
    labels = {
        name: np.atleast_1d(recording[name].values)
        for name in ("rows", "cols", "slices", "kind")
        if name in recording.coords
    }
    spectra = _table(recording, "eigenvalues") if shown_steps else np.empty(0)
    nulls = {q.name: _nulls(recording, q) for q in series if q.null}
    matrices = []
    for at, name in enumerate(names):
        rows, cols, slices = (int(labels[key][at]) if key in labels else 1 for key in ("rows", "cols", "slices"))
        matrices.append(
            {
                "name": name,
                "kind": str(labels["kind"][at]) if "kind" in labels else "",
                "rows": rows,
                "cols": cols,
                "slices": slices,
                "taken_out": [str(one) for one in taken_out[:, at]],
                "nulls": {key: rows_[at] for key, rows_ in nulls.items() if rows_[at] is not None},
                "series": {key: table[at] for key, table in tables.items()},
                "phases": [phases.index(str(one)) for one in phase[:, at]],
                "notes": [str(one) for one in note[:, at]],
                "spectra": [_packed(spectra[step, at], points, n_spikes[step, at]) for step in shown_steps],
            }
        )
    return {
        "steps": recording["step"].values.tolist(),
        "shown": shown_steps,
        "phases": phases,
        "quantities": {q.name: _described(q) for q in series},
        "of_training": [one for q in quantities_of(recording) for one in _training_curves(recording, q)],
        "matrices": matrices,
    }


def _is_of_a_matrix(q: Quantity, recording: xr.Dataset) -> bool:
    """Whether a quantity is a number of each matrix at each step, and known of some."""
    values = recording[q.name]
    numeric = OVER[q.of] == ("step", "matrix") and values.dtype.kind not in "OSUT" and "step" in values.dims
    return numeric and set(values.dims) <= {"step", "matrix"} and bool(np.isfinite(values.values.astype(float)).any())


def _described(q: Quantity) -> dict[str, Any]:
    """How a quantity is drawn; without a symbol it is not offered."""
    error = "alpha_stderr" if q.name == "pl_alpha_ks" else ""
    names = {key: getattr(q, key) for key in ("symbol", "text", "drawn", "head")}
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


def _packed(values: NDArray[Any], points: int, n_spikes: float) -> dict[str, Any] | None:
    """A spectrum in few bytes; none where nothing can be drawn."""
    there = values[~np.isnan(values)].astype(float)
    if not len(there) or not np.isfinite(there).all() or there.max() <= 0:
        return None
    return pack_spectrum(there, points, int(np.nan_to_num(n_spikes)))


def _rows(recording: xr.Dataset, rows: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table: each matrix at the last step."""
    shown = shown_quantities(recording)
    return [{"name": row["name"], "note": row.get("note", ""), "cells": [_cell(row, q) for q in shown]} for row in rows]


def _cell(row: Mapping[str, Any], q: Quantity) -> dict[str, Any]:
    value = row[q.name]
    if q.dtype is str:
        return {"text": str(value), "key": str(value), "word": True}
    text = number_text(value)
    return {
        "text": with_null(text, row.get(q.null)),
        "key": "" if text == "–" else f"{float(value):.8g}",
        "word": False,
    }


def _event_groups(recording: xr.Dataset) -> list[dict[str, Any]]:
    """What happened, alike of several matrices in one, with where its first matrix stands; what is latest first."""
    steps = {step: at for at, step in enumerate(recording["step"].values.tolist())}
    names = {str(name): at for at, name in enumerate(np.atleast_1d(recording["matrix"].values))}
    known = [event for event in events(recording) if event.step in steps and event.matrix in names]
    return [
        {"at": steps[group.step], "matrices": [(names[name], name) for name in group.names], "group": group}
        for group in events_by_step(known)
    ]
