"""The page and tables of models side by side. Not here: the page of each (`recording`)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from spectail.analysis.side_by_side import BESIDE, SideBySide
from spectail.files import write_content
from spectail.recording.spreadsheets import write_csv
from spectail.report.pages.template import plain_page
from spectail.report.wording import number_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DRAWN = ("effect", "z_hill", "stable_rank")


def save_models(models: SideBySide, folder: Path) -> list[Path]:
    """Write comparison.csv, kinds.csv, a picture a quantity, and comparison.html.

    Args:
        models: side by side.
        folder: where to.

    Returns:
        the paths; the page first.

    Raises:
        OSError: the folder cannot be written to.
    """
    from spectail.plots.picture_files import save_figure

    written, pictures = [], []
    for name in _DRAWN:
        if not any(models.frame[f"{name}: {label}"].notna().any() for label in models.analyses):
            continue
        with _drawn(models, name, "page") as figure:
            paths = save_figure(figure, folder / f"comparison-{name}")
        with _drawn(models, name, "column") as figure:  # letters of a page's width are too small on a phone
            figure.savefig(narrow := BytesIO(), format="png", dpi=200)
        written += paths
        pictures.append((name, *(base64.b64encode(one).decode() for one in (narrow.getvalue(), paths[0].read_bytes()))))
    page = plain_page(
        "models.html",
        labels=list(models.analyses),
        summary=models.summary(),
        pictures=pictures,
        tables=[("Kinds of layers", *_kinds(models)), ("Matrices", *_matrices(models))],
    )
    return [
        write_content(folder / "comparison.html", page),
        write_csv(models.frame, folder / "comparison.csv"),
        write_csv(models.kinds, folder / "kinds.csv"),
        *written,
    ]


@contextmanager
def _drawn(models: SideBySide, name: str, width: str) -> Iterator[Figure]:
    from matplotlib import pyplot

    from spectail.plots.look import style
    from spectail.plots.models_plot import side_by_side

    with style(width):
        figure = side_by_side(models, name).get_figure(root=True)
        assert figure is not None
        try:
            yield figure
        finally:
            pyplot.close(figure)


_Groups = list[tuple[list[str], list[list[str]]]]  # what stands before several rows, and these


def _kinds(models: SideBySide) -> tuple[list[str], _Groups]:
    """Heads, and the models below each other in each kind of layer."""
    table = models.kinds.set_index("kind")
    groups = [([kind], _cells(table.loc[[kind]])) for kind in dict.fromkeys(table.index)]
    return ["kind", *table.columns], groups


def _matrices(models: SideBySide) -> tuple[list[str], _Groups]:
    """Heads, and the models below each other in each matrix: beside each other more than two fit no page."""
    said = [*BESIDE, "distance"]
    groups = []
    for _, row in models.frame.iterrows():
        numbers = [[row.get(f"{one}: {label}") for one in said] for label in models.analyses]
        cells = [[label, *map(_text, one)] for label, one in zip(models.analyses, numbers, strict=True)]
        groups.append(([row["name"], row["kind"]], cells))
    return ["name", "kind", "model", *said], groups


def _cells(table: pd.DataFrame) -> list[list[str]]:
    return [[_text(value) for value in row] for row in table.itertuples(index=False)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "–" if value is None else number_text(value)
