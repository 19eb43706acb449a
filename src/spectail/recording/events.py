"""An event of a matrix, and when a change of phase is one.

Changes of phase follow from the phases and are not stored; `events` puts them beside what was noticed while the matrix
was watched. Not here: when a matrix comes or goes (`analysis/changes.py`), when a user is warned
(`analysis/alerts.py`), and many events in few lines (`analysis/event_groups.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from spectail.errors import StoreError
from spectail.notebooks import Answered
from spectail.recording.argument import as_recording
from spectail.recording.quantities import select
from spectail.recording.tensors import tensor_of

NOT_THERE = "not in the model at this step"
"""The note of a matrix where the model has none: to come and to go is no change of phase."""

NOT_MEASURED = "not measured: "
"""What the note of a row begins with where something other than the weights themselves was in the way."""


@dataclass(frozen=True, repr=False)
class Event(Answered):
    """Something that happened to a matrix.

    Attributes:
        step: of the measurement that found it; it happened between that and the one before.
        matrix: its name.
        kind: "phase", or what is stored: "alert", "replaced", "added", "removed".
        text: what happened; of a phase, the one before and the one after.

    >>> print(Event(40, "layer3.conv2", "phase", "bulk+spike → heavy-tailed"))
    layer3.conv2: bulk+spike → heavy-tailed at step 40
    """

    step: int
    matrix: str
    kind: str
    text: str

    @property
    def layer(self) -> str:
        """The first edition's name of `matrix`."""
        warnings.warn("layer is now called matrix", DeprecationWarning, stacklevel=2)
        return self.matrix

    @property
    def before(self) -> str:
        """The phase it left; "" where no phase changed."""
        return self.text.partition(" → ")[0] if self.kind == "phase" else ""

    @property
    def after(self) -> str:
        """The phase it is in; "" where no phase changed."""
        return self.text.partition(" → ")[2] if self.kind == "phase" else ""

    def in_words(self) -> str:
        """What happened to which matrix, and when."""
        return f"{self.matrix}: {self.text} at step {self.step}"

    def __str__(self) -> str:
        return self.in_words()


def is_measured(row: Mapping[str, Any]) -> bool:
    """Whether a row says anything of its matrix: not where it could not be measured, or the model had none.

    >>> is_measured({"name": "a", "phase": "unknown", "note": "not measured: no memory"})
    False
    """
    note = str(row.get("note", ""))
    return note != NOT_THERE and not (NOT_MEASURED in note and row.get("phase") == "unknown")


def last_measured(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """The rows of a measurement; in place of one that could not be measured, the last of that matrix that could.

    Args:
        before: what this gave for the measurement before.
        after: rows of the measurement.
    """
    if all(map(is_measured, after)):
        return after
    known = {row["name"]: row for row in before}
    is_gap = {row["name"]: row.get("note") != NOT_THERE and not is_measured(row) for row in after}
    return [known.get(row["name"], row) if is_gap[row["name"]] else row for row in after]


def events_between(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], step: int
) -> tuple[Event, ...]:
    """The changes of phase of weights between two measurements, in the order of the matrices.

    Args:
        before: rows of the earlier one, as `last_measured` gives them.
        after: rows of the later one; of those that could not be measured nothing is said.
        step: of the later one.
    """
    phases = {row["name"]: row["phase"] for row in before if is_measured(row)}
    there = [row for row in after if is_measured(row) and tensor_of(str(row["name"])) == "weights"]
    changed = [row for row in there if phases.get(row["name"], row["phase"]) != row["phase"]]
    return tuple(Event(step, str(row["name"]), "phase", f"{phases[row['name']]} → {row['phase']}") for row in changed)


def stored_events(recording: xr.Dataset) -> list[Event]:
    """The events that a recording holds beside its phases."""
    names = [q.name for q in select("event")]
    if any(name not in recording for name in names):
        return []
    columns = zip(*(recording[name].values for name in names), strict=True)
    return [Event(int(step), str(matrix), str(kind), str(text)) for step, matrix, kind, text in columns]


def events(recording: Any) -> list[Event]:
    """What happened to the matrices of a recording: changes of phase, and what was noticed while it grew.

    Args:
        recording: of any kind, or an analysis.

    Returns:
        in the order of the steps, and of the matrices within a step.

    Raises:
        StoreError: the Dataset is not a recording.

    >>> import spectail
    >>> run = spectail.simulate(spectail.Experiment(n=40, n_test=9, n_test_large=9, d=20, h=30, optimizer="gd", lr=900))
    >>> all(event.before != event.after for event in events(run))
    True
    """
    recording = as_recording(recording)
    if "step" not in recording.coords:
        raise StoreError("the data set has no step, so it is no recording of spectail")
    names, steps = [str(name) for name in np.atleast_1d(recording["matrix"].values)], np.atleast_1d(recording["step"])
    happened = stored_events(recording)
    if "phase" in recording:
        notes = recording["note"] if "note" in recording else xr.full_like(recording["phase"], "")
        phase, note = (one.values.reshape(len(steps), len(names)).copy() for one in (recording["phase"], notes))
        is_gap = (phase == "unknown") & (np.char.find(note.astype(str), NOT_MEASURED) >= 0)
        for after in range(1, len(steps)):
            for table in (phase, note):  # as `last_measured`
                table[after, is_gap[after]] = table[after - 1, is_gap[after]]
            changed = np.flatnonzero(phase[after - 1] != phase[after]).tolist()  # of thousands few do
            earlier, later = (
                [{"name": names[i], "phase": str(phase[at, i]), "note": str(note[at, i])} for i in changed]
                for at in (after - 1, after)
            )
            happened += events_between(earlier, later, int(steps[after]))
    place = {name: index for index, name in enumerate(names)}
    return sorted(happened, key=lambda event: (event.step, place.get(event.matrix, len(place))))
