"""Figures 10–14: the mean-field setting, after one step and after ten."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectail.experiments.experiment import Experiment
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome, all_of, in_every_repeat, summary
from spectail.study.criteria import OUTLIER, SPIKE, all_outcomes, is_heavy, outliers, spikes_only
from spectail.study.figure_kinds import first_update, overlap_row, repeated, spectra
from spectail.study.runs import SIDES, Runs, spectrum_at
from spectail.study.settings import S2

MEAN_FIELD = S2.replace(initialization="mean_field")

GD, ADAM = (
    [MEAN_FIELD.replace(optimizer=optimizer, lr=lr, steps=1, record=(0, 1)) for lr in rates]
    for optimizer, rates in (("gd", (0.1, 1, 100, 2000)), ("adam", (5e-5, 5e-3, 0.04, 0.5)))
)

TEN = [e.replace(steps=10, record=(0, 10), overlaps=((10, 9),)) for e in ADAM]

SMALL, LARGE = TEN[0], TEN[2]

# Figures 10 and 11


def one_step(
    figure: int, where: str, claim: str, runs: Sequence[Experiment], bare: Sequence[Experiment], *,
    names: tuple[str, str], spike_at: str, none_at: str, elsewhere: str,
) -> Artifact:  # fmt: skip
    """Spectra after one step, of which the third has a spike.

    Args:
        figure: its number.
        where: section of the paper.
        claim: the number of its claim.
        runs: one a panel.
        bare: those that are to have no spike.
        names: of the optimizer, and of the learning rates.
        spike_at: the learning rate with a spike, in words.
        none_at: those without, in the claim.
        elsewhere: the same in its criterion.
    """
    optimizer, rates = names
    return Artifact(
        name=f"fig{figure}",
        title=f"Mean-field: spectrum after 1 {optimizer} step, η={rates}",
        repeats=5,
        experiments=repeated(runs),
        draw=spectra(f"Fig. {figure} – mean-field", [(e, 1) for e in runs]),
        claims=(
            Claim(
                claim,
                f"{where}, Fig. {figure}",
                f"In mean-field, one {optimizer} step makes a spike at η={spike_at}, and none at η={none_at}.",
                f"{SPIKE}, at η={spike_at}; in no repeat at {elsewhere}",
                lambda of: spikes_only(of, [runs[2]], bare),
            ),
        ),
    )


FIG10 = one_step(
    10, "App. D", "15a", GD, GD[:2], names=("GD", "0.1, 1, 100, 2000"), spike_at="100", none_at="0.1 or 1",
    elsewhere="the others",
)  # fmt: skip

FIG11 = one_step(
    11, "App. D.1", "15b", ADAM, ADAM[:1], names=("FB-Adam", "5e-5, 5e-3, 0.04, 0.5"), spike_at="0.04",
    none_at="5e-5", elsewhere="5e-5",
)  # fmt: skip

# Figure 12

FIG12 = first_update(12, "14c", "App. D.1", "adam", 0.04, expected=True, initialization="mean_field")

# Figure 13


def unchanged_or_heavy(runs: Runs) -> Outcome:
    change = runs.measure(
        lambda run: float(np.max(np.abs(spectrum_at(run, 10) / spectrum_at(run, 0) - 1))), [SMALL], 10
    )
    heavy = runs.measure(is_heavy(10), [LARGE], 10)
    hill = runs.values("pl_alpha_hill", [LARGE], 10)
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
    experiments=repeated(TEN),
    draw=spectra("Fig. 13 – mean-field", [(e, 10) for e in TEN]),
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

# Figure 14

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
