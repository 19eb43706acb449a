"""Figures 29–32: weight normalisation, with a decaying learning rate too, and a tanh teacher."""

from __future__ import annotations

import numpy as np

from spectail.experiments.theory import gaussian_moments
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.figure_kinds import spectra, ten_step_sweep
from spectail.study.runs import Runs, Values
from spectail.study.settings import LEARNING_RATES, S2, TEN_STEPS, over_learning_rates
from spectail.study.verdicts import (
    Verdict,
    all_of,
    any_clearly,
    falls,
    in_every_repeat,
    mean_inside,
    mean_std,
    means,
    rises,
    verdict_of,
)

# Figure 29

STEPS = 64

GRID = (("gd", 0.1), ("gd", 2000.0), ("adam", 0.1), ("adam", 1.0))

PLAIN = [S2.replace(optimizer=o, lr=lr, steps=STEPS, record=(0, STEPS)) for o, lr in GRID]

FIG29_RUNS = [e.replace(weight_normalization=True) for e in PLAIN]


def norm_is_kept(runs: Runs) -> Outcome:
    e = runs.scale(FIG29_RUNS[0])
    off = runs.measure_spectra(lambda values: abs(np.sqrt(values.sum() / (e.h * e.d)) - 1), FIG29_RUNS, STEPS)
    return Outcome(in_every_repeat(off < 1e-4), f"|‖W‖_F/√(hd) − 1| of the measured W₆₄: up to {off.max():.2g}")


def wider(runs: Runs) -> Outcome:
    """Decades from the median singular value to the largest, with normalisation against without."""

    def decades(spectrum: Values) -> float:
        return float(0.5 * np.log10(spectrum[-1] / np.median(spectrum)))

    large = [1, 3]
    normalized, plain = (runs.measure_spectra(decades, [es[i] for i in large], STEPS) for es in (FIG29_RUNS, PLAIN))
    text = "; ".join(
        f"{name} {mean_std(normalized[:, i])}, without {mean_std(plain[:, i])}"
        for i, name in enumerate(("GD", "FB-Adam"))
    )
    return Outcome(in_every_repeat(normalized > plain), f"decades from the median to the top: {text}")


FIG29 = Artifact(
    name="fig29",
    title="Spectrum after 64 steps with weight normalisation: GD η=0.1, 2000; FB-Adam η=0.1, 1",
    repeats=3,
    experiments=[*FIG29_RUNS, *PLAIN],
    draw=spectra("Fig. 29 – weight normalisation", [(e, STEPS) for e in FIG29_RUNS]),
    claims=(
        Claim(
            "33a",
            "App. F.4",
            "Weight normalisation keeps ‖W‖_F = √(hd).",
            "within 1e-4 at t=64, in every repeat; before_forward measures W before it is normalised",
            norm_is_kept,
        ),
        Claim(
            "33b",
            "App. F.4, Fig. 29",
            "At large η, 64 normalised steps spread the spectrum over a wider range than without.",
            "more decades from the median singular value to the largest, in every repeat, GD η=2000 and FB-Adam η=1",
            wider,
        ),
    ),
)

# Figure 30

FIG30_RUN = TEN_STEPS.replace(weight_normalization=True)


def lower_hill(runs: Runs) -> Outcome:
    normalized, plain = (runs.over_lr("pl_alpha_hill", setup, "adam", 10, 100) for setup in (FIG30_RUN, TEN_STEPS))
    verdict = all_of([falls(np.stack([p, n], axis=1)) for p, n in zip(plain.T, normalized.T, strict=True)])
    return Outcome(verdict, f"Hill at η=10, 100: {means(normalized, 4)}; without {means(plain, 4)}")


def benign(runs: Runs) -> Outcome:
    hill = runs.over_lr("pl_alpha_hill", FIG30_RUN, "adam", 0.01, 100)
    test = runs.over_lr("test_loss_large", FIG30_RUN, "adam", 0.01, 100)
    start = runs.values("test_loss_large", [FIG30_RUN.replace(optimizer="adam", lr=LEARNING_RATES[0])], 0)
    harmful = any_clearly(test - start)
    verdict = all_of([mean_inside(hill, 1.0, 2.45), verdict_of(not harmful)])
    text = f"η=0.01 to 100: Hill {means(hill, 4)}; test {means(test)}, untrained {means(start)}"
    return Outcome(verdict, text)


FIG30 = ten_step_sweep(
    30,
    FIG30_RUN,
    variant="weight normalisation",
    further=[e for e in over_learning_rates(TEN_STEPS, "adam") if 10 <= e.lr <= 100],
    claims=(
        Claim(
            "33c",
            "App. F.4, Fig. 30",
            "For 10 ≤ η ≤ 100, Hill is lower with weight normalisation than without.",
            "clearly lower at η=10 and 100, FB-Adam",
            lower_hill,
        ),
        Claim(
            "33d",
            "App. F.4, Fig. 30",
            "With weight normalisation, FB-Adam has heavy tails and generalises for 0.01 ≤ η ≤ 100.",
            "mean Hill below 2.45, the untrained value, clearly, at η=0.01 to 100; no test loss clearly above the "
            "untrained one",
            benign,
        ),
    ),
)

# Figure 31

GAMMAS = (0.2, 0.4, 0.6, 0.8)

FIG31_RUNS = [
    FIG30_RUN.replace(n=2000, optimizer="adam", lr=1, schedule="StepLR", schedule_options={"step_size": 1, "gamma": g})
    for g in GAMMAS
]


def monotone(runs: Runs) -> Outcome:
    ratios = np.concatenate([runs.ratio(e, [10]) for e in FIG31_RUNS], axis=1)
    ways = {rises(ratios), falls(ratios)}
    verdict = Verdict.HOLDS if Verdict.HOLDS in ways else Verdict.UNDECIDED if len(ways) > 1 else ways.pop()
    return Outcome(verdict, f"λ₁/λ₂ at γ=0.2, 0.4, 0.6, 0.8: {means(ratios)}")


FIG31 = Artifact(
    name="fig31",
    title="Spectrum after 10 FB-Adam steps with weight normalisation and StepLR, γ=0.2 to 0.8",
    repeats=5,
    experiments=FIG31_RUNS,
    draw=spectra(
        "Fig. 31 – weight normalisation, FB-Adam η = 1 γ^(t−1)",
        [(e, 10) for e in FIG31_RUNS],
        titles=[rf"$\gamma$ = {gamma:g}, $t$ = 10" for gamma in GAMMAS],
    ),
    claims=(
        Claim(
            "34",
            "App. F.4, Fig. 31",
            "The decay of the learning rate controls the spike.",
            "λ₁/λ₂ rises, or falls, along γ=0.2, 0.4, 0.6, 0.8, clearly each",
            monotone,
        ),
    ),
)

# Figure 32

FIG32_RUN = TEN_STEPS.replace(teacher="tanh")


def floor(runs: Runs) -> Outcome:
    moments, noise = gaussian_moments("tanh"), FIG32_RUN.label_noise**2
    test = runs.over_lr("test_loss_large", FIG32_RUN, "gd", 0.001, 3000)
    text = f"over the grid: {means(test)}; the noise alone {noise:g}, with a linear readout "
    return Outcome(mean_inside(test, 0.15, 0.25), f"{text}{noise + moments.square - moments.linear**2:.3f}")


def worse(runs: Runs) -> Outcome:
    train, test = (runs.over_lr(v, FIG32_RUN, "adam", 0.01, 10) for v in ("train_loss", "test_loss_large"))
    hill = runs.over_lr("pl_alpha_hill", FIG32_RUN, "adam", 0.01, 10)
    text = f"η=0.01, 0.1, 1, 10: train {means(train)}; test {means(test)}; Hill {means(hill, 4)}"
    return Outcome(all_of([rises(test[:, 1:]), rises(train[:, 1:])]), text)


FIG32 = ten_step_sweep(
    32,
    FIG32_RUN,
    variant="a tanh teacher",
    claims=(
        Claim(
            "35",
            "App. F.5, Fig. 32a",
            "With a tanh teacher GD's test loss is about 0.2.",
            "the mean on 5,000 points is clearly in 0.2 ± 0.05 for every η",
            floor,
        ),
        Claim(
            "36",
            "App. F.5, Fig. 32",
            "With a tanh teacher FB-Adam's losses get worse for η ≥ 0.1.",
            "train and test loss rise from η=0.1 to 1 to 10, clearly each",
            worse,
        ),
    ),
)

ARTIFACTS = (FIG29, FIG30, FIG31, FIG32)
