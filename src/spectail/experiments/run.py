"""An Experiment goes in, an xarray Dataset comes out, whichever kind it is.

Not here: the loops between steps (two_layer/loop.py, deep/run.py), and where runs are kept.
"""

from __future__ import annotations

import json
import os
import platform
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
import xarray as xr

from spectail import __version__
from spectail.errors import SettingError
from spectail.experiments.experiment import Experiment
from spectail.experiments.machine import computed_on
from spectail.experiments.resume import Resumable, State
from spectail.experiments.two_layer.loop import TwoLayerRun, records_of_state
from spectail.experiments.two_layer.problem import Problem
from spectail.progress import StepProgress, in_notebook, step_progress
from spectail.recording.layout import RUN_FORMAT, RUN_MARK, run_to_dataset
from spectail.recording.netcdf import with_checksum
from spectail.spectra.precision import check_device


def simulate(
    experiment: Experiment,
    *,
    device: str | torch.device = "cpu",
    problem: Problem | None = None,
    data: str | os.PathLike[str] | None = None,
    progress: StepProgress | bool | None = None,
    resume: Resumable | None = None,
    checkpoint: Resumable | None = None,
) -> xr.Dataset:
    """Run an experiment.

    A student of a teacher has gradients in closed form, every other network autograd's: the experiment says which.
    The same experiment gives the same bits on the same machine and device. A run that diverges is
    not an error: its attribute `diverged_at` is the step at which W or the objective stopped being finite, and
    everything measured before is kept. Processes that torchrun started share the images of a network.

    Args:
        experiment: what to run.
        device: "cpu", "cuda", "mps", ...
        problem: the problem of a student's experiment, already drawn on this device, to share it between runs
            together with its step-0 measurement and first gradient; drawn anew without it.
        data: where the images of a network are: a folder with DATASET.npz or torchvision's files, which are downloaded
            there if need be, or an .npz file; by default the cache of this user.
        progress: called as progress(step, steps) after each step; True for a bar, False for none; by default there is
            one in a notebook only.
        resume: where the run's state is kept while it goes on, and found again if it was cut
            off: the result has the same bits as if it had not been. Runs of one step keep none. What it
            raises ends the run.
        checkpoint: the old name of `resume`, for one release.

    Returns:
        variables over `step`, as described in the table of quantities (`spectail.quantities()`);
        `eigenvalues` (step, index), ascending; overlaps (pair, i, j) where asked for; of a network, over `matrix` too,
        with loss and accuracy over `update`. Attributes
        carry the experiment, its key, versions, device and wall time in seconds.

    Raises:
        ValueError: the device is not available, the problem is another experiment's, the data or a network are not as
            expected, the experiment is of an earlier version's numerics, or takes more memory than is free.

    >>> run = simulate(Experiment(n=40, d=20, h=30, n_test=9, n_test_large=9, steps=3))
    >>> run.step.values.tolist(), run.eigenvalues.sel(step=3).shape
    ([0, 1, 2, 3], (20,))
    """
    if checkpoint is not None:
        warnings.warn("simulate(checkpoint=…) is now simulate(resume=…)", DeprecationWarning, stacklevel=2)
        resume = checkpoint
    experiment.check_computable()
    device = check_device(device)
    asked = in_notebook() if progress is None else progress
    bar = step_progress(experiment.steps) if asked is True else nullcontext(asked or None)
    with bar as bar_or_none:
        tell = bar_or_none or (lambda step, steps: None)
        if experiment.has_closed_form:
            return _run_student(experiment, device, problem, tell, resume)
        if problem is not None:
            raise SettingError(f"a problem is given, which {experiment.subject} has none of; expected problem=None")
        from spectail.experiments.deep.run import train_network

        source = None if data is None else Path(data)
        return train_network(experiment, source, device, lambda step, steps, loss: tell(step, steps), resume)


def _run_student(
    experiment: Experiment,
    device: torch.device,
    problem: Problem | None,
    tell: StepProgress,
    resume: Resumable | None,
) -> xr.Dataset:
    """The run of a student of a teacher."""
    started = time.perf_counter()
    if problem is None:
        problem = Problem.draw(experiment, device)
    elif problem.key != experiment.problem_key:
        raise SettingError("the problem given is not this experiment's: its sizes, teacher, noise or seed differ")
    run = TwoLayerRun(experiment, problem)
    state = resume.load() if resume else None
    started -= run.load_state(state) if state else 0.0

    def at_step(step: int) -> None:
        if resume and run.one_step is None:
            resume.save_if_due(lambda: run.save_state(step, time.perf_counter() - started))

    run.train(tell, at_step)
    attributes = {
        RUN_MARK: RUN_FORMAT,
        "spectail_version": __version__,
        "experiment": experiment.canonical_json,
        "key": experiment.key,
        "device": str(device),
        **computed_on(),
        "torch_version": str(torch.__version__),
        "python_version": platform.python_version(),
        "wall_time": time.perf_counter() - started,
    }
    if run.diverged_at is not None:
        attributes["diverged_at"] = run.diverged_at
    recording = run_to_dataset(run.records, run.overlaps(), attributes)
    return with_checksum(recording)


def recording_so_far(state: State) -> xr.Dataset | None:
    """What a run had measured when its state was kept.

    Args:
        state: as a `Resumable` gives it back.

    Returns:
        the recording, without overlaps and without what is known at the end; None where the state does not say.
    """
    from spectail.experiments.deep.run import recording_of_state

    try:
        if "training" in state:
            return recording_of_state(state)
        attributes = {
            RUN_MARK: RUN_FORMAT,
            "experiment": state["experiment"],
            "key": Experiment.from_stored(json.loads(state["experiment"])).key,
        }
        return run_to_dataset(records_of_state(state), {}, attributes)
    except (KeyError, TypeError, ValueError, AttributeError):  # of an earlier release, or made by hand
        return None


def simulate_many(
    experiments: Iterable[Experiment],
    *,
    device: str | torch.device = "cpu",
    data: str | os.PathLike[str] | None = None,
) -> Iterator[tuple[Experiment, xr.Dataset]]:
    """Run experiments one after the other; neighbours with the same problem share it.

    Args:
        experiments: put those with equal n, d, h, teacher, noise and seed next to each other.
        device: as for `simulate`.
        data: as for `simulate`.

    Yields:
        each experiment with its Dataset, in the order given.

    >>> tiny = Experiment(n=40, d=20, h=30, n_test=9, n_test_large=9, steps=1)
    >>> runs = simulate_many(tiny.replace(lr=lr) for lr in (0.1, 1.0))
    >>> [(experiment.lr, float(run.update_lr.sel(step=1))) for experiment, run in runs]
    [(0.1, 0.1), (1.0, 1.0)]
    """
    device = check_device(device)
    problem: Problem | None = None
    for experiment in experiments:
        if not experiment.has_closed_form:
            problem = None
        elif problem is None or problem.key != experiment.problem_key:
            problem = None  # free the last one before the next is drawn
            problem = Problem.draw(experiment, device)
        yield experiment, simulate(experiment, device=device, problem=problem, data=data)
