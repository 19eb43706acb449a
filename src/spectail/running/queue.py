"""What is left to do, handed out in chunks that share a problem."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from spectail.experiments.experiment import Experiment
from spectail.store.locks import RunLocks
from spectail.store.store import Store

# Runs that are claimed at once, which another sweep on the same store cannot take: more for a worker, who gets a
# problem for one chunk only, than for a sweep without workers, which keeps it for the next.
_MOST, _MOST_ALONE = 32, 16

_Weighed = tuple[float, Experiment]  # with its work, in operations

_NEARLY = 1 + 1e-6  # sums of work are floats


class Queue:
    """Chunks of the runs of a sweep; each run is claimed before it is handed out.

    Runs that another sweep has claimed wait, until it has kept them or given them up.

    Args:
        experiments: what is to be computed.
        store: where it will be kept.
        claims: of this process on that store.
        slots: how many workers ask for chunks.
    """

    def __init__(self, experiments: Sequence[Experiment], store: Store, claims: RunLocks, slots: int) -> None:
        self._store, self._claims = store, claims
        self._chunks = deque(chunks(experiments, slots))
        self._elsewhere: list[Experiment] = []

    @property
    def empty(self) -> bool:
        """Whether nothing is left, here or with another sweep."""
        return not self._chunks and not self._elsewhere

    def next(self) -> tuple[Chunk, list[Experiment]]:
        """The next chunk, and runs that were found to be kept by now.

        Both may be empty: the runs that are left are being computed by another sweep.
        """
        if not self._chunks and self._elsewhere:
            self._chunks.append(self._elsewhere)
            self._elsewhere = []
        mine: list[Experiment] = []
        found: list[Experiment] = []
        while self._chunks and not mine:
            for experiment in self._chunks.popleft():
                if not self._claims.claim(experiment.key):
                    self._elsewhere.append(experiment)
                elif experiment in self._store:
                    self._claims.release(experiment.key)
                    found.append(experiment)
                else:
                    mine.append(experiment)
        return mine, found

    def done(self, chunk: Chunk) -> None:
        """Give up the claims on a chunk: it is kept, or it failed."""
        for experiment in chunk:
            self._claims.release(experiment.key)

    def again(self, chunk: Chunk) -> None:
        """Put back a chunk whose worker died."""
        self.done(chunk)
        self._chunks.append(chunk)


def chunks(experiments: Sequence[Experiment], slots: int) -> list[Chunk]:
    """Runs of one problem together, the most work first, in as few pieces as keep all workers busy to the end.

    Whoever gets a piece of a problem draws it, and measures it at step 0. So a problem stays whole while
    it is no more than a worker's share of what is left; the last ones are cut, into pieces of half that
    share. Runs of one kind of update lie next to each other, since they share most.
    """
    from spectail.experiments.cost import operations

    groups: dict[tuple[object, ...], list[_Weighed]] = {}
    for experiment in experiments:
        groups.setdefault(experiment.problem_key, []).append((operations(experiment), experiment))
    problems = sorted(groups.values(), key=_work, reverse=True)
    left = list(accumulate(map(_work, reversed(problems))))  # of each and all after it, from the end
    pieces: list[list[_Weighed]] = []
    for group, work in zip(problems, reversed(left), strict=True):
        group.sort(key=lambda weighed: (weighed[1].protocol, weighed[1].activation, weighed[1].optimizer))
        share = work / slots
        most = math.inf if _work(group) <= _NEARLY * share else share / 2
        pieces += _cut(group, most, _MOST if slots > 1 else _MOST_ALONE)
    if slots > 1:  # the longest first, so that no worker is left with it at the end
        pieces.sort(key=_work, reverse=True)
    return [[experiment for _, experiment in piece] for piece in pieces]


def _cut(group: Sequence[_Weighed], most: float, runs: int) -> list[list[_Weighed]]:
    """Pieces of so much work and so many runs at most, but of one run at least."""
    pieces: list[list[_Weighed]] = []
    for weighed in group:
        if not pieces or len(pieces[-1]) == runs or _work(pieces[-1]) + weighed[0] > _NEARLY * most:
            pieces.append([])
        pieces[-1].append(weighed)
    return pieces


def _work(runs: Sequence[_Weighed]) -> float:
    return sum(operations for operations, _ in runs)


Chunk = Sequence[Experiment]
"""Runs that one worker does one after the other, most often of one problem."""


@dataclass(frozen=True)
class Failure:
    """A run that could not be computed, and why, in one sentence."""

    key: str
    sentence: str

    @classmethod
    def of(cls, e: Experiment, why: str) -> Failure:
        """The failure of an experiment."""
        return cls(e.key, f"{e.optimizer}, lr={e.lr:g}, n={e.n}, d={e.d}, h={e.h}, seed={e.seed} ({e.key}): {why}")
