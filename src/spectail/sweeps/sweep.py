"""Run a grid: what is missing is computed and kept, whatever happens on the way."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spectail.sweeps.executors import Executor, InProcess, Processes, Result, WorkerDied
from spectail.sweeps.interrupt import Interrupt
from spectail.sweeps.locks import Claims
from spectail.sweeps.queue import Queue
from spectail.sweeps.store import Store
from spectail.sweeps.upkeep import clear_parts
from spectail.sweeps.work import Chunk, Failure
from spectail.teacher_student.experiment import Experiment

if TYPE_CHECKING:
    import xarray as xr

    from spectail.sweeps.on_ray import Resources

_TRIES = 4
_LOOK = 0.2  # seconds between two looks at what the workers have kept


class Watcher:
    """Is told how a sweep goes on; by itself it says nothing."""

    def begin(self, missing: Sequence[Experiment], found: int) -> None:
        """Before the first run: what is to be computed, and how many runs were there."""

    def step(self, experiment: Experiment, step: int) -> None:
        """A run of this process has done a step."""

    def kept(self, experiment: Experiment) -> None:
        """A run is kept."""

    def stopping(self) -> None:
        """It was asked to stop; runs that are not long are finished first."""


@dataclass(frozen=True)
class Where:
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
            raise ValueError(f"workers={self.workers} is not valid; expected at least 1")
        if self.workers is not None and self.ray is not None:
            raise ValueError("workers and ray are both given; expected one of them")

    def executor(self, store: Store, watcher: Watcher) -> Executor:
        """What computes there.

        Raises:
            ValueError: the device or the cluster is not available.
        """
        if self.ray is not None:
            from spectail.sweeps.on_ray import OnRay

            return OnRay(store, self.ray, self.resources, self.device)
        from spectail.teacher_student.simulate import check_device

        check_device(self.device)
        if self.workers is not None:
            return Processes(store, self.workers, self.device)
        return InProcess(store, self.device, watcher.step)


@dataclass
class Summary:
    """How a sweep ended.

    Attributes:
        runs: how many the grid has.
        found: how many were there before.
        computed: how many were added, by this sweep or by another on the same store.
        failures: runs that could not be computed.
        stopped: whether it was asked to stop, be it in the last run: what would come next is not to begin.
    """

    runs: int = 0
    found: int = 0
    computed: int = 0
    failures: list[Failure] = field(default_factory=list)
    stopped: bool = False


def sweep(
    grid: Mapping[str, Any] | str | os.PathLike[str],
    out: str | os.PathLike[str] = "results",
    *,
    device: str = "cpu",
    workers: int | None = None,
    ray: str | None = None,
    resources: Resources | None = None,
) -> xr.Dataset:
    """Run a grid, or what is missing of it, and open its results.

    Interrupted, killed or out of disk, the same call goes on where it was, and ends with the same bits.

    Args:
        grid: a TOML file, or a dictionary of the same form; see docs/sweeps.md.
        out: folder that keeps the runs.
        device: where to compute.
        workers: processes beside each other, for small problems; by default one run after the other
            with all cores.
        ray: address of a Ray cluster, or "" for the one that is running, or else a local one.
        resources: what each run takes of the cluster.

    Returns:
        the results of this grid, as `spectail.open_results` gives them.

    Raises:
        ValueError: the grid or an option is not valid.
        OSError: the folder cannot be written to, or the disk is full.
        RuntimeError: some runs failed; the others are kept.
        KeyboardInterrupt: it was interrupted; what was computed is kept.

    >>> import tempfile
    >>> tiny = {"fixed": {"n": 40, "n_test": 9, "n_test_large": 9, "d": 20, "h": 30, "steps": 1}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dict(sweep(tiny | {"axes": {"lr": [0.1, 1.0]}}, folder).sizes)["lr"]
    2
    """
    from spectail.sweeps.grid import Grid
    from spectail.sweeps.results import open_results

    experiments = Grid.read(grid).experiments()
    summary = run_missing(experiments, Store(out), Where(device, workers, ray, resources))
    if summary.stopped:
        raise KeyboardInterrupt
    if summary.failures:
        first, count = summary.failures[0].sentence, len(summary.failures)
        raise RuntimeError(f"{count} of {summary.runs} runs failed, the others are kept; the first: {first}")
    return open_results(out, experiments)


def run_missing(
    experiments: Iterable[Experiment], store: Store, where: Where | None = None, watcher: Watcher | None = None
) -> Summary:
    """Compute the runs that a store does not have, and keep each as soon as it is there.

    Raises:
        ValueError: the device or the cluster is not available.
        OSError: runs cannot be kept; those before are.
        KeyboardInterrupt: interrupted twice.
    """
    wanted, where, watcher = list(experiments), where or Where(), watcher or Watcher()
    store.check_writable()
    clear_parts(store)
    missing = store.missing(wanted)
    summary = Summary(len(wanted), len(wanted) - len(missing))
    watcher.begin(missing, summary.found)
    if missing:
        executor = where.executor(store, watcher)
        with executor, Claims(store.claims) as claims:
            _Drive(executor, Queue(missing, store, claims, executor.slots), store, watcher, summary).run()
    return summary


class _Drive:
    """Keeps the workers of one sweep busy until nothing is left."""

    def __init__(self, executor: Executor, queue: Queue, store: Store, watcher: Watcher, summary: Summary) -> None:
        self.executor, self.queue, self.store, self.watcher, self.summary = executor, queue, store, watcher, summary
        self.running: dict[Result, Chunk] = {}
        self.pending: dict[str, Experiment] = {}  # handed out, and not yet known to be kept
        self.deaths: dict[str, int] = {}

    def run(self) -> None:
        with Interrupt(self._asked_to_stop) as interrupt:
            while True:
                if not interrupt.requested:
                    self._hand_out()
                if self.running:
                    done = wait(self.running, timeout=_LOOK, return_when=FIRST_COMPLETED).done
                elif interrupt.requested or self.queue.empty:
                    break
                else:
                    done = set()
                    time.sleep(_LOOK)  # what is left is with another sweep
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
