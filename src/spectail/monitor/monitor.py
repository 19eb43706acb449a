"""Watches the spectra of a model while it trains."""

from __future__ import annotations

import os
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import xarray as xr
from torch import nn

from spectail.analysis.changes import names_in_recording
from spectail.analysis.choices import check_existing, checked_nulls
from spectail.analysis.row import constant_quantities, measure_all
from spectail.analysis.undisturbed import undisturbed
from spectail.errors import StoreError
from spectail.monitor.attach import (
    go_on_with,
    is_measuring_rank,
    options_of_first_edition,
    refuse_sharded,
    starting_step,
)
from spectail.monitor.layers import WatchedMatrices
from spectail.monitor.loggers import Logger, warn_at_users_line
from spectail.monitor.steps import StepWatch, last_of, learning_rates, no_step, optimizers_in
from spectail.monitor.when import Clocks, budget
from spectail.recording.events import Event
from spectail.recording.growing import GrowingRecording
from spectail.recording.journal_reading import identity_of, journal_path
from spectail.recording.layout import Measurement
from spectail.weights.matrix import ConvMatrix


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
        nulls: "gaussian" to compare with Gaussian matrices, False not to. Each shape is simulated once on a machine,
            when the monitor is attached; that time is in no budget.
        when: `every(k)`, `at(steps)`, `log_spaced()`, `budget(share)`, or anything that is called as
            when(step, clocks) and answers whether to measure. By default measuring takes 2 % of the training time.
        path: a netCDF file to keep the measurements in. None keeps them in memory only.
        keep_spectra: whether to keep the eigenvalues, which are most of the file.
        existing: what is done with a file at `path`: "refuse" it, "resume" it, dropping what it holds past
            `initial_step`, or "replace" it.
        initial_step: how many steps the model has made before.
        on_measurement: a logger, called with each `Measurement`, or several. The first exception in one becomes a
            warning.
        **first_edition: options by the names of the first edition; each warns, and names today's.

    Raises:
        SettingError: an option is out of range, the model has no such matrices, or the file is of others.
        FileExistsError: there is a file at `path` already, and `existing` does not say what is done with it.
        OSError: the file cannot be written.
        StoreError: another monitor writes it, or it is damaged.

    >>> from spectail import every
    >>> model = nn.Linear(30, 20)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
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
        nulls: str | bool = "gaussian",
        when: Callable[[int, Clocks], bool] | None = None,
        path: str | os.PathLike[str] | None = None,
        keep_spectra: bool = True,
        existing: str = "refuse",
        initial_step: int | None = None,
        on_measurement: Logger | Sequence[Logger] = (),
        **first_edition: Any,
    ) -> None:
        options: dict[str, Any] = {"when": when, "keep_spectra": keep_spectra, "existing": existing, "nulls": nulls}
        options |= options_of_first_edition(first_edition, options)
        self._when, self._keep_spectra = options["when"] or budget(0.02), options["keep_spectra"]
        nulls, existing = checked_nulls(options["nulls"], ("gaussian", "none")), options["existing"]
        check_existing(existing)
        self._loggers = (on_measurement,) if callable(on_measurement) else tuple(on_measurement)
        self._nulls = bool(nulls)
        self._steps = self._started = starting_step(initial_step, existing == "resume", path)
        self._layers: WatchedMatrices | None = None
        self._journal = GrowingRecording("monitor", [])
        self._told: set[object] = set()
        self._hook: StepWatch | None = None
        self._optimizer: Any = optimizer
        if optimizer is not None:
            optimizers_in(last_of(optimizer))  # is refused before anything is measured
        self._open = is_measuring_rank()
        if not self._open:
            return
        refuse_sharded(model)
        self._layers = found = WatchedMatrices(model, layers, conv)
        with undisturbed():
            described = [constant_quantities(matrix, self._nulls) for matrix in found.matrices]
        where = None if path is None else Path(path).absolute()  # a training may change its folder
        self._devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
        measured: list[Measurement] = []
        identity = None
        if where is not None and (where.exists() or journal_path(where).exists()):
            identity = identity_of(where)
            measured, known = go_on_with(where, found.matrices, self._keep_spectra, self._steps, existing)
            if known:
                found.call(names_in_recording(found.matrices, known, self._steps))
                named = {one.name: one for one in found.matrices}
                described = [
                    constant_quantities(named[one["name"]], self._nulls) if one["name"] in named else one
                    for one in known
                ]
        self._journal = GrowingRecording("monitor", described, where, {"title": found.title}, measured, identity)
        self._journal.open(replace=existing == "replace")  # what cannot be written is told now, not after hours
        self._spent = self._cost = 0.0
        self._attached = time.perf_counter()
        try:
            if not self._journal.measurements or self._journal.measurements[-1].step < self._steps:
                self._measure(write=False)
            self._journal.save()
        except BaseException:
            self._journal.let_go()
            raise
        self._finalizer = weakref.finalize(self, _save_at_exit, self._journal, os.getpid())
        if optimizer is not None:
            self._hook = StepWatch(last_of(optimizer), self.step)

    @property
    def steps(self) -> int:
        """How many steps the model has made."""
        return self._steps

    @property
    def first_step(self) -> int:
        """How many it had made when it was attached."""
        return self._started

    @property
    def events(self) -> list[Event]:
        """Everything that happened to a matrix so far."""
        return self._journal.events

    @property
    def recording(self) -> xr.Dataset:
        """All measurements so far, as `load_recording` reads them from the file."""
        return self._journal.dataset()

    @property
    def latest(self) -> Measurement | None:
        """The last measurement; its spectra as they are kept."""
        return self._journal.measurements[-1] if self._journal.measurements else None

    def dataset(self) -> xr.Dataset:
        """The first edition's name of `recording`."""
        warnings.warn("dataset() is now the property recording", DeprecationWarning, stacklevel=2)
        return self.recording

    def step(self) -> None:
        """Count a step, and measure if it is time; only for a loop without an optimizer to hook."""
        self._steps += 1
        if self._open and self._due():
            self._measure_safely()

    def close(self) -> None:
        """Measure the last step if that was not done and no budget forbids it, write the file, and let go.

        A file that cannot be written is a warning, which names a temporary one that holds all measurements.
        """
        if not self._open:
            return
        if self._steps == self._started:
            warnings.warn(no_step(self._optimizer), stacklevel=2)
        measured = self._journal.measurements[-1].step
        if measured < self._steps and (not getattr(self._when, "saves_time", False) or self._due()):
            self._measure_safely(write=False)
        self.detach()

    def detach(self) -> None:
        """Write the file and let go of model and optimizer, without a last measurement; as `close` else."""
        if self._hook is not None:
            self._hook.remove()
        self._hook, self._optimizer, self._layers = None, None, None
        if self._open:
            self._open = False
            self._finalizer.detach()
            if sentence := self._journal.close_safely():
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
        journal = self._journal
        kept = {"of": journal.of, "matrices": journal.matrices, "attributes": journal.attributes}
        return {"steps": (self._started, self._steps), "journal": kept | {"measurements": journal.measurements}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._started, self._steps = state["steps"]
        self._journal = GrowingRecording(**state["journal"])
        self._open, self._hook, self._optimizer, self._layers = False, None, None, None

    def _due(self) -> bool:
        training = time.perf_counter() - self._attached - self._spent
        try:
            return bool(self._when(self._steps, Clocks(training, self._spent, self._cost)))
        except Exception as error:  # of a function of the user's own
            self._tell_once(self._when, "when=", error)
            return False

    def _tell_once(self, of: Callable[..., object], name: str, error: Exception) -> None:
        """Warn of a function of the user's that failed, at the line where it did; not again when it fails again."""
        if id(of) not in self._told:
            self._told.add(id(of))
            warn_at_users_line(f"{name} failed at step {self._steps}, training goes on", error)

    def _measure_safely(self, *, write: bool = True) -> None:
        try:
            self._measure(write=write)
        except Exception as error:
            sentence = f"step {self._steps} was not measured, training goes on: {type(error).__name__}: {error}"
            warnings.warn(sentence, stacklevel=2)

    def _measure(self, *, write: bool) -> None:
        for device in self._devices:
            torch.cuda.synchronize(device)  # what is still running is training
        start = time.perf_counter()
        try:
            with undisturbed():
                measurement = self._record(start)
                for logger in self._loggers:
                    self._call(logger, measurement)
                if write:
                    self._write()
        finally:
            self._cost = time.perf_counter() - start
            self._spent += self._cost

    def _record(self, start: float) -> Measurement:
        assert self._layers is not None
        known = self._journal.matrices
        events = self._layers.look(known, self._steps)
        names = {one["name"] for one in known}
        known += [constant_quantities(one, self._nulls) for one in self._layers.matrices if one.name not in names]
        changed = {event.matrix for event in events}
        last = self._journal.measurements[-1].rows if self._journal.measurements else ()
        before = [row for row in last if row["name"] not in changed]
        rows, eigenvalues = measure_all(self._layers.matrices, self._nulls, before)
        lr = () if self._optimizer is None else learning_rates(self._optimizer)
        spectra = {row["name"]: spectrum for row, spectrum in zip(rows, eigenvalues, strict=True)}
        clocks = {
            "measuring_seconds": time.perf_counter() - start,
            "training_seconds": start - self._attached - self._spent,
        }
        return self._journal.add(
            Measurement(self._steps, rows, spectra, lr, clocks, events), spectra=self._keep_spectra
        )

    def _call(self, logger: Logger, measurement: Measurement) -> None:
        try:
            logger(measurement)
        except Exception as error:
            self._tell_once(logger, getattr(logger, "__qualname__", type(logger).__name__), error)

    def _write(self) -> None:
        try:
            self._journal.write()
            self._told.discard("file")
        except (OSError, StoreError) as error:
            if "file" not in self._told:  # again when it has worked in between
                self._told.add("file")
                warnings.warn(f"the measurements were not written, training goes on: {error}", stacklevel=2)


def _save_at_exit(journal: GrowingRecording, process: int) -> None:
    """Save at the end of the program, or when a monitor is forgotten; but not when a fork of the program ends."""
    if os.getpid() == process and (sentence := journal.close_safely()):
        warnings.warn(sentence, stacklevel=2)
