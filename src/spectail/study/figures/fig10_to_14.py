"""Figures 10–14: the mean-field setting, after one step and after ten."""

from __future__ import annotations

from spectail.experiments.experiment import Experiment
from spectail.plots.colours import OPTIMIZER_LOOKS
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import (
    BROADENED,
    OUTLIER,
    SPIKE,
    all_outcomes,
    broadened,
    largest_change,
    outliers,
    spikes_only,
)
from spectail.study.figure_kinds import first_update, overlap_row, spectra
from spectail.study.runs import SIDES, Runs
from spectail.study.settings import ONE_STEP
from spectail.study.verdicts import all_of, clear, mean_std

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
                f"{SPIKE}, at η={rates[2]}; clearly none at {none_at}",
                lambda runs: spikes_only(runs, experiments[2:3], experiments[:bare]),
            ),
            Claim(
                f"72{claim[-1]}",
                f"App. D, Fig. {figure}",
                f"In mean-field, the spike of one {name} step at η={rates[2]} comes with a larger KTA and sim.",
                "both are clearly above those of untrained weights",
                lambda runs: learns(runs, experiments[2]),
            ),
            Claim(
                f"73{claim[-1]}",
                f"App. D, Fig. {figure}",
                f"In mean-field, one {name} step with a spike, η={rates[2]}, does better than the kernel does.",
                "the test loss is clearly below that of ridge regression on the features of untrained weights",
                lambda runs: beats_the_kernel(runs, experiments[2]),
            ),
        ),
    )


def learns(runs: Runs, experiment: Experiment) -> Outcome:
    findings, text = [], []
    for name, variable in (("KTA", "kta"), ("sim", "alignment")):
        before, after = (runs.values(variable, [experiment], step)[:, 0] for step in (0, 1))
        findings.append(clear(after - before))
        text.append(f"{name} {mean_std(before, 2)} → {mean_std(after, 2)}")
    return Outcome(all_of(findings), "; ".join(text))


def beats_the_kernel(runs: Runs, experiment: Experiment) -> Outcome:
    before, after = (runs.values("test_loss_large", [experiment], step)[:, 0] for step in (0, 1))
    return Outcome(clear(before - after), f"test loss {mean_std(before)} → {mean_std(after)}")


FIG10 = one_step(10, "App. D", "15a", "gd", bare=2)

FIG11 = one_step(11, "App. D.1", "15b", "adam", bare=1)

# Figure 12

FIG12 = first_update(12, "14c", "App. D.1", "adam", 0.04, expected=True, initialization="mean_field")

# Figure 13


def unchanged_or_broadened(runs: Runs) -> Outcome:
    change, margins = largest_change(runs, SMALL, 10), broadened(runs, [LARGE], 10)
    hill = runs.values("pl_alpha_hill", [LARGE], 10)
    return Outcome(
        all_of([clear(0.05 - change), clear(margins)]),
        f"η=5e-5: largest relative change {mean_std(change[:, 0], 2)}; η=0.04: broadened in {(margins > 0).sum()} of "
        f"{len(margins)}, Hill {mean_std(hill[:, 0])} (untrained {runs.law(SMALL).hill():.3f})",
    )


FIG13 = Artifact(
    name="fig13",
    title="Mean-field: spectrum after 10 FB-Adam steps, η=5e-5, 5e-3, 0.04, 0.5",
    repeats=5,
    experiments=TEN,
    draw=spectra("Fig. 13 – mean-field", [(e, 10) for e in TEN]),
    claims=(
        Claim(
            "15c",
            "App. D, Fig. 13",
            "In mean-field, ten FB-Adam steps keep the spectrum at η=5e-5, and make it heavy-tailed at 0.04.",
            f"the largest relative change is clearly below 5 % at 5e-5, and 0.04 is broadened; {BROADENED}",
            unchanged_or_broadened,
        ),
    ),
)

# Figure 14

PANELS = [(e, ((10, 9), side)) for e in (SMALL, LARGE) for side in SIDES]

FIG14 = Artifact(
    name="fig14",
    title="Mean-field: overlaps of W₁₀ with M₉, FB-Adam η=5e-5, 0.04",
    repeats=5,
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
