"""Where chunks of runs are computed: in this process, or in several beside each other."""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from spectail.experiments.experiment import Experiment
from spectail.running.forkserver import start_early, thread_limit, threads_each, worker_context
from spectail.running.queue import Chunk, Failure
from spectail.store.store import Store
from spectail.sweeps.worker import Worker

Result = Future[list[Failure]]

Kept = Callable[[Experiment], None]


class WorkerDied(Exception):  # noqa: N818 - it says what happened
    """A worker went away in the middle of a chunk; what it had kept is kept."""


class Executor(Protocol):
    """Computes chunks; a context, that lets nothing run on when it is left."""

    @property
    def slots(self) -> int:
        """How many chunks are computed at once."""

    def submit(self, chunk: Chunk, kept: Kept) -> Result:
        """Begin a chunk. Its result raises `WorkerDied` where the worker did.

        `kept` is called with each run that is kept, where that is known at once.
        """

    def stop(self) -> None:
        """Begin no further run, and leave long ones where they are."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ThisProcess:
    """One run after the other in this process, with all its threads.

    Args:
        store: where runs are kept.
        device: where they are computed.
        progress: called with each run and the step that it has done.
    """

    slots = 1

    def __init__(
        self,
        store: Store,
        device: str = "cpu",
        progress: Callable[[Experiment, int], None] = lambda experiment, step: None,
    ) -> None:
        self._stopping = False
        self._work = Worker(store, device, lambda: self._stopping)
        self._progress = progress

    def submit(self, chunk: Chunk, kept: Kept) -> Result:
        """Compute a chunk; it is done when this returns."""
        result: Result = Future()
        try:
            result.set_result(self._work(chunk, self._progress, kept))
        except OSError as error:
            result.set_exception(error)
        return result

    def stop(self) -> None:
        """Begin no further run, and leave long ones where they are."""
        self._stopping = True

    def __enter__(self) -> ThisProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class WorkerProcesses:
    """Several worker processes, which divide the machine's threads between them.

    A worker that dies is replaced. Workers go away when this process does, however it ends.

    Args:
        store: where runs are kept; the workers write there themselves.
        workers: how many.
        device: where runs are computed.
    """

    def __init__(self, store: Store, workers: int, device: str = "cpu") -> None:
        self.slots = workers
        self._context = worker_context()
        self._stopping = self._context.RawValue(ctypes.c_bool, False)
        threads = threads_each(workers)
        self._arguments = (store.root, store.checkpoint_seconds, device, threads, self._stopping)
        self._threads = threads
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, chunk: Chunk, kept: Kept) -> Result:
        """Hand a chunk to the next worker that is free."""
        try:
            future = self._running().submit(_work, chunk)
        except BrokenProcessPool:
            self._shut_down()
            future = self._running().submit(_work, chunk)
        return _as_worker_died(future)

    def stop(self) -> None:
        """Begin no further run, and leave long ones where they are."""
        self._stopping.value = True

    def __enter__(self) -> WorkerProcesses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shut_down()

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.slots, self._context, _start_worker, self._arguments)
            _start(self._pool, self._threads)
        return self._pool

    def _shut_down(self) -> None:
        if self._pool is not None:
            _kill(self._pool)
            self._pool = None


@contextmanager
def worker_pool(workers: int, begin: Callable[[], object]) -> Iterator[ProcessPoolExecutor]:
    """Processes for other work than runs, which divide the machine's threads and go away with this process.

    Args:
        workers: how many.
        begin: called in each before its first piece of work.

    Yields:
        the pool; what it is at when the context is left is cut off.

    Raises:
        OSError: a process was killed at its work.
    """
    threads = threads_each(workers)
    pool = ProcessPoolExecutor(workers, worker_context(), _begin, (threads, begin))
    try:
        _start(pool, threads)
        yield pool
    except BrokenProcessPool:
        raise OSError(
            "a worker process was killed, perhaps for lack of memory; the same command goes on where it was"
        ) from None
    finally:
        _kill(pool)


def _start(pool: ProcessPoolExecutor, threads: int) -> None:
    start_early(threads)
    try:
        with thread_limit(threads):
            pool.submit(os.getpid).result()  # the first worker starts while the limit is set
    except (BrokenProcessPool, EOFError):
        raise RuntimeError(
            "worker processes cannot start; a script that uses workers must call spectail inside "
            "`if __name__ == '__main__':`"
        ) from None


def _kill(pool: ProcessPoolExecutor) -> None:
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


_worker: Worker | None = None  # of a worker process, set once when it starts


def _start_worker(root: Path, checkpoint_seconds: float, device: str, threads: int, stopping: Any) -> None:
    global _worker
    _begin(threads)
    _worker = Worker(Store(root, checkpoint_seconds), device, lambda: bool(stopping.value))


def _begin(threads: int, begin: Callable[[], object] = lambda: None) -> None:
    """What a process of ours does first."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with_parent, args=(parent.sentinel,), daemon=True).start()
    begin()


def _die_with_parent(parent: int) -> None:
    """Die with the parent: a pool whose parent was killed would wait for work for ever."""
    multiprocessing.connection.wait([parent])
    os._exit(1)


def _work(chunk: Chunk) -> list[Failure]:
    assert _worker is not None
    return _worker(chunk)


def _as_worker_died(future: Result) -> Result:
    """The same result, with `WorkerDied` in place of what the pool says."""
    told: Result = Future()

    def tell(done: Result) -> None:
        error = done.exception() if not done.cancelled() else BrokenProcessPool()
        if error is None:
            told.set_result(done.result())
        else:
            told.set_exception(WorkerDied(str(error)) if isinstance(error, BrokenProcessPool) else error)

    future.add_done_callback(tell)
    return told
