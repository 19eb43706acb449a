"""Overlap matrices as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike, NDArray

from spectail.analysis.two_layer_nulls import ChanceOfOverlaps, largest_overlap, overlaps_of_pair
from spectail.errors import SettingError, unknown_name
from spectail.plots.colours import LAW, MARKED
from spectail.plots.look import in_style, new_axes
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


def overlap_symbol(side: str, w_step: int, m_step: int) -> str:
    """O(U_W, U_M) or O(V_W, V_M) of two steps, as mathtext."""
    role = "U" if side == "left" else "V"
    return rf"$O({role}_{{W_{{{w_step}}}}}, {role}_{{M_{{{m_step}}}}})$"


def title_of_overlaps(run: xr.Dataset, pair: int, side: str) -> str:
    """What the overlaps of one pair of steps are of, and their largest entry beside that of independent directions."""
    overlaps, chance = overlaps_of_pair(run, pair, side)
    symbol = overlap_symbol(side, int(run["w_step"][pair]), int(run["m_step"][pair]))
    return f"{symbol}, max {largest_overlap(overlaps):.2g} (by chance {chance.largest:.2g})"


def draw_overlaps(ax: Axes, overlaps: ArrayLike, size: int = 50) -> QuadMesh:
    """The leading block of an overlap matrix, strongest directions at the upper left.

    Args:
        ax: where to draw.
        overlaps: O (b × b), rows for W, columns for M; NaN past a rank, where the picture is empty and says so.
        size: how many directions of each to show.

    Returns:
        the image, for a colour bar; the scale is logarithmic from 1e-4 to 1.
    """
    block = np.asarray(overlaps, dtype=np.float64)[:size, :size]
    rows, cols = block.shape
    image = ax.pcolormesh(
        np.arange(cols + 1) + 0.5, np.arange(rows + 1) + 0.5, np.maximum(block, 1e-12), norm=LogNorm(1e-4, 1.0),
        cmap="cividis", rasterized=True,
    )  # fmt: skip
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.set_xlabel("direction of $M$")
    ax.set_ylabel("direction of $W$")
    known = np.isfinite(block)
    if known.any():
        i, j = np.unravel_index(int(np.nanargmax(block)), block.shape)
        ax.plot(j + 1, i + 1, "s", mfc="none", mec=MARKED, ms=5)
    _draw_ranks(ax, known)
    return image


def _draw_ranks(ax: Axes, known: NDArray[np.bool_]) -> None:
    """Say in the empty part of a block that it lies past the rank of W or M."""
    rows, cols = known.shape
    of_w, of_m = int(known.any(1).sum()), int(known.any(0).sum())
    look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": "small", "color": LAW}
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


def draw_overlap_bar(
    image: QuadMesh, axes: Sequence[Axes], chances: Iterable[ChanceOfOverlaps], **options: Any
) -> Colorbar:  # fmt: skip
    """The colour bar of overlaps, with lines at what independent directions have.

    Args:
        image: one of the pictures beside it.
        axes: of all of them.
        chances: of each picture: the mean entry, and the largest on average.
        **options: as `figure.colorbar` takes.
    """
    bar = axes[0].figure.colorbar(image, ax=list(axes), **options)
    bar.set_label("squared overlap\n(lines: by chance,\nmean and largest)", fontsize="small", linespacing=1.3)
    for level in sorted({level for chance in chances for level in chance if np.isfinite(level)}):
        for colour, width in (("white", 2.6), (MARKED, 1.2)):
            bar.ax.axhline(level, color=colour, lw=width)
    return bar
