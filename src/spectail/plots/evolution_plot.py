"""The whole evolution of a spectrum in one image.

Not here: one spectrum (`spectrum_plot`), and one quantity over steps (`quantities_plot`).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.ticker import MaxNLocator

from spectail.errors import SettingError
from spectail.plots.colours import LAW, MARKED, ink_on, phase_look
from spectail.plots.look import in_style, is_narrow, new_axes, own_legend, small_print
from spectail.plots.selection import NO_BULK, initial_law, one_matrix, recording_of
from spectail.spectra.bulk import MarchenkoPastur


def step_positions(steps: np.ndarray) -> np.ndarray:
    """Where recorded steps lie on an axis: log(1 + step), or the step itself where they are about evenly spaced."""
    gaps = np.diff(steps)
    even = len(gaps) > 2 and gaps.max() <= 4 * gaps.min()
    return steps.astype(float) if even else np.log1p(steps.astype(float))


def step_edges(steps: np.ndarray) -> np.ndarray:
    """Boundaries between recorded steps on their axis."""
    position = step_positions(steps)
    if len(position) == 1:
        return np.array([position[0] - 0.5, position[0] + 0.5])
    middle = 0.5 * (position[1:] + position[:-1])
    return np.concatenate([[2 * position[0] - middle[0]], middle, [2 * position[-1] - middle[-1]]])


@in_style
def evolution(x: Any, *, matrix: str | None = None, ax: Axes | None = None) -> Axes:
    """How the spectrum of one matrix evolves: the density of log₁₀ λ at each step, the spikes one by one.

    Args:
        x: a recording of any kind.
        matrix: its name; not needed where there is only one.
        ax: where to draw; a new figure without it.

    Returns:
        the axes drawn on, with a colour bar beside them.

    Raises:
        SettingError: there is no such matrix, or its spectra are not kept.

    >>> import spectail as sp
    >>> ax = evolution(sp.simulate(sp.Experiment(n=200, d=30, h=40, steps=3)))
    >>> ax.get_xlabel()
    'step $t$'
    """
    one = one_matrix(recording_of(x, "bulk_edge", "n_spikes"), matrix)
    if "eigenvalues" not in one or not (one["eigenvalues"] > 0).any():
        raise SettingError(f"{one['matrix'].item()} has no spectra to draw")
    own, ax = ax is None, ax or new_axes()
    image = draw_evolution(ax, one, initial_law(one), legend=not own)
    if own:
        own_legend(ax, own=True)
    ax.figure.colorbar(image, ax=ax, label=r"density of $\log_{10}\,\lambda$", pad=0.01)
    return ax


def draw_evolution(ax: Axes, run: xr.Dataset, law: MarchenkoPastur | None, *, legend: bool = True) -> QuadMesh:
    """Density of log₁₀ λ (colour) against the step, with the spikes one by one.

    Args:
        ax: where to draw; its x axis becomes that of the steps.
        run: a recording of one matrix; at each step its `n_spikes` largest eigenvalues are marked, and the edge λ₊ of
            the bulk fitted to the spectrum is a line.
        law: of the initial weights, where it is known; its two edges are dotted lines.
        legend: whether to put one into the axes, above the picture.

    Returns:
        the image, for a colour bar.
    """
    steps, eigenvalues = run.step.values, run.eigenvalues.values
    logs = np.log10(np.where(eigenvalues > 0, eigenvalues, np.nan))
    low, high = np.nanmin(logs), np.nanmax(logs)
    if low == high:  # a single eigenvalue that never changed
        low, high = low - 0.5, high + 0.5
    bins = int(np.clip(logs.shape[1] / 7, 30, 140))
    edges = np.linspace(low - 0.02 * (high - low), high + 0.04 * (high - low), bins + 1)
    density = np.stack([np.histogram(row[np.isfinite(row)], edges, density=True)[0] for row in logs], 1)
    masked = np.ma.masked_equal(density, 0.0)
    image = ax.pcolormesh(step_edges(steps), edges, masked, cmap="cividis", vmin=0, rasterized=True)
    position = step_positions(steps)
    counts = np.nan_to_num(run.n_spikes.values.astype(float)).astype(int)
    x = np.repeat(position, counts)
    y = np.concatenate([row[len(row) - count :] for row, count in zip(logs, counts, strict=True)])
    size = float(np.clip(60 / len(steps), 2.2, 4.5))
    ax.plot(x, y, ".", color=MARKED, ms=size, mew=0, label="spikes, past the visible edge")
    edge = run.bulk_edge.values
    fitted = np.log10(np.where(edge > NO_BULK * eigenvalues[:, -1], edge, np.nan))
    ax.plot(position, fitted, color=MARKED, lw=0.9, label=r"$\lambda_+$ of the fitted bulk")
    for label, value in zip(
        ("edges of the law of the initial weights", "_"), reversed(law.edges if law else ()), strict=False
    ):
        if value > 0:
            ax.axhline(np.log10(value), color=LAW, lw=0.8, ls=":", label=label)
    ax.set_ylim(edges[0], edges[-1] + (0.3 if legend else 0.0) * (edges[-1] - edges[0]))
    if legend:
        ax.legend(loc="upper left")
    ax.set_ylabel(r"$\log_{10}\,\lambda$")
    step_axis(ax, steps)
    return image


def draw_phases(ax: Axes, run: xr.Dataset) -> Axes:
    """A strip that names the phase at each step; share its x axis with `draw_evolution`.

    A phase that is nowhere shown long enough for its name has a label, for a legend.
    """
    edges, phases = step_edges(run.step.values), [str(p) for p in run.phase.values]
    starts = [0, *(i for i in range(1, len(phases)) if phases[i] != phases[i - 1]), len(phases)]
    regions = [(edges[start], edges[stop], phases[start]) for start, stop in itertools.pairwise(starts)]
    figure = ax.get_figure(root=True)
    assert figure is not None
    points = 0.7 * 72 * figure.get_figwidth() / (edges[-1] - edges[0])  # an axis has that part of the figure or more
    fits = [(right - left) * points > 0.6 * small_print() * len(phase) for left, right, phase in regions]
    named = {phase for (_, _, phase), fit in zip(regions, fits, strict=True) if fit}
    for (left, right, phase), fit in zip(regions, fits, strict=True):
        colour = phase_look(phase)[0]
        ax.axvspan(left, right, color=colour, lw=0, label=None if phase in named else phase)
        named.add(phase)
        if fit:
            ax.text(
                0.5 * (left + right), 0.45, phase, ha="center", va="center", fontsize=small_print(),
                color=ink_on(colour),
            )  # fmt: skip
    ax.set_yticks([])
    ax.set_ylim(0, 1)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(bottom=False, labelbottom=False)
    return ax


def draw_evolution_and_phases(strip: Axes, density: Axes, run: xr.Dataset, law: MarchenkoPastur | None) -> None:
    """`draw_phases` above `draw_evolution`, with a colour bar; a panel below is to carry the step axis.

    In a column there is no legend inside; whoever draws it puts one below, `shared_legend`.

    Args:
        strip: low axes for the phases.
        density: axes below, which share its x axis.
        run: a run's Dataset.
        law: of the initial weights.
    """
    narrow = is_narrow(density)
    image = draw_evolution(density, run, law, legend=not narrow)
    draw_phases(strip, run)
    if not narrow:  # phases without room for their names stand in the legend, too
        panels = (strip.get_legend_handles_labels(), density.get_legend_handles_labels())
        handles, labels = (list(itertools.chain(*entries)) for entries in zip(*panels, strict=True))
        density.legend(handles, labels, loc="upper left", ncols=2)
    density.tick_params(labelbottom=False)
    density.set_xlabel("")
    density.figure.colorbar(image, ax=density, label=r"density of $\log_{10}\,\lambda$", pad=0.01)


def step_axis(ax: Axes, steps: np.ndarray) -> Axes:
    """The axis of recorded steps: 0, 1, 2, 5, 10, ... where it is logarithmic."""
    ax.set_xlabel("step $t$")
    if (step_positions(steps) == steps).all() and len(steps) > 1:
        places = MaxNLocator(integer=True, steps=[1, 2, 5, 10]).tick_values(steps[0], steps[-1])
        ax.set_xticks(places[(places >= steps[0]) & (places <= steps[-1])])  # cells of a picture reach beyond them
        return ax
    last = int(steps[-1])
    ticks = [0] + [m * 10**e for e in range(len(str(max(last, 1)))) for m in (1, 2, 5) if m * 10**e <= last]
    ax.set_xticks(np.log1p(ticks), [str(tick) for tick in ticks])
    return ax
