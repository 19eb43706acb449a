"""One quantity over depth or over steps, beside what untrained matrices have.

Not here: several models (`models_plot`), several runs (`results_plot`), and where a null lies
(`analysis/null_bands.py`).
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spectail.analysis.completion import complete
from spectail.analysis.null_bands import null_band, word_of_null
from spectail.errors import SettingError
from spectail.plots.bands import draw_null
from spectail.plots.colours import FINAL, FRAME, LAW, PHASES, SERIES
from spectail.plots.evolution_plot import step_axis, step_positions
from spectail.plots.look import in_style, mathtext, new_axes, own_legend, plain_numbers, quantity_label
from spectail.plots.selection import at_step, one_matrix, recording_of
from spectail.recording.layout import each_matrix
from spectail.recording.quantities import Quantity, quantity

_NAMED = 12  # matrices whose names fit below an axis
_SIGNED_REACH = 100.0  # of z, past which a linear axis would hide small values


@in_style
def over_depth(x: Any, name: str = "pl_alpha_hill", *, step: int = -1, ax: Axes | None = None) -> Axes:
    """A quantity of every matrix, in the order of definition, in the colours and markers of the phases.

    Where the quantity has a null, a grey bar shows where untrained matrices of each shape lie, or independent
    directions (two standard deviations), and a dotted line the typical value.

    Args:
        x: a recording of any kind, or an `Analysis`.
        name: of the quantity; see `spectail.quantities`.
        step: the step itself; −1 is the last that was recorded.
        ax: where to draw; a new figure without it.

    Returns:
        the axes drawn on.

    Raises:
        SettingError: there is no such quantity or step.

    >>> import spectail as sp
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(50, 40), nn.Linear(40, 30))
    >>> ax = over_depth(sp.analyze(model, nulls=False), "stable_rank")
    >>> [tick.get_text() for tick in ax.get_xticklabels()]
    ['0.weight', '1.weight']
    """
    recording = recording_of(x, name, "phase")
    if not {*recording[name].dims} <= {"step", "matrix"} or recording[name].dtype.kind in "OSUT":
        raise SettingError(f"quantity={name!r} is not a number of each matrix; see spectail.quantities()")
    q = quantity(name, recording[name].attrs)
    if q.null and q.null not in recording.variables:
        recording = complete(recording)
    at = at_step(recording, step)
    rows = list(each_matrix(at))
    values, phases = [float(row[name]) for row in rows], [str(row["phase"].item()) for row in rows]
    own, ax = ax is None, ax or new_axes()
    _draw_nulls(ax, q, at)
    size = 5.0 if len(rows) <= 120 else 3.0
    for phase, (colour, marker, _) in PHASES.items():
        index = [i for i, value in enumerate(values) if phases[i] == phase and np.isfinite(value)]
        if index:
            ax.plot(
                index, [values[i] for i in index], marker, ms=size, color=colour, mec=LAW, mew=0.4, ls="none",
                label=phase, zorder=3,
            )  # fmt: skip
    _scale_of(ax, q, np.array(values))
    ax.set_xlim(-0.6, len(rows) - 0.4)
    if len(rows) <= _NAMED:
        names = [_short(str(row["matrix"].item())) for row in rows]
        ax.set_xticks(range(len(rows)), names, rotation=30, ha="right", rotation_mode="anchor")
    else:
        ax.set_xlabel("matrix, in the order of definition")
    ax.set_ylabel(quantity_label(q))
    own_legend(ax, own=own)
    return ax


@in_style
def over_steps(x: Any, name: str = "pl_alpha_hill", *, matrix: str | None = None, ax: Axes | None = None) -> Axes:
    """A quantity over the recorded steps: of one matrix beside its null, of several, or of the training itself.

    Args:
        x: a recording of any kind.
        name: of the quantity; see `spectail.quantities`.
        matrix: the name of one matrix; without it every matrix has a line.
        ax: where to draw; a new figure without it.

    Returns:
        the axes drawn on.

    Raises:
        SettingError: there is no such quantity or matrix.

    >>> import spectail as sp
    >>> ax = over_steps(sp.simulate(sp.Experiment(n=200, d=30, h=40, steps=3)), "kta")
    >>> len(ax.lines[0].get_xdata())
    4
    """
    recording = recording_of(x, name)
    recording = recording if matrix is None else one_matrix(recording, matrix)
    values, q = recording[name], quantity(name, recording[name].attrs)
    along = next((str(dim) for dim in ("step", "update") if dim in values.dims), "")
    if not along or values.dtype.kind in "OSUT" or len(values.dims) > 2:
        raise SettingError(f"quantity={name!r} is not a number at each step; see spectail.quantities()")
    others = [str(dim) for dim in values.dims if dim != along]
    position = step_positions(values[along].values)
    own, ax = ax is None, ax or new_axes()
    if not others:
        if q.null and q.null not in recording.variables:
            recording = complete(recording)
        _draw_null_over(ax, q, recording, position)
        ax.plot(position, values.values, color=FINAL, marker="o", label=mathtext(q.symbol or q.text))
    else:
        names = [str(one) for one in recording[others[0]].values] if others[0] in recording.coords else []
        table = values.transpose(along, ...).values
        for index in range(table.shape[1]):
            if table.shape[1] <= len(SERIES):
                colour, marker = SERIES[index]
                label = _short(names[index]) if names else f"{others[0]} {index}"
                ax.plot(position, table[:, index], color=colour, marker=marker, label=label)
            else:  # too many to be told apart: from first to last in the colours of a scale
                colour = matplotlib.colormaps["cividis"](index / (table.shape[1] - 1))
                label = _short(names[index]) if names and index in (0, table.shape[1] - 1) else "_"
                ax.plot(position, table[:, index], color=colour, lw=0.9, label=label)
    if (others and table.shape[1] > 1) or len(ax.get_legend_handles_labels()[0]) > 1:
        own_legend(ax, own=own)
    _scale_of(ax, q, values.values)
    step_axis(ax, values[along].values)
    ax.set_xlabel("update" if along == "update" else "step $t$")
    ax.set_ylabel(quantity_label(q))
    return ax


def _draw_nulls(ax: Axes, q: Quantity, recording: xr.Dataset) -> None:
    """Where each matrix would lie by chance: a bar and the typical value in it."""
    if q.drawn == "signed":
        _draw_signed(ax)
        return
    band = null_band(recording, q)
    if band is None:
        return
    label = f"{word_of_null(q)}, ± 2 sd"
    for index, bounds in enumerate(band.reshape(3, -1).T):
        if np.isfinite(bounds).all():
            draw_null(ax, [index - 0.5, index + 0.5], bounds, label=label)
            label = "_"


def _draw_signed(ax: Axes) -> None:
    ax.axhspan(-2, 2, color=FRAME, alpha=0.22, lw=0, label="untrained, ± 2 sd", zorder=0)


def _draw_null_over(ax: Axes, q: Quantity, recording: xr.Dataset, position: NDArray[Any]) -> None:
    """Where one matrix would lie by chance, across the axes or at each step."""
    if q.drawn == "signed":
        _draw_signed(ax)
        return
    band = null_band(recording, q)
    if band is None or not np.isfinite(band).any():
        return
    word = word_of_null(q)
    if band.ndim == 1:  # the same at all steps
        label = f"{word} {band[1]:.4g}, ± 2 sd"
        ax.axhspan(band[0], band[2], color=FRAME, alpha=0.22, lw=0, label=label, zorder=0)
        ax.axhline(band[1], color=LAW, lw=0.8, ls=":", zorder=1)
    else:
        draw_null(ax, position, band, label=f"{word}, ± 2 sd")


def _scale_of(ax: Axes, q: Quantity, values: NDArray[Any]) -> None:
    """The scale that the table of quantities asks for, where the values allow it."""
    there = values[np.isfinite(values)].astype(float)
    if not len(there):
        return
    if q.drawn == "log" and there.min() > 0:
        ax.set_yscale("log")
        if there.max() < 30 * there.min():  # less than two powers of ten would leave no number beside the axis
            plain_numbers(ax.yaxis)
    elif q.drawn == "signed" and np.abs(there).max() > _SIGNED_REACH:
        ax.set_yscale("symlog", linthresh=2)


def _short(name: str, letters: int = 26) -> str:
    return name if len(name) <= letters else "…" + name[1 - letters :]
