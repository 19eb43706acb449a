"""Empirical spectral densities beside the law of the untrained matrix.

Not here: how a law is fitted (`spectra/bulk.py`), and spectra over steps (`evolution_plot`).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from spectail.errors import SettingError
from spectail.plots.colours import FINAL, INITIAL, LAW, PREDICTED
from spectail.plots.look import in_style, is_narrow, new_axes, own_legend, plain_numbers, small_print
from spectail.plots.selection import (
    at_step,
    count_of_spikes,
    edge_of_spikes,
    fitted_bulk,
    initial_law,
    one_matrix,
    recording_of,
)
from spectail.recording.layout import eigenvalues_at
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.phases import DETACHED_RATIO
from spectail.spectra.spikes import visible_edge

AxisScale = Literal["linear", "log10"]

AXIS_SCALES: tuple[AxisScale, ...] = get_args(AxisScale)

_Values = NDArray[np.float64]

# Past this many bulk edges an eigenvalue would squeeze a linear axis: it is named at the margin.
LINEAR_REACH = 3.0

MOST_BEYOND = 3  # so few have a part of the axis of their own, beyond a break

_UNBROKEN = 0.8  # of the axis

MOST_SPIKES = 10


@in_style
def spectrum(
    x: Any, *, step: int = -1, matrix: str | None = None, scale: AxisScale = "log10", ax: Axes | None = None
) -> Axes:
    """The spectrum of one matrix at one step, in front of that of the first step, with the law of the bulk.

    Args:
        x: a recording of any kind, or an `Analysis`.
        step: the step itself; −1 is the last that was recorded.
        matrix: its name; not needed where there is only one.
        scale: "log10" for log₁₀ λ with a logarithmic density, "linear" for λ on linear axes.
        ax: where to draw; a new figure without it.

    Returns:
        the axes drawn on.

    Raises:
        SettingError: there is no such matrix or step, or its spectrum is not kept.

    >>> import spectail as sp
    >>> from torch import nn
    >>> ax = spectrum(sp.analyze(nn.Linear(300, 200), nulls=False))
    >>> ax.get_title("left")
    'weight: random-like'
    """
    one = one_matrix(recording_of(x, "bulk_edge", "n_spikes", "phase"), matrix)
    at, first = at_step(one, step), one.isel(step=0)
    values = eigenvalues_at(at) if "eigenvalues" in at else np.empty(0)
    if not len(values) or values[-1] <= 0:
        raise SettingError(f"{at['matrix'].item()} has no spectrum at step {int(at['step'])} to draw")
    earlier = eigenvalues_at(first) if int(first["step"]) < int(at["step"]) else None
    own, ax = ax is None, ax or new_axes()
    draw_spectrum(
        ax, values, initial=earlier if earlier is not None and len(earlier) else None,
        law=initial_law(one), bulk=fitted_bulk(at), n_spikes=count_of_spikes(at), edge=edge_of_spikes(at), axis=scale,
        final_label=f"step {int(at['step'])}" if earlier is not None else "eigenvalues",
        initial_label=f"step {int(first['step'])}",
    )  # fmt: skip
    ax.set_title(f"{at['matrix'].item()}: {at['phase'].item()}", loc="left")
    own_legend(ax, own=own)
    return ax


def draw_spectrum(
    ax: Axes,
    final: ArrayLike,
    *,
    initial: ArrayLike | None = None,
    law: MarchenkoPastur | None = None,
    bulk: MarchenkoPastur | None = None,
    n_spikes: int = 0,
    edge: tuple[float, str] | None = None,
    axis: AxisScale = "log10",
    final_label: str = "trained",
    initial_label: str = "initial",
    bins: int | None = None,
    predicted: float | None = None,
) -> Axes:
    """Draw a spectrum as the paper does: initial and final density, with the law of the former.

    Args:
        ax: where to draw.
        final: eigenvalues of WᵀW, any order.
        initial: those at the start, drawn behind.
        law: of the initial weights, whose density is drawn in; without it the density of `bulk` is.
        bulk: the law fitted to `final`; the visible edge, past which eigenvalues are spikes, is drawn in.
        n_spikes: how many of the largest eigenvalues are spikes, as the row of the spectrum says; each is marked.
        edge: past which spikes were counted, and what was taken out before, as `edge_of_spikes` gives it; by default
            the `visible_edge` of `bulk`.
        axis: "linear" for λ on linear axes, "log10" for log₁₀ λ with a logarithmic density.
        final_label: legend entry of the final spectrum.
        initial_label: legend entry of the initial spectrum.
        bins: bars over the range of each spectrum ("log10"), or of the axis ("linear"); by default 100
            as in the paper, fewer for fewer than 800 eigenvalues.
        predicted: where theory puts λ₁; a diamond on the axis.

    Returns:
        the axes.
    """
    values = np.sort(np.asarray(final, dtype=np.float64))
    bins = int(np.clip(len(values) // 8, 20, 100)) if bins is None else bins
    start = None if initial is None else np.sort(np.asarray(initial, dtype=np.float64))
    laws = {"initial weights": law, "fitted": bulk}
    whose, curve = next(((name, one) for name, one in laws.items() if one and one.variance > 0), ("", None))
    if axis == "log10":
        _draw_log(ax, values, start, (initial_label, final_label), bins)
    else:
        _draw_linear(ax, values, start, curve, (initial_label, final_label), bins)
    if curve is not None:
        _draw_law(ax, curve, whose, axis)
    if bulk is not None and bulk.variance > 0:
        past, taken_out = edge or (visible_edge(bulk), "")
        x = np.log10(past) if axis == "log10" else past
        if axis == "log10" or x <= ax.get_xlim()[1]:
            label = f"visible edge once {taken_out} are taken out" if taken_out else "visible edge of the fitted bulk"
            ax.axvline(x, color=LAW, lw=0.8, ls=":", label=label, zorder=3)
    _mark_spikes(ax, values, n_spikes, axis)
    if predicted is not None and (axis == "log10" or predicted <= ax.get_xlim()[1]):
        x = np.log10(predicted) if axis == "log10" else predicted
        ax.plot(
            [x], [0.14], "d", transform=ax.get_xaxis_transform(), color=PREDICTED, mec="white", mew=0.3, ms=5,
            zorder=7, ls="none", label=r"predicted $\lambda_1$",
        )  # fmt: skip
    return ax


def _draw_log(ax: Axes, final: _Values, initial: _Values | None, labels: tuple[str, str], bins: int) -> None:
    lowest = []
    for values, colour, name, order in ((initial, INITIAL, labels[0], 1), (final, FINAL, labels[1], 2)):
        if values is None or not (values > 0).any():
            continue
        heights, edges = np.histogram(np.log10(values[values > 0]), bins, density=True)
        ax.stairs(heights, edges, fill=True, color=colour, alpha=0.55, label=name, zorder=order)
        lowest.append(heights[heights > 0].min())
    ax.set_yscale("log")
    if lowest:
        ax.set_ylim(bottom=0.5 * min(lowest))
    low, high = ax.get_ylim()
    if high > 30 * low:
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:  # less than two powers of ten would leave no number beside the axis
        plain_numbers(ax.yaxis)
    ax.set_xlabel(r"$\log_{10}\,\lambda$")
    ax.set_ylabel(r"density of $\log_{10}\,\lambda$")


def _draw_linear(
    ax: Axes, final: _Values, initial: _Values | None, law: MarchenkoPastur | None, labels: tuple[str, str], bins: int
) -> None:
    reach = (
        final[-1]
        if law is None
        else max(law.edges[1], final[final <= LINEAR_REACH * law.edges[1]][-1:].max(initial=0.0))
    )
    if law is not None and final[-1] > LINEAR_REACH * law.edges[1]:
        quantile = float(np.quantile(final, 0.98))
        reach = max(reach, min(quantile, float(final[-1])))
    shown = 1.04 * reach
    edges = np.linspace(0.0, shown, bins)
    width = edges[1] - edges[0]
    for values, colour, name, order in ((initial, INITIAL, labels[0], 1), (final, FINAL, labels[1], 2)):
        if values is not None:
            heights = np.histogram(values, edges)[0] / (len(values) * width)  # those beyond count in the whole
            ax.stairs(heights, edges, fill=True, color=colour, alpha=0.55, label=name, zorder=order)
    ax.set_xlim(0.0, shown)
    ax.ticklabel_format(axis="both", style="sci", scilimits=(-2, 4), useMathText=True)
    ax.yaxis.set_offset_position("right")  # on the left it would lift the panel's title
    ax.set_xlabel(r"$\lambda$")
    ax.set_ylabel(r"density of $\lambda$")
    beyond = final[final > shown]
    if 0 < len(beyond) <= MOST_BEYOND:
        _break_axis(ax, shown, float(final[-1]))
    elif len(beyond):
        count = "" if len(beyond) == 1 else f"{len(beyond)} further, "
        label = f"{count}$\\lambda_1 = {_scientific(beyond[-1])}$ $\\rightarrow$"
        place = ax.annotate(
            label, (0.99, 0.3), xycoords="axes fraction", ha="right", color=FINAL, fontsize=small_print(), zorder=6
        )
        place.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
        place.set_in_layout(False)


def _break_axis(ax: Axes, shown: float, last: float) -> None:
    """Give the last fifth of a linear axis to what lies beyond the rest of it, with two strokes between."""
    end = shown + 1.15 * (last - shown)

    def forward(x: ArrayLike) -> _Values:
        v = np.asarray(x, dtype=np.float64)
        return np.where(v <= shown, _UNBROKEN * v / shown, _UNBROKEN + (1 - _UNBROKEN) * (v - shown) / (end - shown))

    def backward(y: ArrayLike) -> _Values:
        v = np.asarray(y, dtype=np.float64)
        return np.where(
            v <= _UNBROKEN, shown * v / _UNBROKEN, shown + (end - shown) * (v - _UNBROKEN) / (1 - _UNBROKEN)
        )  # fmt: skip

    ax.set_xscale("function", functions=(forward, backward))
    ax.set_xlim(0.0, end)
    count, up_to = (3, 0.6) if is_narrow(ax) else (4, 0.95)  # the last tick takes room
    ticks = [tick for tick in MaxNLocator(count).tick_values(0.0, shown) if 0 <= tick < up_to * shown]
    ax.set_xticks([*ticks, last], [*(f"{tick:g}" for tick in ticks), f"${_scientific(last)}$"])
    look: dict[str, Any] = {"transform": ax.transAxes, "clip_on": False, "color": LAW, "ls": "none", "zorder": 8}
    ax.plot([_UNBROKEN - 0.006, _UNBROKEN + 0.006], [0, 0], marker=[(-1, -2), (1, 2)], ms=6, mew=0.8, **look)


def _scientific(value: float) -> str:
    """3.81e4 as mathematics."""
    exponent = int(np.floor(np.log10(value)))
    return rf"{value / 10.0**exponent:.2f} \times 10^{{{exponent}}}"


def _draw_law(ax: Axes, law: MarchenkoPastur, whose: str, axis: AxisScale) -> None:
    low, high = law.edges
    if axis == "log10":
        x = np.linspace(np.log10(max(low, 1e-6 * high)), np.log10(high), 600)
        y = law.density(torch.from_numpy(10.0**x)).numpy() * 10.0**x * np.log(10.0)
    else:
        x = np.linspace(low, high, 600)[1:-1]
        y = law.density(torch.from_numpy(x)).numpy()
        y[y > 8 / high] = np.nan  # h = d: the density has a pole at zero
    limits = ax.get_ylim()
    ax.plot(x, np.where(y > 0, y, np.nan), color=LAW, lw=1.0, label=f"Marchenko–Pastur ({whose})", zorder=4)
    if axis == "log10":  # the ends of the law reach down to nothing
        ax.set_ylim(limits[0], max(limits[1], 1.2 * float(y.max())))


def _mark_spikes(ax: Axes, final: _Values, n_spikes: int, axis: AxisScale) -> None:
    """A tick on the axis for each spike, since its bar can be a pixel high.

    Those above a gap get a triangle; of more than `MOST_SPIKES` the lower ones are a bulk of their own.
    """
    past, below = final[len(final) - n_spikes :], final[len(final) - n_spikes - 1 : -1]
    below = below if len(below) == len(past) else np.concatenate([past[:1], below])  # all of them are past the edge
    shown = past <= (np.inf if axis == "log10" else ax.get_xlim()[1])
    past, below = past[shown], below[shown]
    if not len(past):  # an empty line that is not clipped would upset the layout
        return
    gap = past > DETACHED_RATIO * below
    gap[:-MOST_SPIKES] = False
    x = np.log10(past) if axis == "log10" else past
    across: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "color": FINAL, "ls": "none"}
    ax.plot(x, np.full(len(x), 0.02), "|", ms=5, mew=0.5, zorder=5, label="spikes, past that edge", **across)
    if gap.any():
        detached = x[np.argmax(gap) :]
        look: dict[str, Any] = {"mec": "white", "mew": 0.3, "ms": 5, "label": "above a gap of 10 %"}
        ax.plot(detached, np.full(len(detached), 0.05), "v", zorder=6, **look, **across)
