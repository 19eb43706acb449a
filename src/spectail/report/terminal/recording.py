"""How a recording of any kind is printed: its answer first, its numbers, what to know before trusting them.

Not here: how numbers are worded, and what the answer is (`analysis/summary.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from spectail.analysis.analysis_objects import skipped_of
from spectail.analysis.event_groups import event_lines
from spectail.analysis.name_lists import how_many, shortened
from spectail.analysis.null_cache import nulls_of_shape
from spectail.analysis.row import SHORT_TAIL_NOTE
from spectail.analysis.summary import summarize
from spectail.analysis.two_layer_nulls import OF_OVERLAPS, overlaps_in_numbers, with_null_alignments
from spectail.plots.colours import phase_look
from spectail.recording.events import events
from spectail.recording.layout import frame, of_tensor
from spectail.recording.quantities import Quantity, quantities_of, quantity
from spectail.recording.tensors import name_of_weights
from spectail.report.row_choice import ALL_ROWS, RowChoice
from spectail.report.terminal.tables import console, print_paths, print_table
from spectail.report.wording import (
    IN_BRACKETS,
    duration,
    number_text,
    recording_title,
    shown_quantities,
    skipped_by_reason,
    with_null,
)
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.phases import FEWEST_EIGENVALUES
from spectail.spectra.tails import SHORT_TAIL
from spectail.weights.matrix import Skipped

_HILL = quantity("pl_alpha_hill")
_FIRST = Quantity(f"{_HILL.name} at first", head="at first")
_SHAPE = Quantity("shape", of="matrix", dtype=str, head="shape")  # two columns in one, which is narrower

_NOTES, _EVENTS = 12, 8  # printed, as many overlaps as notes; the files hold all


def print_recording(
    recording: xr.Dataset,
    paths: Sequence[Path] = (),
    *,
    was_there: bool = False,
    choice: RowChoice = ALL_ROWS,
    everything: bool = False,
) -> None:
    """Print what a recording holds: its steps where it is of one matrix, else the last row of each matrix.

    Args:
        recording: of any kind.
        paths: of the files that hold it and its pictures.
        was_there: whether the recording was there already.
        choice: which rows of the table are shown.
        everything: whether all columns, notes and events are shown, however wide and long that is.
    """
    out, title, steps = console(), recording_title(recording), recording["step"].values.tolist()
    skipped, whole = skipped_of(recording), recording
    if "matrix" in recording.dims:
        recording = of_tensor(recording, "weights")
        rows = frame(recording)
        first, *further = summarize(recording).lines(out.width)
        out.print(Text(first, style="bold"), soft_wrap=True)
        for line in further:
            out.print(Text(line), soft_wrap=True)
        for line in event_lines(events(recording), out.width - 2, 10**6 if everything else _EVENTS):
            out.print(Text(f"  {line}"), soft_wrap=True)
        if "update" in recording.dims:
            updates = recording["update"].values.tolist()
            _print_table("", "updates", updates, recording, _present(recording, "training"))
        rows["shape"] = [f"{h}×{d}" for h, d in zip(rows["rows"], rows["cols"], strict=True)] if "rows" in rows else ""
        no_room = {"cols", *(["cause"] if "explained_by" in rows else [])}  # shuffles have a finer word
        shown = [_SHAPE if q.name == "rows" else q for q in shown_quantities(recording) if q.name not in no_room]
        if len(steps) > 1:  # of a training, the exponent at first tells more than the kind; a line holds one of them
            rows[_FIRST.name] = frame(recording, 0)[_HILL.name]
            instead = {"kind": (), _HILL.name: (_HILL, _FIRST)}
            shown = [one for q in shown for one in instead.get(q.name, (q,))]
        rows, count = rows.iloc[choice.of(rows, len(rows))], len(rows)
        title = ", ".join([f"at step {steps[-1]}"] * (len(steps) > 1) + _shown_of(len(rows), count, "matrices"))
        shown = _print_table(title, "matrix", rows["name"], rows, shown, everything)
        for tensor in _SYMBOLS:
            if (applied := of_tensor(whole, tensor)).sizes["matrix"]:
                known = {q.name for q in shown}
                shown = [*shown, *(q for q in _print_applied(applied, tensor) if q.name not in known)]
        notes, tails = zip(rows["name"], rows.get("note", ()), strict=False), rows.get("tail_size", ())
    else:
        recording = with_null_alignments(recording)
        shown = _present(recording, "teacher", "readout", "update", "spectrum")
        of_steps = recording.isel(step=choice.of(recording, len(steps)))
        said = next(group.words for group in summarize(recording).groups if group.names)
        out.print(Text(f"{title}: {said}{f' at step {steps[-1]}' * (len(steps) > 1)}", style="bold"), soft_wrap=True)
        title = "".join(_shown_of(of_steps.sizes["step"], len(steps), "steps"))
        shown = _print_table(title, "step", of_steps["step"].values.tolist(), of_steps, shown, everything)
        if of_pairs := overlaps_in_numbers(recording):
            few = of_pairs if everything else of_pairs[:_NOTES]
            title = "".join(_shown_of(len(few), len(of_pairs), "overlaps"))
            overlaps = pd.DataFrame(few).to_dict("list")
            shown += _print_table(title, "overlaps", overlaps["name"], overlaps, OF_OVERLAPS, everything)
        notes, tails = zip((f"step {step}" for step in steps), recording["note"].values, strict=True), ()
        out.print(_untrained(recording), style="dim")
    _print_meanings(shown)
    _print_notes(notes, tails, 10**6 if everything else _NOTES)
    if skipped is not None:
        _print_skipped(skipped)
    for sentence in json.loads(recording.attrs.get("left_out", "[]")):
        out.print(Text(sentence, style="yellow"), soft_wrap=True)
    if "diverged_at" in recording.attrs:
        out.print(f"It diverged at step {recording.attrs['diverged_at']}; what came before is kept.", style="yellow")
    if "wall_time" in recording.attrs:
        time = duration(float(recording.attrs["wall_time"]))
        out.print(f"found, not computed again (it took {time})" if was_there else f"it took {time}", style="dim")
    if paths:
        print_paths(paths, see=paths[0] if paths[0].suffix == ".nc" else "")


def _shown_of(shown: int, count: int, noun: str) -> list[str]:
    return [f"{shown} of {count} {noun}"] if shown < count else []


_SYMBOLS = {"updates": "ΔW", "gradients": "G", "momentum": "M"}
"""Tensors with a table of their own, and what they are called in its heads."""

_OF_APPLIED = {
    **{"frobenius_norm": "‖{}‖_F", "spectral_norm": "‖{}‖₂", "effective_rank": "eff. rank"},
    **{f"update_overlap_{side}": "" for side in ("left", "right")},
    **{f"leading_overlap_{side}": "" for side in ("left", "right")},
}
"""Quantities that such a table shows: the head of each, with {} for the symbol; "" for the usual head."""


def _print_applied(applied: xr.Dataset, tensor: str) -> list[Quantity]:
    """What was applied last: of a series, what changed from a checkpoint to the next. Returns the columns."""
    heads = {name: head.format(_SYMBOLS[tensor]) for name, head in _OF_APPLIED.items()}
    shown = [replace(quantity(name), head=head or quantity(name).head) for name, head in heads.items()]
    steps = applied["step"].values.tolist()
    at = max(np.flatnonzero(applied["frobenius_norm"].notnull().any("matrix").values), default=-1)
    rows = frame(applied, int(at))
    title = f"{tensor} at step {steps[at]}" if at >= 0 else f"no {tensor}"
    if applied.attrs["of"] == "series" and at > 0:
        title = f"update from step {steps[at - 1]} to {steps[at]}"
    names = [name_of_weights(str(name)) for name in rows["name"]]
    some = [q for q in shown if q.name in rows and rows[q.name].notna().any()]
    return _print_table(title, "matrix", names, rows, some)


def _untrained(run: xr.Dataset) -> str:
    """What an untrained matrix of a two-layer run's shape has, in words: its Hill exponent and stable rank."""
    rows, cols = int(run["rows"]), int(run["cols"])
    untrained = f"Hill of an untrained matrix of this shape: {MarchenkoPastur(rows, cols).hill():.3f}"
    if min(rows, cols) < FEWEST_EIGENVALUES:
        return untrained
    rank = min(rows, cols) * math.exp(nulls_of_shape(rows, cols).stable_rank.mean)
    return f"{untrained}, its stable rank: {rank:.4g}"


def _present(recording: xr.Dataset, *of: str) -> list[Quantity]:
    """The quantities with a head that a recording holds, by what they are measured from."""
    return [q for q in quantities_of(recording) if q.head and q.of in of]


def _print_table(
    title: str, first: str, names: Iterable[Any], values: Any, shown: Sequence[Quantity], everything: bool = False
) -> list[Quantity]:
    """One line a name, one column a quantity, with its null in brackets; what has no room is left out, and named.

    Returns:
        the quantities that have a column.
    """
    labels = [str(name) for name in names]
    columns = {q.name: _cells(values, q) for q in shown}
    widths = {q.name: max(map(cell_len, [q.head, *columns[q.name]])) + 2 for q in shown}
    room = 2 + 2 + min(max(map(cell_len, [first, *labels])), _NAME)
    out = console(room + sum(widths.values()))
    if everything:
        out.width = max(out.width, 4 + max(map(cell_len, [first, *labels])) + sum(widths.values()))
    others = [q.name for q in reversed(shown) if q.name not in (*_LEFT_OUT_FIRST, *_LEFT_OUT_LAST)]
    order = [name for name in (*_LEFT_OUT_FIRST, *others, *_LEFT_OUT_LAST) if name in widths]
    left_out: set[str] = set()
    while room + sum(width for name, width in widths.items() if name not in left_out) > out.width and len(order) > 1:
        left_out.add(order.pop(0))
    fitting = [q for q in shown if q.name not in left_out]
    room_of_name = out.width - 4 - sum(widths[q.name] for q in fitting)
    labels = [shortened(label, labels, room_of_name) for label in labels] if first == "matrix" else labels
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold", ratio=1 if first == "matrix" else None)
    for q in fitting:
        table.add_column(Text(q.head), justify="left" if q.dtype is str else "right", no_wrap=True)
    for at, label in enumerate(labels):
        cells = [(columns[q.name][at], q) for q in fitting]
        table.add_row(Text(label), *(Text(text, style=_style(text) if q.drawn == "phase" else "") for text, q in cells))
    out.print(table)
    if left_out:
        heads = ", ".join(q.head for q in shown if q.name in left_out)
        out.print(Text(f"left out for lack of room: {heads}"), style="dim")
    return fitting


_NAME = 30  # columns that the name of a matrix takes at most, where there are too few

_LEFT_OUT_FIRST = (
    "kind", "pl_alpha_ks", "spectral_gap", "objective", "top_overlap_right", "top_overlap_left", "stable_rank",
    "n_spikes",
)  # fmt: skip

_LEFT_OUT_LAST = ("effect", "z_hill", "pl_alpha_hill", "phase")


def _cells(values: Any, q: Quantity) -> list[str]:
    """The texts of a column."""
    column = np.asarray(values[q.name]).tolist()
    if q.dtype is str:
        return [str(value) for value in column]
    texts = [number_text(value if q.dtype is float or pd.isna(value) else int(value), 3) for value in column]
    nulls = np.asarray(values[q.null]).tolist() if q.null and q.null in values else [None] * len(texts)
    return [with_null(text, null, 3) for text, null in zip(texts, nulls, strict=True)]


def _style(phase: str) -> str:
    return phase_look(phase)[2]


def _print_meanings(shown: Sequence[Quantity]) -> None:
    """What the heads of numbers mean."""
    numbers = [q for q in shown if q.text and q.dtype is not str]
    sentences = [f"{q.head}: {q.text.replace('; ', ', ')}" for q in numbers]
    sentences += [IN_BRACKETS] if any(q.null for q in numbers) else []
    console().print(Text("; ".join(sentences), style="dim"))


def _print_notes(notes: Iterable[tuple[str, Any]], tails: Any, most: int) -> None:
    """The notes of the rows, `most` at most; of notes on short tails, which the table shows, only their count."""
    out = console()
    short = int((pd.Series(tails, dtype=float) < SHORT_TAIL).sum())
    if short:
        rest, those = ("fit rests", "that exponent") if short == 1 else ("fits rest", "those exponents")
        out.print(f"{short} KS {rest} on fewer than {SHORT_TAIL} eigenvalues: do not trust {those}", style="yellow")
    lines = []
    for name, note in notes:
        text = "; ".join(part for part in str(note).split("; ") if not part.startswith(SHORT_TAIL_NOTE))
        lines += [f"{name}: {text}"] if text else []
    for line in lines[:most]:
        out.print(Text(line, style="yellow"), soft_wrap=True)
    if len(lines) > most:
        out.print(f"… and {len(lines) - most} more notes", style="yellow")


def _print_skipped(skipped: Sequence[Skipped]) -> None:
    out = console()
    out.print(f"skipped {how_many(len(skipped), 'parameter')}:" if skipped else "nothing was skipped")
    for reason, names in skipped_by_reason(skipped):
        out.print(Text(f"  {reason} – {names}"), soft_wrap=True)


def print_rolled_up(table: pd.DataFrame) -> None:
    """Print a table of `Analysis.roll_up`."""
    heads = [str(name) for name in table.columns]
    rows = [
        tuple(value if isinstance(value, str) else number_text(value) for value in row)
        for row in table.itertuples(index=False)
    ]
    print_table(f"by {heads[0]}", [tuple(heads), *rows])
