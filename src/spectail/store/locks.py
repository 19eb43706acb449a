"""Who is at work in a store, so that two sweeps share the runs and nothing is removed under them.

Locks of the operating system: a process that dies, however it dies, holds none. Where the file
system has no locks every claim is granted: two sweeps then compute some runs twice, to equal bits.

Not here: how a file appears whole (`files.py`), and who writes a journal (`recording/journal_file.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class RunLocks:
    """The runs that this process is computing: nobody else's claim on them is granted meanwhile.

    One byte of one file is locked for each run. Use it as a context; open one a process and store,
    since POSIX gives up all locks of a process on a file when it closes that file once.

    Args:
        path: of the file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> RunLocks:
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def claim(self, key: str) -> bool:
        """Whether the run is now this process's to compute."""
        if fcntl is None:
            return True
        try:
            fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte(key))
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True  # no locks here
        return True

    def release(self, key: str) -> None:
        """Give a run up, or say that it is done."""
        if fcntl is not None:
            with suppress(OSError):
                fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, _byte(key))


@contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """Hold while a file of a store is written; many may at once."""
    with _flock(path, exclusive=False):
        yield


@contextmanager
def exclusive_lock(path: Path) -> Iterator[bool]:
    """Hold while files are removed; gives whether nobody is writing."""
    with _flock(path, exclusive=True) as granted:
        yield granted


@contextmanager
def _flock(path: Path, *, exclusive: bool) -> Iterator[bool]:
    if fcntl is None:
        yield not exclusive
        return
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
            granted = True
        except OSError:
            granted = not exclusive  # in use; or no locks here, and then nothing can be proved
        yield granted
    finally:
        os.close(handle)


def _byte(key: str) -> int:
    return int(key[:15], 16)
