"""Files from strangers: opened if they are files, parsed if they are what they should be, refused in a sentence."""

from __future__ import annotations

import json
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

from spectail.errors import SourceError

MOST_MARKS = 4_000_000
"""Commas and brackets in JSON: enough for 500 000 tensors, few enough for a quarter of a gigabyte as objects."""

FileStamp = tuple[int, int, int]
"""Of a file at a time: which it is, its bytes, and when it was last written."""


def size_of(path: Path) -> int:
    """How many bytes a file has.

    Args:
        path: of the file.

    Returns:
        bytes.

    Raises:
        ValueError: it is not there, or no file.
    """
    return stamp_of(path)[1]


def stamp_of(path: Path) -> FileStamp:
    """What tells whether a file has changed.

    Args:
        path: of the file.

    Returns:
        its stamp.

    Raises:
        ValueError: it is not there, or no file: a pipe or a device would be waited for.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {_reason(error)}") from None
    if not stat.S_ISREG(found.st_mode):
        raise SourceError(f"{path} is no file")
    return found.st_ino, found.st_size, found.st_mtime_ns


def check_unchanged(path: Path, before: FileStamp) -> None:
    """What was learnt of a file holds for that file only.

    Args:
        path: of the file.
        before: its stamp when it was opened.

    Raises:
        ValueError: it is another now, or gone.
    """
    if stamp_of(path) != before:
        raise SourceError(f"{path} has changed since it was opened: open it again")


def open_file(path: Path) -> BufferedReader:
    """A file, open for reading.

    Args:
        path: of the file.

    Returns:
        the file.

    Raises:
        ValueError: it cannot be opened.
    """
    size_of(path)
    try:
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {_reason(error)}") from None


def parse_json(path: Path, text: bytes, what: str) -> dict[str, Any]:
    """The JSON object that a text holds.

    Args:
        path: where it is from.
        text: the JSON.
        what: it is, for the message.

    Returns:
        the object.

    Raises:
        ValueError: it is no JSON object, says something twice, or is larger than any that is meant.
    """
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > MOST_MARKS:
        raise SourceError(f"{path}: {what} has more entries than that of any model; it was not parsed")

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise SourceError(f"it says {twice!a:.80} twice")
        return found

    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=object_of)
    except RecursionError:
        raise SourceError(f"{path}: {what} is nested too deep") from None
    except ValueError as error:
        raise SourceError(f"{path}: {what} is not what it must be: {str(error).splitlines()[0]:.200}") from None
    if not isinstance(found, dict):
        raise SourceError(f"{path}: {what} must be a JSON object, not a {type(found).__name__}")
    return found


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def printable(name: str) -> str:
    """A name as it can be shown and written: what a terminal would obey, or UTF-8 cannot hold, is escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
