"""One look for every figure: sizes, fonts that embed, letters, legends, saving. Colours are in `colours`."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from spectail.errors import SettingError, unknown_name
from spectail.files import write_whole
from spectail.recording.quantities import Quantity

_Drawing = TypeVar("_Drawing", bound=Callable[..., Axes])

TEXT_WIDTH = 6.75
"""Width of a page's text, inches."""

_SAVED: dict[Any, Any] = {"pdf.fonttype": 42, "ps.fonttype": 42, "savefig.dpi": 200}

# What a figure is for: its width in inches, the size of its text and the width of its lines in points.
_MEDIA = {"column": (3.3, 7.5, 1.0), "page": (TEXT_WIDTH, 8.0, 1.2), "talk": (10.0, 15.0, 2.2)}


@contextmanager
def style(medium: str = "page") -> Iterator[None]:
    """Draw inside with the project's look, without a screen; nothing changes outside.

    Args:
        medium: "column" of a two-column page, "page" for the width of its text, "talk" for a slide.

    Raises:
        SettingError: the medium is none of these.

    >>> import spectail, matplotlib
    >>> with spectail.plots.style("talk"):
    ...     matplotlib.rcParams["font.size"]
    15.0
    """
    if medium not in _MEDIA:
        raise SettingError(unknown_name("medium", medium, _MEDIA))
    width, text, line = _MEDIA[medium]
    with matplotlib.rc_context(
        {
            "figure.figsize": (width, 0.62 * width),
            "font.size": text,
            "axes.titlesize": text,
            "axes.labelsize": text,
            "legend.fontsize": 0.875 * text,
            "xtick.labelsize": text,
            "ytick.labelsize": text,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.6 * line,
            "lines.linewidth": line,
            "lines.markersize": 2.9 * line,
            **_SAVED,
        }
    ):
        yield


def new_figure(rows: int, cols: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure as wide as the style has it, and its axes in reading order.

    The figure belongs to no window, so that drawing in a loop or a thread holds on to nothing.

    Args:
        rows: of axes.
        cols: of axes.
        height: inches, of a figure as wide as a page's text; others are higher as they are wider.
        **options: of `Figure.subplots`.
    """
    width = matplotlib.rcParams["figure.figsize"][0]
    width = width if _styled() else TEXT_WIDTH
    figure = Figure(figsize=(width, height * width / TEXT_WIDTH), layout="constrained")
    axes = figure.subplots(rows, cols, squeeze=False, **options).ravel().tolist()
    return figure, axes


class ShownAxes(Axes):
    """Axes that a notebook shows as their whole figure, where they are the last expression of a cell."""

    def _repr_png_(self) -> bytes:
        figure = self.get_figure(root=True)
        assert figure is not None
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110)
        return picture.getvalue()


def new_axes() -> Axes:
    """Axes of a figure of their own."""
    return new_figure(1, 1, 4.0, subplot_kw={"axes_class": ShownAxes})[1][0]


def in_style(draw: _Drawing) -> _Drawing:
    """Let a function draw in the look of a page where it is given no `ax` and there is no style around.

    Colour bars and legends are made while it draws, so it is not enough to make the axes in that look.
    """

    @wraps(draw)
    def drawn(*args: Any, ax: Axes | None = None, **options: Any) -> Axes:
        with nullcontext() if ax is not None or _styled() else style():
            return draw(*args, ax=ax, **options)

    return cast(_Drawing, drawn)


def _styled() -> bool:
    return any(matplotlib.rcParams["figure.figsize"][0] == width for width, *_ in _MEDIA.values())


def quantity_label(q: Quantity) -> str:
    r"""The label of an axis: the symbol of a quantity as mathtext, and its unit.

    >>> from spectail.recording.quantities import quantity
    >>> quantity_label(quantity("pl_alpha_hill")), quantity_label(quantity("measuring_seconds"))
    ('α$_{\\mathrm{H}}$', 'time that the measurement took (s)')
    """
    unit = {"w": " (units of the weights)", "w²": " (squared units of the weights)"}.get(q.unit, f" ({q.unit})")
    return mathtext(q.symbol or q.text) + ("" if q.unit == "1" else unit)


def mathtext(text: str) -> str:
    """Text in Unicode with its subscripts, as in α_H, set as such."""
    return re.sub(r"_(\w+)", r"$_{\\mathrm{\1}}$", text)


def shared_legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend below all panels, with each entry once."""
    entries: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    longest = max(len(re.sub(r"\\[a-z]+", "x", label)) for label in entries) + 8  # letters; 8 for the mark
    size = FontProperties(size=matplotlib.rcParams["legend.fontsize"]).get_size_in_points()
    fit = max(int(72 * figure.get_figwidth() / (0.52 * size * longest)), 1)
    columns = math.ceil(len(entries) / math.ceil(len(entries) / fit))  # rows of one length
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns)


def own_legend(ax: Axes, *, own: bool) -> None:
    """The legend of one picture: below axes that are alone in a figure of ours, else where it hides least.

    Args:
        ax: the picture.
        own: whether the figure is ours, so that there is room for what stands outside of the axes.
    """
    if own:
        figure = ax.get_figure(root=True)
        assert figure is not None
        shared_legend(figure, [ax])
    elif ax.get_legend_handles_labels()[0]:
        ax.legend(loc="best")


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
        with matplotlib.rc_context(_SAVED):
            write_whole(target, partial(figure.savefig, format=ending, metadata=metadata))
        figure.set_layout_engine(None)  # the layout found for the first file is good for the second
        saved.append(target)
    return saved
