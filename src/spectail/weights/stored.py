"""A file that weights are read from, wherever it lies: its name, its size, and some of its bytes at a time.

Here: files of this machine. Not here: what is in them (`formats`), and files elsewhere (`remote`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from spectail.errors import SourceError
from spectail.weights.untrusted import FileStamp, check_unchanged, open_file, printable, stamp_of


@dataclass(frozen=True)
class StoredFile:
    """A file that can be read from anywhere to anywhere.

    Attributes:
        name: as a message shows it.
        size: bytes.
        read: from a byte on, so many bytes: exactly these, or a SourceError that says why not.
        stamp: of what is read; another where the file has changed.
        path: where it lies on this machine; None elsewhere.
    """

    name: str
    size: int
    read: Callable[[int, int], bytearray] = field(repr=False)
    stamp: Hashable = None
    path: Path | None = None

    @property
    def title(self) -> str:
        """The last step of its name."""
        return printable(PurePosixPath(self.name).name)

    @property
    def ending(self) -> str:
        """From the last point of its name on."""
        return PurePosixPath(self.name).suffix.lower()

    def start(self, count: int = 64) -> bytes:
        """Its first bytes; fewer where there are no more."""
        return bytes(self.read(0, min(count, self.size)))

    def part(self, start: int, size: int) -> StoredFile:
        """Some bytes of it as a file of their own; the caller knows that it has them."""
        return replace(self, size=size, read=lambda at, count: self.read(start + at, count), path=None)

    def stream(self) -> io.BufferedReader:
        """The file as one that can be read on and on, and sought in."""
        return io.BufferedReader(_Stream(self), 2**16)


def local_file(path: Path) -> StoredFile:
    """A file of this machine.

    Args:
        path: of it.

    Returns:
        the file, unread; reading it fails once it is another than now.

    Raises:
        SourceError: it is not there, or no file.
    """
    stamp = stamp_of(path)
    return StoredFile(printable(str(path)), stamp[1], partial(_read, path, stamp), stamp, path)


def _read(path: Path, stamp: FileStamp, start: int, count: int) -> bytearray:
    check_unchanged(path, stamp)
    if start < 0:
        raise SourceError(f"{path} is damaged: it points before its beginning")
    values = bytearray(count)
    with open_file(path) as file:
        file.seek(start)
        if file.readinto(values) < count:
            raise SourceError(f"{path} has changed since it was opened: it ends too early")
    return values


_LITTLE = 2**12  # bytes


class _Stream(io.RawIOBase):
    """Reads little after each seek, and twice as much each time that it is read on: few bytes are fetched in vain."""

    def __init__(self, file: StoredFile) -> None:
        self._file, self._at, self._most = file, 0, _LITTLE

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at, self._most = max(base + offset, 0), _LITTLE
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(min(len(buffer), self._most, self._file.size - self._at), 0)
        self._most *= 2
        buffer[:count] = self._file.read(self._at, count)
        self._at += count
        return count
