"""A series of checkpoints that grows: rows of a step are kept as they come, and steps come in any order.

Not here: how a row is measured, and which checkpoints there are (`weights/series.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from spectail.recording.growing import GrowingRecording
from spectail.recording.journal_file import JournalFile
from spectail.recording.journal_records import Spectrum
from spectail.recording.journal_steps import closing_of, or_empty
from spectail.recording.layout import Measurement
from spectail.recording.quantities import select


class GrowingSeries(GrowingRecording):
    """A recording whose steps may come in any order, and whose rows are in the file as soon as they are there.

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
                self.rows[row["name"]] = (row, or_empty(spectrum))

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
        """Add the step that was begun to the measurements; it replaces one of the same number.

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
            self._file.close_step(closing_of(measurement, self.matrices[self._kept :]))
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
        """All measurements so far as a recording; the order of its attributes does not depend on when they came."""
        self.attributes = dict(sorted(self.attributes.items()))
        return super().dataset()

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
