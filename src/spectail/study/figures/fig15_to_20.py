"""Figures 15–20: further spectra, overlaps and sweeps after one step."""

from __future__ import annotations

from spectail.study.artifact import Artifact
from spectail.study.claims import Claim
from spectail.study.criteria import SPIKE, modes, spikes_only
from spectail.study.figure_kinds import first_update, one_step_sweep, spectra
from spectail.study.settings import ONE_STEP

# Figure 15

GD = [ONE_STEP.replace(optimizer="gd", lr=lr) for lr in (1, 10)]

ADAM = [ONE_STEP.replace(optimizer="adam", lr=lr) for lr in (1, 2000)]

ALL = [*GD, *ADAM]

TABLE3_RATES, TABLE4_RATES = (
    [ONE_STEP.replace(optimizer=o, lr=lr) for lr in rates]
    for o, rates in (("gd", (0.1, 1, 10, 100, 2000)), ("adam", (0.01, 0.1, 1, 10, 100)))
)

FIG15 = Artifact(
    name="fig15",
    title="Spectrum after 1 step: GD η=1, 10; FB-Adam η=1, 2000",
    repeats=5,
    epsilon="text",
    experiments=[*ALL, *(e for e in (*TABLE3_RATES, *TABLE4_RATES) if e not in ALL)],
    draw=spectra("Fig. 15 – after one step", [(e, 1) for e in ALL]),
    claims=(
        Claim(
            "4b",
            "App. F.1, Fig. 15d",
            "One FB-Adam step with η=2000 makes the spectrum clearly bimodal.",
            "the density of log λ has two modes, in every repeat",
            lambda runs: modes(runs, ADAM[1], 2),
        ),
        Claim(
            "1b",
            "App. F.1, Fig. 15a,b",
            "One GD step with η=1 or 10 makes no spike, one FB-Adam step with η=1 does.",
            f"{SPIKE}, for FB-Adam; clearly none for GD",
            lambda runs: spikes_only(runs, ADAM[:1], GD),
        ),
        Claim(
            "5b",
            "App. E, Table 4, t=1",
            "After one FB-Adam step there is a spike for η ≥ 0.1, and none for η=0.01.",
            f"{SPIKE}, for η=0.1, 1, 10, 100; clearly none for 0.01",
            lambda runs: spikes_only(runs, TABLE4_RATES[1:], TABLE4_RATES[:1]),
        ),
        Claim(
            "5c",
            "App. E, Table 3, t=1",
            "After one GD step there is a spike only for η=2000.",
            f"{SPIKE}, for η=2000; clearly none for the others",
            lambda runs: spikes_only(runs, TABLE3_RATES[4:], TABLE3_RATES[:4]),
        ),
    ),
)

# Figures 16 to 18

FIG16 = first_update(16, "14d", "App. F.1", "gd", 0.1, expected=False)

FIG17 = first_update(17, "14e", "App. F.1", "adam", 0.1, expected=True)

FIG18 = first_update(18, "14f", "App. F.1", "gd", 2000, expected=True)

# Figures 19 and 20: Figure 3 with more training points

FIG19, FIG20 = (one_step_sweep(figure, ONE_STEP.replace(n=n)) for figure, n in ((19, 4000), (20, 8000)))

ARTIFACTS = (FIG15, FIG16, FIG17, FIG18, FIG19, FIG20)
