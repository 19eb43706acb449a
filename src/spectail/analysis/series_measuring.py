"""The checkpoints of a series, taken into a recording one after the other, in the order of their steps.

Here: what is measured of each, what is not measured again, and what is done with one that cannot be taken. Not here:
which checkpoints there are (`weights/series.py`), which steps are known (`measured_steps`), who waits for them
(`series`), and how a row is made (`row`, `pieces`).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import xarray as xr

from spectail.analysis.alerts import AlertThresholds, AlertWatch, with_alerts
from spectail.analysis.changes import matrix_changes, names_in_recording
from spectail.analysis.measured_steps import MeasuredSteps, checkpoint_age, checkpoint_stamp, is_written_to
from spectail.analysis.pieces import (
    LastTime,
    OpenRequest,
    Request,
    Row,
    measure_pieces,
)
from spectail.analysis.row import constant_quantities
from spectail.errors import SettingError, SourceError, SpectailError
from spectail.progress import MatrixProgress, PartProgress, WorkProgress
from spectail.recording.events import NOT_MEASURED, Event
from spectail.recording.growing_series import GrowingSeries
from spectail.recording.journal_records import Spectrum
from spectail.recording.layout import Measurement
from spectail.recording.tensors import NAME_ENDINGS
from spectail.running.scheduler import Compute
from spectail.weights.matrix import WeightMatrix
from spectail.weights.remote import pinned
from spectail.weights.series import Checkpoint, Series

_TRIES, _PAUSE = 10, 1.0  # of a checkpoint that is being written, and seconds between them

_RECENT = 60.0  # seconds: what was written since may be being written still


class _NotReadError(Exception):
    """A checkpoint that cannot be taken, and why."""


@dataclass(frozen=True)
class _Remark:
    """What was wrong with a checkpoint, and what told its state then from others."""

    stamp: str
    sentence: str


def _is_of(remark: _Remark | None, stamp: str) -> bool:
    return remark is not None and remark.stamp == stamp


class SeriesMeasuring:
    """Takes checkpoints into a recording, in the order of their steps."""

    def __init__(
        self,
        request: Request,
        compute: Compute,
        journal: GrowingSeries,
        header: Mapping[str, Any],
        between: bool,
        progress: MatrixProgress | None,
        alerts: AlertThresholds | None,
    ) -> None:
        self._request, self._compute, self._journal, self._between = request, compute, journal, between
        self._tell, self._told = progress, set[str]()
        self._stamps: dict[str, str] = {}  # of each source at the last look
        self._refused: dict[str, _Remark] = {}  # of each source that could not be taken
        self._lacking: dict[str, _Remark] = {}  # of each source of which a matrix could not be measured
        self._no_update: dict[int, str] = {}  # of each step whose change could not be measured, why
        journal.attributes |= {"begun_with": json.dumps(header)}
        journal.extra = list(request.measure)
        self._thresholds, self._alerts = alerts, AlertWatch(alerts)
        self._steps = MeasuredSteps(journal.measurements, bool(request.nulls))
        for one in journal.measurements:
            self._alerts.alerts_of(one)

    def recording(self) -> xr.Dataset:
        """What was measured so far."""
        return self._journal.dataset()

    def save(self) -> None:
        """Fold what is new into the file."""
        if self._journal.holds_rows:
            self._journal.save()

    def remark(self, sentence: str) -> None:
        """Warn of what is left out, once."""
        if sentence not in self._told:
            self._told.add(sentence)
            warnings.warn(sentence, stacklevel=2)

    def take(self, series: Series, *, waiting: float = 0.0) -> None:
        """Measure the checkpoints of a series that are not measured yet.

        Args:
            series: as it is found now.
            waiting: seconds to the next look, to which a checkpoint that is being written is left; 0 where there is
                none.

        Raises:
            SourceError: none can be read, and none was before.
            KeyboardInterrupt: it was interrupted.
        """
        for sentence in series.remarks:
            self.remark(sentence)
        self._journal.attributes["title"] = series.title
        try:
            self._take_rest(series, waiting)
        finally:
            self._keep_left_out(series)
        if not self._journal.measurements and not waiting:
            count = len(series.checkpoints)
            which = "the only checkpoint" if count == 1 else f"none of the {count} checkpoints"
            raise SourceError(f"{which} of {series.title} can{'not' if count == 1 else ''} be read")

    def _take_rest(self, series: Series, waiting: float) -> None:
        """Measure what is to be read now, and what is to be judged anew after it."""
        rest = [one for one in series.checkpoints if self._is_due(one, waiting)]
        progress = WorkProgress(len(rest), tell=self._tell, unit="checkpoints")
        with progress if rest else nullcontext():
            for one in series.checkpoints:
                if one in rest or self._is_judged_anew(one):
                    part = progress.part(max(len(rest), 1), f"step {one.step}: ", passes=2 if self._between else 1)
                    self._take_one(one, waiting, part)
                    if one in rest:
                        part.end()

    def _keep_left_out(self, series: Series) -> None:
        """Say in the recording what is left out now: what was being written at an earlier look may be whole by now."""
        sentences = list(series.remarks)
        for one in series.checkpoints:
            stamp = self._stamps.get(one.source)
            of_source = [remarks[one.source] for remarks in (self._refused, self._lacking) if one.source in remarks]
            sentences += [remark.sentence for remark in of_source if remark.stamp == stamp]
            sentences += [self._no_update[one.step]] if one.step in self._no_update else []
        attributes = self._journal.attributes
        before = attributes.pop("left_out", None)
        if sentences:
            attributes["left_out"] = json.dumps([*dict.fromkeys(sentences)], ensure_ascii=False)
        if before != attributes.get("left_out") and self._journal.measurements and not self._journal.holds_rows:
            self._journal.save()

    def _refuse(self, checkpoint: Checkpoint, stamp: str, why: str) -> None:
        """Leave out a checkpoint as it is now."""
        sentence = f"{checkpoint.name} is left out: {why}"
        self._refused[checkpoint.source] = _Remark(stamp, sentence)
        self.remark(sentence)

    def _is_due(self, checkpoint: Checkpoint, waiting: float) -> bool:
        """Whether a checkpoint is to be read now."""
        stamp, source = checkpoint_stamp(checkpoint.source), checkpoint.source
        before, self._stamps[source] = self._stamps.get(source), stamp
        if not stamp:  # a link to nothing, a pipe, or gone since it was found
            of_another_kind = os.path.isfile(source)
            why = "it is no file that weights are read from" if of_another_kind else "there is no file of it to read"
            self._refuse(checkpoint, stamp, why)
            return False
        if _is_of(self._refused.get(source), stamp) or self._is_measured(checkpoint, stamp):
            return False
        is_whole = not waiting or before == stamp or checkpoint_age(source) > waiting
        return is_whole or self._is_judged_anew(checkpoint)

    def _is_judged_anew(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint is as it was measured, and phases changed since after which those of it are judged."""
        known, stamp = self._steps.get(checkpoint.step), checkpoint_stamp(checkpoint.source)
        is_as_measured = known is not None and stamp in ("", known.stamp)
        return is_as_measured and not self._is_measured(checkpoint, stamp)

    def _is_measured(self, checkpoint: Checkpoint, stamp: str) -> bool:
        """Whether a step is up to date with its checkpoint; what could not be measured of it is tried once."""
        known = self._steps.get(checkpoint.step)
        is_tried = known is None or not known.not_measured or _is_of(self._lacking.get(checkpoint.source), stamp)
        return self._steps.is_up_to_date(checkpoint.step, stamp) and (is_tried or not stamp)

    def _take_one(self, checkpoint: Checkpoint, waiting: float, progress: PartProgress) -> None:
        """Measure a checkpoint; one that is being written is waited for, or left."""
        for _ in range(1 if waiting else _TRIES):
            stamp = self._stamps[checkpoint.source] = checkpoint_stamp(checkpoint.source)
            try:
                self._measure(checkpoint, stamp, progress)
                return
            except _NotReadError as error:
                sentence = str(error)
            if waiting or checkpoint_age(checkpoint.source) > _RECENT:
                break
            time.sleep(_PAUSE)
            if checkpoint_stamp(checkpoint.source) == stamp:
                break
        self._journal.forget()
        self._refuse(checkpoint, stamp, sentence)

    def _measure(self, checkpoint: Checkpoint, stamp: str, progress: PartProgress) -> None:
        """Measure what is not known of a checkpoint, and keep its rows.

        Raises:
            _NotReadError: it cannot be read, is of another model, or is being written.
            KeyboardInterrupt: it was interrupted; the rows so far are kept.
        """
        step, journal = checkpoint.step, self._journal
        opened = self._open(checkpoint)
        names = self._names(opened.weights.matrices, step)
        phases = self._steps.phases_before(step)
        journal.begin(step, hashlib.sha256(json.dumps([stamp, sorted(phases.items())]).encode()).hexdigest()[:16])
        rows: dict[str, Row] = {name: row for name, row in journal.rows.items() if name in names}
        rows |= self._measure_rest(opened, names, rows, step, phases, progress)
        noted = [str(row["note"]) for row, _ in rows.values() if NOT_MEASURED in str(row["note"])]
        if is_written_to(stamp, checkpoint.source):
            raise _NotReadError("it was written to while it was read")
        if noted and checkpoint_stamp(checkpoint.source) != stamp:
            raise _NotReadError("it was removed while it was read")
        if len(noted) == len(names):
            raise _NotReadError(noted[0].partition(NOT_MEASURED)[2])
        if noted:
            reason = noted[0].partition(NOT_MEASURED)[2]
            sentence = f"of {checkpoint.name} {len(noted)} of {len(names)} matrices were not measured: {reason}"
            self._lacking[checkpoint.source] = _Remark(stamp, sentence)
            self.remark(sentence)
        events = self._changes(opened.weights.matrices, names, step)
        for matrix, name in zip(opened.weights.matrices, names, strict=True):
            self._label(constant_quantities(matrix, bool(self._request.nulls)), name)
        if self._between:
            rows |= self._updates(opened, names, rows, step, progress)
        journal.attributes.setdefault("skipped", json.dumps([asdict(one) for one in opened.weights.skipped]))
        in_order = [rows[one["name"]] for one in journal.matrices if one["name"] in rows]
        spectra = {row["name"]: spectrum for row, spectrum in in_order}
        source = {"source": checkpoint.source, "source_stamp": stamp}
        measurement = Measurement(step, [row for row, _ in in_order], spectra, events=events, source=source)
        is_last = step > self._alerts.last_step
        alerts = self._alerts.alerts_of(measurement) if is_last else ()
        journal.finish(replace(measurement, events=(*events, *alerts)))
        if not is_last:  # what came later is judged after this
            journal.measurements = with_alerts(journal.measurements, self._thresholds)
        self._steps.keep(step, rows, phases, stamp, checkpoint.source)

    def _open(self, checkpoint: Checkpoint) -> OpenRequest:
        """The matrices of a checkpoint, unread."""
        try:
            opened = replace(self._request, sources=(pinned(checkpoint.source),)).open()
        except SettingError as error:
            if not self._steps:  # a pattern that fits nothing is a mistake
                raise
            raise _NotReadError(str(error)) from None
        except (SpectailError, OSError) as error:
            raise _NotReadError(str(error)) from None
        if not opened.weights.matrices:
            raise _NotReadError(f"it has no matrix, only {len(opened.weights.skipped)} other parameters")
        return opened

    def _names(self, matrices: Sequence[WeightMatrix], step: int) -> list[str]:
        """What the matrices of a checkpoint are called in the recording; one of another shape has a name of its own.

        Raises:
            _NotReadError: the recording has matrices, and none of these is among them.
        """
        known = [one for one in self._journal.matrices if one["tensor"] == "weights"]
        names = names_in_recording(matrices, known, step)
        if known and not {one["name"] for one in known} & {*names}:
            raise _NotReadError("it is of another model: no matrix is that of another checkpoint, by name and shape")
        return names

    def _label(self, constant: Mapping[str, Any], name: str, tensor: str = "weights") -> None:
        """Keep what does not change of a matrix, when it comes."""
        if all(one["name"] != name for one in self._journal.matrices):
            self._journal.matrices.append({**constant, "name": name, "tensor": tensor})

    def _measure_rest(
        self,
        opened: OpenRequest,
        names: Sequence[str],
        rows: Mapping[str, Row],
        step: int,
        phases: Mapping[str, str],
        progress: PartProgress,
    ) -> dict[str, Row]:
        """Measure the matrices that have no row; the row of one that did not change is taken over."""
        measured: dict[str, Row] = {}
        usable: dict[int, dict[str, Row]] = {}  # of each matrix that is to be measured: rows by their content
        for place, name in enumerate(names):
            if name not in rows:
                usable[place] = self._steps.usable_rows(name, step, phases.get(name, ""))

        def keep(place: int, row: Row) -> None:
            values, spectrum = row
            if "phase" not in values:  # it did not change
                values, spectrum = usable[place][values["content"]]
            measured[names[place]] = self._kept(values, spectrum, names[place])

        last = {place: LastTime(phases.get(names[place], ""), tuple(rows)) for place, rows in usable.items()}
        self._run(opened, last, keep, progress)
        return measured

    def _kept(self, values: Mapping[str, Any], spectrum: Spectrum, name: str) -> Row:
        """A row under its name in the recording. One that was not measured is not kept: it may be possible later."""
        row = {**values, "name": name}
        if NOT_MEASURED not in str(row["note"]):
            self._journal.keep(row, spectrum)
        return row, spectrum

    def _run(
        self,
        opened: OpenRequest,
        last: Mapping[int, LastTime | None],
        keep: Callable[[int, Row], None],
        progress: PartProgress,
    ) -> None:
        """Measure matrices by their places.

        Raises:
            _NotReadError: a worker cannot open the checkpoint, or finds another.
            KeyboardInterrupt: it was interrupted.
        """
        try:
            whole = not last or measure_pieces(opened, [*last], self._compute, "", keep, progress, last)
        except SourceError as error:
            raise _NotReadError(str(error)) from None
        except KeyboardInterrupt:
            whole = False
        if not whole:
            path = self._journal.path
            sentence = f"what is measured so far is kept in {path}" if path else ""
            raise KeyboardInterrupt(sentence and f"{sentence}, and the same command goes on from there")

    def _updates(
        self,
        opened: OpenRequest,
        names: Sequence[str],
        rows: Mapping[str, Row],
        step: int,
        progress: PartProgress,
    ) -> dict[str, Row]:
        """Measure what changed since the step before; what is known of the same two states is taken over."""
        early, known = self._steps.before(step), self._steps.get(step)
        self._no_update.pop(step, None)
        if early is None:
            return {}
        ours = dict(zip((one.name for one in opened.weights.matrices), names, strict=True))
        contents = {
            f"{name}{_UPDATE}": f"{early.rows[name][0]['content']}>{rows[name][0]['content']}"
            for name in names
            if name in early.rows and NOT_MEASURED not in str(rows[name][0]["note"])
        }
        measured = {name: row for name, row in self._journal.rows.items() if name in contents}
        for name, (row, spectrum) in (known.rows if known else {}).items():
            if name not in measured and row["content"] == contents.get(name):
                measured[name] = self._kept(row, spectrum, name)
        labelled = {one["name"] for one in self._journal.matrices}
        if contents.keys() <= measured.keys() & labelled:
            return measured
        try:
            changes = replace(self._request, of="update", sources=(early.source, opened.request.sources[0])).open()
        except (SpectailError, OSError) as error:
            sentence = f"the update from step {self._steps.number_before(step)} to {step} is left out: {error}"
            self._no_update[step] = sentence
            self.remark(sentence)
            return measured
        matrices = changes.weights.matrices
        places = {f"{ours[one.name]}{_UPDATE}": place for place, one in enumerate(matrices) if one.name in ours}
        rest = {place: name for name, place in places.items() if name in contents and name not in measured}

        def keep(place: int, row: Row) -> None:
            name = rest[place]
            content = contents[name] if NOT_MEASURED not in str(row[0]["note"]) else ""
            measured[name] = self._kept({**row[0], "content": content, "tensor": "updates"}, row[1], name)

        self._run(changes, dict.fromkeys(rest), keep, progress)
        for name, place in places.items():  # of rows that a killed process kept, too
            if name in measured:
                self._label(constant_quantities(matrices[place], bool(self._request.nulls)), name, "updates")
        return measured

    def _changes(self, matrices: Sequence[WeightMatrix], names: Sequence[str], step: int) -> tuple[Event, ...]:
        """Which matrices came, went, or got another shape since the step before."""
        before = self._steps.before(step)
        if before is None:
            return ()
        return matrix_changes(matrices, names, before.matrices, self._journal.matrices, step)


_UPDATE = NAME_ENDINGS["updates"]
