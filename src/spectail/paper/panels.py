"""Panels that several figures of the paper share."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from spectail.drawing.curves import draw_band, draw_untrained_hill, lr_axis
from spectail.drawing.esd import Axis, draw_esd
from spectail.drawing.style import OPTIMIZER_NAME, OPTIMIZER_STYLE, letter
from spectail.paper.runs import Runs, eigenvalues
from spectail.paper.setups import LEARNING_RATES, OPTIMIZERS, over_learning_rates
from spectail.teacher_student.experiment import Experiment


def esd_panel(ax: Axes, index: int, runs: Runs, experiment: Experiment, step: int, axis: Axis) -> Axes:
    """The spectrum of one run at a step, with its initial one and the law of that.

    A run that diverged before the step is said to have done so, in its panel.
    """
    run, lr = runs[experiment], runs.scale(experiment).lr
    name = OPTIMIZER_NAME[experiment.optimizer]
    letter(ax, index, rf"{name}, $\eta$ = {lr:g}, $t$ = {step}")
    if step not in run.step.values:
        ax.text(0.5, 0.5, f"diverged at step {run.attrs['diverged_at']}", ha="center", transform=ax.transAxes)
        return ax
    first = eigenvalues(run, 0)
    return draw_esd(
        ax, eigenvalues(run, step), initial=first, law=runs.law(experiment), axis=axis, final_label="trained"
    )


def lr_panel(
    ax: Axes, runs: Runs, setup: Experiment, step: int, variable: str, optimizers: Sequence[str] = OPTIMIZERS,
    linestyle: str = "-",
) -> Axes:  # fmt: skip
    """A variable against the learning rate, one line an optimizer, with bands over repeats."""
    for optimizer in optimizers:
        colour, marker = OPTIMIZER_STYLE[optimizer]
        values = runs.values(variable, over_learning_rates(setup, optimizer, steps=step, record=(0, step)), step)
        draw_band(
            ax, LEARNING_RATES, values, color=colour, marker=marker, linestyle=linestyle,
            label=OPTIMIZER_NAME[optimizer] if linestyle == "-" else "_",
        )  # fmt: skip
    note = "" if runs.scale.divisor == 1 else " (at the paper's size)"
    return lr_axis(ax, note)


def loss_panel(ax: Axes, runs: Runs, setup: Experiment, step: int, optimizers: Sequence[str] = OPTIMIZERS) -> Axes:
    """Readout losses against the learning rate: solid on the hold-out set, dashed on 5,000 test points."""
    lr_panel(ax, runs, setup, step, "train_loss", optimizers)
    lr_panel(ax, runs, setup, step, "test_loss_large", optimizers, "--")
    ax.set_ylabel("readout loss")
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
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylabel("PL_Alpha_KS")
    return ax


def describe(runs: Runs, setup: Experiment) -> str:
    """The sizes and the protocol, for a figure's title."""
    e = runs.scale(setup)
    small = "" if runs.scale.divisor == 1 else f", small scale ({runs.scale.divisor}× smaller, η scaled to match)"
    return f"n = {e.n}, d = {e.d}, h = {e.h}; protocol: {runs.protocol}{small}"
