"""The page of an analysed model: exponents over depth beside their nulls, and one spectrum a matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from spectail.files import write_whole
from spectail.networks.analyze import Analysis
from spectail.networks.cache import nulls_of_shape
from spectail.networks.change import OVERLAPS
from spectail.networks.row import FEWEST
from spectail.report.page import number, pack_spectrum, page
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
_FURTHER = {"p_value": "p", OVERLAPS[0]: "left overlap", OVERLAPS[1]: "right overlap"}
_CURVES = (
    "pl_alpha_hill", "pl_alpha_ks", "null_alpha_hill", "null_alpha_ks", "z_hill", "z_ks", "stable_rank", "xmin",
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
    data = [_matrix(row, spectrum, points) for row, spectrum in zip(rows, analysis.spectra, strict=True)]
    text = page(
        "analysis",
        data,
        title=analysis.title,
        command=command,
        columns=list(_shown(frame).values()),
        rows=[_table_row(index, row, frame) for index, row in enumerate(rows)],
        noted=sum(bool(row["note"]) for row in rows),
        skipped=frame.attrs["skipped"],
        changed=OVERLAPS[0] in frame,
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
            text, key = figure(row[name]), "" if pd.isna(row[name]) else f"{float(row[name]):.8g}"
        cells.append({"text": text, "key": key, "word": name in ("kind", "phase")})
    return {"index": index, "name": row["name"], "cells": cells, "note": row["note"]}


def figure(value: Any, digits: int = 4) -> str:
    """A number as a table shows it: some digits, a whole number whole, nothing as a dash.

    >>> figure(2.44912), figure(0.01234), figure(12345.6), figure(7), figure(float("nan"))
    ('2.449', '0.012', '12346', '7', '–')
    """
    if pd.isna(value):
        return "–"
    if isinstance(value, int | np.integer):
        return str(value)
    size = abs(value)
    if 1e-3 <= size < 10**digits:
        return f"{value:.{max(digits - 1 - max(math.floor(math.log10(size)), 0), 0)}f}"
    return "0" if size == 0 else f"{value:.0f}" if 1 <= size < 1e6 else f"{value:.{digits - 2}g}"


def _matrix(row: Mapping[str, Any], spectrum: Tensor, points: int) -> dict[str, Any]:
    """What the page draws of a matrix."""
    found = {name: _or_nothing(row[name]) for name in _CURVES}
    values = spectrum.numpy()
    sound = len(values) > 0 and values[-1] > 0
    slices = max(round(row["n_eigenvalues"] / min(row["rows"], row["cols"])), 1)
    null: dict[str, Any] = {"hill": None, "ks": None}
    if not math.isnan(row["null_alpha_hill"]) and row["n_eigenvalues"] >= FEWEST:
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
    return None if pd.isna(value) else number(float(value))


def summary_of(skipped: Sequence[Mapping[str, Any]], shown: int = 3) -> list[tuple[str, str]]:
    """Skipped parameters by reason: the reason, and how many there are with the first names."""
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        by_reason.setdefault(str(one["reason"]), []).append(str(one["name"]))
    return [
        (reason, f"{len(names)}: {', '.join(names[:shown])}{', …' if len(names) > shown else ''}")
        for reason, names in by_reason.items()
    ]
