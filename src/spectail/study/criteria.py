"""Criteria that several claims share: spikes, modes, outliers of overlaps, heavy tails.

Not here: one that a single claim has, which stands beside it in `figures/`; and the rules that make a verdict of
repeats (`claims.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike

from spectail.experiments.experiment import Experiment
from spectail.spectra.density import count_modes
from spectail.spectra.phases import DETACHED_RATIO, Phase
from spectail.spectra.spikes import visible_edge
from spectail.study.claims import Outcome, Verdict, all_of, in_every_repeat, summary
from spectail.study.runs import SIDES, Runs, Values, phase_at, spectrum_at

SPIKE = f"λ₁ more than 3 Tracy–Widom scales past the initial edge and λ₁/λ₂ > {DETACHED_RATIO}, in every repeat"

OUTLIER = (
    "an outlier is a largest overlap above 0.1, where random directions have about 4 log(b)/b = 0.03; "
    "in every repeat, left and right"
)

HEAVY = (
    "heavy-tailed is the phase of that name: one hump, and Hill at most 2.25 where an untrained matrix has 2.449 "
    "(KS will not do: a lone spike keeps it above 5)"
)

_LEAST_OUTLIER = 0.1


def in_every_finite_repeat(numbers: Values, passed: ArrayLike) -> Verdict:
    """As `in_every_repeat` has it, but undecided where a number is NaN: a run that diverged says nothing."""
    return in_every_repeat(passed) if np.isfinite(numbers).all() else Verdict.UNDECIDED


def spiked(runs: Runs, experiment: Experiment, step: int = 1) -> Values:
    """Whether a run has a spike after a step, by `SPIKE`: 1 or 0 a repeat; NaN where it diverged before."""
    edge = visible_edge(runs.law(experiment))
    top = runs.measure(lambda run: spectrum_at(run, runs.scale.step(step))[-1], [experiment], step)[:, 0]
    flags: Values = np.where(np.isnan(top), top, (top > edge) & (runs.ratio(experiment, [step])[:, 0] > DETACHED_RATIO))
    return flags


def spikes_only(runs: Runs, spiking: Sequence[Experiment], bare: Sequence[Experiment]) -> Outcome:
    """Whether some experiments have a spike after one step, and others none, in every repeat."""
    flags = {e: spiked(runs, e) for e in (*spiking, *bare)}
    verdicts = [in_every_finite_repeat(of_run, of_run == (e in spiking)) for e, of_run in flags.items()]
    text = ", ".join(f"η={e.lr:g} in {(of_run == 1).sum()} of {len(of_run)}" for e, of_run in flags.items())
    return Outcome(all_of(verdicts), f"spike at {text}")


def modes(runs: Runs, experiment: Experiment, expected: int, step: int = 1) -> Outcome:
    """How many humps the density of log λ has; a spectrum that is not finite decides nothing."""

    def count(run: xr.Dataset) -> float:
        values = torch.from_numpy(spectrum_at(run, runs.scale.step(step)))
        return count_modes(values) if bool(values.isfinite().all()) else math.nan

    counts = runs.measure(count, [experiment], step)[:, 0]
    return Outcome(
        in_every_finite_repeat(counts, counts == expected), f"humps of log λ: {', '.join(f'{m:g}' for m in counts)}"
    )


def outliers(runs: Runs, experiment: Experiment, pair: tuple[int, int], *, expected: bool) -> Outcome:
    """Whether overlaps have an outlier, by `OUTLIER`; a run that diverged before decides nothing."""
    verdicts, text = [], []
    for side in SIDES:
        largest = runs.largest_overlap(experiment, pair, side)
        verdicts.append(in_every_finite_repeat(largest, (largest > _LEAST_OUTLIER) == expected))
        text.append(f"{side} {summary(largest, 2)}")
    s, t = pair
    return Outcome(all_of(verdicts), f"largest overlap of W_{s} with M_{t}: {', '.join(text)}")


def all_outcomes(*outcomes: Outcome) -> Outcome:
    """Several parts of one claim: it holds if all do."""
    return Outcome(all_of([o.verdict for o in outcomes]), "; ".join(o.measured for o in outcomes))


def heavy_at(runs: Runs, expected: Mapping[tuple[Experiment, int], bool]) -> Outcome:
    """Whether runs are heavy-tailed at some steps, and not at others, as expected."""
    verdicts, text = [], []
    for (experiment, step), tail in expected.items():
        heavy = runs.measure(is_heavy(runs.scale.step(step)), [experiment], step)[:, 0]
        hill = runs.values("pl_alpha_hill", [experiment], step)[:, 0]
        verdicts.append(in_every_finite_repeat(heavy, (heavy == 1) == tail))
        phase = runs.phases(experiment, step)[0]
        text.append(f"η={experiment.lr:g}, t={runs.scale.step(step):,}: {phase}, Hill {summary(hill)}")
    return Outcome(all_of(verdicts), "; ".join(text))


def is_heavy(step: int) -> Callable[[xr.Dataset], float]:
    """Whether a run is heavy-tailed at a step, for `Runs.measure`: 1 or 0, NaN where its phase is unknown."""

    def heavy(run: xr.Dataset) -> float:
        phase = phase_at(run, step)
        return math.nan if phase == Phase.UNKNOWN else float(phase == Phase.HEAVY_TAILED)

    return heavy


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
