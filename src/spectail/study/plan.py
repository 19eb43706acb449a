"""Run what an artifact needs, draw it, and test its claims."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import xarray as xr

from spectail.errors import SettingError
from spectail.experiments.deep.training import TRAININGS, Training
from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import Protocol
from spectail.store.store import Store
from spectail.study.artifact import Artifact
from spectail.study.runs import Runs, as_run
from spectail.study.settings import Scale
from spectail.sweeps.estimate import Estimate, estimate_at, machine_speed


@dataclass(frozen=True)
class Plan:
    """What is to be run for some artifacts: each experiment once.

    Attributes:
        artifacts: what the runs are for.
        scale: at which they run.
        repeats: how many seeds, or None for each artifact's own number.
        protocols: which to run, or None for each artifact's own.
        images: of each training of a deep network, or None for the artifact's own number.
    """

    artifacts: Sequence[Artifact]
    scale: Scale
    repeats: int | None = None
    protocols: Sequence[Protocol] | None = None
    images: int | Literal["all"] | None = None

    def seeds(self, artifact: Artifact) -> range:
        """The repeats of one artifact."""
        return range(self.repeats or artifact.repeats)

    def experiments(self) -> list[Experiment]:
        """Every experiment, as it is to be run."""
        wanted: dict[str, Experiment] = {}
        for artifact in self.artifacts:
            for seed in self.seeds(artifact):
                for experiment in artifact.experiments(seed):
                    for protocol in self.protocols or artifact.protocols:
                        scaled = self.scale(experiment.replace(protocol=protocol))
                        wanted.setdefault(scaled.key, scaled)
        return list(wanted.values())

    def trainings(self) -> list[Training]:
        """Every full-batch training of a deep network, as it is to be run."""
        wanted: dict[str, Training] = {}
        for artifact in self.artifacts:
            for seed in self.seeds(artifact):
                for training in artifact.trainings(seed) if artifact.trainings else ():
                    for protocol in self.protocols or artifact.protocols:
                        adjusted = as_run(training, protocol, self.scale, self.images)
                        wanted.setdefault(adjusted.key, adjusted)
        return list(wanted.values())


@dataclass(frozen=True)
class Cost:
    """What one artifact takes.

    Attributes:
        artifact: which.
        runs: how many it needs, trainings of deep networks among them.
        missing: what is still to be computed of them.
    """

    artifact: Artifact
    runs: int
    missing: Estimate


def costs(plans: Sequence[Plan], store: Store, workers: int = 1) -> list[Cost]:
    """What the artifact of each plan takes on this machine, by itself: runs that artifacts share count for each."""
    entries = store.manifest.read() if store.runs.exists() else {}
    speed = machine_speed(entries.values())
    found = []
    for plan in plans:
        experiments, trainings = plan.experiments(), plan.trainings()
        missing = estimate_at(speed, [e for e in experiments if e.key not in entries], workers)
        if untrained := [t for t in trainings if not (store.root / TRAININGS / f"{t.key}.nc").exists()]:
            more = _operations(untrained) / speed.operations_per_second
            missing = replace(missing, runs=missing.runs + len(untrained), seconds=missing.seconds + more)
        found.append(Cost(plan.artifacts[0], len(experiments) + len(trainings), missing))
    return found


def _operations(trainings: Iterable[Training]) -> float:
    """Of all of them; NaN where a network cannot be made, since torchvision is missing."""
    from spectail.experiments.cost import training_operations

    try:
        return sum(map(training_operations, trainings))
    except ValueError:
        return math.nan


def by_protocol(plan: Plan, artifact: Artifact, runs: Mapping[str, xr.Dataset]) -> dict[Protocol, Runs]:
    """An artifact's runs under each protocol that the plan has of it, out of those of a plan by key."""
    protocols = plan.protocols or artifact.protocols
    return {protocol: Runs(protocol, plan.scale, plan.seeds(artifact), runs, plan.images) for protocol in protocols}


def with_deep(artifacts: Sequence[Artifact], data: Path | None, *, all_of_them: bool) -> list[Artifact]:
    """The artifacts to make; "all" has those of deep networks too, as far as their images are there.

    Args:
        artifacts: that were named.
        data: folder of the images.
        all_of_them: whether "all" was named.

    Raises:
        ValueError: one that was named needs images, and `data` is not given.
    """
    from spectail.experiments.deep.images import has_images
    from spectail.study.catalogue import find_deep

    def lacking(artifact: Artifact) -> list[str]:
        assert artifact.trainings is not None
        wanted = dict.fromkeys(training.dataset for training in artifact.trainings(0))
        return [d for d in wanted if data is None or not has_images(d, data)]

    for artifact in artifacts:
        if artifact.trainings and data is None:
            raise SettingError(
                f"{artifact.name} needs images of {', '.join(lacking(artifact))}: say --data DIR, a folder with "
                f"{lacking(artifact)[0]}.npz, or one that torchvision may download to"
            )
    if not all_of_them:
        return list(artifacts)
    named = {artifact.name for artifact in artifacts}
    left_out: list[Artifact] = []
    chosen = list(artifacts)
    for artifact in find_deep():
        if artifact.name not in named:
            (left_out if lacking(artifact) else chosen).append(artifact)
    if left_out:
        missing = ", ".join(dict.fromkeys(name for artifact in left_out for name in lacking(artifact)))
        names = ", ".join(artifact.name for artifact in left_out)
        print(f"left out: {names}, which need images of {missing} in --data DIR", file=sys.stderr)
    return chosen
