"""Runs made up so that a claim's verdict is known: what the claim reads is chosen, and all else is NaN.

Paper-size runs cannot be had in a test, but what is read of them can: a few numbers each. Everything that a
world does not set is NaN, so a claim that reads another run, step or quantity than it says does not hold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import xarray as xr

from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.phases import Phase
from spectail.spectra.spikes import visible_edge
from spectail.study.artifact import Artifact
from spectail.study.catalogue import catalogue
from spectail.study.runs import Runs
from spectail.study.settings import PAPER, in_protocol
from spectail.study.verdicts import Verdict
from typechecker import unchecked_types

OVERLAP_SIZE = 200
NOT_IN_RUNS = {"gradient", "stability"}  # what a claim measures anew, or a run holds beside its variables

BESIDE = {"null_kta", "null_spread_kta", "overlap_ranks"}  # of a real run, which a made-up one knows nothing of
REPEATS = 4  # an even number: half of them can disagree with the other half

Fields = Mapping[str, Any]
Quantities = Mapping[str, Any]


class World:
    """What is measured in a set of runs: entries (fields, quantities), of which the later ones override.

    A quantity holds for the runs whose experiment has the fields. It is a number or word for the last step, or
    {step: value}; a spectrum or an overlap matrix is a function of the experiment, and overlaps go by {pair: …}.
    """

    def __init__(self, *entries: tuple[Fields, Quantities]) -> None:
        self.entries = entries

    def but(self, fields: Fields, **quantities: Any) -> World:
        """The same world, with one thing changed."""
        return World(*self.entries, (fields, quantities))

    def of(self, experiment: Experiment) -> dict[str, dict[Any, Any]]:
        """Each quantity of a run by step, or by pair."""
        merged: dict[str, dict[Any, Any]] = {}
        for fields, quantities in self.entries:
            if all(getattr(experiment, name) == value for name, value in fields.items()):
                for name, value in quantities.items():
                    merged.setdefault(name, {}).update(value if isinstance(value, dict) else {experiment.steps: value})
        return merged


@dataclass(frozen=True)
class Change:
    """One thing changed in a world where a claim holds, after which it must not hold.

    Attributes:
        fields: of the runs in which it is changed.
        quantities: what is measured there instead.
        half: the verdict where only every other repeat is changed; None where that is no clear case.
    """

    fields: Fields
    quantities: Quantities
    half: Verdict | None = Verdict.UNDECIDED


@dataclass(frozen=True)
class Case:
    """A claim, with worlds whose verdict is known.

    Attributes:
        holds: in it the claim holds.
        changes: after any of these it does not.
        alone: the verdict of a single repeat of `holds`: undecided where it has a share in the decision.
        others: further worlds and their verdicts, by what they are.
    """

    holds: World
    changes: Sequence[Change | Sequence[Change]]
    alone: Verdict = Verdict.UNDECIDED
    others: Mapping[str, tuple[World, Verdict]] | None = None


def along(fields: Fields, name: str, values: Sequence[Any], **series: Sequence[Any]) -> World:
    """Series of quantities along a field of the experiments: one value each."""
    return World(
        *(({**fields, name: v}, {q: numbers[i] for q, numbers in series.items()}) for i, v in enumerate(values))
    )


def swaps(fields: Fields, name: str, values: Sequence[Any], **series: Sequence[Any]) -> Iterator[tuple[Change, ...]]:
    """Every pair of neighbours of every series exchanged: one step the wrong way."""
    for quantity, numbers in series.items():
        for (a, b), (x, y) in zip(pairwise(values), pairwise(numbers), strict=True):
            yield Change({**fields, name: a}, {quantity: y}), Change({**fields, name: b}, {quantity: x})


def changed(world: World, *changes: Change) -> World:
    """A world after some changes."""
    for change in changes:
        world = world.but(change.fields, **change.quantities)
    return world


class MadeUpRuns(Mapping[str, xr.Dataset]):
    """An artifact's runs by key, each made when it is looked up.

    Args:
        name: of the artifact that asks for them; runs that it does not list are not there.
        world: what each experiment measures; None where it diverges at its first step.
    """

    def __init__(self, name: str, world: Callable[[Experiment], World | None]) -> None:
        self._experiments, self._world = _listed(name), world

    def __getitem__(self, key: str) -> xr.Dataset:
        experiment = self._experiments[key]
        return _run(self._world(experiment), experiment)

    def __iter__(self) -> Iterator[str]:
        return iter(self._experiments)

    def __len__(self) -> int:
        return len(self._experiments)


@lru_cache(maxsize=4)
def _listed(name: str) -> dict[str, Experiment]:
    """The experiments of an artifact by key, at the paper's size."""
    artifact = catalogue()[name]
    runs = (
        in_protocol(e.replace(seed=seed), "published", artifact.epsilon)
        for seed in range(REPEATS)
        for e in artifact.experiments
    )
    return {e.key: e for e in runs}


def verdict_in(artifact: Artifact, number: str, *worlds: World | None, repeats: int = REPEATS) -> Verdict:
    """A claim's verdict where repeats take turns in some worlds."""

    def world(experiment: Experiment) -> World | None:
        return worlds[experiment.seed % len(worlds)]

    (claim,) = (claim for claim in artifact.claims if claim.number == number)
    with unchecked_types():  # thousands of small calls, of which checks are more than half; other tests check them
        runs = Runs("published", PAPER, range(repeats), MadeUpRuns(artifact.name, world), epsilon=artifact.epsilon)
        return claim.test(runs).verdict


@lru_cache(maxsize=900)
def _run(world: World | None, experiment: Experiment) -> xr.Dataset:
    """A run in a world; kept for the next verdict, which has most worlds in common with the last one."""
    return made_up(experiment, world.of(experiment)) if world else diverged(experiment)


@lru_cache(maxsize=1)
def _template() -> xr.Dataset:
    """A real run of milliseconds, whose form the made-up ones have."""
    return simulate(Experiment(n=20, n_test=9, n_test_large=9, d=8, h=12, steps=1, record=(0, 1), overlaps=((0, 0),)))


@lru_cache(maxsize=100)
def _empty(steps: tuple[int, ...], pairs: tuple[tuple[int, int], ...], eigenvalues: int) -> xr.Dataset:
    """A run of which nothing is known: NaN, or 0 where there is no NaN."""
    size = {"step": len(steps), "index": eigenvalues, "pair": len(pairs), "i": OVERLAP_SIZE, "j": OVERLAP_SIZE}
    template, variables = _template(), {}
    for name, variable in template.data_vars.items():
        if pairs or "pair" not in variable.dims:
            nothing = {"f": np.nan, "O": str(Phase.UNKNOWN)}.get(variable.dtype.kind, 0)
            shape = [size[dim] for dim in variable.dims]
            variables[name] = (variable.dims, np.full(shape, nothing, dtype=variable.dtype))
    coordinates: dict[Any, Any] = {n: c.variable for n, c in template.coords.items() if not c.dims}
    coordinates |= {"step": list(steps)}
    if pairs:
        coordinates |= {"w_step": ("pair", [s for s, _ in pairs]), "m_step": ("pair", [t for _, t in pairs])}
    attributes = {name: value for name, value in template.attrs.items() if name not in BESIDE}
    return xr.Dataset(variables, coordinates, attributes)


def made_up(experiment: Experiment, measured: Mapping[str, Mapping[Any, Any]]) -> xr.Dataset:
    """A run of an experiment with what is measured; the rest is NaN, or 0 where there is no NaN.

    Args:
        experiment: whose steps and sizes it has.
        measured: each quantity by step or pair; spectra and overlaps as functions of the experiment.
    """
    steps, pairs = tuple(experiment.recorded_steps), tuple(experiment.overlaps)
    empty = _empty(steps, pairs, min(experiment.h, experiment.d))
    assert set(measured) <= {*_template().data_vars, *NOT_IN_RUNS}
    known = dict(measured)
    if "eigenvalues" in known:  # λ₁ is kept as the share of an edge, too
        edge, largest_of = law_of(experiment).edges[1], {}
        for step, value in known["eigenvalues"].items():
            largest_of[step] = np.max(value(experiment) if callable(value) else value)
        known["bulk_edge"] = {**dict.fromkeys(largest_of, edge), **known.get("bulk_edge", {})}
        gaps = {step: value / edge for step, value in largest_of.items()}
        known["spectral_gap"] = {**gaps, **known.get("spectral_gap", {})}
    run = empty.copy()
    for name in known.keys() & set(empty.data_vars):
        places = pairs if "pair" in empty[name].dims else steps
        run.variables[name].values = values = empty.variables[name].values.copy()
        for place, value in known[name].items():
            values[places.index(place)] = value(experiment) if callable(value) else value
    if "stability" in measured:
        run.attrs["stability"] = json.dumps([measured["stability"].get(step, math.nan) for step in steps])
    run.attrs |= {"experiment": experiment.canonical_json, "key": experiment.key}
    return run


def diverged(experiment: Experiment) -> xr.Dataset:
    """A run that diverged at its first step."""
    return made_up(experiment.replace(overlaps=(), record=(0,)), {}).assign_attrs(diverged_at=1)


# Spectra: functions of the experiment, for worlds.


def law_of(e: Experiment) -> MarchenkoPastur:
    """The law of its initial weights."""
    return MarchenkoPastur(e.h, e.d, e.entry_scale**2)


def bulk(e: Experiment) -> np.ndarray:
    """An untrained spectrum: the quantiles of its law."""
    return _quantiles(law_of(e)).copy()


@lru_cache(maxsize=8)
def _quantiles(law: MarchenkoPastur) -> np.ndarray:
    count = min(law.rows, law.cols)
    return law.quantile((torch.arange(count, dtype=torch.float64) + 0.5) / count).numpy()


def spike(e: Experiment, past: float = 1.01, gap: float = 1.11) -> np.ndarray:
    """One eigenvalue `past` times the visible edge, and `gap` times the next one."""
    return top(past * visible_edge(law_of(e)), gap)(e)


def top(largest: float, gap: float = 1.0) -> Callable[[Experiment], np.ndarray]:
    """A spectrum with this largest eigenvalue, `gap` times the next one, over a bulk far below."""

    def spectrum(e: Experiment) -> np.ndarray:
        values = bulk(e) * largest / (10 * law_of(e).edges[1])
        values[-2:] = largest / gap, largest
        return values

    return spectrum


def ratio(gap: float) -> Callable[[Experiment], np.ndarray]:
    """A spectrum with this λ₁/λ₂."""
    return top(1e4, gap)


def modes(count: int) -> Callable[[Experiment], np.ndarray]:
    """A spectrum whose log λ has so many modes."""
    return lambda e: np.concatenate([part * 1e6**i for i, part in enumerate(np.array_split(bulk(e), count))])


def scaled(spectrum: Callable[[Experiment], np.ndarray], factor: float) -> Callable[[Experiment], np.ndarray]:
    """A spectrum times a factor."""
    return lambda e: factor * spectrum(e)


def one_scaled(factor: float, index: int) -> Callable[[Experiment], np.ndarray]:
    """An untrained spectrum of which one eigenvalue is multiplied."""

    def spectrum(e: Experiment) -> np.ndarray:
        values = bulk(e)
        values[index] *= factor
        return values

    return spectrum


# Overlap matrices.


def largest(value: float) -> np.ndarray:
    """A matrix of zeros with one entry, off the diagonal."""
    block = np.zeros((OVERLAP_SIZE, OVERLAP_SIZE))
    block[2, 1] = value
    return block


def corner(value: float) -> np.ndarray:
    """A matrix whose first entry is this, and larger ones stand elsewhere."""
    block = np.full((OVERLAP_SIZE, OVERLAP_SIZE), 0.99)
    block[0, 0] = value
    return block


def diagonal(first: float, then: float) -> np.ndarray:
    """A matrix with one value on the first hundredth of its diagonal, and another up to a tenth; ones elsewhere."""
    block = np.ones((OVERLAP_SIZE, OVERLAP_SIZE))
    tenth = np.arange(OVERLAP_SIZE // 10)
    block[tenth, tenth] = then
    block[tenth[: OVERLAP_SIZE // 100 + 1], tenth[: OVERLAP_SIZE // 100 + 1]] = first
    return block
