"""Figure 2: the spectrum after one step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.plots.look import new_figure, shared_legend
from spectail.spectra.spikes import visible_edge
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome, in_every_repeat, summary
from spectail.study.criteria import SPIKE, modes, spiked
from spectail.study.panels import esd_panel, settings_line
from spectail.study.runs import Runs, spectrum_at
from spectail.study.settings import S2

ONE = S2.replace(steps=1, record=(0, 1))

GD_SMALL, GD_LARGE = ONE.replace(optimizer="gd", lr=0.1), ONE.replace(optimizer="gd", lr=2000)

ADAM_1, ADAM_10 = ONE.replace(optimizer="adam", lr=1), ONE.replace(optimizer="adam", lr=10)

PANELS = (GD_SMALL, GD_LARGE, ADAM_1, ADAM_10)


def experiments(seed: int) -> Iterator[Experiment]:
    yield from (e.replace(seed=seed) for e in PANELS)


def draw(runs: Runs) -> Figure:
    figure, axes = new_figure(2, 2, 4.4)
    for index, experiment in enumerate(PANELS):
        esd_panel(axes[index], index, runs, experiment, 1, "log10")
    shared_legend(figure, axes)
    figure.suptitle(f"Fig. 2 – the spectrum after one step. {settings_line(runs, S2)}", fontsize=8)
    return figure


def unchanged(runs: Runs) -> Outcome:
    def largest_change(run: xr.Dataset) -> float:
        before, after = spectrum_at(run, 0), spectrum_at(run, 1)
        return float(np.max(np.abs(after - before) / before))

    change = runs.measure(largest_change, [GD_SMALL], 1)
    return Outcome(in_every_repeat(change < 1e-2), f"largest relative change {summary(change[:, 0], 2)}")


def spike(experiment: Experiment, runs: Runs) -> Outcome:
    """λ₁ visibly past the edge of the initial law, and a gap of 10 % below it."""
    edge = visible_edge(runs.law(experiment))
    top = runs.measure(lambda run: spectrum_at(run, 1)[-1], [experiment], 1)[:, 0]
    ratio = runs.ratio(experiment, [1])[:, 0]
    text = f"λ₁ {summary(top)}, λ₁/λ₂ {summary(ratio)}, visible past {edge:.4g}"
    return Outcome(in_every_repeat(spiked(runs, experiment) == 1), text)


FIG2 = Artifact(
    name="fig2",
    title="Spectrum after 1 step: GD η=0.1, 2000; FB-Adam η=1, 10",
    repeats=5,
    experiments=experiments,
    draw=draw,
    claims=(
        Claim(
            "1",
            "§4.1, Fig. 2a",
            "One GD step with η=0.1 leaves the spectrum as it was.",
            "no eigenvalue changes by 1 %, in every repeat",
            unchanged,
        ),
        Claim(
            "2", "§4.1, Fig. 2b", "One GD step with η=2000 makes a spike.", SPIKE, lambda runs: spike(GD_LARGE, runs)
        ),
        Claim(
            "3", "§4.1, Fig. 2c", "One FB-Adam step with η=1 makes a spike.", SPIKE, lambda runs: spike(ADAM_1, runs)
        ),
        Claim(
            "4",
            "§4.1, Fig. 2d",
            "One FB-Adam step with η=10 makes the bulk bimodal.",
            "the density of log λ has two humps, in every repeat",
            lambda runs: modes(runs, ADAM_10, 2),
        ),
    ),
)

ARTIFACTS = (FIG2,)
