"""How a call goes on where an earlier one has left off: what must be the same, and what is done with what is there.

Not here: what tells whether a source is the same (`fingerprint`), and the rows that are resumed (`model`, `series`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from spectail.analysis.fingerprint import difference
from spectail.analysis.pieces import Request
from spectail.errors import StoreError
from spectail.recording.journal_file import JournalFile
from spectail.recording.journal_reading import journal_path, read_journal
from spectail.recording.netcdf import check_place
from spectail.recording.reading import load_recording


def header_of(request: Request, **source: Any) -> dict[str, Any]:
    """What must be the same for an analysis or a series to be gone on with.

    Args:
        request: what is asked.
        **source: what tells whether its source is the same, and what else was asked of it.
    """
    from spectail import __version__

    layers = [request.layers] if isinstance(request.layers, str) else request.layers and list(request.layers)
    options = {**request.reading, "layers": layers, "nulls": request.nulls, "tail": request.tail}
    options |= {"seed": request.seed} if request.tail or request.nulls == "full" else {}
    options |= {"measure": [q.name for q in request.measure]} if request.measure else {}
    options |= {"base": True} if request.base is not None else {}
    return {"of": request.of, **source, **options, "spectail": __version__}


@dataclass(frozen=True)
class Kept:
    """Where rows are kept, and how that is told of.

    Attributes:
        path: of the recording; its journal lies beside it.
        place: that was named by the user: the file, or its folder.
        noun: for what is kept.
        refusal: what is said of the place where something is there.
        instead: what another place would be.
        of: the kind of recording that may be there; any, where it is "".
    """

    path: Path
    place: Path
    noun: str
    refusal: str
    instead: str
    of: str = ""

    def begun(self, header: Mapping[str, Any], existing: str) -> xr.Dataset | None:
        """The recording that is there already; None where there is none, or a journal only, or it is replaced.

        Args:
            header: what is asked now.
            existing: what is done with what is there: "resume", "replace" or "refuse".

        Raises:
            StoreError: it is of another source, or of other options, or another writes to it.
            OSError: there is one, which is to be refused; or no file can be written there, which is tried.
        """
        path, journal = self.path, journal_path(self.path)
        check_place(path)
        if not path.exists() and not journal.exists():
            return None
        if existing == "refuse":
            raise FileExistsError(f"{self.place} {self.refusal}; expected existing='resume' or 'replace', or another")
        if existing == "replace":
            JournalFile(path, {}, replace=True).close()  # refused where somebody writes, who keeps what is there
            path.unlink(missing_ok=True)
            journal.unlink(missing_ok=True)
            return None
        instead = f"expected another {self.instead}, or existing='replace' (--existing replace) to start anew"
        recording = load_recording(path) if path.exists() else None
        if recording is not None and self.of and (kind := str(recording.attrs["of"])) != self.of:
            raise StoreError(f"{self.place} holds a recording of the kind {kind}, not a {self.noun}; {instead}")
        before = read_journal(path).header if recording is None else json.loads(recording.attrs.get("begun_with", "{}"))
        unknown = "an earlier spectail wrote it, or something else" * path.exists()
        if what := difference(before, header) if before else unknown:
            raise StoreError(f"{self.place} holds another {self.noun}: {what}; {instead}")
        return recording
