"""Criteria that several claims share: spikes, modes, outliers of overlaps, heavy tails.

Not here: one that a single claim has, which stands beside it in `figures/`; and the rules that make a verdict of
repeats (`verdicts.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from spectail.experiments.experiment import Experiment
from spectail.spectra.density import count_modes
from spectail.spectra.phases import DETACHED_RATIO, Phase
from spectail.spectra.spikes import VISIBLE_TRACY_WIDOM_SCALES, visible_edge
from spectail.study.claims import Outcome
from spectail.study.runs import SIDES, Runs, Values, phase_at, spectrum_at
from spectail.study.verdicts import Verdict, all_of, in_every_repeat, mean_std

SPIKE = (
    f"λ₁ more than {VISIBLE_TRACY_WIDOM_SCALES:g} Tracy–Widom scales past the initial edge and "
    f"λ₁/λ₂ > {DETACHED_RATIO}, in every repeat"
)

OUTLIER = (
    "an outlier is a largest overlap above 0.1, where random directions have about 4 log(b)/b = 0.03; "
    "in every repeat, left and right"
)

HEAVY = (
    "heavy-tailed is the phase of that name: one mode, and Hill at most 2.25 where an untrained matrix has 2.449 "
    "(KS will not do: a lone spike keeps it above 5)"
)

_LEAST_OUTLIER = 0.1


def in_every_finite_repeat(numbers: Values, passed: ArrayLike) -> Verdict:
    """As `in_every_repeat` has it, but undecided where a number is NaN: a run that diverged says nothing."""
    return in_every_repeat(passed) if np.isfinite(numbers).all() else Verdict.UNDECIDED


def spiked(runs: Runs, experiment: Experiment, step: int = 1) -> Values:
    """Whether a run has a spike after a step, by `SPIKE`: 1 or 0 a repeat; NaN where it diverged before."""
    edge, top = visible_edge(runs.law(experiment)), runs.top([experiment], step)[:, 0]
    flags: Values = np.where(np.isnan(top), top, (top > edge) & (runs.ratio(experiment, [step])[:, 0] > DETACHED_RATIO))
    return flags


def spikes_only(runs: Runs, spiking: Sequence[Experiment], bare: Sequence[Experiment]) -> Outcome:
    """Whether some experiments have a spike after one step, and others none, in every repeat."""
    flags = {e: spiked(runs, e) for e in (*spiking, *bare)}
    verdicts = [in_every_finite_repeat(of_run, of_run == (e in spiking)) for e, of_run in flags.items()]
    text = ", ".join(f"η={e.lr:g} in {(of_run == 1).sum()} of {len(of_run)}" for e, of_run in flags.items())
    return Outcome(all_of(verdicts), f"spike at {text}")


def modes(runs: Runs, experiment: Experiment, expected: int, step: int = 1) -> Outcome:
    """How many modes the density of log λ has; a spectrum that is not finite decides nothing."""

    def count(spectrum: Values) -> float:
        return count_modes(spectrum) if np.isfinite(spectrum).all() else math.nan

    counts = runs.measure_spectra(count, [experiment], step)[:, 0]
    return Outcome(
        in_every_finite_repeat(counts, counts == expected), f"modes of log λ: {', '.join(f'{m:g}' for m in counts)}"
    )


def outliers(runs: Runs, experiment: Experiment, pair: tuple[int, int], *, expected: bool) -> Outcome:
    """Whether overlaps have an outlier, by `OUTLIER`; a run that diverged before decides nothing."""
    verdicts, text = [], []
    for side in SIDES:
        largest = runs.largest_overlap(experiment, pair, side)
        verdicts.append(in_every_finite_repeat(largest, (largest > _LEAST_OUTLIER) == expected))
        text.append(f"{side} {mean_std(largest, 2)}")
    s, t = pair
    return Outcome(all_of(verdicts), f"largest overlap of W_{s} with M_{t}: {', '.join(text)}")


def all_outcomes(*outcomes: Outcome) -> Outcome:
    """Several parts of one claim: it holds if all do."""
    return Outcome(all_of([o.verdict for o in outcomes]), "; ".join(o.measured for o in outcomes))


def heavy(runs: Runs, experiments: Sequence[Experiment], step: int) -> Values:
    """Whether runs are heavy-tailed at a step: 1 or 0, NaN where the phase is unknown; (seeds × experiments)."""

    def of_run(run: xr.Dataset) -> float:
        phase = phase_at(run, runs.scale.step(step))
        return math.nan if phase == Phase.UNKNOWN else float(phase == Phase.HEAVY_TAILED)

    return runs.measure(of_run, experiments, step)


def first_heavy(runs: Runs, experiment: Experiment) -> Values:
    """The first measured step at which each repeat is heavy-tailed; inf if none is."""
    first = []
    for seed in runs.seeds:
        run = runs[experiment.replace(seed=seed)]
        of_run = zip(run.step.values.tolist(), run.phase.values, strict=True)
        first.append(min((t for t, phase in of_run if phase == Phase.HEAVY_TAILED), default=math.inf))
    return np.array(first)


def in_words(first: Values) -> str:
    """First steps of repeats, each once.

    >>> in_words(np.array([5.0, math.inf, 5.0]))
    '5, never'
    """
    return ", ".join("never" if math.isinf(t) else f"{t:,.0f}" for t in dict.fromkeys(sorted(first.tolist())))


def largest_change(runs: Runs, experiment: Experiment, step: int) -> Values:
    """The largest relative change of an eigenvalue since step 0, for every seed: (seeds × 1)."""

    def change(run: xr.Dataset) -> float:
        start, end = spectrum_at(run, 0), spectrum_at(run, runs.scale.step(step))
        return float(np.max(np.abs(end - start) / start))

    return runs.measure(change, [experiment], step)
