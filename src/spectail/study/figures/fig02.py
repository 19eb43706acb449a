"""Figure 2: the spectrum after one step."""

from __future__ import annotations

from spectail.experiments.experiment import Experiment
from spectail.spectra.spikes import visible_edge
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import SPIKE, largest_change, modes, spike_margins
from spectail.study.figure_kinds import spectra
from spectail.study.runs import Runs
from spectail.study.settings import ONE_STEP
from spectail.study.verdicts import clear, mean_std

GD_SMALL, GD_LARGE = (ONE_STEP.replace(optimizer="gd", lr=lr) for lr in (0.1, 2000))

ADAM_1, ADAM_10 = (ONE_STEP.replace(optimizer="adam", lr=lr) for lr in (1, 10))

ALL = (GD_SMALL, GD_LARGE, ADAM_1, ADAM_10)


def unchanged(runs: Runs) -> Outcome:
    change = largest_change(runs, GD_SMALL, 1)
    return Outcome(clear(1e-2 - change), f"largest relative change {mean_std(change[:, 0], 2)}")


def spike(experiment: Experiment, runs: Runs) -> Outcome:
    """λ₁ visibly past the edge of the initial law, and a gap of 10 % below it."""
    top, ratio = runs.top([experiment], 1)[:, 0], runs.ratio(experiment, [1])[:, 0]
    text = f"λ₁ {mean_std(top)}, λ₁/λ₂ {mean_std(ratio)}, visible past {visible_edge(runs.law(experiment)):.4g}"
    phases = ", ".join(dict.fromkeys(runs.phases(experiment, 1)))
    return Outcome(clear(spike_margins(runs, experiment)), f"{text}; phase of the whole spectrum: {phases}")


FIG2 = Artifact(
    name="fig2",
    title="Spectrum after 1 step: GD η=0.1, 2000; FB-Adam η=1, 10",
    repeats=5,
    experiments=ALL,
    epsilon="text",
    draw=spectra("Fig. 2 – the spectrum after one step", [(e, 1) for e in ALL]),
    claims=(
        Claim(
            "1",
            "§4.1, Fig. 2a",
            "One GD step with η=0.1 leaves the spectrum as it was.",
            "the largest relative change of an eigenvalue is clearly below 1 %",
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
            "the density of log λ has two modes, in every repeat",
            lambda runs: modes(runs, ADAM_10, 2),
        ),
    ),
)

ARTIFACTS = (FIG2,)
