"""Criteria that several claims share: spikes, modes, outliers of overlaps, broadened spectra.

Not here: what a claim is (`claims.py`); a criterion of a single claim, which stands beside it in `figures/`; and the
rules that make a verdict of repeats (`verdicts.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr

from spectail.experiments.experiment import Experiment
from spectail.plots.colours import OPTIMIZER_LOOKS
from spectail.spectra.density import count_modes
from spectail.spectra.fixed_phases import HEAVY_TAIL_SPREAD
from spectail.spectra.phases import DETACHED_RATIO, Phase
from spectail.spectra.spikes import VISIBLE_TRACY_WIDOM_SCALES, visible_edge
from spectail.spectra.tails import hill, ks_fit
from spectail.study.claims import Outcome
from spectail.study.runs import SIDES, Runs, Values, spectrum_at
from spectail.study.verdicts import UNTESTED, Verdict, all_of, clear, falls, in_every_repeat, mean_std, means

SPIKE = (
    f"λ₁ more than {VISIBLE_TRACY_WIDOM_SCALES:g} Tracy–Widom scales past the initial edge and "
    f"λ₁/λ₂ > {DETACHED_RATIO}, clearly"
)

OUTLIER = "an outlier is a largest overlap above three times what independent directions of that length have, clearly"

BROADENED = (
    f"broadened is: log λ above the median spreads at least {HEAVY_TAIL_SPREAD} times as far as in an untrained matrix "
    "(Hill at most 2.25 at 1500 × 1000, where that has 2.449), in one mode, clearly (KS will not do: a lone spike "
    "keeps it above 5)"
)

ORDER = (10**0.5, 10**1.5)
AN_ORDER = "an order of magnitude is a factor whose logarithm is nearer to that of 10 than to that of 1 or 100"
"""A factor between singular values, as in both places of the paper that say so; between λ it would be its square."""

EARLY = 100
"""Up to this step, the first large steps are what broadens a spectrum, and what is unstable."""

_OUTLIER_FACTOR = 3.0


def spike_margins(runs: Runs, experiment: Experiment, step: int = 1) -> Values:
    """How far past both bounds of `SPIKE` a run is, as a logarithm: above 0 for a spike; NaN where it diverged."""
    past = np.log(runs.top([experiment], step)[:, 0] / visible_edge(runs.law(experiment)))
    margins: Values = np.minimum(past, np.log(runs.ratio(experiment, [step])[:, 0] / DETACHED_RATIO))
    return margins


def spikes_only(runs: Runs, spiking: Sequence[Experiment], bare: Sequence[Experiment]) -> Outcome:
    """Whether some experiments clearly have a spike after one step, and others clearly none."""
    margins = {e: spike_margins(runs, e) for e in (*spiking, *bare)}
    findings = [clear(of_run if e in spiking else -of_run) for e, of_run in margins.items()]
    names = {OPTIMIZER_LOOKS[e.optimizer][2] for e in margins}

    def name(e: Experiment) -> str:
        return f"{OPTIMIZER_LOOKS[e.optimizer][2] if len(names) > 1 else ''} η={e.lr:g}".strip()

    text = ", ".join(f"{name(e)} in {(of_run > 0).sum()} of {len(of_run)}" for e, of_run in margins.items())
    return Outcome(all_of(findings), f"spike at {text}")


def modes(runs: Runs, experiment: Experiment, expected: int, step: int = 1) -> Outcome:
    """How many modes the density of log λ has, in every repeat; a spectrum that is not finite decides nothing."""

    def count(spectrum: Values) -> float:
        return count_modes(spectrum) if np.isfinite(spectrum).all() else math.nan

    counts = runs.measure_spectra(count, [experiment], step)[:, 0]
    finding = in_every_repeat(counts == expected) if np.isfinite(counts).all() else UNTESTED[Verdict.UNDECIDED]
    return Outcome(finding, f"modes of log λ: {', '.join(f'{m:g}' for m in counts)}")


def outliers(runs: Runs, experiment: Experiment, pair: tuple[int, int], *, expected: bool) -> Outcome:
    """Whether overlaps have an outlier, by `OUTLIER`; a run that diverged before decides nothing."""
    findings, text = [], []
    for side in SIDES:
        largest = runs.largest_overlap(experiment, pair, side)
        chance = runs.chance_of_overlaps(experiment, pair, side).largest
        margins = np.log(largest / (_OUTLIER_FACTOR * chance))
        findings.append(clear(margins if expected else -margins))
        text.append(f"{side} {mean_std(largest, 2)} (by chance {chance:.2g})")
    s, t = pair
    return Outcome(all_of(findings), f"largest overlap of W_{s} with M_{t}: {', '.join(text)}")


def all_outcomes(*outcomes: Outcome) -> Outcome:
    """Several parts of one claim: it holds if all do."""
    return Outcome(all_of([o.finding for o in outcomes]), "; ".join(o.measured for o in outcomes))


def broadened(runs: Runs, experiments: Sequence[Experiment], step: int) -> Values:
    """By how much spectra are broader than `BROADENED` asks for, as a logarithm: above 0 where they are.

    Below 0 where there are several modes or half of the rank is gone, whatever the spread.

    Returns:
        (seeds × experiments); NaN where the spectrum is not known.
    """
    columns = []
    for experiment in experiments:
        untrained = runs.law(experiment).hill()

        def of_run(run: xr.Dataset, untrained: float = untrained) -> float:
            at = run.sel(step=runs.scale.step(step))
            margin = math.log((untrained - 1) / (at.pl_alpha_hill.item() - 1) / HEAVY_TAIL_SPREAD)
            return -abs(margin) if at.phase.item() in (Phase.BIMODAL, Phase.RANK_COLLAPSE) else margin

        columns.append(runs.measure(of_run, [experiment], step))
    return np.concatenate(columns, axis=1)


def first_broadened(runs: Runs, experiment: Experiment) -> Values:
    """The first measured step at which the phase of each repeat is the broadened one; inf if none is."""
    first = []
    for run in runs.repeats(experiment):
        of_run = zip(run.step.values.tolist(), run.phase.values, strict=True)
        first.append(min((t for t, phase in of_run if phase == Phase.HEAVY_TAILED), default=math.inf))
    return np.array(first)


def in_words(first: Values) -> str:
    """First steps of repeats, each once.

    >>> in_words(np.array([5.0, math.inf, 5.0]))
    '5, never'
    """
    return ", ".join("never" if math.isinf(t) else f"{t:,.0f}" for t in dict.fromkeys(sorted(first.tolist())))


def _hill(spectrum: Values) -> float:
    return float(hill(torch.from_numpy(np.ascontiguousarray(spectrum))))


def _ks(spectrum: Values) -> float:
    return float(ks_fit(torch.from_numpy(np.ascontiguousarray(spectrum))).alpha)


EXPONENTS: dict[str, Callable[[Values], float]] = {"Hill": _hill, "KS": _ks}
"""The exponents of a spectrum, computed anew."""


def share_of_the_top(exponent: Callable[[Values], float]) -> Callable[[Values], float]:
    """By how much an exponent of a spectrum changes where λ₁ is left out."""
    return lambda spectrum: abs(exponent(spectrum) - exponent(spectrum[:-1]))


def heavier_is_better(runs: Runs, setup: Experiment) -> Outcome:
    """Whether Hill and the test loss of FB-Adam fall together over the benign learning rates of the paper."""
    hills, test = (runs.over_lr(name, setup, "adam", 0.01, 1) for name in ("pl_alpha_hill", "test_loss_large"))
    text = f"η=0.01, 0.1, 1: Hill {means(hills, 4)}; test {means(test)}"
    return Outcome(all_of([falls(hills), falls(test)]), text)


def largest_change(runs: Runs, experiment: Experiment, step: int) -> Values:
    """The largest relative change of an eigenvalue since step 0, for every seed: (seeds × 1)."""

    def change(run: xr.Dataset) -> float:
        start, end = spectrum_at(run, 0), spectrum_at(run, runs.scale.step(step))
        return float(np.max(np.abs(end - start) / start))

    return runs.measure(change, [experiment], step)
