"""Where chunks of work are done: in this process, or in several beside each other.

Not here: which chunk is next (`queue`), who counts deaths (`scheduler`), and other machines (`ray`).
"""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from spectail.errors import SettingError
from spectail.running.forkserver import start_early, thread_limit, threads_each, worker_context
from spectail.running.queue import P, Piece, PieceReport
from spectail.running.signals import left_to_parent

Work = Callable[[Sequence[P]], Iterable[PieceReport]]
"""Does the pieces of a chunk one after the other, and gives what became of each as soon as it is known."""

Result = Future[list[PieceReport]]

_P_contra = TypeVar("_P_contra", bound=Piece, contravariant=True)


class Start(Protocol[_P_contra]):
    """Starts a worker. It is called once in each process that works; to get there it must be picklable."""

    def __call__(self, stopping: Callable[[], bool], call: Callable[..., Any] | None = None) -> Work[_P_contra]:
        """What does chunks in this process.

        Args:
            stopping: whether no further piece is to be begun, and a long one is to be left where it is.
            call: on a cluster, calls a method of the object that is held beside the driver, by the method's name.
        """


class WorkerDied(Exception):  # noqa: N818 - it says what happened
    """A worker went away in the middle of a chunk; the pieces that it had finished are not lost."""


class Executor(Protocol[_P_contra]):
    """Does chunks. It is a context: nothing runs on after it is left."""

    @property
    def slots(self) -> int:
        """How many chunks are done at once."""

    def submit(self, chunk: Sequence[_P_contra], report: Callable[[PieceReport], None]) -> Result:
        """Begin a chunk.

        `report` is called with what became of each piece, where that is known at once; the result holds the
        rest. The result raises `WorkerDied` where the worker died.
        """

    def stop(self) -> None:
        """Begin no further piece, and leave long ones where they are."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ThisProcess(Generic[P]):
    """One piece after the other in this process, with all its threads."""

    slots = 1

    def __init__(self, start: Start[P]) -> None:
        self._stopping = False
        self._work = start(lambda: self._stopping)

    def submit(self, chunk: Sequence[P], report: Callable[[PieceReport], None]) -> Result:
        """Do a chunk; it is done when this returns."""
        for item in self._work(chunk):
            report(item)
        result: Result = Future()
        result.set_result([])
        return result

    def stop(self) -> None:
        """Begin no further piece, and leave long ones where they are."""
        self._stopping = True

    def __enter__(self) -> ThisProcess[P]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class WorkerProcesses(Generic[P]):
    """Several worker processes.

    A worker that dies is replaced. Workers go away when this process does, however it ends.

    Args:
        workers: how many.
        start: called in each.
        preload: modules that they need.
        threads: of each; by default they divide those of the machine between them.
    """

    def __init__(self, workers: int, start: Start[P], preload: Sequence[str] = (), threads: int | None = None) -> None:
        self.slots = workers
        self._context = worker_context(preload)
        self._stopping = self._context.RawValue(ctypes.c_bool, False)
        self._threads, self._start, self._preload = threads or threads_each(workers), start, preload
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, chunk: Sequence[P], report: Callable[[PieceReport], None]) -> Result:
        """Hand a chunk to the next worker that is free."""
        try:
            future = self._running().submit(_do_chunk, chunk)
        except BrokenProcessPool:
            self._shut_down()
            future = self._running().submit(_do_chunk, chunk)
        return with_own_errors(future, lambda e: WorkerDied(str(e)) if isinstance(e, BrokenProcessPool) else e)

    def stop(self) -> None:
        """Begin no further piece, and leave long ones where they are."""
        self._stopping.value = True

    def __enter__(self) -> WorkerProcesses[P]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shut_down()

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            arguments = (self._start, self._threads, self._stopping)
            self._pool = ProcessPoolExecutor(self.slots, self._context, _start_worker, arguments)
            _start_pool(self._pool, self._threads, self._preload)
        return self._pool

    def _shut_down(self) -> None:
        if self._pool is not None:
            _kill(self._pool)
            self._pool = None


@contextmanager
def worker_pool(
    workers: int, begin: Callable[[], object], preload: Sequence[str] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Processes for work that is done in order, which divide the machine's threads and go away with this process.

    Args:
        workers: how many.
        begin: called in each before its first piece of work.
        preload: modules that they need.

    Yields:
        the pool; work that is still under way when the context is left is cut off.

    Raises:
        SettingError: worker processes cannot start.
        OSError: a process was killed while it worked.
    """
    threads = threads_each(workers)
    pool = ProcessPoolExecutor(workers, worker_context(preload), _begin, (threads, begin))
    try:
        _start_pool(pool, threads, preload)
        yield pool
    except BrokenProcessPool:
        raise OSError(
            "a worker process was killed, perhaps for lack of memory; the same command goes on where it was"
        ) from None
    finally:
        _kill(pool)


def _start_pool(pool: ProcessPoolExecutor, threads: int, preload: Sequence[str]) -> None:
    start_early(threads, preload)
    try:
        with thread_limit(threads):
            pool.submit(os.getpid).result()  # the first worker starts while the limit is set
    except (BrokenProcessPool, EOFError):
        raise SettingError(
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


_work: Work[Any] | None = None  # of a worker process, set once when it starts


def _start_worker(start: Start[Any], threads: int, stopping: Any) -> None:
    global _work
    _begin(threads)
    _work = start(lambda: bool(stopping.value))


def _begin(threads: int, begin: Callable[[], object] = lambda: None) -> None:
    """What a process of ours does first."""
    import torch

    left_to_parent()
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with_parent, args=(parent.sentinel,), daemon=True).start()
    begin()


def _die_with_parent(parent: int) -> None:
    """Die with the parent: a pool whose parent was killed would wait for work for ever."""
    multiprocessing.connection.wait([parent])
    os._exit(1)


def _do_chunk(chunk: Sequence[Any]) -> list[PieceReport]:
    assert _work is not None
    return list(_work(chunk))


def with_own_errors(future: Result, own: Callable[[BaseException], BaseException]) -> Result:
    """The same result, with an error of ours in the place of what went wrong: `WorkerDied` where it was cancelled."""
    result: Result = Future()

    def pass_on(done: Result) -> None:
        error = WorkerDied("cancelled") if done.cancelled() else done.exception()
        if error is None:
            result.set_result(done.result())
        else:
            result.set_exception(error if isinstance(error, WorkerDied) else own(error))

    future.add_done_callback(pass_on)
    return result
