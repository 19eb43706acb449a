"""Reads files of HDF5 that may be damaged in a process that can be ended, and says in a sentence what became of it.

One such process is kept for the next file, and ends by itself when there is none. Not here: what it does (`child`).
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from spectail.hdf5.child import ENDLESS, MOST_TIMES, Listed, Stored, receive, send

_SECONDS = 5
"""Seconds of the processor that a small file may take; a large one has a second more for each ten megabytes."""

_WAITING = 12
"""How many times as long it may take by the clock, where the machine has other work or a disk is slow."""

_STARTING = 300
"""Seconds until the process has begun; it loads libraries, which takes longest from a disk that others use too."""

HDF5_LOCK = threading.RLock()
"""Is held by each thread of ours that reads or writes a file of HDF5, from before it is opened until it is closed.

libhdf5 ends the process when two threads use it, and xarray's own locks leave the opening of a file out.
"""

if hasattr(os, "register_at_fork"):  # a copy of this process never has a file half written, nor a lock nobody ends
    os.register_at_fork(before=HDF5_LOCK.acquire, after_in_parent=HDF5_LOCK.release, after_in_child=HDF5_LOCK.release)


class UnreadableError(Exception):
    """A file cannot be read; the text says why, as what follows "it is damaged:"."""


def contents(path: Path) -> tuple[Stored, bytes]:
    """All of a file of netCDF.

    Args:
        path: of it.

    Returns:
        what `child.read_all` says.

    Raises:
        UnreadableError: it is damaged, or of another kind; reading it does not end, or ends the process.
        OSError: it cannot be looked at, or no process can be started.
    """
    header, content = _ask({"what": "netcdf", "path": str(path.absolute())}, path.stat().st_size)
    return dict(header), content


def data_sets(read: Callable[[int, int], bytes | bytearray], size: int, without: str) -> list[Listed]:
    """What lies in a file of HDF5.

    Args:
        read: gives its bytes: from where, and how many.
        size: of it, bytes.
        without: a pattern of what is not looked at, at its top.

    Returns:
        its data sets, as `child.data_sets_of` says.

    Raises:
        UnreadableError: as `contents`. And what `read` raises.
    """
    answer, _ = _ask({"what": "list", "without": without}, size, read)
    return list(answer)


def values_of(read: Callable[[int, int], bytes | bytearray], size: int, place: str) -> tuple[list[int], str, bytes]:
    """The values of a data set.

    Args:
        read: as for `data_sets`.
        size: as for `data_sets`.
        place: of it, in the file.

    Returns:
        its shape, the name of its dtype, and its values in this machine's order.

    Raises:
        UnreadableError: as `contents`. And what `read` raises.
    """
    (shape, kind), content = _ask({"what": "values", "place": place}, size, read)
    return shape, kind, content


def _nothing(at: int, count: int) -> bytes:
    return b""


def _ask(
    request: dict[str, Any], size: int, read: Callable[[int, int], bytes | bytearray] = _nothing
) -> tuple[Any, bytes]:
    seconds = _SECONDS + size // 10_000_000
    memory = size * MOST_TIMES
    with suppress(AttributeError, ValueError, OSError):
        memory = min(memory, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with HDF5_LOCK:
        child = _taken_by({**request, "size": size, "seconds": seconds, "memory": memory})
        try:
            while True:
                message, content = child.answer(seconds * _WAITING)
                if "at" in message:
                    child.send({}, bytes(read(message["at"], message["count"])))
                elif "error" in message:
                    raise UnreadableError(message["error"])
                else:
                    return message["answer"], content
        except (EOFError, OSError):
            raise UnreadableError(_end()) from None
        except UnreadableError:
            raise
        except BaseException:  # of `read`, or Ctrl-C: the process waits for what will not come
            _end()
            raise


class _Child:
    """The process, and the pipes to it."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("child.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # its copies are ended with it, and Ctrl-C is not meant for it
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
        )
        self._was_stopped = False

    def send(self, message: Any, content: bytes = b"") -> None:
        assert self._process.stdin is not None
        send(self._process.stdin, message, content)  # type: ignore[arg-type]

    def answer(self, seconds: float) -> tuple[Any, bytes]:
        """Its next message. Raises EOFError where there is none within so long, or it has ended."""
        assert self._process.stdout is not None
        clock = threading.Timer(seconds, self._stop)
        clock.daemon = True
        clock.start()
        try:
            return receive(self._process.stdout)  # type: ignore[arg-type]
        finally:
            clock.cancel()

    def _stop(self) -> None:
        self._was_stopped = True
        self._kill()

    def _kill(self) -> None:
        """End it and its copies."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self._process.kill()

    def end(self) -> str:
        """End the process; returns, as part of a sentence, why it gave no answer."""
        self._kill()
        self._process.wait()
        self._close()
        return ENDLESS if self._was_stopped else "the process that reads it was ended"

    def let_go(self) -> None:
        """Forget the process, in a copy of this one, whose child it is not."""
        self._process.returncode = 0
        self._close()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()


_child: _Child | None = None


def _taken_by(request: dict[str, Any]) -> _Child:
    """Send a request, and return the process that took it: a new one where there is none, or it has just ended."""
    global _child
    if _child is not None:
        with suppress(EOFError, OSError):
            return _handed(request, _child)
        _end()
    _child = _Child()
    try:
        return _handed(request, _child)
    except EOFError:
        raise OSError(f"{sys.executable}, which was to read a file of HDF5, does not start") from None


def _handed(request: dict[str, Any], child: _Child) -> _Child:
    child.send(request)
    child.answer(_STARTING)
    return child


def _end() -> str:
    """End the process, if there is one; returns why it gave no answer."""
    global _child
    child, _child = _child, None
    return "" if child is None else child.end()


def _forget() -> None:
    global _child
    if _child is not None:
        _child.let_go()
    _child = None


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
