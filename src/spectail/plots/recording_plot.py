"""The figures of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from spectail.experiments.experiment import experiment_of
from spectail.plots.bands import draw_untrained_hill
from spectail.plots.colours import FINAL, SERIES
from spectail.plots.evolution_plot import draw_evolution_and_phases, step_axis
from spectail.plots.look import TEXT_WIDTH, new_figure, panel_title, shared_legend
from spectail.plots.overlaps_plot import draw_overlaps
from spectail.plots.spectrum_plot import AXIS_SCALES, draw_spectrum
from spectail.spectra.bulk import MarchenkoPastur


def draw_recording(run: xr.Dataset) -> dict[str, Figure]:
    """Every figure that a run's Dataset can fill: esd, evolution, overlaps.

    Args:
        run: what `simulate` returned.

    Returns:
        figures by name; none for a run that diverged before anything was measured.
    """
    if run.sizes["step"] == 0:
        return {}
    figures = {"esd": _draw_spectra(run)}
    if run.sizes["step"] > 1:
        figures["evolution"] = _draw_evolution(run)
    if "pair" in run.sizes:
        figures["overlaps"] = _draw_overlaps(run)
    return figures


def _draw_spectra(run: xr.Dataset) -> Figure:
    e = experiment_of(run)
    law = MarchenkoPastur(e.h, e.d, e.entry_scale**2)
    figure, axes = new_figure(1, 2, 2.5)
    last = run.isel(step=-1)
    bulk = MarchenkoPastur(e.h, e.d, last.bulk_variance.item())
    initial = run.eigenvalues.sel(step=0).values if 0 in run.step.values and run.sizes["step"] > 1 else None
    for index, (ax, axis) in enumerate(zip(axes, AXIS_SCALES, strict=True)):
        panel_title(ax, index, f"$t$ = {last.step.item()}, {last.phase.item()}")
        draw_spectrum(
            ax, last.eigenvalues.values, initial=initial, law=law, bulk=bulk, n_spikes=last.n_spikes.item(), axis=axis
        )
    shared_legend(figure, axes)
    figure.suptitle(_title(run), fontsize=8)
    return figure


def _draw_evolution(run: xr.Dataset) -> Figure:
    e = experiment_of(run)
    law = MarchenkoPastur(e.h, e.d, e.entry_scale**2)
    figure = Figure(figsize=(TEXT_WIDTH, 6.2), layout="constrained")
    strip, density, losses, hill = figure.subplots(4, 1, sharex=True, height_ratios=[0.32, 3.4, 1.6, 1.4])
    draw_evolution_and_phases(strip, density, run, law)
    position = np.log1p(run.step.values)
    curves = {
        "train_loss": "train loss",
        "test_loss_large": "test loss",
        "alignment": r"sim($W$, $\beta^*$)",
        "kta": "KTA",
    }
    for (name, label), (colour, marker) in zip(curves.items(), SERIES, strict=False):
        losses.plot(position, run[name].values, color=colour, marker=marker, label=label)
    losses.legend(ncols=4)
    hill.plot(position, run.pl_alpha_hill.values, color=FINAL, marker=".", label="PL_Alpha_Hill")
    draw_untrained_hill(hill, law.hill())
    hill.set_ylabel("Hill exponent")
    hill.legend()
    step_axis(hill, int(run.step.values[-1]))
    figure.suptitle(_title(run), fontsize=8)
    return figure


def _draw_overlaps(run: xr.Dataset) -> Figure:
    pairs = list(zip(run.w_step.values, run.m_step.values, strict=True))
    figure, axes = new_figure(len(pairs), 2, 2.9 * len(pairs))
    for row, (s, t) in enumerate(pairs):
        for col, (side, symbol) in enumerate((("left", "U"), ("right", "V"))):
            index = 2 * row + col
            at = run.isel(pair=row)
            largest = at[f"overlap_{side}_max"].item()
            panel_title(axes[index], index, f"$O({symbol}_{{W_{{{s}}}}}, {symbol}_{{M_{{{t}}}}})$, max {largest:.2g}")
            image = draw_overlaps(axes[index], at[f"overlap_{side}"].values)
    figure.colorbar(image, ax=axes, shrink=0.6, label="squared overlap")
    figure.suptitle(_title(run), fontsize=8)
    return figure


def _title(run: xr.Dataset) -> str:
    e = experiment_of(run)
    return f"{e.optimizer}, $\\eta$ = {e.lr:g}; n = {e.n}, d = {e.d}, h = {e.h}; protocol: {e.protocol}; seed {e.seed}"


def draw_beside(result: Any, path: Path) -> list[Path]:
    """Draw a run into files named after a path; they are returned."""
    from spectail.plots.look import save_figure, style

    saved = []
    with style():
        for name, figure in draw_recording(result).items():
            saved += save_figure(figure, path.with_name(f"{path.stem}-{name}"))
    return saved
