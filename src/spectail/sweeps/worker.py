"""What a worker does: runs of one problem after the other, each kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import xarray as xr

from spectail.experiments.experiment import Experiment
from spectail.experiments.resume import ResumeState, Suspended
from spectail.running.queue import Chunk, Failure

if TYPE_CHECKING:
    from spectail.experiments.two_layer.problem import Problem


class RunStore(Protocol):
    """Where runs are kept: a `Store` on this machine, or the way to one."""

    def __contains__(self, experiment: Experiment) -> bool:
        """Whether the run of an experiment is there."""

    def put(self, run: xr.Dataset) -> object:
        """Keep a run."""

    def checkpoint(self, experiment: Experiment, stopping: Callable[[], bool]) -> ResumeState:
        """Keeps the state of a long run, and leaves it where it is to stop."""


class Worker:
    """Computes chunks of runs; the last problem is kept, in case the next chunk has it too.

    Args:
        keeper: where runs go.
        device: where they are computed.
        stopping: once it is true no further run is begun, and one that is long already is left at its next
            step, with its state kept.
    """

    def __init__(self, keeper: RunStore, device: str = "cpu", stopping: Callable[[], bool] = lambda: False) -> None:
        self.keeper, self.device, self.stopping = keeper, device, stopping
        self._problem: Problem | None = None

    def __call__(
        self,
        chunk: Chunk,
        progress: Callable[[Experiment, int], None] = lambda experiment, step: None,
        finished: Callable[[Experiment], None] = lambda experiment: None,
    ) -> list[Failure]:
        """Do a chunk.

        Args:
            chunk: what to run; runs that are kept already are passed over.
            progress: called with each run and the step that it has done.
            finished: called with each run that is now kept.

        Returns:
            the runs that failed; the others are kept, unless it was to stop.

        Raises:
            OSError: runs cannot be kept.
        """
        failures = []
        for experiment in chunk:
            if self.stopping():
                break
            if experiment not in self.keeper:
                try:
                    run = self._simulate(experiment, progress)
                except Suspended:
                    break
                except (MemoryError, RuntimeError, ValueError, ArithmeticError) as error:
                    short = isinstance(error, MemoryError) or "memory" in str(error)
                    failures.append(Failure.of(experiment, "there is not enough memory" if short else str(error)))
                    continue
                self.keeper.put(run)
            finished(experiment)
        return failures

    def _simulate(self, experiment: Experiment, progress: Callable[[Experiment, int], None]) -> xr.Dataset:
        from spectail.experiments.two_layer.problem import Problem
        from spectail.experiments.two_layer.run import simulate

        if self._problem is None or self._problem.key != experiment.problem_key:
            self._problem = None  # free the last one before the next is drawn
            self._problem = Problem.draw(experiment, self.device)
        return simulate(
            experiment,
            device=self.device,
            problem=self._problem,
            progress=lambda step, steps: progress(experiment, step),
            resume=self.keeper.checkpoint(experiment, self.stopping),
        )


class RemoteStore:
    """A store that is reached through the office."""

    def __init__(self, office: Any, call: Callable[[Any], Any], checkpoint_seconds: float) -> None:
        self._office, self._call, self._seconds = office, call, checkpoint_seconds

    def __contains__(self, experiment: Experiment) -> bool:
        return bool(self._call(self._office.holds.remote(experiment)))

    def put(self, run: xr.Dataset) -> None:
        """Send a run, and wait until it is kept."""
        self._call(self._office.put.remote(run))

    def checkpoint(self, experiment: Experiment, stopping: Callable[[], bool] = lambda: False) -> ResumeState:
        """Keeps the state of a long run beside the driver."""
        return ResumeState(
            lambda: self._call(self._office.read_checkpoint.remote(experiment)),
            lambda content: self._call(self._office.write_checkpoint.remote(experiment, content)),
            self._seconds,
            stopping,
        )
