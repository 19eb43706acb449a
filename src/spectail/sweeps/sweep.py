"""Run a grid: what is missing is computed and kept, whatever happens on the way."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spectail.experiments.experiment import Experiment
from spectail.running.queue import Failure, Queue
from spectail.running.scheduler import Compute, Scheduler
from spectail.store.locks import RunLocks
from spectail.store.store import Store
from spectail.store.upkeep import remove_partial_files

if TYPE_CHECKING:
    import xarray as xr

    from spectail.running.ray import Resources


class SweepProgress:
    """Is told how a sweep goes on; by itself it says nothing."""

    def begin(self, missing: Sequence[Experiment], found: int) -> None:
        """Before the first run: what is to be computed, and how many runs were there."""

    def step(self, experiment: Experiment, step: int) -> None:
        """A run of this process has done a step."""

    def kept(self, experiment: Experiment) -> None:
        """A run is kept."""

    def stopping(self) -> None:
        """It was asked to stop; runs that are not long are finished first."""


@dataclass
class SweepSummary:
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
    from spectail.store.results import open_results
    from spectail.sweeps.grid import Grid

    experiments = Grid.read(grid).experiments()
    summary = run_missing(experiments, Store(out), Compute(device, workers, ray, resources))
    if summary.stopped:
        raise KeyboardInterrupt
    if summary.failures:
        first, count = summary.failures[0].sentence, len(summary.failures)
        raise RuntimeError(f"{count} of {summary.runs} runs failed, the others are kept; the first: {first}")
    return open_results(out, experiments)


def run_missing(
    experiments: Iterable[Experiment], store: Store, where: Compute | None = None, watcher: SweepProgress | None = None
) -> SweepSummary:
    """Compute the runs that a store does not have, and keep each as soon as it is there.

    Raises:
        ValueError: the device or the cluster is not available.
        OSError: runs cannot be kept; those before are.
        KeyboardInterrupt: interrupted twice.
    """
    wanted, where, watcher = list(experiments), where or Compute(), watcher or SweepProgress()
    store.check_writable()
    remove_partial_files(store)
    missing = store.missing(wanted)
    summary = SweepSummary(len(wanted), len(wanted) - len(missing))
    watcher.begin(missing, summary.found)
    if missing:
        executor = where.executor(store, watcher)
        with executor, RunLocks(store.claims) as claims:
            Scheduler(executor, Queue(missing, store, claims, executor.slots), store, watcher, summary).run()
    return summary
