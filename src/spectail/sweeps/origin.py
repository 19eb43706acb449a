"""Where worker processes come from: one process that has imported what they need, and that they are forks of."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NEEDED = ("spectail.teacher_student.simulate", "spectail.sweeps.executors", "netCDF4")
_BY_OPTIMIZERS = "torch._dynamo"  # which the first step of one would import


def worker_context() -> Any:
    """How worker processes start: forked from a process that has imported torch and little else, where that can be."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_NEEDED, _BY_OPTIMIZERS])
    return context


def start_early(workers: int) -> None:
    """Let that process import what workers need, while this one goes on with something else.

    It takes seconds. Where workers are not forks, nothing happens.

    Args:
        workers: how many there will be.
    """
    if worker_context().get_start_method() == "forkserver":
        from multiprocessing import forkserver

        with thread_limit(threads_each(workers)):
            forkserver.ensure_running()


def threads_each(workers: int) -> int:
    """The threads of one of so many workers: they divide the machine's between them."""
    return max(1, (os.cpu_count() or 1) // workers)


@contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """What NumPy's linear algebra reads when a process starts."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
