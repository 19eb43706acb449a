"""A model that several processes train is measured by all of them, each its share.

Here: how the plan is carried out, and how pieces come to where they are needed. Not here: the plan (`plan`), how
processes speak to one another (`process_group`), and how a matrix is measured (analysis/row).

Each process measures a share of the matrices, balanced by cost. Where a matrix lies in pieces (FSDP2, HSDP, tensor and
expert parallel), only the one that measures it gets them, one matrix at a time. Where each process has all of it (DDP),
nothing is sent.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from spectail.analysis.cost import work
from spectail.analysis.failures import why_not
from spectail.analysis.row import constant_quantities, measure_all, not_measured
from spectail.analysis.updates import measure_tensor
from spectail.monitor.plan import Key, Task, Transfer, Unit, block_size, fingerprint, keys_of, planned, replicated
from spectail.monitor.process_group import RankLostError, Ranks
from spectail.recording.events import Event
from spectail.weights.matrix import WeightMatrix
from spectail.weights.sharded import COMBINED, Rows, Shard, ShardedParameter, read_from, rows_read_by

AHEAD = 2**28
"""Bytes of copies that wait to be sent; what lies contiguous on the CPU is sent from where it is."""


class Shares:
    """The matrices of one model, measured by all processes that train it, each its share.

    Args:
        ranks: the processes.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._members: dict[tuple[str, ...], list[WeightMatrix]] = {}
        self._parameters: dict[Rows, ShardedParameter] = {}
        self._of: Sequence[WeightMatrix] = ()
        self._said: list[Sequence[Unit]] = []
        self._told: set[Key] = set()

    def constants(self, matrices: Sequence[WeightMatrix], nulls: bool) -> list[dict[str, Any]]:
        """What of matrices does not change while they train, as `constant_quantities` of each on one process.

        Each shape is simulated by one process.

        Args:
            matrices: that this process has; others may have others.
            nulls: whether to compare with Gaussian matrices.

        Returns:
            those of the matrices of all processes, on each process.

        Raises:
            RankLostError: a process is gone.
        """
        if self._ranks.size == 1:
            return [constant_quantities(matrix, nulls) for matrix in matrices]
        shapes = {matrix.name: (*sorted((matrix.rows, matrix.cols)), matrix.slices) for matrix in matrices}
        said = self._ranks.exchange(shapes)
        turns = {shape: turn for turn, shape in enumerate({shape: None for one in said for shape in one.values()})}
        owners: dict[str, int] = {}
        for rank, theirs in enumerate(said):
            for name in theirs:
                owners.setdefault(name, rank)
        for name, shape in (item for theirs in said for item in theirs.items()):
            holders = [rank for rank, theirs in enumerate(said) if name in theirs]
            owners[name] = holders[turns[shape] % len(holders)]
        mine = {one.name: constant_quantities(one, nulls) for one in matrices if owners[one.name] == self._ranks.rank}
        everything = {name: row for theirs in self._ranks.exchange(mine) for name, row in theirs.items()}
        return [everything[name] for name in owners]

    def arrive(self, step: int, events: Sequence[Event], is_new: bool) -> tuple[tuple[Event, ...], bool]:
        """Wait for the other processes to come to a measurement, and hear what they noticed.

        Args:
            step: that the model is at.
            events: that this process noticed.
            is_new: whether it has a matrix that was not there before.

        Returns:
            the events of all, each once, and whether any has such a matrix.

        Raises:
            RankLostError: a process is gone, or counts other steps.
        """
        self._ranks.arrive()
        steps, noticed, new = zip(*self._ranks.exchange((step, tuple(events), is_new)), strict=True)
        if len({*steps}) > 1:
            raise RankLostError(f"the processes count different steps: {', '.join(map(str, steps))}")
        return tuple(dict.fromkeys(itertools.chain(*noticed))), any(new)

    def measure(
        self,
        matrices: Sequence[WeightMatrix],
        nulls: bool,
        before: Sequence[Mapping[str, Any]],
        unread: Sequence[dict[str, Any]] = (),
    ) -> tuple[list[dict[str, Any]], list[Tensor]]:
        """A row and a spectrum of each matrix, as `measure_all` on one process; all processes call it at once.

        Args:
            matrices: that this process has; others may have others.
            nulls: whether to compare with Gaussian matrices.
            before: rows of the measurement before, as the first process has them.
            unread: rows of what cannot be read now, which have no spectrum.

        Returns:
            those of the matrices of all processes, on the first process; nothing on the others.

        Raises:
            RankLostError: a process is gone.
        """
        ranks = self._ranks
        if ranks.size == 1:
            rows, spectra = measure_all(matrices, nulls, before, measure_tensor)
            return [*rows, *unread], [*spectra, *(torch.empty(0, dtype=torch.float64) for _ in unread)]
        phases = [{name: row[name] for name in ("name", "phase", "z_hill")} for row in before if ranks.is_first]
        units = None if self._said and self._of is matrices else self._units(matrices)
        said = ranks.exchange((units, phases))
        self._said = [self._said[rank] if new is None else new for rank, (new, _) in enumerate(said)]
        rows, arrays = self._carried_out(self._plan(), nulls, said[0][1])
        nothing = torch.empty(0, dtype=torch.float64).numpy()
        results = ranks.to_first(([*rows, *unread], [*arrays, *(nothing for _ in unread)]))
        by_name = {
            row["name"]: (row, torch.from_numpy(spectrum))
            for theirs in results
            for row, spectrum in zip(*theirs, strict=True)
        }
        order = dict.fromkeys([*(one.name for one in matrices), *by_name]) if by_name else {}
        return [by_name[name][0] for name in order], [by_name[name][1] for name in order]

    def _units(self, matrices: Sequence[WeightMatrix]) -> list[Unit]:
        """What this process has."""
        self._of, self._members, self._parameters = matrices, {}, {}
        units = []
        for _, group in itertools.groupby(matrices, key=lambda one: id(one.read)):
            members = list(group)
            rows_read = rows_read_by(members[0].factors or members[0].read)
            self._parameters |= rows_read
            pieces = tuple((rows, parameter.piece()) for rows, parameter in rows_read.items())
            for together in [members] if pieces else [[one] for one in members]:
                names = tuple(one.name for one in together)
                self._members[names] = together
                units.append(Unit(names, sum(map(work, together)), pieces))
        return units

    def _plan(self) -> list[Task]:
        """The tasks of all; where processes differ in what they should share, the first one's counts."""
        several = replicated(self._said)
        prints: list[Mapping[Key, int]] = [{}] * self._ranks.size
        if several:
            mine = {key for unit in self._said[self._ranks.rank] for key in keys_of(unit)} & several
            prints = self._ranks.exchange({key: fingerprint(self._values(key)) for key in mine})
        tasks, differing = planned(self._said, prints)
        if self._ranks.is_first:
            for key in sorted(differing - self._told, key=str):
                name = key[0].name if isinstance(key[0], Rows) else key[0][0]
                warnings.warn(f"{name} is not the same on all processes; that of the first is measured", stacklevel=2)
        self._told |= differing
        return tasks

    def _values(self, key: Key) -> Tensor:
        if isinstance(key[0], Rows):
            return self._parameters[key[0]].local(key[0].first, key[0].last)
        return self._members[key[0]][0].load()

    def _carried_out(
        self, tasks: Sequence[Task], nulls: bool, before: Sequence[Mapping[str, Any]]
    ) -> tuple[list[dict[str, Any]], list[Any]]:
        """Measure this process's share, and send the others what they need for theirs."""
        rank = self._ranks.rank
        rooms = self._ranks.exchange(_room([task.nbytes for task in tasks if task.owner == rank]))
        sender = _Sender(self._ranks, self._parameters, [task for task in tasks if task.nbytes <= rooms[task.owner]])
        rows: list[dict[str, Any]] = []
        spectra: list[Any] = []
        for task in tasks:
            if task.owner != rank:
                continue
            members = self._members[task.names]
            if task.nbytes > rooms[rank] or task.missing:
                why = "a piece of it is on no process" if task.missing else ""
                rows += [not_measured(one, why or why_not(MemoryError(), one)) for one in members]
                spectra += [torch.empty(0, dtype=torch.float64).numpy() for _ in members]
                continue
            sender.send_until(task)
            with read_from(sender.received(task)):
                measured = measure_all(members, nulls, before, measure_tensor)
            rows += measured[0]
            spectra += [spectrum.cpu().numpy() for spectrum in measured[1]]
        sender.finish()
        return rows, spectra


class _Sender:
    """Brings pieces to where they are needed, in the order of the tasks on each process: none waits in a circle."""

    def __init__(self, ranks: Ranks, parameters: Mapping[Rows, ShardedParameter], tasks: Sequence[Task]) -> None:
        self._ranks, self._parameters = ranks, parameters
        tags = itertools.count(1)
        self._tags = {task.names: [next(tags) for _ in task.transfers] for task in tasks}
        self._waiting = deque(
            (task, transfer, tag)
            for task in tasks
            for transfer, tag in zip(task.transfers, self._tags[task.names], strict=True)
            if transfer.source == ranks.rank != task.owner
        )
        self._order = {task.names: place for place, task in enumerate(tasks)}
        self._under_way: deque[tuple[Any, Tensor, int]] = deque()

    def send_until(self, task: Task) -> None:
        """Begin to send what this task and those before it need; and more, as far as memory for copies goes."""
        place = self._order[task.names]
        while self._waiting:
            needed = self._order[self._waiting[0][0].names] <= place
            if not needed and sum(size for *_, size in self._under_way) > AHEAD:
                break
            self._send()

    def finish(self) -> None:
        """Send what is left, and wait until all is sent."""
        while self._waiting:
            self._send()
        while self._under_way:
            self._end_oldest()

    def _send(self) -> None:
        task, transfer, tag = self._waiting.popleft()
        local = self._parameters[transfer.rows].local(transfer.rows.first, transfer.rows.last)
        values = local.cpu().contiguous()
        copied = values.nbytes if values.data_ptr() != local.data_ptr() else 0
        while copied and self._under_way and sum(size for *_, size in self._under_way) + copied > AHEAD:
            self._end_oldest()
        work = self._ranks.send(_bytes(values), task.owner, tag)
        self._under_way.append((work, values, copied))

    def _end_oldest(self) -> None:
        work, _, _ = self._under_way.popleft()
        self._ranks.wait(work)

    def received(self, task: Task) -> dict[Rows, Tensor]:
        """The rows that a task needs, on the CPU; those that this process has whole stay where they are."""
        result: dict[Rows, Tensor] = {}
        summands: dict[tuple[Rows, Shard], list[Tensor]] = {}
        direct: list[Any] = []
        for transfer, tag in zip(task.transfers, self._tags[task.names], strict=True):
            rows, piece = transfer.rows, transfer.piece
            block = piece.rows(rows.first, rows.last)
            here = transfer.source == self._ranks.rank
            if here and block_size(block) == math.prod(rows.shape) and not piece.summand:
                result[rows] = self._parameters[rows].local(rows.first, rows.last)
                continue
            if rows not in result:
                result[rows] = torch.empty(rows.shape, dtype=rows.dtype, device="cpu")
            target = result[rows][block]
            if piece.summand:
                stack = summands.setdefault((rows, Shard(piece.start, piece.shape, (), piece.combined)), [])
                stack.append(self._piece(transfer, torch.empty_like(target), tag))
            elif here or not target.is_contiguous():
                target.copy_(self._piece(transfer, target, tag))  # one piece after the other
            else:
                direct.append(self._ranks.receive(_bytes(target), transfer.source, tag))
        while direct:
            self._ranks.wait(direct.pop())
        for (rows, piece), stack in summands.items():
            result[rows][piece.rows(rows.first, rows.last)] = COMBINED[piece.combined](torch.stack(stack))
        return result

    def _piece(self, transfer: Transfer, like: Tensor, tag: int) -> Tensor:
        """A piece that is here, or is waited for."""
        rows = transfer.rows
        if transfer.source == self._ranks.rank:
            return self._parameters[rows].local(rows.first, rows.last)
        values = torch.empty(like.shape, dtype=rows.dtype, device="cpu")
        self._ranks.wait(self._ranks.receive(_bytes(values), transfer.source, tag))
        return values


def _bytes(values: Tensor) -> Tensor:
    return values.view(-1).view(torch.uint8)


def _room(sizes: Sequence[int]) -> float:
    """The largest of several sizes, bytes, that there is memory for: infinity if all fit, −1 if none does."""
    for tried in sorted({*sizes}, reverse=True):
        try:
            torch.empty(tried, dtype=torch.uint8, device="cpu")
        except (MemoryError, RuntimeError):
            continue
        return math.inf if tried == max(sizes) else tried
    return math.inf if not sizes else -1.0
