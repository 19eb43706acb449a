"""Cells in the colours of their phases: of matrices over steps, of results over two axes.

Not here: which colours these are (`colours`), and the axes that cells lie on (`recording_plot`, `results_plot`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from numpy.typing import NDArray

from spectail.plots.colours import PHASES


def phase_numbers(phases: NDArray[Any]) -> NDArray[np.float64]:
    """Each phase as its place in the palette, one that is not known there as the last; NaN where there is none."""
    places = {name: place for place, name in enumerate(PHASES)} | {"": np.nan}
    numbers: NDArray[np.float64] = np.vectorize(lambda p: places.get(str(p), len(PHASES) - 1), otypes=[float])(phases)
    return numbers


def draw_phase_cells(ax: Axes, columns: NDArray[Any], rows: NDArray[Any], numbers: NDArray[np.float64]) -> Axes:
    """Draw phases between the edges of columns and rows; nothing where a number is NaN."""
    colours = ListedColormap([colour for colour, *_ in PHASES.values()])
    norm = BoundaryNorm(np.arange(len(PHASES) + 1) - 0.5, len(PHASES))
    ax.pcolormesh(columns, rows, np.ma.masked_invalid(numbers), cmap=colours, norm=norm, rasterized=True)
    return ax
