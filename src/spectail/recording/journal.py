"""Measurements so far, kept in a file: the last whole netCDF file, and a journal beside it of what came since.

Here: measurements and how they are kept while they grow. Not here: the files of the journal (`journal_file`), and the
labels of a recording (`layout`).
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from spectail.errors import StoreError, first_line
from spectail.recording.events import Event, events_between
from spectail.recording.journal_file import FileIdentity, JournaledStep, JournalFile, writer_here
from spectail.recording.journal_records import Spectrum
from spectail.recording.layout import Measurement, to_dataset
from spectail.recording.netcdf import write_part
from spectail.recording.quantities import Quantity, select


class Journal:
    """The measurements of a recording so far; it keeps itself in a file.

    Attributes:
        of: the kind of recording.
        matrices: name, labels and nulls of each.
        path: the file; None keeps the measurements in memory only.
        attributes: of the recording.
        measurements: in the order of their steps, as they are kept.
        extra: quantities that the rows have beside those of every recording of the kind.
        identity: of the file that these were read from, if it is there; one that is another is not written over.
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
        self.extra: list[Quantity] = []
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
        before = self.measurements[-1].rows if self.measurements else ()
        changes = events_between(before, measurement.rows, measurement.step)
        measurement = replace(measurement, events=(*changes, *measurement.events))
        as_kept = measurement.to_keep(spectra=spectra)
        self.measurements.append(as_kept)
        self._unwritten.append(as_kept)
        return measurement

    def open(self, *, replace: bool = False) -> None:
        """Take hold of the file: nobody else may write to it until it is let go of.

        Args:
            replace: whether what is there is to be replaced, whatever it is.

        Raises:
            OSError: the folder cannot be made or written to.
            StoreError: another writes to the file, or has written it.
        """
        if self.path is None:
            return
        if writer_here(self.path) is not None:
            raise StoreError(f"{self.path} is being written to in this program already; expected another path")
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
        """Put what is new beside the file; and into it where that is due.

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
            _append(self._file, self._unwritten[0], self.matrices[self._kept :])
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
        self._file.fold(lambda part: write_part(recording, part, ["eigenvalues"]))
        self.identity, self._kept = self._file.identity, len(self.matrices)
        self._unwritten.clear()

    def close(self) -> None:
        """Save what is new, and let go of the file. Raises as `save`."""
        if self.path is None:
            return
        try:
            if self._unwritten or self._file is None or self._file.holds_rows:
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
                return f"{self.path} was not written; all measurements are in {self._written_elsewhere()}: {why}"
            except Exception as other:
                return f"{self.path} was not written, nor a temporary file ({first_line(other)}): {why}"
        return ""

    def _written_elsewhere(self) -> Path:
        handle, name = tempfile.mkstemp(prefix=f"{self.path.stem if self.path else self.of}-", suffix=".nc")
        os.close(handle)
        try:
            write_part(self.dataset(), Path(name), ["eigenvalues"])
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name)

    def dataset(self) -> xr.Dataset:
        """All measurements so far as a recording."""
        from spectail import __version__

        attributes = {**self.attributes, "spectail_version": __version__}
        return to_dataset(self.of, self.matrices, self.measurements, attributes, self.extra)


class SeriesJournal(Journal):
    """A journal whose steps may come in any order, and whose rows are in the file as soon as they are there.

    Attributes:
        begun: of the step under way: its number, and what tells its checkpoint from others.
        rows: of that step, as far as they are there, by name, with their spectra.
    """

    def __init__(
        self,
        path: Path | None,
        header: Mapping[str, Any],
        matrices: Sequence[Mapping[str, Any]] = (),
        measurements: Sequence[Measurement] = (),
    ) -> None:
        """Go on with the measurements of a file and its journal, or begin.

        Args:
            path: of the file; None keeps everything in memory.
            header: what the recording is of; only who says the same may go on.
            matrices: those of the file.
            measurements: those of the file.

        Raises:
            StoreError: the journal is damaged or of something else, or another process writes to it.
            OSError: it cannot be made or written to.
        """
        super().__init__("series", matrices, path, measurements=measurements)
        self.begun: tuple[int, str] | None = None
        self.rows: dict[str, tuple[dict[str, Any], Spectrum]] = {}
        self._header = dict(header)
        if path is not None:
            self._file = JournalFile(path, header, open_rows="keep")
            self.identity = self._file.identity
            step = self._file.content.open_step
            for row, spectrum in zip(step.rows, step.spectra, strict=True):
                self.begun = (int(row.pop("step")), str(row.pop("stamp")))
                self.rows[row["name"]] = (row, np.empty(0, np.float32) if spectrum is None else spectrum)

    def begin(self, step: int, stamp: str) -> None:
        """Say which step the next rows are of; rows of another that was not finished are forgotten."""
        if self.begun != (step, stamp):
            self.forget()
        self.begun = (step, stamp)

    def forget(self) -> None:
        """Forget the rows of a step that was not finished."""
        if self._file is not None and self.rows:
            self._file.close()
            self._file = JournalFile(self._file.path, self._header)
        self.begun, self.rows = None, {}

    def keep(self, row: Mapping[str, Any], spectrum: Spectrum) -> None:
        """Keep a row of the step that was begun. Raises OSError where it cannot be written; those before are kept."""
        self._append_row(row, spectrum)
        self.rows[row["name"]] = (dict(row), spectrum)

    def finish(self, measurement: Measurement) -> None:
        """Take the step that was begun among the measurements, in the place of one of the same number.

        Args:
            measurement: of it; rows that were not kept yet are written now.

        Raises:
            OSError: it cannot be written; the rows are kept.
        """
        spectra = measurement.spectra or {}
        for row in measurement.rows:
            if row["name"] not in self.rows:
                self._append_row(row, spectra[row["name"]])
        if self._file is not None:
            stored = [asdict(event) for event in measurement.events if event.kind != "phase"]
            closing = {"step": measurement.step, "events": stored, "spectra": True, "source": dict(measurement.source)}
            self._file.close_step(closing | {"matrices": self.matrices[self._kept :]})
        self._kept, self.begun, self.rows = len(self.matrices), None, {}
        others = [one for one in self.measurements if one.step != measurement.step]
        self.measurements = sorted([*others, measurement], key=lambda one: one.step)
        if self._file is not None and (not self._file.path.exists() or self._file.is_due_to_fold()):
            self.save()

    def save(self) -> None:
        """Write the file, whole or not at all; the journal holds no more than a step under way then."""
        super().save()
        for row, spectrum in self.rows.values():
            self._append_row(row, spectrum)

    def dataset(self) -> xr.Dataset:
        """All measurements so far as a recording; in one order of attributes, whenever they came."""
        self.attributes = dict(sorted(self.attributes.items()))
        return super().dataset()

    def close(self) -> None:
        """Save what is new, and let go of the file. Raises as `save`."""
        if self._file is None:
            return
        try:
            if self.measurements and self._file.holds_rows:
                self.save()
        finally:
            self._file.close()
            self._file = None

    @property
    def holds_rows(self) -> bool:
        """Whether the journal holds anything that the file does not."""
        return self._file is not None and self._file.holds_rows

    def _append_row(self, row: Mapping[str, Any], spectrum: Spectrum) -> None:
        if self._file is not None:
            step, stamp = self.begun or (0, "")
            constant = {q.name for q in select("matrix", "null")}
            measured = {name: value for name, value in row.items() if name not in constant}
            self._file.append({**measured, "step": step, "stamp": stamp}, spectrum)


class RowJournal:
    """The rows of a recording of one step, each in a file as soon as it is there, in any order.

    Attributes:
        path: of the file.
        rows: by the place of their matrix: the row, and its spectrum as it is kept.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        """Go on with the rows beside a file, or begin.

        Args:
            path: of the file, which appears when all rows are there.
            header: what the recording is of; only who says the same may go on.

        Raises:
            StoreError: the journal is damaged or of something else, or another process writes to it.
            OSError: it cannot be made or written to.
        """
        self.path, self._file = path, JournalFile(path, header, open_rows="keep")
        self.rows = rows_by_place(self._file.content.open_step)

    def add(self, place: int, row: Mapping[str, Any], spectrum: Spectrum) -> None:
        """Keep a row. Raises OSError where it cannot be written; those before are kept."""
        self._file.append({**row, _PLACE: place}, spectrum)
        self.rows[place] = (dict(row), spectrum)

    def save(self, recording: xr.Dataset) -> None:
        """Write the file, whole or not at all. Raises OSError where it cannot be written; the rows are kept."""
        self._file.fold(lambda part: write_part(recording, part, ["eigenvalues"]))

    def close(self) -> None:
        """Let go of the files."""
        self._file.close()


_PLACE = "place"  # of the matrix of a row, among those of the model


def rows_by_place(step: JournaledStep) -> dict[int, tuple[dict[str, Any], Spectrum]]:
    """The rows of an unfinished analysis, and their spectra, by the place of the matrix."""
    spectra = (np.empty(0, np.float32) if one is None else one for one in step.spectra)
    return {
        int(row[_PLACE]): ({name: value for name, value in row.items() if name != _PLACE}, spectrum)
        for row, spectrum in zip(step.rows, spectra, strict=True)
    }


def _append(file: JournalFile, measurement: Measurement, matrices: Sequence[Mapping[str, Any]]) -> None:
    """Append a step, and the matrices that it is the first to have."""
    names = {"name", *(q.name for q in select("spectrum", "change"))}
    for row in measurement.rows:
        spectrum = None if measurement.spectra is None else measurement.spectra[row["name"]]
        file.append({name: value for name, value in row.items() if name in names}, spectrum)
    stored = [asdict(event) for event in measurement.events if event.kind != "phase"]
    closing = {"step": measurement.step, "lr": list(measurement.lr), "clocks": dict(measurement.clocks)}
    closing |= {"events": stored, "spectra": measurement.spectra is not None}
    file.close_step(closing | ({"matrices": list(matrices)} if matrices else {}))


def from_journal(step: JournaledStep, before: Sequence[Mapping[str, Any]]) -> Measurement:
    """A step of a journal as it was measured.

    Args:
        step: with its rows, and closed.
        before: rows of the measurement before.
    """
    closing = step.closing or {}
    spectra = None
    if closing.get("spectra"):
        spectra = {row["name"]: values for row, values in zip(step.rows, step.spectra, strict=True)}
    at = int(closing["step"])
    events = (*events_between(before, step.rows, at), *(Event(**event) for event in closing.get("events", ())))
    lr, clocks, source = tuple(closing.get("lr", ())), closing.get("clocks", {}), closing.get("source", {})
    return Measurement(at, step.rows, spectra, lr, clocks, events, source)
