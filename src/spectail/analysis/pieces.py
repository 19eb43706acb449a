"""An analysis in pieces, one a matrix, for this process or for workers that open the source themselves.

Here: what is handed to `running`, and what a worker does. Not here: who keeps the rows (`model`), and how a row is made
(`row`).
"""

from __future__ import annotations

import math
import os
import pickle
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spectail.analysis.adapter_and_base import against_base, bytes_beside_base, work_beside_base
from spectail.analysis.comparison import (
    Pair,
    direction_overlaps,
    pair_up,
    rounding_of_change,
    spectral_moves,
    update_overlaps,
)
from spectail.analysis.cost import bytes_needed, bytes_stored, work
from spectail.analysis.failures import why_not
from spectail.analysis.fingerprint import content_hash, stamps_of, weights_digest
from spectail.analysis.row import measure_matrix, measured_or_noted, not_measured
from spectail.errors import SettingError, SourceError
from spectail.recording.layout import as_kept
from spectail.recording.quantities import QUANTITIES, Quantity
from spectail.running.memory import MemoryLimit, available_memory
from spectail.running.queue import Done, PieceReport, Queue
from spectail.running.scheduler import Compute, Scheduler
from spectail.weights.adapters import KIND as ADAPTER
from spectail.weights.bases import Bases
from spectail.weights.matrix import ConvMatrix, WeightMatrix, Weights, joined_notes, read_once
from spectail.weights.opening import open_weights, open_whole

if TYPE_CHECKING:
    from spectail.progress import PartProgress, WorkProgress

Measure = Mapping[Quantity, Callable[[NDArray[np.float64], int, int], float]]
"""Quantities beside the table's: each is computed from the eigenvalues, ascending, or, where it is `of="weights"`, from
slices × rows × cols; and from the rows and columns of the matrix."""

_DIMENSIONS = {"matrix", "step", "index", "eigenvalues"}

Row = tuple[dict[str, Any], NDArray[Any]]
"""A row, and its spectrum as it is kept."""

_WORKER_BYTES = 200 * 2**20  # of the memory of a worker beside its matrix

_SHARE_OF_MEMORY = 0.9


def reading_options(conv: ConvMatrix | str, key: str | None, heads: bool) -> dict[str, Any]:
    """Options of `open_weights`; what is not asked for is not named."""
    return {"conv": str(conv)} | ({} if key is None else {"key": key}) | ({"heads": True} if heads else {})


@dataclass(frozen=True)
class Request:
    """What `analyze` or `compare` was asked.

    Attributes:
        of: the kind of recording.
        sources: one, or the models before and after.
        reading: options of `open_weights`.
        layers: names or patterns of the matrices; None for all.
        nulls: what to compare with: "gaussian", "full" or False.
        tail: whether to ask what kind of tail each spectrum has.
        seed: of what is drawn for that, and of shuffles.
        device: where spectra are computed; None: where the weights are.
        measure: a user's own quantities.
        base: the model that an adapter adds to.
    """

    of: str
    sources: tuple[Any, ...]
    reading: Mapping[str, Any]
    layers: str | Sequence[str] | None = None
    nulls: str | bool = "gaussian"
    tail: bool = False
    seed: int = 0
    device: str | None = None
    measure: Measure = field(default_factory=dict)
    base: Any = None

    def __post_init__(self) -> None:
        taken = _DIMENSIONS | {q.name for q in QUANTITIES}
        for q, of in self.measure.items():
            if not isinstance(q, Quantity):
                raise SettingError(f"measure has the key {q!r}; expected spectail.Quantity(name)")
            if q.name in taken or not q.name.isidentifier():
                reason = "a name that recordings have already" if q.name in taken else "no name of a variable"
                raise SettingError(f"measure: {q.name!r} is {reason}; expected another, such as 'my_quantity'")
            if q.of not in ("spectrum", "weights") or q.dtype not in (float, int) or not callable(of):
                raise SettingError(
                    f"measure: {q.name} is of {q.of!r}, a {q.dtype.__name__}, by {of!r}; expected of='spectrum' or "
                    "'weights', numbers, and a function of the eigenvalues, rows and columns"
                )
            taken.add(q.name)
        if not isinstance(self.seed, int | np.integer) or isinstance(self.seed, bool):
            raise SettingError(f"seed={self.seed!r}; expected a whole number")

    @property
    def everything(self) -> tuple[Any, ...]:
        """Every source that is opened."""
        return self.sources if self.base is None else (*self.sources, self.base)

    def open(self) -> OpenRequest:
        """The matrices of the source or sources, unread, and what measures one.

        Raises:
            SourceError: a source is not understood, or holds no matrix.
            SettingError: a pattern fits no matrix.
            OSError: a file cannot be read.
        """
        opened = [open_weights(source, **self.reading) for source in self.sources]
        pairs: dict[str, Pair] = {}
        weights = opened[0]
        if len(opened) > 1:
            weights, pairs = pair_up(*opened)
        read_together = {one.name: id(one.read) for one in opened[0].matrices}
        base = None if self.base is None else open_whole(self.base)
        if base is not None and not any(one.kind == ADAPTER for one in weights.matrices):
            raise SettingError(f"base is of an adapter, and {weights.title} holds none; expected base=None")
        return OpenRequest(self, weights.select(self.layers), pairs, read_together, base)


@dataclass(frozen=True)
class OpenRequest:
    """A request whose sources are open.

    Attributes:
        request: what was asked.
        weights: the matrices.
        pairs: of a comparison, the two matrices behind each.
        read_together: by name, equal for matrices that are read together.
        base: the parameters of the model that an adapter adds to.
    """

    request: Request
    weights: Weights
    pairs: Mapping[str, Pair]
    read_together: Mapping[str, Hashable]
    base: Weights | None = None

    @cached_property
    def bases(self) -> Bases | None:
        """The matrices that an adapter adds to, by their names."""
        return None if self.base is None else Bases(self.base)

    def has_base(self, matrix: WeightMatrix) -> bool:
        """Whether a matrix is what an adapter adds, and is compared with what it adds to."""
        return self.bases is not None and matrix.kind == ADAPTER

    def cost(self, matrix: WeightMatrix) -> float:
        """About how long a matrix takes, in some unit."""
        return work(matrix) + (work_beside_base(matrix) if self.has_base(matrix) else 0.0)

    def memory(self, matrix: WeightMatrix) -> int:
        """About how many bytes it takes at most."""
        return bytes_needed(matrix) + (bytes_beside_base(matrix) if self.has_base(matrix) else 0)

    def digest(self) -> str:
        """A hash of the weights, which are read; of a base without files too."""
        digest = weights_digest(self.weights)
        return digest if self.base is None or stamps_of(self.request.base) else digest + weights_digest(self.base)

    def measure(self, matrix: WeightMatrix, last: LastTime | None = None) -> Row:
        """The row and spectrum of a matrix; one that cannot be measured has a note.

        Args:
            matrix: one of the weights.
            last: what was found at the step before, where the matrix is one of a series. Then the row has the hash of
                its content, and no more where that is known.
        """
        before, content = last.phase if last else "", ""
        if last:
            try:
                matrix, content = _hashed(matrix)
            except Exception as error:
                row = not_measured(matrix, why_not(error, matrix))
                return row | {"content": ""}, np.empty(0, np.float32)
            if content in last.contents:
                return {"name": matrix.name, "content": content}, np.empty(0, np.float32)
        row, spectrum = measured_or_noted(matrix, partial(self._measured, before=before))
        row |= {"content": content} if last else {}
        for q, function in self.request.measure.items():
            row[q.name] = _own_quantity(function, spectrum, matrix, row, q)
        # one NaN for all: a journal keeps no sign of it, and the file of an interrupted call has the same bytes
        one_nan = {
            name: math.nan if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()
        }
        return one_nan, as_kept(spectrum.numpy())

    def _measured(self, matrix: WeightMatrix, before: str = "") -> tuple[dict[str, Any], Tensor]:
        request = self.request
        if request.device is not None:
            matrix = matrix.with_values(partial(_on_device, matrix, request.device))
        rounding = rounding_of_change(*self.pairs[matrix.name]) if matrix.name in self.pairs else None
        row, spectrum = measure_matrix(
            matrix, nulls=request.nulls, tail=request.tail, seed=request.seed, before=before, rounding=rounding
        )
        if matrix.name in self.pairs:
            old, new = self.pairs[matrix.name]
            if row["frobenius_norm"] == 0:
                row["note"] = "unchanged"
                new = old if old.dtype == new.dtype and matrix.factors is None else new  # measured once
            row |= direction_overlaps(old, new) | spectral_moves(old, new)
            row |= update_overlaps(old, matrix) if request.of == "update" else {}
        if self.bases is not None and self.has_base(matrix):
            quantities, note = against_base(matrix, self.bases, request.device)
            row |= quantities | {"note": joined_notes(row["note"], note)}
        return row, spectrum

    def pieces(self, indices: Sequence[int], last: Mapping[int, LastTime | None] | None = None) -> list[MatrixPiece]:
        """The pieces of work of some matrices; those that are read together have one chunk."""
        last = last or {}
        matrices = self.weights.matrices
        parameters = [self.read_together[one.name] for one in matrices]
        sizes = Counter[Hashable]()
        for matrix, parameter in zip(matrices, parameters, strict=True):
            sizes[parameter] += bytes_stored(matrix)
        return [
            MatrixPiece(
                index,
                one.name,
                (one.slices, one.rows, one.cols),
                self.cost(one),
                self.memory(one) + sizes[parameters[index]] - bytes_stored(one),
                parameters[index],
                last.get(index),
            )
            for index, one in ((index, matrices[index]) for index in indices)
        ]


def _hashed(matrix: WeightMatrix) -> tuple[WeightMatrix, str]:
    """A matrix whose values are read, and their hash; for one that is known by its factors, the hash of these."""
    if matrix.factors is not None:
        factors = matrix.factors()
        return replace(matrix, factors=lambda: factors), content_hash(factors.left, factors.right)
    values = matrix.load().detach()
    return matrix.with_values(lambda: values), content_hash(values)


def _on_device(matrix: WeightMatrix, device: str) -> Tensor:
    return matrix.load().detach().to(device)


@dataclass(frozen=True)
class LastTime:
    """What is known of a matrix of a series before it is measured.

    Attributes:
        phase: at the step before.
        contents: hashes of weights whose row is known: of these it is not measured again.
    """

    phase: str = ""
    contents: tuple[str, ...] = ()


@dataclass(frozen=True)
class MatrixPiece:
    """One matrix of a source, for whoever opened it.

    Attributes:
        index: among the matrices.
        name: of the matrix.
        shape: slices, rows, columns.
        cost: about how long it takes, in some unit.
        memory: bytes that it needs, or that its chunk needs.
        chunk: equal for matrices that are read together.
        last: what is known of it before it is measured, where it is one of a series.
    """

    index: int
    name: str
    shape: tuple[int, int, int]
    cost: float
    memory: int
    chunk: Hashable
    last: LastTime | None = None

    @property
    def key(self) -> str:
        """Its place."""
        return str(self.index)


@dataclass(frozen=True)
class StartMeasuring:
    """Starts what measures matrices in a process.

    Attributes:
        request: what was asked; a worker opens the sources itself.
        digest: of weights that a factory makes, which workers must find again; "" for files.
        opened: the sources, in the process that opened them.
        begin: called with the name of each matrix of this process.
    """

    request: Request
    digest: str = ""
    opened: OpenRequest | None = None
    begin: Callable[[str], None] | None = None

    def __call__(
        self, stopping: Callable[[], bool], call: Callable[..., Any] | None = None
    ) -> Callable[[Sequence[MatrixPiece]], Iterator[PieceReport]]:
        """What measures in this process; see `spectail.running.processes.Start`."""
        opened, readers = self.opened, tuple[WeightMatrix, ...]()

        def measure(chunk: Sequence[MatrixPiece]) -> Iterator[PieceReport]:
            nonlocal opened, readers
            if opened is None:
                opened = self.request.open()
                if self.digest and opened.digest() != self.digest:
                    raise SourceError(
                        f"{opened.weights.title} has other weights each time that it is made; "
                        "expected the same for every worker: set a seed in the factory, or save the model"
                    )
            readers = readers or read_once(opened.weights.matrices)
            for piece in chunk:
                if stopping():
                    return
                matrix = readers[piece.index] if piece.index < len(readers) else None
                if matrix is None or (matrix.name, matrix.slices, matrix.rows, matrix.cols) != (
                    piece.name,
                    *piece.shape,
                ):
                    raise SourceError(f"{opened.weights.title} is another model for a worker: it has no {piece.name}")
                if self.begin is not None:
                    self.begin(matrix.name)
                yield Done(piece.key, opened.measure(matrix, piece.last))

        return measure


def measure_pieces(
    opened: OpenRequest,
    indices: Sequence[int],
    compute: Compute,
    digest: str,
    keep: Callable[[int, Row], None],
    progress: WorkProgress | PartProgress,
    last: Mapping[int, LastTime | None] | None = None,
) -> bool:
    """Measure matrices here or by workers.

    Args:
        opened: the request.
        indices: of the matrices.
        compute: where.
        digest: of weights that a factory makes, else "".
        keep: called with each row as soon as it is there.
        progress: hears of each matrix.
        last: what is known of matrices of a series, by their places.

    Returns:
        whether all were done; else it was asked to stop.

    Raises:
        SettingError: what is asked cannot be sent to workers.
        SourceError: a worker cannot open the source, or finds another.
    """
    pieces = opened.pieces(indices, last)
    total = sum(map(opened.cost, opened.weights.matrices))
    here = compute.in_this_process
    start = StartMeasuring(opened.request, digest, opened if here else None, progress.begin if here else None)
    if not here:
        _check_sendable(start)

    def finished(piece: MatrixPiece, row: Row) -> None:
        if not here:
            progress.begin(piece.name)
        keep(piece.index, row)
        progress.finish(piece.cost / total)

    executor = compute.executor(start, None, [__name__])
    with executor:
        cut = _in_order(pieces) if here else _by_cost(pieces)
        limit = MemoryLimit(_memory_for(compute.workers)) if compute.workers is not None else None
        queue = Queue(cut, lambda piece: False, *((limit.claim, limit.release) if limit else ()))
        summary = Scheduler(executor, queue, finished, lambda: progress.say(_STOPPING)).run()
    for failure in summary.failures:
        piece = next(piece for piece in pieces if piece.key == failure.key)
        matrix = opened.weights.matrices[piece.index]
        needs = f"it needs about {piece.memory / 2**30:.2g} GiB; fewer workers at once would help"
        finished(piece, (not_measured(matrix, f"{failure.sentence}; {needs}"), np.empty(0, np.float32)))
    return not summary.stopped


_STOPPING = "finishing the matrices under way; Ctrl-C again stops now"


def _in_order(pieces: Sequence[MatrixPiece]) -> list[list[MatrixPiece]]:
    """The pieces in the order of the model, those together that are read together."""
    return [list(together) for _, together in groupby(pieces, lambda piece: piece.chunk)]


def _by_cost(pieces: Sequence[MatrixPiece]) -> list[list[MatrixPiece]]:
    """The most work first; each piece has the number of its chunk, and the memory that the chunk needs."""
    cut = sorted(_in_order(pieces), key=lambda chunk: -sum(piece.cost for piece in chunk))
    needs = [max(piece.memory for piece in chunk) for chunk in cut]
    return [[replace(piece, chunk=at, memory=needs[at]) for piece in chunk] for at, chunk in enumerate(cut)]


def _memory_for(workers: int) -> float:
    """How much the matrices of all workers may take together."""
    available = available_memory()
    return math.inf if available is None else max(_SHARE_OF_MEMORY * available - workers * _WORKER_BYTES, 0)


def _check_sendable(start: StartMeasuring) -> None:
    for source in start.request.everything:
        if not isinstance(source, str | os.PathLike):
            raise SettingError(
                f"a {type(source).__name__} in memory cannot be sent to workers; expected the path of a checkpoint or "
                "package.module:factory, which each worker opens itself, or workers=None"
            )
    try:
        pickle.dumps(start)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SettingError(f"measure= cannot be sent to workers: {error}; define its functions in a module") from None


def _own_quantity(
    function: Callable[[NDArray[np.float64], int, int], float],
    spectrum: Tensor,
    matrix: WeightMatrix,
    row: dict[str, Any],
    q: Quantity,
) -> float:
    """A user's own quantity; NaN, and a note in the row, where it cannot be computed."""
    try:
        values = matrix.load().detach().cpu().double() if q.of == "weights" else spectrum
        return float(function(values.numpy(), matrix.rows, matrix.cols))
    except Exception as error:
        row["note"] = joined_notes(row["note"], f"{q.name}: {type(error).__name__}: {error}")
        return float("nan")
