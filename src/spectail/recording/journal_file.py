"""The journal beside a recording: what was measured since its file was last written, safe against being killed.

`run.nc` is whole, always. What came since is appended to `run.nc.journal`, and folded into a new `run.nc`
from time to time. Here: two files, and who may write. Not here: the bytes of a record (`journal_records`), what is
in a row (`journal`), and what `run.nc` holds.

**Layout.** Records, one after another (`journal_records`), each with JSON and perhaps a spectrum:

| kind | JSON | spectrum |
|---|---|---|
| `H` | once, first: `format`, `name` and `file` (size and SHA-256 of `run.nc`; null: there is none), `legal` | – |
| `R` | a row | float32 or float64 |
| `C` | closes a step | – |
| `F` | `file`: what `run.nc` is about to become, with everything before this record in it | – |

**Folding.** The new file is written beside the old one; then `F` is appended and synced; then the new file takes
the place of the old one; then the journal is emptied. Killed before the third step, `run.nc` is what `H` says, and
the whole journal counts; killed after it, `run.nc` is what `F` says, and what stands before `F` is in it already.
A `run.nc` that is neither is another one, and the journal is refused.

**Not SQLite**, which was tried: where locks do not work, WAL, its one mode that survived 25 kills of 25, is not to
be had. In the others a reader that must not write is refused after a kill (3 to 14 of 25), or the file is broken
(1 of 25). It writes 4 to 7 times the bytes of a row, and does not notice four of five flipped bits.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from spectail.errors import StoreError
from spectail.files import clear_parts, flush, write_whole
from spectail.recording.journal_records import Spectrum, Tail, each_record, from_json, to_json, to_record, with_nan

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

JOURNAL_FORMAT = 1
"""Version of the layout above; a reader refuses a newer one."""

SYNC_SECONDS = 10.0
"""Between two syncs: what a machine that loses its power may lose. A process that is killed loses nothing."""

FOLD_SHARE = 0.02
"""Of the time, at most, is spent on writing the file anew."""

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
        legal: what it was begun with; None where there is no journal.
        steps: whole ones.
        open_step: rows behind the last whole step.
    """

    legal: dict[str, Any] | None = None
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
                _check_is_file(journal)
                with suppress(FileNotFoundError), _opened(path) as file:  # folded since: that is seen below
                    content = _read(file, path).content
        except StoreError:
            if (_stamp(path), _stamp(journal)) == before:
                raise
        else:
            if _stamp(path) == before[0]:
                return loaded, content
    raise StoreError(f"{path} or its journal changes faster than it can be read; read it again when that is over")


def writer_here(path: Path) -> JournalFile | None:
    """What writes the journal of a file in this process: locks keep out other processes only."""
    writer = _WRITERS.get(os.path.realpath(path))
    return writer if writer is not None and writer.process == os.getpid() else None


def _opened(path: Path) -> BinaryIO:
    """The journal of a file, to be read; by the handle of who writes it here: another's end would end its lock."""
    if (writer := writer_here(path)) is None or writer.is_gone:
        return journal_path(path).open("rb")
    file = os.fdopen(writer.handle, "rb", closefd=False)
    file.seek(0)
    return file


class JournalFile:
    """The journal of a file, open for writing. One process writes; others may read.

    Where the disk is full the journal stays as it was before the call, and can be gone on with.

    Attributes:
        path: of the file, not of the journal.
        content: what the journal held when it was opened.
        handle: of the journal, to be read.
        process: that writes.
    """

    def __init__(
        self, path: Path, legal: Mapping[str, Any], *, open_rows: Literal["cut", "keep"] = "cut", replace: bool = False
    ) -> None:
        """Open the journal of a file, or begin one, and cut off a torn end.

        What is left of writing the file by a process that was killed is removed.

        Args:
            path: of the file, which need not exist; its folder is made if need be.
            legal: a JSON object; only who says the same may go on with a journal. It goes with the journal, so
                the file should hold it too.
            open_rows: what is done with rows behind the last whole step.
            replace: whether to empty the journal, whatever it holds, as the file is to be replaced.

        Raises:
            StoreError: the journal was begun with another `legal`, is damaged, of another file, of a newer
                version, or another process writes to it.
            OSError: it cannot be made or written to.
        """
        self.path = path
        self._journal = journal_path(path)
        self._legal: dict[str, Any] = json.loads(to_json(legal))
        self._tail, self._is_torn = Tail(), False
        self._fold_seconds, self._folded_at, self._synced_at = 0.0, time.monotonic(), time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_is_file(self._journal)
        self.handle = os.open(self._journal, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        try:
            self._lock()
            clear_parts(path)
            if replace:
                os.ftruncate(self.handle, 0)
            with os.fdopen(self.handle, "rb", closefd=False) as file:  # another handle's end would end the lock
                reading = _read(file, path)
            self.content = reading.content
            self._check_legal()
            self._identity = reading.identity
            if open_rows == "cut":
                self.content.open_step = JournaledStep()
            has_rows = self.content.steps or self.content.open_step.rows
            tail = reading.tail if open_rows == "keep" else reading.closed
            self._cut(tail if has_rows else Tail())
        except BaseException:
            os.close(self.handle)
            raise
        self.process, _WRITERS[os.path.realpath(path)] = os.getpid(), self

    def append(self, row: Mapping[str, Any], spectrum: Spectrum | None = None) -> None:
        """Append a row to the open step.

        Args:
            row: a JSON object; NaN and infinity may be in it, and numpy's numbers.
            spectrum: of the row; float32 or float64, as it is to be kept.

        Raises:
            OSError: the disk is full, or broken.
        """
        self._append(b"R", row, spectrum)

    def close_step(self, closing: Mapping[str, Any]) -> None:
        """Say that the step has all its rows: from now on readers take it.

        Args:
            closing: a JSON object about the whole step.

        Raises:
            OSError: the disk is full, or broken.
        """
        self._append(b"C", closing)

    @property
    def holds_rows(self) -> bool:
        """Whether anything was appended that the file does not hold."""
        return self._tail.end > 0

    @property
    def identity(self) -> FileIdentity | None:
        """Of the file, when it was opened or last folded; None where there was none."""
        return self._identity

    @property
    def is_gone(self) -> bool:
        """Whether somebody has removed or moved the journal, or its folder, so that what is added is not found."""
        try:
            return not os.path.samestat(os.fstat(self.handle), self._journal.stat())
        except FileNotFoundError:
            return True
        except OSError:  # a disk that does not answer: it may again
            return False

    def is_due_to_fold(self) -> bool:
        """Whether the journal has become as large as the file, and writing it now takes 2 % of the time at most."""
        size = self._identity.size if self._identity else 1
        return self._tail.end >= size and time.monotonic() - self._folded_at >= self._fold_seconds / FOLD_SHARE

    def fold(self, write: Callable[[Path], object]) -> None:
        """Write the file anew, whole or not at all, and empty the journal.

        Args:
            write: called with the path to write to; it writes everything that was appended so far.

        Raises:
            OSError: it cannot be written; file and journal then hold what they held.
        """
        start = time.monotonic()

        identity = None

        def write_and_announce(part: Path) -> None:
            nonlocal identity
            write(part)
            identity = identity_of(part)
            self._append(b"F", {"file": identity and asdict(identity)})
            self._sync()

        write_whole(self.path, write_and_announce)
        self._identity = identity
        self._cut(Tail())
        self._folded_at = time.monotonic()
        self._fold_seconds = self._folded_at - start

    def close(self) -> None:
        """Sync and close the journal; one that holds nothing beyond the file is removed.

        Raises:
            OSError: the disk is broken.
        """
        try:
            if self._tail.end:
                self._sync()
            elif not self.is_gone:  # before the lock is given up; what may not be removed does no harm
                with suppress(PermissionError, FileNotFoundError):
                    self._journal.unlink()
        finally:
            os.close(self.handle)
            for name in [name for name, writer in _WRITERS.items() if writer is self]:
                del _WRITERS[name]

    def _append(self, kind: bytes, json_object: Mapping[str, Any], spectrum: Spectrum | None = None) -> None:
        if not self._tail.end:
            file = self._identity and asdict(self._identity)
            header = {"format": JOURNAL_FORMAT, "name": self.path.name, "file": file, "legal": self._legal}
            self._write(b"H", header)
            self._sync()
            flush(self._journal.parent)
        self._write(kind, json_object, spectrum)
        if time.monotonic() - self._synced_at >= SYNC_SECONDS:
            self._sync()

    def _write(self, kind: bytes, json_object: Mapping[str, Any], spectrum: Spectrum | None = None) -> None:
        record, tail = to_record(kind, json_object, spectrum, self._tail)
        try:
            if self._is_torn:
                self._cut(self._tail)
            status = os.fstat(self.handle)
            if status.st_size != self._tail.end or not status.st_nlink:
                raise StoreError(f"{self._journal} was written to or removed by somebody else; nothing is added to it")
            self._is_torn = True
            rest = memoryview(record)
            while rest:  # once, but on a full disk, which takes a part first and then says why
                rest = rest[os.write(self.handle, rest) :]
            self._tail, self._is_torn = tail, False
        except OSError as error:
            with suppress(OSError):
                self._cut(self._tail)
            raise self._complaint(error) from error

    def _cut(self, tail: Tail) -> None:
        if os.fstat(self.handle).st_size > tail.end:
            os.ftruncate(self.handle, tail.end)
        self._tail, self._is_torn = tail, False

    def _sync(self) -> None:
        try:
            os.fsync(self.handle)
        except OSError as error:
            raise self._complaint(error) from error
        self._synced_at = time.monotonic()

    def _complaint(self, error: OSError) -> OSError:
        return OSError(f"cannot write to {self._journal}: {(error.strerror or str(error)).lower()}")

    def _check_legal(self) -> None:
        if (before := self.content.legal) is None:
            return
        for key in sorted({*before, *self._legal}):
            if before.get(key) != self._legal.get(key):
                was, now = (f"{legal.get(key)!a:.80}" for legal in (before, self._legal))
                key = f"{key!a:.80}".strip("'")
                raise StoreError(f"{self._journal} was begun with {key}={was}, not {now}: go on so, or remove it")

    def _lock(self) -> None:
        """See that no other process writes; POSIX's own lock, as a child that was forked must not hold it."""
        if fcntl is None:
            return
        in_use = f"another process writes to {self._journal}; wait until it has ended, or choose another file"
        try:
            fcntl.lockf(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise StoreError(in_use) from None
        except OSError:
            return  # no locks here
        if not os.fstat(self.handle).st_nlink:  # it was just closed and removed by another
            raise StoreError(in_use)


_WRITERS: weakref.WeakValueDictionary[str, JournalFile] = weakref.WeakValueDictionary()
"""By the file."""


@dataclass
class _Reading:
    """A journal that was read: what it holds beyond the file, and where that ends: its last record, its last step."""

    content: JournalContent
    identity: FileIdentity | None
    tail: Tail
    closed: Tail


def _read(file: BinaryIO, path: Path) -> _Reading:
    """Read a journal that is open.

    Raises:
        StoreError: it is damaged, of another file, or of a newer version.
    """
    journal = journal_path(path)
    identity = identity_of(path)
    reading = _Reading(JournalContent(), identity, Tail(), Tail())
    content = reading.content
    is_of_this_file = False
    name = path.name
    for record in each_record(file, journal):
        try:
            json_object = from_json(record.json)
            if record.kind in b"HF":
                if record.kind == b"H":
                    name, content.legal = _header(json_object)
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


def _header(json_object: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    version, name, legal = (json_object[key] for key in ("format", "name", "legal"))
    if type(version) is not int or not isinstance(name, str) or not isinstance(legal, dict):
        raise ValueError("its header is of another kind")
    if version > JOURNAL_FORMAT:
        raise _NewerError(version)
    return name, legal


def identity_of(path: Path) -> FileIdentity | None:
    """Size and hash of a file; None if there is none."""
    try:
        with path.open("rb") as file:
            return FileIdentity(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())
    except FileNotFoundError:
        return None


def _check_is_file(journal: Path) -> None:
    """A pipe or a device would be waited for."""
    if journal.exists() and not journal.is_file():
        raise StoreError(f"{journal} is no file, but where a journal must be; move it away")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells whether a file was replaced or written to; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
