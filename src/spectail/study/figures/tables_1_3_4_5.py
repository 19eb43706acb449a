"""Tables 1, 3, 4 and 5: long runs, and when a spectrum broadens (claim 37)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise, product

import numpy as np
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.plots.colours import OPTIMIZER_LOOKS
from spectail.plots.look import figure_title, label_outer_panels, new_figure, shared_legend, title_above
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import (
    BROADENED,
    EARLY,
    EXPONENTS,
    SPIKE,
    all_outcomes,
    broadened,
    first_broadened,
    in_words,
    share_of_the_top,
    spikes_only,
)
from spectail.study.panels import esd_panel, settings_line
from spectail.study.runs import Runs
from spectail.study.settings import (
    ADAM_SCALED,
    GD_SCALED,
    MEASURED,
    QUARTER,
    S2,
    TABLE1_RUNS,
    TABLE3_RUNS,
    TABLE4_RUNS,
)
from spectail.study.verdicts import all_of, clear, in_every_repeat, mean_std, means


def draw(label: str, experiments: Sequence[Experiment], steps: Sequence[int], runs: Runs) -> Figure:
    """Spectra of several experiments, one column each, at several steps, one row each."""
    columns = len(experiments)
    figure, axes = new_figure(len(steps), columns, 1.5 * len(steps) + 0.5, abreast=3)
    known = False
    for index, (step, experiment) in enumerate(product(steps, experiments)):
        ax = esd_panel(axes[index], index, runs, experiment, step, "log10")
        lr, stability = runs.scale(experiment).lr, _stability(runs, experiment, step)
        title_above(ax, rf"$\eta$ = {lr:.4g}, $t$ = {runs.scale.step(step):,}{stability}")
        ax.set_ylabel("density")
        known = known or bool(stability)
    label_outer_panels(axes)
    shared_legend(figure, axes)
    note = r". $S$: $\eta\lambda_{\max}(P^{-1}H)$ over what the optimizer bears" if known else ""
    figure_title(figure, f"{label}. {settings_line(runs, experiments[0])}{note}")
    return figure


def _stability(runs: Runs, experiment: Experiment, step: int) -> str:
    """The stability of the update as a part of a title; empty where it was not measured."""
    at = runs.scale.step(step)
    values = dict(zip(runs.as_run(experiment).recorded_steps, runs.beside("stability", experiment)[0], strict=True))
    return f", $S$ = {values[at]:.2g}" if math.isfinite(values.get(at, math.nan)) else ""


def table(experiments: Sequence[Experiment], steps: Sequence[int], runs: Runs) -> list[tuple[str, ...]]:
    """Phase, Hill and λ₁/λ₊ of each experiment, one column each, at each step, one row each."""
    header = ("step", *(f"η = {runs.scale(e).lr:.4g}" for e in experiments))
    return [header, *((f"{runs.scale.step(t):,}", *(_cell(runs, e, t) for e in experiments)) for t in steps)]


def _cell(runs: Runs, experiment: Experiment, step: int) -> str:
    run, at = runs[experiment], runs.scale.step(step)
    if at not in run.step.values:
        return "diverged"
    here = run.sel(step=at)
    stability = _stability(runs, experiment, step).replace("$", "")
    return f"{here.phase.item()}, {here.pl_alpha_hill.item():.3f}, {here.spectral_gap.item():.3g}{stability}"


def of_long_runs(
    number: int, experiments: Sequence[Experiment], steps: Sequence[int], claims: tuple[Claim, ...] = (),
    note: str = "",
) -> Artifact:  # fmt: skip
    """The table of some runs of ten thousand steps; `steps` are those whose spectra it shows.

    Args:
        number: of the table.
        experiments: its runs.
        steps: whose spectra it shows.
        claims: about it.
        note: what is not as in the paper, of runs at a quarter of its sizes.
    """
    first, last = experiments[0], experiments[-1]
    name, shown = OPTIMIZER_LOOKS[first.optimizer][2], ", ".join(f"{t:,}" for t in steps)
    return Artifact(
        name=f"table{number}-quarter" if note else f"table{number}",
        title=f"Spectrum at t = {shown} under {name}, η={first.lr:g} to {last.lr:g} (phase, Hill, λ₁/λ₊){note}",
        repeats=5 if note else 3,
        experiments=experiments,
        draw=partial(draw, f"Table {number}{note} – {name}", experiments, steps),
        table=partial(table, experiments, MEASURED),
        epsilon="text" if first.optimizer == "adam" else "program",  # GD has none, and its titles name none
        claims=claims,
    )


def broad_at(runs: Runs, expected: Mapping[tuple[Experiment, int], bool]) -> Outcome:
    """Whether runs are broadened at some steps, and not at others, as expected."""
    findings, text = [], []
    for (experiment, step), broad in expected.items():
        margins = broadened(runs, [experiment], step)[:, 0]
        hill = runs.values("pl_alpha_hill", [experiment], step)[:, 0]
        findings.append(clear(margins if broad else -margins))
        phases = Counter(runs.phases(experiment, step))
        phase_counts = (
            phases.popitem()[0] if len(phases) == 1 else ", ".join(f"{n} {phase}" for phase, n in phases.items())
        )
        text.append(f"η={experiment.lr:g}, t={runs.scale.step(step):,}: {phase_counts}, Hill {mean_std(hill)}")
    return Outcome(all_of(findings), "; ".join(text))


def sooner(runs: Runs, experiments: Sequence[Experiment]) -> Outcome:
    """Whether the first broadened step falls as the learning rate grows, in every repeat."""
    first = np.stack([first_broadened(runs, e) for e in experiments], axis=1)
    ordered = [all(a > b for a, b in pairwise(steps)) for steps in first.tolist()]
    text = "; ".join(f"η={e.lr:g}: {in_words(steps)}" for e, steps in zip(experiments, first.T, strict=True))
    return Outcome(in_every_repeat(ordered), f"first broadened step of those measured: {text}")


# Table 1

SLOW, MIDDLE, FAST = TABLE1_RUNS

LOW = 0.5
"""An objective below half of that at the start is low."""


def spike_returns(runs: Runs) -> Outcome:
    ratio = runs.ratio(FAST, (10, 100))
    return Outcome(clear(ratio[:, 0] - ratio[:, 1]), f"λ₁/λ₂ at t=10, 100: {means(ratio)}")


def spike_weighs_less(runs: Runs) -> Outcome:
    findings, text = [], []
    for name, exponent in EXPONENTS.items():
        shares = [runs.measure_spectra(share_of_the_top(exponent), [FAST], step)[:, 0] for step in (10, 100)]
        findings.append(clear(shares[0] - shares[1]))
        text.append(f"{name} {', '.join(mean_std(share, 2) for share in shares)}")
    return Outcome(all_of(findings), f"change without λ₁ at t=10, 100: {'; '.join(text)}")


def gap_decides(runs: Runs) -> Outcome:
    gaps = runs.values("spectral_gap", TABLE1_RUNS, 1)
    first = np.stack([first_broadened(runs, e) for e in TABLE1_RUNS], axis=1)
    pairs = zip(gaps.tolist(), first.tolist(), strict=True)
    as_claimed = [all(a < b for a, b in pairwise(g)) and all(a > b for a, b in pairwise(t)) for g, t in pairs]
    steps = "; ".join(in_words(column) for column in first.T)
    return Outcome(in_every_repeat(as_claimed), f"η=0.01, 0.1, 1: λ₁/λ₊ at t=1 {means(gaps)}; first broadened {steps}")


def early(runs: Runs) -> Outcome:
    """The objective of the largest learning rate where it is first broadened, over that of untrained weights."""
    shares = []
    for run, first in zip(runs.repeats(FAST), first_broadened(runs, FAST), strict=True):
        objective = run.objective
        known = first <= EARLY
        shares.append(float(objective.sel(step=int(first)) / objective.sel(step=0)) if known else math.nan)
    text = f"objective at the first broadened step over that at t=0, η=1: {mean_std(shares)}"
    return Outcome(clear(np.array(shares) - LOW), text)


TABLE1 = of_long_runs(
    1,
    TABLE1_RUNS,
    (1, 100, 10_000),
    claims=(
        Claim(
            "37a",
            "§5.1, Table 1",
            "FB-Adam with η=1 is heavy-tailed after 10 steps; with η=0.1 after 10,000, and not after 100.",
            BROADENED,
            lambda runs: broad_at(runs, {(FAST, 10): True, (MIDDLE, 100): False, (MIDDLE, 10_000): True}),
        ),
        Claim(
            "37b",
            "§5.1, Table 1",
            "FB-Adam with η=0.01 is not heavy-tailed after 10,000 steps.",
            BROADENED,
            lambda runs: broad_at(runs, {(SLOW, 10_000): False}),
        ),
        Claim(
            "37c",
            "§5.1, Table 1",
            "The larger the learning rate, the fewer steps to heavy tails.",
            f"the first broadened step of those measured falls from η=0.01 to 0.1 to 1, in every repeat; {BROADENED}",
            lambda runs: sooner(runs, TABLE1_RUNS),
        ),
        Claim(
            "38",
            "App. G, Table 4",
            "With η=1 the spike is nearer to the bulk at t=100 than at t=10.",
            "λ₁/λ₂ is clearly smaller",
            spike_returns,
        ),
        Claim(
            "82",
            "App. G, Table 4",
            "The spike affects the exponents less as training progresses.",
            "with η=1 leaving λ₁ out changes Hill clearly less at t=100 than at t=10, and KS too",
            spike_weighs_less,
        ),
        Claim(
            "64",
            "§5.1, Table 1",
            "The farther the spike of the first step is from the bulk, the fewer steps to heavy tails.",
            "from η=0.01 to 0.1 to 1, λ₁/λ₊ at t=1 rises and the first broadened step falls, in every repeat",
            gap_decides,
        ),
        Claim(
            "68",
            "§6",
            "Heavy tails can appear long before the training loss is low.",
            f"with η=1 the objective where it first broadens, up to t={EARLY}, is clearly above half of that at t=0",
            early,
        ),
    ),
)

# Table 3


def small_rates_of_gd(number: str, small: Sequence[Experiment], note: str = "") -> Claim:
    """Claim 37d at one size."""
    return Claim(
        number,
        "App. E, Table 3",
        f"Small GD learning rates do not lead to heavy tails within 10,000 steps{note}.",
        f"not broadened at t=10,000 for η={' and '.join(f'{e.lr:g}' for e in small)}; {BROADENED}",
        lambda runs: broad_at(runs, {(e, MEASURED[-1]): False for e in small}),
    )


TABLE3 = of_long_runs(3, TABLE3_RUNS, MEASURED, claims=(small_rates_of_gd("37d", TABLE3_RUNS[:2]),))

QUARTER_RUNS = [QUARTER(e) for e in TABLE3_RUNS]

TABLE3_QUARTER = of_long_runs(
    3, QUARTER_RUNS, MEASURED, claims=(small_rates_of_gd("37g", QUARTER_RUNS[:2], GD_SCALED),), note=GD_SCALED
)

# Table 4

TABLE4 = of_long_runs(
    4,
    TABLE4_RUNS,
    MEASURED,
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
        repeats=5 if in_all else 1,
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
                f"no spike at t=1 ({SPIKE}), and broadened at t=1,000,000; {BROADENED}",
                lambda runs: all_outcomes(
                    spikes_only(runs, [], [run]), broad_at(runs, {(run, TABLE5_STEPS[-1]): True})
                ),
            ),
        ),
    )


TABLE5 = table_5("table5", QUARTER(FULL), ADAM_SCALED, in_all=True)

TABLE5_FULL = table_5("table5-full", FULL, "", in_all=False)

ARTIFACTS = (TABLE1, TABLE3, TABLE3_QUARTER, TABLE4, TABLE5, TABLE5_FULL)
