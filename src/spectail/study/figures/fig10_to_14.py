"""Figure 10: spectra after one GD step in the mean-field setting."""

from __future__ import annotations

import numpy as np

from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome, all_of, in_every_repeat, summary
from spectail.study.criteria import OUTLIER, SPIKE, all_outcomes, is_heavy, outliers, spikes_only
from spectail.study.figure_kinds import first_update, overlap_row, repeated, spectra
from spectail.study.runs import SIDES, Runs, spectrum_at
from spectail.study.settings import S2

FIG10_RUNS = [
    S2.replace(initialization="mean_field", optimizer="gd", lr=lr, steps=1, record=(0, 1)) for lr in (0.1, 1, 100, 2000)
]

FIG10 = Artifact(
    name="fig10",
    title="Mean-field: spectrum after 1 GD step, η=0.1, 1, 100, 2000",
    repeats=5,
    experiments=repeated(FIG10_RUNS),
    draw=spectra("Fig. 10 – mean-field", [(e, 1) for e in FIG10_RUNS]),
    claims=(
        Claim(
            "15a",
            "App. D, Fig. 10",
            "In mean-field, one GD step makes a spike at η=100, and none at η=0.1 or 1.",
            f"{SPIKE}, at η=100; in no repeat at the others",
            lambda runs: spikes_only(runs, [FIG10_RUNS[2]], FIG10_RUNS[:2]),
        ),
    ),
)

FIG11_RUNS = [
    S2.replace(initialization="mean_field", optimizer="adam", lr=lr, steps=1, record=(0, 1))
    for lr in (5e-5, 5e-3, 0.04, 0.5)
]

FIG11 = Artifact(
    name="fig11",
    title="Mean-field: spectrum after 1 FB-Adam step, η=5e-5, 5e-3, 0.04, 0.5",
    repeats=5,
    experiments=repeated(FIG11_RUNS),
    draw=spectra("Fig. 11 – mean-field", [(e, 1) for e in FIG11_RUNS]),
    claims=(
        Claim(
            "15b",
            "App. D.1, Fig. 11",
            "In mean-field, one FB-Adam step makes a spike at η=0.04, and none at η=5e-5.",
            f"{SPIKE}, at η=0.04; in no repeat at 5e-5",
            lambda runs: spikes_only(runs, [FIG11_RUNS[2]], FIG11_RUNS[:1]),
        ),
    ),
)

FIG12 = first_update(12, "14c", "App. D.1", "adam", 0.04, expected=True, initialization="mean_field")

FIG13_RUNS = [
    S2.replace(initialization="mean_field", optimizer="adam", lr=lr, steps=10, record=(0, 10), overlaps=((10, 9),))
    for lr in (5e-5, 5e-3, 0.04, 0.5)
]


def unchanged_or_heavy(runs: Runs) -> Outcome:
    change = runs.measure(
        lambda run: float(np.max(np.abs(spectrum_at(run, 10) / spectrum_at(run, 0) - 1))), FIG13_RUNS[:1], 10
    )
    heavy = runs.measure(is_heavy(10), FIG13_RUNS[2:3], 10)
    hill = runs.values("pl_alpha_hill", FIG13_RUNS[2:3], 10)
    verdict = all_of([in_every_repeat(change < 0.05), in_every_repeat(heavy == 1)])
    return Outcome(
        verdict,
        f"η=5e-5: largest relative change {summary(change[:, 0], 2)}; η=0.04: heavy-tailed in {(heavy == 1).sum()} of "
        f"{len(heavy)}, Hill {summary(hill[:, 0])} (untrained {runs.law(S2).hill():.3f})",
    )


FIG13 = Artifact(
    name="fig13",
    title="Mean-field: spectrum after 10 FB-Adam steps, η=5e-5, 5e-3, 0.04, 0.5",
    repeats=3,
    experiments=repeated(FIG13_RUNS),
    draw=spectra("Fig. 13 – mean-field", [(e, 10) for e in FIG13_RUNS]),
    claims=(
        Claim(
            "15c",
            "App. D, Fig. 13",
            "In mean-field, ten FB-Adam steps keep the spectrum at η=5e-5, and make it heavy-tailed at 0.04.",
            "no eigenvalue changes by 5 % at 5e-5, and the phase at 0.04 is heavy-tailed, in every repeat",
            unchanged_or_heavy,
        ),
    ),
)

SMALL, LARGE = FIG13_RUNS[0], FIG13_RUNS[2]

PANELS = [(e, ((10, 9), side)) for e in (SMALL, LARGE) for side in SIDES]

FIG14 = Artifact(
    name="fig14",
    title="Mean-field: overlaps of W₁₀ with M₉, FB-Adam η=5e-5, 0.04",
    repeats=3,
    experiments=repeated([SMALL, LARGE]),
    draw=overlap_row("Fig. 14 – mean-field, FB-Adam, η = 5e-5 (a, b) and 0.04 (c, d)", PANELS),
    claims=(
        Claim(
            "14g",
            "App. D, Fig. 14",
            "After ten steps the overlaps have outliers at η=0.04, and look random at η=5e-5.",
            OUTLIER,
            lambda runs: all_outcomes(
                outliers(runs, SMALL, (10, 9), expected=False), outliers(runs, LARGE, (10, 9), expected=True)
            ),
        ),
    ),
)

ARTIFACTS = (
    FIG10,
    FIG11,
    FIG12,
    FIG13,
    FIG14,
)
