"""A recording that grows: in memory, and in a file, with a journal beside it of what came since it was written.

Not here: the file of the journal (`journal_file`), its steps (`journal_steps`), and the labels of a recording
(`layout`).
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from spectail.errors import StoreError, first_line
from spectail.recording.events import Event, events_between, last_measured
from spectail.recording.journal_file import JournalFile
from spectail.recording.journal_reading import FileIdentity
from spectail.recording.journal_steps import append_step
from spectail.recording.layout import Measurement, to_dataset
from spectail.recording.netcdf import check_ending, need_netcdf, write_part
from spectail.recording.quantities import Quantity


class GrowingRecording:
    """The measurements of a recording so far; it keeps itself in a file.

    Attributes:
        of: the kind of recording.
        matrices: name, labels and nulls of each.
        path: the file; None keeps the measurements in memory only.
        attributes: of the recording.
        measurements: in the order of their steps, as they are kept.
        last_rows: of the last of them; of a matrix that could not be measured then, the last row that it has.
        extra: quantities that the rows have beside those of every recording of the kind.
        elsewhere: the temporary file that has all measurements where `path` could not be written.
        identity: of the file that these were read from; if the one at `path` is another by now, it is not overwritten.
    """

    def __init__(
        self,
        of: str,
        matrices: Sequence[Mapping[str, Any]],
        path: Path | None = None,
        attributes: Mapping[str, Any] | None = None,
        measurements: Sequence[Measurement] = (),
        identity: FileIdentity | None = None,
    ) -> None:
        self.of, self.matrices, self.path, self.identity = of, list(matrices), path, identity
        self.attributes = dict(attributes or {})
        self.measurements = list(measurements)
        self.last_rows: Sequence[Mapping[str, Any]] = ()
        for one in self.measurements:
            self.last_rows = last_measured(self.last_rows, one.rows)
        self.extra: list[Quantity] = []
        self.elsewhere: Path | None = None
        self._header: Mapping[str, Any] = {"of": of}
        self._kept = len(self.matrices)  # how many of them are in the file or its journal
        self._unwritten: list[Measurement] = []
        self._file: JournalFile | None = None

    @property
    def events(self) -> list[Event]:
        """Everything that happened to a matrix, in the order of the steps."""
        return [event for one in self.measurements for event in one.events]

    def add(self, measurement: Measurement, *, spectra: bool = True) -> Measurement:
        """Append a measurement. It is in memory until the next `write` or `save`.

        Args:
            measurement: of the next step.
            spectra: whether its spectra are kept.

        Returns:
            the same, with the changes of phase among its events.
        """
        changes = events_between(self.last_rows, measurement.rows, measurement.step)
        measurement = replace(measurement, events=(*changes, *measurement.events))
        as_kept = measurement.to_keep(spectra=spectra)
        self.measurements.append(as_kept)
        self.last_rows = last_measured(self.last_rows, measurement.rows)
        self._unwritten.append(as_kept)
        return measurement

    def add_matrices(self, matrices: Iterable[Mapping[str, Any]]) -> None:
        """Append matrices that the next measurement is the first to have: name, labels and nulls of each."""
        self.matrices += matrices

    def open(self, *, replace: bool = False) -> None:
        """Take hold of the file: nobody else may write to it until it is let go of.

        Args:
            replace: whether what is there is to be replaced, whatever it is.

        Raises:
            OSError: the folder cannot be made or written to.
            SettingError: its name says that it is no recording.
            StoreError: another writes to the file, or has written it.
        """
        if self.path is None:
            return
        need_netcdf(self.path)
        check_ending(self.path)
        file = JournalFile(self.path, self._header, replace=replace)
        if not replace and file.identity not in (None, self.identity):
            file.close()
            raise StoreError(f"{self.path} was written by somebody else meanwhile; nothing is written over it")
        self._file = file

    def let_go(self) -> None:
        """Let go of the file as it is."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def write(self) -> None:
        """Append new rows to the journal; fold it into the file when due.

        Raises:
            OSError: it cannot be written; what was written before is as it was.
            StoreError: another writes to the file.
        """
        if self.path is None or not self._unwritten:
            return
        if self._file is None or self._file.is_gone:
            self.save()
            return
        while self._unwritten:
            append_step(self._file, self._unwritten[0], self.matrices[self._kept :])
            self._kept = len(self.matrices)
            del self._unwritten[0]
        if self._file.is_due_to_fold():
            self.save()

    def save(self) -> None:
        """Write the file, whole or not at all; the journal is empty then.

        Raises:
            OSError: it cannot be written; the file is then as it was.
            StoreError: another process writes to it.
        """
        if self.path is None:
            return
        if self._file is not None and self._file.is_gone:
            self.let_go()
            warnings.warn(f"{self.path} or its folder was removed; all measurements are written anew", stacklevel=2)
        if self._file is None:
            self.open()
        assert self._file is not None
        recording = self.dataset()
        self._file.fold(lambda part: write_part(recording, part))
        self.identity, self._kept = self._file.identity, len(self.matrices)
        self._unwritten.clear()

    def close(self) -> None:
        """Save what is measured and not in the file yet, and let go of it. Raises as `save`."""
        try:
            if self._unwritten or (self._file is not None and self._file.holds_rows and self.measurements):
                self.save()
        finally:
            self.let_go()

    def close_safely(self) -> str:
        """Close, and where the file cannot be written, put all measurements into a temporary one.

        Returns:
            where they are and why, in a sentence; empty where the file was written.
        """
        try:
            self.close()
        except Exception as error:  # whatever is in the way, what waits for this to end is worth more
            why = first_line(error)
            try:
                self.elsewhere = self._written_elsewhere()
                return f"{self.path} was not written; all measurements are in {self.elsewhere}: {why}"
            except Exception as other:
                return f"{self.path} was not written, nor a temporary file ({first_line(other)}): {why}"
        return ""

    def _written_elsewhere(self) -> Path:
        handle, name = tempfile.mkstemp(prefix=f"{self.path.stem if self.path else self.of}-", suffix=".nc")
        os.close(handle)
        try:
            write_part(self.dataset(), Path(name))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name)

    def dataset(self) -> xr.Dataset:
        """All measurements so far as a recording."""
        from spectail import __version__

        attributes = {**self.attributes, "spectail_version": __version__}
        return to_dataset(self.of, self.matrices, self.measurements, attributes, self.extra)
