"""How long a sweep will take, and how much disk.

Not here: what one run costs (`experiments/cost.py`), and how an estimate is printed (`report/terminal/sweep.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spectail.experiments.cost import disk_bytes, operations
from spectail.experiments.experiment import Experiment
from spectail.store.manifest import Entry

_SECONDS_BESIDE = 0.03  # of a run besides its operations: setting up, and writing its file


@dataclass(frozen=True)
class Estimate:
    """What is still to be done.

    Attributes:
        runs: how many are to be computed.
        seconds: how long they take on this machine, within a factor of two or so.
        bytes: how much room they need.
        measured: whether `seconds` comes from runs of the store, or from a quick matrix product.
    """

    runs: int
    seconds: float
    bytes: int
    measured: bool


def estimate(missing: Sequence[Experiment], known: Iterable[Entry], workers: int = 1) -> Estimate:
    """Time and disk of runs.

    Args:
        missing: those to be computed.
        known: runs of the same store; with enough of them, their wall times say how fast it goes.
        workers: how many runs go on at once.
    """
    return estimate_at(machine_speed(known) if missing else MachineSpeed(1.0, False), missing, workers)


@dataclass(frozen=True)
class MachineSpeed:
    """Floating-point operations per second of runs on this machine, and whether runs or a product told it."""

    operations_per_second: float
    measured: bool


def machine_speed(known: Iterable[Entry]) -> MachineSpeed:
    """How fast runs go: as stored ones went, or as a quick matrix product suggests where these are too few."""
    students = [entry for entry in known if not entry.matrices]  # a network of a stranger's store is not imported
    done = [(operations(Experiment.from_stored(entry.experiment)), entry.wall_time) for entry in students]
    total = sum(seconds for _, seconds in done)
    if len(done) >= 3 and total > 1.0:
        return MachineSpeed(max(sum(cost for cost, _ in done), 1.0) / total, True)
    return MachineSpeed(_operations_per_second(), False)


def estimate_at(speed: MachineSpeed, missing: Sequence[Experiment], workers: int = 1) -> Estimate:
    """Time and disk of runs at a known speed; arguments as for `estimate`."""
    seconds = sum(operations(e) for e in missing) / speed.operations_per_second
    seconds += 0.0 if speed.measured else _SECONDS_BESIDE * len(missing)
    return Estimate(len(missing), seconds / workers, sum(disk_bytes(e) for e in missing), speed.measured)


def _operations_per_second() -> float:
    """Operations per second of float32 matrix products here, times the share that whole runs reach."""
    import torch

    a = torch.ones(1024, 1024)
    out = a @ a
    started, rounds = time.perf_counter(), 0
    while time.perf_counter() - started < 0.15:
        torch.mm(a, a, out=out)
        rounds += 1
    return 0.6 * rounds * 2 * 1024**3 / (time.perf_counter() - started)
