"""Parameters that lie in pieces on several processes (DTensor): what each process holds, and reading them when given.

Here: which piece of which parameter is here, and what a matrix must read. Not here: how pieces come together, which
needs all processes at once; a reader alone never waits for another process.

Source: torch.distributed.tensor, and the protocol by which torch.distributed.checkpoint saves a DTensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from spectail.errors import SourceError
from spectail.weights.parameter import Parameter, dtype_name, why_not_matrix, why_not_values

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is a DTensor, which torch.distributed need not have been imported for."""
    return "DTensor" in (kind.__name__ for kind in type(tensor).__mro__)


@dataclass(frozen=True)
class Shard:
    """What one process holds of a parameter.

    Attributes:
        start: its first index along each dimension.
        shape: of it.
        summand: where the values must be combined from several partial ones, which of these it is, along each
            dimension of the mesh that they lie over; empty where it is the values themselves.
        combined: how partial values are combined: "sum", "avg", "max", "min" or "product"; empty likewise.
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]
    summand: tuple[int, ...] = ()
    combined: str = ""

    def rows(self, first: int, last: int) -> tuple[slice, ...]:
        """Where it lies among some rows of the parameter; an empty slice where it holds none of them."""
        low, high = max(first, self.start[0]), min(last, self.start[0] + self.shape[0])
        rest = zip(self.start[1:], self.shape[1:], strict=True)
        return (slice(low - first, max(low, high) - first), *(slice(at, at + size) for at, size in rest))


@dataclass(frozen=True)
class Rows:
    """Rows of a parameter that a matrix lies in.

    Attributes:
        name: of the parameter.
        first: of the rows.
        last: the first one behind them.
        shape: of them.
        dtype: that they are stored in.
    """

    name: str
    first: int
    last: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """How many bytes the rows take."""
        return math.prod(self.shape) * self.dtype.itemsize


class ShardedParameter:
    """Reads a parameter, or some of its rows: from this process where it has all of them, else as `read_from` says.

    Args:
        name: of the parameter.
        tensor: gives it as it is now.
    """

    def __init__(self, name: str, tensor: Callable[[], DTensor]) -> None:
        self.name, self.tensor = name, tensor

    def __call__(self, first: int = 0, last: int | None = None) -> Tensor:
        """The values of rows.

        Raises:
            SourceError: they lie in pieces, and other processes did not send them.
        """
        if (other := _reading.instead.get(self.name)) is not None:
            return other(first, last)
        tensor = self.tensor()
        last = tensor.shape[0] if last is None else last
        rows = Rows(self.name, first, last, (last - first, *tensor.shape[1:]), tensor.dtype)
        if _reading.requests is not None:
            _reading.requests[rows] = self
            return torch.empty(rows.shape, dtype=rows.dtype, device="meta")
        if rows in _reading.rows:
            return _reading.rows[rows].to(tensor.to_local().device)
        piece = self.piece()
        if piece.shape == tuple(tensor.shape) and not piece.summand:
            return tensor.to_local().detach()[first:last]
        raise SourceError(f"{self.name} lies in pieces on {tensor.device_mesh.size()} processes; gather it first")

    def piece(self) -> Shard:
        """The shard of the parameter that this process has.

        Raises:
            SourceError: it is not one block of the parameter.
        """
        from torch.distributed.tensor import DTensor, Partial, Replicate

        tensor = self.tensor()
        partial_dims = [dim for dim, one in enumerate(tensor.placements) if isinstance(one, Partial)]
        summand: tuple[int, ...] = ()
        combined = ""
        if partial_dims:
            place = tensor.device_mesh.get_coordinate() or ()
            summand = tuple(place[dim] for dim in partial_dims)
            operations = {str(tensor.placements[dim].reduce_op) for dim in partial_dims}  # type: ignore[attr-defined]
            combined = operations.pop()
            if operations or combined not in COMBINED:
                raise SourceError(f"{self.name} lies in partial values, which are not put together here")
            placements = [Replicate() if dim in partial_dims else one for dim, one in enumerate(tensor.placements)]
            mesh, shape, stride = tensor.device_mesh, tensor.shape, tensor.stride()
            tensor = DTensor.from_local(
                tensor.to_local(), mesh, placements, run_check=False, shape=shape, stride=stride
            )
        chunks = tensor.__create_chunk_list__()  # type: ignore[no-untyped-call]
        if len(chunks) != 1:
            raise SourceError(f"{self.name} lies in pieces of {len(chunks)} blocks, which are not put together here")
        return Shard(tuple(chunks[0].offsets), tuple(chunks[0].sizes), summand, combined)

    def local(self, first: int, last: int) -> Tensor:
        """The part of this process's shard that lies among some rows."""
        at = self.piece().rows(first, last)[0]
        start = self.piece().start[0] - first
        return self.tensor().to_local().detach()[at.start - start : at.stop - start]


COMBINED: Mapping[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda stack: stack.sum(0),
    "avg": lambda stack: stack.mean(0),
    "max": lambda stack: stack.amax(0),
    "min": lambda stack: stack.amin(0),
    "product": lambda stack: stack.prod(0),
}
"""How partial values, stacked, become the values, by the name of torch.distributed."""


def sharded_parameter(name: str, value: Tensor, load: Callable[[], DTensor]) -> Parameter:
    """The description of a parameter that lies in pieces; its matrices can be read where their rows are given.

    Args:
        name: its full name.
        value: looked at, not kept.
        load: gives it as it is now.
    """
    read = ShardedParameter(name, load)
    shape = tuple(value.shape)
    refusal = why_not_values(value.dtype) or why_not_matrix(shape)
    if not refusal and value.is_meta:
        refusal = "without values: it is on the meta device"
    if not refusal and value.dtype.itemsize == 1:
        refusal = f"{dtype_name(value.dtype)} in pieces on several processes"
    if not refusal:
        try:
            read.piece()
        except SourceError as error:
            refusal = str(error)
    dtype = dtype_name(value.dtype)
    return Parameter(name, shape, read, refusal, ("sharded", id(value)), load_rows=read, dtype=dtype)


class _Reading:
    """What readers return instead of what they hold: rows from other processes, other parameters, or shapes only.

    `requests` is None unless they only note what they would read.
    """

    rows: Mapping[Rows, Tensor] = {}
    instead: Mapping[str, ShardedParameter] = {}
    requests: dict[Rows, ShardedParameter] | None = None


_reading = _Reading()


@contextmanager
def read_from(values: Mapping[Rows, Tensor]) -> Iterator[None]:
    """Inside, these rows are read from these values: other processes sent them."""
    _reading.rows = values
    try:
        yield
    finally:
        _reading.rows = {}


@contextmanager
def read_instead(others: Mapping[str, ShardedParameter]) -> Iterator[None]:
    """Inside, these parameters are read instead of those of the same names: as they were at another step, say."""
    before, _reading.instead = _reading.instead, others
    try:
        yield
    finally:
        _reading.instead = before


def is_dry_run() -> bool:
    """Whether readers only note what they would read, and return shapes."""
    return _reading.requests is not None


def shape_read_by(read: Callable[[], Tensor]) -> Tensor:
    """What a function reads, on the meta device where it reads a parameter in pieces."""
    _reading.requests = {}
    try:
        return read()
    finally:
        _reading.requests = None


def whole_values(values: Mapping[str, Tensor | None], path: str) -> dict[int, Tensor]:
    """Whole tensors in place of sharded ones, by id; in a dry run, of unsharded ones too.

    Args:
        values: parameters and buffers of a module, by name.
        path: of the module, with the point at its end.

    Returns:
        what is read in their place, as parameters where they are ones.
    """
    stand_ins: dict[int, Tensor] = {}
    for name, value in values.items():
        if value is None or not (is_sharded(value) or is_dry_run()):
            continue
        whole = ShardedParameter(path + name, partial(_same, value))() if is_sharded(value) else value.to("meta")
        is_parameter = isinstance(value, torch.nn.Parameter)
        stand_ins[id(value)] = torch.nn.Parameter(whole, requires_grad=False) if is_parameter else whole
    return stand_ins


def _same(value: Any) -> Any:
    return value


def rows_read_by(read: Callable[[], object]) -> dict[Rows, ShardedParameter]:
    """Which rows of parameters in pieces are read by a function, without reading them.

    Args:
        read: of a matrix, or whatever reads parameters.

    Returns:
        the rows, and of which parameter they are; none where all is here.
    """
    function = read.func if isinstance(read, partial) else read
    requests: dict[Rows, ShardedParameter] = {}
    _reading.requests = requests
    try:
        read()
    except Exception:  # shapes alone may not be enough: what was asked for until then is known
        if isinstance(function, ShardedParameter):
            raise
    finally:
        _reading.requests = None
    return requests
