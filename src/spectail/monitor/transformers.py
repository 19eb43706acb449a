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
