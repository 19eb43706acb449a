"""Who measures which matrix, where several processes train one model: a plan that each makes, and all make the same.

Here: what follows from what all have said. Not here: how it is carried out (`sharing`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spectail.weights.sharded import Rows, Shard


@dataclass(frozen=True)
class Unit:
    """Matrices that are read together, as one process has them.

    Attributes:
        names: of the matrices.
        cost: of measuring them, in some unit.
        pieces: for each parameter that lies in pieces and that they are read from, which rows of it, and its shard that
            is here; none where no parameter lies in pieces.
    """

    names: tuple[str, ...]
    cost: float
    pieces: tuple[tuple[Rows, Shard], ...] = ()


@dataclass(frozen=True)
class Transfer:
    """A piece of some rows, and the process that has it."""

    rows: Rows
    piece: Shard
    source: int


@dataclass(frozen=True)
class Task:
    """Matrices that are measured together, by whom, and what comes from where.

    Attributes:
        names: of the matrices.
        owner: the process that measures them.
        transfers: the pieces that it needs; empty where it has all.
        missing: rows that are not whole even with the pieces of all processes.
    """

    names: tuple[str, ...]
    owner: int
    transfers: tuple[Transfer, ...] = ()
    missing: tuple[Rows, ...] = ()

    @property
    def nbytes(self) -> int:
        """How much memory its rows take."""
        return sum(rows.nbytes for rows in {one.rows for one in self.transfers})


Key = tuple[Any, ...]
"""What values are called that may be on several processes: a unit's names, or rows and a piece of them."""


def keys_of(unit: Unit) -> tuple[Key, ...]:
    """The keys of a unit's values that are here; the same values have the same key on every process."""
    return unit.pieces or ((unit.names,),)


def replicated(said: Sequence[Sequence[Unit]]) -> set[Key]:
    """The keys of values that more than one process has.

    >>> one, other = Unit(("a",), 1.0), Unit(("b",), 1.0)
    >>> replicated([[one, other], [one]])
    {(('a',),)}
    """
    keys = [{key for unit in units for key in keys_of(unit)} for units in said]
    return {key for key in set().union(*keys) if sum(key in here for here in keys) > 1}


def planned(said: Sequence[Sequence[Unit]], prints: Sequence[Mapping[Key, int]]) -> tuple[list[Task], set[Key]]:
    """Who measures what: the most expensive first, each by the process that has least to do so far.

    Args:
        said: the units of each process.
        prints: of each process, fingerprints of the values that several have.

    Returns:
        the tasks, in the order in which they are done; and the keys of values that are not the same on all processes
        that have them: of these only the first process's count.

    >>> units = [Unit(("a",), 4.0), Unit(("b",), 3.0), Unit(("c",), 2.0)]
    >>> tasks, _ = planned([units, units], [{}, {}])
    >>> [(task.names[0], task.owner) for task in tasks]
    [('a', 0), ('b', 1), ('c', 1)]
    """
    holders: dict[Key, list[int]] = {}
    with_unit: dict[tuple[str, ...], list[int]] = {}
    units: dict[tuple[str, ...], Unit] = {}
    for rank, theirs in enumerate(said):
        for unit in theirs:
            units.setdefault(unit.names, unit)
            with_unit.setdefault(unit.names, []).append(rank)
            for key in keys_of(unit):
                holders.setdefault(key, []).append(rank)
    differing = {key for key, ranks in holders.items() if len({prints[rank].get(key) for rank in ranks}) > 1}
    same = {
        key: [rank for rank in ranks if prints[rank].get(key) == prints[ranks[0]].get(key)]
        for key, ranks in holders.items()
    }
    pieces: dict[Rows, list[Shard]] = {}
    for key in holders:
        if isinstance(key[0], Rows):
            pieces.setdefault(key[0], []).append(key[1])
    tasks, loads = [], [0.0] * len(said)
    for number, unit in enumerate(sorted(units.values(), key=lambda unit: -unit.cost)):
        candidates = with_unit[unit.names] if unit.pieces else same[(unit.names,)]
        owner = min(candidates, key=lambda rank: (loads[rank], rank))
        loads[owner] += unit.cost
        transfers: list[Transfer] = []
        missing: list[Rows] = []
        for rows in {rows: None for rows, _ in unit.pieces}:
            needed = _needed(rows, pieces[rows])
            missing += [] if needed else [rows]
            for piece in needed:
                ranks = same[rows, piece]
                source = owner if owner in ranks else ranks[number % len(ranks)]
                transfers.append(Transfer(rows, piece, source))
        tasks.append(Task(unit.names, owner, tuple(transfers), tuple(missing)))
    return tasks, differing


def _needed(rows: Rows, pieces: Sequence[Shard]) -> list[Shard]:
    """Pieces that together are some rows; none where something is missing."""
    size = math.prod(rows.shape)
    sizes = {piece: block_size(piece.rows(rows.first, rows.last)) for piece in pieces}
    if whole := next((piece for piece in pieces if sizes[piece] == size and not piece.summand), None):
        return [whole]
    there = [piece for piece in pieces if sizes[piece]]
    blocks = {(piece.start, piece.shape): sizes[piece] for piece in there}
    return there if sum(blocks.values()) == size else []


def block_size(block: Sequence[slice]) -> int:
    """How many values a block has.

    >>> block_size((slice(2, 5), slice(0, 4)))
    12
    """
    return math.prod(one.stop - one.start for one in block)


def fingerprint(values: Tensor) -> int:
    """A number that differs where values do, but for a rare chance.

    >>> a = torch.arange(6.0).reshape(2, 3)
    >>> fingerprint(a) == fingerprint(a.clone()), fingerprint(a) == fingerprint(a + 1)
    (True, False)
    """
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[values.dtype.itemsize]
    return int(values.detach().view(whole).sum(dtype=torch.int64))
