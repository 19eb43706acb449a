"""How many eigenvalues are larger: a power law is a line there, whatever the bins of a density would be.

Not here: how power laws are fitted (`spectra/tails.py`), and densities (`spectrum_plot`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from spectail.errors import SettingError
from spectail.plots.colours import FINAL, INITIAL, TAIL
from spectail.plots.look import in_style, new_axes, own_legend
from spectail.plots.selection import at_step, one_matrix, recording_of
from spectail.recording.layout import eigenvalues_at


@in_style
def ccdf(x: Any, *, step: int = -1, matrix: str | None = None, ax: Axes | None = None) -> Axes:
    """The share of eigenvalues that are at least so large, on logarithmic axes, with the fitted power laws.

    Args:
        x: a recording of any kind, or an `Analysis`.
        step: the step itself; −1 is the last that was recorded.
        matrix: its name; not needed where there is only one.
        ax: where to draw; a new figure without it.

    Returns:
        the axes drawn on.

    Raises:
        SettingError: there is no such matrix or step, or its spectrum is not kept.

    >>> import spectail as sp
    >>> from torch import nn
    >>> ax = ccdf(sp.analyze(nn.Linear(300, 200)))
    >>> [line.get_label()[:2] for line in ax.get_lines()]
    ['ei', 'KS', 'Hi']
    """
    one = one_matrix(recording_of(x, "pl_alpha_ks", "ks_xmin", "pl_alpha_hill"), matrix)
    at, first = at_step(one, step), one.isel(step=0)
    values = eigenvalues_at(at) if "eigenvalues" in at else np.empty(0)
    values = values[values > 0]
    if not len(values):
        raise SettingError(f"{at['matrix'].item()} has no spectrum at step {int(at['step'])} to draw")
    own, ax = ax is None, ax or new_axes()
    if int(first["step"]) < int(at["step"]):
        _draw(ax, eigenvalues_at(first), INITIAL, f"step {int(first['step'])}")
    _draw(ax, values, FINAL, f"step {int(at['step'])}" if int(first["step"]) < int(at["step"]) else "eigenvalues")
    laws = {
        "KS": (float(at["pl_alpha_ks"]), float(at["ks_xmin"]), "-"),
        "Hill": (float(at["pl_alpha_hill"]), float(values[len(values) // 2]), "--"),
    }
    for name, (alpha, start, style) in laws.items():
        if math.isfinite(alpha) and math.isfinite(start):
            ends = np.array([start, values[-1]])
            share = float((values >= start * (1 - 1e-6)).mean())
            ax.plot(
                ends, share * (ends / start) ** (1 - alpha), style, color=TAIL, label=rf"{name} $\alpha$ = {alpha:.2f}"
            )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(0.5 / len(values), 1.5)
    ax.set_xlabel(r"$\lambda$")
    ax.set_ylabel("share at least as large")
    ax.set_title(f"{at['matrix'].item()}: {at['phase'].item()}", loc="left")
    own_legend(ax, own=own)
    return ax


def _draw(ax: Axes, eigenvalues: np.ndarray[Any, Any], colour: str, label: str) -> None:
    values = np.sort(eigenvalues[eigenvalues > 0])
    shares = np.arange(len(values), 0, -1) / max(len(values), 1)
    ax.plot(values, shares, ".", color=colour, ms=3, label=label)
