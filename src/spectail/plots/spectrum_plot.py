"""Empirical spectral densities beside the law of the untrained matrix."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike, NDArray

from spectail.plots.colours import FINAL, INITIAL, LAW, PREDICTED
from spectail.spectra.bulk import MarchenkoPastur

Scale = Literal["linear", "log10"]

Values = NDArray[np.float64]

# Past this many bulk edges an eigenvalue would squeeze a linear axis: it is named at the margin.
LINEAR_REACH = 3.0

MOST_SPIKES = 10


def draw_esd(
    ax: Axes,
    final: ArrayLike,
    *,
    initial: ArrayLike | None = None,
    law: MarchenkoPastur | None = None,
    axis: Scale = "log10",
    final_label: str = "trained",
    bins: int | None = None,
    predicted: float | None = None,
) -> Axes:
    """Draw a spectrum as the paper does: initial and final density, with the law of the former.

    Args:
        ax: where to draw.
        final: eigenvalues of WᵀW, any order.
        initial: those at the start, drawn behind.
        law: Marchenko–Pastur law whose density and upper edge λ₊ are drawn in; its edge also tells
            which eigenvalues are marked one by one.
        axis: "linear" for λ on linear axes, "log10" for log₁₀ λ with a logarithmic density.
        final_label: legend entry of the final spectrum.
        bins: bars over the range of each spectrum ("log10"), or of the axis ("linear"); by default 100
            as in the paper, fewer for fewer than 800 eigenvalues.
        predicted: where theory puts λ₁; a diamond on the axis.

    Returns:
        the axes.
    """
    values = np.sort(np.asarray(final, dtype=np.float64))
    bins = int(np.clip(len(values) // 8, 20, 100)) if bins is None else bins
    start = None if initial is None else np.sort(np.asarray(initial, dtype=np.float64))
    if axis == "log10":
        _draw_log(ax, values, start, final_label, bins)
    else:
        _draw_linear(ax, values, start, law, final_label, bins)
    if law is not None:
        _draw_law(ax, law, axis)
        _mark_spikes(ax, values, law, axis)
    if predicted is not None and (axis == "log10" or predicted <= ax.get_xlim()[1]):
        x = np.log10(predicted) if axis == "log10" else predicted
        ax.plot(
            [x], [0.14], "d", transform=ax.get_xaxis_transform(), color=PREDICTED, mec="white", mew=0.3, ms=5,
            zorder=7, ls="none", label=r"predicted $\lambda_1$",
        )  # fmt: skip
    return ax


def _draw_log(ax: Axes, final: Values, initial: Values | None, label: str, bins: int) -> None:
    lowest = []
    for values, colour, name, order in ((initial, INITIAL, "initial", 1), (final, FINAL, label, 2)):
        if values is None or not (values > 0).any():
            continue
        heights, edges = np.histogram(np.log10(values[values > 0]), bins, density=True)
        ax.stairs(heights, edges, fill=True, color=colour, alpha=0.55, label=name, zorder=order)
        lowest.append(heights[heights > 0].min())
    ax.set_yscale("log")
    ax.yaxis.set_minor_formatter(NullFormatter())
    if lowest:
        ax.set_ylim(bottom=0.5 * min(lowest))
    ax.set_xlabel(r"$\log_{10}\,\lambda$")
    ax.set_ylabel(r"density of $\log_{10}\,\lambda$")


def _draw_linear(
    ax: Axes, final: Values, initial: Values | None, law: MarchenkoPastur | None, label: str, bins: int
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
    for values, colour, name, order in ((initial, INITIAL, "initial", 1), (final, FINAL, label, 2)):
        if values is not None:
            heights = np.histogram(values, edges)[0] / (len(values) * width)  # those beyond count in the whole
            ax.stairs(heights, edges, fill=True, color=colour, alpha=0.55, label=name, zorder=order)
    ax.set_xlim(0.0, shown)
    ax.ticklabel_format(axis="both", style="sci", scilimits=(-2, 4), useMathText=True)
    ax.set_xlabel(r"$\lambda$")
    ax.set_ylabel(r"density of $\lambda$")
    beyond = final[final > shown]
    if len(beyond):
        count = "" if len(beyond) == 1 else f"{len(beyond)} further, "
        label = f"{count}$\\lambda_1 = {_scientific(beyond[-1])}$ $\\rightarrow$"
        place = ax.annotate(label, (0.99, 0.3), xycoords="axes fraction", ha="right", color=FINAL, fontsize=7, zorder=6)
        place.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
        place.set_in_layout(False)


def _scientific(value: float) -> str:
    """3.81e4 as mathematics."""
    exponent = int(np.floor(np.log10(value)))
    return rf"{value / 10.0**exponent:.2f} \times 10^{{{exponent}}}"


def _draw_law(ax: Axes, law: MarchenkoPastur, axis: Scale) -> None:
    low, high = law.edges
    if axis == "log10":
        x = np.linspace(np.log10(max(low, 1e-6 * high)), np.log10(high), 600)
        y = law.density(torch.from_numpy(10.0**x)).numpy() * 10.0**x * np.log(10.0)
        edge = np.log10(high)
    else:
        x = np.linspace(low, high, 600)[1:-1]
        y = law.density(torch.from_numpy(x)).numpy()
        y[y > 8 / high] = np.nan  # h = d: the density has a pole at zero
        edge = high
    y = np.where(y > 0, y, np.nan)
    limits = ax.get_ylim()
    ax.plot(x, y, color=LAW, lw=1.0, label="Marchenko–Pastur", zorder=4)
    ax.axvline(edge, color=LAW, lw=0.8, ls=":", label=r"its edge $\lambda_+$", zorder=3)
    if axis == "log10":
        ax.set_ylim(limits)


def _mark_spikes(ax: Axes, final: Values, law: MarchenkoPastur, axis: Scale) -> None:
    """A tick on the axis for each eigenvalue past the edge, since its bar can be a pixel high.

    Those above a gap of a tenth, the spikes, get a triangle; more than `MOST_SPIKES` are a bulk of their own.
    """
    edge = law.edges[1] + 3 * law.edge_fluctuation
    past = final[final > edge]
    if axis == "linear":
        past = past[past <= ax.get_xlim()[1]]
    if not len(past):
        return
    below = np.concatenate([final[final <= edge][-1:], past[:-1]])
    if len(below) < len(past):
        below = np.concatenate([past[:1], below])
    gap = past > 1.1 * below
    gap[:-MOST_SPIKES] = False
    detached = np.maximum.accumulate(gap)
    x = np.log10(past) if axis == "log10" else past
    across: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "color": FINAL, "ls": "none"}
    ax.plot(x, np.full(len(x), 0.02), "|", ms=5, mew=0.5, zorder=5, label=r"$\lambda$ past the edge", **across)
    spikes = x[detached]
    if len(spikes):  # an empty line that is not clipped would upset the layout
        ax.plot(spikes, np.full(len(spikes), 0.05), "v", mec="white", mew=0.3, ms=5, zorder=6, **across)
