"""Figures 10–14: the mean-field setting, after one step and after ten."""

from __future__ import annotations

from spectail.plots.colours import OPTIMIZER_LOOKS
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import OUTLIER, SPIKE, all_outcomes, heavy, largest_change, outliers, spikes_only
from spectail.study.figure_kinds import first_update, overlap_row, spectra
from spectail.study.runs import SIDES, Runs
from spectail.study.settings import ONE_STEP
from spectail.study.verdicts import all_of, in_every_repeat, mean_std

MEAN_FIELD = ONE_STEP.replace(initialization="mean_field")

RATES = {"gd": ("0.1", "1", "100", "2000"), "adam": ("5e-5", "5e-3", "0.04", "0.5")}

TEN = [
    MEAN_FIELD.replace(optimizer="adam", lr=float(lr), steps=10, record=(0, 10), overlaps=((10, 9),))
    for lr in RATES["adam"]
]

SMALL, LARGE = TEN[0], TEN[2]

# Figures 10 and 11


def one_step(figure: int, where: str, claim: str, optimizer: str, bare: int) -> Artifact:
    """Spectra after one step: a spike at the third learning rate, and none at the first `bare`."""
    name, rates = OPTIMIZER_LOOKS[optimizer][2], RATES[optimizer]
    experiments = [MEAN_FIELD.replace(optimizer=optimizer, lr=float(lr)) for lr in rates]
    none_at = " or ".join(rates[:bare])
    return Artifact(
        name=f"fig{figure}",
        title=f"Mean-field: spectrum after 1 {name} step, η={', '.join(rates)}",
        repeats=5,
        experiments=experiments,
        draw=spectra(f"Fig. {figure} – mean-field", [(e, 1) for e in experiments]),
        claims=(
            Claim(
                claim,
                f"{where}, Fig. {figure}",
                f"In mean-field, one {name} step makes a spike at η={rates[2]}, and none at η={none_at}.",
                f"{SPIKE}, at η={rates[2]}; in no repeat at {none_at}",
                lambda runs: spikes_only(runs, experiments[2:3], experiments[:bare]),
            ),
        ),
    )


FIG10 = one_step(10, "App. D", "15a", "gd", bare=2)

FIG11 = one_step(11, "App. D.1", "15b", "adam", bare=1)

# Figure 12

FIG12 = first_update(12, "14c", "App. D.1", "adam", 0.04, expected=True, initialization="mean_field")

# Figure 13


def unchanged_or_heavy(runs: Runs) -> Outcome:
    change, flags = largest_change(runs, SMALL, 10), heavy(runs, [LARGE], 10)
    hill = runs.values("pl_alpha_hill", [LARGE], 10)
    return Outcome(
        all_of([in_every_repeat(change < 0.05), in_every_repeat(flags == 1)]),
        f"η=5e-5: largest relative change {mean_std(change[:, 0], 2)}; η=0.04: heavy-tailed in {(flags == 1).sum()} of "
        f"{len(flags)}, Hill {mean_std(hill[:, 0])} (untrained {runs.law(SMALL).hill():.3f})",
    )


FIG13 = Artifact(
    name="fig13",
    title="Mean-field: spectrum after 10 FB-Adam steps, η=5e-5, 5e-3, 0.04, 0.5",
    repeats=3,
    experiments=TEN,
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
    experiments=[SMALL, LARGE],
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

ARTIFACTS = (FIG10, FIG11, FIG12, FIG13, FIG14)
