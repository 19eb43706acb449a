"""The monitor as a callback of the Hugging Face Trainer."""

from __future__ import annotations

from typing import Any

from spectail.monitor.monitor import SpectralMonitor

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ModuleNotFoundError as error:
    raise ImportError(
        f"SpectralTrainerCallback needs {error.name}, which is not installed: pip install 'spectail[transformers]'"
    ) from error


class SpectralTrainerCallback(TrainerCallback):
    """Watches the spectra of a model while a `Trainer` trains it.

    Args:
        options: of `SpectralMonitor`, but for model, optimizer and initial_step, which the trainer knows.

    Attributes:
        monitor: None before the training starts.

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
        self.monitor: SpectralMonitor | None = None
        self._options = options

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Attach; the trainer's step is the first."""
        step = int(state.global_step)
        self.monitor = SpectralMonitor(kwargs["model"], kwargs["optimizer"], initial_step=step, **self._options)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the last step, and write the file."""
        if self.monitor is not None:
            self.monitor.close()
