"""Run what an artifact needs, draw it, and test its claims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import xarray as xr

from spectail.drawing.style import figure_style, save_figure
from spectail.networks.training import Training
from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim, Outcome
from spectail.paper.runs import TRAININGS, Protocol, Runs, adapted
from spectail.paper.scale import Scale
from spectail.sweeps.cost import Estimate, estimate_at, machine_speed
from spectail.sweeps.store import Store
from spectail.teacher_student.experiment import Experiment


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
                        adjusted = adapted(training, protocol, self.scale, self.images)
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
    from spectail.networks.cost import training_operations

    try:
        return sum(map(training_operations, trainings))
    except ValueError:
        return math.nan


@dataclass(frozen=True)
class Tested:
    """A claim, and what was found under each protocol."""

    artifact: str
    claim: Claim
    outcomes: dict[Protocol, Outcome]


def by_protocol(plan: Plan, artifact: Artifact, runs: Mapping[str, xr.Dataset]) -> dict[Protocol, Runs]:
    """An artifact's runs under each protocol that the plan has of it, out of those of a plan by key."""
    protocols = plan.protocols or artifact.protocols
    return {protocol: Runs(protocol, plan.scale, plan.seeds(artifact), runs, plan.images) for protocol in protocols}


def draw(artifact: Artifact, runs: dict[Protocol, Runs], folder: Path) -> list[Path]:
    """Draw an artifact once a protocol, as PNG and PDF.

    Returns:
        the paths: NAME for the published protocol, NAME-equations for the other.
    """
    paths = []
    for protocol, of_protocol in runs.items():
        name = artifact.name if protocol == "published" else f"{artifact.name}-{protocol}"
        with figure_style():
            paths += save_figure(artifact.draw(of_protocol), folder / name)
    return paths


def verify(artifact: Artifact, runs: dict[Protocol, Runs]) -> list[Tested]:
    """Test an artifact's claims under each protocol."""
    return [
        Tested(artifact.name, claim, {protocol: claim.test(of_protocol) for protocol, of_protocol in runs.items()})
        for claim in artifact.claims
    ]
