"""The stored runs behind an artifact, looked up by the experiment of the paper, and what is measured of them.

Not here: whether it is what the paper says (`criteria.py`, `claims.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spectail.analysis.null_bands import null_band
from spectail.analysis.two_layer_nulls import (
    ChanceOfOverlaps,
    chance_of_overlaps,
    known_overlaps,
    largest_overlap,
    with_null_alignments,
)
from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import Protocol
from spectail.experiments.theory import untrained_law
from spectail.recording.layout import beside
from spectail.recording.quantities import quantity
from spectail.recording.reading import load_recording
from spectail.spectra.bulk import MarchenkoPastur
from spectail.study.settings import EpsilonOf, Scale, in_protocol, over_learning_rates

Side = Literal["left", "right"]

SIDES: tuple[Side, Side] = ("left", "right")

Values = NDArray[np.float64]


class NotKeptError(LookupError):
    """A run is known by its curves alone, and its spectra or overlaps are asked for."""


class StoredRuns(Mapping[str, xr.Dataset]):
    """Runs of a store by key, each opened when it is first looked up, and kept.

    Args:
        paths: the file of each run by key.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths, self._open = paths, dict[str, xr.Dataset]()

    def __getitem__(self, key: str) -> xr.Dataset:
        if key not in self._open:
            self._open[key] = load_recording(self._paths[key])
        return self._open[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@dataclass(frozen=True)
class Runs:
    """Runs of one protocol at one scale, by the experiment written down at the paper's size.

    Attributes:
        protocol: the convention that every run follows.
        scale: how the experiments were run.
        seeds: one repeat each.
        stored: runs by the key of the experiment that was run.
        images: of each training, where it is not the artifact's own number.
        epsilon: Adam's, as for `in_protocol`.
    """

    protocol: Protocol
    scale: Scale
    seeds: Sequence[int]
    stored: Mapping[str, xr.Dataset]
    images: int | Literal["all"] | None = None
    epsilon: EpsilonOf = "program"

    def __getitem__(self, experiment: Experiment) -> xr.Dataset:
        """The run of a paper-size experiment, in this protocol and at this scale."""
        return self.stored[self.as_run(experiment).key]

    def repeats(self, experiment: Experiment) -> list[xr.Dataset]:
        """The run of each seed."""
        return [self[of_seed(experiment, seed)] for seed in self.seeds]

    def as_run(self, experiment: Experiment) -> Experiment:
        """An experiment of the paper as it was run."""
        if not experiment.has_closed_form:
            return as_trained(experiment, self.protocol, self.scale, self.images)
        return self.scale(in_protocol(experiment, self.protocol, self.epsilon))

    def values(self, variable: str, experiments: Sequence[Experiment], step: int) -> Values:
        """A variable at one step of several experiments, for every seed: (seeds × experiments).

        NaN where a run diverged before the step.
        """
        return self.measure(lambda run: run[variable].sel(step=self.scale.step(step)).item(), experiments, step)

    def over_steps(self, variable: str, experiment: Experiment, steps: Sequence[int]) -> Values:
        """A variable along the steps of one experiment, for every seed: (seeds × steps)."""
        return np.concatenate([self.values(variable, [experiment], step) for step in steps], axis=1)

    def nulls(self, variable: str, experiments: Sequence[Experiment], step: int) -> Values:
        """What sim or KTA would be by chance at one step, the mean over seeds of its `null_band`: (3 × experiments).

        NaN where runs were made before it was kept.
        """

        def at(place: int) -> Callable[[xr.Dataset], float]:
            def of_run(run: xr.Dataset) -> float:
                run = with_null_alignments(run).sel(step=self.scale.step(step))
                band = null_band(run, quantity(variable))
                return math.nan if band is None else float(band[place])

            return of_run

        bands = np.stack([self.measure(at(place), experiments, step) for place in range(3)])
        known = np.isfinite(bands).any(1)
        return np.where(known, np.nansum(bands, 1) / np.maximum(np.isfinite(bands).sum(1), 1), np.nan)

    def over_lr(self, variable: str, setup: Experiment, optimizer: str, low: float, high: float) -> Values:
        """A variable after a setup's last step, for the paper's learning rates in [low, high]: (seeds × rates)."""
        chosen = [e for e in over_learning_rates(setup, optimizer) if low <= e.lr <= high]
        return self.values(variable, chosen, setup.steps)

    def beside(self, variable: str, experiment: Experiment) -> Values:
        """What runs hold beside their variables, such as their stability, at all measured steps: (seeds × steps).

        NaN where it was not measured, or the run had diverged.
        """
        steps = self.as_run(experiment).recorded_steps

        def of_run(run: xr.Dataset) -> list[float]:
            values = beside(run, variable)
            known = {} if values is None else dict(zip(run.step.values.tolist(), values.tolist(), strict=True))
            return [known.get(step, math.nan) for step in steps]

        return np.array([of_run(run) for run in self.repeats(experiment)])

    def top(self, experiments: Sequence[Experiment], step: int) -> Values:
        """λ₁ at one step of several experiments, for every seed: (seeds × experiments)."""
        return self.values("spectral_gap", experiments, step) * self.values("bulk_edge", experiments, step)

    def ratio(self, experiment: Experiment, steps: Sequence[int]) -> Values:
        """λ₁/λ₂ along the steps of one experiment, for every seed: (seeds × steps)."""
        columns = [self.measure_spectra(lambda values: values[-1] / values[-2], [experiment], step) for step in steps]
        return np.concatenate(columns, axis=1)

    def overlaps(self, experiment: Experiment, pair: tuple[int, int], side: Side) -> Values:
        """O(U_Ws, U_Mt) (left) or O(V_Ws, V_Mt) (right) of one run, NaN past a rank; of no size if it diverged."""
        run = self[experiment]
        if "eigenvalues" not in run:
            raise NotKeptError(f"of run {run.attrs['key']} curves alone are kept, no overlaps")
        if "pair" not in run.sizes:
            return np.empty((0, 0))
        places = np.flatnonzero((run.w_step.values == pair[0]) & (run.m_step.values == pair[1]))
        if not len(places):
            return np.empty((0, 0))
        return known_overlaps(run, int(places[0]), side)

    def measure_overlaps(
        self, number: Callable[[Values], float], experiment: Experiment, pair: tuple[int, int], side: Side
    ) -> Values:
        """A number of an overlap matrix, for every seed: (seeds); NaN if a run diverged before."""
        blocks = (self.overlaps(of_seed(experiment, seed), pair, side) for seed in self.seeds)
        return np.array([number(block) if block.size else np.nan for block in blocks])

    def largest_overlap(self, experiment: Experiment, pair: tuple[int, int], side: Side) -> Values:
        """The largest entry of an overlap matrix, for every seed: (seeds); NaN if a run diverged before."""
        return self.measure_overlaps(largest_overlap, experiment, pair, side)

    def chance_of_overlaps(self, experiment: Experiment, pair: tuple[int, int], side: Side) -> ChanceOfOverlaps:
        """What independent directions would have in the overlaps of one run."""
        e = self.as_run(experiment)
        return chance_of_overlaps(self.overlaps(experiment, pair, side), e.h if side == "left" else e.d)

    def phases(self, experiment: Experiment, step: int) -> list[str]:
        """The phase at a step, for every seed; "diverged" where a run did before."""
        return [phase_at(run, self.scale.step(step)) for run in self.repeats(experiment)]

    def measure(self, of: Callable[[xr.Dataset], float], experiments: Sequence[Experiment], step: int) -> Values:
        """A number of each run that reached the step, for every seed: (seeds × experiments)."""
        rows = []
        for seed in self.seeds:
            runs = [self[of_seed(e, seed)] for e in experiments]
            rows.append([of(run) if self.scale.step(step) in run.step.values else np.nan for run in runs])
        return np.array(rows, dtype=np.float64)

    def measure_spectra(self, of: Callable[[Values], float], experiments: Sequence[Experiment], step: int) -> Values:
        """A number of the spectrum at the step of each run that reached it, for every seed: (seeds × experiments)."""
        return self.measure(lambda run: of(spectrum_at(run, self.scale.step(step))), experiments, step)

    def law(self, experiment: Experiment) -> MarchenkoPastur:
        """The Marchenko–Pastur law of the experiment's initial weights."""
        return untrained_law(self.scale(experiment))


@lru_cache(maxsize=4096)
def of_seed(experiment: Experiment, seed: int) -> Experiment:
    """One repeat of an experiment."""
    return experiment.replace(seed=seed)


def as_trained(
    training: Experiment, protocol: Protocol, scale: Scale, images: int | Literal["all"] | None
) -> Experiment:  # fmt: skip
    """A training of the paper in a protocol's Adam, on so many images; None for its own number, at lesser scales 64."""
    count = images or (64 if scale.divisor > 1 else training.images)
    return training.replace(protocol=protocol, images=count)


def spectrum_at(run: xr.Dataset, step: int) -> Values:
    """The spectrum at a step, ascending."""
    if "eigenvalues" not in run:
        raise NotKeptError(f"of run {run.attrs['key']} curves alone are kept, no spectra")
    values: Values = run.eigenvalues.sel(step=step).values
    return values


def phase_at(run: xr.Dataset, step: int) -> str:
    """The phase at a step, or "diverged"."""
    return str(run.phase.sel(step=step).item()) if step in run.step.values else "diverged"
