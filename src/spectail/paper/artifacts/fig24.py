"""Figure 24: the spectrum after ten FB-Adam steps with large learning rates, n = 8000."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from spectail.drawing.style import new_figure, shared_legend
from spectail.paper.artifacts.fig5 import TEN
from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim, Outcome, listing, rises
from spectail.paper.figures import repeated
from spectail.paper.panels import describe, esd_panel
from spectail.paper.runs import Runs

ALL = [TEN.replace(optimizer="adam", lr=lr) for lr in (1.0, 10.0, 100.0, 1000.0)]


def draw(runs: Runs) -> Figure:
    figure, axes = new_figure(2, 4, 4.0)
    for index in range(8):
        ax = esd_panel(axes[index], index, runs, ALL[index % 4], 10, "log10", initial=index < 4)
        shorter = ax.get_title("left").replace("FB-Adam, ", "").removesuffix(f", $t$ = {runs.scale.step(10)}")
        ax.set_title(shorter, loc="left")
        ax.set_ylabel(ax.get_ylabel() if index % 4 == 0 else "")
    shared_legend(figure, axes)
    figure.suptitle(
        f"Fig. 24 – FB-Adam, t = {runs.scale.step(10)}; below without the initial spectrum.\n{describe(runs, TEN)}",
        fontsize=8,
    )
    return figure


def spike_recedes(runs: Runs) -> Outcome:
    ratios = np.concatenate([runs.ratio(e, [10]) for e in ALL], axis=1)
    return Outcome(rises(np.log(ratios)), f"λ₁/λ₂ at η=1, 10, 100, 1000: {listing(ratios)}")


ARTIFACT = Artifact(
    name="fig24",
    title="Spectrum after 10 FB-Adam steps, η=1, 10, 100, 1000, n=8000",
    repeats=5,
    experiments=repeated(ALL),
    draw=draw,
    claims=(
        Claim(
            "23",
            "App. F.2, Fig. 24",
            "The larger the learning rate, the farther the spike is from the bulk.",
            "log λ₁/λ₂ rises from η=1 to 10, 100, 1000, by 3 standard errors each",
            spike_recedes,
        ),
    ),
)
