"""The page and tables of models side by side. Not here: the page of each (`recording`)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pandas as pd

from spectail.analysis.side_by_side import SideBySide
from spectail.files import write_content
from spectail.recording.spreadsheets import write_csv
from spectail.report.pages.template import plain_page
from spectail.report.wording import number_text

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
    from matplotlib import pyplot

    from spectail.plots.look import style
    from spectail.plots.models_plot import side_by_side
    from spectail.plots.picture_files import save_figure

    written, pictures = [], []
    for name in _DRAWN:
        if not any(models.frame[f"{name}: {label}"].notna().any() for label in models.analyses):
            continue
        with style():
            figure, ax = pyplot.subplots(layout="constrained")
            side_by_side(models, name, ax=ax)
            ax.legend()
            paths = save_figure(figure, folder / f"comparison-{name}")
            pyplot.close(figure)
        written += paths
        pictures.append((name, base64.b64encode(paths[0].read_bytes()).decode()))
    tables = {"Kinds of layers": models.kinds, "Matrices": models.frame}
    page = plain_page(
        "models.html",
        labels=list(models.analyses),
        summary=models.summary(),
        pictures=pictures,
        tables=[(title, list(table.columns), _cells(table)) for title, table in tables.items()],
    )
    return [
        write_content(folder / "comparison.html", page),
        write_csv(models.frame, folder / "comparison.csv"),
        write_csv(models.kinds, folder / "kinds.csv"),
        *written,
    ]


def _cells(table: pd.DataFrame) -> list[list[str]]:
    return [[_text(value) for value in row] for row in table.itertuples(index=False)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "–" if value is None else number_text(value)
