"""The steps of a series that are measured, and what of them need not be measured again.

Not here: how a checkpoint is measured (`series_measuring`).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spectail.analysis.fingerprint import stamps_of
from spectail.analysis.pieces import Row
from spectail.recording.events import NOT_MEASURED
from spectail.recording.layout import Measurement
from spectail.recording.tensors import name_of_weights, tensor_of
from spectail.spectra.phases import Phase
from spectail.weights.remote import is_remote


@dataclass
class MeasuredStep:
    """What is known of a step.

    Attributes:
        rows: of its matrices, by their names in the recording; without those that could not be measured.
        phases: of the matrices at the step before, after which these rows were judged.
        stamp: of its checkpoint.
        source: its checkpoint, as it is opened.
        not_measured: its matrices that could not be measured.
    """

    rows: dict[str, Row]
    phases: Mapping[str, str]
    stamp: str
    source: str
    not_measured: Collection[str] = ()

    @property
    def matrices(self) -> list[str]:
        """The names of the matrices that the model had, measured or not."""
        return [name for name in (*self.rows, *self.not_measured) if not is_update(name)]

    def phases_after(self, before: Mapping[str, str]) -> dict[str, str]:
        """The phase after which each matrix is judged at the next step, as a monitor does; none for updates.

        Args:
            before: what this gave for the step before; it holds the phases of matrices that could not be measured now.
        """
        known = {name: row for name, (row, _) in self.rows.items() if not is_update(name)}
        known = {n: row for n, row in known.items() if row["phase"] != Phase.UNKNOWN or math.isfinite(row["z_hill"])}
        of_gaps = {name: before[name] for name in self.not_measured if name in before}
        return of_gaps | {name: str(row["phase"]) for name, row in known.items()}


class MeasuredSteps:
    """The steps that are measured, by their numbers.

    Args:
        measurements: as the recording has them.
        judged_after: whether the phase of a matrix depends on that of the step before: it does with nulls.
    """

    def __init__(self, measurements: Iterable[Measurement], judged_after: bool) -> None:
        self._judged_after = judged_after
        self._steps: dict[int, MeasuredStep] = {}
        phases: Mapping[str, str] = {}
        for one in measurements:
            spectra, where = one.spectra or {}, one.source
            rows = {row["name"]: (dict(row), spectra[row["name"]]) for row in one.rows if _is_measured(row)}
            lacking = [row["name"] for row in one.rows if NOT_MEASURED in str(row["note"])]
            step = MeasuredStep(rows, phases, where["source_stamp"], where["source"], lacking)
            self._steps[one.step], phases = step, step.phases_after(phases)

    def __bool__(self) -> bool:
        return bool(self._steps)

    def get(self, step: int) -> MeasuredStep | None:
        """What is known of a step."""
        return self._steps.get(step)

    def keep(self, step: int, rows: Mapping[str, Row], phases: Mapping[str, str], stamp: str, source: str) -> None:
        """Keep what was measured of a step, in the place of what was known of it."""
        measured = {name: row for name, row in rows.items() if _is_measured(row[0])}
        lacking = [name for name, (row, _) in rows.items() if NOT_MEASURED in str(row["note"]) and not is_update(name)]
        self._steps[step] = MeasuredStep(measured, phases, stamp, source, lacking)

    def number_before(self, step: int) -> int | None:
        """The number of the last step before this one."""
        return max((one for one in self._steps if one < step), default=None)

    def before(self, step: int) -> MeasuredStep | None:
        """What is known of the last step before this one."""
        number = self.number_before(step)
        return None if number is None else self._steps[number]

    def phases_before(self, step: int) -> Mapping[str, str]:
        """The phases after which the matrices of a step are judged."""
        before: list[MeasuredStep] = []
        gaps: set[str] = set()
        for number in sorted((one for one in self._steps if one < step), reverse=True):
            known = self._steps[number]
            before.append(known)
            gaps = {*known.not_measured} if len(before) == 1 else gaps & {*known.not_measured}
            if not gaps:
                break
        phases: dict[str, str] = {}
        for known in reversed(before):
            phases = known.phases_after(phases)
        return phases

    def is_up_to_date(self, step: int, stamp: str) -> bool:
        """Whether a step was measured of its checkpoint as it is now, by its stamp; "" stands for one that is gone."""
        known = self._steps.get(step)
        if known is None or (stamp and known.stamp != stamp):
            return not stamp
        phases, before = self.phases_before(step), self.before(step)
        early = {} if before is None else before.rows
        updates = {name: row for name, (row, _) in known.rows.items() if is_update(name)}
        from_there = (
            str(row["content"]).startswith(f"{early[weights][0]['content']}>")
            for name, row in updates.items()
            if (weights := name_of_weights(name)) in early
        )
        alike = (self._alike(known.phases.get(name, ""), phases.get(name, "")) for name in known.rows)
        return all(alike) and all(from_there)

    def usable_rows(self, name: str, step: int, phase: str) -> dict[str, Row]:
        """By content, the known rows that a matrix has at a step if it did not change and is judged after a phase."""
        return {str(row[0]["content"]): row for row in self._rows_about(name, step, phase)}

    def _rows_about(self, name: str, step: int, phase: str) -> Iterator[Row]:
        for known in (self.before(step), self._steps.get(step)):
            if known and name in known.rows and self._alike(known.phases.get(name, ""), phase):
                yield known.rows[name]

    def _alike(self, one: str, other: str) -> bool:
        """Whether it makes no difference which of two phases a matrix was in before."""
        return one == other or not self._judged_after or {one, other} <= {"", Phase.RANDOM}


def is_update(name: str) -> bool:
    """Whether a name of a recording is that of an update."""
    return tensor_of(name) == "updates"


def _is_measured(row: Mapping[str, Any]) -> bool:
    return bool(row.get("content")) and NOT_MEASURED not in str(row["note"])


def checkpoint_stamp(source: str) -> str:
    """What tells whether a checkpoint has changed; "" where it is not there."""
    stamps = stamps_of(source)
    return json.dumps(stamps) if stamps else ""


def is_written_to(stamp: str, source: str) -> bool:
    """Whether files of a checkpoint changed or came since it had this stamp; files that went do not count.

    A trainer that keeps only its newest checkpoints may remove files while others are read; what was read of them is
    as it was.
    """
    return not {*map(tuple, stamps_of(source) or [])} <= {*map(tuple, json.loads(stamp or "[]"))}


def checkpoint_age(source: str) -> float:
    """Seconds since a checkpoint of this machine was last written to."""
    if is_remote(source):
        return math.inf
    times = [entry[2] for entry in stamps_of(source) or []]
    return time.time() - max(times, default=0) / 1e9
