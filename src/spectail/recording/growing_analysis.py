"""An analysis that grows: the rows of one step, in any order.

Not here: how a row is measured (`analysis/row.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from spectail.recording.journal_file import JournalFile
from spectail.recording.journal_reading import JournaledStep
from spectail.recording.journal_records import Spectrum
from spectail.recording.journal_steps import or_empty
from spectail.recording.netcdf import write_part


class GrowingAnalysis:
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
        self._file.fold(lambda part: write_part(recording, part))

    def close(self) -> None:
        """Let go of the files."""
        self._file.close()


_PLACE = "place"  # of the matrix of a row, among those of the model


def rows_by_place(step: JournaledStep) -> dict[int, tuple[dict[str, Any], Spectrum]]:
    """The rows of an unfinished analysis, and their spectra, by the place of the matrix."""
    return {
        int(row[_PLACE]): ({name: value for name, value in row.items() if name != _PLACE}, or_empty(spectrum))
        for row, spectrum in zip(step.rows, step.spectra, strict=True)
    }
