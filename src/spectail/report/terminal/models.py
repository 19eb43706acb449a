"""Models side by side, on the terminal.

Not here: one model, and what changed from one to another (`recording`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from spectail.analysis.name_lists import shortened
from spectail.analysis.side_by_side import SideBySide
from spectail.recording.quantities import quantity
from spectail.report.row_choice import RowChoice
from spectail.report.terminal.tables import console, print_paths, print_table
from spectail.report.wording import number_text

_SHOWN = ("phase", "effect")  # of each model; the files hold more

_NAME = 40  # columns that a name takes at most


def print_models(models: SideBySide, choice: RowChoice, paths: Sequence[Path] = ()) -> None:
    """Print what is said of each model, a table of kinds, and a row a matrix.

    Args:
        models: side by side.
        choice: which rows are shown; a column is that of the first model.
        paths: of the files that were written.
    """
    out, (first, *others) = console(), models.analyses
    for line in models.summary().splitlines():
        out.print(Text(line), soft_wrap=True)
    heads = [str(name) for name in models.kinds.columns]
    print_table("by kind", [tuple(heads), *(_texts(row) for row in models.kinds.itertuples(index=False))])
    rows = _chosen(models, choice)
    names = [str(name) for name in rows["name"]]
    columns = [f"{name}: {label}" for label in models.analyses for name in _SHOWN]
    columns += [f"distance: {label}" for label in others]
    lines = [("matrix", *(_head(column) for column in columns))]
    for name, values in zip(names, rows[columns].itertuples(index=False), strict=True):
        lines.append((shortened(name, names, _NAME), *_texts(values)))
    print_table(f"beside {first}" + (f", {len(rows)} of {len(models.frame)}" * (len(rows) < len(models.frame))), lines)
    out.print(
        Text(f"effect: {quantity('effect').text}; distance: how far log λ moves from {first}, scale apart"), style="dim"
    )
    if paths:
        print_paths(paths)


def models_answer(models: SideBySide, choice: RowChoice, paths: Sequence[Path] = ()) -> dict[str, Any]:
    """The same for JSON."""
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


def _head(column: str) -> str:
    name, _, label = column.partition(": ")
    return f"{label}\n{name}"


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(
        value if isinstance(value, str) else "–" if value is None else number_text(value, 3) for value in values
    )
