"""Figures 15–20: further spectra, overlaps and sweeps after one step."""

from __future__ import annotations

from spectail.study.artifact import Artifact
from spectail.study.claims import Claim
from spectail.study.criteria import SPIKE, modes, spikes_only
from spectail.study.figure_kinds import first_update, one_step_sweep, repeated, spectra, sweep_experiments
from spectail.study.settings import S2

# Figure 15

GD = [S2.replace(optimizer="gd", lr=lr, steps=1, record=(0, 1)) for lr in (1, 10)]

ADAM = [S2.replace(optimizer="adam", lr=lr, steps=1, record=(0, 1)) for lr in (1, 2000)]

ALL = [*GD, *ADAM]

FIG15 = Artifact(
    name="fig15",
    title="Spectrum after 1 step: GD η=1, 10; FB-Adam η=1, 2000",
    repeats=5,
    experiments=repeated(ALL),
    draw=spectra("Fig. 15 – after one step", [(e, 1) for e in ALL]),
    claims=(
        Claim(
            "4b",
            "App. F.1, Fig. 15d",
            "One FB-Adam step with η=2000 makes the spectrum clearly bimodal.",
            "the density of log λ has two humps, in every repeat",
            lambda runs: modes(runs, ADAM[1], 2),
        ),
        Claim(
            "1b",
            "App. F.1, Fig. 15a,b",
            "One GD step with η=1 or 10 makes no spike, one FB-Adam step with η=1 does.",
            f"{SPIKE}, for FB-Adam; in no repeat for GD",
            lambda runs: spikes_only(runs, ADAM[:1], GD),
        ),
    ),
)

# Figures 16 to 18

FIG16 = first_update(16, "14d", "App. F.1", "gd", 0.1, expected=False)

FIG17 = first_update(17, "14e", "App. F.1", "adam", 0.1, expected=True)

FIG18 = first_update(18, "14f", "App. F.1", "gd", 2000, expected=True)

# Figures 19 and 20


def sweep(figure: int, n: int) -> Artifact:
    """Fig. 3 with another number of training points."""
    setup = S2.replace(n=n, steps=1, record=(0, 1))
    return Artifact(
        name=f"fig{figure}",
        title=f"Losses, KTA and sim after 1 step over 9 learning rates, n={n}",
        repeats=5,
        experiments=sweep_experiments(setup),
        draw=one_step_sweep(f"Fig. {figure}", setup),
    )


ARTIFACTS = (FIG15, FIG16, FIG17, FIG18, sweep(19, 4000), sweep(20, 8000))
