"""Keeps workers busy, counts their deaths, and stops."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectail.errors import SettingError
from spectail.running.interrupt import Interrupt
from spectail.running.processes import Executor, Result, ThisProcess, WorkerDied, WorkerProcesses
from spectail.running.queue import Chunk, Failure, Queue

if TYPE_CHECKING:
    from spectail.experiments.experiment import Experiment
    from spectail.running.ray import Resources
    from spectail.store.store import Store
    from spectail.sweeps.sweep import SweepProgress, SweepSummary


_TRIES = 4

_POLL_SECONDS = 0.2  # seconds between two looks at what the workers have kept


@dataclass(frozen=True)
class Compute:
    """Where runs are computed.

    Attributes:
        device: cpu, cuda, mps, ...
        workers: so many processes beside each other; None for this process.
        ray: the address of a Ray cluster, "" for the one that is running or else a new one on this
            machine; None for no Ray.
        resources: what each run takes of the cluster.
    """

    device: str = "cpu"
    workers: int | None = None
    ray: str | None = None
    resources: Resources | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise SettingError(f"workers={self.workers} is not valid; expected at least 1")
        if self.workers is not None and self.ray is not None:
            raise SettingError("workers and ray are both given; expected one of them")

    def executor(self, store: Store, watcher: SweepProgress) -> Executor:
        """What computes there.

        Raises:
            ValueError: the device or the cluster is not available.
        """
        if self.ray is not None:
            from spectail.running.ray import RayCluster

            return RayCluster(store, self.ray, self.resources, self.device)
        from spectail.spectra.precision import check_device

        check_device(self.device)
        if self.workers is not None:
            return WorkerProcesses(store, self.workers, self.device)
        return ThisProcess(store, self.device, watcher.step)


class Scheduler:
    """Keeps the workers of one sweep busy until nothing is left."""

    def __init__(
        self, executor: Executor, queue: Queue, store: Store, watcher: SweepProgress, summary: SweepSummary
    ) -> None:
        self.executor, self.queue, self.store, self.watcher, self.summary = executor, queue, store, watcher, summary
        self.running: dict[Result, Chunk] = {}
        self.pending: dict[str, Experiment] = {}  # handed out, and not yet known to be kept
        self.deaths: dict[str, int] = {}

    def run(self) -> None:
        """Hand out chunks until none is left, or until it is asked to stop."""
        with Interrupt(self._asked_to_stop) as interrupt:
            while True:
                if not interrupt.requested:
                    self._hand_out()
                if self.running:
                    done = wait(self.running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED).done
                elif interrupt.requested or self.queue.empty:
                    break
                else:
                    done = set()
                    time.sleep(_POLL_SECONDS)  # what is left is with another sweep
                self._look()
                for result in done:
                    self._collect(self.running.pop(result), result)
            self.summary.stopped = interrupt.requested

    def _asked_to_stop(self) -> None:
        self.executor.stop()
        self.watcher.stopping()

    def _hand_out(self) -> None:
        """Give every free worker a chunk, and have one more ready than there are workers."""
        slots = self.executor.slots
        while len(self.running) < slots + (slots > 1):
            chunk, found = self.queue.next()
            self.pending |= {e.key: e for e in (*chunk, *found)}
            for experiment in found:
                self._kept(experiment)
            if not chunk:
                return
            self.running[self.executor.submit(chunk, self._kept)] = chunk

    def _collect(self, chunk: Chunk, result: Result) -> None:
        """Take the result of a chunk; what it left is put back, unless it failed."""
        try:
            failures = result.result()
        except WorkerDied:
            failures = self._bury([e for e in chunk if e.key in self.pending])
        self.summary.failures += failures
        failed = {failure.key for failure in failures}
        left = [e for e in chunk if e.key in self.pending and e.key not in failed]
        self.queue.done(chunk)
        if left:
            self.queue.again(left)

    def _bury(self, left: Chunk) -> list[Failure]:
        """Count the deaths of workers over each run, and say which runs had too many."""
        failures = []
        for e in left:
            deaths = self.deaths[e.key] = self.deaths.get(e.key, 0) + 1
            if deaths >= _TRIES:
                failures.append(Failure.of(e, f"its worker died {deaths} times, perhaps for want of memory"))
        return failures

    def _look(self) -> None:
        """See what the workers have kept since."""
        for experiment in [e for e in self.pending.values() if e in self.store]:
            self._kept(experiment)

    def _kept(self, experiment: Experiment) -> None:
        if self.pending.pop(experiment.key, None) is not None:
            self.summary.computed += 1
            self.watcher.kept(experiment)
