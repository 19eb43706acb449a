"""Overlap matrices as pictures.

Not here: how overlaps are computed (`spectra/overlaps.py`), and what they are by chance
(`analysis/two_layer_nulls.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import ArrayLike, NDArray

from spectail.analysis.two_layer_nulls import ChanceOfOverlaps, largest_overlap, overlaps_of_pair
from spectail.errors import SettingError, unknown_name
from spectail.plots.colours import LAW, MARKED
from spectail.plots.look import in_style, is_narrow, new_axes, small_print
from spectail.plots.selection import recording_of


@in_style
def overlaps(x: Any, *, pair: int = -1, side: str = "left", ax: Axes | None = None) -> Axes:
    """The overlaps of singular vectors of W with those of an update, of a two-layer run that recorded them.

    Args:
        x: the run.
        pair: index of the pair of steps; −1 is the last.
        side: "left" or "right" singular vectors.
        ax: where to draw; a new figure without it.

    Returns:
        the axes drawn on, with a colour bar beside them.

    Raises:
        SettingError: the recording has no overlaps, or not of this side.

    >>> import spectail as sp
    >>> ax = overlaps(sp.simulate(sp.Experiment(n=200, d=30, h=40, steps=1, overlaps=((1, 0),))))
    >>> ax.figure.axes[-1].get_ylabel().splitlines()
    ['squared overlap', '(lines: by chance,', 'mean and largest)']
    """
    run = recording_of(x)
    if "pair" not in run.sizes:
        raise SettingError("the recording has no overlaps; run an experiment with overlaps=((1, 0), …)")
    if side not in _SIDES:
        raise SettingError(unknown_name("side", side, _SIDES))
    ax = ax or new_axes()
    overlaps, chance = overlaps_of_pair(run, range(run.sizes["pair"])[pair], side)
    image = draw_overlaps(ax, overlaps)
    ax.set_title(title_of_overlaps(run, pair, side), loc="left")
    draw_overlap_bar(image, [ax], [chance])
    return ax


_SIDES = ("left", "right")

_MOST_CELLS = 61  # of a picture of all overlaps, a row, and one


def overlap_symbol(side: str, w_step: int, m_step: int) -> str:
    """O(U_W, U_M) or O(V_W, V_M) of two steps, as mathtext."""
    role = "U" if side == "left" else "V"
    return rf"$O({role}_{{W_{{{w_step}}}}}, {role}_{{M_{{{m_step}}}}})$"


def title_of_overlaps(run: xr.Dataset, pair: int, side: str) -> str:
    """What the overlaps of one pair of steps are of, and their largest entry beside that of independent directions."""
    overlaps, chance = overlaps_of_pair(run, pair, side)
    symbol = overlap_symbol(side, int(run["w_step"][pair]), int(run["m_step"][pair]))
    return f"{symbol}, max {largest_overlap(overlaps):.2g} (by chance {chance.largest:.2g})"


def draw_overlaps(ax: Axes, overlaps: ArrayLike, size: int | None = 50) -> QuadMesh:
    """The leading block of an overlap matrix, or all of it, strongest directions at the upper left.

    Args:
        ax: where to draw.
        overlaps: O (b × b), rows for W, columns for M; NaN past a rank, where the picture is empty and says so.
        size: how many directions of each to show; None for all, on logarithmic axes, where a cell shows the mean
            of the directions in it.

    Returns:
        the image, for a colour bar; the scale is logarithmic from 1e-4 to 1.
    """
    values = np.asarray(overlaps, dtype=np.float64)
    block = values[:size, :size] if size else values
    rows, cols = (np.arange(n + 1) if size else _cells(n) for n in block.shape)
    image = ax.pcolormesh(
        cols + 0.5, rows + 0.5, np.maximum(block if size else _means(block, rows, cols), 1e-12),
        norm=LogNorm(1e-4, 1.0), cmap="cividis", rasterized=True,
    )  # fmt: skip
    if not size:
        ax.set_xscale("log")
        ax.set_yscale("log")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.set_xlabel("direction of $M$")
    ax.set_ylabel("direction of $W$" if size else "direction of $W$\n(cells: means)")
    known = np.isfinite(block)
    if known.any():
        i, j = np.unravel_index(int(np.nanargmax(block)), block.shape)
        ax.plot(j + 1, i + 1, "s", mfc="none", mec=MARKED, ms=5)
    if size:
        _draw_ranks(ax, known)
    return image


def _cells(n: int) -> NDArray[np.int64]:
    """Where cells of n directions begin, growing geometrically, and where the last one ends."""
    return np.unique(np.geomspace(1, n + 1, _MOST_CELLS).round().astype(np.int64)) - 1


def _means(values: NDArray[np.float64], rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of what is known of each cell; NaN where nothing is."""
    known = np.isfinite(values)
    sums, counts = (
        np.add.reduceat(np.add.reduceat(v, rows[:-1], axis=0), cols[:-1], axis=1)
        for v in (np.where(known, values, 0.0), known.astype(np.float64))
    )
    return np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)


def _draw_ranks(ax: Axes, known: NDArray[np.bool_]) -> None:
    """Say in the empty part of a block that it lies past the rank of W or M."""
    rows, cols = known.shape
    of_w, of_m = int(known.any(1).sum()), int(known.any(0).sum())
    look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": small_print(), "color": LAW}
    if of_m < cols:
        ax.text(
            (of_m + cols + 1) / 2,
            (of_w + 1) / 2 if of_w else rows / 2,
            f"past the rank of $M$, {of_m}",
            rotation=90,
            **look,
        )
    if 0 < of_w < rows:
        ax.text((cols + 1) / 2, (of_w + rows + 1) / 2, f"past the rank of $W$, {of_w}", **look)


_BESIDE = "squared overlap\n(lines: by chance,\nmean and largest)"


def draw_overlap_bar(
    image: QuadMesh, axes: Sequence[Axes], chances: Iterable[ChanceOfOverlaps], **options: Any
) -> Colorbar:  # fmt: skip
    """The colour bar of overlaps, with lines at what independent directions have.

    Args:
        image: one of the pictures beside it.
        axes: of all pictures.
        chances: of each picture: the mean entry, and the largest on average.
        **options: as `figure.colorbar` takes.
    """
    below = is_narrow(axes[0]) and len(axes) > 1
    if below:
        options |= {"location": "bottom", "shrink": 1.0, "aspect": 30}
    bar = axes[0].figure.colorbar(image, ax=list(axes), **options)
    said = "squared overlap\n(lines: by chance, mean and largest)" if below else _BESIDE
    bar.set_label(said, fontsize=small_print(), linespacing=1.3)
    for level in sorted({level for chance in chances for level in chance if np.isfinite(level)}):
        for colour, width in (("white", 2.6), (MARKED, 1.2)):
            (bar.ax.axvline if below else bar.ax.axhline)(level, color=colour, lw=width)
    return bar
