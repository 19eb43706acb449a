"""What a journal holds: read whole, beside its file, though another process may write both.

Not here: writing (`journal_file`, which also says what stands where).
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from spectail.errors import StoreError
from spectail.recording.journal_records import Spectrum, Tail, each_record, from_json, with_nan

JOURNAL_FORMAT = 1
"""Version of the layout that `journal_file` describes; a reader refuses a newer one."""

_TRIES = 10

T = TypeVar("T")


@dataclass
class JournaledStep:
    """The rows of a step.

    Attributes:
        rows: in the order in which they were appended.
        spectra: of each row; None where it has none.
        closing: what the step was closed with; None while it is open.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    spectra: list[Spectrum | None] = field(default_factory=list)
    closing: dict[str, Any] | None = None


@dataclass
class JournalContent:
    """What a journal holds beyond its file.

    Attributes:
        header: what the recording is of, and of which options; None where there is no journal.
        steps: whole ones.
        open_step: rows behind the last whole step.
    """

    header: dict[str, Any] | None = None
    steps: list[JournaledStep] = field(default_factory=list)
    open_step: JournaledStep = field(default_factory=JournaledStep)


@dataclass(frozen=True)
class FileIdentity:
    """What tells whether a file is the one that it was."""

    size: int
    sha256: str


def journal_path(path: Path) -> Path:
    """Where the journal of a file is.

    >>> journal_path(Path("results/run.nc")).name
    'run.nc.journal'
    """
    return path.with_name(f"{path.name}.journal")


def read_journal(path: Path) -> JournalContent:
    """What the journal of a file holds beyond it; nothing if there is no journal. No file is changed.

    Args:
        path: of the file, not of the journal.

    Raises:
        StoreError: the journal is damaged, of another file, or of a newer version.
    """
    return read_with_journal(path, lambda _: None)[1]


def read_with_journal(path: Path, load: Callable[[Path], T]) -> tuple[T | None, JournalContent]:
    """A file and what its journal holds beyond it, of one moment, though another process may fold them meanwhile.

    Args:
        path: of the file.
        load: reads the file, whole; called again if it was replaced meanwhile.

    Returns:
        what `load` returned, None if there is no file; and the journal's content.

    Raises:
        StoreError: the journal is damaged, of another file, or of a newer version; or both change all the time.
    """
    journal = journal_path(path)
    for _ in range(_TRIES):
        before = _stamp(path), _stamp(journal)
        try:
            loaded = load(path) if before[0] else None
            content = JournalContent()
            if before[1]:
                check_is_file(journal)
                with suppress(FileNotFoundError), _opened(path) as file:  # folded since: that is seen below
                    content = read_open(file, path).content
        except StoreError:
            if (_stamp(path), _stamp(journal)) == before:
                raise
        else:
            if _stamp(path) == before[0]:
                return loaded, content
    raise StoreError(f"{path} or its journal changes faster than it can be read; read it again when that is over")


class Writer(Protocol):
    """What writes a journal.

    Attributes:
        handle: of the journal, to be read.
        process: that writes.
    """

    handle: int
    process: int

    @property
    def is_gone(self) -> bool:
        """Whether somebody has removed the journal."""


WRITERS: weakref.WeakValueDictionary[str, Writer] = weakref.WeakValueDictionary()
"""Of this process, by the file that the journal is of."""


def writer_here(path: Path) -> Writer | None:
    """What writes the journal of a file in this process: locks keep out other processes only."""
    writer = WRITERS.get(os.path.realpath(path))
    return writer if writer is not None and writer.process == os.getpid() else None


def _opened(path: Path) -> BinaryIO:
    """The journal of a file, to be read: by its handle where this process writes it; closing another ends the lock."""
    if (writer := writer_here(path)) is None or writer.is_gone:
        return journal_path(path).open("rb")
    file = os.fdopen(writer.handle, "rb", closefd=False)
    file.seek(0)
    return file


@dataclass
class JournalReading:
    """A journal that was read.

    Attributes:
        content: what it holds beyond its file.
        identity: of the file; None where there is none.
        tail: behind its last record.
        closed: behind its last whole step.
    """

    content: JournalContent
    identity: FileIdentity | None
    tail: Tail
    closed: Tail


def read_open(file: BinaryIO, path: Path) -> JournalReading:
    """Read a journal that is open.

    Raises:
        StoreError: it is damaged, of another file, or of a newer version.
    """
    journal = journal_path(path)
    identity = identity_of(path)
    reading = JournalReading(JournalContent(), identity, Tail(), Tail())
    content = reading.content
    is_of_this_file = False
    name = path.name
    for record in each_record(file, journal):
        try:
            json_object = from_json(record.json)
            if record.kind in b"HF":
                if record.kind == b"H":
                    name, content.header = _checked_header(json_object)
                its_file = json_object["file"]
                if (None if its_file is None else FileIdentity(**its_file)) == identity:
                    is_of_this_file = True
                    content.steps, content.open_step, reading.closed = [], JournaledStep(), Tail()
            elif record.kind == b"R":
                content.open_step.rows.append(with_nan(json_object))
                content.open_step.spectra.append(record.spectrum)
            else:
                content.open_step.closing = with_nan(json_object)
                content.steps.append(content.open_step)
                content.open_step = JournaledStep()
                reading.closed = record.tail
        except _NewerError as error:
            raise StoreError(f"{journal} has format {error}, newer than this spectail reads; please upgrade") from None
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            why = "it is nested too deep" if isinstance(error, RecursionError) else f"{str(error)!a:.80}"
            raise StoreError(f"{journal} is not a journal of spectail: before byte {record.tail.end}, {why}") from None
        reading.tail = record.tail
    if reading.tail.end and not is_of_this_file:
        raise StoreError(
            f"{journal} is of another {name!a:.80} than the one beside it: "
            "put the file it belongs to back, or remove the journal and what it holds"
        )
    return reading


class _NewerError(Exception):
    """A journal is of a newer version than this."""


def _checked_header(json_object: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    version, name, header = (json_object[key] for key in ("format", "name", "header"))
    if type(version) is not int or not isinstance(name, str) or not isinstance(header, dict):
        raise ValueError("its header is of another kind")
    if version > JOURNAL_FORMAT:
        raise _NewerError(version)
    return name, header


def identity_of(path: Path) -> FileIdentity | None:
    """Size and hash of a file; None if there is none."""
    try:
        with path.open("rb") as file:
            return FileIdentity(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())
    except FileNotFoundError:
        return None


def check_is_file(journal: Path) -> None:
    """Refuse a pipe or a device, which would be waited for.

    Raises:
        StoreError: the journal is one.
    """
    if journal.exists() and not journal.is_file():
        raise StoreError(f"{journal} is no file, but where a journal must be; move it away")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells whether a file was replaced or written to; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
