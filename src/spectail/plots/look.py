"""One look for every figure: widths, fonts, letters, panels, titles, legends. Colours are in `colours`.

Not here: how a picture is saved (`picture_files`).
"""

from __future__ import annotations

import difflib
import io
import math
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from matplotlib.transforms import ScaledTranslation

from spectail.errors import SettingError, unknown_name
from spectail.plots.latex import PREAMBLE
from spectail.recording.quantities import Quantity

_Drawing = TypeVar("_Drawing", bound=Callable[..., Axes])

TEXT_WIDTH = 6.75
"""Width of a page's text, inches."""


@dataclass(frozen=True)
class Medium:
    """What a figure is for.

    Attributes:
        width: of the figure, inches.
        text: size of its text, points.
        small: size of its ticks, legends and notes, points.
        line: width of its lines, points.
    """

    width: float
    text: float
    small: float
    line: float


MEDIA = {
    "column": Medium(3.25, 7.5, 7.0, 1.0),
    "page": Medium(TEXT_WIDTH, 8.0, 7.0, 1.2),
    "talk": Medium(10.0, 15.0, 13.0, 2.2),
}

_WIDEST = 30.0  # inches

_NARROW = 5.0  # inches, below which panels are stacked anew

# Inches, where panels are stacked anew: the greatest height of all rows together, the least of a row, and the least of
# one where so many would not fit otherwise.
_STACK_HEIGHT, _PANEL_HEIGHT, _LOWEST_PANEL = 8.0, 1.5, 0.95

_PAGE_HEIGHT = 9.0  # inches, of a journal's page: title and legend make a narrow figure no higher

_WORD = r"(?:\$[^$]*\$|\S)+(?: = (?:\$[^$]*\$|\S)+)*"

_medium: ContextVar[Medium | None] = ContextVar("medium", default=None)


def medium_of(width: str | float) -> Medium:
    """What a figure of a width is drawn with.

    Args:
        width: "column", "page" or "talk"; or inches, with the text of a page, below 5 inches of a column.

    Raises:
        SettingError: it is none of these, or beyond reason.

    >>> medium_of("column").width, medium_of("5.5").text
    (3.25, 8.0)
    """
    if isinstance(width, str) and width in MEDIA:
        return MEDIA[width]
    try:
        inches = float(width)
    except ValueError:
        raise SettingError(unknown_name("width", str(width), [*MEDIA, "inches"])) from None
    if not 2.0 <= inches <= _WIDEST:  # NaN is neither
        raise SettingError(f"width={width} is not possible; expected 2 to {_WIDEST:g} inches, or {', '.join(MEDIA)}")
    return replace(MEDIA["page" if inches >= _NARROW else "column"], width=inches)


@contextmanager
def style(medium: str | float = "page", *, font: str | None = None, usetex: bool = False) -> Iterator[None]:
    """Draw inside with the project's look, without a screen; nothing changes outside.

    Args:
        medium: "column" of a two-column page, "page" for the width of its text, "talk" for a slide; or inches.
        font: "serif", "sans-serif", or the name of a font that matplotlib finds; matplotlib's own by default.
        usetex: whether LaTeX, which must be installed, sets all text.

    Raises:
        SettingError: the medium or the font is not known, or there is no LaTeX.

    >>> import spectail, matplotlib
    >>> with spectail.plots.style("talk"):
    ...     matplotlib.rcParams["font.size"]
    15.0
    """
    chosen = medium_of(medium)
    fonts = {} if font is None else _fonts(font)
    if usetex and (missing := [program for program in ("latex", "dvipng") if shutil.which(program) is None]):
        raise SettingError(f"usetex=True needs {' and '.join(missing)}, which is not installed")
    width, text, small, line = chosen.width, chosen.text, chosen.small, chosen.line
    settings: Any = {
        "figure.figsize": (width, 0.62 * width),
        "font.size": text,
        "axes.titlesize": text,
        "axes.labelsize": text,
        "legend.fontsize": small,
        "xtick.labelsize": small,
        "ytick.labelsize": small,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6 * line,
        "lines.linewidth": line,
        "lines.markersize": 2.9 * line,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "savefig.dpi": 200,
        "text.usetex": usetex,
        "text.latex.preamble": PREAMBLE if usetex else "",
        **fonts,
    }
    token = _medium.set(chosen)
    try:
        with matplotlib.rc_context(settings):
            yield
    finally:
        _medium.reset(token)


def _fonts(font: str) -> dict[str, Any]:
    """Settings of a font, with one behind it that has all symbols; LaTeX takes its own of the first family."""
    if font == "serif":
        return {"font.family": [font, "DejaVu Serif"], "font.serif": ["STIXGeneral"], "mathtext.fontset": "stix"}
    if font == "sans-serif":
        return {"font.family": [font], "font.sans-serif": ["DejaVu Sans"], "mathtext.fontset": "dejavusans"}
    known = font_manager.get_font_names()
    if font not in known:
        near = difflib.get_close_matches(font, known, n=3)
        raise SettingError(unknown_name("font", font, ["serif", "sans-serif", *near]))
    return {"font.family": ["sans-serif", "DejaVu Sans"], "font.sans-serif": [font]}


def small_print() -> float:
    """Size of notes and of whatever stands beside the text of a figure, points; never below 7 in a style."""
    return FontProperties(size=matplotlib.rcParams["legend.fontsize"]).get_size_in_points()


def new_figure(
    rows: int, cols: int, height: float, *, abreast: int = 2, count: int | None = None, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure as wide as the style has it, and its axes in reading order.

    In a figure that is as narrow as a column the panels are stacked anew, in the same order. The figure belongs to no
    window, so that drawing in a loop or a thread holds on to nothing.

    Args:
        rows: of axes.
        cols: of axes.
        height: inches, of a figure as wide as a page's text; others grow with their width or their letters.
        abreast: how many panels stand in a row at most, where they are stacked anew.
        count: panels, where the last row has fewer than the others.
        **options: of `Figure.subplots`.
    """
    medium, count = _medium.get() or MEDIA["page"], count or rows * cols
    width = medium.width
    if width >= _NARROW:
        height *= max(width / TEXT_WIDTH, medium.text / MEDIA["page"].text)
    elif cols == 1:
        height *= 0.7
    else:
        as_wide = min(1.0, (width / min(cols, abreast)) / (TEXT_WIDTH / cols))
        panel = max(as_wide * height / rows, _PANEL_HEIGHT)
        cols = min(cols, abreast)
        rows = -(-count // cols)
        height = min(rows * panel, max(_STACK_HEIGHT, rows * _LOWEST_PANEL))
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, cols, squeeze=False, **options).ravel().tolist()
    for ax in axes[count:]:
        ax.remove()
    return figure, axes[:count]


def plain_numbers(axis: Axis) -> None:
    """Numbers 1, 2, 5, 10 … beside a logarithmic axis that has hardly two powers of ten, and none between."""
    axis.set_major_locator(_PlainLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


class _PlainLocator(LogLocator):
    """As few round numbers as leave two in sight; matplotlib takes those of a linear axis, whose upper ones crowd."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        low, high = sorted((vmin, vmax))
        tens = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        for digits in ((1, 2, 5), (1, 2, 3, 5, 7)):
            ticks = np.outer(tens, digits).ravel()
            if np.count_nonzero((low <= ticks) & (ticks <= high)) > 1:
                return ticks
        return super().tick_values(vmin, vmax)  # so short a part is nearly linear


def is_narrow(ax: Axes) -> bool:
    """Whether the panels of its figure are stacked as in a column."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure.get_figwidth() < _NARROW


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
        with nullcontext() if ax is not None or _medium.get() else style():
            return draw(*args, ax=ax, **options)

    return cast(_Drawing, drawn)


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


def in_lines(text: str, inches: float, size: float) -> str:
    """A text in lines that are not wider than so many inches; words, formulas and "η = 2" stay whole."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in re.findall(_WORD, paragraph):
            longer = f"{line} {word}" if line else word
            if line and _width(longer, size) > 72 * inches:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)


def _width(text: str, size: float) -> float:
    """Width of a text as matplotlib sets it, points."""
    fonts = (matplotlib.rcParams[name] for name in ("font.family", "font.serif", "font.sans-serif"))
    return _unit_width(text, tuple(map(tuple, fonts))) * size


@lru_cache(maxsize=4096)
def _unit_width(text: str, fonts: tuple[tuple[str, ...], ...]) -> float:
    font = FontProperties(family=list(fonts[0]), size=100)
    width, *_ = text_to_path.get_text_width_height_descent(text, font, bool(is_math_text(text)))
    return float(width) / 100


def figure_title(figure: Figure, title: str) -> None:
    """Title a figure whose panels are drawn, and set title and labels in lines that fit."""
    size = matplotlib.rcParams["font.size"]
    for ax in figure.axes:
        if (place := ax.get_subplotspec()) is not None:
            grid = place.get_gridspec()
            width, height = figure.get_figwidth() / grid.ncols, figure.get_figheight() / grid.nrows
            ax.set_xlabel(in_lines(ax.get_xlabel(), width - 3 * size / 72, size))
            ax.set_ylabel(in_lines(ax.get_ylabel(), height - 2 * size / 72, size))
    before = len(figure.get_suptitle().splitlines())
    text = in_lines(title, 0.98 * figure.get_figwidth(), size)
    figure.suptitle(text, fontsize=size)
    _make_room(figure, len(text.splitlines()) - before, size)


def _make_room(figure: Figure, lines: int, size: float) -> None:
    """Add lines of letters to the height of a narrow figure, up to that of a page; a wide one has room for them."""
    if figure.get_figwidth() < _NARROW:
        height = figure.get_figheight()
        figure.set_figheight(max(height, min(height + 1.45 * lines * size / 72, _PAGE_HEIGHT)))


def panel_title(ax: Axes, index: int, title: str) -> Axes:
    """Title a panel as the paper does, in lines that fit: (a) what it shows."""
    return title_above(ax, f"({chr(ord('a') + index)}) {title}")


def title_above(ax: Axes, title: str) -> Axes:
    """Title a panel in small print, in lines that fit between its left edge and the next panel."""
    figure, place = ax.get_figure(root=True), ax.get_subplotspec()
    assert figure is not None
    columns = 1 if place is None else place.get_gridspec().ncols
    size = small_print()
    beside = 5.5 * size / 72  # numbers and label of its axis
    ax.set_title(in_lines(title, figure.get_figwidth() / columns - beside, size), loc="left", fontsize=size)
    return ax


def label_outer_panels(axes: Sequence[Axes]) -> None:
    """Labels of axes only where the panel to the left, or the one below, does not say the same.

    Args:
        axes: all of one grid, in reading order.
    """
    labels = [(ax.get_xlabel(), ax.get_ylabel()) for ax in axes]
    for index, ax in enumerate(axes):
        place = ax.get_subplotspec()
        assert place is not None
        if not place.is_first_col() and labels[index - 1][1] == labels[index][1]:
            ax.set_ylabel("")
        below = index + place.get_gridspec().ncols
        if below < len(axes) and labels[below][0] == labels[index][0]:
            ax.set_xlabel("")


def shared_legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend below all panels, with each entry once."""
    entries: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    size, width = small_print(), figure.get_figwidth()
    labels = [in_lines(label, width - 4 * size / 72, size) for label in entries]
    widest = max(_width(line, size) for label in labels for line in label.split("\n")) + 5 * size  # with its mark
    fit = max(int(72 * width / widest), 1)
    columns = math.ceil(len(entries) / math.ceil(len(entries) / fit))  # rows of one length
    rows = math.ceil(len(entries) / columns)
    _make_room(figure, sum(sorted((len(label.splitlines()) for label in labels), reverse=True)[:rows]), size)
    figure.legend(list(entries.values()), labels, loc="outside lower center", ncols=columns)


def legend_below(ax: Axes, columns: int) -> None:
    """A legend of one of several panels, below the label of its axis.

    Args:
        ax: the panel.
        columns: of its entries; half as many where panels are stacked anew.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    down = ScaledTranslation(0, -3.2 * matplotlib.rcParams["font.size"] / 72, figure.dpi_scale_trans)
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, 0.0), bbox_transform=ax.transAxes + down,
        ncols=columns // 2 if is_narrow(ax) else columns,
    )  # fmt: skip


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
