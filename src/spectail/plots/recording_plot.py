"""Every picture that a recording can fill, whatever kind it is.

Not here: how one picture is drawn (`spectrum_plot`, `quantities_plot`, `evolution_plot`), and many runs
(`results_plot`).
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectail.analysis.null_bands import null_band
from spectail.analysis.two_layer_nulls import overlaps_of_pair, with_null_alignments
from spectail.experiments.experiment import experiment_of
from spectail.plots.bands import draw_null
from spectail.plots.colours import PHASES, SERIES
from spectail.plots.evolution_plot import draw_evolution_and_phases, step_axis, step_edges, step_positions
from spectail.plots.look import (
    figure_title,
    is_narrow,
    label_outer_panels,
    mathtext,
    new_figure,
    panel_title,
    quantity_label,
    shared_legend,
    title_above,
)
from spectail.plots.overlaps_plot import (
    draw_overlap_bar,
    draw_overlaps,
    title_of_overlaps,
)
from spectail.plots.phase_cells import draw_phase_cells, phase_numbers
from spectail.plots.picture_files import PAGE, Pictures, save_figure
from spectail.plots.quantities_plot import over_depth, over_steps
from spectail.plots.selection import count_of_spikes, edge_of_spikes, fitted_bulk, initial_law, recording_of
from spectail.plots.spectrum_plot import AXIS_SCALES, draw_spectrum, spectrum
from spectail.recording.layout import each_matrix
from spectail.recording.quantities import QUANTITIES, quantity, select

_SPECTRA = 6  # matrices whose spectra are drawn, of many


def draw_recording(x: Any) -> dict[str, Figure]:
    """Every figure that a recording can fill.

    Args:
        x: a recording of any kind, or an `Analysis`.

    Returns:
        figures by name. Of one matrix: its spectrum (esd), evolution, overlaps; of several: what is measured over
        depth, over steps, and the spectra with the lowest z. Empty for a run that diverged before it measured anything.
    """
    if isinstance(x, xr.Dataset) and x.sizes.get("step") == 0:
        return {}
    recording = recording_of(x, "n_spikes", "bulk_edge", "phase")
    long, several = recording.sizes["step"] > 1, "matrix" in recording.dims
    has_spectra = "eigenvalues" in recording and bool((recording["eigenvalues"] > 0).any())
    pictures = {
        "depth": _draw_depth if several else None,
        "steps": _draw_steps if several and long else None,
        "spectra": _draw_many_spectra if several and has_spectra else None,
        "esd": _draw_one_spectrum if not several and has_spectra else None,
        "evolution": _draw_evolution if not several and long and has_spectra else None,
        "overlaps": _draw_overlaps if "pair" in recording.sizes else None,
    }
    figures = {name: draw(recording) for name, draw in pictures.items() if draw}
    for figure in figures.values():
        figure_title(figure, _title(recording))
    return figures


def _draw_depth(recording: xr.Dataset) -> Figure:
    """The first quantities of the table that are drawn, at the last step."""
    shown = [q for q in QUANTITIES if q.head and q.symbol and q.of == "spectrum" and q.dtype is not str]
    names = [q.name for q in shown if q.name in recording and np.isfinite(recording[q.name].isel(step=-1)).any()][:4]
    figure, axes = new_figure(2, 2, 5.0)
    for index, (ax, name) in enumerate(zip(axes, names, strict=False)):
        over_depth(recording, name, ax=panel_title(ax, index, _title_of(name)))
        _without_legend(ax)
    for ax in axes[len(names) :]:
        ax.remove()
    shared_legend(figure, axes[: len(names)])
    return figure


def _draw_steps(recording: xr.Dataset) -> Figure:
    """The phase of every matrix over steps, then quantities of the training, the loss first, and of spectra."""
    names = [
        q.name
        for q in (*select("training"), *select("spectrum"))
        if q.head and q.name in recording and q.dtype is not str
    ]
    names = [name for name in names if np.isfinite(recording[name]).any()][:4]
    rows = recording.sizes["matrix"]
    heights = [min(0.9 + 0.14 * rows, 4.0), *(1.5 for _ in names)]
    figure, axes = new_figure(1 + len(names), 1, sum(heights) + 0.8, height_ratios=heights)
    _draw_ribbon(panel_title(axes[0], 0, "phase"), recording)
    for index, (ax, name) in enumerate(zip(axes[1:], names, strict=True), 1):
        over_steps(recording, name, ax=panel_title(ax, index, _title_of(name)))
        _without_legend(ax)
    shared_legend(figure, axes)
    return figure


def _title_of(name: str) -> str:
    """What a quantity is, for a panel's title."""
    return mathtext(quantity(name).text.partition("; ")[0])


def _without_legend(ax: Axes) -> None:
    """The figure has one for all of its panels."""
    if legend := ax.get_legend():
        legend.remove()


def _draw_ribbon(ax: Axes, recording: xr.Dataset) -> Axes:
    """A row a matrix, a column a step, in the colours of the phases."""
    numbers = phase_numbers(recording["phase"].values).T
    rows = np.arange(len(numbers) + 1) - 0.5
    draw_phase_cells(ax, step_edges(recording["step"].values), rows, numbers)
    present = {str(phase) for phase in recording["phase"].values.ravel()}
    for name, (colour, *_) in PHASES.items():
        if name in present:
            ax.plot([], [], marker="s", ms=6, color=colour, ls="none", label=name)
    ax.invert_yaxis()
    names = [str(name) for name in recording["matrix"].values]
    ticks = range(0, len(names), max(len(names) // 12, 1))
    ax.set_yticks(ticks, [names[i] if len(names[i]) <= 26 else "…" + names[i][-25:] for i in ticks])
    return step_axis(ax, recording["step"].values)


def _draw_many_spectra(recording: xr.Dataset) -> Figure:
    """The spectra whose z is lowest, with tails the heaviest beside untrained ones; the first where z is not known."""
    last = recording.isel(step=-1)
    known = [i for i, one in enumerate(each_matrix(last)) if np.nanmax(one["eigenvalues"].values, initial=0) > 0]
    z = last["z_hill"].values if "z_hill" in last else np.full(last.sizes["matrix"], np.nan)
    chosen = sorted(sorted(known, key=lambda i: np.nan_to_num(z[i], nan=np.inf))[:_SPECTRA])
    cols = min(len(chosen), 3)
    figure, axes = new_figure(-(-len(chosen) // cols), cols, 2.3 * -(-len(chosen) // cols))
    for ax, at in zip(axes, chosen, strict=False):
        name = str(recording["matrix"].values[at])
        spectrum(recording, matrix=name, ax=ax)
        _without_legend(ax)
        title_above(ax, ax.get_title("left"))
    for ax in axes[len(chosen) :]:
        ax.remove()
    label_outer_panels(axes[: len(chosen)])
    shared_legend(figure, axes[: len(chosen)])
    return figure


def _draw_one_spectrum(run: xr.Dataset) -> Figure:
    figure, axes = new_figure(1, 2, 2.7)
    last, law = run.isel(step=-1), initial_law(run)
    first = run.isel(step=0) if run.sizes["step"] > 1 else None
    for index, (ax, axis) in enumerate(zip(axes, AXIS_SCALES, strict=True)):
        panel_title(ax, index, f"$t$ = {last.step.item()}, {last.phase.item()}")
        draw_spectrum(
            ax, last["eigenvalues"].values, initial=None if first is None else first["eigenvalues"].values,
            initial_label=f"step {int(first['step'])}" if first is not None and first["step"] else "initial",
            law=law, bulk=fitted_bulk(last), n_spikes=count_of_spikes(last), edge=edge_of_spikes(last), axis=axis,
        )  # fmt: skip
    shared_legend(figure, axes)
    return figure


def _draw_evolution(run: xr.Dataset) -> Figure:
    readout = [q for q in select("readout", "teacher") if q.head and q.name in run]
    figure, axes = new_figure(
        4 if readout else 3, 1, 6.2, sharex=True, height_ratios=[0.32, 3.4, 1.4, 1.6][: 4 if readout else 3]
    )
    draw_evolution_and_phases(axes[0], axes[1], run, initial_law(run))
    if is_narrow(axes[1]):
        shared_legend(figure, axes[:2])
    over_steps(run, "pl_alpha_hill", ax=axes[2])
    position, by_chance = step_positions(run["step"].values), with_null_alignments(run)
    for q, (colour, marker) in zip(readout, SERIES, strict=False):
        axes[3].plot(position, run[q.name].values, color=colour, marker=marker, label=quantity_label(q))
        if (band := null_band(by_chance, q)) is not None:
            draw_null(axes[3], position, band, color=colour, label=f"{quantity_label(q)} by chance, ± 2 sd")
    if readout:
        axes[3].legend(ncols=3)
        axes[2].set_xlabel("")
        step_axis(axes[3], run["step"].values)
    return figure


def _draw_overlaps(run: xr.Dataset) -> Figure:
    pairs = run.sizes["pair"]
    figure, axes = new_figure(pairs, 2, 2.9 * pairs)
    chances = []
    for index, (pair, side) in enumerate(product(range(pairs), ("left", "right"))):
        overlaps, chance = overlaps_of_pair(run, pair, side)
        panel_title(axes[index], index, title_of_overlaps(run, pair, side))
        image = draw_overlaps(axes[index], overlaps)
        chances.append(chance)
    draw_overlap_bar(image, axes, chances, shrink=0.6)
    return figure


def _title(recording: xr.Dataset) -> str:
    if recording.attrs.get("of") in ("two-layer", "multilayer"):
        return experiment_of(recording).title
    steps = recording["step"].values
    return (
        f"{recording.attrs.get('title', '')}, step {steps[-1]}" if steps[-1] else str(recording.attrs.get("title", ""))
    )


def draw_beside(x: Any, path: Path, pictures: Pictures = PAGE) -> list[Path]:
    """Draw a recording into files named after a path.

    Args:
        x: a recording of any kind, or an `Analysis`.
        path: of the recording; the name of a picture is put behind its stem.
        pictures: how they are made.

    Returns:
        the paths of the pictures.

    Raises:
        OSError: the folder cannot be written to.
    """
    saved = []
    with pictures.style():
        for name, figure in draw_recording(x).items():
            beside = path.with_name(f"{path.stem}-{name}{pictures.suffix}")
            saved += save_figure(figure, beside, pictures.formats)
    return saved
