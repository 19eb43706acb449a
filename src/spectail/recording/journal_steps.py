"""Measurements as the steps of a journal, and back.

Not here: when they are written (`growing`), and the file that they stand in (`journal_file`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from spectail.recording.events import Event
from spectail.recording.journal_file import JournalFile
from spectail.recording.journal_reading import JournaledStep
from spectail.recording.journal_records import Spectrum
from spectail.recording.layout import Measurement
from spectail.recording.quantities import select


def append_step(file: JournalFile, measurement: Measurement, matrices: Sequence[Mapping[str, Any]]) -> None:
    """Append a step, and the matrices that it is the first to have."""
    names = {"name", *(q.name for q in select("spectrum", "change", "between"))}
    for row in measurement.rows:
        spectrum = None if measurement.spectra is None else measurement.spectra[row["name"]]
        file.append({name: value for name, value in row.items() if name in names}, spectrum)
    file.close_step(closing_of(measurement, matrices))


def closing_of(measurement: Measurement, matrices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What closes a step: all of its measurement but the rows, and the matrices that it is the first to have."""
    events = [asdict(event) for event in measurement.events if event.kind != "phase"]
    whole = {"step": measurement.step, "events": events, "spectra": measurement.spectra is not None}
    some = {"lr": list(measurement.lr), "clocks": dict(measurement.clocks), "source": dict(measurement.source)}
    return whole | {name: value for name, value in (some | {"matrices": list(matrices)}).items() if value}


def or_empty(spectrum: Spectrum | None) -> Spectrum:
    """A spectrum of a journal; an empty one for a matrix that has none."""
    return np.empty(0, np.float32) if spectrum is None else spectrum


def from_journal(step: JournaledStep) -> Measurement:
    """A step of a journal, with its rows and closed, as it was measured; changes of phase are not among its events."""
    closing = step.closing or {}
    spectra = None
    if closing.get("spectra"):
        spectra = {row["name"]: values for row, values in zip(step.rows, step.spectra, strict=True)}
    at = int(closing["step"])
    events = tuple(Event(**event) for event in closing.get("events", ()))
    lr, clocks, source = tuple(closing.get("lr", ())), closing.get("clocks", {}), closing.get("source", {})
    return Measurement(at, step.rows, spectra, lr, clocks, events, source)
