"""The loop: an Experiment goes in, an xarray Dataset comes out."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

import torch
import xarray as xr

from spectail.errors import SettingError
from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.loop import Progress, State, _Run
from spectail.experiments.two_layer.problem import Problem
from spectail.recording.layout import to_dataset
from spectail.spectra.precision import check_device


@runtime_checkable
class Resumable(Protocol):
    """Keeps the state of a run, and gives it back; see `spectail.experiments.resume.ResumeState`."""

    def load(self) -> State | None:
        """The state that was kept, or None."""

    def save_if_due(self, state: Callable[[], State]) -> None:
        """Keep the state, if it is time to."""


def simulate(
    experiment: Experiment,
    *,
    device: str | torch.device = "cpu",
    problem: Problem | None = None,
    progress: Progress | None = None,
    checkpoint: Resumable | None = None,
) -> xr.Dataset:
    """Run an experiment.

    The same experiment gives the same bits on the same machine and device. A run that diverges is
    not an error: it stops, its attribute `diverged_at` is the step at which W or the objective
    stopped being finite, and everything measured before is kept.

    Args:
        experiment: what to run.
        device: "cpu", "cuda", "mps", ...
        problem: the experiment's problem, already drawn on this device, to share it between runs
            together with its step-0 measurement and first gradient; drawn anew without it.
        progress: called as progress(step, steps) after each step.
        checkpoint: where the run's state is kept while it goes on, and found again if it was cut
            off: the result has the same bits as if it had not been. Runs of one step keep none. What it
            raises ends the run.

    Returns:
        variables over `step`, as described in `spectail.recording.quantities.RUN_VARIABLES`;
        `eigenvalues` (step, index), ascending; overlaps (pair, i, j) where asked for. Attributes
        carry the experiment, its key, versions, device and wall time in seconds.

    Raises:
        ValueError: the device is not available, or the problem is another experiment's.
    """
    device = check_device(device)
    started = time.perf_counter()
    if problem is None:
        problem = Problem.draw(experiment, device)
    elif problem.key != Problem.key_of(experiment):
        raise SettingError("the problem given is not this experiment's: its sizes, teacher, noise or seed differ")
    run = _Run(experiment, problem)
    kept = checkpoint.load() if checkpoint else None
    spent = run.restore(kept) if kept else 0.0
    started -= spent

    def at_step(step: int) -> None:
        if checkpoint and run.first_step is None:
            checkpoint.save_if_due(lambda: run.state(step, time.perf_counter() - started))

    run.train(progress or (lambda step, steps: None), at_step)
    attributes = {
        "device": str(device),
        "torch_version": str(torch.__version__),
        "python_version": platform.python_version(),
        "wall_time": time.perf_counter() - started,
    }
    return to_dataset(experiment, run.records, run.overlaps(), run.diverged_at, attributes)


def simulate_many(
    experiments: Iterable[Experiment], *, device: str | torch.device = "cpu"
) -> Iterator[tuple[Experiment, xr.Dataset]]:
    """Run experiments one after the other; neighbours with the same problem share it.

    Args:
        experiments: put those with equal n, d, h, teacher, noise and seed next to each other.
        device: as for `simulate`.

    Yields:
        each experiment with its Dataset, in the order given.
    """
    device = check_device(device)
    problem: Problem | None = None
    for experiment in experiments:
        if problem is None or problem.key != Problem.key_of(experiment):
            problem = None  # free the last one before the next is drawn
            problem = Problem.draw(experiment, device)
        yield experiment, simulate(experiment, device=device, problem=problem)
