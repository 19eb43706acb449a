"""What is to be run for artifacts, which of them are chosen, and what they cost.

Not here: running, drawing and testing (`making.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import xarray as xr

from spectail.errors import SettingError, unknown_name
from spectail.experiments.experiment import UPDATE_NAMES, Experiment
from spectail.experiments.protocols import PROTOCOLS, Protocol
from spectail.experiments.theory import has_prediction
from spectail.store.store import Store
from spectail.study.artifact import Artifact
from spectail.study.catalogue import find, find_deep
from spectail.study.runs import Runs, as_trained, of_seed
from spectail.study.settings import SCALES, Scale, in_protocol, vary
from spectail.study.verdicts import MOST_REPEATS
from spectail.sweeps.estimate import Estimate, estimate_at, machine_speed

MOST_RUNS = 100_000
"""The most runs in one plan, which describes all of them before the first is run: in about 45 s and 0.7 GB."""


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
        scaled: list[Experiment] = []
        for a in self.artifacts:  # seeds last: each experiment is put into its protocol and scale once
            protocols = self.protocols or a.protocols
            as_run = [[self.scale(in_protocol(e, p, a.epsilon)) for e in a.experiments] for p in protocols]
            scaled += [of_seed(e, seed) for seed in self.seeds(a) for of_protocol in as_run for e in of_protocol]
        return list({experiment.key: experiment for experiment in scaled}.values())

    def everything(self) -> list[Experiment]:
        """Every experiment of students and of networks, as it is to be run."""
        return [*self.experiments(), *self.trainings()]

    def trainings(self) -> list[Experiment]:
        """Every full-batch training of a deep network, as it is to be run."""
        adjusted = (
            as_trained(t.replace(seed=seed), p, self.scale, self.images)
            for a, seed, p in self.combinations()
            for t in a.trainings
        )
        return list({training.key: training for training in adjusted}.values())

    def combinations(self) -> Iterator[tuple[Artifact, int, Protocol]]:
        """Each artifact with each of its seeds under each of its protocols."""
        for artifact in self.artifacts:
            yield from product([artifact], self.seeds(artifact), self.protocols or artifact.protocols)


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

    def json(self) -> dict[str, Any]:
        """For JSON."""
        a = self.artifact
        about = {"name": a.name, "title": a.title, "claims": len(a.claims), "repeats": a.repeats}
        return {**about, "runs": self.runs, "missing": self.missing.runs, "seconds": self.missing.seconds}


def costs(plans: Sequence[Plan], store: Store, workers: int = 1) -> list[Cost]:
    """What the artifact of each plan takes on this machine, by itself: runs that artifacts share count for each."""
    entries = store.manifest.read() if store.has_runs else {}
    speed = machine_speed(entries.values())
    costs_of_plans = []
    for plan in plans:
        experiments = plan.everything()
        missing = estimate_at(speed, [e for e in experiments if e not in store], workers)
        costs_of_plans.append(Cost(plan.artifacts[0], len(experiments), missing))
    return costs_of_plans


def by_protocol(plan: Plan, artifact: Artifact, runs: Mapping[str, xr.Dataset]) -> dict[Protocol, Runs]:
    """An artifact's runs under each protocol that the plan has of it, out of those of a plan by key."""
    protocols = plan.protocols or artifact.protocols
    seeds = plan.seeds(artifact)
    return {p: Runs(p, plan.scale, seeds, runs, plan.images, artifact.epsilon) for p in protocols}


def choose(names: Sequence[str], data: Path | None) -> tuple[list[Artifact], str]:
    """The artifacts to make; "all" has those of deep networks too, as far as their images are there.

    Args:
        names: of artifacts, or "all".
        data: folder of the images.

    Returns:
        the artifacts, and a sentence on those that "all" left out; empty where it left out none.

    Raises:
        ValueError: a name is not known, or one that was named needs images and `data` is not given.
    """
    from spectail.experiments.deep.images import has_images

    def lacking(artifact: Artifact) -> list[str]:
        datasets = dict.fromkeys(str(training.dataset) for training in artifact.trainings)
        return [d for d in datasets if data is None or not has_images(d, data)]

    artifacts = find(names)
    for artifact in artifacts:
        if artifact.trainings and data is None:
            raise SettingError(
                f"{artifact.name} needs images of {', '.join(lacking(artifact))}: say --data DIR, a folder with "
                f"{lacking(artifact)[0]}.npz, or one that torchvision may download to"
            )
    others = [a for a in find_deep() if a not in artifacts] if "all" in names else []
    left_out = [artifact for artifact in others if lacking(artifact)]
    artifacts += [artifact for artifact in others if artifact not in left_out]
    if not left_out:
        return artifacts, ""
    missing = ", ".join(dict.fromkeys(name for artifact in left_out for name in lacking(artifact)))
    titles = ", ".join(artifact.name for artifact in left_out)
    return artifacts, f"left out: {titles}, which need images of {missing} in --data DIR"


def plan_of(
    artifacts: Sequence[Artifact],
    scale: str,
    repeats: int | None,
    protocol: str | None,
    images: int | str | None,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Plan:
    """The plan of some artifacts.

    Args:
        artifacts: what the runs are for.
        scale: "paper", "quarter" or "small".
        repeats: how many seeds, up to `MOST_REPEATS`, or None for each artifact's own number.
        protocol: "published", "equations", "both", or None for each artifact's own.
        images: of each training, "all", or None for the artifact's own number.
        settings: fields that take the place of the paper's, as for `vary`.

    Raises:
        ValueError: one of these is not valid, or is what an artifact varies by itself.
    """
    if scale not in SCALES:
        raise SettingError(unknown_name("scale", scale, SCALES))
    if repeats is not None and not 1 <= repeats <= MOST_REPEATS:
        raise SettingError(
            f"repeats={repeats} is not valid; expected 1 to {MOST_REPEATS:,}, the most that a claim is said to need"
        )
    if protocol not in (None, "both", *PROTOCOLS):
        raise SettingError(unknown_name("protocol", protocol, ("both", *PROTOCOLS)))
    if images not in (None, "all") and not (isinstance(images, int) and images > 0):
        raise SettingError(f"images={images!r} is not understood; expected a whole number from 1, or all")
    protocols = [name for name in PROTOCOLS if protocol in ("both", name)]
    for artifact in artifacts if settings else ():
        _check_variable(artifact, settings)
    varied = vary(SCALES[scale], settings) if settings else SCALES[scale]
    plan = Plan(artifacts, varied, repeats, protocols or None, images)  # type: ignore[arg-type]
    if (runs := sum(len(a.experiments) + len(a.trainings) for a, _, _ in plan.combinations())) > MOST_RUNS:
        names = artifacts[0].name if len(artifacts) == 1 else f"{len(artifacts)} artifacts"
        raise SettingError(
            f"repeats={repeats} of {names} are {runs:,} runs; expected at most {MOST_RUNS:,} in one call: "
            "say fewer repeats, or fewer artifacts"
        )
    return plan


def _check_variable(artifact: Artifact, settings: Mapping[str, Any]) -> None:
    """See that an artifact has a single value of each setting, so that another can take its place."""
    if not artifact.experiments:
        raise SettingError(f"{artifact.name} has no two-layer experiment whose settings could be others")
    optimizer = settings.get("optimizer", UPDATE_NAMES[0])
    if artifact.theory and optimizer not in UPDATE_NAMES:
        known = ", ".join(UPDATE_NAMES)
        raise SettingError(f"{artifact.name} compares with theory, which optimizer={optimizer!r} has none of: {known}")
    if artifact.theory and not has_prediction(Experiment(**settings)):
        raise SettingError(
            f"{artifact.name} compares with theory, which knows one direction, isotropic inputs and no biases alone"
        )
    for name in settings:
        if name in Experiment.model_fields and len({str(getattr(e, name)) for e in artifact.experiments}) > 1:
            raise SettingError(f"{artifact.name} compares several values of {name}, so that one cannot be set")
