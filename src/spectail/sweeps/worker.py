"""What a worker does: runs of one problem after the other, each kept as soon as it is there.

Nothing is imported at the top that takes long: `PRELOAD` is asked for before anything else is.

Not here: how one run is computed (`experiments/run.py`), and who hands runs out (`running/scheduler.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spectail.experiments.resume import ResumeState, Suspended
from spectail.running.queue import Done, Failure, PieceReport

if TYPE_CHECKING:
    import xarray as xr

    from spectail.experiments.experiment import Experiment
    from spectail.experiments.two_layer.problem import Problem
    from spectail.store.store import Store

PRELOAD = (
    "spectail.experiments.run",
    "spectail.store.store",
    "spectail.sweeps.worker",
    "netCDF4",
    "torch._dynamo",  # which the first step of an optimizer would import
)
"""The modules that worker processes need, for the process that they are forked from."""

OnStep = Callable[["Experiment", int], None]
"""Called with each run and the step that it has done."""


class RunStore(Protocol):
    """Where runs are kept: a `Store` on this machine, or the way to one."""

    def __contains__(self, experiment: Experiment) -> bool:
        """Whether the run of an experiment is there."""

    def put(self, run: xr.Dataset) -> object:
        """Keep a run."""

    def resume_state(self, experiment: Experiment, stopping: Callable[[], bool]) -> ResumeState:
        """Keeps the state of a long run, and leaves the run where it is asked to stop."""


@dataclass(frozen=True)
class StartWorker:
    """Starts the worker of a process, here or elsewhere.

    Attributes:
        store: where runs go.
        device: where they are computed.
        mark: a file beside the runs, for workers on a cluster. Those that see it, as with a shared file system,
            write runs and their states there themselves; the others send them to the driver's node.
        progress: hears of each step of runs in this process.
    """

    store: Store
    device: str = "cpu"
    mark: Path | None = None
    progress: OnStep | None = None

    def __call__(self, stopping: Callable[[], bool], call: Callable[..., Any] | None = None) -> Worker:
        """The worker of this process; see `spectail.running.processes.Start`."""
        store: RunStore = self.store
        if call is not None and not (self.mark is not None and self.mark.exists()):
            store = RemoteStore(call, self.store.state_seconds)
        return Worker(store, self.device, stopping, self.progress, self.store.data)


@contextmanager
def marked(folder: Path) -> Iterator[Path]:
    """A file in a folder by which workers elsewhere know that they see the folder; it goes afterwards."""
    mark = folder / f".sweep-{uuid.uuid4().hex}"
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


class Worker:
    """Computes chunks of runs; the last problem is kept, in case the next chunk has it too.

    Args:
        store: where runs go.
        device: where they are computed.
        stopping: once it is true no further run is begun, and one that is long already is left at its next
            step, with its state kept.
        progress: hears of each step.
        data: where the images of networks are.
    """

    def __init__(
        self,
        store: RunStore,
        device: str = "cpu",
        stopping: Callable[[], bool] = lambda: False,
        progress: OnStep | None = None,
        data: Path | None = None,
    ) -> None:
        self.store, self.device, self.stopping, self.data = store, device, stopping, data
        self._progress = progress or (lambda experiment, step: None)
        self._problem: Problem | None = None

    def __call__(self, chunk: Sequence[Experiment]) -> Iterator[PieceReport]:
        """Do a chunk.

        Args:
            chunk: what to run; runs that are kept already are passed over.

        Yields:
            each run that is now kept, and each that failed; where it was to stop, the others are left.

        Raises:
            OSError: runs cannot be kept.
        """
        for experiment in chunk:
            if self.stopping():
                break
            if experiment not in self.store:
                try:
                    run = self._simulate(experiment)
                except Suspended:
                    break
                except (MemoryError, RuntimeError, ValueError, ArithmeticError) as error:
                    short = isinstance(error, MemoryError) or "memory" in str(error)
                    yield Failure(experiment.key, "there is not enough memory" if short else str(error))
                    continue
                self.store.put(run)
            yield Done(experiment.key)

    def _simulate(self, experiment: Experiment) -> xr.Dataset:
        from spectail.experiments.run import simulate
        from spectail.experiments.two_layer.problem import Problem

        if not experiment.has_closed_form:
            self._problem = None
        elif self._problem is None or self._problem.key != experiment.problem_key:
            self._problem = None  # free the last one before the next is drawn
            self._problem = Problem.draw(experiment, self.device)
        return simulate(
            experiment,
            device=self.device,
            problem=self._problem,
            data=self.data,
            progress=lambda step, steps: self._progress(experiment, step),
            resume=self.store.resume_state(experiment, self.stopping),
        )


class RemoteStore:
    """A store that is held elsewhere.

    Args:
        call: calls a method of the store by its name.
        state_seconds: between two times that the state of a run is kept.
    """

    def __init__(self, call: Callable[..., Any], state_seconds: float) -> None:
        self._call, self._seconds = call, state_seconds

    def __contains__(self, experiment: Experiment) -> bool:
        return bool(self._call("__contains__", experiment))

    def put(self, run: xr.Dataset) -> None:
        """Send a run, and wait until it is kept."""
        self._call("put", run)

    def resume_state(self, experiment: Experiment, stopping: Callable[[], bool] = lambda: False) -> ResumeState:
        """Keeps the state of a long run beside the store."""
        return ResumeState(
            lambda: self._call("read_state", experiment),
            lambda content: self._call("write_state", experiment, content),
            self._seconds,
            stopping,
        )
