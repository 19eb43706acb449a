"""One quantity of several models over depth, matrix by matrix.

Not here: one model over depth (`quantities_plot`), and which matrices correspond (`analysis/side_by_side.py`).
"""

from __future__ import annotations

from itertools import cycle

import numpy as np
from matplotlib.axes import Axes

from spectail.analysis.side_by_side import BESIDE, SideBySide
from spectail.errors import SettingError, unknown_name
from spectail.plots.colours import FRAME, SERIES
from spectail.plots.look import in_style, new_axes, own_legend, quantity_label
from spectail.recording.quantities import quantity

_NAMED = 12  # matrices whose names fit below an axis

_DRAWN = tuple(name for name in BESIDE if name != "phase")


@in_style
def side_by_side(x: SideBySide, name: str = "effect", *, ax: Axes | None = None) -> Axes:
    """A quantity of every matrix in several models, those of one name above each other.

    Args:
        x: what `compare` of several models gives.
        name: one of its quantities.
        ax: where to draw; a new figure without it.

    Returns:
        the axes drawn on.

    Raises:
        SettingError: there is no such quantity.

    >>> import spectail, torch
    >>> both = spectail.compare({"a": {"w": torch.eye(30)}, "b": {"w": torch.eye(20)}}, nulls=False)
    >>> [line.get_label() for line in side_by_side(both, "stable_rank").lines]
    ['a', 'b']
    """
    if name not in _DRAWN:
        raise SettingError(unknown_name("quantity", name, _DRAWN))
    own, ax = ax is None, ax or new_axes()
    frame, places = x.frame, np.arange(len(x.frame))
    columns = np.array([[_number(v) for v in frame[f"{name}: {label}"]] for label in x.analyses])
    known = np.isfinite(columns).sum(0) > 1
    ends = np.where(known, columns, np.nan)[:, known]
    ax.vlines(places[known], np.nanmin(ends, 0), np.nanmax(ends, 0), color=FRAME, lw=0.8, zorder=1)
    aside = 0.12 * (np.arange(len(columns)) - (len(columns) - 1) / 2)  # equal ones would hide each other
    for (colour, marker), label, values, shift in zip(cycle(SERIES), x.analyses, columns, aside, strict=False):
        ax.plot(places + shift, values, marker, color=colour, ms=4.0, ls="none", label=label)
    if name in ("effect", "z_hill"):  # where untrained matrices lie
        ax.axhline(1.0 if name == "effect" else 0.0, color=FRAME, ls=":", lw=0.8)
    if len(frame) <= _NAMED:
        ax.set_xticks(places, list(frame["name"]), rotation=30, ha="right", rotation_mode="anchor")
    else:
        ax.set_xlabel("matrix, in the order of definition")
    ax.set_xlim(-0.6, len(frame) - 0.4)
    ax.set_ylabel(quantity_label(quantity(name)))
    own_legend(ax, own=own)
    return ax


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float | np.number) else np.nan
