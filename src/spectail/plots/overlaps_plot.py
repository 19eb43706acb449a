"""Overlap matrices as pictures."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike

from spectail.plots.colours import MARKED


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
