"""Every figure and table that can be reproduced, one module of `artifacts` each."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from matplotlib.figure import Figure

from spectail.networks.training import Training
from spectail.paper.claims import Claim
from spectail.paper.runs import PROTOCOLS, Protocol, Runs
from spectail.teacher_student.experiment import Experiment
from spectail.teacher_student.names import unknown_name


@dataclass(frozen=True)
class Artifact:
    """A figure or table of the paper, and what it claims.

    To add one, put a module in `artifacts` whose `ARTIFACT` is an instance; nothing else is to be
    touched.

    Attributes:
        name: as on the command line.
        title: one line, what it shows.
        repeats: how many seeds; the paper's number, or enough to decide its claims.
        experiments: the runs it needs, at the paper's size, for one seed; the protocol is set by
            whoever runs them.
        trainings: the deep networks it needs, in the same way; images for them must be given.
        draw: draws it from the runs of one protocol.
        claims: what it is to show.
        table: further lines to print, headers first.
        protocols: under which it is run unless asked otherwise; one where a second would cost hours.
        in_all: whether "all" means it too; not where it runs for a day.
    """

    name: str
    title: str
    repeats: int
    experiments: Callable[[int], Iterable[Experiment]]
    draw: Callable[[Runs], Figure]
    claims: tuple[Claim, ...] = ()
    table: Callable[[Runs], list[tuple[str, ...]]] | None = None
    protocols: tuple[Protocol, ...] = PROTOCOLS
    in_all: bool = True
    trainings: Callable[[int], Iterable[Training]] | None = None


@lru_cache(maxsize=1)
def catalogue() -> dict[str, Artifact]:
    """All artifacts by name, in the paper's order."""
    package = importlib.import_module("spectail.paper.artifacts")
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    found = {module.ARTIFACT.name: module.ARTIFACT for module in modules if hasattr(module, "ARTIFACT")}
    return dict(sorted(found.items(), key=lambda item: _paper_order(item[0])))


def find(names: Iterable[str]) -> list[Artifact]:
    """Artifacts by name, or all of them for "all"; each once, in the order given.

    "all" leaves out those of deep networks, which need images: see `find_deep`.

    Raises:
        ValueError: a name is not in the catalogue.
    """
    known = catalogue()
    chosen: dict[str, Artifact] = {}
    for name in names:
        if name == "all":
            chosen |= {name: artifact for name, artifact in known.items() if artifact.in_all and not artifact.trainings}
        elif name.lower() in known:
            chosen[name.lower()] = known[name.lower()]
        else:
            raise ValueError(unknown_name("artifact", name, [*known, "all"]))
    return list(chosen.values())


def find_deep() -> list[Artifact]:
    """The artifacts of deep networks, in the paper's order."""
    return [artifact for artifact in catalogue().values() if artifact.trainings]


def _paper_order(name: str) -> tuple[bool, str, int]:
    digits = re.search(r"\d+", name)
    return (not digits, name.rstrip("0123456789"), int(digits[0]) if digits else 0)
