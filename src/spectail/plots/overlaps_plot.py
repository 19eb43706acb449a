"""Overlap matrices as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
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
    at, symbol = run.isel(pair=pair), "U" if side == "left" else "V"
    ax = ax or new_axes()
    image = draw_overlaps(ax, at[f"overlap_{side}"].values)
    s, t, largest = int(at["w_step"]), int(at["m_step"]), float(at[f"overlap_{side}_max"])
    ax.set_title(rf"$O({symbol}_{{W_{{{s}}}}}, {symbol}_{{M_{{{t}}}}})$, max {largest:.2g}", loc="left")
    ax.figure.colorbar(image, ax=ax, label="squared overlap")
    return ax


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
