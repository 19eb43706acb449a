"""The monitor as a callback of Lightning."""

from __future__ import annotations

from typing import Any

from spectail.errors import SettingError
from spectail.monitor.monitor import SpectralMonitor

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError as error:
    raise ImportError(
        f"SpectralCallback needs {error.name}, which is not installed: pip install 'spectail[lightning]'"
    ) from error


class SpectralCallback(Callback):
    """Watches the spectra of a `LightningModule` while a `Trainer` fits it.

    Args:
        optimizer: which of the module's optimizers counts the steps.
        options: of `SpectralMonitor`, but for model, optimizer and initial_step, which the trainer knows.

    Attributes:
        monitor: None before the training starts.

    >>> import torch
    >>> from spectail import every
    >>> class Module(LightningModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.net = torch.nn.Linear(30, 20)
    ...     def training_step(self, batch, _):
    ...         return self.net(batch).square().mean()
    ...     def configure_optimizers(self):
    ...         return torch.optim.SGD(self.parameters(), lr=0.1)
    >>> callback = SpectralCallback(when=every(2), nulls=False)
    >>> trainer = Trainer(
    ...     max_epochs=1, accelerator="cpu", callbacks=[callback], logger=False, enable_checkpointing=False,
    ...     enable_progress_bar=False, enable_model_summary=False,
    ... )
    >>> trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(4, 30)))
    >>> callback.monitor.recording.step.values.tolist()
    [0, 2, 4]
    """

    def __init__(self, *, optimizer: int = 0, **options: Any) -> None:
        self.monitor: SpectralMonitor | None = None
        self._which, self._options = optimizer, options

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach; the trainer's step is the first."""
        if not 0 <= self._which < len(trainer.optimizers):
            raise SettingError(f"optimizer={self._which} is not one of the {len(trainer.optimizers)} of the module")
        optimizer, step = trainer.optimizers[self._which], int(trainer.global_step)
        self.monitor = SpectralMonitor(pl_module, optimizer, initial_step=step, **self._options)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the last step, and write the file."""
        if self.monitor is not None:
            self.monitor.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write the file."""
        if self.monitor is not None:
            self.monitor.__exit__(type(exception), exception, None)
