"""The processes that train one model together: how their monitors take the same decisions, and part.

Here: what is said between processes, and what is done when one is gone. Not here: who measures what (`sharing`).

All is said in a group of its own, on the CPU, so that nothing of a monitor can meet a collective of the training.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from spectail.errors import SettingError, SpectailError, first_line

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Value = TypeVar("Value")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for another to come to a measurement, as torch's own collectives do."""

ALONE_AFTER = timedelta(seconds=30)
"""How long the first process waits for the monitors of the others where it has all parameters itself."""

_LONGEST = timedelta(hours=6)  # that a process measures its share while others wait

_ARRIVAL = 0  # the tag of what is said on arrival; pieces of matrices have others

_COUNT = itertools.count()  # of monitors that were made; as in every collective, each process makes them in one order


class RankLostError(RuntimeError):
    """Another process has ended, let go of its monitor, or failed."""


class Ranks:
    """The processes that train one model, each with a monitor; or a single one, which says everything to itself.

    Args:
        group: of all of them, on the CPU; nobody else may hold it. None: this process trains alone.

    >>> alone = Ranks()
    >>> alone.is_first, alone.together, alone.exchange("a"), alone.from_first("b")
    (True, True, ['a'], 'b')

    Attributes:
        rank: of this process.
        size: how many there are.
    """

    def __init__(self, group: ProcessGroup | None = None) -> None:
        self._group, self.rank, self.size = group, 0, 1
        if group is not None:
            self.rank, self.size = torch.distributed.get_rank(group), torch.distributed.get_world_size(group)

    @property
    def is_first(self) -> bool:
        """Whether this process keeps the file."""
        return self.rank == 0

    @property
    def together(self) -> bool:
        """Whether nobody has left."""
        return self.size == 1 or (self._group is not None and torch.distributed.is_initialized())

    def arrive(self) -> None:
        """Wait until all processes are here.

        Raises:
            RankLostError: one does not come.
        """
        token, lost = torch.zeros(1, dtype=torch.uint8, device="cpu"), []
        if not self.is_first:
            self.wait(self.send(token, 0, _ARRIVAL))
        others = range(1, self.size) if self.is_first else [0]
        for other in others:
            try:
                self.wait(self.receive(token, other, _ARRIVAL), PATIENCE)
            except RankLostError:
                lost.append(other)
        if lost:
            which = ", ".join(map(str, lost))
            raise RankLostError(f"process {which} has ended, let go of its monitor, or did not come within {PATIENCE}")
        if self.is_first:
            for other in others:
                self.wait(self.send(token, other, _ARRIVAL))

    def exchange(self, value: Value) -> list[Value]:
        """What each process says, in their order.

        Raises:
            RankLostError: one is gone.
        """
        values: list[Any] = [value] * self.size
        self._say(lambda group: torch.distributed.all_gather_object(values, value, group=group))
        return values

    def to_first(self, value: Value) -> list[Value]:
        """What each process says, in their order, for the first; nothing for the others.

        Raises:
            RankLostError: one is gone.
        """
        values: list[Any] = [value] * self.size if self.is_first else []
        self._say(lambda group: torch.distributed.gather_object(value, values or None, group=group, group_dst=0))
        return values

    def from_first(self, value: Value) -> Value:
        """What the first process says.

        Raises:
            RankLostError: it is gone.
        """
        values = [value]
        self._say(lambda group: torch.distributed.broadcast_object_list(values, group=group, group_src=0))
        return values[0]

    def numbers_from_first(self, numbers: Sequence[int]) -> list[int]:
        """Whole numbers that the first process says; as many as this one has.

        Raises:
            RankLostError: it is gone.
        """
        values = torch.tensor(numbers, dtype=torch.int64, device="cpu")
        self._say(lambda group: torch.distributed.broadcast(values, group=group, group_src=0))
        return [int(value) for value in values]

    def send(self, values: torch.Tensor, to: int, tag: int) -> Any:
        """Begin to send a contiguous tensor of bytes on the CPU; waited for by `wait`."""
        return self._say(lambda group: torch.distributed.isend(values, group=group, tag=tag, group_dst=to))

    def receive(self, values: torch.Tensor, source: int, tag: int) -> Any:
        """Begin to receive into a contiguous tensor of bytes on the CPU; waited for by `wait`."""
        return self._say(lambda group: torch.distributed.irecv(values, group=group, tag=tag, group_src=source))

    def wait(self, transfer: Any, patience: timedelta = _LONGEST) -> None:
        """Wait for what was begun.

        Raises:
            RankLostError: the other process is gone, or does not come.
        """
        self._say(lambda group: transfer.wait(patience))

    def all_do(self, function: Callable[[], Value]) -> Value:
        """Call a function on each process; what it raises on one is raised on all.

        Raises:
            SettingError: it raised something that is neither a SpectailError nor an OSError.
            RankLostError: one is gone.
        """
        value, error = _tried(function)
        errors = self.exchange(error)
        if (whose := next((rank for rank, one in enumerate(errors) if one is not None), None)) is not None:
            raise error or errors[whose]  # type: ignore[misc]
        return value  # type: ignore[return-value]

    def first_does(self, function: Callable[[], Value]) -> Value | None:
        """Call a function on the first process; what it raises is raised on all, what it returns is known there.

        Raises:
            RankLostError: it is gone.
        """
        value, error = _tried(function) if self.is_first else (None, None)
        if (error := self.from_first(error)) is not None:
            raise error
        return value

    def leave(self) -> None:
        """Let go: whoever waits for this process, or does so later, is told at once that it is gone."""
        if self._group is None:
            return
        group, self._group = self._group, None
        with suppress(Exception):  # of a group that is gone with all others
            torch.distributed.destroy_process_group(group)

    def _say(self, say: Callable[[ProcessGroup], Value]) -> Value | None:
        if self.size == 1:
            return None
        if self._group is None or not self.together:
            raise RankLostError("the processes have parted")
        try:
            return say(self._group)
        except Exception:  # of any backend, as a RuntimeError or one of its kinds
            pass
        raise RankLostError(
            "another process has ended or let go of its monitor"
        )  # not from the exception, whose frames hold the group


def _tried(function: Callable[[], Value]) -> tuple[Value | None, Exception | None]:
    """What a function returns, or what it raises, as it can be sent."""
    try:
        return function(), None
    except (SpectailError, OSError) as error:
        return None, error.with_traceback(None)
    except Exception as error:
        return None, SettingError(f"{type(error).__name__}: {first_line(error)}")


def join(*, can_be_alone: bool) -> Ranks | None:
    """Find the monitors of the other processes that train the model.

    Args:
        can_be_alone: whether the first process has all parameters itself, so that it may measure without the others.

    Returns:
        all of them, or this process alone; None where the first one measures alone, and this is another.

    Raises:
        SettingError: a process has made no monitor, and is needed.
    """
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return Ranks()
    rank, size = distributed.get_rank(), distributed.get_world_size()
    default = distributed.distributed_c10d._get_default_store()
    store = distributed.PrefixStore(f"spectail/{next(_COUNT)}", default)  # type: ignore[attr-defined]
    store.set(str(rank), "here")
    if rank == 0:
        missing = _missing(store, size, ALONE_AFTER if can_be_alone else PATIENCE)
        sentence = _no_monitors(missing) if missing else ""
        store.set("missing", sentence or "none")
    elif _arrives(store, ["missing"], PATIENCE):
        sentence = store.get("missing").decode().removeprefix("none")
    else:
        raise SettingError(_no_monitors([0]))
    if not sentence:
        return Ranks(distributed.new_group(backend="gloo", timeout=_LONGEST))  # type: ignore[arg-type]
    if not can_be_alone:
        raise SettingError(sentence)
    if rank == 0:
        warnings.warn(f"{sentence}; the first process measures alone", stacklevel=3)
        return Ranks()
    return None


def _missing(store: Any, size: int, patience: timedelta) -> list[int]:
    """Processes that have made no monitor."""
    others = [str(rank) for rank in range(1, size)]
    return [] if _arrives(store, others, patience) else [int(one) for one in others if not store.check([one])]


def _arrives(store: Any, keys: list[str], patience: timedelta) -> bool:
    try:
        store.wait(keys, patience)
    except RuntimeError:
        return bool(store.check(keys))
    return True


def _no_monitors(missing: Sequence[int]) -> str:
    numbers = ", ".join(map(str, missing))
    which = f"process {numbers} has" if len(missing) == 1 else f"processes {numbers} have"
    return f"{which} made no monitor: expected one on each that trains the model, with the same options"
