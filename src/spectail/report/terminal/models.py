"""Models side by side, on the terminal.

Not here: one model, and what changed from one to another (`recording`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spectail.analysis.name_lists import shortened
from spectail.analysis.side_by_side import SideBySide
from spectail.plots.colours import phase_look
from spectail.recording.quantities import quantity
from spectail.report.row_choice import RowChoice
from spectail.report.terminal.tables import console, print_paths
from spectail.report.wording import number_text

_SHOWN = ("phase", "effect", "distance")  # of each model, the last of all but the first; the files hold more

_NAME, _LABEL = 26, 20  # columns that the names of a matrix, where room is short, and of a model take at most

_WHOLE_NAMES: Any = {"break_long_words": False, "break_on_hyphens": False}

_KINDS = {"kind": "kind", "model": "model", "matrices": "n", "effect": "effect", "z_hill": "z", "stable_rank": "rank"}
"""Columns of the table of kinds and their heads, before the phases; the last ones are left out first."""


def print_models(models: SideBySide, choice: RowChoice, paths: Sequence[Path] = ()) -> None:
    """Print what is said of each model, a table of kinds, and a row a matrix.

    Args:
        models: side by side.
        choice: which rows are shown, by a column of the first model.
        paths: of the files that were written.
    """
    out, first = console(), next(iter(models.analyses))
    for line in models.summary().splitlines():
        for part in textwrap.wrap(line, out.width, subsequent_indent="    ", **_WHOLE_NAMES):
            out.print(Text(part), soft_wrap=True)
    _print_kinds(out, models.kinds)
    _print_matrices(out, models, _chosen(models, choice))
    out.print(
        Text(f"effect: {quantity('effect').text}; distance: how far log λ moves from {first}, scale apart"), style="dim"
    )
    if paths:
        print_paths(paths)


def models_answer(models: SideBySide, choice: RowChoice, paths: Sequence[Path] = ()) -> dict[str, Any]:
    """What `print_models` says, for JSON."""
    return {
        "models": list(models.analyses),
        "summary": models.summary().splitlines(),
        "kinds": models.kinds.to_dict("records"),
        "rows": _chosen(models, choice).to_dict("records"),
        "rows_in_all": len(models.frame),
        "written": paths,
    }


def _chosen(models: SideBySide, choice: RowChoice) -> Any:
    first = next(iter(models.analyses))
    frame = models.frame
    plain = {column.removesuffix(f": {first}"): frame[column] for column in frame.columns}
    return frame.iloc[choice.of(plain, len(frame))]


def _print_kinds(out: Console, kinds: Any) -> None:
    """A row a kind of layer and a model; what has no room is left out, and named."""
    cells = {name: _texts(kinds[name].tolist()) for name in (*_KINDS, "phases")}
    for name in ("kind", "model"):
        cells[name] = tuple(shortened(one, sorted({*cells[name]}), _LABEL) for one in cells[name])
    phases = max((cell_len(part) for text in cells["phases"] for part in text.split(", ")), default=0) + 3
    widths = {name: max(map(cell_len, [head, *cells[name]])) + 2 for name, head in _KINDS.items()}
    left_out: list[str] = []
    while 1 + phases + sum(widths.values()) > out.width and len(widths) > 2:
        left_out.insert(0, widths.popitem()[0])
    table = _table("by kind")
    for name in widths:
        table.add_column(_KINDS[name], justify="left" if name in ("kind", "model") else "right", no_wrap=True)
    table.add_column("phases")
    for row in zip(*(cells[name] for name in (*widths, "phases")), strict=True):
        table.add_row(*map(Text, row))
    out.print(table)
    if left_out:
        out.print(f"left out for lack of room: {', '.join(_KINDS[name] for name in left_out)}", style="dim")


def _print_matrices(out: Console, models: SideBySide, rows: Any) -> None:
    """A row a matrix, and as many models beside each other as there is room for; the others stand below, likewise."""
    (first, *_), count = models.analyses, len(models.frame)
    title = f"beside {first}" + (f", {len(rows)} of {count}" if len(rows) < count else "")
    names = [str(name) for name in rows["name"]]
    cells = {
        label: {name: _texts(rows[f"{name}: {label}"].tolist()) for name in _SHOWN if f"{name}: {label}" in rows}
        for label in models.analyses
    }
    heads = {label: shortened(label, [*cells], _LABEL) for label in cells}
    widths = {
        label: sum(
            2 + max(map(cell_len, [name, *texts, *([heads[label]] if name == _SHOWN[0] else [])]))
            for name, texts in columns.items()
        )
        for label, columns in cells.items()
    }
    room = min(max(map(cell_len, ["matrix", *names])), _NAME)
    for labels in _abreast(widths, out.width - 2 - room):
        left = max(out.width - 3 - sum(widths[label] for label in labels), min(room, 12))
        table = _table(title)
        table.add_column("\nmatrix", overflow="fold")
        for label in labels:
            for name in cells[label]:
                head = f"{heads[label] if name == _SHOWN[0] else ''}\n{name}"
                table.add_column(Text(head), justify="left" if name == _SHOWN[0] else "right", no_wrap=True)
        for at, name in enumerate(names):
            row = [(text[at], column) for label in labels for column, text in cells[label].items()]
            styled = [Text(text, style=phase_look(text)[2] if column == "phase" else "") for text, column in row]
            table.add_row(Text(shortened(name, names, left)), *styled)
        out.print(table)
        title = ""


def _abreast(widths: dict[str, int], room: int) -> Iterator[list[str]]:
    """Models in groups that fit beside each other, one in each at least."""
    group: list[str] = []
    for label, width in widths.items():
        if group and sum(widths[one] for one in group) + width > room:
            yield group
            group = []
        group.append(label)
    yield group


def _table(title: str) -> Table:
    return Table(title=Text(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(
        value if isinstance(value, str) else "–" if value is None else number_text(value, 3) for value in values
    )
