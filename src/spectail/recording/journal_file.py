"""The journal beside a recording: what was measured since its file was last written, safe against being killed.

`run.nc` is whole, always. What came since is appended to `run.nc.journal`, and folded into a new `run.nc`
from time to time. Here: two files, and who may write. Not here: reading (`journal_reading`), the bytes of a record
(`journal_records`), what is in a row (`journal_steps`), and what is in the file (`layout`).

**Layout.** Records, one after another (`journal_records`), each with JSON and perhaps a spectrum:

| kind | JSON | spectrum |
|---|---|---|
| `H` | once, first: `format`, `name` and `file` (size and SHA-256 of `run.nc`; null: there is none), `header` | – |
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

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from spectail.errors import StoreError
from spectail.files import clear_parts, flush, write_whole
from spectail.recording.journal_reading import (
    JOURNAL_FORMAT,
    WRITERS,
    FileIdentity,
    JournaledStep,
    check_is_file,
    identity_of,
    journal_path,
    read_open,
    writer_here,
)
from spectail.recording.journal_records import Spectrum, Tail, to_json, to_record

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SYNC_SECONDS = 10.0
"""Between two syncs: a machine that loses its power may lose so much. A process that is killed loses nothing."""

FOLD_SHARE = 0.02
"""The share of the time that is spent on writing the file anew, at most."""


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
        self, path: Path, header: Mapping[str, Any], *, open_rows: Literal["cut", "keep"] = "cut", replace: bool = False
    ) -> None:
        """Open the journal of a file, or begin one, and cut off a torn end.

        What is left of writing the file by a process that was killed is removed.

        Args:
            path: of the file, which need not exist; its folder is made if need be.
            header: a JSON object; only who says the same may go on with a journal. It is removed with the journal, so
                the file should hold it too.
            open_rows: what is done with rows behind the last whole step.
            replace: whether to empty the journal, whatever it holds, as the file is to be replaced.

        Raises:
            StoreError: the journal was begun with another `header`, is damaged, of another file, of a newer
                version, or another writes to it, in this process or in another.
            OSError: it cannot be made or written to.
        """
        if writer_here(path) is not None:
            raise StoreError(f"{path} is being written to in this program already; expected another path")
        self.path = path
        self._journal = journal_path(path)
        self._header: dict[str, Any] = json.loads(to_json(header))
        self._tail, self._is_torn = Tail(), False
        self._fold_seconds, self._folded_at, self._synced_at = 0.0, time.monotonic(), time.monotonic()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            check_is_file(self._journal)
            self.handle = os.open(self._journal, flags, 0o644)
        except OSError as error:
            raise self._complaint(error) from error
        try:
            self._lock()
            clear_parts(path)
            if replace:
                os.ftruncate(self.handle, 0)
            with os.fdopen(self.handle, "rb", closefd=False) as file:  # another handle's end would end the lock
                reading = read_open(file, path)
            self.content = reading.content
            self._check_header()
            self._identity = reading.identity
            if open_rows == "cut":
                self.content.open_step = JournaledStep()
            has_rows = self.content.steps or self.content.open_step.rows
            tail = reading.tail if open_rows == "keep" else reading.closed
            self._cut(tail if has_rows else Tail())
        except BaseException:
            os.close(self.handle)
            raise
        self.process, WRITERS[os.path.realpath(path)] = os.getpid(), self

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
            for name in [name for name, writer in WRITERS.items() if writer is self]:
                del WRITERS[name]

    def _append(self, kind: bytes, json_object: Mapping[str, Any], spectrum: Spectrum | None = None) -> None:
        if not self._tail.end:
            file = self._identity and asdict(self._identity)
            first = {"format": JOURNAL_FORMAT, "name": self.path.name, "file": file, "header": self._header}
            self._write(b"H", first)
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
        return type(error)(f"cannot write to {self._journal}: {(error.strerror or str(error)).lower()}")

    def _check_header(self) -> None:
        if (before := self.content.header) is None:
            return
        for key in sorted({*before, *self._header}):
            if before.get(key) != self._header.get(key):
                was, now = (f"{header.get(key)!a:.80}" for header in (before, self._header))
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
