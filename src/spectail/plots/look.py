"""One look for every figure: fonts that embed, colours that the colour-blind can tell apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectail.files import write_whole

TEXT_WIDTH = 6.75
"""Width of a page's text, inches."""

_RC: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "savefig.dpi": 200,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw inside with the project's look, without a screen; nothing changes outside."""
    with matplotlib.rc_context(_RC):
        yield


def new_figure(rows: int, cols: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure as wide as a page's text, and its axes in reading order, lettered (a), (b), ...

    The figure belongs to no window, so that drawing in a loop or a thread holds on to nothing.
    """
    figure = Figure(figsize=(TEXT_WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, cols, squeeze=False).ravel().tolist()
    return figure, axes


def shared_legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend below all panels, with each entry once."""
    entries: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    columns = math.ceil(len(entries) / math.ceil(len(entries) / 5))  # rows of one length
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns)


def panel_title(ax: Axes, index: int, title: str) -> Axes:
    """Title a panel as the paper does: (a) what it shows."""
    ax.set_title(f"({chr(ord('a') + index)}) {title}", loc="left")
    return ax


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Save as PNG and PDF beside each other, each whole or not at all.

    Args:
        figure: what to save.
        path: where, without ending.

    Returns:
        the two paths.

    Raises:
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = []
    for ending in ("png", "pdf"):
        target = path.with_name(f"{path.name}.{ending}")
        metadata = {"CreationDate": None} if ending == "pdf" else {}
        with matplotlib.rc_context(_RC):
            write_whole(target, partial(figure.savefig, format=ending, metadata=metadata))
        figure.set_layout_engine(None)  # the layout found for the first file is good for the second
        saved.append(target)
    return saved
