"""The page of an analysed model: exponents over depth beside their nulls, and one spectrum a matrix."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from spectail.analysis.model import Analysis
from spectail.analysis.null_cache import nulls_of_shape
from spectail.analysis.row import FEWEST_EIGENVALUES
from spectail.errors import StoreError
from spectail.files import write_whole
from spectail.recording.events import events
from spectail.recording.reading import load_recording
from spectail.report.pages.template import json_number, pack_spectrum, page
from spectail.report.wording import number_text
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.nulls import ExponentNull

_SPECTRA_BYTES = 3_000_000  # of all packed spectra together

_COLUMNS = {
    "kind": "kind",
    "shape": "shape",
    "pl_alpha_hill": "α Hill",
    "null_alpha_hill": "untrained",
    "z_hill": "z",
    "pl_alpha_ks": "α KS",
    "tail_size": "tail",
    "null_alpha_ks": "untrained",
    "z_ks": "z",
    "n_spikes": "spikes",
    "spectral_gap": "λ₁/λ₊",
    "stable_rank": "stable rank",
    "effective_rank": "effective rank",
    "spectral_norm": "‖W‖₂",
    "frobenius_norm": "‖W‖_F",
    "phase": "phase",
}

_FURTHER = {"p_value": "p", "top_overlap_left": "left overlap", "top_overlap_right": "right overlap"}

_CURVES = (
    "pl_alpha_hill", "pl_alpha_ks", "null_alpha_hill", "null_alpha_ks", "z_hill", "z_ks", "stable_rank", "ks_xmin",
    "spectral_gap", "effective_rank",
)  # fmt: skip


def write_analysis_page(analysis: Analysis, path: Path, command: str = "") -> Path:
    """Write one HTML page of an analysis, which needs no network.

    Args:
        analysis: what to show.
        path: of the page.
        command: that made it, to be shown.

    Returns:
        the path.

    Raises:
        OSError: the page cannot be written.
    """
    frame = analysis.frame
    points = int(np.clip(_SPECTRA_BYTES / (2.7 * max(len(frame), 1)), 100, 4000))
    rows = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    data = [_matrix(row, spectrum, points) for row, spectrum in zip(rows, analysis.spectra.values(), strict=True)]
    text = page(
        "analysis",
        data,
        title=analysis.title,
        command=command,
        columns=list(_shown(frame).values()),
        rows=[_table_row(index, row, frame) for index, row in enumerate(rows)],
        noted=sum(bool(row["note"]) for row in rows),
        skipped=analysis.skipped,
        changed="top_overlap_left" in frame,
        points=points,
    )
    return write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def _shown(frame: pd.DataFrame) -> dict[str, str]:
    """The columns of the table, and their headers."""
    further = {name: head for name, head in _FURTHER.items() if name in frame and frame[name].notna().any()}
    return _COLUMNS | further


def _table_row(index: int, row: Mapping[str, Any], frame: pd.DataFrame) -> dict[str, Any]:
    cells = []
    for name in _shown(frame):
        if name == "shape":
            text, key = f"{row['rows']}×{row['cols']}", str(row["rows"] * row["cols"])
        elif name in ("kind", "phase"):
            text = key = str(row[name])
        else:
            text, key = number_text(row[name]), "" if pd.isna(row[name]) else f"{float(row[name]):.8g}"
        cells.append({"text": text, "key": key, "word": name in ("kind", "phase")})
    return {"index": index, "name": row["name"], "cells": cells, "note": row["note"]}


def _matrix(row: Mapping[str, Any], spectrum: NDArray[np.float64], points: int) -> dict[str, Any]:
    """What the page draws of a matrix."""
    found = {name: _or_nothing(row[name]) for name in _CURVES}
    values = spectrum
    sound = len(values) > 0 and values[-1] > 0
    slices = max(round(row["n_eigenvalues"] / min(row["rows"], row["cols"])), 1)
    null: dict[str, Any] = {"hill": None, "ks": None}
    if not math.isnan(row["null_alpha_hill"]) and row["n_eigenvalues"] >= FEWEST_EIGENVALUES:
        nulls = nulls_of_shape(row["rows"], row["cols"], slices)
        null = {"hill": _band(nulls.hill), "ks": _band(nulls.ks)}
    edge = _or_nothing(row["bulk_edge"])
    unit = MarchenkoPastur(row["rows"], row["cols"]).edges[1]
    return found | {
        "name": row["name"],
        "kind": row["kind"],
        "phase": row["phase"],
        "note": row["note"],
        "tail_size": _or_nothing(row["tail_size"]),
        "n_spikes": _or_nothing(row["n_spikes"]),
        "null": null,
        "law": {"h": row["rows"], "d": row["cols"], "variance": edge / unit if edge else 0, "edge": edge or 0},
        "slices": slices,
        "spectrum": pack_spectrum(values, points) if sound else None,
    }


def _band(null: ExponentNull) -> list[float]:
    """Exponents two standard deviations below and above the typical one, and that one."""
    return [round(1 + math.exp(null.mean + s * null.spread), 5) for s in (-2, 2, 0)]


def _or_nothing(value: Any) -> float | None:
    return None if pd.isna(value) else json_number(float(value))


_MONITOR_SPECTRA_BYTES = 4_000_000  # of all packed spectra together

_FEWEST_POINTS = 100  # of one

_EVENTS = 1000  # that are listed

_SERIES = (
    "pl_alpha_hill", "pl_alpha_ks", "alpha_stderr", "ks_xmin", "tail_size", "z_hill", "z_ks", "bulk_edge", "n_spikes",
    "spectral_gap", "stable_rank",
)  # fmt: skip


def write_monitor_page(path: Path) -> Path:
    """Write the page of a monitor's file, beside it.

    Args:
        path: the netCDF file that a `SpectralMonitor` wrote.

    Returns:
        the path of the page: the same name, ending in .html.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it was not written by a monitor, or is damaged.
    """
    found = load_recording(path)
    if found.attrs["of"] not in ("monitor", "training"):
        raise StoreError(f"{path} is not the file of a monitor: it holds a recording of kind {found.attrs['of']}")
    if not found.sizes["step"] or not found.sizes["matrix"]:
        raise StoreError(f"{path} holds no measurement")
    shown, happened = _monitor_shown(found), _events(found)
    text = page(
        "monitor",
        _data(found, shown),
        title=str(found.attrs.get("title", path.stem)),
        file=path.name,
        steps=found.step.values.tolist(),
        rows=_rows(found),
        events=happened[:_EVENTS],
        more=max(len(happened) - _EVENTS, 0),
        now=Counter(str(phase) for phase in found.phase.values[-1]).most_common(),
        spectra=len(shown),
        measuring=float(found.measuring_seconds.sum()),
        training=float(found.training_seconds.max()),
    )
    target = path.with_suffix(".html")
    return write_whole(target, lambda part: part.write_text(text, encoding="utf-8"))


def monitor_files(folder: Path) -> list[Path]:
    """The files of monitors in a folder, by name; files of other kinds are passed over."""
    found = []
    for path in sorted(folder.glob("*.nc")):
        try:
            recording = load_recording(path)
        except (ValueError, OSError):
            continue
        if recording.attrs["of"] in ("monitor", "training"):
            found.append(path)
    return found


def _monitor_shown(found: xr.Dataset) -> list[int]:
    """The measurements whose spectra go into the page: all, or as many as keep it small, evenly."""
    if "eigenvalues" not in found:
        return []
    most = max(int(_MONITOR_SPECTRA_BYTES / (2.7 * _FEWEST_POINTS * found.sizes["matrix"])), 2)
    count = found.sizes["step"]
    chosen: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return chosen


def _data(found: xr.Dataset, shown: list[int]) -> dict[str, Any]:
    phases = sorted({str(phase) for phase in found.phase.values.ravel()})
    points = int(
        np.clip(_MONITOR_SPECTRA_BYTES / (2.7 * max(len(shown) * found.sizes["matrix"], 1)), _FEWEST_POINTS, 2000)
    )
    return {
        "steps": found.step.values.tolist(),
        "shown": shown,
        "phases": phases,
        "layers": [_layer(found.isel(matrix=at), shown, phases, points) for at in range(found.sizes["matrix"])],
    }


def _layer(one: xr.Dataset, shown: list[int], phases: list[str], points: int) -> dict[str, Any]:
    return {
        "name": str(one.matrix.values),
        "rows": int(one.rows),
        "cols": int(one.cols),
        "slices": int(one.slices),
        "nulls": {which: _null(one, which) for which in ("hill", "ks")},
        "series": {name: [json_number(value) for value in one[name].values] for name in _SERIES},
        "phases": [phases.index(str(phase)) for phase in one.phase.values],
        "notes": [str(note) for note in one.note.values],
        "spectra": [_packed(one.eigenvalues.values[at], points) for at in shown],
    }


def _null(one: xr.Dataset, which: str) -> list[float] | None:
    """The typical exponent of an untrained matrix, and two standard deviations to both sides."""
    alpha, spread = float(one[f"null_alpha_{which}"]), float(one[f"null_spread_{which}"])
    if not math.isfinite(alpha * spread):
        return None
    return [alpha, 1 + (alpha - 1) * math.exp(-2 * spread), 1 + (alpha - 1) * math.exp(2 * spread)]


def _packed(values: NDArray[np.float32], points: int) -> dict[str, Any] | None:
    """A spectrum in few bytes; none where nothing can be drawn."""
    there = values[~np.isnan(values)].astype(float)
    if not len(there) or not np.isfinite(there).all() or there.max() <= 0:
        return None
    return pack_spectrum(there, points)


def _rows(found: xr.Dataset) -> list[dict[str, Any]]:
    """The table: each layer at the first and the last measurement."""
    rows = []
    for at in range(found.sizes["matrix"]):
        one = found.isel(matrix=at)
        slices = int(one.slices)
        rows.append(
            {
                "name": str(one.matrix.values),
                "kind": str(one.kind.values),
                "shape": f"{int(one.rows)} × {int(one.cols)}" + (f" × {slices}" if slices > 1 else ""),
                "first": str(one.phase.values[0]),
                "last": str(one.phase.values[-1]),
                "note": str(one.note.values[-1]),
                "figures": [
                    json_number(value)
                    for value in (
                        one.null_alpha_hill.item(),
                        one.pl_alpha_hill.values[-1],
                        one.z_hill.values[-1],
                        one.pl_alpha_ks.values[-1],
                        one.z_ks.values[-1],
                        one.spectral_gap.values[-1],
                    )
                ],
            }
        )
    return rows


def _events(found: xr.Dataset) -> list[dict[str, Any]]:
    steps, names = found.step.values.tolist(), [str(name) for name in found.matrix.values]
    return [
        {
            "at": steps.index(event.step),
            "layer": names.index(event.matrix),
            "step": event.step,
            "name": event.matrix,
            "change": event.text,
        }
        for event in events(found)
        if event.step in steps and event.matrix in names
    ]
