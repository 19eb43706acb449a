"""Figure 7: very heavy tails after ten steps with weight normalisation."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.plots.colours import FINAL, LAW, OPTIMIZER_LOOKS
from spectail.plots.look import figure_title, new_figure, shared_legend, small_print
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.panels import esd_panel, panel_reaches, settings_line
from spectail.study.runs import Runs, spectrum_at
from spectail.study.settings import S2
from spectail.study.verdicts import each_clear, mean_inside, mean_std

STEP = 10

WIDE = S2.replace(n=4000, d=500, h=3000, weight_normalization=True, steps=STEP, record=(0, STEP))

GD, ADAM = WIDE.replace(optimizer="gd", lr=5000), WIDE.replace(optimizer="adam", lr=3)


def draw(runs: Runs) -> Figure:
    figure, axes = new_figure(2, 3, 4.2)
    for row, experiment in enumerate((GD, ADAM)):
        _all_of_it(axes[3 * row], 3 * row, runs, experiment)
        esd_panel(axes[3 * row + 1], 3 * row + 1, runs, experiment, STEP, "linear")
        _survival(axes[3 * row + 2], 3 * row + 2, runs, experiment)
    shared_legend(figure, axes)
    figure_title(figure, f"Fig. 7 – weight normalisation. {settings_line(runs, GD)}")
    return figure


def _all_of_it(ax: Axes, index: int, runs: Runs, experiment: Experiment) -> None:
    """The whole spectrum on linear axes, as the paper shows it: few eigenvalues take all of the axis."""
    run = runs[experiment]
    if not panel_reaches(ax, index, f"{OPTIMIZER_LOOKS[experiment.optimizer][2]}, all eigenvalues", run, STEP):
        return
    values = spectrum_at(run, STEP)
    heights, edges = np.histogram(values, 100, density=True)
    ax.stairs(heights, edges, fill=True, color=FINAL, alpha=0.55, label="trained")
    ax.ticklabel_format(axis="both", style="sci", scilimits=(-2, 4), useMathText=True)
    ax.yaxis.set_offset_position("right")
    ax.set_xlabel(r"$\lambda$")
    ax.set_ylabel(r"density of $\lambda$")


def _survival(ax: Axes, index: int, runs: Runs, experiment: Experiment) -> None:
    run = runs[experiment]
    if not panel_reaches(ax, index, f"{OPTIMIZER_LOOKS[experiment.optimizer][2]}, power-law fit", run, STEP):
        return
    values, at = spectrum_at(run, STEP), run.sel(step=STEP)
    share = 1 - np.arange(len(values)) / len(values)
    ax.loglog(values, share, color=FINAL, label="trained")
    alpha, xmin, tail = at.pl_alpha_ks.item(), at.ks_xmin.item(), at.tail_size.item()
    x = np.geomspace(xmin, values[-1], 50)
    fit = rf"power law, $\alpha$ = {alpha:.2f}"
    ax.loglog(x, tail / len(values) * (x / xmin) ** (1 - alpha), color=LAW, ls="--", label="power-law fit")
    ax.text(0.05, 0.08, f"{fit}\n{tail} of {len(values)} eigenvalues", transform=ax.transAxes, fontsize=small_print())
    ax.set_xlabel(r"$\lambda$")
    ax.set_ylabel(r"share of eigenvalues $\geq \lambda$")


def very_heavy(runs: Runs) -> Outcome:
    ks = runs.values("pl_alpha_ks", [GD, ADAM], STEP)
    text = f"KS: GD {mean_std(ks[:, 0])} (paper 1.58), FB-Adam {mean_std(ks[:, 1])} (paper 1.59)"
    return Outcome(each_clear(np.log(2.0 / ks)), text)


PAPERS = (1.58, 1.59)
"""The KS exponents of GD and FB-Adam that the paper prints."""

CLOSE = 0.05
"""Exponents that differ by less are the same."""


def as_printed(runs: Runs) -> Outcome:
    ks = runs.values("pl_alpha_ks", [GD, ADAM], STEP)
    text = f"KS: GD {mean_std(ks[:, 0])}, FB-Adam {mean_std(ks[:, 1])}"
    return Outcome(mean_inside(ks - np.array(PAPERS), -CLOSE, CLOSE), text)


FIG7 = Artifact(
    name="fig7",
    title="Very heavy tails: weight normalisation, GD η=5000, FB-Adam η=3, 10 steps, n=4000, d=500, h=3000",
    repeats=5,
    experiments=[GD, ADAM],
    draw=draw,
    claims=(
        Claim(
            "27",
            "App. A, Fig. 7",
            "Ten steps of GD or FB-Adam without gradient noise suffice for an exponent below 2.",
            "the mean KS exponent is clearly below 2, for both",
            very_heavy,
        ),
        Claim(
            "27b",
            "App. A, Fig. 7",
            "These exponents are 1.58 for GD and 1.59 for FB-Adam.",
            f"the mean KS exponent is clearly within ± {CLOSE} of that, for both",
            as_printed,
        ),
    ),
)

ARTIFACTS = (FIG7,)
