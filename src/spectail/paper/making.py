"""Make artifacts: their pictures, tables, verdicts and records, several beside each other."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from spectail.paper.catalogue import catalogue
from spectail.paper.claims import Outcome
from spectail.paper.record import save_record
from spectail.paper.reproduce import Plan, Tested, by_protocol, draw, verify
from spectail.paper.runs import Protocol, StoredRuns
from spectail.sweeps.executors import worker_pool
from spectail.sweeps.locks import writing
from spectail.sweeps.store import Store
from spectail.sweeps.upkeep import clear_parts


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
    clear_parts(store)
    names = [artifact.name for artifact in plan.artifacts]
    make = partial(_make, plan=replace(plan, artifacts=()), files=files, store=store, folder=folder)
    workers = min(workers, len(names))
    if workers == 1:
        yield from map(make, names)
        return
    with worker_pool(workers, _begin) as pool:
        yield from pool.map(make, names)


def _make(name: str, plan: Plan, files: Mapping[str, Path], store: Store, folder: Path) -> Made:
    artifact = catalogue()[name]
    runs = by_protocol(plan, artifact, StoredRuns(files))
    with writing(store.writing):  # lest another process takes what is half written for left behind
        paths = draw(artifact, runs, folder)
        tested = verify(artifact, runs)
        paths += save_record(artifact, plan, runs, tested, folder)
    tables = {p: artifact.table(of) for p, of in runs.items()} if artifact.table else {}
    return Made(name, paths, tables, [item.outcomes for item in tested])


def _begin() -> None:
    catalogue()
    gc.freeze()  # what was imported stays: looking through it again and again took a fifth of the time
