"""The page of a recording of any kind: what it says, over steps, one spectrum, over depth, in one HTML file.

It needs no network. What it shows, and what that is called, comes from the table of quantities; its colours from the
palette. Not here: what its scripts draw (`recording_data`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from spectail.analysis.analysis_objects import Analysis, skipped_of
from spectail.analysis.completion import complete
from spectail.analysis.event_groups import events_by_step
from spectail.analysis.name_lists import how_many
from spectail.analysis.summary import EFFECT, summarize
from spectail.errors import SettingError, SpectailError, StoreError
from spectail.files import check_strangers, write_content
from spectail.progress import over_files
from spectail.recording.events import events
from spectail.recording.layout import frame, of_tensor
from spectail.recording.quantities import Quantity
from spectail.recording.reading import load_recording
from spectail.recording.tensors import tensor_of
from spectail.report.pages.recording_data import changes_of, data_of, steps_with_spectra, table_of
from spectail.report.pages.template import page
from spectail.report.wording import IN_BRACKETS, number_text, recording_title, shown_quantities, with_null
from spectail.store.recordings import warn_of_unreadable

_BRACKETS = ("(…)", IN_BRACKETS.partition(": ")[2])

_EVENTS = 300  # groups of them that are listed

_CHANGED = 8  # matrices that changed most

_SCRIPTS = ("overlaps.js", "recording_charts.js", "recording.js")

_NUMBER = re.compile(r"\d[\d.]*(?:e[+-]?\d+)?")

_UPDATES = "What changes the weights: the step that the optimizer makes, and what it is made of."

_BETWEEN = "What changed the weights from checkpoint to checkpoint."

_OVERLAPS = (
    "Squared cosines between the directions of the weights W and of the update M, the strongest first; "
    "the numbers are of the steps that they were taken at."
)


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
    if isinstance(recording, xr.Dataset) and {"key", "recording"} & {*recording.data_vars, *recording.dims}:
        raise SettingError(
            "there is no page of many recordings in one Dataset; spectail report FOLDER writes the pages of what a "
            "folder holds, and write_page that of one, as load_recording reads it"
        )
    if not isinstance(recording, xr.Dataset) or not {"matrix", "step"} <= set(recording.coords):
        raise SettingError(f"there is no page of a {type(shown).__name__}; expected a recording")
    if not recording.sizes["step"] or not recording["matrix"].size:
        raise StoreError("the recording holds no measurement, so there is nothing to show on a page")
    recording = complete(recording)
    of_weights = [tensor_of(str(name)) == "weights" for name in np.atleast_1d(recording["matrix"].values)]
    shown_steps, changes = steps_with_spectra(recording), changes_of(recording)
    data, arrays = data_of(recording, shown_steps, changes)
    columns = sorted(
        shown_quantities(of_tensor(recording, "weights")), key=lambda q: (q.drawn != "phase", q.of == "matrix")
    )
    table = frame(recording)[of_weights]
    alike = _shape_of_all(table)
    columns = [q for q in columns if not (alike and q.of == "matrix")]
    notes, numbers = _notes(table)
    happened = _event_groups(recording)
    updates = _BETWEEN if recording.attrs.get("of") == "series" else _UPDATES
    beside = updates if not all(of_weights) else _OVERLAPS if data["overlaps"] else ""
    return page(
        "recording",
        data,
        arrays,
        _SCRIPTS,
        title=recording_title(recording),
        kind=str(recording.attrs.get("of", "")),
        count=sum(of_weights),
        summary=summarize(recording),
        effect=EFFECT,
        command=command,
        steps=recording["step"].values.tolist(),
        changed=_changed(recording, changes),
        columns=["#", "matrix", *(q.head for q in columns)],
        alike=alike,
        bodies=_bodies(table, columns, numbers),
        notes=notes,
        groups=happened[:_EVENTS],
        more=max(len(happened) - _EVENTS, 0),
        skipped=_skipped(recording),
        n_skipped=len(skipped_of(recording) or ()),
        spectra=len(shown_steps),
        seconds=_seconds(recording),
        about=[(q.head, q.text) for q in columns] + [_BRACKETS],
        left_out=json.loads(recording.attrs.get("left_out", "[]")),
        version=version,
        beside=beside,
        turned="leading_overlap_left" in recording and not all(of_weights),
        overlaps=len(data["overlaps"]),
    )


def recordings_in(folder: Path) -> Iterator[tuple[Path, xr.Dataset]]:
    """The recordings of a folder that have a page of their own, by name.

    Files that cannot be read are passed over, and a warning names them. So are two-layer runs, without a warning: there
    may be thousands, which the study's page explores.
    """
    unreadable: dict[Path, Exception] = {}
    for path in over_files(sorted(folder.glob("*.nc"))):
        try:
            check_strangers(path)
            recording = load_recording(path)
        except (SpectailError, OSError) as error:
            unreadable[path] = error
            continue
        if recording.attrs["of"] != "two-layer":
            yield path, recording
    warn_of_unreadable(unreadable)


def _seconds(recording: xr.Dataset) -> dict[str, float]:
    """What the measurements took together, and the training beside them, where that is known."""
    totals: dict[str, Callable[[Any], Any]] = {"measuring": np.nansum, "training": np.nanmax}
    return {
        name: float(total(recording[f"{name}_seconds"]))
        for name, total in totals.items()
        if f"{name}_seconds" in recording
    }


def _changed(recording: xr.Dataset, changes: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The matrices that changed most, and how: their phases, and what of them changed."""
    names = [str(name) for name in np.atleast_1d(recording["matrix"].values)]
    most = [int(at) for at in np.argsort(-changes, kind="stable")[:_CHANGED] if changes[at] > 0]
    phases = table_of(recording, "phase")
    return [{"at": at, "name": names[at], "words": _change_in_words(recording, phases[:, at], at)} for at in most]


def _change_in_words(recording: xr.Dataset, phases: NDArray[Any], at: int) -> str:
    first, last = str(phases[0]), str(phases[-1])
    words = [first if first == last else f"{first} → {last}"]
    for name, head in (("pl_alpha_hill", "Hill"), ("effective_rank", "effective rank")):
        values = table_of(recording, name)[:, at].astype(float) if name in recording else np.empty(0)
        there = values[np.isfinite(values)]
        if len(there):
            words.append(f"{head} {number_text(there[0], 3)} → {number_text(there[-1], 3)}")
    return ", ".join(words)


def _notes(table: pd.DataFrame) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """The notes of the rows, each once even if figures in it differ; and, by matrix, which it has, by their numbers."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for name, note in zip(table["name"], table["note"], strict=True):
        for part in filter(None, str(note).split("; ")):
            alike.setdefault(_NUMBER.sub("…", part), []).append((str(name), part))
    notes: list[dict[str, Any]] = []
    numbers: dict[str, list[int]] = {}
    for number, (pattern, of) in enumerate(alike.items(), 1):
        text = of[0][1] if len({part for _, part in of}) == 1 else pattern
        notes.append({"number": number, "text": text, "names": [name for name, _ in of]})
        for name, _ in of:
            numbers.setdefault(name, []).append(number)
    return notes, numbers


def _bodies(table: pd.DataFrame, shown: list[Quantity], notes: Mapping[str, list[int]]) -> list[dict[str, Any]]:
    """The rows of the table, each matrix at the last step, by kind and shape; all together where few are alike."""
    labels = _labels(table)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for at, row in enumerate(table.to_dict("records")):
        cells = [_cell(row, q) for q in shown]
        name = str(row["name"])
        body = groups.setdefault(tuple(row[label] for label in labels), [])
        body.append({"at": table.index[at], "name": name, "notes": notes.get(name, ()), "cells": cells})
    if len(groups) > len(table) / 2 or len(groups) == 1:
        return [{"title": "", "rows": sorted(chain(*groups.values()), key=lambda row: row["at"])}]
    return [{"title": _shape_in_words(labels, key, len(rows)), "rows": rows} for key, rows in groups.items()]


def _labels(table: pd.DataFrame) -> list[str]:
    return [name for name in ("kind", "rows", "cols", "slices") if name in table]


def _shape_of_all(table: pd.DataFrame) -> str:
    """Kind and shape, where several matrices have the same."""
    labels = _labels(table)
    distinct = table[labels].drop_duplicates().itertuples(index=False)
    different = [tuple(row) for row in distinct]
    return _shape_in_words(labels, different[0], len(table)) if len(different) == 1 < len(table) else ""


def _shape_in_words(labels: list[str], key: tuple[Any, ...], count: int) -> str:
    of = {"kind": "", "slices": 1, **dict(zip(labels, key, strict=True))}
    shape = f"{of['rows']}×{of['cols']}" if "rows" in of else ""
    pooled = f", {of['slices']} slices" if of["slices"] != 1 else ""
    return f"{of['kind']} {shape}{pooled} – {how_many(count, 'matrix')}".strip()


def _cell(row: Mapping[str, Any], q: Quantity) -> dict[str, Any]:
    value = row[q.name]
    if q.dtype is str:
        return {"text": str(value), "key": str(value), "word": True, "phase": q.drawn == "phase"}
    text = number_text(value)
    return {
        "text": with_null(text, row.get(q.null)),
        "key": "" if text == "–" else f"{float(value):.8g}",
        "word": False,
        "phase": False,
    }


def _skipped(recording: xr.Dataset) -> dict[str, list[str]]:
    """Parameters that were not measured, with their shapes, by reason."""
    by_reason: dict[str, list[str]] = {}
    for one in skipped_of(recording) or ():
        by_reason.setdefault(one.reason, []).append(f"{one.name} ({'×'.join(map(str, one.shape))})")
    return by_reason


def _event_groups(recording: xr.Dataset) -> list[dict[str, Any]]:
    """Groups of alike events, the latest first, each with the positions of its step and of its matrices."""
    steps = {step: at for at, step in enumerate(recording["step"].values.tolist())}
    names = {str(name): at for at, name in enumerate(np.atleast_1d(recording["matrix"].values))}
    known = [event for event in events(recording) if event.step in steps and event.matrix in names]
    return [
        {"at": steps[group.step], "matrices": [(names[name], name) for name in group.names], "group": group}
        for group in events_by_step(known)
    ]
