"""Watches the spectra of a model while it trains.

Not here: when it measures (`when`), which matrices (`layers`), whom it tells (`loggers`), and how a row is made
(`analysis/row.py`).
"""

from __future__ import annotations

import os
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import xarray as xr
from torch import nn

from spectail.analysis.alerts import DEFAULT_THRESHOLDS, AlertThresholds, AlertWatch
from spectail.analysis.changes import names_in_recording
from spectail.analysis.choices import check_existing, checked_nulls
from spectail.analysis.undisturbed import undisturbed
from spectail.errors import StoreError
from spectail.monitor.agreed import AgreedWhen
from spectail.monitor.applied import AppliedTensors, checked_tensors
from spectail.monitor.attach import check_options, go_on_with, options_of_first_edition, refuse_flattened, starting_step
from spectail.monitor.in_words import alert_sentence, html_of, line_of, screen_of
from spectail.monitor.layers import WatchedMatrices
from spectail.monitor.loggers import Logger, warn_at_users_line, warn_where_it_trains
from spectail.monitor.process_group import RankLostError, Ranks, join
from spectail.monitor.sharing import Shares
from spectail.monitor.steps import StepWatch, last_of, learning_rates, no_step, optimizers_in
from spectail.monitor.when import Clocks, budget
from spectail.recording.events import Event
from spectail.recording.growing import GrowingRecording
from spectail.recording.journal_reading import FileIdentity, identity_of, journal_path
from spectail.recording.layout import Measurement
from spectail.weights.matrix import ConvMatrix, WeightMatrix
from spectail.weights.sharded import is_sharded


class SpectralMonitor:
    """Measures the weight matrices of a model whenever its optimizer has made the right number of steps.

    It hooks the optimizer's step, and changes nothing of the training: weights, gradients, random states and
    modes are as they would be without it, bit for bit. Step 0 is measured at once; steps at which the
    optimizer was not called, as a `GradScaler` skips them, do not count. A copy of a monitor, as it is made where a
    module that holds one is saved or copied, has its measurements, and watches nothing.

    Args:
        model: any; a wrapper for several devices or for compilation is seen through.
        optimizer: the one that trains it, whatever wraps it; of several, in a list, the last one ends a step. None:
            call `step` after each step yourself.
        layers: names of matrices, or patterns such as "encoder.*"; None takes all.
        conv: how a convolution's kernel becomes matrices.
        tensors: what is measured: always the weights, and "gradients", "updates" and "momentum" where they are named,
            each as a matrix of its own, such as "fc.weight (update)".
        nulls: "gaussian" to compare with Gaussian matrices, False not to. Each shape is simulated once on a machine,
            when the monitor is attached; that time is in no budget. A shape that comes later counts as measuring.
        when: `every(k)`, `at(steps)`, `log_spaced()`, `budget(share)`, or anything that is called as
            when(step, clocks) and answers whether to measure. By default measuring takes 2 % of the training time.
        path: a netCDF file to keep the measurements in. None keeps them in memory only.
        keep_spectra: whether to keep the eigenvalues, which are most of the file.
        existing: what is done with a file at `path`: "refuse" it, "resume" it, dropping what it holds past
            `initial_step`, or "replace" it.
        initial_step: how many steps the model has made before.
        on_measurement: a logger, called with each `Measurement`, or several. The first exception in one becomes a
            warning.
        alerts: thresholds from which on an alert is given: a rank that collapses, a norm that explodes and the like;
            None for no alerts.
        on_alert: called with each alert, an `Event`. By default all alerts of a measurement become one warning.
        summary: whether `close` prints what was measured, and what happened, on the standard error.
        **first_edition: options by the names of the first edition; each warns, and names today's.

    Raises:
        SettingError: an option is out of range, the model has no such matrices, or the file holds others.
        FileExistsError: there is a file at `path` already, and `existing` does not say what is done with it.
        OSError: the file cannot be written.
        StoreError: another monitor writes the file, or it is damaged.

    >>> from spectail import every
    >>> model = nn.Linear(30, 20)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    >>> with SpectralMonitor(model, optimizer, when=every(2), nulls=False) as monitor:
    ...     for _ in range(4):
    ...         model(torch.ones(1, 30)).sum().backward()
    ...         optimizer.step()
    >>> monitor.recording.step.values.tolist()
    [0, 2, 4]
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any = None,
        *,
        layers: str | Sequence[str] | None = None,
        conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES,
        tensors: str | Sequence[str] = "weights",
        nulls: str | bool = "gaussian",
        when: Callable[[int, Clocks], bool] | None = None,
        path: str | os.PathLike[str] | None = None,
        keep_spectra: bool = True,
        existing: str = "refuse",
        initial_step: int | None = None,
        on_measurement: Logger | Sequence[Logger] = (),
        alerts: AlertThresholds | None = DEFAULT_THRESHOLDS,
        on_alert: Callable[[Event], object] | None = None,
        summary: bool = True,
        **first_edition: Any,
    ) -> None:
        options: dict[str, Any] = {"when": when, "keep_spectra": keep_spectra, "existing": existing, "nulls": nulls}
        options |= options_of_first_edition(first_edition, options)
        self._when, self._keep_spectra = options["when"] or budget(0.02), options["keep_spectra"]
        self._nulls, existing = bool(checked_nulls(options["nulls"], ("gaussian", "none"))), options["existing"]
        check_existing(existing)
        is_one = callable(on_measurement) or not isinstance(on_measurement, Iterable)
        self._loggers: tuple[Any, ...] = (on_measurement,) if is_one else tuple(on_measurement)  # type: ignore[arg-type]
        check_options(model, options["when"], path, self._loggers, alerts, on_alert)
        self._alerts, self._on_alert, self._prints = AlertWatch(alerts), on_alert, bool(summary)
        self._steps = self._first_step = starting_step(initial_step, existing == "resume", path)
        self._watched: WatchedMatrices | None = None
        self._growing = GrowingRecording("monitor", [])
        self._warned: set[object] = set()
        self._hook: StepWatch | None = None
        self._optimizer: Any = optimizer
        if optimizer is not None:
            optimizers_in(last_of(optimizer))  # is refused before anything is measured
        self._applied: AppliedTensors | None = None
        applied_tensors = checked_tensors(tensors, optimizer)
        refuse_flattened(model)
        ranks = join(can_be_alone=not any(map(is_sharded, model.parameters())))
        self._ranks, self._is_watching = ranks or Ranks(), ranks is not None
        if not self._is_watching:
            return
        self._agreed = AgreedWhen(self._when, self._ranks, self._steps)
        self._shares = Shares(self._ranks)
        self._devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
        try:
            self._watched = self._ranks.all_do(lambda: WatchedMatrices(model, layers, conv))
            self._applied = AppliedTensors(applied_tensors, optimizer) if applied_tensors else None
            with undisturbed():
                self._growing = self._recording_at(None if path is None else Path(path).absolute(), existing)
            for measurement in self._growing.measurements:  # of a file that is gone on with
                self._alerts.alerts_of(measurement)
            # what cannot be written is told now, not after hours
            self._ranks.first_does(lambda: self._growing.open(replace=existing == "replace"))
            self._measuring_seconds = self._last_seconds = self._seconds_ahead = 0.0
            self._attached_at = time.perf_counter()
            if self._last_step < self._steps:
                self._measure(write=False)
            self._ranks.first_does(self._growing.save)
        except BaseException:
            self._growing.let_go()
            self._ranks.leave()
            raise
        self._finalizer = weakref.finalize(self, _save_at_exit, self._growing, os.getpid())
        if optimizer is not None:
            self._hook = StepWatch(last_of(optimizer), self._count)
        self._foresee()

    def _recording_at(self, path: Path | None, existing: str) -> GrowingRecording:
        """The recording to add to: a new one, or the one in the file. Only the first process writes a file."""
        assert self._watched is not None
        watched = self._watched

        def read() -> tuple[FileIdentity | None, list[Measurement], list[dict[str, Any]]]:
            if path is None or not (path.exists() or journal_path(path).exists()):
                return None, [], []
            return identity_of(path), *go_on_with(path, watched.matrices, self._keep_spectra, self._steps, existing)

        identity, measurements, known = self._ranks.first_does(read) or (None, [], [])
        self._last_step = self._ranks.from_first(measurements[-1].step if measurements else -1)
        if known := self._ranks.from_first(known):
            watched.rename(names_in_recording(watched.matrices, known, self._steps))
        ours = {one["name"]: one for one in self._shares.constants(self._named(watched), self._nulls)}
        matrices = [ours.pop(one["name"], one) for one in known] + list(ours.values())
        where = path if self._ranks.is_first else None
        return GrowingRecording("monitor", matrices, where, {"title": watched.title}, measurements, identity)

    @property
    def steps(self) -> int:
        """How many steps the model has made."""
        return self._steps

    @property
    def first_step(self) -> int:
        """How many steps the model had made when the monitor was attached."""
        return self._first_step

    @property
    def events(self) -> list[Event]:
        """Everything that happened to a matrix so far."""
        return self._growing.events

    @property
    def recording(self) -> xr.Dataset:
        """All measurements so far, as `load_recording` reads them from the file."""
        return self._growing.dataset()

    @property
    def latest(self) -> Measurement | None:
        """The last measurement, with its spectra if they are kept; None before the first."""
        return self._growing.measurements[-1] if self._growing.measurements else None

    def summary(self) -> str:
        """What was measured, what happened, and what the last spectra say, on a screen of text."""
        return screen_of(self._growing)

    def __repr__(self) -> str:
        return f"<SpectralMonitor of {line_of(self._growing)}>"

    def _repr_html_(self) -> str:
        return html_of(self._growing)

    def dataset(self) -> xr.Dataset:
        """The first edition's name of `recording`."""
        warnings.warn("dataset() is now the property recording", DeprecationWarning, stacklevel=2)
        return self.recording

    def step(self) -> None:
        """Count a step, and measure if it is time; only for a loop without an optimizer to hook."""
        self._count(time.perf_counter())

    def _count(self, ended_at: float) -> None:
        self._steps += 1
        if not self._is_watching or not self._ranks.together:
            return
        if self._due(self._steps) if self._applied is None else self._applied.is_foreseen:
            self._measure_safely()
        elif self._ranks.size == 1:  # else it may have waited for others
            self._measuring_seconds += time.perf_counter() - ended_at
        self._foresee()

    def close(self) -> None:
        """Measure the last step if that was not done and no budget forbids it, write the file, and let go.

        A file that cannot be written is a warning, which names a temporary one that holds all measurements.
        """
        if not self._is_watching:
            return
        if self._steps == self._first_step and self._ranks.is_first:
            warnings.warn(no_step(self._optimizer), stacklevel=2)
        if self._applied is not None:
            self._applied.let_go()  # of a step that was not made
        is_behind = self._ranks.together and self._last_step < self._steps
        if is_behind and (not getattr(self._when, "saves_time", False) or self._due(self._steps, now=True)):
            self._measure_safely(write=False)
        with suppress(RankLostError):  # nobody goes while the first still hears others
            self._ranks.from_first(None)
        self.detach()
        if self._prints and self._ranks.is_first and sys.stderr is not None:
            try:
                print(self.summary(), file=sys.stderr)
            except Exception as error:
                self._tell_once(self, "the summary", error)

    def detach(self) -> None:
        """Write the file and let go of model and optimizer, like `close`, but without a last measurement."""
        for one in (self._hook, self._applied):
            if one is not None:
                one.remove()
        self._hook, self._optimizer, self._watched, self._applied = None, None, None, None
        self._ranks.leave()
        if self._is_watching:
            self._is_watching = False
            self._finalizer.detach()
            if sentence := self._growing.close_safely():
                warnings.warn(sentence, stacklevel=2)

    def __enter__(self) -> SpectralMonitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.detach()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy has: what was measured. It watches nothing, and writes to no file."""
        names = ("of", "matrices", "attributes", "measurements")
        recording = {name: getattr(self._growing, name) for name in names}
        return {"steps": (self._first_step, self._steps), "recording": recording}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._first_step, self._steps = state["steps"]
        self._growing = GrowingRecording(**state["recording"])
        self._is_watching, self._hook, self._optimizer, self._watched = False, None, None, None
        self._applied = None
        self._ranks = Ranks()

    def _named(self, watched: WatchedMatrices) -> list[WeightMatrix]:
        """The weights that are watched, then their gradients, updates and momentum, each under its name."""
        return [*watched.matrices, *(self._applied.named(watched) if self._applied else ())]

    def _foresee(self) -> None:
        """Decide now whether the next step is measured: updates need the weights before it."""
        if self._applied is None or not self._ranks.together or not self._due(self._steps + 1):
            return
        assert self._watched is not None
        self._wait_for_devices()
        start = time.perf_counter()
        with undisturbed():
            self._applied.foresee(self._watched)
        self._seconds_ahead = time.perf_counter() - start
        self._measuring_seconds += self._seconds_ahead

    def _due(self, step: int, *, now: bool = False) -> bool:
        try:
            return self._agreed(step, self._clocks, partial(self._ask, step), now=now)
        except RankLostError as error:
            sentence = f"nothing is measured from step {step} on, training goes on: {error}"
        self._part(sentence)
        return False

    def _clocks(self) -> Clocks:
        training = time.perf_counter() - self._attached_at - self._measuring_seconds
        return Clocks(training, self._measuring_seconds, self._last_seconds)

    def _ask(self, step: int, clocks: Clocks) -> bool:
        try:
            return bool(self._when(step, clocks))
        except Exception as error:  # of a function of the user's own
            self._tell_once(self._when, "when=", error)
            return False

    def _tell_once(self, of: object, name: str, error: Exception) -> None:
        """Warn of a function of the user's that failed, at the line where it did; not again when it fails again."""
        if id(of) not in self._warned:
            self._warned.add(id(of))
            warn_at_users_line(f"{name} failed at step {self._steps}, training goes on", error)

    def _measure_safely(self, *, write: bool = True) -> None:
        what = f"step {self._steps} was not measured, training goes on"
        try:
            self._measure(write=write)
            return
        except RankLostError as error:
            sentence = f"{what}, and nothing is measured from here on: {error}" if self._ranks.is_first else ""
        except Exception as error:
            sentence = f"{what}: {type(error).__name__}: {error}"
        except BaseException:
            self._ranks.leave()
            raise
        self._part(sentence)

    def _part(self, sentence: str) -> None:
        """Warn of what went wrong, and let the other processes know: they would wait for this one."""
        self._ranks.leave()
        if sentence:
            warnings.warn(sentence, stacklevel=3)

    def _measure(self, *, write: bool) -> None:
        self._wait_for_devices()
        start = time.perf_counter()
        try:
            with undisturbed():
                measurement = self._record(start)
                if measurement is not None:
                    for logger in self._loggers:
                        self._tell(logger, measurement)
                    self._tell_alerts([event for event in measurement.events if event.kind == "alert"])
                    if write:
                        self._write()
        finally:
            if self._applied is not None:
                self._applied.let_go()
            seconds = time.perf_counter() - start
            self._last_seconds = seconds + self._seconds_ahead
            self._measuring_seconds += seconds

    def _wait_for_devices(self) -> None:
        for device in self._devices:
            torch.cuda.synchronize(device)  # what is still running is training

    def _record(self, start: float) -> Measurement | None:
        """Make the measurement, to which each process adds its share; only the first gets it, the others get None."""
        assert self._watched is not None
        events = self._watched.changes_since(self._growing.matrices, self._steps)
        names = {one["name"] for one in self._growing.matrices}
        new = [one for one in self._named(self._watched) if one.name not in names]
        events, is_new = self._shares.arrive(self._steps, events, bool(new))
        if is_new:
            self._growing.add_matrices(self._shares.constants(new, self._nulls))
        changed = {event.matrix for event in events}
        before = [row for row in self._growing.last_rows if row["name"] not in changed]
        applied, unread = self._applied.matrices(self._watched) if self._applied else ([], [])
        matrices = (*self._watched.matrices, *applied) if applied else self._watched.matrices
        rows, eigenvalues = self._shares.measure(matrices, self._nulls, before, unread)
        self._last_step = self._steps
        if not self._ranks.is_first:
            return None
        lr = () if self._optimizer is None else learning_rates(self._optimizer)
        spectra = {row["name"]: spectrum for row, spectrum in zip(rows, eigenvalues, strict=True)}
        clocks = {
            "measuring_seconds": time.perf_counter() - start,
            "training_seconds": start - self._attached_at - self._measuring_seconds,
        }
        measurement = Measurement(self._steps, rows, spectra, lr, clocks, events)
        measurement = replace(measurement, events=(*events, *self._alerts.alerts_of(measurement)))
        return self._growing.add(measurement, spectra=self._keep_spectra)

    def _tell(self, logger: Callable[[Any], object], what: Measurement | Event) -> None:
        try:
            logger(what)
        except Exception as error:
            self._tell_once(logger, getattr(logger, "__qualname__", type(logger).__name__), error)

    def _tell_alerts(self, alerts: Sequence[Event]) -> None:
        if self._on_alert is not None:
            for alert in alerts:
                self._tell(self._on_alert, alert)
        elif alerts:
            warn_where_it_trains(alert_sentence(alerts))

    def _write(self) -> None:
        try:
            self._growing.write()
            self._warned.discard("file")
        except (OSError, StoreError) as error:
            if "file" not in self._warned:  # again when it has worked in between
                self._warned.add("file")
                warnings.warn(f"the measurements were not written, training goes on: {error}", stacklevel=2)


def _save_at_exit(growing: GrowingRecording, process: int) -> None:
    """Save at the end of the program, or when a monitor is forgotten; but not when a fork of the program ends."""
    if os.getpid() == process and (sentence := growing.close_safely()):
        warnings.warn(sentence, stacklevel=2)
