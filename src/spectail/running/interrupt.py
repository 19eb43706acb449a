"""Ctrl-C once: finish what is under way, or keep where it is if it is long, and stop. Twice: stop now.

Not here: how workers leave Ctrl-C to this process (`processes`), also while they are started (`forkserver`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
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
