"""The monitor as a callback of the Hugging Face Trainer.

Not here: what a monitor does (`monitor`), and which file a second run has (`runs`).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

from spectail.errors import kind_and_first_line, naming_the_extra
from spectail.monitor.loggers import Logger, own_logger, scalars_of
from spectail.monitor.monitor import SpectralMonitor
from spectail.monitor.runs import MonitoredRuns
from spectail.recording.layout import Measurement

with naming_the_extra("SpectralTrainerCallback"):
    from transformers import (
        PrinterCallback,
        ProgressCallback,
        TrainerCallback,
        TrainerControl,
        TrainerState,
        TrainingArguments,
    )
    from transformers.trainer_callback import CallbackHandler


class SpectralTrainerCallback(TrainerCallback):
    """Watches the spectra of a model while a `Trainer` trains it.

    Args:
        log: whether those whom the trainer reports to (`report_to`) have the numbers too, as `spectail/LAYER/QUANTITY`.
        options: of `SpectralMonitor`, but for model, optimizer and initial_step, which the trainer knows. A second
            `train`, or another try of `auto_find_batch_size`, goes on in the same file where `existing="resume"`, else
            it has a file of its own, as "run-2.nc".

    >>> import tempfile, torch
    >>> from spectail import every
    >>> from transformers import Trainer
    >>> class Model(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.net = torch.nn.Linear(30, 20)
    ...     def forward(self, x):
    ...         return {"loss": self.net(x).square().mean()}
    >>> callback = SpectralTrainerCallback(when=every(2), nulls=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     options = TrainingArguments(
    ...         folder, num_train_epochs=1, per_device_train_batch_size=1, use_cpu=True, report_to=[],
    ...         save_strategy="no", logging_strategy="no", disable_tqdm=True,
    ...     )
    ...     rows = [{"x": torch.ones(30)} for _ in range(4)]
    ...     _ = Trainer(Model(), options, train_dataset=rows, callbacks=[callback]).train()
    {'train_runtime': ...}
    >>> callback.monitor.recording.step.values.tolist()
    [0, 2, 4]
    """

    def __init__(self, *, log: bool = True, **options: Any) -> None:
        self._runs = MonitoredRuns(options, self._hold if log else None)
        self._unlogged: list[Measurement] = []
        self._own: dict[int, Logger] = {}  # for what the trainer's reports are written with, by its id

    @property
    def monitor(self) -> SpectralMonitor | None:
        """The monitor of the last run; None before the first run."""
        return self._runs.monitor

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Attach; the trainer's step is the first."""
        self._runs.begin(kwargs["model"], kwargs["optimizer"], int(state.global_step))
        self._log(_callbacks(), args, state, control, kwargs)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Hand on measurements with the trainer's step; measure the last step before the trainer closes its loggers.

        Another callback may stop the training at an evaluation or at the end of an epoch too, and the best weights may
        be put back before it ends: so each of the calls that may be the last before that looks whether it was stopped.
        """
        if control.should_training_stop:
            self._runs.end()
        if self._unlogged:
            others = {name: value for name, value in kwargs.items() if name not in ("logs", "metrics")}
            self._log(_callbacks(), args, state, control, others)

    on_evaluate = on_save = on_epoch_end = on_log = on_step_end

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the last step, and write the file."""
        self._runs.end()
        self._unlogged, self._own = [], {}

    def _hold(self, measurement: Measurement) -> None:
        """Keep a measurement until the trainer has counted its step."""
        self._unlogged.append(measurement)

    def _log(
        self, callbacks: Sequence[TrainerCallback], args: TrainingArguments, state: TrainerState,
        control: TrainerControl, others: dict[str, Any],
    ) -> None:  # fmt: skip
        """Hand what was measured to all callbacks that take logs, but for those that print them."""
        for measurement in self._unlogged:
            for callback in callbacks:
                run = getattr(getattr(callback, "_wandb", None), "run", None)
                writer = getattr(callback, "tb_writer", None) or run
                try:
                    own = self._own.get(id(writer)) or own_logger(writer)
                    if own is not None:
                        self._own[id(writer)] = own
                        own(measurement)
                    elif not isinstance(callback, SpectralTrainerCallback | PrinterCallback | ProgressCallback):
                        callback.on_log(args, state, control, logs=scalars_of(measurement), **others)
                except Exception as error:  # of a library, and the training is worth more
                    sentence = f"{type(callback).__name__} did not take a measurement, training goes on"
                    warnings.warn(f"{sentence}: {kind_and_first_line(error)}", stacklevel=3)
        self._unlogged = []


def _callbacks() -> list[TrainerCallback]:
    """All callbacks of the trainer: it tells none of the others, but the handler that calls them all has them."""
    frame = sys._getframe()
    while (frame := frame.f_back) is not None:  # type: ignore[assignment]
        if isinstance(handler := frame.f_locals.get("self"), CallbackHandler):
            return list(handler.callbacks)
    return []
