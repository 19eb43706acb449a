"""Overlap matrices as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike

from spectail.errors import SettingError, unknown_name
from spectail.plots.colours import MARKED
from spectail.plots.look import new_axes
from spectail.plots.selection import recording_of


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
    >>> ax.figure.axes[-1].get_ylabel()
    'squared overlap'
    """
    run = recording_of(x)
    if "pair" not in run.sizes:
        raise SettingError("the recording has no overlaps; run an experiment with overlaps=((1, 0), …)")
    if side not in ("left", "right"):
        raise SettingError(unknown_name("side", side, ("left", "right")))
    at, ax = run.isel(pair=pair), ax or new_axes()
    image = draw_overlaps(ax, at[f"overlap_{side}"].values)
    ax.set_title(title_of_overlaps(at, side), loc="left")
    ax.figure.colorbar(image, ax=ax, label="squared overlap")
    return ax


def overlap_symbol(side: str, w_step: int, m_step: int) -> str:
    """O(U_W, U_M) or O(V_W, V_M) of two steps, as mathtext."""
    role = "U" if side == "left" else "V"
    return rf"$O({role}_{{W_{{{w_step}}}}}, {role}_{{M_{{{m_step}}}}})$"


def title_of_overlaps(at: xr.Dataset, side: str) -> str:
    """What the overlaps of one pair of steps are of, and their largest entry."""
    symbol = overlap_symbol(side, int(at["w_step"]), int(at["m_step"]))
    return f"{symbol}, max {float(at[f'overlap_{side}_max']):.2g}"


def draw_overlaps(ax: Axes, overlaps: ArrayLike, size: int = 50) -> QuadMesh:
    """The leading block of an overlap matrix, strongest directions at the upper left.

    Args:
        ax: where to draw.
        overlaps: O (b × b), rows for W, columns for M.
        size: how many directions of each to show.

    Returns:
        the image, for a colour bar; the scale is logarithmic from 1e-4 to 1.
    """
    block = np.asarray(overlaps)[:size, :size]
    rows, cols = block.shape
    image = ax.pcolormesh(
        np.arange(cols + 1) + 0.5, np.arange(rows + 1) + 0.5, np.maximum(block, 1e-12), norm=LogNorm(1e-4, 1.0),
        cmap="cividis", rasterized=True,
    )  # fmt: skip
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.set_xlabel("direction of $M$")
    ax.set_ylabel("direction of $W$")
    i, j = np.unravel_index(int(np.argmax(block)), block.shape)
    ax.plot(j + 1, i + 1, "s", mfc="none", mec=MARKED, ms=5)
    return image
