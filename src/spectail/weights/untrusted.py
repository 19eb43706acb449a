"""Files from strangers: opened if they are files, parsed if they are what they should be, refused in a sentence.

Here: what guards against any file. Not here: the checks of one format (`formats`).
"""

from __future__ import annotations

import json
import re
import stat
from collections import Counter
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

from spectail.errors import SourceError, first_line

MOST_JSON_ENTRIES = 4_000_000
"""Commas and brackets in JSON: enough for 500 000 tensors, few enough for a quarter of a gigabyte as objects."""

FileStamp = tuple[int, int, int]
"""Which file it is (its inode), how many bytes it has, and when it was last written."""


def size_of(path: Path) -> int:
    """How many bytes a file has.

    Args:
        path: of the file.

    Returns:
        bytes.

    Raises:
        SourceError: it is not there, or no file.
    """
    return stamp_of(path)[1]


def stamp_of(path: Path) -> FileStamp:
    """What tells whether a file has changed.

    Args:
        path: of the file.

    Returns:
        its stamp.

    Raises:
        SourceError: it is not there, or no file: a pipe or a device would be waited for.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        if path.is_symlink():
            fetch = ": git annex get fetches it" if "annex/objects/" in str(path.readlink()) else ""
            raise SourceError(
                f"{path} is a link to {printable(str(path.readlink())):.200}, which does not exist{fetch}"
            ) from None
        raise SourceError(f"{path} cannot be read: {_reason(error)}") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {_reason(error)}") from None
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{path} is no file")
    return status.st_ino, status.st_size, status.st_mtime_ns


def check_unchanged(path: Path, before: FileStamp) -> None:
    """See that a file is still the one that was opened: what was learnt of it holds for that one only.

    Args:
        path: of the file.
        before: its stamp when it was opened.

    Raises:
        SourceError: it is another now, or gone.
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
        SourceError: it cannot be opened.
    """
    size_of(path)
    try:
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {_reason(error)}") from None


def parse_json(path: object, text: bytes, what: str) -> dict[str, Any]:
    """The JSON object that a text holds.

    Args:
        path: where it is from.
        text: the JSON.
        what: what it is, for the message.

    Returns:
        the object.

    Raises:
        SourceError: it is no JSON object, says something twice, or is larger than any that is meant.
    """
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > MOST_JSON_ENTRIES:
        raise SourceError(f"{path}: {what} has more entries than that of any model; it was not parsed")

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) != len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise SourceError(f"it says {twice!a:.80} twice")
        return entries

    try:
        content = json.loads(text.decode("utf-8"), object_pairs_hook=object_of)
    except RecursionError:
        raise SourceError(f"{path}: {what} is nested too deep") from None
    except ValueError as error:
        raise SourceError(f"{path}: {what} is not what it must be: {first_line(error):.200}") from None
    if not isinstance(content, dict):
        raise SourceError(f"{path}: {what} must be a JSON object, not a {type(content).__name__}")
    return content


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def printable(name: str) -> str:
    """A name as it can be shown and written: what a terminal would obey, or UTF-8 cannot hold, is escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def safe_names(names: Sequence[str]) -> list[str]:
    """Names of files below a folder; none that leads out of it."""
    return [name for name in names if {"", ".", ".."}.isdisjoint(name.split("/")) and not re.search(r"[\\\0]", name)]
