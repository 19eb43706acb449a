"""Tests that many claims share: spikes, humps and overlaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from spectail.paper.claims import Outcome, Verdict, all_of, in_every_repeat, summary
from spectail.paper.runs import SIDES, Runs, Values, eigenvalues
from spectail.spectra.phases import count_modes
from spectail.spectra.spikes import visible_edge
from spectail.teacher_student.experiment import Experiment

SPIKE = "λ₁ more than 3 Tracy–Widom scales past the initial edge and λ₁/λ₂ > 1.1, in every repeat"
OUTLIER = (
    "an outlier is a largest overlap above 0.1, where random directions have about 4 log(b)/b = 0.03; "
    "in every repeat, left and right"
)
_LEAST_OUTLIER = 0.1


def spiked(runs: Runs, experiment: Experiment, step: int = 1) -> Values:
    """Whether a run has a spike after a step, by `SPIKE`: one flag a repeat."""
    edge = visible_edge(runs.law(experiment))
    top = runs.measure(lambda run: eigenvalues(run, runs.scale.step(step))[-1], [experiment], step)[:, 0]
    flags: Values = ((top > edge) & (runs.ratio(experiment, [step])[:, 0] > 1.1)).astype(np.float64)
    return flags


def spikes_only(runs: Runs, spiking: Sequence[Experiment], bare: Sequence[Experiment]) -> Outcome:
    """Whether some experiments have a spike after one step, and others none, in every repeat."""
    found = {e: spiked(runs, e) for e in (*spiking, *bare)}
    verdicts = [in_every_repeat(found[e] == (e in spiking)) for e in found]
    text = ", ".join(f"η={e.lr:g} in {int(flags.sum())} of {len(flags)}" for e, flags in found.items())
    return Outcome(all_of(verdicts), f"spike at {text}")


def humps(runs: Runs, experiment: Experiment, expected: int, step: int = 1) -> Outcome:
    """How many humps the density of log λ has."""
    at = runs.scale.step(step)
    modes = runs.measure(lambda run: count_modes(torch.from_numpy(eigenvalues(run, at))), [experiment], step)[:, 0]
    return Outcome(in_every_repeat(modes == expected), f"humps of log λ: {', '.join(f'{m:g}' for m in modes)}")


def outliers(runs: Runs, experiment: Experiment, pair: tuple[int, int], *, expected: bool) -> Outcome:
    """Whether overlaps have an outlier, by `OUTLIER`; a run that diverged before decides nothing."""
    verdicts, text = [], []
    for side in SIDES:
        largest = runs.largest_overlap(experiment, pair, side)
        whole = bool(np.isfinite(largest).all())
        verdicts.append(in_every_repeat((largest > _LEAST_OUTLIER) == expected) if whole else Verdict.UNDECIDED)
        text.append(f"{side} {summary(largest, 2)}")
    s, t = pair
    return Outcome(all_of(verdicts), f"largest overlap of W_{s} with M_{t}: {', '.join(text)}")


def both(*outcomes: Outcome) -> Outcome:
    """Several parts of one claim: it holds if all do."""
    return Outcome(all_of([o.verdict for o in outcomes]), "; ".join(o.measured for o in outcomes))
