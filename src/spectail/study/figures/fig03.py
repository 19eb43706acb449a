"""Figure 3: losses, kernel–target alignment and sim(W, β*) after one step, over learning rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectail.experiments.experiment import Experiment
from spectail.experiments.theory import critical_lr
from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import SPIKE, spike_margins, spikes_only
from spectail.study.figure_kinds import one_step_sweep
from spectail.study.runs import Runs, Values
from spectail.study.settings import LEARNING_RATES, ONE_STEP, PAPER_OPTIMIZERS, over_learning_rates
from spectail.study.verdicts import (
    UNTESTED,
    Verdict,
    all_of,
    clear,
    each_clear,
    falls,
    means,
    rises,
    yes_or_no,
)

GD, ADAM = (over_learning_rates(ONE_STEP, optimizer) for optimizer in PAPER_OPTIMIZERS)

TEST = "test_loss_large"

MEASURES = {"sim": "alignment", "KTA": "kta", "train loss": "train_loss", "test loss": TEST}

IMPROVES = {"sim": 1, "KTA": 1, "train loss": -1, "test loss": -1}

THRESHOLD, BELOW_IT = LEARNING_RATES.index(2000.0), LEARNING_RATES.index(1000.0)

GOOD = [ADAM[LEARNING_RATES.index(lr)] for lr in (0.01, 0.1, 1.0)]

TOO_LARGE = [e for e in ADAM if e.lr > 1]

MOST_OF_IT = 0.5
"""A threshold lies where more than half of a change comes."""

NOTHING = 0.1
"""An improvement below this share of the largest counts as none."""


def by_theory(runs: Runs) -> str:
    """The critical learning rates, in words."""
    of_optimizers = (ONE_STEP.replace(optimizer=o, protocol=runs.protocol) for o in PAPER_OPTIMIZERS)
    predicted = [critical_lr(runs.scale.in_place(e)) for e in of_optimizers]
    return f"predicted critical η {predicted[0]:.4g} and {predicted[1]:.3g}"


def first_spike(runs: Runs) -> Outcome:
    expected = ((GD, 2000.0), (ADAM, 0.1))
    places = [(series, LEARNING_RATES.index(lr)) for series, lr in expected]
    outcome = spikes_only(runs, [s[i] for s, i in places], [e for s, i in places for e in s[:i]])
    first = {}
    for (series, _), name in zip(expected, ("GD", "FB-Adam"), strict=True):
        with_spike = [e.lr for e in series if (spike_margins(runs, e) > 0).all()]
        first[name] = f"{min(with_spike):g}" if with_spike else "none"
    text = ", ".join(f"{name} {lr}" for name, lr in first.items())
    return Outcome(outcome.finding, f"first spike in every repeat at {text}; {by_theory(runs)}")


def improvement(runs: Runs, series: Sequence[Experiment], name: str) -> Values:
    """By how much a measure gets better in the first step: (seeds × experiments)."""
    values = [runs.values(MEASURES[name], series, step) for step in (0, 1)]
    better: Values = IMPROVES[name] * (values[1] - values[0])
    return better


def gd_threshold(runs: Runs) -> Outcome:
    findings, text = [], []
    for name in MEASURES:
        change = improvement(runs, [GD[BELOW_IT], GD[THRESHOLD]], name)
        findings += [clear(change[:, 1]), clear(MOST_OF_IT * change[:, 1] - change[:, 0])]
        text.append(f"{name} {change[:, 0].mean() / change[:, 1].mean():.0%}")
    return Outcome(all_of(findings), f"of the improvement at η=2000, at 1000 there is already: {', '.join(text)}")


def better_at_threshold(runs: Runs) -> Outcome:
    changes = {name: improvement(runs, [GD[THRESHOLD]], name)[:, 0] for name in MEASURES}
    text = ", ".join(f"{name} {IMPROVES[name] * change.mean():+.3g}" for name, change in changes.items())
    return Outcome(all_of([clear(change) for change in changes.values()]), f"change at η=2000: {text}")


def nothing_below(runs: Runs) -> Outcome:
    smallest, findings, text = ADAM[0], [], []
    for name in ("test loss", "KTA", "sim"):
        gain = improvement(runs, [smallest], name)[:, 0]
        largest = float(improvement(runs, GOOD, name).mean(0).max())
        findings += [clear(NOTHING * abs(largest) - gain), clear(gain + NOTHING * abs(largest))]
        text.append(f"{name} {gain.mean():.2g} of {largest:.2g}")
    return Outcome(all_of(findings), f"improvement at η=0.001, and the largest at 0.01 to 1: {', '.join(text)}")


def better_up_to_one(runs: Runs) -> Outcome:
    test = runs.values(TEST, GOOD, 1)
    findings = [each_clear(improvement(runs, GOOD, name)) for name in ("test loss", "KTA", "sim")]
    kta, sim = (runs.values(MEASURES[name], GOOD, 1) for name in ("KTA", "sim"))
    start = runs.values(TEST, GOOD[:1], 0)
    text = f"η=0.01, 0.1, 1: test {means(test)}, untrained {means(start)}; KTA {means(kta)}; sim {means(sim)}"
    return Outcome(all_of(findings), text)


def sweet_spot(runs: Runs) -> Outcome:
    test, start = runs.values(TEST, ADAM, 1), runs.values(TEST, ADAM[:1], 0)[:, 0]
    best = int(test.mean(0).argmin())
    beyond = test[:, [i for i, lr in enumerate(LEARNING_RATES) if lr > max(1.0, LEARNING_RATES[best])]]
    findings = [yes_or_no(0.01 <= LEARNING_RATES[best] <= 1), clear(start - test[:, best])]
    findings += [clear(column - test[:, best]) for column in beyond.T]
    text = f"lowest test loss {test[:, best].mean():.3g} at η={LEARNING_RATES[best]:g}, untrained {start.mean():.3g}"
    return Outcome(all_of(findings), f"{text}; over the grid: {means(test)}")


def spike_helps(runs: Runs, series: Sequence[Experiment]) -> Outcome:
    """Whether every learning rate with a spike has a lower test loss than any without, and than untrained weights."""
    spiking = [(spike_margins(runs, e) > 0).all() for e in series]
    if all(spiking) or not any(spiking):
        count = f"{sum(spiking)} of {len(spiking)} learning rates have a spike"
        return Outcome(UNTESTED[Verdict.UNDECIDED], f"{count}: there is nothing to compare")
    test, start = runs.values(TEST, series, 1), runs.values(TEST, series[:1], 0)
    without = np.concatenate([test[:, ~np.array(spiking)], start], axis=1).min(1)
    rates = [e.lr for e, has in zip(series, spiking, strict=True) if has]
    with_spike = test[:, np.array(spiking)]
    text = f"with a spike, η={', '.join(f'{lr:g}' for lr in rates)}: {means(with_spike)}; best without {means(without)}"
    return Outcome(each_clear(without[:, None] - with_spike), text)


def kta_turns(runs: Runs) -> Outcome:
    rises_at = {name: improvement(runs, GOOD, name).mean(1) for name in ("sim", "KTA")}
    none_below = nothing_below(runs).finding
    at_one, beyond = runs.values("kta", GOOD[-1:], 1)[:, 0], runs.values("kta", TOO_LARGE, 1)
    findings = [none_below, *(clear(gain) for gain in rises_at.values()), clear(at_one - beyond.mean(1))]
    return Outcome(all_of(findings), f"KTA at η=1: {means(at_one)}; at 10 to 3000: {means(beyond)}")


def adam_overfits(runs: Runs) -> Outcome:
    train, test = (runs.values(v, ADAM[3:6], 1) for v in ("train_loss", TEST))
    text = f"η=1, 10, 100: train {means(train)}; test {means(test)}"
    return Outcome(all_of([falls(train), rises(test)]), text)


FIG3 = one_step_sweep(
    3,
    ONE_STEP,
    epsilon="text",
    claims=(
        Claim(
            "5",
            "§4.1, Fig. 3",
            "η=0.1 suffices for FB-Adam to make a spike; GD needs 2000.",
            f"{SPIKE}, for GD at η=2000 and FB-Adam at 0.1; at no smaller η of the grid",
            first_spike,
        ),
        Claim(
            "6",
            "§4.1, Fig. 3",
            "η=2000 is the threshold from which GD changes losses, KTA and sim.",
            "each gets clearly better at η=2000, and more than half of that comes between 1000 and 2000, clearly",
            gd_threshold,
        ),
        Claim(
            "6b",
            "§4.1, Fig. 3",
            "There GD lowers the train and the test loss, and raises KTA and sim.",
            "each is clearly better at η=2000 than untrained",
            better_at_threshold,
        ),
        Claim(
            "42",
            "§4.1, Fig. 3",
            "FB-Adam with η < 0.01 improves neither the test loss nor KTA nor sim.",
            "at η=0.001 each changes by less than a tenth of the largest improvement at η=0.01, 0.1, 1, clearly, "
            "either way",
            nothing_below,
        ),
        Claim(
            "43",
            "§4.1, Fig. 3",
            "FB-Adam with 0.01 ≤ η ≤ 1 improves the test loss, KTA and sim.",
            "each is clearly better at η=0.01, 0.1 and 1 than untrained",
            better_up_to_one,
        ),
        Claim(
            "7",
            "§4.1, Fig. 3",
            "FB-Adam raises sim and KTA only for η ≥ 0.01; for η > 1 the trend of KTA reverses slightly.",
            "42 holds, both rise clearly over η=0.01 to 1, and the mean KTA over η > 1 is clearly below that at 1",
            kta_turns,
        ),
        Claim(
            "44",
            "§4.1, Fig. 3b",
            "FB-Adam has a sweet spot of η, beyond which the test loss is poor.",
            "the lowest mean test loss of the grid lies at 0.01 ≤ η ≤ 1, clearly below the untrained one and below "
            "that of every larger η > 1",
            sweet_spot,
        ),
        Claim(
            "45a",
            "§4.1, Fig. 3a",
            "A spike after one step of GD means better generalisation.",
            "every η with a spike in each repeat has a clearly lower test loss than the best without, or untrained",
            lambda runs: spike_helps(runs, GD),
        ),
        Claim(
            "45b",
            "§4.1, App. D, Fig. 3b",
            "A spike after one step of FB-Adam means better generalisation.",
            "as 45a",
            lambda runs: spike_helps(runs, ADAM),
        ),
        Claim(
            "8",
            "§4.1, Fig. 3b",
            "FB-Adam with η > 1 lowers the train loss and raises the test loss.",
            "train falls and test rises from η=1 to 10 to 100, clearly each",
            adam_overfits,
        ),
    ),
)

ARTIFACTS = (FIG3,)
