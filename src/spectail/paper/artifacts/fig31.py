"""Figure 31: spectra with weight normalisation and decaying learning rates."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from spectail.drawing.style import letter, new_figure, shared_legend
from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim, Outcome, Verdict, all_of, falls, listing, rises
from spectail.paper.figures import repeated
from spectail.paper.panels import describe, esd_panel
from spectail.paper.runs import Runs
from spectail.paper.setups import S2

GAMMAS = (0.2, 0.4, 0.6, 0.8)
ALL = [
    S2.replace(
        optimizer="adam", lr=1, steps=10, record=(0, 10), weight_normalization=True,
        schedule="StepLR", schedule_options={"step_size": 1, "gamma": gamma},
    )
    for gamma in GAMMAS
]  # fmt: skip


def draw(runs: Runs) -> Figure:
    figure, axes = new_figure(2, 2, 4.4)
    for index, (gamma, experiment) in enumerate(zip(GAMMAS, ALL, strict=True)):
        esd_panel(axes[index], index, runs, experiment, 10, "log10")
        letter(axes[index], index, rf"$\gamma$ = {gamma:g}, $t$ = 10")
    shared_legend(figure, axes)
    figure.suptitle(f"Fig. 31 – weight normalisation, FB-Adam η = 1 γ^(t−1). {describe(runs, S2)}", fontsize=8)
    return figure


def monotone(runs: Runs) -> Outcome:
    ratios = np.concatenate([runs.ratio(e, [10]) for e in ALL], axis=1)
    ways = [rises(ratios), falls(ratios)]
    verdict = Verdict.HOLDS if Verdict.HOLDS in ways else all_of(ways)
    return Outcome(verdict, f"λ₁/λ₂ at γ=0.2, 0.4, 0.6, 0.8: {listing(ratios)}")


ARTIFACT = Artifact(
    name="fig31",
    title="Spectrum after 10 FB-Adam steps with weight normalisation and StepLR, γ=0.2 to 0.8",
    repeats=5,
    experiments=repeated(ALL),
    draw=draw,
    claims=(
        Claim(
            "34",
            "App. F.4, Fig. 31",
            "The decay of the learning rate controls the spike.",
            "λ₁/λ₂ rises, or falls, along γ=0.2, 0.4, 0.6, 0.8, by 3 standard errors each",
            monotone,
        ),
    ),
)
