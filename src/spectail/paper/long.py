"""Long trajectories: their tables, and when a spectrum becomes heavy-tailed (claim 37)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import xarray as xr

from spectail.drawing.style import OPTIMIZER_NAME
from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim, Outcome, Verdict, all_of, in_every_repeat, summary
from spectail.paper.figures import repeated, spectra_table
from spectail.paper.runs import Runs
from spectail.paper.setups import S2
from spectail.spectra.phases import Phase
from spectail.teacher_student.experiment import Experiment

HEAVY = (
    "heavy-tailed is the phase of that name: one hump, and Hill at most 2.25 where an untrained matrix has 2.449 "
    "(KS will not do: a lone spike keeps it above 5)"
)
STEPS = (1, 10, 100, 10_000)


def trajectories(optimizer: str, rates: Sequence[float]) -> list[Experiment]:
    """Ten thousand steps with each learning rate, measured at `STEPS` and before."""
    return [S2.replace(optimizer=optimizer, lr=lr, steps=STEPS[-1], record=(0, *STEPS)) for lr in rates]


def trajectories_table(number: int, experiments: Sequence[Experiment], claims: tuple[Claim, ...]) -> Artifact:
    """The table of some `trajectories`, one column a learning rate."""
    first, last = experiments[0], experiments[-1]
    name, steps = OPTIMIZER_NAME[first.optimizer], ", ".join(f"{t:,}" for t in STEPS)
    return Artifact(
        name=f"table{number}",
        title=f"Spectrum at t = {steps} under {name}, η={first.lr:g} to {last.lr:g} (phase, Hill, λ₁/λ₊)",
        repeats=1,
        experiments=repeated(experiments),
        draw=spectra_table(f"Table {number} – {name}", experiments, STEPS),
        table=lambda runs: rows(runs, experiments, STEPS),
        protocols=("published",),
        claims=claims,
    )


def heavy_at(runs: Runs, expected: Mapping[tuple[Experiment, int], bool]) -> Outcome:
    """Whether runs are heavy-tailed at some steps, and not at others, as expected."""
    verdicts, text = [], []
    for (experiment, step), wanted in expected.items():
        at = runs.scale.step(step)
        heavy = runs.measure(is_heavy(at), [experiment], step)
        hill = runs.values("pl_alpha_hill", [experiment], step)[:, 0]
        verdicts.append(in_every_repeat((heavy == 1) == wanted))
        phase = runs[experiment.replace(seed=runs.seeds[0])].phase
        seen = phase.sel(step=at).item() if at in phase.step.values else "diverged"
        text.append(f"η={experiment.lr:g}, t={at:,}: {seen}, Hill {summary(hill)}")
    return Outcome(all_of(verdicts), "; ".join(text))


def is_heavy(step: int) -> Callable[[xr.Dataset], float]:
    """Whether a run is heavy-tailed at a step, for `Runs.measure`."""
    return lambda run: float(run.phase.sel(step=step).item() == Phase.HEAVY_TAILED)


def first_heavy(runs: Runs, experiment: Experiment) -> float:
    """The first measured step at which the first repeat is heavy-tailed; inf if none is."""
    run = runs[experiment.replace(seed=runs.seeds[0])]
    steps = [int(t) for t, phase in zip(run.step.values, run.phase.values, strict=True) if phase == Phase.HEAVY_TAILED]
    return min(steps, default=math.inf)


def sooner(runs: Runs, experiments: Sequence[Experiment]) -> Outcome:
    """Whether the first heavy-tailed step falls as the learning rate grows."""
    first = [first_heavy(runs, e) for e in experiments]
    ordered = all(a > b for a, b in pairwise(first))
    named = zip(experiments, first, strict=True)
    text = ", ".join(f"η={e.lr:g}: {'none' if math.isinf(t) else f'{t:,.0f}'}" for e, t in named)
    return Outcome(
        Verdict.HOLDS if ordered else Verdict.DOES_NOT_HOLD, f"first heavy-tailed step of those measured: {text}"
    )


def rows(runs: Runs, experiments: Sequence[Experiment], steps: Sequence[int]) -> list[tuple[str, ...]]:
    """Phase, Hill and λ₁/λ₊ of each cell of a table of spectra."""
    header = ("step", *(f"η = {runs.scale(e).lr:.4g}" for e in experiments))
    return [header, *((f"{runs.scale.step(t):,}", *(_cell(runs, e, t) for e in experiments)) for t in steps)]


def _cell(runs: Runs, experiment: Experiment, step: int) -> str:
    run, at = runs[experiment.replace(seed=runs.seeds[0])], runs.scale.step(step)
    if at not in run.step.values:
        return "diverged"
    here = run.sel(step=at)
    return f"{here.phase.item()}, {here.pl_alpha_hill.item():.3f}, {here.spectral_gap.item():.3g}"
