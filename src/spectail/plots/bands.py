"""Curves with bands over repeats.

Not here: where the band of a null lies (`analysis/null_bands.py`).
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from spectail.plots.colours import FRAME, LAW


def draw_band(
    ax: Axes, x: ArrayLike, repeats: ArrayLike, *, color: str, marker: str = "o", linestyle: str = "-", label: str = ""
) -> Axes:
    """Mean over repeats, with a band of ± one population standard deviation (ddof 0, as in the paper).

    Args:
        ax: where to draw.
        x: positions (k).
        repeats: values (repeats × k); NaN where a run has none.
        color: of the mean and its band.
        marker: of the mean.
        linestyle: of the mean.
        label: legend entry of the mean.
    """
    values = np.atleast_2d(np.asarray(repeats, dtype=np.float64))
    x = np.asarray(x, dtype=np.float64)
    measured = np.isfinite(values).any(0)
    mean, std = np.full(len(x), np.nan), np.full(len(x), np.nan)
    mean[measured], std[measured] = np.nanmean(values[:, measured], 0), np.nanstd(values[:, measured], 0)
    ax.plot(x, mean, color=color, marker=marker, ls=linestyle, label=label)
    ax.fill_between(x, mean - std, mean + std, color=color, alpha=0.18, lw=0)
    return ax


def draw_null(ax: Axes, x: ArrayLike, band: ArrayLike, *, color: str = FRAME, label: str = "") -> Axes:
    """What a quantity is by chance: a band of two standard deviations, and a dotted line at the typical value.

    Args:
        ax: where to draw.
        x: positions (k).
        band: its foot, the typical value and its top, at each position (3 × k) or the same at all (3); NaN where it
            is not known.
        color: of both; other bands than grey ones are hatched, so that none is taken for one over repeats.
        label: legend entry of the band.
    """
    x = np.asarray(x, dtype=np.float64)
    low, typical, high = np.broadcast_to(np.asarray(band, dtype=np.float64).reshape(3, -1), (3, len(x)))
    if np.isfinite(typical).any():
        if color == FRAME:
            ax.fill_between(x, low, high, color=color, alpha=0.22, lw=0, label=label, zorder=0)
        else:
            ax.fill_between(
                x, low, high, facecolor="none", edgecolor=(color, 0.5), hatch="////", lw=0, label=label, zorder=0
            )
        ax.plot(x, typical, color=LAW if color == FRAME else color, lw=0.9, ls=":", zorder=1, label="_")
    return ax


def lr_axis(ax: Axes, note: str = "") -> Axes:
    """A logarithmic axis of learning rates."""
    ax.set_xscale("log")
    ax.set_xlabel(rf"learning rate $\eta${note}")
    return ax


def draw_untrained_hill(ax: Axes, alpha: float) -> Axes:
    """The Hill exponent of the Marchenko–Pastur law: what an untrained matrix of the shape has."""
    ax.axhline(alpha, color=LAW, lw=0.9, ls="--", label=f"untrained (Marchenko–Pastur) {alpha:.3f}")
    return ax
