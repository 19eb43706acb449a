"""Watches the spectra of a model while it trains."""

from __future__ import annotations

import os
import time
import warnings
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from spectail.analysis.row import COLUMNS, constant_quantities, measure_all
from spectail.analysis.undisturbed import undisturbed
from spectail.monitor.attach import (
    choose_layers,
    go_on_with,
    is_measuring_rank,
    refuse_sharded,
    starting_step,
    unwrapped_optimizer,
)
from spectail.monitor.loggers import Logger, Measurement
from spectail.monitor.when import Budget, choose_schedule
from spectail.recording.events import PhaseChange
from spectail.recording.journal import Journal, Recorded
from spectail.weights.matrix import ConvMatrix, WeightMatrix
from spectail.weights.opening import open_weights


class SpectralMonitor:
    """Measures the weight matrices of a model whenever its optimizer has made the right number of steps.

    It hooks the optimizer's step, and changes nothing of the training: weights, gradients, random states and
    modes are as they would be without it, bit for bit. Step 0 is measured at once; steps at which the
    optimizer was not called, as a `GradScaler` skips them, do not count.

    Args:
        model: any; a wrapper for several devices or for compilation is seen through.
        optimizer: the one that trains it. None: call `step` after each step yourself.
        every: k, to measure every k-th step.
        steps: "log" for 1, 2, 3, 5, 10, 20, …; or the steps themselves.
        budget: the largest share of the training time that measuring may take; 0.02 if nothing else is given.
        path: a netCDF file to keep the measurements in. None keeps them in memory only.
        on_measurement: called with each `Measurement`; or several of these. What one raises is a warning.
        layers: names of matrices, or patterns such as "encoder.*"; None takes all.
        conv: how a convolution's kernel becomes matrices.
        spectra: whether to keep the eigenvalues, which are most of the file.
        nulls: whether to compare with untrained matrices. Each shape is simulated once on a machine, when the
            monitor is attached; that time is in no budget.
        initial_step: how many steps the model has made before.
        resume: go on with the file at `path` if there is one; what it holds past `initial_step` is dropped.
        overwrite: replace the file at `path` if there is one.
        save_seconds: the shortest time between two writes of the file.

    Raises:
        ValueError: an option is out of range, the model has no such layers, or the file is of others.
        FileExistsError: there is a file already, and neither `resume` nor `overwrite` was asked for.
        OSError: the file cannot be written.

    >>> model = nn.Linear(30, 20)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with SpectralMonitor(model, optimizer, every=2, nulls=False) as monitor:
    ...     for _ in range(4):
    ...         model(torch.ones(1, 30)).sum().backward()
    ...         optimizer.step()
    >>> monitor.dataset().step.values.tolist()
    [0, 2, 4]
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        every: int | None = None,
        steps: str | Iterable[int] | None = None,
        budget: float | None = None,
        path: str | os.PathLike[str] | None = None,
        on_measurement: Logger | Sequence[Logger] = (),
        layers: str | Sequence[str] | None = None,
        conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES,
        spectra: bool = True,
        nulls: bool = True,
        initial_step: int | None = None,
        resume: bool = False,
        overwrite: bool = False,
        save_seconds: float = 10.0,
    ) -> None:
        self._schedule = choose_schedule(every, steps, budget)
        self._receivers = (on_measurement,) if callable(on_measurement) else tuple(on_measurement)
        self._keep_spectra, self._nulls = spectra, nulls
        self._steps = starting_step(initial_step, resume, path)
        self._matrices: tuple[WeightMatrix, ...] = ()
        self._recording = Journal(type(model).__name__, [])
        self._hook: Any = None
        self._optimizer = unwrapped_optimizer(optimizer)
        self._open = is_measuring_rank()
        if not self._open:
            return
        refuse_sharded(model)
        weights = open_weights(model, conv)
        self._matrices = choose_layers(weights, layers)
        with undisturbed():
            described = [constant_quantities(matrix, nulls) for matrix in self._matrices]
        where = None if path is None else Path(path)
        self._recording = Journal(weights.title, described, where, save_seconds)
        self._devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
        if where is not None and where.exists():
            self._recording.measurements = go_on_with(where, described, spectra, self._steps, resume, overwrite)
        self._spent = self._cost = 0.0
        self._attached = time.perf_counter()
        if not self._recording.measurements or self._recording.measurements[-1].step < self._steps:
            self._measure()
            self._recording.save()  # a path that cannot be written to is told now, not after hours
        self._finalizer = weakref.finalize(self, _save_at_exit, self._recording, os.getpid())
        if self._optimizer is not None:
            self._hook = self._optimizer.register_step_post_hook(self._after_step)

    @property
    def steps(self) -> int:
        """How many steps the model has made."""
        return self._steps

    @property
    def events(self) -> list[PhaseChange]:
        """Every change of a phase so far."""
        return self._recording.events

    def dataset(self) -> xr.Dataset:
        """All measurements so far, as `open_monitor` reads them from the file."""
        return self._recording.dataset()

    def step(self) -> None:
        """Count a step, and measure if it is time; only for a loop without an optimizer to hook."""
        self._steps += 1
        if self._open and self._due():
            self._measure_safely()

    def close(self) -> None:
        """Measure the last step if that was not done and no budget forbids it, write the file, and let go.

        Raises:
            OSError: the file cannot be written.
        """
        if not self._open:
            return
        measured = self._recording.measurements[-1].step
        if measured < self._steps and (not isinstance(self._schedule, Budget) or self._due()):
            self._measure_safely()
        self.detach()

    def detach(self) -> None:
        """Write the file and let go of model and optimizer, without a last measurement.

        Raises:
            OSError: the file cannot be written.
        """
        if self._hook is not None:
            self._hook.remove()
        self._hook, self._optimizer, self._matrices = None, None, ()
        if self._open:
            self._open = False
            self._recording.save()
            self._finalizer.detach()

    def __enter__(self) -> SpectralMonitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.detach()
        except OSError as failed:  # what stopped the training is the news
            warnings.warn(f"the last measurements were not written: {failed}", stacklevel=2)

    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        found_inf = getattr(optimizer, "found_inf", None)  # a fused optimizer skips the step itself
        if isinstance(found_inf, Tensor) and not found_inf.is_cuda and bool(found_inf):
            return
        self.step()

    def _due(self) -> bool:
        training = time.perf_counter() - self._attached - self._spent
        return self._schedule.due(self._steps, training, self._spent, self._cost)

    def _measure_safely(self) -> None:
        try:
            self._measure()
        except Exception as error:
            told = f"step {self._steps} was not measured, training goes on: {type(error).__name__}: {error}"
            warnings.warn(told, stacklevel=2)

    def _measure(self) -> None:
        for device in self._devices:
            torch.cuda.synchronize(device)  # what is still running is training
        start = time.perf_counter()
        try:
            with undisturbed():
                measurement = self._record(start)
                for receiver in self._receivers:
                    _call(measurement, receiver)
                if self._recording.measurements[1:]:
                    self._save_when_due()
        finally:
            self._cost = time.perf_counter() - start
            self._spent += self._cost

    def _record(self, start: float) -> Measurement:
        rows, found = measure_all(self._matrices, self._nulls)
        groups = self._optimizer.param_groups if self._optimizer is not None else ()
        lr = tuple(float(group["lr"]) for group in groups if "lr" in group)
        kept = [spectrum.numpy().astype(np.float32) for spectrum in found] if self._keep_spectra else None
        seconds = time.perf_counter() - start
        clocks = {"measuring_seconds": seconds, "training_seconds": start - self._attached - self._spent}
        events = self._recording.add(Recorded(self._steps, rows, kept, lr, clocks))
        spectra = dict(zip(self._recording.names, found, strict=True))
        return Measurement(self._steps, pd.DataFrame(rows, columns=list(COLUMNS)), spectra, events, lr, seconds)

    def _save_when_due(self) -> None:
        try:
            self._recording.save(now=False)
        except OSError as error:
            warnings.warn(f"the measurements were not written, training goes on: {error}", stacklevel=2)


def _call(measurement: Measurement, receiver: Logger) -> None:
    try:
        receiver(measurement)
    except Exception as error:
        name = getattr(receiver, "__qualname__", type(receiver).__name__)
        told = f"{name} failed at step {measurement.step}, training goes on: {type(error).__name__}: {error}"
        warnings.warn(told, stacklevel=2)


def _save_at_exit(recording: Journal, process: int) -> None:
    """At the end of the program, or when a monitor is forgotten, unless a fork of the program ends."""
    if os.getpid() == process:
        recording.save()
