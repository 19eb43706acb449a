"""The monitor as a callback of the Hugging Face Trainer."""

from __future__ import annotations

from typing import Any

from spectail.errors import naming_the_extra
from spectail.monitor.monitor import SpectralMonitor
from spectail.monitor.runs import MonitoredRuns

with naming_the_extra("SpectralTrainerCallback"):
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class SpectralTrainerCallback(TrainerCallback):
    """Watches the spectra of a model while a `Trainer` trains it.

    Args:
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

    def __init__(self, **options: Any) -> None:
        self._runs = MonitoredRuns(options)

    @property
    def monitor(self) -> SpectralMonitor | None:
        """Of the last run; None before the first."""
        return self._runs.monitor

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Attach; the trainer's step is the first."""
        self._runs.begin(kwargs["model"], kwargs["optimizer"], int(state.global_step))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the last step, and write the file."""
        self._runs.end()
