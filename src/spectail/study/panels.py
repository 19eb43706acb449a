"""Panels that several figures of the paper share.

Not here: whole figures (`figure_kinds.py`), and how a spectrum or an overlap matrix is drawn (`plots/`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

from spectail.analysis.two_layer_nulls import ChanceOfOverlaps, largest_overlap
from spectail.experiments.experiment import UPDATE_NAMES, Experiment
from spectail.experiments.theory import caveat, has_prediction, predict_one_step, predicted_spike
from spectail.plots.bands import draw_band, draw_null, draw_untrained_hill, lr_axis
from spectail.plots.colours import FRAME, OPTIMIZER_LOOKS, SERIES
from spectail.plots.look import panel_title, plain_numbers
from spectail.plots.overlaps_plot import draw_overlaps, overlap_symbol
from spectail.plots.spectrum_plot import AxisScale, draw_spectrum
from spectail.recording.quantities import quantity
from spectail.study.baselines import baselines
from spectail.study.runs import Runs, Side, spectrum_at
from spectail.study.settings import LEARNING_RATES, PAPER_OPTIMIZERS, over_learning_rates

_BY_CHANCE = "by chance, ± 2 sd"


def esd_panel(
    ax: Axes, index: int, runs: Runs, experiment: Experiment, step: int, axis: AxisScale, *, initial: bool = True
) -> Axes:  # fmt: skip
    """The spectrum of one run at a step, with the initial one and its Marchenko–Pastur law.

    After one step, the spike that theory predicts is drawn in. The panel of a run that diverged before the step
    says so.
    """
    run, lr, step = runs[experiment], runs.scale(experiment).lr, runs.scale.step(step)
    name = OPTIMIZER_LOOKS[runs.as_run(experiment).optimizer][2]
    if not panel_reaches(ax, index, rf"{name}, $\eta$ = {lr:.4g}, $t$ = {step}", run, step):
        return ax
    predicted = predicted_spike(runs.as_run(experiment)) if step == 1 else None
    first = spectrum_at(run, 0) if initial else None
    law, at = runs.law(experiment), run.sel(step=step)
    draw_spectrum(
        ax, spectrum_at(run, step), initial=first, law=law, bulk=replace(law, variance=at.bulk_variance.item()),
        n_spikes=at.n_spikes.item(), axis=axis, predicted=predicted,
    )  # fmt: skip
    if predicted is not None and caveat(runs.as_run(experiment)):
        for line in ax.lines:
            if line.get_marker() == "d":
                line.set_label(r"predicted $\lambda_1$ (rough: see spectail predict)")
    return ax


def panel_reaches(ax: Axes, index: int, title: str, run: xr.Dataset, step: int) -> bool:
    """Give a panel its title; whether its run has a step, or diverged before, as the panel then says."""
    panel_title(ax, index, title)
    if step in run.step.values:
        return True
    _mark_diverged(ax, run)
    return False


def _mark_diverged(ax: Axes, run: xr.Dataset) -> None:
    """Say in an empty panel when its run diverged."""
    ax.text(0.5, 0.5, f"diverged at step {run.attrs['diverged_at']}", ha="center", transform=ax.transAxes)


def overlap_panel(
    ax: Axes, index: int, runs: Runs, experiment: Experiment, pair: tuple[int, int], side: Side
) -> tuple[QuadMesh, ChanceOfOverlaps] | None:
    """All of an overlap matrix, its largest entry, what theory predicts of it after one step, and chance.

    Returns:
        the image and what independent directions would have, for a colour bar; None where the run diverged before.
    """
    overlaps = runs.overlaps(experiment, pair, side)
    panel_title(ax, index, overlap_symbol(side, *pair))
    if not overlaps.size:
        _mark_diverged(ax, runs[experiment])
        return None
    image, chance = draw_overlaps(ax, overlaps, size=None), runs.chance_of_overlaps(experiment, pair, side)
    text = f"max {largest_overlap(overlaps):.2g}"
    run = runs.as_run(experiment)
    if pair == (1, 0) and run.optimizer in UPDATE_NAMES and has_prediction(run):
        prediction = predict_one_step(runs.as_run(experiment))
        text += f", theory {prediction.left_overlap if side == 'left' else prediction.right_overlap:.2g}"
    ax.set_xlabel(f"direction of $M$\n{text},\nby chance {chance.largest:.2g}")
    return image, chance


def trajectory_panel(ax: Axes, runs: Runs, named: Mapping[str, Experiment], *, name_baselines: bool = True) -> Axes:
    """Readout losses over the steps of some experiments: solid on the hold-out set, dashed on 5,000 test points.

    Args:
        ax: where to draw.
        runs: of the experiments.
        named: the experiments by what they are called.
        name_baselines: whether the legend has the baselines too, and their values.
    """
    for (label, experiment), (colour, marker) in zip(named.items(), cycle(SERIES), strict=False):
        steps = experiment.recorded_steps
        for variable, style in (("train_loss", "-"), ("test_loss_large", "--")):
            draw_band(
                ax, steps, runs.over_steps(variable, experiment, steps), color=colour, marker=marker,
                linestyle=style, label=label if style == "-" else "_",
            )  # fmt: skip
    ax.set_xlabel("step $t$")
    ax.set_ylabel("readout loss")
    draw_baselines(ax, [runs.as_run(experiment) for experiment in named.values()], named=name_baselines)
    return ax


BASELINE_LINES = ("-.", ":", "--")
BELOW = " (below)"  # what is said of a baseline that lies below the panel


def draw_baselines(ax: Axes, experiments: Sequence[Experiment], *, named: bool = True) -> None:
    """What reaches a test loss without a network; where experiments differ, at the right in the colours of `SERIES`."""
    of_each = [baselines(experiment) for experiment in experiments]
    low, high = ax.get_ylim()
    least = low - 0.15 * (high - low)
    for name, style in zip(of_each[0], BASELINE_LINES, strict=True):
        losses = [of_one[name] for of_one in of_each]
        ends = dict.fromkeys((min(losses), max(losses)))
        label = f"{name}, {' to '.join(f'{loss:.3g}' for loss in ends)}" if named else "_"
        if max(losses) <= least:
            ax.plot([], [], " ", label=label + BELOW)
        elif len(ends) == 1:
            ax.axhline(losses[0], color=FRAME, linewidth=0.9, linestyle=style, label=label, zorder=0)
        else:
            for loss, (colour, _) in zip(losses, cycle(SERIES), strict=False):
                if loss > least:
                    ax.axhline(loss, xmin=0.93, color=colour, linewidth=1.4, linestyle=style, zorder=0)
            ax.plot([], [], color=FRAME, linewidth=0.9, linestyle=style, label=f"{label} (at the right)")
    _name_once(ax)


def _name_once(ax: Axes) -> None:
    """What one panel of a figure shows and another has below it is named as a line."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    lines = [line for panel in figure.axes for line in panel.lines]
    labels = {line.get_label() for line in lines}
    for line in lines:
        shown, is_below, _ = str(line.get_label()).partition(BELOW)
        if is_below and shown in labels:
            line.set_label("_")


def lr_panel(
    ax: Axes, runs: Runs, setup: Experiment, step: int, variable: str, optimizers: Sequence[str] = PAPER_OPTIMIZERS,
    linestyle: str = "-",
) -> Axes:  # fmt: skip
    """A variable of a setup's runs against the learning rate, one line an optimizer, with bands over repeats."""
    for optimizer in optimizers:
        colour, marker, name = OPTIMIZER_LOOKS[optimizer]
        values = runs.values(variable, over_learning_rates(setup, optimizer), step)
        draw_band(
            ax, LEARNING_RATES, values, color=colour, marker=marker, linestyle=linestyle,
            label=name if linestyle == "-" else "_",
        )  # fmt: skip
    _draw_chance(ax, runs, setup, step, variable, optimizers)
    note = "" if runs.scale.divisor == 1 else " (at the paper's size)"
    return lr_axis(ax, note)


def _draw_chance(ax: Axes, runs: Runs, setup: Experiment, step: int, variable: str, optimizers: Sequence[str]) -> None:
    """What sim or KTA would be by chance; in the colour of each optimizer where that depends on it."""
    if not quantity(variable).null or quantity(variable).of == "spectrum":
        return
    bands = [runs.nulls(variable, over_learning_rates(setup, optimizer), step) for optimizer in optimizers]
    if all(np.allclose(band, bands[0], equal_nan=True) for band in bands):
        draw_null(ax, LEARNING_RATES, bands[0], label=_BY_CHANCE)
        return
    for optimizer, band in zip(optimizers, bands, strict=True):
        colour, _, name = OPTIMIZER_LOOKS[optimizer]
        draw_null(ax, LEARNING_RATES, band, color=colour, label=f"{name}, {_BY_CHANCE}")


def loss_panel(
    ax: Axes, runs: Runs, setup: Experiment, step: int, optimizers: Sequence[str] = PAPER_OPTIMIZERS
) -> Axes:
    """Readout losses against the learning rate: solid on the hold-out set, dashed on 5,000 test points."""
    lr_panel(ax, runs, setup, step, "train_loss", optimizers)
    lr_panel(ax, runs, setup, step, "test_loss_large", optimizers, "--")
    ax.set_ylabel("readout loss")
    draw_baselines(ax, [runs.as_run(setup)])
    return ax


def hill_panel(ax: Axes, runs: Runs, setup: Experiment, step: int) -> Axes:
    """The Hill exponent against the learning rate, and what an untrained matrix has."""
    lr_panel(ax, runs, setup, step, "pl_alpha_hill")
    draw_untrained_hill(ax, runs.law(setup).hill())
    ax.set_ylabel("PL_Alpha_Hill")
    return ax


def ks_panel(ax: Axes, runs: Runs, setup: Experiment, step: int) -> Axes:
    """The KS exponent against the learning rate, on a logarithmic axis: a bare bulk has 10 to 50."""
    lr_panel(ax, runs, setup, step, "pl_alpha_ks")
    ax.set_yscale("log")
    plain_numbers(ax.yaxis)
    ax.set_ylabel("PL_Alpha_KS")
    return ax


def settings_line(runs: Runs, setup: Experiment) -> str:
    """The sizes and the protocol, for a figure's title."""
    e = runs.scale(setup)
    return f"n = {e.n}, d = {e.d}, h = {e.h}; {protocol_line(runs)}"


def protocol_line(runs: Runs) -> str:
    """The protocol, and the scale where it is not the paper's."""
    small = (
        ""
        if runs.scale.divisor == 1
        else f", {runs.scale.name} scale ({runs.scale.divisor}× smaller, η scaled to match)"
    )
    epsilon = ", ε → 0" if runs.epsilon == "text" and runs.protocol == "equations" else ""
    return f"protocol: {runs.protocol}{epsilon}{small}"
