"""Make artifacts: their pictures, tables, verdicts and records, several beside each other."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from spectail.experiments.deep.training import Training
from spectail.experiments.protocols import Protocol
from spectail.plots.look import save_figure, style
from spectail.running.processes import worker_pool
from spectail.store.locks import shared_lock
from spectail.store.store import Store
from spectail.store.upkeep import remove_partial_files
from spectail.study.artifact import Artifact
from spectail.study.catalogue import catalogue
from spectail.study.claims import Outcome, Tested
from spectail.study.plan import Plan, by_protocol
from spectail.study.records import save_record
from spectail.study.runs import Runs, StoredRuns
from spectail.study.settings import figure_folders
from spectail.sweeps.worker import PRELOAD


@dataclass(frozen=True)
class Made:
    """What was made of an artifact of the catalogue.

    Attributes:
        name: of the artifact.
        paths: its pictures, its record and its curves.
        tables: lines to print by protocol, headers first; none where it has no table.
        outcomes: of each of its claims, by protocol.
    """

    name: str
    paths: list[Path]
    tables: dict[Protocol, list[tuple[str, ...]]]
    outcomes: list[dict[Protocol, Outcome]]

    @property
    def tested(self) -> list[Tested]:
        """Its claims with their outcomes."""
        claims = catalogue()[self.name].claims
        return [Tested(self.name, claim, outcomes) for claim, outcomes in zip(claims, self.outcomes, strict=True)]


def make_all(plan: Plan, files: Mapping[str, Path], store: Store, folder: Path, workers: int) -> Iterator[Made]:
    """Make every artifact of a plan, out of the catalogue, in its order.

    Args:
        plan: whose runs are there.
        files: of the runs and trainings, by key.
        store: where the runs are kept.
        folder: of the store, for what is made.
        workers: how many artifacts are made at once, each by a process of its own; with 1, this one makes them.

    Raises:
        OSError: the folder cannot be written to.
    """
    remove_partial_files(store, figure_folders(store.root))
    names = [artifact.name for artifact in plan.artifacts]
    make = partial(_make, plan=replace(plan, artifacts=()), files=files, store=store, folder=folder)
    workers = min(workers, len(names))
    if workers == 1:
        yield from map(make, names)
        return
    with worker_pool(workers, _begin, PRELOAD) as pool:
        yield from pool.map(make, names)


def _make(name: str, plan: Plan, files: Mapping[str, Path], store: Store, folder: Path) -> Made:
    artifact = catalogue()[name]
    runs = by_protocol(plan, artifact, StoredRuns(files))
    with shared_lock(store.writing):  # lest another process takes what is half written for left behind
        paths = draw(artifact, runs, folder)
        tested = verify(artifact, runs)
        paths += save_record(artifact, plan, runs, tested, folder)
    tables = {p: artifact.table(of) for p, of in runs.items()} if artifact.table else {}
    return Made(name, paths, tables, [item.outcomes for item in tested])


def _begin() -> None:
    catalogue()
    gc.freeze()  # what was imported stays: looking through it again and again took a fifth of the time


def draw(artifact: Artifact, runs: dict[Protocol, Runs], folder: Path) -> list[Path]:
    """Draw an artifact once a protocol, as PNG and PDF.

    Returns:
        the paths: NAME for the published protocol, NAME-equations for the other.
    """
    paths = []
    for protocol, of_protocol in runs.items():
        name = artifact.name if protocol == "published" else f"{artifact.name}-{protocol}"
        with style():
            paths += save_figure(artifact.draw(of_protocol), folder / name)
    return paths


def verify(artifact: Artifact, runs: dict[Protocol, Runs]) -> list[Tested]:
    """Test an artifact's claims under each protocol."""
    return [
        Tested(artifact.name, claim, {protocol: claim.test(of_protocol) for protocol, of_protocol in runs.items()})
        for claim in artifact.claims
    ]


def train_all(trainings: Sequence[Training], folder: Path, data: Path | None, device: str) -> dict[str, Path]:
    """The files of full-batch trainings by key, after those that were missing were done.

    Args:
        trainings: what is wanted.
        folder: that keeps them.
        data: folder of the images.
        device: where to compute.
    """
    if not trainings:
        return {}
    from spectail.experiments.deep.run import get_or_train
    from spectail.progress import training_progress
    from spectail.spectra.precision import check_device

    paths = {}
    for number, training in enumerate(trainings, 1):
        title = f"training {number} of {len(trainings)}: {training.model} on {training.dataset}, "
        with training_progress(training.steps, title) as progress:
            checked = str(check_device(device))
            paths[training.key], _ = get_or_train(training, folder, data=data, device=checked, progress=progress)
    return paths
