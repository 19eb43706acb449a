"""What is left to do, handed out in chunks that share a problem."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from spectail.sweeps.locks import Claims
from spectail.sweeps.store import Store
from spectail.sweeps.work import Chunk
from spectail.teacher_student.experiment import Experiment

_CHUNK = 16


class Queue:
    """Chunks of the runs of a sweep; each run is claimed before it is handed out.

    Runs that another sweep has claimed wait, until it has kept them or given them up.

    Args:
        experiments: what is to be computed.
        store: where it will be kept.
        claims: of this process on that store.
        slots: how many workers ask for chunks.
    """

    def __init__(self, experiments: Sequence[Experiment], store: Store, claims: Claims, slots: int) -> None:
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
    """Runs of one problem together, large problems first, in as many pieces as keep all workers busy.

    A piece has at most 16 runs, and a problem is cut into more pieces only where there are too few
    problems to go round. Runs of one kind of update lie next to each other, since they share most.
    """
    from spectail.sweeps.cost import operations

    groups: dict[tuple[object, ...], list[Experiment]] = {}
    for experiment in experiments:
        groups.setdefault(_problem_key(experiment), []).append(experiment)
    found: list[Chunk] = []
    pieces = 1 if slots == 1 else math.ceil(3 * slots / max(len(groups), 1))
    for group in groups.values():
        group.sort(key=lambda e: (e.protocol, e.activation, e.optimizer))
        size = min(_CHUNK, math.ceil(len(group) / pieces))
        found += [group[start : start + size] for start in range(0, len(group), size)]
    if slots > 1:  # the longest first, so that no worker is left with it at the end
        found.sort(key=lambda chunk: -sum(operations(e) for e in chunk))
    return found


def _problem_key(experiment: Experiment) -> tuple[object, ...]:
    from spectail.teacher_student.names import PROBLEM_FIELDS

    return tuple(getattr(experiment, name) for name in PROBLEM_FIELDS)
