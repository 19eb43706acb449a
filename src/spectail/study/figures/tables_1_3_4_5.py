"""Tables 1, 3, 4 and 5: long runs, and when a spectrum becomes heavy-tailed (claim 37)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise, product

import numpy as np
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.plots.colours import OPTIMIZER_LOOKS
from spectail.plots.look import new_figure, shared_legend
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import (
    HEAVY,
    SPIKE,
    all_outcomes,
    first_heavy,
    heavy,
    in_every_finite_repeat,
    in_words,
    spikes_only,
)
from spectail.study.panels import esd_panel, settings_line
from spectail.study.runs import Runs
from spectail.study.settings import MEASURED, QUARTER, S2, TABLE1_RUNS, TABLE3_RUNS, TABLE4_RUNS
from spectail.study.verdicts import all_of, in_every_repeat, mean_std, means


def draw(label: str, experiments: Sequence[Experiment], steps: Sequence[int], runs: Runs) -> Figure:
    """Spectra of several experiments, one column each, at several steps, one row each."""
    columns = len(experiments)
    figure, axes = new_figure(len(steps), columns, 1.45 * len(steps) + 0.5)
    for index, (step, experiment) in enumerate(product(steps, experiments)):
        ax = esd_panel(axes[index], index, runs, experiment, step, "log10")
        lr = runs.scale(experiment).lr
        ax.set_title(rf"$\eta$ = {lr:.4g}, $t$ = {runs.scale.step(step):,}", loc="left", fontsize=6.5)
        ax.set_ylabel("density" if index % columns == 0 else "")
        ax.set_xlabel(ax.get_xlabel() if index >= len(axes) - columns else "")
        ax.tick_params(labelsize=6)
    shared_legend(figure, axes)
    figure.suptitle(f"{label}. {settings_line(runs, experiments[0])}", fontsize=8)
    return figure


def table(experiments: Sequence[Experiment], steps: Sequence[int], runs: Runs) -> list[tuple[str, ...]]:
    """Phase, Hill and λ₁/λ₊ of each experiment, one column each, at each step, one row each."""
    header = ("step", *(f"η = {runs.scale(e).lr:.4g}" for e in experiments))
    return [header, *((f"{runs.scale.step(t):,}", *(_cell(runs, e, t) for e in experiments)) for t in steps)]


def _cell(runs: Runs, experiment: Experiment, step: int) -> str:
    run, at = runs[experiment], runs.scale.step(step)
    if at not in run.step.values:
        return "diverged"
    here = run.sel(step=at)
    return f"{here.phase.item()}, {here.pl_alpha_hill.item():.3f}, {here.spectral_gap.item():.3g}"


def of_long_runs(
    number: int, experiments: Sequence[Experiment], steps: Sequence[int], claims: tuple[Claim, ...],
) -> Artifact:  # fmt: skip
    """The table of some runs of ten thousand steps; `steps` are those whose spectra it shows."""
    first, last = experiments[0], experiments[-1]
    name, shown = OPTIMIZER_LOOKS[first.optimizer][2], ", ".join(f"{t:,}" for t in steps)
    return Artifact(
        name=f"table{number}",
        title=f"Spectrum at t = {shown} under {name}, η={first.lr:g} to {last.lr:g} (phase, Hill, λ₁/λ₊)",
        repeats=3,
        experiments=experiments,
        draw=partial(draw, f"Table {number} – {name}", experiments, steps),
        table=partial(table, experiments, MEASURED),
        epsilon="text",
        claims=claims,
    )


def heavy_at(runs: Runs, expected: Mapping[tuple[Experiment, int], bool]) -> Outcome:
    """Whether runs are heavy-tailed at some steps, and not at others, as expected."""
    verdicts, text = [], []
    for (experiment, step), tail in expected.items():
        flags = heavy(runs, [experiment], step)[:, 0]
        hill = runs.values("pl_alpha_hill", [experiment], step)[:, 0]
        verdicts.append(in_every_finite_repeat(flags, (flags == 1) == tail))
        phases = Counter(runs.phases(experiment, step))
        found = phases.popitem()[0] if len(phases) == 1 else ", ".join(f"{n} {phase}" for phase, n in phases.items())
        text.append(f"η={experiment.lr:g}, t={runs.scale.step(step):,}: {found}, Hill {mean_std(hill)}")
    return Outcome(all_of(verdicts), "; ".join(text))


def sooner(runs: Runs, experiments: Sequence[Experiment]) -> Outcome:
    """Whether the first heavy-tailed step falls as the learning rate grows, in every repeat."""
    first = np.stack([first_heavy(runs, e) for e in experiments], axis=1)
    ordered = [all(a > b for a, b in pairwise(steps)) for steps in first.tolist()]
    text = "; ".join(f"η={e.lr:g}: {in_words(steps)}" for e, steps in zip(experiments, first.T, strict=True))
    return Outcome(in_every_repeat(ordered), f"first heavy-tailed step of those measured: {text}")


# Table 1

SLOW, MIDDLE, FAST = TABLE1_RUNS


def spike_returns(runs: Runs) -> Outcome:
    ratio = runs.ratio(FAST, (10, 100))
    return Outcome(in_every_repeat(ratio[:, 1] < ratio[:, 0]), f"λ₁/λ₂ at t=10, 100: {means(ratio)}")


TABLE1 = of_long_runs(
    1,
    TABLE1_RUNS,
    (1, 100, 10_000),
    claims=(
        Claim(
            "37a",
            "§5.1, Table 1",
            "FB-Adam with η=1 is heavy-tailed after 10 steps; with η=0.1 after 10,000, and not after 100.",
            HEAVY,
            lambda runs: heavy_at(runs, {(FAST, 10): True, (MIDDLE, 100): False, (MIDDLE, 10_000): True}),
        ),
        Claim(
            "37b",
            "§5.1, Table 1",
            "FB-Adam with η=0.01 is not heavy-tailed after 10,000 steps.",
            HEAVY,
            lambda runs: heavy_at(runs, {(SLOW, 10_000): False}),
        ),
        Claim(
            "37c",
            "§5.1, Table 1",
            "The larger the learning rate, the fewer steps to heavy tails.",
            f"the first heavy-tailed step among those measured falls from η=0.01 to 0.1 to 1, in every repeat; {HEAVY}",
            lambda runs: sooner(runs, TABLE1_RUNS),
        ),
        Claim(
            "38",
            "App. G, Table 4",
            "With η=1 the spike is nearer to the bulk at t=100 than at t=10.",
            "λ₁/λ₂ is smaller, in every repeat",
            spike_returns,
        ),
    ),
)

# Table 3

TABLE3 = of_long_runs(
    3,
    TABLE3_RUNS,
    MEASURED,
    claims=(
        Claim(
            "5c",
            "App. E, Table 3",
            "After one GD step there is a spike only for η=2000.",
            f"{SPIKE}, for η=2000; in no repeat for the others",
            lambda runs: spikes_only(runs, TABLE3_RUNS[4:], TABLE3_RUNS[:4]),
        ),
        Claim(
            "37d",
            "App. E, Table 3",
            "Small GD learning rates do not lead to heavy tails within 10,000 steps.",
            f"not heavy-tailed at t=10,000 for η=0.1 and 1; {HEAVY}",
            lambda runs: heavy_at(runs, {(e, MEASURED[-1]): False for e in TABLE3_RUNS[:2]}),
        ),
    ),
)

# Table 4

TABLE4 = of_long_runs(
    4,
    TABLE4_RUNS,
    MEASURED,
    claims=(
        Claim(
            "5b",
            "App. E, Table 4",
            "After one FB-Adam step there is a spike for η ≥ 0.1, and none for η=0.01.",
            f"{SPIKE}, for η=0.1, 1, 10, 100; in no repeat for 0.01",
            lambda runs: spikes_only(runs, TABLE4_RUNS[1:], TABLE4_RUNS[:1]),
        ),
    ),
)

# Table 5

TABLE5_STEPS = (1, 1_000_000)

RECORD = (0, 1, 10, 100, 1000, 10_000, 100_000, 1_000_000)

FULL = S2.replace(optimizer="adam", lr=0.01, steps=TABLE5_STEPS[-1])


def table_5(name: str, run: Experiment, note: str, *, in_all: bool) -> Artifact:
    """Table 5 of one size."""
    return Artifact(
        name=name,
        title=f"Spectrum at t = 1 and 1,000,000 under FB-Adam, η={run.lr:g}{note}",
        repeats=1,
        experiments=[run],
        draw=partial(draw, f"Table 5{note} – FB-Adam", [run], TABLE5_STEPS),
        table=partial(table, [run], RECORD),
        protocols=("published",),
        epsilon="text",
        in_all=in_all,
        claims=(
            Claim(
                "37e" if in_all else "37f",
                "§5.1, Table 5",
                f"A learning rate too small for a spike leads to heavy tails after a million steps{note}.",
                f"no spike at t=1 ({SPIKE}), and heavy-tailed at t=1,000,000; {HEAVY}",
                lambda runs: all_outcomes(
                    spikes_only(runs, [], [run]), heavy_at(runs, {(run, TABLE5_STEPS[-1]): True})
                ),
            ),
        ),
    )


TABLE5 = table_5("table5", QUARTER(FULL), " (scaled: sizes a quarter, η twice)", in_all=True)

TABLE5_FULL = table_5("table5-full", FULL, "", in_all=False)

ARTIFACTS = (TABLE1, TABLE3, TABLE4, TABLE5, TABLE5_FULL)
