"""A figure or table of the paper: what it runs, draws and claims.

Not here: how it is made (`making.py`), what is kept of it (`records.py`), and each artifact itself (`figures/`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import PROTOCOLS, Protocol
from spectail.study.claims import Claim
from spectail.study.runs import Runs
from spectail.study.settings import EpsilonOf

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Artifact:
    """A figure or table of the paper, and what it claims.

    To add one, put it among the `ARTIFACTS` of a module of `figures/`; nothing else is to be touched.

    Attributes:
        name: as on the command line.
        title: one line, what it shows.
        repeats: how many seeds; the paper's number, or enough to decide its claims.
        draw: draws it from the runs of one protocol.
        experiments: the runs it needs, at the paper's size; seed and protocol are set by whoever runs them.
        trainings: the deep networks it needs, in the same way; images for them must be given.
        claims: what it is to show.
        table: further lines to print, headers first.
        protocols: under which it is run unless asked otherwise; one where a second would cost hours.
        theory: whether it compares with the prediction of the first step, which gd, adam and sign have.
        epsilon: Adam's in its runs, as for `in_protocol`.
        in_all: whether "all" means it too; not where it runs for a day.
    """

    name: str
    title: str
    repeats: int
    draw: Callable[[Runs], Figure]
    experiments: Sequence[Experiment] = ()
    trainings: Sequence[Experiment] = ()
    claims: tuple[Claim, ...] = ()
    table: Callable[[Runs], list[tuple[str, ...]]] | None = None
    protocols: tuple[Protocol, ...] = tuple(PROTOCOLS)
    theory: bool = False
    epsilon: EpsilonOf = "program"
    in_all: bool = True
