"""Run a grid: what is missing is computed and kept, whatever happens on the way.

Not here: which experiments (`grid`), what a worker does (`worker`), and who keeps workers busy
(`running/scheduler.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectail.errors import SettingError
from spectail.experiments.cost import weight
from spectail.experiments.experiment import Experiment
from spectail.experiments.memory import check_memory
from spectail.running.queue import Failure, Queue, chunks
from spectail.running.ray import Resources
from spectail.running.scheduler import Compute, Scheduler, WorkSummary
from spectail.store.locks import RunLocks
from spectail.store.store import Store
from spectail.store.upkeep import remove_partial_files
from spectail.sweeps.bar_over_runs import SweepProgress, bar_if_asked
from spectail.sweeps.worker import PRELOAD, StartWorker, marked

if TYPE_CHECKING:
    import xarray as xr


@dataclass
class SweepSummary:
    """How a sweep ended.

    Attributes:
        runs: how many the grid has.
        found: how many were there before.
        computed: how many were added, by this sweep or by another on the same store.
        failures: runs that could not be computed.
        stopped: whether it was asked to stop, even in the last run: whatever follows the sweep is not to begin.
    """

    runs: int = 0
    found: int = 0
    computed: int = 0
    failures: list[Failure] = field(default_factory=list)
    stopped: bool = False

    def require_all(self) -> None:
        """Go on only where every run is kept.

        Raises:
            RuntimeError: some runs failed; the others are kept.
            KeyboardInterrupt: it was asked to stop.
        """
        if self.stopped:
            raise KeyboardInterrupt
        if self.failures:
            first, count = self.failures[0].sentence, len(self.failures)
            raise RuntimeError(f"{count} of {self.runs} runs failed, the others are kept; the first: {first}")


def sweep(
    grid: Mapping[str, Any] | str | os.PathLike[str],
    out: str | os.PathLike[str] = "results",
    *,
    device: str = "cpu",
    workers: int | None = None,
    ray: str | None = None,
    resources: Resources | None = None,
    data: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
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
        data: where the images of networks are, as for `simulate`.
        progress: whether to show how far it is; by default in a notebook only.

    Returns:
        the results of this grid, as `spectail.lazy_results` gives them.

    Raises:
        SettingError: the grid or an option is not valid.
        OSError: the folder cannot be written to, or the disk is full.
        RuntimeError: some runs failed; the others are kept.
        KeyboardInterrupt: it was interrupted; what was computed is kept.

    >>> import tempfile
    >>> tiny = {"fixed": {"n": 40, "n_test": 9, "n_test_large": 9, "d": 20, "h": 30, "steps": 1}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dict(sweep(tiny | {"axes": {"lr": [0.1, 1.0]}}, folder).sizes)["lr"]
    2
    """
    from spectail.store.results import lazy_results
    from spectail.sweeps.grid import Grid

    experiments = Grid.read(grid).experiments()
    with bar_if_asked(progress) as bar:
        summary = run_missing(experiments, Store(out, data=data), Compute(device, workers, ray, resources), bar)
    summary.require_all()
    return lazy_results(out, experiments)


def run_missing(
    experiments: Iterable[Experiment],
    store: Store,
    compute: Compute | None = None,
    progress: SweepProgress | None = None,
) -> SweepSummary:
    """Compute the runs that a store does not have, and keep each as soon as it is there.

    Raises:
        SettingError: the device or the cluster is not available.
        OSError: runs cannot be kept; those before are.
        KeyboardInterrupt: interrupted twice.
    """
    experiments, compute, progress = list(experiments), compute or Compute(), progress or SweepProgress()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SettingError(
            "torchrun is for one run of a network; runs of a sweep go beside each other with workers or ray"
        )
    store.check_writable(experiments)
    remove_partial_files(store)
    missing = store.check_and_list_missing(experiments)
    if compute.ray is None:  # nodes of a cluster have memory of their own
        check_memory(missing)
    check_own_parts(missing, store.data)
    n_kept = len(experiments) - len(missing)
    progress.begin(missing, n_kept)
    outcome = _run(missing, store, compute, progress) if missing else WorkSummary()
    by_key = {experiment.key: experiment for experiment in missing}
    failures = [Failure(f.key, f"{_describe(by_key[f.key])}: {f.sentence}") for f in outcome.failures]
    return SweepSummary(len(experiments), n_kept, outcome.computed, failures, outcome.stopped)


def check_own_parts(experiments: Iterable[Experiment], data: Path | None = None) -> None:
    """See that functions and classes of a user's own, networks and their images are there, before a sweep begins.

    Args:
        experiments: to be computed.
        data: where the images of networks are.

    Raises:
        SettingError: one is not there, or not as it should be.
        SourceError: images are not there.
    """
    checked: set[object] = set()
    for e in experiments:
        if not e.has_closed_form:
            network = e.replace(lr=None, steps=0, record=None, seed=0).key
            if network not in checked:
                from spectail.experiments.deep.run import check_network

                checked.add(network)
                check_network(e, data)
            continue
        parts = (e.teacher, e.combination, e.activation, e.optimizer, str(e.optimizer_options), e.schedule or "")
        if parts in checked or not any(
            ":" in part for part in (e.teacher, e.activation, e.optimizer, e.schedule or "")
        ):
            continue
        from spectail.experiments.optimizer_check import check_optimizer
        from spectail.experiments.two_layer.problem import Problem
        from spectail.experiments.two_layer.student import Student

        checked.add(parts)
        problem = Problem.draw(e.replace(n=8, n_test=1, n_test_large=1, batch=None))
        Student(problem.a, e.d, e.activation)
        check_optimizer(
            e.optimizer, e.lr, bias_correction=e.bias_correction, options=e.update_options, schedule=e.schedule,
            schedule_options=e.schedule_options,
        )  # fmt: skip


def chunks_of_problems(experiments: Iterable[Experiment], slots: int) -> list[list[Experiment]]:
    """What workers do in one go: runs of one problem, since whoever gets one draws it and measures it at step 0.

    Runs of one kind of update lie next to each other, since they share most.
    """
    return chunks(
        experiments,
        slots,
        cost=weight,
        group=lambda e: e.problem_key,
        order=lambda e: (e.protocol, e.activation, e.optimizer),
    )


def _run(missing: Sequence[Experiment], store: Store, compute: Compute, progress: SweepProgress) -> WorkSummary:
    from spectail.spectra.precision import check_device  # which imports torch: not where nothing is missing

    if compute.ray is None:
        check_device(compute.device)
    with marked(store.root) if compute.ray is not None else nullcontext() as mark:
        step = progress.step if compute.in_this_process else None
        executor = compute.executor(StartWorker(store, compute.worker_device, mark, step), store, PRELOAD)
        with executor, RunLocks(store.run_locks) as locks:
            queue = Queue(
                chunks_of_problems(missing, executor.slots),
                store.__contains__,
                lambda experiment: locks.claim(experiment.key),
                lambda experiment: locks.release(experiment.key),
            )
            return Scheduler(executor, queue, lambda run, result: progress.kept(run), progress.stopping).run()


def _describe(e: Experiment) -> str:
    what = f"n={e.n}, d={e.d}, h={e.h}" if e.has_closed_form else e.subject
    return f"{e.optimizer}, lr={e.lr:g}, {what}, seed={e.seed} ({e.key})"
