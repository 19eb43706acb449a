"""Keeps workers busy, counts their deaths, and stops.

Not here: the workers (`processes`, `ray`), what is next (`queue`), and what Ctrl-C does (`signals`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from typing import Any, Generic

from spectail.errors import SettingError
from spectail.running.processes import Executor, Result, Start, ThisProcess, WorkerDied, WorkerProcesses
from spectail.running.queue import Done, Failure, P, PieceReport, Queue
from spectail.running.ray import RayCluster, Resources
from spectail.running.signals import Interrupt

_TRIES = 4

_POLL_SECONDS = 0.2  # between asking which pieces are done, and asking again


@dataclass(frozen=True)
class Compute:
    """Where work is computed.

    Attributes:
        device: cpu, cuda, mps, ...; handed to whoever does the work.
        workers: how many processes work at once; None for this process alone.
        ray: the address of a Ray cluster, "" for the one that is running or else a new one on this
            machine; None for no Ray.
        resources: what each run takes of the cluster.
        threads: of each worker process; by default they divide those of the machine between them.
    """

    device: str = "cpu"
    workers: int | None = None
    ray: str | None = None
    resources: Resources | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise SettingError(f"workers={self.workers} is not valid; expected at least 1")
        if self.workers is not None and self.ray is not None:
            raise SettingError("workers and ray are both given; expected one of them")

    @property
    def in_this_process(self) -> bool:
        """Whether no other process takes part."""
        return self.workers is None and self.ray is None

    @property
    def worker_device(self) -> str:
        """The device of each worker: a GPU where it gets one of a cluster."""
        has_gpu = self.ray is not None and self.resources is not None and self.resources.gpus > 0
        return "cuda" if has_gpu and self.device == "cpu" else self.device

    def executor(self, start: Start[P], held: object = None, preload: Sequence[str] = ()) -> Executor[P]:
        """The executor: this process, worker processes or a cluster.

        Args:
            start: starts each worker.
            held: what workers on a cluster reach beside the driver.
            preload: modules that worker processes need.

        Raises:
            SettingError: the cluster is not available.
        """
        if self.ray is not None:
            return RayCluster(start, held, self.ray, self.resources)
        if self.workers is not None:
            return WorkerProcesses(self.workers, start, preload, self.threads)
        return ThisProcess(start)


@dataclass(frozen=True)
class WorkSummary:
    """How work ended.

    Attributes:
        computed: how many pieces were done, here or by somebody else meanwhile.
        failures: pieces that could not be done.
        stopped: whether it was asked to stop, even if only during the last piece; what would follow is not to begin.
    """

    computed: int = 0
    failures: Sequence[Failure] = ()
    stopped: bool = False


class Scheduler(Generic[P]):
    """Keeps workers busy until nothing is left.

    Args:
        executor: the workers.
        queue: what they do.
        on_done: called once with each piece that is done, and with its result if it has one.
        stopping: called when it is asked to stop.
    """

    def __init__(
        self,
        executor: Executor[P],
        queue: Queue[P],
        on_done: Callable[[P, Any], object] = lambda piece, result: None,
        stopping: Callable[[], object] = lambda: None,
    ) -> None:
        self._executor, self._queue, self._on_done, self._tell_stopping = executor, queue, on_done, stopping
        self._running: dict[Result, Sequence[P]] = {}
        self._pending: dict[str, P] = {}  # handed out, and not yet known to be done or to have failed
        self._deaths: dict[str, int] = {}
        self._computed, self._failures = 0, list[Failure]()

    def run(self) -> WorkSummary:
        """Hand out chunks until none is left, or until it is asked to stop.

        Raises:
            KeyboardInterrupt: it was asked twice.
            Exception: what the work raised.
        """
        with Interrupt(self._stop) as interrupt:
            while True:
                if not interrupt.requested:
                    self._submit()
                if self._running:
                    done = wait(self._running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED).done
                elif interrupt.requested or self._queue.empty:
                    break
                else:
                    done = set()
                    time.sleep(_POLL_SECONDS)  # what is left is with somebody else
                self._collect_done()
                for result in done:
                    self._collect(self._running.pop(result), result)
            return WorkSummary(self._computed, self._failures, interrupt.requested)

    def _stop(self) -> None:
        self._executor.stop()
        self._tell_stopping()

    def _submit(self) -> None:
        """Give every free worker a chunk, and have one more ready than there are workers."""
        slots = self._executor.slots
        while len(self._running) < slots + (slots > 1):
            chunk, done = self._queue.next()
            self._pending |= {piece.key: piece for piece in (*chunk, *done)}
            for piece in done:
                self._report(Done(piece.key))
            if not chunk:
                return
            self._running[self._executor.submit(chunk, self._report)] = chunk

    def _collect(self, chunk: Sequence[P], result: Result) -> None:
        """Take the result of a chunk; what it left is put back."""
        try:
            reports: Sequence[PieceReport] = result.result()
        except WorkerDied:
            reports = self._count_deaths([piece for piece in chunk if piece.key in self._pending])
        for report in reports:
            self._report(report)
        self._queue.release(chunk)
        left = [piece for piece in chunk if piece.key in self._pending]
        if left:
            self._queue.requeue(left)

    def _count_deaths(self, left: Sequence[P]) -> list[Failure]:
        """Count the deaths of workers over each piece, and say which pieces had too many."""
        failures = []
        for piece in left:
            deaths = self._deaths[piece.key] = self._deaths.get(piece.key, 0) + 1
            if deaths >= _TRIES:
                failures.append(Failure(piece.key, f"its worker died {deaths} times, perhaps for want of memory"))
        return failures

    def _collect_done(self) -> None:
        """Ask which pieces are done by now, also in chunks that are under way."""
        for piece in [piece for piece in self._pending.values() if self._queue.is_done(piece)]:
            self._report(Done(piece.key))

    def _report(self, report: PieceReport) -> None:
        piece = self._pending.pop(report.key, None)
        if piece is None:
            return  # this was known already
        if isinstance(report, Failure):
            self._failures.append(report)
        else:
            self._computed += 1
            self._on_done(piece, report.result)
