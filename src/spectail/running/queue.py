"""What is left to do, handed out in chunks of what belongs together.

Not here: who does it (`processes`, `ray`), and what is done about failures (`scheduler`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Generic, Protocol, TypeVar

# Most pieces in a chunk; while it is done, nobody else can take them. More for a worker, whose preparation of
# a group may serve one chunk only, than for a process without workers, which goes on with the group.
_MOST, _MOST_ALONE = 32, 16

_NEARLY = 1 + 1e-6  # sums of costs are floats


class Piece(Protocol):
    """One piece of work. What it is, only those know who hand it over and who do it."""

    @property
    def key(self) -> str:
        """The name of the piece, here and in every worker."""


P = TypeVar("P", bound=Piece)


@dataclass(frozen=True)
class Done:
    """A piece that is done, and what came of it where that is not kept already."""

    key: str
    result: Any = None


@dataclass(frozen=True)
class Failure:
    """A piece that could not be done, and why, in one sentence."""

    key: str
    sentence: str


PieceReport = Done | Failure


class Queue(Generic[P]):
    """Chunks of pieces; each piece is claimed before it is handed out.

    Pieces that somebody else has claimed wait, until they are done or given up.

    Args:
        chunks: what is to be done, in the order in which it is handed out.
        is_done: whether a piece is done, by whomever.
        claim: whether a piece is now ours to do.
        release: gives a claim up.
    """

    def __init__(
        self,
        chunks: Iterable[Sequence[P]],
        is_done: Callable[[P], bool],
        claim: Callable[[P], bool] = lambda piece: True,
        release: Callable[[P], object] = lambda piece: None,
    ) -> None:
        self._chunks, self._elsewhere = deque(chunks), list[list[P]]()
        self.is_done, self._claim, self._release = is_done, claim, release

    @property
    def empty(self) -> bool:
        """Whether nothing is left to do, by this queue or by somebody else who claimed it."""
        return not self._chunks and not self._elsewhere

    def next(self) -> tuple[list[P], list[P]]:
        """The next chunk, and pieces that turned out to be done by now.

        Both may be empty: the pieces that are left are being done by somebody else.
        """
        if not self._chunks:
            self._chunks.extend(self._elsewhere)
            self._elsewhere = []
        ours: list[P] = []
        done: list[P] = []
        while self._chunks and not ours:
            refused: list[P] = []
            for piece in self._chunks.popleft():
                if not self._claim(piece):
                    refused.append(piece)
                elif self.is_done(piece):
                    self._release(piece)
                    done.append(piece)
                else:
                    ours.append(piece)
            self._elsewhere += [refused] if refused else []
        return ours, done

    def release(self, chunk: Sequence[P]) -> None:
        """Give up the claims on a chunk."""
        for piece in chunk:
            self._release(piece)

    def requeue(self, chunk: Sequence[P]) -> None:
        """Put back what was left of a chunk."""
        self._chunks.append(chunk)


def chunks(
    pieces: Iterable[P],
    slots: int,
    *,
    cost: Callable[[P], float],
    group: Callable[[P], Hashable],
    order: Callable[[P], Any],
) -> list[list[P]]:
    """Pieces of one group together, the most work first, in as few chunks as keep all workers busy to the end.

    Whoever gets a chunk prepares what its group shares. So a group stays whole while it is no more than a
    worker's share of what is left; the last ones are cut, into chunks of half that share.

    Args:
        pieces: what is to be done.
        slots: how many workers ask for chunks.
        cost: of a piece, in any unit.
        group: what a piece shares with others.
        order: of the pieces of a group, so that those that share most lie next to each other.
    """
    groups: dict[Hashable, list[tuple[float, P]]] = {}
    for piece in pieces:
        groups.setdefault(group(piece), []).append((cost(piece), piece))
    largest_first = sorted(groups.values(), key=_total, reverse=True)
    left = list(accumulate(map(_total, reversed(largest_first))))  # of each and all after it, from the end
    cut: list[list[tuple[float, P]]] = []
    for members, work in zip(largest_first, reversed(left), strict=True):
        members.sort(key=lambda member: order(member[1]))
        share = work / slots
        most = math.inf if _total(members) <= _NEARLY * share else share / 2
        cut += _cut(members, most, _MOST if slots > 1 else _MOST_ALONE)
    if slots > 1:  # the longest first, so that no worker is left with it at the end
        cut.sort(key=_total, reverse=True)
    return [[piece for _, piece in chunk] for chunk in cut]


def _cut(members: Sequence[tuple[float, P]], most: float, count: int) -> list[list[tuple[float, P]]]:
    """Chunks of at most so much work and so many pieces, and of at least one piece."""
    cut: list[list[tuple[float, P]]] = []
    for member in members:
        if not cut or len(cut[-1]) == count or _total(cut[-1]) + member[0] > _NEARLY * most:
            cut.append([])
        cut[-1].append(member)
    return cut


def _total(members: Sequence[tuple[float, P]]) -> float:
    return sum(cost for cost, _ in members)
