"""Where worker processes come from: one process that has imported what they need, and that they are forks of.

Not here: what workers do (`processes`), and Ctrl-C (`signals`).
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from spectail.running.signals import held_back

_FIRST = ("spectail.running.processes", "torch")  # whose threads each worker limits

_LAST = "spectail.running.forkserver_last_import"


def worker_context(preload: Sequence[str] = ()) -> Any:
    """How worker processes start: forked from a process that has imported what they need, where that can be.

    Args:
        preload: the modules that they need. The first call that starts that process decides.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_FIRST, *preload, _LAST])
    return context


def start_early(threads: int, preload: Sequence[str] = ()) -> None:
    """Let the process that workers are forked from import what they need, while this one goes on with something else.

    It takes seconds, in which Ctrl-C is left to this process. Where workers are not forks, nothing happens.

    Args:
        threads: of each worker.
        preload: the modules that workers need.
    """
    if worker_context(preload).get_start_method() == "forkserver":
        from multiprocessing import forkserver, resource_tracker

        resource_tracker.ensure_running()  # it would let SIGINT through again
        with thread_limit(threads), held_back():
            forkserver.ensure_running()


def threads_each(workers: int) -> int:
    """How many threads each of so many workers has, when they divide the machine between them."""
    return max(1, (os.cpu_count() or 1) // workers)


@contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """Processes that are started within give NumPy's linear algebra so many threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
