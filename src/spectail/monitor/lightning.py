"""The monitor as a callback of Lightning.

Not here: what a monitor does (`monitor`), and which file a second run has (`runs`).
"""

from __future__ import annotations

from typing import Any

from spectail.errors import SettingError, naming_the_extra
from spectail.monitor.loggers import Logger, own_logger, scalars_of
from spectail.monitor.monitor import SpectralMonitor
from spectail.monitor.runs import MonitoredRuns
from spectail.recording.layout import Measurement

with naming_the_extra("SpectralCallback"):
    from lightning.pytorch import Callback, LightningModule, Trainer


class SpectralCallback(Callback):
    """Watches the spectra of a `LightningModule` while a `Trainer` fits it.

    Args:
        optimizer: which of the module's optimizers counts the steps.
        log: whether the trainer's own loggers have the numbers too, as `spectail/LAYER/QUANTITY`.
        options: of `SpectralMonitor`, but for model, optimizer and initial_step, which the trainer knows. A second
            `fit` goes on in the same file where `existing="resume"`, else it has a file of its own, as "run-2.nc".

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

    def __init__(self, *, optimizer: int = 0, log: bool = True, **options: Any) -> None:
        self._runs, self._which = MonitoredRuns(options, self._hand_on if log else None), optimizer
        self._loggers: list[Any] = []  # of the trainer, while it fits
        self._own: dict[int, Logger | None] = {}  # ours, for those of them that take more than numbers
        self._steps: int | None = None  # that a checkpoint says

    @property
    def monitor(self) -> SpectralMonitor | None:
        """The monitor of the last run; None before the first run."""
        return self._runs.monitor

    @property
    def state_key(self) -> str:
        """What its state is called in a checkpoint, beside those of others of its kind."""
        names = {name: str(self._runs.options.get(name)) for name in ("path", "layers", "when")}
        return str(self._generate_state_key(optimizer=int(self._which), **names))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: how many steps the optimizer made; the trainer counts those of all optimizers."""
        return {} if self.monitor is None else {"steps": self.monitor.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the steps of a checkpoint."""
        self._steps = state_dict.get("steps")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach; the steps that were made before are those of the checkpoint, or of the trainer."""
        if not 0 <= self._which < len(trainer.optimizers):
            raise SettingError(f"optimizer={self._which} is not one of the {len(trainer.optimizers)} of the module")
        step = self._steps
        if step is None:
            step = int(trainer.global_step) // len(trainer.optimizers)  # which each of them has made, it is to be hoped
            if step and self.monitor is not None:
                step = self.monitor.steps
        self._steps = None
        self._loggers, self._own = list(trainer.loggers), {}
        self._runs.begin(pl_module, trainer.optimizers[self._which], step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the last step, and write the file."""
        self._runs.end()
        self._loggers, self._own = [], {}

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write the file."""
        self._runs.end(failed=True)
        self._loggers, self._own = [], {}

    def _hand_on(self, measurement: Measurement) -> None:
        """Give a measurement to the loggers of the trainer."""
        for at, logger in enumerate(self._loggers):
            if at not in self._own:
                self._own[at] = own_logger(logger.experiment)
            if (own := self._own[at]) is not None:
                own(measurement)
            else:
                logger.log_metrics(scalars_of(measurement), step=measurement.step)
