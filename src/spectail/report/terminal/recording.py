"""A recording on the terminal: its matrices, or the steps of the only one, and what to know of them.

Every kind is printed here, in the columns that the table of quantities names. Not here: how numbers are worded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from spectail.analysis.row import SHORT_TAIL
from spectail.experiments.experiment import experiment_of
from spectail.plots.colours import PHASES
from spectail.recording.layout import frame, frame_of_rows
from spectail.recording.quantities import Quantity, quantity
from spectail.report.terminal.tables import console, print_paths
from spectail.report.wording import duration, number_text, skipped_by_reason
from spectail.spectra.bulk import MarchenkoPastur
from spectail.weights.matrix import Skipped

_NOTES = 12  # printed; the files hold all


def print_recording(recording: xr.Dataset, paths: Sequence[Path] = (), *, stored: bool = False) -> None:
    """Print a recording of any kind.

    Args:
        recording: as it was computed or read.
        paths: files that were written.
        stored: whether the recording was there already.
    """
    title = str(recording.attrs.get("title", ""))
    if recording.attrs["of"] == "two-layer":
        _print_run(recording)
    else:
        if "update" in recording.dims:
            losses = _by(recording, "update")
            _print_table(title, "updates", losses, _columns(recording, losses), digits=4)
            title = f"after {int(recording['step'][-1])} updates"
        _print_matrices(title, recording)
    if "skipped" in recording.attrs:
        skipped = json.loads(recording.attrs["skipped"])
        _print_skipped([Skipped(one["name"], tuple(one["shape"]), one["reason"]) for one in skipped])
    if "wall_time" in recording.attrs:
        seconds = f"it took {duration(recording.attrs['wall_time'])}"
        console().print(f"found, not computed again; {seconds}" if stored else seconds, style="dim")
    if paths:
        print_paths(paths)


def _print_run(run: xr.Dataset) -> None:
    """A two-layer run, step by step."""
    e, steps = experiment_of(run), _by(run, "step")
    title = f"{e.optimizer}, η={e.lr:g}, n={e.n}, d={e.d}, h={e.h}, {e.protocol}, seed {e.seed}"
    title += f", numerics {e.numerics} of an earlier spectail" if e.outdated else ""
    _print_table(title, "step", steps, _columns(run, steps), digits=4)
    out = console()
    out.print(f"Hill of an untrained matrix of this shape: {MarchenkoPastur(e.h, e.d).hill():.3f}", style="dim")
    _print_notes(steps.assign(name="step " + steps["name"]))
    if "diverged_at" in run.attrs:
        out.print(f"The run diverged at step {run.attrs['diverged_at']}; what came before is kept.", style="yellow")


def _print_matrices(title: str, recording: xr.Dataset) -> None:
    """The matrices at the last step, and beside what is shown with its null, the first step."""
    matrices = frame(recording)
    columns = _columns(recording, matrices)
    if recording.sizes["step"] > 1:
        first = frame(recording, 0)
        for q in [q for q in columns if q.null in {one.name for one in columns}]:
            early = replace(q, name=f"{q.name} at first", head="at first", text="")
            matrices[early.name] = first[q.name]
            columns.insert(columns.index(q) + 1, early)
    if {"rows", "cols"} <= {*matrices}:
        matrices["shape"] = [f"{rows}×{cols}" for rows, cols in zip(matrices["rows"], matrices["cols"], strict=True)]
        columns = [q for q in columns if q.name not in ("rows", "cols")]
        columns.insert(1, Quantity("shape", head="shape"))
    _print_table(title, "matrix", matrices, columns)
    _print_notes(matrices)


def _by(recording: xr.Dataset, dim: str) -> pd.DataFrame:
    """What a recording of one matrix has over a dimension, one row each."""
    over = [str(name) for name, variable in recording.variables.items() if variable.dims == (dim,) and name != dim]
    labels = recording[dim].values
    return frame_of_rows(
        [{"name": str(label)} | {name: recording[name].values[at] for name in over} for at, label in enumerate(labels)]
    )


def _columns(recording: xr.Dataset, rows: pd.DataFrame) -> list[Quantity]:
    """The quantities that have a head, and of which something is known; each with its null behind."""
    known = [quantity(n, recording[n].attrs) for n in rows.columns if n != "name" and rows[n].notna().any()]
    shown = {q.name: q for q in known if q.head}
    nulls = {q.null for q in shown.values()}
    order = [name for q in shown.values() if q.name not in nulls for name in (q.name, q.null)]
    return [shown[name] for name in order if name in shown]


def _print_table(title: str, first: str, rows: pd.DataFrame, columns: Sequence[Quantity], digits: int = 3) -> None:
    """Rows under the heads of quantities, and what the heads mean."""
    out = console()
    out.print(Text(title, style="bold"), soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    for q in columns:
        table.add_column(
            Text(q.head), justify="left" if q.dtype is str and q.name != "shape" else "right", no_wrap=True
        )
    for row in rows.to_dict("records"):
        table.add_row(Text(str(row["name"])), *(_cell(row[q.name], digits) for q in columns))
    out.print(table)
    meanings = "; ".join(f"{q.head}: {q.text}" for q in columns if q.text and q.text != q.head and q.dtype is not str)
    out.print(Text(meanings, style="dim"))


def _cell(value: Any, digits: int) -> Text:
    if isinstance(value, str):
        return Text(value, style=PHASES[value][2] if value in PHASES else "")
    return Text(number_text(value, digits))


def _print_notes(rows: pd.DataFrame) -> None:
    """What the rows say; short tails, of which the table tells, as a count."""
    out = console()
    short = int((rows["tail_size"] < SHORT_TAIL).sum()) if "tail_size" in rows else 0
    if short:
        count = f"{short} KS fit rests" if short == 1 else f"{short} KS fits rest"
        warning = f"{count} on fewer than {SHORT_TAIL} eigenvalues: do not trust such an exponent"
        out.print(warning, style="yellow")
    notes = []
    for name, note in zip(rows["name"], rows.get("note", [""] * len(rows)), strict=True):
        beside = "; ".join(part for part in note.split("; ") if not part.startswith("KS tail of"))
        notes += [f"{name}: {beside}"] if beside else []
    for note in notes[:_NOTES]:
        out.print(Text(note, style="yellow"), soft_wrap=True)
    if len(notes) > _NOTES:
        out.print(f"… and {len(notes) - _NOTES} more notes", style="yellow")


def _print_skipped(skipped: Sequence[Skipped]) -> None:
    out = console()
    out.print(f"skipped {len(skipped)} parameters:" if skipped else "nothing was skipped")
    for reason, names in skipped_by_reason(skipped):
        out.print(Text(f"  {reason} – {names}"), soft_wrap=True)
