"""What Ctrl-C does, in this process and in those that it starts.

Once: finish what is under way, or keep where it is if it is long, and stop. Twice: stop now. Workers leave it to the
process that started them.

Not here: how workers are stopped (`processes`, `scheduler`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """While it is entered, the first SIGINT or SIGTERM is a request, and the second raises KeyboardInterrupt.

    Outside the main thread, where Python lets nobody handle signals, it is never requested.

    Args:
        requested: called at the first one.
    """

    def __init__(self, requested: Callable[[], None] = lambda: None) -> None:
        self.requested = False
        self._on_request = requested
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._on_request()


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, also where a shell began this process in the background.

    Such a process ignores SIGINT otherwise.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, signal.default_int_handler) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def left_to_parent() -> None:
    """Let SIGINT, which reaches the whole group of processes, be the parent's to answer; SIGTERM ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def held_back() -> Iterator[None]:
    """SIGINT waits: this process gets it afterwards; one that is started within gets none before `let_through`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_through() -> None:
    """Let SIGINT reach this process, which was started with it `held_back`.

    One that came meanwhile is dropped: it was meant for the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops one that waits
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)
