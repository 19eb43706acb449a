"""Figures 29–32: weight normalisation, with a decaying learning rate too, and a tanh teacher."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spectail.experiments.experiment import Experiment
from spectail.experiments.theory import gaussian_moments
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import heavier_is_better
from spectail.study.figure_kinds import spectra, ten_step_sweep
from spectail.study.runs import Runs, Values
from spectail.study.settings import LEARNING_RATES, S2, TEN_STEPS, over_learning_rates
from spectail.study.verdicts import (
    Finding,
    all_of,
    clear,
    each_clear,
    falls,
    mean_inside,
    mean_std,
    means,
    rises,
)

# Figure 29

STEPS = 64

GRID = (("gd", 0.1), ("gd", 2000.0), ("adam", 0.1), ("adam", 1.0))

PLAIN = [S2.replace(optimizer=o, lr=lr, steps=STEPS, record=(0, STEPS)) for o, lr in GRID]

FIG29_RUNS = [e.replace(weight_normalization=True) for e in PLAIN]


def norm_is_kept(runs: Runs) -> Outcome:
    e = runs.scale(FIG29_RUNS[0])
    off = runs.measure_spectra(lambda values: abs(np.sqrt(values.sum() / (e.h * e.d)) - 1), FIG29_RUNS, STEPS)
    return Outcome(clear(1e-4 - off.max(1)), f"|‖W‖_F/√(hd) − 1| of the measured W₆₄: up to {off.max():.2g}")


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
    return Outcome(each_clear(normalized - plain), f"decades from the median to the top: {text}")


FIG29 = Artifact(
    name="fig29",
    title="Spectrum after 64 steps with weight normalisation: GD η=0.1, 2000; FB-Adam η=0.1, 1",
    repeats=5,
    experiments=[*FIG29_RUNS, *PLAIN],
    draw=spectra("Fig. 29 – weight normalisation", [(e, STEPS) for e in FIG29_RUNS]),
    claims=(
        Claim(
            "33a",
            "App. F.4",
            "Weight normalisation keeps ‖W‖_F = √(hd).",
            "clearly within 1e-4 at t=64 in the worst of four runs; before_forward measures W before it is normalised",
            norm_is_kept,
        ),
        Claim(
            "33b",
            "App. F.4, Fig. 29",
            "At large η, 64 normalised steps spread the spectrum over a wider range than without.",
            "clearly more decades from the median singular value to the largest, GD η=2000 and FB-Adam η=1",
            wider,
        ),
    ),
)

# Figure 30

HEAVIER = 0.05

LOWER = f"a Hill exponent {HEAVIER} or more below an untrained one's, and a test loss below the untrained one"

FIG30_RUN = TEN_STEPS.replace(weight_normalization=True)


def lower_hill(runs: Runs) -> Outcome:
    normalized, plain = (runs.over_lr("pl_alpha_hill", setup, "adam", 10, 100) for setup in (FIG30_RUN, TEN_STEPS))
    finding = all_of([falls(np.stack([p, n], axis=1)) for p, n in zip(plain.T, normalized.T, strict=True)])
    return Outcome(finding, f"Hill at η=10, 100: {means(normalized, 4)}; without {means(plain, 4)}")


def benign(runs: Runs) -> Outcome:
    hill = runs.over_lr("pl_alpha_hill", FIG30_RUN, "adam", 0.01, 100)
    test = runs.over_lr("test_loss_large", FIG30_RUN, "adam", 0.01, 100)
    start = runs.values("test_loss_large", [FIG30_RUN.replace(optimizer="adam", lr=LEARNING_RATES[0])], 0)
    finding = all_of([each_clear(runs.law(FIG30_RUN).hill() - hill), each_clear(start - test)])
    text = f"η=0.01 to 100: Hill {means(hill, 4)}; test {means(test)}, untrained {means(start)}"
    return Outcome(finding, text)


def good_rates(runs: Runs, setup: Experiment) -> Values:
    """At how many η of the grid FB-Adam has a lower Hill exponent and a lower test loss than untrained weights."""
    series = over_learning_rates(setup, "adam")
    hill, test = (runs.values(name, series, setup.steps) for name in ("pl_alpha_hill", "test_loss_large"))
    start = runs.values("test_loss_large", series[:1], 0)
    flags = (hill < runs.law(setup).hill() - HEAVIER) & (test < start)
    counts: Values = np.where(np.isfinite(hill + test + start).all(1), flags.sum(1), np.nan)
    return counts


def broader_range(runs: Runs) -> Outcome:
    normalized, plain = (good_rates(runs, setup) for setup in (FIG30_RUN, TEN_STEPS))
    text = f"of {len(LEARNING_RATES)} learning rates, {mean_std(normalized, 2)}; without {mean_std(plain, 2)}"
    return Outcome(clear(normalized - plain), text)


FIG30 = ten_step_sweep(
    30,
    FIG30_RUN,
    variant="weight normalisation",
    further=over_learning_rates(TEN_STEPS, "adam"),
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
            "Hill and the test loss below those of untrained weights, at η=0.01 to 100, clearly each",
            benign,
        ),
        Claim(
            "54",
            "App. F.4, Fig. 30",
            "The range of η with heavy tails and good generalisation is much broader with weight normalisation.",
            f"more learning rates of the grid have {LOWER}, clearly",
            broader_range,
        ),
        Claim(
            "79",
            "§5.2, Fig. 30",
            "With weight normalisation, too, a heavier tail goes with a lower test loss.",
            "Hill and test loss both fall from η=0.01 to 0.1 to 1, clearly each",
            lambda runs: heavier_is_better(runs, FIG30_RUN),
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
    return Outcome(either_way(ratios), f"λ₁/λ₂ at γ=0.2, 0.4, 0.6, 0.8: {means(ratios)}")


def either_way(repeats: Values) -> Finding:
    """Whether a quantity rises or falls along a series; it does neither where both are ruled out."""
    up, down = rises(repeats), falls(repeats)
    likelier = up if up.claimed <= down.claimed else down
    # One of the two would do, so its p-value is doubled; against the claim counts only what is against both
    contrary = max(up.contrary, down.contrary)
    return replace(likelier, claimed=min(1.0, 2 * likelier.claimed), contrary=contrary)


def nudges_the_bulk(runs: Runs) -> Outcome:
    hill = runs.values("pl_alpha_hill", FIG31_RUNS, 10)
    text = f"Hill at γ=0.2, 0.4, 0.6, 0.8: {means(hill, 4)}, untrained {runs.law(FIG31_RUNS[0]).hill():.3f}"
    return Outcome(falls(hill), text)


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
        Claim(
            "55",
            "App. F.4, Fig. 31",
            "Meanwhile the bulk is nudged toward a heavy tail.",
            "Hill falls along γ=0.2, 0.4, 0.6, 0.8, clearly each",
            nudges_the_bulk,
        ),
    ),
)

# Figure 32

FIG32_RUN = TEN_STEPS.replace(teacher="tanh")


def floor(runs: Runs) -> Outcome:
    moments, noise = gaussian_moments("tanh"), FIG32_RUN.label_noise**2
    test = runs.over_lr("test_loss_large", FIG32_RUN, "gd", 1000, 3000)
    text = f"η=1000, 2000, 3000: {means(test)}; the noise alone {noise:g}, with a linear readout "
    return Outcome(mean_inside(test, 0.15, 0.25), f"{text}{noise + moments.square - moments.linear**2:.3f}")


def gd_gets_heavier(runs: Runs) -> Outcome:
    kta, hill, ks = (
        runs.over_lr(name, FIG32_RUN, "gd", 1000, 3000) for name in ("kta", "pl_alpha_hill", "pl_alpha_ks")
    )
    text = f"η=1000, 2000, 3000: KTA {means(kta)}; Hill {means(hill, 4)}; KS {means(ks)}"
    return Outcome(all_of([rises(kta), falls(hill), falls(np.log(ks))]), text)


def smaller_range(runs: Runs) -> Outcome:
    tanh, softplus = (good_rates(runs, setup) for setup in (FIG32_RUN, TEN_STEPS))
    text = f"of {len(LEARNING_RATES)} learning rates, {mean_std(tanh, 2)}; with softplus {mean_std(softplus, 2)}"
    return Outcome(clear(softplus - tanh), text)


def two_is_poorer(runs: Runs) -> Outcome:
    rates = over_learning_rates(FIG32_RUN, "adam")
    hill, test = (runs.values(name, rates, FIG32_RUN.steps) for name in ("pl_alpha_hill", "test_loss_large"))
    near = int(np.abs(hill.mean(0) - 2.0).argmin())
    others = [i for i in range(len(rates)) if i != near]
    best = others[int(test[:, others].mean(0).argmin())]
    text = f"η={rates[near].lr:g} has Hill {means(hill[:, [near]], 4)} and test {means(test[:, [near]])}; "
    text += f"the best of the others is {means(test[:, [best]])} at η={rates[best].lr:g}"
    return Outcome(clear(test[:, near] - test[:, best]), text)


def worse(runs: Runs) -> Outcome:
    train, test = (runs.over_lr(v, FIG32_RUN, "adam", 0.01, 10) for v in ("train_loss", "test_loss_large"))
    hill = runs.over_lr("pl_alpha_hill", FIG32_RUN, "adam", 0.01, 10)
    text = f"η=0.01, 0.1, 1, 10: train {means(train)}; test {means(test)}; Hill {means(hill, 4)}"
    return Outcome(all_of([rises(test[:, 1:]), rises(train[:, 1:])]), text)


FIG32 = ten_step_sweep(
    32,
    FIG32_RUN,
    variant="a tanh teacher",
    further=over_learning_rates(TEN_STEPS, "adam"),
    claims=(
        Claim(
            "35",
            "App. F.5, Fig. 32a",
            "With a tanh teacher GD's test loss is about 0.2 for η ≥ 1000.",
            "the mean on 5,000 points is clearly in 0.2 ± 0.05 at η=1000, 2000 and 3000",
            floor,
        ),
        Claim(
            "36",
            "App. F.5, Fig. 32",
            "With a tanh teacher FB-Adam's losses get worse for η ≥ 0.1.",
            "train and test loss rise from η=0.1 to 1 to 10, clearly each",
            worse,
        ),
        Claim(
            "56",
            "App. F.5, Fig. 32",
            "With a tanh teacher and GD with η ≥ 1000, KTA rises and both exponents fall.",
            "from η=1000 to 2000 to 3000, clearly each",
            gd_gets_heavier,
        ),
        Claim(
            "57",
            "App. F.5, §5.2, Fig. 32",
            "With a tanh teacher the range of η with heavy tails and good generalisation is much smaller.",
            f"fewer learning rates of the grid have {LOWER} than with softplus, clearly",
            smaller_range,
        ),
        Claim(
            "58",
            "App. F.5, Fig. 32",
            "With a tanh teacher a Hill exponent of about 2 goes with poorer generalisation.",
            "the learning rate whose Hill is nearest to 2 has a test loss clearly above the lowest of the others",
            two_is_poorer,
        ),
    ),
)

ARTIFACTS = (FIG29, FIG30, FIG31, FIG32)
